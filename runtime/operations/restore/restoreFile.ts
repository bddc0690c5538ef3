/**
 * Brings one file of a backup back: from the first source that yields its exact bytes.
 *
 * The SHA-1 is computed while writing; a source that breaks off, cannot be read or gives other bytes is replaced by the next one (another
 * repository that holds the same label): from the start, or for block incrementals with the blocks that are not right yet. The file is
 * durable, with its mode, owner and time, when the job is done.
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
  writeSync,
} from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import type { BlockSource } from "../../format/repository/blockSource";
import { decryptBytes } from "../../format/codec/cipher";
import { decompressInto } from "../../format/codec/compress";
import { systemCodeOf, systemError } from "../../local/systemError";
import type { Packing, Repository } from "../../repository/repository";
import type { ByteRange } from "../../storage/storage";
import { readStored, unpackStored } from "../shared/readStored";
import { restoreBlocks } from "./restoreBlocks";

export interface RestoreSource extends Packing {
  readonly repoKey: number;
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
  /** Null leaves the owner as it comes. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  /** Keep a file that has the right bytes already. */
  readonly delta: boolean;
  readonly sources: readonly RestoreSource[];
}

export interface RestoreFileResult {
  /** Repository that gave the bytes; null when the file was kept or is empty. */
  readonly repoKey: number | null;
  readonly kept: boolean;
  /** What sources that failed said. */
  readonly warnings: readonly string[];
}

export async function restoreFile(job: RestoreFileJob, repo: (key: number) => Repository, ctx: Context): Promise<RestoreFileResult> {
  if (job.delta && (await keepsContent(job))) return { repoKey: null, kept: true, warnings: [] };
  return writeFile(job, repo, ctx, null);
}

/** {@link restoreFile} whatever is there. `stored` is what the first source holds of a small file, when that was read already. */
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
        ? { repoKey: null, kept: false, warnings: [] }
        : stored === null
          ? await fill(fd, job, repo, ctx)
          : fillFrom(stored, fd, job);
    // At once where the kernel answers at once: a trip through the thread pool costs more than the call itself.
    if ((info.mode & MODE_BITS) !== job.mode) fchmodSync(fd, job.mode);
    if (job.owner !== null && (info.uid !== job.owner.uid || info.gid !== job.owner.gid)) fchownSync(fd, job.owner.uid, job.owner.gid);
    futimesSync(fd, job.modifiedAtS, job.modifiedAtS);
    await flushed(fsync, fd, job);
    return result;
  } finally {
    closeSync(fd);
  }
}

const MODE_BITS = 0o7777;

/** Empty, unless blocks of what is there may be of use. @throws fileOpen, before anything of what is there was changed */
function openDestination(job: RestoreFileJob): { readonly fd: number; readonly info: Stats } {
  const { destination } = job;
  let fd: number | undefined;
  try {
    // Not blocking, as what lies there may be a pipe; not through a link: for one that is kept this is the place where it leads.
    fd = openSync(destination, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOFOLLOW, 0o600);
    const info = fstatSync(fd);
    // Neither mode nor owner of a device are ours to set.
    if (!info.isFile()) throw new Error("it is not a regular file");
    if (info.size > 0 && !usesBlocks(job)) ftruncateSync(fd, 0);
    return { fd, info };
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    const code = systemCodeOf(error);
    const reason = `${code === undefined ? "" : `[${code}] `}${error instanceof Error ? error.message : String(error)}`;
    throw fail("fileOpen", `unable to open file '${destination}' for write: ${reason}`, { path: destination, cause: error });
  }
}

function usesBlocks({ delta, sources }: RestoreFileJob): boolean {
  return delta && sources.some((source) => source.block !== undefined);
}

/** In the thread pool: the disk takes its time, and other jobs of this thread go on. */
async function flushed(sync: typeof fsync, fd: number, { destination }: RestoreFileJob): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    sync(fd, (error) => (error === null ? resolve() : reject(systemError("fileSync", `sync file '${destination}'`, destination, error))));
  });
}

async function fill(fd: number, job: RestoreFileJob, repo: (key: number) => Repository, ctx: Context): Promise<RestoreFileResult> {
  const warnings: string[] = [];
  let last: BackupError | undefined;
  for (const source of job.sources) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    try {
      if (source.block !== undefined) {
        await copyBlocks(fd, job, { ...source, block: source.block }, repo(source.repoKey), ctx);
      } else {
        if (warnings.length > 0 || usesBlocks(job)) ftruncateSync(fd, 0);
        await copySource(fd, job, source, repo(source.repoKey));
      }
      return { repoKey: source.repoKey, kept: false, warnings };
    } catch (error) {
      last = asDamage(toBackupError(error), job, source);
      warnings.push(`repo${source.repoKey}: [${last.name}] ${last.message}`);
    }
  }
  throw last ?? fail("fileMissing", `no repository holds '${job.name}'`);
}

/** Checked before it is written. */
function fillFrom(stored: Uint8Array, fd: number, job: RestoreFileJob): RestoreFileResult {
  const source = job.sources[0] as RestoreSource;
  try {
    const packed = source.cipherPass === null ? stored : decryptBytes(stored, source.cipherPass, source.raw);
    const content = decompressInto(packed, source.compressType, takeBuffer().subarray(0, job.sizeBytes + 1), source.raw);
    requireContent(job, source, content.length, sha1Hex(content));
    writeFully(fd, content, 0, job);
    return { repoKey: source.repoKey, kept: false, warnings: [] };
  } catch (error) {
    throw asDamage(toBackupError(error), job, source);
  }
}

