/**
 * PostgreSQL settings of a host, read and set through the runtime's `pg-settings`, and what stood in `postgresql.auto.conf` before, so
 * that it can be put back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Account, CommandFailed, type Connection, type ExecResult, run, runScript } from "./connection";
import { parseJsonOutput, QUIET, type RuntimeOnHost, runQuietly } from "./runtimeVerbs";

/** Pauses between tries while PostgreSQL starts; their sum is the patience, about a minute. */
const START_PAUSES_MS = [250, 500, 1000, 2000, 4000, 8000, 15_000, 30_000];
/** Likewise where nobody knows that it is being started: an update that was cut off may have left a restart at work. */
const BETWEEN_PAUSES_MS = [250, 500, 1000, 2000];

/** What PostgreSQL shows for archive_command while archive_mode is off. */
const DISABLED = "(disabled)";

export interface LiveSettings {
  readonly serverVersion: number;
  readonly dataDirectory: string;
  readonly values: Readonly<Record<string, string>>;
  /** Names of settings that a restart has yet to bring into force. */
  readonly pendingRestart: readonly string[];
}

/** What ALTER SYSTEM had set before us; null where it had set nothing. */
export type PreviousSettings = Readonly<Record<string, string | null>>;

/** @throws CommandFailed when PostgreSQL cannot be asked */
export async function readSettings(runtime: RuntimeOnHost): Promise<LiveSettings> {
  return parseSettings((await runQuietly(runtime, ["pg-settings"])).stdout);
}

/** The command line that {@link parseSettingsAnswer} reads. */
export function settingsArgv(argv: readonly string[]): string[] {
  return [...argv, ...QUIET, "pg-settings"];
}

/** @throws CommandFailed when PostgreSQL could not be asked */
export function parseSettingsAnswer(result: ExecResult): LiveSettings {
  if (result.exitCode !== 0) throw new CommandFailed("run pg-settings", result);
  return parseSettings(result.stdout);
}

/** Sets values for good (ALTER SYSTEM and reload); null puts a setting back to what the other files say. @throws CommandFailed */
export async function writeSettings(runtime: RuntimeOnHost, values: PreviousSettings): Promise<LiveSettings> {
  const words = Object.entries(values).map(([name, value]) => `${name}=${value ?? ""}`);
  return parseSettings((await runQuietly(runtime, ["pg-settings", ...words])).stdout);
}

/** $1 data directory. The eighth line of its file is what the server says of itself. */
const SERVER_SCRIPT = `
if [ ! -r "$1/PG_VERSION" ]; then echo none
elif [ -r "$1/postmaster.pid" ] && kill -0 "$(head -n 1 "$1/postmaster.pid")" 2>/dev/null; then
  case $(sed -n 8p "$1/postmaster.pid") in
  starting* | stopping*) echo between ;;
  *) echo running ;;
  esac
else echo stopped
fi`;

/**
 * {@link readSettings}, with the reason and the way out where there is no answer. A server that may be in the middle of a restart is waited for, a
 * few seconds. @throws Error, CommandFailed
 */
export async function askServer(runtime: RuntimeOnHost, dataDirectory: string): Promise<LiveSettings> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await readSettings(runtime);
    } catch (error) {
      const told = (
        await runScript(runtime.connection, "look for the server", SERVER_SCRIPT, [dataDirectory], { account: runtime.account })
      ).stdout.trim();
      const pauseMs = BETWEEN_PAUSES_MS[tries];
      // One that runs may have come up since it was asked.
      const mayChange = told === "between" || told === "stopped" || (told === "running" && tries === 0);
      if (!mayChange || pauseMs === undefined) throw noAnswer(runtime, dataDirectory, told, error);
      await sleep(pauseMs);
    }
  }
}

