/** A stream worker on a storage in memory. Recovery always gets a prefix of the WAL that the server wrote. */
// claim: docs/streaming.md: a recovery gets an unbroken start of a streamed segment after any crash; a standby gets
//   none
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { beforeEach, describe, expect, it } from "vitest";
import { collect } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { chunkFileName, sessionName, type StreamChunk } from "../../../../runtime/format/wal/streamChunk";
import { segmentOfLsn } from "../../../../runtime/format/wal/walSegment";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { StreamWorker } from "../../../../runtime/operations/stream/streamWorker";
import type { StreamWorkerOptions } from "../../../../runtime/operations/stream/streamWorkerOptions";
import { getLast } from "../../../../runtime/operations/stream/partial";
import { WalWindow } from "../../../../runtime/operations/stream/walWindow";
import type { Repository } from "../../../../runtime/repository/repository";
import { loadArchiveInfo } from "../../../../runtime/repository/infoStore";
import { listChunks, putChunk, removeChunk } from "../../../../runtime/repository/streamStore";
import { findWal, openWal } from "../../../../runtime/repository/walStore";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CLUSTER, CONTROL, repository, temporaryFolder, WAL_SIZE_BYTES } from "../../repository/support";
import { store } from "../archive";
import { NIGHTLY } from "../../../../tools/parts/nightly";

const SIZE = BigInt(WAL_SIZE_BYTES);
/** Start of the sixth segment. */
const START = 5n * SIZE;
const NAME = segmentOfLsn(1, START, WAL_SIZE_BYTES);
const AFTER = segmentOfLsn(1, START + SIZE, WAL_SIZE_BYTES);

let ctx: TestContext;
let storage: FaultyStorage;
let repo: Repository;
let folder: string;
let sessions = 0;

beforeEach(async () => {
  ctx = testContext();
  storage = new FaultyStorage(new MemoryStorage({ name: "memory1" }));
  repo = repository(1, { storage, compress: { type: "zst", level: 1 }, pass: "first" });
  folder = temporaryFolder();
  await stanzaCreate([repo], CONTROL, ctx);
});

const PERIOD = 251;
const PERIODS = Buffer.from(Array.from({ length: 2 * PERIOD }, (_, index) => (index % PERIOD) + 1));

/** The server's WAL. Each byte depends on its position. */
function wal(from: bigint, sizeBytes: number): Buffer {
  const first = Number(from % BigInt(PERIOD));
  return Buffer.alloc(sizeBytes, PERIODS.subarray(first, first + PERIOD));
}

function worker(window: WalWindow, more: Partial<StreamWorkerOptions> = {}): StreamWorker {
  const options = {
    cluster: CLUSTER,
    timeline: 1,
    segmentSizeBytes: WAL_SIZE_BYTES,
    intervalMs: 1000,
    flushLsn: window.end,
    missingWal: [],
    requireStarted: () => {},
  };
  return new StreamWorker(repo, window, { ...options, session: sessionName(++sessions), ...more }, ctx);
}

/** Runs a complete session: the server sends these amounts, each after the last was shipped, and disconnects. */
async function session(
  window: WalWindow,
  amounts: readonly number[],
  shipping = worker(window),
): Promise<StreamWorker> {
  const running = shipping.run();
  for (const amount of amounts) {
    window.append(window.end, wal(window.end, amount));
    await settled(() => shipping.status().lsn === window.end || shipping.status().error !== null);
  }
  window.close();
  await running;
  return shipping;
}

async function settled(isDone: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 10_000 && !(await isDone()); turn++) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function recovered(
  name: string,
  signals: readonly string[] = ["recovery.signal"],
  whole = false,
): Promise<Buffer | null> {
  const destination = join(folder, "RECOVERYXLOG");
  writeFileSync(destination, "nothing");
  const request = { walName: name, destination, cluster: CLUSTER, segmentSizeBytes: WAL_SIZE_BYTES, timeoutMs: 0 };
  const recovery = { dataDirectory: folder, exists: async (file: string) => signals.includes(file) };
  return (await getLast([repo], request, recovery, async () => whole, ctx)) ? readFileSync(destination) : null;
}

