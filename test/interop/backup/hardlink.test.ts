/**
 * `repo-hardlink` beside stock: each backup's directory has links to unchanged files, the manifests agree, and either
 * program restores, verifies and expires what the other one linked.
 */
// claim: README.md: `repo-hardlink` works like stock's
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Manifest, parseManifest } from "../../../runtime/format/repository/manifest";
import { labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";

const TITLE = "hard links between backups";

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 18, "2.60");
  if (parts !== null) hardLinks(parts);
});

function hardLinks({ binaries, stock }: InteropParts): void {
  let bed: TestBed;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "gz", options: { hardlink: "y" } }],
    });
    await bed.startWithStanza();
    await fillBed(bed, 2000);
    await dropTemplates(bed);
  });
  afterAll(() => bed?.remove());

  const labels = async (): Promise<string[]> =>
    labelsOf(parseInfo((await bed.oursOk(["info", "--output=json"])).stdout)).map(({ label }) => label);
  const pathOf = (label: string): string => join(bed.repoPath(1), "backup", bed.stanza, label);
  const manifestOf = async (label: string): Promise<Manifest> =>
    parseManifest((await bed.oursOk(["repo-get", `backup/${bed.stanza}/${label}/backup.manifest`])).stdout, label);

  test("stock full, our incr, stock incr, our diff: each directory is complete", async () => {
    await bed.stockOk(stock, ["backup", "--type=full", "--no-expire-auto"]);
    await writeMore(bed);
    await bed.oursOk(["backup", "--type=incr", "--no-expire-auto"]);
    await writeMore(bed);
    await bed.stockOk(stock, ["backup", "--type=incr", "--no-expire-auto"]);
    await writeMore(bed);
    await bed.oursOk(["backup", "--type=diff", "--no-expire-auto"]);
    const all = await labels();
    expect(all).toHaveLength(4);
    for (const label of all) {
      const manifest = await manifestOf(label);
      expect(manifest.options.hardlink).toBe(true);
      for (const file of manifest.files) {
        const own = statSync(join(pathOf(label), `${file.name}.gz`));
        const other = file.reference === undefined ? own : statSync(join(pathOf(file.reference), `${file.name}.gz`));
        expect([own.ino, own.size], `${label} ${file.name}`).toEqual([other.ino, file.sizeRepoBytes]);
      }
      for (const path of manifest.paths)
        expect(existsSync(join(pathOf(label), path.name)), `${label} ${path.name}`).toBe(true);
      expect(readdirSync(join(pathOf(label), "pg_data", "pg_tblspc"))).toHaveLength(1);
    }
  });

  test("both verify it, and nothing in it is unreferenced", async () => {
    await bed.archiveAll();
    const verified = await bed.stockOk(stock, ["verify", "--output=text", "--verbose"]);
    expect(verified.stdout).toMatch(/^status: ok$/m);
    const ours = await bed.oursOk(["verify", "--output=json", "--log-level-console=off"]);
    const json = JSON.parse(ours.stdout) as { repos: { orphans: string[] }[] };
    expect(json.repos[0]?.orphans).toEqual([]);
  });

  test("ours restores stock's, stock restores ours", async () => {
    const [, , third = "", fourth = ""] = await labels();
    await writeMore(bed);
    await bed.archiveAll();
    expect(await bed.restoreAndCompare({ by: null, repo: 1, args: [`--set=${third}`] })).toEqual([]);
    expect(await bed.restoreAndCompare({ by: stock, repo: 1, args: [`--set=${fourth}`] })).toEqual([]);
  });

  test("expiry by either program keeps the other backups' files intact", async () => {
    const [, second = "", third = ""] = await labels();
    await bed.stockOk(stock, ["expire", `--set=${third}`]);
    await bed.oursOk(["expire", `--set=${second}`]);
    expect(await labels()).toHaveLength(2);
    expect(existsSync(pathOf(second))).toBe(false);
    await bed.oursOk(["verify"]);
    expect((await bed.stockOk(stock, ["verify", "--output=text", "--verbose"])).stdout).toMatch(/^status: ok$/m);
    expect(await bed.restoreAndCompare({ by: stock, repo: 1 })).toEqual([]);
  });
}
