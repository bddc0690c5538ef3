/**
 * Typed reading of resolved options. An option that is not valid for the command has its default, so that every field
 * of the configuration is defined.
 */
import { assert } from "../base/errors";
import { rowOf } from "./optionName";
import { OPTIONS, type OptionValues } from "./options";
import type { Resolved } from "./resolve";
import { type OptionValue, parseValue } from "./values";

export class ResolvedValues {
  readonly #resolved: Resolved;

  constructor(resolved: Resolved) {
    this.#resolved = resolved;
  }

  text(name: string, key?: number): string | undefined {
    const value = this.#value(name, key);
    assert(value === undefined || typeof value === "string", `option '${name}' is no text`);
    return value;
  }

  number(name: string, key?: number): number | undefined {
    const value = this.#value(name, key);
    assert(value === undefined || typeof value === "number", `option '${name}' is no number`);
    return value;
  }

  /** False when it has neither value nor default. */
  flag(name: string, key?: number): boolean {
    return this.findFlag(name, key) ?? false;
  }

  findFlag(name: string, key?: number): boolean | undefined {
    const value = this.#value(name, key);
    assert(value === undefined || typeof value === "boolean", `option '${name}' is no boolean`);
    return value;
  }

  list(name: string, key?: number): readonly string[] {
    const value = this.#value(name, key) ?? [];
    assert(Array.isArray(value), `option '${name}' is no list`);
    return value;
  }

  hash(name: string, key?: number): Readonly<Record<string, string>> {
    const value = this.#value(name, key) ?? {};
    assert(typeof value === "object" && !Array.isArray(value), `option '${name}' is no hash`);
    return value as Readonly<Record<string, string>>;
  }

  isGiven(name: string, key?: number): boolean {
    const option = this.#resolved.find(name, key);
    return option !== null && option.source !== "default";
  }

  /** Options whose rows name a field of the configuration. */
  groups(): OptionValues {
    const values: Record<string, OptionValue | undefined | Record<string, OptionValue | undefined>> = {};
    for (const { config, name, type } of OPTIONS) {
      if (config === undefined) continue;
      const value = this.#value(name, undefined) ?? (type === "list" ? [] : type === "hash" ? {} : undefined);
      const [group = "", field] = config.split(".");
      if (field === undefined) values[group] = value;
      else values[group] = { ...(values[group] as Record<string, OptionValue | undefined>), [field]: value };
    }
    return values as OptionValues;
  }

  #value(name: string, key: number | undefined): OptionValue | undefined {
    const option = this.#resolved.find(name, key);
    if (option !== null && (option.value !== undefined || option.source !== "default")) return option.value;
    const row = rowOf(name);
    if (row.default === undefined) return undefined;
    return parseValue({ name, row, rule: row, origin: undefined }, [row.default], () => undefined);
  }
}
