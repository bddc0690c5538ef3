/** The benchmark with little data: it must go on working, its figures mean nothing here. */
import { describe, expect, test } from "vitest";
import { bench } from "../../tools/bench/bench";
import { createProgress } from "../../tools/parts/progress";
import { findParts } from "../harness/interopParts";

describe("the benchmark", async () => {
  const parts = await findParts("the benchmark", 18, "2.60");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }

  test("runs both programs on the same data and gets the same cluster back", async () => {
    const quiet = createProgress({ write: () => undefined });
    const result = await bench({ sizeMb: 16, rounds: 1, compressType: "gz", segmentCount: 2 }, quiet);
    if (result === null) throw new Error("stock pgbackrest was there a moment ago");
    const rows = result.table.split("\n");
    expect(rows[0]).toMatch(/^\| measure \| stock 2\.60\.\d+ \| pgbackstop \| ratio \| target \|$/);
    expect(rows).toHaveLength(20);
    for (const row of rows.slice(2)) expect(row).toMatch(/^\| [^|]+ \| \d+(\.\d+)? \| \d+(\.\d+)? \| \d+\.\d\d \| (≤ \d\.\d)? ?\|$/);
    expect(result.facts.at(-1)).toMatch(/[0-9a-f]{40}$/);
    for (const ratio of Object.values(result.ratios)) expect(ratio).toBeGreaterThan(0);
  });
});
