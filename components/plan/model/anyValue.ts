/** Values of unknown shape, as JSON, YAML and programs in other languages give them. Pure. */

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

/** True for an object that is no list. */
export function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** JSON whose objects have their keys in a fixed order: equal values have equal texts. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    isFields(item) ? Object.fromEntries(Object.entries(item).sort(([left], [right]) => (left < right ? -1 : 1))) : item,
  );
}
