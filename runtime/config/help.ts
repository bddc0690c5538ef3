/** The text of `help`, `help COMMAND` and `help COMMAND OPTION`, from the option table. */
import { fail } from "../base/errors";
import { commandOf } from "./cli";
import { findOption, optionName, similarNames } from "./optionName";
import { OPTIONS, type OptionRow, type OptionRule } from "./options";
import { COMMANDS, type CommandName } from "./types";

/** One line each, in the order of the commands; `params` are the words after the options. */
const COMMAND_DOCS: Readonly<Record<CommandName, { readonly doc: string; readonly params?: string }>> = {
  agent: { doc: "serve archive_command and restore_command over a unix socket, push ahead and heal" },
  annotate: { doc: "add, change or remove notes of a backup" },
  "archive-get": { doc: "get a WAL segment from the repositories", params: "SEGMENT DESTINATION" },
  "archive-push": { doc: "push a WAL segment to all repositories", params: "PATH" },
  backup: { doc: "back up the cluster once into all repositories" },
  check: { doc: "check the configuration and that WAL arrives in every repository" },
  "cnpg-drill": { doc: "restore a backup of a cluster of CloudNativePG into a throw-away one, check and time it, and remove it again" },
  "cnpg-expire": { doc: "remove volume snapshots of a cluster of CloudNativePG that retention no longer asks for" },
  "cnpg-instance": { doc: "serve the plugin of CloudNativePG beside an instance: WAL, backups and metrics" },
  "cnpg-migrate": {
    doc: "stop, repoint and start what uses the databases of a migration in Kubernetes, and hand over its report",
    params: "stop|start|resume|repoint|restore|report VERB",
  },
  "cnpg-operator": { doc: "serve the plugin of CloudNativePG to its operator: put the sidecar into pods" },
  "cnpg-restore": { doc: "serve the plugin of CloudNativePG beside a recovery: the data directory and WAL" },
  doctor: { doc: "try what each repository and its key can do, in a directory of its own that is removed afterwards" },
  drill: { doc: "restore a backup beside production, check and time it, and remove it again" },
  expire: { doc: "remove backups and WAL that retention no longer asks for" },
  "extract-table": { doc: "bring one table or schema back out of a backup, beside what is there or in its place" },
  find: { doc: "find what was dropped, truncated, deleted or updated, and where to recover to just before it" },
  heal: { doc: "copy to each repository the WAL that it lacks" },
  help: { doc: "this text", params: "[COMMAND [OPTION]]" },
  info: { doc: "show backups and WAL in the repositories" },
  manifest: { doc: "show what a backup consists of" },
  metrics: { doc: "print for Prometheus where the backups stand, or write it into a file for the textfile collector" },
  migrate: { doc: "bring databases and roles of another cluster into this one, compared to the last row", params: "plan|copy|verify|release|finish" },
  notify: { doc: "tell people and services what has happened to a unit, or how a fire drill went" },
  "pg-settings": { doc: "show or set settings of the PostgreSQL server", params: "[NAME=VALUE …]" },
  recover: { doc: "bring this host's cluster back from a backup: plan, stop, keep the old data, restore, start, check" },
  "recover-step": { doc: "a step of recover, as PostgreSQL's account; for recover only", params: "STEP" },
  "repo-get": { doc: "print a file of a repository", params: "FILE" },
  "repo-ls": { doc: "list files of a repository", params: "[PATH]" },
  restore: { doc: "restore the cluster from a backup" },
  rollback: { doc: "bring a cluster on ZFS back to a snapshot of its file system, and keep its archive alive" },
  "stanza-create": { doc: "prepare the repositories for a cluster" },
  "stanza-delete": { doc: "remove everything that a repository holds of a stanza" },
  "stanza-upgrade": { doc: "tell the repositories that the cluster was upgraded" },
  start: { doc: "allow again what stop has forbidden" },
  status: { doc: "show on one screen where the backups stand and what needs attention" },
  stop: { doc: "forbid what writes, until start" },
  sync: { doc: "copy backups and their WAL from one repository into another" },
  verify: { doc: "verify what is in the repositories" },
  version: { doc: "show the version" },
};

const GROUP_TITLES = { "command-line": "Command Options", general: "General Options", pg: "PostgreSQL Options", repo: "Repository Options" } as const;

/** The help text for the words after `help`. @throws commandInvalid, optionInvalid, paramInvalid */
export function helpText(params: readonly string[]): string {
  const [command, option, ...rest] = params;
  if (rest.length > 0) throw fail("paramInvalid", "only one option allowed for option help");
  if (command === undefined) return generalHelp();
  return option === undefined ? commandHelp(commandOf(command)) : optionHelp(commandOf(command), option);
}

