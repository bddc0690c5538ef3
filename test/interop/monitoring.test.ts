/**
 * Runs the alert rules in Prometheus' own `promtool`: each failure fires the right alerts and no others. `metrics` is
 * run on repositories of stock and ours: Prometheus can read its output, and the values agree with stock's `info`.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alertGroupOf } from "../../components/plan/alerts";
import type { AlertGroup } from "../../components/plan/alerts/rule";
import { resolveHost } from "../../components/plan/model/resolveDatabase";
import { type Topology, topologyOf } from "../../components/plan/topology/topology";
import { renderAlertFile } from "../../components/render/monitoring/prometheusRule";
import { PUBLISHED } from "../components/published/vpsNasR2";
import { dashboardOf } from "../../components/render/monitoring/dashboard";
import { run, runOk, waitFor } from "../../tools/parts/process";
import { giveTo } from "../../tools/parts/users";
import { topology } from "../components/topologies";
import { findParts } from "../harness/real/interopParts";
import { promtoolOrSkip } from "../harness/real/parts";
import { dropTemplates, fillBed, writeMore } from "../harness/real/sampleData";
import { exporterOf } from "../harness/compare/stockMetrics";
import { TestBed } from "../harness/real/testBed";
import { temporaryFolder } from "../runtime/repository/support";

const DRILLED: Topology = {
  ...topologyOf(resolveHost("forge", PUBLISHED, "/usr/bin/node")),
  drills: [{ name: "weekly", cron: "0 5 * * 0", timeZone: "UTC", from: "repo2", maxMinutes: undefined }],
};

function groupOf(of: Topology, options = {}): AlertGroup {
  const group = alertGroupOf(of, options);
  if (group === null) throw new Error("no rules");
  return group;
}

/** The topology of the recorded repositories. */
const DECLARED = topology({
  schedules: { full: { cron: "0 2 * * *" }, incr: { cron: "30 * * * *" } },
  drills: { weekly: { cron: "0 5 * * 0", from: "repo1" } },
});
/** Streams into two repositories every five seconds. */
const STREAMED = topology({ agent: true, streaming: { intervalSeconds: 5 } });
const HOUR_S = 3600;
/** Drills need PostgreSQL programs that a server package alone lacks. */
const MAJOR = 15;

/** Minutes into a recorded state at which alerts are evaluated. The longest wait of an alert is an hour. */
const LOOK_MINUTES = 95;

/** Minutes between samples. The series cover three days. */
const STEP = 5;
const LOOKS = (72 * 60) / STEP;
const still = (value: number): string => `${value}x${LOOKS}`;
/** A timestamp that always equals the evaluation time. */
const NOW = `0+${STEP * 60}x${LOOKS}`;

const HOUR = 60;
/** Series of a healthy host from promtool's time 0, one sample every five minutes. */
const repoSeries = (key: string, more: Record<string, string> = {}): Record<string, string> => ({
  [`pgbackstop_repo_up{stanza="main",repo_key="${key}"}`]: still(1),
  [`pgbackstop_repo_wal_lag_seconds{stanza="main",repo_key="${key}"}`]: still(0),
  [`pgbackstop_repo_wal_gap_segments{stanza="main",repo_key="${key}"}`]: still(0),
  [`pgbackstop_repo_wal_missing_files{stanza="main",repo_key="${key}"}`]: still(0),
  // Backups of all types are fresh. A case overrides the ones that are late.
  ...Object.fromEntries(
    ["full", "diff", "incr"].map((type) => [
      `pgbackstop_repo_last_backup_timestamp_seconds{stanza="main",repo_key="${key}",backup_type="${type}"}`,
      NOW,
    ]),
  ),
  ...more,
});
const host = (more: Record<string, string> = {}): Record<string, string> => ({
  'pgbackstop_collected_timestamp_seconds{stanza="main"}': NOW,
  'pgbackstop_wal_waiting_files{stanza="main"}': still(0),
  'pgbackstop_stopped{stanza="main"}': still(0),
  'pgbackstop_status_ok{stanza="main"}': still(1),
  'pgbackstop_run_exit_code{stanza="main",command="backup"}': still(0),
  'pgbackstop_drill_success_timestamp_seconds{stanza="main",repo_key="2"}': still(0),
  ...repoSeries("1"),
  ...repoSeries("2"),
  ...more,
});
const last = (key: string, type: string): string =>
  `pgbackstop_repo_last_backup_timestamp_seconds{stanza="main",repo_key="${key}",backup_type="${type}"}`;

