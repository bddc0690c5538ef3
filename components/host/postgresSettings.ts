/**
 * PostgreSQL settings of a host, read and set by the runtime's `pg-settings`, and the previous values in
 * `postgresql.auto.conf`, so that they can be restored.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailed, type Connection, type ExecResult, run, runScript } from "./connection";
import { parseJsonOutput, QUIET, type RuntimeOnHost, runQuietly } from "./runtimeVerbs";

/** Pauses between attempts while PostgreSQL starts; about a minute in sum. */
const START_PAUSES_MS = [250, 500, 1000, 2000, 4000, 8000, 15_000, 30_000];
/** The same for a server that may be restarting: an interrupted update may have left a restart running. */
const BETWEEN_PAUSES_MS = [250, 500, 1000, 2000];

/** PostgreSQL's text for archive_command while archive_mode is off. */
const DISABLED = "(disabled)";

export interface LiveSettings {
  /** Empty from a runtime of an earlier version. */
  readonly systemId: string;
  readonly serverVersion: number;
  readonly dataDirectory: string;
  readonly values: Readonly<Record<string, string>>;
  /** Settings that need a restart to take effect. */
  readonly pendingRestart: readonly string[];
  /** Settings of the server's command line, which ALTER SYSTEM cannot change. */
  readonly fixed: readonly string[];
  /** Values in `postgresql.auto.conf`. */
  readonly automatic: Readonly<Record<string, string>>;
}

interface Server {
  readonly dataDirectory: string;
  readonly container?: string;
}

/** Values that ALTER SYSTEM had set before us; null for none. */
export type PreviousSettings = Readonly<Record<string, string | null>>;

/** @throws CommandFailed if PostgreSQL does not answer */
export async function readSettings(runtime: RuntimeOnHost): Promise<LiveSettings> {
  return parseSettings((await runQuietly(runtime, ["pg-settings"])).stdout);
}

/** The command line that {@link parseSettingsAnswer} reads. */
export function settingsArgv(argv: readonly string[]): string[] {
  return [...argv, ...QUIET, "pg-settings"];
}

/** @throws CommandFailed if PostgreSQL did not answer */
export function parseSettingsAnswer(result: ExecResult): LiveSettings {
  if (result.exitCode !== 0) throw new CommandFailed("run pg-settings", result);
  return parseSettings(result.stdout);
}

/**
 * Sets values permanently (ALTER SYSTEM and reload); null resets a setting to the other files' value. Another program's
 * archive_command may contain a password, and sudo logs command lines: the values go to standard input.
 * @throws CommandFailed
 */
export async function writeSettings(runtime: RuntimeOnHost, values: PreviousSettings): Promise<LiveSettings> {
  try {
    return parseSettings((await runQuietly(runtime, ["pg-settings", "stdin"], JSON.stringify(values))).stdout);
  } catch (error) {
    // A runtime of an earlier version, which a destroy may find.
    if (!(error instanceof CommandFailed && error.message.includes("'stdin' is not a setting"))) throw error;
    const args = Object.entries(values).map(([name, value]) => `${name}=${value ?? ""}`);
    return parseSettings((await runQuietly(runtime, ["pg-settings", ...args])).stdout);
  }
}

/** $1 data directory. The eighth line of its file has the server's own state. */
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
 * $1 data directory, $2 /proc. The unit of PostgreSQL's process, if that is the process which systemd restarts;
 * otherwise PostgreSQL was started by hand, and the unit is a shell's or a container's. PostgreSQL's account writes the
 * file, so root believes its number only for a server of that account that works in the data directory.
 */
const UNIT_SCRIPT = `
pid=$(head -n 1 "$1/postmaster.pid") || exit 0
case $pid in '' | *[!0-9]*) exit 0 ;; esac
[ "$(stat -c %u "$2/$pid" 2>/dev/null)" = "$(stat -L -c %u "$1")" ] || exit 0
[ "$(readlink "$2/$pid/cwd")" = "$(readlink -f "$1")" ] || exit 0
exe=$(readlink "$2/$pid/exe")
case \${exe##*/} in postgres | 'postgres (deleted)') ;; *) exit 0 ;; esac
unit=$(sed -n 's#.*/\\([^/]*\\.service\\)\\(/[^/]*\\)\\{0,1\\}$#\\1#p' "$2/$pid/cgroup" 2>/dev/null | head -n 1)
[ -n "$unit" ] || exit 0
[ "$(systemctl show --property=MainPID --value -- "$unit" 2>/dev/null)" = "$pid" ] || exit 0
printf '%s\\n' "$unit"`;

/** `systemctl restart` of the running server's unit. @throws Error if it is missing */
export async function findRestartCommand(
  connection: Connection,
  dataDirectory: string,
  proc = "/proc",
): Promise<readonly string[]> {
  const { stdout } = await runScript(connection, "look for PostgreSQL's unit", UNIT_SCRIPT, [dataDirectory, proc]);
  const unit = stdout.trim();
  if (unit !== "") return ["systemctl", "restart", unit];
  throw new Error(
    `allowRestart is set, but systemd does not run the server of ${dataDirectory}: set restartCommand, such as ["pg_ctlcluster", "17", "main", "restart"]`,
  );
}

/**
 * {@link readSettings}, with reason and remedy if there is no answer. Waits a few seconds for a server that may be
 * restarting.
 * @throws Error, CommandFailed
 */
