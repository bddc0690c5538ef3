/**
 * Fields of a Cluster that arguments or `spec` decide. What `spec` says counts as the argument's value, so that rules,
 * topology and copies judge the Cluster that will exist. A field that both say is a mistake. Pure.
 */
import { given } from "../../../runtime/base/given";
import { attempt, fields, DeferredRead, givenFields, merged, readers, without } from "../model/deferred";
import { type Fields, isFields, valueAt } from "../model/anyValue";
import { mergeOver } from "../model/mergeOver";
import type { DeclaredCluster } from "./declaredCluster";
import { amountOf } from "./quantity";

/** A field that an argument says, too. */
export interface SaidTwice {
  /** Below the arguments. */
  readonly path: string;
  readonly argument: string;
}

interface SpecRow {
  /** Below `spec`. */
  readonly field: readonly string[];
  readonly argument: readonly string[];
  /** The field's value as the argument's; undefined if it has no such form. Absent: the same value. */
  readonly read?: (value: unknown) => unknown;
}

const ofSameName = (name: string): SpecRow => ({ field: [name], argument: [name] });
/** Sections of both, by their path: only where the argument has the section. */
const SECTIONS: readonly (readonly [path: readonly string[], rows: readonly SpecRow[]])[] = [
  [
    ["bootstrap", "recovery"],
    [...["database", "owner"].map(ofSameName), { field: ["secret", "name"], argument: ["ownerSecret"] }],
  ],
  [["replica"], ["enabled", "minApplyDelay", "promotionToken"].map(ofSameName)],
];

const ROWS: readonly SpecRow[] = [
  { field: ["instances"], argument: ["instances"] },
  { field: ["imageName"], argument: ["image"] },
  { field: ["imageCatalogRef", "major"], argument: ["postgresVersion"] },
  { field: ["backup", "target"], argument: ["backupTarget"] },
  { field: ["storage", "size"], argument: ["storageGiB"], read: sizeGiB },
  { field: ["storage", "storageClass"], argument: ["storageClass"] },
  { field: ["monitoring", "tls", "enabled"], argument: ["monitoring", "tls"] },
];

const PARAMETERS = ["postgresql", "parameters"];

/** Fields below `spec` that count as arguments. */
export const SPEC_FIELDS: readonly (readonly string[])[] = ROWS.map(({ field }) => field);

/** The arguments with what `spec` says. */
export interface SettledSpec<T> {
  readonly settings: T;
  readonly saidTwice: readonly SaidTwice[];
}

/** Fields and arguments that decide one thing together: who says one of them says all. */
const OF_IMAGE = { fields: ["imageName", "imageCatalogRef"], names: ["image", "postgresVersion"] } as const;

/** The settings over those of the cluster that is copied. */
export function withLike(declared: DeclaredCluster): DeclaredCluster {
  const { like } = declared;
  if (like === undefined) return declared;
  const own = without(declared, "like");
  const isInSpec = (...field: readonly string[]): boolean => isSaid(own, ["spec", ...field]);
  const hasImage = OF_IMAGE.names.some((name) => isSaid(own, [name])) || OF_IMAGE.fields.some((name) => isInSpec(name));
  const said = ROWS.filter(({ field }) => isInSpec(...field)).map(({ argument }) => argument.join("."));
  const copied = without(given(like) as Fields, ...said, ...(hasImage ? OF_IMAGE.names : []));
  const copiedSpec = without((like.spec ?? {}) as Fields, ...(hasImage ? OF_IMAGE.fields : []));
  const parameters = (): Fields => {
    const others = Object.keys(like.parameters ?? {}).filter((name) => isInSpec(...PARAMETERS, name));
    return merged(without((like.parameters ?? {}) as Fields, ...others), own.parameters ?? {});
  };
  const spec = (): unknown => mergeOver(copiedSpec, own.spec ?? {});
  return merged(copied, given(own), fields({ parameters, spec })) as DeclaredCluster;
}

