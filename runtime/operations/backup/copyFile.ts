/**
 * Copies one file of the cluster into every repository of a backup. The file is read, checked and hashed once,
 * compressed once per kind of compression, then encrypted and stored per repository.
 *
 * A repository that fails is an error in its own result only. Reading stops at the scanned size: WAL restores what a
 * relation grew by during the backup. Small files use one-shot codecs, large ones go chunk by chunk, so memory does not
 * depend on file sizes. All work runs in the calling thread, a worker's: trips through Node's thread pool cost more
 * than most of the work.
 */
import { closeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { Measured, SHA1_EMPTY, sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import type { RepoResult } from "../../base/parallel";
import { Encryptor } from "../../format/codec/cipher";
import type { Codec, Pieces } from "../../format/codec/codec";
import { type CompressSpec, compressBytes, createCompressor } from "../../format/codec/compress";
import { PageChecker } from "../../format/page/pageChecksum";
import { imageOf } from "../../format/page/pgControl";
import { giveBack, takeReadArea } from "../../format/codec/sums";
import { loadControlFile } from "../../postgres/controlFile";
import { type Repository, seal } from "../../repository/repository";
import type { BlockWriter } from "../../storage/storage";
import { type CopySource, chunksOf, openSource, type PageVerdict, readWhole, settlePages } from "./sourceFile";
import { TargetWriter } from "./targetWriter";

export interface CopyTarget {
  readonly repoKey: number;
  /** Where the stored bytes go, relative to the repository. */
  readonly path: string;
  readonly compress: CompressSpec;
  /** Passphrase of this backup's data; null without encryption. */
  readonly cipherPass: string | null;
}

export interface CopyFileJob extends CopySource {
  readonly kind: "copyFile";
  readonly targets: readonly CopyTarget[];
}

export interface StoredCopy {
  readonly sizeRepoBytes: number;
  /** SHA-1 of the stored bytes; absent when they are the original bytes. */
  readonly sha1Repo?: string;
}

export interface CopyFileResult extends PageVerdict {
  /** True when the file was gone: the backup omits it. */
  readonly missing: boolean;
  readonly sizeBytes: number;
  readonly sha1: string;
  readonly repos: readonly RepoResult<StoredCopy>[];
}

const MISSING: CopyFileResult = { missing: true, sizeBytes: 0, sha1: SHA1_EMPTY, repos: [] };

export async function copyFile(job: CopyFileJob, repo: (key: number) => Repository, ctx: Context): Promise<CopyFileResult> {
  if (job.controlOf !== null) return copyBytes(job, imageOf((await loadControlFile(job.controlOf, ctx)).header), null, repo, ctx);
  const fd = openSource(job);
  if (fd === null) return MISSING;
  try {
    if (job.sizeBytes <= LIMITS.chunkSizeBytes) return await copyBytes(job, readWhole(fd, job), fd, repo, ctx);
    const area = takeReadArea();
    try {
      return await copyChunks(job, fd, area.bytes, repo, ctx);
    } finally {
      giveBack(area);
    }
  } finally {
    closeSync(fd);
  }
}

async function copyBytes(
  job: CopyFileJob,
  bytes: Uint8Array,
  fd: number | null,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<CopyFileResult> {
  const checker = job.pages === null ? null : new PageChecker(job.pages);
  checker?.add(bytes);
  const compressed = new Map<string, Uint8Array>();
  const packed = (spec: CompressSpec): Uint8Array => {
    const key = compressKey(spec);
    const found = compressed.get(key) ?? compressBytes(bytes, spec);
    compressed.set(key, found);
    return found;
  };
  const repos = await Promise.all(
    job.targets.map((target) =>
      resultOf(target, async () => {
        const stored = seal(packed(target.compress), target.cipherPass, ctx);
        const { storage } = repo(target.repoKey);
        if (storage.openWriter === undefined) await storage.put(target.path, stored, { atomic: false });
        else await writeWhole(await storage.openWriter(target.path), stored);
        return storedCopy(target, stored.length, stored === bytes ? undefined : sha1Hex(stored));
      }),
    ),
  );
  const pages = checker === null || fd === null ? {} : settlePages(checker, fd, pageSizeOf(job), job);
  return { missing: false, sizeBytes: bytes.length, sha1: bytes.length === 0 ? SHA1_EMPTY : sha1Hex(bytes), ...pages, repos };
}

async function writeWhole(writer: BlockWriter, bytes: Uint8Array): Promise<void> {
  try {
    writer.write(bytes);
  } catch (error) {
    writer.abandon();
    throw error;
  }
  await writer.finish();
}

/** Each chunk passes every step before the next is read into the same buffer, so it stays in the processor's cache. */
async function copyChunks(job: CopyFileJob, fd: number, buffer: Buffer, repo: (key: number) => Repository, ctx: Context): Promise<CopyFileResult> {
  const measured = new Measured();
  const checker = job.pages === null ? null : new PageChecker(job.pages);
  const targets: OpenTarget[] = await Promise.all(
    job.targets.map(async (target) => {
      const encryptor = target.cipherPass === null ? null : new Encryptor(target.cipherPass, ctx.random.bytes(8));
      const { storage } = repo(target.repoKey);
      return { target, writer: await TargetWriter.open({ storage, path: target.path, repoKey: target.repoKey }, encryptor) };
    }),
  );
  const groups = await groupsOf(targets);
  try {
    for (const chunk of chunksOf(fd, job, buffer)) {
      measured.add(chunk);
      checker?.add(chunk);
      for (const group of groups) await group.write((codec) => codec.update(chunk));
      if (targets.every(({ writer }) => !writer.alive)) break;
      // Let network events through between two chunks.
      await setImmediate();
    }
    for (const group of groups) await group.write((codec) => codec.finish());
  } catch (error) {
    await Promise.all(targets.map(({ writer }) => writer.abandon(error)));
    throw error;
  } finally {
    for (const group of groups) group.codec.close();
  }
  const repos = await Promise.all(
    targets.map(({ target, writer }) =>
      resultOf(target, async () => {
        const { sizeBytes, sha1 } = await writer.finish();
        return storedCopy(target, sizeBytes, sha1);
      }),
    ),
  );
  const { sizeBytes, sha1 } = measured.result();
  return { missing: false, sizeBytes, sha1, ...(checker === null ? {} : settlePages(checker, fd, pageSizeOf(job), job)), repos };
}

interface OpenTarget {
  readonly target: CopyTarget;
  readonly writer: TargetWriter;
}

/** Targets that share one compression. */
class TargetGroup {
  readonly codec: Codec;
  readonly writers: TargetWriter[] = [];

  constructor(spec: CompressSpec) {
    this.codec = createCompressor(spec);
  }

  /**
   * Passes on the codec's output at the pace of the slowest healthy target. A codec that fails ends its own targets.
   */
  async write(run: (codec: Codec) => Pieces): Promise<void> {
    if (this.writers.every((writer) => !writer.alive)) return;
    try {
      for await (const piece of run(this.codec)) {
        for (const writer of this.writers) writer.write(piece);
        for (const writer of this.writers) await writer.room();
      }
    } catch (error) {
      await Promise.all(this.writers.map((writer) => writer.abandon(error)));
    }
  }
}

async function groupsOf(targets: readonly OpenTarget[]): Promise<TargetGroup[]> {
  const groups = new Map<string, TargetGroup>();
  for (const { target, writer } of targets) {
    const key = compressKey(target.compress);
    try {
      const group = groups.get(key) ?? new TargetGroup(target.compress);
      groups.set(key, group);
      group.writers.push(writer);
    } catch (error) {
      await writer.abandon(error);
    }
  }
  return [...groups.values()];
}

async function resultOf(target: CopyTarget, work: () => Promise<StoredCopy>): Promise<RepoResult<StoredCopy>> {
  try {
    return { repoKey: target.repoKey, ok: true, value: await work() };
  } catch (error) {
    return { repoKey: target.repoKey, ok: false, error: toBackupError(error) };
  }
}

/**
 * Stock's rule: there is a checksum of the stored bytes exactly when a filter changed them ("pgbackrest-format" 19).
 */
function storedCopy(target: CopyTarget, sizeRepoBytes: number, sha1Repo: string | undefined): StoredCopy {
  const filtered = target.compress.type !== "none" || target.cipherPass !== null;
  return filtered && sha1Repo !== undefined ? { sizeRepoBytes, sha1Repo } : { sizeRepoBytes };
}

function pageSizeOf({ pages }: CopyFileJob): number {
  return pages?.pageSizeBytes ?? 0;
}

function compressKey(spec: CompressSpec): string {
  return `${spec.type}:${spec.level}`;
}
