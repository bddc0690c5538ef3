import { expect, test } from "vitest";
import { FINDINGS, type Finding } from "../../../components/plan/findings";
import type { HostSettings, RepositorySettings } from "../../../components/plan/settings";
import { checkHost } from "../../../components/plan/rules";
import { unknownMarker } from "../../../components/plan/unknown";
import { BUCKET, NAS, plan } from "../plans";

const UNKNOWN_TEXT = unknownMarker(0);

function findings(over: Partial<HostSettings>): string[] {
  return checkHost(plan(over)).map((found: Finding) => `${found.code} ${found.path}`);
}

function repository(over: Partial<RepositorySettings>, at: Partial<RepositorySettings["at"]> = {}): Partial<HostSettings> {
  return { repositories: { repo1: { ...NAS, ...over, at: { ...NAS.at, ...at } }, repo2: BUCKET } };
}

function bucket(s3: object, at: Partial<RepositorySettings["at"]> = {}): Partial<HostSettings> {
  return { repositories: { repo1: NAS, repo2: { ...BUCKET, at: { ...BUCKET.at, ...at, s3: { ...BUCKET.at.s3, ...s3 } as never } } } };
}

test("a plan in order has no finding", () => {
  expect(findings({})).toEqual([]);
});

test.each<[string, Partial<HostSettings>, string[]]>([
  ["a key that is none", { repositories: { repo1: NAS, backup: BUCKET } }, ["PB001 repositories.backup"]],
  ["a key with a zero", { repositories: { repo1: NAS, repo02: BUCKET } }, ["PB001 repositories.repo02"]],
  ["a key above 256", { repositories: { repo1: NAS, repo257: BUCKET } }, ["PB001 repositories.repo257"]],
  ["no repository", { repositories: {} }, ["PB002 repositories"]],
  ["one repository", { repositories: { repo1: NAS } }, ["PB003 repositories"]],
  ["two kinds of retention", repository({ keepFullCount: 3 }), ["PB004 repositories.repo1"]],
  ["a retention of 0", repository({ keepDays: 0 }), ["PB005 repositories.repo1.keepDays"]],
  ["a retention of half a day", repository({ keepDays: 0.5 }), ["PB005 repositories.repo1.keepDays"]],
  ["no retention", repository({ keepDays: undefined }), ["PB006 repositories.repo1"]],
  ["a bucket without encryption", bucket({}, { encrypted: false }), ["PB007 repositories.repo2.at"]],
  ["two repositories on one path", { repositories: { repo1: NAS, repo2: NAS } }, ["PB008 repositories.repo2.at", "PB009 repositories"]],
  [
    "one repository in the other",
    { repositories: { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, path: "/mnt/nas/pgbackrest/second" } } } },
    ["PB008 repositories.repo2.at", "PB009 repositories"],
  ],
  [
    "names that only begin alike are two places",
    { repositories: { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, path: "/mnt/nas/pgbackrest2" } } } },
    ["PB009 repositories"],
  ],
  [
    "one provider for all",
    { repositories: { repo1: BUCKET, repo2: bucket({ bucket: "other" }).repositories?.repo2 as RepositorySettings } },
    ["PB009 repositories"],
  ],
  ["an engine that is not there", { engine: "pgbackrest" }, ["PB010 engine"]],
  ["a cron with four fields", { schedules: { full: { cron: "0 3 * *" } } }, ["PB011 schedules.full.cron"]],
  ["an unknown zone", { schedules: { full: { cron: "0 3 * * *", timeZone: "+02:00" } } }, ["PB011 schedules.full.timeZone"]],
  ["no schedule", { schedules: undefined }, ["PB012 schedules"]],
  ["a stanza with a blank", { stanza: "my db" }, ["PB013 stanza"]],
  ["a relative path", { dataDirectory: "data" }, ["PB014 dataDirectory"]],
  ["a path that ends in a slash", { directories: { log: "/var/log/" } }, ["PB014 directories.log"]],
  ["a path with ..", { socketDirectory: "/run/../tmp" }, ["PB014 socketDirectory"]],
  ["a path with a percent sign", repository({}, { path: "/mnt/100%" }), ["PB014 repositories.repo1.at.path"]],
  ["a path of two lines", { nodePath: "/usr/bin/node\n" }, ["PB014 nodePath"]],
  ["a port of 0", { port: 0 }, ["PB014 port"]],
  ["compression that cannot be written", repository({ compress: { type: "bz2" } }), ["PB015 repositories.repo1.compress.type"]],
  ["a level out of range", repository({ compress: { type: "gz", level: 10 } }), ["PB015 repositories.repo1.compress.level"]],
  ["no connection", { connection: {} }, ["PB016 connection"]],
  ["an acknowledgement that is none", { acknowledge: { mode: "some" } }, ["PB017 acknowledge.mode"]],
  ["named without names", { acknowledge: { mode: "named" } }, ["PB017 acknowledge.repositories"]],
  ["names without named", { acknowledge: { mode: "all", repositories: ["repo1"] } }, ["PB017 acknowledge.repositories"]],
  ["a name of no repository", { acknowledge: { mode: "named", repositories: ["repo3"] } }, ["PB017 acknowledge.repositories"]],
  ["a restart without a command", { allowRestart: true }, ["PB018 restartCommand"]],
  ["a repository in the data directory", repository({}, { path: "/var/lib/postgresql/18/main/backup" }), ["PB019 repositories.repo1.at.path"]],
  ["an endpoint with a scheme", bucket({ endpoint: "https://s3.example.net" }), ["PB020 repositories.repo2.at.s3.endpoint"]],
  ["a bucket in capitals", bucket({ bucket: "Ledger" }), ["PB020 repositories.repo2.at.s3.bucket"]],
  ["a whole bucket as prefix", bucket({}, { path: "/" }), ["PB020 repositories.repo2.at.path"]],
  ["any repository acknowledges", { acknowledge: { mode: "any" } }, ["PB021 acknowledge.mode"]],
  ["root as the account of PostgreSQL", { user: "root" }, ["PB022 user"]],
  ["a deadline of nothing", { schedules: { full: { cron: "0 3 * * *", deadlineSeconds: 0 } } }, ["PB023 schedules.full.deadlineSeconds"]],
])("%s", (_what, over, expected) => {
  expect(findings(over)).toEqual(expected);
});

