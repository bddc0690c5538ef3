/**
 * `npm run bench -- memory`: peak memory of backups, restores and verify, with one large relation, and with increasing
 * numbers of small files to see that it grows no faster than their number.
 *
 * Ours writes and verifies both repositories, stock one. The targets apply to ours alone; stock's figures are for
 * comparison.
 */
import type { Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { type Bed, withBed } from "./bed";
import { BedArchive } from "./bedArchive";
import { publish, type Report } from "./document";
import { Figures, PROGRAMS, type Program, type Row } from "./figures";
import { removeRelation, writeRelation, writeSmallFiles } from "./fill";
import type { Cost } from "./measure";
import type { TitledProfile } from "./profile";
import { Hashes, playRounds, type Step } from "./rounds";

export interface MemoryOptions {
  readonly sizeMb: number;
  readonly fileCount: number;
  readonly rounds: number;
  readonly profile: boolean;
}

const RELATION_MIB_MAX = 112;
const FILES_MIB_MAX = 192;
const SAMPLE_MS = 50;
const KIB = 1024;
/** Share of a straight line through the smaller numbers of files; garbage collection makes it vary. */
const LINEAR_MAX = 1.25;

/** Measurements in order of execution. */
const WORKS = [
  { key: "full", title: "full backup" },
  { key: "incr", title: "incr backup" },
  { key: "verify", title: "verify" },
  { key: "restore", title: "restore" },
  { key: "delta", title: "delta restore" },
] as const;
type Work = (typeof WORKS)[number];

export async function memoryMain(argv: readonly string[], progress: Progress): Promise<void> {
  const given = readArguments(argv, { size: 2048, files: 200_000, rounds: 1, write: false, profile: false });
  const options = { sizeMb: given.size, fileCount: given.files, rounds: given.rounds, profile: given.profile };
  const report = await memoryBench(options, progress);
  if (report === null) return;
  publish(
    {
      file: "benchmarks-memory.md",
      title: "Benchmarks: memory",
      command: "npm run bench -- memory",
      before:
        "It is the highest sum over all processes of a command, shared pages counted once,\nlooked at every 50 ms. Ours has the environment of its units and of the launcher, which limits glibc's allocator.",
      after:
        "Ours writes both repositories in one run and verifies both, stock one repository. Between the full and the incr backup nothing changes; verify reads\nboth backups. The relation and the small files (one page each) are valid pages, no two alike, half of their bytes hardly compress.",
    },
    report,
    given.write,
  );
}

/** Null, after a loud line, without stock pgBackRest. @throws Error if either program fails */
export function memoryBench(options: MemoryOptions, progress: Progress): Promise<Report | null> {
  const { sizeMb, fileCount, rounds } = options;
  const bedOptions = {
    title: "nothing in it yet",
    fill: () => Promise.resolve(),
    compressType: "zst",
    repoOptions: { bundle: "y" },
    sampleMs: SAMPLE_MS,
    inUnit: true,
  } as const;
  return withBed(bedOptions, progress, async (bed) => {
    const figures = new Figures();
    const hashes = new Hashes();
    const play = (key: string, times: number): Promise<void> =>
      playRounds(times, stepsOf(bed, figures, hashes, key), progress);
    const rowOf = (work: Work, key: string, what: string, oursMax?: number): Row => ({
      title: `${work.title} of ${what}: peak memory, MiB`,
      key: `${key} ${work.key} memory`,
      digits: 0,
      ...(oursMax === undefined ? {} : { oursMax }),
    });
    // Nothing archives: a segment must stay until it is pushed by hand.
    await bed.cluster.sql("ALTER SYSTEM SET wal_keep_size = '1GB'");
    await bed.cluster.sql("SELECT pg_reload_conf()");
    await progress.step(`one relation of ${sizeMb} MiB`, () => writeRelation(bed.cluster, sizeMb));
    await play("relation", rounds);
    await removeRelation(bed.cluster);
    const counts = [Math.ceil(fileCount / 4), Math.ceil(fileCount / 2), fileCount];
    for (const [index, count] of counts.entries()) {
      await progress.step(`${count} small files`, () =>
        writeSmallFiles(bed.cluster, (counts[index - 1] ?? 0) + 1, count),
      );
      // Smaller numbers only show the growth; a round of all three takes a quarter of an hour.
      await play(`files${index}`, index === counts.length - 1 ? rounds : 1);
    }
    const rows = WORKS.map((work) => rowOf(work, "relation", `one relation of ${sizeMb} MiB`, RELATION_MIB_MAX));
    // Keeps growing series together.
    for (const work of WORKS) {
      for (const [index, count] of counts.entries()) {
        rows.push(
          rowOf(work, `files${index}`, `${count} small files`, index === counts.length - 1 ? FILES_MIB_MAX : undefined),
        );
      }
    }
    const linear = WORKS.map((work) => growthOf(figures, work, counts));
    const profiles = options.profile ? await progress.step("profile", () => profile(bed, fileCount)) : [];
    const { text, missed } = figures.table(rows, bed.stockName);
    const facts = [
      ...bed.facts(),
      `bundles, zst, process-max 2, two posix repositories (stock: one), repo2 encrypted; ${rounds === 1 ? "one pair of each" : `medians of ${rounds} pairs, one pair of smaller numbers of files`}`,
      ...linear.map(({ fact }) => fact),
      `sha1 of what the restores of both programs brought back, by size: ${hashes.all().join(", ")}`,
    ];
    return { table: text, facts, missed: [...missed, ...linear.flatMap((growth) => growth.missed)], profiles };
  });
}

function stepsOf(bed: Bed, figures: Figures, hashes: Hashes, key: string): readonly Step[] {
  const restored = async (program: Program, delta: boolean): Promise<Cost> => {
    const { cost, hash } = await bed.restore(program, 1, { delta });
    hashes.add(key, hash);
    return cost;
  };
  const archive = new BedArchive(bed);
  const backup = async (program: Program, type: "full" | "incr"): Promise<Cost> => {
    await archive.begin();
    const cost = await bed.backup(program, type, program === "ours" ? "both" : 1);
    await archive.push();
    return cost;
  };
  const plays: Readonly<Record<Work["key"], (program: Program) => Promise<Cost>>> = {
    full: (program) => backup(program, "full"),
    incr: (program) => backup(program, "incr"),
    verify: (program) => bed.run(program, program === "ours" ? ["verify"] : ["--repo=1", "verify"]),
    restore: (program) => restored(program, false),
    delta: (program) => restored(program, true),
  };
  const renew = async (): Promise<void> => {
    for (const program of PROGRAMS) await bed.renewRepositories(program);
  };
  return WORKS.map((work) => ({
    title: work.title,
    ...(work.key === "full" ? { prepare: renew } : {}),
    play: async (program) => figures.addCost(`${key} ${work.key}`, program, await plays[work.key](program)),
  }));
}

/** Cost of each further file in two steps to the whole number, and the peak predicted from the first step. */
function growthOf(
  figures: Figures,
  { key, title }: Work,
  counts: readonly number[],
): { readonly fact: string; readonly missed: readonly string[] } {
  const [quarter = 0, half = 0, all = 0] = counts;
  const peaks = counts.map((_, index) => figures.median(`files${index} ${key} memory`, "ours"));
  const [atQuarter = 0, atHalf = 0, atAll = 0] = peaks;
  const [first, second] = [(atHalf - atQuarter) / (half - quarter), (atAll - atHalf) / (all - half)];
  const expected = atHalf + Math.max(first, 0) * (all - half);
  const each = (mib: number): string => `${(mib * KIB).toFixed(2)} KiB`;
  const fact = `ours, ${title}: ${peaks.map((peak) => peak.toFixed(0)).join(", ")} MiB; each file more takes ${each(first)} from ${quarter} to ${half} files, ${each(second)} from ${half} to ${all}`;
  return { fact, missed: atAll > expected * LINEAR_MAX ? [`${fact}: more than linear`] : [] };
}

async function profile(bed: Bed, fileCount: number): Promise<readonly TitledProfile[]> {
  await bed.renewRepositories("ours");
  const backup = await bed.profile(["--type=full", "backup"]);
  const restore = await bed.profileRestore(1);
  return [
    { title: `Full backup of ${fileCount} small files into both repositories`, profile: backup },
    { title: `Restore of ${fileCount} small files`, profile: restore },
  ];
}
