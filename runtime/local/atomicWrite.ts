/**
 * Files that are complete and durable when they appear: written as `<name>.pgbackrest.tmp` in the same directory, fsync, rename, fsync of
 * the directory (pgBackRest 2.60 "storage/posix/write"). Missing directories are made 0750 and files 0640, both as the umask allows: the
 * program clears its umask at start (`neutral-umask`), so the modes are exact then. A mode that a caller names is exact whatever the umask.
 */
import { type FileHandle, mkdir, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { ByteStream } from "../base/bytes";
import { fail, isError } from "../base/errors";
import { systemCodeOf, systemError } from "./systemError";

/** What stock appends to a file's name while it is being written. */
export const TEMP_SUFFIX = ".pgbackrest.tmp";
export const FILE_MODE = 0o640;
export const DIRECTORY_MODE = 0o750;

export interface WriteOptions {
  /** Exact mode of the file; absent is 0640 less the umask. */
  readonly mode?: number;
  /** False where directories cannot be synced (SMB mounts). */
  readonly syncDirectories?: boolean;
  /** Looked at between two chunks of a stream. */
  readonly signal?: AbortSignal;
}

/** Replaces `path` in one durable step, making missing directories. On an error the old content stays and no temporary file is left. */
export async function atomicWrite(path: string, content: Uint8Array | ByteStream, options: WriteOptions = {}): Promise<void> {
  const temporary = `${path}${TEMP_SUFFIX}`;
  await writeContent(temporary, content, options);
  try {
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw systemError("fileMove", `move '${temporary}' to '${path}'`, path, error);
  }
  if (options.syncDirectories ?? true) await syncDirectory(dirname(path));
}

/** Writes `path` itself, content synced, its name not: {@link syncDirectory} makes that durable. On an error the file is removed again. */
export function writeInPlace(path: string, content: Uint8Array | ByteStream, options: WriteOptions = {}): Promise<void> {
  return writeContent(path, content, options);
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
  for (let current = path; current !== top && current !== dirname(current); current = dirname(current)) await syncDirectory(dirname(current));
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
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

async function writeContent(path: string, content: Uint8Array | ByteStream, options: WriteOptions): Promise<void> {
  const handle = await openForWrite(path, options);
  try {
    if (options.mode !== undefined) await handle.chmod(options.mode);
    if (content instanceof Uint8Array) await writeAll(handle, content, path);
    else {
      for await (const chunk of content) {
        if (options.signal?.aborted === true) throw fail("term", `terminated while writing '${path}'`, { path });
        await writeAll(handle, chunk, path);
      }
    }
    await syncFile(handle, path);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await unlink(path).catch(() => undefined);
    throw error;
  }
  try {
    await handle.close();
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw systemError("fileClose", `close file '${path}' after write`, path, error);
  }
}

async function openForWrite(path: string, options: WriteOptions): Promise<FileHandle> {
  const mode = options.mode ?? FILE_MODE;
  try {
    return await open(path, "w", mode);
  } catch (error) {
    if (systemCodeOf(error) !== "ENOENT") throw systemError("fileOpen", `open file '${path}' for write`, path, error);
  }
  await makeDirectories(dirname(path), options.syncDirectories);
  try {
    return await open(path, "w", mode);
  } catch (error) {
    throw systemError("fileOpen", `open file '${path}' for write`, path, error);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, path: string): Promise<void> {
  let writtenBytes = 0;
  try {
    while (writtenBytes < bytes.length) {
      const step = await handle.write(bytes, writtenBytes, bytes.length - writtenBytes, null);
      if (step.bytesWritten === 0) throw fail("fileWrite", `unable to write '${path}': the file system takes no bytes`, { path });
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
