/** Mistakes in options that the command does not use. */
import { isError } from "../base/errors";
import { COMMAND_TABLE, type CommandName } from "./commands";
import type { OptionRow } from "./options";

/** Runs the check of an option that `command` does not use: its error is a warning for lenient commands. */
export function withoutUse(command: CommandName, warn: (text: string) => void, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!isError(error) || COMMAND_TABLE[command].lenient !== true) throw error;
    const hints = [...error.hints, `${command} does not use this option and continues; other commands fail.`];
    warn([error.message, ...hints.map((hint) => `HINT: ${hint}`)].join("\n"));
  }
}

/** {@link withoutUse} for an option that the command may use: it is valid there, and has an effect. */
export function ifUnused(command: CommandName, row: OptionRow, warn: (text: string) => void, check: () => void): void {
  const isActed = row.acted || row.refused !== undefined || row.refusedValues !== undefined;
  if (isActed && row.commands.includes(command)) check();
  else withoutUse(command, warn, check);
}
