/** Reads a file stored in blocks from its first block to its last, in bounded memory. */
import { type ByteStream, collect } from "../../base/bytes";
import { LIMITS } from "../../base/limits";
import type { StoredSuperBlock } from "../../format/repository/blockMap";
import type { BlockSource } from "../../format/repository/blockSource";
import { bundlePath, dataFilePath } from "../../format/repository/repoPath";
import { openSuperBlock } from "../../format/repository/superBlock";
import { loadBlockMap } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";

/** Yields the blocks in order; holds one super block for each backup that they come from. */
export async function* blocksInOrder(repo: Repository, source: BlockSource, sizeBytes: number): ByteStream {
  const map = await loadBlockMap(repo, source);
  const opened = new Map<number, { readonly superBlock: StoredSuperBlock; readonly bytes: Uint8Array }>();
  let restBytes = sizeBytes;
  for (const { superBlock, index } of map.blocks) {
    let own = opened.get(superBlock.reference);
    if (own?.superBlock !== superBlock) {
      const label = source.references[superBlock.reference] ?? "";
      const path =
        superBlock.bundleId > 0
          ? bundlePath(repo.stanza, label, superBlock.bundleId)
          : dataFilePath(repo.stanza, label, { name: source.name, block: source }, source.compressType);
      const range = { offsetBytes: superBlock.offsetBytes, sizeBytes: superBlock.sizeRepoBytes };
      const stored = await collect(await repo.storage.read(path, range), LIMITS.wholeFileSizeBytesMax);
      own = { superBlock, bytes: openSuperBlock(stored, superBlock, source, source.name) };
      opened.set(superBlock.reference, own);
    }
    const block = own.bytes.subarray(
      index * source.blockSizeBytes,
      Math.min((index + 1) * source.blockSizeBytes, index * source.blockSizeBytes + restBytes),
    );
    restBytes -= block.length;
    yield block;
  }
}