/** Each piece is hashed and written while it is in the processor's cache. */
async function copySource(fd: number, job: RestoreFileJob, source: RestoreSource, repo: Repository): Promise<void> {
  const hash = createHash("sha1");
  const flush = new EarlyFlush(fd, job);
  let offsetBytes = 0;
  try {
    for await (const chunk of openSource(source, repo)) {
      if (offsetBytes + chunk.length > job.sizeBytes) break;
      hash.update(chunk);
      writeFully(fd, chunk, offsetBytes, job);
      offsetBytes += chunk.length;
      flush.written(chunk.length);
    }
  } finally {
    await flush.end();
  }
  requireContent(job, source, offsetBytes, hash.digest("hex"));
}

const FLUSH_SIZE_BYTES = 64 * 1024 * 1024;

/**
 * Has the disk take a large file while the next part of it is unpacked, so that little is left for the sync at its end. The kernel tells a
 * failed write only once per open file: an error here is the file's.
 */
class EarlyFlush {
  readonly #fd: number;
  readonly #job: RestoreFileJob;
  #waitingBytes = 0;
  #running: Promise<void> | null = null;
  #failure: unknown;

  constructor(fd: number, job: RestoreFileJob) {
    this.#fd = fd;
    this.#job = job;
  }

  written(sizeBytes: number): void {
    this.#waitingBytes += sizeBytes;
    if (this.#waitingBytes < FLUSH_SIZE_BYTES || this.#running !== null) return;
    this.#waitingBytes = 0;
    this.#running = flushed(fdatasync, this.#fd, this.#job)
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#running = null;
      });
  }

  /** Before this the file must not be closed. */
  async end(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** What the file has of its blocks already stays, unless the whole turns out wrong with it: checksums of blocks are short. */
async function copyBlocks(
  fd: number,
  job: RestoreFileJob,
  source: RestoreSource & { block: BlockSource },
  repo: Repository,
  ctx: Context,
): Promise<void> {
  const write = (bytes: Uint8Array, offsetBytes: number): void => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    writeFully(fd, bytes, offsetBytes, job);
  };
  const file = { fd, sizeBytes: job.sizeBytes, write };
  const writtenBytes = await restoreBlocks(file, source.block, repo);
  let sha1 = await sha1Of(fd, job.sizeBytes);
  if (sha1 !== job.sha1 && writtenBytes < job.sizeBytes) {
    ftruncateSync(fd, 0);
    await restoreBlocks(file, source.block, repo);
    sha1 = await sha1Of(fd, job.sizeBytes);
  }
  requireContent(job, source, fstatSync(fd).size, sha1);
}

/** True when the source failed as a whole, not a file in it, nor this machine's own files. */
export function isFaultOfSource(error: BackupError, { destination }: Pick<RestoreFileJob, "destination">): boolean {
  return error.path !== destination && !isError(error, "checksum", "crypto", "format", "fileMissing", "featureNotSupported", "assert", "term");
}

/** Bytes that no longer decrypt or decompress are a damaged copy like one with another checksum, whatever the codec calls it. */
function asDamage(error: BackupError, job: RestoreFileJob, source: RestoreSource): BackupError {
  if (!isError(error, "format", "crypto")) return error;
  return fail("checksum", `error restoring '${job.destination}': ${error.message}`, {
    hint: "the repository holds a damaged copy: run verify; another repository may hold a good one.",
    repoKey: source.repoKey,
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
        hint: "the repository holds a damaged copy: run verify; another repository may hold a good one.",
        repoKey: source.repoKey,
        path: source.path,
      },
    );
  }
}

function openSource(source: RestoreSource, repo: Repository): ByteStream {
  const range = source.range ?? { offsetBytes: 0, sizeBytes: source.sizeRepoBytes };
  return unpackStored(readStored(repo.storage, source.path, range), source);
}

/** Into the page cache, so at once; `sync` later waits for the disk. */
function writeFully(fd: number, chunk: Uint8Array, offsetBytes: number, job: RestoreFileJob): void {
  let written = 0;
  while (written < chunk.length) {
    try {
      written += writeSync(fd, chunk, written, chunk.length - written, offsetBytes + written);
    } catch (error) {
      const code = systemCodeOf(error);
      throw fail("fileWrite", `unable to write '${job.destination}': [${code}] ${toBackupError(error).message}`, {
        hint: code === "ENOSPC" ? "the file system of the restore target is full." : [],
        path: job.destination,
        cause: error,
      });
    }
  }
}

/** True when the file has the right bytes; owner and time are right then too. */
export async function keepsContent({ destination, sizeBytes, sha1, owner, modifiedAtS }: RestoreFileJob): Promise<boolean> {
  let fd: number;
  try {
    fd = openSync(destination, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    return false;
  }
  try {
    const info = fstatSync(fd);
    if (!info.isFile() || info.size !== sizeBytes || (await sha1Of(fd, sizeBytes)) !== sha1) return false;
    if (owner !== null && (info.uid !== owner.uid || info.gid !== owner.gid)) fchownSync(fd, owner.uid, owner.gid);
    if (info.mtimeMs !== modifiedAtS * 1000) futimesSync(fd, modifiedAtS, modifiedAtS);
    return true;
  } finally {
    closeSync(fd);
  }
}

const READ_SIZE_BYTES = 256 * 1024;
/** Other jobs of this thread, and the pool, are heard after so much. */
const TURN_SIZE_BYTES = 8 * 1024 * 1024;
/** One for the thread: what is in it is hashed before anybody else has a turn. */
let sharedBuffer: Buffer | undefined;

function takeBuffer(): Buffer {
  sharedBuffer ??= Buffer.allocUnsafeSlow(READ_SIZE_BYTES);
  return sharedBuffer;
}

/** @param sizeBytes about how long the file is: a short one is hashed at once */
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
