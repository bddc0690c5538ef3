import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { checkpointOf, isCheckpoint } from "../../../../runtime/format/wal/walCheckpoint";
import { WalReader } from "../../../../runtime/format/wal/walReader";
import { errorOf, vectorBytes } from "../vectors";
import { pack } from "../walWriter";

const MAIN = pack(
  [8, 0x1000028n],
  [4, 1],
  [4, 1],
  [8, 1],
  [8, 0x5_0000_02bcn],
  Buffer.alloc(32),
  [8, 1_763_715_153],
  Buffer.alloc(16),
);

describe("checkpoints in WAL", () => {
  it("have the start of recovery, the next transaction and the time", async () => {
    expect(checkpointOf(MAIN)).toEqual({ redo: 0x1000028n, nextXid: 700, atUs: 1_763_715_153_000_000n });
    for (const cut of [0, 71]) await errorOf("format", () => checkpointOf(MAIN.subarray(0, cut)));
  });

  it("are those of a shutdown and of a running server, and nothing else", () => {
    const record = { lsn: 1n, xid: 0, resourceManager: 0, info: 0, bytes: MAIN };
    for (const info of [0x00, 0x01, 0x10]) expect(isCheckpoint({ ...record, info })).toBe(true);
    for (const info of [0x20, 0x40, 0x90, 0xe0]) expect(isCheckpoint({ ...record, info })).toBe(false);
    expect(isCheckpoint({ ...record, resourceManager: 1 })).toBe(false);
    const records = [...new WalReader().read(gunzipSync(vectorBytes("wal/pg15.segment.gz")))];
    const checkpoints = records.filter(isCheckpoint);
    expect(checkpoints.map(({ lsn }) => lsn.toString(16))).toEqual(["700060"]);
  });
});
