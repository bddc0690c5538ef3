import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import { PUBLISHED } from "../../published/vpsNasR2";
import { alertGroupOf, alertGroupsOf } from "../../../../components/plan/alerts";
import { withoutHidden } from "../../../../components/plan/alerts/hidden";
import type { AlertGroup, AlertOptions } from "../../../../components/plan/alerts/rule";
import { resolveHost } from "../../../../components/plan/model/resolveDatabase";
import type { HostSettings } from "../../../../components/plan/model/databaseSettings";
import { type Topology, topologyOf } from "../../../../components/plan/topology/topology";
import {
  prometheusRule,
  renderAlertFile,
  renderPrometheusRule,
} from "../../../../components/render/monitoring/prometheusRule";
import type { SlotReport } from "../../../../runtime/local/slotState";
import { DEFINITIONS } from "../../../../runtime/metrics/definitions";
import { type HostFacts, hostSamples } from "../../../../runtime/metrics/samples";
import { drillName } from "../../../../components/plan/schedule/declaredDrills";
import { SECRET_MARKER, unknownMarker } from "../../../../components/plan/model/unknown";
import { runningSchedules } from "../../../../components/plan/schedule/schedule";
import { settingsOf } from "../../../../components/render/host/settingsFile";
import { plan } from "../../plans";
import { topology } from "../../topologies";

const { load } = createRequire(__filename)("js-yaml") as { load(text: string): unknown };
const SEED = topologyOf(resolveHost("forge", PUBLISHED, "/usr/bin/node"));
const DRILLED = {
  ...SEED,
  drills: [{ name: "weekly", cron: "0 5 * * 0", timeZone: "UTC", from: "repo2", maxMinutes: undefined }],
} as const satisfies Topology;

function groupOf(of: Topology, options: AlertOptions = {}): AlertGroup {
  const group = alertGroupOf(of, options);
  if (group === null) throw new Error("no rules");
  return group;
}
const exprs = (group: AlertGroup, alert: string): string[] =>
  group.rules.filter((rule) => rule.alert === alert).map(({ expr }) => expr);

