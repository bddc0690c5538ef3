/**
 * Types of what overrides set in objects of CloudNativePG. Below `spec` a newer operator may have other fields; those
 * that are known have their types. Pure.
 */
import type { Finding } from "../findings/findings";
import { isFields } from "../model/anyValue";
import { knownPart } from "../model/deferred";
import { changedTypes, type CheckOptions, checkArguments } from "./checkArguments";

interface Overrides {
  readonly cluster?: object | undefined;
  readonly poolers?: Readonly<Record<string, object>> | undefined;
}

const TEXTS = "{ [name: string]: string }";
const OBJECT: CheckOptions = {
  ignoresUnknown: true,
  types: changedTypes({
    ClusterObject: { "metadata?": "ObjectMetadata", "spec?": "ClusterSpec" },
    PoolerObject: { "metadata?": "ObjectMetadata", "spec?": "PoolerSpec" },
    ObjectMetadata: { "name?": "string", "namespace?": "string", "labels?": TEXTS, "annotations?": TEXTS },
  }),
};
/** Checked without what is below them. */
const NAMES: CheckOptions = {
  types: { Names: { "apiVersion?": "unknown", "kind?": "unknown", "metadata?": "unknown", "spec?": "unknown" } },
};

/** What is not known yet is judged when it arrives. */
export function checkOverrideTypes(overrides: Overrides | undefined): Finding[] {
  const { cluster, poolers } = (withoutNull(knownPart(overrides)) ?? {}) as Overrides;
  return [
    ...checkObject("ClusterObject", cluster, "overrides.cluster"),
    ...Object.entries(poolers ?? {}).flatMap(([name, pooler]) =>
      checkObject("PoolerObject", pooler, `overrides.poolers.${name}`),
    ),
  ];
}

function checkObject(type: string, object: unknown, path: string): Finding[] {
  if (object === undefined) return [];
  const unknown = isFields(object) ? checkArguments("Names", object, { ...NAMES, owner: path }) : [];
  return [...checkArguments(type, object, OBJECT), ...unknown].map((own) => ({
    ...own,
    path: own.path === "" ? path : `${path}.${own.path}`,
  }));
}

/** Null removes a field, whatever its type. */
function withoutNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNull);
  if (!isFields(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => (item === null ? [] : [[name, withoutNull(item)]])),
  );
}
