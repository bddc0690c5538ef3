/** Waits for a host's PostgreSQL server to finish recovery. */
import { waitFor } from "../../../tools/parts/process";

const RECOVERY_MS = 240_000;

/**
 * Debian reports a server as started before it accepts connections. @param sql runs a query, and throws while the
 * server refuses connections
 */
export function waitForRecovery(sql: (query: string) => Promise<string>): Promise<true> {
  return waitFor("the end of the recovery", RECOVERY_MS, async () =>
    (await sql("SELECT pg_is_in_recovery()").catch(() => "t")).trim() === "f" ? true : null,
  );
}
