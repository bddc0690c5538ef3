/** docs/reference/metrics.md, from the tables of runtime/metrics/definitions.ts. */
import { DEFINITIONS, type MetricDefinition } from "../../runtime/metrics/definitions";
import { document, sentence, table } from "./markdown";

export function renderMetrics(): string {
  const own = DEFINITIONS.filter(({ name }) => name.startsWith("pgbackstop_"));
  const compatible = DEFINITIONS.filter(({ name }) => !name.startsWith("pgbackstop_"));
  return document(
    "# Metrics",
    "",
    "Every metric that `pgbackstop metrics`, the agent and the sidecars of CloudNativePG serve; [monitoring.md](../monitoring.md) says how to scrape them.",
    "`npm run docs` makes this page from `runtime/metrics/definitions.ts`.",
    "",
    "Points in time are Unix timestamps, never ages: an age that nobody renews looks young forever.",
    "",
    "## Of pgbackstop",
    "",
    rowsOf(own),
    "",
    "## Of pgbackrest_exporter",
    "",
    "Names, labels and meanings of woblerr's `pgbackrest_exporter` 0.23, so that its dashboards keep working.",
    "`pgbackrest_backup_last_…` carry no repository, there and here: do not alert on them.",
    "",
    rowsOf(compatible),
  );
}

function rowsOf(metrics: readonly MetricDefinition[]): string {
  const labels = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(", ");
  return table(
    ["metric", "labels", "what it says"],
    metrics.map((metric) => [`\`${metric.name}\``, labels(metric.labels), sentence(metric.help)]),
  );
}
