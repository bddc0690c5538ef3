/** Merges of Kubernetes objects. Pure. */
import { areOneItem, type Fields, isFields, isNamedList } from "./anyValue";
import { fields, isGiven, merged } from "./deferred";

/**
 * Applies `over` to `base`: objects are merged field by field, and lists by the names of their items and, where several
 * have one name, their keys; any other value replaces a field.
 */
export function mergeOver(base: unknown, over: unknown): unknown {
  if (isNamedList(over)) return mergeItems(isNamedList(base) ? base : [], over);
  if (!isFields(base) || !isFields(over)) return over;
  const names = Object.keys(over).filter((name) => isGiven(() => over[name]));
  const isObject = (name: string): boolean => typeof over[name] === "object";
  const makers = names.map((name) => [name, () => (isObject(name) ? mergeOver(base[name], over[name]) : over[name])]);
  return merged(base, fields(Object.fromEntries(makers) as Record<string, () => unknown>));
}

function mergeItems(base: readonly Fields[], over: readonly Fields[]): readonly unknown[] {
  const changed = base.map((item) => mergeOver(item, over.find((other) => areOneItem(item, other)) ?? {}));
  return [...changed, ...over.filter((item) => !base.some((other) => areOneItem(item, other)))];
}
