/**
 * Stock accepts what ours writes: the stanza, WAL from a real archive_command, and one full backup into all
 * repositories in one run. Stock reads, verifies, restores, extends and expires it. A few rows cover all dimensions
 * (PostgreSQL, stock's version, compression, encryption, storage).
 */
// claim: README.md: one pass into N repositories
// claim: README.md: each repository has its own compression and encryption
// claim: README.md: stock reads what we write (info, verify, restore, archive-get, backup, expire; 2.45, 2.55 and 2.60)
// claim: README.md: no secret in command…
// claim: docs/kubernetes/engines.md: from `pgbackrest` to `runtime`…
// claim: docs/internals/repository-format.md: stock's files and behaviour…
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { run } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { findParts, hasVersitygw, type InteropParts } from "../../harness/real/interopParts";
import { comparableInfo, labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { watchCommandLines } from "../../harness/real/runtimeCli";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { type BedRepo, TestBed } from "../../harness/real/testBed";
import { atNight } from "../../../tools/parts/nightly";

interface PlannedRepo extends Omit<BedRepo, "s3"> {
  readonly on: "posix" | "s3rver" | "versitygw";
}

interface Row {
  readonly postgres: number;
  readonly stock: StockVersion;
  readonly repos: readonly PlannedRepo[];
}

const ROWS = atNight<Row>(
  {
    postgres: 18,
    stock: "2.60",
    repos: [
      { on: "posix", compressType: "none" },
      { on: "posix", compressType: "gz", encrypted: true },
      { on: "s3rver", compressType: "zst", encrypted: true },
    ],
  },
  {
    postgres: 15,
    stock: "2.45",
    repos: [
      { on: "posix", compressType: "gz" },
      { on: "posix", compressType: "zst", encrypted: true },
      { on: "s3rver", compressType: "lz4", encrypted: true },
    ],
  },
  {
    postgres: 17,
    stock: "2.55",
    repos: [
      { on: "posix", compressType: "zst" },
      { on: "posix", compressType: "none", encrypted: true },
      { on: "versitygw", compressType: "gz", encrypted: true },
    ],
  },
);

const describeRepo = (repo: PlannedRepo): string =>
  `${repo.on} ${repo.compressType}${repo.encrypted === true ? " encrypted" : ""}`;

for (const row of ROWS) {
  const title = `PostgreSQL ${row.postgres}, stock ${row.stock}: ${row.repos.map(describeRepo).join(", ")}`;
  describe(title, async () => {
    const parts = await findParts(title, row.postgres, row.stock);
    const wantsVersitygw = row.repos.some((repo) => repo.on === "versitygw");
    if (parts === null || (wantsVersitygw && !(await hasVersitygw(title)))) return;
    stockReads(parts, row.repos);
  });
}

function stockReads({ binaries, stock }: InteropParts, planned: readonly PlannedRepo[]): void {
  const servers: S3Server[] = [];
  const keys = planned.map((_, index) => index + 1);
  let bed: TestBed;
  let label: string;
  let segment: string;
  let segmentBytes: Buffer;
  let argvLeaks: readonly string[];

  beforeAll(async () => {
    const repos: BedRepo[] = [];
    for (const { on, ...repo } of planned) {
      if (on === "posix") repos.push(repo);
      else {
        const server = await S3Server.create({ kind: on });
        servers.push(server);
        repos.push({ ...repo, s3: server });
      }
    }
    bed = await TestBed.create({
      binaries,
      repos,
      settings: { wal_keep_size: "512MB" },
      global: { "process-max": "2" },
    });
    const watch = watchCommandLines(bed.secrets);
    await bed.startWithStanza();
    await fillBed(bed);
    // The rows of PostgreSQL 15 keep complete clusters.
    if (binaries.major !== 15) await dropTemplates(bed);
    const backup = await bed.oursOk(["backup", "--type=full"]);
    label = /new backup label = (\S+)/.exec(backup.stdout)?.[1] ?? "";
    // Pads backup.info as expire does in a bucket with conditional writes.
    for (const name of ["backup.info", "backup.info.copy"])
      appendFileSync(join(bed.repoPath(1), "backup", bed.stanza, name), "\n".repeat(256));
    await writeMore(bed);
    segment = await bed.archiveAll();
    segmentBytes = readFileSync(bed.walFile(segment));
    argvLeaks = watch.stop().leaks;
  });
  afterAll(async () => {
    await bed?.remove();
    for (const server of servers) await server.remove();
  });

  test("info: one label in every repository, and the same facts from both programs", async () => {
    const ours = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
    const stocks = parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
    expect(labelsOf(stocks)).toEqual(keys.map((key) => ({ repo: key, label })));
    expect(comparableInfo(ours)).toEqual(comparableInfo(stocks));
    expect(stocks.status).toMatchObject({ code: 0, message: "ok" });
  });

  test.each(keys)("verify finds repo%i valid", async (key) => {
    const result = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
    expect(result.stdout).toMatch(/status: ok/);
    expect(result.stdout).toContain(`backup: ${label}, status: valid`);
    expect(result.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
  });

  test.each(keys)("archive-get returns the segment's bytes from repo%i", async (key) => {
    const folder = mkdtempSync(join(bed.folder, "log", "got-"));
    rmSync(folder, { recursive: true });
    await bed.stockOk(stock, ["archive-get", `--repo=${key}`, segment, folder]);
    expect(readFileSync(folder).equals(segmentBytes)).toBe(true);
    rmSync(folder);
  });

  test.each(keys)("restore from repo%i starts, replays the WAL and equals the source", async (key) => {
    expect(await bed.restoreAndCompare({ by: stock, repo: key })).toEqual([]);
  });

  test("backup and expire continue in our repositories", async () => {
    for (const [index, { compressType = "gz" }] of planned.entries()) {
      const retention = `--repo${index + 1}-retention-full=1`;
      await bed.stockOk(stock, [
        "backup",
        "--type=full",
        `--repo=${index + 1}`,
        `--compress-type=${compressType}`,
        "--no-expire-auto",
        retention,
      ]);
    }
    const both = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
    for (const key of keys) expect(labelsOf(both).filter((entry) => entry.repo === key)).toHaveLength(2);
    for (const key of keys) await bed.stockOk(stock, ["expire", `--repo=${key}`, `--repo${key}-retention-full=1`]);
    const ours = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
    const left = labelsOf(ours);
    expect(left.map((entry) => entry.repo)).toEqual(keys);
    expect(left.map((entry) => entry.label)).not.toContain(label);
    expect(comparableInfo(ours)).toEqual(
      comparableInfo(parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout)),
    );
    const verified = await bed.oursOk(["verify", "--output=text"]);
    expect(verified.stdout.match(/^status: ok$/gm)).toHaveLength(keys.length);
  });

  test("no log, output, command line or file of PostgreSQL contains a passphrase or a key", () => {
    expect(bed.secrets.length).toBeGreaterThan(0);
    expect(argvLeaks).toEqual([]);
    expect(bed.findLeaks()).toEqual([]);
  });

  test("the search for secrets finds a planted one", async () => {
    const [secret = ""] = bed.secrets;
    const planted = join(bed.folder, "log", "planted.log");
    writeFileSync(planted, `passphrase ${secret}`);
    expect(bed.findLeaks()).toEqual(["log/planted.log"]);
    rmSync(planted);
    const watch = watchCommandLines(bed.secrets);
    await run("/bin/sh", ["-c", "sleep 0.3; exit 0", secret]);
    expect(watch.stop().leaks).toEqual([`/bin/sh -c sleep 0.3; exit 0 ${secret} `]);
  });
}
