/**
 * Reads Kubernetes objects as plain JSON without assuming a schema: a value that is missing or of another type is null,
 * and unknown values (markers of unknown.ts) are texts like others. Pure.
 */
import { isUnknown } from "../../model/unknown";
import { valueAt } from "../../model/anyValue";

export interface KubeObject {
  /** `postgresql.cnpg.io/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Empty if the object names none. */
  readonly namespace: string;
  readonly name: string;
  readonly json: unknown;
}

/** Null for anything but a Kubernetes object. */
export function findObject(json: unknown): KubeObject | null {
  const [apiVersion, kind] = [textAt(json, "apiVersion"), textAt(json, "kind")];
  if (apiVersion === null || kind === null) return null;
  return {
    apiVersion,
    kind,
    namespace: textAt(json, "metadata", "namespace") ?? "",
    name: textAt(json, "metadata", "name") ?? "",
    json,
  };
}

export function objectsOf(objects: readonly KubeObject[], group: string, kind: string): KubeObject[] {
  return objects.filter((object) => object.kind === kind && object.apiVersion.split("/")[0] === group);
}

/** `ScheduledBackup database/orders-daily spec.schedule`. */
export function pathOf({ kind, name, namespace }: KubeObject, field: string): string {
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}${field === "" ? "" : ` ${field}`}`;
}

export function textAt(json: unknown, ...path: readonly (string | number)[]): string | null {
  const value = valueAt(json, ...path);
  return typeof value === "string" ? value : null;
}

/** Also for a number written as text; null for anything else, unknown values included. */
export function numberAt(json: unknown, ...path: readonly (string | number)[]): number | null {
  const value = valueAt(json, ...path);
  if (typeof value === "number") return value;
  return typeof value === "string" && /^-?[0-9]+(\.[0-9]+)?$/.test(value) ? Number(value) : null;
}

/** Empty if the value is not a list. */
export function listAt(json: unknown, ...path: readonly (string | number)[]): unknown[] {
  const value = valueAt(json, ...path);
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/** True if the field exists with any value, also an unknown one. */
export function hasField(json: unknown, ...path: readonly (string | number)[]): boolean {
  const value = valueAt(json, ...path);
  return value !== undefined && value !== null;
}

/** Also true if the field is not known yet: a rule must not complain about what may be right. */
export function mayBeTrue(json: unknown, ...path: readonly (string | number)[]): boolean {
  const value = valueAt(json, ...path);
  return value === true || isUnknown(value);
}

/** All pairs, the later item first. */
export function pairsOf<T>(items: readonly T[]): [second: T, first: T][] {
  return items.flatMap((second, index) => items.slice(0, index).map((first): [T, T] => [second, first]));
}

/** Groups by key, in the order of first appearance. */
export function groupsOf<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups.values()];
}