interface Case {
  readonly what: string;
  readonly series: Record<string, string>;
  /** Minutes. */
  readonly at: number;
  /** `alert repo_key backup_type`, all that fire; of troubles their kind stands for the type. */
  readonly firing: readonly string[];
}

const CASES: readonly Case[] = [
  { what: "all is well for a day", series: host(), at: 26 * HOUR, firing: [] },
  {
    what: "the second repository gets no backup while the first is fresh",
    series: host({ [last("2", "full")]: still(0), [last("2", "incr")]: still(0), [last("2", "diff")]: still(0) }),
    at: 26 * HOUR,
    firing: ["PgbackstopBackupTooOld 2 diff", "PgbackstopBackupTooOld 2 full", "PgbackstopBackupTooOld 2 incr"],
  },
  {
    what: "a full backup is late by ten minutes less than allowed",
    series: host({ [last("1", "full")]: still(0) }),
    at: 25 * HOUR + 5,
    firing: [],
  },
  {
    what: "the second repository takes no WAL while the first does",
    series: host({ 'pgbackstop_repo_wal_lag_seconds{stanza="main",repo_key="2"}': NOW }),
    at: 40,
    firing: ["PgbackstopRepositoryBehind 2"],
  },
  {
    what: "the second repository cannot be read: its numbers are gone and told as gone",
    series: Object.fromEntries(
      Object.entries(host({ 'pgbackstop_repo_up{stanza="main",repo_key="2"}': still(0) })).filter(
        ([name]) => !/last_backup_timestamp.*repo_key="2"|wal_(lag|gap).*repo_key="2"/.test(name),
      ),
    ),
    at: 60,
    firing: [
      "PgbackstopBackupMissing 2 diff",
      "PgbackstopBackupMissing 2 full",
      "PgbackstopBackupMissing 2 incr",
      "PgbackstopRepositoryUnreadable 2",
    ],
  },
  {
    what: "the agent is dead: WAL waits, and the timer of metrics still tells",
    series: host({ 'pgbackstop_wal_waiting_oldest_timestamp_seconds{stanza="main"}': still(600) }),
    at: 45,
    firing: ["PgbackstopWalNotArchived"],
  },
  {
    what: "the timer is dead: the textfile tells the same forever",
    series: Object.fromEntries(
      Object.entries(host()).map(([name, text]) => [
        name,
        /timestamp_seconds/.test(name) && !/drill/.test(name) ? still(0) : text,
      ]),
    ),
    at: 30,
    firing: ["PgbackstopMetricsStale"],
  },
  {
    what: "the host is gone",
    series: { 'up{job="other"}': still(1) },
    at: 65,
    firing: [
      ...["1", "2"].flatMap((key) => ["diff", "full", "incr"].map((type) => `PgbackstopBackupMissing ${key} ${type}`)),
      "PgbackstopMetricsMissing",
      "PgbackstopRepositoryMissing 1",
      "PgbackstopRepositoryMissing 2",
      "PgbackstopStatusMissing",
    ],
  },
  {
    what: "the host is gone, and the one that drills elsewhere tells the rest",
    series: Object.fromEntries(Object.entries(host()).filter(([name]) => !name.startsWith("pgbackstop_wal_"))),
    at: 60,
    firing: ["PgbackstopMetricsMissing"],
  },
  {
    what: "WAL is missing in the middle",
    series: host({ 'pgbackstop_repo_wal_gap_segments{stanza="main",repo_key="1"}': `0x1 3x${LOOKS}` }),
    at: 30,
    firing: ["PgbackstopWalGap 1"],
  },
  {
    what: "WAL was dropped, and a page is broken",
    series: host({
      'pgbackstop_repo_wal_dropped_files{stanza="main",repo_key="1"}': still(2),
      'pgbackrest_backup_error_status{stanza="main",repo_key="2",backup_name="x"}': still(1),
    }),
    at: 5,
    firing: ["PgbackstopPageErrors 2", "PgbackstopWalDropped 1"],
  },
  {
    what: "a drill failed and the next ones are missed",
    series: host({
      'pgbackstop_drill_ok{stanza="main",repo_key="2"}': still(0),
      'pgbackstop_drill_success_timestamp_seconds{stanza="main",repo_key="2"}': still(0),
    }),
    at: 10,
    firing: ["PgbackstopDrillFailed 2"],
  },
  {
    what: "a restore took longer and lost more than was promised",
    series: host({
      'pgbackstop_drill_rto_seconds{stanza="main",repo_key="2"}': still(1801),
      'pgbackstop_drill_rpo_seconds{stanza="main",repo_key="2",method="commit"}': still(301),
    }),
    at: 5,
    firing: ["PgbackstopRpoMissed 2", "PgbackstopRtoMissed 2"],
  },
  {
    what: "status reports a second server, and WAL that is gone",
    series: host({
      'pgbackstop_status_ok{stanza="main"}': still(0),
      'pgbackstop_troubles{stanza="main",trouble="branches"}': still(1),
      'pgbackstop_troubles{stanza="main",repo_key="2",trouble="older"}': still(1),
      // Its figure has an alert.
      'pgbackstop_troubles{stanza="main",repo_key="2",trouble="behind"}': still(1),
    }),
    at: 20,
    firing: ["PgbackstopNeedsAttention - branches", "PgbackstopNeedsAttention 2 older"],
  },
  {
    what: "verify found errors, and somebody has stopped it all",
    series: host({
      'pgbackstop_verify_ok{stanza="main",repo_key="1"}': still(0),
      'pgbackstop_stopped{stanza="main"}': still(1),
      'pgbackstop_run_exit_code{stanza="main",command="backup"}': still(62),
    }),
    at: 90,
    firing: ["PgbackstopRunFailed", "PgbackstopStopped", "PgbackstopVerifyFailed 1"],
  },
];

