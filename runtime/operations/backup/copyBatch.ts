/**
 * Copies files of the cluster in one job: one large file, or several small ones for bundles.
 *
 * Each file is read, checked and hashed once, and compressed once per kind of compression. Pages that a prior backup
 * checked are not checked again. A repository whose prior backup holds the same bytes keeps those (`kept`). The others
 * get a separate file or a piece of their bundle, each with its own encryption. A repository that fails is an error in
 * its own results only. Files of up to 4 MiB (1 MiB if they are only stored) are handled in memory. A larger file goes
 * through in chunks; if it had to be compared first and differs somewhere, it is read a second time.
 */
import { closeSync } from "../../local/nodeFiles";
import { setImmediate } from "node:timers/promises";
import { EMPTY_BYTES } from "../../base/bytes";
import type { Context } from "../../base/context";
import { assert, type BackupError, isError, toBackupError } from "../../base/errors";
import { Measured, SHA1_EMPTY, sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import type { RepoResult } from "../../base/parallel";
import { encryptBytes } from "../../format/codec/cipher";
import { compressBytes } from "../../format/codec/compress";
import { PageChecker } from "../../format/page/pageChecksum";
import { imageOf } from "../../format/page/pgControl";
import { giveBack, type ReadArea, takeReadArea } from "../../format/codec/sums";
import { loadControlFile } from "../../postgres/controlFile";
import { loadBlockMap } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";
import { BundleWriter, putWhole } from "./bundleWriter";
import { groupTargets, OpenTarget, type PieceTarget, type StoredPiece, type TargetGroup } from "./fileTargets";
import { type CopySource, chunksOf, openSource, type PageVerdict, readWhole, settlePages } from "./sourceFile";

export interface BatchTarget extends PieceTarget {
  /** What the repository already holds: if the content matches, nothing is stored. */
  readonly keepIf: { readonly sizeBytes: number; readonly sha1: string } | null;
}

export interface BatchFile extends CopySource {
  readonly targets: readonly BatchTarget[];
}

export interface CopyBatchJob {
  readonly kind: "copyBatch";
  readonly files: readonly BatchFile[];
}

export interface BatchStored extends StoredPiece {
  /** True when the repository already holds these bytes. */
  readonly kept: boolean;
  /**
   * True when all block checksums match the prior copy but the content differs: store it again, without the prior copy.
   */
  readonly collided?: boolean;
}

export interface BatchFileResult extends PageVerdict {
  /** True when the file was gone: the backup omits it. */
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
/** Bytes to process before the event loop gets a turn. */
const HEAR_BYTES = 256 * 1024;
const MISSING: BatchFileResult = { missing: true, sizeBytes: 0, sha1: SHA1_EMPTY, repos: [] };
const KEPT: BatchStored = { kept: true, sizeRepoBytes: 0 };
/** A bundled backup stores no bytes for empty files. */
const NOTHING: BatchStored = { kept: false, sizeRepoBytes: 0 };

export async function copyBatch(
  job: CopyBatchJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<CopyBatchResult> {
  const batch = new Batch(repo, ctx);
  try {
    const files: BatchFileResult[] = [];
    let unheardBytes = 0;
    for (const file of job.files) {
      files.push(await batch.copy(file));
      unheardBytes += file.sizeBytes;
      if (unheardBytes < HEAR_BYTES) continue;
      // Let network events through between two files.
      unheardBytes = 0;
      await setImmediate();
    }
    const failed = await batch.finish();
    return { files: failed.size === 0 ? files : files.map((file) => withFailures(file, failed)) };
  } catch (error) {
    await batch.abandon(error);
    throw error;
  } finally {
    batch.close();
  }
}

/** A bundle that could not be stored loses all its pieces, even if their append succeeded. */
function withFailures(file: BatchFileResult, failed: ReadonlyMap<number, BackupError>): BatchFileResult {
  const repos = file.repos.map((result): RepoResult<BatchStored> => {
    const error = failed.get(result.repoIndex);
    return error === undefined || !result.ok ? result : { repoIndex: result.repoIndex, ok: false, error };
  });
  return { ...file, repos };
}

class Batch {
  readonly #repo: (key: number) => Repository;
  readonly #ctx: Context;
  #area: ReadArea | null = null;
  readonly #bundles = new Map<string, { readonly repoIndex: number; readonly writer: BundleWriter }>();

  constructor(repo: (key: number) => Repository, ctx: Context) {
    this.#repo = repo;
    this.#ctx = ctx;
  }

  close(): void {
    if (this.#area !== null) giveBack(this.#area);
  }

  /** Files are read into this buffer in turn, so anything kept is copied. */
  get #buffer(): Buffer {
    this.#area ??= takeReadArea();
    return this.#area.bytes;
  }

  async copy(file: BatchFile): Promise<BatchFileResult> {
    if (file.controlOf !== null)
      return this.#copyWhole(file, imageOf((await loadControlFile(file.controlOf, this.#ctx)).header), null);
    const fd = openSource(file);
    if (fd === null) return MISSING;
    try {
      return file.sizeBytes <= wholeSizeMaxOf(file)
        ? await this.#copyWhole(file, readWhole(fd, file, this.#bufferFor(file)), fd)
        : await this.#copyLarge(file, fd);
    } finally {
      closeSync(fd);
    }
  }

  /** A separate file may still be on its way to a store from its read buffer. */
  #bufferFor(file: BatchFile): Buffer | undefined {
    return file.targets.every((target) => target.bundleId !== null || target.block !== null) ? this.#buffer : undefined;
  }

  /** Ends the bundles; returns the error of each repository that could not store one. */
  async finish(): Promise<ReadonlyMap<number, BackupError>> {
    const failed = new Map<number, BackupError>();
    await Promise.all(
      [...this.#bundles.values()].map(({ repoIndex, writer }) =>
        writer.finish().catch((error: unknown) => void failed.set(repoIndex, toBackupError(error))),
      ),
    );
    return failed;
  }

  async abandon(reason: unknown): Promise<void> {
    await Promise.all([...this.#bundles.values()].map(({ writer }) => writer.abandon(reason)));
  }

  async #copyWhole(file: BatchFile, bytes: Uint8Array, fd: number | null): Promise<BatchFileResult> {
    const sha1 = bytes.length === 0 ? SHA1_EMPTY : sha1Hex(bytes);
    const content = { sizeBytes: bytes.length, sha1 };
    const { kept, others } = splitKept(file.targets, content);
    if (others.length === 0) return { missing: false, ...content, repos: kept };
    const pages = new Pages(file);
    const whole = others.filter((target) => target.block === null);
    if (whole.length > 0) pages.add(bytes);
    const plain = await Promise.all(this.#packed(whole, bytes));
    const blocks = await this.#inChunks(
      others.filter((target) => target.block !== null),
      () => [bytes],
      whole.length > 0 ? null : pages,
      () => content,
    );
    return { missing: false, ...content, ...pages.settle(fd), repos: [...kept, ...plain, ...blocks] };
  }

  /** Stores a small file, compressed in one piece. */
  #packed(targets: readonly BatchTarget[], bytes: Uint8Array): Promise<RepoResult<BatchStored>>[] {
    const packed = new Map<string, Uint8Array>();
    return targets.map((target) =>
      resultOf(target, async (): Promise<BatchStored> => {
        // The file shrank to nothing after the scan: a bundle holds no bytes for it.
        if (bytes.length === 0 && target.bundleId !== null) return NOTHING;
        const { compress, cipherPass, raw, bundleId } = target;
        const key = `${compress.type}:${compress.level}:${raw}`;
        const plain = packed.get(key) ?? compressBytes(bytes, compress, raw);
        packed.set(key, plain);
        const stored = cipherPass === null ? plain : encryptBytes(plain, cipherPass, this.#ctx.random.bytes(8), raw);
        const checksum = compress.type !== "none" || cipherPass !== null ? { sha1Repo: sha1Hex(stored) } : {};
        if (bundleId === null) {
          await putWhole(this.#repo(target.repoIndex).storage, target.path, stored);
          return { kept: false, sizeRepoBytes: stored.length, ...checksum };
        }
        const writer = this.#bundle(target);
        const bundleOffsetBytes = writer.sizeBytes;
        await writer.append(stored);
        return { kept: false, sizeRepoBytes: stored.length, ...checksum, bundleOffsetBytes };
      }),
    );
  }

  async #copyLarge(file: BatchFile, fd: number): Promise<BatchFileResult> {
    const chunks = (): Iterable<Uint8Array> =>
      chunksOf(fd, file, this.#buffer, file.targets.find((target) => target.block !== null)?.block?.blockSizeBytes);
    if (file.targets.some((target) => target.keepIf !== null)) {
      const compared = new Measured();
      for (const chunk of chunks()) compared.add(chunk);
      const content = compared.result();
      const { kept, others } = splitKept(file.targets, content);
      if (others.length === 0) return { missing: false, ...content, repos: kept };
      if (kept.length > 0) {
        const rest = await this.#copyLarge(
          { ...file, targets: others.map((target) => ({ ...target, keepIf: null })) },
          fd,
        );
        return { ...rest, repos: [...kept, ...rest.repos] };
      }
    }
    const measured = new Measured();
    const pages = new Pages(file);
    const repos = await this.#inChunks(
      file.targets,
      () => measuring(measured, chunks()),
      pages,
      () => measured.result(),
    );
    return { missing: false, ...measured.result(), ...pages.settle(fd), repos };
  }

  /** `contentOf` describes the whole file, after its last chunk; `pages` is null when they are already checked. */
  async #inChunks(
    targets: readonly BatchTarget[],
    chunks: () => Iterable<Uint8Array>,
    pages: Pages | null,
    contentOf: () => Content,
  ): Promise<RepoResult<BatchStored>[]> {
    if (targets.length === 0) return [];
    const opened = await Promise.all(targets.map((target) => this.#open(target)));
    const groups = await groupTargets(
      opened.filter((open) => open.error === null),
      this.#ctx,
    );
    // With several groups all pages are checked: a group that fails sees no further blocks.
    const [only, another] = groups;
    const seesChanged = pages !== null && only !== undefined && another === undefined && pages.fromBlocks(only);
    try {
      for (const chunk of chunks()) {
        if (!seesChanged) pages?.add(chunk);
        for (const group of groups) await endingItsOwn(group, () => group.write(chunk));
        if (opened.every((open) => open.error !== null)) break;
        await setImmediate();
      }
      for (const group of groups) await endingItsOwn(group, () => group.finish());
    } catch (error) {
      await Promise.all(opened.map((open) => open.writer.abandon(error)));
      throw error;
    } finally {
      for (const group of groups) group.close();
    }
    return Promise.all(
      opened.map((open) =>
        resultOf(open.target, async () => {
          if (open.error !== null) throw open.error;
          const stored = groups.find((group) => group.targets.includes(open))?.stored(open) ?? null;
          return stored === null ? this.#withoutNews(open, contentOf()) : this.#whole(open, stored);
        }),
      ),
    );
  }

  /** A damaged prior map costs space, not the backup, and is reported. */
  async #open(target: PieceTarget): Promise<OpenTarget> {
    const writer =
      target.bundleId === null ? new BundleWriter(this.#repo(target.repoIndex), target.path) : this.#bundle(target);
    const source = target.block?.prior?.source;
    if (source === undefined) return new OpenTarget(target, writer, null);
    try {
      return new OpenTarget(target, writer, await loadBlockMap(this.#repo(target.repoIndex), source));
    } catch (thrown) {
      const error = toBackupError(thrown);
      const open = new OpenTarget(target, writer, null);
      if (isError(error, "format", "crypto", "checksum", "fileMissing"))
        open.priorProblem = `[${error.name}] ${error.message}`;
      else open.error = error;
      return open;
    }
  }

  async #whole(open: OpenTarget, stored: StoredPiece): Promise<BatchStored> {
    if (open.target.bundleId === null) {
      await open.writer.finish();
      // Nothing was written, but the empty file must exist.
      if (open.writer.sizeBytes === 0)
        await this.#repo(open.target.repoIndex).storage.put(open.target.path, EMPTY_BYTES, { atomic: false });
    }
    return { kept: false, ...stored };
  }

  /** No block differs from the prior copy. */
  async #withoutNews({ target }: OpenTarget, content: Content): Promise<BatchStored> {
    if (content.sizeBytes === 0) return NOTHING;
    const prior = target.block?.prior ?? null;
    assert(prior !== null, `'${target.path}' was stored without a byte`);
    if (prior.sizeBytes === content.sizeBytes && prior.sha1 === content.sha1) return KEPT;
    // Block checksums collided: the prior copy must not pass for this content.
    return { ...NOTHING, collided: true };
  }

  #bundle(target: PieceTarget): BundleWriter {
    const key = `${target.repoIndex}:${target.bundleId}`;
    const known = this.#bundles.get(key);
    if (known !== undefined) return known.writer;
    const writer = new BundleWriter(this.#repo(target.repoIndex), target.path);
    this.#bundles.set(key, { repoIndex: target.repoIndex, writer });
    return writer;
  }
}

interface Content {
  readonly sizeBytes: number;
  readonly sha1: string;
}

function* measuring(measured: Measured, chunks: Iterable<Uint8Array>): Iterable<Uint8Array> {
  for (const chunk of chunks) {
    measured.add(chunk);
    yield chunk;
  }
}

/** Checks a file's pages, if it has any. */
class Pages {
  readonly #file: BatchFile;
  readonly #pageSizeBytes: number;
  readonly #checker: PageChecker | null;

  constructor(file: BatchFile) {
    this.#file = file;
    this.#pageSizeBytes = file.pages?.pageSizeBytes ?? 0;
    this.#checker = file.pages === null ? null : new PageChecker(file.pages);
  }

  add(chunk: Uint8Array): void {
    this.#checker?.add(chunk);
  }

  /** True when the group adds the pages to check. */
  fromBlocks(group: TargetGroup): boolean {
    return this.#checker !== null && group.checkPages(this.#checker, this.#pageSizeBytes);
  }

  settle(fd: number | null): PageVerdict {
    return this.#checker === null || fd === null ? {} : settlePages(this.#checker, fd, this.#pageSizeBytes, this.#file);
  }
}

/** A compressor that fails ends the repositories that it serves. */
async function endingItsOwn(group: TargetGroup, work: () => Promise<void>): Promise<void> {
  if (group.targets.every((target) => target.error !== null)) return;
  try {
    await work();
  } catch (error) {
    for (const target of group.targets) await target.fail(error);
  }
}

/** Files that are only stored, each alone, go through in chunks earlier: they need not be in memory for anything. */
function wholeSizeMaxOf({ targets }: BatchFile): number {
  const isPlain = targets.every(
    ({ block, bundleId, keepIf }) => block === null && bundleId === null && keepIf === null,
  );
  return isPlain ? LIMITS.chunkSizeBytes : WHOLE_SIZE_BYTES_MAX;
}

function splitKept(
  targets: readonly BatchTarget[],
  { sizeBytes, sha1 }: Content,
): { kept: RepoResult<BatchStored>[]; others: BatchTarget[] } {
  const isKept = ({ keepIf }: BatchTarget): boolean =>
    keepIf !== null && keepIf.sizeBytes === sizeBytes && keepIf.sha1 === sha1;
  return {
    kept: targets.filter(isKept).map(({ repoIndex }) => ({ repoIndex, ok: true, value: KEPT })),
    others: targets.filter((target) => !isKept(target)),
  };
}

async function resultOf(target: PieceTarget, work: () => Promise<BatchStored>): Promise<RepoResult<BatchStored>> {
  try {
    return { repoIndex: target.repoIndex, ok: true, value: await work() };
  } catch (error) {
    return { repoIndex: target.repoIndex, ok: false, error: toBackupError(error) };
  }
}
