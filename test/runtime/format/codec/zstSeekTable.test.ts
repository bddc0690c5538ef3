// claim: docs/internals/repository-format.md: after several frames a seek table, so that a reader fetches any page with
//   one request
import { zstdDecompressSync } from "node:zlib";
import { describe, expect, it, test } from "vitest";
import { FRAME_SIZE_BYTES, LONG_FRAME_SIZE_BYTES, zstFrames } from "../../../../runtime/format/codec/zstFrames";
import {
  readSeekTable,
  SEEK_FOOTER_SIZE_BYTES,
  seekTableSizeBytes,
  ZstSeekTable,
} from "../../../../runtime/format/codec/zstSeekTable";
import * as fc from "../../../harness/properties";
import { sampleBytes } from "../vectors";

test("a table has the bytes of zstandard's seekable format", () => {
  const table = new ZstSeekTable();
  expect(table.encode()).toHaveLength(0);
  table.add(0x1234, 0x100000);
  expect(table.encode()).toHaveLength(0);
  table.add(0x56, 0x789);
  // Magic number and size; two entries; number of frames, descriptor, magic number.
  const expected = "5e2a4d18 19000000 34120000 00001000 56000000 89070000 02000000 00 b1ea928f";
  expect(Buffer.from(table.encode()).toString("hex")).toBe(expected.replaceAll(" ", ""));
});

describe("a file of several frames", () => {
  const content = sampleBytes(2 * FRAME_SIZE_BYTES + LONG_FRAME_SIZE_BYTES + 77, 7);
  const file = zstFrames(content, 3);

  it("tells where each part of its content is", () => {
    const sizeBytes = seekTableSizeBytes(file.subarray(file.length - SEEK_FOOTER_SIZE_BYTES)) ?? 0;
    const frames = readSeekTable(file.subarray(file.length - sizeBytes), file.length) ?? [];
    expect(frames.map(({ contentSizeBytes }) => contentSizeBytes)).toEqual([
      FRAME_SIZE_BYTES,
      FRAME_SIZE_BYTES,
      LONG_FRAME_SIZE_BYTES,
      77,
    ]);
    for (const { beginBytes, contentBeginBytes, contentSizeBytes, sizeBytes: size } of frames) {
      const frame = zstdDecompressSync(file.subarray(beginBytes, beginBytes + size));
      expect(frame.equals(content.subarray(contentBeginBytes, contentBeginBytes + contentSizeBytes))).toBe(true);
    }
  });

  it("has a table that an older writer's checksums do not disturb", () => {
    const bytes = Buffer.from(
      "5e2a4d18 15000000 34120000 00001000 aabbccdd 01000000 80 b1ea928f".replaceAll(" ", ""),
      "hex",
    );
    expect(readSeekTable(bytes, 0x1234 + bytes.length)).toEqual([
      { beginBytes: 0, sizeBytes: 0x1234, contentBeginBytes: 0, contentSizeBytes: 0x100000 },
    ]);
  });

  it("is read as a whole when a byte of the table's ends, or the size of the file, is another", () => {
    const end = file.subarray(file.length - 200);
    expect(readSeekTable(end, file.length + 1)).toBeNull();
    expect(readSeekTable(file.subarray(0, file.length - 1), file.length - 1)).toBeNull();
    expect(readSeekTable(file.subarray(file.length - 20), file.length)).toBeNull();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(300), (bytes, sizeBytes) => {
        for (const { contentSizeBytes } of readSeekTable(bytes, sizeBytes) ?? [])
          expect(contentSizeBytes).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
