/**
 * Items of a Cluster's lists that arguments declare by name, with what `spec` and overrides say about them: rules and
 * copies read these. The Cluster itself gets both lists merged, in the order in which they were written. Pure.
 */
import { type Fields, isFields, isNamedList, valueAt } from "../model/anyValue";
import { attempt, DeferredRead, fields, givenFields, merged, readOr, without } from "../model/deferred";
import type { DeclaredCluster } from "./declaredCluster";
import { type Contradiction, contradictionOf, type OverrideRow, sizeGiB, SPEC } from "./overrides";

/** As arguments declare them; undefined if nothing does. */
export type SettledItems = Pick<DeclaredCluster, "tablespaces" | "extensions" | "roles">;
type ItemsName = keyof SettledItems;

const sameNames = (...names: readonly string[]): OverrideRow[] =>
  names.map((name) => ({ field: [name], argument: [name] }));

/** The list below `spec`, and the fields of its items by those of the argument's. */
const LISTS: Readonly<Record<ItemsName, { readonly field: readonly string[]; readonly rows: readonly OverrideRow[] }>> =
  {
    tablespaces: {
      field: ["tablespaces"],
      rows: [
        { field: ["storage", "size"], argument: ["sizeGiB"], read: sizeGiB },
        { field: ["storage", "storageClass"], argument: ["storageClass"] },
        { field: ["owner", "name"], argument: ["owner"] },
        ...sameNames("temporary"),
      ],
    },
    extensions: {
      field: ["postgresql", "extensions"],
      rows: [
        { field: ["image", "reference"], argument: ["image"] },
        { field: ["dynamic_library_path"], argument: ["libraryPath"] },
        { field: ["extension_control_path"], argument: ["controlPath"] },
        { field: ["ld_library_path"], argument: ["ldLibraryPath"] },
        { field: ["bin_path"], argument: ["binPath"] },
      ],
    },
    roles: {
      field: ["managed", "roles"],
      rows: [
        { field: ["passwordSecret", "name"], argument: ["passwordSecret"] },
        ...sameNames("disablePassword", "ensure", "comment", "login", "superuser", "createdb", "createrole"),
        ...sameNames("replication", "inherit", "bypassrls", "connectionLimit", "validUntil", "inRoles"),
      ],
    },
  };

/** An argument whose list comes later is late too; of an item, what comes later alone. */
export function settleItems(declared: DeclaredCluster): {
  readonly items: SettledItems;
  readonly contradictions: readonly Contradiction[];
} {
  const listOf = (name: ItemsName): unknown => valueAt(declared, "overrides", "cluster", "spec", ...LISTS[name].field);
  const items = (name: ItemsName) => (): never =>
    settledItems(declared[name], listOf(name), LISTS[name].rows) as object as never;
  const names = Object.keys(LISTS) as readonly ItemsName[];
  return {
    items: fields<SettledItems>({
      tablespaces: items("tablespaces"),
      extensions: items("extensions"),
      roles: items("roles"),
    }),
    contradictions: names.flatMap((name) => readOr(() => contradictionsIn(declared, name, listOf(name)), [])),
  };
}

type Declared = Readonly<Record<string, object>> | undefined;

function settledItems(own: Declared, list: unknown, rows: readonly OverrideRow[]): Declared {
  if (list === null) return {};
  if (!Array.isArray(list)) return own;
  const kept = isNamedList(list) && !list.some(isReplacement) ? (own ?? {}) : {};
  const items = namedItems(list);
  const isRemoved = ({ $patch }: Fields): boolean => $patch === "delete";
  const makers = items
    .filter((item) => !isRemoved(item))
    .map((item) => [nameOf(item), () => settledItem(kept[nameOf(item)] ?? {}, item, rows)] as const);
  return without(merged(kept, fields(Object.fromEntries(makers))), ...items.filter(isRemoved).map(nameOf)) as Declared;
}

function settledItem(own: object, item: Fields, rows: readonly OverrideRow[]): object {
  const makers = rows.map(({ argument, field, read = (value: unknown): unknown => value }) => {
    const make = (): unknown => {
      const value = valueAt(item, ...field);
      return value === null ? undefined : read(value);
    };
    return [argument[0], make] as const;
  });
  const removed = rows.filter(({ field }) => readOr(() => valueAt(item, ...field) === null, false));
  const left = without(own as Fields, ...removed.map(({ argument }) => String(argument[0])));
  return merged(left, givenFields(Object.fromEntries(makers) as Record<string, () => unknown>));
}

function contradictionsIn(declared: DeclaredCluster, name: ItemsName, list: unknown): Contradiction[] {
  if (!isNamedList(list) || list.some(isReplacement)) return [];
  const { field: path, rows } = LISTS[name];
  return namedItems(list).flatMap((item) =>
    rows.flatMap(({ argument, field, read = (value: unknown): unknown => value }) => {
      const value = attempt(() => valueAt(item, ...field));
      if (value === undefined || value instanceof DeferredRead) return [];
      const own = [name, nameOf(item), ...argument];
      const fact = readOr(() => contradictionOf(declared, own, value, read), null);
      return fact === null ? [] : [{ path: [SPEC, ...path, nameOf(item), ...field].join("."), fact }];
    }),
  );
}

function namedItems(list: readonly unknown[]): Fields[] {
  return list.filter(isFields).filter((item) => typeof item["name"] === "string" && !isReplacement(item));
}

function nameOf({ name }: Fields): string {
  return String(name);
}

function isReplacement({ $patch }: Fields): boolean {
  return $patch === "replace";
}

/** Where an item was declared: by an argument, or only below `spec` and in overrides. */
export function itemPath(own: object, list: ItemsName, name: string): string {
  return Object.hasOwn(own, name) ? `${list}.${name}` : [SPEC, ...LISTS[list].field, name].join(".");
}
