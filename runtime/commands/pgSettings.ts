/**
 * `pg-settings [name=value …]`: reads the settings that archiving depends on, or changes them by ALTER SYSTEM and a reload; `name=` resets.
 * Prints JSON: `{"settings":[{"name","value","configured","source","pendingRestart"}],"serverVersion","dataDirectory"}`. For the host
 * component, which has no client of its own on the host.
 */
import { fail } from "../base/errors";
import type { Command } from "./host";

const SETTINGS = ["archive_command", "archive_library", "archive_mode", "archive_timeout", "max_wal_senders", "wal_level"];
/** The reload is asynchronous: give the postmaster a moment before the values are read back. */
const RELOAD_PAUSE_MS = 500;

export const pgSettingsCommand: Command = async (host) => {
  const { config, ctx } = host;
  const session = await host.session();
  const changes = config.params.map(parseChange);
  for (const [name, value] of changes) await session.alterSystem(name, value);
  if (changes.length > 0) {
    await session.reload();
    await ctx.clock.sleep(RELOAD_PAUSE_MS, ctx.signal);
  }
  const names = [...new Set([...SETTINGS, ...changes.map(([name]) => name)])];
  const settings = await session.settings(names);
  const facts = await session.facts();
  host.print(`${JSON.stringify({ settings, serverVersion: facts.versionNum, dataDirectory: facts.dataDirectory })}\n`);
  return 0;
};

function parseChange(word: string): [string, string | null] {
  const equals = word.indexOf("=");
  if (equals <= 0) throw fail("paramInvalid", `'${word}' is not a setting`, { hint: "write name=value, or name= to reset it." });
  const value = word.slice(equals + 1);
  return [word.slice(0, equals), value === "" ? null : value];
}
