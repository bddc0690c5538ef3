/**
 * A stream worker that commits wait for, on a storage whose uploads end in any order or fail. What it reports as stored
 * is always what a recovery gets.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import {
  bySession,
  parseChunkName,
  reachOf,
  sessionName,
  type StreamChunk,
} from "../../../../runtime/format/wal/streamChunk";
import { lsnOfSegment, segmentOfLsn } from "../../../../runtime/format/wal/walSegment";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { getLast } from "../../../../runtime/operations/stream/partial";
import { StreamWorker } from "../../../../runtime/operations/stream/streamWorker";
import type { StreamWorkerOptions } from "../../../../runtime/operations/stream/streamWorkerOptions";
import { WalWindow } from "../../../../runtime/operations/stream/walWindow";
import type { Repository } from "../../../../runtime/repository/repository";
import { HeldClock, pause, type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import * as fc from "../../../harness/properties";
import { CLUSTER, CONTROL, repository, temporaryFolder, WAL_SIZE_BYTES, walName } from "../../repository/support";
import { store } from "../archive";
import { NIGHTLY } from "../../../../tools/parts/nightly";

const SIZE = BigInt(WAL_SIZE_BYTES);
const START = 5n * SIZE;

/** Uploads wait for {@link Harbour.finish}, which ends any of them, well or not. */
class Harbour extends MemoryStorage {
  readonly waiting: ((outcome: Outcome) => void)[] = [];
  puts = 0;
  isHeld = false;

  override async put(path: string, bytes: Uint8Array): Promise<void> {
    this.puts++;
    const outcome = this.isHeld ? await new Promise<Outcome>((resolve) => this.waiting.push(resolve)) : "stored";
    if (outcome !== "lost") await super.put(path, bytes);
    if (outcome !== "stored") throw fail("hostConnect", "no route", { retryable: true });
  }

  finish(index: number, outcome: Outcome = "stored"): void {
    this.waiting.splice(index % this.waiting.length, 1)[0]?.(outcome);
  }

  /** Position up to which a recovery gets the WAL after `from`, from the chunks and the archive's files. */
  reach(from: bigint): bigint {
    const names = this.paths().map((path) => basename(path));
    const chunks = names.flatMap((name) => parseChunkName(name) ?? []);
    for (let at = from; ; ) {
      const segment = segmentOfLsn(1, at, WAL_SIZE_BYTES);
      const sessions = bySession(chunks.filter((chunk) => chunk.segment === segment));
      const stored = names.filter((name) => name.startsWith(`${segment}-`) && parseChunkName(name) === null);
      // A recovery gets the archived file, and of another server's file nothing of this one.
      const isServers = stored.every((name) => name === `${segment}-${segmentSha1(segment)}`);
      const streamed = Math.max(0, ...sessions.map((own) => reachOf(own)));
      const reach = stored.length === 0 ? streamed : isServers ? WAL_SIZE_BYTES : 0;
      if (reach < WAL_SIZE_BYTES) return lsnOfSegment(segment, WAL_SIZE_BYTES) + BigInt(reach);
      at = lsnOfSegment(segment, WAL_SIZE_BYTES) + SIZE;
    }
  }
}

/** `answerLost`: stored, but reported as a failure. */
type Outcome = "stored" | "lost" | "answerLost";

let ctx: Omit<TestContext, "clock"> & { readonly clock: Clock };
let clock: TestContext["clock"];
let storage: Harbour;
let repo: Repository;
let folder: string;
let sessions = 0;
/** Positions that were reported before a recovery could reach them. */
let tooEarly: bigint[];

beforeEach(async () => {
  await begin();
  folder = temporaryFolder();
});

afterEach(() => {
  expect(tooEarly).toEqual([]);
});

async function begin(): Promise<void> {
  const made = testContext();
  [ctx, clock] = [made, made.clock];
  storage = new Harbour({ name: "memory1" });
  repo = repository(1, { storage, compress: { type: "none", level: 0 } });
  await stanzaCreate([repo], CONTROL, ctx);
  storage.puts = 0;
  tooEarly = [];
}

/** The server's WAL. Each byte depends on its position. */
function wal(from: bigint, sizeBytes: number): Buffer {
  const first = Number(from % 251n);
  return Buffer.alloc(sizeBytes, Buffer.from(Array.from({ length: 251 }, (_, index) => ((first + index) % 251) + 1)));
}

const sha1s = new Map<string, string>();

function segmentSha1(segment: string): string {
  const known = sha1s.get(segment) ?? sha1Hex(wal(lsnOfSegment(segment, WAL_SIZE_BYTES), WAL_SIZE_BYTES));
  sha1s.set(segment, known);
  return known;
}

/** The archive gets the server's segment. */
async function storeWal(no: number): Promise<void> {
  await store(repo, [walName(no), wal(BigInt(no) * SIZE, WAL_SIZE_BYTES)]);
}

