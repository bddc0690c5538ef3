/**
 * The content of a database as checksums that do not depend on row order: of each table, of sequences, of large
 * objects. The server computes them, so only one line per table crosses the network.
 *
 * A row counts by the 128 bits of MD5 over its text, as two sums of its halves. Settings that affect texts are equal on
 * both sides.
 */
import type { Session } from "../../../runtime/postgres/session";
import { ROW_TABLES, SEQUENCES } from "./inventory";
import { literal } from "./statements";

export interface TableSum {
  readonly name: string;
  /** A materialized view: its rows are recomputed, from tables that may have changed since. */
  readonly isView: boolean;
  readonly rows: string;
  readonly sum: string;
}

export interface Contents {
  readonly tables: readonly TableSum[];
  /** `12 called`, `1 not called`, by name. */
  readonly sequences: ReadonlyMap<string, string>;
  readonly largeObjects: LargeObjects;
}

export interface LargeObjects {
  readonly count: string;
  readonly bytes: string;
  /** Sum of contents. */
  readonly sum: string;
  /** Sum of owners and grants. */
  readonly owners: string;
}

/** Both sides write a value in the same form, whatever the database or the role has set. */
const SETTINGS = {
  DateStyle: "ISO, YMD",
  IntervalStyle: "postgres",
  TimeZone: "UTC",
  bytea_output: "hex",
  extra_float_digits: "3",
  idle_in_transaction_session_timeout: "0",
  lc_monetary: "C",
  lock_timeout: "0",
  row_security: "off",
  search_path: "pg_catalog",
  statement_timeout: "0",
  xmlbinary: "base64",
} as const;

const SEQUENCES_AT_ONCE = 100;

/** All queries use one snapshot of the database; nothing can be written. */
export async function beginLooking(session: Session): Promise<void> {
  for (const [name, value] of Object.entries(SETTINGS)) await session.query(`SET ${name} TO ${literal(value)}`);
  await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
}

export async function loadDatabaseContents(session: Session, stop: () => void): Promise<Contents> {
  const { rows: tableRows } = await session.query(ROW_TABLES);
  const tables: TableSum[] = [];
  for (const { isView, name } of tableRows as { name: string; isView: boolean }[]) {
    stop();
    const { rows } = await session.query(sumSql(name));
    const [row] = rows as { rows: string; sum: string }[];
    tables.push({ name, isView, rows: row?.rows ?? "", sum: row?.sum ?? "" });
  }
  return { tables, sequences: await loadSequences(session), largeObjects: await loadLargeObjects(session) };
}

function sumSql(table: string): string {
  return `select count(*)::text as rows, ${sumOf("h")} as sum from (select md5(("pgbackstop row")::text) as h from only ${table} "pgbackstop row") hashed`;
}

function sumOf(hash: string): string {
  const half = (from: number): string =>
    `coalesce(sum(('x' || substr(${hash}, ${from}, 16))::bit(64)::bigint), 0)::text`;
  return `${half(1)} || ' ' || ${half(17)}`;
}

async function loadSequences(session: Session): Promise<ReadonlyMap<string, string>> {
  const { rows: sequenceRows } = await session.query(SEQUENCES);
  const names = (sequenceRows as { name: string }[]).map(({ name }) => name);
  const values = new Map<string, string>();
  for (let first = 0; first < names.length; first += SEQUENCES_AT_ONCE) {
    const parts = names
      .slice(first, first + SEQUENCES_AT_ONCE)
      .map(
        (name) =>
          `select ${literal(name)} as name, last_value::text || case when is_called then ' called' else ' not called' end as value from ${name}`,
      );
    const { rows } = await session.query(parts.join(" union all "));
    for (const { name, value } of rows as { name: string; value: string }[]) values.set(name, value);
  }
  return values;
}

/** Pages without trailing zeroes: an unwritten part may be missing on one side and filled with zeroes on the other. */
async function loadLargeObjects(session: Session): Promise<LargeObjects> {
  const { rows } = await session.query(
    `select (select count(*)::text from pg_largeobject_metadata) as count,
       (select coalesce(sum(size), 0)::text from (select max(pageno::bigint * 2048 + length(data)) as size from pg_largeobject group by loid) sizes) as bytes,
       (select ${sumOf("h")} from (select md5(loid::text || ':' || pageno::text || ':' || md5(rtrim(data, '\\x00'::bytea))) as h
          from pg_largeobject where rtrim(data, '\\x00'::bytea) <> ''::bytea) pages) as sum,
       (select ${sumOf("h")} from (select md5(oid::text || ' ' || pg_get_userbyid(lomowner) || ' ' || coalesce((select string_agg(
          pg_get_userbyid(a.grantor) || case a.grantee when 0 then '' else pg_get_userbyid(a.grantee) end || a.privilege_type || a.is_grantable::text, ','
          order by pg_get_userbyid(a.grantor) collate "C", a.privilege_type collate "C", case a.grantee when 0 then '' else pg_get_userbyid(a.grantee) end collate "C")
          from aclexplode(coalesce(lomacl, acldefault('L', lomowner))) a), '')) as h from pg_largeobject_metadata) metadata) as owners`,
  );
  return rows[0] as LargeObjects;
}

/**
 * Oids of large objects with different content or owner; only the first few. Walks both sides in order, a batch at a
 * time.
 */
export async function differingLargeObjects(source: Session, target: Session, countMax: number): Promise<string[]> {
  const [left, right] = [walk(source), walk(target)];
  const differing: string[] = [];
  let [a, b] = [await left.next(), await right.next()];
  while (differing.length < countMax && !(a.done && b.done)) {
    const [x, y] = [a.done ? null : a.value, b.done ? null : b.value];
    if (x !== null && y !== null && x.oid === y.oid) {
      if (x.hash !== y.hash) differing.push(String(x.oid));
      [a, b] = [await left.next(), await right.next()];
    } else if (y === null || (x !== null && x.oid < y.oid)) {
      differing.push(`${x?.oid ?? ""} (missing in the target)`);
      a = await left.next();
    } else {
      differing.push(`${y.oid} (only in the target)`);
      b = await right.next();
    }
  }
  return differing;
}

const OBJECTS_AT_ONCE = 1000;

async function* walk(session: Session): AsyncGenerator<{ readonly oid: number; readonly hash: string }, void> {
  for (let after = -1; ; ) {
    const { rows } = await session.query(
      `select m.oid::int8::text as oid, md5(pg_get_userbyid(m.lomowner) || coalesce((select string_agg(p.pageno::text || ':' || md5(rtrim(p.data, '\\x00'::bytea)), ',' order by p.pageno)
         from pg_largeobject p where p.loid = m.oid and rtrim(p.data, '\\x00'::bytea) <> ''::bytea), '')) as hash
       from pg_largeobject_metadata m where m.oid::int8 > $1::int8 order by m.oid limit ${OBJECTS_AT_ONCE}`,
      [after],
    );
    const page = (rows as { oid: string; hash: string }[]).map(({ hash, oid }) => ({ oid: Number(oid), hash }));
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < OBJECTS_AT_ONCE) return;
    after = last.oid;
  }
}
