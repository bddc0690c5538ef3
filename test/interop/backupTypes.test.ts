/**
 * Increments that two programs make in turn: each goes on with what the other one wrote, in several repositories of different kinds at once,
 * and each restores the chain. Then what makes an increment of ours: files that did not change, a repository without a prior, a timeline switch.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StockPgbackrest, StockVersion } from "../../tools/parts/pgbackrest";
import { comparableInfo, parseInfo } from "../harness/infoJson";
import { findParts, type InteropParts } from "../harness/interopParts";
import { fillBed, writeMore } from "../harness/sampleData";
import { type BedRepo, TestBed } from "../harness/testBed";

interface Row {
  readonly postgres: number;
  readonly stock: StockVersion;
  readonly repos: readonly BedRepo[];
}

const BUNDLE = { bundle: "y", "bundle-size": "1MiB", "bundle-limit": "256KiB" };

const ROWS: readonly Row[] = [
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
];

for (const row of ROWS) {
  const title = `increments with PostgreSQL ${row.postgres} and stock ${row.stock}`;
  describe(title, async () => {
    const parts = await findParts(title, row.postgres, row.stock);
    if (parts === null) test.skip("a part is missing", () => undefined);
    else alternate(parts, row.repos);
  });
}

function alternate({ binaries, stock }: InteropParts, repos: readonly BedRepo[]): void {
  const keys = repos.map((_, index) => index + 1);
  let bed: TestBed;

  beforeAll(async () => {
    bed = await TestBed.create({ binaries, repos });
    await bed.cluster.start();
    await bed.oursOk(["stanza-create"]);
    await fillBed(bed);
  });
  afterAll(() => bed?.remove());

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
    for (const key of keys) expect(await bed.restoreAndCompare({ by: stock, repo: key }), `repo${key}`).toEqual([]);
  });

  test("our full, stock diff, our incr, stock incr: both verify, we restore", async () => {
    const [full = ""] = await byOurs(bed, "full");
    await writeMore(bed);
    await byStock(bed, stock, repos, "diff");
    await writeMore(bed);
    const incr = await byOurs(bed, "incr");
    expect(new Set(incr).size).toBe(1);
    expect(incr[0]?.startsWith(`${full}_`)).toBe(true);
    await writeMore(bed);
    await byStock(bed, stock, repos, "incr");
    await writeMore(bed);
    await bed.archiveAll();
    await expectAgreement(bed, stock, keys);
    for (const key of keys) expect(await bed.restoreAndCompare({ by: null, repo: key }), `repo${key}`).toEqual([]);
  });
}

async function byStock(bed: TestBed, stock: StockPgbackrest, repos: readonly BedRepo[], type: string): Promise<void> {
  for (const [index, { compressType = "gz" }] of repos.entries()) {
    await bed.stockOk(stock, ["backup", `--type=${type}`, `--repo=${index + 1}`, `--compress-type=${compressType}`, "--no-expire-auto"]);
  }
}

/** The new labels by repository key. */
async function byOurs(bed: TestBed, type: string, ...args: readonly string[]): Promise<string[]> {
  const { stdout } = await bed.oursOk(["backup", `--type=${type}`, ...args]);
  return [...stdout.matchAll(/repo(\d+): new backup label = (\S+)/g)].map((match) => match[2] ?? "");
}

/** Stock and ours tell the same of every repository, and both find it in order. */
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
