/**
 * `npm run bench -- files`: a cluster of many small relations in bundles, unchanged between the full and the
 * incremental backup, so that only the work for each file remains.
 */
import { formatBytes, type Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { type Bed, withBed } from "./bed";
import { publish, type Report } from "./document";
import { Figures, type Program, type Row } from "./figures";
import { smallRelations } from "./fill";
import type { TitledProfile } from "./profile";
import { Hashes, playRounds, type Step } from "./rounds";

export interface FilesOptions {
  readonly fileCount: number;
  readonly rounds: number;
  readonly profile: boolean;
}

const KIB = 1024;

const ROWS: readonly Row[] = [
  { title: "full backup into one repository: wall, s", key: "full one wall", digits: 2 },
  { title: "full backup into one repository: processor, s", key: "full one cpu", digits: 2 },
  { title: "full backup into one repository: peak memory, MiB", key: "full one memory", digits: 0 },
  { title: "full backup into both repositories: wall, s", key: "full both wall", digits: 2 },
  { title: "full backup into both repositories: processor, s", key: "full both cpu", digits: 2 },
  { title: "full backup into both repositories: peak memory, MiB", key: "full both memory", digits: 0 },
  { title: "incr with nothing changed, one repository: wall, s", key: "incr one wall", digits: 2, ratioMax: 1 },
  { title: "incr with nothing changed, one repository: processor, s", key: "incr one cpu", digits: 2 },
  { title: "incr with nothing changed, one repository: peak memory, MiB", key: "incr one memory", digits: 0 },
  { title: "incr with nothing changed, both repositories: wall, s", key: "incr both wall", digits: 2 },
  { title: "incr with nothing changed, both repositories: processor, s", key: "incr both cpu", digits: 2 },
  { title: "incr with nothing changed, both repositories: peak memory, MiB", key: "incr both memory", digits: 0 },
  { title: "incr with nothing changed: size in one repository, KiB", key: "stored", digits: 0 },
  { title: "restore of the incr: wall, s", key: "restore wall", digits: 2 },
  { title: "restore of the incr: processor, s", key: "restore cpu", digits: 2 },
  { title: "restore of the incr: peak memory, MiB", key: "restore memory", digits: 0 },
];

export async function filesMain(argv: readonly string[], progress: Progress): Promise<void> {
  const options = readArguments(argv, { files: 20_000, rounds: 5, write: false, profile: false });
  const report = await filesBench(
    { fileCount: options.files, rounds: options.rounds, profile: options.profile },
    progress,
  );
  if (report === null) return;
  publish(
    {
      file: "benchmarks-files.md",
      title: "Benchmarks: many small files",
      command: "npm run bench -- files",
      before:
        "A ratio below 1 means less than stock; it is the median of the ratios of pairs\nthat ran one directly after the other, beside it the lowest and the highest.",
      after:
        "Into both repositories stock takes one backup after the other; the two are added up, for memory the larger one counts.",
    },
    report,
    options.write,
  );
}

/** Null, after a loud line, without stock pgBackRest. @throws Error if either program fails */
export function filesBench(options: FilesOptions, progress: Progress): Promise<Report | null> {
  const { fileCount, rounds } = options;
  const bedOptions = {
    title: `${fileCount} small relations`,
    fill: smallRelations(fileCount),
    compressType: "zst",
    repoOptions: { bundle: "y" },
  } as const;
  return withBed(bedOptions, progress, async (bed) => {
    const figures = new Figures();
    const hashes = new Hashes();
    await playRounds(rounds, stepsOf(bed, figures, hashes), progress);
    const profiles = options.profile ? await progress.step("profile", () => profile(bed)) : [];
    const { text, missed } = figures.table(ROWS, bed.stockName);
    const facts = [
      ...bed.facts(),
      `${fileCount} relations of a page or two beside the server's own files, ${formatBytes(bed.dataSizeBytes)} of databases; bundles, zst, process-max 2, two posix repositories, repo2 encrypted; medians of ${rounds} pairs`,
      `sha1 of what every restore of both programs brought back: ${hashes.all().join(", ")}`,
    ];
    return { table: text, facts, missed, profiles };
  });
}

function stepsOf(bed: Bed, figures: Figures, hashes: Hashes): readonly Step[] {
  const backup =
    (type: "full" | "incr", repo: 1 | "both") =>
    async (program: Program): Promise<void> =>
      figures.addCost(`${type} ${repo === 1 ? "one" : "both"}`, program, await bed.backup(program, type, repo));
  return [
    {
      title: "full into both",
      play: async (program) => {
        await bed.renewRepositories(program);
        await backup("full", "both")(program);
      },
    },
    { title: "incr into both", play: backup("incr", "both") },
    {
      title: "restore of the incr",
      play: async (program) => {
        figures.add("stored", program, (await bed.storedBytes(program, "incr")) / KIB);
        const { cost, hash } = await bed.restore(program, 1);
        figures.addCost("restore", program, cost);
        hashes.add("the cluster", hash);
      },
    },
    { title: "full into one", play: backup("full", 1) },
    { title: "incr into one", play: backup("incr", 1) },
  ];
}

async function profile(bed: Bed): Promise<readonly TitledProfile[]> {
  await bed.renewRepositories("ours");
  const full = await bed.profile(["--repo=1", "--type=full", "backup"]);
  const incr = await bed.profile(["--repo=1", "--type=incr", "backup"]);
  const restore = await bed.profileRestore(1);
  return [
    { title: "Full backup into one repository", profile: full },
    { title: "Incr with nothing changed, one repository", profile: incr },
    { title: "Restore of the incr", profile: restore },
  ];
}
