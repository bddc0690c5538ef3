/**
 * pgBackRest's command line: options before and after the command, `--opt=value`, `--opt value`, `--opt`, `--no-opt`,
 * `--reset-opt`; the rest is the command and its parameters. `--` ends the options. `-h`, `--help` and `--version`
 * stand for the commands. Wording of 2.60 "config/parse". An unknown option's value may be a secret: messages omit it.
 */
import { type BackupError, fail } from "../base/errors";
import { COMMAND_TABLE, COMMANDS, type CommandName, commandsWith } from "./commands";
import { type Entries, type Entry, entryId, isMultiple } from "./entry";
import { findOption, type NamedOption, optionName, similarNames } from "./optionName";
import type { Config } from "./types";

export interface CommandLine {
  readonly command: CommandName;
  readonly role: Config["role"];
  readonly params: readonly string[];
  readonly entries: Entries;
}

/** Commands of stock that this program does not have. */
const OTHER_COMMANDS = ["repo-rm", "server", "server-ping"];

/** @throws optionInvalid, optionInvalidValue, commandInvalid, commandRequired, paramInvalid */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const entries: Entries = new Map();
  const positional: string[] = [];
  let help = false;
  let version = false;
  for (let at = 0; at < argv.length; at++) {
    const arg = argv[at] ?? "";
    if (arg === "--") {
      positional.push(...argv.slice(at + 1));
      break;
    }
    if (arg === "-h" || arg === "--help") help = true;
    else if (arg === "--version") version = true;
    else if (arg.startsWith("-")) at += addOption(entries, arg, argv[at + 1]);
    else positional.push(arg);
  }
  const chosen = chooseCommand(positional, help, version, entries);
  // Help ignores options, as in stock: launchers put some before every command.
  if (chosen.command === "help") entries.clear();
  return { ...chosen, entries };
}

function chooseCommand(
  positional: readonly string[],
  help: boolean,
  version: boolean,
  entries: Entries,
): Omit<CommandLine, "entries"> {
  const [first, ...params] = positional;
  if (first === undefined) {
    if (version && !help) return { command: "version", role: "main", params: [] };
    if (!help && entries.size > 0)
      throw fail("commandRequired", "no command found", { hint: `Available commands: ${COMMANDS.join(", ")}.` });
    return { command: "help", role: "main", params: [] };
  }
  const role = commandsWith((row) => row.background === true).some((name) => first === `${name}:async`)
    ? "async"
    : "main";
  const command = commandOf(role === "main" ? first : first.slice(0, -":async".length));
  if (help && command !== "help") return { command: "help", role: "main", params: [command] };
  if (version) throw fail("optionInvalid", `option 'version' not valid for command '${command}'`);
  if (params.length > 0 && COMMAND_TABLE[command].params === undefined)
    throw fail("paramInvalid", "command does not allow parameters");
  return { command, role, params };
}

/** @throws commandInvalid */
export function commandOf(text: string): CommandName {
  const command = COMMANDS.find((name) => name === text);
  if (command !== undefined) return command;
  const hint = OTHER_COMMANDS.includes(text.replace(/:.*$/s, ""))
    ? "Run this command with pgbackrest, which works on the same repositories."
    : `Available commands: ${COMMANDS.join(", ")}.`;
  throw fail("commandInvalid", `invalid command '${text}'`, { hint });
}

/** Adds one argument's option; returns how many further arguments it took. */
function addOption(entries: Entries, arg: string, next: string | undefined): number {
  if (!arg.startsWith("--")) throw fail("optionInvalid", `option '${arg.replace(/=.*$/s, "")}' must begin with --`);
  const at = arg.indexOf("=");
  const text = arg.slice(2, at === -1 ? undefined : at);
  const option = findOption(text, true);
  if (option === null) throw unknownOption(text);
  const { row, key } = option;
  const name = optionName(row, key);
  if (row.secret === true) {
    throw fail("optionInvalid", `option '${name}' is not allowed on the command-line`, {
      hint: [
        "this option could expose secrets in the process list.",
        "specify the option in a configuration file or an environment variable instead.",
      ],
    });
  }
  const { texts, negate, taken } = argumentOf(option, text, at === -1 ? undefined : arg.slice(at + 1), next);
  const entry: Entry = { row, key, texts, negate, reset: option.reset, source: "command-line", origin: undefined };
  const id = entryId(row, key);
  const old = entries.get(id);
  entries.set(id, old === undefined ? entry : merge(old, entry, name));
  return taken;
}

interface Argument {
  readonly texts: readonly string[];
  readonly negate: boolean;
  readonly taken: 0 | 1;
}

function argumentOf(
  option: NamedOption,
  text: string,
  argument: string | undefined,
  next: string | undefined,
): Argument {
  const { row } = option;
  if (option.negate || option.reset) {
    if (argument !== undefined) throw fail("optionInvalid", `option '${text}' does not allow an argument`);
    const hasValue = option.negate && (row.type === "boolean" || row.booleanLike === true);
    return { texts: hasValue ? ["n"] : [], negate: option.negate, taken: 0 };
  }
  if (row.type === "boolean") {
    if (argument !== undefined && argument !== "y" && argument !== "n") {
      throw fail("optionInvalidValue", `boolean option '--${text}' argument must be 'y' or 'n'`);
    }
    return { texts: [argument ?? "y"], negate: argument === "n", taken: 0 };
  }
  if (argument !== undefined) return { texts: [argument], negate: false, taken: 0 };
  if (row.booleanLike === true) return { texts: ["y"], negate: false, taken: 0 };
  if (next === undefined) throw fail("optionInvalid", `option '--${text}' requires an argument`);
  return { texts: [next], negate: false, taken: 1 };
}

/** A repeated list or hash option adds values; any other is an error. */
function merge(old: Entry, entry: Entry, name: string): Entry {
  if (old.negate && entry.negate) throw fail("optionInvalid", `option '${name}' is negated multiple times`);
  if (old.reset && entry.reset) throw fail("optionInvalid", `option '${name}' is reset multiple times`);
  if ((old.reset && entry.negate) || (old.negate && entry.reset))
    throw fail("optionInvalid", `option '${name}' cannot be negated and reset`);
  if (old.negate !== entry.negate) throw fail("optionInvalid", `option '${name}' cannot be set and negated`);
  if (old.reset !== entry.reset) throw fail("optionInvalid", `option '${name}' cannot be set and reset`);
  if (!isMultiple(entry.row)) throw fail("optionInvalid", `option '${name}' cannot be set multiple times`);
  return { ...old, texts: [...old.texts, ...entry.texts] };
}

function unknownOption(text: string): BackupError {
  const similar = similarNames(text);
  const hint =
    similar.length > 0
      ? `did you mean ${similar.map((name) => `--${name}`).join(" or ")}?`
      : "the command help lists the options.";
  return fail("optionInvalid", `invalid option '--${text}'`, { hint });
}
