/**
 * A Grafana dashboard for the metrics of hosts and clusters: state, age of the newest backups, WAL, sizes, durations,
 * drills, and dumps if a database declares some. Every panel shows each repository separately. Declared schedules and
 * objectives set the colour thresholds.
 * Its data source is a variable. Pure.
 */
import { backupAgeLimit } from "../../plan/alerts";
import { dumpAgeLimit } from "../../plan/alerts/dumps";
import type { Topology } from "../../plan/topology/topology";
import { given } from "../../../runtime/base/given";

interface Target {
  readonly expr: string;
  readonly legend: string;
}

interface Panel {
  readonly title: string;
  readonly description?: string;
  readonly kind: "stat" | "timeseries";
  readonly unit: string;
  readonly targets: readonly Target[];
  /** Green below the first step, then each step's colour. */
  readonly steps?: readonly (readonly [color: string, from: number | null])[];
  readonly width: number;
  /** Display of -1, which stands for a missing number: nobody would notice a missing tile. */
  readonly missing?: { readonly text: string; readonly color: string };
}

const OF = 'stanza=~"$stanza",repo_key=~"$repo_key"';
const OF_STANZA = 'stanza=~"$stanza"';
const REPO = "{{stanza}} repo{{repo_key}}";
const TYPES = ["full", "diff", "incr"] as const;
const WIDTH = 24;
const HEIGHT = 7;
const STAT_HEIGHT = 4;
const GOOD = "green";
const WARN = "orange";
const BAD = "red";
const NEUTRAL = "text";
const BAD_ABOVE_0 = [
  [GOOD, null],
  [BAD, 1],
] as const;
const GOOD_FROM_1 = [
  [BAD, null],
  [GOOD, 1],
] as const;

