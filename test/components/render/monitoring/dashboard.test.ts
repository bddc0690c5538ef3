import { expect, test } from "vitest";
import { PUBLISHED } from "../../published/vpsNasR2";
import { resolveHost } from "../../../../components/plan/model/resolveDatabase";
import { topologyOf } from "../../../../components/plan/topology/topology";
import { dashboardOf, renderDashboard } from "../../../../components/render/monitoring/dashboard";
import { topology } from "../../topologies";
import { DEFINITIONS } from "../../../../runtime/metrics/definitions";

interface Drawn {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string; readonly datasource: object }[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly mappings?: readonly object[];
      readonly thresholds: { readonly steps: readonly { readonly value: number | null }[] };
    };
  };
}

const SEED = topologyOf(resolveHost("forge", PUBLISHED, "/usr/bin/node"));
const DUMPED = topology({ dumps: { cron: "30 4 * * *", repositories: ["repo2"] } });
const { panels } = dashboardOf([SEED, DUMPED]) as { readonly panels: readonly Drawn[] };

test("panels neither overlap nor lie outside the grid", () => {
  const cells = panels.flatMap(({ gridPos: { h, w, x, y } }) =>
    Array.from({ length: h * w }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(panels.every(({ gridPos: { w, x } }) => x + w <= 24)).toBe(true);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
});

// claim: docs/monitoring.md: the dashboard queries existing metrics (Grafana itself does not run; a page was drawn once
//   from such data by a real Prometheus)
test("every query uses existing metrics and labels, from the variable's source", () => {
  const labelsOf = new Map(DEFINITIONS.map(({ labels, name }) => [name, labels]));
  const targets = panels.flatMap((panel) => panel.targets ?? []);
  expect(targets.length).toBeGreaterThan(20);
  for (const { datasource, expr, legendFormat } of targets) {
    const [, by = "", name = "", matchers = ""] = /by \(([^)]*)\) \((pgback[a-z_]+)\{([^}]*)\}\)/.exec(expr) ?? [];
    const own = [...(labelsOf.get(name) ?? []), "instance"];
    const asked = [...by.split(", "), ...[...matchers.matchAll(/([a-z_]+)=/g)].map(([, label]) => label ?? "")];
    expect([expr, asked.filter((label) => !own.includes(label))]).toEqual([expr, []]);
    // A legend may use only labels that the query keeps.
    const named = [...legendFormat.matchAll(/\{\{([a-z_]+)\}\}/g)].map(([, label]) => label ?? "");
    expect([legendFormat, named.filter((label) => !by.split(", ").includes(label))]).toEqual([legendFormat, []]);
    expect(datasource).toEqual({ type: "prometheus", uid: "${datasource}" });
  }
});

// claim: docs/monitoring.md: the dashboard queries existing…
test("schedules and objectives set the colour thresholds", () => {
  const stepsOf = (title: string, of: readonly Drawn[]): (number | null)[] =>
    of.find((panel) => panel.title === title)?.fieldConfig?.defaults.thresholds.steps.map(({ value }) => value) ?? [];
  expect(stepsOf("Age of the newest full", panels)).toEqual([null, 25 * 3600, 50 * 3600]);
  expect(stepsOf("Age of the newest incr", panels)).toEqual([null, 2 * 3600, 4 * 3600]);
  expect(stepsOf("Time to the first connection in the last drill", panels)).toEqual([null, 1800, 3600]);
  expect(stepsOf("Age of the newest dump", panels)).toEqual([null, 25 * 3600, 50 * 3600]);
  const { panels: plain } = dashboardOf([]) as { readonly panels: readonly Drawn[] };
  expect(stepsOf("Age of the newest full", plain)).toEqual([null, 90_000, 180_000]);
  expect(plain.map(({ title }) => title)).not.toContain("Logical dumps");
});

test("a repository without a backup, a passed drill or an expected dump keeps its tile", () => {
  const mapped = panels.filter(({ fieldConfig }) => fieldConfig?.defaults.mappings !== undefined);
  expect(mapped.map(({ title }) => title)).toEqual([
    "Age of the newest full",
    "Age of the newest diff",
    "Age of the newest incr",
    "Since the last drill that passed",
    "Age of the newest dump",
  ]);
  for (const { targets = [] } of mapped)
    expect(targets[0]?.expr).toMatch(/ or max by \(stanza, repo_key\) \(pgbackstop_\w+\{[^}]*\}\) \* 0 - 1$/);
});

test("the text is JSON without an identity, so that every Grafana accepts it", () => {
  const dashboard = JSON.parse(renderDashboard([SEED], "Backups of forge")) as Record<string, unknown>;
  expect(dashboard).toMatchObject({ title: "Backups of forge", uid: null, schemaVersion: 39 });
  expect(dashboard["__inputs"]).toBeUndefined();
});
