/** A scripted server and the real list of finished WAL. */
import { readdirSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { type BackupError, fail } from "../../../../runtime/base/errors";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { openMissingWal } from "../../../../runtime/local/missingWal";
import type { SlotPosition } from "../../../../runtime/local/slotState";
import { type Follower, followOnce, type FollowParts } from "../../../../runtime/operations/slot/follow";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import {
  CONTROL,
  makeTree,
  makeWalDirectory,
  repository,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walName,
} from "../../repository/support";
import { store } from "../archive";

const at = (segments: number): bigint => BigInt(segments * WAL_SIZE_BYTES);

let folder: string;
let position: SlotPosition | null;
let pushed: string[];
let queries: string[];
let refusal: BackupError | null;
/** Null while the server has no slot. */
let slot: { readonly lsn: bigint | null } | null;

beforeEach(() => {
  folder = temporaryFolder();
  [position, pushed, queries, refusal, slot] = [null, [], [], null, null];
});

/** A server that has written a bit of segment 8. */
const source = { systemId: CONTROL.systemId, timeline: 1, flushLsn: at(8) + 100n, inRecovery: false };

async function query(sql: string): Promise<never> {
  queries.push(sql);
  if (sql.includes("pg_create_physical_replication_slot")) slot = { lsn: at(7) };
  const lsn = slot?.lsn ?? null;
  const row = {
    lsn: lsn === null ? null : formatLsn(lsn),
    pid: null,
    status: lsn === null ? "lost" : "reserved",
    safe: null,
    retained: "0",
  };
  return { rows: slot === null ? [] : [row] } as never;
}

function follow(more: Partial<typeof source> = {}, over: Partial<FollowParts> = {}): Promise<boolean> {
  const ctx = testContext();
  return followOnce(
    {
      slot: "pgbackstop_demo",
      onStandby: false,
      wholeLsn: async () => source.flushLsn,
      walDirectory: `${folder}/pg_wal`,
      readyDirectory: `${folder}/slot`,
      repos: [],
      missingWal: openMissingWal(folder, "demo"),
      requireStarted: () => {},
      loadControl: async () => CONTROL,
      open: async () => ({
        identify: async () => ({ ...source, ...more }),
        receive: async () => fail("dbConnect", "the connection is lost"),
        close: async () => {},
      }),
      newSession: async () => ({ query, close: async () => {} }),
      readFile: async () => null,
      loadPosition: async () => position,
      savePosition: async () => {},
      push: async (name) => {
        pushed.push(name);
        return { accepted: refusal === null, error: refusal };
      },
      begun: () => {},
      lost: () => {},
      ...over,
    },
    ctx.signal,
    ctx,
  );
}

const asked = (what: string): boolean => queries.some((sql) => sql.includes(what));

describe("a standby", () => {
  /** `slotLsn`: what the slot of its time as a primary holds. */
  const stand = (slotLsn: bigint | null, timeline = 1, history: string | null = null): Promise<boolean> => {
    slot = { lsn: slotLsn };
    const readFile = async (): Promise<Buffer | null> => (history === null ? null : Buffer.from(history));
    return follow({ timeline, inRecovery: true }, { readFile });
  };

  // claim: docs/slot-archiving.md: a server that becomes a standby keeps its slot until its own WAL is archived
  test("keeps its slot while no repository takes a segment of its time as a primary, without a recorded position too", async () => {
    makeWalDirectory(folder, [5, 6]);
    refusal = fail("archiveTimeout", "the repositories are down", { retryable: true });
    await expect(stand(at(5) + 40n)).rejects.toThrow("the repositories are down");
    expect([pushed, asked("pg_drop_replication_slot")]).toEqual([[walName(5)], false]);
    refusal = null;
    expect(await stand(at(5) + 40n)).toBe(true);
    expect([pushed.slice(1), asked("pg_drop_replication_slot")]).toEqual([[walName(5), walName(6)], true]);
  });

  test("archives from the lower one of slot and record on, up to where another timeline took over", async () => {
    makeWalDirectory(folder, [4, 5, 6, 7]);
    position = { systemId: CONTROL.systemId, timeline: 1, lsn: at(6) };
    const history = `1\t${formatLsn(at(7) + 8n)}\tno recovery target specified\n`;
    expect(await stand(at(5), 2, history)).toBe(true);
    expect(pushed).toEqual([walName(5), walName(6)]);
    position = { ...position, lsn: at(4) };
    pushed = [];
    await stand(at(5), 2, history);
    expect(pushed).toEqual([walName(4), walName(5), walName(6)]);
    position = null;
    pushed = [];
    await stand(at(6), 2, history);
    expect(pushed).toEqual([walName(6)]);
  });

  test("drops a slot that holds nothing", async () => {
    makeTree(folder, { "pg_wal/": "" });
    expect(await stand(null)).toBe(true);
    expect([pushed, asked("pg_drop_replication_slot")]).toEqual([[], true]);
  });
});

describe("a standby that is followed", () => {
  const standby = (over: Partial<FollowParts>): Promise<boolean> => {
    slot = { lsn: at(6) };
    return follow({ inRecovery: true }, { onStandby: true, ...over });
  };

  // claim: docs/hosts/foreign-server.md: a segment of a standby is archived once it was received to its end
  test("gives a segment away only once it is whole there, whatever the server has replayed", async () => {
    makeWalDirectory(folder, [5, 6, 7, 8]);
    position = { systemId: CONTROL.systemId, timeline: 1, lsn: at(6) };
    let wholeLsn = at(7);
    let looks = 0;
    const receive: Awaited<ReturnType<FollowParts["open"]>>["receive"] = async (_start, sink) => {
      // The end of segment 8 was replayed with the record that ended it.
      sink(at(8) + 100n, Buffer.alloc(WAL_SIZE_BYTES - 100));
      while (looks < 3) await new Promise((resolve) => setImmediate(resolve));
      expect(pushed).toEqual([walName(6)]);
      wholeLsn = at(9);
      while (pushed.length < 3) await new Promise((resolve) => setImmediate(resolve));
      return fail("dbConnect", "the connection is lost");
    };
    const open: FollowParts["open"] = async () => ({
      identify: async () => ({ ...source, inRecovery: true }),
      receive,
      close: async () => {},
    });
    const whole = async (): Promise<bigint> => {
      looks++;
      return wholeLsn;
    };
    await expect(standby({ open, wholeLsn: whole })).rejects.toThrow("the connection is lost");
    expect(pushed).toEqual([walName(6), walName(7), walName(8)]);
    expect(asked("pg_drop_replication_slot")).toBe(false);
  });

  test("waits after its start until it is where its archive ends, and counts nothing as lost", async () => {
    makeWalDirectory(folder, [5]);
    position = { systemId: CONTROL.systemId, timeline: 1, lsn: at(8) };
    await expect(standby({ wholeLsn: async () => at(6) })).rejects.toMatchObject({
      kind: "archiveTimeout",
      retryable: true,
    });
    expect(pushed).toEqual([]);
  });
});

describe("a primary without a recorded position", () => {
  let storage: FaultyStorage;
  let repos: Repository[];

  beforeEach(async () => {
    storage = new FaultyStorage(new MemoryStorage({ name: "memory1" }));
    repos = [repository(1, { storage })];
    await stanzaCreate(repos, CONTROL, testContext());
  });

  // claim: docs/slot-archiving.md: a slot that was dropped leaves no hidden gap while no repository answers
  test("creates its slot and begins once a repository shows how far it is", async () => {
    await store(repos[0] as Repository, 3);
    makeWalDirectory(folder, [4, 5, 6, 7]);
    storage.breakDown(fail("hostConnect", "no route"));
    let isBegun = false;
    const begun = (): void => {
      isBegun = true;
    };
    await expect(follow({}, { repos, begun })).rejects.toMatchObject({ kind: "repoInvalid", retryable: true });
    expect([asked("pg_create_physical_replication_slot"), isBegun]).toEqual([true, false]);
    storage.repair();
    await expect(follow({}, { repos, begun })).rejects.toThrow("the connection is lost");
    const listed = readdirSync(`${folder}/slot/archive_status`).map((file) => file.slice(0, 24));
    expect(listed.sort()).toEqual([4, 5, 6, 7].map((no) => walName(no)));
  });

  test("takes what the server has of its timeline from before the slot, which an earlier connection created", async () => {
    makeWalDirectory(folder, [5, 6, 7]);
    const history = `1\t${formatLsn(at(5) + 8n)}\tno recovery target specified\n`;
    for (const no of [5, 6, 7]) writeFileSync(`${folder}/pg_wal/${walName(no, 2)}`, "");
    const readFile = async (): Promise<Buffer> => Buffer.from(history);
    storage.breakDown(fail("hostConnect", "no route"));
    await expect(follow({ timeline: 2 }, { repos, readFile })).rejects.toMatchObject({ kind: "repoInvalid" });
    storage.repair();
    await expect(follow({ timeline: 2 }, { repos, readFile })).rejects.toThrow("the connection is lost");
    const listed = readdirSync(`${folder}/slot/archive_status`).map((file) => file.slice(0, 24));
    expect(listed.sort()).toEqual([5, 6, 7].map((no) => walName(no, 2)));
  });
});

test("a segment that is finished while acknowledged ones are forgotten stays on the list of waiting ones", async () => {
  const [first, end] = [6, 70];
  makeTree(
    folder,
    Object.fromEntries(Array.from({ length: end - first }, (_, no) => [`pg_wal/${walName(first + no)}`, ""])),
  );
  slot = { lsn: at(first) };
  position = { systemId: CONTROL.systemId, timeline: 1, lsn: at(first) };
  let finished = end;
  let isPruning = false;
  const push: FollowParts["push"] = async (name) => {
    pushed.push(name);
    if (pushed.length > end - first) await new Promise(() => {});
    isPruning = pushed.length === end - first;
    return { accepted: true, error: null };
  };
  let follower: Follower | null = null;
  const open: FollowParts["open"] = async () => ({
    identify: async () => ({ ...source, flushLsn: at(end) + 100n }),
    receive: async (_start, sink) => {
      while (!isPruning) await new Promise((resolve) => setImmediate(resolve));
      // One in each turn, so that one falls between the list of names and that of files.
      for (; finished < end + 100; finished++) {
        sink(at(finished + 1), Buffer.alloc(10));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await follower?.markUntil(at(finished));
      return fail("dbConnect", "the connection is lost");
    },
    close: async () => {},
  });
  const begun = (begunFollower: Follower): void => {
    follower = begunFollower;
  };
  await expect(follow({}, { open, push, begun })).rejects.toThrow("the connection is lost");
  const ready = readdirSync(`${folder}/slot/archive_status`).filter((file) => file.endsWith(".ready"));
  expect(ready.sort()).toEqual(Array.from({ length: 100 }, (_, no) => `${walName(end + no)}.ready`));
});
