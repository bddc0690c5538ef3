/**
 * Turns errors of Google Cloud Storage into errors of the runtime with hints ("HTTP status and error codes for JSON").
 *
 * fileMissing only for the service's own words about a missing object; tokens and rights `access`; the rest `service`.
 * Retryable are 408, 409, 429, 5xx and damaged bodies. One object can be written once a second: more is a 429.
 */
import { type BackupError, type ErrorDetails, fail } from "../../base/errors";
import type { Refusal } from "../objectStore/storeHttp";
import type { RequestFacts } from "../objectStore/transportFailure";

export interface GcsFacts extends RequestFacts {
  readonly bucket: string;
  readonly keyType: "service" | "token" | "auto";
}

interface Explanation {
  /** The service's own name of its refusal; empty for a text without one. */
  readonly reason: string;
  readonly message: string;
}

const MESSAGE_LENGTH_MAX = 300;
const NOT_FOUND = 404;
const RETRYABLE_REASONS = new Set(["rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"]);
/** A policy of the bucket, a lock or a hold of the object. */
const KEPT_REASONS = new Set(["retentionPolicyNotMet", "objectUnderActiveHold", "objectUnderRetention"]);

/** Null for a body that is not the service's. */
export function explanationOf(text: string): Explanation | null {
  try {
    const { error } = JSON.parse(text) as { readonly error?: { readonly [name: string]: unknown } };
    const [first] = Array.isArray(error?.["errors"])
      ? (error["errors"] as readonly { readonly reason?: unknown }[])
      : [];
    if (typeof error?.["message"] !== "string") return null;
    return { reason: typeof first?.reason === "string" ? first.reason : "", message: error["message"] };
  } catch {
    // Reads of content are refused by a line of text.
    const isLine = text !== "" && text.length <= MESSAGE_LENGTH_MAX && !/[<>{]/.test(text);
    return isLine ? { reason: "", message: text } : null;
  }
}

/** `hasOtherToken`: another try has another token. */
export function gcsError(
  refusal: Pick<Refusal, "status" | "text">,
  facts: GcsFacts,
  hasOtherToken = false,
): BackupError {
  const { status } = refusal;
  const { bucket, doing, path, repoIndex } = facts;
  const explained = explanationOf(refusal.text);
  const details: ErrorDetails = { repoIndex, path };
  const { reason, message } = explained ?? { reason: "", message: "" };
  const shown = shownMessage(refusal.text, explained);
  const text = `unable to ${doing}: [${status}]${reason === "" ? "" : ` ${reason}`}${shown === "" ? "" : `: ${shown}`}`;
  // Inside of a 200 it would mean "removed", or "not there".
  if (status === NOT_FOUND && message.startsWith(`No such object: ${bucket}/`))
    return fail("fileMissing", `unable to ${doing}: the object does not exist`, details);
  if (status === NOT_FOUND) {
    const hint = `Check repo${repoIndex}-gcs-bucket and repo${repoIndex}-gcs-endpoint, or create the bucket.`;
    return fail("pathMissing", text, { ...details, hint });
  }
  if (RETRYABLE_REASONS.has(reason) || /\bMD5 hash\b/i.test(message))
    return fail("service", text, { ...details, retryable: true });
  if (KEPT_REASONS.has(reason)) {
    const hint =
      "A retention policy or a hold forbids to overwrite and delete. Repositories overwrite their info files: use object versions, or soft delete.";
    return fail("service", text, { ...details, hint });
  }
  if (status === 401 || status === 403)
    return fail("access", text, { ...details, hint: accessHint(reason, facts), retryable: hasOtherToken });
  if (/requester pays/i.test(message))
    return fail("service", text, { ...details, hint: `Set repo${repoIndex}-gcs-user-project.` });
  if (status === 408 || status === 409 || status === 429 || (status >= 500 && status !== 501))
    return fail("service", text, { ...details, retryable: true });
  if (status >= 300 && status < 400)
    return fail("service", text, { ...details, hint: `Check repo${repoIndex}-gcs-endpoint.` });
  return fail("service", text, details);
}

function shownMessage(text: string, explained: Explanation | null): string {
  if (text === "") return "";
  if (explained === null) return "the answer is not one of Google Cloud Storage";
  const line = explained.message.replace(/\s+/g, " ").trim();
  return line.length > MESSAGE_LENGTH_MAX ? `${line.slice(0, MESSAGE_LENGTH_MAX)}…` : line;
}

function accessHint(reason: string, { bucket, keyType, repoIndex }: GcsFacts): string {
  const option = `repo${repoIndex}-gcs-key`;
  const rights = `list, read, write and delete objects of bucket '${bucket}' (roles/storage.objectUser)`;
  if (keyType === "token")
    return `The token of ${option} may have ended: it lives an hour. It must allow to ${rights}.`;
  const scope = "insufficientPermissions";
  if (keyType === "service") return `The service account of ${option} must be allowed to ${rights}.`;
  return reason === scope
    ? "The access scopes of this machine exclude storage: give it the scope cloud-platform or devstorage.read_write."
    : `The service account of this machine must be allowed to ${rights}.`;
}
