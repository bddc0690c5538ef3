/** Kubernetes objects as plain data, and small helpers of render/kubernetes/ and render/engines/. Pure. */
import type { ResourcesSettings } from "../../plan/cluster/declaredCluster";
import { given } from "../../plan/model/given";
import { type Fields, isFields, isNamedList } from "../../plan/model/anyValue";
import { isUnknown } from "../../plan/model/unknown";

export interface Metadata {
  readonly name: string;
  /** Left out for cluster-wide objects. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Other fields depend on the kind: `spec`, `data`, `rules`. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly [field: string]: unknown;
}

/** An object with its role in its component; the role is part of a child's name. */
export interface RenderedObject {
  readonly role: string;
  readonly manifest: Manifest;
}

/** Names this package as the manager of Kubernetes objects. */
export const MANAGED_BY = { "app.kubernetes.io/managed-by": "pgbackstop" } as const;

/** Entries sorted by name, so that the order of arguments changes no object. */
export function sortedEntries<T>(values: Readonly<Record<string, T>> | undefined): [string, T][] {
  return Object.entries(values ?? {}).sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
}

/** The entries as an object; undefined if empty. */
export function sorted<T>(values: Readonly<Record<string, T>> | undefined): Record<string, T> | undefined {
  const entries = sortedEntries(values);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** The object with all keys sorted: equal arguments give equal bytes, in any order. */
export function canonical({ role, manifest }: RenderedObject): RenderedObject {
  const { apiVersion, kind, metadata, ...fields } = manifest;
  return {
    role,
    manifest: { apiVersion, kind, metadata: inOrder(metadata) as Metadata, ...(inOrder(fields) as object) },
  };
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  return isFields(value) ? Object.fromEntries(sortedEntries(value).map(([key, item]) => [key, inOrder(item)])) : value;
}

/**
 * Applies `over` to `base`: objects are merged field by field, and lists by the names of their items; null removes a
 * field, any other value replaces it. In a list, the item `{ $patch: "replace" }` drops the items of `base`, and
 * `{ name, $patch: "delete" }` drops the one of that name, as in Kubernetes' strategic merge patches.
 *
 * The marker of a late value becomes a field of the object that it is merged over: what is there follows from it.
 */
export function mergeOver(base: unknown, over: unknown): unknown {
  if (typeof over === "string" && isUnknown(over) && typeof base === "object")
    return { ...(isFields(base) ? base : {}), [over]: over };
  if (isNamedList(over)) return mergeItems(isNamedList(base) ? base : [], over);
  if (!isFields(base) || !isFields(over)) return over;
  const merged = Object.entries(over).reduce<Record<string, unknown>>((result, [key, value]) => {
    if (value === undefined) return result;
    if (value === null) return Object.fromEntries(Object.entries(result).filter(([name]) => name !== key));
    return { ...result, [key]: mergeOver(result[key], value) };
  }, base);
  return merged;
}

function mergeItems(base: readonly Fields[], over: readonly Fields[]): readonly unknown[] {
  const isReplaced = over.some(({ $patch }) => $patch === "replace");
  const items = over.filter(({ $patch }) => $patch !== "replace");
  const kept = isReplaced ? [] : base;
  const merged = kept.map((item) => mergeOver(item, items.find(({ name }) => name === item["name"]) ?? {}) as Fields);
  const added = items.filter(({ name }) => !kept.some((item) => item["name"] === name));
  return [...merged, ...added].filter(({ $patch }) => $patch !== "delete");
}

/** `resources` of a container; undefined if nothing is declared. */
export function resourcesSpec({ cpu, cpuLimit, memory, memoryLimit }: ResourcesSettings): object | undefined {
  const requests = given({ cpu, memory });
  const limits = given({ cpu: cpuLimit, memory: memoryLimit });
  const spec = given({
    requests: Object.keys(requests).length === 0 ? undefined : requests,
    limits: Object.keys(limits).length === 0 ? undefined : limits,
  });
  return Object.keys(spec).length === 0 ? undefined : spec;
}
