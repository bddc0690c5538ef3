/** The steps of a recovery that need the server's own account: query it, finish its WAL, wait until it is open. */
import { limitsBy, type RecoveryLimits } from "../../format/page/pgControl";
import { lsnOfSegment, parseLsn, SEGMENT_LENGTH, SEGMENT_NAME, timelineOf } from "../../format/wal/walSegment";
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import type { Session } from "../../postgres/session";
import { higherLimits } from "../restore/recoveryGuards";
import type { SlotArchiving } from "../slot/readyDirectory";
import type { LiveServer } from "./recoverPlan";

const POLL_MS = 250;
const REPORT_MS = 5000;

/** Keys of repositories. */
export interface Readable {
  readonly readable: readonly number[];
  readonly unreadable: readonly number[];
}

/** Null when no server answers. @param slot null where PostgreSQL archives by itself */
export async function findLiveServer(
  open: () => Promise<Session>,
  slot: SlotArchiving | null = null,
): Promise<LiveServer | null> {
  try {
    const session = await open();
    const facts = await session.facts();
    const { dataDirectory, inRecovery } = facts;
    const archiveMode = slot === null ? facts.archiveMode : "stream";
    const lsn = inRecovery
      ? null
      : ((await session.query("select pg_catalog.pg_current_wal_insert_lsn()::text as lsn")).rows[0]?.lsn ?? null);
    return { dataDirectory, inRecovery, archiveMode, lsn };
  } catch (error) {
    if (isError(error, "dbConnect")) return null;
    throw error;
  }
}

/**
 * Writes one more transaction and waits until the archive has it. Recovery to a time ends at the first later commit, so
 * without one a time up to now is not reached.
 * @throws archiveTimeout (82)
 */