describe("thresholds", () => {
  test("that are secret or not known yet make no rule, and spoil none", () => {
    const hidden = {
      ...DRILLED,
      objectives: {
        rpoSeconds: unknownMarker(0),
        rtoMinutes: SECRET_MARKER,
        maxRepositoryGB: SECRET_MARKER,
        worstCaseRpoSeconds: unknownMarker(1),
      } as never,
      databases: SEED.databases.map((database) => ({ ...database, streamIntervalSeconds: unknownMarker(2) as never })),
      schedules: SEED.schedules.map((schedule) =>
        schedule.type === "full" ? { ...schedule, cron: unknownMarker(3) } : schedule,
      ),
    } satisfies Topology;
    const group = groupOf(hidden);
    expect(JSON.stringify(group)).not.toMatch(/NaN|undefined|unknown:|secret/);
    const ages = exprs(group, "PgbackstopBackupTooOld");
    expect([ages.some((expr) => expr.includes('"full"')), ages.some((expr) => expr.includes('"incr"'))]).toEqual([
      false,
      true,
    ]);
    expect(exprs(group, "PgbackstopRtoMissed")).toEqual([]);
    expect(withoutHidden(hidden).hidden).toEqual([
      "objectives.rpoSeconds",
      "objectives.rtoMinutes",
      "objectives.maxRepositoryGB",
      "objectives.worstCaseRpoSeconds",
      ...SEED.schedules.flatMap(({ name, type }) => (type === "full" ? [`schedules.${name}`] : [])),
      "streaming.intervalSeconds",
    ]);
  });

  test("of a suspended schedule make no rule", () => {
    const suspended = SEED.schedules.map((schedule) => ({ ...schedule, suspended: true }));
    expect(runningSchedules(suspended)).toEqual([]);
    expect(exprs(groupOf({ ...SEED, schedules: suspended }), "PgbackstopBackupTooOld")).toEqual([]);
  });

  // claim: docs/monitoring.md: thresholds follow from the declaration and equal the hand-written ones; missing figures
  //   have alerts of their own
  test("of the published set-up are the reference ones: 25 hours, 2 hours, 100 GB", () => {
    const group = groupOf(SEED);
    const ages = exprs(group, "PgbackstopBackupTooOld").filter((expr) => expr.includes('repo_key="1"'));
    const limit = (type: string): number => Number(ages.find((expr) => expr.includes(`"${type}"`))?.split(" > ")[1]);
    expect({ full: limit("full") / 3600, diff: limit("diff") / 3600, incr: limit("incr") / 3600 }).toEqual({
      full: 25,
      diff: 7,
      incr: 2,
    });
    expect(exprs(group, "PgbackstopRepositoryLarge")).toEqual(
      ["1", "2"].map((key) => {
        const of = `{stanza="main",repo_key="${key}"}`;
        return `pgbackstop_repo_backup_bytes${of} + pgbackstop_repo_wal_bytes${of} > 100000000000`;
      }),
    );
  });

  test("of a size come from the command, the objective or the estimate, in this order; without any there is none", () => {
    const sizing = { databaseGiB: 100, walGiBPerDay: 2 };
    const limits = (of: Topology, options: AlertOptions = {}): string[] =>
      exprs(groupOf(of, options), "PgbackstopRepositoryLarge").map((expr) => expr.split(" > ")[1] ?? "");
    const both = topology({ sizing, objectives: { maxRepositoryGB: 1.5 } });
    expect(limits(both, { repositoryBytesMax: 7 })).toEqual(["7", "7"]);
    expect(limits(both)).toEqual(["1500000000", "1500000000"]);
    expect(limits(topology({ sizing })).every((limit) => Number(limit) > 50e9)).toBe(true);
    expect(limits(topology())).toEqual([]);
  });

  test("two databases of one name stay two groups", () => {
    const names = alertGroupsOf([SEED, SEED, topology()], () => ({})).map(({ name }) => name);
    expect(names).toEqual(["pgbackstop-forge", "pgbackstop-forge-2", "pgbackstop-ledger"]);
  });

  // claim: docs/monitoring.md: thresholds follow from the…
  test("follow the schedules: only a repository's own ones count, jitter and clock changes are added", () => {
    const schedules: NonNullable<HostSettings["schedules"]> = {
      full: { cron: "0 2 * * 0", timeZone: "Europe/Berlin", repositories: ["repo1"], jitterSeconds: 7200 },
      incr: { cron: "0 2 * * *", repositories: ["repo2"] },
    };
    const group = groupOf(topology({ schedules }));
    expect(exprs(group, "PgbackstopBackupTooOld")).toEqual([
      `time() - pgbackstop_repo_last_backup_timestamp_seconds{stanza="main",repo_key="1",backup_type="full"} > ${7 * 86_400 + 7200 + 1800 + 3600}`,
      `time() - pgbackstop_repo_last_backup_timestamp_seconds{stanza="main",repo_key="2",backup_type="incr"} > ${25 * 3600}`,
    ]);
  });

  // claim: docs/monitoring.md: thresholds follow from the…
  test("of dumps follow their schedule, in the repositories that get them", () => {
    const dumps = { cron: "30 4 * * *", timeZone: "Europe/Berlin", jitterSeconds: 7200, repositories: ["repo2"] };
    const group = groupOf(topology({ dumps }));
    const metric = 'pgbackstop_repo_last_dump_timestamp_seconds{stanza="main",repo_key="2"}';
    const limitS = 86_400 + 7200 + 1800 + 3600;
    expect(exprs(group, "PgbackstopDumpTooOld")).toEqual([`time() - ${metric} > ${limitS}`]);
    expect(group.rules.filter(({ alert }) => alert === "PgbackstopDumpMissing")).toMatchObject([
      { expr: `absent(${metric})`, for: "28h", labels: { severity: "warning", stanza: "main", repo_key: "2" } },
    ]);
    // The same as check --stale.
    expect(settingsOf(plan({ dumps })).repos?.["repo2"]).toMatchObject({ expectDumpWithinS: limitS });
    expect(exprs(groupOf(topology()), "PgbackstopDumpTooOld")).toEqual([]);
    const hidden = { ...topology({ dumps }), dumps: { ...dumps, cron: SECRET_MARKER } };
    expect(withoutHidden(hidden).hidden).toEqual(["dumps"]);
    expect(withoutHidden(hidden).topology.dumps).toBeUndefined();
    const hiddenNames = { ...dumps, databases: SECRET_MARKER as never };
    expect(withoutHidden({ ...topology(), dumps: hiddenNames }).topology.dumps).toEqual(hiddenNames);
  });

  test("a smaller RPO makes the alarm earlier, never earlier than a quarter of an hour", () => {
    const behind = (rpoSeconds: number): string =>
      exprs(groupOf(topology({ objectives: { rpoSeconds } })), "PgbackstopRepositoryBehind")[0] ?? "";
    expect(behind(300)).toMatch(/> 900$/);
    expect(behind(3600)).toMatch(/> 3600$/);
  });

  test("repositories that are drilled in turn have the time of all turns, each separately", () => {
    const drills = (over: object): Topology => ({
      ...SEED,
      drills: [{ name: "weekly", cron: "0 5 * * 0", timeZone: "UTC", from: undefined, maxMinutes: undefined, ...over }],
    });
    const overdue = (of: Topology): string[] =>
      exprs(groupOf(of), "PgbackstopDrillTooOld").map((expr) => expr.replace(/.*(repo_key="\d").* > /, "$1 > "));
    const [one, two] = [7 * 86_400 + 86_400, 14 * 86_400 + 14 * 8_640];
    expect(overdue(drills({ from: "repo2" }))).toEqual([`repo_key="2" > ${one}`]);
    expect(overdue(drills({ repositories: ["repo1"] }))).toEqual([`repo_key="1" > ${one}`]);
    expect(overdue(drills({}))).toEqual([`repo_key="1" > ${two}`, `repo_key="2" > ${two}`]);
  });

  test("with a separate objective for a point in time, a restore is slow beyond the larger one", () => {
    const slow = (pitrRtoMinutes: number): string | undefined =>
      exprs(groupOf({ ...DRILLED, objectives: { rtoMinutes: 30, pitrRtoMinutes } }), "PgbackstopRtoMissed")[0];
    expect(slow(60)).toMatch(/ > 3600$/);
    expect(slow(20)).toMatch(/ > 1800$/);
  });

  test("an attack drill has alerts of its own, and measures no objective", () => {
    const names = (drills: NonNullable<Parameters<typeof topology>[0]>["drills"]): string[] =>
      groupOf(topology({ drills }))
        .rules.map(({ alert }) => alert)
        .filter((name) => /Drill|Rto|Rpo/.test(name));
    const attack = { cron: "0 5 * * 0", pick: "attack", from: "repo2" } as const;
    expect(names({ attack })).toEqual([
      "PgbackstopAttackDrillTooOld",
      "PgbackstopAttackDrillMissing",
      "PgbackstopAttackDrillFailed",
    ]);
    const both = groupOf(topology({ drills: { attack, weekly: { cron: "0 5 * * 0", from: "repo1" } } }));
    expect(exprs(both, "PgbackstopDrillFailed")).toEqual([expect.stringContaining('repo_key="1"')]);
    expect(exprs(both, "PgbackstopAttackDrillFailed")).toEqual([
      'pgbackstop_attack_drill_ok{stanza="main",repo_key="2"} == 0',
    ]);
  });

  test("without a declared drill there are no drill alerts", () => {
    const names = (of: Topology): string[] => groupOf(of).rules.map(({ alert }) => alert);
    expect(names(SEED).filter((name) => /Drill|Rto|Rpo/.test(name))).toEqual([]);
    expect(names(DRILLED).filter((name) => /Drill|Rto|Rpo/.test(name))).toEqual([
      "PgbackstopDrillTooOld",
      "PgbackstopDrillMissing",
      "PgbackstopDrillFailed",
      "PgbackstopRtoMissed",
      "PgbackstopRpoMissed",
    ]);
  });
});

