/** Objects of Kubernetes as plain data, and small helpers that all of render/kubernetes/ and render/engines/ use. Pure. */

export interface Metadata {
  readonly name: string;
  /** Left out for objects of the whole cluster. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Fields beside the first three depend on the kind: `spec`, `data`, `rules`. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly [field: string]: unknown;
}

/** An object with the role that it has for its component; the role is part of a child's name. */
export interface RenderedObject {
  readonly role: string;
  readonly manifest: Manifest;
}

/** Names this package wherever Kubernetes asks who made something. */
export const MANAGED_BY = { "app.kubernetes.io/managed-by": "pgbackstop" } as const;

/** Without fields that are undefined: Kubernetes has no word for them. */
export function given<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}

/** Entries in the order of their names, so that the order of arguments changes no object. */
export function sortedEntries<T>(values: Readonly<Record<string, T>> | undefined): [string, T][] {
  return Object.entries(values ?? {}).sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
}

/** The same as an object; undefined for none. */
export function sorted<T>(values: Readonly<Record<string, T>> | undefined): Record<string, T> | undefined {
  const entries = sortedEntries(values);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** The same object with the keys of all that it holds in order: equal arguments give equal bytes, in whatever order they were written. */
export function canonical({ role, manifest }: RenderedObject): RenderedObject {
  const { apiVersion, kind, metadata, ...fields } = manifest;
  return { role, manifest: { apiVersion, kind, metadata: inOrder(metadata) as Metadata, ...(inOrder(fields) as object) } };
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  return isPlainObject(value) ? Object.fromEntries(sortedEntries(value).map(([key, item]) => [key, inOrder(item)])) : value;
}

/** Lays `over` upon `base`: objects are merged field by field, null removes a field, everything else takes its place. */
export function mergeOver(base: unknown, over: unknown): unknown {
  if (!isPlainObject(base) || !isPlainObject(over)) return over;
  const merged = Object.entries(over).reduce<Record<string, unknown>>((result, [key, value]) => {
    if (value === undefined) return result;
    if (value === null) return Object.fromEntries(Object.entries(result).filter(([name]) => name !== key));
    return { ...result, [key]: mergeOver(result[key], value) };
  }, base);
  return merged;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
