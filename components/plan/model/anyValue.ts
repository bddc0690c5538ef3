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

/** Fields that identify an item of Kubernetes' lists besides its name: one ConfigMap may be named with several keys. */
const KEYS = ["key", "mountPath", "devicePath", "containerPort"];

/** A list whose items differ by {@link areOneItem}, so that two lists are merged. */
export function isNamedList(value: unknown): value is readonly Fields[] {
  if (!Array.isArray(value) || !value.every(isFields)) return false;
  if (!value.every(({ name }) => typeof name === "string")) return false;
  const identities = value.map((item) => JSON.stringify([item["name"], ...KEYS.map((key) => item[key])]));
  return new Set(identities).size === value.length;
}

/** True for items of two named lists that are one in the merged list. What one does not say fits any. */
export function areOneItem(left: Fields, right: Fields): boolean {
  const isSame = (key: string): boolean =>
    left[key] === undefined || right[key] === undefined || left[key] === right[key];
  return left["name"] === right["name"] && KEYS.every(isSame);
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
