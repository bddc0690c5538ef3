import { describe, expect, it } from "vitest";
import { parseWalHeader, renderWalHeader } from "../../../../runtime/format/wal/walHeader";
import { errorOf, vectorBytes } from "../vectors";

const PG15 = vectorBytes("wal-header.pg15.first512.bin");
const PG18 = vectorBytes("wal-header.pg18.first512.bin");
const PG19 = vectorBytes("wal-header.pg19.first512.bin");

describe("WAL headers", () => {
  it("have version, timeline, cluster and size", () => {
    const size = { timeline: 1, segmentSizeBytes: 16 * 1024 * 1024 };
    expect(parseWalHeader(PG15)).toMatchObject({ pgVersion: "15", systemId: 7710143016304328199n, ...size });
    expect(parseWalHeader(PG18)).toMatchObject({ pgVersion: "18", systemId: 7710145945351894468n, ...size });
    expect(parseWalHeader(PG19)).toMatchObject({ pgVersion: "19", systemId: 7710965860834537976n, ...size });
    expect(parseWalHeader(PG18).lsn % BigInt(size.segmentSizeBytes)).toBe(0n);
  });

  it.each([
    ["versionNotSupported", (bytes: Buffer) => bytes.writeUInt16LE(0xd0ff, 0), "unexpected WAL magic 53503"],
    [
      "format",
      (bytes: Buffer) => bytes.writeUInt16LE(0, 2),
      "first page header in WAL file is expected to be in long format",
    ],
    [
      "format",
      (bytes: Buffer) => bytes.writeUInt32LE(12345, 32),
      "WAL segment size is 12345, expected a power of two from 1 MiB to 1 GiB",
    ],
  ] as const)("are refused as %s when wrong", async (kind, change, message) => {
    const bytes = Buffer.from(PG18);
    change(bytes);
    expect((await errorOf(kind, () => parseWalHeader(bytes))).message).toBe(message);
  });

  it("are rendered as they are read", () => {
    for (const bytes of [PG15, PG18, PG19]) {
      const header = parseWalHeader(bytes);
      expect(parseWalHeader(renderWalHeader(header))).toEqual(header);
    }
  });

  it("of short files are refused", async () => {
    await errorOf("fileInvalid", () => parseWalHeader(PG18.subarray(0, 39)));
  });
});
