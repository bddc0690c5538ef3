/**
 * A Grafana dashboard for the metrics of hosts and clusters: state, age of the newest backups, WAL, sizes, durations,
 * drills; every panel shows each repository separately. Declared schedules and objectives set the colour thresholds.
 * Its data source is a variable. Pure.
 */
import { backupAgeLimit } from "../../plan/alerts";
import type { Topology } from "../../plan/topology/topology";
import { given } from "../../plan/model/given";

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
}

/** The strictest of the topologies; default: a daily backup and an hour. */
function limitsOf(topologies: readonly Topology[]): Limits {
  const strictest = (values: readonly (number | null | undefined)[], fallback: number): number => {
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
    ageS: { full: ageOf("full"), diff: ageOf("diff"), incr: ageOf("incr") },
  };
}

function rowsOf(topologies: readonly Topology[]): readonly (readonly [string, readonly Panel[]])[] {
  const limits = limitsOf(topologies);
  return [
    ["Now", statePanels(limits)],
    ["WAL", walPanels(limits)],
    ["Sizes and durations", SIZE_PANELS],
    ["Fire drills", drillPanels(limits)],
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
  return `max by (stanza, repo_key) (${metric}{${OF}}) * 0 - 1`;
}

function statePanels({ ageS, scheduled }: Limits): readonly Panel[] {
  return [
    {
      title: "Repositories that can be read",
      kind: "stat",
      unit: "bool_yes_no",
      width: 6,
      targets: [{ expr: `min by (stanza, repo_key) (pgbackstop_repo_up{${OF}})`, legend: REPO }],
      steps: GOOD_FROM_1,
    },
    ...TYPES.map((type): Panel => {
      const age = `time() - max by (stanza, repo_key) (pgbackstop_repo_last_backup_timestamp_seconds{${OF},backup_type="${type}"})`;
      const expr = `${age} or ${missingOf("pgbackstop_repo_up")}`;
      const description = "A full counts as diff, both count as incr.";
      return {
        title: `Age of the newest ${type}`,
        description,
        kind: "stat",
        unit: "s",
        width: 6,
        targets: [{ expr, legend: REPO }],
        steps: above(ageS[type]),
        missing: { text: "none", color: scheduled.includes(type) ? BAD : NEUTRAL },
      };
    }),
    {
      title: "Recovery reaches back",
      kind: "stat",
      unit: "s",
      width: 8,
      targets: [
        {
          expr: `time() - min by (stanza, repo_key) (pgbackstop_recovery_window_start_timestamp_seconds{${OF}})`,
          legend: REPO,
        },
      ],
    },
    {
      title: "Age of the metrics",
      description: "Of hosts; when it grows, nothing here is about now.",
      kind: "stat",
      unit: "s",
      width: 8,
      targets: [
        {
          expr: `time() - max by (stanza, instance) (pgbackstop_collected_timestamp_seconds{${OF_STANZA}})`,
          legend: "{{stanza}} {{instance}}",
        },
      ],
      steps: above(900),
    },
    {
      title: "Exit codes of the last runs",
      kind: "stat",
      unit: "none",
      width: 8,
      targets: [
        { expr: `max by (stanza, command) (pgbackstop_run_exit_code{${OF_STANZA}})`, legend: "{{stanza}} {{command}}" },
      ],
      steps: BAD_ABOVE_0,
    },
  ];
}

function walPanels({ rpoS }: Limits): readonly Panel[] {
  return [
    {
      title: "Behind the repository that is furthest",
      kind: "timeseries",
      unit: "s",
      width: 12,
      targets: [{ expr: `max by (stanza, repo_key) (pgbackstop_repo_wal_lag_seconds{${OF}})`, legend: REPO }],
      steps: above(rpoS),
    },
    {
      title: "Since the newest WAL was stored",
      description: "Grows on an idle database too: archive_timeout switches no segment that nothing was written into.",
      kind: "timeseries",
      unit: "s",
      width: 12,
      targets: [
        {
          expr: `time() - max by (stanza, repo_key) (pgbackstop_repo_wal_last_archived_timestamp_seconds{${OF}})`,
          legend: REPO,
        },
      ],
    },
    {
      title: "Missing, dropped, owed and in conflict",
      kind: "timeseries",
      unit: "short",
      width: 12,
      targets: [
        { expr: `max by (stanza, repo_key) (pgbackstop_repo_wal_gap_segments{${OF}})`, legend: `missing ${REPO}` },
        { expr: `max by (stanza, repo_key) (pgbackstop_repo_wal_dropped_files{${OF}})`, legend: `dropped ${REPO}` },
        { expr: `max by (stanza, repo_key) (pgbackstop_repo_wal_debt_files{${OF}})`, legend: `owed ${REPO}` },
        {
          expr: `max by (stanza, repo_key) (pgbackstop_repo_wal_conflict_files{${OF}})`,
          legend: `in conflict ${REPO}`,
        },
      ],
      steps: BAD_ABOVE_0,
    },
    {
      title: "Waiting for the archive",
      kind: "timeseries",
      unit: "short",
      width: 12,
      targets: [
        { expr: `max by (stanza) (pgbackstop_wal_waiting_files{${OF_STANZA}})`, legend: "in pg_wal of {{stanza}}" },
        { expr: `max by (stanza, repo_key) (pgbackstop_repo_wal_waiting_files{${OF}})`, legend: `for ${REPO}` },
      ],
    },
  ];
}

const SIZE_PANELS: readonly Panel[] = [
  {
    title: "Size of all backups",
    kind: "timeseries",
    unit: "decbytes",
    width: 8,
    targets: [{ expr: `max by (stanza, repo_key) (pgbackstop_repo_backup_bytes{${OF}})`, legend: REPO }],
  },
  {
    title: "Size of the WAL",
    kind: "timeseries",
    unit: "decbytes",
    width: 8,
    targets: [{ expr: `max by (stanza, repo_key) (pgbackstop_repo_wal_bytes{${OF}})`, legend: REPO }],
  },
  {
    title: "Longest of the kept backups",
    kind: "timeseries",
    unit: "s",
    width: 8,
    targets: [
      {
        expr: `max by (stanza, repo_key, backup_type) (pgbackrest_backup_duration_seconds{${OF}})`,
        legend: `{{backup_type}} ${REPO}`,
      },
    ],
  },
  {
    title: "Number of backups",
    kind: "timeseries",
    unit: "short",
    width: 12,
    targets: [
      {
        expr: `max by (stanza, repo_key, backup_type) (pgbackstop_repo_backups{${OF}})`,
        legend: `{{backup_type}} ${REPO}`,
      },
    ],
  },
  {
    title: "Unreadable, damaged, not verified",
    kind: "timeseries",
    unit: "short",
    width: 12,
    targets: [
      { expr: `1 - min by (stanza, repo_key) (pgbackstop_repo_up{${OF}})`, legend: `cannot be read ${REPO}` },
      {
        expr: `sum by (stanza, repo_key) (pgbackrest_backup_error_status{${OF}})`,
        legend: `backups with damaged pages ${REPO}`,
      },
      { expr: `1 - max by (stanza, repo_key) (pgbackstop_verify_ok{${OF}})`, legend: `verify failed ${REPO}` },
    ],
    steps: BAD_ABOVE_0,
  },
];

function drillPanels({ rpoS, rtoS }: Limits): readonly Panel[] {
  const age = `time() - max by (stanza, repo_key) (pgbackstop_drill_success_timestamp_seconds{${OF}})`;
  return [
    {
      title: "The last drill has passed",
      kind: "stat",
      unit: "bool_yes_no",
      width: 6,
      targets: [{ expr: `min by (stanza, repo_key) (pgbackstop_drill_ok{${OF}})`, legend: REPO }],
      steps: GOOD_FROM_1,
    },
    {
      title: "Since the last drill that passed",
      kind: "stat",
      unit: "s",
      width: 6,
      targets: [{ expr: `${age} or ${missingOf("pgbackstop_drill_ok")}`, legend: REPO }],
      missing: { text: "never", color: BAD },
    },
    {
      title: "Time to the first connection in the last drill",
      kind: "stat",
      unit: "s",
      width: 6,
      targets: [{ expr: `max by (stanza, repo_key) (pgbackstop_drill_rto_seconds{${OF}})`, legend: REPO }],
      steps: above(rtoS),
    },
    {
      title: "Lost in the last drill",
      kind: "stat",
      unit: "s",
      width: 6,
      targets: [
        {
          expr: `max by (stanza, repo_key, method) (pgbackstop_drill_rpo_seconds{${OF}})`,
          legend: `${REPO} by {{method}}`,
        },
      ],
      steps: above(rpoS),
    },
    {
      title: "Phases of the last drill",
      kind: "timeseries",
      unit: "s",
      width: 24,
      targets: [
        {
          expr: `max by (stanza, repo_key, phase) (pgbackstop_drill_phase_seconds{${OF}})`,
          legend: `{{phase}} ${REPO}`,
        },
      ],
    },
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
