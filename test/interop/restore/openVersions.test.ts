/**
 * Backups of other major versions of PostgreSQL, opened in each form: the files are those of stock's restore, and all
 * rows of the target are there, through the mount and in the plain directory that it becomes.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../../../tools/parts/process";
import { findParts, skipped } from "../../harness/real/interopParts";
import {
  bedWithForms,
  type BedWithForms,
  fuseMissing,
  OpenedBackup,
  TABLE_SUMS,
} from "../../harness/real/openedBackup";
import { requireOk } from "../../harness/real/testBed";

const FORMS = [
  [1, "ours, zst, bundles and blocks"],
  [2, "ours, lz4, encrypted, bundles and blocks"],
  [3, "ours, zst, encrypted, whole files"],
  [4, "stock's, zst, bundles and blocks"],
  [5, "stock's, gz, whole files"],
] as const;

describe.each([15, 17, 19])("open a backup of PostgreSQL %i", async (major) => {
  const parts = await findParts(`open a backup of PostgreSQL ${major}`, major, "2.60");
  if (parts === null) return;
  const missing = fuseMissing();
  if (missing !== null) return void skipped("open", missing);
  let forms: BedWithForms | undefined;
  const given = (): BedWithForms => forms as BedWithForms;

  beforeAll(async () => {
    forms = await bedWithForms(parts.binaries, parts.stock);
  }, 600_000);
  afterAll(() => forms?.bed.remove());

  // claim: docs/open.md: a mounted backup has the files of a restore, byte for byte
  test.each(FORMS)("repo%i has the files of stock's restore: %s", async (repo) => {
    const { bed } = given();
    const restored = await bed.restoreAside({ by: parts.stock, repo });
    requireOk("stock's restore", restored.result);
    const backup = new OpenedBackup(bed, `files${repo}`);
    await backup.open([`--repo=${repo}`, "--no-start"]);
    const excluded = ["postgresql.auto.conf", "recovery.signal"].map((name) => `--exclude=${name}`);
    const differing = await run("diff", ["-rq", ...excluded, restored.dataPath, backup.at]);
    expect(differing.stdout).toBe("");
    await backup.close();
    rmSync(join(restored.dataPath, ".."), { recursive: true, force: true });
  });

  // claim: docs/open.md: an opened backup has the rows of a full restore…
  test.each(FORMS)("repo%i has the rows of the target, also as a plain directory: %s", async (repo) => {
    const { atPoint, bed, expected } = given();
    const isEnd = repo % 2 === 0;
    const backup = new OpenedBackup(bed, `rows${repo}`);
    await backup.open([`--repo=${repo}`, "--fetch-all", ...(isEnd ? [] : ["--type=name", "--target=before"])]);
    const sums = isEnd ? expected : atPoint;
    expect(await backup.value(TABLE_SUMS, "shop")).toBe(sums);
    await backup.becomesPlain(sums);
  });
});
