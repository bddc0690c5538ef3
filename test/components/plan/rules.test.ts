import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import type { Finding } from "../../../components/plan/findings/findings";
import { RULES } from "../../../components/plan/findings/ruleTable";
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import type {
  HostSettings,
  RepositorySettings,
  SchedulesSettings,
} from "../../../components/plan/model/databaseSettings";
import { checkCluster, checkHost } from "../../../components/plan/rules";
import { checkUndrilled } from "../../../components/plan/rules/drills";
import { unknownMarker } from "../../../components/plan/model/unknown";
import { BUCKET, clusterPlan, NAS, plan, R2 } from "../plans";

const UNKNOWN_TEXT = unknownMarker(0);
const ELSEWHERE = { far: { cron: "0 5 1 * *", elsewhere: true } };

function findings(over: Partial<HostSettings>): string[] {
  return checkHost(plan(over)).map((result: Finding) => `${result.code} ${result.path}`);
}

function repository(
  over: Partial<RepositorySettings>,
  at: Partial<RepositorySettings["at"]> = {},
): Partial<HostSettings> {
  return { repositories: { repo1: { ...NAS, ...over, at: { ...NAS.at, ...at } }, repo2: BUCKET } };
}

function bucket(s3: object, at: Partial<RepositorySettings["at"]> = {}): Partial<HostSettings> {
  return {
    repositories: {
      repo1: NAS,
      repo2: { ...BUCKET, at: { ...BUCKET.at, ...at, s3: { ...BUCKET.at.s3, ...s3 } as never } },
    },
  };
}

/** A host with repo2 at Azure or Google, and drills that attack it and restore. */
function attacked(store: Partial<RepositorySettings["at"]>): Partial<HostSettings> {
  return {
    repositories: {
      repo1: NAS,
      repo2: { at: { name: "cloud", path: "/orders", encrypted: true, ...store }, keepDays: 30 },
    },
    drills: { monthly: { cron: "0 5 1 * *" }, attack: { cron: "0 5 * * 6", pick: "attack", from: "repo2" } },
  };
}

function atAzure(facts: object): Partial<HostSettings> {
  return attacked({ azure: { account: "acmepg", container: "orders", keyType: "sas", hasKey: true, facts } });
}

function atGoogle(facts: object): Partial<HostSettings> {
  return attacked({ gcs: { bucket: "acme-pg", hasKey: true, facts } });
}

function clusterFindings(over: Partial<DeclaredCluster>): string[] {
  return checkCluster(clusterPlan(over)).map((result: Finding) => `${result.code} ${result.path}`);
}

function schedules(over: SchedulesSettings): Partial<HostSettings> {
  return { schedules: over };
}

function withFacts(facts: object, more: Partial<RepositorySettings> = {}): Partial<HostSettings> {
  const over = bucket({ facts });
  return {
    repositories: { ...over.repositories, repo2: { ...over.repositories?.["repo2"], ...more } as RepositorySettings },
  };
}

const DAYS = { keepFullCount: undefined, keepDays: 30 };
const FULLS = { keepFullCount: 4 };

function lockedFor(days: number, retention: Partial<RepositorySettings>): Partial<HostSettings> {
  return withFacts({ versioning: true, immutableDays: days, undeleteDays: days + 1 }, retention);
}

test("commits that wait name repositories, outage and cost", () => {
  const text = (streaming: HostSettings["streaming"]): string =>
    checkHost(plan({ streaming: streaming ?? {} })).find(({ code }) => code === "PB151")?.message ?? "";
  expect(text({ synchronous: "any" })).toContain("each commit waits until one of repo1, repo2 holds it");
  expect(text({ synchronous: "all" })).toContain("until repo1 and repo2 hold it");
  expect(text({ synchronous: "all" })).toContain("or the agent is down, every commit waits");
  expect(text({ synchronous: "any", degradeAfterSeconds: 30 })).toContain("after 30 s without an answer");
  const named = { synchronous: "named", repositories: ["repo2"] } as const;
  expect(text({ ...named, repositories: ["repo2"] })).toMatch(
    /until repo2 holds it.*repo2: at most 67 writes a second/s,
  );
  expect(text({ ...named, repositories: ["repo2"], groupMilliseconds: 100 })).toContain(
    "repo2: at most 10 writes a second",
  );
});

test("stock pgBackRest keeps nothing by calendar", () => {
  const over = { ...repository({ keep: { monthly: 12 } }), engine: "pgbackrest" };
  expect(findings(over)).toContain("PB044 repositories.repo1.keep");
});

test("stock pgBackRest has no limit of bandwidth", () => {
  const over = { ...repository({ limitRate: "20MiB" }), engine: "pgbackrest" };
  expect(findings(over)).toContain("PB044 repositories.repo1.limitRate");
});

test("correct plans have no finding", () => {
  expect(findings({})).toEqual([]);
  expect(clusterFindings({})).toEqual([]);
});

