/** Compares tables by row counts and checksums: how a restored table differs from the current one. */
import type { Session } from "../../postgres/session";
import { comparedTables, identifier, ownRows, qualified, tablesOf, type Wanted } from "./tableObjects";

export interface TableSum {
  readonly rows: bigint;
  /** Over a hash of each row, in any order. */
  readonly checksum: string;
}

export interface Difference {
  readonly table: string;
  readonly broughtBack: TableSum;
  /** Null without a current table. */
  readonly present: TableSum | null;
  /** Differences by primary key; null without such a key. */
  readonly byKey: { readonly onlyBroughtBack: bigint; readonly onlyPresent: bigint; readonly changed: bigint } | null;
  /**
   * Inserts rows that exist only in the restored table into the current one; null without such rows, or without a key.
   */
  readonly addSql: string | null;
}

/** Settings that determine a value's text form. */
export const SAME_TEXT =
  "set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set extra_float_digits = 3; set bytea_output = 'hex'; set xmloption = 'content'; set lc_monetary = 'C'";

/** A column of the same name would be read in place of the row. */
export const ROW = '"pgbackstop row"';
const [RESTORED, PRESENT] = ['"pgbackstop restored"', '"pgbackstop present"'];

export async function sumsOf(session: Session, schema: string): Promise<Map<string, TableSum>> {
  await session.query(SAME_TEXT);
  const sums = new Map<string, TableSum>();
  for (const [table, from] of await comparedTables(session, schema)) sums.set(table, await sumOf(session, from));
  return sums;
}

async function sumOf(session: Session, from: string): Promise<TableSum> {
  const { rows } = await session.query(
    `select count(*)::text as rows, coalesce(sum(hashtextextended(${ROW}::text, 0)::numeric), 0)::text as checksum from ${from} ${ROW}`,
  );
  const { checksum, rows: count } = rows[0] as { rows: string; checksum: string };
  return { rows: BigInt(count), checksum };
}

/** One line for each table that differs. */
export function differences(left: ReadonlyMap<string, TableSum>, right: ReadonlyMap<string, TableSum>): string[] {
  return [...new Set([...left.keys(), ...right.keys()])].sort().flatMap((table) => {
    const [one, other] = [left.get(table), right.get(table)];
    if (one === undefined || other === undefined) return [`${table}: exists on one side only`];
    if (one.rows !== other.rows) return [`${table}: ${one.rows} and ${other.rows} rows`];
    return one.checksum === other.checksum ? [] : [`${table}: the same number of rows with different content`];
  });
}

/** How the restored tables differ from production's current ones. */
export async function compareWithPresent(
  session: Session,
  wanted: Wanted,
  restored: string,
  sums: ReadonlyMap<string, TableSum>,
): Promise<Difference[]> {
  // A table that came back alone may be a partition in production.
  const tables = await tablesOf(session, { schema: wanted.schema, table: null });
  const present = new Map(tables.map(({ isPartitioned, name }) => [name, ownRows(wanted.schema, name, isPartitioned)]));
  const restoredTables = await comparedTables(session, restored);
  const result: Difference[] = [];
  for (const [table, broughtBack] of sums) {
    const [from, to] = [restoredTables.get(table), present.get(table)];
    if (from === undefined || to === undefined) {
      result.push({ table, broughtBack, present: null, byKey: null, addSql: null });
      continue;
    }
    const [own, other] = [await keyOf(session, wanted.schema, table), await keyOf(session, restored, table)];
    const byKey = own.join("\0") === other.join("\0") ? await compareByKey(session, from, to, own) : null;
    const addSql =
      byKey === null || byKey.onlyBroughtBack === 0n
        ? null
        : await addingSql(session, wanted.schema, table, { schema: restored, from });
    result.push({ table, broughtBack, present: await sumOf(session, to), byKey, addSql });
  }
  return result;
}

async function compareByKey(
  session: Session,
  from: string,
  to: string,
  key: readonly string[],
): Promise<Difference["byKey"]> {
  const [first] = key;
  if (first === undefined) return null;
  const [restoredKey, presentKey] = [`${RESTORED}.${identifier(first)}`, `${PRESENT}.${identifier(first)}`];
  const isSame = key.map((name) => `${RESTORED}.${identifier(name)} = ${PRESENT}.${identifier(name)}`).join(" and ");
  const { rows } = await session.query(
    `select count(*) filter (where ${presentKey} is null)::text as restored, count(*) filter (where ${restoredKey} is null)::text as present, ` +
      `count(*) filter (where ${presentKey} is not null and ${restoredKey} is not null and ${PRESENT}::text is distinct from ${RESTORED}::text)::text as changed ` +
      `from ${from} ${RESTORED} full join ${to} ${PRESENT} on ${isSame}`,
  );
  const row = rows[0] as { restored: string; present: string; changed: string };
  return { onlyBroughtBack: BigInt(row.restored), onlyPresent: BigInt(row.present), changed: BigInt(row.changed) };
}

/** Uses the columns that both tables have; generated columns cannot be inserted. */
async function addingSql(
  session: Session,
  schema: string,
  table: string,
  restored: { readonly schema: string; readonly from: string },
): Promise<string> {
  const columns =
    "select a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace " +
    "where a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and c.relname = $1 and n.nspname =";
  const { rows } = await session.query(
    `select attname as name from (${columns} $2 intersect ${columns} $3) both_have order by 1`,
    [table, schema, restored.schema],
  );
  const names = (rows as { name: string }[]).map(({ name }) => identifier(name)).join(", ");
  const to = `${qualified(schema, table)} (${names})`;
  return `INSERT INTO ${to} OVERRIDING SYSTEM VALUE SELECT ${names} FROM ${restored.from} ON CONFLICT DO NOTHING;`;
}

/** Without the columns that its index includes. */
export async function keyOf(session: Session, schema: string, table: string): Promise<string[]> {
  const { rows } = await session.query(
    "select a.attname as name from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace " +
      "join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey[0:i.indnkeyatts - 1]) where i.indisprimary and n.nspname = $1 and c.relname = $2 order by a.attname",
    [schema, table],
  );
  return (rows as { name: string }[]).map(({ name }) => name);
}
