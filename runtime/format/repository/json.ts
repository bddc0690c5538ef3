/**
 * JSON as pgBackRest writes it into its info files: no spaces, integers of up to 64 bits, only the short escapes.
 *
 * Reading accepts any JSON; integers that a double cannot hold exactly become bigint. Writing escapes `"`, `\` and \n
 * \r \t \b \f and leaves every other character unchanged, even other control characters (pgBackRest 2.60
 * "common/type/json"), so reading accepts them raw.
 */
import { compareBytes } from "../../base/bytes";
import { assert, fail } from "../../base/errors";

export type JsonValue = null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** Sixteen digits where a number begins: only such texts may hold an integer beyond 2^53. A WAL name is quoted. */
const LONG_NUMBER = /(?:^|[-:,[\s])\d{16}/;
const CONTROL = /[\u0000-\u001f]/;
const CONTROL_ALL = /[\u0000-\u001f]/g;
const ESCAPED = /["\\\n\r\t\b\f]/;
const ESCAPED_ALL = /["\\\n\r\t\b\f]/g;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};
/** Stock's files have four levels. */
const DEPTH_MAX = 64;
/** Keys that a JavaScript object moves to the front, whatever their order. */
const ARRAY_INDEX = /^(0|[1-9]\d{0,9})$/;

/** @throws jsonFormat (99) when `text` is not one JSON document. */
export function parseJson(text: string): JsonValue {
  const value = tryParseJson(text);
  if (value === undefined)
    throw fail("jsonFormat", `invalid JSON '${text.length > 80 ? `${text.slice(0, 80)}...` : text}'`);
  return value;
}

/** Like {@link parseJson}, but undefined instead of an error. */
export function tryParseJson(text: string): JsonValue | undefined {
  const value = parseStrict(text);
  if (value !== undefined || !CONTROL.test(text)) return value;
  return parseStrict(text.replace(CONTROL_ALL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`));
}

/**
 * Keys in insertion order. JavaScript does not keep the position of a key like "10"; an object with one is written in
 * stock's order, ascending by bytes.
 */
export function renderJson(value: JsonValue): string {
  if (typeof value === "string") return renderString(value);
  if (typeof value === "number") {
    assert(
      Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value)),
      `number ${value} cannot be written as JSON`,
    );
    return String(value);
  }
  if (value === null || typeof value !== "object") return String(value);
  if (isArray(value)) return `[${value.map(renderJson).join(",")}]`;
  const keys = Object.keys(value);
  if (keys.length > 0 && ARRAY_INDEX.test(keys[0] as string)) keys.sort(compareBytes);
  return renderObject(keys.map((key): [string, JsonValue] => [key, value[key] as JsonValue]));
}

/** An object with its keys in the given order. */
export function renderObject(fields: Iterable<readonly [string, JsonValue]>): string {
  let text = "";
  for (const [key, value] of fields) text += `${text === "" ? "{" : ","}${renderString(key)}:${renderJson(value)}`;
  return text === "" ? "{}" : `${text}}`;
}

export function renderString(text: string): string {
  return ESCAPED.test(text) ? `"${text.replace(ESCAPED_ALL, (char) => ESCAPES[char] as string)}"` : `"${text}"`;
}

export function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function parseStrict(text: string): JsonValue | undefined {
  try {
    const value = (LONG_NUMBER.test(text) ? JSON.parse(text, reviveLong) : JSON.parse(text)) as JsonValue;
    return isPlain(value, DEPTH_MAX) ? value : undefined;
  } catch (error) {
    // A RangeError comes from a text with thousands of levels.
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** True when it can be written again: not deeper than this, and every number fits 64 bits or a double. */
function isPlain(value: JsonValue, depth: number): boolean {
  if (typeof value === "number")
    return Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value));
  if (typeof value !== "object" || value === null) return true;
  if (depth === 0) return false;
  for (const inner of Object.values(value)) if (!isPlain(inner, depth - 1)) return false;
  return true;
}

function reviveLong(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !Number.isInteger(value)) return value;
  const source = context?.source;
  assert(source !== undefined, "this version of Node.js does not provide the source text of JSON numbers");
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
}