test.each<[string, Partial<HostSettings>, string[]]>([
  ["an invalid key", { repositories: { repo1: NAS, backup: BUCKET } }, ["PB001 repositories.backup"]],
  ["a key with a zero", { repositories: { repo1: NAS, repo02: BUCKET } }, ["PB001 repositories.repo02"]],
  ["a key above 256", { repositories: { repo1: NAS, repo257: BUCKET } }, ["PB001 repositories.repo257"]],
  ["no repository", { repositories: {} }, ["PB002 repositories"]],
  ["one repository", { repositories: { repo1: NAS } }, ["PB003 repositories"]],
  ["two kinds of retention", repository({ keepFullCount: 3 }), ["PB004 repositories.repo1"]],
  ["a retention of 0", repository({ keepDays: 0 }), ["PB005 repositories.repo1.keepDays"]],
  ["a retention of half a day", repository({ keepDays: 0.5 }), ["PB005 repositories.repo1.keepDays"]],
  ["no retention", repository({ keepDays: undefined }), ["PB006 repositories.repo1"]],
  ["a bucket without encryption", bucket({}, { encrypted: false }), ["PB007 repositories.repo2.at"]],
  [
    "two repositories on one path",
    { repositories: { repo1: NAS, repo2: NAS } },
    ["PB008 repositories.repo2.at", "PB009 repositories"],
  ],
  [
    "one repository in the other",
    { repositories: { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, path: "/mnt/nas/pgbackrest/second" } } } },
    ["PB008 repositories.repo2.at", "PB009 repositories"],
  ],
  [
    "names that only begin alike are two locations",
    { repositories: { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, path: "/mnt/nas/pgbackrest2" } } } },
    ["PB009 repositories"],
  ],
  [
    "one provider for all",
    { repositories: { repo1: BUCKET, repo2: bucket({ bucket: "other" }).repositories?.repo2 as RepositorySettings } },
    ["PB009 repositories"],
  ],
  ["a missing engine", { engine: "barman-cloud" }, ["PB010 engine"]],
  ["stock pgBackRest with two repositories", { engine: "pgbackrest" }, ["PB121 engine"]],
  [
    "stock pgBackRest with a compression for each",
    { engine: "pgbackrest", repositories: { repo1: { ...NAS, compress: { type: "lz4" } }, repo2: BUCKET } },
    ["PB044 repositories.repo2.compress", "PB121 engine"],
  ],
  [
    "stock pgBackRest that cannot acknowledge by one repository",
    { engine: "pgbackrest", acknowledge: { mode: "any" } },
    ["PB044 acknowledge.mode", "PB121 engine", "PB021 acknowledge.mode"],
  ],
  [
    "stock pgBackRest of Debian 12",
    {
      engine: "pgbackrest",
      engineVersion: "2.45",
      repositories: { repo1: NAS, repo2: { ...BUCKET, blockIncremental: true } },
    },
    ["PB048 repositories.repo2", "PB049 repositories.repo2", "PB049 repositories.repo2", "PB121 engine"],
  ],
  ["no differential backup kept", repository({ keepDiffCount: 0 }), ["PB005 repositories.repo1.keepDiffCount"]],
  ["a calendar without a class", repository({ keep: {} }), ["PB212 repositories.repo1.keep"]],
  [
    "a calendar without a window",
    repository({ keepDays: undefined, keep: { monthly: 12 } }),
    ["PB212 repositories.repo1.keep"],
  ],
  [
    "a level of a disk class without levels",
    { backupPriority: { cpuNice: 5, ioLevel: 3 } },
    ["PB014 backupPriority.ioLevel"],
  ],
  ["a level of a disk class", { backupPriority: { ioClass: "best-effort", ioLevel: 7 } }, []],
  ["a limit without a number", repository({ limitRate: "fast" }), ["PB214 repositories.repo1.limitRate"]],
  ["a limit with a wrong unit", repository({ limitRate: "20MiB/s" }), ["PB214 repositories.repo1.limitRate"]],
  ["a tiny limit", repository({ limitRate: "10KiB" }), ["PB214 repositories.repo1.limitRate"]],
  ["a limit", repository({ limitRate: "20MiB" }), []],
  ["a limit of no hours", repository({ limitRate: { zone: "UTC" } }), ["PB214 repositories.repo1.limitRate"]],
  [
    "limits of hours that overlap",
    repository({ limitRate: { "08:00-20:00": "20MiB", "19:00-08:00": "1MiB" } }),
    ["PB214 repositories.repo1.limitRate.19:00-08:00"],
  ],
  [
    "a limit of an unknown zone",
    repository({ limitRate: { "08:00-20:00": "20MiB", zone: "Berlin" } }),
    ["PB214 repositories.repo1.limitRate.zone"],
  ],
  [
    "a limit at which a full backup does not end before it is stopped",
    { ...repository({ limitRate: "1MiB" }), sizing: { databaseGiB: 300, walGiBPerDay: 1 } },
    ["PB215 repositories.repo1.limitRate"],
  ],
  [
    "a limit below what backups have",
    { ...repository({ limitRate: "64KiB" }), sizing: { databaseGiB: 100, walGiBPerDay: 0, compressedTo: 1 } },
    ["PB215 repositories.repo1.limitRate", "PB215 repositories.repo1.limitRate"],
  ],
  [
    "a limit below the rate of the WAL, which is not under it",
    { ...repository({ limitRate: "1MiB" }), sizing: { databaseGiB: 100, walGiBPerDay: 5000 } },
    [],
  ],
  [
    "hours without a limit",
    { ...repository({ limitRate: { "00:01-24:00": "64KiB" } }), sizing: { databaseGiB: 3000, walGiBPerDay: 1 } },
    [],
  ],
  ["a limit at night", repository({ limitRate: { "22:00-06:00": "20MiB", zone: "Europe/Berlin" } }), []],
  ["a class of 0", repository({ keep: { monthly: 0 } }), ["PB005 repositories.repo1.keep.monthly"]],
  [
    "an offset as a calendar's zone",
    repository({ keep: { monthly: 1, zone: "+02:00" } }),
    ["PB011 repositories.repo1.keep.zone", "PB217 repositories.repo1.keep"],
  ],
  [
    "weekly backups for a class of days",
    { ...repository({ keep: { daily: 7, weekly: 5 } }), schedules: { full: { cron: "0 3 * * 0" } } },
    ["PB213 repositories.repo1.keep.daily", "PB217 repositories.repo1.keep"],
  ],
  [
    "incremental backups for a class of days",
    {
      ...repository({ keep: { daily: 7, weekly: 5, monthly: 12, yearly: 7 } }),
      schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
    },
    ["PB217 repositories.repo1.keep"],
  ],
  [
    "a calendar within the window",
    { ...repository({ keep: { daily: 7 } }), schedules: { full: { cron: "0 3 * * *" } } },
    [],
  ],
  [
    "a calendar that outlasts a lock",
    lockedFor(37, { ...DAYS, keep: { monthly: 12 } }),
    ["PB034 repositories.repo2.keep", "PB217 repositories.repo2.keep"],
  ],
  ["a cron with four fields", { schedules: { full: { cron: "0 3 * *" } } }, ["PB011 schedules.full.cron"]],
  [
    "an unknown zone",
    { schedules: { full: { cron: "0 3 * * *", timeZone: "+02:00" } } },
    ["PB011 schedules.full.timeZone"],
  ],
  ["no schedule", { schedules: {} }, ["PB012 schedules"]],
  ["schedules left out", { schedules: undefined }, ["PB143 schedules"]],
  ["a stanza with a blank", { stanza: "my db" }, ["PB013 stanza"]],
  ["a relative path", { dataDirectory: "data" }, ["PB014 dataDirectory"]],
  ["WAL through a slot", { archive: "stream" }, []],
  ["WAL of a standby", { archive: "standby" }, []],
  ["a standby's unfinished segment", { archive: "standby", streaming: {} }, ["PB150 streaming"]],
  ["WAL through a slot without an agent", { archive: "stream", agent: false }, ["PB155 archive"]],
  ["WAL by an unknown way", { archive: "mail" }, ["PB155 archive"]],
  ["a slot that keeps nothing", { archive: "stream", slotKeepGiB: 0 }, ["PB014 slotKeepGiB"]],
  ["no data directory", { dataDirectory: undefined }, ["PB118 dataDirectory"]],
  ["a container", { drills: ELSEWHERE, container: { name: "shop-db" }, dataDirectory: undefined }, []],
  [
    "a container to recover into",
    {
      container: { name: "shop-db" },
      restoreOnly: true,
      schedules: {},
      drills: {},
      archiveTimeoutSeconds: undefined,
      repositories: { repo1: NAS },
    },
    [],
  ],
  ["a service", { drills: ELSEWHERE, container: { compose: "/srv/shop/compose.yaml", service: "database" } }, []],
  [
    "a container with an option as its name",
    { drills: ELSEWHERE, container: { name: "-v" } },
    ["PB156 container.name"],
  ],
  ["a container without a name", { drills: ELSEWHERE, container: {} }, ["PB156 container"]],
  [
    "a container with two names",
    { drills: ELSEWHERE, container: { name: "shop-db", service: "database" } },
    ["PB156 container"],
  ],
  [
    "a relative Compose file",
    { drills: ELSEWHERE, container: { compose: "shop.yaml", service: "db" } },
    ["PB014 container.compose"],
  ],
  [
    "an unknown engine",
    { drills: ELSEWHERE, container: { name: "shop-db", engine: "lxc" } },
    ["PB156 container.engine"],
  ],
  [
    "a container with arguments of a host",
    {
      drills: ELSEWHERE,
      container: { name: "shop-db" },
      user: "postgres",
      archive: "command",
      allowRestart: true,
      postgres: { version: 17 },
    },
    ["PB156 user", "PB156 archive", "PB156 postgres", "PB156 allowRestart"],
  ],
  [
    "a container with stock",
    { drills: ELSEWHERE, container: { name: "shop-db" }, engine: "pgbackrest" },
    ["PB155 archive", "PB156 engine", "PB121 engine"],
  ],
  [
    "a drill on the host of a container",
    { container: { name: "shop-db" }, drills: { weekly: { cron: "0 5 * * 0" } } },
    [],
  ],
  [
    "a drill on the host of a container of Podman",
    { container: { name: "shop-db", engine: "podman" }, drills: { weekly: { cron: "0 5 * * 0" } } },
    [],
  ],
  ["streamed WAL", { streaming: {} }, []],
  ["streamed WAL at all times", { streaming: { intervalSeconds: 0 } }, ["PB014 streaming.intervalSeconds"]],
  ["streamed WAL without an agent", { agent: false, streaming: { intervalSeconds: 5 } }, ["PB150 streaming"]],
  ["commits that wait", { streaming: { synchronous: "any" } }, ["PB151 streaming.synchronous"]],
  ["commits that wait for nobody known", { streaming: { synchronous: "both" } }, ["PB017 streaming.synchronous"]],
  ["commits that wait for no name", { streaming: { synchronous: "named" } }, ["PB017 streaming.synchronous"]],
  [
    "commits that wait for an unknown repository",
    { streaming: { synchronous: "named", repositories: ["repo9"] } },
    ["PB017 streaming.repositories"],
  ],
  ["a limit of a wait that nobody waits", { streaming: { degradeAfterSeconds: 30 } }, ["PB017 streaming.synchronous"]],
  [
    "limits of commits that wait",
    { streaming: { synchronous: "all", degradeAfterSeconds: 0, groupMilliseconds: 1.5 } },
    ["PB014 streaming.degradeAfterSeconds", "PB014 streaming.groupMilliseconds"],
  ],
  [
    "an objective of no loss",
    { objectives: { rpoSeconds: 1 }, streaming: { synchronous: "all" } },
    ["PB151 streaming.synchronous"],
  ],
  ["an objective that requires streaming", { objectives: { rpoSeconds: 30 }, streaming: {} }, []],
  [
    "an objective that a slow stream misses",
    { objectives: { rpoSeconds: 30 }, streaming: { intervalSeconds: 60 } },
    ["PB039 objectives.rpoSeconds"],
  ],
  ["a stale check that tells nobody", { maintenance: { stale: {} } }, ["PB180 maintenance.stale"]],
  [
    "a stale check that no target subscribes to",
    staleTo({ type: "ntfy", events: ["failure"] }, { type: "webhook", units: ["pgbackstop-ledger-full.service"] }),
    ["PB180 maintenance.stale"],
  ],
  ["a stale check with its own target", staleTo({ type: "webhook", units: ["pgbackstop-ledger-stale.service"] }), []],
  [
    "a stale check that notifies",
    { maintenance: { stale: {} }, notify: { existingFile: "/run/secrets/notify.json" } },
    [],
  ],
  [
    "a point in time that no drill restores",
    { objectives: { pitrRtoMinutes: 60 }, drills: { monthly: { cron: "0 5 1 * *", pick: "newest" } } },
    ["PB042 objectives.pitrRtoMinutes"],
  ],
  [
    "drills stopped before their own objective",
    {
      objectives: { rtoMinutes: 30, pitrRtoMinutes: 60 },
      drills: {
        newest: { cron: "0 5 1 * *", pick: "newest", maxMinutes: 45 },
        moment: { cron: "0 5 2 * *", pick: "moment", maxMinutes: 45 },
        turns: { cron: "0 5 3 * *", maxMinutes: 45 },
      },
    },
    ["PB041 drills.moment.maxMinutes", "PB041 drills.turns.maxMinutes"],
  ],
  ["metrics by the agent", { monitoring: { listen: "[::1]:9854" } }, []],
  ["a report on loopback", { monitoring: { listen: "127.0.0.1:9854", servesReport: true } }, []],
  [
    "a report on the network",
    { monitoring: { listen: "0.0.0.0:9854", servesReport: true } },
    ["PB130 monitoring.reportPassword"],
  ],
  ["a report that nothing serves", { monitoring: { servesReport: true } }, ["PB130 monitoring.reportPassword"]],
  ["metrics at an invalid address", { monitoring: { listen: "9854" } }, ["PB130 monitoring.listen"]],
  ["metrics by OTLP", { monitoring: { otlp: {} } }, []],
  [
    "metrics by OTLP without a unit",
    { maintenance: { metrics: { enabled: false } }, monitoring: { otlp: {} } },
    ["PB130 monitoring.otlp"],
  ],
  ["metrics at an invalid port", { monitoring: { listen: "127.0.0.1:99999" } }, ["PB130 monitoring.listen"]],
  [
    "metrics by a missing agent",
    { agent: false, monitoring: { listen: "127.0.0.1:9854" } },
    ["PB130 monitoring.listen"],
  ],
  ["an agent that nothing would start", { agent: true, directories: { units: "/srv/units" } }, ["PB102 agent"]],
  [
    "maintenance at no time",
    { maintenance: { heal: { cron: "hourly" }, verify: { samplePercent: 0, timeZone: "Mars" } } },
    ["PB011 maintenance.verify.timeZone", "PB014 maintenance.verify.samplePercent", "PB011 maintenance.heal.cron"],
  ],
  ["a path that ends in a slash", { directories: { log: "/var/log/" } }, ["PB014 directories.log"]],
  ["a path with ..", { socketDirectory: "/run/../tmp" }, ["PB014 socketDirectory"]],
  ["a path with a percent sign", repository({}, { path: "/mnt/100%" }), ["PB014 repositories.repo1.at.path"]],
  ["a path of two lines", { nodePath: "/usr/bin/node\n" }, ["PB014 nodePath"]],
  ["a port of 0", { port: 0 }, ["PB014 port"]],
  [
    "compression that cannot be written",
    repository({ compress: { type: "bz2" } }),
    ["PB015 repositories.repo1.compress.type"],
  ],
  [
    "a level out of range",
    repository({ compress: { type: "gz", level: 10 } }),
    ["PB015 repositories.repo1.compress.level"],
  ],
  ["no connection", { connection: {} }, ["PB016 connection"]],
  ["an invalid acknowledgement", { acknowledge: { mode: "some" } }, ["PB017 acknowledge.mode"]],
  ["named without names", { acknowledge: { mode: "named" } }, ["PB017 acknowledge.repositories"]],
  [
    "names without named",
    { acknowledge: { mode: "all", repositories: ["repo1"] } },
    ["PB017 acknowledge.repositories"],
  ],
  [
    "an unknown repository's name",
    { acknowledge: { mode: "named", repositories: ["repo3"] } },
    ["PB017 acknowledge.repositories"],
  ],
  ["a restart without a command", { allowRestart: true }, []],
  [
    "a repository in the data directory",
    repository({}, { path: "/var/lib/postgresql/18/main/backup" }),
    ["PB019 repositories.repo1.at.path"],
  ],
  [
    "an endpoint with a scheme",
    bucket({ endpoint: "https://s3.example.net" }),
    ["PB020 repositories.repo2.at.s3.endpoint", "PB030 repositories"],
  ],
  ["a bucket in capitals", bucket({ bucket: "Ledger" }), ["PB020 repositories.repo2.at.s3.bucket"]],
  ["another style of addresses", bucket({ uriStyle: "" }), ["PB020 repositories.repo2.at.s3.uriStyle"]],
  ["a whole bucket as prefix", bucket({}, { path: "/" }), ["PB020 repositories.repo2.at.path"]],
  ["any repository acknowledges", { acknowledge: { mode: "any" } }, ["PB021 acknowledge.mode"]],
  ["root as the account of PostgreSQL", { user: "root" }, ["PB022 user"]],
  [
    "a deadline of 0",
    { schedules: { full: { cron: "0 3 * * *", deadlineSeconds: 0 } } },
    ["PB023 schedules.full.deadlineSeconds"],
  ],
])("%s", (_what, over, expected) => {
  expect(findings(over)).toEqual(expected);
});

