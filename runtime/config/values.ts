/**
 * Parses texts by an option's type: sizes in bytes (`20MiB`, `20mb`, `20M`: powers of 1024), times in milliseconds
 * (`60`, `60s`, `100ms`, `1w`; whole numbers, by default seconds), booleans `y` and `n`, paths, lists, `key=value`
 * hashes. Rules and wording of pgBackRest 2.60.
 */
import { type BackupError, fail } from "../base/errors";
import type { OptionRow, OptionRule, OptionType } from "./options";

export type OptionValue = string | number | boolean | readonly string[] | Readonly<Record<string, string>>;

const SIZE_FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};
const TIME_FACTORS_MS: Readonly<Record<string, number>> = {
  "": 1000,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Bytes; null when invalid. */
export function parseSize(text: string): number | null {
  const match = /^(\d+)(?:([kmgtp])(?:i?b)?|b)?$/.exec(text.toLowerCase());
  return match === null ? null : safe(Number(match[1]) * (SIZE_FACTORS[match[2] ?? ""] ?? 1));
}

/** Milliseconds; null when invalid. */
export function parseTime(text: string): number | null {
  const match = /^(\d+)(ms|s|m|h|d|w)?$/.exec(text.toLowerCase());
  return match === null ? null : safe(Number(match[1]) * (TIME_FACTORS_MS[match[2] ?? ""] ?? 1));
}

export function parseInteger(text: string): number | null {
  return /^[+-]?\d+$/.test(text) ? safe(Number(text)) : null;
}

/** Bytes, milliseconds or the number, by type; null when invalid. */
export function parseNumber(type: OptionType, text: string): number | null {
  return type === "size" ? parseSize(text) : type === "time" ? parseTime(text) : parseInteger(text);
}

export interface ValueContext {
  /** With its key. */
  readonly name: string;
  readonly row: OptionRow;
  /** Default, range and allowed values that hold here. */
  readonly rule: OptionRule;
  /** `'compress-type' option = 'gz'`: what the range depends on. */
  readonly rangeReason?: string | undefined;
  /** Hint where the value stands; undefined on the command line. */
  readonly origin: string | undefined;
}

/**
 * The value of one option from its texts (one, or several for lists and hashes; `y`/`n` for booleans).
 * @throws optionInvalidValue, and optionInvalid for a hash item without `=`; messages never contain a secret's value
 */
export function parseValue(context: ValueContext, texts: readonly string[], warn: (text: string) => void): OptionValue {
  const { row } = context;
  if (row.type === "list") return texts;
  if (row.type === "hash") return parseHash(context, texts, warn);
  const text = texts[0] ?? "";
  if (row.type === "boolean") {
    if (text !== "y" && text !== "n") throw invalid(context, `boolean option '${context.name}' must be 'y' or 'n'`);
    return text === "y";
  }
  if (text === "") throw invalid(context, `'' must be >= 1 character for '${context.name}' option`);
  if (row.type === "integer" || row.type === "size" || row.type === "time") return parseRanged(context, text);
  if (row.type === "enum") checkAllowed(context, text, context.rule.allowed?.includes(text) === true);
  return row.type === "path" ? parsePath(context, text) : text;
}

/** An optionInvalidValue (32) with a hint that names its source. */
function invalid(context: ValueContext, message: string, hint?: string): BackupError {
  const hints = [hint, context.origin].filter((text) => text !== undefined);
  return fail("optionInvalidValue", message, hints.length === 0 ? {} : { hint: hints });
}

function shown(context: ValueContext, text: string): string {
  return context.row.secret === true ? "<redacted>" : `'${text}'`;
}

function parseRanged(context: ValueContext, text: string): number {
  const { row, rule, name } = context;
  const value = parseNumber(row.type, text);
  if (value === null)
    throw invalid(context, `${shown(context, text)} is not valid for '${name}' option`, expected(context));
  if (rule.range !== undefined) {
    const [least, most] = rule.range;
    if (value < (parseNumber(row.type, least) ?? 0) || value > (parseNumber(row.type, most) ?? 0)) {
      const reason = context.rangeReason === undefined ? "" : ` when ${context.rangeReason}`;
      throw invalid(
        context,
        `${shown(context, text)} is out of range for '${name}' option${reason}`,
        expected(context),
      );
    }
  }
  if (rule.allowed !== undefined) {
    checkAllowed(
      context,
      text,
      rule.allowed.some((allowed) => parseNumber(row.type, allowed) === value),
    );
  }
  return value;
}

function expected({ row, rule }: ValueContext): string {
  if (rule.range !== undefined) return `allowed range is ${rule.range[0]} to ${rule.range[1]} inclusive`;
  if (rule.allowed !== undefined) return `allowed values are ${quoted(rule.allowed)}`;
  return row.type === "size"
    ? "a size is a whole number with a unit, e.g. 20MiB"
    : row.type === "time"
      ? "a time is a whole number with a unit, e.g. 60s"
      : "a whole number is needed";
}

function checkAllowed(context: ValueContext, text: string, allowed: boolean): void {
  if (allowed) return;
  throw invalid(
    context,
    `${shown(context, text)} is not allowed for '${context.name}' option`,
    `allowed values are ${quoted(context.rule.allowed ?? [])}`,
  );
}

function parsePath(context: ValueContext, text: string): string {
  if (!text.startsWith("/"))
    throw invalid(context, `${shown(context, text)} must begin with / for '${context.name}' option`);
  if (text.includes("//"))
    throw invalid(context, `${shown(context, text)} cannot contain // for '${context.name}' option`);
  return text.length > 1 && text.endsWith("/") ? text.slice(0, -1) : text;
}

function parseHash(
  context: ValueContext,
  texts: readonly string[],
  warn: (text: string) => void,
): Readonly<Record<string, string>> {
  const items = new Map<string, string>();
  for (const text of texts) {
    const at = text.indexOf("=");
    if (at === -1) {
      throw fail("optionInvalid", `key/value '${text}' not valid for '${context.name}' option`, {
        hint: ["write key=value", context.origin].filter((hint) => hint !== undefined),
      });
    }
    const key = text.slice(0, at);
    const value = text.slice(at + 1);
    const old = items.get(key);
    if (old !== undefined)
      warn(`key '${key}' value '${old}' is overwritten with '${value}' for '${context.name}' option`);
    items.set(key, value);
  }
  return Object.fromEntries(items);
}

function quoted(values: readonly string[]): string {
  return values.map((value) => `'${value}'`).join(", ");
}

function safe(value: number): number | null {
  return Number.isSafeInteger(value) ? value : null;
}
