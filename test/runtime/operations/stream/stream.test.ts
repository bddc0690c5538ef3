/** Connections one after the other, with a scripted server and repositories in memory. */
import { beforeEach, expect, test } from "vitest";
import { untilAborted } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { type StreamParts, streamOnce, type WalSource } from "../../../../runtime/operations/stream/stream";
import type { StreamWorker } from "../../../../runtime/operations/stream/streamWorker";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { WalSink } from "../../../../runtime/postgres/walStream";
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
const stop = new AbortController();
const former = new Map<number, Promise<void>>();

beforeEach(async () => {
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  await stanzaCreate(repos, CONTROL, ctx);
});

/** A server that sends what the test says, until the test ends the connection. */
class ScriptedServer implements WalSource {
  readonly lost = new AbortController();
  #sink: WalSink | undefined;

  async identify(): ReturnType<WalSource["identify"]> {
    return { systemId: CONTROL.systemId, timeline: 1, flushLsn: START, inRecovery: false };
  }

  async receive(_start: unknown, sink: WalSink, signal: AbortSignal): ReturnType<WalSource["receive"]> {
    this.#sink = sink;
    await untilAborted(AbortSignal.any([this.lost.signal, signal]));
    return fail("dbConnect", "the connection is lost");
  }

  async close(): Promise<void> {}

  async send(lsn: bigint, sizeBytes: number): Promise<void> {
    await settled(() => this.#sink !== undefined);
    this.#sink?.(lsn, Buffer.alloc(sizeBytes, 7));
  }
}

function connect(server: ScriptedServer): Promise<unknown> {
  workers = [];
  const parts: StreamParts = {
    repos,
    intervalMs: 1000,
    requireStarted: () => {},
    loadControl: async () => CONTROL,
    open: async () => server,
    listMissingWal: async () => [],
    begun: (begun) => (workers = begun),
    former,
  };
  return streamOnce(parts, stop.signal, ctx).catch((error: unknown) => error);
}

async function settled(isDone: () => boolean): Promise<void> {
  await expect.poll(isDone, { interval: 2, timeout: 5000 }).toBe(true);
}

const lsnOf = (index: number): bigint | null => workers[index]?.status().lsn ?? null;

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