test("of several drills of a repository the most frequent one counts, and drills in turn are rarer", () => {
  const drills = { weekly: { cron: "0 5 * * 0" }, monthly: { cron: "0 5 1 * *", from: "repo2" } };
  const group = groupOf(topology({ drills }));
  const day = 86_400;
  expect(exprs(group, "PgbackstopDrillTooOld")).toEqual(
    ["1", "2"].map(
      (key) =>
        `time() - pgbackstop_drill_success_timestamp_seconds{stanza="main",repo_key="${key}"} > ${14 * day + Math.round(1.4 * day)}`,
    ),
  );
  expect(exprs(group, "PgbackstopDrillFailed")).toHaveLength(2);
});

describe("a host that drills elsewhere exports the same stanza", () => {
  const drill = { cron: "0 5 * * 0", elsewhere: true };
  const selector = 'instance="db1:9100"';

  test("but nothing about a server, so its metrics do not stand for the database's", () => {
    const facts: HostFacts = {
      repos: [],
      waiting: null,
      slot: null,
      locks: { backup: { held: false, repos: [] }, restore: { held: false, repos: [] } },
      isStopped: false,
      troubles: null,
      runs: [],
      streams: [],
      synchronous: null,
      drills: [],
      attacks: [],
      opened: [],
      configHash: "0",
      version: "0",
      nowS: 0,
    };
    const slot: SlotReport = {
      atS: 0,
      activeAtS: null,
      isActive: false,
      walStatus: null,
      retainedBytes: 0,
      safeBytes: null,
      slot: "s",
      lossCount: 0,
      trouble: null,
    };
    const exported = (over: Partial<HostFacts>): string[] =>
      hostSamples("main", { ...facts, ...over }).map(({ name }) => name);
    const [database] = SEED.databases;
    if (database === undefined) throw new Error("no database");
    for (const [archive, over] of [
      [{}, { waiting: { count: 0, oldestAtS: null } }],
      [{ archive: "stream" }, { slot }],
      [{ archive: "standby" }, { slot }],
    ] as const) {
      const group = groupOf({ ...SEED, databases: [{ ...database, ...archive }] });
      const [expr = ""] = exprs(group, "PgbackstopMetricsMissing");
      const metric = /^absent\(([a-z_]+)\{stanza="main"\}\)$/.exec(expr)?.[1];
      expect(exported(over)).toContain(metric);
      expect(exported({})).not.toContain(metric);
    }
  });

  test("and its drills are found by the stanza alone", () => {
    const drillExprs = (of: Topology): string[] =>
      groupOf(of, { selector })
        .rules.filter(({ alert }) => /Drill|Rto|Rpo/.test(alert))
        .map(({ expr }) => expr);
    const objectives = { rpoSeconds: 300, rtoMinutes: 30 };
    const away = topology({ drills: { weekly: drill }, objectives });
    expect(drillExprs(away)).toHaveLength(8);
    for (const expr of drillExprs(away)) expect(expr).toMatch(/\{stanza="main"(,repo_key="\d")?\}/);
    const [database] = away.databases;
    if (database === undefined) throw new Error("no database");
    const cluster = { ...database, kind: "cnpg", engine: "runtime", namespace: "shop", cluster: "orders" } as const;
    for (const expr of drillExprs({ ...away, databases: [cluster] })) expect(expr).not.toContain("namespace");
    const both = topology({ drills: { weekly: drill, monthly: { cron: "0 5 1 * *", from: "repo1" } }, objectives });
    const own = drillExprs(both).filter((expr) => expr.includes(selector));
    expect(own.filter((expr) => expr.includes('repo_key="2"'))).toEqual([]);
    expect(own).toHaveLength(5);
  });
});

