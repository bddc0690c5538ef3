/**
 * `npm run bench [-- --size=MB --rounds=N --compress=zst|gz --write --help]`: ours beside stock pgBackRest, on the same data, in one run.
 *
 * Stock takes two backups, one for each repository; ours takes one into both. The programs take turns, each round in the other order, and
 * the medians are printed as a Markdown table; `--write` puts it into docs/benchmarks.md with the machine that it was measured on.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { build } from "../parts/build";
import { projectFolder } from "../parts/cache";
import { findStockPgbackrest } from "../parts/pgbackrest";
import { ensurePostgres } from "../parts/postgres";
import { cleanUp, onEnd } from "../parts/process";
import { createProgress, formatBytes, type Progress } from "../parts/progress";
import { Bed, type Program } from "./bed";
import { walMain } from "./wal";
import { type Cost, median, medianCost, sumCosts } from "./measure";

export interface BenchOptions {
  readonly sizeMb: number;
  readonly rounds: number;
  readonly compressType: "zst" | "gz";
  readonly segmentCount: number;
}

interface Figures {
  readonly backup: Cost[];
  /** Into repo1 alone. */
  readonly singleBackup: Cost[];
  readonly restore: Record<number, Cost[]>;
  /** `--delta` from repo1 onto what was just restored from there. */
  readonly delta: Cost[];
  /** Milliseconds of each archive-push call without anything ahead. */
  readonly pushMs: number[];
  readonly pushCpuS: number[];
  /** Stored bytes of one backup in repo1. */
  readonly storedBytes: number[];
  /** Segments a second when all of them are ready, as PostgreSQL works them off. */
  readonly segmentsPerS: number[];
}

export interface BenchResult {
  readonly table: string;
  readonly facts: readonly string[];
  /** Ratios of ours to stock. */
  readonly ratios: {
    readonly backupWall: number;
    readonly backupCpu: number;
    readonly singleCpu: number;
    readonly restoreWall: number;
    readonly restoreCpu: number;
  };
}

const REPO_KEYS = [1, 2] as const;
const MIB = 1024 * 1024;

const HELP = `npm run bench -- [options]: pgbackstop beside stock pgBackRest 2.60, on the same data, in one run

  --size=MB          data in the cluster (1024)
  --rounds=N         turns of each program, of which the medians are taken (3)
  --segments=N       WAL segments to push (24)
  --compress=zst|gz  compression of both programs (zst)
  --write            put the result into docs/benchmarks.md
  --help             this text

npm run bench -- wal [--segments=N --rounds=N --latency=MS --process-max=N --write]: WAL through the agent over a store far away
`;

if (require.main === module) {
  void main(process.argv.slice(2)).then(async (exitCode) => {
    await cleanUp();
    process.exit(exitCode);
  });
}

async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const progress = createProgress();
  if (argv[0] === "wal") return walMain(argv.slice(1), progress);
  const options = parseArguments(argv);
  const result = await bench(options, progress);
  if (result === null) return 0;
  process.stdout.write(`\n${result.table}\n\n${result.facts.map((fact) => `- ${fact}`).join("\n")}\n`);
  if (argv.includes("--write")) writeDocument(result);
  return 0;
}

