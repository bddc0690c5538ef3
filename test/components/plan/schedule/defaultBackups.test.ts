/** Schedules and retention of programs that leave them out, and programs that keep what they have. */
import { expect, test } from "vitest";
import { checkClusterPlan } from "../../../../components/plan/cluster/planCluster";
import { nightTime } from "../../../../components/plan/schedule/defaultBackups";
import type { HostSettings } from "../../../../components/plan/model/databaseSettings";
import { checkHost } from "../../../../components/plan/rules";
import { resolved } from "../../clusters";
import { BUCKET, NAS, plan, R2 } from "../../plans";

const BARE = { repo1: { at: NAS.at }, repo2: { at: BUCKET.at } };
const crons = (schedules: readonly { readonly name: string; readonly cron: string }[]): object =>
  Object.fromEntries(schedules.map(({ name, cron }) => [name, cron]));
const days = (repositories: readonly { readonly keepDays: number | undefined }[]): (number | undefined)[] =>
  repositories.map(({ keepDays }) => keepDays);

test("a host with two repositories and nothing else is backed up daily and keeps a month", () => {
  const host = plan({ repositories: BARE, schedules: undefined, drills: undefined });
  const { hour, minute } = nightTime(host.name);
  expect(crons(host.schedules)).toEqual({ full: `${minute} ${hour} * * 0`, incr: `${minute} ${hour} * * 1-6` });
  expect(days(host.repositories)).toEqual([30, 30]);
  const [note] = checkHost(host).filter(({ code }) => code === "PB143");
  expect(note).toMatchObject({
    severity: "note",
    message: `chosen: a full backup on Sundays and an incremental one on other days at ${hour}:${String(minute).padStart(2, "0")} UTC; kept: repo1 30 days, repo2 30 days`,
  });
});

test("retention follows object lock and objective, and a given one stays", () => {
  const locked = { at: { ...BUCKET.at, s3: { ...BUCKET.at.s3, facts: { immutableDays: 14 } } } } as typeof BUCKET;
  const repositories = { repo1: { at: NAS.at }, repo2: locked, repo3: { at: R2.at, keepFullCount: 2 } };
  const host = plan({ repositories, schedules: undefined, objectives: { pitrDays: 60 } });
  expect(days(host.repositories)).toEqual([60, 14, undefined]);
});

test("an engine without incremental backups takes a full one each day", () => {
  const { database } = resolved({ engine: "barman-cloud", repositories: { repo1: BUCKET }, schedules: undefined });
  const { hour, minute } = nightTime("orders");
  expect(crons(database.schedules)).toEqual({ full: `${minute} ${hour} * * *` });
});

test.each<[string, (index: number) => string]>([
  ["numbers at the end", (index) => `prod-customer-${String(index).padStart(3, "0")}`],
  ["numbers in the middle", (index) => `customer-${index}-pg`],
  ["hundreds of letters", (index) => `${"x".repeat(300)}${index}`],
])("names with %s are spread over the night, in whole minutes", (_what, nameOf) => {
  const times = Array.from({ length: 240 }, (_, index) => nightTime(nameOf(index)));
  for (const { hour, minute } of times) {
    expect([1, 2, 3, 4]).toContain(hour);
    expect(Number.isInteger(minute) && minute >= 0 && minute < 60).toBe(true);
  }
  // Five in each five minutes, if they were spread evenly.
  const fives = times.map(({ hour, minute }) => hour * 12 + Math.floor(minute / 5));
  for (const five of fives) expect(fives.filter((other) => other === five).length).toBeLessThan(16);
  expect(new Set(fives).size).toBeGreaterThan(40);
});

test.each<[string, Partial<HostSettings>, readonly string[]]>([
  ["its own schedules", {}, ["full"]],
  ["no schedules on purpose", { schedules: {} }, []],
  ["a reason why it has none", { schedules: undefined, silence: { PB012: "cron of the host" } }, []],
  ["nothing to back up", { schedules: undefined, restoreOnly: true }, []],
])("a program with %s keeps every backup as before", (_what, over, names) => {
  const host = plan({ repositories: BARE, ...over });
  expect(host.chosen).toBeUndefined();
  expect(host.schedules.map(({ name }) => name)).toEqual(names);
  expect(days(host.repositories)).toEqual([undefined, undefined]);
});

test("a cluster states its choice too, and a copy without repositories has none", () => {
  const bare = resolved({ repositories: { repo1: { at: BUCKET.at } }, schedules: undefined });
  expect(checkClusterPlan(bare, false).map(({ code }) => code)).toContain("PB143");
  expect(bare.definition.firstBackupTimeoutMinutes).toBe(60);
  const copy = resolved({ repositories: {}, schedules: undefined, drills: undefined });
  expect(copy.database.schedules).toEqual([]);
});
