/**
 * Fields of a Cluster that arguments decide and overrides can change. What an override says counts as the argument's
 * value, so that rules, topology and copies judge the Cluster that will exist. Pure.
 */
import { attempt, fields, DeferredRead, merged, readOr } from "../model/deferred";
import { type Fields, isFields, valueAt } from "../model/anyValue";
import { amountOf } from "./quantity";

/** An override that the arguments contradict. */
export interface Contradiction {
  readonly path: string;
  readonly fact: string;
}

export interface OverrideRow {
  /** Below `spec`, or in an item of a list. */
  readonly field: readonly string[];
  readonly argument: readonly string[];
  /** The field's value as the argument's; undefined if it has no such form. Absent: the same value. */
  readonly read?: (value: unknown) => unknown;
}

/** Below `bootstrap.initdb` and below `bootstrap.recovery`: only where the argument says how the cluster begins. */
const LOCALE = ["localeProvider", "locale", "icuLocale", "icuRules", "builtinLocale", "localeCollate", "localeCType"];
const ofSameName = (name: string): OverrideRow => ({ field: [name], argument: [name] });
const INITDB = ["database", "owner", "encoding", ...LOCALE, "dataChecksums"].map(ofSameName);
const RECOVERY = ["database", "owner"].map(ofSameName);
const OWNER_SECRET: OverrideRow = { field: ["secret", "name"], argument: ["ownerSecret"] };

const ROWS: readonly OverrideRow[] = [
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

/** Fields below `spec` that count as arguments. */
export const OVERRIDE_FIELDS: readonly (readonly string[])[] = ROWS.map(({ field }) => field);

export const SPEC = "overrides.cluster.spec";
const PARAMETERS = ["postgresql", "parameters"];

/** The arguments with what their overrides say. */
export interface SettledOverrides<T> {
  readonly settings: T;
  readonly contradictions: readonly Contradiction[];
}

/** An argument whose override comes later is late too. */
export function settleOverrides<T extends { readonly overrides?: Overrides | undefined }>(
  declared: T,
): SettledOverrides<T> {
  const cluster = (...path: readonly string[]): unknown => valueAt(declared, "overrides", "cluster", ...path);
  const contradictions: Contradiction[] = renamings(declared);
  let settings: Fields = declared;
  const settle = (field: readonly string[], argument: readonly string[], read: (value: unknown) => unknown): void => {
    const value = attempt(() => cluster("spec", ...field));
    if (value === undefined) return;
    const fact = attempt(() =>
      value instanceof DeferredRead ? null : contradictionOf(declared, argument, value, read),
    );
    if (typeof fact === "string") contradictions.push({ path: `${SPEC}.${field.join(".")}`, fact });
    if (value === null) return;
    const isRead = value instanceof DeferredRead || read(value) !== undefined;
    if (isRead) settings = withValue(settings, argument, () => read(cluster("spec", ...field)));
  };
  const rows = [...ROWS, ...bootstrapRows(declared, "initdb"), ...bootstrapRows(declared, "recovery")];
  for (const { argument, field, read = (value: unknown): unknown => value } of rows) settle(field, argument, read);
  const parameters = attempt(() => cluster("spec", ...PARAMETERS));
  if (parameters instanceof DeferredRead) settle(PARAMETERS, ["parameters"], (value) => value);
  else if (isFields(parameters))
    for (const name of Object.keys(parameters)) settle([...PARAMETERS, name], ["parameters", name], (value) => value);
  return { settings: settings as T, contradictions };
}

/** Other objects and outputs have the names that arguments say. */
function renamings({ overrides = {} }: { readonly overrides?: Overrides | undefined }): Contradiction[] {
  const poolers = readOr(() => Object.keys(overrides.poolers ?? {}), []);
  const objects = [
    { path: ["cluster"], fact: "other objects would name another Cluster" },
    ...poolers.map((name) => ({ path: ["poolers", name], fact: "poolerHosts would name another Service" })),
  ];
  return objects.flatMap(({ fact, path }) =>
    ["name", "namespace"].flatMap((field) => {
      const own = [...path, "metadata", field];
      const isSaid = readOr(() => valueAt(overrides, ...own) !== undefined, false);
      return isSaid ? [{ path: `overrides.${own.join(".")}`, fact }] : [];
    }),
  );
}

interface Overrides {
  readonly cluster?: object | undefined;
  readonly poolers?: Readonly<Record<string, object>> | undefined;
}

function bootstrapRows(declared: object, method: "initdb" | "recovery"): OverrideRow[] {
  if (!isFields(valueAt(declared, "bootstrap", method))) return [];
  const own = method === "initdb" ? INITDB : RECOVERY;
  return [...own, OWNER_SECRET].map(({ argument, field }) => ({
    field: ["bootstrap", method, ...field],
    argument: ["bootstrap", method, ...argument],
  }));
}

/** Null if argument and override do not contradict each other. */
export function contradictionOf(
  declared: object,
  argument: readonly string[],
  value: unknown,
  read: (value: unknown) => unknown,
): string | null {
  const given = valueAt(declared, ...argument);
  const name = argument.join(".");
  if (given === undefined) return null;
  if (value === null) return `null removes what ${name} decides`;
  const [own, other] = [JSON.stringify(given), JSON.stringify(read(value))];
  return isPlain(given) && isPlain(read(value)) && own !== other ? `it is ${other}, and ${name} is ${own}` : null;
}

/** True if the Cluster follows another one. @param cluster its name, which is `self` by default */
export function isReplica(
  declared: {
    readonly replica?: object | undefined;
    readonly overrides?: { readonly cluster?: object | undefined } | undefined;
  },
  cluster: () => string,
): boolean {
  const own = valueAt(declared.overrides?.cluster, "spec", "replica");
  if (own === null) return false;
  if (declared.replica === undefined && own === undefined) return false;
  const { enabled, primary, self } = merged(declared.replica ?? {}, own ?? {}) as Fields;
  // In a distributed topology, the cluster that is named as primary follows no other.
  return typeof enabled === "boolean" ? enabled : primary === undefined || primary !== (self ?? cluster());
}

/** GiB of a quantity as Kubernetes writes it. */
export function sizeGiB(value: unknown): number | undefined {
  const sizeBytes = typeof value === "string" && /^\d+[MGT]i?$/.test(value) ? amountOf(value) : null;
  return sizeBytes === null ? undefined : sizeBytes / 1024 ** 3;
}

function withValue(values: Fields, [name = "", ...rest]: readonly string[], read: () => unknown): Fields {
  const inner = (): unknown => {
    if (rest.length === 0) return read();
    const own = valueAt(values, name);
    if (isFields(own)) return withValue(own, rest, read);
    // An override that comes later says whether there is one at all.
    read();
    return withValue({}, rest, read);
  };
  return merged(values, fields({ [name]: inner }));
}

/** Texts, numbers, booleans and lists of them, of which none is late. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  return ["boolean", "number", "string"].includes(typeof value);
}
