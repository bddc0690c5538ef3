import * as fc from "../../harness/properties";
import { describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { mapParallel, perRepo, runWeighted } from "../../../runtime/base/parallel";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("mapParallel", () => {
  it("keeps the order of the items and never runs more than the limit", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 6 }),
        async (turns, limit) => {
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
        },
      ),
      { numRuns: 60 },
    );
  });

  it("throws the first error, starts nothing more and waits for running work", async () => {
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

describe("runWeighted", () => {
  it("starts in order, fills the capacity and never exceeds it except for one heavier task", async () => {
    const weights = fc.array(
      fc.record({ weight: fc.integer({ min: 1, max: 7 }), turns: fc.integer({ min: 0, max: 4 }) }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(weights, fc.integer({ min: 1, max: 6 }), async (specs, capacity) => {
        const started: number[] = [];
        let used = 0;
        let count = 0;
        const tasks = specs.map(({ weight, turns }, index) => ({
          weight,
          run: async (): Promise<void> => {
            started.push(index);
            used += weight;
            count++;
            expect(used <= capacity || count === 1).toBe(true);
            for (let wait = 0; wait < turns; wait++) await turn();
            used -= weight;
            count--;
          },
        }));
        await runWeighted(tasks, capacity);
        expect(started).toEqual(specs.map((_, index) => index));
        expect(count).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it("runs light ones beside the last heavy one", async () => {
    let finishHeavy = (): void => undefined;
    const light: number[] = [];
    const heavy = { weight: 2, run: () => new Promise<void>((resolve) => (finishHeavy = resolve)) };
    const lights = [1, 2, 3].map((no) => ({ weight: 1, run: async () => void light.push(no) }));
    const all = runWeighted([heavy, ...lights], 3);
    for (let wait = 0; wait < 10; wait++) await turn();
    expect(light).toEqual([1, 2, 3]);
    finishHeavy();
    await all;
  });

  it("throws the first error, starts nothing more and waits for running work", async () => {
    const ended: number[] = [];
    const task = (no: number) => ({
      weight: 1,
      run: async (): Promise<void> => {
        if (no === 1) throw fail("fileRead", "broken");
        for (let wait = 0; wait < 5; wait++) await turn();
        ended.push(no);
      },
    });
    await expect(runWeighted([0, 1, 2, 3].map(task), 2)).rejects.toMatchObject({ kind: "fileRead" });
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
      { repoIndex: 1, ok: true, value: 10 },
      { repoIndex: 2, ok: false, error: { kind: "hostConnect" } },
      { repoIndex: 3, ok: false, error: { kind: "unhandled", message: "oops" } },
    ]);
  });
});
