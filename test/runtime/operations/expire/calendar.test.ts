import { describe, expect, it } from "vitest";
import type { ArchiveInfo } from "../../../../runtime/format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { isFileExpired, planArchives, planKept } from "../../../../runtime/operations/expire/archivePlan";
import {
  type CalendarClass,
  firstDependants,
  pickByCalendar,
  withBases,
} from "../../../../runtime/operations/expire/calendar";
import { type ExpirePlan, type ExpireRequest, planExpire } from "../../../../runtime/operations/expire/expirePlan";
import type { KeepCalendar, Retention } from "../../../../runtime/repository/retention";
import { entryOf } from "../../../harness/madeRepository";
import * as fc from "../../../harness/properties";

const BASE = entryOf({ label: "20260101-000000F", wal: null });
const REQUEST: ExpireRequest = { oldest: false, refusePageErrors: false, dryRun: false };
const HISTORY = { id: 1, pgVersion: "15", systemId: 7_710_141_224_171_239_387n, catalogVersion: 1, controlVersion: 1 };
const HEAD = { backrestVersion: "2.60.0", currentId: 1, history: [HISTORY], other: [] };
const DAY_S = 86_400;
/** A time after all backups. */
const AFTER_ALL_S = Date.parse("2100-01-01T00:00:00Z") / 1000;

interface Made {
  readonly at: string;
  readonly type?: BackupInfoEntry["type"];
  readonly error?: boolean;
}

/** The segment that is written in that hour since 2020: names ascend with time, with 256 in a directory. */
function segmentAt(timeS: number): string {
  const no = Math.floor((timeS - 1_577_836_800) / 3600);
  const digits = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");
  return `00000001${digits(Math.floor(no / 256))}${digits(no % 256)}`;
}

/** A differential backup needs its full one, an incremental one also the backup before it. */
function entriesOf(made: readonly Made[]): BackupInfoEntry[] {
  const entries: BackupInfoEntry[] = [];
  for (const { at, error = false, type = "full" } of made) {
    const startedAtS = Date.parse(at) / 1000;
    const time = new Date(startedAtS * 1000).toISOString().replace(/\D/g, "").slice(0, 14);
    const name = `${time.slice(0, 8)}-${time.slice(8)}`;
    const base = entries.findLast((entry) => entry.type === "full");
    const own = base === undefined ? "full" : type;
    const prior = own === "diff" ? base?.label : entries.at(-1)?.label;
    const times = { startedAtS, stoppedAtS: startedAtS + 1800 };
    const wal = { archiveStart: segmentAt(startedAtS), archiveStop: segmentAt(startedAtS + 3600) };
    const rest = { ...BASE, ...times, ...wal, error, type: own };
    if (own === "full" || base === undefined || prior === undefined) entries.push({ ...rest, label: `${name}F` });
    else {
      const label = `${base.label}_${name}${own === "diff" ? "D" : "I"}`;
      entries.push({ ...rest, label, prior, references: [...new Set([base.label, prior])] });
    }
  }
  return entries;
}

function infoOf(backups: readonly BackupInfoEntry[]): BackupInfo {
  return { ...HEAD, backups };
}

function picksOf(made: readonly Made[], keep: Partial<KeepCalendar>): string[] {
  const picks = pickByCalendar(entriesOf(made), { zone: "UTC", ...keep }, AFTER_ALL_S);
  return picks.map(({ keptBy, label, period }) => `${keptBy} ${period} ${label}`);
}