function noAnswer({ account, connection }: RuntimeOnHost, dataDirectory: string, told: string, error: unknown): Error {
  const fact =
    told === "none"
      ? `there is no cluster in ${dataDirectory} on ${connection.name}: set dataDirectory to where PostgreSQL keeps its data, or postgres to have one made`
      : told === "stopped"
        ? `PostgreSQL of ${dataDirectory} is not running on ${connection.name}: start it, and run the update again`
        : `PostgreSQL of ${dataDirectory} runs on ${connection.name} and does not answer ${account.name}: see port, socketDirectory, databaseUser and pg_hba.conf`;
  return new Error(`${fact}\n${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

/** Asks until PostgreSQL answers after a restart. @throws CommandFailed of the last try, Error for a lost connection */
export async function waitForServer(runtime: RuntimeOnHost): Promise<LiveSettings> {
  for (const pauseMs of START_PAUSES_MS) {
    try {
      return await readSettings(runtime);
    } catch (error) {
      // Through a connection that is lost nobody will ever answer.
      if (!(error instanceof CommandFailed)) throw error;
    }
    await sleep(pauseMs);
  }
  return readSettings(runtime);
}

/** What `postgresql.auto.conf` says now about `names`. @throws CommandFailed when it cannot be read */
export async function readPreviousSettings(
  connection: Connection,
  account: Account,
  dataDirectory: string,
  names: readonly string[],
): Promise<PreviousSettings> {
  const path = autoConfPath(dataDirectory);
  const { stdout } = await run(connection, `read ${path}`, ["cat", "--", path], { account });
  return previousSettings(stdout, names);
}

export function autoConfPath(dataDirectory: string): string {
  return `${dataDirectory}/postgresql.auto.conf`;
}

/** What the text of `postgresql.auto.conf` says of `names`. */
export function previousSettings(text: string, names: readonly string[]): PreviousSettings {
  const values = parseAutoConf(text);
  return Object.fromEntries(names.map((name) => [name, values.get(name) ?? null]));
}

/** The value in force, or the one that a restart will bring into force. */
export function settingNow(name: string, live: LiveSettings, inFile: PreviousSettings): string {
  const value = live.values[name] ?? "";
  return live.pendingRestart.includes(name) || value === DISABLED ? (inFile[name] ?? value) : value;
}

export function isPending(live: LiveSettings, names: readonly string[]): boolean {
  return live.pendingRestart.some((name) => names.includes(name));
}

/** For the state: a value as wanted, or that there is another one. */
export function settingFactsOf(wanted: Readonly<Record<string, string>>, live: LiveSettings, inFile: PreviousSettings): Record<string, string> {
  return Object.fromEntries(
    Object.keys(wanted).map((name) => {
      const value = settingNow(name, live, inFile);
      // A command of somebody else may hold a password: it is not repeated in the state.
      return [name, value === wanted[name] || name === "archive_mode" ? value : "another value"];
    }),
  );
}

/** Names and values of a file that ALTER SYSTEM writes: `name = 'value'`, quotes doubled, backslash escapes; the last one counts. */
export function parseAutoConf(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(?:=|\s)\s*'((?:[^'\\]|''|\\.)*)'/.exec(line);
    if (match !== null) values.set((match[1] ?? "").toLowerCase(), unescape(match[2] ?? ""));
  }
  return values;
}

/** "GUC_scanstr" of PostgreSQL. */
function unescape(text: string): string {
  const letters: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
  return text.replaceAll(/''|\\([0-7]{1,3}|.)/g, (whole, escaped: string | undefined) => {
    if (whole === "''") return "'";
    const character = escaped ?? "";
    return /^[0-7]/.test(character) ? String.fromCharCode(Number.parseInt(character, 8)) : (letters[character] ?? character);
  });
}

function parseSettings(stdout: string): LiveSettings {
  const answer = parseJsonOutput("read the settings of PostgreSQL", stdout);
  const { settings, serverVersion, dataDirectory } = answer as { settings?: unknown; serverVersion?: unknown; dataDirectory?: unknown };
  if (!Array.isArray(settings) || typeof serverVersion !== "number" || typeof dataDirectory !== "string") {
    throw new Error("unable to read the settings of PostgreSQL: pg-settings printed no settings, server version or data directory");
  }
  const rows = settings as readonly { readonly name: string; readonly value: string; readonly pendingRestart: boolean }[];
  return {
    serverVersion,
    dataDirectory,
    values: Object.fromEntries(rows.map((row) => [row.name, row.value])),
    pendingRestart: rows.filter((row) => row.pendingRestart).map((row) => row.name),
  };
}
