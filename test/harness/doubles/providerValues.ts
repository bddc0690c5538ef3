/** Values that the engine and providers exchange: JSON, with marks on secret and unknown values. */
import { isDeepStrictEqual } from "node:util";

export type Value = null | boolean | number | string | readonly Value[] | { readonly [name: string]: Value };
export interface Values {
  [name: string]: Value;
}

/** Stands for a value that is known only after an update ("resource.proto" of Pulumi, unknown values). */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const SIGNATURE_KEY = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";

export function markSecret(value: Value): Value {
  return { [SIGNATURE_KEY]: SECRET_SIGNATURE, value };
}

/** True if the value itself has the secret mark. */
export function isSecret(value: Value | undefined): value is { readonly value: Value } {
  return isObject(value) && value[SIGNATURE_KEY] === SECRET_SIGNATURE;
}

export function isUnknown(value: Value | undefined): boolean {
  return (isSecret(value) ? value.value : value) === UNKNOWN;
}

/** Removes the secret marks at every depth. */
export function plain(value: Value): Value {
  if (isSecret(value)) return plain(value.value);
  if (Array.isArray(value)) return value.map((item: Value) => plain(item));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}

/** A text without its mark; other values as JSON; empty if there is no value. */
export function textOf(value: Value | undefined): string {
  const result = value === undefined || value === null ? "" : plain(value);
  return typeof result === "string" ? result : JSON.stringify(result);
}

/** Compares two values and ignores marks. */
export function sameValue(left: Value | undefined, right: Value | undefined): boolean {
  return isDeepStrictEqual(
    left === undefined ? undefined : plain(left),
    right === undefined ? undefined : plain(right),
  );
}

function isObject(value: Value | undefined): value is { readonly [name: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
