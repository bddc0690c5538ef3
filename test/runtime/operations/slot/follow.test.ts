/** A scripted server and the real list of finished WAL. */
import { beforeEach, describe, expect, test } from "vitest";
import { type BackupError, fail } from "../../../../runtime/base/errors";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { openMissingWal } from "../../../../runtime/local/missingWal";
import type { SlotPosition } from "../../../../runtime/local/slotState";
import { followOnce, type FollowParts } from "../../../../runtime/operations/slot/follow";
import { testContext } from "../../../harness/context";
import {
  CONTROL,
  makeTree,
  makeWalDirectory,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walName,
} from "../../repository/support";

const at = (segments: number): bigint => BigInt(segments * WAL_SIZE_BYTES);

describe("a standby", () => {
  let folder: string;
  let position: SlotPosition | null;
  let pushed: string[];
  let queries: string[];
  let refusal: BackupError | null;

  beforeEach(() => {
    folder = temporaryFolder();
    [position, pushed, queries, refusal] = [null, [], [], null];
  });

  /** A standby with the slot of its time as a primary, which held WAL from `slotLsn` on. */
  const follow = (slotLsn: bigint | null, timeline = 1, history: string | null = null): Promise<boolean> => {
    const lsn = slotLsn === null ? null : formatLsn(slotLsn);
    const row = { lsn, pid: null, status: slotLsn === null ? "lost" : "reserved", safe: null, retained: "0" };
    const parts = {
      slot: "pgbackstop_demo",
      walDirectory: `${folder}/pg_wal`,
      readyDirectory: `${folder}/slot`,
      repos: [],
      missingWal: openMissingWal(folder, "demo"),
      requireStarted: () => {},
      loadControl: async () => CONTROL,
      open: async () => ({
        identify: async () => ({ systemId: CONTROL.systemId, timeline, flushLsn: at(8) + 100n, inRecovery: true }),
        receive: async () => fail("dbConnect", "not expected"),
        close: async () => {},
      }),
      newSession: async () => ({
        query: async (sql: string) => {
          queries.push(sql);
          return { rows: [row] } as never;
        },
        close: async () => {},
      }),
      readFile: async () => (history === null ? null : Buffer.from(history)),
      loadPosition: async () => position,
      savePosition: async () => {},
      push: async (walName: string) => {
        pushed.push(walName);
        return { accepted: refusal === null, error: refusal };
      },
      begun: () => {},
      lost: () => {},
    } satisfies FollowParts;
    const ctx = testContext();
    return followOnce(parts, ctx.signal, ctx);
  };
  const isDropped = (): boolean => queries.some((sql) => sql.includes("pg_drop_replication_slot"));

  // claim: docs/slot-archiving.md: a server that becomes a standby keeps its slot until its own WAL is archived
  test("keeps its slot while no repository takes a segment of its time as a primary, without a recorded position too", async () => {
    makeWalDirectory(folder, [5, 6]);
    refusal = fail("archiveTimeout", "the repositories are down", { retryable: true });
    await expect(follow(at(5) + 40n)).rejects.toThrow("the repositories are down");
    expect([pushed, isDropped()]).toEqual([[walName(5)], false]);
    refusal = null;
    expect(await follow(at(5) + 40n)).toBe(true);
    expect([pushed.slice(1), isDropped()]).toEqual([[walName(5), walName(6)], true]);
  });

  test("archives from the lower one of slot and record on, up to where another timeline took over", async () => {
    makeWalDirectory(folder, [4, 5, 6, 7]);
    position = { systemId: CONTROL.systemId, timeline: 1, lsn: at(6) };
    const history = `1\t${formatLsn(at(7) + 8n)}\tno recovery target specified\n`;
    expect(await follow(at(5), 2, history)).toBe(true);
    expect(pushed).toEqual([walName(5), walName(6)]);
    position = { ...position, lsn: at(4) };
    pushed = [];
    await follow(at(5), 2, history);
    expect(pushed).toEqual([walName(4), walName(5), walName(6)]);
    position = null;
    pushed = [];
    await follow(at(6), 2, history);
    expect(pushed).toEqual([walName(6)]);
  });

  test("drops a slot that holds nothing", async () => {
    makeTree(folder, { "pg_wal/": "" });
    expect(await follow(null)).toBe(true);
    expect([pushed, isDropped()]).toEqual([[], true]);
  });
});
