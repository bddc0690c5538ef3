/** Single requests that several parts of the driver share, and their common sizes. Paths are absolute on the server. */
import type { Stats } from "ssh2";
import { fail } from "../../base/errors";
import { isStatus, STATUS } from "./failure";
import type { SftpSession } from "./session";

/**
 * Bytes of one read or write. OpenSSH accepts up to 255 KiB, before version 8.5 a little less. For other servers the
 * library splits it into smaller, sequential parts, so that only the pieces overlap.
 */
export const PIECE_SIZE_BYTES = 240 * 1024;
/** About 2 MiB, the most that an SSH channel has in flight. */
export const PIECES_IN_FLIGHT = 8;

const DIRECTORY_MODE = 0o750;
/** Directories of a repository's path and below it. */
const DEPTH_MAX = 128;

export function parentOf(full: string): string {
  return full.slice(0, Math.max(1, full.lastIndexOf("/")));
}

/** True if the server sent type, size and time: it may omit them. */
export function isComplete(stats: Partial<Stats>): stats is Stats {
  return stats.mode !== undefined && stats.size !== undefined && stats.mtime !== undefined;
}

/** For an open file. @throws StatusError; service if the server sends no size, because then the end is unknown */
export async function statHandle(session: SftpSession, handle: Buffer): Promise<Stats> {
  return requireComplete(await session.request<Stats>((sftp, answer) => sftp.fstat(handle, answer)));
}

function requireComplete(stats: Stats): Stats {
  if (isComplete(stats)) return stats;
  throw fail("service", "the SFTP server does not report types, sizes and times of files");
}

/**
 * A file, a directory or a link itself; null if the server reports that it is missing.
 * @throws StatusError; service as {@link statHandle}
 */
export async function statOf(session: SftpSession, full: string): Promise<Stats | null> {
  try {
    return requireComplete(await session.request<Stats>((sftp, answer) => sftp.lstat(full, answer)));
  } catch (error) {
    if (isStatus(error, STATUS.noSuchFile)) return null;
    throw error;
  }
}

/** Creates a directory and its parents. @throws StatusError */
export async function makePath(session: SftpSession, full: string): Promise<void> {
  const missing: string[] = [];
  let current = full;
  // Upwards to the first that exists or can be created, then down again.
  while (!(await makeDirectory(session, current))) {
    missing.push(current);
    current = parentOf(current);
    if (missing.length > DEPTH_MAX) break;
  }
  for (const path of missing.reverse()) await makeDirectory(session, path);
}

/** False if its parent is missing; true if it exists now. */
async function makeDirectory(session: SftpSession, full: string): Promise<boolean> {
  try {
    await session.request<void>((sftp, answer) => sftp.mkdir(full, { mode: DIRECTORY_MODE }, (error) => answer(error)));
    return true;
  } catch (error) {
    if (isStatus(error, STATUS.noSuchFile) && full !== "/") return false;
    // Follows links: a repository may lie behind one.
    const stats = await session.request<Stats>((sftp, answer) => sftp.stat(full, answer)).catch(() => null);
    if (stats?.isDirectory() === true) return true;
    throw error;
  }
}

/** Ignores the answer. */
export function closeHandle(session: SftpSession, handle: Buffer): void {
  session.post((sftp, answer) => sftp.close(handle, (error) => answer(error, undefined)));
}

/** Up to `sizeBytes` bytes from an offset of an open file; one request, which may return fewer. @throws StatusError */
export function readPiece(session: SftpSession, handle: Buffer, offset: number, sizeBytes: number): Promise<Buffer> {
  // Not from Node's pool and not reused: consumers keep chunks.
  const buffer = Buffer.allocUnsafeSlow(sizeBytes);
  return session.request<Buffer>((sftp, answer) =>
    sftp.read(handle, buffer, 0, sizeBytes, offset, (error, readBytes) =>
      answer(error, buffer.subarray(0, error === undefined ? readBytes : 0)),
    ),
  );
}

/** Like {@link readPiece}, repeated until all is read or the file ends. @throws StatusError */
export async function readWholePiece(
  session: SftpSession,
  handle: Buffer,
  offset: number,
  sizeBytes: number,
): Promise<Buffer> {
  const first = await readPiece(session, handle, offset, sizeBytes);
  if (first.length === sizeBytes || first.length === 0) return first;
  const parts = [first];
  let readBytes = first.length;
  const pace = session.pace();
  while (readBytes < sizeBytes) {
    const more = await readPiece(session, handle, offset + readBytes, sizeBytes - readBytes);
    if (more.length === 0) break;
    pace.arrived(more.length);
    parts.push(more);
    readBytes += more.length;
  }
  return Buffer.concat(parts);
}

/** Reports a full file system, if the server supports the check (statvfs@openssh.com). */
export async function spaceHint(session: SftpSession, full: string): Promise<string | null> {
  const reply: unknown = await session
    .request<unknown>((sftp, answer) => sftp.ext_openssh_statvfs(full, answer))
    .catch(() => null);
  if (typeof reply !== "object" || reply === null) return null;
  if ("f_bavail" in reply && reply.f_bavail === 0)
    return `the file system of '${full}' on the server is full: free or add space.`;
  if ("f_files" in reply && reply.f_files !== 0 && "f_favail" in reply && reply.f_favail === 0)
    return `the file system of '${full}' on the server has no space for more files.`;
  return null;
}
