/**
 * Queries of a drill over the network, without PostgreSQL's programs: end of recovery, amcheck, every row read once,
 * page checksums.
 */
import { identifier } from "../../operations/extract/tableObjects";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { formatLsn, historyName } from "../../format/wal/walSegment";
import { endOfHistory, type Outcome } from "../../operations/drill/checks";
import type { Replayed } from "../../operations/drill/measure";
import { DATABASES } from "../../operations/drill/production";
import type { Session } from "../../postgres/session";

/** Own schema for extensions that a drill needs. */
const SCHEMA = "pgbackstop_drill";
/** Limit of the search for a commit: an idle hour of segments that `archive_timeout` has ended. */
const SEGMENTS_BACK_MAX = 64;
const DETAILS_MAX = 5;
/** A history has a line for each timeline. */
const HISTORY_BYTES_MAX = 1024 * 1024;

export interface DrilledServer {
  /** The default is the configuration's database; the caller closes the session. */
  connect(database?: string): Promise<Session>;
}

export interface RecoveryEnd extends Replayed {
  /** The timeline that the recovery followed; null if nothing shows it. */
  readonly followed: number | null;
}

/**
 * End of recovery and its last commit. The instance has restarted since, so its log is lost. The timeline history has
 * the end, and the replayed WAL has the commit (`pg_walinspect`, from PostgreSQL 15).
 */
export async function findReplayed(session: Session, major: number, ctx: Context): Promise<RecoveryEnd> {
  const { timeline } = await session.controlCheckpoint();
  const name = historyName(timeline);
  // The form with a size: PostgreSQL has one without since 16.
  const { rows } = await session.query(`select pg_read_file($1, 0, ${HISTORY_BYTES_MAX}, true) as history`, [
    `pg_wal/${name}`,
  ]);
  const end = endOfHistory((rows[0] as { history: string | null } | undefined)?.history ?? "");
  const lsn = end?.lsn ?? null;
  const ended = { lsn, followed: end?.timeline ?? null };
  if (lsn === null || major < 15) return { ...ended, commitAtS: null };
  const size = await segmentSizeOfServer(session);
  try {
    const schema = await installExtension(session, "pg_walinspect");
    return { ...ended, commitAtS: schema === null ? null : await findLastCommit(session, schema, lsn, size) };
  } catch (error) {
    ctx.signal.throwIfAborted();
    ctx.log.info(`drill: unable to find the last commit in the WAL: ${toBackupError(error).message}`);
    return { ...ended, commitAtS: null };
  }
}

export async function segmentSizeOfServer(session: Session): Promise<number> {
  const { rows } = await session.query(
    "select setting::int8::text as size from pg_settings where name = 'wal_segment_size'",
  );
  return Number((rows[0] as { size: string }).size);
}

async function findLastCommit(
  session: Session,
  schema: string,
  end: bigint,
  sizeBytes: number,
): Promise<number | null> {
  await session.query("set timezone = 'UTC'");
  let to = end;
  for (let turn = 0; turn < SEGMENTS_BACK_MAX && to > 0n; turn++) {
    const from = ((to - 1n) / BigInt(sizeBytes)) * BigInt(sizeBytes);
    const records = await session
      .query(
        `select description from ${schema}.pg_get_wal_records_info($1::pg_lsn, $2::pg_lsn) ` +
          "where resource_manager = 'Transaction' and record_type like 'COMMIT%' order by start_lsn desc limit 1",
        [formatLsn(from === 0n ? 1n : from), formatLsn(to)],
      )
      // A removed segment, or one in which no record begins.
      .catch(() => null);
    const [record] = (records?.rows ?? []) as { description: string }[];
    const at = record === undefined ? null : timeOfCommit(record.description);
    if (at !== null) return at;
    to = from;
  }
  return null;
}

/** As `pg_walinspect` prints it in UTC: `2026-11-21 09:04:13.123456+00; inval msgs: …`. */
export function timeOfCommit(description: string): number | null {
  const [, day = "", time = ""] = /(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}(?:\.\d+)?)\+00\b/.exec(description) ?? [];
  const atMs = Date.parse(`${day}T${time.slice(0, 8)}Z`);
  return Number.isFinite(atMs) ? atMs / 1000 + Number(`0${time.slice(8)}`) : null;
}

/** Schema of the extension; null if its files are not installed. */
async function installExtension(session: Session, name: string): Promise<string | null> {
  const { rows } = await session.query("select 1 from pg_available_extensions where name = $1", [name]);
  if (rows.length === 0) return null;
  const there = await session.query(
    "select n.nspname as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = $1",
    [name],
  );
  const installed = (there.rows[0] as { schema: string } | undefined)?.schema;
  if (installed !== undefined) return identifier(installed);
  await session.query(`create schema if not exists ${SCHEMA}`);
  await session.query(`create extension ${name} schema ${SCHEMA}`);
  return SCHEMA;
}

interface Relation {
  readonly oid: number;
  readonly name: string;
}

const KIND_NAMES = { index: "every index is complete", table: "every table is intact" };

