/**
 * Turns errors of an S3 service or its connection into errors of the runtime with hints.
 *
 * fileMissing only for the service's own NoSuchKey; credentials, rights and clock `access`; name resolution, connection
 * and TLS `hostConnect`; the rest `service`. Retryable are lost connections, 408, 429, 5xx, throttling and damaged
 * bodies; never TLS refusals, because waiting does not repair a certificate.
 */
import { type BackupError, type ErrorDetails, fail } from "../../base/errors";
import { findText, parseXml, type XmlElement } from "./xml";

/** The request, for messages and hints. */
export interface FailureFacts {
  readonly repoIndex: number;
  readonly bucket: string;
  readonly endpoint: string;
  /** `host:port` of the connection. */
  readonly connection: string;
  /** `put 's3://bucket/key'`: follows "unable to". */
  readonly doing: string;
  /** Path relative to the storage; absent for requests about the bucket. */
  readonly path?: string;
  /** From the provider's row, for an unknown access key. */
  readonly keyHint?: string;
  /** The keys come from a role, a pod or a command, not from the configuration. */
  readonly temporaryKeys?: boolean;
}

export interface ErrorAnswer {
  readonly status: number;
  /** Empty if the answer had no XML body, as for HEAD. */
  readonly code: string;
  readonly message: string;
  /** The service's `date` header. */
  readonly date?: string;
}

/** Transient errors, whatever their status. */
const RETRYABLE_CODES = new Set([
  "SlowDown",
  "InternalError",
  "ServiceUnavailable",
  "RequestTimeout",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
  "RequestLimitExceeded",
  "OperationAborted",
  "BadDigest",
  "IncompleteBody",
  "XAmzContentSHA256Mismatch",
]);
/** Temporary keys have ended, or were revoked. */
const ENDED_KEYS = ["InvalidAccessKeyId", "InvalidToken", "ExpiredToken"];
const CREDENTIAL_CODES = new Set([...ENDED_KEYS, "AuthorizationHeaderMalformed", "InvalidSecurity", "NotEntitled"]);
const MESSAGE_LENGTH_MAX = 300;
const NOT_FOUND = 404;

const TLS_FACTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet",
  CERT_REVOKED: "its certificate was revoked",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed and not trusted here",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is from an authority that is not trusted here",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate is from an authority that is not trusted here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is from an authority that is not trusted here",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is from an authority that is not trusted here",
  CERT_SIGNATURE_FAILURE: "its certificate is from an authority that is not trusted here",
};
const CONNECT_CODES = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** True if the service refuses the request because of its keys, which others may replace. */
export function isOfEndedKeys({ code }: ErrorAnswer): boolean {
  return ENDED_KEYS.includes(code);
}

/** The error for an answer with a status of 300 or more, or for an `<Error>` body under 200. */
export function answerError(answer: ErrorAnswer, facts: FailureFacts, hasOtherKeys = false): BackupError {
  const { status, code } = answer;
  const details: ErrorDetails = {
    repoIndex: facts.repoIndex,
    ...(facts.path === undefined ? {} : { path: facts.path }),
  };
  const text = `unable to ${facts.doing}: [${status}]${code === "" ? "" : ` ${code}`}${answer.message === "" ? "" : `: ${answer.message}`}`;
  if (RETRYABLE_CODES.has(code)) return fail("service", text, { ...details, retryable: true });
  // Inside of a 200 it would mean "removed", or "not there".
  const isMissing = status === NOT_FOUND;
  if (isMissing && code === "NoSuchKey")
    return fail("fileMissing", `unable to ${facts.doing}: the object does not exist`, details);
  if (isMissing && code === "NoSuchBucket") {
    return fail(
      "pathMissing",
      `unable to ${facts.doing}: bucket '${facts.bucket}' does not exist at ${facts.endpoint}`,
      {
        ...details,
        hint: `Check repo${facts.repoIndex}-s3-bucket, repo${facts.repoIndex}-s3-endpoint and repo${facts.repoIndex}-s3-region, or create the bucket.`,
      },
    );
  }
  if (code === "RequestTimeTooSkewed") return fail("access", text, { ...details, hint: clockHint(answer) });
  if (status === 401 || status === 403 || CREDENTIAL_CODES.has(code))
    return fail("access", text, { ...details, hint: accessHints(code, facts), retryable: hasOtherKeys });
  if (status === 408 || status === 429 || (status >= 500 && status !== 501))
    return fail("service", text, { ...details, retryable: true });
  if (status >= 300 && status < 400) {
    const hint = `The bucket is served elsewhere: check repo${facts.repoIndex}-s3-endpoint and repo${facts.repoIndex}-s3-region.`;
    return fail("service", text, { ...details, hint });
  }
  return fail("service", text, details);
}

