/**
 * Copies one file of the cluster into every repository of a backup: read once, checked once, hashed once, compressed once per kind of
 * compression, encrypted and stored per repository.
 *
 * A repository that fails is an error in its own result and leaves the others alone. Reading stops at the size that the scan saw: what a
 * relation grows by during the backup comes back with the WAL. Small files go through one-shot codecs, large ones are streamed in 1 MiB
 * chunks, so memory does not depend on file sizes.
 */
import { type FileHandle, open } from "node:fs/promises";
import { type ByteStream, concatBytes } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { Measured, SHA1_EMPTY, sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import type { RepoResult } from "../../base/parallel";
import { type BranchResult, tee } from "../../base/tee";
import { encrypt } from "../../format/cipher";
import { type CompressSpec, compress, compressBytes } from "../../format/compress";
import { PageChecker, type PageRange } from "../../format/pageChecksum";
import { imageOf } from "../../format/pgControl";
import { type Repository, seal } from "../../repository/repository";
import { loadControlFile } from "../../postgres/controlFile";

export interface CopyTarget {
  readonly repoKey: number;
  /** Where the stored bytes go, relative to the repository. */
  readonly path: string;
  readonly compress: CompressSpec;
  /** Passphrase of this backup's data; null without encryption. */
  readonly cipherPass: string | null;
}

export interface CopyFileJob {
  readonly kind: "copyFile";
  readonly name: string;
  readonly sourcePath: string;
  /** Size at the scan: no more than this is read. */
  readonly sizeBytes: number;
  /** Null for files that have no pages. */
  readonly pages: { readonly segmentNo: number; readonly pageSizeBytes: number; readonly headerCheck: boolean } | null;
  /** The data directory when the file is pg_control, which is validated and stored as a clean image. */
  readonly controlOf: string | null;
  readonly targets: readonly CopyTarget[];
}

export interface StoredCopy {
  readonly sizeRepoBytes: number;
  /** SHA-1 of the stored bytes; absent when they are the original bytes. */
  readonly sha1Repo?: string;
}

export interface CopyFileResult {
  /** True when the file was gone: it is not part of the backup. */
  readonly missing: boolean;
  readonly sizeBytes: number;
  readonly sha1: string;
  /** Absent when pages were not checked. */
  readonly pagesValid?: boolean;
  readonly pageErrors?: readonly PageRange[];
  readonly repos: readonly RepoResult<StoredCopy>[];
}

const MISSING: CopyFileResult = { missing: true, sizeBytes: 0, sha1: SHA1_EMPTY, repos: [] };

export async function copyFile(job: CopyFileJob, repo: (key: number) => Repository, ctx: Context): Promise<CopyFileResult> {
  if (job.controlOf !== null) return copyBytes(job, imageOf((await loadControlFile(job.controlOf, ctx)).header), repo, ctx);
  const handle = await open(job.sourcePath, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw fail("fileOpen", `unable to open file '${job.sourcePath}' for read: [${error.code}] ${error.message}`, {
      path: job.sourcePath,
      cause: error,
    });
  });
  if (handle === null) return MISSING;
  try {
    return job.sizeBytes <= LIMITS.chunkSizeBytes
      ? await copyBytes(job, await readUpTo(handle, job), repo, ctx, handle)
      : await copyStream(job, handle, repo, ctx);
  } finally {
    await handle.close();
  }
}

async function copyBytes(
  job: CopyFileJob,
  bytes: Uint8Array,
  repo: (key: number) => Repository,
  ctx: Context,
  handle?: FileHandle,
): Promise<CopyFileResult> {
  const checker = job.pages === null ? null : new PageChecker(job.pages);
  checker?.add(bytes);
  const compressed = new Map<string, Uint8Array | Promise<Uint8Array>>();
  const repos = await Promise.all(
    job.targets.map(async (target): Promise<RepoResult<StoredCopy>> => {
      try {
        const key = compressKey(target.compress);
        if (!compressed.has(key)) compressed.set(key, compressBytes(bytes, target.compress));
        const packed = await (compressed.get(key) as Uint8Array | Promise<Uint8Array>);
        const stored = seal(packed, target.cipherPass, ctx);
        await repo(target.repoKey).storage.put(target.path, stored, { atomic: false });
        return { repoKey: target.repoKey, ok: true, value: storedCopy(target, stored.length, stored === bytes ? undefined : sha1Hex(stored)) };
      } catch (error) {
        return { repoKey: target.repoKey, ok: false, error: toBackupError(error) };
      }
    }),
  );
  const pages = checker === null || handle === undefined ? {} : await settlePages(checker, handle, job);
  return { missing: false, sizeBytes: bytes.length, sha1: bytes.length === 0 ? SHA1_EMPTY : sha1Hex(bytes), ...pages, repos };
}