test("every metric of the rules is one of ours, with existing labels", () => {
  const group = groupOf(DRILLED, { repositoryBytesMax: 1 });
  const labelsOf = new Map(DEFINITIONS.map(({ labels, name }) => [name, labels]));
  const used = group.rules.flatMap(({ expr }) => [...expr.matchAll(/(pgback[a-z_]+)\{([^}]*)\}/g)]);
  expect(used.length).toBeGreaterThan(group.rules.length - 1);
  for (const [, name = "", matchers = ""] of used) {
    const labels = [...matchers.matchAll(/([a-z_]+)=/g)].map(([, label]) => label);
    expect([name, labels.filter((label) => !labelsOf.get(name)?.includes(label ?? ""))]).toEqual([name, []]);
  }
});

// claim: docs/monitoring.md: thresholds follow from the…
test("every metric has a twin for its absence", () => {
  const group = groupOf(DRILLED);
  const absent = new Set(
    group.rules.flatMap(({ expr }) => [...expr.matchAll(/^absent\(([^)]*)\)$/g)].map(([, series]) => series)),
  );
  // Metrics that are exported only while there is something to report need no twin. They disappear with the
  // repository's other series.
  const watched = [...absent].map((series) => series?.split("{")[0]);
  expect(new Set(watched)).toEqual(
    new Set([
      "pgbackstop_wal_waiting_files",
      "pgbackstop_status_ok",
      "pgbackstop_repo_up",
      "pgbackstop_repo_last_backup_timestamp_seconds",
      "pgbackstop_drill_success_timestamp_seconds",
    ]),
  );
  const ages = exprs(group, "PgbackstopBackupTooOld").map((expr) => /(pgbackstop_\S+\{[^}]*\})/.exec(expr)?.[1]);
  expect(ages.filter((series) => !absent.has(series))).toEqual([]);
});

