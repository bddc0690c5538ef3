/** One option as it was found on the command line, in the environment or in a file, before its value is looked at. */
import type { OptionRow } from "./options";

export type EntrySource = "command-line" | "environment" | "file";

export interface Entry {
  readonly row: OptionRow;
  readonly key: number | undefined;
  /** `y` or `n` for booleans; several only for lists and hashes; none for `--no-config` and `--reset-…`. */
  readonly texts: readonly string[];
  readonly negate: boolean;
  readonly reset: boolean;
  readonly source: EntrySource;
  /** Where a value from elsewhere than the command line stands, as a hint. */
  readonly place: string | undefined;
}

export type Entries = Map<string, Entry>;

/** The key of an option in {@link Entries}. */
export function entryId(row: OptionRow, key: number | undefined): string {
  return `${row.name}#${key ?? 0}`;
}

/** True for options that take several values. */
export function isMultiple(row: OptionRow): boolean {
  return row.type === "list" || row.type === "hash";
}
