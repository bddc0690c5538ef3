import { expect, test } from "vitest";
import { renderSettingsFile } from "../../../../components/render/host/settingsFile";
import { parseSettings } from "../../../../runtime/config/settings";
import { BUCKET, NAS, plan } from "../../plans";

/** A week, a day's deadline, and two hours of slack. */
const WEEKLY_S = 8 * 86_400 + 7200;

test("every repository has its compression, buckets their provider", () => {
  const repositories = {
    repo1: { ...NAS, compress: { type: "none" } },
    repo3: {
      ...BUCKET,
      at: { ...BUCKET.at, s3: { bucket: "lab", endpoint: "minio.lan", region: "lab", quirks: "minio" } },
    },
  };
  const text = renderSettingsFile(plan({ repositories, acknowledge: { mode: "named", repositories: ["repo3"] } }));
  expect(JSON.parse(text)).toEqual({
    version: 1,
    acknowledge: ["repo3"],
    repos: {
      repo1: { compressType: "none", expectFullWithinS: WEEKLY_S, requireMount: true },
      repo3: { compressType: "zst", compressLevel: 3, s3Quirks: "minio", expectFullWithinS: WEEKLY_S },
    },
  });
  expect(parseSettings(text, "pgbackstop.json").acknowledge).toEqual({ mode: "named", repoIndexes: [3] });
});

test("a repository whose mount is required says so, and no other", () => {
  const repositories = { repo1: NAS, repo2: { ...NAS, at: { ...NAS.at, requireMount: false } } };
  const { repos } = JSON.parse(renderSettingsFile(plan({ repositories })));
  expect(repos.repo1).toHaveProperty("requireMount", true);
  expect(repos.repo2).not.toHaveProperty("requireMount");
});

test("a repository's calendar is in the file, with its zone", () => {
  const keep = { daily: 7, weekly: 5, monthly: 12, yearly: 7 };
  const repositories = { repo1: { ...NAS, keep }, repo2: { ...NAS, keep: { monthly: 1, zone: "Europe/Berlin" } } };
  const text = renderSettingsFile(plan({ repositories }), "0.1.0");
  expect(parseSettings(text, "pgbackstop.json").repos).toMatchObject({
    1: { keep: { ...keep, zone: "UTC" } },
    2: { keep: { monthly: 1, zone: "Europe/Berlin" } },
  });
});

test("a repository's limit of bandwidth is in the file", () => {
  const byHours = { "08:00-20:00": "20MiB", "20:00-08:00": "50MiB", zone: "Europe/Berlin" };
  const repositories = { repo1: { ...NAS, limitRate: "20MiB" }, repo2: NAS, repo3: { ...NAS, limitRate: byHours } };
  const { repos } = parseSettings(renderSettingsFile(plan({ repositories }), "0.1.0"), "pgbackstop.json");
  expect(repos[1]).toMatchObject({ limitRate: "20MiB" });
  expect(repos[2]).not.toHaveProperty("limitRate");
  expect(repos[3]?.limitRate).toEqual(byHours);
});

test("dumps stay in the repositories that get them, for 30 days unless the program says otherwise", () => {
  const keptOf = (dumps: object): unknown[] => {
    const { repos } = JSON.parse(renderSettingsFile(plan({ dumps: { cron: "30 4 * * *", ...dumps } })));
    return [repos.repo1.keepDumps, repos.repo2.keepDumps];
  };
  expect(keptOf({})).toEqual([{ days: 30 }, { days: 30 }]);
  expect(keptOf({ repositories: ["repo2"], keepCount: 5 })).toEqual([undefined, { count: 5 }]);
  expect(keptOf({ keepDays: 14, keepCount: 5 })[0]).toEqual({ days: 14, count: 5 });
  const { repos } = JSON.parse(renderSettingsFile(plan({ dumps: { cron: "30 4 * * *", repositories: ["repo2"] } })));
  expect([repos.repo1.expectDumpWithinS, repos.repo2.expectDumpWithinS]).toEqual([undefined, 25 * 3600]);
});

test("a drill that loads a dump takes the newest", () => {
  const drills = { weekly: { cron: "0 5 * * 6", dump: true }, monthly: { cron: "0 5 1 * *" } };
  const { drill } = parseSettings(
    renderSettingsFile(Object.assign(plan({ drills }), { drilled: plan({ drills }) })),
    "pgbackstop.json",
  );
  expect(drill?.declared).toEqual({ weekly: { dump: "latest" }, monthly: {} });
});

