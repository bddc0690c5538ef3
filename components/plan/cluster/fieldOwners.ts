/**
 * Who owns the fields of a live Kubernetes object, from `metadata.managedFields`: the API server refuses a server-side
 * apply that changes a field of another manager. Pure.
 *
 * The server says nothing about defaults that it adds, so a live value that has more than was applied counts as equal.
 */
import { contains, isFields } from "../model/anyValue";

/** An object as the API server returns it. */
export interface LiveObject {
  readonly metadata?: { readonly managedFields?: readonly ManagedFields[] };
  readonly [field: string]: unknown;
}

interface ManagedFields {
  readonly manager?: string;
  readonly operation?: string;
  /** A tree with keys such as `f:spec`; an empty one is a field that is owned as a whole. */
  readonly fieldsV1?: unknown;
}

/** A field that an apply would change, and its managers. */
export interface OwnedField {
  /** `spec.backup.target` */
  readonly path: string;
  readonly managers: readonly string[];
}

/** True if the manager has applied fields of the object and owns them still. */
export function hasApplied(live: LiveObject, manager: string): boolean {
  return entriesOf(live).some((entry) => isApplyOf(entry, manager));
}

/** Fields of others that an apply of `fields` by `manager` would change, so that the API server refuses it. */
export function fieldsOfOthers(live: LiveObject, fields: object, manager: string): OwnedField[] {
  const owners = new Map<string, Set<string>>();
  for (const entry of entriesOf(live)) {
    if (isApplyOf(entry, manager)) continue;
    for (const path of changedPaths(fields, entry.fieldsV1, live, ""))
      owners.set(path, (owners.get(path) ?? new Set()).add(entry.manager ?? ""));
  }
  return [...owners].map(([path, managers]) => ({ path, managers: [...managers] }));
}

function entriesOf({ metadata }: LiveObject): readonly ManagedFields[] {
  return metadata?.managedFields ?? [];
}

function isApplyOf(entry: ManagedFields, manager: string): boolean {
  return entry.manager === manager && entry.operation === "Apply";
}

/** Leaves that `fields` and `owned` both have, and whose values differ. Items of a list with keys are not judged. */
function changedPaths(fields: unknown, owned: unknown, live: unknown, path: string): string[] {
  if (!isFields(owned)) return [];
  if (!isFields(fields)) return Object.keys(owned).length > 0 || contains(live, fields) ? [] : [path];
  return Object.entries(fields).flatMap(([key, field]) =>
    changedPaths(
      field,
      owned[`f:${key}`],
      isFields(live) ? live[key] : undefined,
      path === "" ? key : `${path}.${key}`,
    ),
  );
}