export async function finishWal(
  session: Pick<Session, "query" | "switchWal">,
  timeoutMs: number,
  ctx: Context,
  slot: SlotArchiving | null = null,
): Promise<void> {
  await session.query("select pg_catalog.txid_current()");
  const name = await session.switchWal("pgbackstop recover");
  const deadlineMs = ctx.clock.monotonicMs() + timeoutMs;
  for (;;) {
    const { archived, failed: lastFailed } = await lastArchived(session, slot);
    if (archived >= name && SEGMENT_NAME.test(archived)) return;
    if (ctx.clock.monotonicMs() >= deadlineMs) {
      const failed = lastFailed === null ? "" : `, ${lastFailed} failed`;
      throw fail(
        "archiveTimeout",
        `the server's last WAL (${name}) was not archived within ${timeoutMs}ms; the newest is ${archived}${failed}`,
        {
          hint: [
            "Nothing was stopped. Check the server's log and run pgbackstop check.",
            "Or use --no-finish-wal: recovery then takes the missing WAL from pg_wal.",
          ],
        },
      );
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

/** With a slot: the segment before its position, because everything before that is acknowledged. */
async function lastArchived(
  session: Pick<Session, "query">,
  slot: SlotArchiving | null,
): Promise<{ readonly archived: string; readonly failed: string | null }> {
  const { rows } =
    slot === null
      ? await session.query(
          "select last_archived_wal as archived, last_failed_wal as failed from pg_catalog.pg_stat_archiver",
        )
      : await session.query(
          "select pg_catalog.pg_walfile_name(restart_lsn - 1) as archived, null as failed " +
            "from pg_catalog.pg_replication_slots where slot_name = $1 and restart_lsn is not null",
          [slot.name],
        );
  const [row] = rows as readonly { readonly archived: string | null; readonly failed: string | null }[];
  return { archived: (row?.archived ?? "").slice(0, SEGMENT_LENGTH), failed: row?.failed ?? null };
}

export interface Opened {
  /** True when it waits at its target until a user resumes it. */
  readonly paused: boolean;
  readonly timeline: number;
}

/** Replay has paused until the server starts with these limits. */
export interface TooLow {
  readonly raise: Partial<RecoveryLimits>;
}

interface Waiting {
  open(): Promise<Session>;
  /** Limits in pg_control, where replay writes them before it compares them with the server's. */
  limits(): Promise<RecoveryLimits>;
  /** The newest segment that replay can reach; null if unknown. */
  readonly last: { readonly name: string; readonly segmentSizeBytes: number } | null;
}

/**
 * Waits until the server has ended its recovery, or pauses at its target, or for limits. There is no time limit: the
 * caller stops waiting when the server ends.
 */
export async function waitUntilOpen(waiting: Waiting, ctx: Context): Promise<Opened | TooLow> {
  let reportedAtMs = ctx.clock.monotonicMs();
  for (;;) {
    const state = await lookAt(waiting);
    if (typeof state === "object") return state;
    if (ctx.clock.monotonicMs() - reportedAtMs >= REPORT_MS) {
      reportedAtMs = ctx.clock.monotonicMs();
      ctx.log.info(state);
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

/** Replay's position and the time of its last commit; null before the first one. */
interface Replayed {
  readonly lsn: string | null;
  readonly time: string | null;
}

/** A text describes its progress. */
async function lookAt(waiting: Waiting): Promise<Opened | TooLow | string> {
  let session: Session | undefined;
  try {
    session = await waiting.open();
    const { rows } = await session.query(
      "select pg_catalog.pg_is_in_recovery() as recovers, pg_catalog.pg_last_wal_replay_lsn()::text as lsn, " +
        "pg_catalog.pg_last_xact_replay_timestamp()::text as time, (select timeline_id from pg_catalog.pg_control_checkpoint()) as timeline",
    );
    const row = rows[0];
    if (row?.recovers !== true) {
      const { rows: names } = await session.query(
        "select pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())::text as wal",
      );
      return { paused: false, timeline: timelineOf(String(names[0]?.wal)) };
    }
    const isPaused =
      (await session.query("select pg_catalog.pg_is_wal_replay_paused() as paused")).rows[0]?.paused === true;
    const settings = await settingsOf(session);
    const progress = progressText(row, waiting.last);
    if (!isPaused) {
      const delayMs = Number(settings.get("recovery_min_apply_delay") ?? 0);
      return delayMs > 0 ? `${progress}; each commit waits for recovery_min_apply_delay = ${delayMs} ms` : progress;
    }
    const raise = higherLimits(
      await waiting.limits(),
      limitsBy((name) => Number(settings.get(name))),
    );
    if (Object.keys(raise).length > 0) return { raise };
    if (TARGETS.some((name) => (settings.get(name) ?? "") !== ""))
      return { paused: true, timeline: Number(row.timeline) };
    return `${progress}; somebody paused replay: resume it with psql -c 'select pg_wal_replay_resume()'`;
  } catch (error) {
    if (isError(error, "dbConnect", "dbQuery"))
      return `the server does not answer yet: ${toBackupError(error).message.split("\n")[0] ?? ""}`;
    throw error;
  } finally {
    await session?.close();
  }
}

/** Settings that say why replay pauses. */
const TARGETS = [
  "recovery_target",
  "recovery_target_lsn",
  "recovery_target_name",
  "recovery_target_time",
  "recovery_target_xid",
];

async function settingsOf(session: Session): Promise<ReadonlyMap<string, string>> {
  const { rows } = await session.query(
    "select name, setting from pg_catalog.pg_settings where name like 'max\\_%' or name like 'recovery\\_%'",
  );
  return new Map(rows.map(({ name, setting }) => [String(name), String(setting)]));
}

function progressText({ lsn, time }: Replayed, last: Waiting["last"]): string {
  if (lsn === null) return "nothing is replayed yet";
  const upTo = `replayed up to ${lsn}${time === null ? "" : `, transactions of ${time}`}`;
  if (last === null) return upTo;
  const { name, segmentSizeBytes } = last;
  const leftBytes = lsnOfSegment(name, segmentSizeBytes) + BigInt(segmentSizeBytes) - parseLsn(lsn);
  const left = leftBytes <= 0n ? 0n : (leftBytes + BigInt(segmentSizeBytes) - 1n) / BigInt(segmentSizeBytes);
  return `${upTo}, at most ${left} WAL segments left`;
}
