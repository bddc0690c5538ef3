/** Hosts that only restore, and read-only keys. */
import { expect, test } from "vitest";
import { hostDesired, hostSettings } from "../../../components/databases/hostFiles";
import type { HostSettings, RepositorySettings } from "../../../components/plan/model/databaseSettings";
import { checkHost } from "../../../components/plan/rules";
import { BUCKET, NAS, plan } from "../plans";

const { keepFullCount: _count, ...reading } = { ...BUCKET, at: { ...BUCKET.at, readOnly: true } };
const { keepFullCount: _kept, ...writing } = BUCKET;
const NOTHING = {
  schedules: undefined,
  archiveTimeoutSeconds: undefined,
  drills: undefined,
} satisfies Partial<HostSettings>;

function restoring(repo1: RepositorySettings, over: Partial<HostSettings> = {}): Partial<HostSettings> {
  return { restoreOnly: true, repositories: { repo1 }, ...NOTHING, ...over };
}

test.each<[string, Partial<HostSettings>, string[]]>([
  ["a reader's keys where nothing is written", restoring(reading), []],
  ["a repository without its passphrase", restoring({ ...reading, at: { ...reading.at, encrypted: false } }), []],
  ["a directory", restoring(NAS), []],
  ["a writer's keys where nothing is written", restoring(writing), ["PB101 repositories.repo1.at"]],
  [
    "a reader's keys where backups are taken",
    { repositories: { repo1: NAS, repo2: reading }, silence: { PB006: "kept" } },
    ["PB099 repositories.repo2.at"],
  ],
  ["schedules", restoring(reading, { schedules: { full: { cron: "0 3 * * 0" } } }), ["PB100 schedules"]],
  [
    "a first backup and a restart",
    restoring(reading, { firstBackup: true, allowRestart: true, restartCommand: ["true"] }),
    ["PB100 firstBackup", "PB100 allowRestart"],
  ],
  ["dumps", restoring(reading, { dumps: { cron: "30 4 * * *" } }), ["PB100 dumps"]],
  ["a timeout of the archive", restoring(reading, { archiveTimeoutSeconds: 60 }), ["PB100 archiveTimeoutSeconds"]],
  [
    "drills, and their objectives",
    restoring(reading, { drills: { monthly: { cron: "0 5 1 * *" } }, objectives: { rpoSeconds: 60 } }),
    [],
  ],
  [
    "drills that cannot run",
    restoring(reading, {
      drills: { monthly: { cron: "0 5 1 * *", from: "repo2", maxMinutes: 5 } },
      objectives: { rtoMinutes: 10 },
    }),
    ["PB040 drills.monthly.from", "PB041 drills.monthly.maxMinutes"],
  ],
  ["PostgreSQL's programs without a cluster", restoring(reading, { postgres: { version: 17, install: true } }), []],
  ["no repository", { restoreOnly: true, repositories: {}, ...NOTHING }, ["PB002 repositories"]],
])("%s", (_what, over, expected) => {
  expect(checkHost(plan(over)).map(({ code, path }) => `${code} ${path}`)).toEqual(expected);
});

test("a host that only restores gets no setting, timer, backup or directory of a repository", () => {
  const desired = hostDesired(plan(restoring(NAS)), "ab");
  expect(hostSettings(plan(restoring(NAS)))).toEqual({});
  expect(desired).toMatchObject({ units: { enabled: [], restarted: [] }, backups: { takeFirst: false } });
  expect(desired.directories.keep.map(({ path }) => path)).not.toContain("/mnt/nas/pgbackrest");
  expect(hostDesired(plan({}), "ab").directories.keep.map(({ path }) => path)).toContain("/mnt/nas/pgbackrest");
});

test("such a host gets PostgreSQL's programs, and no database cluster", () => {
  const postgres = { version: 17, install: true };
  const serverOf = (over: Partial<HostSettings>): unknown => hostDesired(plan(over), "ab").server.postgres;
  expect(serverOf(restoring(NAS, { postgres }))).toEqual({ ...postgres, port: 5432, programsOnly: true });
  expect(serverOf({ postgres })).toEqual({ ...postgres, port: 5432 });
});
