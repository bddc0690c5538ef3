/**
 * Histories of 400 days with clocks that were wrong, hosts that were off, a calendar and holds: `expire` keeps what the
 * model keeps, which is written from docs/retention.md alone.
 */
import { expect, it } from "vitest";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { fullLabelOf, formatLabel, labelDayS } from "../../../../runtime/format/repository/label";
import { holdNotes } from "../../../../runtime/operations/expire/hold";
import { pausesIn, planExpire } from "../../../../runtime/operations/expire/expirePlan";
import type { KeepCalendar, Retention } from "../../../../runtime/repository/retention";
import { entryOf } from "../../../harness/madeRepository";
import * as fc from "../../../harness/properties";

const DAY_S = 86_400;
/** 2026-01-01. */
const BEGIN_S = 1_767_225_600;
const BASE = entryOf({ label: "20260101-000000F", wal: null });
const REQUEST = { oldest: false, refusePageErrors: false, dryRun: false };
const LIFELESS_DAYS = 45;

interface Episode {
  readonly fromDay: number;
  readonly days: number;
}

interface Given {
  readonly keep: Omit<KeepCalendar, "zone">;
  readonly window: { readonly full: number; readonly fullType: "count" | "time" };
  readonly everyDays: number;
  readonly fullEvery: number;
  /** Backups between two runs of `expire`: less work for the test. */
  readonly expireEvery: number;
  readonly wrongClock: Episode & { readonly aheadDays: number };
  readonly off: Episode;
  readonly holds: readonly { readonly onDay: number; readonly untilDay: number | null }[];
}

const episode = (daysMax: number) => ({ fromDay: fc.nat(400), days: fc.nat(daysMax) });
const GIVEN: fc.Arbitrary<Given> = fc.record({
  keep: fc.record({ daily: fc.nat(7), weekly: fc.nat(5), monthly: fc.nat(12), yearly: fc.nat(2) }),
  window: fc.oneof(
    fc.record({ full: fc.integer({ min: 7, max: 40 }), fullType: fc.constant("time" as const) }),
    fc.record({ full: fc.integer({ min: 1, max: 4 }), fullType: fc.constant("count" as const) }),
  ),
  everyDays: fc.integer({ min: 2, max: 9 }),
  fullEvery: fc.integer({ min: 1, max: 5 }),
  expireEvery: fc.integer({ min: 3, max: 15 }),
  wrongClock: fc.record({ ...episode(12), aheadDays: fc.constantFrom(-200, -3, 0, 0, 2, 100, 365) }),
  off: fc.record(episode(80)),
  holds: fc.array(fc.record({ onDay: fc.nat(400), untilDay: fc.option(fc.nat(500)) }), { maxLength: 3 }),
});

const isIn = (day: number, { days, fromDay }: Episode): boolean => day >= fromDay && day < fromDay + days;
const dayOf = (timeS: number): number => Math.floor(timeS / DAY_S);

/** A model: all that a repository ever recorded, what is left, and when holds end. */
class Model {
  readonly made: BackupInfoEntry[] = [];
  left: BackupInfoEntry[] = [];
  readonly #holds = new Map<string, number | null>();

  hold(label: string, untilS: number | null): void {
    this.#holds.set(label, untilS);
  }

  /** Labels that docs/retention.md keeps. */
  kept(given: Given, nowS: number): string[] {
    const labels = new Set([...this.#byWindow(given, nowS), ...this.#byCalendar(given, nowS), ...this.#byHold(nowS)]);
    const byLabel = new Map(this.left.map((entry) => [entry.label, entry]));
    for (const label of labels) {
      const { prior, references = [] } = byLabel.get(label) ?? {};
      for (const base of [...references, ...(prior === undefined ? [] : [prior])]) labels.add(base);
    }
    return [...labels].sort();
  }

  /** "the window: every backup": a full one goes with its set. */
  #byWindow({ window: { full, fullType } }: Given, nowS: number): string[] {
    const fulls = this.left.filter(({ type }) => type === "full");
    const first =
      fullType === "count"
        ? fulls.at(-full)
        : fulls.findLast(({ stoppedAtS }) => this.#livedS(stoppedAtS, nowS) > full * DAY_S);
    return this.left.flatMap(({ label }) => (first === undefined || label >= first.label ? [label] : []));
  }

  /** "one backup of each of its newest days, weeks, months or years that have a backup". */
  #byCalendar({ keep }: Given, nowS: number): string[] {
    const names: Readonly<Record<keyof typeof keep, (timeS: number) => string>> = {
      daily: (timeS) => new Date(timeS * 1000).toISOString().slice(0, 10),
      // 1970-01-05 was a Monday.
      weekly: (timeS) => String(Math.floor((dayOf(timeS) - 4) / 7)).padStart(5, "0"),
      monthly: (timeS) => new Date(timeS * 1000).toISOString().slice(0, 7),
      yearly: (timeS) => new Date(timeS * 1000).toISOString().slice(0, 4),
    };
    return (Object.keys(names) as (keyof typeof keep)[]).flatMap((name) => {
      const periodOf = names[name];
      const count = keep[name] ?? 0;
      if (count === 0) return [];
      const periods = [...new Set(this.left.map(({ startedAtS }) => periodOf(startedAtS)))].sort().reverse();
      const now = periodOf(nowS);
      // A wrong clock removes nothing, and periods in the future take no place.
      const wanted = [
        ...periods.filter((each) => each > now),
        ...periods.filter((each) => each <= now).slice(0, count),
      ];
      return wanted.map((period) => {
        const own = this.left.filter(({ startedAtS }) => periodOf(startedAtS) === period);
        const fulls = own.filter(({ type }) => type === "full");
        const best = (fulls.length > 0 ? fulls : own).sort((left, right) => left.startedAtS - right.startedAtS);
        return best.at(-1)?.label ?? "";
      });
    });
  }

  /** "A time without backups and WAL of more than 45 days does not count." */
  #byHold(nowS: number): string[] {
    return this.left.flatMap(({ label, stoppedAtS }) => {
      const untilS = this.#holds.get(label);
      if (untilS === undefined) return [];
      return untilS === null || stoppedAtS + this.#livedS(stoppedAtS, nowS) <= untilS ? [label] : [];
    });
  }

