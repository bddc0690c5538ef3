/**
 * The physical replication slot by which a server keeps WAL until repositories have it (PostgreSQL "Replication Slots",
 * "pg_replication_slots"). Its position is the truth: everything before it is acknowledged.
 */
import { createHash } from "node:crypto";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { lsnOfSegment, parseLsn } from "../../format/wal/walSegment";
import type { Session } from "../../postgres/session";

type SqlSession = Pick<Session, "query">;

export interface Slot {
  /** Null once the server has dropped WAL that the slot held. */
  readonly restartLsn: bigint | null;
  /** The walsender that reads it; null while nobody does. */
  readonly activePid: number | null;
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string;
  /** WAL that the server keeps for it. */
  readonly retainedBytes: number;
  /** WAL that the server may write until it drops what the slot needs; null without `max_slot_wal_keep_size`. */
  readonly safeBytes: number | null;
}

/** PostgreSQL's NAMEDATALEN, without the end of the text. */
const NAME_LENGTH_MAX = 63;
const DIGEST_LENGTH = 8;
/** A process of the server takes a moment to end. */
const TAKE_MS = 10_000;
const TAKE_PAUSE_MS = 200;
/** PostgreSQL "Error Codes": object_in_use. */
const IN_USE = "55006";
/** Application name of the connection that reads the slot. */
export const SLOT_READER_NAME = "pgBackRest [archive]";

/**
 * `pgbackstop_<stanza>`. Slot names have lower-case letters, digits and underscores only, so other stanzas get a digest
 * at the end: two of them never share a slot.
 */
export function slotName(stanza: string): string {
  const plain = `pgbackstop_${stanza}`;
  if (/^[a-z0-9_]+$/.test(plain) && plain.length <= NAME_LENGTH_MAX) return plain;
  const digest = createHash("sha1").update(stanza).digest("hex").slice(0, DIGEST_LENGTH);
  const legal = plain.toLowerCase().replaceAll(/[^a-z0-9_]/g, "_");
  return `${legal.slice(0, NAME_LENGTH_MAX - DIGEST_LENGTH - 1)}_${digest}`;
}

/** Null when the server has no slot of this name. @throws dbQuery (57) */
export async function findSlot(session: SqlSession, name: string): Promise<Slot | null> {
  const { rows } = await session.query(
    "select restart_lsn::text as lsn, active_pid as pid, coalesce(wal_status, 'lost') as status, safe_wal_size::text as safe, " +
      "coalesce(pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_receive_lsn() " +
      "else pg_catalog.pg_current_wal_lsn() end, restart_lsn), 0)::text as retained " +
      "from pg_catalog.pg_replication_slots where slot_name = $1 and slot_type = 'physical'",
    [name],
  );
  const [row] = rows as readonly SlotRow[];
  if (row === undefined) return null;
  return {
    restartLsn: row.lsn === null || row.status === "lost" ? null : parseLsn(row.lsn),
    activePid: row.pid,
    walStatus: row.status,
    retainedBytes: Math.max(Number(row.retained), 0),
    safeBytes: row.safe === null ? null : Number(row.safe),
  };
}

/** A slot that holds WAL from the last checkpoint on. @throws dbQuery (57) with the remedy */
export async function createSlot(session: SqlSession, name: string): Promise<Slot> {
  try {
    await session.query("select pg_catalog.pg_create_physical_replication_slot($1, true)", [name]);
  } catch (error) {
    throw fail(
      "dbQuery",
      `unable to create the replication slot ${name}: ${error instanceof Error ? error.message : String(error)}`,
      {
        hint: hintOf(error),
        cause: error,
        retryable: true,
      },
    );
  }
  const slot = await findSlot(session, name);
  if (slot === null) throw fail("dbQuery", `the replication slot ${name} is gone again`, { retryable: true });
  return slot;
}

/** Ends its reader first, which must not come back. False when the server has no such slot. @throws dbQuery (57) */
export async function takeSlot(session: SqlSession, name: string, clock: Context["clock"]): Promise<boolean> {
  const endMs = clock.monotonicMs() + TAKE_MS;
  for (;;) {
    await session.query(
      "select pg_catalog.pg_terminate_backend(active_pid) from pg_catalog.pg_replication_slots where slot_name = $1 and active_pid is not null",
      [name],
    );
    try {
      return await dropSlot(session, name);
    } catch (error) {
      if (sqlStateOf(error) !== IN_USE || clock.monotonicMs() >= endMs) throw error;
      await clock.sleep(TAKE_PAUSE_MS, new AbortController().signal);
    }
  }
}

/**
 * False when the server has no such slot, or is not as `where` says.
 * @throws dbQuery (57), also while a process reads it
 */
export async function dropSlot(
  session: SqlSession,
  name: string,
  where: "anywhere" | "in recovery" = "anywhere",
): Promise<boolean> {
  const { rows } = await session.query(
    "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = $1 and slot_type = 'physical'" +
      (where === "in recovery" ? " and pg_catalog.pg_is_in_recovery()" : ""),
    [name],
  );
  return rows.length > 0;
}

/** PostgreSQL "Error Codes": insufficient_privilege. */
const NOT_ALLOWED = "42501";

/**
 * Those of `names` that the server has in its `pg_wal`. If the role lacks `pg_monitor` and may not look there, the slot
 * decides: it keeps everything from its position on. @throws dbQuery (57)
 */
export async function findInServer(
  session: SqlSession,
  names: readonly string[],
  slot: { readonly name: string; readonly segmentSizeBytes: number },
): Promise<readonly string[]> {
  try {
    const { rows } = await session.query("select name from pg_catalog.pg_ls_waldir() where name = any($1)", [names]);
    return (rows as readonly { readonly name: string }[]).map(({ name }) => name);
  } catch (error) {
    if (sqlStateOf(error) !== NOT_ALLOWED) throw error;
    const { restartLsn = null } = (await findSlot(session, slot.name)) ?? {};
    if (restartLsn === null) return [];
    const endOf = (name: string): bigint => lsnOfSegment(name, slot.segmentSizeBytes) + BigInt(slot.segmentSizeBytes);
    return names.filter((name) => endOf(name) > restartLsn);
  }
}

interface SlotRow {
  readonly lsn: string | null;
  readonly pid: number | null;
  readonly status: string;
  readonly safe: string | null;
  readonly retained: string;
}

/** Follows the code of the server's refusal (PostgreSQL "Error Codes"). */
function hintOf(error: unknown): string {
  switch (sqlStateOf(error)) {
    case "42501":
      return "The role of pg1-user needs REPLICATION, or must be a superuser.";
    case "53400":
      return "All replication slots are in use. Raise max_replication_slots in postgresql.conf and restart PostgreSQL.";
    case "55000":
      return "Set wal_level = replica and max_replication_slots of 1 or more in postgresql.conf, and restart PostgreSQL.";
    default:
      return "See the server's log.";
  }
}

/** The code of a server's refusal; null for other errors. */
export function sqlStateOf(error: unknown): string | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code: unknown = "code" in at ? at.code : null;
    if (typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return null;
}
