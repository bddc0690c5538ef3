/** systemd on a host: enables and starts timers and sockets, if systemd runs and reads the units' folder. */
import { isUnitDirectory } from "../plan/model/defaults";
import { type Connection, run, runScript } from "./connection";

/** Units of an update, by name. */
export interface UnitNames {
  /** Enabled, started and monitored: timers and sockets. */
  readonly enabled: readonly string[];
  /** Services that keep the program and its configuration in memory. */
  readonly restarted: readonly string[];
}

/** True if units in `unitsDirectory` can be enabled now. */
export async function isSystemdRunning(connection: Connection, unitsDirectory: string): Promise<boolean> {
  if (!isUnitDirectory(unitsDirectory)) return false;
  return (await connection.exec(["test", "-d", "/run/systemd/system"])).exitCode === 0;
}

/** Checks an agent's requirements before any change. @throws Error */
export async function checkAgent(connection: Connection, unitsDirectory: string): Promise<void> {
  const remedy = "or set agent to false, so that PostgreSQL's account reads the keys";
  if (!(await isSystemdRunning(connection, unitsDirectory))) {
    throw new Error(
      `systemd is not running on ${connection.name}, but it must pass the repositories' keys to the agent: boot it, ${remedy}`,
    );
  }
  if ((await connection.exec(["test", "-x", "/usr/bin/perl"])).exitCode !== 0) {
    throw new Error(
      `there is no /usr/bin/perl on ${connection.name}, which PostgreSQL needs to ask the agent: install it (perl-base is enough), ${remedy}`,
    );
  }
}

/** Checks secrets that another program brings to the host, before any change. @throws Error naming the missing ones */
export async function checkSecretFiles(connection: Connection, paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  const script = 'for path; do [ -f "$path" ] || printf "%s\\n" "$path"; done';
  const { stdout } = await runScript(connection, "look for the host's secrets", script, paths);
  const missing = stdout.split("\n").filter((path) => path !== "");
  if (missing.length === 0) return;
  throw new Error(
    `${missing.join(", ")}: missing on ${connection.name}, but secretFiles or notify name it; write it there first`,
  );
}

export function isUnitPath(path: string): boolean {
  return /\.(service|socket|timer)$/.test(path);
}

/** Names of the units among these files. */
export function unitsIn(paths: readonly string[]): string[] {
  return paths.filter(isUnitPath).map((path) => path.slice(path.lastIndexOf("/") + 1));
}

/** True if an agent's service is among these units or files (components/render/units/agentUnits.ts). */
export function hasAgent(names: readonly string[]): boolean {
  return names.some((name) => name.endsWith("-agent.service"));
}

/** Prints a line for each unit. An answer that did not come must not look like a unit that is disabled and at rest. */
const STATE_SCRIPT = `
for unit do
  said=$(systemctl show -p LoadState -p UnitFileState -p ActiveState -- "$unit") || exit 1
  printf '%s\\n' "$said" | tr '\\n' ' '
  echo
done`;

/**
 * `enabled active` and similar for each unit; `missing` for one that systemd does not know.
 * @throws CommandFailed, Error if systemd does not answer
 */
export async function readUnits(
  connection: Connection,
  units: readonly string[],
): Promise<Readonly<Record<string, string>>> {
  if (units.length === 0) return {};
  const { stdout } = await runScript(connection, "read the state of the units", STATE_SCRIPT, units);
  const lines = stdout.split("\n");
  return Object.fromEntries(units.map((unit, index) => [unit, unitText(lines[index] ?? "")]));
}

/** @throws Error for a line without a state */
export function unitText(line: string): string {
  const properties = new Map(
    line.split(" ").map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]),
  );
  const loadState = properties.get("LoadState") ?? "";
  if (loadState === "") throw new Error("unable to read the state of the units: systemd does not answer");
  if (loadState === "not-found") return "missing";
  return `${properties.get("UnitFileState") || "disabled"} ${properties.get("ActiveState") || "inactive"}`;
}

/** {@link readUnits} of a working timer or socket. */
export const UNIT_AT_WORK = "enabled active";

