/**
 * The alert rules in Prometheus' own `promtool`: each failure fires what it should, and nothing else; and what `metrics` prints of repositories
 * that stock and we have made is what Prometheus reads, and what stock's `info` says.
 */
import { readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alertGroupOf } from "../../components/plan/alerts";
import type { AlertGroup } from "../../components/plan/alerts/rule";
import { resolveHost } from "../../components/plan/resolve";
import { type Topology, topologyOf } from "../../components/plan/topology";
import { renderAlertFile } from "../../components/render/alerts";
import { PUBLISHED } from "../../examples/vps-nas-r2/settings";
import { run } from "../../tools/parts/process";
import { topology } from "../components/topologies";
import { findParts } from "../harness/interopParts";
import { promtoolOrSkip } from "../harness/parts";
import { fillBed, writeMore } from "../harness/sampleData";
import { exporterOf } from "../harness/stockMetrics";
import { TestBed } from "../harness/testBed";
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

/** Minutes between two looks; three days of them. */
const STEP = 5;
const LOOKS = (72 * 60) / STEP;
const still = (value: number): string => `${value}x${LOOKS}`;
/** A moment that is always now. */
const NOW = `0+${STEP * 60}x${LOOKS}`;

/** Series of a host that is well at the time 0 of promtool, with a look each five minutes. */
const HOUR = 60;
const repoSeries = (key: string, more: Record<string, string> = {}): Record<string, string> => ({
  [`pgbackstop_repo_up{stanza="main",repo_key="${key}"}`]: still(1),
  [`pgbackstop_repo_wal_lag_seconds{stanza="main",repo_key="${key}"}`]: still(0),
  [`pgbackstop_repo_wal_gap_segments{stanza="main",repo_key="${key}"}`]: still(0),
  [`pgbackstop_repo_wal_debt_files{stanza="main",repo_key="${key}"}`]: still(0),
  // Backups end at each full hour, of every type: what they are late by is what a case changes.
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
  'pgbackstop_stopped{stanza="main"}': still(0),
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
  /** `alert repo_key backup_type`, all that fire. */
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
      Object.entries(host()).map(([name, text]) => [name, /timestamp_seconds/.test(name) && !/drill/.test(name) ? still(0) : text]),
    ),
    at: 30,
    firing: ["PgbackstopMetricsStale"],
  },
  {
    what: "the host is gone",
    series: { 'up{job="other"}': still(1) },
    at: 60,
    firing: [
      ...["1", "2"].flatMap((key) => ["diff", "full", "incr"].map((type) => `PgbackstopBackupMissing ${key} ${type}`)),
      "PgbackstopMetricsMissing",
      "PgbackstopRepositoryUntold 1",
      "PgbackstopRepositoryUntold 2",
    ],
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
  test("finds nothing wrong with the rules of hosts and clusters", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const folder = temporaryFolder();
    const file = join(folder, "rules.yml");
    writeFileSync(file, renderAlertFile([groupOf(DRILLED, { repositoryBytesMax: 1, runbookUrl: "https://example.org" }), groupOf(topology())]));
    const { exitCode, stderr, stdout } = await run(promtool, ["check", "rules", file]);
    expect(`${stdout}${stderr}`).toMatch(/SUCCESS: \d+ rules found/);
    expect(`${stdout}${stderr}`).not.toContain("duplicate");
    expect(exitCode).toBe(0);
  });

  test("sees each failure fire, and nothing else", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const folder = temporaryFolder();
    const group = groupOf(DRILLED);
    writeFileSync(join(folder, "rules.yml"), renderAlertFile([group]));
    const tests = CASES.map((each) => testOf(group, each, each.at));
    writeFileSync(join(folder, "tests.json"), JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: `${STEP}m`, tests }));
    const { exitCode, stderr, stdout } = await run(promtool, ["test", "rules", join(folder, "tests.json")]);
    expect(`${stdout}${stderr}`).toContain("SUCCESS");
    expect(exitCode).toBe(0);
  });

  test("sees that no drill has passed for nine days", async (context) => {
    const promtool = await promtoolOrSkip(context);
    const folder = temporaryFolder();
    const { name, rules } = groupOf(DRILLED);
    const group = { name, rules: rules.filter(({ alert }) => alert.startsWith("PgbackstopDrill")) };
    writeFileSync(join(folder, "rules.yml"), renderAlertFile([group]));
    const series = { 'pgbackstop_drill_success_timestamp_seconds{stanza="main",repo_key="2"}': `0x${(240 * HOUR) / STEP}` };
    const late = { what: "late", series, at: 220 * HOUR, firing: ["PgbackstopDrillTooOld 2"] };
    // Eight days are allowed, and an hour to be sure.
    const early = { what: "not yet", series, at: 192 * HOUR, firing: [] };
    const tests = [early, late].map((each) => testOf(group, each, each.at));
    writeFileSync(join(folder, "tests.json"), JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: `${STEP}m`, tests }));
    const { stderr, stdout } = await run(promtool, ["test", "rules", join(folder, "tests.json")]);
    expect(`${stdout}${stderr}`).toContain("SUCCESS");
  });
});

