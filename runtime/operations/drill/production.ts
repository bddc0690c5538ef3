/**
 * Production's facts when a drill begins, to compare with the restored cluster, and the same counts of the restored
 * cluster.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { parseLsn } from "../../format/wal/walSegment";
import type { Session } from "../../postgres/session";

/** Counts by database. */
export type ClusterCounts = ReadonlyMap<string, { readonly tables: number; readonly indexes: number }>;

export interface ProductionFacts {
  readonly systemId: bigint;
  readonly lsn: bigint;
  /** Seconds since 1970 of its last commit; null without commits, or when commit times are not tracked. */
  readonly lastCommitAtS: number | null;
  /** Value of `shared_preload_libraries`; undefined for a role without the right to read it. */
  readonly preload: string | undefined;
  readonly counts: ClusterCounts;
}

/** Null, with a log line, without a server to ask: a drill on another machine has none. */
export async function askProduction(
  open: (database?: string) => Promise<Session>,
  ctx: Context,
): Promise<ProductionFacts | null> {
  let session: Session | undefined;
  try {
    session = await open();
    const { rows } = await session.query(
      "select system_identifier::text as id, (select setting from pg_settings where name = 'shared_preload_libraries') as preload, current_setting('track_commit_timestamp') as tracks, " +
        "(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end)::text as lsn from pg_control_system()",
    );
    const { id, lsn, preload, tracks } = rows[0] as { id: string; lsn: string; preload: string | null; tracks: string };
    const last =
      tracks === "on"
        ? await session.query("select extract(epoch from timestamp)::float8 as at from pg_last_committed_xact()")
        : null;
    const lastCommitAtS = (last?.rows[0] as { at: number | null } | undefined)?.at ?? null;
    const counts = await countCluster(session, open);
    return { systemId: BigInt(id), lsn: parseLsn(lsn), lastCommitAtS, preload: preload ?? undefined, counts };
  } catch (error) {
    if (ctx.signal.aborted) throw error;
    ctx.log.info(
      `drill: production cannot be queried, so nothing is compared with it: ${toBackupError(error).message}`,
    );
    return null;
  } finally {
    await session?.close();
  }
}

/** Those that take connections: one whose DROP DATABASE was interrupted has the limit -2. */
export const DATABASES =
  "select datname from pg_database where datallowconn and datconnlimit <> -2 and not datistemplate order by datname";

/** Tables and indexes of every database, without temporary ones and PostgreSQL's own. */
export async function countCluster(
  session: Session,
  open: (database: string) => Promise<Session>,
): Promise<ClusterCounts> {
  const { rows } = await session.query(DATABASES);
  const counts = new Map<string, { tables: number; indexes: number }>();
  for (const { datname } of rows as { datname: string }[]) {
    const own = await open(datname);
    try {
      const counted = await own.query(
        "select count(*) filter (where relkind in ('r', 'p', 'm'))::int as tables, count(*) filter (where relkind in ('i', 'I'))::int as indexes " +
          "from pg_class where relpersistence <> 't' and relnamespace not in (select oid from pg_namespace where nspname ~ '^pg_' or nspname = 'information_schema')",
      );
      counts.set(datname, counted.rows[0] as { tables: number; indexes: number });
    } finally {
      await own.close();
    }
  }
  return counts;
}
