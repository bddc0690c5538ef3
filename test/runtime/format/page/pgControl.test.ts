import { describe, expect, it } from "vitest";
import { crc32c } from "../../../../runtime/format/codec/crc32c";
import {
  imageOf,
  INVALID_CHECKPOINT,
  invalidateCheckpoint,
  LIMIT_NAMES,
  parsePgControl,
  recoveryLimitsOf,
  renderPgControl,
  tracksCommitTimestamp,
} from "../../../../runtime/format/page/pgControl";
import { errorOf, vectorBytes } from "../vectors";

const PG15 = vectorBytes("pg_control.pg15.first512.bin");
const PG18 = vectorBytes("pg_control.pg18.first512.bin");
const PG19 = vectorBytes("pg_control.pg19.first512.bin");
const RESTORED = vectorBytes("v2.60/output/restored.pg_control.first512.bin");

describe("pg_control", () => {
  it("of PostgreSQL 15 is read", () => {
    expect(parsePgControl(PG15)).toMatchObject({
      systemId: 7710143016304328199n,
      pgVersion: "15",
      controlVersion: 1300,
      catalogVersion: 202209061,
      timeline: 1,
      pageSizeBytes: 8192,
      walSegmentSizeBytes: 16 * 1024 * 1024,
      dataChecksums: true,
    });
  });

  it("of PostgreSQL 18 is read", () => {
    const control = parsePgControl(PG18);
    expect(control).toMatchObject({
      systemId: 7710145945351894468n,
      pgVersion: "18",
      controlVersion: 1800,
      catalogVersion: 202506291,
      timeline: 1,
      dataChecksums: true,
    });
    expect(control.redoLsn <= control.checkpointLsn).toBe(true);
  });

  it.each([
    ["15", PG15, [100, 8, 3, 0, 64]],
    ["18", PG18, [100, 8, 3, 0, 64]],
    ["19", PG19, [100, 8, 10, 0, 128]],
  ] as const)("of PostgreSQL %s has the limits of its server", (_, bytes, limits) => {
    expect(LIMIT_NAMES.map((name) => recoveryLimitsOf(bytes)[name])).toEqual(limits);
    expect(tracksCommitTimestamp(bytes)).toBe(false);
  });

  it("of PostgreSQL 19 is read, with any catalog version of its year from its betas on", async () => {
    const facts = {
      systemId: 7710965860834537976n,
      pgVersion: "19",
      controlVersion: 1905,
      catalogVersion: 202610061,
      checkpointLsn: 0x174fed8n,
      redoLsn: 0x174fed8n,
      timeline: 1,
      pageSizeBytes: 8192,
      walSegmentSizeBytes: 16 * 1024 * 1024,
      dataChecksums: true,
    };
    expect(parsePgControl(PG19)).toEqual(facts);
    const of = (version: number): Buffer => {
      const bytes = Buffer.from(PG19);
      bytes.writeUInt32LE(version, 12);
      bytes.writeUInt32LE(crc32c(bytes.subarray(0, 308)), 308);
      return bytes;
    };
    for (const catalogVersion of [202605131, 202612319])
      expect(parsePgControl(of(catalogVersion))).toEqual({ ...facts, catalogVersion });
    for (const other of [202605130, 202701011]) await errorOf("versionNotSupported", () => parsePgControl(of(other)));
  });

  it.each([
    ["while they are disabled", 0],
    ["while a running server disables them", 2],
    ["while it enables them", 3],
  ])("of PostgreSQL 19 has no page checksums %s", (_, state) => {
    const bytes = Buffer.from(PG19);
    expect([bytes.readUInt32LE(264), bytes.readUInt32LE(268)]).toEqual([1, 1]);
    // The state at initdb stays at 264.
    bytes.writeUInt32LE(state, 268);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, 308)), 308);
    expect(parsePgControl(bytes).dataChecksums).toBe(false);
  });

  it("is refused when a byte changed", async () => {
    const broken = Buffer.from(PG18);
    broken[50] = (broken[50] as number) ^ 1;
    expect((await errorOf("checksum", () => parsePgControl(broken))).message).toMatch(
      /^pg_control: invalid checksum, actual 0x[0-9a-f]+ but expected 0x[0-9a-f]+$/,
    );
  });

  it("of an unknown version or too short is refused", async () => {
    const future = Buffer.from(PG18);
    future.writeUInt32LE(1902, 8);
    expect((await errorOf("versionNotSupported", () => parsePgControl(future))).message).toBe(
      "unexpected control version = 1902 and catalog version = 202506291",
    );
    await errorOf("fileInvalid", () => parsePgControl(PG18.subarray(0, 511)));
  });

  it("of a restore has stock's checkpoint, byte for byte", () => {
    expect(parsePgControl(RESTORED).checkpointLsn).toBe(INVALID_CHECKPOINT);
    const started = Buffer.from(RESTORED);
    started.writeBigUInt64LE(0x92244d0n, 32);
    expect(Buffer.from(invalidateCheckpoint(started)).equals(RESTORED)).toBe(true);
  });

  it("is rendered as it is read", () => {
    for (const bytes of [PG15, PG18, PG19]) {
      const control = parsePgControl(bytes);
      expect(parsePgControl(renderPgControl(control))).toEqual(control);
    }
  });

  it("is not changed in place", () => {
    const original = Buffer.from(PG15);
    const invalid = invalidateCheckpoint(original);
    expect(original.equals(PG15)).toBe(true);
    expect(parsePgControl(invalid)).toEqual({ ...parsePgControl(PG15), checkpointLsn: INVALID_CHECKPOINT });
  });

  it("is stored as its header and zeros", () => {
    const image = imageOf(Buffer.concat([PG18, Buffer.alloc(100, 7)]));
    expect(image).toHaveLength(8192);
    expect(Buffer.from(image.subarray(0, 512)).equals(PG18)).toBe(true);
    expect(image.subarray(512).every((byte) => byte === 0)).toBe(true);
  });
});