/** Every alert of the group is asked for at that minute: those that shall fire, and that the others do not. */
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
          const [, key, type] = text.split(" ");
          const rule = group.rules.find(
            ({ alert, labels }) => alert === alertname && (labels["repo_key"] ?? key) === key && labels["backup_type"] === type,
          );
          const extra = { PgbackstopRunFailed: { command: "backup" }, PgbackstopRpoMissed: { method: "commit" } }[alertname] ?? {};
          return {
            exp_labels: { stanza: "main", ...(key === undefined ? {} : { repo_key: key }), ...rule?.labels, ...extra },
            exp_annotations: annotationsOf(rule, series, key),
          };
        }),
    })),
  };
}

/** As the templates come out in these cases. */
function annotationsOf(
  rule: AlertGroup["rules"][number] | undefined,
  series: Record<string, string>,
  key: string | undefined,
): Record<string, string> {
  const name = /(pgback[a-z_]+)/.exec(rule?.expr ?? "")?.[1] ?? "";
  const values =
    Object.entries(series).find(([text]) => text.startsWith(name) && (key === undefined || text.includes(`repo_key="${key}"`)))?.[1] ?? "";
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

/** Of one scrape: each sample's value by its text. */
function valuesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

describe("metrics of real repositories", async () => {
  const parts = await findParts("metrics", 18, "2.60");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  const { binaries, stock } = parts;
  let bed: TestBed;
  let nowS = 0;
  const scrape = async (): Promise<string> => {
    nowS = Math.floor(Date.now() / 1000);
    return (await bed.oursOk(["metrics"])).stdout;
  };

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "gz" }, { encrypted: true, compressType: "zst", options: { bundle: "y", block: "y" } }],
      global: { "repo1-retention-full": "9", "repo2-retention-full": "9", "process-max": "2" },
    });
    await bed.cluster.start();
    await bed.oursOk(["stanza-create"]);
    await fillBed(bed, 2000);
    await bed.stockOk(stock, ["backup", "--type=full", "--repo=1", "--annotation=made=by stock", "--no-expire-auto"]);
    await bed.oursOk(["backup", "--type=full", "--repo=2"]);
    await writeMore(bed);
    await bed.oursOk(["backup", "--type=incr"]);
    await writeMore(bed);
    await bed.stockOk(stock, ["backup", "--type=diff", "--repo=2", "--compress-type=zst", "--no-expire-auto"]);
    await bed.archiveAll();
  });
  afterAll(() => bed?.remove());

  test("say of every backup what the exporter says of stock's info, and Prometheus reads them", async (context) => {
    const expected = exporterOf((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
    const text = await scrape();
    const values = valuesOf(text);
    const differing = [...expected]
      .filter(([sample, value]) => values.get(sample) !== value)
      .map(([sample, value]) => `${sample} ${value} / ${values.get(sample)}`);
    expect(differing).toEqual([]);
    expect(expected.size).toBeGreaterThan(50);
    // Nothing of these names that stock does not know.
    const families = new Set([...expected.keys()].map((sample) => sample.split("{")[0]));
    expect([...values.keys()].filter((sample) => families.has(sample.split("{")[0]) && !expected.has(sample))).toEqual([]);

    const promtool = await promtoolOrSkip(context);
    const checked = await run(promtool, ["check", "metrics"], { input: text });
    expect(`${checked.stdout}${checked.stderr}`.trim()).toBe("");
    expect(checked.exitCode).toBe(0);
  });

  test("recorded in a failure they fire its alert, and none when all is well", async (context) => {
    const promtool = await promtoolOrSkip(context);
    await bed.oursOk(["verify", "--output=none"]);
    const well = await scrape();
    const wellAtS = nowS;
    // WAL between the backups of the first repository.
    const directory = join(bed.repoPath(1), "archive", bed.stanza, "18-1", "0000000100000000");
    const lost = join(
      directory,
      readdirSync(directory)
        .filter((name) => /^[0-9A-F]{24}-/.test(name))
        .sort()
        .at(-2) ?? "",
    );
    renameSync(lost, `${bed.folder}/lost`);
    const gap = await scrape();
    renameSync(`${bed.folder}/lost`, lost);
    renameSync(bed.repoPath(2), `${bed.repoPath(2)}.away`);
    // A place without anything in it: readable, and without a backup.
    writeFileSync(bed.repoPath(2), "no directory");
    const away = await scrape();
    rmSync(bed.repoPath(2));
    renameSync(`${bed.repoPath(2)}.away`, bed.repoPath(2));

    const group = groupOf(topology({ schedules: { full: { cron: "0 2 * * *" }, incr: { cron: "30 * * * *" } } }));
    expect(await firingIn(promtool, group, well, wellAtS)).toEqual([]);
    expect(await firingIn(promtool, group, gap, wellAtS)).toEqual(["PgbackstopWalGap 1"]);
    expect(await firingIn(promtool, group, away, wellAtS)).toEqual(["PgbackstopBackupMissing 2 full", "PgbackstopBackupMissing 2 incr"]);
  });
});

