/**
 * Prometheus' text format 0.0.4, for scrapes and the textfile collector. Without timestamps: the collector refuses
 * files with timestamps.
 */
import { assert } from "../base/errors";
import type { MetricDefinition, Sample } from "./definitions";

/** In the order of the definitions; one HELP and TYPE for each name with samples. All are gauges. */
export function renderMetrics(definitions: readonly MetricDefinition[], samples: readonly Sample[]): string {
  const byName = new Map<string, Sample[]>();
  for (const sample of samples) {
    const own = byName.get(sample.name);
    if (own === undefined) byName.set(sample.name, [sample]);
    else own.push(sample);
  }
  const lines = definitions.flatMap((definition) => {
    const own = byName.get(definition.name) ?? [];
    byName.delete(definition.name);
    if (own.length === 0) return [];
    return [
      `# HELP ${definition.name} ${definition.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
      `# TYPE ${definition.name} gauge`,
      ...own.map((sample) => sampleLine(definition, sample)),
    ];
  });
  assert(byName.size === 0, `metrics without a definition: ${[...byName.keys()].join(", ")}`);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function sampleLine({ labels, name }: MetricDefinition, sample: Sample): string {
  const given = Object.keys(sample.labels);
  assert(
    given.length === labels.length && labels.every((label) => given.includes(label)),
    `labels of ${name} are ${given.join(", ")}`,
  );
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
