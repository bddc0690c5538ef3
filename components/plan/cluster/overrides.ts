/**
 * Fields of a Cluster that arguments decide and overrides can change. What an override says counts as the argument's
 * value, so that rules, topology and copies judge the Cluster that will exist. Pure.
 */
import { isUnknown } from "../model/unknown";
import { type Fields, isFields, isOutput, valueAt } from "../model/anyValue";

/** An override that the arguments contradict. */
export interface Contradiction {
  readonly path: string;
  readonly fact: string;
}

interface Row {
  /** Below `spec`. */
  readonly field: readonly string[];
  readonly argument: readonly string[];
  /** The field's value as the argument's; undefined if it has no such form. Absent: the same value. */
  readonly read?: (value: unknown) => unknown;
}

const ROWS: readonly Row[] = [
  { field: ["instances"], argument: ["instances"] },
  { field: ["imageName"], argument: ["image"] },
  { field: ["imageCatalogRef", "kind"], argument: ["imageCatalog", "kind"] },
  { field: ["imageCatalogRef", "name"], argument: ["imageCatalog", "name"] },
  { field: ["imageCatalogRef", "major"], argument: ["postgresVersion"] },
  { field: ["enableSuperuserAccess"], argument: ["superuserAccess"] },
  { field: ["backup", "target"], argument: ["backupTarget"] },
  { field: ["storage", "size"], argument: ["storageGiB"], read: sizeGiB },
  { field: ["storage", "storageClass"], argument: ["storageClass"] },
  { field: ["walStorage", "size"], argument: ["walStorage", "sizeGiB"], read: sizeGiB },
  { field: ["walStorage", "storageClass"], argument: ["walStorage", "storageClass"] },
  { field: ["postgresql", "shared_preload_libraries"], argument: ["sharedPreloadLibraries"] },
];

const SPEC = "overrides.cluster.spec";
const PARAMETERS = ["postgresql", "parameters"];

/** The arguments with what their overrides say. */
export interface SettledOverrides<T> {
  readonly settings: T;
  readonly contradictions: readonly Contradiction[];
}

/** Late values stay where they are: they are settled when they arrive. */
export function settleOverrides<
  T extends { readonly overrides?: { readonly cluster?: object | undefined } | undefined },
>(declared: T): SettledOverrides<T> {
  const { metadata, spec } = (declared.overrides?.cluster ?? {}) as Fields;
  const contradictions: Contradiction[] = ["name", "namespace"].flatMap((name) =>
    valueAt(metadata, name) === undefined
      ? []
      : [{ path: `overrides.cluster.metadata.${name}`, fact: "other objects would name another Cluster" }],
  );
  let settings: Fields = declared;
  const settle = (path: string, argument: readonly string[], value: unknown): void => {
    if (value === undefined || isUnknown(value)) return;
    const given = valueAt(declared, ...argument);
    const name = argument.join(".");
    if (value === null) {
      if (given !== undefined) contradictions.push({ path, fact: `null removes what ${name} decides` });
      return;
    }
    if (given !== undefined && isPlain(given) && isPlain(value) && JSON.stringify(given) !== JSON.stringify(value))
      contradictions.push({ path, fact: `it is ${JSON.stringify(value)}, and ${name} is ${JSON.stringify(given)}` });
    settings = withValue(settings, argument, value);
  };
  for (const { argument, field, read = (value: unknown): unknown => value } of ROWS) {
    const value = valueAt(spec, ...field);
    settle(`${SPEC}.${field.join(".")}`, argument, value === null || isUnknown(value) ? value : read(value));
  }
  const parameters = valueAt(spec, ...PARAMETERS);
  for (const [name, value] of Object.entries(isFields(parameters) && !isOutput(parameters) ? parameters : {}))
    settle(`${SPEC}.${PARAMETERS.join(".")}.${name}`, ["parameters", name], value);
  return { settings: settings as T, contradictions };
}

/** True if the Cluster follows another one. */
export function isReplica(declared: {
  readonly replica?: object | undefined;
  readonly overrides?: { readonly cluster?: object | undefined } | undefined;
}): boolean {
  const own = valueAt(declared.overrides?.cluster, "spec", "replica");
  if (own === null) return false;
  if (declared.replica === undefined && own === undefined) return false;
  const { enabled, primary, self } = { ...declared.replica, ...own } as Fields;
  // In a distributed topology, the cluster that is named as primary follows no other.
  return typeof enabled === "boolean" ? enabled : primary === undefined || primary !== (self ?? primary);
}

const GIB: Readonly<Record<string, number>> = {
  Mi: 1 / 1024,
  Gi: 1,
  Ti: 1024,
  M: 1e6 / 1024 ** 3,
  G: 1e9 / 1024 ** 3,
  T: 1e12 / 1024 ** 3,
};

/** Of a quantity as Kubernetes writes it. */
function sizeGiB(value: unknown): number | undefined {
  const match = typeof value === "string" ? /^(\d+)([MGT]i?)$/.exec(value) : null;
  return match === null ? undefined : Number(match[1]) * (GIB[match[2] ?? ""] ?? Number.NaN);
}

function withValue(fields: Fields, [name = "", ...rest]: readonly string[], value: unknown): Fields {
  const own = valueAt(fields, name);
  return { ...fields, [name]: rest.length === 0 ? value : withValue(isFields(own) ? own : {}, rest, value) };
}

/** Texts, numbers, booleans and lists of them, of which none is late. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  return ["boolean", "number", "string"].includes(typeof value) && !isUnknown(value);
}
