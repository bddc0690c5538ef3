/**
 * Restores one file of a backup from the first source that yields its exact bytes.
 *
 * The SHA-1 is computed during the write. A source that breaks off, cannot be read or gives other bytes is replaced by
 * the next one (another repository that holds the same label). The next source starts over, or for block incrementals
 * with the blocks that are still wrong. At the end of the job the file is durable, with its mode and owner, and has
 * its time.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  futimesSync,
  openSync,
  readSync,
  type Stats,
  unlinkSync,
  writeFully,
} from "../../local/nodeFiles";
import { setImmediate } from "node:timers/promises";
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import type { BlockSource } from "../../format/repository/blockSource";
import { decryptBytes } from "../../format/codec/cipher";
import { decompressInto } from "../../format/codec/compress";
import { EarlyFlush } from "../../local/fileWriter";
import { systemCodeOf, systemError } from "../../local/systemError";
import type { Packing, Repository } from "../../repository/repository";
import type { ByteRange } from "../../storage/storage";
import { DAMAGED_COPY_HINT, readStored, unpackStored } from "../shared/readStored";
import { restoreBlocks } from "./restoreBlocks";

export interface RestoreSource extends Packing {
  readonly repoIndex: number;
  readonly path: string;
  /** The extent inside a bundle; null for a file of its own. */
  readonly range: ByteRange | null;
  /** Stored size, whether in a bundle or not. */
  readonly sizeRepoBytes: number;
  /** Absent for a file that is stored whole. */
  readonly block?: BlockSource;
}

export interface RestoreFileJob {
  readonly kind: "restoreFile";
  readonly name: string;
  readonly destination: string;
  readonly sizeBytes: number;
  readonly sha1: string;
  readonly mode: number;
  readonly modifiedAtS: number;
  /** Null does not change the owner. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  /** Keep a file that already has the right bytes. */
  readonly delta: boolean;
  readonly sources: readonly RestoreSource[];
}

export interface RestoreFileResult {
  /** Repository that gave the bytes; null for a kept or empty file. */
  readonly repoIndex: number | null;
  readonly kept: boolean;
  /** Errors of failed sources. */
  readonly warnings: readonly string[];
}

export async function restoreFile(
  job: RestoreFileJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<RestoreFileResult> {
  if (job.delta && (await keepsContent(job))) return { repoIndex: null, kept: true, warnings: [] };
  return writeFile(job, repo, ctx, null);
}

/**
 * {@link restoreFile} without regard to an existing file. `stored` is the first source's stored form of a small file,
 * if it was already read.
 */
export async function writeFile(
  job: RestoreFileJob,
  repo: (key: number) => Repository,
  ctx: Context,
  stored: Uint8Array | null,
): Promise<RestoreFileResult> {
  const { fd, info } = openDestination(job);
  try {
    const result =
      job.sizeBytes === 0
        ? { repoIndex: null, kept: false, warnings: [] }
        : stored === null
          ? await fill(fd, job, repo, ctx)
          : fillFrom(stored, fd, job);
    // Synchronous, because the kernel answers immediately: a trip through the thread pool costs more than the call.
    if ((info.mode & MODE_BITS) !== job.mode) fchmodSync(fd, job.mode);
    if (job.owner !== null && (info.uid !== job.owner.uid || info.gid !== job.owner.gid))
      fchownSync(fd, job.owner.uid, job.owner.gid);
    await flushed(fsync, fd, job);
    // Last: a file that has its time is durable, and a later run may keep it without another sync.
    futimesSync(fd, job.modifiedAtS, job.modifiedAtS);
    return result;
  } finally {
    closeSync(fd);
  }
}

const MODE_BITS = 0o7777;
/** Non-blocking: the path may be a pipe. Not through a link: a kept link's destination was resolved before. */
const WRITE_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/** Empty, unless blocks of the existing file may be reused. @throws fileOpen, before the existing file is changed */
function openDestination(job: RestoreFileJob): { readonly fd: number; readonly info: Stats } {
  const { destination } = job;
  let fd: number | undefined;
  try {
    fd = openSync(destination, WRITE_FLAGS, 0o600);
    let info = fstatSync(fd);
    // A file with another name (a hard link, as in a copy by cp -al) is replaced: the other one keeps its bytes.
    if (info.isFile() && info.nlink > 1) {
      closeSync(fd);
      fd = undefined;
      unlinkSync(destination);
      fd = openSync(destination, WRITE_FLAGS | constants.O_EXCL, 0o600);
      info = fstatSync(fd);
    }
    // The mode and owner of a device are not ours to set.
    if (!info.isFile()) throw new Error("it is not a regular file");
    if (info.size > 0 && !usesBlocks(job)) ftruncateSync(fd, 0);
    return { fd, info };
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    const code = systemCodeOf(error);
    const reason = `${code === undefined ? "" : `[${code}] `}${error instanceof Error ? error.message : String(error)}`;
    throw fail("fileOpen", `unable to open file '${destination}' for write: ${reason}`, {
      path: destination,
      cause: error,
    });
  }
}

function usesBlocks({ delta, sources }: RestoreFileJob): boolean {
  return delta && sources.some((source) => source.block !== undefined);
}

/** In the thread pool: the disk takes time, and other jobs of this thread continue. */
async function flushed(sync: typeof fsync, fd: number, { destination }: RestoreFileJob): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    sync(fd, (error) =>
      error === null ? resolve() : reject(systemError("fileSync", `sync file '${destination}'`, destination, error)),
    );
  });
}