/** Every B-tree against its table, and every table alone, as `pg_amcheck --heapallindexed --parent-check` does. */
export async function checkRelations(server: DrilledServer, ctx: Context): Promise<Outcome> {
  const problems: string[] = [];
  let isInstalled = true;
  await inEachDatabase(server, ctx, async (session, database) => {
    const schema = await installExtension(session, "amcheck");
    if (schema === null) return void (isInstalled = false);
    const { rows } = await session.query("select current_setting('server_version_num')::int as version");
    const note = (name: string, text: string): void => void problems.push(`${database}: ${name}: ${text}`);
    for (const { name, oid } of await list(session, INDEXES)) {
      ctx.signal.throwIfAborted();
      await session
        .query(`select ${schema}.bt_index_parent_check($1::regclass, true)`, [oid])
        .catch((error: unknown) => note(name, serverMessage(error)));
    }
    if ((rows[0] as { version: number }).version < 140_000) return;
    for (const { name, oid } of await list(session, TABLES)) {
      ctx.signal.throwIfAborted();
      const wrong = await session.query(
        `select blkno::text || ': ' || msg as text from ${schema}.verify_heapam($1::regclass) limit 3`,
        [oid],
      );
      for (const { text } of wrong.rows as { text: string }[]) note(name, `block ${text}`);
    }
  });
  ctx.signal.throwIfAborted();
  if (!isInstalled) return { verdict: "skipped", text: "the extension amcheck is not installed" };
  if (problems.length === 0) return { verdict: "ok", text: `${KIND_NAMES.index}, and ${KIND_NAMES.table}` };
  throw fail("checksum", ["amcheck found corruption", ...firstOf(problems)].join("\n"), {
    hint: "Run pg_amcheck on production too, because a backup copies damage. REINDEX rebuilds a damaged index.",
  });
}

const INDEXES =
  "select c.oid::int8::text as oid, c.oid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam " +
  "where a.amname = 'btree' and c.relkind = 'i' and c.relpersistence <> 't' and i.indisvalid and i.indisready order by c.oid";
/** verify_heapam knows no other access method. */
const TABLES =
  "select oid::int8::text as oid, oid::regclass::text as name from pg_class where relkind in ('r', 'm', 't') and relpersistence = 'p' " +
  "and relam = (select oid from pg_am where amname = 'heap') order by oid";
const DUMPED =
  "select c.oid::int8::text as oid, c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace " +
  "where c.relkind in ('r', 'm') and c.relpersistence <> 't' and (c.relkind = 'r' or c.relispopulated) and n.nspname !~ '^pg_toast' " +
  "and (n.nspname not in ('pg_catalog', 'information_schema') or c.relname = 'pg_largeobject') order by c.oid";

async function list(session: Session, sql: string): Promise<Relation[]> {
  const { rows } = await session.query(sql);
  return (rows as { oid: string; name: string }[]).map(({ name, oid }) => ({ oid: Number(oid), name }));
}

/** Reads every row and every large value of every table, and discards them. */
export async function dumpAll(server: DrilledServer, ctx: Context): Promise<Outcome> {
  let rowCount = 0;
  let tableCount = 0;
  const databases = await inEachDatabase(server, ctx, async (session, database) => {
    for (const { name } of await list(session, DUMPED)) {
      ctx.signal.throwIfAborted();
      try {
        const { rowCount: read } = await session.query(
          `copy (select * from only ${name}) to stdout with (format binary)`,
        );
        rowCount += read ?? 0;
      } catch (error) {
        ctx.signal.throwIfAborted();
        throw fail("dbQuery", `table ${name} of database ${database} cannot be read: ${serverMessage(error)}`);
      }
      tableCount += 1;
    }
  });
  return { verdict: "ok", text: `${rowCount} rows of ${tableCount} tables in ${databases} databases read completely` };
}

/** Reading a page verifies its checksum; the server counts failures. */
export async function checkSums(server: DrilledServer): Promise<Outcome> {
  const session = await server.connect();
  try {
    const { rows } = await session.query(
      "select current_setting('data_checksums') as sums, coalesce(sum(checksum_failures), 0)::int8::text as wrong from pg_stat_database",
    );
    const { sums, wrong } = rows[0] as { sums: string; wrong: string };
    if (sums !== "on") return { verdict: "skipped", text: "the cluster has no page checksums" };
    if (wrong !== "0") throw fail("checksum", `${wrong} pages that were read have a wrong checksum`);
    return { verdict: "ok", text: "every page that was read has a valid checksum" };
  } finally {
    await session.close();
  }
}

/** The number of databases. */
async function inEachDatabase(
  server: DrilledServer,
  ctx: Context,
  work: (session: Session, database: string) => Promise<void>,
): Promise<number> {
  const first = await server.connect();
  let names: { datname: string }[];
  try {
    names = (await first.query(DATABASES)).rows;
  } finally {
    await first.close();
  }
  for (const { datname } of names) {
    ctx.signal.throwIfAborted();
    const session = await server.connect(datname);
    try {
      await work(session, datname);
    } finally {
      await session.close();
    }
  }
  return names.length;
}

/** Without our statement around it. */
function serverMessage(error: unknown): string {
  const { message } = toBackupError(error);
  return message.replace(/^unable to execute query '.*': /s, "");
}

function firstOf(lines: readonly string[]): string[] {
  return [
    ...lines.slice(0, DETAILS_MAX),
    ...(lines.length > DETAILS_MAX ? [`and ${lines.length - DETAILS_MAX} more`] : []),
  ];
}
