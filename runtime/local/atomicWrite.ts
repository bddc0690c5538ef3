/**
 * Writes files that are complete and durable when they appear: temporary name in the same directory, fsync, rename,
 * fsync of the directory (pgBackRest 2.60 "storage/posix/write"). Missing directories get mode 0750 and files 0640,
 * both less the umask; the program clears its umask at start (`neutral-umask`), so the modes are exact then. A mode
 * given by the caller is exact under any umask.
 *
 * Repositories have several writers, so each uses its own temporary names there. Files of this machine keep stock's
 * single temporary name, which the next writer takes over from a killed one; of two concurrent writers the first finds
 * that its file lost the name, and fails.
 *
 * Every write makes a new file. An existing one loses its name but is never written into, because it may have other
 * names (hard links). A device, a pipe or a socket of that name is refused: a rename or removal would destroy
 * `/dev/null`.
 */
import {
  closeSync,
  constants,
  type FileHandle,
  fsyncSync,
  link,
  lstat,
  mkdir,
  open,
  openSync,
  readFile,
  rename,
  rm,
  stat,
  unlink,
  writeFile,
} from "./nodeFiles";
import { dirname } from "node:path";
import { type ByteStream, utf8 } from "../base/bytes";
import { fail, isError } from "../base/errors";
import type { Random } from "../base/random";
import { TEMP_SUFFIX, temporaryName } from "../base/temporaryName";
import { isMissing, systemCodeOf, systemError } from "./systemError";

export const FILE_MODE = 0o640;
export const DIRECTORY_MODE = 0o750;
/** To read a file, without waiting for the other end of a pipe in its place. */
export const OPEN_READ = constants.O_RDONLY | constants.O_NONBLOCK;
/**
 * Errors of a file system without hard links, or without more of them for this file. ENOSYS is what libfuse answers for
 * a program that does not make any.
 */
export const NO_MORE_NAMES: ReadonlySet<string> = new Set([
  "EMLINK",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
  "EPERM",
  "EXDEV",
]);

export interface WriteOptions {
  /** Exact mode of the file; absent is 0640 less the umask. */
  readonly mode?: number;
  /** False if directories cannot be synced (SMB mounts). */
  readonly syncDirectories?: boolean;
  /** Checked between two chunks of a stream. */
  readonly signal?: AbortSignal;
  /** Syncs a stream each time this many bytes were written, so that no sync takes long. */
  readonly syncEveryBytes?: number;
  /** Gives this writer its own temporary names; absent: stock's, which all writers of the file share. */
  readonly random?: Random;
}

/**
 * Replaces a report of one writer, and creates its directory. Not synced: after a crash of the machine an old one is as
 * good. @throws the file system's errors
 */
export async function replaceReport(path: string, report: object): Promise<void> {
  await makeDirectories(dirname(path), false);
  // Whatever stands there: a write would follow a link.
  await rm(`${path}.tmp`, { force: true });
  await writeFile(`${path}.tmp`, `${JSON.stringify(report)}\n`, { mode: FILE_MODE, flag: "wx" });
  await rename(`${path}.tmp`, path);
}

