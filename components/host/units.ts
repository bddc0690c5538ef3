/** systemd on a host: timers enabled and running, where systemd itself is running and reads the folder that the units are in. */
import { type Connection, run, runScript } from "./connection";

/** Folders of administrators that systemd loads units from. */
const UNIT_DIRECTORIES = ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"];

/** True when timers in `unitsDirectory` can be enabled now. */
export async function isSystemdRunning(connection: Connection, unitsDirectory: string): Promise<boolean> {
  if (!UNIT_DIRECTORIES.includes(unitsDirectory)) return false;
  return (await connection.exec(["test", "-d", "/run/systemd/system"])).exitCode === 0;
}

/** `enabled active` and its like for each timer; `missing` for one that systemd does not know. */
export async function readTimers(connection: Connection, timers: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const script = 'for unit; do systemctl show -p LoadState -p UnitFileState -p ActiveState -- "$unit" | tr "\\n" " "; echo; done';
  if (timers.length === 0) return {};
  const { stdout } = await runScript(connection, "read the state of the timers", script, timers);
  const lines = stdout.split("\n");
  return Object.fromEntries(timers.map((timer, index) => [timer, timerText(lines[index] ?? "")]));
}

function timerText(line: string): string {
  const properties = new Map(line.split(" ").map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]));
  if (properties.get("LoadState") === "not-found") return "missing";
  return `${properties.get("UnitFileState") || "disabled"} ${properties.get("ActiveState") || "inactive"}`;
}

/** What {@link readTimers} says of a timer that does its work. */
export const TIMER_AT_WORK = "enabled active";

/** Loads changed units, enables and starts every timer; one whose file changed is started anew. */
export async function enableTimers(connection: Connection, timers: readonly string[], changedPaths: readonly string[]): Promise<void> {
  const changed = changedPaths.filter((path) => /\.(service|timer)$/.test(path));
  if (changed.length > 0) await run(connection, "reload systemd", ["systemctl", "daemon-reload"]);
  const state = await readTimers(connection, timers);
  for (const timer of timers) {
    if (state[timer] !== TIMER_AT_WORK) await run(connection, `enable ${timer}`, ["systemctl", "enable", "--now", "--", timer]);
    else if (changed.some((path) => path.endsWith(`/${timer}`))) await run(connection, `restart ${timer}`, ["systemctl", "restart", "--", timer]);
  }
}

/** Stops and disables timers; unknown ones are fine. */
export async function disableTimers(connection: Connection, timers: readonly string[]): Promise<void> {
  const state = await readTimers(connection, timers);
  for (const timer of timers) {
    if (state[timer] !== "missing" && state[timer] !== "disabled inactive") {
      await run(connection, `disable ${timer}`, ["systemctl", "disable", "--now", "--", timer]);
    }
  }
}

/** After unit files were removed. */
export async function reloadUnits(connection: Connection): Promise<void> {
  await run(connection, "reload systemd", ["systemctl", "daemon-reload"]);
}
