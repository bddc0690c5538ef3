/**
 * `npm run bench -- blocks`: block incremental. In each round both programs take a full backup, one page in a hundred
 * changes, and both take an incremental backup of the same state and restore it.
 *
 * SQL changes the pages: `TABLESAMPLE SYSTEM` picks them at random, one row of each is updated, and its new version
 * stays in the page because the tables leave space for it. The pages' LSNs tell how many really changed.
 */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { formatBytes, type Progress } from "../parts/progress";
import { readArguments } from "./arguments";
import { type Bed, withBed } from "./bed";
import { publish, type Report } from "./document";
import { Figures, type Row } from "./figures";
import { mixedData } from "./fill";
import { median } from "./measure";
import type { TitledProfile } from "./profile";
import { Hashes, playRounds, type Step } from "./rounds";

export interface BlocksOptions {
  readonly sizeMb: number;
  readonly rounds: number;
  readonly profile: boolean;
}

const MIB = 1024 * 1024;
const PAGE_SIZE_BYTES = 8192;
const PAGES_AT_ONCE = 512;
const CHANGED_SHARE = 0.01;
/** Required share of changed pages, so that the bench measures what it claims. */
const CHANGED_SHARE_OFF_MAX = 0.5;

const ROWS: readonly Row[] = [
  { title: "full backup with block maps into one repository: wall, s", key: "full wall", digits: 1, ratioMax: 0.75 },
  { title: "full backup with block maps into one repository: processor, s", key: "full cpu", digits: 1 },
  { title: "incr of 1 % of the pages into one repository: wall, s", key: "incr wall", digits: 2, ratioMax: 0.75 },
  { title: "incr of 1 % of the pages into one repository: processor, s", key: "incr cpu", digits: 2 },
  { title: "incr of 1 % of the pages: peak memory, MiB", key: "incr memory", digits: 0 },
  { title: "incr of 1 % of the pages: size in the repository, MiB", key: "stored", digits: 1 },
  { title: "restore of the incr: wall, s", key: "restore wall", digits: 1, ratioMax: 0.75 },
  { title: "restore of the incr: processor, s", key: "restore cpu", digits: 1, ratioMax: 0.9 },
  { title: "restore of the incr: peak memory, MiB", key: "restore memory", digits: 0 },
];

export async function blocksMain(argv: readonly string[], progress: Progress): Promise<void> {
  const options = readArguments(argv, { size: 2048, rounds: 5, write: false, profile: false });
  const report = await blocksBench(
    { sizeMb: options.size, rounds: options.rounds, profile: options.profile },
    progress,
  );
  if (report === null) return;
  publish(
    {
      file: "benchmarks-blocks.md",
      title: "Benchmarks: block incremental",
      command: "npm run bench -- blocks",
      before:
        "A ratio below 1 means less than stock; it is the median of the ratios of pairs\nthat ran one directly after the other, beside it the lowest and the highest.",
      after:
        "Each round: a full backup by each program, the changes, an incremental backup of the same state by each, and its restore. The changes are SQL\nupdates of one row in each page of a random sample (`TABLESAMPLE SYSTEM`), which stay in the page, and a checkpoint.",
    },
    report,
    options.write,
  );
}

/** Null, after a loud line, without stock pgBackRest. @throws Error if either program fails */
export function blocksBench(options: BlocksOptions, progress: Progress): Promise<Report | null> {
  const { sizeMb, rounds } = options;
  const data = mixedData(sizeMb, { spareSpace: true });
  const bedOptions = {
    title: `${sizeMb} MB of mixed data`,
    // So that later reads do not change pages.
    fill: async (cluster, note) => {
      await data(cluster, note);
      await cluster.sql("VACUUM (FREEZE, ANALYZE)");
    },
    compressType: "zst",
    repoOptions: { bundle: "y", block: "y" },
  } as const satisfies Parameters<typeof withBed>[0];
  return withBed(bedOptions, progress, async (bed) => {
    const figures = new Figures();
    const hashes = new Hashes();
    const changes: Changes[] = [];
    await playRounds(rounds, stepsOf(bed, figures, hashes, changes), progress);
    const profiles = options.profile ? await progress.step("profile", () => profile(bed)) : [];
    const { text, missed } = figures.table(ROWS, bed.stockName);
    const changed = median(changes.map(({ changedCount }) => changedCount));
    const pages = median(changes.map(({ pageCount }) => pageCount));
    const facts = [
      ...bed.facts(),
      `${formatBytes(bed.dataSizeBytes)} of databases, of ${pages} pages in each round ${changed} changed (${((changed / pages) * 100).toFixed(2)} %); repo-block, repo-bundle, zst, process-max 2, one posix repository; medians of ${rounds} pairs`,
      `sha1 of what the restores of both programs brought back, by round: ${hashes.all().join(", ")}`,
    ];
    return { table: text, facts, missed, profiles };
  });
}

