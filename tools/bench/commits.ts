/**
 * `npm run bench -- commits [--seconds=10 --scale=40]`: commits per second of pgbench when commits wait for a
 * repository, beside asynchronous streaming and a real synchronous standby on the same machine.
 *
 * pgbench's `simple-update`: in its default, a commit that waits keeps the row locks of its branch and teller, and
 * other clients wait for these instead of the repository.
 */
import { build } from "../parts/build/build";
import { findVersitygw } from "../parts/kubernetes/goTools";
import { findWholePostgres, type PostgresBinaries } from "../parts/postgres/postgres";
import type { Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { runtimeFile } from "./bed";
import { type RpoLabOptions, withRpoLab } from "./rpoLab";

const CLIENTS = [1, 8, 32] as const;
const WAITS = { intervalSeconds: 5, synchronous: "all" } as const;

interface Case {
  readonly title: string;
  readonly lab: Pick<RpoLabOptions, "stream" | "repos" | "latencyMs">;
  readonly standby?: true;
}

const CASES: readonly Case[] = [
  { title: "no streaming", lab: { stream: null, repos: [], latencyMs: 1 } },
  {
    title: "asynchronous into a directory, every 5 s",
    lab: { stream: { intervalSeconds: 5 }, repos: ["posix"], latencyMs: 1 },
  },
  { title: "a real synchronous standby", lab: { stream: null, repos: [], latencyMs: 1 }, standby: true },
  { title: "synchronous: a directory", lab: { stream: WAITS, repos: ["posix"], latencyMs: 1 } },
  { title: "synchronous: S3 at 5 ms", lab: { stream: WAITS, repos: ["s3"], latencyMs: 5 } },
  { title: "synchronous: S3 at 30 ms", lab: { stream: WAITS, repos: ["s3"], latencyMs: 30 } },
  {
    title: "synchronous: S3 at 30 ms, groupMilliseconds 100",
    lab: { stream: { ...WAITS, groupMilliseconds: 100 }, repos: ["s3"], latencyMs: 30 },
  },
];

export async function commitsMain(argv: readonly string[], progress: Progress): Promise<void> {
  const { scale, seconds } = readArguments(argv, { seconds: 10, scale: 40 });
  const postgres = await findWholePostgres(18);
  if ("missing" in postgres) return progress.loud(`no measurement: ${postgres.missing}`);
  if (process.env["PGBACKSTOP_RUNTIME"] === undefined) await build(progress);
  const rows: string[] = [];
  for (const each of CASES) {
    const figures = await progress.step(each.title, (note) =>
      measureCase(each, postgres.binaries, scale, seconds, note),
    );
    rows.push(`| ${each.title} | ${figures.join(" | ")} |`);
  }
  const head = CLIENTS.map((count) => `${count} client${count === 1 ? "" : "s"}`);
  process.stdout.write(
    `\n| commits per second (mean latency) | ${head.join(" | ")} |\n| --- | ${head.map(() => "---:").join(" | ")} |\n${rows.join("\n")}\n`,
  );
}

async function measureCase(
  { lab: options, standby }: Case,
  binaries: PostgresBinaries,
  scale: number,
  seconds: number,
  note: (text: string) => void,
): Promise<string[]> {
  const s3Kind = (await findVersitygw()) === null ? "s3rver" : "versitygw";
  const settings = { fsync: "on", max_wal_size: "4GB", checkpoint_timeout: "1h", wal_keep_size: "64MB" };
  const all: RpoLabOptions = { ...options, binaries, runtimeFile: runtimeFile(), s3Kind, settings };
  return withRpoLab(all, async (lab) => {
    const { cluster } = lab;
    await lab.pgbench(["-i", "-q", "-s", String(scale)]);
    const other = standby === true ? await cluster.createStandby({ fsync: "on" }) : null;
    if (other !== null) await cluster.alterSystem({ synchronous_standby_names: "standby" });
    if (options.stream !== null) await lab.untilStreaming();
    const figures: string[] = [];
    for (const clients of CLIENTS) {
      note(`${clients} clients`);
      await cluster.sql("CHECKPOINT");
      const text = await lab.pgbench(["-n", "-N", "-c", String(clients), "-j", "1", "-T", String(seconds)]);
      const [tps = "0", ms = "0"] = [/tps = ([\d.]+)/.exec(text)?.[1], /latency average = ([\d.]+) ms/.exec(text)?.[1]];
      figures.push(`${Math.round(Number(tps))} (${Number(ms).toFixed(1)} ms)`);
    }
    await other?.remove();
    return figures;
  });
}