describe("periods", () => {
  it("are days of the zone", () => {
    const evening = [{ at: "2026-12-31T22:30:00Z" }, { at: "2026-12-31T23:30:00Z" }];
    expect(picksOf(evening, { daily: 9, yearly: 9, zone: "Europe/Berlin" })).toEqual([
      "yearly 2027 20261231-233000F",
      "yearly 2026 20261231-223000F",
      "daily 2027-01-01 20261231-233000F",
      "daily 2026-12-31 20261231-223000F",
    ]);
    expect(picksOf(evening, { daily: 9 })).toEqual(["daily 2026-12-31 20261231-233000F"]);
  });

  it("have 23 and 25 hours when the clock changes", () => {
    // Midnight in Berlin: 23:00 UTC on the 28th, 22:00 UTC on the 29th of March; 22:00 and 23:00 UTC in October.
    const times = ["03-28T22:59", "03-28T23:00", "03-29T21:59", "03-29T22:00", "10-24T22:00", "10-25T22:59"];
    const made = times.map((time) => ({ at: `2026-${time}:00Z` }));
    const days = picksOf(made, { daily: 9, zone: "Europe/Berlin" }).map((pick) => pick.split(" ")[1]);
    expect(days).toEqual(["2026-10-25", "2026-03-30", "2026-03-29", "2026-03-28"]);
  });

  it("are weeks as ISO 8601 counts them, whose year is that of their Thursday", () => {
    const days = ["2024-12-30", "2026-12-27", "2026-12-28", "2027-01-03", "2027-01-04"];
    const made = days.map((day) => ({ at: `${day}T12:00:00Z` }));
    expect(picksOf(made, { weekly: 9 })).toEqual([
      "weekly 2027-W01 20270104-120000F",
      "weekly 2026-W53 20270103-120000F",
      "weekly 2026-W52 20261227-120000F",
      "weekly 2025-W01 20241230-120000F",
    ]);
  });

  it("without a backup take no place", () => {
    const made = ["2026-01-05", "2026-03-09", "2026-03-10"].map((day) => ({ at: `${day}T12:00:00Z` }));
    expect(picksOf(made, { monthly: 2 })).toEqual([
      "monthly 2026-03 20260310-120000F",
      "monthly 2026-01 20260105-120000F",
    ]);
  });
});

it("chooses a full backup before a differential and an incremental one, and a sound one before all", () => {
  const day: Made[] = [
    { at: "2026-03-01T01:00:00Z" },
    { at: "2026-03-02T01:00:00Z" },
    { at: "2026-03-02T02:00:00Z", type: "diff" },
    { at: "2026-03-02T03:00:00Z", type: "incr" },
  ];
  const chosen = (made: readonly Made[]): string | undefined => picksOf(made, { daily: 1 })[0]?.split(" ")[2];
  expect(chosen(day)).toBe("20260302-010000F");
  expect(chosen(day.filter((_, index) => index !== 1))).toBe("20260301-010000F_20260302-020000D");
  expect(chosen(day.map((one, index) => (index === 1 ? { ...one, error: true } : one)))).toBe(
    "20260302-010000F_20260302-020000D",
  );
});

const MADE = fc
  .array(
    fc.record({
      hours: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 1200 })),
      type: fc.constantFrom("full" as const, "diff" as const, "incr" as const, "incr" as const),
      error: fc.integer({ min: 0, max: 9 }).map((no) => no === 0),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((steps) => {
    let atMs = Date.UTC(2020, 0, 1);
    return entriesOf(
      steps.map(({ error, hours, type }) => {
        atMs += hours * 3_600_000;
        return { at: new Date(atMs).toISOString(), error, type };
      }),
    );
  });
const COUNT = fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined });
const KEEP: fc.Arbitrary<KeepCalendar> = fc
  .record({
    daily: COUNT,
    weekly: COUNT,
    monthly: COUNT,
    yearly: COUNT,
    zone: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Australia/Lord_Howe"),
  })
  .map(({ zone, ...counts }) => ({
    ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== undefined)),
    zone,
  }));
const RETENTION: fc.Arbitrary<Retention> = fc
  .record({
    full: fc.integer({ min: 1, max: 5 }),
    fullType: fc.constantFrom("count" as const, "time" as const),
    diff: COUNT,
    archive: COUNT,
    archiveType: fc.constantFrom("full" as const, "full" as const, "diff" as const, "incr" as const),
    keep: KEEP,
  })
  .map(({ archive, diff, full, fullType, ...rest }) => ({
    ...rest,
    fullType,
    full: fullType === "time" ? full * 10 : full,
    ...(diff === undefined ? {} : { diff }),
    ...(archive === undefined ? {} : { archive }),
  }));

