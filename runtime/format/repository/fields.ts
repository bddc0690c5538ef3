/**
 * Typed access to an info file's values. Readers throw `format` (29) with file, section and key when a value is missing
 * or has another type; `find*` return undefined for a missing one.
 */
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import type { InfoEntry, ParsedEntry } from "./infoFile";
import { type JsonObject, type JsonValue } from "./json";

/** One JSON object (a row's value) or one section (its keys and values), with its origin for messages. */
export class Fields {
  readonly #values: JsonObject;
  readonly #where: string;

  constructor(values: JsonObject, where: string) {
    this.#values = values;
    this.#where = where;
  }

  /** The fields of a row with an object as value. */
  static ofRow(entry: ParsedEntry, name: string): Fields {
    const where = `'${name}' section '${entry.section}' key '${entry.key}'`;
    if (!isFields(entry.value)) throw fail("format", `${where}: expected an object`);
    return new Fields(entry.value, where);
  }

  /** The value or undefined; a JSON null counts as missing. */
  find(key: string): JsonValue | undefined {
    return this.#values[key] ?? undefined;
  }

  findText(key: string): string | undefined {
    const value = this.find(key);
    if (value !== undefined && typeof value !== "string") throw this.#wrong(key, "a string");
    return value;
  }

  findInteger(key: string): number | undefined {
    const value = this.find(key);
    if (value !== undefined && !Number.isSafeInteger(value)) throw this.#wrong(key, "an integer");
    return value as number | undefined;
  }

  findBoolean(key: string): boolean | undefined {
    const value = this.find(key);
    if (value !== undefined && typeof value !== "boolean") throw this.#wrong(key, "true or false");
    return value;
  }

  text(key: string): string {
    return this.findText(key) ?? this.#missing(key);
  }

  integer(key: string): number {
    return this.findInteger(key) ?? this.#missing(key);
  }

  boolean(key: string): boolean {
    return this.findBoolean(key) ?? this.#missing(key);
  }

  /** An unsigned integer of up to 64 bits, such as a system identifier. */
  bigint(key: string): bigint {
    const value = this.find(key) ?? this.#missing(key);
    if (typeof value !== "bigint" && !Number.isSafeInteger(value)) throw this.#wrong(key, "an integer");
    return BigInt(value as bigint | number);
  }

  /** All fields except the named ones. */
  rest(known: ReadonlySet<string>): Readonly<Record<string, JsonValue>> {
    const others = Object.entries(this.#values).filter(([key]) => !known.has(key));
    return others.length === 0 ? {} : Object.fromEntries(others);
  }

  #wrong(key: string, expected: string): Error {
    return fail("format", `${this.#where}: expected ${expected} in '${key}'`);
  }

  #missing(key: string): never {
    throw fail("format", `${this.#where}: required '${key}' is missing`);
  }
}

/** A file's entries by section; remembers which were never read. */
export class Sections {
  readonly #name: string;
  readonly #sections = new Map<string, ParsedEntry[]>();
  readonly #other: InfoEntry[] = [];

  constructor(entries: readonly ParsedEntry[], name: string) {
    this.#name = name;
    for (const entry of entries) {
      const section = this.#sections.get(entry.section);
      if (section === undefined) this.#sections.set(entry.section, [entry]);
      else section.push(entry);
    }
  }

  /** Takes a section with fixed keys; its unknown keys are kept as `other`. A missing section has no fields. */
  fields(section: string, known: ReadonlySet<string>): Fields {
    const entries = this.rows(section);
    for (const entry of entries) if (!known.has(entry.key)) this.#keep(entry);
    return new Fields(
      Object.fromEntries(entries.map((entry) => [entry.key, entry.value])),
      `'${this.#name}' section '${section}'`,
    );
  }

  /** Takes a section with free keys, in file order. */
  rows(section: string): readonly ParsedEntry[] {
    const entries = this.#sections.get(section) ?? [];
    this.#sections.delete(section);
    return entries;
  }

  /** Unknown keys and sections, preserved when the file is written again. */
  other(): readonly InfoEntry[] {
    for (const entries of this.#sections.values()) for (const entry of entries) this.#keep(entry);
    this.#sections.clear();
    return this.#other;
  }

  #keep(entry: ParsedEntry): void {
    this.#other.push({ section: entry.section, key: entry.key, valueText: entry.valueText });
  }
}

/** The entries of one section from key/value pairs; undefined values are omitted. */
export function sectionEntries(
  section: string,
  pairs: readonly (readonly [key: string, valueText: string | undefined])[],
): InfoEntry[] {
  return pairs.flatMap(([key, valueText]) => (valueText === undefined ? [] : [{ section, key, valueText }]));
}

/** A JSON object of strings. @throws format */
export function parseAnnotations(value: JsonValue, where: string): Readonly<Record<string, string>> {
  if (isFields(value) && Object.values(value).every((text) => typeof text === "string"))
    return value as JsonObject & Record<string, string>;
  throw fail("format", `${where}: expected annotations to be an object of strings`);
}