test("all mistakes are reported at once", () => {
  expect(findings({ stanza: "a b", user: "root", schedules: { full: { cron: "x" } } })).toEqual([
    "PB013 stanza",
    "PB022 user",
    "PB011 schedules.full.cron",
  ]);
});

test("unknown values have no finding", () => {
  const unknown = { ...NAS, keepDays: UNKNOWN_TEXT as never, at: { ...NAS.at, path: UNKNOWN_TEXT } };
  expect(
    findings({
      repositories: { repo1: unknown, repo2: BUCKET },
      dataDirectory: UNKNOWN_TEXT,
      port: UNKNOWN_TEXT as never,
    }),
  ).toEqual([]);
  expect(findings(bucket({ bucket: UNKNOWN_TEXT, endpoint: UNKNOWN_TEXT, port: UNKNOWN_TEXT }))).toEqual([]);
});

test("every code has one severity, and messages are not full sentences", () => {
  const result = [{ stanza: "a b", user: "root", repositories: { x: NAS } }, { repositories: {} }].flatMap((over) =>
    checkHost(plan(over)),
  );
  expect(result.length).toBeGreaterThan(4);
  for (const one of result) {
    expect(one.severity).toBe(RULES[one.code as keyof typeof RULES].severity);
    expect(one.message).toMatch(/^[^A-Z].*[^.]$/);
  }
});

