/**
 * Ours reads what stock compressed with bzip2: WAL, a full backup in bundles and a diff with separate files. Ours does
 * not write bzip2.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";

const TITLE = "bzip2 of stock 2.60";

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 18, "2.60");
  if (parts !== null) weRead(parts);
});

function weRead({ binaries, stock }: InteropParts): void {
  let bed: TestBed;
  let segment: string;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{}, { encrypted: true, options: { bundle: "y", block: "y" } }],
      archiver: stock,
      settings: { wal_keep_size: "512MB" },
      global: { "compress-type": "bz2" },
    });
    await bed.cluster.start();
    await bed.stockOk(stock, ["stanza-create"]);
    await fillBed(bed, 5000);
    await dropTemplates(bed);
    for (const type of ["full", "diff"]) {
      for (const key of [1, 2])
        await bed.stockOk(stock, ["backup", `--type=${type}`, `--repo=${key}`, "--no-expire-auto"]);
      await writeMore(bed);
    }
    segment = await bed.archiveAll();
  });
  afterAll(() => bed?.remove());

  test.each([1, 2])("WAL of repo%i comes back byte for byte", async (key) => {
    const target = join(bed.folder, "log", `got-${key}`);
    await bed.oursOk(["archive-get", `--repo=${key}`, segment, target]);
    expect(readFileSync(target).equals(readFileSync(bed.walFile(segment)))).toBe(true);
  });

  test("verify finds both repositories valid", async () => {
    const { stdout } = await bed.oursOk(["verify", "--output=text"]);
    expect(stdout.match(/^status: ok$/gm)).toHaveLength(2);
  });

  test.each([1, 2])("restore from repo%i equals the source", async (key) => {
    expect(await bed.restoreAndCompare({ by: null, repo: key })).toEqual([]);
  });

  test("writing bzip2 is refused, with a remedy", async () => {
    const config = bed.variant("written", { settings: { repos: {} } });
    const result = await bed.ours(["backup", "--type=full"], { config });
    expect(result.exitCode).toBe(67);
    expect(`${result.stdout}${result.stderr}`).toContain("bz2 is read but not written, use zst, lz4 or gz");
  });
}