async function fill(
  fd: number,
  job: RestoreFileJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<RestoreFileResult> {
  const warnings: string[] = [];
  let last: BackupError | undefined;
  for (const source of job.sources) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    try {
      if (source.block !== undefined) {
        await copyBlocks(fd, job, { ...source, block: source.block }, repo(source.repoIndex), ctx);
      } else {
        if (warnings.length > 0 || usesBlocks(job)) ftruncateSync(fd, 0);
        await copySource(fd, job, source, repo(source.repoIndex));
      }
      return { repoIndex: source.repoIndex, kept: false, warnings };
    } catch (error) {
      last = asDamage(toBackupError(error), job, source);
      warnings.push(`repo${source.repoIndex}: [${last.name}] ${last.message}`);
    }
  }
  throw last ?? fail("fileMissing", `no repository holds '${job.name}'`);
}

/** Checks the content before it writes. */
function fillFrom(stored: Uint8Array, fd: number, job: RestoreFileJob): RestoreFileResult {
  const source = job.sources[0] as RestoreSource;
  try {
    const packed = source.cipherPass === null ? stored : decryptBytes(stored, source.cipherPass, source.raw);
    const content = decompressInto(
      packed,
      source.compressType,
      takeBuffer().subarray(0, job.sizeBytes + 1),
      source.raw,
    );
    requireContent(job, source, content.length, sha1Hex(content));
    writeContent(fd, content, 0, job);
    return { repoIndex: source.repoIndex, kept: false, warnings: [] };
  } catch (error) {
    throw asDamage(toBackupError(error), job, source);
  }
}

/** Each piece is hashed and written while it is in the processor's cache. */
async function copySource(fd: number, job: RestoreFileJob, source: RestoreSource, repo: Repository): Promise<void> {
  const hash = createHash("sha1");
  const flush = new EarlyFlush(() => flushed(fdatasync, fd, job));
  let offsetBytes = 0;
  try {
    for await (const chunk of openSource(source, repo)) {
      if (offsetBytes + chunk.length > job.sizeBytes) break;
      hash.update(chunk);
      writeContent(fd, chunk, offsetBytes, job);
      offsetBytes += chunk.length;
      flush.written(chunk.length);
    }
  } finally {
    await flush.end();
  }
  requireContent(job, source, offsetBytes, hash.digest("hex"));
}

/**
 * Keeps the blocks that the file already has, unless the complete file then proves wrong: block checksums are short.
 */
async function copyBlocks(
  fd: number,
  job: RestoreFileJob,
  source: RestoreSource & { block: BlockSource },
  repo: Repository,
  ctx: Context,
): Promise<void> {
  const restoreOver = async (): Promise<{ readonly writtenBytes: number; readonly sha1: string }> => {
    const flush = new EarlyFlush(() => flushed(fdatasync, fd, job));
    const write = (bytes: Uint8Array, offsetBytes: number): void => {
      if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
      writeContent(fd, bytes, offsetBytes, job);
      flush.written(bytes.length);
    };
    try {
      const { writtenBytes, sha1 } = await restoreBlocks({ fd, sizeBytes: job.sizeBytes, write }, source.block, repo);
      return { writtenBytes, sha1: sha1 ?? (await sha1Of(fd, job.sizeBytes)) };
    } finally {
      await flush.end();
    }
  };
  let { writtenBytes, sha1 } = await restoreOver();
  if (sha1 !== job.sha1 && writtenBytes < job.sizeBytes) {
    ftruncateSync(fd, 0);
    ({ sha1 } = await restoreOver());
  }
  requireContent(job, source, fstatSync(fd).size, sha1);
}

