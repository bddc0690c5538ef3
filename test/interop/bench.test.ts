/**
 * Runs the benchmarks with little data, to keep them working. Their figures mean nothing here. The nightly form runs
 * all of them.
 */
// claim: docs/internals/benchmarks.md, docs/internals/benchmarks-blocks.md, docs/internals/benchmarks-files.md,
//   docs/internals/benchmarks-memory.md, docs/internals/benchmarks-open.md, docs/internals/benchmarks-scale.md,
//   docs/internals/benchmarks-topology.md, docs/internals/benchmarks-wal.md: one machine's figures (measured by
//   `npm run bench`; the test shows that it runs)
import { describe, expect, test } from "vitest";
import { blocksBench } from "../../tools/bench/blocks";
import type { Report } from "../../tools/bench/document";
import { filesBench } from "../../tools/bench/files";
import { memoryBench } from "../../tools/bench/memory";
import { mixedBench } from "../../tools/bench/mixed";
import { openBench } from "../../tools/bench/open";
import { scaleBench } from "../../tools/bench/scale";
import { createProgress } from "../../tools/parts/progress";
import { findParts } from "../harness/real/interopParts";
import { NIGHTLY } from "../../tools/parts/nightly";

describe("the benchmarks", async () => {
  const parts = await findParts("the benchmarks", 18, "2.60");
  if (parts === null) return;
  const quiet = createProgress({ write: () => undefined });

  test("mixed data: both programs use the same data and restore the same cluster", async () => {
    const report = await mixedBench(
      { sizeMb: 16, rounds: 1, compressType: "gz", segmentCount: 2, profile: false },
      quiet,
    );
    expectTable(report, 23);
    expect(report?.facts.at(-1)).toMatch(/back: [0-9a-f]{40}$/);
  });

  test.runIf(NIGHTLY)("files, with a profile: full and incr in bundles, and the same restored cluster", async () => {
    const report = await filesBench({ fileCount: 300, rounds: 1, profile: true }, quiet);
    expectTable(report, 16);
    expect(report?.facts.at(-1)).toMatch(/back: [0-9a-f]{40}$/);
    expect(report?.profiles.map(({ title }) => title)).toHaveLength(3);
    for (const { profile } of report?.profiles ?? []) {
      expect(profile.busyS.main).toBeGreaterThan(0);
      expect(profile.lines.some(({ location }) => location.startsWith("runtime/"))).toBe(true);
    }
  });

  test.runIf(NIGHTLY)("blocks: 1 % of the pages, and both programs store and restore the same", async () => {
    const report = await blocksBench({ sizeMb: 16, rounds: 1, profile: false }, quiet);
    expectTable(report, 9);
    expect(report?.facts.at(-1)).toMatch(/by round: [0-9a-f]{40}$/);
  });

  test.runIf(NIGHTLY)("memory: one relation, and growing numbers of files", async () => {
    const report = await memoryBench({ sizeMb: 64, fileCount: 2000, rounds: 1, profile: false }, quiet);
    expectTable(report, 20);
    expect(report?.facts.filter((fact) => fact.includes("each file more takes"))).toHaveLength(5);
  });

  test.runIf(NIGHTLY)("open: a backup in a bucket, opened and restored", async () => {
    const options = { sizeMb: 16, latencyMs: 5, seconds: 1, rounds: 1 };
    const missing: string[] = [];
    const report = await openBench(options, createProgress({ write: (text) => void missing.push(text) }));
    // Without root or FUSE.
    if (report === null) return expect(missing.join("")).toContain("no benchmark");
    expectTable(report, 18);
  });

  test.runIf(NIGHTLY)("scale: three sizes of each kind", async () => {
    const sizes = { files: 400, sizeMb: 64, segments: 400, readSegments: 8, backups: 24, databases: 4 };
    const rows = (await scaleBench(sizes, quiet))?.table.split("\n") ?? [];
    expect(rows).toHaveLength(2 + 2 * 21);
    for (const row of rows.slice(2)) expect(row.split("|")).toHaveLength(12);
  });
});

function expectTable(report: Report | null, rowCount: number): void {
  if (report === null) throw new Error("stock pgbackrest was there a moment ago");
  const rows = report.table.split("\n");
  expect(rows[0]).toMatch(/^\| measure \| stock 2\.60\.\d+ \| pgbackstop \| ratio \| lowest – highest \| target \|$/);
  expect(rows).toHaveLength(rowCount + 2);
  for (const row of rows.slice(2)) {
    expect(row).toMatch(
      /^\| [^|]+ \| \d+(\.\d+)? \| \d+(\.\d+)? \| \d+\.\d\d \| \d+\.\d\d – \d+\.\d\d \| (≤ [\d.]+|ours ≤ \d+)? ?\|$/,
    );
  }
}