const ONE_PROVIDER = { repositories: { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, path: "/mnt/nas/second" } } } };

test("a warning can be silenced with a reason; the reason is part of the topology", () => {
  expect(findings({ ...ONE_PROVIDER, silence: { PB009: "the second disk comes next month" } })).toEqual([]);
});

test.each<[string, Partial<HostSettings>, string[]]>([
  ["without a reason", { ...ONE_PROVIDER, silence: { PB009: " " } }, ["PB009 repositories", "PB024 silence.PB009"]],
  ["an error", { stanza: "a b", silence: { PB013: "please" } }, ["PB013 stanza", "PB024 silence.PB013"]],
  ["an unknown code", { silence: { PB999: "why not" } }, ["PB024 silence.PB999"]],
  ["an unused code", { silence: { PB009: "once there was one" } }, ["PB025 silence.PB009"]],
])("silencing %s is a finding", (_what, over, expected) => {
  expect(findings(over)).toEqual(expected);
});

const FULL = { cron: "0 2 * * 0" };

test.each<[string, Partial<HostSettings>, string[]]>([
  ["six fields", schedules({ full: { cron: "0 0 3 * * *" } }), ["PB011 schedules.full.cron"]],
  [
    "a schedule for an unknown repository",
    schedules({ full: { ...FULL, repositories: ["repo9"] } }),
    ["PB026 schedules.full.repositories"],
  ],
  [
    "a schedule for two of three",
    {
      repositories: { repo1: NAS, repo2: BUCKET, repo3: R2 },
      schedules: { full: { cron: "0 2 * * 0" }, incr: { cron: "0 4 * * *", repositories: ["repo1", "repo2"] } },
    },
    [],
  ],
  [
    "a repository with its own rhythm",
    { repositories: { repo1: NAS, repo2: { ...BUCKET, schedules: { full: { cron: "0 4 1 * *" } } } } },
    [],
  ],
  [
    "a repository with its own rhythm that meets another",
    { repositories: { repo1: NAS, repo2: { ...BUCKET, schedules: { full: { cron: "30 1 * * *" } } } } },
    ["PB027 repositories.repo2.schedules.full.cron"],
  ],
  [
    "a repository with its own rhythm that a common schedule names too",
    {
      repositories: { repo1: NAS, repo2: { ...BUCKET, schedules: { full: { cron: "0 4 1 * *" } } } },
      schedules: { full: { cron: "0 2 * * 0", repositories: ["repo1", "repo2"] } },
    },
    ["PB026 schedules.full.repositories"],
  ],
  [
    "a common schedule that no repository is left for",
    {
      repositories: {
        repo1: { ...NAS, schedules: { full: { cron: "0 4 1 * *" } } },
        repo2: { ...BUCKET, schedules: { full: { cron: "0 5 1 * *" } } },
      },
      schedules: { full: { cron: "0 2 * * 0" } },
    },
    ["PB026 schedules.full.repositories"],
  ],
  [
    "a schedule for no repository",
    schedules({ full: { ...FULL, repositories: [] } }),
    ["PB026 schedules.full.repositories"],
  ],
  [
    "the crontab of a tutorial: full, diff and hourly incr all at 02:00",
    schedules({ full: FULL, diff: { cron: "0 2 * * 1-6" }, incr: { cron: "0 * * * *" } }),
    ["PB027 schedules.incr.cron", "PB027 schedules.incr.cron"],
  ],
  [
    "the timers of a homelab: full at 2, diff every six hours, incr every hour",
    schedules({ full: { cron: "0 2 * * *" }, diff: { cron: "0 */6 * * *" }, incr: { cron: "0 * * * *" } }),
    ["PB027 schedules.incr.cron", "PB027 schedules.incr.cron"],
  ],
  [
    "the same time in two zones",
    schedules({ full: { cron: "0 4 * * 0", timeZone: "Europe/Berlin" }, incr: { cron: "0 3 * * *" } }),
    ["PB027 schedules.incr.cron"],
  ],
  [
    "two zones that never meet",
    schedules({ full: { cron: "0 4 * * 0", timeZone: "Europe/Berlin" }, incr: { cron: "0 5 * * *" } }),
    [],
  ],
  [
    "a run that clocks skip",
    schedules({ full: { cron: "30 2 * * 0", timeZone: "Europe/Berlin" } }),
    ["PB018 schedules.full.cron"],
  ],
  [
    "a drill that clocks skip",
    { drills: { weekly: { cron: "0 3 * * 0", timeZone: "Europe/Athens" } } },
    ["PB018 drills.weekly.cron"],
  ],
  [
    "a repository that gets WAL only",
    schedules({ full: { ...FULL, repositories: ["repo1"] } }),
    ["PB030 repositories", "PB028 repositories.repo2"],
  ],
  [
    "increments without a full backup",
    schedules({ full: { ...FULL, repositories: ["repo2"] }, incr: { cron: "0 4 * * *" } }),
    ["PB029 repositories.repo1"],
  ],
  [
    "two machines in one building",
    {
      repositories: { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, path: "/mnt/other/pgbackrest" } } },
      drills: { d: { cron: "0 5 1 * *", from: "repo1" } },
    },
    ["PB030 repositories"],
  ],
  [
    "a NAS without a required mount",
    repository({}, { requireMount: false }),
    ["PB031 repositories.repo1.at.requireMount"],
  ],
  [
    "WAL of fewer backups than the window needs, whatever keepDays is",
    {
      repositories: { repo1: { ...NAS, keepDays: 60, options: { "retention-archive": "2" } } },
      objectives: { pitrDays: 30 },
    },
    ["PB003 repositories", "PB032 repositories.repo1.options.retention-archive"],
  ],
  [
    "WAL of enough backups for the window",
    {
      repositories: { repo1: { ...NAS, keepDays: 60, options: { "retention-archive": "6" } } },
      objectives: { pitrDays: 30 },
    },
    ["PB003 repositories"],
  ],
  ["days shorter than the window", { objectives: { pitrDays: 14 } }, ["PB032 repositories.repo1.keepDays"]],
  [
    "full backups shorter than the window",
    { ...repository({ keepDays: 30 }), objectives: { pitrDays: 25 } },
    ["PB032 repositories.repo2.keepFullCount"],
  ],
  ["a sufficient window", { ...repository({ keepDays: 30 }), objectives: { pitrDays: 21 } }, []],
  [
    "one full backup kept",
    repository({ keepDays: undefined, keepFullCount: 1 }),
    ["PB033 repositories.repo1.keepFullCount"],
  ],
  ["a lock that ends before the retention", lockedFor(14, DAYS), ["PB034 repositories.repo2.keepDays"]],
  ["a lock as long as the window, but not its base", lockedFor(30, DAYS), ["PB034 repositories.repo2.keepDays"]],
  ["a lock as long as the life of a full backup", lockedFor(37, DAYS), []],
  ["a lock that ends before four fulls", lockedFor(27, FULLS), ["PB034 repositories.repo2.keepFullCount"]],
  ["a lock that lasts less than one more full backup", lockedFor(34, FULLS), []],
  ["a lock that outlasts four fulls", lockedFor(35, FULLS), ["PB035 repositories.repo2.keepFullCount"]],
  ["a lock without schedules", { ...lockedFor(30, DAYS), schedules: {} }, ["PB012 schedules"]],
  ["a lock that outlasts the retention", lockedFor(60, DAYS), ["PB035 repositories.repo2.keepDays"]],
  ["versions that go after a day", withFacts({ versioning: true, undeleteDays: 1 }), ["PB036 repositories.repo2.at"]],
  [
    "an objective of 0",
    { objectives: { rpoSeconds: 0 } },
    ["PB037 objectives.rpoSeconds", "PB039 objectives.rpoSeconds"],
  ],
  ["no limit of WAL's age", { archiveTimeoutSeconds: undefined }, ["PB038 archiveTimeoutSeconds"]],
  ["an objective that archiving misses", { objectives: { rpoSeconds: 60 } }, ["PB039 objectives.rpoSeconds"]],
  [
    "a drill from an unknown repository",
    { drills: { weekly: { cron: "0 5 * * 6", from: "repo3" } } },
    ["PB040 drills.weekly.from"],
  ],
  [
    "drills in turn",
    { drills: { weekly: { cron: "0 5 * * 6" }, some: { cron: "0 5 1 * *", repositories: ["repo1", "repo2"] } } },
    [],
  ],
  [
    "an attack on a bucket with versions",
    { drills: { monthly: { cron: "0 5 1 * *" }, attack: { cron: "0 5 * * 6", pick: "attack", from: "repo2" } } },
    [],
  ],
  [
    "an attack that is no restore",
    { drills: { attack: { cron: "0 5 * * 6", pick: "attack", from: "repo2" } } },
    ["PB042 drills"],
  ],
  [
    "an attack where nothing undoes it",
    { drills: { monthly: { cron: "0 5 1 * *" }, attack: { cron: "0 5 * * 6", pick: "attack" } } },
    ["PB040 drills.attack.repositories"],
  ],
  [
    "an attack on a directory",
    { drills: { monthly: { cron: "0 5 1 * *" }, attack: { cron: "0 5 * * 6", pick: "attack", from: "repo1" } } },
    ["PB040 drills.attack.from"],
  ],
  ["an attack at Azure with versions", atAzure({ versioning: true, undeleteDays: 14 }), []],
  [
    "an attack at Azure without versions",
    atAzure({ versioning: false, undeleteDays: 14 }),
    ["PB040 drills.attack.from"],
  ],
  ["an attack at Google with soft delete alone", atGoogle({ versioning: false, undeleteDays: 14 }), []],
  [
    "an attack at Google with versions alone",
    atGoogle({ versioning: true, undeleteDays: 0 }),
    ["PB036 repositories.repo2.at", "PB040 drills.attack.from"],
  ],
  [
    "an attack from another host",
    {
      drills: {
        monthly: { cron: "0 5 1 * *" },
        attack: { cron: "0 5 * * 6", pick: "attack", from: "repo2", elsewhere: true },
      },
    },
    ["PB040 drills.attack.elsewhere"],
  ],
  [
    "drills from unknown repositories",
    { drills: { weekly: { cron: "0 5 * * 6", repositories: ["repo1", "repo3"] } } },
    ["PB040 drills.weekly.repositories"],
  ],
  [
    "drills from no repository",
    { drills: { weekly: { cron: "0 5 * * 6", repositories: [] } } },
    ["PB040 drills.weekly.repositories"],
  ],
  [
    "a drill from one and from several",
    { drills: { weekly: { cron: "0 5 * * 6", from: "repo1", repositories: ["repo2"] } } },
    ["PB040 drills.weekly.repositories"],
  ],
  ["a drill whose name fits no unit", { drills: { "week/ly": { cron: "0 5 * * 6" } } }, ["PB040 drills.week/ly"]],
  [
    "a drill with unknown words",
    {
      drills: {
        weekly: {
          cron: "0 5 * *",
          timeZone: "Mars",
          pick: "best",
          how: "fast",
          level: "deep",
          maxMinutes: 0,
          maxGiB: -1,
        },
      },
    },
    [
      "PB011 drills.weekly.cron",
      "PB011 drills.weekly.timeZone",
      "PB040 drills.weekly.pick",
      "PB040 drills.weekly.how",
      "PB040 drills.weekly.level",
      "PB037 drills.weekly.maxMinutes",
      "PB037 drills.weekly.maxGiB",
    ],
  ],
  [
    "drills with no check, or one check twice",
    {
      drillChecks: {
        backupAgeHours: 0,
        heartbeat: { sql: " " },
        assertions: [
          { name: "orders", database: "a\nb", sql: "SELECT true" },
          { name: "orders", sql: "SELECT true" },
        ],
      },
    },
    [
      "PB037 drillChecks.backupAgeHours",
      "PB040 drillChecks.heartbeat.sql",
      "PB040 drillChecks.assertions[0].database",
      "PB040 drillChecks.assertions",
    ],
  ],
  [
    "a drill with time for its checks",
    { objectives: { rtoMinutes: 20 }, drills: { w: { cron: "0 5 * * 6", maxMinutes: 30 } } },
    [],
  ],
  [
    "a drill that opens, and one that restores",
    {
      objectives: { rtoMinutes: 20 },
      drills: { w: { cron: "0 5 * * 6", how: "open" }, m: { cron: "0 5 1 * *", how: "restore" } },
    },
    [],
  ],
  [
    "a promise that no drill measures",
    { objectives: { rtoMinutes: 20 }, drills: { w: { cron: "0 5 * * 6", how: "open" } } },
    ["PB216 drills"],
  ],
  [
    "a drill that opens what it attacks",
    { drills: { w: { cron: "0 5 * * 6", how: "open", pick: "attack", from: "repo2" } } },
    ["PB040 drills.w.how", "PB042 drills"],
  ],
  [
    "a drill that ends before the promise",
    { objectives: { rtoMinutes: 20 }, drills: { weekly: { cron: "0 5 * * 6", from: "repo2", maxMinutes: 10 } } },
    ["PB041 drills.weekly.maxMinutes"],
  ],
  ["no drill", { drills: undefined }, ["PB042 drills"]],
  [
    "block increments without bundles",
    repository({ blockIncremental: true }),
    ["PB046 repositories.repo1.blockIncremental"],
  ],
  [
    "Azure",
    bucket({ endpoint: "ledger.blob.core.windows.net" }),
    ["PB053 repositories.repo2.at.s3.endpoint", "PB030 repositories"],
  ],
  [
    "Google",
    bucket({ endpoint: "storage.googleapis.com", region: "auto" }),
    ["PB053 repositories.repo2.at.s3.endpoint", "PB030 repositories"],
  ],
  ["a region of another endpoint", bucket({ region: "us-east-1" }), ["PB054 repositories.repo2.at.s3.region"]],
  [
    "R2 with the region of tools that know no other",
    {
      repositories: {
        repo1: NAS,
        repo2: { ...R2, at: { ...R2.at, s3: { ...(R2.at.s3 as object), region: "us-east-1" } as never } },
      },
    },
    [],
  ],
  [
    "R2 with a real region",
    {
      repositories: {
        repo1: NAS,
        repo2: { ...R2, at: { ...R2.at, s3: { ...(R2.at.s3 as object), region: "eu-central-1" } as never } },
      },
    },
    ["PB054 repositories.repo2.at.s3.region"],
  ],
  [
    "quirks of another provider",
    bucket({ quirks: "minio" }),
    ["PB055 repositories.repo2.at.s3.quirks", "PB030 repositories"],
  ],
  [
    "the bucket in the host name where it belongs in the path",
    bucket({ uriStyle: "host" }),
    ["PB056 repositories.repo2.at.s3.uriStyle"],
  ],
  [
    "dots in a host name",
    bucket({ endpoint: "s3.eu-central-1.amazonaws.com", region: "eu-central-1", bucket: "backups.example.org" }),
    ["PB057 repositories.repo2.at.s3.uriStyle"],
  ],
  ["a rule that removes live data", withFacts({ expireLiveDays: 30 }), ["PB058 repositories.repo2.at"]],
  [
    "a lock on R2",
    {
      repositories: {
        repo1: NAS,
        repo2: { ...R2, at: { ...R2.at, s3: { ...(R2.at.s3 as object), facts: { immutableDays: 97 } } as never } },
      },
    },
    ["PB059 repositories.repo2.at.immutableDays"],
  ],
  ["a class that is frozen", withFacts({ storageClass: "GLACIER" }), ["PB060 repositories.repo2.at.storageClass"]],
  ["a class with a minimum", withFacts({ storageClass: "STANDARD_IA" }), ["PB061 repositories.repo2.at.storageClass"]],
  ["snapshots of ZFS beside the archive", { snapshots: { zfs: {} } }, ["PB062 snapshots.zfs"]],
])("%s", (_what, over, expected) => {
  expect(findings(over)).toEqual(expected);
});

