import { describe, expect, it } from "vitest";
import type { Activity } from "../../../../runtime/operations/find/activity";
import {
  type BackupEnd,
  formatTime,
  type TargetFacts,
  targetsOf,
} from "../../../../runtime/operations/find/recoveryTargets";

const ACTIVITY: Activity = {
  xid: 700,
  firstLsn: 0x3000100n,
  rows: new Map(),
  relations: new Map(),
  unknownDrops: 0,
  schemas: [],
  databases: [],
  removedDatabases: [],
  copied: new Set(),
  remapped: new Set(),
  isPrepared: false,
};
const AT_US = 1_763_715_153_123_456n;

function backup(label: string, lsnStop: string, repoIndex = 1): BackupEnd {
  return { label, lsnStop, repoIndex };
}

function facts(more: Partial<TargetFacts> = {}): TargetFacts {
  const end = { kind: "commit", xid: 700, atUs: AT_US, subtransactions: [], dropped: [], preparedAs: null } as const;
  const backups = [backup("first", "0/2000100"), backup("second", "0/3000050"), backup("later", "0/4000001")];
  return {
    end,
    lsn: 0x4000000n,
    activity: ACTIVITY,
    markedLsn: null,
    isTimeExact: true,
    backups,
    timeline: null,
    repoIndex: undefined,
    ...more,
  };
}

const dropped = (lsn: bigint): Activity => ({ ...ACTIVITY, removedDatabases: [{ oid: 5, lsn }] });

describe("the target just before a transaction", () => {
  it("is its number with the newest backup that ends before it, its position, and its time", () => {
    expect(targetsOf(facts())).toEqual([
      {
        type: "xid",
        target: "700",
        set: "second",
        args: ["--type=xid", "--target=700", "--target-exclusive", "--set=second"],
        cluster: { backup: "second", xid: "700", exclusive: true },
      },
      {
        type: "lsn",
        target: "0/4000000",
        set: null,
        args: ["--type=lsn", "--target=0/4000000", "--target-exclusive"],
        cluster: { lsn: "0/4000000", exclusive: true },
      },
      {
        type: "time",
        target: "2025-11-21 08:52:33.123456+00",
        set: null,
        args: ["--type=time", "--target=2025-11-21 08:52:33.123456+00", "--target-exclusive"],
        cluster: { time: "2025-11-21T08:52:33.123456Z", exclusive: true },
      },
    ]);
  });

  it("is its time only if nothing before it was committed at its time or later", () => {
    expect(targetsOf(facts({ isTimeExact: false })).map(({ type }) => type)).toEqual(["xid", "lsn"]);
  });

  it("does not exist without a backup before it; one that ends exactly there counts", () => {
    expect(targetsOf(facts({ backups: [] }))).toEqual([]);
    expect(targetsOf(facts({ backups: [backup("later", "0/4000001")] }))).toEqual([]);
    expect(targetsOf(facts({ backups: [backup("there", "0/4000000")] }))[0]?.set).toBe("there");
    // Positions compare as numbers, not as text.
    expect(
      targetsOf(facts({ lsn: 0x1_0000_0000n, backups: [backup("small", "0/FF000000"), backup("large", "1/0")] }))[0]
        ?.set,
    ).toBe("large");
  });

  it("of a dropped database is only the position of its first action", () => {
    expect(targetsOf(facts({ activity: dropped(0x3000200n) })).map(({ args }) => args)).toEqual([
      ["--type=lsn", "--target=0/3000100", "--target-exclusive"],
    ]);
    // A mark before the transaction's first record is its own. A later mark belongs to another transaction.
    expect(targetsOf(facts({ activity: dropped(0x3000200n), markedLsn: 0x3000080n }))[0]?.target).toBe("0/3000080");
    expect(targetsOf(facts({ activity: dropped(0x3000200n), markedLsn: 0x3000180n }))[0]?.target).toBe("0/3000100");
    // Recovery cannot use a backup between that position and the commit.
    expect(targetsOf(facts({ activity: dropped(0x3000200n), backups: [backup("between", "0/3000150")] }))).toEqual([]);
  });

  it("names the user's timeline and repository", () => {
    for (const { args } of targetsOf(facts({ timeline: 3, repoIndex: 2 })))
      expect(args.slice(-2)).toEqual(["--target-timeline=3", "--repo=2"]);
    expect(targetsOf(facts({ timeline: 3 })).map(({ cluster }) => cluster.timeline)).toEqual(["3", "3", "3"]);
  });

  it("of a prepared transaction is its own number", () => {
    const end = { ...facts().end, xid: 690, preparedAs: "two" };
    expect(targetsOf(facts({ end }))[0]?.target).toBe("690");
  });
});

it("has times with microseconds, as PostgreSQL reads them", () => {
  expect(formatTime(0n)).toBe("1970-01-01 00:00:00.000000+00");
  expect(formatTime(1_763_715_153_000_001n)).toBe("2025-11-21 08:52:33.000001+00");
  expect(formatTime(4_102_444_799_999_999n)).toBe("2099-12-31 23:59:59.999999+00");
});
