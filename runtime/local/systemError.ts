/**
 * System errors as errors of the runtime, in stock's words:
 * `unable to open file '/x' for read: [13] Permission denied`.
 *
 * A permission error names the refusing entry, its mode and owners, and this process' user; a full disk is reported as
 * such. Used by everything that touches this machine's files (pgBackRest 2.60 "storage/posix" for the first words and
 * the kinds).
 */
import { lstatSync, readdir, readFile, type Stats } from "./nodeFiles";
import { dirname } from "node:path";
import { getSystemErrorMap } from "node:util";
import { type BackupError, type ErrorKind, fail } from "../base/errors";

/** `ENOENT`, `EACCES` and so on of a thrown system error; undefined for anything else. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  return error.code;
}

/** True when `error` says that the entry or a directory above it does not exist; in `/proc`, that the process ended. */
export function isMissing(error: unknown): boolean {
  const code = systemCodeOf(error);
  return code === "ENOENT" || code === "ENOTDIR" || code === "ESRCH";
}

/** The result of `work`, or null if the entry is missing; other errors are thrown as `failure` makes them. */
export async function nullIfMissing<T>(
  work: Promise<T>,
  failure = (error: unknown): unknown => error,
): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error)) return null;
    throw failure(error);
  }
}

/** The file's content; null if it is missing. @throws fileOpen (41) */
export function bytesIfThere(path: string): Promise<Uint8Array | null> {
  return nullIfMissing(readFile(path), (error) => unreadable(path, error));
}

/** {@link bytesIfThere} as text. */
export function textIfThere(path: string): Promise<string | null> {
  return nullIfMissing(readFile(path, "utf8"), (error) => unreadable(path, error));
}

function unreadable(path: string, error: unknown): BackupError {
  return systemError("fileOpen", `open file '${path}' for read`, path, error);
}

/** The names in a directory; null if it is missing. @throws pathOpen (53) */
export function namesIfThere(path: string): Promise<string[] | null> {
  return nullIfMissing(readdir(path), (error) => systemError("pathOpen", `list path '${path}'`, path, error));
}

/** `unable to <doing>: [errno] text` with rights or hints if the code has them; `path` is the entry. */
export function systemError(kind: ErrorKind, doing: string, path: string, error: unknown): BackupError {
  if (!(error instanceof Error) || systemCodeOf(error) === undefined)
    return fail(kind, `unable to ${doing}: ${String(error)}`, { path, cause: error });
  const details = { path, cause: error };
  const text = `unable to ${doing}: ${errnoText(error)}`;
  switch (systemCodeOf(error)) {
    case "EACCES":
    case "EPERM":
      return fail(kind, `${text}: ${describeRights(path)}`, {
        ...details,
        hint: "Give the user of this process the right to do this, or run as the user who has it.",
      });
    case "ENOSPC":
      return fail(kind, text, {
        ...details,
        hint: `The file system of '${dirname(path)}' is full: free or add space.`,
      });
    case "EDQUOT":
      return fail(kind, text, {
        ...details,
        hint: `The disk quota on the file system of '${dirname(path)}' is used up.`,
      });
    case "EROFS":
      return fail(kind, text, { ...details, hint: `The file system of '${dirname(path)}' is mounted read-only.` });
    default:
      return fail(kind, text, details);
  }
}

/** `[13] Permission denied` */
export function errnoText(error: Error): string {
  const errno = "errno" in error && typeof error.errno === "number" ? error.errno : undefined;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno);
  if (errno === undefined || known === undefined) return error.message;
  const text = known[1];
  return `[${-errno}] ${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** Mode and owners of the nearest readable entry, and this process' effective user. */
function describeRights(path: string): string {
  // The kernel reports the reading process' effective user and group for this directory.
  const process = lookAt("/proc/self/");
  const self =
    process === null ? "this process is another user" : `this process is user ${process.uid}, group ${process.gid}`;
  let candidate = path;
  for (let depth = 0; depth < 256; depth++) {
    const entry = lookAt(candidate);
    if (entry !== null) {
      const mode = (entry.mode & 0o7777).toString(8).padStart(4, "0");
      return `'${candidate}' has mode ${mode}, user ${entry.uid}, group ${entry.gid}; ${self}`;
    }
    const parent = dirname(candidate);
    if (parent === candidate) break;
    candidate = parent;
  }
  return self;
}

/** Null when the entry is missing or hidden behind a directory that this process may not search. */
function lookAt(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch {
    return null;
  }
}
