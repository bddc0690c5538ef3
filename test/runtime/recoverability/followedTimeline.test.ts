import { describe, expect, it } from "vitest";
import { parseLsn, segmentOfLsn } from "../../../runtime/format/wal/walSegment";
import { historyOf, SILENT_MS, type StoredTimeline } from "../../../runtime/recoverability/branches";
import { branchTroubles, follow, type ServerHistory } from "../../../runtime/recoverability/followedTimeline";
import * as fc from "../../harness/properties";

const SIZE = 16 * 1024 * 1024;
const DAY = 86_400_000;
const OPTION = "target-timeline";
const ASKED = { server: null, option: OPTION };

/** A timeline of one repository: where it began, its last position, and when both were stored. */
interface Line {
  readonly from?: readonly [parent: number, lsn: string];
  readonly to: string;
  readonly at: number;
  readonly began?: number;
  /** When its first and its last record were written. */
  readonly wrote?: readonly [first: number | null, last: number | null];
}

function stored(lines: Readonly<Record<number, Line>>): StoredTimeline[] {
  const ancestorsOf = (timeline: number): StoredTimeline["ancestors"] => {
    const { from } = lines[timeline] as Line;
    if (from === undefined) return [];
    return [...(ancestorsOf(from[0]) ?? []), { timeline: from[0], lsn: parseLsn(from[1]), reason: "" }];
  };
  return Object.entries(lines).map(([key, { at, began, to, wrote }]): StoredTimeline => {
    const timeline = Number(key);
    return {
      timeline,
      ancestors: ancestorsOf(timeline),
      newest: segmentOfLsn(timeline, parseLsn(to), SIZE),
      newestAtMs: new Map([[1, at]]),
      historyAtMs: new Map(began === undefined ? [] : [[1, began]]),
      ...(wrote === undefined ? {} : { written: { firstMs: wrote[0], lastMs: wrote[1] } }),
    };
  });
}
const server = (timeline: number, more: Partial<ServerHistory> = {}): ServerHistory => ({
  systemId: 1n,
  timeline,
  lsn: 0n,
  isRunning: true,
  ancestors: null,
  ...more,
});
/** The followed timeline, or the branches that are in question. */
const followed = (lines: Readonly<Record<number, Line>>, own: ServerHistory | null = null): number | string | null => {
  try {
    return follow(historyOf(stored(lines), SIZE), { server: own, option: OPTION })?.timeline ?? null;
  } catch (error) {
    return (error as { readonly hints: readonly string[] }).hints
      .flatMap((hint) => /^--target-timeline=(\d+)/.exec(hint)?.[1] ?? [])
      .join(" or ");
  }
};

/** Production is on timeline 1 at 0/9000000; a copy was promoted at 0/5000000 and archives too. */
const CLONE = {
  1: { to: "0/9000000", at: 20 },
  2: { from: [1, "0/5000000"], to: "0/6000000", at: 15, began: 10 },
} as const;
/** Timeline 1 ended at 0/9000000; the server was recovered to 0/5000000. */
const PAST = {
  1: { to: "0/9000000", at: 5 },
  2: { from: [1, "0/5000000"], to: "0/6000000", at: 15, began: 10 },
} as const;
const FAILOVER = {
  1: { to: "0/4000000", at: 5 },
  2: { from: [1, "0/5000028"], to: "0/8000000", at: 15, began: 10 },
} as const;
/** The old primary archived its last WAL long after the failover, which it did not see. */
const DEFERRED = {
  1: { to: "0/9000000", at: 20, wrote: [null, 9] },
  2: { from: [1, "0/5000000"], to: "0/6000000", at: 21 + DAY, began: 8, wrote: [9, null] },
} as const;
/** Recovered into the past, then undone: the old data go on. */
const UNDONE = { ...PAST, 3: { from: [1, "0/A000000"], to: "0/B000000", at: 30, began: 20 } } as const;
/** Timeline 2 was left for timeline 3, a recovery to before it, which was undone: timeline 4 continues timeline 2. */
const AGAIN = {
  1: { to: "0/4000000", at: 5 },
  2: { from: [1, "0/5000000"], to: "0/6000000", at: 15, began: 10 },
  3: { from: [1, "0/4800000"], to: "0/7000000", at: 30, began: 20 },
  4: { from: [2, "0/7000000"], to: "0/8000000", at: 50, began: 40 },
} as const;

