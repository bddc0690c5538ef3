/** Servers that stream their WAL into the repositories, for commits that wait for it. */
import { fail, toBackupError } from "../../runtime/base/errors";
import { sessionName } from "../../runtime/format/wal/streamChunk";
import { type StreamParts, streamOnce, type WalSource } from "../../runtime/operations/stream/stream";
import type { StreamWorker } from "../../runtime/operations/stream/streamWorker";
import type { Repository } from "../../runtime/repository/repository";
import { CLUSTER, walName } from "../runtime/repository/support";
import { FACTS, shortWalBytes, type Stage } from "./host";
import type { Server } from "./streamTruth";

const WRITE_PAUSE_MS = 1000;
const RECONNECT_MS = 1000;
const INTERVAL_MS = 5000;
const GROUP_MS = 200;
/** How long a commit may wait while another repository is silent or slow. */
const COMMIT_MS = 30_000;

/** The host's server writes for some seconds, so many bytes in each, and its agent streams. */
export async function stream(
  stage: Stage,
  repos: readonly Repository[],
  [seconds = "", bytes = "20"]: readonly string[],
  isTwin: boolean,
): Promise<string> {
  const { ctx, host, world } = stage;
  const server = world.streams.serverOf(host.name, isTwin, world.walNo, shortWalBytes(world.walNo));
  const over = new AbortController();
  void ctx.clock.sleep(Number(seconds) * 1000, ctx.signal).then(() => over.abort());
  const parts = partsOf(stage, repos, server, Number(bytes));
  while (!over.signal.aborted) {
    await streamOnce(parts, over.signal, ctx).catch((error: unknown) => ctx.log.warn(toBackupError(error).message));
    await ctx.clock.sleep(RECONNECT_MS, over.signal).catch(() => {});
  }
  return parts.ended();
}

function partsOf(
  { ctx, host, life, world }: Stage,
  repos: readonly Repository[],
  server: Server,
  writtenBytes: number,
): StreamParts & { ended(): string } {
  const { streams } = world;
  const isAlone = Object.keys(world.scenario.writers).length === 1;
  let workers: readonly StreamWorker[] = [];
  const { misled, slow, troubled } = life.process;
  const isHealthy = (key: number): boolean => ![misled, slow, troubled].some((keys) => keys.has(key));
  const isJudged = (): boolean => isAlone && !life.process.isDisturbed;
  /** What the server has flushed, and when. */
  const waiting: { readonly lsn: bigint; readonly sinceMs: number }[] = [];
  const flush = (): bigint => streams.beginLsn + BigInt(server.flushed);
  const judgeWait = (): void => {
    const [oldest] = waiting;
    const waitedMs = oldest === undefined ? 0 : life.nowMs - oldest.sinceMs;
    if (waitedMs > COMMIT_MS && isJudged() && repos.some(({ key }) => isHealthy(key)))
      world.judge(`a commit waited ${waitedMs / 1000} s, and a repository is healthy`);
  };
  const source: WalSource = {
    identify: async () => ({ systemId: CLUSTER.systemId, timeline: 1, flushLsn: flush(), inRecovery: false }),
    receive: async (start, sink, signal) => {
      waiting.length = 0;
      for (let sent = Number(start.lsn - streams.beginLsn); ; ) {
        sink(streams.beginLsn + BigInt(sent), server.wal.subarray(sent, server.flushed));
        sent = server.flushed;
        waiting.push({ lsn: flush(), sinceMs: life.nowMs });
        await ctx.clock.sleep(WRITE_PAUSE_MS, signal).catch(() => {});
        if (signal.aborted) return fail("dbConnect", "the stream has ended", { retryable: true });
        judgeWait();
        server.flushed = Math.min(server.wal.length, server.flushed + writtenBytes);
      }
    },
    close: async () => {},
  };
  const moved = (_received: bigint, confirmed: bigint): void => {
    for (const { lsn, repoIndex } of workers.map((worker) => worker.status()))
      if (lsn !== null) world.judge(streams.report(repoIndex, server, lsn, life.nowMs));
    while (waiting[0] !== undefined && waiting[0].lsn <= confirmed) waiting.shift();
  };
  return {
    repos,
    intervalMs: INTERVAL_MS,
    requireStarted: () => {},
    loadControl: async () => FACTS.control,
    open: async () => {
      streams.begin(sessionName(ctx.clock.nowMs()), server);
      return source;
    },
    listMissingWal: async (repoIndex) => [...host.listReady(), ...host.missingWal.list(repoIndex)],
    recordLost: (repoIndex, name) => host.missingWal.add(repoIndex, name, CLUSTER),
    lostCount: () => 0,
    begun: (begun) => {
      workers = begun;
    },
    former: new Map(),
    synchronous: { policy: { mode: "any", repoIndexes: [] }, groupMs: GROUP_MS, moved },
    ended: () => {
      const behind = workers.map((worker) => worker.status()).filter(({ lsn }) => lsn === null || lsn < flush());
      const failed = behind.find(({ repoIndex }) => isHealthy(repoIndex));
      if (failed !== undefined && isJudged())
        world.judge(`repo${failed.repoIndex} is healthy, and lacks streamed WAL: ${failed.error?.message}`);
      return `${walName(world.walNo)} to ${server.flushed}`;
    },
  };
}
