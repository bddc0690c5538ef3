/** docs/reference/commands.md, from the tables of verbs and options: the text of `help` on one page. */
import { COMMAND_TABLE, COMMANDS, type CommandName } from "../../runtime/config/commands";
import { OPTIONS, type OptionRow } from "../../runtime/config/options";
import { document, sentence, table } from "./markdown";
import { defaultsOf, nameOf } from "./optionsPage";

/** Verbs that `recover` and Kubernetes objects start, not users. */
const INTERNAL: readonly CommandName[] = COMMANDS.filter(
  (command) => command.startsWith("cnpg-") || command === "recover-step",
);

export function renderCommands(): string {
  const verbs = COMMANDS.filter((command) => !INTERNAL.includes(command));
  return document(
    "# Verbs",
    "",
    "Every verb with its own options. [commands.md](../commands.md) says how to run them; [options.md](options.md) has the options that a configuration file takes too,",
    "with the verbs that read them. `pgbackstop help VERB` prints all options of a verb. `npm run docs` makes this page from the tables of verbs and options.",
    "",
    "These options belong to nearly every verb:",
    "",
    rowsOf(shared()),
    ...verbs.flatMap(sectionOf),
    "",
    "## Verbs that other parts start",
    "",
    table(
      ["verb", "what it does"],
      INTERNAL.map((command) => [`\`${usageOf(command)}\``, sentence(COMMAND_TABLE[command].doc)]),
    ),
  );
}

function sectionOf(command: CommandName): readonly string[] {
  const rows = OPTIONS.filter((row) => isOwn(row) && row.commands.includes(command));
  return [
    "",
    `## ${command}`,
    "",
    sentence(COMMAND_TABLE[command].doc),
    "",
    "```text",
    `pgbackstop [options] ${usageOf(command)}`,
    "```",
  ].concat(rows.length === 0 ? [] : ["", rowsOf(rows, command)]);
}

function usageOf(command: CommandName): string {
  const { params } = COMMAND_TABLE[command];
  return params === undefined ? command : `${command} ${params}`;
}

function rowsOf(rows: readonly OptionRow[], command?: CommandName): string {
  return table(
    ["option", "default", "what it sets"],
    rows.map((row) => [`\`--${nameOf(row)}\``, defaultsOf(row, command), sentence(row.doc)]),
  );
}

/** Command-line-only options that only some verbs accept. */
function isOwn(row: OptionRow): boolean {
  return row.section === "command-line" && row.acted && !isShared(row);
}

function isShared(row: OptionRow): boolean {
  return row.commands.length > COMMANDS.length / 2;
}

function shared(): readonly OptionRow[] {
  return OPTIONS.filter((row) => row.section === "command-line" && row.acted && isShared(row));
}
