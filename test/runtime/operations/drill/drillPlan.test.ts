import * as fc from "../../../harness/properties";
import { describe, expect, test } from "vitest";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { formatLsn, lsnOfSegment, parseLsn } from "../../../../runtime/format/wal/walSegment";
import { type PickRequest, pickBackup, planTurn, type Turn } from "../../../../runtime/operations/drill/drillPlan";
import { DRILL_PICKS } from "../../../../runtime/operations/drill/record";
import { backupEntry } from "./support";

const MIB = 1024 * 1024;

/** The turns of `count` consecutive drills after this history. */
function turns(count: number, repoIndexes: readonly number[], history: readonly Turn[] = []): Turn[] {
  const made: Turn[] = [];
  for (let index = 0; index < count; index++)
    made.push({
      ...planTurn({ repoIndexes, history: [...history, ...made] }),
      id: `20261121-${String(100000 + index)}Z-00000000`,
    });
  return made;
}

describe("whose turn it is", () => {
  // claim: docs/drills.md: every repository and every kind of pick takes its turn
  test("goes through every repository with every kind of pick before any repeats", () => {
    const keys = fc.uniqueArray(fc.integer({ min: 1, max: 256 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(keys, fc.integer({ min: 0, max: 30 }), (repoIndexes, before) => {
        const cycle = repoIndexes.length * DRILL_PICKS.length;
        const made = turns(before + cycle, repoIndexes).slice(before);
        expect(new Set(made.map(({ pick, repo }) => `${repo} ${pick}`)).size).toBe(cycle);
        for (let index = 0; index + repoIndexes.length <= made.length; index++)
          expect(new Set(made.slice(index, index + repoIndexes.length).map(({ repo }) => repo)).size).toBe(
            repoIndexes.length,
          );
      }),
    );
  });

  test("begins with a new repository, whatever was drilled before", () => {
    const history = turns(9, [1, 2]);
    expect(planTurn({ repoIndexes: [1, 2, 3], history })).toEqual({ repo: 3, pick: "newest" });
  });

  test("follows the user's choice, which counts as a turn", () => {
    expect(planTurn({ repoIndexes: [1, 2], history: [], repoIndex: 2, pick: "oldest" })).toEqual({
      repo: 2,
      pick: "oldest",
    });
    const history = [{ id: "20261121-100000Z-00000000", repo: 2, pick: "newest" }] as const;
    expect(planTurn({ repoIndexes: [1, 2], history, repoIndex: 2 })).toEqual({ repo: 2, pick: "oldest" });
    expect(planTurn({ repoIndexes: [1, 2], history })).toEqual({ repo: 1, pick: "newest" });
  });

  test("does not depend on the order of the history", () => {
    const history = turns(7, [1, 2]);
    fc.assert(
      fc.property(fc.shuffledSubarray(history, { minLength: history.length }), (shuffled) => {
        expect(planTurn({ repoIndexes: [1, 2], history: shuffled })).toEqual(
          planTurn({ repoIndexes: [1, 2], history }),
        );
      }),
    );
  });
});

describe("which backup", () => {
  const backups = [
    backupEntry("20261101-020000F", { lsnStop: "0/3000100" }),
    backupEntry("20261108-020000F", { lsnStop: "0/7000100" }),
    backupEntry("20261115-020000F", { lsnStop: "0/9000100" }),
  ];
  const request = (more: Partial<PickRequest>): PickRequest => {
    const base = {
      repoIndex: 1,
      pick: "newest",
      backups,
      currentId: 1,
      newestWal: "0000000100000000000000C0",
      walSegmentSizeBytes: MIB,
      random: [0, 0],
    } as const;
    return { ...base, ...more };
  };
  const picked = (more: Partial<PickRequest>): string => {
    const { backup, target, type } = pickBackup(request(more));
    return `${backup.label} ${type}${target === undefined ? "" : ` ${target}`}`;
  };

  test("is the newest to the end of the archive, others until they are consistent", () => {
    expect(picked({})).toBe("20261115-020000F default");
    expect(picked({ pick: "oldest" })).toBe("20261101-020000F immediate");
    expect(picked({ pick: "random", random: [0.5, 0] })).toBe("20261108-020000F immediate");
    expect(picked({ pick: "random", random: [0.999999, 0] })).toBe("20261115-020000F immediate");
    expect(picked({ pick: "oldest", set: "20261108-020000F" })).toBe("20261108-020000F immediate");
    expect(picked({ set: "20261108-020000F" })).toBe("20261108-020000F default");
  });

  test("is ordered by end times, not by labels", () => {
    const overdue = backupEntry("20261031-020000F", { stoppedAtS: (backups[2] as BackupInfoEntry).stoppedAtS + 1 });
    expect(picked({ backups: [overdue, ...backups] })).toBe("20261031-020000F default");
  });

  test("for a point in time: it lies after the chosen backup and before the newest segment", () => {
    const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    const last = lsnOfSegment("0000000100000000000000C0", MIB);
    fc.assert(
      fc.property(fraction, fraction, (first, second) => {
        const { backup, target = "", type } = pickBackup(request({ pick: "moment", random: [first, second] }));
        expect(type).toBe("lsn");
        expect(parseLsn(target)).toBeGreaterThanOrEqual(parseLsn(backup.lsnStop ?? ""));
        expect(parseLsn(target)).toBeLessThan(last);
        const better = backups.filter(
          ({ lsnStop = "" }) =>
            parseLsn(lsnStop) <= parseLsn(target) && parseLsn(lsnStop) > parseLsn(backup.lsnStop ?? ""),
        );
        expect(better).toEqual([]);
      }),
    );
    expect(picked({ pick: "moment" })).toBe(`20261101-020000F lsn ${formatLsn(parseLsn("0/3000100"))}`);
  });

  test("for a point in time is never of another timeline or cluster", () => {
    const other = backupEntry("20261120-020000F", { archiveStart: "000000020000000000000005", lsnStop: "0/500100" });
    const older = backupEntry("20261002-020000F", { dbId: 1, lsnStop: "0/100" });
    expect(
      picked({
        pick: "moment",
        currentId: 2,
        backups: [other, ...backups.map((entry) => ({ ...entry, dbId: 2 })), older].map((entry) => ({
          ...entry,
          dbId: entry === older ? 1 : 2,
        })),
      }),
    ).toBe("20261101-020000F lsn 0/3000100");
  });

  test("for a point in time is never one whose WAL retention has removed", () => {
    const trimmed = new Set(["20261101-020000F"]);
    const own = backupEntry("20261105-020000F", { dbId: 1, lsnStop: "0/5000000" });
    const old = { ...backupEntry("20261101-020000F", { dbId: 1, lsnStop: "0/100" }) };
    const asked = { pick: "moment" as const, backups: [old, own], newestWal: "000000010000000000000009" };
    expect(picked(asked)).toContain("20261101-020000F");
    expect(picked({ ...asked, trimmed })).toContain("20261105-020000F");
  });

  // claim: docs/drills.md: after an upgrade a drill of the newest backup, or of a moment, needs one of the new cluster
  test("after an upgrade is no backup of the former cluster for what must bring the present one back", () => {
    const former = { currentId: 2, newestWal: null };
    for (const pick of ["newest", "moment"] as const)
      expect(() => picked({ pick, ...former })).toThrow("repo1 has no backup of the present cluster");
    expect(picked({ pick: "oldest", ...former })).toBe("20261101-020000F immediate");
    const own = backupEntry("20261105-020000F", { dbId: 2, lsnStop: "0/100" });
    const both = { currentId: 2, backups: [...backups, own] };
    expect(picked(both)).toBe("20261105-020000F default");
    expect(picked({ ...both, pick: "moment" })).toBe("20261105-020000F lsn 0/100");
  });

  test("without WAL after a backup there is no such point, and a note says so", () => {
    for (const newestWal of [null, "000000010000000000000003", "000000020000000000000090"]) {
      const { note, type } = pickBackup(request({ pick: "moment", newestWal, walSegmentSizeBytes: MIB }));
      expect(type).toBe("immediate");
      expect(note).toContain("no WAL follows the end of a backup");
    }
  });

  test("of a stopped server recovers nothing", () => {
    expect(
      picked({
        pick: "oldest",
        backups: [backupEntry("20261101-020000F", { optionOnline: false, archiveStart: null })],
      }),
    ).toBe("20261101-020000F default");
  });

  test("is an error when there is nothing to restore", () => {
    expect(() => pickBackup(request({ backups: [] }))).toThrow("repo1 has no backup");
    expect(() => pickBackup(request({ set: "20260101-000000F" }))).toThrow("backup 20260101-000000F is not in repo1");
  });
});
