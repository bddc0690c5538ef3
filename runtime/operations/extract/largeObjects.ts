/**
 * Columns that refer to large objects. A dump of a table has their numbers only: the objects belong to the whole
 * database, and may be gone from production.
 */
import type { Session } from "../../postgres/session";
import { identifier, qualified } from "./tableObjects";

export interface OidColumn {
  readonly schema: string;
  readonly table: string;
  readonly column: string;
}

export interface ReferredObjects extends OidColumn {
  /** Number of large objects that rows refer to. */
  readonly count: number;
}

/** Columns of type oid, or of a domain over it such as `lo`. Those of partitions count with their table. */
export async function oidColumns(session: Session, oids: readonly number[]): Promise<OidColumn[]> {
  const { rows } = await session.query(
    "with recursive reference as (select 'oid'::regtype::oid as oid union all select t.oid from pg_type t join reference r on t.typbasetype = r.oid) " +
      "select n.nspname as schema, c.relname as table, a.attname as column from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace " +
      "where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped and a.atttypid in (select oid from reference) " +
      "and not exists (select from pg_inherits i where c.relispartition and i.inhrelid = c.oid and i.inhparent = any($1::oid[])) order by 1, 2, a.attnum",
    [[...oids]],
  );
  return rows as OidColumn[];
}

/** Counts what rows in this session's database refer to; only columns that refer to some. */
export async function referredObjects(session: Session, columns: readonly OidColumn[]): Promise<ReferredObjects[]> {
  const referred: ReferredObjects[] = [];
  for (const each of columns) {
    const { rows } = await session.query(
      `select count(*)::int as count from pg_largeobject_metadata m where exists (select from ${qualified(each.schema, each.table)} "pgbackstop row" where "pgbackstop row".${identifier(each.column)} = m.oid)`,
    );
    const { count } = rows[0] as { count: number };
    if (count > 0) referred.push({ ...each, count });
  }
  return referred;
}

export function columnText({ column, table }: OidColumn): string {
  return `${table}.${column}`;
}

/** One line for each column. `kept`: what production has of them; null if nothing goes there. */
export function referredText(referred: readonly ReferredObjects[], kept: readonly ReferredObjects[] | null): string[] {
  return referred.map((each) => {
    const there = kept?.find(({ column, table }) => column === each.column && table === each.table)?.count ?? 0;
    const gone = kept === null ? "" : `, and production has ${there} of them now`;
    return `${columnText(each)} refers to ${each.count} large objects: their contents are not restored${gone}`;
  });
}
