/** Alert rules as Prometheus reads them from a file, and as the object that its operator in Kubernetes reads. Pure. */
import type { AlertGroup } from "../../plan/alerts/rule";

/** A rule file. Texts are written as JSON does, which YAML reads alike. */
export function renderAlertFile(groups: readonly AlertGroup[]): string {
  if (groups.length === 0) return "groups: []\n";
  return ["groups:", ...groupLines(groups, "  ")].map((line) => `${line}\n`).join("");
}

export interface PrometheusRulePlace {
  readonly name: string;
  readonly namespace: string;
  /** What the operator's `ruleSelector` asks for. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The object of `monitoring.coreos.com/v1`, for Prometheus' operator. */
export function prometheusRule(groups: readonly AlertGroup[], { labels, name, namespace }: PrometheusRulePlace) {
  return {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: { name, namespace, labels },
    spec: { groups },
  };
}

/** The same as YAML. */
export function renderPrometheusRule(groups: readonly AlertGroup[], { labels, name, namespace }: PrometheusRulePlace): string {
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
  return entries.length === 0 ? [] : [`${indent}${name}:`, ...entries.map(([key, value]) => `${indent}  ${quoted(key)}: ${quoted(value)}`)];
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
