import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { mapParallel, perRepo } from "../../../runtime/base/parallel";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("mapParallel", () => {
  it("keeps the order of the items and never runs more than the limit", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 30 }), fc.integer({ min: 1, max: 6 }), async (turns, limit) => {
        let running = 0;
        let runningMax = 0;
        const results = await mapParallel(turns, limit, async (count, index) => {
          runningMax = Math.max(runningMax, ++running);
          for (let wait = 0; wait < count; wait++) await turn();
          running--;
          return index;
        });
        expect(results).toEqual(turns.map((_, index) => index));
        expect(runningMax).toBe(Math.min(limit, turns.length));
      }),
      { numRuns: 60 },
    );
  });

  it("throws the first error, starts nothing more and waits for what runs", async () => {
    const started: number[] = [];
    const ended: number[] = [];
    const run = mapParallel([0, 1, 2, 3, 4, 5], 2, async (item) => {
      started.push(item);
      if (item === 1) throw fail("fileRead", "broken");
      for (let wait = 0; wait < 10; wait++) await turn();
      ended.push(item);
    });
    await expect(run).rejects.toMatchObject({ kind: "fileRead" });
    expect(started).toEqual([0, 1]);
    expect(ended).toEqual([0]);
  });
});

describe("perRepo", () => {
  it("answers for each repository, whatever the others do", async () => {
    const repos = [{ key: 1 }, { key: 2 }, { key: 3 }];
    const results = await perRepo(repos, async ({ key }) => {
      if (key === 2) throw fail("hostConnect", "unreachable");
      if (key === 3) throw new TypeError("oops");
      return key * 10;
    });
    expect(results).toMatchObject([
      { repoKey: 1, ok: true, value: 10 },
      { repoKey: 2, ok: false, error: { kind: "hostConnect" } },
      { repoKey: 3, ok: false, error: { kind: "unhandled", message: "oops" } },
    ]);
  });
});