/** What a copy needs to start, of settings that are settled. */
export function likeOf(settings: DeclaredCluster): object {
  const names = ["image", "parameters", "postgresVersion", "storageClass", "storageGiB"] as const;
  const hasCatalog = isSaid(settings, ["spec", "imageCatalogRef"]);
  const of =
    (...path: readonly string[]) =>
    (): unknown =>
      valueAt(settings.spec, ...path);
  const postgresql = (): object =>
    givenFields({
      extensions: of("postgresql", "extensions"),
      shared_preload_libraries: of("postgresql", "shared_preload_libraries"),
    });
  const spec = (): object =>
    givenFields({
      imageCatalogRef: of("imageCatalogRef"),
      postgresql,
      tablespaces: of("tablespaces"),
      walStorage: of("walStorage"),
    });
  const own = givenFields({ ...readers(settings, ...names), spec });
  return hasCatalog ? without(own, "postgresVersion") : own;
}

/** An argument whose field comes later is late too. */
export function settleSpec<T extends { readonly spec?: object | undefined }>(declared: T): SettledSpec<T> {
  const saidTwice: SaidTwice[] = [];
  let settings: Fields = declared;
  const settle = (
    field: readonly string[],
    argument: readonly string[],
    read = (value: unknown): unknown => value,
  ): void => {
    const inSpec = (): unknown => valueAt(declared, "spec", ...field);
    const value = attempt(inSpec);
    if (value === undefined) return;
    if (field !== PARAMETERS && isSaid(declared, argument) && isSaid(declared, ["spec", ...field]))
      saidTwice.push({ path: ["spec", ...field].join("."), argument: argument.join(".") });
    if (value instanceof DeferredRead || read(value) !== undefined)
      settings = withValue(settings, argument, () => read(inSpec()));
  };
  for (const { argument, field, read } of [...ROWS, ...sectionRows(declared)]) settle(field, argument, read);
  const parameters = attempt(() => valueAt(declared, "spec", ...PARAMETERS));
  if (parameters instanceof DeferredRead) settle(PARAMETERS, ["parameters"]);
  else if (isFields(parameters))
    for (const name of Object.keys(parameters)) settle([...PARAMETERS, name], ["parameters", name]);
  return { settings: settings as T, saidTwice };
}

/** True also while the value itself comes later. What is in a section that comes later is judged when that arrives. */
function isSaid(declared: object, path: readonly string[]): boolean {
  const section = attempt(() => valueAt(declared, ...path.slice(0, -1)));
  return !(section instanceof DeferredRead) && attempt(() => valueAt(section, path.at(-1) ?? "")) !== undefined;
}

function sectionRows(declared: object): SpecRow[] {
  return SECTIONS.flatMap(([path, rows]) =>
    isFields(valueAt(declared, ...path))
      ? rows.map(({ argument, field }) => ({ field: [...path, ...field], argument: [...path, ...argument] }))
      : [],
  );
}

/** True if the Cluster follows another one. @param cluster its name, which is `self` by default */
export function isReplica(
  declared: { readonly replica?: object | undefined; readonly spec?: object | undefined },
  cluster: () => string,
): boolean {
  const own = valueAt(declared.spec, "replica");
  if (declared.replica === undefined && own === undefined) return false;
  const { enabled, primary, self } = merged(declared.replica ?? {}, own ?? {}) as Fields;
  // In a distributed topology, the cluster that is named as primary follows no other.
  return typeof enabled === "boolean" ? enabled : primary === undefined || primary !== (self ?? cluster());
}

/** GiB of a quantity as Kubernetes writes it. */
function sizeGiB(value: unknown): number | undefined {
  const sizeBytes = typeof value === "string" && /^\d+[MGT]i?$/.test(value) ? amountOf(value) : null;
  return sizeBytes === null ? undefined : sizeBytes / 1024 ** 3;
}

function withValue(values: Fields, [name = "", ...rest]: readonly string[], read: () => unknown): Fields {
  const inner = (): unknown => {
    if (rest.length === 0) return read();
    const own = valueAt(values, name);
    if (isFields(own)) return withValue(own, rest, read);
    // A field that comes later says whether there is one at all.
    read();
    return withValue({}, rest, read);
  };
  return merged(values, fields({ [name]: inner }));
}