describe("promtool", () => {
  test("accepts the rules of hosts and clusters", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const folder = temporaryFolder();
    const file = join(folder, "rules.yml");
    writeFileSync(
      file,
      renderAlertFile([
        groupOf(DRILLED, { repositoryBytesMax: 1, runbookUrl: "https://example.org" }),
        groupOf(topology()),
      ]),
    );
    const { exitCode, stderr, stdout } = await run(promtool, ["check", "rules", file]);
    expect(`${stdout}${stderr}`).toMatch(/SUCCESS: \d+ rules found/);
    expect(`${stdout}${stderr}`).not.toContain("duplicate");
    expect(exitCode).toBe(0);
  });

  // claim: docs/monitoring.md: each failure fires its alert and nothing else: a stale second repository beside a fresh
  //   first one, a dead agent, a dead timer, a gap, no backup, a missed drill (recorded metrics of real failures,
  //   series made by hand, Prometheus' own promtool)
  test("fires the alerts of each failure, and no others", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const folder = temporaryFolder();
    const group = groupOf(DRILLED);
    writeFileSync(join(folder, "rules.yml"), renderAlertFile([group]));
    const tests = CASES.map((each) => testOf(group, each, each.at));
    writeFileSync(
      join(folder, "tests.json"),
      JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: `${STEP}m`, tests }),
    );
    const { exitCode, stderr, stdout } = await run(promtool, ["test", "rules", join(folder, "tests.json")]);
    expect(`${stdout}${stderr}`).toContain("SUCCESS");
    expect(exitCode).toBe(0);
  });

  // claim: docs/monitoring.md: each failure fires its…
  test("fires when no drill has passed for nine days", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const folder = temporaryFolder();
    const { name, rules } = groupOf(DRILLED);
    const group = { name, rules: rules.filter(({ alert }) => alert.startsWith("PgbackstopDrill")) };
    writeFileSync(join(folder, "rules.yml"), renderAlertFile([group]));
    const series = {
      'pgbackstop_drill_success_timestamp_seconds{stanza="main",repo_key="2"}': `0x${(240 * HOUR) / STEP}`,
    };
    const overdue = { what: "late", series, at: 220 * HOUR, firing: ["PgbackstopDrillTooOld 2"] };
    // The limit is eight days plus an hour of margin.
    const early = { what: "not yet", series, at: 192 * HOUR, firing: [] };
    const tests = [early, overdue].map((each) => testOf(group, each, each.at));
    writeFileSync(
      join(folder, "tests.json"),
      JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: `${STEP}m`, tests }),
    );
    const { stderr, stdout } = await run(promtool, ["test", "rules", join(folder, "tests.json")]);
    expect(`${stdout}${stderr}`).toContain("SUCCESS");
  });

  // claim: docs/monitoring.md, docs/dumps.md: a late dump and a missing one fire alerts
  test("fires for a late dump and a missing one, for each repository that gets dumps", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const { name, rules } = groupOf(topology({ dumps: { cron: "30 4 * * *" } }));
    const group = { name, rules: rules.filter(({ alert }) => alert.startsWith("PgbackstopDump")) };
    const dumped = (key: number, values: string): Record<string, string> => ({
      [`pgbackstop_repo_last_dump_timestamp_seconds{stanza="main",repo_key="${key}"}`]: values,
    });
    const fresh = dumped(1, NOW);
    const tests: readonly Case[] = [
      // A daily dump, and an hour.
      { what: "not yet", series: { ...fresh, ...dumped(2, still(0)) }, at: 25 * HOUR, firing: [] },
      { what: "late", series: { ...fresh, ...dumped(2, still(0)) }, at: 26 * HOUR, firing: ["PgbackstopDumpTooOld 2"] },
      { what: "no time for the first one yet", series: fresh, at: 24 * HOUR, firing: [] },
      { what: "never one", series: fresh, at: 26 * HOUR, firing: ["PgbackstopDumpMissing 2"] },
    ];
    const made = tests.map((each) => testOf(group, each, each.at));
    const { exitCode, stderr, stdout } = await promtoolTest(promtool, group, ...made);
    expect(`${stdout}${stderr}`).toContain("SUCCESS");
    expect(exitCode).toBe(0);
  });

  // claim: docs/monitoring.md: a stalled stream and a missing one fire alerts; late scrapes do not
  test("fires for a stalled stream and a missing one, but not for old metrics", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const { name, rules } = groupOf(STREAMED);
    const group = { name, rules: rules.filter(({ alert }) => alert.startsWith("PgbackstopStream")) };
    // Two uploads (10 s each), the interval (5 s) and the pause after a failure (10 s) take less than a minute.
    expect(group.rules.map(({ expr }) => expr).filter((expr) => expr.endsWith(" > 60"))).toHaveLength(2);
    const collected = 'pgbackstop_collected_timestamp_seconds{stanza="main",instance="db1"}';
    const stream = (key: number): string =>
      `pgbackstop_repo_stream_timestamp_seconds{stanza="main",repo_key="${key}",instance="db1"}`;
    const of = (what: string, series: Record<string, string>, at: number, firing: readonly string[]): object => {
      const made = testOf(group, { what, series, at, firing }, at) as {
        alert_rule_test: {
          exp_alerts: { exp_labels: Record<string, string>; exp_annotations: Record<string, string> }[];
        }[];
      };
      for (const { exp_alerts: alerts } of made.alert_rule_test)
        for (const alert of alerts) {
          if (
            alert.exp_labels["alertname"] === undefined &&
            !/nothing is streamed/.test(alert.exp_annotations["summary"] ?? "")
          ) {
            alert.exp_labels["instance"] = "db1";
            alert.exp_annotations["summary"] = (alert.exp_annotations["summary"] ?? "").replace(/for $/, "for 30m 0s");
          }
        }
      return made;
    };
    const tests = [
      // A timer writes the file every five minutes, and the stream is thirty seconds behind.
      of("well", { [collected]: `0+300x40`, [stream(1)]: `-30+300x40`, [stream(2)]: `-30+300x40` }, 30, []),
      of("repo2 stands still", { [collected]: `0+300x40`, [stream(1)]: `0+300x40`, [stream(2)]: `0x40` }, 30, [
        "PgbackstopStreamBehind 2",
      ]),
      of("nothing was ever streamed into repo1", { [collected]: `0+300x40`, [stream(2)]: `0+300x40` }, 30, [
        "PgbackstopStreamMissing 1",
      ]),
      of("the file is old", { [collected]: `0x40`, [stream(1)]: `0x40`, [stream(2)]: `0x40` }, 60, []),
    ];
    const { exitCode, stderr, stdout } = await promtoolTest(promtool, group, ...tests);
    expect(`${stdout}${stderr}`).toContain("SUCCESS");
    expect(exitCode).toBe(0);
  });
});