  #livedS(sinceS: number, nowS: number): number {
    const signsS = this.made.map(({ stoppedAtS }) => stoppedAtS).filter((signS) => signS >= sinceS && signS < nowS);
    const timesS = [...signsS, nowS].sort((left, right) => left - right);
    let livedS = 0;
    let beforeS = sinceS;
    for (const timeS of timesS) {
      if (timeS - beforeS <= LIFELESS_DAYS * DAY_S) livedS += timeS - beforeS;
      beforeS = timeS;
    }
    return sinceS > nowS ? nowS - sinceS : livedS;
  }
}

/** Null where `backup` refuses its label because a later one exists. */
function nextBackup(model: Model, type: "full" | "incr", startedAtS: number): BackupInfoEntry | null {
  const prior = model.left.at(-1);
  const isFull = type === "full" || prior === undefined;
  const label = isFull ? formatLabel("full", startedAtS) : formatLabel("incr", startedAtS, fullLabelOf(prior.label));
  const rivals = isFull ? model.made : model.made.filter((each) => each.label.startsWith(fullLabelOf(label)));
  if (rivals.some((each) => each.label >= label)) return null;
  const times = { startedAtS, stoppedAtS: startedAtS + 1800 };
  if (isFull) return { ...BASE, ...times, type: "full", label };
  const references = [...new Set([fullLabelOf(label), prior.label])];
  return { ...BASE, ...times, type: "incr", label, prior: prior.label, references };
}

/** Days on which a run of `expire` kept something else than the model. */
function wrongDays(given: Given): object[] {
  const model = new Model();
  const wrong: object[] = [];
  const retention: Retention = { ...given.window, archiveType: "full", keep: { ...given.keep, zone: "UTC" } };
  let count = 0;
  for (let day = 0; day < 400; day += given.everyDays) {
    if (isIn(day, given.off)) continue;
    const aheadDays = isIn(day, given.wrongClock) ? given.wrongClock.aheadDays : 0;
    const nowS = BEGIN_S + (day + aheadDays) * DAY_S + 3 * 3600;
    const made = nextBackup(model, count++ % given.fullEvery === 0 ? "full" : "incr", nowS);
    if (made !== null) {
      const hold = given.holds.find(({ onDay }) => onDay >= day && onDay < day + given.everyDays);
      const untilS = hold === undefined || hold.untilDay === null ? null : BEGIN_S + hold.untilDay * DAY_S;
      const entry = hold === undefined ? made : { ...made, annotations: holdNotes({ reason: "audit", untilS }) };
      if (hold !== undefined) model.hold(entry.label, untilS);
      model.made.push(entry);
      model.left = [...model.left, entry].sort((left, right) => (left.label < right.label ? -1 : 1));
    }
    if (count % given.expireEvery !== 0) continue;
    const doneS = nowS + 3600;
    const signsS = model.made.map(({ stoppedAtS }) => stoppedAtS);
    const { kept } = planExpire("repo1", { backups: model.left }, retention, REQUEST, {
      nowS: doneS,
      pauses: pausesIn(signsS, doneS),
    });
    const expected = model.kept(given, doneS);
    const labels = kept.map(({ label }) => label).sort();
    if (labels.join() !== expected.join()) wrong.push({ day, labels, expected });
    model.left = [...kept];
  }
  return wrong;
}

// claim: docs/retention.md: a wrong clock, a host that was off, and days without a backup remove nothing; a hold ends
//   on its day although retention removed the backups since
it("keeps in 1,000 random histories of 400 days what the documents say", () => {
  const seen = { future: 0 };
  fc.assertWhole(
    fc.property(GIVEN, (given) => {
      if (given.wrongClock.aheadDays > 0 && given.wrongClock.days > 0) seen.future++;
      expect(wrongDays(given)).toEqual([]);
    }),
    { numRuns: 1000 },
  );
  expect(seen.future).toBeGreaterThan(100);
}, 300_000);

it("reads the day of a backup from its label, whatever its kind", () => {
  const dayS = Date.UTC(2026, 1, 28) / 1000;
  for (const label of ["20260228-235959F", "20260101-000000F_20260228-000000D", "20260101-000000F_20260228-120000I"])
    expect(labelDayS(label)).toBe(dayS);
});