function nowOf(backups: readonly BackupInfoEntry[]): number {
  return (backups.at(-1)?.stoppedAtS ?? 0) + 60;
}

function planOf(backups: readonly BackupInfoEntry[], retention: Retention, nowS = nowOf(backups)): ExpirePlan {
  return planExpire("repo1", infoOf(backups), retention, REQUEST, { nowS, pauses: [] });
}

/** A way of its own to name a period. */
function periodOf(keptBy: CalendarClass, { startedAtS }: BackupInfoEntry, zone: string): string {
  const day = new Date(startedAtS * 1000).toLocaleDateString("sv-SE", { timeZone: zone });
  if (keptBy === "daily") return day;
  if (keptBy === "monthly") return day.slice(0, 7);
  if (keptBy === "yearly") return day.slice(0, 4);
  // 1970-01-05 was a Monday.
  return String(Math.floor((Date.parse(day) / 1000 / DAY_S - 4) / 7));
}

describe("any history", () => {
  it("keeps a backup of as many periods as a class asks for, if there are so many", () => {
    fc.assert(
      fc.property(MADE, RETENTION, (backups, retention) => {
        const { kept } = planOf(backups, retention);
        const { keep = { zone: "UTC" } } = retention;
        for (const keptBy of ["daily", "weekly", "monthly", "yearly"] as const) {
          const periods = new Set(backups.map((entry) => periodOf(keptBy, entry, keep.zone)));
          const left = new Set(kept.map((entry) => periodOf(keptBy, entry, keep.zone)));
          for (const period of [...periods].slice(-(keep[keptBy] ?? 0)).slice(0, keep[keptBy] ?? 0))
            expect(left, `${keptBy} ${period}`).toContain(period);
        }
      }),
    );
  });

  it("keeps all that stock's rules keep, the newest backup, and what each kept one needs", () => {
    fc.assert(
      fc.property(MADE, RETENTION, (backups, { keep, ...stock }) => {
        const { kept, extra } = planOf(backups, { ...stock, ...(keep === undefined ? {} : { keep }) });
        const labels = new Set(kept.map(({ label }) => label));
        const byStock = planOf(backups, stock).kept.map(({ label }) => label);
        expect(kept.map(({ label }) => label).filter((label) => !extra.has(label))).toEqual(byStock);
        expect(labels).toContain(backups.at(-1)?.label);
        for (const { label, prior, references = [] } of kept)
          for (const base of [...references, ...(prior === undefined ? [] : [prior])])
            expect(labels, `${label} needs ${base}`).toContain(base);
      }),
    );
  });

  it("never needs a backup again that has left: expire after each backup ends as one at the end does", () => {
    fc.assert(
      fc.property(MADE, KEEP, (backups, keep) => {
        let left: readonly BackupInfoEntry[] = [];
        for (const entry of backups)
          left = planOf([...left, entry], { full: 1, fullType: "count", archiveType: "full", keep }).kept;
        expect(pickByCalendar(left, keep, AFTER_ALL_S)).toEqual(pickByCalendar(backups, keep, AFTER_ALL_S));
      }),
    );
  });

  it("keeps the same by calendar when the clock is 400 days ahead", () => {
    fc.assert(
      fc.property(MADE, RETENTION, (backups, retention) => {
        const ahead = planOf(backups, retention, nowOf(backups) + 400 * DAY_S);
        const labels = new Set(ahead.kept.map(({ label }) => label));
        const { keep = { zone: "UTC" } } = retention;
        for (const { label } of pickByCalendar(backups, keep, AFTER_ALL_S)) expect(labels).toContain(label);
        expect(labels).toContain(backups.at(-1)?.label);
      }),
    );
  });

  it("keeps the WAL of each kept backup, and all after the first that stock's rules keep", () => {
    fc.assert(
      fc.property(MADE, RETENTION, (backups, retention) => {
        const { archive, extra, kept } = planOf(backups, retention);
        if (archive === null) return;
        const archiveInfo: ArchiveInfo = HEAD;
        const rule = { ...archive, before: null, extra };
        const [plan] = planArchives(archiveInfo, infoOf(backups), kept, new Set(["15-1"]), rule);
        if (plan?.kind !== "trim") return;
        const counted = kept.filter(
          ({ label, type }) => !extra.has(label) && (type === "full" || type === rule.type || rule.type === "incr"),
        );
        const first = counted.at(-archive.count)?.startedAtS ?? 0;
        for (const { label, startedAtS } of kept)
          for (const timeS of [startedAtS, startedAtS + 3600])
            expect(isFileExpired(plan, segmentAt(timeS)), label).toBe(false);
        for (let timeS = first; timeS < nowOf(backups); timeS += 3600)
          expect(isFileExpired(plan, segmentAt(timeS))).toBe(false);
        // What others read of it once it has run.
        const after = planKept(kept, 1, retention, { nowS: nowOf(backups), pauses: [] });
        if (after !== null) expect(after).toEqual({ ...plan, archiveId: "" });
        else expect(extra.size === 0 || counted.length < archive.count).toBe(true);
      }),
    );
  });
});

