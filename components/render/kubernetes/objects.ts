/** Kubernetes objects as plain data, and small helpers of render/kubernetes/ and render/engines/. Pure. */
import type { ResourcesSettings } from "../../plan/cluster/declaredCluster";
import { type Fields, isFields } from "../../plan/model/anyValue";
import { fields, givenFields, mapped, mappedFields, merged, without } from "../../plan/model/deferred";

export interface Metadata {
  readonly name: string;
  /** Omitted for cluster-wide objects. */
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

/** An object whose fields are made immediately. A deferred one (deferred.ts) spoils no other. */
export function object(
  role: string,
  [apiVersion, kind]: readonly [apiVersion: string, kind: string],
  metadata: Metadata,
  makers: { readonly [field: string]: () => unknown } = {},
): RenderedObject {
  return { role, manifest: merged({ apiVersion, kind, metadata }, givenFields(makers)) as Manifest };
}

/** `metadata` of an object in the namespace of a database. @param label of the objects that belong together */
export function metadataOf(
  database: { readonly namespace: string },
  name: () => string,
  label?: () => string,
  more: () => object = () => ({}),
): Metadata {
  const own = label === undefined ? {} : fields({ "app.kubernetes.io/name": label });
  return fields({
    name,
    namespace: () => database.namespace,
    labels: () => merged(MANAGED_BY, own, more()) as Readonly<Record<string, string>>,
  });
}

/** Undefined without an entry. */
export function filled<T extends object>(values: T): T | undefined {
  return Object.keys(values).length === 0 ? undefined : values;
}

/** The entries by their names in order; undefined if absent. */
export function sorted<T>(values: Readonly<Record<string, T>> | undefined): Record<string, T> | undefined {
  return filled(mappedFields(values ?? {}, (read) => read()));
}

/** The object with all keys sorted: equal arguments give equal bytes, in any order. */
export function canonical({ role, manifest }: RenderedObject): RenderedObject {
  const { apiVersion, kind } = manifest;
  const others = mappedFields(without(manifest, "apiVersion", "kind", "metadata") as Fields, (read) => inOrder(read()));
  return {
    role,
    manifest: merged({ apiVersion, kind }, fields({ metadata: () => inOrder(manifest.metadata) }), others) as Manifest,
  };
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return mapped(value, (read) => inOrder(read()));
  return isFields(value) ? mappedFields(value, (read) => inOrder(read())) : value;
}

/** `resources` of a container; undefined if nothing is declared. */
export function resourcesSpec(resources: ResourcesSettings): object | undefined {
  const both = (cpu: "cpu" | "cpuLimit", memory: "memory" | "memoryLimit"): object | undefined =>
    filled(givenFields({ cpu: () => resources[cpu], memory: () => resources[memory] }));
  return filled(givenFields({ requests: () => both("cpu", "memory"), limits: () => both("cpuLimit", "memoryLimit") }));
}
