/** The restored objects, their names and locations: SQL for the side server and for production. */
import { fail } from "../../base/errors";
import type { Session } from "../../postgres/session";

/** A table, or a whole schema. */
export interface Wanted {
  readonly schema: string;
  /** Null means the whole schema. */
  readonly table: string | null;
}

export interface ForeignKey {
  readonly table: string;
  readonly name: string;
  readonly definition: string;
  readonly isPartitioned: boolean;
}

/** A constraint of another table that refers to one of the wanted tables. */
export type Reference = ForeignKey & { readonly schema: string };

/** A table that a wanted one inherits from, or is a partition of, and that is not wanted itself. */
export interface Parent {
  readonly schema: string;
  readonly table: string;
  readonly parentSchema: string;
  readonly parentTable: string;
  /** A partition's, as in `ATTACH PARTITION`; null for inheritance. */
  readonly bound: string | null;
}

/** `schema.table` or `table`; parts may be quoted as in SQL. @throws optionInvalidValue */
export function parseTableName(text: string): { readonly schema: string; readonly table: string } {
  const match = /^(?:("(?:[^"]|"")+"|[^".]+)\.)?("(?:[^"]|"")+"|[^".]+)$/.exec(text);
  if (match === null)
    throw fail("optionInvalidValue", `'${text}' is not valid for 'table' option: it is not of the form schema.table`);
  return { schema: match[1] === undefined ? "public" : unquoted(match[1]), table: unquoted(match[2] as string) };
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text;
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? ` E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

export function qualified(schema: string, table: string): string {
  return `${identifier(schema)}.${identifier(table)}`;
}

export function wantedText({ schema, table }: Wanted): string {
  return table === null ? `schema ${schema}` : `table ${schema}.${table}`;
}

/** Its oids, including partitions; empty when it does not exist. */
export async function tablesOf(
  session: Session,
  { schema, table }: Wanted,
): Promise<{ readonly oid: number; readonly name: string; readonly schema: string }[]> {
  const where =
    table === null
      ? "n.nspname = $1"
      : "c.oid in (select o.oid from own o union select p.relid from own o, pg_partition_tree(o.oid) p)";
  const own =
    "with own as (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p'))";
  const columns =
    "select c.oid::int8::text as oid, c.relname as name, n.nspname as schema from pg_class c join pg_namespace n on n.oid = c.relnamespace";
  const kinds = "c.relkind in ('r', 'p') order by c.oid";
  const { rows } =
    table === null
      ? await session.query(`${columns} where ${where} and ${kinds}`, [schema])
      : await session.query(`${own} ${columns} where ${where} and ${kinds}`, [schema, table]);
  return (rows as { oid: string; name: string; schema: string }[]).map((row) => ({ ...row, oid: Number(row.oid) }));
}

export async function isThere(session: Session, wanted: Wanted): Promise<boolean> {
  if (wanted.table !== null) return (await tablesOf(session, wanted)).length > 0;
  return schemaExists(session, wanted.schema);
}

export async function schemaExists(session: Session, schema: string): Promise<boolean> {
  const { rows } = await session.query("select 1 from pg_namespace where nspname = $1", [schema]);
  return rows.length > 0;
}

/** Null if absent. */
export async function schemaComment(session: Session, schema: string): Promise<string | null> {
  const { rows } = await session.query(
    "select obj_description(oid, 'pg_namespace') as text from pg_namespace where nspname = $1",
    [schema],
  );
  return (rows[0] as { text: string | null } | undefined)?.text ?? null;
}

/** Tables of a schema whose rows are compared: partitions count with their table. */
export async function comparedTables(session: Session, schema: string): Promise<string[]> {
  const { rows } = await session.query(
    "select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    [schema],
  );
  return (rows as { name: string }[]).map(({ name }) => name);
}

/**
 * Moves everything wanted on the side server into a separate schema, where it keeps its names, and drops foreign keys
 * to tables that stay behind. It leaves parents there too: otherwise production's parent would get its rows at once.
 * Returns the keys.
 * @throws optionInvalidValue when it does not exist
 */
export async function setAside(session: Session, wanted: Wanted, target: string): Promise<ForeignKey[]> {
  const relations = await tablesOf(session, wanted);
  if (wanted.table === null ? !(await schemaExists(session, wanted.schema)) : relations.length === 0) {
    throw fail("optionInvalidValue", `${wantedText(wanted)} does not exist at this target`, {
      hint: "pgbackstop find shows when it was created and dropped. Choose an earlier or later target.",
    });
  }
  const oids = relations.map(({ oid }) => oid);
  const keys = await takeForeignKeys(session, oids);
  for (const parent of await parentsOf(session, oids)) await session.query(leaveSql(parent));
  if (wanted.table === null) {
    if (wanted.schema !== target)
      await session.query(`alter schema ${identifier(wanted.schema)} rename to ${identifier(target)}`);
    return keys;
  }
  await session.query(`create schema ${identifier(target)}`);
  for (const { name, schema } of relations)
    await session.query(`alter table ${qualified(schema, name)} set schema ${identifier(target)}`);
  return keys;
}

const KEY_COLUMNS =
  "select c.relname as table, n.nspname as schema, k.conname as name, pg_get_constraintdef(k.oid) as definition, c.relkind = 'p' as partitioned " +
  "from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace where k.contype = 'f' and k.conparentid = 0";

interface KeyRow {
  readonly table: string;
  readonly schema: string;
  readonly name: string;
  readonly definition: string;
  readonly partitioned: boolean;
}

async function takeForeignKeys(session: Session, oids: readonly number[]): Promise<ForeignKey[]> {
  const { rows } = await session.query(
    `${KEY_COLUMNS} and k.conrelid = any($1::oid[]) and k.confrelid <> all($1::oid[])`,
    [[...oids]],
  );
  for (const { name, schema, table } of rows as KeyRow[])
    await session.query(`alter table ${qualified(schema, table)} drop constraint ${identifier(name)}`);
  return (rows as KeyRow[]).map(({ definition, name, partitioned, table }) => ({
    table,
    name,
    definition,
    isPartitioned: partitioned,
  }));
}

async function parentsOf(session: Session, oids: readonly number[]): Promise<Parent[]> {
  const { rows } = await session.query(
    'select n.nspname as schema, c.relname as table, m.nspname as "parentSchema", p.relname as "parentTable", pg_get_expr(c.relpartbound, c.oid) as bound ' +
      "from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace " +
      "join pg_class p on p.oid = i.inhparent join pg_namespace m on m.oid = p.relnamespace " +
      "where c.relkind in ('r', 'p') and i.inhrelid = any($1::oid[]) and i.inhparent <> all($1::oid[]) order by i.inhrelid, i.inhseqno",
    [[...oids]],
  );
  return rows as Parent[];
}

export function leaveSql({ bound, parentSchema, parentTable, schema, table }: Parent): string {
  const [parent, child] = [qualified(parentSchema, parentTable), qualified(schema, table)];
  return bound === null
    ? `ALTER TABLE ${child} NO INHERIT ${parent}`
    : `ALTER TABLE ${parent} DETACH PARTITION ${child}`;
}

export function joinSql({ bound, parentSchema, parentTable, schema, table }: Parent): string {
  const [parent, child] = [qualified(parentSchema, parentTable), qualified(schema, table)];
  return bound === null
    ? `ALTER TABLE ${child} INHERIT ${parent}`
    : `ALTER TABLE ${parent} ATTACH PARTITION ${child} ${bound}`;
}

/** What blocks a swap, or must follow it. */
export interface Surroundings {
  readonly relations: readonly { readonly name: string; readonly schema: string }[];
  /** A schema may exist without tables. */
  readonly isThere: boolean;
  readonly references: readonly Reference[];
  /** The old table leaves them, and the new one takes its part. */
  readonly parents: readonly Parent[];
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
    parents: await parentsOf(session, oids),
    references: (keys.rows as KeyRow[]).map(({ partitioned, ...key }) => ({ ...key, isPartitioned: partitioned })),
    views: (views.rows as { name: string }[]).map(({ name }) => name),
  };
}

/** Checks a foreign key for new rows only: existing rows may refer to missing ones. */
export function foreignKeySql(schema: string, { definition, isPartitioned, name, table }: ForeignKey): string {
  const valid = isPartitioned || /\bNOT VALID$/i.test(definition) ? "" : " NOT VALID";
  return `ALTER TABLE ${qualified(schema, table)} ADD CONSTRAINT ${identifier(name)} ${definition}${valid};\n`;
}