describe("without a server", () => {
  it.each([
    ["one timeline", { 1: { to: "0/9000000", at: 20 } }, 1],
    ["a failover", FAILOVER, 2],
    ["a recovery into the past", PAST, 2],
    ["a recovery into the past that was undone", UNDONE, 3],
    ["an undo after which the older branch goes on", AGAIN, 4],
    ["the same while the recovered server goes on too", { ...AGAIN, 3: { ...AGAIN[3], at: 50 } }, "3 or 4"],
    [
      "a copy that was promoted twice",
      { ...CLONE, 3: { from: [2, "0/6000000"], to: "0/7000000", at: 40, began: 30 } },
      "1 or 3",
    ],
    ["a copy beside production", CLONE, "1 or 2"],
    ["a copy that was stopped a month ago", { ...CLONE, 1: { to: "0/9000000", at: 16 + SILENT_MS } }, 1],
    ["a copy that was stopped a day ago", { ...CLONE, 1: { to: "0/9000000", at: 16 + DAY } }, "1 or 2"],
    ["an old primary that archived late", DEFERRED, 2],
    ["the same on its first day", { ...DEFERRED, 2: { ...DEFERRED[2], at: 20 + DAY } }, "1 or 2"],
    [
      "an old primary that went on after the failover",
      { ...DEFERRED, 1: { ...DEFERRED[1], wrote: [null, 10] } },
      "1 or 2",
    ],
    ["WAL without times", { ...DEFERRED, 1: { ...DEFERRED[1], wrote: [null, null] } }, "1 or 2"],
    ["a history that no repository has", { 1: { to: "0/4000000", at: 5 }, 2: { to: "0/6000000", at: 9 } }, "1 or 2"],
    ["no WAL at all", {}, null],
  ])("%s", (_, lines, expected) => {
    const lost = "history that no";
    const all = stored(lines as Readonly<Record<number, Line>>).map((each) =>
      _.includes(lost) && each.timeline === 2 ? { ...each, ancestors: null } : each,
    );
    const result = (): unknown => follow(historyOf(all, SIZE), ASKED)?.timeline ?? null;
    if (typeof expected !== "string") expect(result()).toBe(expected);
    else expect(followed(lines as Readonly<Record<number, Line>>)).toBe(expected);
  });

  it("a segment that ends with the fork is of the child too, and one that passes it is not", () => {
    const at = (to: string): unknown =>
      followed({ 1: { to, at: 20 }, 2: { from: [1, "0/5000000"], to: "0/6000000", at: 15, began: 10 } });
    expect([at("0/4000000"), at("0/5000000")]).toEqual([2, "1 or 2"]);
  });

  it("a backup that the user names leaves only the branches that pass it", () => {
    const history = historyOf(stored(CLONE), SIZE);
    const along = (timeline: number, lsn: string): unknown =>
      follow(history, { ...ASKED, point: { timeline, lsn: parseLsn(lsn) } })?.timeline;
    expect([along(2, "0/5500000"), along(1, "0/8000000")]).toEqual([2, 1]);
    expect(() => along(1, "0/3000000")).toThrow(/2 histories/);
  });

  it("names each branch with its fork, its newest WAL and its time", () => {
    expect(() => follow(historyOf(stored(CLONE), SIZE), ASKED)).toThrow(
      expect.objectContaining({
        exitCode: 58,
        hints: [
          "--target-timeline=1 recovers along timeline 1: newest WAL 000000010000000000000009 of 1970-01-01T00:00:00Z",
          "--target-timeline=2 recovers along timeline 2, from 0/5000000 of timeline 1: newest WAL 000000020000000000000006 of 1970-01-01T00:00:00Z",
          expect.stringContaining("archive_mode=off"),
        ],
      }),
    );
  });
});

describe("a server", () => {
  it("that runs follows its own history, and names others that live", () => {
    expect([1, 2].map((timeline) => followed(CLONE, server(timeline)))).toEqual([1, 2]);
    const { others } = follow(historyOf(stored(CLONE), SIZE), { ...ASKED, server: server(1) }) ?? { others: [] };
    expect(others.map(({ timeline }) => timeline)).toEqual([2]);
    expect([followed(PAST, server(2)), followed(UNDONE, server(3))]).toEqual([2, 3]);
  });

  it("that is stopped follows the branch that has all of its data, else its own", () => {
    const stopped = (timeline: number, lsn: string): ServerHistory =>
      server(timeline, { isRunning: false, lsn: parseLsn(lsn) });
    expect(followed(FAILOVER, stopped(1, "0/5000000"))).toBe(2);
    expect(followed(FAILOVER, stopped(1, "0/5002000"))).toBe(1);
    expect(followed(CLONE, stopped(1, "0/8000000"))).toBe(1);
    // A restored directory that was never started, from a backup before the fork.
    expect(followed(CLONE, stopped(1, "0/3000000"))).toBe("1 or 2");
  });

  it("whose timeline is not archived yet follows its parent, unless that has WAL of others", () => {
    const fresh = (lsn: string): ServerHistory =>
      server(2, { ancestors: [{ timeline: 1, lsn: parseLsn(lsn), reason: "" }] });
    const one = { 1: { to: "0/5000000", at: 5 } };
    expect(followed(one, fresh("0/6000000"))).toBe(1);
    expect(followed(one, fresh("0/4000000"))).toBe("1");
    expect(followed(one, server(2))).toBe(1);
    // A stopped copy that archived nothing is restored once more.
    expect(followed(one, { ...fresh("0/4000000"), isRunning: false })).toBe(1);
  });
});

