/**
 * `npm run bench`: full backups of mixed data, their restores, and plain `archive-push`.
 *
 * Stock takes one backup for each repository, and the two are added up; ours takes one into both.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatBytes, type Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { type Bed, withBed } from "./bed";
import { publish, type Report } from "./document";
import { Figures, type Program, type Row } from "./figures";
import { articles, type Fill, mixedData } from "./fill";
import { type Cost, median } from "./measure";
import type { TitledProfile } from "./profile";
import { Hashes, playRounds, type Step } from "./rounds";

export interface MixedOptions {
  readonly sizeMb: number;
  readonly rounds: number;
  readonly compressType: "zst" | "gz";
  readonly segmentCount: number;
  readonly profile: boolean;
}

const MIB = 1024 * 1024;
/** Pushes of one segment before the others are measured. */
const WARM_UPS = 4;

const ROWS: readonly Row[] = [
  { title: "full backup into both repositories: wall, s", key: "both wall", digits: 1, ratioMax: 0.45 },
  { title: "full backup into both repositories: processor, s", key: "both cpu", digits: 1, ratioMax: 0.45 },
  { title: "full backup into both repositories: MiB of data a second", key: "both rate", digits: 0 },
  { title: "full backup: peak memory, MiB", key: "both memory", digits: 0 },
  { title: "full backup: size in one repository, MiB", key: "stored", digits: 0, ratioMax: 1.01 },
  { title: "of it, a table of text, MiB", key: "text", digits: 1, ratioMax: 1.02 },
  { title: "full backup into one repository: wall, s", key: "one wall", digits: 1, ratioMax: 0.72 },
  { title: "full backup into one repository: processor, s", key: "one cpu", digits: 1 },
  { title: "restore from repo1: wall, s", key: "restore1 wall", digits: 1, ratioMax: 0.75 },
  { title: "restore from repo1: processor, s", key: "restore1 cpu", digits: 1, ratioMax: 0.9 },
  { title: "restore from repo1: peak memory, MiB", key: "restore1 memory", digits: 0 },
  { title: "restore from repo2 (encrypted): wall, s", key: "restore2 wall", digits: 1, ratioMax: 0.75 },
  { title: "restore from repo2 (encrypted): processor, s", key: "restore2 cpu", digits: 1, ratioMax: 0.9 },
  { title: "restore from repo2 (encrypted): peak memory, MiB", key: "restore2 memory", digits: 0 },
  { title: "restore --delta of an unchanged cluster: wall, s", key: "delta wall", digits: 2, ratioMax: 0.85 },
  { title: "restore --delta of an unchanged cluster: processor, s", key: "delta cpu", digits: 2 },
  { title: "archive-push of one segment to both, by itself: latency, ms", key: "alone ms", digits: 0, ratioMax: 1.3 },
  { title: "archive-push of one segment to both, by itself: processor, ms", key: "alone cpu", digits: 0 },
  {
    title: "archive-push of one segment to both, after others: latency, ms",
    key: "push ms",
    digits: 0,
    ratioMax: 0.85,
  },
  { title: "archive-push of one segment to both, after others: processor, ms", key: "push cpu", digits: 0 },
  { title: "archive-push with segments waiting: segments a second", key: "push rate", digits: 2 },
  { title: "info: processor, ms", key: "info cpu", digits: 0, oursMax: 55 },
  { title: "info: memory, MiB", key: "info memory", digits: 0, oursMax: 55 },
];

export async function mixedMain(argv: readonly string[], progress: Progress): Promise<void> {
  const given = readArguments(argv, {
    size: 2048,
    rounds: 5,
    segments: 8,
    compress: ["zst", "gz"],
    write: false,
    profile: false,
  });
  const options = {
    sizeMb: given.size,
    rounds: given.rounds,
    segmentCount: given.segments,
    compressType: given.compress,
    profile: given.profile,
  };
  const report = await mixedBench(options, progress);
  if (report === null) return;
  publish(
    {
      file: "benchmarks.md",
      title: "Benchmarks",
      command: "npm run bench --",
      before:
        "It is pgbackstop beside stock pgBackRest, on the same data, in one run. A ratio below 1 means less than\nstock (for rates: slower). Each ratio is the median of the ratios of pairs that ran one directly after the other, beside it the lowest and the\nhighest. Other benches (`npm run bench -- --help`) write documents of their own beside this one.",
      after:
        "Stock takes one backup for each repository and the two are added up; pgbackstop reads, checks and hashes the data once, compresses it once\nfor each kind of compression, and encrypts and stores it for each repository. Peak memory is that of all processes together, shared pages\ncounted once. `archive-push` is the plain command, which stock and pgbackstop start once for every segment; by itself it starts all of it, and\nafter others a process answers that they left, whose processor time is in the figures.",
    },
    report,
    given.write,
  );
}

