/** Mistakes in options that the command does not use. */
import { isError } from "../base/errors";
import { COMMAND_TABLE, type CommandName } from "./commands";
import type { EntrySource } from "./entry";
import type { OptionRow } from "./options";

/** The command, and where its option stands. */
interface Given {
  readonly command: CommandName;
  readonly source: EntrySource;
  readonly warn: (text: string) => void;
}

/**
 * Runs the check of an option that the command does not use: its error is a warning for lenient commands, and in the
 * environment, where others set variables too.
 */
export function withoutUse({ command, source, warn }: Given, check: () => void): void {
  try {
    check();
  } catch (error) {
    const isTolerated = source === "environment" || COMMAND_TABLE[command].lenient === true;
    if (!isError(error) || !isTolerated) throw error;
    const others = source === "environment" ? "commands that use it fail" : "other commands fail";
    const hints = [...error.hints, `${command} does not use this option and continues; ${others}.`];
    warn([error.message, ...hints.map((hint) => `HINT: ${hint}`)].join("\n"));
  }
}

/** {@link withoutUse} for an option that the command may use: it is valid there, and has an effect. */
export function ifUnused(where: Given, row: OptionRow, check: () => void): void {
  const isActed = row.acted || row.refused !== undefined || row.refusedValues !== undefined;
  if (isActed && row.commands.includes(where.command)) check();
  else withoutUse(where, check);
}
