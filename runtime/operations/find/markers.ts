/**
 * What a transaction destroyed, according to WAL: pure.
 *
 * - A relation that left pg_class was dropped, except tables that PostgreSQL makes to rewrite another one
 *   (`pg_temp_<oid>`).
 * - A table with a new file was truncated, unless its content moved along: copied page by page into the new file
 *   (another tablespace), or its old file went to such a temporary table (VACUUM FULL, CLUSTER, ALTER TABLE).
 * - Deleted and updated rows are counted by table; those of catalogs and of TOAST are not shown.
 */
import type { ClassRow } from "../../format/page/heapPage";
import type { RelationFile } from "../../format/wal/walRecord";
import type { TransactionEnd } from "../../format/wal/walTransaction";
import type { Activity, ClassChange } from "./activity";
import { CATALOG_SCHEMA, fileKey, TRANSIENT } from "./catalogs";

export const MARKER_KINDS = ["drop", "truncate", "delete", "update"] as const;
export type MarkerKind = (typeof MARKER_KINDS)[number];

export interface Marker {
  readonly kind: MarkerKind;
  readonly object: "database" | "schema" | "table" | "materialized view" | "foreign table" | "view" | "relation";
  /** Oid of its database, or of the database itself. */
  readonly database: number;
  /** `schema.table`, or the name of the schema or database; `database/file` in numbers when unknown. */
  readonly name: string;
  readonly isResolved: boolean;
  /** Oid of its relation; null of others, or when unknown. */
  readonly relation: number | null;
  /** For delete and update; null for others. */
  readonly rows: number | null;
}

/** Resolves names; undefined when unknown. */
export interface Names {
  relation(database: number, file: number): ClassRow | undefined;
  schema(database: number, oid: number): string | undefined;
  database(oid: number): string | undefined;
}

const OBJECTS: Readonly<Record<string, Marker["object"]>> = {
  r: "table",
  p: "table",
  m: "materialized view",
  f: "foreign table",
  v: "view",
};
/** Smaller numbers are PostgreSQL's own ("access/transam.h"). */
const USER_ID_MIN = 16384;
const TOAST_SCHEMA = 99;

export function markersOf(activity: Activity, { dropped }: Pick<TransactionEnd, "dropped">, names: Names): Marker[] {
  const relations = relationMarkers(activity, dropped, names);
  const schemas = activity.schemas.map(
    ({ database, row }): Marker =>
      marker("drop", "schema", database, { name: row?.name ?? `${database}/schema`, isResolved: row !== null }),
  );
  const removed = new Set([...activity.removedDatabases, ...activity.databases].map(({ oid }) => oid));
  const databases = [...removed].map((oid): Marker => {
    const name = names.database(oid) ?? activity.databases.find((each) => each.oid === oid)?.row?.name;
    return marker("drop", "database", oid, { name: name ?? String(oid), isResolved: name !== undefined });
  });
  return [...databases, ...schemas, ...relations, ...rowMarkers(activity, names)];
}

function relationMarkers(activity: Activity, dropped: readonly RelationFile[], names: Names): Marker[] {
  const markers: Marker[] = [];
  const changes = [...activity.relations.values()];
  // Catalogs keep PostgreSQL's numbers until they are rewritten.
  const explained = new Set<string>(dropped.flatMap((file) => (file.relation < USER_ID_MIN ? [fileKey(file)] : [])));
  const transient = new Set(changes.flatMap((change) => (isTransient(change) ? [...change.files] : [])));
  for (const key of [...activity.remapped, ...changes.flatMap(({ files }) => [...files])]) explained.add(key);
  for (const change of changes) {
    const row = change.old ?? change.new;
    if (change.isNew || row === null || row.isTemporary) continue;
    const kind = change.new === null ? "drop" : isTruncated(change, activity, transient) ? "truncate" : null;
    const object = OBJECTS[row.kind];
    if (kind === null || object === undefined || (kind === "truncate" && object === "view")) continue;
    markers.push(marker(kind, object, change.database, relationFacts(row, change, names)));
  }
  for (const file of dropped.filter((each) => !explained.has(fileKey(each)))) {
    const row = names.relation(file.database, file.relation);
    if (row !== undefined && (OBJECTS[row.kind] === undefined || row.isTemporary || TRANSIENT.test(row.name))) continue;
    const object = row === undefined ? "relation" : (OBJECTS[row.kind] ?? "relation");
    const kind = activity.unknownDrops > 0 ? "drop" : "truncate";
    markers.push(marker(kind, object, file.database, relationFacts(row, file, names)));
  }
  return markers;
}

function isTransient({ isNew, row }: ClassChange): boolean {
  return isNew && TRANSIENT.test(row.name);
}

function isTruncated(
  { database, new: now, old }: ClassChange,
  { copied }: Activity,
  transient: ReadonlySet<string>,
): boolean {
  if (old === null || now === null || old.file === 0 || now.file === 0 || old.file === now.file) return false;
  const [before, after] = [`${database}/${old.file}`, `${database}/${now.file}`];
  return !copied.has(after) && !transient.has(before) && !transient.has(after);
}

function rowMarkers({ relations, rows }: Activity, names: Names): Marker[] {
  // A rewrite after the change gave the table's file to another one, which was dropped with it.
  const tables = [...relations.values()].filter(({ row }) => !TRANSIENT.test(row.name));
  const owners = new Map(tables.flatMap(({ files, new: now, row }) => [...files].map((key) => [key, now ?? row])));
  return [...rows.values()].flatMap(({ deletes, file, updates }): Marker[] => {
    if (file.relation < USER_ID_MIN || deletes + updates === 0) return [];
    const row = owners.get(fileKey(file)) ?? names.relation(file.database, file.relation);
    if (row !== undefined && (row.schema === CATALOG_SCHEMA || row.schema === TOAST_SCHEMA)) return [];
    const object = row === undefined ? "relation" : (OBJECTS[row.kind] ?? "relation");
    return (
      [
        ["delete", deletes],
        ["update", updates],
      ] as const
    ).flatMap(([kind, count]) =>
      count === 0 ? [] : [marker(kind, object, file.database, relationFacts(row, file, names), count)],
    );
  });
}

type Facts = Pick<Marker, "isResolved" | "name"> & Partial<Pick<Marker, "relation">>;

/** Without a row only its file is known. */
function relationFacts(
  row: ClassRow | undefined,
  location: Pick<RelationFile, "database"> & Partial<RelationFile>,
  names: Names,
): Facts {
  const { database, relation = 0 } = location;
  if (row === undefined) return { name: fileKey({ database, relation }), isResolved: false };
  const schema = names.schema(database, row.schema) ?? row.schema;
  return { name: `${schema}.${row.name}`, isResolved: true, relation: row.oid };
}

function marker(
  kind: MarkerKind,
  object: Marker["object"],
  database: number,
  { isResolved, name, relation = null }: Facts,
  rows: number | null = null,
): Marker {
  return { kind, object, database, name, isResolved, relation, rows };
}

/** A dropped or truncated object weighs more than any number of rows. */
export function weightOf(markers: readonly Marker[]): number {
  return markers.reduce(
    (sum, { kind, object, rows }) =>
      sum + (rows === null ? WEIGHTS[object === "view" ? "view" : kind] : rows * (kind === "delete" ? 2 : 1)),
    0,
  );
}

const WEIGHTS = { drop: 1e12, truncate: 1e12, view: 1e6, delete: 0, update: 0 } as const;