async function copyStream(job: CopyFileJob, handle: FileHandle, repo: (key: number) => Repository, ctx: Context): Promise<CopyFileResult> {
  const measured = new Measured();
  const checker = job.pages === null ? null : new PageChecker(job.pages);
  const groups = new Map<string, CopyTarget[]>();
  for (const target of job.targets) groups.set(compressKey(target.compress), [...(groups.get(compressKey(target.compress)) ?? []), target]);
  const targetGroups = [...groups.values()];

  const results = await tee(
    readChunks(handle, job, (chunk) => {
      measured.add(chunk);
      checker?.add(chunk);
    }),
    targetGroups.map((group) => (stream: ByteStream) => storeGroup(group, stream, repo, ctx)),
  );
  const repos = targetGroups.flatMap((group, index) => groupResults(group, results[index] as BranchResult<BranchResult<StoredCopy>[]>));
  const { sizeBytes, sha1 } = measured.result();
  return { missing: false, sizeBytes, sha1, ...(checker === null ? {} : await settlePages(checker, handle, job)), repos };
}

/** Compresses once and hands the result to every repository of the group. */
function storeGroup(
  group: readonly CopyTarget[],
  stream: ByteStream,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<BranchResult<StoredCopy>[]> {
  const packed = (group[0] as CopyTarget).compress.type === "none" ? stream : compress(stream, (group[0] as CopyTarget).compress);
  return tee(
    packed,
    group.map((target) => async (bytes: ByteStream): Promise<StoredCopy> => {
      const measured = new Measured();
      let opened = false;
      const openOnce = (): ByteStream => {
        // The source was read for all repositories together and cannot be read again for one.
        if (opened) throw fail("service", `repo${target.repoKey}: upload of '${target.path}' could not be started over`, { repoKey: target.repoKey });
        opened = true;
        return measured.through(target.cipherPass === null ? bytes : encrypt(bytes, target.cipherPass, ctx.random.bytes(8)));
      };
      await repo(target.repoKey).storage.putStream(target.path, openOnce, { atomic: false });
      const { sizeBytes, sha1 } = measured.result();
      return storedCopy(target, sizeBytes, sha1);
    }),
  );
}

function groupResults(group: readonly CopyTarget[], result: BranchResult<BranchResult<StoredCopy>[]>): RepoResult<StoredCopy>[] {
  return group.map((target, index): RepoResult<StoredCopy> => {
    if (!result.ok) return { repoKey: target.repoKey, ok: false, error: result.error };
    const own = result.value[index] as BranchResult<StoredCopy>;
    return own.ok ? { repoKey: target.repoKey, ok: true, value: own.value } : { repoKey: target.repoKey, ok: false, error: own.error };
  });
}

/** Stock's rule: a checksum of the stored bytes exactly when a filter changed them ("pgbackrest-format" 19). */
function storedCopy(target: CopyTarget, sizeRepoBytes: number, sha1Repo: string | undefined): StoredCopy {
  const filtered = target.compress.type !== "none" || target.cipherPass !== null;
  return filtered && sha1Repo !== undefined ? { sizeRepoBytes, sha1Repo } : { sizeRepoBytes };
}

/**
 * A page that looked wrong may have been written while it was read: it is read again, and counts as an error only if its bytes did not
 * change ("pgbackrest-format" 7.4).
 */
async function settlePages(checker: PageChecker, handle: FileHandle, job: CopyFileJob): Promise<Pick<CopyFileResult, "pagesValid" | "pageErrors">> {
  const { pageSizeBytes } = job.pages as NonNullable<CopyFileJob["pages"]>;
  const reread = Buffer.alloc(pageSizeBytes);
  for (const suspect of checker.suspects()) {
    const { bytesRead } = await handle.read(reread, 0, pageSizeBytes, suspect.offsetBytes);
    if (bytesRead < pageSizeBytes || Buffer.compare(reread, suspect.page) !== 0) checker.acquit(suspect.blockNo);
  }
  const { valid, errors } = checker.finish();
  return errors.length > 0 ? { pagesValid: valid, pageErrors: errors } : { pagesValid: valid };
}

async function readUpTo(handle: FileHandle, job: CopyFileJob): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of readChunks(handle, job, () => {})) parts.push(chunk);
  return concatBytes(parts);
}

async function* readChunks(handle: FileHandle, job: CopyFileJob, visit: (chunk: Uint8Array) => void): ByteStream {
  let offsetBytes = 0;
  while (offsetBytes < job.sizeBytes) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(LIMITS.chunkSizeBytes, job.sizeBytes - offsetBytes));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offsetBytes).catch((error: NodeJS.ErrnoException) => {
      throw fail("fileRead", `unable to read '${job.sourcePath}' at offset ${offsetBytes}: [${error.code}] ${error.message}`, {
        path: job.sourcePath,
      });
    });
    if (bytesRead === 0) return;
    offsetBytes += bytesRead;
    const chunk = bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead);
    visit(chunk);
    yield chunk;
  }
}

function compressKey(spec: CompressSpec): string {
  return `${spec.type}:${spec.level}`;
}
