import { describe, expect, test } from "vitest";
import type { PageRun } from "../../../../../runtime/operations/open/pageSet";
import { ReadAhead } from "../../../../../runtime/operations/open/fetch/readAhead";
import * as fc from "../../../../harness/properties";

const COUNT = 20_000;
const WINDOW = 2048;
const EVERYTHING = Number.MAX_SAFE_INTEGER;

interface Step {
  readonly read: PageRun;
  readonly asked: PageRun | null;
}

/** What each read causes. */
function stepsOf(reads: readonly PageRun[], sparePages = EVERYTHING): Step[] {
  const ahead = new ReadAhead(COUNT, WINDOW);
  return reads.map((read) => ({ read, asked: ahead.after(read, sparePages) }));
}

/** From page `first` on, each of so many pages. */
function sequence(first: number, sizes: readonly number[]): PageRun[] {
  let next = first;
  return sizes.map((size): PageRun => [next, (next += size) - 1]);
}

const sizes = fc.array(fc.integer({ min: 1, max: 128 }), { minLength: 1, maxLength: 150 });

function pagesOf(runs: readonly (PageRun | null)[]): number {
  return runs.reduce((sum, run) => sum + (run === null ? 0 : run[1] + 1 - run[0]), 0);
}

describe("fetching ahead", () => {
  // claim: docs/open.md: a reader that goes through a file finds what follows, at most as much again as it has read
  test("asks for at most as much as was read in sequence, within the window, each page once and in order", () => {
    fc.assert(
      fc.property(fc.nat(COUNT), sizes, (first, each) => {
        const steps = stepsOf(sequence(first, each).filter(([, last]) => last < COUNT));
        let [end, readPages] = [0, 0];
        for (const { asked, read } of steps) {
          readPages += read[1] + 1 - read[0];
          if (asked === null) continue;
          expect(asked[0]).toBeGreaterThan(read[1]);
          expect(asked[0]).toBeGreaterThanOrEqual(end);
          expect(asked[1]).toBeLessThanOrEqual(Math.min(read[1] + Math.min(readPages, WINDOW), COUNT - 1));
          end = asked[1] + 1;
        }
        expect(pagesOf(steps.map(({ asked }) => asked))).toBeLessThanOrEqual(2 * readPages);
      }),
    );
  });

  test("keeps at least half of the window ahead of a long sequence, by requests of many pages", () => {
    const steps = stepsOf(
      sequence(
        0,
        Array.from({ length: 150 }, () => 128),
      ),
    );
    let end = 0;
    for (const { asked, read } of steps) {
      if (asked !== null) {
        if (read[1] > 2 * WINDOW && asked[1] < COUNT - 1) expect(pagesOf([asked])).toBeGreaterThanOrEqual(512);
        end = asked[1];
      }
      if (read[1] > 2 * WINDOW) expect(end).toBeGreaterThanOrEqual(Math.min(read[1] + WINDOW / 2, COUNT - 1));
    }
  });

  // claim: docs/open.md: A random reader causes no further fetch
  test("asks for nothing behind reads that are far from each other, or near by chance", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(30), { minLength: 1 }), (numbers) => {
        const steps = stepsOf(numbers.map((number): PageRun => [number * 600, number * 600 + 1]));
        expect(steps.map(({ asked }) => asked)).toEqual(numbers.map(() => null));
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.nat(5000), { minLength: 1, maxLength: 300 }), (pages) => {
        expect(stepsOf(pages.map((page): PageRun => [page, page])).every(({ asked }) => asked === null)).toBe(true);
      }),
    );
  });

  test("follows readers that pass each other, and several parts of a file at a time", () => {
    const runs = sequence(
      0,
      Array.from({ length: 100 }, () => 128),
    );
    const passing = runs.map((run, at) => runs[at ^ 1] ?? run);
    expect(pagesOf(stepsOf(passing).map(({ asked }) => asked))).toBeGreaterThan(100 * 128);
    const parts = [0, 5000, 10_000, 15_000].map((first) =>
      sequence(
        first,
        Array.from({ length: 20 }, () => 64),
      ),
    );
    const steps = stepsOf(Array.from({ length: 20 }, (_, at) => parts.map((part) => part[at] as PageRun)).flat());
    for (const [first] of parts.map(([run]) => run as PageRun))
      expect(steps.some(({ asked }) => asked !== null && asked[0] > first && asked[0] < first + 3000)).toBe(true);
  });

  test("asks for no more than is spare, and later for the rest", () => {
    const ahead = new ReadAhead(COUNT, WINDOW);
    const reads = sequence(
      0,
      Array.from({ length: 40 }, () => 128),
    );
    for (const read of reads) expect(ahead.after(read, 0)).toBeNull();
    const [first = [0, 0]] = sequence(40 * 128, [128]);
    expect(ahead.after(first, EVERYTHING)).toEqual([first[1] + 1, first[1] + WINDOW]);
  });

  test("reaches the end of the file, and not beyond", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 128 }), (count, size) => {
        const ahead = new ReadAhead(count, WINDOW);
        let end = 0;
        for (let first = 0; first < count; first += size) {
          const asked = ahead.after([first, Math.min(first + size, count) - 1], EVERYTHING);
          if (asked !== null) end = asked[1] + 1;
        }
        expect(end).toBeLessThanOrEqual(count);
        if (count > 4 * size && count > 128) expect(end).toBe(count);
      }),
    );
  });
});
