/** Connections one after the other, with a scripted server and repositories in memory. */
import { beforeEach, expect, test } from "vitest";
import { untilAborted } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import {
  type StreamParts,
  streamOnce,
  type SynchronousParts,
  type WalSource,
} from "../../../../runtime/operations/stream/stream";
import type { StreamWorker } from "../../../../runtime/operations/stream/streamWorker";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Confirmation, WalSink } from "../../../../runtime/postgres/walStream";
import type { Repository } from "../../../../runtime/repository/repository";
import { HeldClock, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { FaultyStorage } from "../../../harness/network/faults";
import { CONTROL, repository } from "../../repository/support";

const START = 5n * BigInt(CONTROL.walSegmentSizeBytes);

let storages: FaultyStorage[];
let repos: Repository[];
let workers: readonly StreamWorker[] = [];
const clock = new HeldClock();
const ctx = testContext({ clock });
let stop = new AbortController();
const former = new Map<number, Promise<void>>();

beforeEach(async () => {
  stop = new AbortController();
  former.clear();
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  await stanzaCreate(repos, CONTROL, ctx);
});

/** A server that sends what the test says, until the test ends the connection. */
class ScriptedServer implements WalSource {
  readonly lost = new AbortController();
  readonly confirmed: bigint[] = [];
  #sink: WalSink | undefined;

  async identify(): ReturnType<WalSource["identify"]> {
    return { systemId: CONTROL.systemId, timeline: 1, flushLsn: START, inRecovery: false };
  }

  async receive(
    _start: unknown,
    sink: WalSink,
    signal: AbortSignal,
    confirmation: Confirmation | null = null,
  ): ReturnType<WalSource["receive"]> {
    this.#sink = sink;
    confirmation?.onChange(() => this.confirmed.push(confirmation.lsn));
    await untilAborted(AbortSignal.any([this.lost.signal, signal]));
    return fail("dbConnect", "the connection is lost");
  }

  async close(): Promise<void> {}

  async send(lsn: bigint, sizeBytes: number): Promise<void> {
    await settled(() => this.#sink !== undefined);
    this.#sink?.(lsn, Buffer.alloc(sizeBytes, 7));
  }
}

function connect(server: ScriptedServer, synchronous?: SynchronousParts): Promise<unknown> {
  workers = [];
  const parts: StreamParts = {
    repos,
    intervalMs: 1000,
    requireStarted: () => {},
    loadControl: async () => CONTROL,
    open: async () => server,
    listMissingWal: async () => [],
    lostCount: () => 0,
    begun: (begun) => (workers = begun),
    former,
    ...(synchronous === undefined ? {} : { synchronous }),
  };
  return streamOnce(parts, stop.signal, ctx).catch((error: unknown) => error);
}

async function settled(isDone: () => boolean): Promise<void> {
  await expect.poll(isDone, { interval: 2, timeout: 5000 }).toBe(true);
}

const lsnOf = (index: number): bigint | null => workers[index]?.status().lsn ?? null;

// claim: docs/streaming.md: a repository that is…
test("a repository that hangs when a connection ends does not delay the others' next connection, and then continues", async () => {
  const repaired = new AbortController();
  const first = new ScriptedServer();
  const ended = connect(first);
  await settled(() => lsnOf(0) === START && lsnOf(1) === START);
  storages[1]
    ?.plan("putStream", { kind: "hang", signal: repaired.signal })
    .plan("put", { kind: "hang", signal: repaired.signal });
  await clock.advance(1000);
  await first.send(START, 100);
  await settled(() => lsnOf(0) === START + 100n);
  first.lost.abort();
  // Not a millisecond has passed since.
  expect(await ended).toMatchObject({ message: "the connection is lost" });

  const second = new ScriptedServer();
  const over = connect(second);
  await settled(() => lsnOf(0) === START);
  await clock.advance(1000);
  await second.send(START, 200);
  await settled(() => lsnOf(0) === START + 200n);
  expect(lsnOf(1)).toBe(null);
  await clock.advance(10_000);
  await settled(() => lsnOf(1) === START + 200n);
  repaired.abort();
  stop.abort();
  await over;
  await Promise.all(former.values());
});

test("a synchronous connection confirms what all repositories hold, and nothing after its end", async () => {
  const moved: (readonly [received: bigint, confirmed: bigint])[] = [];
  const synchronous: SynchronousParts = {
    policy: { mode: "all", repoIndexes: [] },
    groupMs: 0,
    moved: (...positions) => moved.push(positions),
  };
  const server = new ScriptedServer();
  const ended = connect(server, synchronous);
  await settled(() => lsnOf(0) === START && lsnOf(1) === START);
  const [first, second] = [new AbortController(), new AbortController()];
  storages[1]?.plan("put", { kind: "hang", signal: first.signal });
  await server.send(START, 100);
  await settled(() => lsnOf(0) === START + 100n);
  expect(server.confirmed.at(-1) ?? START).toBe(START);
  first.abort();
  // The upload that hung has failed; it is repeated after a pause.
  await settled(() => workers[1]?.status().error !== null);
  await clock.advance(1000);
  await settled(() => server.confirmed.at(-1) === START + 100n);
  storages[1]?.plan("put", { kind: "hang", signal: second.signal });
  await server.send(START + 100n, 100);
  await settled(() => lsnOf(0) === START + 200n);
  server.lost.abort();
  await ended;
  const [confirmed, positions] = [server.confirmed.length, moved.length];
  expect(moved.at(-1)).toEqual([START + 200n, START + 100n]);
  second.abort();
  await clock.advance(20_000);
  await Promise.all(former.values());
  expect([server.confirmed.length, moved.length]).toEqual([confirmed, positions]);
});
