/** What holds for every host whose WAL leaves through a replication slot of the stanza `main`. */
import type { Stack } from "@pulumi/pulumi/automation";
import { expect } from "vitest";
import { waitFor } from "../../../tools/parts/process";

type Sql = (text: string) => Promise<string>;

export const SLOT = "SELECT active FROM pg_replication_slots WHERE slot_name = 'pgbackstop_main'";

/** Waits until the agent reads the slot. */
export function archivesAgain(sql: Sql, timeoutMs: number): Promise<true> {
  return waitFor("the slot", timeoutMs, async () => ((await sql(SLOT).catch(() => "")) === "t" ? true : null));
}

/** The first update backs up into both repositories, and PostgreSQL goes on. Returns the update's output. */
export async function expectFirstBackups(stack: Stack, sql: Sql, keepSize: string): Promise<string> {
  const started = await sql("SELECT pg_postmaster_start_time()");
  const { outputs, stdout } = await stack.up();
  expect(outputs).toMatchObject({ firstBackup: { value: "taken" }, pendingRestart: { value: false } });
  expect(String(outputs["destinations"]?.value).match(/"label":"\d{8}-\d{6}F"/g)).toHaveLength(2);
  expect(await sql("SHOW archive_mode")).toBe("off");
  expect(await sql("SHOW max_slot_wal_keep_size")).toBe(keepSize);
  expect(await sql("SELECT pg_postmaster_start_time()")).toBe(started);
  expect(await sql(SLOT)).toBe("t");
  return stdout;
}