/** Number of the segment's first bytes before the zeros; null without a file, -1 for any other content. */
function beginningOf(result: Buffer | null, from: bigint): number | null {
  if (result === null) return null;
  const sizeBytes = result.findLastIndex((byte) => byte !== 0) + 1;
  return result.equals(Buffer.concat([wal(from, sizeBytes), Buffer.alloc(WAL_SIZE_BYTES - sizeBytes)]))
    ? sizeBytes
    : -1;
}

const names = async (): Promise<string[]> =>
  (await listChunks(repo, "15-1")).map(({ segment, begin, end }) => `${segment} ${begin}-${end}`).sort();

describe("of an earlier timeline", () => {
  const old = (no: number): string => segmentOfLsn(1, BigInt(no) * SIZE, WAL_SIZE_BYTES);
  const inArchive = async (no: number): Promise<boolean> => (await findWal(repo, "15-1", old(no))).length > 0;

  it("a damaged chunk keeps no other segment out of the archive, and is reported once", async () => {
    const window = new WalWindow(5n * SIZE);
    await session(window, [WAL_SIZE_BYTES, WAL_SIZE_BYTES, WAL_SIZE_BYTES]);
    const path = `pgbackstop/demo/stream/15-1/${chunkFileName((await listChunks(repo, "15-1", old(5)))[0] as StreamChunk)}`;
    await storage.put(path, Buffer.from("damaged, and not even encrypted"));
    const promoted = new WalWindow(8n * SIZE);
    const shipping = worker(promoted, { timeline: 2 });
    const running = shipping.run();
    promoted.append(promoted.end, wal(promoted.end, 10));
    await settled(async () => (await inArchive(6)) && (await inArchive(7)));
    ctx.clock.advance(60_000);
    promoted.append(promoted.end, wal(promoted.end, 10));
    await settled(() => shipping.status().lsn === promoted.end);
    promoted.close();
    await running;
    expect([await inArchive(5), await inArchive(6), await inArchive(7)]).toEqual([false, true, true]);
    // The worker removed the chunks of archived segments. It keeps the damaged one for inspection.
    expect([...new Set((await listChunks(repo, "15-1")).map(({ segment }) => segment))].sort()).toEqual([
      old(5),
      segmentOfLsn(2, 8n * SIZE, WAL_SIZE_BYTES),
    ]);
    expect(ctx.lines.filter(({ level, text }) => level === "warn" && text.includes(old(5)))).toHaveLength(1);
  });
});