/** Evaluates every alert of the group at that minute. The listed ones must fire, and no others. */
function testOf(group: AlertGroup, { firing, series, what }: Case, atMinutes: number): object {
  const names = [...new Set(group.rules.map(({ alert }) => alert))];
  return {
    name: what,
    interval: `${STEP}m`,
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: names.map((alertname) => ({
      eval_time: `${atMinutes}m`,
      alertname,
      exp_alerts: firing
        .filter((text) => text.split(" ")[0] === alertname)
        .map((text) => {
          const [, shown, type] = text.split(" ");
          const key = shown === "-" ? undefined : shown;
          const rule = group.rules.find(
            ({ alert, labels }) =>
              alert === alertname &&
              (labels["repo_key"] ?? key) === key &&
              (labels["backup_type"] ?? labels["trouble"]) === type,
          );
          const extra =
            { PgbackstopRunFailed: { command: "backup" }, PgbackstopRpoMissed: { method: "commit" } }[alertname] ?? {};
          return {
            exp_labels: { stanza: "main", ...(key === undefined ? {} : { repo_key: key }), ...rule?.labels, ...extra },
            exp_annotations: annotationsOf(rule, series, key),
          };
        }),
    })),
  };
}

/** The annotations as Prometheus expands the templates in these cases. */
function annotationsOf(
  rule: AlertGroup["rules"][number] | undefined,
  series: Record<string, string>,
  key: string | undefined,
): Record<string, string> {
  const name = /(pgback[a-z_]+)/.exec(rule?.expr ?? "")?.[1] ?? "";
  const values =
    Object.entries(series).find(
      ([text]) => text.startsWith(name) && (key === undefined || text.includes(`repo_key="${key}"`)),
    )?.[1] ?? "";
  const value = values.split(" ").at(-1)?.split(/[x+]/)[0] ?? "";
  const spoken: Readonly<Record<string, string>> = { "1801": "30m 1s", "301": "5m 1s" };
  return Object.fromEntries(
    Object.entries(rule?.annotations ?? {}).map(([annotation, text]) => [
      annotation,
      text
        .replace("{{ $labels.command }}", "backup")
        .replace("{{ $labels.repo_key }}", key ?? "")
        .replace("{{ $value | humanizeDuration }}", spoken[value] ?? "")
        .replace("{{ $value }}", value),
    ]),
  );
}

