/**
 * Reading objects of Kubernetes as plain JSON, whoever wrote them: nothing is assumed of their shape, what is missing or of another type is
 * null, and values that are not known yet (markers of unknown.ts) are texts like others. Pure.
 */
import { isUnknown } from "../../model/unknown";

/** An object with the fields that all have. */
export interface KubeObject {
  /** `postgresql.cnpg.io/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Empty where none is given. */
  readonly namespace: string;
  readonly name: string;
  readonly json: unknown;
}

/** Null for what is no object of Kubernetes. */
export function findObject(json: unknown): KubeObject | null {
  const [apiVersion, kind] = [textAt(json, "apiVersion"), textAt(json, "kind")];
  if (apiVersion === null || kind === null) return null;
  return { apiVersion, kind, namespace: textAt(json, "metadata", "namespace") ?? "", name: textAt(json, "metadata", "name") ?? "", json };
}

/** Objects of a kind, by the group of their API. */
export function objectsOf(objects: readonly KubeObject[], group: string, kind: string): KubeObject[] {
  return objects.filter((object) => object.kind === kind && object.apiVersion.split("/")[0] === group);
}

/** `ScheduledBackup database/orders-daily spec.schedule`. */
export function pathOf({ kind, name, namespace }: KubeObject, field: string): string {
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}${field === "" ? "" : ` ${field}`}`;
}

/** The value at the end of the path; undefined where the way there is missing. */
export function valueAt(json: unknown, ...path: readonly (string | number)[]): unknown {
  let value = json;
  for (const step of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.entries(value).find(([key]) => key === String(step))?.[1];
  }
  return value;
}

/** A text, or null. */
export function textAt(json: unknown, ...path: readonly (string | number)[]): string | null {
  const value = valueAt(json, ...path);
  return typeof value === "string" ? value : null;
}

/** A number, also where it is written as text; null for others and for what is not known yet. */
export function numberAt(json: unknown, ...path: readonly (string | number)[]): number | null {
  const value = valueAt(json, ...path);
  if (typeof value === "number") return value;
  return typeof value === "string" && /^-?[0-9]+(\.[0-9]+)?$/.test(value) ? Number(value) : null;
}

/** The items of a list; none where there is no list. */
export function listAt(json: unknown, ...path: readonly (string | number)[]): unknown[] {
  const value = valueAt(json, ...path);
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/** True where a field is there, whatever it is; also for what is not known yet. */
export function hasField(json: unknown, ...path: readonly (string | number)[]): boolean {
  const value = valueAt(json, ...path);
  return value !== undefined && value !== null;
}

/** True where the field is `true`, or not known yet: nothing is said about what may be right. */
export function mayBeTrue(json: unknown, ...path: readonly (string | number)[]): boolean {
  const value = valueAt(json, ...path);
  return value === true || isUnknown(value);
}

/** Pairs of items that come after each other, in the order of the list: the later one first. */
export function pairsOf<T>(items: readonly T[]): [later: T, earlier: T][] {
  return items.flatMap((later, index) => items.slice(0, index).map((earlier): [T, T] => [later, earlier]));
}

/** Items with the same key together, in the order of their first ones. */
export function groupsOf<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups.values()];
}
