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

/** A table that inherits from another one, or is a partition of it; only one of both is wanted. */
export interface Link {
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

export interface WantedTable {
  readonly oid: number;
  readonly name: string;
  readonly schema: string;
  readonly isPartitioned: boolean;
}

/** Its oids, including partitions; empty when it does not exist. */
export async function tablesOf(session: Session, { schema, table }: Wanted): Promise<WantedTable[]> {
  const where =
    table === null
      ? "n.nspname = $1"
      : "c.oid in (select o.oid from own o union select p.relid from own o, pg_partition_tree(o.oid) p)";
  const own =
    "with own as (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p'))";
  const columns =
    "select c.oid::int8::text as oid, c.relname as name, n.nspname as schema, c.relkind = 'p' as \"isPartitioned\" from pg_class c join pg_namespace n on n.oid = c.relnamespace";
  const kinds = "c.relkind in ('r', 'p') order by c.oid";
  const { rows } =
    table === null
      ? await session.query(`${columns} where ${where} and ${kinds}`, [schema])
      : await session.query(`${own} ${columns} where ${where} and ${kinds}`, [schema, table]);
  return (rows as (Omit<WantedTable, "oid"> & { oid: string })[]).map((row) => ({ ...row, oid: Number(row.oid) }));
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

/**
 * Tables of a schema whose rows are compared, by name: partitions count with their table, tables that inherit do not.
 * The value is for a FROM clause.
 */
export async function comparedTables(session: Session, schema: string): Promise<Map<string, string>> {
  const { rows } = await session.query(
    "select c.relname as name, c.relkind = 'p' as partitioned from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    [schema],
  );
  return new Map(
    (rows as { name: string; partitioned: boolean }[]).map(({ name, partitioned }) => [
      name,
      ownRows(schema, name, partitioned),
    ]),
  );
}

/** For a FROM clause: without rows of tables that inherit from it. */
export function ownRows(schema: string, table: string, isPartitioned: boolean): string {
  return `${isPartitioned ? "" : "only "}${qualified(schema, table)}`;
}

export interface SetAside {
  /** Foreign keys to tables that stay behind. */
  readonly keys: readonly ForeignKey[];
  /** Former schema of each table by its name: partitions may have been elsewhere. */
  readonly homes: ReadonlyMap<string, string>;
  /** Tables that inherit from wanted ones, and stay behind. */
  readonly children: readonly string[];
}

/**
 * Moves everything wanted on the side server into a separate schema, where it keeps its names, and drops foreign keys
 * to tables that stay behind. It leaves parents there too: otherwise production's parent would get its rows at once.
 * @throws optionInvalidValue when it does not exist, featureNotSupported when two tables would have one name
 */
export async function setAside(session: Session, wanted: Wanted, target: string): Promise<SetAside> {
  const relations = await tablesOf(session, wanted);
  if (wanted.table === null ? !(await schemaExists(session, wanted.schema)) : relations.length === 0) {
    throw fail("optionInvalidValue", `${wantedText(wanted)} does not exist at this target`, {
      hint: "pgbackstop find shows when it was created and dropped. Choose an earlier or later target.",
    });
  }
  requireOwnNames(relations, target);
  const oids = relations.map(({ oid }) => oid);
  const children = await linksOf(session, oids, "children");
  const keys = await takeForeignKeys(session, oids);
  for (const link of [...(await linksOf(session, oids, "parents")), ...children]) await session.query(leaveSql(link));
  const result = {
    keys,
    homes: new Map(relations.map(({ name, schema }) => [name, schema])),
    children: children.map(({ schema, table }) => `${schema}.${table}`),
  };
  if (wanted.table === null) {
    if (wanted.schema !== target)
      await session.query(`alter schema ${identifier(wanted.schema)} rename to ${identifier(target)}`);
    return result;
  }
  await session.query(`create schema ${identifier(target)}`);
  for (const { name, schema } of relations)
    await session.query(`alter table ${qualified(schema, name)} set schema ${identifier(target)}`);
  return result;
}

function requireOwnNames(
  relations: readonly { readonly name: string; readonly schema: string }[],
  target: string,
): void {
  const homes = new Map<string, string>();
  for (const { name, schema } of relations) {
    const other = homes.get(name);
    if (other !== undefined)
      throw fail("featureNotSupported", `${other}.${name} and ${schema}.${name} cannot both be in schema ${target}`, {
        hint: "Write a dump with --to-file, or bring one of them back by its name.",
      });
    homes.set(name, schema);
  }
}

export const KEY_COLUMNS =
  "select c.relname as table, n.nspname as schema, k.conname as name, pg_get_constraintdef(k.oid) as definition, c.relkind = 'p' as partitioned " +
  "from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace where k.contype = 'f' and k.conparentid = 0";

export interface KeyRow {
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

/** Links between wanted tables and others: to their parents, or to their children. */
export async function linksOf(
  session: Session,
  oids: readonly number[],
  which: "parents" | "children",
): Promise<Link[]> {
  const [own, other] = which === "parents" ? ["i.inhrelid", "i.inhparent"] : ["i.inhparent", "i.inhrelid"];
  const { rows } = await session.query(
    'select n.nspname as schema, c.relname as table, m.nspname as "parentSchema", p.relname as "parentTable", pg_get_expr(c.relpartbound, c.oid) as bound ' +
      "from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace " +
      "join pg_class p on p.oid = i.inhparent join pg_namespace m on m.oid = p.relnamespace " +
      `where c.relkind in ('r', 'p', 'f') and ${own} = any($1::oid[]) and ${other} <> all($1::oid[]) order by i.inhrelid, i.inhseqno`,
    [[...oids]],
  );
  return rows as Link[];
}

export function leaveSql({ bound, parentSchema, parentTable, schema, table }: Link): string {
  const [parent, child] = [qualified(parentSchema, parentTable), qualified(schema, table)];
  return bound === null
    ? `ALTER TABLE ${child} NO INHERIT ${parent}`
    : `ALTER TABLE ${parent} DETACH PARTITION ${child}`;
}

export function joinSql({ bound, parentSchema, parentTable, schema, table }: Link): string {
  const [parent, child] = [qualified(parentSchema, parentTable), qualified(schema, table)];
  return bound === null
    ? `ALTER TABLE ${child} INHERIT ${parent}`
    : `ALTER TABLE ${parent} ATTACH PARTITION ${child} ${bound}`;
}

/** Checks a foreign key for new rows only: existing rows may refer to missing ones. */
export function foreignKeySql(schema: string, { definition, isPartitioned, name, table }: ForeignKey): string {
  const valid = isPartitioned || /\bNOT VALID$/i.test(definition) ? "" : " NOT VALID";
  return `ALTER TABLE ${qualified(schema, table)} ADD CONSTRAINT ${identifier(name)} ${definition}${valid};\n`;
}
