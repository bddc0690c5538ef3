import { expect, it } from "vitest";
import { SegmentNumbers } from "../../../../runtime/format/wal/segmentNumbers";
import * as fc from "../../../harness/properties";

function nameOf(...parts: readonly number[]): string {
  return parts.map((part) => part.toString(16).toUpperCase().padStart(8, "0")).join("");
}

it("segments have the numbers that they were given, ascending by name, as in a map", () => {
  const part = fc.constantFrom(0, 1, 2, 255, 256, 4095, 4096, 0xffff_ffff);
  const step = fc.record({ name: fc.tuple(part, part, part), number: fc.nat({ max: 0xffff_fffe }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const numbers = new SegmentNumbers();
      const expected = new Map<string, number>();
      for (const { name, number } of steps) {
        numbers.set(nameOf(...name), number);
        expected.set(nameOf(...name), number);
      }
      const names = [...expected.keys()].sort();
      expect([...numbers.keys()]).toEqual(names);
      for (const name of [...names, nameOf(3, 3, 3)]) {
        expect(numbers.get(name)).toBe(expected.get(name));
        expect(numbers.has(name)).toBe(expected.has(name));
      }
    }),
  );
});