function generalHelp(): string {
  const rows = COMMANDS.map((command) => [command, COMMAND_DOCS[command].doc] as const);
  return lines(
    "pgbackstop - general help",
    "",
    "Usage:",
    "    pgbackstop [options] [command]",
    "",
    "Commands:",
    ...columns(rows),
    "",
    "Use 'pgbackstop help [command]' for more information.",
  );
}

function commandHelp(command: CommandName): string {
  const { doc, params } = COMMAND_DOCS[command];
  const rows = OPTIONS.filter((row) => row.commands.includes(command));
  const sections = (Object.keys(GROUP_TITLES) as (keyof typeof GROUP_TITLES)[]).flatMap((group) => {
    const members = rows.filter((row) => groupOf(row) === group);
    return members.length === 0 ? [] : ["", `${GROUP_TITLES[group]}:`, "", ...columns(members.map((row) => summary(row, command)))];
  });
  return lines(
    `pgbackstop - '${command}' command help`,
    "",
    sentence(doc),
    "",
    "Usage:",
    `    pgbackstop [options] ${command}${params === undefined ? "" : ` ${params}`}`,
    ...sections,
    "",
    `Use 'pgbackstop help ${command} [option]' for more information.`,
  );
}

function optionHelp(command: CommandName, text: string): string {
  const row = OPTIONS.find((candidate) => candidate.name === text) ?? findOption(text.replace(/^--/, ""))?.row;
  if (row === undefined || !row.commands.includes(command)) {
    const similar = row === undefined ? similarNames(text) : [];
    const hint = similar.length === 0 ? {} : { hint: `did you mean ${similar.join(" or ")}?` };
    throw fail("optionInvalid", `option '${text}' is not valid for command '${command}'`, hint);
  }
  const rule = ruleFor(row, command);
  const facts: readonly string[] = [
    ...(row.group === undefined ? [] : [`key: ${optionName(row, 1)} to ${optionName(row, 256)}`]),
    `type: ${row.type}`,
    ...(rule.default === undefined ? [] : [`default: ${rule.default}`]),
    ...(rule.range === undefined ? [] : [`allowed: ${rule.range[0]} to ${rule.range[1]}`]),
    ...(rule.allowed === undefined ? [] : [`allowed: ${rule.allowed.join(", ")}`]),
    ...Object.entries(row.forDepend ?? {}).map(
      ([value, own]) =>
        `when ${row.depend?.option} is ${value}: ${[...(own.default === undefined ? [] : [`default ${own.default}`]), ...(own.range === undefined ? [] : [`allowed ${own.range[0]} to ${own.range[1]}`])].join(", ")}`,
    ),
    ...(row.depend === undefined
      ? []
      : [`only with: ${row.depend.option}${row.depend.values === undefined ? "" : ` ${row.depend.values.join(" or ")}`}`]),
    `where: ${placesOf(row)}`,
    ...((row.aliases ?? []).length === 0 ? [] : [`old names: ${(row.aliases ?? []).map((name) => name.replace("?", "N")).join(", ")}`]),
    ...(row.own === true ? ["not an option of pgBackRest"] : []),
    ...statusOf(row),
  ];
  return lines(`pgbackstop - '${command}' command - '${row.name}' option help`, "", sentence(row.doc), "", ...facts);
}

function summary(row: OptionRow, command: CommandName): readonly [string, string] {
  const { default: fallback } = ruleFor(row, command);
  const notes = [...(fallback === undefined ? [] : [`default=${fallback}`]), ...statusOf(row)];
  return [`--${row.name}`, notes.length === 0 ? row.doc : `${row.doc} [${notes.join("; ")}]`];
}

/** What does not go without saying: accepted but without effect, or refused. */
function statusOf(row: OptionRow): readonly string[] {
  if (row.refused !== undefined) return [`refused when set: ${row.refused}`];
  const values = Object.keys(row.refusedValues ?? {});
  if (values.length > 0) return [`refused: ${values.join(", ")}`];
  return row.acted ? [] : ["accepted, not yet acted on"];
}

function placesOf(row: OptionRow): string {
  if (row.secret === true) return "configuration file or environment";
  if (row.section === "command-line") return "command line or environment";
  return row.section === "stanza" ? "command line, environment or the sections of a stanza" : "command line, environment or configuration file";
}

function ruleFor(row: OptionRow, command: CommandName): OptionRule {
  return { ...row, ...row.forCommand?.[command] };
}

function groupOf(row: OptionRow): keyof typeof GROUP_TITLES {
  return row.group ?? (row.section === "command-line" ? "command-line" : "general");
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, text]) => `    ${name.padEnd(width)}${text}`);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function lines(...texts: readonly string[]): string {
  return `${texts.join("\n")}\n`;
}
