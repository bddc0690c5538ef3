/**
 * Turns errors of an SFTP server or its connection into errors of the runtime with hints.
 *
 * Statuses are those of draft-ietf-secsh-filexfer-02 section 7. `fileMissing` comes only from the caller that requested
 * that very file. A denied right is `access`; a lost connection is `hostConnect` and retryable. The generic "failure"
 * hides most reasons: a full disk is checked if the server supports it (statvfs@openssh.com).
 */
import { type BackupError, type ErrorKind, fail, isError } from "../../base/errors";

export const STATUS = {
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  unsupported: 8,
  fileAlreadyExists: 11,
} as const;

/** A server's answer other than "ok"; never leaves this folder. */
export class StatusError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** True for an answer with one of these statuses. */
export function isStatus(error: unknown, ...statuses: readonly number[]): error is StatusError {
  return error instanceof StatusError && statuses.includes(error.status);
}

export interface SftpEndpoint {
  readonly repoIndex: number;
  /** `user@host:port` */
  readonly server: string;
}

/** The connection broke or could not be made; the same request may succeed on a new one. */
export function lost(endpoint: SftpEndpoint, reason: string, cause?: unknown): BackupError {
  return fail("hostConnect", `unable to reach '${endpoint.server}': ${reason}`, {
    repoIndex: endpoint.repoIndex,
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** True for errors of {@link lost}. */
export function isLost(error: unknown): error is BackupError {
  return isError(error, "hostConnect") && error.retryable;
}

/** Converts a request's error about `full` for the caller: statuses by kind, everything else unchanged. */
export function requestError(
  kind: ErrorKind,
  doing: string,
  at: SftpEndpoint & { readonly path: string },
  error: unknown,
): BackupError {
  if (isError(error)) return error;
  const details = { repoIndex: at.repoIndex, path: at.path, cause: error };
  if (!(error instanceof StatusError))
    return fail(kind, `unable to ${doing} on '${at.server}': ${String(error)}`, details);
  const text = `unable to ${doing} on '${at.server}': [${error.status}] ${error.message}`;
  if (error.status === STATUS.permissionDenied) {
    return fail("access", text, { ...details, hint: "Give the user of the SFTP server the right to do this." });
  }
  return fail(kind, text, details);
}