/** Restarts services whose files changed, and enables their sockets: from then on calls are served. */
export async function startServing(
  connection: Connection,
  units: UnitNames,
  changedPaths: readonly string[],
): Promise<void> {
  const sockets = units.enabled.filter(isSocket);
  if (units.restarted.length === 0 || changedPaths.length === 0) return enableUnits(connection, sockets, []);
  if (changedPaths.some(isUnitPath)) await reloadUnits(connection);
  for (const service of units.restarted) {
    const hasNewSocket = changedPaths.some((path) => path.endsWith(`/${service.replace(/service$/, "socket")}`));
    // With a new socket, recreating that restarts it.
    if (!hasNewSocket && changedPaths.some((path) => !isUnitPath(path) || path.endsWith(`/${service}`)))
      await run(connection, `restart ${service}`, ["systemctl", "try-restart", "--", service]);
  }
  await enableUnits(connection, sockets, changedPaths);
}

/** A service that starts while its socket is stopped would keep it from starting: both stop in one transaction. */
const RECREATE_SCRIPT = `
systemctl stop -- "$1" "$2" &&
systemctl enable --now -- "$1" &&
{ [ "$3" = "" ] || systemctl start -- "$3"; }`;

/**
 * Loads changed units, enables and starts all `units`, and restarts those whose file changed. systemd starts no socket
 * while its service runs, so both stop, and the service runs again if it did: nothing else may start one that reads a
 * slot. Calls at that time are refused and repeated.
 */
export async function enableUnits(
  connection: Connection,
  units: readonly string[],
  changedPaths: readonly string[],
): Promise<void> {
  const changed = changedPaths.filter(isUnitPath);
  if (changed.length > 0) await reloadUnits(connection);
  const state = await readUnits(connection, [...units, ...units.filter(isSocket).map(serviceOf)]);
  for (const unit of units) {
    const service = isSocket(unit) ? serviceOf(unit) : "";
    const isServiceUp = isSocket(unit) && !isStopped(state[service]);
    const isChanged = changed.some((path) => path.endsWith(`/${unit}`));
    if (isSocket(unit) && (isStopped(state[unit]) ? isServiceUp : isChanged))
      await runScript(connection, `recreate ${unit}`, RECREATE_SCRIPT, [unit, service, isServiceUp ? service : ""]);
    else if (state[unit] !== UNIT_AT_WORK)
      await run(connection, `enable ${unit}`, ["systemctl", "enable", "--now", "--", unit]);
    else if (isChanged) await run(connection, `restart ${unit}`, ["systemctl", "restart", "--", unit]);
  }
}

const isSocket = (unit: string): boolean => unit.endsWith(".socket");
const serviceOf = (socket: string): string => socket.replace(/socket$/, "service");
const isStopped = (state = "missing"): boolean => /(^missing| inactive| failed)$/.test(state);

/**
 * Units that an archive command still needs: stop them only when PostgreSQL has another one. Sockets first: they would
 * start their services again.
 */
export function servingUnits({ enabled, restarted }: UnitNames): readonly string[] {
  return [...enabled.filter((unit) => !unit.endsWith(".timer")), ...restarted];
}

export function timersOf({ enabled }: UnitNames): readonly string[] {
  return enabled.filter((unit) => unit.endsWith(".timer"));
}

/** Services that a boot starts. */
export function servicesOf({ enabled }: UnitNames): readonly string[] {
  return enabled.filter((unit) => unit.endsWith(".service"));
}

/** Everything but sockets, which {@link startServing} enables earlier. */
export function timersAndServicesOf({ enabled }: UnitNames): readonly string[] {
  return enabled.filter((unit) => !unit.endsWith(".socket"));
}

/** Disables and stops units; unknown ones are fine. A running backup (its service stays `activating`) may finish. */
export async function disableUnits(connection: Connection, units: readonly string[]): Promise<void> {
  // A template runs only by its instances, and systemd tells no state of it.
  const able = units.filter((unit) => !unit.includes("@."));
  const state = await readUnits(connection, able);
  for (const unit of able) {
    const [file, active] = (state[unit] ?? "missing").split(" ");
    if (file === "enabled") await run(connection, `disable ${unit}`, ["systemctl", "disable", "--now", "--", unit]);
    else if (active === "active") await run(connection, `stop ${unit}`, ["systemctl", "stop", "--", unit]);
  }
}

/** Call it after unit files were written or removed. */
export async function reloadUnits(connection: Connection): Promise<void> {
  await run(connection, "reload systemd", ["systemctl", "daemon-reload"]);
}
