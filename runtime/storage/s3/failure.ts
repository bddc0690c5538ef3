/**
 * Turns errors of an S3 service into errors of the runtime with hints.
 *
 * fileMissing only for the service's own NoSuchKey; credentials, rights and clock `access`; the rest `service`.
 * Retryable are 408, 429, 5xx, throttling and damaged bodies.
 */
import { type BackupError, type ErrorDetails, fail } from "../../base/errors";
import { errorFacts, findError } from "../objectStore/errorDocument";
import type { RequestFacts } from "../objectStore/transportFailure";

export interface FailureFacts extends RequestFacts {
  readonly bucket: string;
  readonly endpoint: string;
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
const NOT_FOUND = 404;

/** True if the service refuses the request because of its keys, which others may replace. */
export function isOfEndedKeys({ code }: ErrorAnswer): boolean {
  return ENDED_KEYS.includes(code);
}

/** The error for an answer with a status of 300 or more, or for an `<Error>` body under 200. */
export function answerError(answer: ErrorAnswer, facts: FailureFacts, hasOtherKeys = false): BackupError {
  const { status, code } = answer;
  const details: ErrorDetails = { repoIndex: facts.repoIndex, path: facts.path };
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
  const facts = { status, ...(date === undefined ? {} : { date }) };
  const error = findError(body);
  const message = body === "" ? "" : "the answer is not one of an S3 service";
  return { ...facts, ...(error === null ? { code: "", message } : errorFacts(error)) };
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
