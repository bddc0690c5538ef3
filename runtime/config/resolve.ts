/**
 * Resolves entries, which already have precedence: settles dependencies, defaults, required options, ranges and the
 * keys of the two groups, as pgBackRest 2.60 "config/parse" does. One deliberate difference: a wrong value of a file
 * fails even when the command does not use the option, so that a mistake shows on the first run and not in the night of
 * the first backup. Lenient commands warn instead.
 */
import { type BackupError, fail } from "../base/errors";
import type { CommandName } from "./commands";
import { type Entries, type Entry, type EntrySource, entryId } from "./entry";
import { optionName, rowOf } from "./optionName";
import { ifUnused, withoutUse } from "./unused";
import { OPTIONS, type OptionDepend, type OptionRow, type OptionRule } from "./options";
import { type OptionValue, parseNumber, parseValue } from "./values";

export interface ResolvedOption {
  readonly row: OptionRow;
  readonly key: number | undefined;
  readonly name: string;
  readonly value: OptionValue | undefined;
  readonly source: EntrySource | "default";
  /** Undefined when the default holds, because the option is unset or its dependency is not met. */
  readonly entry: Entry | undefined;
}

export interface Resolved {
  readonly command: CommandName;
  /** Ascending; at least one when the command uses the group. */
  readonly repoIndexes: readonly number[];
  readonly pgKeys: readonly number[];
  /** Repositories that lack a secret. The error affects only them as long as the command has others. */
  readonly unusable: ReadonlyMap<number, BackupError>;
  /** Every option that is valid for the command, in the order of the table, then by key. */
  readonly options: readonly ResolvedOption[];
  /** Null when the option is not valid for the command or the key is not in use. */
  find(name: string, key?: number): ResolvedOption | null;
}

/** @throws optionInvalid, optionInvalidValue, optionRequired, featureNotSupported */
export function resolveOptions(command: CommandName, entries: Entries, warn: (text: string) => void): Resolved {
  for (const entry of entries.values()) {
    if (entry.row.commands.includes(command)) continue;
    const name = optionName(entry.row, entry.key);
    if (entry.source === "command-line")
      throw fail("optionInvalid", `option '${name}' not valid for command '${command}'`);
    checkUnused(command, entry, name, warn);
  }
  const resolver = new Resolver(command, entries, warn);
  // First, because without a stanza much else is missing too.
  const stanza = rowOf("stanza");
  if (stanza.commands.includes(command)) resolver.resolve(stanza, undefined);
  const repoIndexes = usedKeys(resolver, "repo");
  const pgKeys = usedKeys(resolver, "pg");
  const inUse = OPTIONS.filter((row) => row.commands.includes(command)).flatMap((row) =>
    (row.group === undefined ? [undefined] : row.group === "repo" ? repoIndexes : pgKeys).map((key) =>
      resolver.resolve(row, key),
    ),
  );
  const byId = new Map(inUse.map((option) => [entryId(option.row, option.key), option]));
  return {
    command,
    repoIndexes,
    pgKeys,
    unusable: resolver.unusable,
    options: inUse,
    find: (name, key) => byId.get(entryId(rowOf(name), key)) ?? null,
  };
}

/**
 * Keys with a value that is not default; none when the command does not use the group. A key whose only options have
 * unmet dependencies is dropped; key 1 stays when no other is left.
 */
function usedKeys(resolver: Resolver, group: "repo" | "pg"): readonly number[] {
  const keys = resolver.keysOf(group);
  const rows = resolver.rowsOf(group);
  const used = keys.filter((key) =>
    rows.map((row) => resolver.resolve(row, key)).some((option) => option.source !== "default"),
  );
  return used.length > 0 || keys.length === 0 ? used : [1];
}

/** Reports a value that no command could accept. */
function checkUnused(command: CommandName, entry: Entry, name: string, warn: (text: string) => void): void {
  const { origin, row, source, texts } = entry;
  if (texts.length === 0 || (row.type === "enum" && row.allowed === undefined)) return;
  withoutUse({ command, source, warn }, () =>
    parseValue({ name, row, rule: widestRule(row), origin }, texts, () => undefined),
  );
}

/** The row's own rule, or the widest of those that depend on another option. */
export function widestRule(row: OptionRow): OptionRule {
  const ranges = Object.values(row.forDepend ?? {}).flatMap((rule) => rule.range ?? []);
  if (row.range !== undefined || ranges.length === 0) return row;
  const sorted = ranges.toSorted(
    (left, right) => (parseNumber(row.type, left) ?? 0) - (parseNumber(row.type, right) ?? 0),
  );
  return { ...row, range: [sorted[0] ?? "", sorted.at(-1) ?? ""] };
}

class Resolver {
  readonly #command: CommandName;
  readonly #entries: Entries;
  readonly #warn: (text: string) => void;
  readonly #done = new Map<string, ResolvedOption>();
  readonly unusable = new Map<number, BackupError>();

  constructor(command: CommandName, entries: Entries, warn: (text: string) => void) {
    this.#command = command;
    this.#entries = entries;
    this.#warn = warn;
  }