describe("the position that a repository reports", () => {
  let held: HeldClock;
  let window: WalWindow;
  let shipping: StreamWorker;
  let running: Promise<void>;

  beforeEach(() => {
    held = new HeldClock();
    ctx = { ...ctx, clock: held as never };
    window = new WalWindow(START);
    shipping = worker(window);
    running = shipping.run();
  });

  async function pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) await held.advance(1000);
  }

  async function send(sizeBytes: number): Promise<void> {
    window.append(window.end, wal(window.end, sizeBytes));
    await pass(2);
    await settled(() => shipping.status().lsn === window.end);
  }

  async function end(): Promise<void> {
    window.close();
    await held.until(running);
  }

  const chunks = (): Promise<StreamChunk[]> => listChunks(repo, "15-1");

  it.each([
    ["while WAL is written", 5],
    ["without new WAL", 0],
  ])("includes nothing that a look of the last minute has not shown, %s", async (_when, sizeBytes) => {
    await send(100);
    await send(100);
    for (const chunk of await chunks()) await removeChunk(repo, "15-1", chunk);
    for (let second = 0; second < 70; second++) {
      if (sizeBytes > 0) window.append(window.end, wal(window.end, sizeBytes));
      await pass(1);
      await settled(() => shipping.status().lsn === window.end || shipping.status().error !== null);
    }
    // Compression takes real time.
    for (let turn = 0; turn < 500 && shipping.status().lsn !== window.end; turn++) {
      await pass(1);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const reported = Number((shipping.status().lsn ?? START) - START);
    expect(shipping.status()).toMatchObject({ error: null, lostCount: 1 });
    await end();
    expect(reported).toBeGreaterThanOrEqual(200);
    expect(beginningOf(await recovered(NAME), START)).toBeGreaterThanOrEqual(reported);
    expect(ctx.lines.filter(({ text }) => text.includes("is gone"))).toHaveLength(1);
  });

  it("waits for the interval, also if new WAL comes while nothing waits", async () => {
    const own = new WalWindow(START);
    const seldom = worker(own, { intervalMs: 3_600_000 });
    const shipped = seldom.run();
    own.append(START, wal(START, 100));
    await pass(2);
    await settled(() => seldom.status().lsn === own.end);
    own.append(own.end, wal(own.end, 50));
    await pass(120);
    expect(seldom.status().lsn).toBe(START + 100n);
    own.close();
    await held.until(shipped);
    expect(seldom.status().lsn).toBe(START + 150n);
    await end();
  });

  it("falls back to an archived segment that vanished, until the archive has it again", async () => {
    await send(WAL_SIZE_BYTES + 10);
    await store(repo, 5);
    shipping.archived(NAME);
    await send(1);
    const [stored] = await findWal(repo, "15-1", NAME);
    await storage.remove(`archive/demo/15-1/${NAME.slice(0, 16)}/${stored?.fileName}`);
    await pass(61);
    expect(shipping.status()).toMatchObject({ lsn: START, lostCount: 1 });
    await store(repo, 5);
    await pass(61);
    await send(1);
    expect(shipping.status()).toMatchObject({ lsn: window.end, lostCount: 1 });
    await end();
  });

  // claim: docs/streaming.md: a position counts as…
  it("stays before a segment of which the archive has another server's file", async () => {
    await send(WAL_SIZE_BYTES + 10);
    await store(repo, 6);
    await pass(61);
    window.append(window.end, wal(window.end, 10));
    await pass(61);
    expect(shipping.status()).toMatchObject({ lsn: START + SIZE, error: { kind: "archiveDuplicate" }, lostCount: 0 });
    expect(held.nowMs() - Number(shipping.status().atMs)).toBeGreaterThan(60_000);
    const [stored] = await findWal(repo, "15-1", AFTER);
    await storage.remove(`archive/demo/15-1/${AFTER.slice(0, 16)}/${stored?.fileName}`);
    await pass(61);
    await settled(() => shipping.status().lsn === window.end);
    expect(shipping.status()).toMatchObject({ lsn: window.end, error: null });
    await end();
  });

  it("is not newer than the last look while the repository does not answer", async () => {
    await send(100);
    const before = held.nowMs();
    storage.breakDown(fail("hostConnect", "unreachable"));
    await pass(150);
    const { atMs, error } = shipping.status();
    expect(error?.kind).toBe("hostConnect");
    expect(Number(atMs) - before).toBeLessThanOrEqual(60_000);
    storage.repair();
    await pass(61);
    expect(held.nowMs() - Number(shipping.status().atMs)).toBeLessThanOrEqual(60_000);
    await end();
  });

  it("costs 120 listings an hour, while WAL is written or not", async () => {
    await send(100);
    const before = storage.calls("list").length;
    await pass(600);
    for (let second = 0; second < 600; second++) {
      window.append(window.end, wal(window.end, 1));
      await pass(1);
    }
    expect(
      storage
        .calls("list")
        .slice(before)
        .filter((path) => path.includes("/stream/")).length,
    ).toBeLessThanOrEqual(41);
    await end();
  });
});