/** Parses one scrape into sample → value. */
function valuesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

describe("metrics of real repositories", async () => {
  const parts = await findParts("metrics", MAJOR, "2.60");
  if (parts === null) return;
  const { binaries, stock } = parts;
  let bed: TestBed;
  let well: Scrape;
  let waiting: Scrape;
  let missing: Scrape;
  const scrape = async (config?: string): Promise<Scrape> => {
    const atS = Math.floor(Date.now() / 1000);
    return { atS, text: (await bed.oursOk(["metrics"], config === undefined ? {} : { config })).stdout };
  };
  const drill = (config?: string): Promise<unknown> => {
    const args = [
      `--drill-path=${join(bed.folder, "drill")}`,
      `--bin-path=${binaries.folder}`,
      "--repo=1",
      "--pick=newest",
      "--level=quick",
    ];
    return bed.oursOk(["drill", ...args], config === undefined ? {} : { config });
  };
  const ownedFolder = (name: string): string => {
    const path = join(bed.folder, name);
    mkdirSync(path);
    giveTo(path, bed.cluster.user);
    return path;
  };
  /**
   * Copies one repository, in which a test then plants a fault. The spool is empty, so state of earlier runs has no
   * effect.
   */
  const copyOf = async (key: number, name: string): Promise<{ readonly config: string; readonly path: string }> => {
    const path = join(bed.folder, name);
    await runOk("cp", ["-a", bed.repoPath(key), path]);
    return {
      path,
      config: bed.variant(name, { global: { [`repo${key}-path`]: path, "spool-path": ownedFolder(`${name}-spool`) } }),
    };
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "gz" }, { encrypted: true, compressType: "zst", options: { bundle: "y", block: "y" } }],
      global: { "repo1-retention-full": "9", "repo2-retention-full": "9" },
    });
    await bed.startWithStanza();
    await fillBed(bed, 2000);
    await dropTemplates(bed);
    await bed.stockOk(stock, ["backup", "--type=full", "--repo=1", "--annotation=made=by stock", "--no-expire-auto"]);
    await bed.oursOk(["backup", "--type=full", "--repo=2"]);
    await writeMore(bed);
    await bed.oursOk(["backup", "--type=incr"]);
    await writeMore(bed);
    await bed.stockOk(stock, ["backup", "--type=diff", "--repo=2", "--compress-type=zst", "--no-expire-auto"]);
    await bed.archiveAll();
    // WAL after the last backup. No backup needs it.
    await writeMore(bed);
    await bed.archiveAll();
    await writeMore(bed);
    await bed.archiveAll();
  });
  afterAll(() => bed?.remove());

  test("match the exporter's metrics from stock's info for every backup, and Prometheus reads them", async (context) => {
    const expected = exporterOf((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
    const { text } = await scrape();
    const values = valuesOf(text);
    const differing = [...expected]
      .filter(([sample, value]) => values.get(sample) !== value)
      .map(([sample, value]) => `${sample} ${value} / ${values.get(sample)}`);
    expect(differing).toEqual([]);
    expect(expected.size).toBeGreaterThan(50);
    // Ours adds no samples to the families that stock's info covers.
    const families = new Set([...expected.keys()].map((sample) => sample.split("{")[0]));
    expect([...values.keys()].filter((sample) => families.has(sample.split("{")[0]) && !expected.has(sample))).toEqual(
      [],
    );

    const promtool = await promtoolOrSkip(context);
    const checked = await run(promtool, ["check", "metrics"], { input: text });
    expect(`${checked.stdout}${checked.stderr}`.trim()).toBe("");
    expect(checked.exitCode).toBe(0);
  });

  // claim: docs/monitoring.md: each failure fires its…
  test("fire no alert on a healthy host, and fire for each missed objective", async (context) => {
    const promtool = await promtoolOrSkip(context);
    await bed.archiveAll();
    await bed.oursOk(["verify", "--output=none"]);
    // Never archived, so a restore loses it.
    await bed.cluster.sql("CREATE TABLE too_late AS SELECT 1");
    await drill();
    well = await scrape();
    expect(await firingIn(promtool, well)).toEqual([]);
    const strict = groupOf({ ...DECLARED, objectives: { ...DECLARED.objectives, rtoMinutes: 0.01, rpoSeconds: 0.01 } });
    expect(await firingIn(promtool, well, { group: strict })).toEqual([
      "PgbackstopRpoMissed 1",
      "PgbackstopRtoMissed 1",
    ]);
    expect(await firingIn(promtool, well, { afterS: 26 * HOUR_S })).toEqual(
      both((key) => [`BackupTooOld ${key} full`, `BackupTooOld ${key} incr`]),
    );
    expect(await firingIn(promtool, well, { afterS: 10 * 24 * HOUR_S })).toContain("PgbackstopDrillTooOld 1");
  });

  // claim: docs/monitoring.md: each failure fires its…
  test("fire when they stop, or never change", async (context) => {
    const promtool = await promtoolOrSkip(context);
    expect(await firingIn(promtool, well, { isStill: true })).toEqual(["PgbackstopMetricsStale"]);
    const gone = both((key) => [`BackupMissing ${key} full`, `BackupMissing ${key} incr`]);
    const untold = ["PgbackstopRepositoryMissing 1", "PgbackstopRepositoryMissing 2"];
    expect(await firingIn(promtool, { ...well, text: "" })).toEqual([
      ...gone,
      "PgbackstopMetricsMissing",
      ...untold,
      "PgbackstopStatusMissing",
    ]);
  });

  // claim: docs/monitoring.md: each failure fires its…
  test("fire for a damaged repository, by verify and by a drill", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const { config, path } = await copyOf(1, "damaged");
    const files = (await runOk("find", [join(path, "backup"), "-name", "*.gz", "-size", "+40k"])).trim().split("\n");
    for (const file of files) {
      const bytes = readFileSync(file);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
      writeFileSync(file, bytes);
    }
    expect((await bed.ours(["verify", "--output=none"], { config })).exitCode).not.toBe(0);
    await expect(drill(config)).rejects.toThrow();
    const failed = ["PgbackstopRunFailed", "PgbackstopRunFailed"];
    expect(await firingIn(promtool, await scrape(config))).toEqual([
      "PgbackstopDrillFailed 1",
      ...failed,
      "PgbackstopVerifyFailed 1",
    ]);
  });

  // claim: docs/monitoring.md: each failure fires its…
  test("fire for a gap in the WAL, for a wrong passphrase, for an empty and for a lost repository", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const { config, path } = await copyOf(1, "gap");
    const directory = join(path, "archive", bed.stanza, `${MAJOR}-1`, "0000000100000000");
    rmSync(join(directory, segmentsOf(directory).at(-2) ?? ""));
    expect(await firingIn(promtool, await scrape(config))).toEqual(["PgbackstopWalGap 1"]);

    const lacking = ["PgbackstopBackupMissing 2 full", "PgbackstopBackupMissing 2 incr"];
    const unreadable = [...lacking, "PgbackstopRepositoryUnreadable 2"];
    const locked = bed.variant("locked", { global: { "repo2-cipher-pass": "no longer the one" } });
    expect(await firingIn(promtool, await scrape(locked))).toEqual(unreadable);
    // A mount point with nothing mounted.
    const bare = bed.variant("bare", { global: { "repo2-path": ownedFolder("bare") } });
    expect(await firingIn(promtool, await scrape(bare))).toEqual(lacking);
    writeFileSync(join(bed.folder, "no-directory"), "");
    const lost = bed.variant("lost", { global: { "repo2-path": join(bed.folder, "no-directory") } });
    expect(await firingIn(promtool, await scrape(lost))).toEqual(unreadable);
  });

  // claim: docs/monitoring.md: each failure fires its…
  test("fire while WAL is missing, waits, or reaches only one repository", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const { config, path } = await copyOf(2, "behind");
    const directory = join(path, "archive", bed.stanza, `${MAJOR}-1`, "0000000100000000");
    const stored = segmentsOf(directory);
    for (const name of stored.slice(-2)) rmSync(join(directory, name));
    const longAgoS = Date.now() / 1000 - 1200;
    for (const name of stored.slice(0, -2)) utimesSync(join(directory, name), longAgoS, longAgoS);
    expect(await firingIn(promtool, await scrape(config))).toEqual([
      "PgbackstopNeedsAttention 2 older",
      "PgbackstopRepositoryBehind 2",
    ]);

    await bed.stopArchiving();
    await writeMore(bed);
    const segment = await bed.cluster.value("SELECT pg_walfile_name(pg_switch_wal())");
    const ready = join(bed.cluster.dataPath, "pg_wal/archive_status", `${segment}.ready`);
    await waitFor("a segment that waits", 60_000, async () => (existsSync(ready) ? true : null));
    waiting = await scrape();
    const global = { "repo2-path": join(bed.folder, "no-directory"), "spool-path": ownedFolder("missing-spool") };
    const any = bed.variant("missing", { global, settings: { acknowledge: "any" } });
    await bed.oursOk(["archive-push", join(bed.cluster.dataPath, "pg_wal", segment)], { config: any });
    missing = await scrape(any);
    await bed.cluster.sql("ALTER SYSTEM RESET archive_command");
    await bed.cluster.sql("SELECT pg_reload_conf()");
    expect(await firingIn(promtool, waiting)).toEqual(["PgbackstopWalNotArchived"]);
    expect(await firingIn(promtool, missing)).toContain("PgbackstopWalMissing 2");
  });

  // claim: docs/monitoring.md: each failure fires its…
  test("fire for the second repository when only the first has had a backup in the last day", async (context) => {
    const promtool = await promtoolOrSkip(context);
    await bed.oursOk(["backup", "--type=full", "--repo=1"]);
    // The backup waited for its WAL in repo1 only. A segment that is not yet acknowledged to PostgreSQL would fire too.
    await bed.archiveAll();
    const fresh = await scrape();
    const forgotten = { afterS: 26 * HOUR_S, since: well };
    expect(await firingIn(promtool, fresh, forgotten)).toEqual([
      "PgbackstopBackupTooOld 2 full",
      "PgbackstopBackupTooOld 2 incr",
    ]);
  });

  // claim: docs/monitoring.md: the dashboard queries existing…
  test("give every panel of the dashboard data to draw", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const { panels } = dashboardOf([DECLARED]) as {
      panels: readonly { title: string; targets?: readonly { expr: string }[] }[];
    };
    const exprs = panels.flatMap(({ targets = [] }) =>
      targets.map(({ expr }) => expr.replaceAll(/\$(stanza|repo_key)/g, ".*")),
    );
    const drawn = new Set(
      (await Promise.all([well, waiting, missing].map((each) => answeredIn(promtool, exprs, each)))).flat(),
    );
    // Only agent queues and sidecars provide this metric.
    expect(exprs.filter((expr) => !drawn.has(expr) && !expr.includes("pgbackstop_repo_wal_waiting_files"))).toEqual([]);
    expect(exprs.length).toBeGreaterThan(20);
  });
});

