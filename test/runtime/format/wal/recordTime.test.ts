import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { recordTimeUs } from "../../../../runtime/format/wal/recordTime";
import { WalReader } from "../../../../runtime/format/wal/walReader";
import { vectorBytes } from "../vectors";
import { endOf, pack, pgTime, preparedOf, WalWriter } from "../walWriter";

const AT_US = 1_763_715_153_123_456n;

describe("times in WAL records", () => {
  it("are those of transactions' ends, checkpoints and ends of recovery", () => {
    const wal = new WalWriter({ major: 17 });
    const commit = endOf({ atUs: AT_US });
    const prepared = preparedOf({ xid: 7, atUs: AT_US, gid: "x", subtransactions: [] }, 17);
    const checkpoint = pack(
      [8, 40n],
      [4, 1],
      [4, 1],
      [8, 1],
      [8, 7],
      Buffer.alloc(32),
      [8, 1_763_715_153],
      [8, 0],
      [8, 0],
    );
    const records: readonly (readonly [
      resourceManager: number,
      info: number,
      main: Uint8Array,
      atUs: bigint | null,
    ])[] = [
      [1, 0x00, commit.main, AT_US],
      [1, 0x20, commit.main, AT_US],
      [1, 0x10, prepared, AT_US],
      // The number of a transaction that begins.
      [1, 0x50, pack([4, 7]), null],
      [0, 0x00, checkpoint, 1_763_715_153_000_000n],
      [0, 0x10, checkpoint, 1_763_715_153_000_000n],
      [0, 0x90, pack(pgTime(AT_US), [4, 2], [4, 1], [4, 1]), AT_US],
      // A record that changes nothing, and an insert.
      [0, 0x20, new Uint8Array(8), null],
      [10, 0x00, pack([2, 1], [1, 0]), null],
    ];
    for (const [resourceManager, info, main] of records) wal.add({ resourceManager, info, xid: 7, body: { main } });
    wal.switchSegment();
    const read = [...new WalReader().read([...wal.segments().values()][0] ?? new Uint8Array())];
    expect(read.map((record) => recordTimeUs(record, 17))).toEqual([...records.map(([, , , atUs]) => atUs), null]);
  });

  it.each([
    [15, "2026-11-21T"],
    [19, "2026-11-22T12:0"],
  ])("of a server of PostgreSQL %i are in order, and of its day", (major, day) => {
    const records = [...new WalReader().read(gunzipSync(vectorBytes(`wal/pg${major}.segment.gz`)))];
    const times = records.flatMap((record) => recordTimeUs(record, major) ?? []);
    expect(times.length).toBeGreaterThan(1);
    for (const timeUs of times) expect(new Date(Number(timeUs / 1000n)).toISOString().startsWith(day)).toBe(true);
  });
});
