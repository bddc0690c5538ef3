/**
 * Brings one file of a backup back: from the first source that yields its exact bytes.
 *
 * The SHA-1 is computed while writing; a source that breaks off, cannot be read or gives other bytes is replaced by the next one (another
 * repository that holds the same label), from the start. The file is durable, with its mode, owner and time, when the job is done.
 */
import { createHash } from "node:crypto";
import { createReadStream, fchmodSync, fchownSync, futimesSync, writeSync } from "node:fs";
import { chown, type FileHandle, open, stat, utimes } from "node:fs/promises";
import { type ByteStream, collect } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { decryptBytes } from "../../format/cipher";
import { decompressBytes } from "../../format/compress";
import { systemCodeOf } from "../../local/systemError";
import { type Packing, type Repository, unpack } from "../../repository/repository";
import type { ByteRange } from "../../storage/storage";

export interface RestoreSource extends Packing {
  readonly repoKey: number;
  readonly path: string;
  /** The extent inside a bundle; null for a file of its own. */
  readonly range: ByteRange | null;
  /** Stored size, whether in a bundle or not. */
  readonly sizeRepoBytes: number;
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
  if (job.delta && (await hasContent(job))) {
    await applyAttributes(job);
    return { repoKey: null, kept: true, warnings: [] };
  }
  const handle = await open(job.destination, "w", 0o600).catch((error: NodeJS.ErrnoException) => {
    throw fail("fileOpen", `unable to open file '${job.destination}' for write: [${error.code}] ${error.message}`, {
      path: job.destination,
      cause: error,
    });
  });
  try {
    const result = job.sizeBytes === 0 ? { repoKey: null, kept: false, warnings: [] } : await fill(handle, job, repo, ctx);
    // Synchronous where the kernel answers at once: a trip through the thread pool costs more than the call itself.
    fchmodSync(handle.fd, job.mode);
    if (job.owner !== null) fchownSync(handle.fd, job.owner.uid, job.owner.gid);
    futimesSync(handle.fd, job.modifiedAtS, job.modifiedAtS);
    await handle.sync();
    return result;
  } finally {
    await handle.close();
  }
}

async function fill(handle: FileHandle, job: RestoreFileJob, repo: (key: number) => Repository, ctx: Context): Promise<RestoreFileResult> {
  const warnings: string[] = [];
  let last: BackupError | undefined;
  for (const source of job.sources) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    try {
      if (warnings.length > 0) await handle.truncate(0);
      const isSmall = Math.max(job.sizeBytes, source.sizeRepoBytes) <= WHOLE_SIZE_BYTES_MAX;
      await (isSmall ? copyWhole : copySource)(handle, job, source, repo(source.repoKey));
      return { repoKey: source.repoKey, kept: false, warnings };
    } catch (error) {
      last = asDamage(toBackupError(error), job, source);
      warnings.push(`repo${source.repoKey}: [${last.name}] ${last.message}`);
    }
  }
  throw last ?? fail("fileMissing", `no repository holds '${job.name}'`);
}

/** Files up to this size are restored in one piece. */
const WHOLE_SIZE_BYTES_MAX = 8 * LIMITS.chunkSizeBytes;

/** A small file in one piece: buffers of its own size and one-shot codecs cost a fraction of streams. */
async function copyWhole(handle: FileHandle, job: RestoreFileJob, source: RestoreSource, repo: Repository): Promise<void> {
  const { path, range, sizeRepoBytes, cipherPass, compressType, raw } = source;
  const stored = await collect(await repo.storage.read(path, range ?? { offsetBytes: 0, sizeBytes: sizeRepoBytes }), WHOLE_SIZE_BYTES_MAX);
  const packed = cipherPass === null ? stored : decryptBytes(stored, cipherPass, raw);
  const bytes = decompressBytes(packed, compressType, job.sizeBytes, raw);
  requireContent(job, source, bytes.length, sha1Hex(bytes));
  writeFully(handle, bytes, 0, job);
}

async function copySource(handle: FileHandle, job: RestoreFileJob, source: RestoreSource, repo: Repository): Promise<void> {
  const hash = createHash("sha1");
  let offsetBytes = 0;
  for await (const chunk of await openSource(source, repo)) {
    if (offsetBytes + chunk.length > job.sizeBytes) break;
    hash.update(chunk);
    writeFully(handle, chunk, offsetBytes, job);
    offsetBytes += chunk.length;
  }
  requireContent(job, source, offsetBytes, hash.digest("hex"));
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

async function openSource(source: RestoreSource, repo: Repository): Promise<ByteStream> {
  const stored = await (source.range === null ? repo.storage.read(source.path) : repo.storage.read(source.path, source.range));
  return unpack(stored, source);
}

/** Into the page cache, so at once; `sync` later waits for the disk. */
function writeFully(handle: FileHandle, chunk: Uint8Array, offsetBytes: number, job: RestoreFileJob): void {
  let written = 0;
  while (written < chunk.length) {
    try {
      written += writeSync(handle.fd, chunk, written, chunk.length - written, offsetBytes + written);
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

async function hasContent(job: RestoreFileJob): Promise<boolean> {
  const info = await stat(job.destination).catch(() => null);
  if (info === null || info.size !== job.sizeBytes) return false;
  const hash = createHash("sha1");
  for await (const chunk of createReadStream(job.destination, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  return hash.digest("hex") === job.sha1;
}

async function applyAttributes(job: RestoreFileJob): Promise<void> {
  if (job.owner !== null) await chown(job.destination, job.owner.uid, job.owner.gid);
  await utimes(job.destination, job.modifiedAtS, job.modifiedAtS);
}
