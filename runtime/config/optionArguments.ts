/**
 * Options as arguments: the line that stock logs when a command begins, and the arguments that another command needs.
 * Never a secret.
 */
import type { CommandName } from "./commands";
import { isMultiple } from "./entry";
import type { Resolved, ResolvedOption } from "./resolve";

/** Specific to the current command: recovery follows its own configuration (pgBackRest 2.60 "restore/config"). */
const NOT_CARRIED = [
  "cmd",
  "job-retry",
  "job-retry-interval",
  "log-format",
  "log-level-console",
  "log-level-file",
  "log-level-stderr",
  "log-subprocess",
  "log-timestamp",
  "process-max",
  "stanza",
];

/** These decide which files are read, whatever their source. */
const CARRIED_FROM_ENVIRONMENT = ["config", "config-include-path", "config-path", "settings"];

/**
 * `[params] --option=value …`: options that are not default, in the order of the table; arguments with blanks are
 * quoted.
 */
export function beginLineOf(resolved: Resolved, params: readonly string[]): string {
  const head = params.length === 0 ? [] : [`[${params.map(quote).join(", ")}]`];
  return [...head, ...resolved.options.flatMap((option) => argsOf(option, quote))].join(" ");
}

/** Arguments of the command line that `command` needs to use the same repositories and cluster. */
export function carriedOptionsOf(resolved: Resolved, command: CommandName): readonly string[] {
  return resolved.options
    .filter(({ row, entry }) => {
      if (row.secret === true || !row.commands.includes(command) || NOT_CARRIED.includes(row.name)) return false;
      return (
        entry?.source === "command-line" ||
        (entry?.source === "environment" && CARRIED_FROM_ENVIRONMENT.includes(row.name))
      );
    })
    .flatMap((option) => argsOf(option, (text) => text));
}

function argsOf(option: ResolvedOption, format: (text: string) => string): readonly string[] {
  const { row, name, value, entry } = option;
  if (entry === undefined) return [];
  if (entry.reset) return [`--reset-${name}`];
  if (value === undefined) return [`--no-${name}`];
  if (row.secret === true) return [`--${name}=<redacted>`];
  if (row.type === "boolean") return [value === true ? `--${name}` : `--no-${name}`];
  if (row.type === "hash" && typeof value === "object")
    return Object.entries(value).map(([key, text]) => `--${name}=${format(`${key}=${text}`)}`);
  return (isMultiple(row) ? entry.texts : entry.texts.slice(0, 1)).map((text) => `--${name}=${format(text)}`);
}

function quote(text: string): string {
  return text.includes(" ") ? `"${text}"` : text;
}