/** Null, after a loud line, without stock pgBackRest. @throws Error if either program fails */
export function mixedBench(options: MixedOptions, progress: Progress): Promise<Report | null> {
  const { sizeMb, compressType, segmentCount, rounds } = options;
  const bedOptions = { title: `${sizeMb} MB of mixed data`, fill: withArticles(sizeMb), compressType, segmentCount };
  return withBed(bedOptions, progress, async (bed) => {
    const figures = new Figures();
    const hashes = new Hashes();
    await playRounds(rounds, stepsOf(bed, figures, hashes), progress);
    const profiles = options.profile ? await progress.step("profile", (note) => profile(bed, note)) : [];
    const { text, missed } = figures.table(ROWS, bed.stockName);
    const empty = await bed.runNodeOften();
    const facts = [
      ...bed.facts(),
      `an empty program of Node: ${(empty.cpuS * 1000).toFixed(0)} ms of processor time, ${formatBytes(empty.peakMemoryBytes)} of memory`,
      `${formatBytes(bed.dataSizeBytes)} of databases, ${compressType}, process-max 2, two posix repositories, repo2 encrypted; medians of ${rounds} pairs, ${bed.segments.length} WAL segments of 16 MiB`,
      `sha1 of what every restore of both programs brought back: ${hashes.all().join(", ")}`,
    ];
    return { table: text, facts, missed, profiles };
  });
}

/** An eighth of it is text. */
function withArticles(sizeMb: number): Fill {
  return async (cluster, note) => {
    await articles(Math.ceil(sizeMb / 8))(cluster, note);
    await mixedData(sizeMb - Math.ceil(sizeMb / 8))(cluster, note);
  };
}

function stepsOf(bed: Bed, figures: Figures, hashes: Hashes): readonly Step[] {
  const restore = async (program: Program, repo: number, options: { readonly delta?: boolean } = {}): Promise<void> => {
    const { cost, hash } = await bed.restore(program, repo, options);
    figures.addCost(options.delta === true ? "delta" : `restore${repo}`, program, cost);
    hashes.add("the cluster", hash);
  };
  return [
    {
      title: "backup into both",
      play: async (program) => {
        await bed.renewRepositories(program);
        const cost = await bed.backup(program, "full", "both");
        figures.addCost("both", program, cost);
        figures.add("both rate", program, bed.dataSizeBytes / MIB / cost.wallS);
        figures.add("stored", program, (await bed.storedBytes(program, "full")) / MIB);
        figures.add("text", program, (await bed.storedTableBytes(program, "articles")) / MIB);
      },
    },
    { title: "restore from repo2", play: (program) => restore(program, 2) },
    { title: "restore from repo1", play: (program) => restore(program, 1) },
    { title: "restore --delta", play: (program) => restore(program, 1, { delta: true }) },
    {
      title: "backup into one",
      play: async (program) => figures.addCost("one", program, await bed.backup(program, "full", 1)),
    },
    { title: "archive-push, one by one", play: (program) => pushOneByOne(bed, program, figures) },
    { title: "archive-push, all waiting", play: (program) => pushAll(bed, program, figures) },
    {
      title: "info",
      play: async (program) => {
        const { cpuS, peakMemoryBytes } = await bed.runOften(program, ["info"]);
        figures.add("info cpu", program, cpuS * 1000);
        figures.add("info memory", program, peakMemoryBytes / MIB);
      },
    },
  ];
}

async function pushOneByOne(bed: Bed, program: Program, figures: Figures): Promise<void> {
  const [first = "", ...others] = bed.segments.map((name) => join(bed.walPath, name));
  const series = async (options: readonly string[]): Promise<Cost> => {
    const push = (path: string): Promise<Cost> =>
      bed.run(program, [...options, "archive-push", path], { sync: false, sampleMs: 0 });
    await bed.renewRepositories(program);
    // What stays listens after the second one.
    for (let turn = 0; turn < WARM_UPS; turn++) await push(first);
    const beganS = bed.stayingProcessorS();
    const costs: Cost[] = [];
    for (const path of others) costs.push(await push(path));
    const [wallS, cpuS] = [median(costs.map((cost) => cost.wallS)), median(costs.map((cost) => cost.cpuS))];
    return { wallS, cpuS: cpuS + (bed.stayingProcessorS() - beganS) / others.length, peakMemoryBytes: 0 };
  };
  const add = (key: string, { cpuS, wallS }: Cost): void => {
    figures.add(`${key} ms`, program, wallS * 1000);
    figures.add(`${key} cpu`, program, cpuS * 1000);
  };
  const alone = await series([]);
  add("alone", alone);
  add("push", program === "ours" ? await series([`--settings=${bed.stayingSettings}`]) : alone);
}

/** Like PostgreSQL: all are ready, and each is requested by name until it is acknowledged. */
async function pushAll(bed: Bed, program: Program, figures: Figures): Promise<void> {
  await bed.renewRepositories(program);
  const status = (name: string, state: string): string => join(bed.walPath, "archive_status", `${name}.${state}`);
  for (const name of bed.segments) writeFileSync(status(name, "ready"), "");
  const beganMs = performance.now();
  for (const name of bed.segments) {
    await bed.run(program, ["archive-push", join(bed.walPath, name)], { sync: false, sampleMs: 0 });
    renameSync(status(name, "ready"), status(name, "done"));
  }
  figures.add("push rate", program, bed.segments.length / ((performance.now() - beganMs) / 1000));
}

async function profile(bed: Bed, note: (text: string) => void): Promise<readonly TitledProfile[]> {
  note("backups");
  await bed.renewRepositories("ours");
  const both = await bed.profile(["--type=full", "backup"]);
  const one = await bed.profile(["--repo=1", "--type=full", "backup"]);
  note("restores");
  const plain = await bed.profileRestore(1);
  const delta = await bed.profileRestore(1, { delta: true });
  note("");
  return [
    { title: "Full backup into both repositories", profile: both },
    { title: "Full backup into one repository", profile: one },
    { title: "Restore from repo1", profile: plain },
    { title: "Restore --delta of an unchanged cluster", profile: delta },
  ];
}