function parseArguments(argv: readonly string[]): BenchOptions {
  const value = (name: string, otherwise: string): string => argv.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise;
  const known = /^--(size=\d+|rounds=\d+|segments=\d+|compress=(zst|gz)|write)$/;
  const unknown = argv.filter((word) => !known.test(word));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(" ")} (--help tells what there is)`);
  return {
    sizeMb: Number(value("size", "1024")),
    rounds: Number(value("rounds", "3")),
    segmentCount: Number(value("segments", "24")),
    compressType: value("compress", "zst") === "gz" ? "gz" : "zst",
  };
}

/** Null, after a loud line, where there is no stock pgBackRest to compare with. @throws Error when either program fails */
export async function bench(options: BenchOptions, progress: Progress): Promise<BenchResult | null> {
  const found = await findStockPgbackrest("2.60");
  if ("missing" in found) {
    progress.loud(`no benchmark: ${found.missing}`);
    return null;
  }
  await build(progress);
  const binaries = await ensurePostgres();
  const stock = found.pgbackrest;
  const bed = await progress.step(`PostgreSQL ${binaries.version} with ${options.sizeMb} MB`, async (note) =>
    Bed.create({ ...options, binaries, stock }, note),
  );
  const forget = onEnd(() => bed.remove());
  try {
    const figures: Record<Program, Figures> = { stock: noFigures(), ours: noFigures() };
    const hashes = new Set<string>();
    for (let round = 1; round <= options.rounds; round++) {
      const order: readonly Program[] = round % 2 === 1 ? ["stock", "ours"] : ["ours", "stock"];
      for (const program of order) {
        await progress.step(`round ${round} of ${options.rounds}: ${program}`, async (note) => {
          for (const hash of await playRound(bed, program, figures[program], note)) hashes.add(hash);
        });
      }
    }
    if (hashes.size !== 1) throw new Error(`the restores differ: ${[...hashes].join(", ")}`);
    return report(bed, options, figures, [...hashes][0] ?? "");
  } finally {
    forget();
    await bed.remove();
  }
}

function noFigures(): Figures {
  return { backup: [], singleBackup: [], restore: { 1: [], 2: [] }, delta: [], pushMs: [], pushCpuS: [], storedBytes: [], segmentsPerS: [] };
}

/** Everything once by one program. Returns the hashes of what it restored. */
async function playRound(bed: Bed, program: Program, figures: Figures, note: (text: string) => void): Promise<string[]> {
  note("backup");
  await bed.renewRepositories(program);
  const backups: Cost[] = [];
  if (program === "ours") backups.push(await bed.run("ours", ["--type=full", "backup"]));
  else for (const key of REPO_KEYS) backups.push(await bed.run("stock", [`--repo=${key}`, "--type=full", "backup"]));
  figures.backup.push(sumCosts(backups));
  figures.storedBytes.push(await bed.repositoryBytes(program));
  const hashes: string[] = [];
  for (const key of REPO_KEYS) {
    note(`restore from repo${key}`);
    const { cost, hash } = await bed.restore(program, key);
    figures.restore[key]?.push(cost);
    hashes.push(hash);
    if (key !== 1) continue;
    note("restore --delta");
    const again = await bed.restore(program, key, { delta: true });
    figures.delta.push(again.cost);
    hashes.push(again.hash);
  }
  note("backup into one repository");
  figures.singleBackup.push(await bed.run(program, ["--repo=1", "--type=full", "backup"]));
  note("archive-push");
  await pushOneByOne(bed, program, figures);
  await bed.renewRepositories(program);
  figures.segmentsPerS.push(await pushAll(bed, program));
  return hashes;
}

async function pushOneByOne(bed: Bed, program: Program, figures: Figures): Promise<void> {
  for (const name of bed.segments) {
    const cost = await bed.run(program, ["archive-push", join(bed.walPath, name)], { sync: false, sampleMs: 0 });
    figures.pushMs.push(cost.wallS * 1000);
    figures.pushCpuS.push(cost.cpuS);
  }
}

/** As PostgreSQL does it: all are ready, each is asked for by name until it is acknowledged. */
async function pushAll(bed: Bed, program: Program): Promise<number> {
  const status = (name: string, state: string): string => join(bed.walPath, "archive_status", `${name}.${state}`);
  for (const name of bed.segments) writeFileSync(status(name, "ready"), "");
  const beganMs = performance.now();
  for (const name of bed.segments) {
    await bed.run(program, ["archive-push", join(bed.walPath, name)], { sync: false, sampleMs: 0 });
    renameSync(status(name, "ready"), status(name, "done"));
  }
  return bed.segments.length / ((performance.now() - beganMs) / 1000);
}

function report(bed: Bed, options: BenchOptions, figures: Record<Program, Figures>, hash: string): BenchResult {
  const rows: [string, number, number, number, string][] = [];
  const add = (name: string, digits: number, of: (figures: Figures) => number, target = ""): number => {
    const [stock, ours] = [of(figures.stock), of(figures.ours)];
    rows.push([name, stock, ours, digits, target]);
    return ours / stock;
  };
  const sizeMb = bed.dataSizeBytes / MIB;
  const backup = (of: Figures): Cost => medianCost(of.backup);
  const backupWall = add("full backup into both repositories: wall, s", 1, (of) => backup(of).wallS, "≤ 0.8");
  const backupCpu = add("full backup into both repositories: processor, s", 1, (of) => backup(of).cpuS, "≤ 0.8");
  add("full backup into both repositories: MiB of data a second", 0, (of) => sizeMb / backup(of).wallS);
  add("full backup: peak memory, MiB", 0, (of) => backup(of).peakMemoryBytes / MIB);
  add("full backup: size in one repository, MiB", 0, (of) => median(of.storedBytes) / MIB);
  const single = (of: Figures): Cost => medianCost(of.singleBackup);
  add("full backup into one repository: wall, s", 1, (of) => single(of).wallS);
  const singleCpu = add("full backup into one repository: processor, s", 1, (of) => single(of).cpuS, "≤ 0.9");
  const restoreWalls: number[] = [];
  const restoreCpus: number[] = [];
  for (const key of REPO_KEYS) {
    const restore = (of: Figures): Cost => medianCost(of.restore[key] ?? []);
    const title = `restore from repo${key}${key === 2 ? " (encrypted)" : ""}`;
    restoreWalls.push(add(`${title}: wall, s`, 1, (of) => restore(of).wallS, "≤ 1.3"));
    restoreCpus.push(add(`${title}: processor, s`, 1, (of) => restore(of).cpuS, "≤ 1.3"));
    add(`${title}: peak memory, MiB`, 0, (of) => restore(of).peakMemoryBytes / MIB);
  }
  const delta = (of: Figures): Cost => medianCost(of.delta);
  add("restore --delta of an unchanged cluster: wall, s", 1, (of) => delta(of).wallS);
  add("restore --delta of an unchanged cluster: processor, s", 1, (of) => delta(of).cpuS);
  add("archive-push of one segment to both: latency, ms", 0, (of) => median(of.pushMs));
  add("archive-push of one segment to both: processor, ms", 0, (of) => median(of.pushCpuS) * 1000);
  add("archive-push with segments waiting: segments a second", 2, (of) => median(of.segmentsPerS));
  const stockName = `stock ${bed.options.stock.version}`;
  const head = [`| measure | ${stockName} | pgbackstop | ratio | target |`, "| --- | ---: | ---: | ---: | ---: |"];
  const body = rows.map(
    ([name, stock, ours, digits, target]) =>
      `| ${name} | ${stock.toFixed(digits)} | ${ours.toFixed(digits)} | ${(ours / stock).toFixed(2)} | ${target} |`,
  );
  const facts = [
    `machine: ${cpus().length} cores (${cpus()[0]?.model.trim() ?? "unknown"}), ${formatBytes(totalmem())} of memory`,
    `Node ${process.versions.node}, PostgreSQL ${bed.options.binaries.version}, stock pgBackRest ${bed.options.stock.version}, ${new Date().toISOString().slice(0, 10)}`,
    `${formatBytes(bed.dataSizeBytes)} of databases, ${options.compressType}, process-max 2, two posix repositories, repo2 encrypted; medians of ${options.rounds} rounds, ${bed.segments.length} WAL segments of 16 MiB`,
    `sha1 of what every restore of both programs brought back: ${hash}`,
  ];
  return {
    table: [...head, ...body].join("\n"),
    facts,
    ratios: { backupWall, backupCpu, singleCpu, restoreWall: median(restoreWalls), restoreCpu: median(restoreCpus) },
  };
}

function writeDocument(result: BenchResult): void {
  const path = join(projectFolder(), "docs", "benchmarks.md");
  mkdirSync(join(path, ".."), { recursive: true });
  const template = readFileSync(join(projectFolder(), "docs", "benchmarks.md"), { encoding: "utf8", flag: "a+" });
  const notes = /<!-- notes -->[\s\S]*$/.exec(template)?.[0] ?? "<!-- notes -->\n";
  const text = [
    "# Benchmarks",
    "",
    "`npm run bench -- --write` measured this: pgbackstop beside stock pgBackRest, on the same data, in one run. A ratio below 1 means less than",
    "stock (for rates: slower). Other work on the machine moves the wall times most, the processor times less, their ratios least.",
    "",
    ...result.facts.map((fact) => `- ${fact}`),
    "",
    result.table,
    "",
    "Stock takes one backup for each repository and the two are added up; pgbackstop reads, checks and hashes the data once, compresses it once",
    "for each kind of compression, and encrypts and stores it for each repository. Peak memory is that of all processes together, shared pages",
    "counted once. `archive-push` is the plain command, which stock and pgbackstop start anew for every segment.",
    "",
    notes.trimEnd(),
    "",
  ].join("\n");
  writeFileSync(path, text);
}
