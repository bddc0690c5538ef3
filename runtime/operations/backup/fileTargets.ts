/**
 * Produces the stored forms of one file for all repositories, chunk by chunk.
 *
 * Repositories with the same compression share it; if they also hold the same prior blocks, they share the cut into
 * blocks. A repository that fails gets its own error and no more bytes.
 */
import type { Context } from "../../base/context";
import { type BackupError, toBackupError } from "../../base/errors";
import { freeMemory } from "../../base/bytes";
import { Measured } from "../../base/hash";
import type { BlockMap, BlockSizes } from "../../format/repository/blockMap";
import { CHECKSUM_SIZE_BYTES_MIN } from "../../format/repository/blockSize";
import type { BlockSource } from "../../format/repository/blockSource";
import { Encryptor } from "../../format/codec/cipher";
import type { Codec, Pieces } from "../../format/codec/codec";
import { type CompressSpec, createCompressor } from "../../format/codec/compress";
import { loadBlockHash } from "../../format/codec/xxh3";
import type { PageChecker } from "../../format/page/pageChecksum";
import { BlockCutter, BlockStore, type CutSettings, cutKey } from "./blockIncr";
import type { BundleWriter } from "./bundleWriter";

/** How a repository stores a file in blocks. */
export interface BlockPlan extends BlockSizes {
  readonly superBlockSizeBytes: number;
  /** Index of this backup in the manifest's references. */
  readonly reference: number;
  /** The prior copy; null stores every block. */
  readonly prior: PriorCopy | null;
}

interface PriorCopy {
  readonly source: BlockSource;
  readonly sizeBytes: number;
  readonly sha1: string;
  /** True when its pages were checked and are good. */
  readonly pagesValid?: boolean;
}

export interface PieceTarget {
  readonly repoIndex: number;
  /** Where the stored bytes go, relative to the repository. */
  readonly path: string;
  readonly compress: CompressSpec;
  /** Passphrase of this backup's data; null without encryption. */
  readonly cipherPass: string | null;
  /** Number of the file's bundle, whose path is `path`; null for a separate file. */
  readonly bundleId: number | null;
  /** Use raw forms of compression and encryption. */
  readonly raw: boolean;
  /** Null stores the file whole. */
  readonly block: BlockPlan | null;
}

export interface StoredPiece {
  readonly sizeRepoBytes: number;
  /** SHA-1 of the stored bytes; absent when they are the original bytes. */
  readonly sha1Repo?: string;
  readonly bundleOffsetBytes?: number;
  readonly mapSizeBytes?: number;
  /** Why the prior copy's blocks could not be used: the whole file was stored. */
  readonly priorProblem?: string;
}

/** One repository's stored form in progress. */
export class OpenTarget {
  readonly target: PieceTarget;
  readonly writer: BundleWriter;
  /** The map of the prior copy, if the file is stored in blocks and has one. */
  readonly priorMap: BlockMap | null;
  readonly beginBytes: number;
  readonly #measured = new Measured();
  error: BackupError | null = null;
  /** Why an expected prior map is missing. */
  priorProblem: string | null = null;

  constructor(target: PieceTarget, writer: BundleWriter, priorMap: BlockMap | null) {
    this.target = target;
    this.writer = writer;
    this.priorMap = priorMap;
    this.beginBytes = writer.sizeBytes;
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.error !== null) return;
    try {
      this.#measured.add(bytes);
      await this.writer.append(bytes);
    } catch (error) {
      await this.fail(error);
    }
  }

  /** Stores nothing more. */
  async fail(error: unknown): Promise<void> {
    if (this.error !== null) return;
    this.error = toBackupError(error);
    await this.writer.abandon(error);
  }

  stored(): StoredPiece {
    const { target } = this;
    const { sizeBytes, sha1 } = this.#measured.result();
    const filtered = target.compress.type !== "none" || target.cipherPass !== null || target.block !== null;
    return {
      sizeRepoBytes: sizeBytes,
      ...(filtered ? { sha1Repo: sha1 } : {}),
      ...(target.bundleId === null ? {} : { bundleOffsetBytes: this.beginBytes }),
      ...(this.priorProblem === null ? {} : { priorProblem: this.priorProblem }),
    };
  }
}

