/** Waiting for a server of a host that recovers. */
import { waitFor } from "../../../tools/parts/process";

const RECOVERY_MS = 240_000;

/** Debian calls a server started that takes no connections yet. @param sql asks it, and throws while it takes none */
export function waitForRecovery(sql: (query: string) => Promise<string>): Promise<true> {
  return waitFor("the end of the recovery", RECOVERY_MS, async () =>
    (await sql("SELECT pg_is_in_recovery()").catch(() => "t")).trim() === "f" ? true : null,
  );
}
