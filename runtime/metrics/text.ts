/**
 * Prometheus' text format 0.0.4, for scrapes and the textfile collector. Without timestamps: the collector refuses
 * files with timestamps.
 */
import { byDefinition, type MetricDefinition, type Sample } from "./definitions";

/** One HELP and TYPE for each name with samples. All are gauges. */
export function renderMetrics(definitions: readonly MetricDefinition[], samples: readonly Sample[]): string {
  const lines = byDefinition(definitions, samples).flatMap(([definition, own]) => [
    `# HELP ${definition.name} ${definition.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
    `# TYPE ${definition.name} gauge`,
    ...own.map((sample) => sampleLine(definition, sample)),
  ]);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function sampleLine({ labels, name }: MetricDefinition, sample: Sample): string {
  const pairs = labels.map((label) => `${label}="${escapeLabel(sample.labels[label] ?? "")}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${valueText(sample.value)}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** As Go parses it. */
function valueText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}