interface Scrape {
  readonly text: string;
  readonly atS: number;
}

interface ScrapeOptions {
  readonly group?: AlertGroup;
  /** Evaluates this many seconds after the recording, with no changes since. */
  readonly afterS?: number;
  /** Samples that are unchanged since this recording get that much older; changed samples stay fresh. */
  readonly since?: Scrape;
  /** Collection has stopped: the same text forever. */
  readonly isStill?: boolean;
}

/**
 * Converts a recorded scrape to promtool series. A timestamp keeps its distance from the scrape, now counted from
 * promtool's time 0. The collection timestamp keeps advancing.
 */
function seriesOf(
  { atS, text }: Scrape,
  { isStill = false, afterS = 0, since }: ScrapeOptions,
): { readonly series: string; readonly values: string }[] {
  const before = since === undefined ? null : valuesOf(since.text);
  return [...valuesOf(text)].map(([series, value]) => {
    if (series.startsWith("pgbackstop_collected") && !isStill) return { series, values: `0+${STEP * 60}x20` };
    const isOld = before === null || before.get(series) === value;
    return { series, values: `${/_timestamp_seconds\{/.test(series) ? value - atS - (isOld ? afterS : 0) : value}x20` };
  });
}

/**
 * Alerts that fire an hour and a half into a recorded state, as `name repo_key backup_type trouble`. promtool prints
 * them because the test declares that none are expected.
 */