export async function askServer(runtime: RuntimeOnHost, server: Server): Promise<LiveSettings> {
  const { container, dataDirectory } = server;
  for (let tries = 0; ; tries += 1) {
    try {
      return await readSettings(runtime);
    } catch (error) {
      const state = container === undefined ? await stateOf(runtime, dataDirectory) : "between";
      const pauseMs = BETWEEN_PAUSES_MS[tries];
      // A running server may have started since the query.
      const mayChange = state === "between" || state === "stopped" || (state === "running" && tries === 0);
      if (!mayChange || pauseMs === undefined) throw noAnswer(runtime, server, state, error);
      await sleep(pauseMs);
    }
  }
}

async function stateOf({ account, connection }: RuntimeOnHost, dataDirectory: string): Promise<string> {
  const { stdout } = await runScript(connection, "look for the server", SERVER_SCRIPT, [dataDirectory], { account });
  return stdout.trim();
}

function noAnswer(
  { account, connection }: RuntimeOnHost,
  { container, dataDirectory }: Server,
  state: string,
  error: unknown,
): Error {
  const fact =
    container !== undefined
      ? `PostgreSQL in container ${container} on ${connection.name} does not answer: see container, port, socketDirectory and databaseUser`
      : state === "none"
        ? `there is no cluster in ${dataDirectory} on ${connection.name}: set dataDirectory to PostgreSQL's data directory, or postgres to create a cluster`
        : state === "stopped"
          ? `PostgreSQL of ${dataDirectory} is not running on ${connection.name}: start it, and run the update again`
          : `PostgreSQL of ${dataDirectory} runs on ${connection.name} and does not answer ${account.name}: see port, socketDirectory, databaseUser and pg_hba.conf`;
  return new Error(`${fact}\n${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

/**
 * Repeats the query until PostgreSQL answers after a restart.
 * @throws CommandFailed of the last attempt, Error for a lost connection
 */
export async function waitForServer(runtime: RuntimeOnHost): Promise<LiveSettings> {
  for (const pauseMs of START_PAUSES_MS) {
    try {
      return await readSettings(runtime);
    } catch (error) {
      // A lost connection never answers.
      if (!(error instanceof CommandFailed)) throw error;
    }
    await sleep(pauseMs);
  }
  return readSettings(runtime);
}

/** The current values of `names` in `postgresql.auto.conf`. @throws CommandFailed if it cannot be read */
export async function readPreviousSettings(
  runtime: RuntimeOnHost,
  { container, dataDirectory }: Server,
  names: readonly string[],
): Promise<PreviousSettings> {
  const { account, connection } = runtime;
  if (container !== undefined) return automaticSettings(await readSettings(runtime), names);
  const path = autoConfPath(dataDirectory);
  const { stdout } = await run(connection, `read ${path}`, ["cat", "--", path], { account });
  return previousSettings(stdout, names);
}

export function autoConfPath(dataDirectory: string): string {
  return `${dataDirectory}/postgresql.auto.conf`;
}

/** The values of `names` that ALTER SYSTEM has set, as the server says. */
export function automaticSettings({ automatic }: LiveSettings, names: readonly string[]): PreviousSettings {
  return Object.fromEntries(names.map((name) => [name, automatic[name] ?? null]));
}

/** The values of `names` in the text of `postgresql.auto.conf`. */
export function previousSettings(text: string, names: readonly string[]): PreviousSettings {
  const values = parseAutoConf(text);
  return Object.fromEntries(names.map((name) => [name, values.get(name) ?? null]));
}

/** The current value, or the one that a restart will set. */
export function settingNow(name: string, live: LiveSettings, inFile: PreviousSettings): string {
  const value = live.values[name] ?? "";
  return live.pendingRestart.includes(name) || value === DISABLED ? (inFile[name] ?? value) : value;
}

export function isPending(live: LiveSettings, names: readonly string[]): boolean {
  return live.pendingRestart.some((name) => names.includes(name));
}

/** For the state: a value as wanted, or a note of another one. */
export function settingFactsOf(
  wanted: Readonly<Record<string, string>>,
  live: LiveSettings,
  inFile: PreviousSettings,
): Record<string, string> {
  return Object.fromEntries(
    Object.keys(wanted).map((name) => {
      const value = settingNow(name, live, inFile);
      // Another program's command may contain a password: the state does not repeat it.
      return [name, value === wanted[name] || name === "archive_mode" ? value : "another value"];
    }),
  );
}

/**
 * Names and values in ALTER SYSTEM's file: `name = 'value'`, quotes doubled, backslash escapes; the last one counts.
 */
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
    return /^[0-7]/.test(character)
      ? String.fromCharCode(Number.parseInt(character, 8))
      : (letters[character] ?? character);
  });
}

function parseSettings(stdout: string): LiveSettings {
  const answer = parseJsonOutput("read the settings of PostgreSQL", stdout);
  const {
    dataDirectory,
    serverVersion,
    settings,
    systemId = "",
  } = answer as Partial<Record<"dataDirectory" | "serverVersion" | "settings" | "systemId", unknown>>;
  if (!Array.isArray(settings) || typeof serverVersion !== "number" || typeof dataDirectory !== "string") {
    throw new Error(
      "unable to read the settings of PostgreSQL: pg-settings printed no settings, server version or data directory",
    );
  }
  const rows = settings as readonly {
    readonly name: string;
    readonly value: string;
    readonly pendingRestart: boolean;
    readonly automatic?: string | null;
    readonly source?: string;
  }[];
  return {
    systemId: String(systemId),
    serverVersion,
    dataDirectory,
    values: Object.fromEntries(rows.map((row) => [row.name, row.value])),
    pendingRestart: rows.filter((row) => row.pendingRestart).map((row) => row.name),
    fixed: rows.filter(({ source }) => source === "command line").map(({ name }) => name),
    automatic: Object.fromEntries(
      rows.flatMap(({ automatic = null, name }) => (automatic === null ? [] : [[name, automatic]])),
    ),
  };
}
