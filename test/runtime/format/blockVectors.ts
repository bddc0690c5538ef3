/** Golden block incremental files of stock, and generated maps for property tests. */
import * as fc from "../../harness/properties";
import type { BlockMap, MappedBlock, StoredSuperBlock } from "../../../runtime/format/repository/blockMap";
import type { ManifestFile } from "../../../runtime/format/repository/manifest";
import { parseFileRow } from "../../../runtime/format/repository/manifestFile";
import { vectorBytes, vectorText } from "./vectors";

export const BLOCK_VECTORS = [
  "F.pg_data_base_1_1247_fsm",
  "F.pg_data_base_1_2619",
  "D.pg_data_base_1_2619",
  "D.pg_data_base_1_2696",
  "I.pg_data_base_5_16385",
  "I.pg_data_base_5_16385_fsm",
] as const;

/** One line of the expected map, in the form of the vectors' decoder. */
export interface ExpectedItem {
  readonly ref: number;
  readonly sbs: number;
  readonly bid: number;
  readonly off: number;
  readonly size: number;
  readonly block: number;
  readonly ck: string;
}

export interface BlockVector {
  /** The stored super blocks and map. */
  readonly extent: Uint8Array;
  readonly map: Uint8Array;
  readonly file: ManifestFile;
  readonly sizes: { readonly blockSizeBytes: number; readonly checksumSizeBytes: number };
  readonly references: readonly string[];
  readonly items: readonly ExpectedItem[];
}

const DEFAULTS = { user: "postgres", group: "postgres", mode: 0o600 };

export function fileOfRow(row: string): ManifestFile {
  const split = row.indexOf("=");
  const entry = {
    section: "target:file",
    key: row.slice(0, split),
    valueText: row.slice(split + 1),
    value: JSON.parse(row.slice(split + 1)),
  };
  return parseFileRow(entry, DEFAULTS, "vector");
}

export function blockVector(name: (typeof BLOCK_VECTORS)[number]): BlockVector {
  const extent = vectorBytes(`v2.60/block-lz4/${name}.extent.bin`);
  const facts = JSON.parse(vectorText(`v2.60/block-lz4/${name}.json`)) as {
    row: string;
    references: string[];
    items: ExpectedItem[];
  };
  const file = fileOfRow(facts.row);
  const block = file.block as NonNullable<ManifestFile["block"]>;
  return {
    extent,
    map: extent.subarray(extent.length - block.mapSizeBytes),
    file,
    sizes: { blockSizeBytes: block.sizeBytes, checksumSizeBytes: block.checksumSizeBytes },
    references: facts.references,
    items: facts.items,
  };
}

/** Maps of a chain of backups. Each backup changes, adds or cuts off some blocks. */
export const chainedMaps: fc.Arbitrary<BlockMap> = fc
  .record({
    blockSizeBytes: fc.constantFrom(8192, 24_576),
    checksumSizeBytes: fc.constantFrom(6, 7, 12),
    backups: fc.array(
      fc.record({
        reference: fc.integer({ min: 0, max: 2 }),
        bundleId: fc.nat(300),
        offsetBytes: fc.oneof(fc.constant(0), fc.nat(3_000_000_000)),
        blockCount: fc.integer({ min: 1, max: 40 }),
        changed: fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
        perSuperBlock: fc.integer({ min: 1, max: 9 }),
        sizesRepo: fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 40, maxLength: 40 }),
        lastShort: fc.boolean(),
      }),
      { minLength: 1, maxLength: 5 },
    ),
  })
  .map(({ blockSizeBytes, checksumSizeBytes, backups }) => {
    let blocks: MappedBlock[] = [];
    for (const [step, backup] of backups.entries()) {
      const kept = blocks.slice(0, backup.blockCount);
      const numbers = Array.from({ length: backup.blockCount }, (_, block) => block).filter(
        (block) => kept[block] === undefined || backup.changed[block] === true,
      );
      let { offsetBytes } = backup;
      for (let begin = 0; begin < numbers.length; begin += backup.perSuperBlock) {
        const own = numbers.slice(begin, begin + backup.perSuperBlock);
        const isShort = backup.lastShort && own.at(-1) === backup.blockCount - 1;
        const sizeRepoBytes = backup.sizesRepo[begin] as number;
        const superBlock: StoredSuperBlock = {
          // References ascend, with gaps.
          reference: step * 3 + backup.reference,
          bundleId: backup.bundleId,
          offsetBytes,
          sizeRepoBytes,
          sizeBytes: own.length * blockSizeBytes - (isShort ? 100 : 0),
        };
        for (const [index, block] of own.entries()) kept[block] = { superBlock, index };
        offsetBytes += sizeRepoBytes;
      }
      blocks = kept;
    }
    const checksums = Uint8Array.from({ length: blocks.length * checksumSizeBytes }, (_, index) => (index * 31) % 251);
    return { blockSizeBytes, checksumSizeBytes, blocks, checksums };
  });
