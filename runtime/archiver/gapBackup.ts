/** How a backup is taken that closes a gap, from the server as it is now. */
import type { ClusterAccess } from "../process/commandProcess";

/** The last segment of a standby's backup arrives after the primary's `archive_timeout`. */
export const STANDBY_MARGIN_S = 60;

const SERVER = `select pg_catalog.pg_is_in_recovery() as "isStandby",
 (select setting::int from pg_catalog.pg_settings where name = 'archive_timeout') as "timeoutS"`;

/**
 * Options of `backup` for a standby, which a primary with a gap is after a failover: its backup begins on the new
 * timeline, after all that was dropped before. None for a primary.
 * @throws dbConnect
 */
export async function standbyOptions(
  newSession: ClusterAccess["newSession"],
  archiveTimeoutMs: number,
): Promise<string[]> {
  const session = await newSession();
  try {
    const { rows } = await session.query(SERVER);
    const [row] = rows as readonly { readonly isStandby: boolean; readonly timeoutS: number }[];
    if (row?.isStandby !== true) return [];
    const timeoutS = Math.max(Math.ceil(archiveTimeoutMs / 1000), row.timeoutS + STANDBY_MARGIN_S);
    return ["--backup-standby=y", `--archive-timeout=${timeoutS}`];
  } finally {
    await session.close();
  }
}
