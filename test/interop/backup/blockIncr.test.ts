/**
 * Block incremental backups in both directions. Ours restores stock's chains, in full and as a delta, and verifies
 * them. Either program restores chains that both wrote in turn. Files are bundled or separate, plain or encrypted.
 * The nightly form adds gz and PostgreSQL 15, and restores each repository with both programs.
 */
// claim: README.md: bundles and block incrementals…
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Manifest, type ManifestFile, parseManifest } from "../../../runtime/format/repository/manifest";
import type { StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { compareChecksums, TestCluster } from "../../../tools/parts/postgres/testCluster";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed } from "../../harness/real/sampleData";
import { type BedRepo, requireOk, TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const BLOCKS = { bundle: "y", block: "y" };

const REPOS: readonly BedRepo[] = [
  { compressType: "zst", options: BLOCKS },
  // Most files are not bundled, some have larger blocks, and super blocks are small.
  {
    compressType: "lz4",
    encrypted: true,
    options: {
      ...BLOCKS,
      "bundle-limit": "64KiB",
      "block-size-super": "32KiB",
      "block-size-map": "1MiB=32KiB",
      "block-size-super-full": "96KiB",
    },
  },
  ...(NIGHTLY ? [{ compressType: "gz", encrypted: true, options: BLOCKS } as const] : []),
];
const KEYS = REPOS.map((_, index) => index + 1);

describe.each(atNight(18, 15))("block incrementals with PostgreSQL %i and stock 2.60", async (major) => {
  const parts = await findParts(`block incrementals with PostgreSQL ${major}`, major, "2.60");
  if (parts !== null) bothDirections(parts);
});

function bothDirections({ binaries, stock }: InteropParts): void {
  let bed: TestBed;
  let full: string;

  beforeAll(async () => {
    bed = await TestBed.create({ binaries, repos: REPOS });
    await bed.startWithStanza();
    await fillBed(bed, 30_000);
    await dropTemplates(bed);
    // Sets hint bits now. Otherwise reading would change pages later.
    await bed.cluster.sql("VACUUM (FREEZE)");
  });
  afterAll(() => bed?.remove());

  test("ours restores stock's full, diff and incr, in full and as a delta over an older state", async () => {
    await byStock(bed, stock, "full");
    full = newestLabel(bed);
    await touch(bed, 1);
    await byStock(bed, stock, "diff");
    await touch(bed, 2);
    await byStock(bed, stock, "incr");
    await touch(bed, 3);
    await bed.archiveAll();
    for (const key of KEYS) expect(await restoreDelta(bed, key), `repo${key}`).toEqual([]);
    for (const key of NIGHTLY ? KEYS : [])
      expect(await bed.restoreAndCompare({ by: null, repo: key }), `repo${key}`).toEqual([]);
  });

  test("verify finds stock's blocks valid, and names a damaged one", async () => {
    const { stdout } = await bed.oursOk(["verify", "--output=text"]);
    expect(stdout.match(/^status: ok$/gm)).toHaveLength(KEYS.length);
    const [bundle] = readdirSync(join(bed.repoPath(1), "backup/main", full, "bundle"));
    const path = join(bed.repoPath(1), "backup/main", full, "bundle", bundle ?? "");
    const good = readFileSync(path);
    const bad = Buffer.from(good);
    const row = rowsWithMap(manifestOf(bed, full)).find((file) => file.bundle?.id === Number(bundle)) as ManifestFile;
    const at = (row.bundle?.offsetBytes ?? 0) + Math.floor(row.sizeRepoBytes / 2);
    bad.writeUInt8(bad.readUInt8(at) ^ 1, at);
    writeFileSync(path, bad);
    try {
      const damaged = await bed.ours(["verify", "--repo=1", "--output=text"]);
      expect(damaged.exitCode).not.toBe(0);
      expect(damaged.stdout).toMatch(/checksum invalid: [1-9]/);
    } finally {
      writeFileSync(path, good);
    }
  });

  test.runIf(NIGHTLY)(
    "ours continues with changed blocks only, stock continues ours, and both restore it",
    async () => {
      await touch(bed, 4);
      await byOurs(bed, "incr");
      const rows = rowsWithMap(manifestOf(bed, newestLabel(bed)));
      const orders = rows.find((file) => file.name.endsWith(`/${relation}`)) as ManifestFile;
      expect(orders.reference).toBeUndefined();
      expect(orders.sizeRepoBytes).toBeLessThan(orders.sizeBytes / 10);
      expect(rows.some((file) => file.reference === full)).toBe(true);
      await touch(bed, 5);
      await byStock(bed, stock, "incr");
      await touch(bed, 6);
      await byOurs(bed, "diff");
      await touch(bed, 7);
      await bed.archiveAll();
      await expectInOrder(bed, stock);
      await restoreEach(1);
    },
  );

  test("stock restores and continues our full, diff and incr, with files truncated and grown in between", async () => {
    await byOurs(bed, "full");
    await bed.cluster.sql("DELETE FROM orders WHERE id > 5000");
    await bed.cluster.sql("VACUUM (TRUNCATE) orders");
    await byOurs(bed, "diff");
    await bed.cluster.sql("INSERT INTO orders SELECT g, now(), md5(g::text) FROM generate_series(100000, 120000) g");
    await byOurs(bed, "incr");
    await touch(bed, 8);
    await byStock(bed, stock, "incr");
    await touch(bed, 9);
    await bed.archiveAll();
    await expectInOrder(bed, stock);
    await restoreEach(2);
  });

  /** Restores one repository with stock and the others with ours. The long form restores each with both. */
  async function restoreEach(byStockKey: number): Promise<void> {
    for (const key of KEYS) {
      for (const by of NIGHTLY ? [stock, null] : [key === byStockKey ? stock : null]) {
        expect(
          await bed.restoreAndCompare({ by, repo: key }),
          `repo${key} by ${by === null ? "ours" : "stock"}`,
        ).toEqual([]);
      }
    }
  }

  let relation = "";

  /** Changes a few pages in the middle of the table, and some at its end. */
  async function touch(on: TestBed, round: number): Promise<void> {
    await on.cluster.sql(
      `UPDATE orders SET note = 'round ${round}' WHERE id BETWEEN ${round * 300} AND ${round * 300 + 5};
       UPDATE documents SET body = body || '${round}' WHERE id = ${round};
       CHECKPOINT`,
    );
    relation = await on.cluster.value("SELECT pg_relation_filenode('orders')");
  }
}

/** Restores the full backup only to its consistency point, then the newest over it, and compares the tables. */
async function restoreDelta(bed: TestBed, key: number): Promise<string[]> {
  const full = labelsOf(bed, key).find((label) => label.endsWith("F")) ?? "";
  const expected = await bed.cluster.tableChecksums();
  const { result, dataPath } = await bed.restoreAside({
    by: null,
    repo: key,
    args: [`--set=${full}`, "--type=immediate"],
  });
  requireOk("restore of the full", result);
  const space = join(dataPath, "..", "space");
  await bed.oursOk([
    "restore",
    "--delta",
    `--repo=${key}`,
    `--pg1-path=${dataPath}`,
    `--tablespace-map=space=${space}`,
    "--archive-mode=off",
  ]);
  const restored = TestCluster.adopt({ binaries: bed.cluster.binaries, dataPath });
  try {
    await restored.start({}, { timeoutMs: 180_000 });
    await restored.waitForRecovery();
    return compareChecksums(expected, await restored.tableChecksums());
  } finally {
    await restored.remove();
    rmSync(join(dataPath, ".."), { recursive: true, force: true });
  }
}

async function byStock(bed: TestBed, stock: StockPgbackrest, type: string): Promise<void> {
  for (const [index, { compressType = "gz" }] of REPOS.entries()) {
    await bed.stockOk(stock, [
      "backup",
      `--type=${type}`,
      `--repo=${index + 1}`,
      `--compress-type=${compressType}`,
      "--no-expire-auto",
    ]);
  }
}

async function byOurs(bed: TestBed, type: string): Promise<void> {
  const { stdout } = await bed.oursOk(["backup", `--type=${type}`, "--no-expire-auto"]);
  expect([...stdout.matchAll(/new backup label = \S+/g)]).toHaveLength(KEYS.length);
}

async function expectInOrder(bed: TestBed, stock: StockPgbackrest): Promise<void> {
  for (const key of KEYS) {
    const { stdout } = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
    expect(stdout).toMatch(/^status: ok$/m);
    expect(stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
  }
  const { stdout } = await bed.oursOk(["verify", "--output=text"]);
  expect(stdout.match(/^status: ok$/gm)).toHaveLength(KEYS.length);
}

function labelsOf(bed: TestBed, key: number): string[] {
  return readdirSync(join(bed.repoPath(key), "backup/main"))
    .filter((name) => /^\d{8}-\d{6}F/.test(name))
    .sort();
}

/** Reads repo1, which is not encrypted. */
function newestLabel(bed: TestBed): string {
  return labelsOf(bed, 1).at(-1) ?? "";
}

function manifestOf(bed: TestBed, label: string): Manifest {
  return parseManifest(readFileSync(join(bed.repoPath(1), "backup/main", label, "backup.manifest"), "utf8"), label);
}

function rowsWithMap(manifest: Manifest): ManifestFile[] {
  return manifest.files.filter((file) => (file.block?.mapSizeBytes ?? 0) > 0);
}
