/** What is around the current tables in production: what blocks a swap, or must follow it. */
import type { Session } from "../../postgres/session";
import { type OidColumn, oidColumns } from "./largeObjects";
import { loadReplication, type Replication } from "./replication";
import {
  KEY_COLUMNS,
  type KeyRow,
  type Link,
  linksOf,
  type Reference,
  schemaExists,
  tablesOf,
  type Wanted,
} from "./tableObjects";

export interface Surroundings {
  readonly relations: readonly { readonly name: string; readonly schema: string }[];
  /** A schema may exist without tables. */
  readonly isThere: boolean;
  readonly references: readonly Reference[];
  /** The old table leaves them, and the new one takes its part. */
  readonly parents: readonly Link[];
  /** They leave the old table, and inherit from the new one. */
  readonly children: readonly Link[];
  readonly replication: Replication;
  /** Extensions in the wanted schema: they would move away with the old one. */
  readonly extensions: readonly string[];
  readonly oidColumns: readonly OidColumn[];
  /** These continue to read the old table. */
  readonly views: readonly string[];
}

export async function lookAround(session: Session, wanted: Wanted): Promise<Surroundings> {
  const relations = await tablesOf(session, wanted);
  const oids = relations.map(({ oid }) => oid);
  const keys = await session.query(`${KEY_COLUMNS} and k.confrelid = any($1::oid[]) and k.conrelid <> all($1::oid[])`, [
    oids,
  ]);
  const views = await session.query(
    "select distinct c.oid::regclass::text as name from pg_depend d join pg_rewrite r on r.oid = d.objid join pg_class c on c.oid = r.ev_class " +
      "where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = any($1::oid[]) and c.oid <> all($1::oid[]) " +
      "and ($2::text is null or c.relnamespace <> (select oid from pg_namespace where nspname = $2)) order by 1",
    [oids, wanted.table === null ? wanted.schema : null],
  );
  return {
    relations,
    isThere: wanted.table === null ? await schemaExists(session, wanted.schema) : relations.length > 0,
    parents: await linksOf(session, oids, "parents"),
    children: await linksOf(session, oids, "children"),
    replication: await loadReplication(session, wanted, oids),
    oidColumns: await oidColumns(session, oids),
    extensions: wanted.table === null ? await extensionsOf(session, wanted.schema) : [],
    references: (keys.rows as KeyRow[]).map(({ partitioned, ...key }) => ({ ...key, isPartitioned: partitioned })),
    views: (views.rows as { name: string }[]).map(({ name }) => name),
  };
}

async function extensionsOf(session: Session, schema: string): Promise<string[]> {
  const { rows } = await session.query(
    "select e.extname as name from pg_extension e join pg_namespace n on n.oid = e.extnamespace where n.nspname = $1 order by 1",
    [schema],
  );
  return (rows as { name: string }[]).map(({ name }) => name);
}
