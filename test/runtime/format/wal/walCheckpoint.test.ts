import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { checkpointOf, isCheckpoint } from "../../../../runtime/format/wal/walCheckpoint";
import { WalReader } from "../../../../runtime/format/wal/walReader";
import { parseRecord } from "../../../../runtime/format/wal/walRecord";
import { errorOf, vectorBytes } from "../vectors";
import { pack } from "../walWriter";

/** 19 has one more field before the transaction number, and a wider MultiXactOffset after it. */
function mainOf(major: number): Uint8Array {
  const begin = pack([8, 0x1000028n], [4, 1], [4, 1], [8, 1]);
  const end = pack([8, 0x5_0000_02bcn], Buffer.alloc(32), [8, 1_763_715_153], Buffer.alloc(16));
  return pack(begin, Buffer.alloc(major >= 19 ? 8 : 0), end);
}

describe("checkpoints in WAL", () => {
  it("have the start of recovery, the next transaction and the time", async () => {
    for (const major of [14, 18, 19]) {
      const main = mainOf(major);
      expect(checkpointOf(main, major)).toEqual({ redo: 0x1000028n, nextXid: 700, atUs: 1_763_715_153_000_000n });
      for (const cut of [0, major >= 19 ? 79 : 71])
        await errorOf("format", () => checkpointOf(main.subarray(0, cut), major));
    }
  });

  it("are those of a shutdown and of a running server, and nothing else", () => {
    const record = { lsn: 1n, xid: 0, resourceManager: 0, info: 0, bytes: mainOf(18) };
    for (const info of [0x00, 0x01, 0x10]) expect(isCheckpoint({ ...record, info })).toBe(true);
    for (const info of [0x20, 0x40, 0x90, 0xe0]) expect(isCheckpoint({ ...record, info })).toBe(false);
    expect(isCheckpoint({ ...record, resourceManager: 1 })).toBe(false);
  });

  it.each([
    [15, "700060", 0x700028n, 732, "2026-11-21T"],
    [19, "900080", 0x900028n, 671, "2026-11-22T12:05:"],
  ] as const)("of PostgreSQL %i have its server's facts", (major, lsn, redo, nextXid, at) => {
    const records = [...new WalReader().read(gunzipSync(vectorBytes(`wal/pg${major}.segment.gz`)))];
    const [checkpoint, ...others] = records.filter(isCheckpoint);
    if (checkpoint === undefined) throw new Error("no checkpoint");
    expect([others.length, checkpoint.lsn.toString(16)]).toEqual([0, lsn]);
    const facts = checkpointOf(parseRecord(checkpoint, major).main, major);
    expect(facts).toMatchObject({ redo, nextXid });
    expect(new Date(Number(facts.atUs / 1000n)).toISOString().startsWith(at)).toBe(true);
  });
});