describe("clusters", () => {
  const cluster: Topology = {
    ...SEED,
    databases: [
      {
        name: "orders",
        kind: "cnpg",
        engine: "runtime",
        stanza: "orders",
        namespace: "shop",
        cluster: "orders",
        instances: 3,
      },
    ],
  };

  test("use the best of their pods, and metrics that only sidecars serve", () => {
    const group = groupOf(cluster);
    expect(exprs(group, "PgbackstopRepositoryUnreadable")[0]).toBe(
      'min without (pod, instance, endpoint, container, job) (pgbackstop_repo_up{stanza="orders",namespace="shop",repo_key="1"}) == 0',
    );
    expect(exprs(group, "PgbackstopWalGap")[0]).toBe(
      'max without (pod, instance, endpoint, container, job) (pgbackstop_repo_wal_gap_segments{stanza="orders",namespace="shop",repo_key="1"}) > 0',
    );
    expect(group.rules.map(({ alert }) => alert)).not.toContain("PgbackstopWalDropped");
    // CloudNativePG still exports this when the primary's sidecar is dead.
    expect(exprs(group, "PgbackstopWalNotArchived")[0]).toBe(
      'max without (pod, instance, endpoint, container, job) (cnpg_collector_pg_wal_archive_status{value="ready",namespace="shop",pod=~"orders-[0-9]+"}) > 10',
    );
    expect(exprs(group, "PgbackstopJobFailed")).toEqual([
      'max by (namespace, job_name) (kube_job_failed{condition="true",namespace="shop",job_name=~"(orders-expire)(-.*)?"}) == 1',
    ]);
  });

  test("of a long name find the Jobs whose names end in a hash", () => {
    const long = "a-cluster-with-a-name-of-forty-characters";
    const [expr = ""] = exprs(
      groupOf({
        ...cluster,
        databases: cluster.databases.map((each) => ({ ...each, cluster: long })),
        drills: DRILLED.drills,
        dumps: { cron: "0 3 * * *", timeZone: "UTC", jitterSeconds: 0, repositories: ["repo1"] },
      }),
      "PgbackstopJobFailed",
    );
    const pattern = new RegExp(`^(?:${/job_name=~"([^"]+)"/.exec(expr)?.[1] ?? ""})$`);
    const job = drillName(long, "weekly");
    expect(job).not.toContain("drill-weekly");
    for (const name of [`${job}-29381234`, `${job}-now`, `${long}-expire-29381234`, `${long}-dump-29381234`])
      expect(name).toMatch(pattern);
    expect(`${long}-2-expire-29381234`).not.toMatch(pattern);
  });

  test("compare streamed WAL with the time of the scrape", () => {
    const [database] = cluster.databases;
    if (database === undefined) throw new Error("no database");
    const group = groupOf({ ...cluster, databases: [{ ...database, streamIntervalSeconds: 5 }] });
    expect(exprs(group, "PgbackstopStreamBehind")[0]).toBe(
      'time() - max without (pod, instance, endpoint, container, job) (pgbackstop_repo_stream_timestamp_seconds{stanza="orders",namespace="shop",repo_key="1"}) > 60',
    );
    expect(exprs(group, "PgbackstopStreamMissing")[0]).toBe(
      'absent(pgbackstop_repo_stream_timestamp_seconds{stanza="orders",namespace="shop",repo_key="1"})',
    );
    expect(exprs(groupOf(cluster), "PgbackstopStreamMissing")).toEqual([]);
    expect(exprs(group, "PgbackstopStreamLost")[0]).toBe(
      'max without (pod, instance, endpoint, container, job) (increase(pgbackstop_repo_stream_losses{stanza="orders",namespace="shop",repo_key="1"}[6h])) > 0',
    );
  });

  test("watch the slot that archives, where one does", () => {
    const alerts = ["PgbackstopSlotNotRead", "PgbackstopSlotNearLimit"];
    const [database] = SEED.databases;
    if (database === undefined) throw new Error("no database");
    const group = groupOf({ ...SEED, databases: [{ ...database, archive: "stream" }] });
    for (const alert of alerts) {
      expect(exprs(group, alert)[0]).toContain("pgbackstop_slot_");
      expect(exprs(groupOf(SEED), alert)).toEqual([]);
    }
  });

  test("of other engines have no metrics of ours, and unknown ones wait", () => {
    const [database] = cluster.databases;
    if (database === undefined) throw new Error("no database");
    expect(alertGroupOf({ ...cluster, databases: [{ ...database, engine: "barman-cloud" }] })).toBeNull();
    expect(alertGroupOf({ ...cluster, databases: [] })).toBeNull();
  });
});

test("the file and the object of Prometheus' operator are equal", () => {
  const groups = [
    groupOf(DRILLED, {
      labels: { team: 'a "b"\\c' },
      runbookUrl: "https://example.org/runbook",
      selector: 'instance="db1:9100"',
    }),
  ];
  const location = { name: "backups", namespace: "monitoring", labels: { release: "prometheus" } };
  expect(load(renderAlertFile(groups))).toEqual({ groups });
  expect(load(renderPrometheusRule(groups, location))).toEqual(prometheusRule(groups, location));
  expect(groups[0]?.rules[0]?.annotations["runbook_url"]).toBe("https://example.org/runbook#pgbackstopmetricsstale");
  expect(groups[0]?.rules.every(({ expr }) => expr.includes('instance="db1:9100"'))).toBe(true);
  expect(load(renderAlertFile([]))).toEqual({ groups: [] });
});
