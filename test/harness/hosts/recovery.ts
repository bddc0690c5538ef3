/** Recoveries of a host's PostgreSQL server, and what holds for them. */
import { expect } from "vitest";
import { waitFor } from "../../../tools/parts/process";
import type { DebianHost } from "./debianHost";

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

/** Runs `recover` without a question. Returns what it prints. */
export function recover(host: DebianHost, options = ""): Promise<string> {
  return host.runOk(["sh", "-c", `sudo pgbackstop recover --yes ${options}`], { timeoutMs: RECOVERY_MS });
}

/** Process number of the agent of stanza `main`. */
export function agentPid(host: DebianHost): Promise<string> {
  return host.runOk(["systemctl", "show", "-P", "MainPID", "pgbackstop-main-agent"]);
}

/** A new cluster with backups is recovered and then gets its old data back, both beside the agent that ran before. */
export async function expectRecovery(host: DebianHost): Promise<void> {
  const sql = (query: string): Promise<string> =>
    host.runOk(["runuser", "-u", "postgres", "--", "psql", "-AtXqc", query]);
  const before = await agentPid(host);
  await sql("CREATE TABLE recovered AS SELECT 'before' AS words");
  expect(await recover(host)).toContain(" is open, on timeline 2.");
  expect(await sql("SELECT words FROM recovered")).toBe("before\n");
  await sql("INSERT INTO recovered SELECT 'after'");
  expect(await recover(host, "--undo")).toContain(" is open with the old data, on timeline 3.");
  expect(await sql("SELECT words FROM recovered")).toBe("before\n");
  expect(await agentPid(host)).toBe(before);
}