/** @param topologies set the colour thresholds; without any, a day for backups and an hour for WAL */
export function dashboardOf(topologies: readonly Topology[], title = "PostgreSQL backups"): object {
  const panels: object[] = [];
  let y = 0;
  let id = 0;
  for (const [row, members] of rowsOf(topologies)) {
    panels.push({
      id: ++id,
      type: "row",
      title: row,
      collapsed: false,
      panels: [],
      gridPos: { h: 1, w: WIDTH, x: 0, y: y++ },
    });
    let x = 0;
    let height = 0;
    for (const panel of members) {
      const h = panel.kind === "stat" ? STAT_HEIGHT : HEIGHT;
      if (x + panel.width > WIDTH) {
        y += height;
        x = 0;
        height = 0;
      }
      panels.push(panelOf(panel, ++id, { h, w: panel.width, x, y }));
      x += panel.width;
      height = Math.max(height, h);
    }
    y += height;
  }
  return {
    title,
    uid: null,
    tags: ["postgresql", "backup", "pgbackstop"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: "1m",
    time: { from: "now-7d", to: "now" },
    timezone: "browser",
    templating: {
      list: [
        dataSource(),
        variable("stanza", "pgbackstop_repo_up"),
        variable("repo_key", `pgbackstop_repo_up{${OF_STANZA}}`),
      ],
    },
    annotations: { list: [] },
    links: [],
    panels,
  };
}

export function renderDashboard(topologies: readonly Topology[], title?: string): string {
  return `${JSON.stringify(dashboardOf(topologies, title), null, 2)}\n`;
}

/** Colour thresholds. */
interface Limits {
  readonly rpoS: number;
  readonly rtoS: number;
  readonly ageS: Readonly<Record<(typeof TYPES)[number], number>>;
  readonly scheduled: readonly string[];
  /** Null without dumps. */
  readonly dumpAgeS: number | null;
}

/** The strictest of the topologies; default: a daily backup and an hour. */
function limitsOf(topologies: readonly Topology[]): Limits {
  const strictest = <T>(values: readonly (number | null | undefined)[], fallback: T): number | T => {
    const known = values.filter((value) => typeof value === "number");
    return known.length === 0 ? fallback : Math.min(...known);
  };
  const ageOf = (type: (typeof TYPES)[number]): number =>
    strictest(
      topologies.flatMap((topology) =>
        topology.repositories.map(({ key }) => backupAgeLimit(topology, key, type)?.limitS),
      ),
      90_000,
    );
  return {
    rpoS: strictest(
      topologies.map(({ objectives }) => objectives.rpoSeconds),
      3600,
    ),
    rtoS: strictest(
      topologies.map(({ objectives: { rtoMinutes } }) => (rtoMinutes === undefined ? null : rtoMinutes * 60)),
      3600,
    ),
    scheduled: topologies.flatMap(({ schedules }) => schedules.map(({ type }) => type)),
    dumpAgeS: strictest(
      topologies.flatMap((topology) => topology.repositories.map(({ name }) => dumpAgeLimit(topology, name)?.limitS)),
      null,
    ),
    ageS: { full: ageOf("full"), diff: ageOf("diff"), incr: ageOf("incr") },
  };
}

function rowsOf(topologies: readonly Topology[]): readonly (readonly [string, readonly Panel[]])[] {
  const limits = limitsOf(topologies);
  return [
    ["Now", statePanels(limits)],
    ["WAL", walPanels(limits)],
    ["Sizes and durations", sizePanels()],
    ["Fire drills", drillPanels(limits)],
    ...(limits.dumpAgeS === null ? [] : [["Logical dumps", dumpPanels(limits.dumpAgeS)] as const]),
  ];
}

function above(limit: number): NonNullable<Panel["steps"]> {
  return [
    [GOOD, null],
    [WARN, limit],
    [BAD, 2 * limit],
  ];
}

/** -1 for each repository with this metric. */
function missingOf(metric: string): string {
  return `${ofRepositories(metric)} * 0 - 1`;
}

/** A metric of each repository. @param more labels that keep their own lines */
function ofRepositories(metric: string, aggregation = "max", ...more: readonly string[]): string {
  return `${aggregation} by (${["stanza", "repo_key", ...more].join(", ")}) (${metric}{${OF}})`;
}

function line(expr: string, legend = REPO): Panel["targets"][number] {
  return { expr, legend };
}

type PanelMaker = (
  title: string,
  unit: Panel["unit"],
  width: number,
  targets: Panel["targets"],
  more?: Pick<Panel, "description" | "missing" | "steps">,
) => Panel;

const tile: PanelMaker = (title, unit, width, targets, more) => ({
  title,
  kind: "stat",
  unit,
  width,
  targets,
  ...more,
});
const graph: PanelMaker = (title, unit, width, targets, more) => ({
  ...tile(title, unit, width, targets, more),
  kind: "timeseries",
});

function statePanels({ ageS, scheduled }: Limits): readonly Panel[] {
  const windowStart = ofRepositories("pgbackstop_recovery_window_start_timestamp_seconds", "min");
  const collected = `max by (stanza, instance) (pgbackstop_collected_timestamp_seconds{${OF_STANZA}})`;
  const exitCode = `max by (stanza, command) (pgbackstop_run_exit_code{${OF_STANZA}})`;
  return [
    tile("Repositories that can be read", "bool_yes_no", 6, [line(ofRepositories("pgbackstop_repo_up", "min"))], {
      steps: GOOD_FROM_1,
    }),
    ...TYPES.map((type): Panel => {
      const age = `time() - max by (stanza, repo_key) (pgbackstop_repo_last_backup_timestamp_seconds{${OF},backup_type="${type}"})`;
      return tile(`Age of the newest ${type}`, "s", 6, [line(`${age} or ${missingOf("pgbackstop_repo_up")}`)], {
        description: "A full counts as diff, both count as incr.",
        steps: above(ageS[type]),
        missing: { text: "none", color: scheduled.includes(type) ? BAD : NEUTRAL },
      });
    }),
    tile("Recovery reaches back", "s", 8, [line(`time() - ${windowStart}`)]),
    tile("Age of the metrics", "s", 8, [line(`time() - ${collected}`, "{{stanza}} {{instance}}")], {
      description: "Of hosts; when it grows, nothing here is about now.",
      steps: above(900),
    }),
    tile("Exit codes of the last runs", "none", 8, [line(exitCode, "{{stanza}} {{command}}")], { steps: BAD_ABOVE_0 }),
  ];
}

function walPanels({ rpoS }: Limits): readonly Panel[] {
  const waiting = `max by (stanza) (pgbackstop_wal_waiting_files{${OF_STANZA}})`;
  const archived = ofRepositories("pgbackstop_repo_wal_last_archived_timestamp_seconds");
  const lag = ofRepositories("pgbackstop_repo_wal_lag_seconds");
  return [
    graph("Behind the repository that is furthest", "s", 12, [line(lag)], { steps: above(rpoS) }),
    graph("Since the newest WAL was stored", "s", 12, [line(`time() - ${archived}`)], {
      description: "Grows on an idle database too: archive_timeout switches no segment that nothing was written into.",
    }),
    graph(
      "WAL: gaps, missing, dropped, in conflict",
      "short",
      12,
      [
        line(ofRepositories("pgbackstop_repo_wal_gap_segments"), `gap ${REPO}`),
        line(ofRepositories("pgbackstop_repo_wal_dropped_files"), `dropped ${REPO}`),
        line(ofRepositories("pgbackstop_repo_wal_missing_files"), `missing ${REPO}`),
        line(ofRepositories("pgbackstop_repo_wal_conflict_files"), `in conflict ${REPO}`),
      ],
      { steps: BAD_ABOVE_0 },
    ),
    graph("Waiting for the archive", "short", 12, [
      line(waiting, "in pg_wal of {{stanza}}"),
      line(ofRepositories("pgbackstop_repo_wal_waiting_files"), `for ${REPO}`),
    ]),
  ];
}

function sizePanels(): readonly Panel[] {
  const duration = ofRepositories("pgbackrest_backup_duration_seconds", "max", "backup_type");
  const number = ofRepositories("pgbackstop_repo_backups", "max", "backup_type");
  return [
    graph("Size of all backups", "decbytes", 8, [line(ofRepositories("pgbackstop_repo_backup_bytes"))]),
    graph("Size of the WAL", "decbytes", 8, [line(ofRepositories("pgbackstop_repo_wal_bytes"))]),
    graph("Longest of the kept backups", "s", 8, [line(duration, `{{backup_type}} ${REPO}`)]),
    graph("Number of backups", "short", 12, [line(number, `{{backup_type}} ${REPO}`)]),
    graph(
      "Unreadable, damaged, not verified",
      "short",
      12,
      [
        line(`1 - ${ofRepositories("pgbackstop_repo_up", "min")}`, `cannot be read ${REPO}`),
        line(ofRepositories("pgbackrest_backup_error_status", "sum"), `backups with damaged pages ${REPO}`),
        line(`1 - ${ofRepositories("pgbackstop_verify_ok")}`, `verify failed ${REPO}`),
      ],
      { steps: BAD_ABOVE_0 },
    ),
  ];
}

function drillPanels({ rpoS, rtoS }: Limits): readonly Panel[] {
  const age = `time() - ${ofRepositories("pgbackstop_drill_success_timestamp_seconds")}`;
  const passed = line(ofRepositories("pgbackstop_drill_ok", "min"));
  const connected = line(ofRepositories("pgbackstop_drill_rto_seconds"));
  const lost = line(ofRepositories("pgbackstop_drill_rpo_seconds", "max", "method"), `${REPO} by {{method}}`);
  const phases = line(ofRepositories("pgbackstop_drill_phase_seconds", "max", "phase"), `{{phase}} ${REPO}`);
  return [
    tile("The last drill has passed", "bool_yes_no", 6, [passed], { steps: GOOD_FROM_1 }),
    tile("Since the last drill that passed", "s", 6, [line(`${age} or ${missingOf("pgbackstop_drill_ok")}`)], {
      missing: { text: "never", color: BAD },
    }),
    tile("Time to the first connection in the last drill", "s", 6, [connected], { steps: above(rtoS) }),
    tile("Lost in the last drill", "s", 6, [lost], { steps: above(rpoS) }),
    graph("Phases of the last drill", "s", 24, [phases]),
  ];
}

function dumpPanels(limitS: number): readonly Panel[] {
  const age = `time() - ${ofRepositories("pgbackstop_repo_last_dump_timestamp_seconds")}`;
  return [
    tile("Age of the newest dump", "s", 12, [line(`${age} or ${missingOf("pgbackstop_repo_dump_expected_seconds")}`)], {
      description: "Of complete ones.",
      steps: above(limitS),
      missing: { text: "none", color: BAD },
    }),
    tile("Number of dumps", "none", 12, [line(ofRepositories("pgbackstop_repo_dumps"))]),
  ];
}

function panelOf(panel: Panel, id: number, gridPos: object): object {
  const { description, kind, missing, steps, targets, title, unit } = panel;
  const stat = {
    colorMode: "background",
    graphMode: "none",
    textMode: "value_and_name",
    reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
  };
  return {
    id,
    type: kind,
    title,
    ...given({ description }),
    gridPos,
    datasource: SOURCE,
    targets: targets.map(({ expr, legend }, index) => {
      return {
        refId: String.fromCharCode("A".charCodeAt(0) + index),
        datasource: SOURCE,
        expr,
        legendFormat: legend,
        instant: kind === "stat",
        range: kind !== "stat",
      };
    }),
    options:
      kind === "stat"
        ? stat
        : {
            legend: { displayMode: "list", placement: "bottom", showLegend: true },
            tooltip: { mode: "multi", sort: "desc" },
          },
    fieldConfig: {
      defaults: {
        unit,
        ...(missing === undefined
          ? {}
          : { mappings: [{ type: "value", options: { "-1": { ...missing, index: 0 } } }] }),
        ...(unit === "short" ? { decimals: 0 } : {}),
        ...(kind === "timeseries"
          ? { min: 0, custom: { thresholdsStyle: { mode: steps === undefined ? "off" : "dashed" } } }
          : {}),
        color: { mode: kind === "stat" ? "thresholds" : "palette-classic" },
        thresholds: { mode: "absolute", steps: (steps ?? [[GOOD, null]]).map(([color, value]) => ({ color, value })) },
      },
      overrides: [],
    },
  };
}

const SOURCE = { type: "prometheus", uid: "${datasource}" };

function dataSource(): object {
  return {
    name: "datasource",
    label: "Data source",
    type: "datasource",
    query: "prometheus",
    current: {},
    hide: 0,
    includeAll: false,
    multi: false,
  };
}

function variable(name: string, series: string): object {
  const query = `label_values(${series}, ${name})`;
  return {
    name,
    type: "query",
    datasource: SOURCE,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    includeAll: true,
    multi: true,
    allValue: ".*",
    current: { text: "All", value: "$__all" },
    hide: 0,
  };
}
