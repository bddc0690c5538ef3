/**
 * Types of what overrides set in objects of CloudNativePG. Below `spec` a newer operator may have other fields; those
 * that are known have their types. Pure.
 */
import { nearNames } from "../../../runtime/base/nearNames";
import { type Finding, finding } from "../findings/findings";
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
const NAMES: readonly string[] = ["metadata", "spec"];
/** They may be repeated. */
const FIXED: readonly string[] = ["apiVersion", "kind"];

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
  const types = checkArguments(type, object, OBJECT).map((own) => ({
    ...own,
    path: own.path === "" ? path : `${path}.${own.path}`,
  }));
  const unknown = isFields(object) ? Object.keys(object).filter((name) => ![...NAMES, ...FIXED].includes(name)) : [];
  return [
    ...types,
    ...unknown.map((name) => {
      const near = nearNames(name, NAMES);
      const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `it takes ${NAMES.join(" and ")}`;
      return finding("PB190", `${path}.${name}`, `${path} has no field '${name}'`, hint);
    }),
  ];
}

/** Null removes a field, whatever its type. */
function withoutNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNull);
  if (!isFields(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => (item === null ? [] : [[name, withoutNull(item)]])),
  );
}
