/** The text of `help`, `help COMMAND` and `help COMMAND OPTION`, from the tables of commands and options. */
import { fail } from "../base/errors";
import { commandOf } from "./cli";
import { COMMAND_TABLE, COMMANDS, type CommandName } from "./commands";
import { findOption, optionName, similarNames } from "./optionName";
import { OPTIONS, type OptionRow, type OptionRule } from "./options";

const GROUP_TITLES = {
  "command-line": "Command Options",
  general: "General Options",
  pg: "PostgreSQL Options",
  repo: "Repository Options",
} as const;

/** @throws commandInvalid, optionInvalid, paramInvalid */
export function helpText(params: readonly string[]): string {
  const [command, option, ...rest] = params;
  if (rest.length > 0) throw fail("paramInvalid", "only one option allowed for option help");
  if (command === undefined) return generalHelp();
  return option === undefined ? commandHelp(commandOf(command)) : optionHelp(commandOf(command), option);
}

function generalHelp(): string {
  const rows = COMMANDS.map((command) => [command, COMMAND_TABLE[command].doc] as const);
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
  const { doc, params } = COMMAND_TABLE[command];
  const rows = OPTIONS.filter((row) => row.commands.includes(command));
  const sections = (Object.keys(GROUP_TITLES) as (keyof typeof GROUP_TITLES)[]).flatMap((group) => {
    const members = rows.filter((row) => groupOf(row) === group);
    return members.length === 0
      ? []
      : ["", `${GROUP_TITLES[group]}:`, "", ...columns(members.map((row) => summary(row, command)))];
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
      : [
          `only with: ${row.depend.option}${row.depend.values === undefined ? "" : ` ${row.depend.values.join(" or ")}`}`,
        ]),
    `where: ${originsOf(row)}`,
    ...((row.aliases ?? []).length === 0
      ? []
      : [`old names: ${(row.aliases ?? []).map((name) => name.replace("?", "N")).join(", ")}`]),
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

/** Marks options that are accepted without effect, or refused. */
function statusOf(row: OptionRow): readonly string[] {
  if (row.refused !== undefined) return [`refused when set: ${row.refused}`];
  const values = Object.keys(row.refusedValues ?? {});
  if (values.length > 0) return [`refused: ${values.join(", ")}`];
  return row.acted ? [] : ["accepted, without effect"];
}

function originsOf(row: OptionRow): string {
  if (row.secret === true) return "configuration file or environment";
  if (row.section === "command-line") return "command line or environment";
  return row.section === "stanza"
    ? "command line, environment or a stanza's sections"
    : "command line, environment or configuration file";
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
