/** One drill declaration for two hosts: the data that the database passes on, and what the drilling host refuses. */
import { expect, test } from "vitest";
import { FireDrill, type FireDrillArgs } from "../../../components/drills/fireDrill";
import type { DrillArgs, DrilledDatabase } from "../../../components/drills/drillArgs";
import { drilledDatabase } from "../../../components/drills/drilled";
import { hostFilesOf } from "../../../components/render/host/hostParts";
import { checkHost } from "../../../components/plan/rules";
import type { HostPlan } from "../../../components/plan/model/plan";
import { unitsOf } from "../../../components/render/host/hostParts";
import { BUCKET, plan } from "../plans";

const AWAY: DrillArgs = { cron: "0 5 1 * *", elsewhere: true };
const NOTHING = { schedules: {}, archiveTimeoutSeconds: undefined, acknowledge: undefined };

const drilled = (
  drills: { readonly [name: string]: DrillArgs } = { away: AWAY, here: { cron: "0 6 1 * *" } },
): DrilledDatabase => drilledDatabase("ledger", { drills, objectives: { rtoMinutes: 30 } }, (make) => make(plan()));
const reasonOf = (args: Partial<FireDrillArgs>): string => {
  try {
    new FireDrill("drills", { connection: { local: {} }, repositories: {}, ...args });
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was refused";
};
/** The plan as FireDrill resolves it. */
const farPlan = (): HostPlan =>
  plan({
    ...NOTHING,
    restoreOnly: true,
    drillsOnly: true,
    dataDirectory: "/var/lib/pgbackstop-drill/none",
    repositories: { repo2: { ...BUCKET, at: { ...BUCKET.at, readOnly: true } } },
    drills: { away: { cron: "0 5 1 * *", path: "/var/lib/pgbackstop-drill" } },
    notify: { targets: [{ type: "webhook" }] },
  });

test("the database passes on its drills elsewhere, and its schedules' limit for the age of backups", () => {
  expect(drilled()).toEqual({
    database: "ledger",
    stanza: "main",
    drills: { away: AWAY },
    // A week, an hour for jitter and the run, and an hour for the clock change in the schedule's time zone.
    drillChecks: { backupAgeHours: 7 * 24 + 2 },
    objectives: { rtoMinutes: 30 },
  });
  const printed = drilledDatabase(
    "ledger",
    { drills: {}, drillChecks: { backupAgeHours: 5, assertions: [] } },
    (make) => make(plan()),
  );
  expect(printed.drillChecks).toEqual({ backupAgeHours: 5, assertions: [] });
});

// claim: docs/drills-elsewhere.md: one declaration for both hosts, and a warning if no host runs the drill
test("a duplicate or missing declaration is refused by its name", () => {
  expect(reasonOf({})).toMatch(/FireDrill drills: it drills nothing: give a database's drilled in of/);
  expect(reasonOf({ drills: {} })).toMatch(/it drills nothing/);
  expect(reasonOf({ of: drilled({}) })).toMatch(/ledger declares no drill as made elsewhere: drills: \{ monthly:/);
  for (const [name, value] of Object.entries({
    drills: { away: AWAY },
    objectives: {},
    drillChecks: {},
    stanza: "main",
  }))
    expect(reasonOf({ of: drilled(), [name]: value })).toMatch(new RegExp(`${name} comes from ledger, which of names`));
});

test("the drilling host gets the keys from systemd, and has no agent", () => {
  const far = farPlan();
  expect(checkHost(far).filter(({ severity }) => severity === "error")).toEqual([]);
  const units = unitsOf(far);
  expect(
    units.map(({ name }) => name).filter((name) => !/-(failed|started|succeeded|drilled)@\.service$/.test(name)),
  ).toEqual([
    "pgbackstop-main-metrics.service",
    "pgbackstop-main-metrics.timer",
    "pgbackstop-main-drill-away.service",
    "pgbackstop-main-drill-away.timer",
  ]);
  const text = units.find(({ name }) => name === "pgbackstop-main-drill-away.service")?.text;
  expect(text).toContain("LoadCredential=repo2.conf:/etc/pgbackstop/credentials/repo2.conf");
  const files = hostFilesOf(far);
  const conf = files.find(({ path }) => path.endsWith("pgbackrest.conf"))?.text;
  // No agent listens there.
  expect(conf).not.toContain("restore_command");
  expect(files.find(({ path }) => path === "/usr/local/bin/pgbackstop")?.text).toContain("LoadCredential=repo2.conf");
});
