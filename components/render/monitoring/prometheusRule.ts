/** Alert rules as a Prometheus rule file, and as an object of its Kubernetes operator. Pure. */
import type { AlertGroup } from "../../plan/alerts/rule";

/** A rule file. Texts are JSON strings, which are valid YAML. */
export function renderAlertFile(groups: readonly AlertGroup[]): string {
  if (groups.length === 0) return "groups: []\n";
  return ["groups:", ...groupLines(groups, "  ")].map((line) => `${line}\n`).join("");
}

export interface PrometheusRuleMetadata {
  readonly name: string;
  readonly namespace: string;
  /** Labels that the operator's `ruleSelector` requires. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The object of `monitoring.coreos.com/v1`, for Prometheus' operator. */
export function prometheusRule(groups: readonly AlertGroup[], { labels, name, namespace }: PrometheusRuleMetadata) {
  return {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: { name, namespace, labels },
    spec: { groups },
  };
}

/** The object as YAML. */
export function renderPrometheusRule(
  groups: readonly AlertGroup[],
  { labels, name, namespace }: PrometheusRuleMetadata,
): string {
  return [
    "apiVersion: monitoring.coreos.com/v1",
    "kind: PrometheusRule",
    "metadata:",
    `  name: ${quoted(name)}`,
    `  namespace: ${quoted(namespace)}`,
    ...mapLines("labels", labels, "  "),
    "spec:",
    "  groups:",
    ...groupLines(groups, "    "),
  ]
    .map((line) => `${line}\n`)
    .join("");
}

function groupLines(groups: readonly AlertGroup[], indent: string): string[] {
  return groups.flatMap(({ name, rules }) => [
    `${indent}- name: ${quoted(name)}`,
    `${indent}  rules:`,
    ...rules.flatMap((rule) => [
      `${indent}    - alert: ${rule.alert}`,
      `${indent}      expr: ${quoted(rule.expr)}`,
      `${indent}      for: ${rule.for}`,
      ...mapLines("labels", rule.labels, `${indent}      `),
      ...mapLines("annotations", rule.annotations, `${indent}      `),
    ]),
  ]);
}

function mapLines(name: string, values: Readonly<Record<string, string>>, indent: string): string[] {
  const entries = Object.entries(values);
  return entries.length === 0
    ? []
    : [`${indent}${name}:`, ...entries.map(([key, value]) => `${indent}  ${quoted(key)}: ${quoted(value)}`)];
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