function stepsOf(bed: Bed, figures: Figures, hashes: Hashes, changes: Changes[]): readonly Step[] {
  let current = 0;
  return [
    {
      title: "full",
      play: async (program) => {
        await bed.renewRepositories(program);
        figures.addCost("full", program, await bed.backup(program, "full", 1));
      },
    },
    {
      title: "incr",
      prepare: async (round) => {
        current = round;
        changes.push(await changePages(bed, round));
      },
      play: async (program) => {
        figures.addCost("incr", program, await bed.backup(program, "incr", 1));
        figures.add("stored", program, (await bed.storedBytes(program, "incr")) / MIB);
      },
    },
    {
      title: "restore",
      play: async (program) => {
        const { cost, hash } = await bed.restore(program, 1);
        figures.addCost("restore", program, cost);
        hashes.add(`round ${current}`, hash);
      },
    },
  ];
}

interface Changes {
  readonly changedCount: number;
  readonly pageCount: number;
}

/** Updates one row in this share of all pages. @throws Error if the share that changed is too different */
async function changePages(bed: Bed, seed: number): Promise<Changes> {
  const { cluster } = bed;
  const before = BigInt(await cluster.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"));
  const pagesOf = async (relation: string): Promise<number> =>
    Number(await cluster.value(`SELECT pg_relation_size('${relation}') / ${PAGE_SIZE_BYTES}`));
  const sampledPages = (await pagesOf("documents")) + (await pagesOf("readings"));
  const allPages = bed.dataSizeBytes / PAGE_SIZE_BYTES;
  const percent = Math.min(50, (allPages / sampledPages) * CHANGED_SHARE * 100);
  for (const [relation, change] of [
    ["documents", "id = -id"],
    ["readings", "value = value + 1"],
  ]) {
    await cluster.sql(
      `UPDATE ${relation} SET ${change} WHERE ctid = ANY (ARRAY(
         SELECT DISTINCT ON ((ctid::text::point)[0]) ctid FROM ${relation} TABLESAMPLE SYSTEM (${percent}) REPEATABLE (${seed})))`,
    );
  }
  await cluster.sql("CHECKPOINT");
  const changes = countPages(join(cluster.dataPath, "base"), before);
  const off = Math.abs(changes.changedCount / changes.pageCount / CHANGED_SHARE - 1);
  if (off > CHANGED_SHARE_OFF_MAX)
    throw new Error(`${changes.changedCount} of ${changes.pageCount} pages changed, which is not about 1 %`);
  return changes;
}

/** Pages of all relations below a directory, and those written after an LSN. */
function countPages(folder: string, lsn: bigint): Changes {
  let [changedCount, pageCount] = [0, 0];
  const buffer = Buffer.alloc(PAGES_AT_ONCE * PAGE_SIZE_BYTES);
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    if (!/^\d+\/\d+(_(fsm|vm))?(\.\d+)?$/.test(name)) continue;
    const file = openSync(join(folder, name), "r");
    for (let sizeBytes = readSync(file, buffer); sizeBytes > 0; sizeBytes = readSync(file, buffer)) {
      for (let offset = 0; offset < sizeBytes; offset += PAGE_SIZE_BYTES) {
        pageCount += 1;
        const written = (BigInt(buffer.readUInt32LE(offset)) << 32n) | BigInt(buffer.readUInt32LE(offset + 4));
        if (written > lsn) changedCount += 1;
      }
    }
    closeSync(file);
  }
  return { changedCount, pageCount };
}

async function profile(bed: Bed): Promise<readonly TitledProfile[]> {
  await bed.renewRepositories("ours");
  const full = await bed.profile(["--repo=1", "--type=full", "backup"]);
  await changePages(bed, 1000);
  const incr = await bed.profile(["--repo=1", "--type=incr", "backup"]);
  const restore = await bed.profileRestore(1);
  return [
    { title: "Full backup with block maps", profile: full },
    { title: "Incr of 1 % of the pages", profile: incr },
    { title: "Restore of the incr", profile: restore },
  ];
}
