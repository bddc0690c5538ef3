/**
 * Repositories of format 6, a hidden option of stock 2.60, beside one of format 5. Each of our commands reports the
 * format, leaves these repositories unchanged byte for byte, and continues with the good one.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findParts, type InteropParts } from "../../harness/real/interopParts";
import { TestBed } from "../../harness/real/testBed";

const TITLE = "repositories of format 6";
const MESSAGE = "expected format 5 but found 6";

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 18, "2.60");
  if (parts !== null) refused(parts);
});

function refused({ binaries, stock }: InteropParts): void {
  let bed: TestBed;
  let segment: string;
  let before: Record<string, string>;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{}, { encrypted: true }, {}],
      archiver: stock,
      settings: { wal_keep_size: "512MB" },
    });
    await bed.cluster.start();
    await bed.stockOk(stock, ["stanza-create", "--repo1-format=6", "--repo2-format=6"]);
    await bed.cluster.sql("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g");
    segment = await bed.archiveAll();
    for (const key of [1, 2]) await bed.stockOk(stock, ["backup", "--type=full", `--repo=${key}`, "--no-expire-auto"]);
    // Archives PostgreSQL's backup history files too.
    await bed.archiveAll();
    before = contentOf(bed);
  });
  afterAll(() => bed?.remove());

  test("stock created them", () => {
    expect(readFileSync(join(bed.repoPath(1), "archive/main/archive.info"), "utf8")).toContain("backrest-format=6");
    expect(readFileSync(join(bed.repoPath(2), "archive/main/archive.info"), "latin1").slice(0, 8)).toBe("PGBR006_");
  });

  test.each([1, 2])("each command refuses repo%i and says why", async (key) => {
    const target = join(bed.folder, "log", "got");
    const side = join(bed.folder, "side", "none");
    const label = readdirSync(join(bed.repoPath(key), "backup/main")).find((name) => name.endsWith("F")) ?? "";
    const commands = [
      ["annotate", `--set=${label}`, "--annotation=key=value"],
      ["archive-get", "--archive-timeout=1", segment, target],
      ["archive-push", bed.walFile(segment)],
      ["backup", "--type=full"],
      ["backup", "--type=incr"],
      ["check"],
      ["expire"],
      ["manifest", `--set=${label}`],
      ["restore", `--pg1-path=${side}`],
      ["stanza-create"],
      ["stanza-upgrade"],
      ["verify"],
    ];
    for (const [command = "", ...args] of commands) {
      const config = bed.variant(`only-${key}`, { global: onlyRepo(key), settings: { repos: {} } });
      const result = await bed.ours([command, ...args], { config });
      expect(`${command}: ${result.exitCode === 0}`).toBe(`${command}: false`);
      expect(`${result.stdout}${result.stderr}`, command).toContain(MESSAGE);
    }
    expect(contentOf(bed)).toEqual(before);
  });

  test("info shows the error beside the good repository", async () => {
    const { stdout } = await bed.ours(["info", "--output=json"]);
    expect(stdout.match(new RegExp(MESSAGE, "g"))?.length).toBeGreaterThanOrEqual(2);
  });

  test("push, backup and verify continue with the good repository", async () => {
    const pushed = await bed.ours(["archive-push", bed.walFile(segment)]);
    expect(pushed.exitCode).not.toBe(0);
    const result = await bed.ours(["backup", "--type=full", "--no-expire-auto"]);
    expect(result.stdout).toContain("repo3: new backup label =");
    expect(result.exitCode).not.toBe(0);
    expect(`${result.stdout}${result.stderr}`).toContain(MESSAGE);
    expect((await bed.oursOk(["verify", "--repo=3", "--output=text"])).stdout).toMatch(/^status: ok$/m);
    // Stock archives the segments that the backup switched.
    const after = Object.entries(contentOf(bed)).filter(
      ([path]) => !/\/archive\/main\/18-1\/[0-9A-F]{16}\//.test(path) || path in before,
    );
    expect(Object.fromEntries(after)).toEqual(before);
  });
}

/** Removes the other repositories from the configuration. */
function onlyRepo(key: number): Record<string, string | null> {
  return Object.fromEntries(
    [1, 2, 3]
      .filter((other) => other !== key)
      .flatMap((other) => ["path", "cipher-type", "cipher-pass"].map((name) => [`repo${other}-${name}`, null])),
  );
}

/** SHA-1 by path of all files of repo1 and repo2. */
function contentOf(bed: TestBed): Record<string, string> {
  const files = [1, 2].flatMap((key) =>
    readdirSync(bed.repoPath(key), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return Object.fromEntries(
    files.sort().map((path) => [path, createHash("sha1").update(readFileSync(path)).digest("hex")]),
  );
}