async function firingIn(promtool: string, scraped: Scrape, options: ScrapeOptions = {}): Promise<string[]> {
  const { group = groupOf(DECLARED) } = options;
  const names = [...new Set(group.rules.map(({ alert }) => alert))];
  const { exitCode, stderr, stdout } = await promtoolTest(promtool, group, {
    interval: `${STEP}m`,
    input_series: seriesOf(scraped, options),
    alert_rule_test: names.map((alertname) => ({ eval_time: `${LOOK_MINUTES}m`, alertname, exp_alerts: [] })),
  });
  expect(exitCode === 0 || stdout.includes("Labels:") || stderr.includes("Labels:"), `${stdout}${stderr}`).toBe(true);
  const labels = [...`${stdout}${stderr}`.matchAll(/Labels:\{([^}]*)\}/g)].map(([, args]) => args ?? "");
  const labelOf = (args: string, label: string): string => new RegExp(`${label}="([^"]*)"`).exec(args)?.[1] ?? "";
  return labels
    .map((args) =>
      ["alertname", "repo_key", "backup_type", "trouble"].flatMap((label) => labelOf(args, label) || []).join(" "),
    )
    .sort((a, b) => (a < b ? -1 : 1));
}

/**
 * The expressions that return data for a recorded state. promtool prints the data because the test declares that none
 * is expected.
 */
