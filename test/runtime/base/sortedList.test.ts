import { expect, test } from "vitest";
import { countBefore } from "../../../runtime/base/sortedList";
import * as fc from "../../harness/properties";

test("counts the items before a bound, with and without items there", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 })), fc.integer({ min: -1, max: 21 }), (items, bound) => {
      const sorted = items.toSorted((left, right) => left - right);
      expect(countBefore(sorted, (item) => item < bound)).toBe(items.filter((item) => item < bound).length);
      expect(countBefore(sorted, (item) => item <= bound)).toBe(items.filter((item) => item <= bound).length);
    }),
  );
});
