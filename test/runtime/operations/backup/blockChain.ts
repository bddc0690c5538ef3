/** Backs up one block incremental file several times in memory, for tests of writing and reading. */
import { createHash } from "node:crypto";
import { concatBytes } from "../../../../runtime/base/bytes";
import { type BlockMap, type BlockSizes, renderBlockMap } from "../../../../runtime/format/repository/blockMap";
import type { BlockSource } from "../../../../runtime/format/repository/blockSource";
import type { CompressSpec } from "../../../../runtime/format/codec/compress";
import { sealRaw } from "../../../../runtime/format/repository/superBlock";
import { type BlockHash, loadBlockHash } from "../../../../runtime/format/codec/xxh3";
import { BlockCutter, BlockStore, type StoredBlocks } from "../../../../runtime/operations/backup/blockIncr";
import { openBlockFile, readBlocks } from "../../../../runtime/repository/blockReader";
import type { Repository } from "../../../../runtime/repository/repository";
import type { Storage } from "../../../../runtime/storage/storage";
import type { MemoryStorage } from "../../../harness/doubles/storages";
import { all, pieces } from "../../format/vectors";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { repository, temporaryFolder } from "../../repository/support";

export const FILE_NAME = "pg_data/base/5/16384";

/** Returns different bytes at each call, and the same ones in each run. */
export function testRandom(): { readonly random: { bytes(sizeBytes: number): Uint8Array } } {
  let count = 0;
  return {
    random: { bytes: (sizeBytes) => createHash("sha256").update(String(count++)).digest().subarray(0, sizeBytes) },
  };
}

/** A directory with the same files. */
export async function inDirectory(storage: Storage): Promise<PosixStorage> {
  const { signal } = new AbortController();
  const copy = new PosixStorage({ root: temporaryFolder(), syncDirectories: false, symlinks: true, signal });
  for (const [path, { bytes }] of (storage as MemoryStorage).files) await copy.put(path, bytes);
  return copy;
}

export interface ChainOptions extends BlockSizes {
  readonly compress: CompressSpec;
  readonly cipherPass: string | null;
  readonly superBlockSizeBytes: number;
  /** 0 stores the file separately. */
  readonly bundleId: number;
  /** Size of the bundle before the file. */
  readonly offsetBytes: number;
}

export class BlockChain {
  readonly repo: Repository = repository(1);
  readonly options: ChainOptions;
  readonly labels: string[] = [];
  readonly #ctx = testRandom();
  #prior: BlockMap | null = null;
  #source: BlockSource | null = null;

  constructor(options: ChainOptions) {
    this.options = options;
  }

  /** Backs up the file again, based on its last backup; null when nothing was stored. */
  async backup(bytes: Uint8Array, chunkBytes = 1 << 20): Promise<StoredBlocks | null> {
    const { bundleId, offsetBytes, cipherPass, ...settings } = this.options;
    const hash: BlockHash = await loadBlockHash();
    const label =
      this.labels.length === 0 ? "20261120-060000F" : `20261120-060000F_20261120-07000${this.labels.length}I`;
    this.labels.push(label);
    const cutter = new BlockCutter({ ...settings, priorChecksums: this.#prior?.checksums ?? null }, hash);
    const store = new BlockStore({ reference: this.labels.length - 1, cipherPass, prior: this.#prior }, this.#ctx);
    const location = { bundleId, offsetBytes: bundleId === 0 ? 0 : offsetBytes };
    const parts: Uint8Array[] = [];
    for await (const chunk of pieces(bytes, chunkBytes))
      for (const packed of cutter.add(chunk)) parts.push(Buffer.from(store.add(packed)));
    for (const packed of cutter.end()) parts.push(Buffer.from(store.add(packed)));
    cutter.close();
    const stored = concatBytes([...parts, ...store.end(cutter, location)]);
    const result = store.result();
    if (result === null) {
      if (stored.length > 0) throw new Error("bytes without a map");
      return null;
    }
    const path = `backup/demo/${label}/${bundleId === 0 ? `${FILE_NAME}.pgbi` : `bundle/${bundleId}`}`;
    await this.repo.storage.put(
      path,
      concatBytes([new Uint8Array(location.offsetBytes).fill(7), stored, Buffer.from("other files")]),
    );
    this.#prior = result.map;
    this.#source = {
      ...settings,
      name: FILE_NAME,
      references: [...this.labels],
      extentOffsetBytes: location.offsetBytes,
      mapPath: path,
      mapOffsetBytes: location.offsetBytes + result.sizeRepoBytes - result.mapSizeBytes,
      mapSizeBytes: result.mapSizeBytes,
      compressType: settings.compress.type,
      cipherPass,
    };
    return result;
  }

  source(): BlockSource {
    if (this.#source === null) throw new Error("nothing was backed up");
    return this.#source;
  }

  /** A copy of the repository with another map of the same size in the last backup. */
  async withMap(map: BlockMap): Promise<Repository> {
    const { mapPath, mapOffsetBytes, mapSizeBytes, cipherPass } = this.source();
    const storage = (this.repo.storage as MemoryStorage).clone();
    const bytes = Buffer.from(await all(await storage.read(mapPath)));
    const stored = sealRaw(renderBlockMap(map), cipherPass, () => this.#ctx.random.bytes(8));
    if (stored.length !== mapSizeBytes) throw new Error("the map has another size");
    bytes.set(stored, mapOffsetBytes);
    await storage.put(mapPath, bytes);
    return { ...this.repo, storage };
  }

  /** Reads the file of the last backup. With `wanted`, reads only those blocks over `before`. */
  async read(
    sizeBytes: number,
    wanted: (block: number) => boolean = () => true,
    before = new Uint8Array(sizeBytes),
    storage: Storage = this.repo.storage,
  ): Promise<Buffer> {
    const repo = { ...this.repo, storage };
    const open = await openBlockFile(repo, this.source());
    const bytes = Buffer.from(before);
    await readBlocks(repo, this.source(), open, wanted, (each) =>
      bytes.set(each.bytes, each.block * open.map.blockSizeBytes),
    );
    return bytes;
  }
}