describe("a repository worker", () => {
  it("ships each new chunk once, and a recovery gets all of them in one file of a segment's size", async () => {
    const shipped = await session(new WalWindow(START), [1000, 5000, 1]);
    expect(await names()).toEqual([`${NAME} 0-1000`, `${NAME} 1000-6000`, `${NAME} 6000-6001`]);
    expect(shipped.status()).toMatchObject({ repoIndex: 1, lsn: START + 6001n, error: null });
    expect(beginningOf(await recovered(NAME), START)).toBe(6001);
    expect(ctx.lines.at(-1)?.text).toBe(`found ${NAME} up to 0/501771 in the repo1: 15-1 stream`);
    expect(await recovered(AFTER)).toBeNull();
  });

  it("gives nothing to a standby, without a recovery, or for another kind of file", async () => {
    await session(new WalWindow(START), [1000]);
    expect(await recovered(NAME, ["recovery.signal", "standby.signal"])).toBeNull();
    expect(await recovered(NAME, ["standby.signal"])).toBeNull();
    expect(await recovered(NAME, [])).toBeNull();
    expect(await recovered("00000002.history")).toBeNull();
  });

  it("leaves the segment to a pg_wal that has all that was streamed, and more", async () => {
    await session(new WalWindow(START), [100, 300]);
    mkdirSync(join(folder, "pg_wal"), { recursive: true });
    const put = (sizeBytes: number, more: Buffer): void =>
      writeFileSync(
        join(folder, "pg_wal", NAME),
        Buffer.concat([wal(START, sizeBytes), more, Buffer.alloc(WAL_SIZE_BYTES - sizeBytes - more.length)]),
      );
    put(500, Buffer.alloc(0));
    expect(await recovered(NAME)).toBeNull();
    put(400, Buffer.alloc(0));
    expect(beginningOf(await recovered(NAME), START)).toBe(400);
    put(300, Buffer.alloc(9000, 7));
    expect(beginningOf(await recovered(NAME), START)).toBe(400);
  });

  it("prefers the complete segment that was archived meanwhile", async () => {
    await session(new WalWindow(START), [1000]);
    expect((await recovered(NAME, ["recovery.signal"], true))?.length).toBe(WAL_SIZE_BYTES);
  });

  it("gives nothing to a server that archives always: the archive would get it as a complete segment", async () => {
    await session(new WalWindow(START), [1000]);
    writeFileSync(join(folder, "postgresql.conf"), "archive_mode = 'always'\n");
    expect(await recovered(NAME)).toBeNull();
    expect(ctx.lines.at(-1)?.text).toContain("archive_mode = always");
    writeFileSync(join(folder, "postgresql.conf"), "archive_mode = on # always\n");
    expect(await recovered(NAME)).not.toBeNull();
  });

  it("removes a segment's chunks when it is archived, and not before", async () => {
    const window = new WalWindow(START);
    const shipping = worker(window);
    const running = shipping.run();
    window.append(window.end, wal(window.end, WAL_SIZE_BYTES + 10));
    await settled(() => shipping.status().lsn === window.end);
    expect(await names()).toEqual([`${NAME} 0-${WAL_SIZE_BYTES}`, `${AFTER} 0-10`]);
    await store(repo, 5);
    shipping.archived(NAME);
    window.append(window.end, wal(window.end, 1));
    await settled(() => shipping.status().lsn === window.end);
    window.close();
    await running;
    expect(await names()).toEqual([`${AFTER} 0-10`, `${AFTER} 10-11`]);
  });

  it("detects segments that others archived, and chunks of an earlier session", async () => {
    await session(new WalWindow(START), [WAL_SIZE_BYTES, 7]);
    await store(repo, 5);
    const window = new WalWindow(START + SIZE);
    const shipping = worker(window);
    const running = shipping.run();
    window.append(window.end, wal(window.end, 20));
    await settled(() => shipping.status().lsn === window.end);
    // The manual clock advances while all tasks are idle.
    await settled(async () => (await names()).length === 1);
    window.close();
    await running;
    expect(await names()).toEqual([`${AFTER} 0-20`]);
  });

  it("keeps its chunks of a segment while the stored file of that name is damaged", async () => {
    await session(new WalWindow(START), [WAL_SIZE_BYTES, 7]);
    await store(repo, 5);
    const [stored] = await findWal(repo, "15-1", NAME);
    const path = `archive/demo/15-1/${NAME.slice(0, 16)}/${stored?.fileName}`;
    await storage.put(path, Buffer.alloc(stored?.sizeRepoBytes ?? 0, 7));
    const window = new WalWindow(START + SIZE);
    const shipping = worker(window, { missingWal: [NAME] });
    const running = shipping.run();
    for (const amount of [20, 1]) {
      window.append(window.end, wal(window.end, amount));
      await settled(async () => (await names()).some((name) => name.endsWith(`-${window.end - START - SIZE}`)));
    }
    window.close();
    await running;
    // A recovery would get the damaged file.
    expect(shipping.status().lsn).toBe(START);
    expect((await names()).filter((name) => name.startsWith(NAME))).toEqual([`${NAME} 0-${WAL_SIZE_BYTES}`]);
    const reads = storage.calls("read").filter((each) => each === path);
    expect(reads).toHaveLength(1);
  });

  // The archive has other content under that name: the server was reset to a snapshot, or has a clone.
  it("keeps its chunks of a segment that still waits for the archive, whatever is stored under its name", async () => {
    await session(new WalWindow(START), [WAL_SIZE_BYTES, 7]);
    await store(repo, 5);
    const window = new WalWindow(START + SIZE);
    const shipping = worker(window, { missingWal: [NAME], listMissingWal: async () => [NAME] });
    const running = shipping.run();
    window.append(window.end, wal(window.end, 20));
    await settled(async () => (await names()).includes(`${AFTER} 0-20`));
    window.close();
    await running;
    expect(await names()).toContain(`${NAME} 0-${WAL_SIZE_BYTES}`);
  });

  it("merges many chunks into one", async () => {
    await session(
      new WalWindow(START),
      Array.from({ length: 40 }, () => 100),
    );
    const pieces = await names();
    expect(pieces[0]).toBe(`${NAME} 0-3300`);
    expect(pieces).toHaveLength(8);
    expect(beginningOf(await recovered(NAME), START)).toBe(4000);
  });

  it("retries after a failure, reports it once, and loses nothing", async () => {
    const error = fail("hostConnect", "no route", { repoIndex: 1, retryable: true });
    storage.plan("put", { kind: "error", error }, { times: 2 });
    const window = new WalWindow(START);
    const shipping = worker(window);
    const running = shipping.run();
    window.append(window.end, wal(window.end, 300));
    await settled(() => shipping.status().lsn === window.end);
    window.close();
    await running;
    expect(beginningOf(await recovered(NAME), START)).toBe(300);
    expect(ctx.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
    expect(ctx.lines.filter(({ text }) => text === "repo1 accepts streamed WAL again")).toHaveLength(1);
    expect(ctx.clock.sleeps).toEqual(expect.arrayContaining([1000, 2000]));
    storage.verifyAllFaultsExercised();
  });

  it("continues with a complete segment when the window has moved past it", async () => {
    const window = new WalWindow(START);
    const shipping = worker(window);
    for (let index = 0; index < 40; index++) window.append(window.end, wal(window.end, WAL_SIZE_BYTES));
    window.append(window.end, wal(window.end, 17));
    window.close();
    await shipping.run();
    const kept = await names();
    expect(kept.length).toBeGreaterThan(30);
    const current = segmentOfLsn(1, window.end, WAL_SIZE_BYTES);
    expect(beginningOf(await recovered(current), window.end - 17n)).toBe(17);
    // No repository has the first segments: later WAL is safe only after they are archived.
    expect(shipping.status()).toMatchObject({ lsn: START, atMs: null, error: null });
    const first = window.end - 17n - BigInt(kept.length - 1) * SIZE;
    for (let lsn = START; lsn < first; lsn += SIZE) shipping.archived(segmentOfLsn(1, lsn, WAL_SIZE_BYTES));
    expect(shipping.status()).toMatchObject({ lsn: window.end });
    expect(shipping.status().atMs).not.toBeNull();
  });

  // claim: docs/streaming.md: a position counts as…
  it("keeps an earlier session's chunks until the new one has reached as far, and a recovery gets the longer one", async () => {
    await session(new WalWindow(START), [5000]);
    const window = new WalWindow(START);
    const shipping = worker(window, { flushLsn: START + 5000n });
    const running = shipping.run();
    window.append(window.end, wal(window.end, 1000));
    await settled(async () => (await names()).length === 2);
    expect(shipping.status()).toMatchObject({ lsn: null, atMs: null });
    expect(beginningOf(await recovered(NAME), START)).toBe(5000);
    window.append(window.end, wal(window.end, 4001));
    await settled(() => shipping.status().lsn === window.end);
    window.close();
    await running;
    expect(await names()).toEqual([`${NAME} 0-1000`, `${NAME} 1000-5001`]);
    expect(ctx.lines.filter(({ level }) => level === "warn")).toEqual([]);
  });

  // claim: docs/streaming.md: a position counts as…
  it("reports when the server has less than was streamed, and a recovery gets the newest session and nothing of the others", async () => {
    await session(new WalWindow(START), [5000]);
    const window = new WalWindow(START);
    const shipping = worker(window, { flushLsn: START + 1000n });
    const running = shipping.run();
    window.append(window.end, Buffer.concat([wal(window.end, 1000), Buffer.alloc(500, 255)]));
    await settled(() => shipping.status().lsn === window.end);
    window.close();
    await running;
    const warning = "repo1 has streamed WAL of timeline 1 up to 0/501388, the server has it up to 0/5003E8";
    expect(ctx.lines.some(({ level, text }) => level === "warn" && text.startsWith(warning))).toBe(true);
    expect(await names()).toEqual([`${NAME} 0-1500`, `${NAME} 0-5000`]);
    const result = await recovered(NAME);
    expect(result?.findLastIndex((byte) => byte !== 0)).toBe(1499);
    expect(result?.[1499]).toBe(255);
  });

  // claim: docs/streaming.md: a position counts as…
  it("joins one session from two repositories: the valid chunks of each", async () => {
    const other = repository(2);
    await stanzaCreate([other], CONTROL, ctx);
    const [first] = [repo];
    for (const each of [first, other]) {
      repo = each;
      sessions = 100;
      await session(new WalWindow(START), [1000, 500, 500]);
    }
    repo = first;
    const broken = `pgbackstop/demo/stream/15-1/${NAME}-${sessionName(101)}-000003e8-000005dc`;
    await storage.put(broken, Buffer.alloc(100));
    const destination = join(folder, "RECOVERYXLOG");
    const request = { walName: NAME, destination, cluster: CLUSTER, segmentSizeBytes: WAL_SIZE_BYTES, timeoutMs: 0 };
    const recovery = { dataDirectory: folder, exists: async (file: string) => file === "recovery.signal" };
    expect(await getLast([first, other], request, recovery, async () => false, ctx)).toBe(true);
    expect(beginningOf(readFileSync(destination), START)).toBe(2000);
    expect(ctx.lines.at(-1)?.text).toBe(`found ${NAME} up to 0/5007D0 in the repo2: 15-1 stream`);
  });

  it.each([0, 1])("gets what an agent merges after a recovery has read %i of the chunks", async (readCount) => {
    await session(new WalWindow(START), [1000, 500, 500]);
    const pieces = await listChunks(repo, "15-1");
    const archive = { archiveId: "15-1", pass: (await loadArchiveInfo(repo)).cipherPass ?? null };
    const origin = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
    const merge = async (): Promise<void> => {
      const chunk = { ...(pieces[0] as StreamChunk), begin: 0, end: 2000 };
      await putChunk(repo, archive, chunk, [wal(START, 2000)], origin, ctx);
      for (const piece of pieces) await removeChunk(repo, "15-1", piece);
    };
    const read = storage.read.bind(storage);
    let reads = 0;
    storage.read = async (path, options) => {
      if (path.includes("/stream/") && reads++ === readCount) await merge();
      return read(path, options);
    };
    expect(beginningOf(await recovered(NAME), START)).toBe(2000);
  });

  // claim: docs/streaming.md: a position counts as safe when a recovery can reach it; an earlier connection's chunks
  //   stay until the new one has more; repositories and connections are joined only where they agree
  it("reports nothing as safe while earlier WAL is only on the server", async () => {
    const before = segmentOfLsn(1, START - SIZE, WAL_SIZE_BYTES);
    const window = new WalWindow(START);
    const missingWal = [
      before,
      "00000002.history",
      AFTER,
      `${before}.00000028.backup`,
      "000000010000000000000009.partial",
    ];
    const shipping = worker(window, { missingWal });
    const running = shipping.run();
    window.append(window.end, wal(window.end, 700));
    await settled(async () => (await names()).length === 1);
    expect(shipping.status()).toMatchObject({ lsn: null, atMs: null });
    shipping.archived("00000002.history");
    await settled(() => shipping.status().lsn !== null);
    expect(shipping.status()).toMatchObject({ lsn: START - SIZE, atMs: null });
    // Another process archives the segment. The worker detects it by a lookup.
    await store(repo, 4);
    await settled(() => shipping.status().lsn === window.end);
    expect(shipping.status().atMs).not.toBeNull();
    window.close();
    await running;
  });

  it("counts a segment that an earlier session has streamed completely as present", async () => {
    await session(new WalWindow(START), [WAL_SIZE_BYTES, 7]);
    const window = new WalWindow(START + SIZE);
    const shipped = await session(window, [20], worker(window, { missingWal: [NAME] }));
    expect(shipped.status()).toMatchObject({ lsn: START + SIZE + 20n });
  });

  // claim: docs/streaming.md: a segment that was streamed completely on an earlier timeline is archived
  it("archives segments that were streamed completely on an earlier timeline, once, and none of the current one", async () => {
    await session(new WalWindow(START), [WAL_SIZE_BYTES - 5000, 5000, 7]);
    await session(new WalWindow(START + SIZE), [20]);
    expect(await findWal(repo, "15-1", NAME)).toEqual([]);
    const window = new WalWindow(START + SIZE);
    const shipped = await session(window, [20], worker(window, { timeline: 2 }));
    expect(shipped.status().error).toBeNull();
    const [stored] = await findWal(repo, "15-1", NAME);
    const content = wal(START, WAL_SIZE_BYTES);
    expect(stored?.sha1).toBe(sha1Hex(content));
    const { cipherPass } = await loadArchiveInfo(repo);
    if (stored === undefined) throw new Error("not stored");
    expect(
      Buffer.from(await collect(await openWal(repo, "15-1", stored, cipherPass ?? null), WAL_SIZE_BYTES)).equals(
        content,
      ),
    ).toBe(true);
    expect(await names()).toEqual([`${AFTER} 0-20`, `${AFTER.replace(/^.{8}/, "00000002")} 0-20`]);
    expect(
      ctx.lines.filter(({ text }) => text.includes("which was completely streamed and never archived")),
    ).toHaveLength(1);
  });

  it.each([
    ["replaces a damaged file", Buffer.alloc(1000, 7), true],
    ["keeps the chunks beside other content", null, false],
  ])(
    "%s under the name of a segment that was streamed completely on an earlier timeline",
    async (_what, damage, isDone) => {
      await session(new WalWindow(START), [WAL_SIZE_BYTES, 7]);
      await store(repo, [NAME, damage === null ? Buffer.alloc(WAL_SIZE_BYTES, 3) : wal(START, WAL_SIZE_BYTES)]);
      const [stored] = await findWal(repo, "15-1", NAME);
      if (damage !== null) await storage.put(`archive/demo/15-1/${NAME.slice(0, 16)}/${stored?.fileName}`, damage);
      const window = new WalWindow(START + SIZE);
      await session(window, [20], worker(window, { timeline: 2 }));
      const [now] = await findWal(repo, "15-1", NAME);
      expect(now?.sizeRepoBytes === stored?.sizeRepoBytes).toBe(true);
      expect((await names()).some((name) => name.startsWith(NAME))).toBe(!isDone);
      const warned = ctx.lines.filter(({ text }) => text.includes(`${NAME} is completely streamed and cannot`));
      expect(warned).toHaveLength(isDone ? 0 : 1);
    },
  );

  it("continues to ship into a repository that allows no removal, and says so once", async () => {
    await session(new WalWindow(START), [100]);
    const error = fail("access", "no permission to delete", { repoIndex: 1 });
    storage.plan("remove", { kind: "error", error }, { times: 1000 });
    const window = new WalWindow(START);
    const shipped = await session(window, [200, 300, 400], worker(window, { flushLsn: START + 100n }));
    expect(shipped.status()).toMatchObject({ lsn: START + 900n, error: null });
    expect(ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text)).toEqual([
      expect.stringContaining(
        "unable to remove streamed WAL that is archived: repo1: [AccessError] no permission to delete",
      ),
    ]);
    expect(beginningOf(await recovered(NAME), START)).toBe(900);
  });

  it("ships nothing for a stopped stanza", async () => {
    const window = new WalWindow(START);
    window.append(window.end, wal(window.end, 17));
    window.close();
    const stopped = (): void => {
      throw fail("stop", "stop file exists");
    };
    const shipping = worker(window, { requireStarted: stopped });
    await shipping.run();
    expect(await names()).toEqual([]);
    expect(shipping.status()).toMatchObject({ lsn: null, atMs: null, error: { kind: "stop" } });
  });

  it("ships nothing before this server may write there, and checks that once a session", async () => {
    const window = new WalWindow(START);
    let checks = 0;
    let isOwn = false;
    const requireOwn = async (): Promise<void> => {
      checks++;
      if (!isOwn) throw fail("archiveTimeout", "no history yet", { retryable: true });
    };
    const shipping = worker(window, { requireOwn });
    const running = shipping.run();
    window.append(window.end, wal(window.end, 17));
    await settled(() => checks > 2);
    expect(await names()).toEqual([]);
    expect(shipping.status()).toMatchObject({ lsn: null, error: { kind: "archiveTimeout" } });
    isOwn = true;
    await settled(() => shipping.status().lsn === window.end);
    const first = checks;
    window.append(window.end, wal(window.end, 18));
    await settled(() => shipping.status().lsn === window.end);
    window.close();
    await running;
    expect(await names()).toEqual([`${NAME} 0-17`, `${NAME} 17-35`]);
    expect(checks).toBe(first);
  });

  it("falls back to an earlier chunk, or session, when one is damaged", async () => {
    await session(new WalWindow(START), [1000, 500]);
    const [, second] = await listChunks(repo, "15-1");
    const path = `pgbackstop/demo/stream/15-1/${NAME}-${second?.session}-${second?.begin.toString(16).padStart(8, "0")}-${second?.end.toString(16).padStart(8, "0")}`;
    await storage.put(path, Buffer.alloc(100));
    expect(beginningOf(await recovered(NAME), START)).toBe(1000);
    expect(ctx.lines.some(({ level, text }) => level === "warn" && text.startsWith("streamed WAL: repo1"))).toBe(true);
  });

  it("after any crashes a recovery gets a prefix without gaps, and at least all acknowledged WAL", {
    timeout: 20 * 60_000,
  }, async () => {
    let meaningful = 0;
    await fc.assertWhole(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 4 }), fc.nat(12)), {
          minLength: 1,
          maxLength: 3,
        }),
        async (lives) => {
          ctx = testContext();
          const inner = new MemoryStorage({ name: "memory1" });
          const clean = repository(1, { storage: inner, pass: "first" });
          await stanzaCreate([clean], CONTROL, ctx);
          let flushed = START;
          let acknowledged = START;
          for (const [amounts, writes] of lives) {
            repo = repository(1, { storage: new FaultyStorage(inner).crashAfter(writes), pass: "first" });
            // After an outage of the agent or the server, the stream restarts at the segment's start.
            const window = new WalWindow((flushed / SIZE) * SIZE);
            const again = Number(flushed - window.begin);
            const ended = await session(
              window,
              again === 0 ? amounts : [again, ...amounts],
              worker(window, { flushLsn: flushed }),
            );
            flushed = window.end;
            const { lsn } = ended.status();
            if (lsn !== null && lsn > acknowledged) acknowledged = lsn;
          }
          repo = clean;
          const last = segmentOfLsn(1, acknowledged - 1n, WAL_SIZE_BYTES);
          if (acknowledged === START) return;
          meaningful++;
          const begin = ((acknowledged - 1n) / SIZE) * SIZE;
          expect(beginningOf(await recovered(last), begin) ?? 0).toBeGreaterThanOrEqual(Number(acknowledged - begin));
        },
      ),
      { numRuns: NIGHTLY ? 400 : 30 },
    );
    expect(meaningful).toBeGreaterThan(20);
  });
});