it("keeps a calendar's backups of the cluster before an upgrade, and only their WAL", () => {
  const old = entriesOf([{ at: "2025-06-01T00:00:00Z" }]);
  const now = entriesOf([{ at: "2026-01-01T00:00:00Z" }, { at: "2026-02-01T00:00:00Z" }]);
  const backups = [...old, ...now.map((entry) => ({ ...entry, dbId: 2 }))];
  const history = [HISTORY, { ...HISTORY, id: 2, pgVersion: "16", systemId: 1n }];
  const keep = { yearly: 2, zone: "UTC" };
  const { archive, extra, kept } = planOf(backups, { full: 1, fullType: "count", archiveType: "full", keep });
  expect([...extra]).toEqual(["20250601-000000F"]);
  const infos = { ...HEAD, history, currentId: 2 };
  const rule = { count: archive?.count ?? 0, type: "full" as const, before: null, extra };
  const plans = planArchives(infos, { ...infos, backups }, kept, new Set(["15-1", "16-2"]), rule);
  const [first] = old;
  expect(plans[0]).toMatchObject({
    archiveId: "15-1",
    kind: "trim",
    ranges: [{ label: first?.label, start: first?.archiveStart, stop: first?.archiveStop }],
  });
});

it("removes the oldest full backup by hand, although the calendar keeps it, and no other that it keeps", () => {
  const backups = entriesOf(["2024", "2025", "2026"].map((year) => ({ at: `${year}-01-01T00:00:00Z` })));
  const retention: Retention = { full: 1, fullType: "count", archiveType: "full", keep: { yearly: 9, zone: "UTC" } };
  const request = { ...REQUEST, oldest: true };
  const { sets } = planExpire("repo1", infoOf(backups), retention, request, { nowS: nowOf(backups), pauses: [] });
  expect(sets).toEqual([{ why: "full", labels: ["20240101-000000F"] }]);
});

it("names the first backup that needs each one, directly or not", () => {
  const types = fc.array(fc.constantFrom<BackupInfoEntry["type"]>("full", "diff", "incr"), { maxLength: 12 });
  fc.assert(
    fc.property(types, fc.func(fc.boolean()), (made, isKept) => {
      const day = (index: number): string => `2026-01-${String(index + 1).padStart(2, "0")}T00:00:00Z`;
      const entries = entriesOf(made.map((type, index) => ({ at: day(index), type }))).filter(({ label }) =>
        isKept(label),
      );
      const dependants = firstDependants(entries);
      for (const { label } of entries) {
        const first = entries.find((each) => each.label !== label && withBases(entries, [each.label]).has(label));
        expect(dependants.get(label)).toBe(first?.label);
      }
    }),
  );
});