describe("status", () => {
  const troubles = (lines: Readonly<Record<number, Line>>, own: number | null, nowMs = 30): string[] =>
    branchTroubles(historyOf(stored(lines), SIZE), own === null ? null : server(own), nowMs).map(
      ({ hints, message }) => `${message}; ${hints.length}`,
    );

  it("names another server that archives beside this one, for a day after its last WAL", () => {
    expect(troubles(CLONE, 1)).toEqual([
      "another server archives here: timeline 2, from 0/5000000 of timeline 1: newest WAL 000000020000000000000006 of 1970-01-01T00:00:00Z; this one is on timeline 1; 2",
    ]);
    expect(troubles(CLONE, 1, 16 + DAY)).toEqual([]);
    expect(troubles(CLONE, 2)).toHaveLength(1);
  });

  it("without a server, names what a restore would ask about", () => {
    expect(troubles(CLONE, null)).toEqual(["the archive has 2 living histories: no restore chooses one; 2"]);
    for (const lines of [PAST, UNDONE, FAILOVER]) expect(troubles(lines, null)).toEqual([]);
    expect([troubles(PAST, 2), troubles(UNDONE, 3), troubles(FAILOVER, 2)]).toEqual([[], [], []]);
  });
});

/**
 * Lives of one cluster and its copies, with the truth beside: each step archives on a server, fails over, recovers into
 * the past, undoes it, or promotes a copy that archives too.
 */
const STEP = fc.oneof(
  fc.record({ kind: fc.constant("write" as const), server: fc.nat(3), segments: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constantFrom("failover" as const, "past" as const, "copy" as const), back: fc.nat(4) }),
);

it("production is never left for a copy: its own history is followed, or the user is asked", () => {
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 12 }), (steps) => {
      const lines = new Map<number, { from?: readonly [number, string]; end: number; at: number; began?: number }>();
      lines.set(1, { end: 3, at: 0 });
      const lsn = (segment: number): string => `0/${(segment * SIZE).toString(16).toUpperCase()}`;
      let [production, clock] = [1, 0];
      const copies: number[] = [];
      for (const step of steps) {
        clock += 10;
        if (step.kind === "write") {
          const timeline = step.server === 0 ? production : (copies[step.server - 1] ?? production);
          const line = lines.get(timeline);
          if (line !== undefined) lines.set(timeline, { ...line, end: line.end + step.segments, at: clock });
          continue;
        }
        const parent = lines.get(production);
        if (parent === undefined) continue;
        const first = parent.from === undefined ? 1 : Number.parseInt(parent.from[1].slice(2), 16) / SIZE;
        const fork = step.kind === "failover" ? parent.end + 1 : Math.max(first + 1, parent.end - step.back);
        const timeline = Math.max(...lines.keys()) + 1;
        lines.set(timeline, { from: [production, lsn(fork)], end: fork, at: clock, began: clock });
        if (step.kind === "copy") copies.push(timeline);
        else production = timeline;
      }
      const shown = Object.fromEntries(
        [...lines].map(([timeline, { end, ...line }]) => [timeline, { ...line, to: lsn(end) }]),
      );
      const history = historyOf(stored(shown), SIZE);
      expect(history.branches.some(({ isLiving }) => isLiving)).toBe(true);
      expect(followed(shown, server(production))).toBe(production);
      const alone = followed(shown);
      // Nobody can tell a copy of the newest WAL from a failover, until production writes on.
      const parent = lines.get(production);
      const isMoved = copies.some((copy) => {
        const { began = 0, from } = lines.get(copy) ?? {};
        return from?.[0] === production && began >= (parent?.at ?? 0);
      });
      if (typeof alone === "number" && !isMoved) expect(alone).toBe(production);
    }),
    { numRuns: 2000 },
  );
});
