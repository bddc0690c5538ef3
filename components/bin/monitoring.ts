/**
 * `pgbackstop alerts` and `pgbackstop dashboard`: rules for Prometheus and a dashboard for Grafana out of the topologies of a stack. Reads one file or
 * stdin, needs no engine and no network. Exit codes: 0, 2 for words and files that cannot be read.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { alertGroupOf } from "../plan/alerts";
import type { AlertOptions } from "../plan/alerts/rule";
import { parseStackFile, StackFileError } from "../plan/topology/stackFiles";
import type { Topology } from "../plan/topology/topology";
import { renderAlertFile, renderPrometheusRule } from "../render/monitoring/prometheusRule";
import { renderDashboard } from "../render/monitoring/dashboard";

const HELP = `pgbackstop alerts FILE      rules for Prometheus, with thresholds of the declared schedules and objectives
pgbackstop dashboard FILE   a dashboard for Grafana, as JSON

FILE is what pgbackstop topology reads: a preview, a stack export, a saved document, the output topology of one database; - is stdin.

  --output=FILE            instead of stdout
  --format=file|kubernetes alerts: a rule file (default) or a PrometheusRule
  --namespace=NAME         of the PrometheusRule (default: monitoring)
  --name=NAME              of the PrometheusRule (default: pgbackstop)
  --label=NAME=VALUE       of the PrometheusRule, for the operator's ruleSelector; again for each
  --selector=MATCHERS      further matchers of every series: 'instance="db1:9100"', where two hosts have stanzas of one name
  --size-limit-gb=NUMBER   of each repository (default: half as much again as is estimated, where a database has sizing)
  --runbook-url=URL        of the troubleshooting guide
  --title=TEXT             of the dashboard
  --help                   this text
`;

/** Wrong words on the command line. */
class UsageError extends Error {}

interface Order {
  readonly file: string;
  readonly words: ReadonlyMap<string, readonly string[]>;
}

const WORDS = ["format", "label", "name", "namespace", "output", "runbook-url", "selector", "size-limit-gb", "title"];

/**
 * Runs the command; what it returns is the exit code.
 * @public loaded by pgbackstop.ts when it is asked for
 */
export function monitoringMain(verb: "alerts" | "dashboard", argv: readonly string[]): number {
  if (argv.includes("--help") || argv.length === 0) {
    process.stdout.write(HELP);
    return argv.length === 0 ? 2 : 0;
  }
  try {
    const order = readWords(verb, argv);
    const topologies = readTopologies(order.file);
    const text = verb === "alerts" ? alertsText(order, topologies) : renderDashboard(topologies, one(order, "title"));
    write(one(order, "output"), text);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof StackFileError)) throw error;
    process.stderr.write(`pgbackstop ${verb}: ${error.message}\n`);
    return 2;
  }
}

function alertsText(order: Order, topologies: readonly Topology[]): string {
  const groups = topologies.flatMap((topology) => {
    const group = alertGroupOf(topology, optionsOf(order));
    if (group !== null) return [group];
    const name = topology.databases[0]?.name ?? "?";
    process.stderr.write(`warning: ${name}: its engine has no metrics of pgbackstop, or it is not known yet: no rules\n`);
    return [];
  });
  const format = one(order, "format") ?? "file";
  if (format === "file") return renderAlertFile(groups);
  if (format !== "kubernetes") throw new UsageError(`--format takes file or kubernetes, found '${format}'`);
  const labels = (order.words.get("label") ?? []).map((text): readonly [string, string] => {
    const place = text.indexOf("=");
    if (place < 1) throw new UsageError(`--label takes NAME=VALUE, found '${text}'`);
    return [text.slice(0, place), text.slice(place + 1)];
  });
  const place = { name: one(order, "name") ?? "pgbackstop", namespace: one(order, "namespace") ?? "monitoring", labels: Object.fromEntries(labels) };
  return renderPrometheusRule(groups, place);
}

function optionsOf(order: Order): AlertOptions {
  const [selector, runbookUrl, size] = [one(order, "selector"), one(order, "runbook-url"), one(order, "size-limit-gb")];
  if (size !== undefined && !(Number(size) > 0)) throw new UsageError(`--size-limit-gb takes a number above 0, found '${size}'`);
  return {
    ...(selector === undefined ? {} : { selector }),
    ...(runbookUrl === undefined ? {} : { runbookUrl }),
    ...(size === undefined ? {} : { repositoryBytesMax: Number(size) * 1e9 }),
  };
}

/** By name; what is not known yet is left out. */
function readTopologies(file: string): readonly Topology[] {
  const name = file === "-" ? "stdin" : file;
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new UsageError(`unable to read ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { after } = parseStackFile(text);
  const known = [...after].sort(([left], [right]) => (left < right ? -1 : 1)).flatMap(([, topology]) => (topology === null ? [] : [topology]));
  if (known.length === 0) throw new UsageError(`${name} has no database whose topology is known`);
  return known;
}

function write(file: string | undefined, text: string): void {
  if (file === undefined || file === "-") {
    process.stdout.write(text);
    return;
  }
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new UsageError(`unable to write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function one({ words }: Order, name: string): string | undefined {
  return words.get(name)?.at(-1);
}

function readWords(verb: string, argv: readonly string[]): Order {
  const words = new Map<string, readonly string[]>();
  const files: string[] = [];
  for (const word of argv) {
    if (!word.startsWith("--")) {
      files.push(word);
      continue;
    }
    const [, name = "", value] = /^--([^=]*)=(.+)$/s.exec(word) ?? [];
    if (!WORDS.includes(name)) throw new UsageError(`unknown option or one without a value: '${word}': see pgbackstop ${verb} --help`);
    words.set(name, [...(words.get(name) ?? []), value ?? ""]);
  }
  const [file] = files;
  if (file === undefined || files.length > 1) throw new UsageError(`${verb} takes one file, found ${files.length}`);
  return { file, words };
}