/** True when the whole source failed: not one file in it, and not this machine's files. */
export function isFaultOfSource(error: BackupError, { destination }: Pick<RestoreFileJob, "destination">): boolean {
  return (
    error.path !== destination &&
    !isError(error, "checksum", "crypto", "format", "fileMissing", "featureNotSupported", "assert", "term")
  );
}

/**
 * Bytes that do not decrypt or decompress are a damaged copy, like those with a wrong checksum, whatever the codec's
 * error.
 */
function asDamage(error: BackupError, job: RestoreFileJob, source: RestoreSource): BackupError {
  if (!isError(error, "format", "crypto")) return error;
  return fail("checksum", `error restoring '${job.destination}': ${error.message}`, {
    hint: DAMAGED_COPY_HINT,
    repoIndex: source.repoIndex,
    path: source.path,
    cause: error,
  });
}

/** @throws checksum (26) */
function requireContent(job: RestoreFileJob, source: RestoreSource, sizeBytes: number, actual: string): void {
  if (sizeBytes !== job.sizeBytes || actual !== job.sha1) {
    throw fail(
      "checksum",
      `error restoring '${job.destination}': actual checksum '${actual}' (${sizeBytes} bytes) does not match expected checksum '${job.sha1}' (${job.sizeBytes} bytes)`,
      {
        hint: DAMAGED_COPY_HINT,
        repoIndex: source.repoIndex,
        path: source.path,
      },
    );
  }
}

function openSource(source: RestoreSource, repo: Repository): ByteStream {
  const range = source.range ?? { offsetBytes: 0, sizeBytes: source.sizeRepoBytes };
  return unpackStored(readStored(repo.storage, source.path, range), source);
}

/** @throws fileWrite */
function writeContent(fd: number, chunk: Uint8Array, offsetBytes: number, job: RestoreFileJob): void {
  try {
    writeFully(fd, chunk, offsetBytes, job.destination);
  } catch (error) {
    if (isError(error)) throw error;
    const code = systemCodeOf(error);
    throw fail("fileWrite", `unable to write '${job.destination}': [${code}] ${toBackupError(error).message}`, {
      hint: code === "ENOSPC" ? "the file system of the restore target is full." : [],
      path: job.destination,
      cause: error,
    });
  }
}

/** True when the file has the right bytes; this also corrects its mode, owner and time. */
export async function keepsContent(job: RestoreFileJob): Promise<boolean> {
  const { destination, mode, modifiedAtS, owner, sha1, sizeBytes } = job;
  let fd: number;
  try {
    fd = openSync(destination, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    return false;
  }
  try {
    const info = fstatSync(fd);
    // A server would write into a file with another name: it gets one of its own.
    if (!info.isFile() || info.nlink > 1 || info.size !== sizeBytes || (await sha1Of(fd, sizeBytes)) !== sha1)
      return false;
    if ((info.mode & MODE_BITS) !== mode) fchmodSync(fd, mode);
    if (owner !== null && (info.uid !== owner.uid || info.gid !== owner.gid)) fchownSync(fd, owner.uid, owner.gid);
    if (info.mtimeMs !== modifiedAtS * 1000) {
      // A restore that was killed may have written it a moment ago.
      await flushed(fsync, fd, job);
      futimesSync(fd, modifiedAtS, modifiedAtS);
    }
    return true;
  } finally {
    closeSync(fd);
  }
}

const READ_SIZE_BYTES = 256 * 1024;
/** Bytes between two turns for other jobs of this thread and for the pool. */
const TURN_SIZE_BYTES = 8 * 1024 * 1024;
/** One per thread: its content is hashed before other jobs get a turn. */
let sharedBuffer: Buffer | undefined;

function takeBuffer(): Buffer {
  sharedBuffer ??= Buffer.allocUnsafeSlow(READ_SIZE_BYTES);
  return sharedBuffer;
}

/** @param sizeBytes approximate length of the file: a short one is hashed synchronously */
async function sha1Of(fd: number, sizeBytes: number): Promise<string> {
  const buffer = takeBuffer();
  const first = readSync(fd, buffer, 0, buffer.length, 0);
  if (first === sizeBytes && first < buffer.length) return sha1Hex(buffer.subarray(0, first));
  const hash = createHash("sha1").update(buffer.subarray(0, first));
  let offsetBytes = first;
  for (let readBytes = first; readBytes > 0; offsetBytes += readBytes) {
    if (offsetBytes % TURN_SIZE_BYTES === 0) await setImmediate();
    readBytes = readSync(fd, buffer, 0, buffer.length, offsetBytes);
    hash.update(readBytes === buffer.length ? buffer : buffer.subarray(0, readBytes));
  }
  return hash.digest("hex");
}
