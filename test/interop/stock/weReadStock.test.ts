/**
 * Ours reads what stock writes: the stanza, WAL from stock's own archive-push, full backups with each compression,
 * plain and encrypted, bundled or not, on disk and in S3. Then ours continues in stock's repositories, and stock
 * verifies the result.
 */
// claim: README.md: we read what stock wrote (info, verify, restore, archive-get)
// claim: docs/kubernetes/engines.md: from `pgbackrest` to `runtime` on the same repositories, and back (the format both
//   ways, without Dalibo's plugin)
// claim: docs/internals/repository-format.md: stock's files and behaviour (both ways with stock 2.45 and 2.60, and
//   golden bytes in `test/runtime/format`)
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CompressType } from "../../../runtime/config/options";
import type { ReportFile } from "../../../runtime/operations/report/reportFields";
import type { StockVersion } from "../../../tools/parts/debian/pgbackrest";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { comparableInfo, labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { type BedRepo, TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

interface StockRepo {
  readonly compressType: CompressType;
  readonly on: "posix" | "s3rver";
  readonly encrypted?: boolean;
  readonly bundle?: boolean;
}

interface Row {
  readonly postgres: number;
  readonly stock: StockVersion;
  readonly repos: readonly StockRepo[];
}

const ROWS = atNight<Row>(
  {
    postgres: 18,
    stock: "2.60",
    repos: [
      { on: "posix", compressType: "none", bundle: true },
      { on: "posix", compressType: "gz", encrypted: true, bundle: true },
      { on: "s3rver", compressType: "zst", encrypted: true, bundle: true },
    ],
  },
  {
    postgres: 15,
    stock: "2.45",
    repos: [
      { on: "posix", compressType: "gz" },
      { on: "posix", compressType: "lz4", encrypted: true, bundle: true },
      { on: "posix", compressType: "none", encrypted: true },
    ],
  },
);

const describeRepo = ({ on, compressType, encrypted, bundle }: StockRepo): string =>
  [on, compressType, ...(encrypted === true ? ["encrypted"] : []), ...(bundle === true ? ["bundled"] : [])].join(" ");

for (const row of ROWS) {
  const title = `stock ${row.stock}, PostgreSQL ${row.postgres}: ${row.repos.map(describeRepo).join(", ")}`;
  describe(title, async () => {
    const parts = await findParts(title, row.postgres, row.stock);
    if (parts !== null) weRead(parts, row.repos);
  });
}

function weRead({ binaries, stock }: InteropParts, planned: readonly StockRepo[]): void {
  const servers: S3Server[] = [];
  const keys = planned.map((_, index) => index + 1);
  let bed: TestBed;
  let segment: string;
  let segmentBytes: Buffer;

  beforeAll(async () => {
    const repos: BedRepo[] = [];
    for (const { on, compressType, encrypted = false, bundle = false } of planned) {
      const server = on === "s3rver" ? await S3Server.create({ kind: on }) : undefined;
      if (server !== undefined) servers.push(server);
      repos.push({
        compressType,
        encrypted,
        options: bundle ? { bundle: "y" } : {},
        ...(server === undefined ? {} : { s3: server }),
      });
    }
    // All repositories store WAL with one compression. No row's first repository uses zst.
    bed = await TestBed.create({
      binaries,
      repos,
      archiver: stock,
      settings: { wal_keep_size: "512MB" },
      global: { "compress-type": "zst", "process-max": "2" },
    });
    await bed.cluster.start();
    await bed.stockOk(stock, ["stanza-create"]);
    await fillBed(bed);
    // The rows of PostgreSQL 15 keep complete clusters.
    if (binaries.major !== 15) await dropTemplates(bed);
    for (const [index, { compressType }] of planned.entries()) {
      await bed.stockOk(stock, [
        "backup",
        "--type=full",
        `--repo=${index + 1}`,
        `--compress-type=${compressType}`,
        "--no-expire-auto",
      ]);
    }
    await writeMore(bed);
    segment = await bed.archiveAll();
    segmentBytes = readFileSync(bed.walFile(segment));
  });
  afterAll(async () => {
    await bed?.remove();
    for (const server of servers) await server.remove();
  });

  test("info reports the same as stock", async () => {
    const ours = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
    expect(labelsOf(ours).map((entry) => entry.repo)).toEqual(keys);
    expect(comparableInfo(ours)).toEqual(
      comparableInfo(parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout)),
    );
    for (const { repo, label } of labelsOf(ours)) {
      const details = ["info", "--output=json", `--repo=${repo}`, `--set=${label}`];
      expect(comparableInfo(parseInfo((await bed.oursOk(details)).stdout))).toEqual(
        comparableInfo(parseInfo((await bed.stockOk(stock, details)).stdout)),
      );
    }
  });

  test("a report shows one unbroken window from the backup to the newest WAL", async () => {
    const { databases } = JSON.parse((await bed.oursOk(["report", "--format=json"])).stdout) as ReportFile;
    const repos = databases[0]?.repos ?? [];
    expect(repos.map(({ key }) => key)).toEqual(keys);
    for (const { backups, gaps, newestWalS, windows } of repos) {
      expect(windows).toEqual([{ fromS: backups[0]?.stoppedAtS, toS: newestWalS }]);
      expect(gaps).toEqual([]);
    }
    expect((await bed.ours(["report"])).stdout).toContain("<h1>Backups ");
  });

  test("verify finds every repository valid", async () => {
    const result = await bed.oursOk(["verify", "--output=text"]);
    expect(result.stdout.match(/^status: ok$/gm)).toHaveLength(keys.length);
    expect(result.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
  });

  test.each(keys)("archive-get returns the segment's bytes from repo%i", async (key) => {
    const target = join(bed.folder, "log", `got-${key}`);
    await bed.oursOk(["archive-get", `--repo=${key}`, segment, target]);
    expect(readFileSync(target).equals(segmentBytes)).toBe(true);
    rmSync(target);
    expect((await bed.ours(["archive-get", `--repo=${key}`, `${segment.slice(0, 22)}FE`, target])).exitCode).toBe(1);
  });

  test.each(NIGHTLY ? keys : keys.slice(-1))(
    "restore from repo%i starts, replays the WAL and equals the source",
    async (key) => {
      expect(await bed.restoreAndCompare({ by: null, repo: key })).toEqual([]);
    },
  );

  test("our backup continues in stock's repositories, and stock verifies and restores it", async () => {
    const result = await bed.oursOk(["backup", "--type=full"]);
    const label = /new backup label = (\S+)/.exec(result.stdout)?.[1] ?? "";
    const stocks = parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
    for (const key of keys) {
      expect(
        labelsOf(stocks)
          .filter((entry) => entry.repo === key)
          .at(-1)?.label,
      ).toBe(label);
      const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
      expect(verified.stdout).toMatch(/^status: ok$/m);
      expect(verified.stdout).toContain(`backup: ${label}, status: valid`);
      expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
    }
    const [first = 1] = keys;
    expect(await bed.restoreAndCompare({ by: stock, repo: first, args: [`--set=${label}`] })).toEqual([]);
  });
}