test("a host whose WAL leaves through a slot says so", () => {
  expect(JSON.parse(renderSettingsFile(plan({ archive: "stream" })))).toMatchObject({ archive: "stream" });
  expect(JSON.parse(renderSettingsFile(plan()))).not.toHaveProperty("archive");
});

test("a container is named with its data directory, which is the official images' by default", () => {
  const container = { compose: "/srv/shop/compose.yaml", service: "database" };
  const text = renderSettingsFile(plan({ container, dataDirectory: undefined }));
  expect(parseSettings(text, "pgbackstop.json")).toMatchObject({
    archive: "stream",
    container: { ...container, dataDirectory: "/var/lib/postgresql/data", engine: "docker" },
  });
});

test.each(["all", "any"])("acknowledgement by %s", (mode) => {
  expect(JSON.parse(renderSettingsFile(plan({ acknowledge: { mode } })))).toMatchObject({ acknowledge: mode });
});

test("drills' limits follow from objectives and schedules", () => {
  const host = plan({
    objectives: { rtoMinutes: 30, pitrRtoMinutes: 60, rpoSeconds: 300 },
    schedules: { full: { cron: "30 2 * * 0" }, incr: { cron: "0 3 * * *", repositories: ["repo1"] } },
    drills: {
      monthly: { cron: "0 5 1 * *" },
      near: { cron: "0 5 * * 6", from: "repo1", how: "open", maxGiB: 1.5, pick: "newest", path: "/srv/drill" },
      far: { cron: "0 6 1 * *", elsewhere: true },
    },
    drillChecks: {
      heartbeat: { database: "shop", sql: "SELECT max(at) FROM beat" },
      assertions: [{ name: "orders", sql: "SELECT true" }],
    },
  });
  const file = JSON.parse(renderSettingsFile({ ...host, drilled: host })) as object;
  expect(file).toMatchObject({
    drill: {
      objectives: { rtoSeconds: 1800, pitrRtoSeconds: 3600, rpoSeconds: 300 },
      heartbeat: { database: "shop", sql: "SELECT max(at) FROM beat" },
      assertions: [{ name: "orders", sql: "SELECT true" }],
    },
    // A day or a week, plus an hour of grace.
    repos: { repo1: { expectBackupWithinS: 25 * 3600 }, repo2: { expectBackupWithinS: (7 * 24 + 1) * 3600 } },
  });
  expect((file as { drill: { declared: object } }).drill.declared).toEqual({
    monthly: {},
    near: { repos: ["repo1"], pick: "newest", how: "open", maxBytes: 1.5 * 1024 ** 3, path: "/srv/drill" },
  });
});

test("WAL is compared with the objective where a stale check is declared, at least fifteen minutes", () => {
  const ages = (over: Parameters<typeof plan>[0]): unknown => {
    const host = plan({ archiveTimeoutSeconds: undefined, ...over });
    const { repos } = parseSettings(renderSettingsFile({ ...host, drilled: host }), "pgbackstop.json");
    return Object.values(repos).map(({ expectWalWithinS }) => expectWalWithinS);
  };
  const stale = {};
  expect(ages({ objectives: { rpoSeconds: 3600 } })).toEqual([undefined, undefined]);
  expect(ages({ maintenance: { stale } })).toEqual([undefined, undefined]);
  expect(ages({ maintenance: { stale }, objectives: { rpoSeconds: 3600 } })).toEqual([3600, 3600]);
  expect(ages({ maintenance: { stale }, objectives: { rpoSeconds: 60 } })).toEqual([900, 900]);
});

test("streaming is the agent's task, every five seconds by default", () => {
  expect(JSON.parse(renderSettingsFile(plan({ streaming: {} })))).toMatchObject({ stream: { intervalSeconds: 5 } });
  expect(
    parseSettings(renderSettingsFile(plan({ streaming: { intervalSeconds: 60 } })), "pgbackstop.json").stream,
  ).toEqual({ intervalSeconds: 60 });
  expect(JSON.parse(renderSettingsFile(plan({})))).not.toHaveProperty("stream");
  const waiting = { synchronous: "named", repositories: ["repo2"], degradeAfterSeconds: 30 } as const;
  expect(JSON.parse(renderSettingsFile(plan({ streaming: { ...waiting, repositories: ["repo2"] } })))).toMatchObject({
    stream: { intervalSeconds: 5, synchronous: ["repo2"], degradeAfterSeconds: 30 },
  });
});
