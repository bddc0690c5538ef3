/**
 * Wakes PostgreSQL's checkpointer once after each start of the server, so that `archive_timeout` holds from then on.
 *
 * The checkpointer starts alongside the startup process. While that one still runs, the server counts as in recovery,
 * and the checkpointer sets its alarm for `checkpoint_timeout` alone (PostgreSQL 18, postmaster/checkpointer.c,
 * CheckpointerMain). A recovery and a promotion end with a checkpoint, which wakes it; a start after a clean shutdown
 * does not. A commit then waits in pg_wal for five minutes by default, whatever `archive_timeout` says. A reload wakes
 * every process, and right after a start it changes nothing, because the server has just read the same files.
 */
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";
import { parsePostmasterPid } from "../postgres/postmasterPid";

export interface CheckpointerParts {
  /** As of now: a container that is made again may have another one. */
  dataDirectory(): string;
  /** Null when it does not exist. */
  readFile(path: string): Promise<Uint8Array | null>;
  newSession(): Promise<ServerSession>;
}

interface ServerSession {
  query(sql: string): Promise<{ readonly rows: readonly unknown[] }>;
  close(): Promise<void>;
}

const LOOK_MS = 2000;
/** Later a reload could activate settings that somebody is still editing. */
const FRESH_S = 60;
/**
 * Maximum attempts during one start of the server: without a right or a connection the checkpointer wakes by itself.
 */
const TRIES_MAX = 5;

const RELOAD_IF_FRESH = `select pg_catalog.pg_reload_conf() from pg_catalog.pg_settings
 where name = 'archive_timeout' and setting::int > 0 and not pg_catalog.pg_is_in_recovery()
   and pg_catalog.clock_timestamp() - pg_catalog.pg_postmaster_start_time() < interval '${FRESH_S} s'`;

/** Runs until `signal` aborts; never throws. */
export async function wakeCheckpointers(parts: CheckpointerParts, ctx: Context, signal: AbortSignal): Promise<void> {
  let seen: string | null = null;
  let triesLeft = TRIES_MAX;
  while (!signal.aborted) {
    const start = await findStart(parts);
    if (start !== null && start.id !== seen) {
      const isOld = ctx.clock.nowMs() / 1000 - start.atS > FRESH_S;
      if (isOld || (await wake(parts, ctx)) || --triesLeft <= 0) {
        seen = start.id;
        triesLeft = TRIES_MAX;
      }
    }
    await ctx.clock.sleep(LOOK_MS, signal).catch(() => {});
  }
}

/** Null while no server runs as a primary. */
async function findStart({
  dataDirectory,
  readFile,
}: CheckpointerParts): Promise<{ readonly id: string; readonly atS: number } | null> {
  const read = async (): Promise<Uint8Array | null> => readFile(`${dataDirectory()}/postmaster.pid`);
  const bytes = await read().catch(() => null);
  const { pid, startedAtS, status } = parsePostmasterPid(Buffer.from(bytes ?? []).toString("utf8"));
  return status === "ready" ? { id: `${pid} ${startedAtS}`, atS: startedAtS } : null;
}

/** False when it may be tried again. */
async function wake({ newSession }: CheckpointerParts, { log }: Context): Promise<boolean> {
  try {
    const session = await newSession();
    try {
      const { rows } = await session.query(RELOAD_IF_FRESH);
      if (rows.length > 0) log.detail("the server has started: reloaded it, so that archive_timeout holds at once");
      return true;
    } finally {
      await session.close();
    }
  } catch (error) {
    log.debug(`unable to wake the checkpointer: ${toBackupError(error).message}`);
    return false;
  }
}
