/**
 * Names of options as users write them: with a key (`repo2-path`), with `no-` or `reset-` before, under an old name
 * (`db-path`, `repo1-s3-host`), abbreviated on the command line, or wrong. Rules and wording of pgBackRest 2.60
 * "config/parse".
 */
import { nearNames } from "../base/nearNames";
import { fail } from "../base/errors";
import { OPTION_KEY_MAX, OPTIONS, type OptionRow } from "./options";

export interface NamedOption {
  readonly row: OptionRow;
  /** 1…256 for an option of a group, else undefined. */
  readonly key: number | undefined;
  readonly negate: boolean;
  readonly reset: boolean;
}

interface Alias {
  readonly row: OptionRow;
  readonly indexed: boolean;
  readonly unindexed: boolean;
}

const ROWS: ReadonlyMap<string, OptionRow> = new Map(OPTIONS.map((row) => [row.name, row]));
const ALIASES = aliasesByBase();

/** The row of a name without key. @throws assert when it does not exist */
export function rowOf(name: string): OptionRow {
  const row = ROWS.get(name);
  if (row === undefined) throw fail("assert", `option '${name}' is not in the table`);
  return row;
}

/** `repo-path` and 2 → `repo2-path`; a name without key stays. */
export function optionName(row: OptionRow, key: number | undefined): string {
  return row.group === undefined || key === undefined
    ? row.name
    : `${row.group}${key}${row.name.slice(row.group.length)}`;
}

function canNegate(row: OptionRow): boolean {
  return row.negate ?? ((row.type === "boolean" || row.booleanLike === true) && row.section !== "command-line");
}

/**
 * Parses a name without leading dashes; null when unknown.
 * @param mayBeShort accepts the beginning of one name, as stock does on the command line
 * @throws optionInvalid when the option exists but is written in a wrong way
 */
export function findOption(text: string, mayBeShort = false): NamedOption | null {
  const negate = text.startsWith("no-");
  const reset = !negate && text.startsWith("reset-");
  const name = text.slice(negate ? "no-".length : reset ? "reset-".length : 0);
  const match = /^([^-]*?)(\d*)(-.*)?$/s.exec(name);
  const digits = match?.[3] === undefined ? "" : (match[2] ?? "");
  const base = digits === "" ? name : `${match?.[1] ?? ""}${match?.[3] ?? ""}`;
  const alias = ALIASES.get(base);
  const row = ROWS.get(base) ?? (mayBeShort && alias === undefined ? completed(base) : undefined);
  const optionRow = row ?? alias?.row;
  if (optionRow === undefined) return null;

  if (digits !== "" && (Number(digits) < 1 || Number(digits) > OPTION_KEY_MAX)) {
    throw fail("optionInvalid", `option '${text}' key must be between 1 and ${OPTION_KEY_MAX}`);
  }
  if (negate && !canNegate(optionRow)) throw fail("optionInvalid", `option '${text}' cannot be negated`);
  if (reset && optionRow.section === "command-line") throw fail("optionInvalid", `option '${text}' cannot be reset`);
  checkIndex(text, optionRow, row === undefined ? alias : undefined, digits !== "", alias?.unindexed === true);
  return {
    row: optionRow,
    key: optionRow.group === undefined ? undefined : digits === "" ? 1 : Number(digits),
    negate,
    reset,
  };
}

/** The one row whose name begins like this. Options of ours must not make an abbreviation of stock's ambiguous. */
function completed(begin: string): OptionRow | undefined {
  const rows = OPTIONS.filter((row) => row.name.startsWith(begin));
  const stock = rows.filter((row) => row.own !== true);
  const [only, ...others] = stock.length > 0 ? stock : rows;
  return others.length === 0 ? only : undefined;
}

/** At most two known names that are nearest to a wrong one, without leading dashes. */
export function similarNames(text: string): readonly string[] {
  const prefix = /^(no-|reset-)/.exec(text)?.[0] ?? "";
  const name = text.slice(prefix.length).toLowerCase().replaceAll("_", "-");
  const key = /^(?:repo|pg)(\d{1,3})-/.exec(name)?.[1];
  const candidates = OPTIONS.map((row) => optionName(row, Number(key ?? "1")));
  return nearNames(name, candidates).map((candidate) => prefix + candidate);
}

function checkIndex(
  text: string,
  row: OptionRow,
  alias: Alias | undefined,
  indexed: boolean,
  unindexedAlias: boolean,
): void {
  if (alias !== undefined) {
    if (indexed && !alias.indexed) throw fail("optionInvalid", `deprecated option '${text}' cannot have an index`);
    if (!indexed && !alias.unindexed) {
      throw fail("optionInvalid", `deprecated option '${text}' requires an index`, {
        hint: `use the name ${optionName(row, 1)} instead.`,
      });
    }
    return;
  }
  if (indexed && row.group === undefined) throw fail("optionInvalid", `option '${text}' cannot have an index`);
  if (!indexed && row.group !== undefined && !unindexedAlias) {
    throw fail("optionInvalid", `option '${text}' requires an index`, {
      hint: `add the required index, e.g. ${optionName(row, 1)}.`,
    });
  }
}

function aliasesByBase(): ReadonlyMap<string, Alias> {
  const aliases = new Map<string, Alias>();
  for (const row of OPTIONS) {
    for (const name of row.aliases ?? []) {
      const base = name.replace("?", "");
      const other = aliases.get(base);
      const indexed = name.includes("?");
      aliases.set(base, {
        row,
        indexed: indexed || other?.indexed === true,
        unindexed: !indexed || other?.unindexed === true,
      });
    }
  }
  return aliases;
}
