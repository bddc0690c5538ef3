/**
 * `npm run bench -- scale`: how costs grow with files, bytes, WAL segments, backups, repositories and databases: three
 * sizes of each, a line through them, and what it predicts for sizes that no test machine holds.
 *
 * Costs are processor time and memory, which a busy machine hardly changes.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { findVersitygw } from "../parts/kubernetes/goTools";
import type { PostgresBinaries } from "../parts/postgres/postgres";
import { sleep } from "../parts/process";
import type { Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { type Bed, runtimeFile, STANZA, withBed } from "./bed";
import { BedArchive } from "./bedArchive";
import { copyBackups, copyRepository, copySegments, type Location, newestIn } from "./copies";
import { publish, type Report } from "./document";
import { type Program, PROGRAMS } from "./figures";
import { removeRelation, writeRelation, writeSmallFiles } from "./fill";
import { Growth, type GrowthRow } from "./growth";
import { type RpoLab, withRpoLab } from "./rpoLab";
import { measureStacks } from "./stacks";

export interface ScaleOptions {
  /** The largest of three sizes of each kind; the others are a half and a quarter of it. */
  readonly files: number;
  readonly sizeMb: number;
  readonly segments: number;
  /** Segments that verify reads. */
  readonly readSegments: number;
  readonly backups: number;
  readonly databases: number;
}

const MIB_PER_GIB = 1024;
const SAMPLE_MS = 50;
/** 10 TB. */
const GIB_MAX = 9313;
const FILES_MAX = 5_000_000;
const OBJECTS_MAX = 10_000_000;
const BACKUPS_MAX = 3000;
const DATABASES_MAX = 1000;
const REPOSITORIES_MAX = 8;
const REPOSITORIES = [1, 2, 4] as const;
/** The first one that the bed's configuration does not have. */
const REPO_INDEX_FROM = 3;
/** Large enough to be cut: the proxy's counts are a little late. */
const CUT_SIZE_MB = 512;
/** Share of the bytes at which connections break, and what may be transferred again. */
const CUT_AT = 0.9;
const AGAIN_MAX = 0.05;
const CUT_LOOK_MS = 10;
const CUT_SETTLE_MS = 200;
/** Beside stock, for each backup. */
const RATIO_MAX = 2;

const file = { unit: ["file", "files"], to: FILES_MAX } as const;
const gib = { unit: ["GiB", "GiB"], to: GIB_MAX } as const;
const repository = { unit: ["repository", "repositories"], to: REPOSITORIES_MAX } as const;
const segment = { unit: ["segment", "segments"], to: OBJECTS_MAX } as const;
const backup = { unit: ["backup", "backups"], to: BACKUPS_MAX } as const;
const database = { unit: ["database", "databases"], to: DATABASES_MAX } as const;

const ROWS: readonly GrowthRow[] = [
  { key: "files full", title: "full backup of small files", ...file },
  { key: "files incr", title: "incr with nothing changed", ...file },
  { key: "files verify", title: "verify of both", ...file },
  { key: "files restore", title: "restore of small files", ...file },
  { key: "bytes full", title: "full backup of one relation", ...gib },
  { key: "bytes verify", title: "verify of it", ...gib },
  { key: "bytes restore", title: "restore of one relation", ...gib },
  { key: "repositories full", title: "full backup into several repositories", ...repository },
  { key: "segments info", title: "info with a long archive", ...segment },
  { key: "segments expire", title: "expire --dry-run with a long archive", ...segment },
  { key: "segments report", title: "report with a long archive", ...segment },
  { key: "segments verify", title: "verify --set with a long archive", ...segment },
  { key: "read verify", title: "verify of segments of 16 MiB", ...segment },
  { key: "backups info", title: "info with many backups", ...backup },
  { key: "backups keep", title: "expire --dry-run, all stay", ...backup, ratioMax: RATIO_MAX },
  { key: "backups plan", title: "expire --dry-run, half would go", ...backup, ratioMax: RATIO_MAX },
  { key: "backups expire", title: "expire of half of them", ...backup, ratioMax: RATIO_MAX },
  { key: "backups verify", title: "verify of many backups", ...backup, ratioMax: RATIO_MAX },
  { key: "backups incr", title: "incr beside many backups", ...backup },
  { key: "databases diff", title: "topology diff, all changed", ...database },
  { key: "databases program", title: "program without the engine", ...database },
];

