/**
 * `npm run bench -- rpo [--kills=300 --asynchronous=100 --clients=4 --latency=5 --seed=N --slot]`: what is lost when
 * hosts die. With `--slot` WAL leaves through a replication slot, as that of a container does.
 *
 * Synchronous: each life of a host kills the receiver, the server, the bucket, or the network to it at random times,
 * and ends with the loss of the host and its disk, at any point. Each restore must have every commit that was ever
 * acknowledged. Asynchronous: only hosts are lost; the age of the oldest lost commit is measured.
 */
import { findWholePostgres, type PostgresBinaries } from "../parts/postgres/postgres";
import { findVersitygw } from "../parts/kubernetes/goTools";
import { build } from "../parts/build/build";
import { sleep, waitFor } from "../parts/process";
import type { Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { runtimeFile } from "./bed";
import { type Commit, missingCommits, type RpoLab, withRpoLab, Writers } from "./rpoLab";

export type Part = "receiver" | "server" | "bucket" | "hungBucket" | "network" | "host";

export interface KillReport {
  /** Kills by what was killed. */
  readonly kills: Readonly<Record<Part, number>>;
  readonly acknowledged: number;
  readonly lost: number;
  /** Age of the oldest lost commit at each loss of a host; 0 when nothing was lost. */
  readonly lostMs: readonly number[];
}

export interface KillOptions {
  readonly binaries: PostgresBinaries;
  readonly runtimeFile: string;
  readonly s3Kind: "s3rver" | "versitygw";
  /** Kills of any kind. */
  readonly kills: number;
  readonly clients: number;
  readonly latencyMs: number;
  /** True archives through a replication slot. */
  readonly slot?: boolean;
  /** Null streams asynchronously. */
  readonly synchronous: "any" | "all" | null;
  readonly intervalSeconds: number;
  readonly random: () => number;
  note(text: string): void;
}

const PARTS = ["receiver", "server", "bucket", "hungBucket", "network"] as const;
/** A backup now and then keeps recoveries short. */
const BACKUP_EVERY = 8;
/** Minimum commits of each life before its first kill: a life without commits shows nothing. */
const COMMITS_MIN = 10;

export async function rpoMain(argv: readonly string[], progress: Progress): Promise<void> {
  const given = readArguments(argv, { kills: 300, asynchronous: 100, clients: 4, latency: 5, seed: 1, slot: false });
  const postgres = await findWholePostgres(18);
  if ("missing" in postgres) return progress.loud(`no measurement: ${postgres.missing}`);
  if (process.env["PGBACKSTOP_RUNTIME"] === undefined) await build(progress);
  const common = {
    binaries: postgres.binaries,
    runtimeFile: runtimeFile(),
    s3Kind: (await findVersitygw()) === null ? ("s3rver" as const) : ("versitygw" as const),
    clients: given.clients,
    latencyMs: given.latency,
    intervalSeconds: 2,
    slot: given.slot,
    random: seeded(given.seed),
  };
  for (const synchronous of ["any", "all", null] as const) {
    const form = synchronous === null ? "asynchronous, every 2 s" : `synchronous: "${synchronous}"`;
    const title = `${form}${given.slot ? ", through a slot" : ""}`;
    const kills = synchronous === null ? given.asynchronous : Math.ceil(given.kills / 2);
    const report = await progress.step(title, (note) => killHosts({ ...common, synchronous, kills, note }));
    process.stdout.write(`${title}: ${reportText(report)}\n`);
  }
}

export function reportText({ acknowledged, kills, lost, lostMs }: KillReport): string {
  const sorted = [...lostMs].sort((left, right) => left - right);
  const at = (share: number): number => Math.round(sorted[Math.ceil(sorted.length * share) - 1] ?? 0);
  const parts = Object.entries(kills).map(([part, count]) => `${part} ${count}`);
  const total = Object.values(kills).reduce((sum, count) => sum + count, 0);
  return (
    `${total} kills (${parts.join(", ")}), ${acknowledged} commits acknowledged, ${lost} of them lost; ` +
    `the oldest lost one: median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms, worst ${at(1)} ms`
  );
}

/** Kills until the number is reached; the last kill is the loss of a host. */
export async function killHosts(options: KillOptions): Promise<KillReport> {
  const { intervalSeconds, synchronous } = options;
  const stream = { intervalSeconds, ...(synchronous === null ? {} : { synchronous }) };
  return withRpoLab({ ...options, stream, repos: ["s3", "posix"] }, async (lab) => {
    const kills: Record<Part, number> = { receiver: 0, server: 0, bucket: 0, hungBucket: 0, network: 0, host: 0 };
    const next = new Map<number, number>();
    const all: Commit[] = [];
    const lostMs: number[] = [];
    let lost = 0;
    let writers: Writers | undefined;
    try {
      for (let done = 0; done < options.kills; ) {
        await lab.untilStreaming();
        const { commits } = (writers = new Writers(lab.cluster, options.clients, next));
        await waitFor("commits", 60_000, async () => (commits.length >= COMMITS_MIN ? true : null));
        const wanted = synchronous === null ? 0 : Math.min(Math.floor(options.random() * 4), options.kills - done - 1);
        for (let count = 0; count < wanted; count++, done++) kills[await disturb(lab, options.random)]++;
        await sleep(300 + options.random() * (synchronous === null ? 3000 * intervalSeconds : 700));
        writers.stop();
        const killedAtMs = performance.now();
        await lab.loseHost();
        await writers.ended();
        kills.host++;
        done++;
        await lab.mendNetwork();
        await lab.restore(synchronous === "all" ? (kills.host % 2) + 1 : undefined);
        // An acknowledgement may have been on its way when the kill began; what came after it counts too.
        all.push(...commits);
        const missing = await missingCommits(lab.cluster, synchronous === null ? commits : all);
        lost += missing.length;
        lostMs.push(Math.max(0, ...missing.map(({ ackMs }) => killedAtMs - ackMs)));
        options.note(`${done} kills, ${all.length} commits, ${lost} lost`);
        if (kills.host % BACKUP_EVERY === 0) await lab.run(["backup", "--type=incr"]);
      }
      return { kills, acknowledged: all.length, lost, lostMs };
    } catch (error) {
      throw new Error(`${String(error)}\n${lab.agentLog().slice(-4000)}\n${lab.cluster.logTail()}`, { cause: error });
    } finally {
      writers?.stop();
    }
  });
}

/** Kills one part at a random time under load, and brings it back. */
async function disturb(lab: RpoLab, random: () => number): Promise<Part> {
  await sleep(random() * 600);
  const part = PARTS[Math.floor(random() * PARTS.length)] ?? "receiver";
  const awayMs = random() * 800;
  switch (part) {
    case "receiver":
      await lab.stopAgent("SIGKILL");
      await sleep(awayMs);
      await lab.startAgent();
      break;
    case "server":
      await lab.killServer();
      await lab.startServer();
      break;
    case "bucket":
      await lab.bucket?.stop();
      await sleep(awayMs);
      await lab.bucket?.start();
      break;
    case "hungBucket":
      lab.bucket?.pause();
      await sleep(awayMs);
      lab.bucket?.resume();
      break;
    case "network":
      await lab.cutNetwork();
      await sleep(awayMs);
      await lab.mendNetwork();
      break;
  }
  return part;
}

/** Numbers below 1 that a seed repeats. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}
