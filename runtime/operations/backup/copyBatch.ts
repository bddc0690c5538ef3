/**
 * Copies several files of the cluster in one job: for small files that go into bundles, and for files that may turn out unchanged.
 *
 * Each file is read once, checked once, hashed once and compressed once per kind of compression. A repository whose prior backup holds the
 * same bytes keeps those (`kept`); the others get a file of their own or a piece of their bundle, each with its own compression and
 * encryption. A repository that fails is an error in its own results and leaves the others alone. Files of up to 4 MiB are handled in memory; a
 * larger one is streamed, and read a second time when it had to be compared first and differs somewhere.
 */
import type { FileHandle } from "node:fs/promises";
import { type ByteStream, concatBytes, EMPTY_BYTES } from "../../base/bytes";
import type { Context } from "../../base/context";
import { type BackupError, toBackupError } from "../../base/errors";
import { Measured, SHA1_EMPTY, sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import type { RepoResult } from "../../base/parallel";
import { type BranchResult, tee } from "../../base/tee";
import { encrypt, encryptBytes } from "../../format/cipher";
import { compress, compressBytes } from "../../format/compress";
import { PageChecker } from "../../format/pageChecksum";
import { imageOf } from "../../format/pgControl";
import { loadControlFile } from "../../postgres/controlFile";
import type { Repository } from "../../repository/repository";
import { BundleWriter } from "./bundleWriter";
import type { CopyTarget, StoredCopy } from "./copyFile";
import { openSource, type PageVerdict, readSource, settlePages } from "./sourceFile";

export interface BatchTarget extends CopyTarget {
  /** Number of the bundle that the file goes into, `path` being the bundle's; null for a file of its own. */
  readonly bundleId: number | null;
  /** Raw forms of compression and encryption. */
  readonly raw: boolean;
  /** What the repository holds already: with this content nothing is stored. */
  readonly keepIf: { readonly sizeBytes: number; readonly sha1: string } | null;
}

export interface BatchFile {
  readonly name: string;
  readonly sourcePath: string;
  /** Size at the scan: no more than this is read. */
  readonly sizeBytes: number;
  /** Null for files that have no pages. */
  readonly pages: { readonly segmentNo: number; readonly pageSizeBytes: number; readonly headerCheck: boolean } | null;
  /** The data directory when the file is pg_control, which is validated and stored as a clean image. */
  readonly controlOf: string | null;
  readonly targets: readonly BatchTarget[];
}

export interface CopyBatchJob {
  readonly kind: "copyBatch";
  readonly files: readonly BatchFile[];
}

export interface BatchStored extends StoredCopy {
  /** True when the repository holds these bytes already. */
  readonly kept: boolean;
  /** Where the piece begins in its bundle. */
  readonly bundleOffsetBytes?: number;
}

export interface BatchFileResult extends PageVerdict {
  /** True when the file was gone: it is not part of the backup. */
  readonly missing: boolean;
  readonly sizeBytes: number;
  readonly sha1: string;
  readonly repos: readonly RepoResult<BatchStored>[];
}

export interface CopyBatchResult {
  /** In the order of the job's files. */
  readonly files: readonly BatchFileResult[];
}

const WHOLE_SIZE_BYTES_MAX = 4 * LIMITS.chunkSizeBytes;
const MISSING: BatchFileResult = { missing: true, sizeBytes: 0, sha1: SHA1_EMPTY, repos: [] };
const KEPT: BatchStored = { kept: true, sizeRepoBytes: 0 };

export async function copyBatch(job: CopyBatchJob, repo: (key: number) => Repository, ctx: Context): Promise<CopyBatchResult> {
  const batch = new Batch(repo, ctx);
  try {
    const files: BatchFileResult[] = [];
    for (const file of job.files) files.push(await batch.copy(file));
    const failed = await batch.finish();
    return { files: failed.size === 0 ? files : files.map((file) => withFailures(file, failed)) };
  } catch (error) {
    await batch.abandon(error);
    throw error;
  }
}

/** What went into a bundle that could not be stored is lost, whatever its own append said. */
function withFailures(file: BatchFileResult, failed: ReadonlyMap<number, BackupError>): BatchFileResult {
  const repos = file.repos.map((result): RepoResult<BatchStored> => {
    const error = failed.get(result.repoKey);
    return error === undefined || !result.ok ? result : { repoKey: result.repoKey, ok: false, error };
  });
  return { ...file, repos };
}

class Batch {
  readonly #repo: (key: number) => Repository;
  readonly #ctx: Context;
  readonly #bundles = new Map<string, { readonly repoKey: number; readonly writer: BundleWriter }>();

  constructor(repo: (key: number) => Repository, ctx: Context) {
    this.#repo = repo;
    this.#ctx = ctx;
  }

  async copy(file: BatchFile): Promise<BatchFileResult> {
    if (file.controlOf !== null) return this.#copyWhole(file, imageOf((await loadControlFile(file.controlOf, this.#ctx)).header), null);
    const handle = await openSource(file.sourcePath);
    if (handle === null) return MISSING;
    try {
      return file.sizeBytes <= WHOLE_SIZE_BYTES_MAX
        ? await this.#copyWhole(file, await readWhole(handle, file), handle)
        : await this.#copyLarge(file, handle);
    } finally {
      await handle.close();
    }
  }

  /** Ends the bundles; the error of each repository that could not store one. */
  async finish(): Promise<ReadonlyMap<number, BackupError>> {
    const failed = new Map<number, BackupError>();
    await Promise.all(
      [...this.#bundles.values()].map(({ repoKey, writer }) =>
        writer.finish().catch((error: unknown) => void failed.set(repoKey, toBackupError(error))),
      ),
    );
    return failed;
  }

  async abandon(error: unknown): Promise<void> {
    await Promise.all([...this.#bundles.values()].map(({ writer }) => writer.abandon(error)));
  }

  async #copyWhole(file: BatchFile, bytes: Uint8Array, handle: FileHandle | null): Promise<BatchFileResult> {
    const checker = file.pages === null ? null : new PageChecker(file.pages);
    checker?.add(bytes);
    const sha1 = bytes.length === 0 ? SHA1_EMPTY : sha1Hex(bytes);
    const packed = new Map<string, Uint8Array>();
    const repos = await Promise.all(
      file.targets.map((target) =>
        resultOf(target, async (): Promise<BatchStored> => {
          if (isKept(target, bytes.length, sha1)) return KEPT;
          // Shrunk to nothing since the scan: a bundle holds no bytes for it.
          if (bytes.length === 0 && target.bundleId !== null) return { kept: false, sizeRepoBytes: 0 };
          const key = packKey(target);
          const plain = packed.get(key) ?? compressBytes(bytes, target.compress, target.raw);
          packed.set(key, plain);
          const { cipherPass, raw } = target;
          const stored = cipherPass === null ? plain : encryptBytes(plain, cipherPass, this.#ctx.random.bytes(8), raw);
          const offset = await this.#store(target, stored);
          const filtered = target.compress.type !== "none" || cipherPass !== null;
          return { kept: false, sizeRepoBytes: stored.length, ...(filtered ? { sha1Repo: sha1Hex(stored) } : {}), ...offset };
        }),
      ),
    );
    return { missing: false, sizeBytes: bytes.length, sha1, ...(await settlePages(checker, handle, file.pages?.pageSizeBytes ?? 0)), repos };
  }

  async #store(target: BatchTarget, stored: Uint8Array): Promise<{ bundleOffsetBytes?: number }> {
    if (target.bundleId === null) {
      await this.#repo(target.repoKey).storage.put(target.path, stored, { atomic: false });
      return {};
    }
    const writer = this.#bundle(target);
    const bundleOffsetBytes = writer.sizeBytes;
    await writer.append(stored);
    return { bundleOffsetBytes };
  }

  async #copyLarge(file: BatchFile, handle: FileHandle): Promise<BatchFileResult> {
    const kept: RepoResult<BatchStored>[] = [];
    let targets = file.targets;
    if (targets.some((target) => target.keepIf !== null)) {
      const measured = new Measured();
      const checker = file.pages === null ? null : new PageChecker(file.pages);
      for await (const chunk of readSource(handle, file, (piece) => checker?.add(piece))) measured.add(chunk);
      const { sizeBytes, sha1 } = measured.result();
      kept.push(...targets.filter((target) => isKept(target, sizeBytes, sha1)).map(({ repoKey }) => ({ repoKey, ok: true, value: KEPT }) as const));
      targets = targets.filter((target) => !isKept(target, sizeBytes, sha1));
      const pages = await settlePages(checker, handle, file.pages?.pageSizeBytes ?? 0);
      if (targets.length === 0) return { missing: false, sizeBytes, sha1, ...pages, repos: kept };
    }
    const copied = await this.#stream(file, handle, targets);
    return { ...copied, repos: [...kept, ...copied.repos] };
  }

  async #stream(file: BatchFile, handle: FileHandle, targets: readonly BatchTarget[]): Promise<BatchFileResult> {
    const measured = new Measured();
    const checker = file.pages === null ? null : new PageChecker(file.pages);
    const groups = groupBy(targets, packKey);
    const source = readSource(handle, file, (chunk) => {
      measured.add(chunk);
      checker?.add(chunk);
    });
    const results = await tee(
      source,
      groups.map((group) => (stream: ByteStream) => {
        const [first] = group as [BatchTarget, ...BatchTarget[]];
        return tee(
          compress(stream, first.compress, first.raw),
          group.map((target) => (bytes: ByteStream) => this.#storeStream(target, bytes)),
        );
      }),
    );
    const repos = groups.flatMap((group, index) => groupResults(group, results[index] as BranchResult<BranchResult<BatchStored>[]>));
    const { sizeBytes, sha1 } = measured.result();
    return { missing: false, sizeBytes, sha1, ...(await settlePages(checker, handle, file.pages?.pageSizeBytes ?? 0)), repos };
  }

  async #storeStream(target: BatchTarget, bytes: ByteStream): Promise<BatchStored> {
    const { cipherPass, raw } = target;
    const measured = new Measured();
    const stream = measured.through(cipherPass === null ? bytes : encrypt(bytes, cipherPass, this.#ctx.random.bytes(8), raw));
    // A file of its own is a bundle of one.
    const writer = target.bundleId === null ? new BundleWriter(this.#repo(target.repoKey).storage, target.path) : this.#bundle(target);
    const bundleOffsetBytes = writer.sizeBytes;
    try {
      for await (const chunk of stream) await writer.append(chunk);
      if (target.bundleId === null) {
        await writer.finish();
        // Nothing was written: an empty file has to be there all the same.
        if (writer.sizeBytes === 0) await this.#repo(target.repoKey).storage.put(target.path, EMPTY_BYTES, { atomic: false });
      }
    } catch (error) {
      await writer.abandon(error);
      throw error;
    }
    const { sizeBytes: sizeRepoBytes, sha1: sha1Repo } = measured.result();
    const filtered = target.compress.type !== "none" || cipherPass !== null;
    return { kept: false, sizeRepoBytes, ...(filtered ? { sha1Repo } : {}), ...(target.bundleId === null ? {} : { bundleOffsetBytes }) };
  }

  #bundle(target: BatchTarget): BundleWriter {
    const key = `${target.repoKey}:${target.bundleId}`;
    const found = this.#bundles.get(key);
    if (found !== undefined) return found.writer;
    const writer = new BundleWriter(this.#repo(target.repoKey).storage, target.path);
    this.#bundles.set(key, { repoKey: target.repoKey, writer });
    return writer;
  }
}

function isKept({ keepIf }: BatchTarget, sizeBytes: number, sha1: string): boolean {
  return keepIf !== null && keepIf.sizeBytes === sizeBytes && keepIf.sha1 === sha1;
}

async function resultOf(target: BatchTarget, work: () => Promise<BatchStored>): Promise<RepoResult<BatchStored>> {
  try {
    return { repoKey: target.repoKey, ok: true, value: await work() };
  } catch (error) {
    return { repoKey: target.repoKey, ok: false, error: toBackupError(error) };
  }
}

function groupResults(group: readonly BatchTarget[], result: BranchResult<BranchResult<BatchStored>[]>): RepoResult<BatchStored>[] {
  return group.map((target, index): RepoResult<BatchStored> => {
    if (!result.ok) return { repoKey: target.repoKey, ok: false, error: result.error };
    const own = result.value[index] as BranchResult<BatchStored>;
    return own.ok ? { repoKey: target.repoKey, ok: true, value: own.value } : { repoKey: target.repoKey, ok: false, error: own.error };
  });
}

function groupBy(targets: readonly BatchTarget[], keyOf: (target: BatchTarget) => string): readonly (readonly BatchTarget[])[] {
  const groups = new Map<string, BatchTarget[]>();
  for (const target of targets) groups.set(keyOf(target), [...(groups.get(keyOf(target)) ?? []), target]);
  return [...groups.values()];
}

function packKey({ compress: { type, level }, raw }: BatchTarget): string {
  return `${type}:${level}:${raw}`;
}

async function readWhole(handle: FileHandle, file: BatchFile): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of readSource(handle, file, () => {})) parts.push(chunk);
  return concatBytes(parts);
}
