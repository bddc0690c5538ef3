/**
 * Turns errors of the connection to an object store into errors of the runtime with hints: name resolution, connection
 * and TLS are `hostConnect`. Lost connections are retryable; TLS refusals never, because waiting does not repair a
 * certificate.
 */
import { type BackupError, type ErrorDetails, fail } from "../../base/errors";

/** The request, for messages and hints. */
export interface RequestFacts {
  readonly repoIndex: number;
  /** Prefix of the options' names. */
  readonly type: "azure" | "gcs" | "s3";
  /** `host:port` of the connection. */
  readonly connection: string;
  /** `put 's3://bucket/key'`: follows "unable to". */
  readonly doing: string;
  /** Path relative to the storage; absent for requests about the whole store. */
  readonly path?: string | undefined;
}

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
const SLOW_ANSWER = "SLOW_ANSWER";
const SILENCE_CODES = new Set([
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  SLOW_ANSWER,
]);

/** An answer below the least rate. */
export class SlowAnswer extends Error {
  readonly code = SLOW_ANSWER;
}

/** True if nothing arrived in time, or too little. */
export function isSilence(error: BackupError): boolean {
  return SILENCE_CODES.has(codeOf(error));
}

/** The HTTP client's exception as an error. */
export function transportError(error: unknown, facts: RequestFacts): BackupError {
  const code = codeOf(error);
  const details: ErrorDetails = { repoIndex: facts.repoIndex, path: facts.path, cause: error };
  const message = messageOf(error);
  const tlsFact = TLS_FACTS[code];
  if (tlsFact !== undefined || /^(ERR_SSL_|ERR_TLS_|CERT_|EPROTO$|ERR_OSSL_)/.test(code)) {
    const fact =
      code === "ERR_TLS_CERT_ALTNAME_INVALID" ? `${tlsFact}: ${message}` : (tlsFact ?? `TLS failed: ${message}`);
    return fail("hostConnect", `unable to connect to '${facts.connection}': ${fact}`, {
      ...details,
      hint: tlsHint(code, facts),
    });
  }
  if (CONNECT_CODES.has(code)) {
    const host = facts.type === "gcs" ? "" : ` (and repo${facts.repoIndex}-storage-host, -port if set)`;
    const hint = `Check repo${facts.repoIndex}-${facts.type}-endpoint${host}, and the network.`;
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

function tlsHint(code: string, { repoIndex, type }: RequestFacts): string {
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_REVOKED") return "Renew the certificate of the service.";
  if (code === "CERT_NOT_YET_VALID") return "Check the clock of this host and the certificate of the service.";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return type === "gcs"
      ? `Check repo${repoIndex}-gcs-endpoint against the names.`
      : `Check repo${repoIndex}-${type}-endpoint, repo${repoIndex}-storage-host and repo${repoIndex}-${type}-uri-style against the names.`;
  if (TLS_FACTS[code] !== undefined)
    return `Put the certificate of the private authority into the file of repo${repoIndex}-storage-ca-file.`;
  return "Check that host and port speak TLS 1.2 or newer.";
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