/** Repositories that share work. */
export interface TargetGroup {
  readonly targets: readonly OpenTarget[];
  write(chunk: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  close(): void;
  /** Hands `checker` the pages of changed blocks, if those of all others are known to be good; otherwise false. */
  checkPages(checker: PageChecker, pageSizeBytes: number): boolean;
  /** Null when nothing was stored, because the blocks equal the prior copy's. */
  stored(target: OpenTarget): StoredPiece | null;
}

export async function groupTargets(targets: readonly OpenTarget[], ctx: Context): Promise<readonly TargetGroup[]> {
  const groups = new Map<string, OpenTarget[]>();
  for (const target of targets) {
    const key = groupKey(target);
    groups.set(key, [...(groups.get(key) ?? []), target]);
  }
  const made: TargetGroup[] = [];
  for (const group of groups.values()) {
    const [first] = group as [OpenTarget, ...OpenTarget[]];
    const settings = cutOf(first);
    try {
      made.push(
        settings === null
          ? new PlainGroup(group, ctx)
          : new BlockGroup(group, new BlockCutter(settings, await loadBlockHash()), ctx),
      );
    } catch (error) {
      for (const target of group) await target.fail(error);
    }
  }
  return made;
}

function groupKey(target: OpenTarget): string {
  const settings = cutOf(target);
  const { compress, raw } = target.target;
  return settings === null ? `${compress.type}:${compress.level}:${raw}` : `blocks:${cutKey(settings)}`;
}

function cutOf({ target, priorMap }: OpenTarget): CutSettings | null {
  if (target.block === null) return null;
  const { blockSizeBytes, checksumSizeBytes, superBlockSizeBytes } = target.block;
  return {
    blockSizeBytes,
    checksumSizeBytes,
    superBlockSizeBytes,
    compress: target.compress,
    priorChecksums: priorMap?.checksums ?? null,
  };
}

class PlainGroup implements TargetGroup {
  readonly targets: readonly OpenTarget[];
  readonly #codec: Codec;
  readonly #encryptors: ReadonlyMap<OpenTarget, Encryptor>;

  constructor(targets: readonly OpenTarget[], ctx: Context) {
    const [first] = targets as [OpenTarget, ...OpenTarget[]];
    this.targets = targets;
    this.#codec = createCompressor(first.target.compress, first.target.raw);
    this.#encryptors = new Map(
      targets.flatMap((open) => {
        const { cipherPass, raw } = open.target;
        return cipherPass === null ? [] : [[open, new Encryptor(cipherPass, ctx.random.bytes(8), raw)] as const];
      }),
    );
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#hand(this.#codec.update(chunk));
  }

  async finish(): Promise<void> {
    await this.#hand(this.#codec.finish());
    for (const [target, encryptor] of this.#encryptors)
      for (const bytes of encryptor.finish()) await target.append(bytes);
  }

  close(): void {
    this.#codec.close();
  }

  checkPages(): boolean {
    return false;
  }

  stored(target: OpenTarget): StoredPiece {
    return target.stored();
  }

  async #hand(pieces: Pieces): Promise<void> {
    for await (const piece of pieces) {
      for (const target of this.targets) {
        const encryptor = this.#encryptors.get(target);
        if (encryptor === undefined) await target.append(piece);
        else
          for (const bytes of encryptor.update(piece)) {
            await target.append(bytes);
            freeMemory(bytes);
          }
      }
    }
  }
}

class BlockGroup implements TargetGroup {
  readonly targets: readonly OpenTarget[];
  readonly #cutter: BlockCutter;
  readonly #stores: ReadonlyMap<OpenTarget, BlockStore>;

  constructor(targets: readonly OpenTarget[], cutter: BlockCutter, ctx: Context) {
    this.targets = targets;
    this.#cutter = cutter;
    this.#stores = new Map(
      targets.map((open) => {
        const { block, cipherPass } = open.target;
        return [open, new BlockStore({ reference: block?.reference ?? 0, cipherPass, prior: open.priorMap }, ctx)];
      }),
    );
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#hand(this.#cutter.add(chunk));
  }

  async finish(): Promise<void> {
    await this.#hand(this.#cutter.end());
    for (const [open, store] of this.#stores) {
      const location = { bundleId: open.target.bundleId ?? 0, offsetBytes: open.beginBytes };
      for (const bytes of store.end(this.#cutter, location)) await open.append(bytes);
    }
  }

  close(): void {
    this.#cutter.close();
  }

  /** An unchanged block has the bytes whose pages the prior backup checked, at the same place of the same file. */
  checkPages(checker: PageChecker, pageSizeBytes: number): boolean {
    const { blockSizeBytes, checksumSizeBytes } = this.#cutter.settings;
    const areGood = this.targets.some(
      ({ priorMap, target }) => priorMap !== null && target.block?.prior?.pagesValid === true,
    );
    if (!areGood || checksumSizeBytes < CHECKSUM_SIZE_BYTES_MIN || blockSizeBytes % pageSizeBytes !== 0) return false;
    this.#cutter.watch((pages, offsetBytes) => checker.addAt(pages, offsetBytes));
    return true;
  }

  stored(target: OpenTarget): StoredPiece | null {
    const blocks = this.#stores.get(target)?.result() ?? null;
    return blocks === null ? null : { ...target.stored(), mapSizeBytes: blocks.mapSizeBytes };
  }

  async #hand(pieces: Iterable<Uint8Array>): Promise<void> {
    for (const packed of pieces) {
      for (const [target, store] of this.#stores) {
        const stored = store.add(packed);
        await target.append(stored);
        if (stored !== packed) freeMemory(stored);
      }
    }
  }
}