/** A recorded scrape as promtool's series: its moments as far from promtool's beginning as they were from the scrape; that of the gathering goes on. */
function seriesOf(text: string, recordedAtS: number): { readonly series: string; readonly values: string }[] {
  return [...valuesOf(text)].map(([series, value]) => {
    if (series.startsWith("pgbackstop_collected")) return { series, values: `0+${STEP * 60}x20` };
    return { series, values: `${/_timestamp_seconds\{/.test(series) ? value - recordedAtS : value}x20` };
  });
}

/** Alerts that fire after 45 minutes of a recorded state; promtool tells them where none is expected. */
async function firingIn(promtool: string, group: AlertGroup, text: string, recordedAtS: number): Promise<string[]> {
  const names = [...new Set(group.rules.map(({ alert }) => alert))];
  const { stdout, stderr } = await promtoolTest(promtool, group, {
    interval: `${STEP}m`,
    input_series: seriesOf(text, recordedAtS),
    alert_rule_test: names.map((alertname) => ({ eval_time: "45m", alertname, exp_alerts: [] })),
  });
  const labels = [...`${stdout}${stderr}`.matchAll(/Labels:\{([^}]*)\}/g)].map(([, words]) => words ?? "");
  const word = (words: string, label: string): string => new RegExp(`${label}="([^"]*)"`).exec(words)?.[1] ?? "";
  return labels
    .map((words) => [word(words, "alertname"), word(words, "repo_key"), word(words, "backup_type")].join(" ").trim())
    .sort((a, b) => (a < b ? -1 : 1));
}

async function promtoolTest(
  promtool: string,
  group: AlertGroup,
  asked: object,
): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "rules.yml"), renderAlertFile(group.rules.length === 0 ? [] : [group]));
  writeFileSync(join(folder, "tests.json"), JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: `${STEP}m`, tests: [asked] }));
  return run(promtool, ["test", "rules", join(folder, "tests.json")]);
}
