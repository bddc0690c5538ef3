/** Measures how much would have been lost in a disaster at the start of the drill, and by which method. */
import { parseLsn } from "../../format/wal/walSegment";
import type { Session } from "../../postgres/session";
import type { ProductionFacts } from "./production";
import type { DrillRpo } from "./record";

/** A statement that gives the time of the newest beat: one row of one value. */
export interface Heartbeat {
  readonly database?: string | undefined;
  readonly sql: string;
}

export interface Replayed {
  /** Seconds since 1970 of the last commit; null when none was replayed. */
  readonly commitAtS: number | null;
  readonly lsn: bigint | null;
}

export interface RpoRequest {
  readonly faultAtS: number;
  readonly backupStoppedAtS: number;
  readonly production: ProductionFacts | null;
  readonly heartbeat: Heartbeat | undefined;
  /** The server's own report of its recovery; after a restart only the caller knows it. */
  readonly replayed: Replayed;
  /** Connects to the restored cluster; the caller closes the session. */
  connect(database?: string): Promise<Session>;
}

/** The replayed position of a server that has not restarted since its recovery. */
export async function askReplayed(session: Session): Promise<Replayed> {
  const { rows } = await session.query(
    "select extract(epoch from pg_last_xact_replay_timestamp())::float8 as commit, pg_last_wal_replay_lsn()::text as lsn",
  );
  const { commit, lsn } = rows[0] as { commit: number | null; lsn: string | null };
  return { commitAtS: commit, lsn: lsn === null ? null : parseLsn(lsn) };
}

/**
 * A heartbeat is exact to its interval. Without one the last restored commit stands for it. That overstates the loss of
 * an idle database, unless production reports that it has committed nothing since.
 */
export async function measureRpo(request: RpoRequest): Promise<DrillRpo> {
  const { faultAtS, production, replayed } = request;
  const { commitAtS: commit, lsn } = replayed;
  const lostWalBytes = production === null || lsn === null ? null : Number(bigMax(0n, production.lsn - lsn));
  const since = (atS: number): number => Math.max(0, Math.round((faultAtS - atS) * 1000) / 1000);
  const beatAtS = await findBeat(request);
  if (beatAtS !== null) return { seconds: since(beatAtS), method: "heartbeat", lostWalBytes };
  const last = production?.lastCommitAtS ?? null;
  if (commit === null)
    return {
      seconds: last !== null && last <= request.backupStoppedAtS ? 0 : since(request.backupStoppedAtS),
      method: "backup",
      lostWalBytes,
    };
  return {
    seconds: last !== null && last <= commit + CLOCK_GRAIN_S ? 0 : since(commit),
    method: "commit",
    lostWalBytes,
  };
}

/** Commit times have microseconds, more than a double of seconds since 1970 holds. */
const CLOCK_GRAIN_S = 0.00001;

async function findBeat({ connect, heartbeat }: RpoRequest): Promise<number | null> {
  if (heartbeat === undefined) return null;
  const own = await connect(heartbeat.database);
  try {
    await own.query("reset search_path");
    const { rows } = await own.query(
      `select extract(epoch from beat::timestamptz)::float8 as at from (${heartbeat.sql}) as heart (beat)`,
    );
    return (rows[0] as { at: number | null } | undefined)?.at ?? null;
  } finally {
    await own.close();
  }
}

function bigMax(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
