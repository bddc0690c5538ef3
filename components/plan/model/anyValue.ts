/** Values of unknown shape, as JSON, YAML and programs in other languages give them. Pure. */

import { isFields } from "../../../runtime/base/declaredTypes";

export { isFields };

export type Fields = Readonly<Record<string, unknown>>;

/** Undefined if any part of the path is missing. */
export function valueAt(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (result, step) =>
      typeof result === "object" && result !== null && Object.hasOwn(result, step)
        ? (result as Fields)[step]
        : undefined,
    value,
  );
}

/** A list whose items have different names, by which two of them are merged; an item may replace all. */
export function isNamedList(value: unknown): value is readonly Fields[] {
  if (!Array.isArray(value) || !value.every(isFields)) return false;
  const names = value.filter((item) => item["$patch"] !== "replace").map((item) => item["name"]);
  return names.every((name) => typeof name === "string") && new Set(names).size === names.length;
}

/** True for an output or a promise. */
export function isOutput(value: unknown): boolean {
  return typeof value === "object" && value !== null && ("apply" in value || "then" in value);
}

/** True if `value` has everything of `wanted`: it may have more fields, but no more items. Undefined wants nothing. */
export function contains(value: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true;
  if (Array.isArray(wanted))
    return (
      Array.isArray(value) &&
      value.length === wanted.length &&
      wanted.every((item, index) => contains((value as readonly unknown[])[index], item))
    );
  if (!isFields(wanted)) return value === wanted;
  return isFields(value) && Object.entries(wanted).every(([name, item]) => contains(value[name], item));
}

/** JSON whose objects have their keys in a fixed order: equal values have equal texts. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    isFields(item) ? Object.fromEntries(Object.entries(item).sort(([left], [right]) => (left < right ? -1 : 1))) : item,
  );
}
