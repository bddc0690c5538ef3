/**
 * A repository in a cloud's object store: ours creates the stanza, archives and backs up, stock 2.60 reads, verifies,
 * extends and restores it, and ours reads and restores what stock wrote there.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { labelsOf, parseInfo } from "../harness/compare/infoJson";
import { findParts, skipped } from "../harness/real/interopParts";
import { watchCommandLines } from "../harness/real/runtimeCli";
import { dropTemplates } from "../harness/real/sampleData";
import { type BedRepo, TestBed } from "../harness/real/testBed";
import { NIGHTLY } from "../../tools/parts/nightly";

interface CloudStore {
  /** What the machine lacks for the server; null if nothing. */
  readonly missing: string | null;
  start(): Promise<{ readonly repo: Omit<BedRepo, "compressType" | "encrypted">; remove(): Promise<void> }>;
  /** Options of our backups. */
  readonly backupOptions: readonly string[];
}

export function cloudStoreSuite(title: string, store: CloudStore): void {
  describe(title, async () => {
    const parts = store.missing === null ? await findParts(title, 18, "2.60") : skipped(title, store.missing);
    if (parts === null) return;
    const { stock } = parts;
    let server: Awaited<ReturnType<CloudStore["start"]>>;
    let bed: TestBed;
    let segment: string;
    let argvLeaks: readonly string[];
    const labels = async (): Promise<readonly string[]> =>
      labelsOf(parseInfo((await bed.oursOk(["info", "--output=json"])).stdout)).map(({ label }) => label);

    beforeAll(async () => {
      server = await store.start();
      bed = await TestBed.create({
        binaries: parts.binaries,
        repos: [{ ...server.repo, encrypted: true, compressType: "zst" }],
        settings: { wal_keep_size: "64MB" },
        global: { "process-max": "2" },
      });
      const watch = watchCommandLines(bed.secrets);
      await bed.startWithStanza();
      await dropTemplates(bed);
      await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
      // Incompressible and longer than a part of an upload.
      await bed.cluster.sql(
        "INSERT INTO t SELECT g, string_agg(md5(random()::text), '') FROM generate_series(1, 20000) g, generate_series(1, 12) GROUP BY g",
      );
      await bed.oursOk(["backup", "--type=full", ...store.backupOptions]);
      segment = await bed.archiveAll();
      argvLeaks = watch.stop().leaks;
    });
    afterAll(async () => {
      await bed?.remove();
      await server?.remove();
    });

    test("ours and stock report, verify and read it alike", async () => {
      expect((await bed.oursOk(["verify", "--output=text"])).stdout).toMatch(/^status: ok$/m);
      const verified = await bed.stockOk(stock, ["verify", "--output=text", "--verbose"]);
      expect(verified.stdout).toMatch(/^status: ok$/m);
      expect(verified.stdout).not.toMatch(/(missing|checksum invalid|size invalid|other): [1-9]/);
      const stocks = labelsOf(parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout));
      expect(stocks.map(({ label }) => label)).toEqual(await labels());
      const bytes = readFileSync(bed.walFile(segment));
      for (const program of ["ours", "stock"] as const) {
        const target = join(bed.folder, "log", `got-${program}`);
        if (program === "ours") await bed.oursOk(["archive-get", segment, target]);
        else await bed.stockOk(stock, ["archive-get", segment, target]);
        expect(readFileSync(target).equals(bytes)).toBe(true);
      }
      await bed.oursOk(["check"]);
    });

    test("is extended by stock and ours in turn, and restored by either", async () => {
      await bed.cluster.sql("UPDATE t SET filler = filler || '!' WHERE id % 97 = 0");
      await bed.stockOk(stock, ["backup", "--type=incr", "--compress-type=gz"]);
      await bed.cluster.sql("UPDATE t SET filler = filler || '?' WHERE id % 89 = 0");
      await bed.oursOk(["backup", "--type=incr", ...store.backupOptions]);
      await bed.archiveAll();
      expect((await bed.oursOk(["verify", "--output=text"])).stdout).toMatch(/^status: ok$/m);
      expect(await bed.restoreAndCompare({ by: null })).toEqual([]);
      expect(await bed.restoreAndCompare({ by: stock })).toEqual([]);
    });

    test.runIf(NIGHTLY)("keeps what expire keeps: a full backup of stock, which ours restores", async () => {
      await bed.stockOk(stock, ["backup", "--type=full", "--compress-type=gz", "--no-expire-auto"]);
      await bed.archiveAll();
      await bed.oursOk(["expire", "--repo1-retention-full=1"]);
      expect(await labels()).toHaveLength(1);
      expect((await bed.stockOk(stock, ["verify", "--output=text"])).stdout).not.toMatch(/status: error/);
      expect(await bed.restoreAndCompare({ by: null })).toEqual([]);
    });

    test("shows the key or token in no command line, log or output", () => {
      expect(argvLeaks).toEqual([]);
      expect(bed.findLeaks()).toEqual([]);
    });
  });
}
