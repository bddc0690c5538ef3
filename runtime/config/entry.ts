/** One option from the command line, the environment or a file, before its value is parsed. */
import type { NamedOption } from "./optionName";
import type { OptionRow } from "./options";

export type EntrySource = "command-line" | "environment" | "file";

export interface Entry extends NamedOption {
  /** `y` or `n` for booleans; several only for lists and hashes; none for `--no-config` and `--reset-…`. */
  readonly texts: readonly string[];
  readonly source: EntrySource;
  /** Hint where the value stands; undefined for the command line. */
  readonly origin: string | undefined;
}

export type Entries = Map<string, Entry>;

/** The key of an option in {@link Entries}. */
export function entryId(row: OptionRow, key: number | undefined): string {
  return `${row.name}#${key ?? 0}`;
}

export function isMultiple(row: OptionRow): boolean {
  return row.type === "list" || row.type === "hash";
}