async function answeredIn(promtool: string, exprs: readonly string[], scraped: Scrape): Promise<string[]> {
  const { stdout, stderr } = await promtoolTest(promtool, groupOf(DECLARED), {
    interval: `${STEP}m`,
    input_series: seriesOf(scraped, {}),
    promql_expr_test: exprs.map((expr) => ({ expr, eval_time: `${LOOK_MINUTES}m`, exp_samples: [] })),
  });
  const answered = [...`${stdout}${stderr}`.matchAll(/expr: ("(?:[^"\\]|\\.)*"), time/g)].map(
    ([, expr = ""]) => JSON.parse(expr) as string,
  );
  expect(`${stdout}${stderr}`).not.toMatch(/parse error/i);
  return answered;
}

/** Alerts of both repositories; adds the common prefix of alert names. */
function both(make: (key: number) => readonly string[]): string[] {
  return [1, 2].flatMap((key) => make(key).map((text) => `Pgbackstop${text}`)).sort((a, b) => (a < b ? -1 : 1));
}

function segmentsOf(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^[0-9A-F]{24}-/.test(name))
    .sort();
}

async function promtoolTest(
  promtool: string,
  group: AlertGroup,
  ...asked: readonly object[]
): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "rules.yml"), renderAlertFile(group.rules.length === 0 ? [] : [group]));
  writeFileSync(
    join(folder, "tests.json"),
    JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: `${STEP}m`, tests: asked }),
  );
  return run(promtool, ["test", "rules", join(folder, "tests.json")]);
}