test.each<[string, Partial<DeclaredCluster>, string[]]>([
  [
    "Barman with two destinations",
    { engine: "barman-cloud", schedules: { full: FULL } },
    ["PB043 repositories.repo2", "PB045 repositories.repo1.at.cipher", "PB045 repositories.repo2.at.cipher"],
  ],
  [
    "increments with Barman",
    {
      engine: "barman-cloud",
      repositories: { repo1: { ...BUCKET, at: { ...BUCKET.at, encrypted: false } } },
      drills: { w: { cron: "0 5 * * 6", from: "repo1" }, there: { cron: "0 5 1 * *", elsewhere: true } },
    },
    ["PB078 repositories.repo1.at", "PB003 repositories", "PB044 schedules.incr", "PB044 drills.w"],
  ],
  [
    "an address style that Barman lacks",
    {
      engine: "barman-cloud",
      repositories: { repo1: inHostName("s3.example.net") },
      schedules: { full: FULL },
      drills: undefined,
    },
    ["PB117 repositories.repo1.at.s3.uriStyle", "PB003 repositories", "PB042 drills"],
  ],
  [
    "the same by default",
    {
      engine: "barman-cloud",
      repositories: { repo1: inHostName("s3.eu-central-1.amazonaws.com") },
      schedules: { full: FULL },
      drills: undefined,
    },
    ["PB078 repositories.repo1.at", "PB003 repositories", "PB042 drills"],
  ],
  [
    "snapshots with repositories",
    { engine: "volumeSnapshot", schedules: { full: FULL } },
    [
      "PB043 engine",
      "PB044 repositories.repo1.at",
      "PB044 repositories.repo2.at",
      "PB045 repositories.repo1.at.cipher",
      "PB045 repositories.repo2.at.cipher",
    ],
  ],
  ["Dalibo's plugin from a standby", { engine: "pgbackrest", schedules: { full: FULL } }, ["PB050 backupTarget"]],
  [
    "Dalibo's plugin, an hour apart and colliding",
    {
      engine: "pgbackrest",
      backupTarget: "primary",
      schedules: { full: FULL, incr: { cron: "0 3 * * *", repositories: ["repo1"] } },
    },
    ["PB047 schedules.full"],
  ],
  ["a time zone", { schedules: { full: { ...FULL, timeZone: "Asia/Tokyo" } } }, ["PB051 schedules.full.timeZone"]],
  ["a Service named pgbackrest", { serviceNames: ["pgbackrest"] }, ["PB052 serviceNames"]],
  ["a Service with a safe name", { serviceNames: ["cnpg-pgbackrest"] }, []],
  ["streamed WAL", { streaming: {} }, []],
  ["an objective that streaming meets", { objectives: { rpoSeconds: 30 }, streaming: {} }, []],
  ["streamed WAL twice a second", { streaming: { intervalSeconds: 0.5 } }, ["PB014 streaming.intervalSeconds"]],
  [
    "streamed WAL of Dalibo's plugin",
    { engine: "pgbackrest", backupTarget: "primary", schedules: { full: FULL }, streaming: {} },
    ["PB150 streaming"],
  ],
  ["a cluster of 0 instances", { instances: 0 }, ["PB096 instances"]],
  ["an unknown engine", { engine: "wal-g" }, ["PB010 engine"]],
  ["a promise below five minutes is set, not assumed", { objectives: { rpoSeconds: 120 } }, []],
  [
    "a version that hangs",
    { engine: "pgbackrest", backupTarget: "primary", engineVersion: "2.58.0", schedules: { full: FULL } },
    ["PB049 repositories.repo1", "PB049 repositories.repo2"],
  ],
  [
    "an invalid version",
    { engine: "pgbackrest", backupTarget: "primary", engineVersion: "latest", schedules: { full: FULL } },
    ["PB048 engineVersion"],
  ],
])("cluster: %s", (_what, over, expected) => {
  expect(clusterFindings(over).sort()).toEqual([...expected].sort());
});

