import fs, { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { describe, expect, test } from "vitest";
import { Journal } from "../../../../runtime/operations/open/journal";
import {
  type JournalEntry,
  parseJournal,
  readJournal,
  renderEntry,
} from "../../../../runtime/operations/open/journalEntries";
import { type FileHistory, JournalState } from "../../../../runtime/operations/open/journalState";
import { PAGE_BYTES, type PageRun } from "../../../../runtime/operations/open/pageSet";
import { temporaryFolder } from "../../repository/support";
import { upperWorlds } from "./upperWorld";

const world = upperWorlds();
const BOOT = "0a";
const ENTRIES: readonly JournalEntry[] = [
  { kind: "session", boot: BOOT },
  { kind: "fetched", file: 3, run: [0, 4] },
  { kind: "present", file: 3, run: [4, 4] },
  { kind: "durable", file: 3, run: [2, 2] },
  { kind: "cut", file: 4, sizeBytes: 20_000 },
  { kind: "cut-done", file: 4 },
  { kind: "remove", file: 5 },
  { kind: "whole" },
  { kind: "own", file: 6 },
];

describe("the journal of an upper directory", () => {
  test("what is written is read again, and damaged lines do not count", () => {
    const text = ENTRIES.map(renderEntry).join("");
    expect(parseJournal(text)).toEqual(ENTRIES);
    const torn = `${text.slice(0, -5)}\n${renderEntry({ kind: "removed", file: 5 })}`;
    expect(parseJournal(torn)).toEqual([...ENTRIES.slice(0, -1), { kind: "removed", file: 5 }]);
    expect(parseJournal(text.replace("fetched 3 0 4", "fetched 3 0 5"))).not.toContainEqual(ENTRIES[1]);
    expect(parseJournal("\0\0\0\n")).toEqual([]);
  });

  describe("on a disk that is full now and then", () => {
    const [first, second, third] = ENTRIES.slice(1, 4) as [JournalEntry, JournalEntry, JournalEntry];
    let written = "";
    /** What each write takes; then everything. */
    let takes: number[] = [];
    const opened = (...sizes: readonly number[]): Journal => {
      written = "";
      takes = [...sizes];
      return new Journal(0, (_, bytes) => {
        const size = takes.shift() ?? bytes.length;
        if (size < 0) throw new Error("no space left on device");
        written += Buffer.from(bytes).toString("latin1", 0, size);
        return Math.min(size, bytes.length);
      });
    };
    /** Of the first write: what begins a line, and an entry without its end. */
    const WHOLE_BUT_END = renderEntry(first).length + 1;

    test("a short write goes on", () => {
      const journal = opened(5, 7);
      journal.append(first);
      expect(parseJournal(written)).toEqual([first]);
    });

    test.each([0, 5, WHOLE_BUT_END])("an entry that failed after %i bytes never counts, and harms no other", (size) => {
      const journal = opened(size, -1);
      expect(() => journal.append(first)).toThrow("no space");
      expect(parseJournal(written)).toEqual([]);
      journal.append(second);
      expect(parseJournal(written)).toEqual([second]);
      // The same by the next process.
      const left = opened(size, -1);
      expect(() => left.append(first)).toThrow("no space");
      const before = written;
      opened().append(second);
      expect(parseJournal(before + written)).toEqual([second]);
    });

    test("the end of a step that has happened comes before everything else, and before a sync", async () => {
      const journal = opened(-1, -1, -1);
      journal.conclude(first);
      await expect(journal.sync()).rejects.toThrow("no space");
      expect(() => journal.append(second)).toThrow("no space");
      journal.append(third);
      expect(parseJournal(written)).toEqual([first, third]);
    });
  });

  test("pages that were only present count on the same start of the machine, durable ones on any", () => {
    const runs = (entries: readonly JournalEntry[], boot: string): unknown => {
      const { clean, durable, unsynced } = historyOf(entries, boot, 3);
      return [clean, unsynced, durable].map((pages) => pages.runsIn(0, 9));
    };
    expect(runs(ENTRIES, BOOT)).toEqual([[[0, 3]], [[4, 4]], [[2, 2]]]);
    expect(runs(ENTRIES, "0b")).toEqual([[], [], [[2, 2]]]);
    const afterRestart = [
      ...ENTRIES,
      { kind: "session", boot: "0b" },
      { kind: "present", file: 3, run: [7, 7] },
    ] as const;
    expect(runs(afterRestart, "0b")).toEqual([[], [[7, 7]], [[2, 2]]]);
    // Its space may have been given back: that counts whatever the machine lost.
    const dropped = [...ENTRIES, { kind: "dropped", file: 3, run: [1, 2] }] as const;
    expect([runs(dropped, BOOT), runs(dropped, "0b")]).toEqual([
      [
        [
          [0, 0],
          [3, 3],
        ],
        [[4, 4]],
        [],
      ],
      [[], [], []],
    ]);
  });

  test("an intent without its end is pending; a file of its own is the backup's no more", () => {
    const of = (file: number, ...more: readonly JournalEntry[]): FileHistory =>
      historyOf([...ENTRIES, ...more], "0b", file);
    expect([of(4).pendingCutBytes, of(4).endBytes]).toEqual([null, 20_000]);
    expect([of(5).isPendingRemove, of(5).isBound]).toEqual([true, true]);
    expect(of(6).isBound).toBe(false);
    const kept = of(5, { kind: "kept", file: 5 });
    expect([kept.isPendingRemove, kept.isBound]).toEqual([false, true]);
    const intent = { kind: "cut", file: 1, sizeBytes: PAGE_BYTES } as const;
    const fetched = { kind: "fetched", file: 1, run: [0, 3] } as const;
    const cut = (...ends: readonly JournalEntry[]): unknown[] => {
      const { clean, endBytes, pendingCutBytes } = historyOf([ENTRIES[0], fetched, intent, ...ends], BOOT, 1);
      return [pendingCutBytes, endBytes, clean.runsIn(0, 9)];
    };
    expect(cut()).toEqual([PAGE_BYTES, Infinity, [[0, 3]]]);
    expect(cut({ kind: "cut-done", file: 1 })).toEqual([null, PAGE_BYTES, [[0, 0]]]);
    expect(cut({ kind: "kept", file: 1 })).toEqual([null, Infinity, [[0, 3]]]);
  });

  describe("in the fewest lines", () => {
    const COUNT = 100_000;

    // claim: docs/open.md: the journal stays small, however many pages are read and written one by one
    test("says the same as 100,000 lines of single pages, which an open merges", () => {
      const made = world({ "base/1": COUNT * PAGE_BYTES, "base/2": COUNT * PAGE_BYTES });
      const journal = join(made.folder, "journal");
      const lines: string[] = [];
      for (let at = 0; at < COUNT; at++) {
        // All pages of the first file, and every other one of the second.
        const page = (at * 7919) % COUNT;
        lines.push(renderEntry({ kind: "fetched", file: 0, run: [page, page] }));
        if (page % 2 === 0) lines.push(renderEntry({ kind: "durable", file: 1, run: [page, page] }));
      }
      writeFileSync(journal, lines.join(""), { flag: "a" });
      made.reopen();
      expect(statSync(journal).size).toBeLessThan(64 * 1024);
      for (const again of [() => {}, () => made.reopen()]) {
        again();
        const [all, half] = made.upper.targets.map(({ origin }) => origin);
        expect([all?.pages.missingCount, all?.clean.presentCount]).toEqual([0, COUNT]);
        expect([half?.pages.presentCount, half?.clean.presentCount]).toEqual([COUNT / 2, 0]);
        expect(half?.pages.runsIn(90, 94)).toEqual([
          [90, 90],
          [92, 92],
          [94, 94],
        ]);
      }
    });

    test("says the same on this start of the machine and on the next one, whatever has happened", () => {
      const run = fc.tuple(fc.nat(19), fc.nat(5)).map(([first, more]): PageRun => [first, first + more]);
      const entry = fc.oneof(
        fc.record({
          kind: fc.constantFrom("fetched" as const, "present" as const, "durable" as const, "dropped" as const),
          file: fc.nat(1),
          run,
        }),
        fc.record({ kind: fc.constant("cut" as const), file: fc.nat(1), sizeBytes: fc.nat(20 * PAGE_BYTES) }),
        fc.record({
          kind: fc.constantFrom("cut-done" as const, "remove" as const, "removed" as const, "kept" as const),
          file: fc.nat(1),
        }),
        fc.record({ kind: fc.constant("session" as const), boot: fc.constantFrom(BOOT, "0b") }),
      );
      fc.assert(
        fc.property(fc.array(entry, { maxLength: 40 }), (happened) => {
          const entries: JournalEntry[] = [...happened, { kind: "session", boot: BOOT }];
          const merged = parseJournal([...stateOf(entries, BOOT).lines()].join(""));
          for (const boot of [BOOT, "0c"])
            for (const file of [0, 1])
              expect(shown(historyOf(merged, boot, file))).toEqual(shown(historyOf(entries, boot, file)));
        }),
      );
    });

    test("is written again when it has grown, and what comes later follows", async () => {
      const path = join(temporaryFolder(), "journal");
      writeFileSync(path, "");
      const journal = new Journal(openSync(path, "a"), writeSync, {
        path,
        state: new JournalState(ROWS, BOOT),
        sizeBytesMin: 2000,
      });
      journal.append({ kind: "session", boot: BOOT });
      let sizeBytesMax = 0;
      for (let page = 0; page < 1000; page++) {
        journal.append({ kind: "fetched", file: 0, run: [page, page] });
        sizeBytesMax = Math.max(sizeBytesMax, statSync(path).size);
      }
      await journal.sync();
      journal.close();
      expect(sizeBytesMax).toBeLessThan(2100);
      expect(historyOf([...readJournal(path)], BOOT, 0).clean.runsIn(0, 2000)).toEqual([[0, 999]]);
      expect(existsSync(`${path}.new`)).toBe(false);
    });

    test("is written again after a sync that failed, and synced only then", async () => {
      const path = join(temporaryFolder(), "journal");
      writeFileSync(path, "");
      let isFull = false;
      const write = (fd: number, bytes: Uint8Array): number => {
        if (isFull) throw new Error("no space left on device");
        return writeSync(fd, bytes);
      };
      const journal = new Journal(openSync(path, "a"), write, { path, state: new JournalState(ROWS, BOOT) });
      journal.append({ kind: "session", boot: BOOT });
      journal.append({ kind: "durable", file: 0, run: [3, 4] });
      const { fdatasync } = fs;
      fs.fdatasync = ((_: number, done: fs.NoParamCallback) => {
        fs.fdatasync = fdatasync;
        syncBuiltinESMExports();
        done(new Error("i/o error"));
      }) as typeof fdatasync;
      syncBuiltinESMExports();
      const before = statSync(path).ino;
      isFull = true;
      await expect(journal.sync()).rejects.toThrow("no space");
      expect(statSync(path).ino).toBe(before);
      // The kernel has forgotten its failure: a sync of the old file would succeed.
      await expect(journal.sync()).rejects.toThrow("no space");
      isFull = false;
      await journal.sync();
      expect(statSync(path).ino).not.toBe(before);
      journal.append({ kind: "own", file: 1 });
      await journal.sync();
      journal.close();
      const entries = [...readJournal(path)];
      expect(historyOf(entries, "0c", 0).durable.runsIn(0, 9)).toEqual([[3, 4]]);
      expect(historyOf(entries, "0c", 1).isBound).toBe(false);
    });

    test("keeps lines about files that the backup does not have", () => {
      const made = world({ "base/1": PAGE_BYTES });
      const stray = renderEntry({ kind: "own", file: 7 });
      writeFileSync(join(made.folder, "journal"), stray, { flag: "a" });
      made.reopen();
      expect(readFileSync(join(made.folder, "journal"), "latin1")).toContain(stray);
    });
  });

  test("is read in blocks, and a line of any length is only that line", () => {
    const path = join(temporaryFolder(), "journal");
    const fd = openSync(path, "w");
    const line = renderEntry({ kind: "own", file: 6 });
    writeSync(fd, line.repeat(100_000));
    writeSync(fd, `${"\0".repeat(3 * 1024 * 1024)}\n${renderEntry({ kind: "own", file: 5 })}torn`);
    closeSync(fd);
    const entries = [...readJournal(path)];
    expect([entries.length, entries.at(-1)]).toEqual([100_001, { kind: "own", file: 5 }]);
  });
});

const ROWS = Array.from({ length: 7 }, () => ({ sizeBytes: 1000 * PAGE_BYTES }));

function stateOf(entries: Iterable<JournalEntry | undefined>, boot: string): JournalState {
  const state = new JournalState(ROWS, boot);
  for (const entry of entries) if (entry !== undefined) state.apply(entry);
  return state;
}

function historyOf(entries: Iterable<JournalEntry | undefined>, boot: string, file: number): FileHistory {
  const untouched = stateOf([{ kind: "kept", file }], boot).histories.get(file) as FileHistory;
  return stateOf(entries, boot).histories.get(file) ?? untouched;
}

/** What matters of it: nothing of a file that is not the backup's. */
function shown(history: FileHistory): unknown {
  if (!history.isBound) return null;
  const { clean, durable, endBytes, isPendingRemove, pendingCutBytes, unsynced } = history;
  const pages = [clean, durable, unsynced].map((each) => each.runsIn(0, 100));
  return { pages, endBytes, isPendingRemove, pendingCutBytes };
}
