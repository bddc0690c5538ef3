/**
 * `npm run bench -- memory`: the highest memory of a full backup and of its restore, with one large relation, and with ever more small files to
 * see that it grows with their number and no faster.
 *
 * Ours writes both repositories at once, stock one; the bars are for ours alone, stock stands beside it.
 */
import type { Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { type Bed, withBed } from "./bed";
import { publish, type Report } from "./document";
import { Figures, type Row } from "./figures";
import { removeRelation, writeRelation, writeSmallFiles } from "./fill";
import type { TitledProfile } from "./profile";
import { Hashes, playRounds, type Step } from "./rounds";

export interface MemoryOptions {
  readonly sizeMb: number;
  readonly fileCount: number;
  readonly rounds: number;
  readonly profile: boolean;
}

const RELATION_MIB_MAX = 300;
const FILES_MIB_MAX = 600;
const SAMPLE_MS = 50;
const KIB = 1024;
/** Of what a straight line through the smaller numbers of files tells; collection of garbage makes it vary. */
const LINEAR_MAX = 1.25;

export async function memoryMain(argv: readonly string[], progress: Progress): Promise<void> {
  const words = readArguments(argv, { size: 2048, files: 200_000, rounds: 1, write: false, profile: false });
  const options = { sizeMb: words.size, fileCount: words.files, rounds: words.rounds, profile: words.profile };
  const report = await memoryBench(options, progress);
  if (report === null) return;
  publish(
    {
      file: "benchmarks-memory.md",
      title: "Benchmarks: memory",
      command: "npm run bench -- memory",
      before: "It is the highest sum over all processes of a command, shared pages counted once,\nlooked at every 50 ms.",
      after:
        "Ours writes both repositories in one run, stock one repository. The relation and the small files (one page each) are valid pages, no two alike,\nhalf of their bytes hardly compress.",
    },
    report,
    words.write,
  );
}

/** Null, after a loud line, where there is no stock pgBackRest to compare with. @throws Error when either program fails */
export function memoryBench(options: MemoryOptions, progress: Progress): Promise<Report | null> {
  const { sizeMb, fileCount, rounds } = options;
  const bedOptions = {
    title: "nothing in it yet",
    fill: () => Promise.resolve(),
    compressType: "zst",
    repoOptions: { bundle: "y" },
    sampleMs: SAMPLE_MS,
  } as const;
  return withBed(bedOptions, progress, async (bed) => {
    const figures = new Figures();
    const hashes = new Hashes();
    const rows: Row[] = [];
    const play = async (key: string, what: string, oursMax?: number): Promise<void> => {
      await playRounds(rounds, stepsOf(bed, figures, hashes, key), progress);
      const bar = oursMax === undefined ? {} : { oursMax };
      rows.push({ title: `full backup of ${what}: peak memory, MiB`, key: `${key} backup memory`, digits: 0, ...bar });
      rows.push({ title: `restore of ${what}: peak memory, MiB`, key: `${key} restore memory`, digits: 0, ...bar });
    };
    await progress.step(`one relation of ${sizeMb} MiB`, () => writeRelation(bed.cluster, sizeMb));
    await play("relation", `one relation of ${sizeMb} MiB`, RELATION_MIB_MAX);
    await removeRelation(bed.cluster);
    const counts = [Math.ceil(fileCount / 4), Math.ceil(fileCount / 2), fileCount];
    for (const [index, count] of counts.entries()) {
      await progress.step(`${count} small files`, () => writeSmallFiles(bed.cluster, (counts[index - 1] ?? 0) + 1, count));
      await play(`files${index}`, `${count} small files`, index === counts.length - 1 ? FILES_MIB_MAX : undefined);
    }
    const linear = ["backup", "restore"].map((work) => growthOf(figures, work, counts));
    const profiles = options.profile ? await progress.step("profile", () => profile(bed, fileCount)) : [];
    const { text, missed } = figures.table(rows, bed.stockName);
    const facts = [
      ...bed.facts(),
      `bundles, zst, process-max 2, two posix repositories (stock: one), repo2 encrypted; medians of ${rounds} ${rounds === 1 ? "pair" : "pairs"}`,
      ...linear.map(({ fact }) => fact),
      `sha1 of what the restores of both programs brought back, by size: ${hashes.all().join(", ")}`,
    ];
    return { table: text, facts, missed: [...missed, ...linear.flatMap((growth) => growth.missed)], profiles };
  });
}

function stepsOf(bed: Bed, figures: Figures, hashes: Hashes, key: string): readonly Step[] {
  return [
    {
      title: "backup",
      play: async (program) => {
        await bed.renewRepositories(program);
        figures.addCost(`${key} backup`, program, await bed.backup(program, "full", program === "ours" ? "both" : 1));
      },
    },
    {
      title: "restore",
      play: async (program) => {
        const { cost, hash } = await bed.restore(program, 1);
        figures.addCost(`${key} restore`, program, cost);
        hashes.add(key, hash);
      },
    },
  ];
}

/** What each further file costs ours, in the two steps to the whole number; from the first one it must be told how high the last one gets. */
function growthOf(figures: Figures, work: string, counts: readonly number[]): { readonly fact: string; readonly missed: readonly string[] } {
  const [quarter = 0, half = 0, all = 0] = counts;
  const [atQuarter = 0, atHalf = 0, atAll = 0] = counts.map((_, index) => figures.median(`files${index} ${work} memory`, "ours"));
  const [first, second] = [(atHalf - atQuarter) / (half - quarter), (atAll - atHalf) / (all - half)];
  const told = atHalf + Math.max(first, 0) * (all - half);
  const each = (mib: number): string => `${(mib * KIB).toFixed(2)} KiB`;
  const fact = `ours, ${work}: each file more takes ${each(first)} from ${quarter} to ${half} files, ${each(second)} from ${half} to ${all}`;
  return { fact, missed: atAll > told * LINEAR_MAX ? [`${fact}: more than linear`] : [] };
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
