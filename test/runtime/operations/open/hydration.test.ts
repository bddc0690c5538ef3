import { readFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import { ManualClock, testContext } from "../../../harness/context";
import type { Hydration, HydrationParts } from "../../../../runtime/operations/open/hydration";
import { fail } from "../../../../runtime/base/errors";
import { missingBytes } from "../../../../runtime/operations/open/hydration";
import { PAGE_BYTES, type PageRun } from "../../../../runtime/operations/open/pageSet";
import type { Target } from "../../../../runtime/operations/open/upperDirectory";
import { isWhole } from "../../../../runtime/operations/open/upperDirectory";
import { originBytes, type UpperWorld, upperWorlds } from "./upperWorld";

const world = upperWorlds();

/** More than one part. */
const LARGE = 520 * PAGE_BYTES + 100;
const SMALL = 3 * PAGE_BYTES + 1000;
const SIZES = { "base/1": SMALL, "base/2": LARGE, "base/3": SMALL, "base/4": SMALL, "base/5": SMALL, "base/6": SMALL };
const journalOf = ({ folder }: UpperWorld): { readonly journal: string } => ({ journal: `${folder}/journal` });

/** Fetches as the world does, and notes it. */
class Watched {
  readonly asked: (readonly [index: number, run: PageRun])[] = [];
  running = 0;
  mostRunning = 0;
  readonly behind: HydrationParts["behind"];

  constructor(made: UpperWorld, before: (target: Target) => void = () => {}) {
    const { behind } = plainParts(made);
    this.behind = async (target, runs) => {
      for (const run of runs) this.asked.push([target.origin.index, run]);
      this.mostRunning = Math.max(this.mostRunning, ++this.running);
      try {
        await new Promise((resolve) => setImmediate(resolve));
        before(target);
        await behind(target, runs);
      } finally {
        this.running--;
      }
    };
  }
}

/** Made once: these bytes take their time. */
const contents = new Map<number, Buffer>();

function plainParts(made: UpperWorld): Pick<HydrationParts, "behind"> {
  return {
    behind: async ({ file, origin }, runs) => {
      if (made.isAway) throw new Error("the repository is away");
      const { index, row } = origin;
      const bytes = contents.get(index) ?? originBytes(index, row.sizeBytes);
      contents.set(index, bytes);
      for (const [first, last] of runs)
        file.fill(origin, first * PAGE_BYTES, bytes.subarray(first * PAGE_BYTES, (last + 1) * PAGE_BYTES));
    },
  };
}

describe("fetching everything", () => {
  // claim: docs/open.md: with `--fetch-all` everything is fetched in the order of the manifest, and then no repository
  //   is needed
  test("takes the files in order, a few parts at a time, and then needs no repository, also after a loss of power", async () => {
    const made = world(SIZES);
    const watched = new Watched(made);
    let syncs = 0;
    const hydration = made.hydration({
      behind: watched.behind,
      sync: async () => {
        // Nothing is promised before.
        expect(isWhole(journalOf(made))).toBe(false);
        syncs++;
      },
    });
    expect(missingBytes(made.upper.targets)).toBe(5 * SMALL + LARGE);
    await hydration.run();
    expect(watched.asked.map(([index]) => index).filter((index) => index !== 1)).toEqual([0, 2, 3, 4, 5]);
    expect(watched.asked.filter(([index]) => index === 1)).toEqual([
      [1, [0, 511]],
      [1, [512, 520]],
    ]);
    expect([watched.mostRunning, syncs > 0, missingBytes(made.upper.targets)]).toEqual([4, true, 0]);
    expect(isWhole(journalOf(made))).toBe(true);
    const journal = readFileSync(journalOf(made).journal, "latin1");
    await made.truncate("base/3", 0);
    expect(readFileSync(journalOf(made).journal, "latin1")).toBe(journal);
    made.isAway = true;
    made.boot = "another";
    made.reopen();
    expect(made.upper.targets).toEqual([]);
    expect((await made.read("base/2")).equals(originBytes(1, LARGE).subarray(0, 1 << 20))).toBe(true);
    expect((await made.read("base/6")).equals(originBytes(5, SMALL))).toBe(true);
  });

  // claim: docs/open.md: readers go first: while one waits, one part at most is fetched behind it
  test("lets readers go first: while one waits, only one part is under way", async () => {
    const made = world(SIZES);
    let isAwaited = true;
    const counts: number[] = [];
    const watched = new Watched(made, () => {
      if (isAwaited) counts.push(watched.running);
      isAwaited &&= missingBytes(made.upper.targets) > 3 * SMALL;
    });
    await made.hydration({ isAwaited: () => isAwaited, behind: watched.behind }).run();
    expect([new Set(counts), counts.length > 2]).toEqual([new Set([1]), true]);
    expect(missingBytes(made.upper.targets)).toBe(0);
  });

  // claim: docs/open.md: a repository that goes away pauses it, and never ends the mount
  test("a repository that goes away pauses it, longer each time, and readers are served when it is back", async () => {
    const made = world(SIZES);
    const ctx = testContext();
    let attempts = 0;
    made.isAway = true;
    const watched = new Watched(made, () => {
      if (++attempts === 30) made.isAway = false;
    });
    const hydration = made.hydration({ behind: watched.behind }, ctx);
    const running = hydration.run();
    await expect(made.read("base/1")).rejects.toThrow("away");
    while (hydration.trouble === null) await new Promise((resolve) => setImmediate(resolve));
    expect(hydration.trouble.message).toContain("away");
    await running;
    expect(hydration.trouble).toBeNull();
    expect(ctx.clock.sleeps.slice(0, 7)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
    expect(ctx.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
    expect((await made.read("base/6")).equals(originBytes(5, SMALL))).toBe(true);
  });

  test("a file that no repository can give does not hold up the others, and is tried again", async () => {
    const made = world(SIZES);
    let attempts = 0;
    const watched = new Watched(made, ({ origin }) => {
      if (origin.index === 0 && ++attempts < 4) throw new Error("damaged");
    });
    const others = (): number => missingBytes(made.upper.targets.slice(1));
    const seen: string[] = [];
    const clock = new (class extends ManualClock {
      override sleep(durationMs: number, signal: AbortSignal): Promise<void> {
        seen.push(`${others()} ${hydration.trouble?.message}`);
        return super.sleep(durationMs, signal);
      }
    })(0);
    const hydration = made.hydration({ behind: watched.behind }, testContext({ clock }));
    await hydration.run();
    expect(seen[0]).toBe("0 damaged");
    expect([seen.length, attempts, isWhole(journalOf(made))]).toEqual([2, 4, true]);
  });

  test("goes on after a kill, and keeps what was written, cut and removed meanwhile", async () => {
    const made = world(SIZES);
    const ctx = testContext();
    let count = 0;
    const watched = new Watched(made, () => {
      if (++count === 3) ctx.abort();
    });
    await made.write("base/2", 515 * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, 1));
    await expect(made.hydration({ behind: watched.behind }, ctx).run()).rejects.toThrow();
    const left = missingBytes(made.upper.targets);
    expect([left > 0, left < 5 * SMALL + LARGE]).toEqual([true, true]);
    made.reopen();
    expect(missingBytes(made.upper.targets)).toBe(left);
    await made.truncate("base/5", PAGE_BYTES + 5);
    await made.ask({ kind: "unlink", name: "6" }, made.nodeOf("base"));
    const again = new Watched(made);
    await made.hydration({ behind: again.behind }).run();
    expect(again.asked.map(([index]) => index)).not.toContain(5);
    made.isAway = true;
    made.reopen();
    const expected = originBytes(1, LARGE);
    expected.fill(1, 515 * PAGE_BYTES, 516 * PAGE_BYTES);
    const ending = await made.read("base/2", 514 * PAGE_BYTES);
    expect(ending.equals(expected.subarray(514 * PAGE_BYTES))).toBe(true);
    expect((await made.read("base/5")).equals(originBytes(4, PAGE_BYTES + 5))).toBe(true);
    expect(made.upper.tree.find("base/6")).toBeNull();
  });

  test("a removed file is fetched only while somebody has it open", async () => {
    const made = world({ "base/1": SMALL, "base/2": SMALL });
    const node = made.nodeOf("base/1");
    await made.ask({ kind: "open" }, node);
    for (const name of ["1", "2"]) await made.ask({ kind: "unlink", name }, made.nodeOf("base"));
    expect(missingBytes(made.upper.targets)).toBe(SMALL);
    await made.ask({ kind: "release" }, node);
    expect(missingBytes(made.upper.targets)).toBe(0);
  });

  test("an end that the journal has no space for is tried again", async () => {
    const made = world({ "base/1": SMALL });
    const { journal } = made.upper;
    const append = journal.append.bind(journal);
    let failures = 0;
    vi.spyOn(journal, "append").mockImplementation((entry) => {
      if (entry.kind === "whole" && ++failures < 3) throw new Error("no space left on device");
      append(entry);
    });
    await made.hydration().run();
    expect([failures, isWhole(journalOf(made))]).toEqual([3, true]);
  });

  test("fetches again what a failed sync of the file system may have lost", async () => {
    const made = world({ "base/1": SMALL, "base/2": SMALL });
    const written = Buffer.alloc(PAGE_BYTES, 1);
    await made.write("base/2", 0, written);
    const watched = new Watched(made);
    let syncs = 0;
    await made
      .hydration({
        behind: watched.behind,
        sync: async () => {
          if (++syncs === 1) throw fail("fileSync", "unable to sync the file system");
        },
      })
      .run();
    expect([syncs, isWhole(journalOf(made))]).toEqual([2, true]);
    expect(watched.asked).toEqual([
      [0, [0, 3]],
      [1, [1, 3]],
      [0, [0, 3]],
      [1, [1, 3]],
    ]);
    expect((await made.read("base/2", 0, PAGE_BYTES)).equals(written)).toBe(true);
  });

  test("takes no space that the disk does not have", async () => {
    const made = world(SIZES);
    // Once there is space, nothing is wrong any more.
    const watched = new Watched(made, () => expect(hydration.trouble).toBeNull());
    let looks = 0;
    const hydration: Hydration = made.hydration({
      behind: watched.behind,
      freeBytes: async () => {
        expect(watched.asked).toEqual([]);
        return ++looks < 3 ? LARGE : 2 * LARGE;
      },
    });
    const running = hydration.run();
    while (hydration.trouble === null) await new Promise((resolve) => setImmediate(resolve));
    expect(hydration.trouble.message).toMatch(/^4.2MB are missing, and only 4.1MB of space are left$/);
    await running;
    expect([looks, hydration.trouble]).toEqual([3, null]);
  });
});