export async function scaleMain(argv: readonly string[], progress: Progress): Promise<void> {
  const given = readArguments(argv, {
    files: 40_000,
    size: 512,
    segments: 80_000,
    "read-segments": 400,
    backups: 1000,
    databases: 400,
    write: false,
  });
  const options = {
    files: given.files,
    sizeMb: given.size,
    segments: given.segments,
    readSegments: given["read-segments"],
    backups: given.backups,
    databases: given.databases,
  };
  const report = await scaleBench(options, progress);
  if (report === null) return;
  publish(
    {
      file: "benchmarks-scale.md",
      title: "Benchmarks: scale",
      command: "npm run bench -- scale",
      before: [
        "Each work runs with three sizes, each twice the one before.",
        "A line through the three (cost = fixed + for each × count) predicts larger sizes; its error is the largest distance of a measured cost from it.",
        "An exponent of 1 is a cost that grows as the work does. Where growth is within noise, nothing is predicted.",
      ].join("\n"),
      after: [
        "Times are processor time of all threads and processes, memory the highest sum of a command's processes, looked at every 50 ms.",
        "Backups and segments are copies of real ones under other names, by hard links: see `tools/bench/copies.ts`. Nine of ten backups are incr, each on the one before.",
        "Both programs read the same repository. Databases have three repositories each; their program runs without Pulumi's engine.",
      ].join("\n"),
    },
    report,
    given.write,
  );
}

/** Null, after a loud line, without stock pgBackRest. @throws Error if either program fails */
export function scaleBench(options: ScaleOptions, progress: Progress): Promise<Report | null> {
  const bedOptions = {
    title: "nothing in it yet",
    fill: () => Promise.resolve(),
    compressType: "zst",
    repoOptions: { bundle: "y" },
    sampleMs: SAMPLE_MS,
  } as const;
  return withBed(bedOptions, progress, async (bed) => {
    const growth = new Growth();
    // Nothing archives: a segment must stay until it is pushed by hand.
    await bed.cluster.sql("ALTER SYSTEM SET wal_keep_size = '1GB'");
    await bed.cluster.sql("SELECT pg_reload_conf()");
    const work = { archive: new BedArchive(bed), bed, growth, options };
    await progress.step(`${options.databases} databases of a stack`, (note) =>
      measureStacks(sizesOf(options.databases), growth, note),
    );
    for (const [title, measure] of STEPS) await progress.step(title, (note) => measure(work, note));
    const cut = await progress.step("connections cut", (note) => measureCuts(bed.parts.binaries, note));
    const { text, missed } = growth.table(ROWS);
    const facts = [...bed.facts(), "bundles, zst, process-max 2, posix repositories; one run of each", cut.fact];
    return { table: text, facts, missed: [...missed, ...cut.missed], profiles: [] };
  });
}

interface Work {
  readonly bed: Bed;
  readonly archive: BedArchive;
  readonly growth: Growth;
  readonly options: ScaleOptions;
}

type Note = (text: string) => void;

const STEPS: readonly (readonly [title: string, measure: (work: Work, note: Note) => Promise<void>])[] = [
  ["backups", measureBackups],
  ["WAL segments", measureSegments],
  ["bytes", measureBytes],
  ["repositories", measureRepositories],
  ["files", measureFiles],
];

function sizesOf(largest: number): readonly [number, number, number] {
  return [Math.ceil(largest / 4), Math.ceil(largest / 2), largest];
}

/** Runs commands of both programs on one size. */
class Runs {
  readonly #work: Work;
  readonly #kind: string;
  readonly #count: number;
  readonly #note: Note;

  constructor(work: Work, note: Note, kind: string, count: number) {
    this.#work = work;
    this.#kind = kind;
    this.#count = count;
    this.#note = note;
  }