interface Sailing {
  readonly window: WalWindow;
  readonly worker: StreamWorker;
  readonly running: Promise<void>;
  /** The furthest reported position. */
  confirmed: bigint;
  crash(): Promise<void>;
}

async function passes(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    clock.advance(1000);
    await pause(5);
  }
}

/** Runs a worker and checks each position that it reports. */
function sail(more: Partial<StreamWorkerOptions> = {}, groupMs = 0, start = START): Sailing {
  const window = new WalWindow(start);
  const stop = new AbortController();
  const progressed = (): void => {
    const { lsn } = worker.status();
    if (lsn === null) return;
    // The worker would take a thrown error for a failed upload.
    if (lsn > sailing.confirmed && lsn > storage.reach(start)) tooEarly.push(lsn);
    if (lsn > sailing.confirmed) sailing.confirmed = lsn;
  };
  const options = {
    cluster: CLUSTER,
    timeline: 1,
    segmentSizeBytes: WAL_SIZE_BYTES,
    intervalMs: 1000,
    flushLsn: start,
    missingWal: [],
    requireStarted: () => {},
    session: sessionName(++sessions),
    prompt: { groupMs, progressed },
  };
  const worker = new StreamWorker(repo, window, { ...options, ...more }, { ...ctx, signal: stop.signal });
  const running = worker.run();
  const crash = async (): Promise<void> => {
    stop.abort(fail("term", "killed"));
    window.notify();
    let isOver = false;
    void running.then(() => {
      isOver = true;
    });
    while (!isOver) {
      while (storage.waiting.length > 0) storage.finish(0, "lost");
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const sailing: Sailing = { window, worker, running, confirmed: 0n, crash };
  return sailing;
}

/** Two uploads run, of 100 and of 50 bytes, and the later one ends first. */
async function sailWithSecondStored(): Promise<Sailing> {
  const sailing = sail();
  await settled(() => sailing.confirmed === START);
  storage.isHeld = true;
  send(sailing, 100);
  await settled(() => storage.waiting.length === 1);
  send(sailing, 50);
  await settled(() => storage.waiting.length === 2);
  storage.finish(1);
  return sailing;
}

async function settled(isDone: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 5000 && !(await isDone()); turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(await isDone()).toBe(true);
}

const send = ({ window }: Sailing, sizeBytes: number): void => window.append(window.end, wal(window.end, sizeBytes));

async function recovered(name: string): Promise<Buffer | null> {
  const destination = join(folder, "RECOVERYXLOG");
  writeFileSync(destination, "nothing");
  const request = { walName: name, destination, cluster: CLUSTER, segmentSizeBytes: WAL_SIZE_BYTES, timeoutMs: 0 };
  const recovery = { dataDirectory: folder, exists: async (file: string) => file === "recovery.signal" };
  return (await getLast([repo], request, recovery, async () => false, ctx)) ? readFileSync(destination) : null;
}

/** Length of the valid start of a recovered segment. */
async function recoveredLength(from: bigint): Promise<number> {
  const result = await recovered(segmentOfLsn(1, from, WAL_SIZE_BYTES));
  if (result === null) return 0;
  const sizeBytes = result.findLastIndex((byte) => byte !== 0) + 1;
  expect(result.subarray(0, sizeBytes).equals(wal(from, sizeBytes))).toBe(true);
  return sizeBytes;
}

describe("a prompt repository", () => {
  it("ships without waiting for the interval, and reports each upload", async () => {
    const sailing = sail({ intervalMs: 3_600_000 });
    for (const size of [100, 200]) {
      send(sailing, size);
      await settled(() => sailing.confirmed === sailing.window.end);
    }
    sailing.window.close();
    await sailing.running;
    expect(await recoveredLength(START)).toBe(300);
    expect(clock.sleeps.filter((ms) => ms === 3_600_000)).toEqual([]);
  });

  it("groups what arrives while uploads are on their way, and has at most four of them", async () => {
    const sailing = sail();
    await settled(() => sailing.confirmed === START);
    storage.isHeld = true;
    for (let count = 0; count < 100; count++) {
      send(sailing, 10);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(storage.waiting.length).toBeLessThanOrEqual(4);
    storage.isHeld = false;
    while (storage.waiting.length > 0) storage.finish(0);
    await settled(() => sailing.confirmed === sailing.window.end);
    expect(storage.puts).toBeLessThanOrEqual(6);
    await sailing.crash();
  });

  it("begins the next upload soon after a single slow one", async () => {
    const held = new HeldClock();
    ctx = { ...ctx, clock: held };
    const sailing = sail();
    await settled(() => sailing.confirmed === START);
    storage.isHeld = true;
    for (const durationMs of [40, 4000]) {
      send(sailing, 10);
      await settled(() => storage.waiting.length === 1);
      await held.advance(durationMs);
      storage.finish(0);
      await settled(() => sailing.confirmed === sailing.window.end);
    }
    for (const count of [1, 2]) {
      send(sailing, 10);
      await held.advance(30);
      await settled(() => storage.waiting.length === count);
    }
    await sailing.crash();
  });

  it("confirms only the unbroken beginning when a later upload ends first", async () => {
    const sailing = await sailWithSecondStored();
    await settled(() => storage.paths().some((path) => path.endsWith("-00000064-00000096")));
    expect(sailing.worker.status().lsn).toBe(START);
    storage.isHeld = false;
    storage.finish(0);
    await settled(() => sailing.worker.status().lsn === sailing.window.end);
    await sailing.crash();
  });

  it("sends again what failed, although later bytes were stored", async () => {
    const sailing = await sailWithSecondStored();
    storage.isHeld = false;
    storage.finish(0, "lost");
    await settled(() => sailing.worker.status().lsn === sailing.window.end);
    expect(await recoveredLength(START)).toBe(150);
    expect(ctx.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
    await sailing.crash();
  });

  it("reports nothing as stored while WAL before it is only on the server", async () => {
    const before = segmentOfLsn(1, START - SIZE, WAL_SIZE_BYTES);
    const sailing = sail({ missingWal: [before] });
    send(sailing, 100);
    await settled(async () => (await recoveredLength(START)) === 100);
    expect(sailing.confirmed).toBeLessThan(START);
    sailing.worker.archived(before);
    await settled(() => sailing.confirmed === sailing.window.end);
    await sailing.crash();
  });

  // claim: docs/synchronous.md: a promoted server's positions count once what its former primary left behind is stored
  it("reports nothing as stored before the former primary's WAL is, which a promoted server's history reveals", async () => {
    const history = "00000001.history";
    const before = segmentOfLsn(1, START - SIZE, WAL_SIZE_BYTES);
    let waiting = [history];
    const sailing = sail({ missingWal: [history], listMissingWal: async () => waiting });
    send(sailing, 100);
    await settled(async () => (await recoveredLength(START)) === 100);
    // Archived, while PostgreSQL's request still compares what the former primary has left.
    sailing.worker.archived(history);
    await passes(5);
    expect(sailing.confirmed).toBe(0n);
    waiting = [before];
    await passes(5);
    expect(sailing.confirmed).toBeLessThan(START);
    sailing.worker.archived(before);
    await settled(() => sailing.confirmed === sailing.window.end);
    await sailing.crash();
  });

  it("reports nothing before it has the position of the session's start", async () => {
    const sailing = sail({ flushLsn: START + 100n });
    send(sailing, 60);
    await settled(() => storage.puts === 1);
    expect(sailing.confirmed).toBe(0n);
    send(sailing, 40);
    await settled(() => sailing.confirmed === START + 100n);
    await sailing.crash();
  });

  it("ships nothing for a stopped stanza, from the moment of the stop", async () => {
    let isStopped = false;
    const sailing = sail({
      requireStarted: () => {
        if (isStopped) throw fail("stop", "stop file exists");
      },
    });
    send(sailing, 100);
    await settled(() => sailing.confirmed === sailing.window.end);
    isStopped = true;
    send(sailing, 100);
    await settled(() => sailing.worker.status().error?.kind === "stop");
    expect(sailing.confirmed).toBe(START + 100n);
    await sailing.crash();
  });

  it("merges small chunks beside the uploads, and removes them", async () => {
    const sailing = sail();
    for (let count = 0; count < 200; count++) {
      send(sailing, 100);
      await settled(() => sailing.confirmed === sailing.window.end);
      clock.advance(50);
    }
    sailing.window.close();
    await sailing.running;
    const pieces = storage.paths().filter((path) => parseChunkName(basename(path)) !== null);
    expect(pieces.length).toBeLessThan(100);
    expect(await recoveredLength(START)).toBe(20_000);
  });

  it("begins no more uploads than the limit of requests allows", async () => {
    ctx = { ...ctx, clock: systemClock };
    const groupMs = 40;
    const sailing = sail({}, groupMs);
    await settled(() => sailing.confirmed === START);
    const beganAtMs = systemClock.monotonicMs();
    while (systemClock.monotonicMs() - beganAtMs < 300) {
      send(sailing, 10);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const elapsedMs = systemClock.monotonicMs() - beganAtMs;
    expect(storage.puts).toBeGreaterThan(1);
    expect(storage.puts).toBeLessThanOrEqual(Math.ceil(elapsedMs / groupMs) + 1);
    await sailing.crash();
  });
});

describe("what vanishes from the repository", () => {
  const chunks = (): string[] => storage.paths().filter((path) => parseChunkName(basename(path)) !== null);
  let held: HeldClock;
  beforeEach(() => {
    held = new HeldClock();
    ctx = { ...ctx, clock: held };
  });
  /** Four chunks of 100 bytes. */
  const sailConfirmed = async (more: Partial<StreamWorkerOptions> = {}): Promise<Sailing> => {
    const sailing = sail(more);
    for (let count = 0; count < 4; count++) {
      send(sailing, 100);
      await settled(() => sailing.confirmed === sailing.window.end);
      await held.advance(100);
    }
    return sailing;
  };
  /** Longer than a proof lasts. */
  const afterProof = async (): Promise<void> => held.advance(11_000);

  // claim: docs/synchronous.md: streamed WAL that vanishes…
  it.each([[[0]], [[1, 2]], [[3]], [[0, 1, 2, 3]]])(
    "chunks %j are sent again before a later commit is confirmed",
    async (lost) => {
      const sailing = await sailConfirmed();
      for (const path of chunks().filter((_, index) => lost.includes(index))) await storage.remove(path);
      await afterProof();
      send(sailing, 50);
      // It pauses before it sends again.
      for (let second = 0; second < 5; second++) await held.advance(1000);
      await settled(() => sailing.confirmed === sailing.window.end);
      expect(await recoveredLength(START)).toBe(450);
      expect(sailing.worker.status()).toMatchObject({ lsn: START + 450n, error: null, lostCount: 1 });
      expect(ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text.split("\n")[0])).toEqual([
        expect.stringMatching(
          /^streaming: repo1: \[FileMissingError\] streamed WAL from 0\/[0-9A-F]+ on is gone: something else than pgbackstop removes its files$/,
        ),
      ]);
      await sailing.crash();
    },
  );

  it("a chunk that was emptied counts as gone", async () => {
    const sailing = await sailConfirmed();
    await storage.put(chunks()[1] ?? "", new Uint8Array(0));
    await afterProof();
    send(sailing, 50);
    for (let second = 0; second < 5; second++) await held.advance(1000);
    await settled(() => sailing.confirmed === sailing.window.end);
    expect(await recoveredLength(START)).toBe(450);
    await sailing.crash();
  });

  it("a chunk that only the listing lacks is there", async () => {
    const sailing = await sailConfirmed();
    const hidden = chunks()[1];
    const list = storage.list.bind(storage);
    storage.list = async function* (path, options) {
      for await (const info of list(path, options)) if (info.path !== hidden) yield info;
    };
    await afterProof();
    send(sailing, 50);
    await settled(() => sailing.confirmed === sailing.window.end);
    expect(sailing.worker.status().lostCount).toBe(0);
    await sailing.crash();
  });

  // claim: docs/synchronous.md: streamed WAL that vanishes…
  it("an archived segment lets no later commit be confirmed until it is there again", async () => {
    const recorded: string[] = [];
    const sailing = await sailConfirmed({ recordLost: (name) => void recorded.push(name) });
    send(sailing, WAL_SIZE_BYTES);
    await settled(() => sailing.confirmed === sailing.window.end);
    const name = segmentOfLsn(1, START, WAL_SIZE_BYTES);
    await storeWal(5);
    sailing.worker.archived(name);
    await afterProof();
    send(sailing, 10);
    await settled(() => sailing.confirmed === sailing.window.end);
    const confirmed = sailing.confirmed;
    const path = storage.paths().find((each) => each.includes(`/${name}-`) && !each.includes("/stream/")) ?? "";
    await storage.remove(path);
    await afterProof();
    send(sailing, 10);
    for (let second = 0; second < 5; second++) await held.advance(1000);
    expect(sailing.confirmed).toBe(confirmed);
    expect(sailing.worker.status()).toMatchObject({ lsn: START, lostCount: 1 });
    expect(ctx.lines.at(-1)?.text).toContain(`repo1 no longer has the archived segment ${name}`);
    expect(recorded).toEqual([name]);
    await storeWal(5);
    sailing.worker.archived(name);
    await settled(() => sailing.confirmed === sailing.window.end);
    await sailing.crash();
  });

  // claim: docs/synchronous.md: streamed WAL that vanishes…
  it.each([
    ["that the archive has when a connection begins", {}],
    ["that vanished between two connections", { archivedBefore: { cluster: CLUSTER, name: walName(4) } }],
  ])("the segment before the first one, %s, lets no later commit be confirmed", async (_when, more) => {
    const recorded: string[] = [];
    await storeWal(4);
    const path = storage.paths().find((each) => each.includes(`/${walName(4)}-`)) ?? "";
    if ("archivedBefore" in more) await storage.remove(path);
    const sailing = sail({ ...more, recordLost: (name) => void recorded.push(name) });
    if (!("archivedBefore" in more)) {
      send(sailing, 100);
      await settled(() => sailing.confirmed === sailing.window.end);
      await storage.remove(path);
      await afterProof();
    }
    send(sailing, 50);
    await settled(() => recorded.length > 0);
    expect(sailing.worker.status()).toMatchObject({ lsn: START - SIZE, lostCount: 1 });
    expect(recorded).toEqual([walName(4)]);
    await storeWal(4);
    sailing.worker.archived(walName(4));
    await settled(() => sailing.worker.status().lsn === sailing.window.end);
    await sailing.crash();
  });

  it("a segment that a repository never had, or of another timeline or cluster, is not missed", async () => {
    const other = { ...CLUSTER, systemId: CLUSTER.systemId + 1n };
    for (const archivedBefore of [
      null,
      { cluster: other, name: walName(4) },
      { cluster: CLUSTER, name: walName(4, 2) },
      { cluster: CLUSTER, name: walName(5) },
    ]) {
      const sailing = sail({ archivedBefore });
      send(sailing, 100);
      await settled(() => sailing.confirmed === sailing.window.end);
      await sailing.crash();
    }
  });

  it("what the window no longer has is asked of the server again", async () => {
    const reasons: string[] = [];
    const sailing = await sailConfirmed({ restart: ({ message }) => void reasons.push(message) });
    for (let mebibytes = 0; mebibytes < 40; mebibytes++) {
      send(sailing, 1024 * 1024);
      await settled(() => sailing.confirmed === sailing.window.end);
    }
    for (const path of chunks()) await storage.remove(path);
    await afterProof();
    send(sailing, 50);
    await settled(() => reasons.length === 1);
    expect(reasons).toEqual([expect.stringContaining("streamed WAL from 0/500000 on is gone")]);
    await sailing.crash();
  });

  it("a listing that takes longer than a proof lasts is one", async () => {
    const sailing = await sailConfirmed();
    const list = storage.list.bind(storage);
    storage.list = async function* (path, options) {
      await held.sleep(15_000, ctx.signal);
      yield* list(path, options);
    };
    await afterProof();
    send(sailing, 50);
    for (let second = 0; second < 40; second++) await held.advance(1000);
    await settled(() => sailing.confirmed === sailing.window.end);
    await sailing.crash();
  });

  // claim: docs/synchronous.md: streamed WAL that vanishes…
  it("costs at most one listing in five seconds, and none while nothing is written", async () => {
    let listings = 0;
    const list = storage.list.bind(storage);
    const sailing = await sailConfirmed();
    storage.list = (path, options) => {
      if (path.includes("/stream/")) listings++;
      return list(path, options);
    };
    for (let tenth = 0; tenth < 300; tenth++) {
      send(sailing, 10);
      await settled(() => sailing.confirmed === sailing.window.end);
      await held.advance(100);
    }
    expect(listings).toBeGreaterThanOrEqual(5);
    expect(listings).toBeLessThanOrEqual(6);
    for (let second = 0; second < 60; second++) await held.advance(1000);
    expect(listings).toBeLessThanOrEqual(6);
    await sailing.crash();
  });
});

describe("a segment of which the archive has another server's file", () => {
  const [NAME, AFTER] = [walName(5), walName(6)];
  let held: HeldClock;
  beforeEach(() => {
    held = new HeldClock();
    ctx = { ...ctx, clock: held };
  });
  const passSeconds = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) await held.advance(1000);
  };
  const removeArchived = async (name: string): Promise<void> => {
    for (const path of storage.paths().filter((each) => each.startsWith("archive/") && each.includes(`/${name}-`)))
      await storage.remove(path);
  };
  const streamed = (name: string): number => Math.max(0, ...bySession(chunksOf(name)).map((own) => reachOf(own)));
  const chunksOf = (name: string): StreamChunk[] =>
    storage.paths().flatMap((path) => {
      const chunk = parseChunkName(basename(path));
      return chunk?.segment === name ? [chunk] : [];
    });
  const warnings = (): string[] => ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text);

  // claim: docs/synchronous.md: nothing counts in a segment of which the archive has another server's file
  it("lets no commit in it be confirmed, names the conflict, and goes on once the file is gone", async () => {
    await store(repo, 5);
    const sailing = sail();
    send(sailing, 100);
    await settled(() => streamed(NAME) === 100);
    await passSeconds(30);
    expect(sailing.confirmed).toBe(START);
    expect(sailing.worker.status()).toMatchObject({ lsn: START, error: { kind: "archiveDuplicate" } });
    expect(warnings()).toEqual([
      expect.stringMatching(
        new RegExp(`^streaming: repo1: \\[ArchiveDuplicateError\\] the archive's ${NAME} differs from this server's\n`),
      ),
    ]);
    await removeArchived(NAME);
    await passSeconds(15);
    await settled(() => sailing.confirmed === sailing.window.end);
    expect(sailing.worker.status().error).toBeNull();
    await sailing.crash();
  });

  it("lets no commit after it be confirmed, in this session and the next one", async () => {
    await store(repo, 5);
    const listMissingWal = async (): Promise<string[]> => [NAME];
    const sailing = sail({ listMissingWal });
    send(sailing, WAL_SIZE_BYTES + 10);
    await settled(() => streamed(AFTER) === 10);
    await passSeconds(60);
    expect(sailing.confirmed).toBe(START);
    await sailing.crash();
    const next = sail({ listMissingWal, missingWal: [NAME] }, 0, START + SIZE);
    send(next, 20);
    await settled(() => streamed(AFTER) === 20);
    await passSeconds(60);
    expect(next.worker.status().lsn).toBe(START);
    // The user has decided for this server's content, and its push has stored it.
    await removeArchived(NAME);
    await passSeconds(60);
    expect(next.worker.status()).toMatchObject({ lsn: START, lostCount: 0 });
    await storeWal(5);
    next.worker.archived(NAME);
    await settled(() => next.worker.status().lsn === next.window.end);
    await next.crash();
  });

  it("holds back what was confirmed when the file came later", async () => {
    const sailing = sail();
    send(sailing, 100);
    await settled(() => sailing.confirmed === sailing.window.end);
    await store(repo, 5);
    await passSeconds(11);
    send(sailing, 50);
    await settled(() => sailing.worker.status().lsn === START);
    await sailing.crash();
  });

  it("does not excuse a chunk that is gone", async () => {
    const sailing = sail();
    send(sailing, 100);
    await settled(() => sailing.confirmed === sailing.window.end);
    await store(repo, 5);
    for (const path of storage.paths().filter((each) => parseChunkName(basename(each)) !== null))
      await storage.remove(path);
    await passSeconds(11);
    send(sailing, 50);
    await passSeconds(5);
    await settled(() => streamed(NAME) === 150);
    expect(sailing.worker.status()).toMatchObject({ lsn: START, lostCount: 1 });
    await sailing.crash();
  });

  it("is known before the server begins it, and is streamed whatever an earlier session has left of it", async () => {
    const ahead = sail({}, 0, START + SIZE);
    send(ahead, 30);
    await settled(() => ahead.confirmed === ahead.window.end);
    await ahead.crash();
    await store(repo, 6);
    const sailing = sail();
    send(sailing, 100);
    await settled(() => sailing.confirmed === sailing.window.end);
    await passSeconds(40);
    expect(sailing.worker.status().lsn).toBe(START + 100n);
    send(sailing, WAL_SIZE_BYTES);
    await settled(() => streamed(AFTER) === 100);
    await passSeconds(20);
    expect(sailing.confirmed).toBe(START + SIZE);
    await sailing.crash();
  });

  it("is not one that has the server's bytes, also if another program archived it", async () => {
    const sailing = sail();
    send(sailing, WAL_SIZE_BYTES + 10);
    await settled(() => sailing.confirmed === sailing.window.end);
    await storeWal(5);
    await passSeconds(11);
    send(sailing, 10);
    await settled(() => sailing.confirmed === sailing.window.end);
    await passSeconds(11);
    expect(sailing.worker.status()).toMatchObject({ lsn: sailing.window.end, error: null });
    expect(warnings()).toEqual([]);
    await sailing.crash();
  });
});

describe("another server that streams the same timeline", () => {
  const [NAME] = [walName(5)];
  let held: HeldClock;
  beforeEach(() => {
    held = new HeldClock();
    ctx = { ...ctx, clock: held };
  });
  const passSeconds = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) await held.advance(1000);
  };
  /** WAL of a clone that wrote its own from `fork` on. */
  const sendOther = ({ window }: Sailing, sizeBytes: number, fork: bigint): void => {
    const bytes = wal(window.end, sizeBytes);
    const own = Number(fork > window.end ? fork - window.end : 0n);
    if (own < sizeBytes) bytes.fill(255, own);
    window.append(window.end, bytes);
  };
  const chunks = (): string[] => storage.paths().flatMap((path) => (parseChunkName(basename(path)) ? [path] : []));
  const warnings = (): string[] => ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text);
  const CONFLICT = { kind: "archiveDuplicate", exitCode: 45, repoIndex: 1 };

  // claim: docs/synchronous.md: of two servers that stream other bytes for one position, the later one gets nothing
  //   confirmed from there on, and the first one goes on
  it.each([0, 60, 100, 130])(
    "has nothing confirmed from its own bytes on, takes them back, and the first one goes on (%i common bytes)",
    async (common) => {
      const fork = START + BigInt(common);
      const first = sail();
      send(first, 150);
      await settled(() => first.confirmed === first.window.end);
      await passSeconds(11);
      const clone = sail();
      sendOther(clone, 200, fork);
      await passSeconds(2);
      await settled(() => clone.worker.status().error?.kind === "archiveDuplicate");
      expect(clone.confirmed).toBeLessThanOrEqual(fork);
      expect(clone.worker.status().error).toMatchObject(CONFLICT);
      await passSeconds(10);
      send(first, 50);
      await passSeconds(20);
      await settled(() => first.confirmed === first.window.end);
      expect(await recoveredLength(START)).toBe(200);
      // The session stays ended, whatever either server writes.
      sendOther(clone, 300, fork);
      await passSeconds(60);
      expect(clone.confirmed).toBeLessThanOrEqual(fork);
      expect(clone.worker.status().error).toMatchObject(CONFLICT);
      send(first, 10);
      await passSeconds(20);
      await settled(() => first.confirmed === first.window.end);
      expect(await recoveredLength(START)).toBe(210);
      expect(warnings().filter((text) => text.includes(`has streamed other WAL of ${NAME}`)).length).toBeGreaterThan(0);
      await first.crash();
      await clone.crash();
    },
  );

  it("and its clone have no position confirmed of which a recovery gets other bytes, in any order", async () => {
    const step = fc.record({
      who: fc.nat(1),
      size: fc.integer({ min: 1, max: 50 }),
      seconds: fc.constantFrom(0, 0, 0, 1, 6, 12),
    });
    let meaningful = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(60), fc.array(step, { minLength: 2, maxLength: 14 }), async (common, steps) => {
        await begin();
        held = new HeldClock();
        ctx = { ...ctx, clock: held };
        const fork = START + BigInt(common);
        const two = [sail({ flushLsn: START }), sail({ flushLsn: START })] as const;
        // A look of the last ten seconds may not have shown the other one's first chunk.
        for (const { who, seconds, size } of [
          ...[0, 1, 0, 1].map((no) => ({ who: no, size: 1, seconds: 12 })),
          ...steps,
        ]) {
          const one = two[who] as Sailing;
          if (who === 0) send(one, size);
          else sendOther(one, size, fork);
          for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
          if (seconds > 0) await passSeconds(seconds);
        }
        await passSeconds(12);
        const beyond = two.filter(({ confirmed }) => confirmed > fork);
        expect(beyond.length).toBeLessThanOrEqual(1);
        if (beyond.length > 0) meaningful++;
        for (const each of two) await each.crash();
        tooEarly = [];
      }),
    );
    expect(meaningful).toBeGreaterThan(5);
  });

  it("has no position confirmed that was stored in a look that slept, while another server streamed", async () => {
    const first = sail();
    send(first, 50);
    await settled(() => first.confirmed === first.window.end);
    await passSeconds(11);
    // The process stops after a listing, with an upload on its way.
    const list = storage.list.bind(storage);
    const sleep = held.sleep(3_700_000, ctx.signal);
    storage.list = async function* (path, options) {
      const listed = [];
      for await (const info of list(path, options)) listed.push(info);
      await sleep;
      yield* listed;
    };
    storage.isHeld = true;
    send(first, 100);
    await settled(() => storage.waiting.length === 1);
    storage.isHeld = false;
    storage.list = list;
    const clone = sail();
    sendOther(clone, 80, START + 60n);
    await passSeconds(60);
    await settled(() => clone.confirmed === clone.window.end);
    storage.finish(0);
    await held.advance(3_700_000);
    await passSeconds(30);
    expect(first.confirmed).toBeLessThanOrEqual(START + 60n);
    expect(first.worker.status().error).toMatchObject(CONFLICT);
    await first.crash();
    await clone.crash();
  });

  it("that was killed before it took back its own bytes holds the first one back until its segment is archived", async () => {
    const first = sail();
    send(first, 150);
    await settled(() => first.confirmed === first.window.end);
    await passSeconds(11);
    const clone = sail();
    sendOther(clone, 200, START + 100n);
    await settled(() => chunks().length > 1);
    await clone.crash();
    send(first, 50);
    await passSeconds(60);
    expect(first.worker.status()).toMatchObject({ lsn: START + 100n, error: CONFLICT });
    expect(storage.paths().filter((path) => path.includes(`-${sessionName(sessions - 1)}-`))).not.toEqual([]);
    send(first, WAL_SIZE_BYTES - 200);
    await storeWal(5);
    first.worker.archived(NAME);
    send(first, 50);
    await passSeconds(60);
    await settled(() => first.confirmed === first.window.end);
    expect(first.worker.status().error).toBeNull();
    await first.crash();
  });

  it("keeps the start of the chunks that another agent with the same bytes still extends", async () => {
    const first = sail();
    send(first, 100);
    await settled(() => first.confirmed === first.window.end);
    const second = sail();
    await settled(() => second.confirmed === START);
    send(first, 50);
    await settled(() => first.confirmed === first.window.end);
    await passSeconds(11);
    send(second, 110);
    await passSeconds(60);
    expect(await recoveredLength(START)).toBe(150);
    await first.crash();
    await second.crash();
  });

  it("is not an agent that streams the same bytes: an earlier connection, or another agent of this server", async () => {
    const first = sail();
    send(first, 150);
    await settled(() => first.confirmed === first.window.end);
    await passSeconds(11);
    const second = sail();
    send(second, 120);
    await passSeconds(1);
    await settled(() => second.confirmed === second.window.end);
    expect(chunks().length).toBeGreaterThan(1);
    for (const each of [first, second]) {
      send(each, 100);
      await passSeconds(12);
      await settled(() => each.confirmed === each.window.end);
      expect(each.worker.status().error).toBeNull();
    }
    expect(warnings().filter((text) => text.includes("ArchiveDuplicate"))).toEqual([]);
    await first.crash();
    await second.crash();
  });
});

