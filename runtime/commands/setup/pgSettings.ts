/**
 * `pg-settings [name=value …]`: prints the settings that archiving depends on, or changes them by ALTER SYSTEM and a
 * reload; `name=` resets. Prints JSON:
 * `{"settings":[{"name","value","configured","automatic","source","pendingRestart"}],"serverVersion","dataDirectory"}`.
 * The data directory is the container's if there is one. The host component uses it in place of a client on the host.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Session } from "../../postgres/session";
import type { Command } from "../../process/commandProcess";

const SETTINGS = [
  "archive_command",
  "archive_library",
  "archive_mode",
  "archive_timeout",
  "max_slot_wal_keep_size",
  "max_wal_senders",
  "wal_level",
];
const RELOAD_PAUSE_MS = 20;
/** How long to wait for the reload. After that, report whatever values the server has. */
const RELOAD_MS = 30_000;

export const pgSettingsCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const session = await proc.session();
  const changes = config.params.map(parseChange);
  for (const [name, value] of changes) await session.alterSystem(name, value);
  if (changes.length > 0) await reload(session, ctx);
  const names = [...new Set([...SETTINGS, ...changes.map(([name]) => name)])];
  const settings = await session.settings(names);
  const { dataDirectory, versionNum } = await session.facts();
  const own = proc.container === undefined ? [] : await session.settings(["data_directory"]);
  const answer = { settings, serverVersion: versionNum, dataDirectory: own[0]?.value ?? dataDirectory };
  proc.print(`${JSON.stringify(answer)}\n`);
  return 0;
};

/** Waits until the server reports the new values: it signals its sessions only after it has read the files itself. */
async function reload(session: Session, ctx: Context): Promise<void> {
  const beforeMs = await session.configurationReadMs();
  await session.reload();
  const endMs = ctx.clock.monotonicMs() + RELOAD_MS;
  while ((await session.configurationReadMs()) === beforeMs && ctx.clock.monotonicMs() < endMs)
    await ctx.clock.sleep(RELOAD_PAUSE_MS, ctx.signal);
}

function parseChange(change: string): [string, string | null] {
  const equals = change.indexOf("=");
  if (equals <= 0)
    throw fail("paramInvalid", `'${change}' is not a setting`, { hint: "Write name=value, or name= to reset it." });
  const value = change.slice(equals + 1);
  return [change.slice(0, equals), value === "" ? null : value];
}
