import { describe, expect, test } from "vitest";
import {
  Journal,
  type JournalEntry,
  parseJournal,
  renderEntry,
  replayJournal,
} from "../../../../runtime/operations/open/journal";

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
    const durable = ["durable", [2, 2]] as const;
    expect(replayJournal(ENTRIES, BOOT).get(3)?.runs).toEqual([["clean", [0, 4]], ["there", [4, 4]], durable]);
    expect(replayJournal(ENTRIES, "0b").get(3)?.runs).toEqual([durable]);
    const afterRestart = [
      ...ENTRIES,
      { kind: "session", boot: "0b" },
      { kind: "present", file: 3, run: [7, 7] },
    ] as const;
    expect(replayJournal(afterRestart, "0b").get(3)?.runs).toEqual([durable, ["there", [7, 7]]]);
    // Its space may have been given back: that counts whatever the machine lost.
    const dropped = replayJournal([...ENTRIES, { kind: "dropped", file: 3, run: [1, 2] }], "0b");
    expect(dropped.get(3)?.runs).toEqual([durable, ["dropped", [1, 2]]]);
  });

  test("an intent without its end is pending; a file of its own is the backup's no more", () => {
    const histories = replayJournal(ENTRIES, "0b");
    expect([histories.get(4)?.pendingCutBytes, histories.get(4)?.endBytes]).toEqual([null, 20_000]);
    expect([histories.get(5)?.isPendingRemove, histories.get(5)?.isBound]).toEqual([true, true]);
    expect(histories.get(6)?.isBound).toBe(false);
    const kept = replayJournal([...ENTRIES, { kind: "kept", file: 5 }], "0b");
    expect([kept.get(5)?.isPendingRemove, kept.get(5)?.isBound]).toEqual([false, true]);
    const intent = { kind: "cut", file: 1, sizeBytes: 8192 } as const;
    const cut = (...ends: readonly JournalEntry[]): unknown[] => {
      const history = replayJournal([intent, ...ends], BOOT).get(1);
      return [history?.pendingCutBytes, history?.endBytes, history?.runs.map(([fate, [first]]) => [fate, first])];
    };
    expect(cut()).toEqual([8192, Infinity, []]);
    expect(cut({ kind: "cut-done", file: 1 })).toEqual([null, 8192, [["there", 1]]]);
    expect(cut({ kind: "kept", file: 1 })).toEqual([null, Infinity, []]);
  });
});