// claim: docs/synchronous.md: a position is confirmed only when a recovery reaches it, in any order of answers,
//   failures and crashes
it("in any order of answers, failures and crashes a recovery gets every reported byte", {
  timeout: NIGHTLY ? 1_200_000 : 120_000,
}, async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("send"), size: fc.integer({ min: 1, max: 400_000 }) }) },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("finish"), size: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("lost", "answerLost"), size: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("archive"), size: fc.nat(0) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("pass"), size: fc.integer({ min: 1, max: 3000 }) }) },
  );
  const lives = fc.array(fc.array(step, { minLength: 1, maxLength: 25 }), { minLength: 1, maxLength: 4 });
  let meaningful = 0;
  await fc.assertWhole(
    fc.asyncProperty(lives, async (all) => {
      await begin();
      let flushed = START;
      let acknowledged = 0n;
      for (const steps of all) {
        storage.isHeld = false;
        const start = (flushed / SIZE) * SIZE;
        const sailing = sail({ flushLsn: flushed, missingWal: missingBefore(start) }, 0, start);
        storage.isHeld = true;
        // The session begins with what the server has already, in parts.
        const again = Number(flushed - start);
        const parts =
          again < 3 ? [again] : [again - 2 * Math.floor(again / 3), Math.floor(again / 3), Math.floor(again / 3)];
        const catchUp = parts.filter((size) => size > 0).map((size) => ({ kind: "send", size }));
        for (const { kind, size } of [...catchUp.slice(0, 1), ...interleaved(catchUp.slice(1), steps)]) {
          if (kind === "send") send(sailing, size);
          else if (kind === "pass") clock.advance(size);
          else if (kind === "archive") await archiveNext(sailing);
          else if (storage.waiting.length > 0) storage.finish(size, kind === "finish" ? "stored" : (kind as Outcome));
          for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
        }
        if (sailing.window.end > flushed) flushed = sailing.window.end;
        await sailing.crash();
        expect(tooEarly).toEqual([]);
        if (sailing.confirmed > acknowledged) acknowledged = sailing.confirmed;
      }
      if (acknowledged <= START) return;
      meaningful++;
      expect(storage.reach(START)).toBeGreaterThanOrEqual(acknowledged);
      const last = ((acknowledged - 1n) / SIZE) * SIZE;
      if (!isArchived(segmentOfLsn(1, last, WAL_SIZE_BYTES)))
        expect(await recoveredLength(last)).toBeGreaterThanOrEqual(Number(acknowledged - last));
    }),
    { numRuns: NIGHTLY ? 800 : 40 },
  );
  expect(meaningful).toBeGreaterThan(25);
});