test("all mistakes are found at once", () => {
  expect(findings({ stanza: "a b", user: "root", schedules: { full: { cron: "x" } } })).toEqual([
    "PB013 stanza",
    "PB022 user",
    "PB011 schedules.full.cron",
  ]);
});

test("what is not known yet is left alone", () => {
  const unknown = { ...NAS, keepDays: UNKNOWN_TEXT as never, at: { ...NAS.at, path: UNKNOWN_TEXT } };
  expect(findings({ repositories: { repo1: unknown, repo2: BUCKET }, dataDirectory: UNKNOWN_TEXT, port: UNKNOWN_TEXT as never })).toEqual([]);
  expect(findings(bucket({ bucket: UNKNOWN_TEXT, endpoint: UNKNOWN_TEXT, port: UNKNOWN_TEXT }))).toEqual([]);
});

test("every code has one severity, and messages are no sentences", () => {
  const found = [{ stanza: "a b", user: "root", repositories: { x: NAS } }, { repositories: {} }].flatMap((over) => checkHost(plan(over)));
  expect(found.length).toBeGreaterThan(4);
  for (const one of found) {
    expect(one.severity).toBe(FINDINGS[one.code as keyof typeof FINDINGS]);
    expect(one.message).toMatch(/^[^A-Z].*[^.]$/);
  }
});

const ONE_PROVIDER = { repositories: { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, path: "/mnt/second" } } } };

test("a warning can be silenced with a reason; the reason is part of the topology", () => {
  expect(findings({ ...ONE_PROVIDER, silence: { PB009: "the second disk comes next month" } })).toEqual([]);
});

test.each<[string, Partial<HostSettings>, string[]]>([
  ["without a reason", { ...ONE_PROVIDER, silence: { PB009: " " } }, ["PB009 repositories", "PB024 silence.PB009"]],
  ["an error", { stanza: "a b", silence: { PB013: "please" } }, ["PB013 stanza", "PB024 silence.PB013"]],
  ["a code that is none", { silence: { PB999: "why not" } }, ["PB024 silence.PB999"]],
  ["what is not found", { silence: { PB009: "once there was one" } }, ["PB025 silence.PB009"]],
])("silencing %s is a finding", (_what, over, expected) => {
  expect(findings(over)).toEqual(expected);
});