  /** The group's options that are valid for the command and configure a key. */
  rowsOf(group: "repo" | "pg"): readonly OptionRow[] {
    return OPTIONS.filter(
      (row) =>
        row.group === group &&
        row.commands.includes(this.#command) &&
        row.addsNoKeyFor?.includes(this.#command) !== true,
    );
  }

  /** Keys of options that are valid for the command; key 1 if none is set, and always for a group `pg` in use. */
  keysOf(group: "repo" | "pg"): readonly number[] {
    const rows = this.rowsOf(group);
    if (rows.length === 0) return [];
    const keys = new Set<number>();
    for (const entry of this.#entries.values())
      if (rows.includes(entry.row) && !entry.reset && entry.key !== undefined) keys.add(entry.key);
    if (group === "pg" || keys.size === 0) keys.add(1);
    return [...keys].sort((left, right) => left - right);
  }

  resolve(row: OptionRow, key: number | undefined): ResolvedOption {
    const id = entryId(row, key);
    const done = this.#done.get(id);
    if (done !== undefined) return done;
    const option = this.#settle(row, key, this.#entries.get(id));
    this.#done.set(id, option);
    return option;
  }

  #settle(row: OptionRow, key: number | undefined, entry: Entry | undefined): ResolvedOption {
    const name = optionName(row, key);
    const forCommand = row.forCommand?.[this.#command];
    const depend = forCommand?.depend ?? row.depend;
    const unset: ResolvedOption = { row, key, name, value: undefined, source: "default", entry: undefined };
    let rule: OptionRule = { ...row, ...forCommand };
    let rangeReason: string | undefined;
    if (depend !== undefined) {
      const dependRow = rowOf(depend.option);
      const on = dependRow.commands.includes(this.#command)
        ? this.resolve(dependRow, dependRow.group === undefined ? undefined : key)
        : undefined;
      const text = on?.value === undefined ? undefined : textOf(on.value);
      if (text === undefined || (depend.values !== undefined && !depend.values.includes(text))) {
        return this.#settleUnmet(unset, entry, depend, optionName(dependRow, key), text !== undefined, rule);
      }
      const forDepend = row.forDepend?.[text];
      if (forDepend !== undefined) {
        rule = { ...rule, ...forDepend };
        rangeReason = `'${optionName(dependRow, key)}' option = '${text}'`;
      }
    }
    if (entry !== undefined && !entry.reset) {
      if (entry.texts.length === 0) return { ...unset, source: entry.source, entry };
      const { origin, source, texts } = entry;
      let value: OptionValue | undefined;
      const parse = (): void => {
        value = parseValue({ name, row, rule, rangeReason, origin }, texts, this.#warn);
      };
      if (source === "command-line") parse();
      else ifUnused({ command: this.#command, source, warn: this.#warn }, row, parse);
      if (value !== undefined) {
        this.#refuse(row, name, value, origin);
        return { ...unset, value, source, entry };
      }
    }
    return { ...unset, value: this.#defaultOf(row, key, name, rule), entry };
  }

  #settleUnmet(
    unset: ResolvedOption,
    entry: Entry | undefined,
    depend: OptionDepend,
    on: string,
    onSet: boolean,
    rule: OptionRule,
  ): ResolvedOption {
    const { row, name } = unset;
    if (entry !== undefined && !entry.reset) {
      if (entry.source === "command-line")
        throw fail("optionInvalid", `option '${name}' not valid without option ${dependText(depend, on, onSet)}`);
      checkUnused(this.#command, entry, name, this.#warn);
    }
    if (depend.otherwise === undefined) return unset;
    const value = parseValue(
      { name, row, rule: { ...rule, range: [depend.otherwise, depend.otherwise] }, origin: undefined },
      [depend.otherwise],
      this.#warn,
    );
    return { ...unset, value };
  }

  #defaultOf(row: OptionRow, key: number | undefined, name: string, rule: OptionRule): OptionValue | undefined {
    if (rule.default !== undefined)
      return parseValue({ name, row, rule, origin: undefined }, [rule.default], this.#warn);
    if (rule.required !== true) return undefined;
    const missing = fail(
      "optionRequired",
      `${this.#command} command requires option: ${name}`,
      requiredHint(row, name, key),
    );
    if (row.group !== "repo" || row.secret !== true || key === undefined) throw missing;
    if (!this.unusable.has(key)) this.unusable.set(key, missing);
    return undefined;
  }

  #refuse(row: OptionRow, name: string, value: OptionValue, origin: string | undefined): void {
    const text = textOf(value);
    const reason = row.refused ?? row.refusedValues?.[text];
    if (reason === undefined || (row.type === "boolean" && row.refused !== undefined && value === false)) return;
    const what = row.refused === undefined ? `option '${name}' = '${text}'` : `option '${name}'`;
    throw fail(
      "featureNotSupported",
      `${what} is not supported: ${reason}`,
      origin === undefined ? {} : { hint: origin },
    );
  }
}

/** A value as a user would write it. */
export function textOf(value: OptionValue): string {
  return typeof value === "boolean"
    ? value
      ? "y"
      : "n"
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value);
}

function dependText(depend: OptionDepend, on: string, onSet: boolean): string {
  if (depend.values === undefined || !onSet) return `'${on}'`;
  if (depend.values.length === 1 && depend.values[0] === "n") return `'no-${on}'`;
  if (depend.values.length === 1 && depend.values[0] === "y") return `'${on}'`;
  const values = depend.values.map((value) => `'${value}'`).join(", ");
  return depend.values.length === 1 ? `'${on}' = ${values}` : `'${on}' in (${values})`;
}

function requiredHint(row: OptionRow, name: string, key: number | undefined): { hint: string } | Record<string, never> {
  if (row.section === "stanza") return { hint: "does this stanza exist?" };
  const depend = row.depend;
  if (depend === undefined) return {};
  const because = `it is needed when ${optionName(rowOf(depend.option), key)} is ${(depend.values ?? ["set"]).join(" or ")}`;
  if (row.secret !== true) return { hint: `${because}.` };
  return {
    hint: `${because}; write it in a configuration file or set PGBACKREST_${name.toUpperCase().replaceAll("-", "_")}.`,
  };
}
