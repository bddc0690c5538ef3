import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { chunkFileName, type StreamChunk } from "../../../../runtime/format/wal/streamChunk";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { unreadableKeys } from "../../../../runtime/operations/archiveGet/archiveGet";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { getLast } from "../../../../runtime/operations/stream/partial";
import type { Repository } from "../../../../runtime/repository/repository";
import { putChunk } from "../../../../runtime/repository/streamStore";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import { type TestContext, testContext } from "../../../harness/context";
import {
  CLUSTER,
  CONTROL,
  repository,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walBytes,
  walName,
} from "../../repository/support";

const SESSION = "00000000000a";
const STREAM = /\/stream\//;
const DENIED = { kind: "error", error: fail("fileRead", "permission denied") } as const;

let ctx: TestContext;
let storages: readonly FaultyStorage[];
let repos: readonly Repository[];
let folder: string;

beforeEach(async () => {
  ctx = testContext();
  folder = temporaryFolder();
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  await stanzaCreate(repos, CONTROL, ctx);
});

/** Stores these bytes of segment 1, as one session of a server streamed them. */
async function put(repoIndex: number, begin: number, end: number, timeline = 1): Promise<string> {
  const chunk: StreamChunk = { segment: walName(1, timeline), session: SESSION, begin, end };
  const origin = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
  const wal = [walBytes(1).subarray(begin, end)];
  await putChunk(repos[repoIndex - 1] as Repository, { archiveId: "15-1", pass: null }, chunk, wal, origin, ctx);
  return chunkFileName(chunk);
}

/** How many bytes a recovery gets. */
async function recovered(timeoutMs: number | null = 0, timeline = 1): Promise<number> {
  const destination = join(folder, "RECOVERYXLOG");
  const request = {
    walName: walName(1, timeline),
    destination,
    cluster: CLUSTER,
    segmentSizeBytes: WAL_SIZE_BYTES,
    timeoutMs,
  };
  const recovery = { dataDirectory: folder, exists: async (name: string) => name === "recovery.signal" };
  if (!(await getLast(repos, request, recovery, async () => false, ctx))) return 0;
  return readFileSync(destination).findLastIndex((byte) => byte !== 0) + 1;
}

// claim: docs/streaming.md: a recovery does not end while a repository that may hold more streamed WAL cannot be read
describe("a repository whose streamed WAL cannot be read", () => {
  /** The recovery's error; it leaves no file behind. */
  async function refused(timeoutMs = 0): Promise<readonly number[] | null> {
    const error = await recovered(timeoutMs).then(
      () => fail("assert", "the recovery got an answer"),
      (thrown: ReturnType<typeof fail>) => thrown,
    );
    expect(error).toMatchObject({ kind: "repoInvalid", retryable: true });
    expect(error.message).toContain("permission denied");
    expect(readdirSync(folder)).toEqual([]);
    return unreadableKeys(error);
  }

  it("is asked again, and is an error when it cannot be listed", async () => {
    await put(1, 0, 1000);
    await put(2, 0, 1500);
    storages[1]?.plan("list", DENIED, { path: STREAM, times: Number.POSITIVE_INFINITY });
    expect(await refused(5000)).toEqual([2]);
    expect(ctx.clock.sleeps).toEqual([1000, 2000]);
    // The recovery may end without it.
    expect(await recovered(null)).toBe(1000);
  });

  it("counts when it answers in time", async () => {
    await put(1, 0, 1000);
    await put(2, 0, 1500);
    storages[1]?.plan("list", DENIED, { path: STREAM, times: 2 });
    expect(await recovered(5000)).toBe(1500);
  });

  it("is an error when a chunk cannot be read that no other repository replaces", async () => {
    await put(1, 0, 1000);
    await put(2, 0, 1000);
    const further = await put(2, 1000, 1500);
    storages[1]?.plan("read", DENIED, { path: new RegExp(further), times: 2 });
    expect(await refused()).toEqual([2]);
    expect(await recovered(null)).toBe(1000);
    storages[1]?.verifyAllFaultsExercised();
  });

  it("is no error when another repository reaches as far", async () => {
    const chunk = await put(1, 0, 1500);
    await put(2, 0, 1500);
    storages[0]?.plan("read", DENIED, { path: new RegExp(chunk) });
    expect(await recovered()).toBe(1500);
    storages[0]?.verifyAllFaultsExercised();
  });

  it("is no error after a complete segment", async () => {
    await put(1, 0, WAL_SIZE_BYTES);
    storages[1]?.plan("list", DENIED, { path: STREAM });
    expect(await recovered()).toBeGreaterThan(1500);
  });
});

it("takes a repository without streamed WAL, and a damaged chunk, for the end", async () => {
  expect(await recovered()).toBe(0);
  await put(2, 0, 1000);
  const further = await put(2, 1000, 1500);
  await repos[1]?.storage.put(`pgbackstop/demo/stream/15-1/${further}`, Buffer.alloc(100));
  expect(await recovered()).toBe(1000);
});

// claim: docs/streaming.md: a timeline that was streamed only before its start leaves the recovery to the one before
it("leaves a segment to the timeline before if that one has more of what they share", async () => {
  const began = formatLsn(BigInt(WAL_SIZE_BYTES + 1200));
  await repos[0]?.storage.put("archive/demo/15-1/00000002.history", Buffer.from(`1\t${began}\tpromoted\n`));
  await put(2, 0, 800, 2);
  expect(await recovered(0, 2)).toBe(800);
  await put(1, 0, 700);
  expect(await recovered(0, 2)).toBe(800);
  await put(1, 700, 1400);
  expect(await recovered(0, 2)).toBe(0);
  expect(readdirSync(folder)).toEqual(["RECOVERYXLOG"]);
  expect(await recovered()).toBe(1400);
  await put(2, 800, 1300, 2);
  expect(await recovered(0, 2)).toBe(1300);
});
