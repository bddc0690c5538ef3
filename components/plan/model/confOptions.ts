/** Options of pgBackRest as users pass them on: `process-max`, or `backup:process-max` for one command. Pure. */
import { isMultiple } from "../../../runtime/config/entry";
import { findOption } from "../../../runtime/config/optionName";
import type { OptionRow } from "../../../runtime/config/options";

/** Values by name; a list has one value on each line. */
export type ConfOptions = Readonly<Record<string, string>>;

/** The command that an option is for; null for all. */
export function commandOf(key: string): string | null {
  return key.includes(":") ? key.slice(0, key.indexOf(":")) : null;
}

export function nameOf(key: string): string {
  return key.slice(key.indexOf(":") + 1);
}

/** @param name as the file has it: `repo1-cipher-pass` */
export function isSecretOption(name: string): boolean {
  try {
    return findOption(name)?.row.secret === true;
  } catch {
    return false;
  }
}

/** As the file has it: one line for each value of a list. */
export function optionValue(row: OptionRow | undefined, value: string): string | string[] {
  return row !== undefined && isMultiple(row) ? value.split("\n") : value;
}

/** Options of one command, or of all, in the order of their names, for a section of the file. */
export function optionsOf(
  options: ConfOptions,
  command: string | null,
  isInSection: (name: string) => boolean = () => true,
): { readonly name: string; readonly value: string | string[] }[] {
  return Object.entries(options)
    .filter(([key]) => commandOf(key) === command && isInSection(nameOf(key)))
    .map(([key, value]) => ({ name: nameOf(key), value: optionValue(findOption(nameOf(key))?.row, value) }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** Commands that have options of their own, in alphabetical order. */
export function commandsOf(options: ConfOptions): string[] {
  return [...new Set(Object.keys(options).flatMap((key) => commandOf(key) ?? []))].sort();
}
