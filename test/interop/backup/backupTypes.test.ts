/**
 * Stock and ours take incremental and differential backups in turn. Each continues the other's chain, in several
 * repositories of different kinds at once, and each restores it. Then our manifest of a cluster is compared with
 * stock's.
 *
 * The nightly form runs every case with both versions, and restores every repository in each instead of one.
 */
// claim: README.md: increments: each repository builds on its own prior backup, ours or stock's in turn (PostgreSQL 18
//   with 2.60, 15 with 2.45)
// claim: README.md: bundles and block incrementals, in one chain with stock's
// claim: docs/kubernetes/engines.md: from `pgbackrest` to `runtime`…
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseManifest, type Manifest } from "../../../runtime/format/repository/manifest";
import type { StockPgbackrest, StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { giveTo } from "../../../tools/parts/users";
import { comparableInfo, labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { type BedRepo, TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

interface PlannedRepo extends Omit<BedRepo, "s3"> {
  readonly on?: "s3rver";
}

interface Row {
  readonly postgres: number;
  readonly stock: StockVersion;
  readonly repos: readonly PlannedRepo[];
}

const BUNDLE = { bundle: "y", "bundle-size": "1MiB", "bundle-limit": "256KiB" };

const ROWS = atNight<Row>(
  {
    postgres: 18,
    stock: "2.60",
    repos: [{ compressType: "gz" }, { compressType: "zst", encrypted: true, options: { ...BUNDLE, block: "y" } }],
  },
  {
    postgres: 15,
    stock: "2.45",
    repos: [
      { compressType: "lz4", encrypted: true },
      { compressType: "gz", encrypted: true, options: BUNDLE },
    ],
  },
);

for (const row of ROWS) {
  const title = `increments with PostgreSQL ${row.postgres} and stock ${row.stock}`;
  describe(title, async () => {
    const parts = await findParts(title, row.postgres, row.stock);
    if (parts !== null) alternate(parts, row.repos);
  });
}

function alternate({ binaries, stock }: InteropParts, planned: readonly PlannedRepo[]): void {
  const keys = planned.map((_, index) => index + 1);
  const repos: BedRepo[] = [];
  const servers: S3Server[] = [];
  let bed: TestBed;

  beforeAll(async () => {
    for (const { on, ...repo } of planned) {
      const server = on === undefined ? undefined : await S3Server.create({ kind: on });
      if (server !== undefined) servers.push(server);
      repos.push({ ...repo, ...(server === undefined ? {} : { s3: server }) });
    }
    // Vacuum creates files at any time, and two manifests would differ by them.
    bed = await TestBed.create({ binaries, repos });
    await bed.startWithStanza();
    await fillBed(bed, NIGHTLY ? 20_000 : 5000);
    await dropTemplates(bed);
  });
  afterAll(async () => {
    await bed?.remove();
    for (const server of servers) await server.remove();
  });

  test("stock full, our diff, stock incr, our incr: stock verifies and restores", async () => {
    await byStock(bed, stock, repos, "full");
    await writeMore(bed);
    const diff = await byOurs(bed, "diff");
    expect(diff.every((label) => /F_\d{8}-\d{6}D$/.test(label))).toBe(true);
    await writeMore(bed);
    await byStock(bed, stock, repos, "incr");
    await writeMore(bed);
    const incr = await byOurs(bed, "incr");
    expect(incr.every((label) => /F_\d{8}-\d{6}I$/.test(label))).toBe(true);
    await writeMore(bed);
    await bed.archiveAll();
    await expectAgreement(bed, stock, keys);
    for (const key of NIGHTLY ? keys : keys.slice(-1))
      expect(await bed.restoreAndCompare({ by: stock, repo: key }), `repo${key}`).toEqual([]);
  });

  test.runIf(NIGHTLY)("our full, stock diff, our incr, stock incr: both verify, we restore", async () => {
    const [full = ""] = await byOurs(bed, "full");
    await writeMore(bed);
    await byStock(bed, stock, repos, "diff");
    await writeMore(bed);
    const incr = await byOurs(bed, "incr", "--archive-copy");
    expect(new Set(incr).size).toBe(1);
    expect(incr[0]?.startsWith(`${full}_`)).toBe(true);
    await writeMore(bed);
    await byStock(bed, stock, repos, "incr");
    await writeMore(bed);
    await bed.archiveAll();
    await expectAgreement(bed, stock, keys);
    for (const key of NIGHTLY ? keys : keys.slice(-1))
      expect(await bed.restoreAndCompare({ by: null, repo: key }), `repo${key}`).toEqual([]);
  });

  test("ours writes down what stock writes down", async () => {
    const outside = join(bed.folder, "outside");
    const inData = (name: string): string => join(bed.cluster.dataPath, name);
    for (const path of [outside, join(outside, "log"), inData("scratch")]) {
      mkdirSync(path);
      giveTo(path, bed.cluster.user);
    }
    for (const path of [
      join(outside, "log", "today.log"),
      inData("scratch/file"),
      inData("notes"),
      inData("pgsql_tmp.left"),
    ]) {
      writeFileSync(path, "some text\n");
      giveTo(path, bed.cluster.user);
    }
    symlinkSync(join(outside, "log"), inData("log"));
    renameSync(inData("pg_hba.conf"), join(outside, "pg_hba.conf"));
    symlinkSync(join(outside, "pg_hba.conf"), inData("pg_hba.conf"));
    const session = await bed.cluster.connect();
    await session.query("CREATE TEMPORARY TABLE mine AS SELECT generate_series(1, 1000) AS g");
    const exclude = ["--exclude=notes", "--exclude=scratch/"];
    await bed.stockOk(stock, [
      "backup",
      "--type=full",
      "--repo=1",
      `--compress-type=${repos[0]?.compressType}`,
      "--no-expire-auto",
      ...exclude,
    ]);
    await bed.oursOk(["backup", "--type=full", "--repo=1", ...exclude]);
    await session.end();
    const labels = labelsOf(parseInfo((await bed.oursOk(["info", "--output=json", "--repo=1"])).stdout)).slice(-2);
    const [theirs, ours] = await Promise.all(labels.map(({ label }) => manifestOf(bed, label)));
    expect(rowsOf(ours)).toEqual(rowsOf(theirs));
    expect(ours?.links).toEqual(theirs?.links);
    expect(ours?.targets).toEqual(theirs?.targets);
    expect(ours?.defaults).toEqual(theirs?.defaults);
    expect(ours?.files.some((file) => file.name === "pg_data/log/today.log")).toBe(true);
    expect(ours?.files.some((file) => file.name === "pg_data/notes")).toBe(false);
  });
}

/** Uses ours, which has the keys of encrypted repositories. */
async function manifestOf(bed: TestBed, label: string): Promise<Manifest> {
  const { stdout } = await bed.oursOk(["repo-get", "--repo=1", `backup/${bed.stanza}/${label}/backup.manifest`]);
  return parseManifest(stdout, label);
}

/** Everything that does not depend on the time of the backup. Files that the running server recreates are left out. */
function rowsOf(manifest: Manifest | undefined): string[] {
  const files = (manifest?.files ?? []).filter((file) => !/\/pg_logical\/|\/pg_xact\/|\/pg_wal\//.test(file.name));
  return [
    ...files.map(
      (file) =>
        `${file.name} ${file.mode.toString(8)} ${file.user}:${file.group} pages ${file.checksumPage ?? "unchecked"}`,
    ),
    ...(manifest?.paths ?? []).map((path) => `${path.name}/ ${path.mode.toString(8)} ${path.user}:${path.group}`),
  ].sort();
}

async function byStock(bed: TestBed, stock: StockPgbackrest, repos: readonly BedRepo[], type: string): Promise<void> {
  for (const [index, { compressType = "gz" }] of repos.entries()) {
    await bed.stockOk(stock, [
      "backup",
      `--type=${type}`,
      `--repo=${index + 1}`,
      `--compress-type=${compressType}`,
      "--no-expire-auto",
    ]);
  }
}

/** The new labels, in the order of the output. */
async function byOurs(bed: TestBed, type: string, ...args: readonly string[]): Promise<string[]> {
  const { stdout } = await bed.oursOk(["backup", `--type=${type}`, ...args]);
  return [...stdout.matchAll(/repo(\d+): new backup label = (\S+)/g)].map((match) => match[2] ?? "");
}

/** Stock and ours report the same about every repository, and both find it valid. */
async function expectAgreement(bed: TestBed, stock: StockPgbackrest, keys: readonly number[]): Promise<void> {
  const ours = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
  const stocks = parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
  expect(comparableInfo(ours)).toEqual(comparableInfo(stocks));
  for (const key of keys) {
    const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
    expect(verified.stdout).toMatch(/^status: ok$/m);
    expect(verified.stdout).not.toMatch(/status: (invalid|manifest missing)/);
    expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
  }
  const verified = await bed.oursOk(["verify", "--output=text"]);
  expect(verified.stdout.match(/^status: ok$/gm)).toHaveLength(keys.length);
}