/** Reads an error body; any text but an S3 service's XML gives an answer without a code. */
export function parseErrorAnswer(status: number, body: string, date: string | undefined): ErrorAnswer {
  const element = parseOrNull(body);
  const facts = { status, ...(date === undefined ? {} : { date }) };
  if (element?.name !== "Error")
    return { ...facts, code: "", message: body === "" ? "" : "the answer is not one of an S3 service" };
  return { ...facts, ...errorFacts(element) };
}

export function errorFacts(element: XmlElement): { readonly code: string; readonly message: string } {
  const message = (findText(element, "Message") ?? "").replace(/\s+/g, " ").trim();
  const shown = message.length > MESSAGE_LENGTH_MAX ? `${message.slice(0, MESSAGE_LENGTH_MAX)}…` : message;
  return { code: (findText(element, "Code") ?? "").trim(), message: shown };
}

/** The HTTP client's exception as an error. */
export function transportError(error: unknown, facts: FailureFacts): BackupError {
  const code = codeOf(error);
  const details: ErrorDetails = {
    repoIndex: facts.repoIndex,
    cause: error,
    ...(facts.path === undefined ? {} : { path: facts.path }),
  };
  const message = messageOf(error);
  const tlsFact = TLS_FACTS[code];
  if (tlsFact !== undefined || /^(ERR_SSL_|ERR_TLS_|CERT_|EPROTO$|ERR_OSSL_)/.test(code)) {
    const fact =
      code === "ERR_TLS_CERT_ALTNAME_INVALID" ? `${tlsFact}: ${message}` : (tlsFact ?? `TLS failed: ${message}`);
    return fail("hostConnect", `unable to connect to '${facts.connection}': ${fact}`, {
      ...details,
      hint: tlsHint(code, facts.repoIndex),
    });
  }
  if (CONNECT_CODES.has(code)) {
    const hint = `Check repo${facts.repoIndex}-s3-endpoint (and repo${facts.repoIndex}-storage-host, -port if set), and the network.`;
    return fail("hostConnect", `unable to connect to '${facts.connection}': [${code}] ${message}`, {
      ...details,
      hint,
      retryable: true,
    });
  }
  return fail(
    "hostConnect",
    `unable to ${facts.doing}: connection to '${facts.connection}' failed: ${code === "" ? "" : `[${code}] `}${message}`,
    {
      ...details,
      retryable: true,
    },
  );
}

function accessHints(code: string, facts: FailureFacts): string[] {
  const option = `repo${facts.repoIndex}-s3`;
  if (facts.temporaryKeys === true) {
    return [
      `The key comes from ${option}-key-type: its role must be allowed to list, read, write and delete in bucket '${facts.bucket}'.`,
    ];
  }
  switch (code) {
    case "InvalidAccessKeyId":
      return [
        `The service does not know this access key: check ${option}-key and ${option}-endpoint.`,
        ...(facts.keyHint === undefined ? [] : [facts.keyHint]),
      ];
    case "SignatureDoesNotMatch":
      return [`The secret does not match the access key: check ${option}-key-secret, then ${option}-region.`];
    case "AuthorizationHeaderMalformed":
      return [`The service expects another region: check ${option}-region.`];
    case "InvalidToken":
    case "ExpiredToken":
      return [`The session token has expired: renew ${option}-key, ${option}-key-secret and ${option}-token together.`];
    default:
      return [
        `The key of ${option}-key must be allowed to list, read, write and delete in bucket '${facts.bucket}' below the repository's path.`,
      ];
  }
}

function clockHint(answer: ErrorAnswer): string {
  return `This host's clock and the service's${answer.date === undefined ? "" : ` (${answer.date})`} are too far apart. Check NTP on this host.`;
}

function tlsHint(code: string, repoIndex: number): string {
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_REVOKED") return "Renew the certificate of the service.";
  if (code === "CERT_NOT_YET_VALID") return "Check the clock of this host and the certificate of the service.";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `Check repo${repoIndex}-s3-endpoint, repo${repoIndex}-storage-host and repo${repoIndex}-s3-uri-style against the names.`;
  if (TLS_FACTS[code] !== undefined)
    return `Put the certificate of the private authority into the file of repo${repoIndex}-storage-ca-file.`;
  return "Check that host and port speak TLS 1.2 or newer.";
}

function parseOrNull(body: string): XmlElement | null {
  try {
    return parseXml(body);
  } catch {
    return null;
  }
}

/** The code of an error, or of its first cause with a code. */
function codeOf(error: unknown): string {
  let current: unknown = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth++) {
    if ("code" in current && typeof current.code === "string") return current.code;
    current = current.cause;
  }
  return "";
}

function messageOf(error: unknown): string {
  // Several addresses of one name: the aggregate has no message.
  const source = error instanceof AggregateError && error.message === "" ? error.errors[0] : error;
  const text = source instanceof Error ? source.message : String(source);
  return text.replace(/\s+/g, " ").trim() || "no reason given";
}
