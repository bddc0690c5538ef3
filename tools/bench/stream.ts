/**
 * `npm run bench -- stream [--seconds=120 --latency=30 --rate=100]`: requests and bytes that streaming sends to a
 * bucket in an hour, idle and under load, and what synchronous streaming adds. The bucket's own log is counted.
 */
// claim: docs/streaming.md: time of a commit, requests and bytes of streaming, idle and loaded (measured by `npm run
//   bench -- commits` and `npm run bench -- stream`)
import { readFileSync } from "node:fs";
import type { StreamFile } from "../../runtime/config/settingsFields";
import { build } from "../parts/build/build";
import { findVersitygw } from "../parts/kubernetes/goTools";
import { findWholePostgres, type PostgresBinaries } from "../parts/postgres/postgres";
import { sleep } from "../parts/process";
import type { Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { runtimeFile } from "./bed";
import { writeRelation } from "./fill";
import { peakWhile } from "./measure";
import { type RpoLab, type RpoLabOptions, withRpoLab } from "./rpoLab";

const INTERVAL_S = 5;
const CLIENTS = 8;
const MIB = 1024 * 1024;
/** The load of {@link streamMemory}. */
const RELATION_MB = 512;
const LOAD_RATE = 100;
const STREAM_S = 30;
/** Longer than its backup. */
const LOAD_S_MAX = 30;
/** Rows of pgbench for many clients. */
const SCALE = 20;
const MODES: readonly { readonly title: string; readonly stream: StreamFile }[] = [
  { title: `asynchronous, every ${INTERVAL_S} s`, stream: { intervalSeconds: INTERVAL_S } },
  { title: "synchronous", stream: { intervalSeconds: INTERVAL_S, synchronous: "all" } },
  {
    title: "synchronous, groupMilliseconds 100",
    stream: { intervalSeconds: INTERVAL_S, synchronous: "all", groupMilliseconds: 100 },
  },
];

interface Counts {
  readonly puts: number;
  readonly deletes: number;
  readonly others: number;
  readonly putBytes: number;
}

interface Options {
  readonly seconds: number;
  readonly latency: number;
  readonly rate: number;
}

export async function streamMain(argv: readonly string[], progress: Progress): Promise<void> {
  const options = readArguments(argv, { seconds: 120, latency: 30, rate: 100 });
  const postgres = await findWholePostgres(18);
  if ("missing" in postgres) return progress.loud(`no measurement: ${postgres.missing}`);
  if ((await findVersitygw()) === null) return progress.loud("no measurement: versitygw is not built");
  if (process.env["PGBACKSTOP_RUNTIME"] === undefined) await build(progress);
  const rows: string[] = [];
  for (const { stream, title } of MODES)
    rows.push(...(await progress.step(title, (note) => measureMode(title, stream, postgres.binaries, options, note))));
  process.stdout.write(
    `\n| one repository, in an hour | server | WAL written, MB | PUT | bytes of PUT, MB | DELETE | others |\n` +
      `| --- | --- | ---: | ---: | ---: | ---: | ---: |\n${rows.join("\n")}\n`,
  );
}

/** Memory of an agent that streams, and of it and a backup at once; null without a PostgreSQL that has pgbench. */
export async function streamMemory(
  latencyMs: number,
  note: (text: string) => void,
): Promise<{ readonly streamingMib: number; readonly backupMib: number } | null> {
  const postgres = await findWholePostgres(18);
  if ("missing" in postgres || (await findVersitygw()) === null) return null;
  const options = { repos: ["s3", "s3"], stream: { intervalSeconds: INTERVAL_S }, latencyMs } as const;
  return withStream({ ...options, binaries: postgres.binaries }, async (lab) => {
    await writeRelation(lab.cluster, RELATION_MB);
    const load = (seconds: number): Promise<unknown> =>
      lab.pgbench(["-n", "-c", String(CLIENTS), "-R", String(LOAD_RATE), "-T", String(seconds)]);
    const memoryBytes = (): number => lab.memoryBytes();
    note("streaming");
    const [, streamingBytes] = await peakWhile(memoryBytes, () => load(STREAM_S));
    note("streaming, and a full backup");
    const writers = load(LOAD_S_MAX);
    const backup = ["--process-max=1", "--type=full", "backup"];
    const [, backupBytes] = await peakWhile(memoryBytes, () => lab.run(backup));
    await writers;
    return { streamingMib: streamingBytes / MIB, backupMib: backupBytes / MIB };
  });
}

/** A lab whose tables of pgbench are filled, and whose agent streams. */
function withStream<T>(
  options: Pick<RpoLabOptions, "binaries" | "latencyMs" | "repos" | "stream"> & Partial<RpoLabOptions>,
  work: (lab: RpoLab) => Promise<T>,
): Promise<T> {
  const settings = { max_wal_size: "4GB", checkpoint_timeout: "1h", archive_timeout: "300s" };
  const all: RpoLabOptions = { ...options, runtimeFile: runtimeFile(), s3Kind: "versitygw", settings };
  return withRpoLab(all, async (lab) => {
    await lab.pgbench(["-i", "-q", "-s", String(SCALE)]);
    await lab.untilStreaming();
    await lab.cluster.sql("CHECKPOINT");
    // The leftovers of filling the tables are merged and removed first.
    await sleep(6000 * INTERVAL_S);
    return work(lab);
  });
}

async function measureMode(
  title: string,
  stream: StreamFile,
  binaries: PostgresBinaries,
  { latency, rate, seconds }: Options,
  note: (text: string) => void,
): Promise<string[]> {
  const options = { binaries, stream, repos: ["s3"], latencyMs: latency, logsRequests: true } as const;
  return withStream(options, async (lab) => {
    const loads: readonly [string, () => Promise<unknown>][] = [
      ["idle", () => sleep(1000 * seconds)],
      [
        `${rate} commits a second, ${CLIENTS} clients`,
        () => lab.pgbench(["-n", "-c", String(CLIENTS), "-R", String(rate), "-T", String(seconds)]),
      ],
    ];
    const rows: string[] = [];
    for (const [load, work] of loads) {
      note(load);
      const before = { counts: countOf(lab), lsn: await lsnOf(lab), atMs: performance.now() };
      await work();
      const perHour = 3_600_000 / (performance.now() - before.atMs);
      const walBytes = (await lsnOf(lab)) - before.lsn;
      rows.push(rowOf(`${title} | ${load}`, minus(countOf(lab), before.counts), walBytes, perHour));
    }
    return rows;
  });
}

async function lsnOf({ cluster }: RpoLab): Promise<number> {
  return Number(await cluster.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"));
}

/** Operations since the bucket's start, from its log: `… s3_PutObject KEY URI STATUS ERROR SENT SIZE …`. */
function countOf({ bucket }: RpoLab): Counts {
  const counts = { puts: 0, deletes: 0, others: 0, putBytes: 0 };
  if (bucket === null) return counts;
  for (const line of readFileSync(bucket.accessLogFile, "utf8").split("\n")) {
    const [operation, , , , , , size] = /s3_.*/.exec(line)?.[0].split(" ") ?? [];
    if (operation === undefined) continue;
    if (operation === "s3_PutObject" || operation === "s3_UploadPart") {
      counts.puts++;
      counts.putBytes += Number(size);
    } else if (operation.startsWith("s3_DeleteObject")) counts.deletes++;
    else counts.others++;
  }
  return counts;
}

function minus(after: Counts, before: Counts): Counts {
  return {
    puts: after.puts - before.puts,
    deletes: after.deletes - before.deletes,
    others: after.others - before.others,
    putBytes: after.putBytes - before.putBytes,
  };
}

function rowOf(title: string, counts: Counts, walBytes: number, perHour: number): string {
  const hourly = (count: number): string => String(Math.round(count * perHour));
  const megabytes = (bytes: number): string => ((bytes * perHour) / 1e6).toFixed(bytes * perHour < 1e7 ? 1 : 0);
  const { deletes, others, putBytes, puts } = counts;
  const cells = [megabytes(walBytes), hourly(puts), megabytes(putBytes), hourly(deletes), hourly(others)];
  return `| ${title} | ${cells.join(" | ")} |`;
}
