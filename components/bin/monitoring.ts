/**
 * `pgbackstop alerts` and `pgbackstop dashboard`: Prometheus rules and a Grafana dashboard from a stack's topologies.
 * Reads one file or stdin, needs no engine and no network. Exit codes: 0, 2 for invalid arguments and unreadable files.
 */
import { alertGroupOf, alertGroupsOf } from "../plan/alerts";
import { withoutHidden } from "../plan/alerts/hidden";
import type { AlertOptions } from "../plan/alerts/rule";
import { StackFileError } from "../plan/topology/stackFiles";
import type { Topology } from "../plan/topology/topology";
import { renderAlertFile, renderPrometheusRule } from "../render/monitoring/prometheusRule";
import { renderDashboard } from "../render/monitoring/dashboard";
import { readFile } from "./topologyDiff";
import { type Arguments, nameOf, readArguments, runCommand, UsageError, writeOutput } from "./command";
import { given } from "../../runtime/base/given";

const HELP = `pgbackstop alerts FILE      Prometheus rules with thresholds from the declared schedules and objectives
pgbackstop dashboard FILE   a dashboard for Grafana, as JSON

FILE is any file that pgbackstop topology reads: a preview, a stack export, a saved document, a database's output topology; - is stdin.

  --output=FILE            instead of stdout
  --format=file|kubernetes alerts: a rule file (default) or a PrometheusRule
  --namespace=NAME         of the PrometheusRule (default: monitoring)
  --name=NAME              of the PrometheusRule (default: pgbackstop)
  --label=NAME=VALUE       of the PrometheusRule, for the operator's ruleSelector; repeatable
  --selector=MATCHERS      further matchers of every series: 'instance="db1:9100"', if two hosts have the same stanza name
  --size-limit-gb=NUMBER   of each repository (default: 1.5 times the estimate, if a database has sizing)
  --runbook-url=URL        of the troubleshooting guide
  --title=TEXT             of the dashboard
  --help                   this text
`;

const OPTIONS = {
  output: "string",
  format: "string",
  namespace: "string",
  name: "string",
  label: "string",
  selector: "string",
  "size-limit-gb": "string",
  "runbook-url": "string",
  title: "string",
} as const;

type Options = Arguments["options"];

/**
 * Runs the command; returns the exit code.
 * @public loaded on demand by pgbackstop.ts
 */
export function monitoringMain(verb: "alerts" | "dashboard", argv: readonly string[]): number {
  return runCommand(verb, argv, HELP, [UsageError, StackFileError], () => {
    const { files, options } = readArguments(argv, OPTIONS);
    const [file] = files;
    if (file === undefined || files.length > 1) throw new UsageError(`${verb} takes one file, found ${files.length}`);
    const topologies = readTopologies(file);
    const output = last(options, "output") ?? "-";
    writeOutput(
      output === "-" ? null : output,
      verb === "alerts" ? alertsText(options, topologies) : renderDashboard(topologies, last(options, "title")),
    );
    return 0;
  });
}

function alertsText(options: Options, topologies: readonly Topology[]): string {
  const alertOptions = alertOptionsOf(options);
  const groups = alertGroupsOf(topologies, () => alertOptions);
  for (const topology of topologies) warnOfGaps(topology, alertOptions);
  const format = last(options, "format") ?? "file";
  if (format === "file") return renderAlertFile(groups);
  if (format !== "kubernetes") throw new UsageError(`--format takes file or kubernetes, found '${format}'`);
  const labels = options
    .filter(({ name }) => name === "label")
    .map(({ value: text }): readonly [string, string] => {
      const position = text.indexOf("=");
      if (position < 1) throw new UsageError(`--label takes NAME=VALUE, found '${text}'`);
      return [text.slice(0, position), text.slice(position + 1)];
    });
  const metadata = {
    name: last(options, "name") ?? "pgbackstop",
    namespace: last(options, "namespace") ?? "monitoring",
    labels: Object.fromEntries(labels),
  };
  return renderPrometheusRule(groups, metadata);
}

function warnOfGaps(topology: Topology, options: AlertOptions): void {
  const name = topology.databases[0]?.name ?? "?";
  const reasons =
    alertGroupOf(topology, options) === null
      ? ["no rules, because its engine has no pgbackstop metrics or is not known yet"]
      : withoutHidden(topology).hidden.map((path) => `no rules about ${path}: it is secret or not known yet`);
  for (const reason of reasons) process.stderr.write(`warning: ${name}: ${reason}\n`);
}

function alertOptionsOf(options: Options): AlertOptions {
  const [selector, runbookUrl, size] = [
    last(options, "selector"),
    last(options, "runbook-url"),
    last(options, "size-limit-gb"),
  ];
  if (size !== undefined && !(Number(size) > 0))
    throw new UsageError(`--size-limit-gb takes a number above 0, found '${size}'`);
  return {
    ...given({ selector, runbookUrl }),
    ...(size === undefined ? {} : { repositoryBytesMax: Number(size) * 1e9 }),
  };
}

/** Reads topologies by name; omits unknown ones. */
function readTopologies(file: string): readonly Topology[] {
  const { after } = readFile(file);
  const known = [...after]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .flatMap(([, topology]) => (topology === null ? [] : [topology]));
  if (known.length === 0) throw new UsageError(`${nameOf(file)} has no database with a known topology`);
  return known;
}

function last(options: Options, name: string): string | undefined {
  return options.findLast((option) => option.name === name)?.value;
}