  async run(
    name: string,
    args: readonly string[] | ((program: Program) => readonly string[]),
    programs: readonly Program[] = PROGRAMS,
  ): Promise<void> {
    const { bed, growth } = this.#work;
    for (const program of programs) {
      this.#note(`${this.#count}: ${name}, ${program}`);
      const own = typeof args === "function" ? args(program) : args;
      growth.add(`${this.#kind} ${name}`, program, this.#count, await bed.run(program, own, { sync: false }));
    }
  }

  async backup(type: "full" | "incr", args: readonly string[]): Promise<void> {
    const { archive } = this.#work;
    await archive.begin();
    await this.run(type, [...args, `--type=${type}`, "backup"]);
    await archive.push();
  }

  async restore(): Promise<void> {
    const { bed, growth } = this.#work;
    for (const program of PROGRAMS) {
      this.#note(`${this.#count}: restore, ${program}`);
      growth.add(`${this.#kind} restore`, program, this.#count, (await bed.restore(program, 1)).cost);
    }
  }
}

/** A full and an incr of the empty server in repo1 of ours, with their WAL. */
async function takeTwo({ archive, bed }: Work): Promise<Location> {
  await renew(bed);
  for (const type of ["full", "incr"] as const) {
    await archive.begin();
    await bed.backup("ours", type, 1);
    await archive.push();
  }
  return { root: join(bed.folder, "ours", "repo1"), stanza: STANZA };
}

async function renew(bed: Bed): Promise<void> {
  for (const program of PROGRAMS) await bed.renewRepositories(program);
}

async function measureBackups(work: Work, note: Note): Promise<void> {
  const { bed } = work;
  const location = await takeTwo(work);
  const here = ["--repo=1", `--repo1-path=${location.root}`];
  for (const count of sizesOf(work.options.backups)) {
    note(`${count}: copies`);
    copyBackups(location, count);
    const fulls = Math.ceil(count / 20);
    const runs = new Runs(work, note, "backups", count);
    await runs.run("info", [...here, "info"]);
    await runs.run("keep", [...here, "--repo1-retention-full=9999", "--dry-run", "expire"]);
    await runs.run("plan", [...here, `--repo1-retention-full=${fulls}`, "--dry-run", "expire"]);
    await runs.run("verify", [...here, "verify"]);
    const copyFor = (program: Program): string => join(bed.folder, `${program}-expiring`);
    for (const program of PROGRAMS) copyRepository(location.root, copyFor(program));
    await runs.run("expire", (program) => [
      "--repo=1",
      `--repo1-path=${copyFor(program)}`,
      `--repo1-retention-full=${fulls}`,
      "expire",
    ]);
    for (const program of PROGRAMS) rmSync(copyFor(program), { recursive: true });
    // Last, because it adds a backup.
    await runs.backup("incr", [...here, "--repo1-retention-full=9999"]);
  }
}

async function measureSegments(work: Work, note: Note): Promise<void> {
  const { options } = work;
  const location = await takeTwo(work);
  const here = ["--repo=1", `--repo1-path=${location.root}`];
  for (const count of sizesOf(options.readSegments)) {
    copySegments(location, count);
    await new Runs(work, note, "read", count).run("verify", [...here, "verify"]);
  }
  for (const count of sizesOf(options.segments)) {
    note(`${count}: copies`);
    copySegments(location, count);
    const runs = new Runs(work, note, "segments", count);
    await runs.run("info", [...here, "info"]);
    await runs.run("expire", [...here, "--repo1-retention-full=1", "--dry-run", "expire"]);
    // A page would exit with 104 for what the copies lack.
    await runs.run("report", ["report", "--format=json"], ["ours"]);
    await runs.run("verify", [...here, `--set=${newestIn(location)}`, "verify"], ["ours"]);
  }
}

async function measureBytes(work: Work, note: Note): Promise<void> {
  const { bed } = work;
  for (const sizeMb of sizesOf(work.options.sizeMb)) {
    note(`${sizeMb} MiB`);
    await writeRelation(bed.cluster, sizeMb);
    await renew(bed);
    const runs = new Runs(work, note, "bytes", sizeMb / MIB_PER_GIB);
    await runs.backup("full", ["--repo=1"]);
    await runs.run("verify", ["--repo=1", "verify"]);
    await runs.restore();
  }
}

/** With the relation of the bytes. */
async function measureRepositories(work: Work, note: Note): Promise<void> {
  const { bed } = work;
  await writeRelation(bed.cluster, Math.ceil(work.options.sizeMb / 4));
  const keys = Array.from({ length: Math.max(...REPOSITORIES) }, (_, index) => REPO_INDEX_FROM + index);
  const paths = keys.map((key) => `--repo${key}-path=${join(bed.folder, "ours", `repo${key}`)}`);
  const settings = keys.flatMap((key) => [`--repo${key}-bundle=y`, `--repo${key}-retention-full=9`]);
  await bed.run("ours", [...paths, "stanza-create"]);
  for (const count of REPOSITORIES)
    await new Runs(work, note, "repositories", count).run(
      "full",
      [...paths, ...settings, `--repos=${keys.slice(0, count).join(",")}`, "--type=full", "backup"],
      ["ours"],
    );
  await removeRelation(bed.cluster);
}

/** What a backup into a bucket and a restore from it transfer again when all connections break near a file's end. */
async function measureCuts(
  binaries: PostgresBinaries,
  note: Note,
): Promise<{ readonly fact: string; readonly missed: readonly string[] }> {
  const s3Kind = (await findVersitygw()) === null ? "s3rver" : "versitygw";
  const options = { binaries, stream: null, repos: ["s3"], latencyMs: 0, runtimeFile: runtimeFile(), s3Kind } as const;
  return withRpoLab(options, async (lab) => {
    await writeRelation(lab.cluster, CUT_SIZE_MB);
    await lab.run(["stanza-create"]);
    const shares: number[] = [];
    const full = ["--no-archive-check", "--type=full", "backup"];
    const target = `${lab.cluster.dataPath}-restored`;
    for (const command of [full, ["--type=none", `--pg1-path=${target}`, "restore"]]) {
      note(command.at(-1) ?? "");
      const wholeBytes = await transferred(lab, command, Infinity);
      rmSync(target, { recursive: true, force: true });
      shares.push((await transferred(lab, command, CUT_AT * wholeBytes)) / wholeBytes - 1);
    }
    const percent = shares.map((share) => `${(share * 100).toFixed(1)} %`);
    const fact = `all connections to a bucket cut at ${CUT_AT * 100} % of a relation of ${CUT_SIZE_MB} MiB: a backup sends ${percent[0]} again, a restore reads ${percent[1]} again (≤ ${AGAIN_MAX * 100} %)`;
    return { fact, missed: shares.some((share) => share > AGAIN_MAX) ? [fact] : [] };
  });
}

/** Bytes between a command and the bucket. @param cutAtBytes the connections break once so much has passed */
async function transferred(lab: RpoLab, command: readonly string[], cutAtBytes: number): Promise<number> {
  const { proxy } = lab;
  if (proxy === null) throw new Error("no bucket");
  const beganBytes = proxy.passedBytes();
  let isCut = false;
  const timer = setInterval(() => {
    if (isCut || proxy.passedBytes() - beganBytes < cutAtBytes) return;
    isCut = true;
    proxy.cut();
  }, CUT_LOOK_MS);
  await lab.run(command).finally(() => clearInterval(timer));
  if (cutAtBytes < Infinity && !isCut) throw new Error(`${command.join(" ")} ended before its connections were cut`);
  await sleep(CUT_SETTLE_MS);
  return proxy.passedBytes() - beganBytes;
}

async function measureFiles(work: Work, note: Note): Promise<void> {
  const { bed } = work;
  const sizes = sizesOf(work.options.files);
  for (const [index, count] of sizes.entries()) {
    note(`${count} files`);
    await writeSmallFiles(bed.cluster, (sizes[index - 1] ?? 0) + 1, count);
    await renew(bed);
    const runs = new Runs(work, note, "files", count);
    await runs.backup("full", ["--repo=1"]);
    await runs.backup("incr", ["--repo=1"]);
    await runs.run("verify", ["--repo=1", "verify"]);
    await runs.restore();
  }
}
