import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import {
  bySession,
  CHUNK_HEAD_SIZE_BYTES,
  checkChunk,
  chunkFileName,
  coverOf,
  expectedHead,
  joinChunk,
  parseChunkHead,
  parseChunkName,
  renderChunkHead,
  segmentSizeOf,
  sessionName,
  type StreamChunk,
} from "../../../../runtime/format/wal/streamChunk";

const SEGMENT = "00000002000000010000000A";
const SIZE = 16 * 1024 * 1024;
const chunk = (begin: number, end: number, session = "0193a1b2c3d4"): StreamChunk => ({
  segment: SEGMENT,
  session,
  begin,
  end,
});

describe("chunks of WAL", () => {
  it("have names that identify them", () => {
    expect(chunkFileName(chunk(0, 0x12000))).toBe(`${SEGMENT}-0193a1b2c3d4-00000000-00012000`);
    fc.assert(
      fc.property(
        fc.nat(0x3fffffff),
        fc.integer({ min: 1, max: 0x40000000 }),
        fc.nat(Number.MAX_SAFE_INTEGER),
        (begin, size, nowMs) => {
          const piece = chunk(begin, begin + size, sessionName(nowMs));
          expect(parseChunkName(chunkFileName(piece))).toEqual(piece);
        },
      ),
    );
  });

  it("are distinguished from other files", () => {
    const name = chunkFileName(chunk(0, 16));
    for (const other of [
      "",
      SEGMENT,
      `${name}.pgbackrest.tmp`,
      `x${name}`,
      name.replace(/10$/, "00"),
      `00000002.history-${name.slice(25)}`,
    ])
      expect(parseChunkName(other)).toBeNull();
    expect(() => chunkFileName(chunk(16, 16))).toThrow();
  });

  it("name sessions in the order of time", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 47), fc.nat(2 ** 47), (left, right) => {
        expect(sessionName(left) < sessionName(right)).toBe(left < right);
      }),
    );
  });

  it("have a header, and are refused when it does not match", () => {
    const wal = Buffer.from("some WAL of sixteen");
    const piece = chunk(0x2000, 0x2000 + wal.length);
    const head = { ...expectedHead(piece, SIZE), systemId: 7n, sha1: sha1Hex(wal), compressType: "zst" as const };
    expect(head).toMatchObject({ timeline: 2, lsn: 0x1_0a00_2000n, sizeBytes: 19 });
    const content = joinChunk(head, wal);
    expect(content.length).toBe(CHUNK_HEAD_SIZE_BYTES + wal.length);
    expect(parseChunkHead(content)).toEqual(head);
    expect(() => checkChunk(piece, head, wal, 7n, SIZE)).not.toThrow();
    expect(() => checkChunk(piece, head, wal, 8n, SIZE)).toThrow(/belongs to another cluster/);
    expect(() => checkChunk(chunk(0, 19), head, wal, 7n, SIZE)).toThrow(/does not match its name/);
    expect(() => checkChunk(piece, { ...head, timeline: 3 }, wal, 7n, SIZE)).toThrow(/does not match its name/);
    expect(() => checkChunk(piece, head, wal.subarray(1), 7n, SIZE)).toThrow(/does not match its name/);
    expect(() => checkChunk(piece, head, Buffer.from("some WAL of sixteeN"), 7n, SIZE)).toThrow(/is damaged/);
    for (const wrong of [
      content.subarray(0, CHUNK_HEAD_SIZE_BYTES - 1),
      Buffer.alloc(100),
      Buffer.concat([renderChunkHead(head).subarray(0, -1), Buffer.of(9)]),
    ])
      expect(() => parseChunkHead(wrong)).toThrow(/not a chunk of streamed WAL/);
  });

  it("show the size of their cluster's segments", () => {
    for (const sizeBytes of [1, 16, 64, 1024].map((mib) => mib * 1024 * 1024)) {
      const piece = { ...chunk(0x100, 0x90000), segment: "000000020000000100000003" };
      expect(segmentSizeOf(piece, expectedHead(piece, sizeBytes))).toBe(sizeBytes);
    }
    expect(() => segmentSizeOf(chunk(0x100, 0x200), { lsn: 0x101n })).toThrow("does not match its name");
  });

  it("cover a segment from its first byte up to the first gap, whatever else exists", () => {
    expect(coverOf([])).toEqual([]);
    expect(coverOf([chunk(5, 9)])).toEqual([]);
    expect(coverOf([chunk(5, 9), chunk(0, 5), chunk(12, 20)])).toEqual([chunk(0, 5), chunk(5, 9)]);
    expect(coverOf([chunk(0, 5), chunk(5, 9), chunk(0, 9), chunk(9, 10)])).toEqual([chunk(0, 9), chunk(9, 10)]);
    fc.assert(
      // A merged chunk replaces all earlier ones, which may still exist.
      fc.property(
        fc.array(fc.record({ size: fc.integer({ min: 1, max: 50 }), merged: fc.boolean(), kept: fc.boolean() })),
        (ships) => {
          let pieces: StreamChunk[] = [];
          let end = 0;
          for (const { kept, merged, size } of ships) {
            const begin = merged ? 0 : end;
            end += size;
            pieces = [...(merged && !kept ? [] : pieces), chunk(begin, end)];
          }
          const cover = coverOf(pieces.reverse());
          expect(cover.at(-1)?.end ?? 0).toBe(end);
          cover.forEach((piece, index) => expect(piece.begin).toBe(index === 0 ? 0 : cover[index - 1]?.end));
        },
      ),
    );
  });

  it("of different sessions are kept apart, the latest first", () => {
    const [old, next] = ["000000000001", "000000000002"];
    expect(bySession([chunk(0, 5, old), chunk(0, 3, next), chunk(5, 9, old)])).toEqual([
      [chunk(0, 3, next)],
      [chunk(0, 5, old), chunk(5, 9, old)],
    ]);
  });
});
