import { expect, test } from "vitest";
import { SparePages } from "../../../../../runtime/operations/open/fetch/sparePages";
import * as fc from "../../../../harness/properties";

// claim: docs/open.md: All that is under way for nobody who waits is at most 24 MiB of pages
test("never more pages than there are, in order, and all of them are free in the end, whatever fails", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.integer({ min: 1, max: 10 }), fc.boolean())), async (works) => {
      const spare = new SparePages(10);
      const started: number[] = [];
      let [used, usedMax] = [0, 0];
      const ends = works.map(([count, fails], at) =>
        spare.use(count, async () => {
          started.push(at);
          used += count;
          usedMax = Math.max(usedMax, used);
          await Promise.resolve();
          used -= count;
          if (fails) throw new Error("no answer");
        }),
      );
      const results = await Promise.allSettled(ends);
      expect(results.map(({ status }) => status === "rejected")).toEqual(works.map(([, fails]) => fails));
      expect(started).toEqual(works.map((_, at) => at));
      expect(usedMax).toBeLessThanOrEqual(10);
      expect(spare.free).toBe(10);
    }),
  );
});
