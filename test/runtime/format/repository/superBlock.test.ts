import { sha1Hex } from "../../../../runtime/base/hash";
import { beforeAll, describe, expect, it } from "vitest";
import { blockChecksum, parseBlockMap } from "../../../../runtime/format/repository/blockMap";
import {
  openRaw,
  openSuperBlock,
  superBlockCompressor,
  sealRaw,
} from "../../../../runtime/format/repository/superBlock";
import { type BlockHash, loadBlockHash } from "../../../../runtime/format/codec/xxh3";
import { blockVector, fileOfRow } from "../blockVectors";
import { errorOf, sampleBytes, vectorBytes, vectorText } from "../vectors";

const PLAIN_LZ4 = { cipherPass: null, compressType: "lz4" } as const;
const salt = (): Uint8Array => Buffer.from("saltsalt");

let blockHash: BlockHash;

beforeAll(async () => {
  blockHash = await loadBlockHash();
});

describe("stock's super blocks", () => {
  it("of a full backup yield the file and the checksums of its map", () => {
    const { extent, map, file, sizes } = blockVector("F.pg_data_base_1_1247_fsm");
    const parsed = parseBlockMap(map, sizes, file.name);
    const superBlock = parsed.blocks[0]?.superBlock;
    if (superBlock === undefined) throw new Error("no blocks");
    const bytes = openSuperBlock(extent.subarray(0, superBlock.sizeRepoBytes), superBlock, PLAIN_LZ4, file.name);
    expect(sha1Hex(bytes)).toBe(file.sha1);
    for (let block = 0; block < 3; block++) {
      const own = bytes.subarray(block * 8192, (block + 1) * 8192);
      expect(Buffer.from(blockHash.hash(own, 6)).toString("hex")).toBe(
        Buffer.from(blockChecksum(parsed, block)).toString("hex"),
      );
    }
  });

  it("are read encrypted too, like the map after them", () => {
    const rows = vectorText("v2.60/block-zst-encrypted/manifest-rows.txt").split("\n");
    const pass = /^cipher-pass="(.*)"$/.exec(rows[0] ?? "")?.[1] ?? "";
    const file = fileOfRow(rows.find((row) => row.includes("1247_fsm")) ?? "");
    const extent = vectorBytes("v2.60/block-zst-encrypted/1247_fsm.extent.bin");
    const map = openRaw(extent.subarray(extent.length - 40), pass);
    const parsed = parseBlockMap(map, { blockSizeBytes: 8192, checksumSizeBytes: 6 }, file.name);
    const superBlock = parsed.blocks[0]?.superBlock;
    if (superBlock === undefined) throw new Error("no blocks");
    expect(superBlock).toEqual({
      reference: 0,
      bundleId: 1,
      offsetBytes: 112_960,
      sizeRepoBytes: 168,
      sizeBytes: 24_576,
    });
    const bytes = openSuperBlock(
      extent.subarray(0, 168),
      superBlock,
      { cipherPass: pass, compressType: "zst" },
      file.name,
    );
    expect(sha1Hex(bytes)).toBe(file.sha1);
  });
});

describe("a super block", () => {
  const bytes = sampleBytes(100_000);

  it.each([
    ["none", null],
    ["gz", null],
    ["lz4", "secret"],
    ["zst", "secret"],
  ] as const)("survives %s with passphrase %s", (compressType, cipherPass) => {
    const stored = sealRaw(superBlockCompressor({ type: compressType, level: 1 }).compress(bytes), cipherPass, salt);
    expect(openSuperBlock(stored, { sizeBytes: bytes.length }, { compressType, cipherPass }, "file")).toEqual(
      Buffer.from(bytes),
    );
  });

  it("of gz is a zlib stream, of lz4 a frame without checksum, encrypted without magic", () => {
    expect(superBlockCompressor({ type: "gz", level: 6 }).compress(bytes)[0]).toBe(0x78);
    expect(superBlockCompressor({ type: "lz4", level: 1 }).compress(bytes)[4]).toBe(0x40);
    expect(
      Buffer.from(sealRaw(bytes, "secret", salt))
        .subarray(0, 8)
        .toString(),
    ).toBe("saltsalt");
  });

  it("with another size than in its map is refused", async () => {
    const stored = superBlockCompressor({ type: "zst", level: 1 }).compress(bytes);
    const packing = { compressType: "zst", cipherPass: null } as const;
    const long = await errorOf("format", () =>
      openSuperBlock(stored, { sizeBytes: 100_001 }, packing, "pg_data/base/1/2"),
    );
    expect(long.message).toBe("a super block of 'pg_data/base/1/2' has 100000 bytes instead of 100001");
    await errorOf("format", () => openSuperBlock(stored, { sizeBytes: 99_999 }, packing, "pg_data/base/1/2"));
  });

  it.each(["none", "gz", "lz4", "zst"] as const)(
    "of %s is unpacked into reused memory, also after a damaged one",
    async (compressType) => {
      const packing = { compressType, cipherPass: null };
      const target = Buffer.alloc(200_000);
      const stored = superBlockCompressor({ type: compressType, level: 1 }).compress(bytes);
      for (let turn = 0; turn < 3; turn++) {
        expect(
          Buffer.compare(
            openSuperBlock(stored, { sizeBytes: bytes.length }, packing, "file", target.fill(turn)),
            bytes,
          ),
        ).toBe(0);
        await errorOf("format", () =>
          openSuperBlock(stored.subarray(0, stored.length - 3), { sizeBytes: bytes.length }, packing, "file", target),
        );
        await errorOf("format", () => openSuperBlock(stored, { sizeBytes: bytes.length - 1 }, packing, "file", target));
        await errorOf("format", () => openSuperBlock(stored, { sizeBytes: bytes.length + 1 }, packing, "file", target));
      }
    },
  );
});
