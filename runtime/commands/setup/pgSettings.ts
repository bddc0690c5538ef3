/**
 * `pg-settings [name=value …]`: prints the settings that archiving depends on, or changes them by ALTER SYSTEM and a
 * reload; `name=` resets. `pg-settings stdin` reads them as JSON, `{"name":"value","other":null}`: an archive_command
 * may contain a password, and command lines are public. Prints JSON with
 * `{"name","value","configured","automatic","source","pendingRestart"}` of each in `settings`, and `serverVersion`,
 * `dataDirectory`, `systemId`. The data directory is the container's if there is one. The host component uses it in
 * place of a client on the host.
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
  const changes = isInput(config.params) ? parseInput(await proc.readInput()) : config.params.map(parseChange);
  const session = await proc.session();
  for (const [name, value] of changes) await session.alterSystem(name, value);
  if (changes.length > 0) await reload(session, ctx);
  const names = [...new Set([...SETTINGS, ...changes.map(([name]) => name)])];
  const settings = await session.settings(names);
  const { dataDirectory, versionNum } = await session.facts();
  const own = proc.container === undefined ? [] : await session.settings(["data_directory"]);
  const systemId = await session.systemId();
  const answer = { settings, serverVersion: versionNum, dataDirectory: own[0]?.value ?? dataDirectory, systemId };
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

function isInput(params: readonly string[]): boolean {
  return params.length === 1 && params[0] === "stdin";
}

function parseInput(text: string): [string, string | null][] {
  try {
    const changes: unknown = JSON.parse(text);
    if (typeof changes !== "object" || changes === null) throw new TypeError("no object");
    return Object.entries(changes as Record<string, unknown>).map(([name, value]) => {
      if (value !== null && typeof value !== "string") throw new TypeError("neither text nor null");
      return [name, value === "" ? null : value];
    });
  } catch (error) {
    // Without the text, and without the parser's message, which quotes it.
    throw fail("paramInvalid", "standard input holds no settings", {
      hint: 'Write JSON: {"name":"value"}, or null as value to reset it.',
      ...(error instanceof TypeError ? { cause: error } : {}),
    });
  }
}

function parseChange(change: string): [string, string | null] {
  const equals = change.indexOf("=");
  if (equals <= 0)
    throw fail("paramInvalid", `'${change}' is not a setting`, { hint: "Write name=value, or name= to reset it." });
  const value = change.slice(equals + 1);
  return [change.slice(0, equals), value === "" ? null : value];
}