/** The fields of such a report; none if it is missing or unreadable. */
export async function loadReport(path: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readFile(path, "utf8").catch(() => "");
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

interface WriteTarget {
  /** The file's name, for errors. */
  readonly path: string;
  /** The path to write to. */
  readonly written: string;
  /** True when another writer may take the temporary name. */
  readonly isShared: boolean;
}

/**
 * Replaces `path` in one durable step, and creates missing directories. On an error the old content stays and no
 * temporary file is left.
 */
export async function atomicWrite(
  path: string,
  content: Uint8Array | ByteStream,
  options: WriteOptions = {},
): Promise<void> {
  const { random } = options;
  const temporary = random === undefined ? `${path}${TEMP_SUFFIX}` : temporaryName(path, random);
  await requireReplaceable(path);
  await writeContent({ path, written: temporary, isShared: random === undefined }, content, options);
  try {
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw systemError("fileMove", `move '${temporary}' to '${path}'`, path, error);
  }
  if (options.syncDirectories ?? true) await syncDirectory(dirname(path));
}

/** Replaces the text of a file atomically; the new one has the mode of `like`, by default of the old one. */
export async function rewrite(path: string, text: string, like = path): Promise<void> {
  const { mode } = await stat(like);
  await atomicWrite(path, utf8(text), { mode: mode & 0o777 });
}

/**
 * Creates `path` in one durable step, with missing directories; false if the name exists, which stays unchanged. Of any
 * number of processes one gets true. On a file system without hard links the file is visible during the write.
 */
export async function atomicCreate(
  path: string,
  bytes: Uint8Array,
  options: WriteOptions & { readonly random: Random },
): Promise<boolean> {
  const temporary = temporaryName(path, options.random);
  await writeContent({ path, written: temporary, isShared: false }, bytes, options);
  try {
    await link(temporary, path);
  } catch (error) {
    const code = systemCodeOf(error) ?? "";
    if (code === "EEXIST") return false;
    if (!NO_MORE_NAMES.has(code)) throw systemError("fileMove", `link '${path}' to '${temporary}'`, path, error);
    if (!(await createDirectly(path, bytes, options))) return false;
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  if (options.syncDirectories ?? true) await syncDirectory(dirname(path));
  return true;
}

async function createDirectly(path: string, bytes: Uint8Array, options: WriteOptions): Promise<boolean> {
  let handle: FileHandle;
  try {
    handle = await open(path, "wx", options.mode ?? FILE_MODE);
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw systemError("fileOpen", `open file '${path}' for write`, path, error);
  }
  try {
    await writeAll(handle, bytes, path);
    await syncFile(handle, path);
    requireSize(path, (await handle.stat()).size, bytes.length);
    return true;
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Writes `path` directly. The content is synced, the name is not: {@link syncDirectory} does that. On an error the file
 * is removed again.
 */
export async function writeDirectly(
  path: string,
  content: Uint8Array | ByteStream,
  options: WriteOptions = {},
): Promise<void> {
  await writeContent({ path, written: path, isShared: false }, content, options);
}

/**
 * Another writer may have taken the shared temporary name: the file there is not ours, and may never be completed.
 * @throws fileMove (74), retryable
 */
async function requireOwn(handle: FileHandle, written: string): Promise<void> {
  const own = await handle.stat({ bigint: true });
  const there = await lstat(written, { bigint: true }).catch(() => null);
  if (there?.ino === own.ino && there.dev === own.dev) return;
  throw fail("fileMove", `'${written}' is not the file that was written: does another process write the same file?`, {
    path: written,
    retryable: true,
  });
}

/** Makes a directory and its parents; each new name is durable on return. */
export async function makeDirectories(path: string, syncDirectories = true): Promise<void> {
  let first: string | undefined;
  try {
    first = await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  } catch (error) {
    throw systemError("pathCreate", `create path '${path}'`, path, error);
  }
  if (first === undefined || !syncDirectories) return;
  const top = dirname(first);
  for (let current = path; current !== top && current !== dirname(current); current = dirname(current))
    await syncDirectory(dirname(current));
}

/** {@link syncDirectory} for code that nothing may interrupt. Its errors are the system's. */
export function syncDirectorySync(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Makes the names in a directory durable, or the content of a file. */
export async function syncDirectory(path: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(path, OPEN_READ);
  } catch (error) {
    throw systemError("pathOpen", `open path '${path}' for sync`, path, error);
  }
  try {
    await handle.sync();
  } catch (error) {
    throw systemError("pathSync", `sync path '${path}'`, path, error);
  } finally {
    await handle.close();
  }
}

async function writeContent(
  target: WriteTarget,
  content: Uint8Array | ByteStream,
  options: WriteOptions,
): Promise<void> {
  const { path, written } = target;
  const mode = options.mode ?? FILE_MODE;
  const handle = await createNew(written, () => open(written, "wx", mode), options.syncDirectories, path);
  try {
    if (options.mode !== undefined) await handle.chmod(options.mode);
    let sizeBytes = content instanceof Uint8Array ? content.length : 0;
    if (content instanceof Uint8Array) await writeAll(handle, content, path);
    else {
      let unsyncedBytes = 0;
      for await (const chunk of content) {
        if (options.signal?.aborted === true) throw fail("term", `terminated while writing '${path}'`, { path });
        await writeAll(handle, chunk, path);
        sizeBytes += chunk.length;
        unsyncedBytes += chunk.length;
        if (unsyncedBytes < (options.syncEveryBytes ?? Number.POSITIVE_INFINITY)) continue;
        await syncFile(handle, path);
        unsyncedBytes = 0;
      }
    }
    await syncFile(handle, path);
    requireSize(path, (await handle.stat()).size, sizeBytes);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await unlink(written).catch(() => undefined);
    throw error;
  }
  try {
    if (target.isShared) await requireOwn(handle, written);
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
  try {
    await handle.close();
  } catch (error) {
    await unlink(written).catch(() => undefined);
    throw systemError("fileClose", `close file '${path}' after write`, path, error);
  }
}

const OPEN_ATTEMPTS = 3;

/**
 * Calls `openNew`, which fails on an existing name. Creates missing directories first and removes what blocks the name.
 * Errors show the last parameter as the file's name.
 */
export async function createNew<T>(
  path: string,
  openNew: () => T | Promise<T>,
  syncDirectories?: boolean,
  shownPath = path,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await openNew();
    } catch (error) {
      const code = attempt < OPEN_ATTEMPTS ? systemCodeOf(error) : undefined;
      if (code === "ENOENT") await makeDirectories(dirname(path), syncDirectories);
      else if (code === "EEXIST") await takeAway(path);
      else throw systemError("fileOpen", `open file '${shownPath}' for write`, shownPath, error);
    }
  }
}

async function takeAway(path: string): Promise<void> {
  await requireReplaceable(path);
  try {
    await unlink(path);
  } catch (error) {
    // EISDIR, as open would report it.
    if (!isMissing(error)) throw systemError("fileOpen", `open file '${path}' for write`, path, error);
  }
}

/** @throws fileOpen when `path` is, or leads to, neither a file nor a directory */
async function requireReplaceable(path: string): Promise<void> {
  if (!(await isSpecialFile(path))) return;
  throw fail("fileOpen", `unable to replace '${path}', which is a device, a pipe or a socket and not a file`, { path });
}

/**
 * True for devices, pipes and sockets, also behind a link; false for an unreadable one, which opening it reports
 * better.
 */
export async function isSpecialFile(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  return info !== null && !info.isFile() && !info.isDirectory();
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, path: string): Promise<void> {
  let writtenBytes = 0;
  try {
    while (writtenBytes < bytes.length) {
      const step = await handle.write(bytes, writtenBytes, bytes.length - writtenBytes, null);
      if (step.bytesWritten === 0)
        throw fail("fileWrite", `unable to write '${path}': the file system accepts no bytes`, { path });
      writtenBytes += step.bytesWritten;
    }
  } catch (error) {
    if (isError(error)) throw error;
    throw systemError("fileWrite", `write '${path}'`, path, error);
  }
}

async function syncFile(handle: FileHandle, path: string): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    throw systemError("fileSync", `sync file '${path}'`, path, error);
  }
}

/**
 * A file system that lost bytes without an error, or another program that cut the file.
 * @throws fileWrite (64), retryable
 */
export function requireSize(path: string, sizeBytes: number, writtenBytes: number): void {
  if (sizeBytes === writtenBytes) return;
  const text = `'${path}' has ${sizeBytes} bytes after its sync where ${writtenBytes} were written`;
  throw fail("fileWrite", text, { path, retryable: true });
}