test("object lock and pgBackRest 2.55 do not go together", () => {
  const locked = {
    ...BUCKET,
    at: {
      ...BUCKET.at,
      s3: { ...(BUCKET.at.s3 as object), facts: { versioning: true, immutableDays: 30, undeleteDays: 31 } } as never,
    },
  };
  const over = {
    engine: "pgbackrest",
    backupTarget: "primary",
    schedules: { full: FULL },
    repositories: { repo1: locked, repo2: R2 },
  };
  expect(clusterFindings({ ...over, engineVersion: "2.55.1" })).toContain("PB048 repositories.repo1");
  expect(clusterFindings({ ...over, engineVersion: "2.60.0" })).toEqual([]);
});

test("a drill that no FireDrill declares is reported when the program ends, and may be silenced before", () => {
  expect(checkUndrilled(["away"]).map(({ code, path, severity }) => `${code} ${path} ${severity}`)).toEqual([
    "PB140 drills.away.elsewhere warning",
  ]);
  const silent = plan({
    drills: { away: { cron: "0 5 1 * *", elsewhere: true } },
    silence: { PB140: "another stack has it" },
  });
  expect(checkHost(silent).filter(({ code }) => code === "PB025" || code === "PB140")).toEqual([]);
});

// claim: docs/reference/rules.md: what each finding means…
test("the components' tests have a case for every code", () => {
  const folder = dirname(dirname(__filename));
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".test.ts"));
  const text = paths.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  expect(Object.keys(RULES).filter((code) => !text.includes(`"${code} `) && !text.includes(`${code}: "`))).toEqual([]);
});

/** An unencrypted bucket with its name in the endpoint's host name. */
function inHostName(endpoint: string): typeof BUCKET {
  const { s3 } = BUCKET.at;
  if (s3 === undefined) throw new Error("no bucket");
  return {
    ...BUCKET,
    at: {
      ...BUCKET.at,
      encrypted: false,
      s3: { ...s3, endpoint, region: "eu-central-1", quirks: undefined, uriStyle: "host" },
    },
  };
}

function staleTo(...targets: NonNullable<HostSettings["notify"]>["targets"] & object): Partial<HostSettings> {
  return { stanza: "ledger", maintenance: { stale: {} }, notify: { targets } };
}
