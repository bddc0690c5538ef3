import { expect, test } from "vitest";
import { findRepoIndex } from "../../../../components/plan/model/defaults";
import { schedulePath } from "../../../../components/plan/schedule/schedule";
import { BUCKET, NAS, plan } from "../../plans";

test("defaults are filled in", () => {
  expect(plan()).toMatchObject({
    stanza: "main",
    port: 5432,
    user: "postgres",
    engine: "runtime",
    acknowledge: { mode: "all", repoIndexes: [] },
    nodePath: "/usr/bin/node",
    processMax: 2,
    firstBackup: true,
    allowRestart: false,
    directories: { config: "/etc/pgbackstop", lock: "/var/spool/pgbackrest/lock", spool: "/var/spool/pgbackrest" },
    repositories: [
      { key: 1, kind: "posix", compressType: "zst", compressLevel: 3 },
      { key: 2, kind: "s3", s3: { port: 443, uriStyle: "path" } },
    ],
    schedules: [{ name: "full", type: "full", repoKeys: [1, 2], jitterSeconds: 0 }],
  });
});

test("a repository's own schedule replaces the common one of its kind", () => {
  const monthly = { cron: "0 4 1 * *", jitterSeconds: 60 };
  const { schedules } = plan({
    repositories: { repo1: NAS, repo2: { ...BUCKET, schedules: { full: monthly } } },
    schedules: { full: { cron: "30 2 * * 0" }, incr: { cron: "30 2 * * 1-6" } },
  });
  expect(schedules).toMatchObject([
    { name: "full", type: "full", cron: "30 2 * * 0", repositories: ["repo1"], repoKeys: [1] },
    { name: "full-repo2", type: "full", ...monthly, timeZone: "UTC", repositories: ["repo2"], repoKeys: [2] },
    { name: "incr", type: "incr", repositories: ["repo1", "repo2"] },
  ]);
  expect(schedules.map(schedulePath)).toEqual([
    "schedules.full",
    "repositories.repo2.schedules.full",
    "schedules.incr",
  ]);
});

test("repositories are sorted by number, in any order of the arguments", () => {
  const { repositories } = plan({ repositories: { repo10: NAS, repo2: BUCKET, repo1: NAS } });
  expect(repositories.map((repository) => repository.name)).toEqual(["repo1", "repo2", "repo10"]);
});

test("the level follows the kind of compression, and addresses follow the provider", () => {
  const { repositories } = plan({
    repositories: {
      repo1: { ...NAS, compress: { type: "gz" } },
      repo2: { ...NAS, compress: { type: "lz4", level: 3 } },
      repo3: { ...NAS, compress: { type: "none" } },
      repo4: {
        ...BUCKET,
        at: { ...BUCKET.at, s3: { bucket: "lab", endpoint: "minio.lan", region: "lab", quirks: "minio" } },
      },
      repo5: {
        ...BUCKET,
        at: { ...BUCKET.at, s3: { bucket: "lab", endpoint: "minio.lan", region: "lab", uriStyle: "host" } },
      },
    },
  });
  expect(repositories.map((repository) => repository.compressLevel)).toEqual([6, 3, 0, 3, 3]);
  expect(repositories.slice(3).map((repository) => repository.s3?.uriStyle)).toEqual(["path", "host"]);
});

test("repository keys are repo1 to repo256", () => {
  expect(["repo1", "repo256", "repo0", "repo257", "repo01", "REPO1", "repo1 "].map(findRepoIndex)).toEqual([
    1,
    256,
    null,
    null,
    null,
    null,
    null,
  ]);
});
