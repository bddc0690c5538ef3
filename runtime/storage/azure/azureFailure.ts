/**
 * Turns errors of Azure Blob Storage into errors of the runtime with hints.
 *
 * fileMissing only for the service's own BlobNotFound; keys, rights and clock `access`; the rest `service`. Retryable
 * are 408, 429, 5xx and damaged bodies ("Status and error codes", Azure Storage REST API).
 */
import { type BackupError, type ErrorDetails, fail } from "../../base/errors";
import { errorFacts, findError } from "../objectStore/errorDocument";
import { headerOf, type Refusal } from "../objectStore/storeHttp";
import type { RequestFacts } from "../objectStore/transportFailure";
import { findText } from "../objectStore/xml";

export interface AzureFacts extends RequestFacts {
  readonly container: string;
  readonly keyType: "shared" | "sas" | "auto";
}

/** Transient errors, whatever their status. */
const RETRYABLE_CODES = new Set([
  "ServerBusy",
  "InternalError",
  "OperationTimedOut",
  "Md5Mismatch",
  "Crc64Mismatch",
  "ContainerBeingDeleted",
]);
const CREDENTIAL_CODES = new Set([
  "AccountIsDisabled",
  "AuthenticationFailed",
  "InvalidAuthenticationInfo",
  "KeyBasedAuthenticationNotPermitted",
  "NoAuthenticationInformation",
]);
const NOT_FOUND = 404;

/** The service's own name of its refusal; empty if something else has answered. An answer to HEAD has no body. */
export function codeOfRefusal({ headers, text }: Pick<Refusal, "headers" | "text">): string {
  const error = findError(text);
  return (error === null ? headerOf({ headers }, "x-ms-error-code") : findText(error, "Code"))?.trim() ?? "";
}

/** `hasOtherToken`: another try has other credentials. */
export function azureError(refusal: Refusal, facts: AzureFacts, hasOtherToken = false): BackupError {
  const { status, text: body } = refusal;
  const { doing, path, repoIndex, container } = facts;
  const code = codeOfRefusal(refusal);
  const details: ErrorDetails = { repoIndex, path };
  const error = findError(body);
  const unknown = body === "" ? "" : "the answer is not one of Azure Blob Storage";
  // What follows is the request's id and time.
  const message = error === null ? unknown : errorFacts(error).message.replace(/ *RequestId:.*$/, "");
  const text = `unable to ${doing}: [${status}]${code === "" ? "" : ` ${code}`}${message === "" ? "" : `: ${message}`}`;
  if (RETRYABLE_CODES.has(code)) return fail("service", text, { ...details, retryable: true });
  // Inside of a 200 it would mean "removed", or "not there".
  if (status === NOT_FOUND && code === "BlobNotFound")
    return fail("fileMissing", `unable to ${doing}: the object does not exist`, details);
  if (status === NOT_FOUND && code === "ContainerNotFound") {
    const hint = `Check repo${repoIndex}-azure-container and repo${repoIndex}-azure-account, or create the container.`;
    return fail("pathMissing", `unable to ${doing}: container '${container}' does not exist`, { ...details, hint });
  }
  if (status === 401 || status === 403 || CREDENTIAL_CODES.has(code))
    return fail("access", text, { ...details, hint: accessHint(code, body, facts), retryable: hasOtherToken });
  if (code === "BlobImmutableDueToPolicy") {
    const hint =
      "A policy of the container forbids to overwrite and delete. Repositories overwrite their info files: use versions, or a version-level policy.";
    return fail("service", text, { ...details, hint });
  }
  if (status === 408 || status === 429 || (status >= 500 && status !== 501))
    return fail("service", text, { ...details, retryable: true });
  if (status >= 300 && status < 400)
    return fail("service", text, { ...details, hint: `Check repo${repoIndex}-azure-endpoint.` });
  return fail("service", text, details);
}

function accessHint(code: string, body: string, { container, keyType, repoIndex }: AzureFacts): string {
  const option = `repo${repoIndex}-azure`;
  // The details may repeat a signature: they are only read.
  if (/date header too old/i.test(body)) return "This host's clock and the service's are too far apart. Check NTP.";
  if (/specified time frame|signed (expiry|start) time/i.test(body))
    return `The shared access signature has expired or is not valid yet: renew ${option}-key.`;
  if (code === "KeyBasedAuthenticationNotPermitted")
    return `The account accepts no keys: allow them, or use ${option}-key-type=auto.`;
  const network = code === "AuthorizationFailure" ? " Otherwise the account's network rules exclude this host." : "";
  const rights = `list, read, write and delete in container '${container}'`;
  if (keyType === "auto") return `The machine's managed identity needs a role that may ${rights}.${network}`;
  if (keyType === "sas") return `The shared access signature of ${option}-key must allow to ${rights}.${network}`;
  return `Check ${option}-key and ${option}-account: the key must be one of the account's two.${network}`;
}