function interleaved<T>(left: readonly T[], right: readonly T[]): T[] {
  const both: T[] = [];
  for (let index = 0; index < Math.max(left.length, right.length); index++)
    both.push(...left.slice(index, index + 1), ...right.slice(index, index + 1));
  return both;
}

function isArchived(segment: string): boolean {
  return storage.paths().some((path) => path.includes(`/${segment}-`) && !path.includes("/stream/"));
}

/** Complete segments that wait in the server's pg_wal. */
function missingBefore(end: bigint): string[] {
  const names: string[] = [];
  for (let lsn = START; lsn < end; lsn += SIZE) names.push(segmentOfLsn(1, lsn, WAL_SIZE_BYTES));
  return names.filter((name) => !isArchived(name));
}

/** The archive gets the first complete segment that it lacks, as PostgreSQL would do it. */
async function archiveNext(sailing: Sailing): Promise<void> {
  const wasHeld = storage.isHeld;
  storage.isHeld = false;
  for (let lsn = START; lsn + SIZE <= sailing.window.end; lsn += SIZE) {
    const name = segmentOfLsn(1, lsn, WAL_SIZE_BYTES);
    if (isArchived(name)) continue;
    await storeWal(Number(lsn / SIZE));
    sailing.worker.archived(name);
    break;
  }
  storage.isHeld = wasHeld;
}
