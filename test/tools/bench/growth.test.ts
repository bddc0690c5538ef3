import { describe, expect, test } from "vitest";
import { exponentOf, fitLine, Growth, growsTooFast } from "../../../tools/bench/growth";

const SIZES = [1000, 2000, 4000];
const costOf = (cpuS: number): { wallS: number; cpuS: number; peakMemoryBytes: number } => ({
  wallS: 1,
  cpuS,
  peakMemoryBytes: 50 * 1024 * 1024,
});
const pointsOf = (cost: (count: number) => number): [number, number][] => SIZES.map((count) => [count, cost(count)]);

describe("growth", () => {
  test("a line is found exactly", () => {
    const { each, error, fixed } = fitLine(pointsOf((count) => 0.2 + count * 0.003));
    expect([fixed, each]).toEqual([expect.closeTo(0.2), expect.closeTo(0.003)]);
    expect(error).toBeLessThan(1e-9);
  });

  test.each([1, 1.5, 2])("the exponent %d is found, however large the fixed cost is", (exponent) => {
    for (const fixed of [0, 5]) {
      const points = pointsOf((count) => fixed + count ** exponent / 100);
      expect(exponentOf(points, 0)).toBeCloseTo(exponent);
      expect(growsTooFast(points, 0)).toBe(exponent === 2);
    }
  });

  test("noise is no growth", () => {
    const points = (costs: readonly number[]): [number, number][] =>
      SIZES.map((count, index) => [count, costs[index] ?? 0]);
    expect(exponentOf(points([0.3, 0.29, 0.31]), 0.01)).toBeNull();
    expect(growsTooFast(points([1, 1.1, 1.4]), 0)).toBe(false);
    expect(growsTooFast(points([1, 1.5, 4]), 0)).toBe(true);
  });

  test("a row has the prediction, and misses a target by growth and by stock", () => {
    const growth = new Growth();
    for (const count of SIZES) {
      growth.add("expire", "ours", count, costOf(0.1 + count ** 2 / 1e6));
      growth.add("expire", "stock", count, costOf(0.1 + count / 1e4));
      growth.add("info", "ours", count, costOf(0.1 + count / 1e4));
    }
    const { missed, text } = growth.table([
      { key: "expire", title: "expire", unit: ["backup", "backups"], to: 10_000, ratioMax: 2 },
      { key: "info", title: "info", unit: ["backup", "backups"], to: 10_000 },
      { key: "none", title: "none", unit: ["backup", "backups"], to: 10_000 },
    ]);
    expect(text.split("\n")).toHaveLength(6);
    expect(text).toContain(
      "| info: processor | 1,000 · 2,000 · 4,000 backups | 200 ms · 300 ms · 500 ms | 100 ms | 100 µs | 0 % | 1.00 | 1.10 s (10,000) |  |  |",
    );
    expect(text).toContain(
      "| info: memory | 1,000 · 2,000 · 4,000 backups | 50.0 MiB · 50.0 MiB · 50.0 MiB |  | within noise |  |  |  |",
    );
    expect(missed).toEqual([
      "expire: processor grows with the exponent 2.00 (≤ 1.15)",
      expect.stringMatching(/^expire: processor, for each backup: \d+\.\d\d of stock's \(≤ 2\)$/),
    ]);
  });
});
