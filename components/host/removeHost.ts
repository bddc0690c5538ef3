/** Undoes what an update did to a host. */
import { type Account, CommandFailed, type Connection, type LogLine, runScript } from "./connection";
import { type Accounts, removeDirectories, removeFiles } from "./desiredFiles";
import { isPending, type LiveSettings, readPreviousSettings, readSettings, writeSettings } from "./postgresSettings";
import { isOtherMachine, type Left, leaveHost } from "./hostOwners";
import { dropSlot, dropSynchronous, type RuntimeOnHost } from "./runtimeVerbs";
import { takeBackRestoreCommand } from "./restoreCommand";
import { disableUnits, hasAgent, isSystemdRunning, reloadUnits, servingUnits, timersOf, unitsIn } from "./systemdUnits";
import { BY_COMMAND, BY_SLOT } from "./archiveSetting";
import { answers } from "./containedServer";
import {
  type HostIdentity,
  type HostOutcome,
  loadAccounts,
  ownersPath,
  programOf,
  restart,
  runtimeOf,
  withCompiled,
} from "./hostIdentity";
import { withLock } from "./hostLock";
import { readMachineId } from "./state";

/**
 * Undoes an update: settings, a standby's restore_command, units, files, empty directories. It never removes a
 * repository, spool or log. What can be refused comes first: a host that keeps its archiving keeps its timers.
 * @throws Error, also if the host is partly removed
 */
export async function removeHost(
  connection: Connection,
  identity: HostIdentity,
  before: HostOutcome,
  log: LogLine,
): Promise<void> {
  if (before.machineId !== undefined) {
    const ours = { machineId: before.machineId, ownersPaths: [ownersPath(identity)], owners: [identity.owner] };
    if (await isOtherMachine(connection, ours, await readMachineId(connection)))
      return log(`${connection.name} is another machine than at the last update: nothing of it is removed`);
  }
  const accounts = await accountsLeft(connection, identity);
  const hasLock = (await connection.exec(["test", "-d", identity.directories.config])).exitCode === 0;
  const work = async (): Promise<void> => {
    const path = ownersPath(identity);
    const left = await leaveHost(connection, path, identity.owner, leftOf(before), log);
    if (left !== null) await withRemedy(undo(connection, identity, withLeft(before, left), accounts, log));
  };
  await (hasLock ? withLock(connection, identity.directories.config, work) : work());
}

/** Null if the cluster and PostgreSQL's account are gone. @throws Error if the account alone is missing */
async function accountsLeft(connection: Connection, identity: HostIdentity): Promise<Accounts | null> {
  const { container, dataDirectory, user } = identity;
  try {
    return await loadAccounts(connection, user);
  } catch (error) {
    if (container === undefined && (await isGone(connection, versionFile(dataDirectory), connection.login)))
      return null;
    throw error;
  }
}

/** The engine keeps a state that says that all is well, and so does the next preview. */
export async function withRemedy(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const fact = error instanceof Error ? error.message : String(error);
    const remedy = "run the destroy again, or pulumi up --refresh to put them back";
    throw new Error(`${fact}\nParts of the host may be removed: ${remedy}`, { cause: error });
  }
}

async function undo(
  connection: Connection,
  identity: HostIdentity,
  before: HostOutcome,
  accounts: Accounts | null,
  log: LogLine,
): Promise<void> {
  const { container, dataDirectory, user } = identity;
  if (accounts === null) log(`${dataDirectory} and the account ${user} are gone: there are no settings to restore`);
  else await restoreSettings(connection, identity, before, accounts.database, log);
  // Also where we archive: a standby that was restored here, or its server after the promotion.
  if (accounts !== null && container === undefined) {
    const names = { dataDirectory, program: programOf(identity) };
    await takeBackRestoreCommand(connection, accounts.database, names, log);
  }
  const systemd = await isSystemdRunning(connection, identity.directories.units);
  const files = Object.keys(before.fileFacts);
  // The files are also those of a component that left before.
  const units = new Set([...timersOf(identity.units), ...servingUnits(identity.units), ...unitsIn(files)]);
  if (systemd) await disableUnits(connection, [...units]);
  // Not before: the agent would set them again.
  if (accounts !== null) await dropAtServer(connection, identity, before, accounts.database, [...units], log);
  await removeFiles(connection, [...withCompiled(files, identity), ...before.nodePaths, ownersPath(identity)]);
  if (systemd) await reloadUnits(connection);
  const kept = await removeDirectories(connection, before.madeDirectories);
  if (kept.length > 0) log(`kept because not empty: ${kept.join(", ")}`);
}

/** What an agent made in the server. */
async function dropAtServer(
  connection: Connection,
  identity: HostIdentity,
  before: HostOutcome,
  account: Account,
  units: readonly string[],
  log: LogLine,
): Promise<void> {
  // Also that of a component which left before.
  const hasSlot = BY_SLOT in identity.settings || BY_SLOT in before.previousSettings;
  if (!hasSlot && !hasAgent(units)) return;
  // Of an earlier destroy that failed after it had done all this.
  if (await isGone(connection, programOf(identity), account))
    return log(`${programOf(identity)} is gone: nothing is dropped in PostgreSQL`);
  const runtime = runtimeOf(connection, identity, account, log);
  if (hasSlot) await dropSlot(runtime, log);
  if (hasAgent(units)) await dropSynchronous(runtime, log);
}

function leftOf({ fileFacts, madeDirectories, nodePaths, previousSettings }: HostOutcome): Left {
  return { previousSettings, madeDirectories, nodePaths, files: Object.keys(fileFacts) };
}

/** With what components that left before have not undone. The first one knew the settings before all of them. */
function withLeft(before: HostOutcome, left: readonly Left[]): HostOutcome {
  const all = [...left, leftOf(before)];
  const names = new Set(all.flatMap(({ previousSettings }) => Object.keys(previousSettings)));
  const previous = (name: string): string | null =>
    all.map(({ previousSettings }) => previousSettings[name] ?? null).find((value) => value !== null) ?? null;
  return {
    ...before,
    previousSettings: Object.fromEntries([...names].map((name) => [name, previous(name)])),
    // A directory before those in it.
    madeDirectories: [...new Set(all.flatMap(({ madeDirectories }) => madeDirectories))].toSorted(),
    nodePaths: [...new Set(all.flatMap(({ nodePaths }) => nodePaths))],
    fileFacts: Object.fromEntries(
      all.flatMap(({ files }) => files.map((path) => [path, before.fileFacts[path] ?? "missing"])),
    ),
  };
}

/**
 * $1 file, $2 table of file systems, $3 those that are mounted. An unknown file is no missing one: its volume may be
 * unreachable or unmounted, and a limit of time ends this program.
 */
export const GONE_SCRIPT = `
if said=$(LC_ALL=C stat -- "$1" 2>&1); then echo present; exit 0; fi
case $said in *'No such file or directory'*) ;; *) printf '%s\\n' "$said" >&2; exit 1 ;; esac
if [ -r "$2" ] && [ -r "$3" ]; then
  while read -r first at _; do
    case $first in '#'*) continue ;; esac
    case $at in /?*) ;; *) continue ;; esac
    case $1 in "$at"/*) grep -qF -- " $at " "$3" || { echo "$at is not mounted" >&2; exit 1; } ;; esac
  done < "$2"
fi
echo missing`;

/** True if there is no such file. @throws CommandFailed if that is unknown */
async function isGone(connection: Connection, path: string, account: Account): Promise<boolean> {
  const args = [path, "/etc/fstab", "/proc/mounts"];
  const { stdout } = await runScript(connection, `look for ${path}`, GONE_SCRIPT, args, { account });
  return stdout.trim() === "missing";
}

function versionFile(dataDirectory: string): string {
  return `${dataDirectory}/PG_VERSION`;
}

async function restoreSettings(
  connection: Connection,
  identity: HostIdentity,
  before: HostOutcome,
  account: Account,
  log: LogLine,
): Promise<void> {
  const names = Object.keys(before.previousSettings);
  if (names.length === 0) return;
  const { container, dataDirectory } = identity;
  if (container === undefined && (await isGone(connection, versionFile(dataDirectory), account))) {
    log(`${dataDirectory} is gone: there are no settings to restore`);
    return;
  }
  const runtime = runtimeOf(connection, identity, account, log);
  const program = programOf(identity);
  const isProgramGone = await isGone(connection, program, account);
  const programGone = new Error(
    `${program} is gone, and restoring the archive settings needs it: run an update to install it again, then destroy`,
  );
  if (container !== undefined) {
    // Only the program reads its file of settings.
    if (isProgramGone) throw programGone;
    if (!(await answers(runtime, names, log))) return;
  }
  const inFile = await readPreviousSettings(runtime, identity, names);
  const own = BY_SLOT in identity.settings ? BY_SLOT : BY_COMMAND;
  if (!isOurs(own, inFile[own] ?? null, identity, before)) {
    // An earlier removal may have failed after it restored them.
    const isRestored = names.every((name) => inFile[name] === before.previousSettings[name]);
    if (!isRestored) return log(`${own} was changed since: keeping the archive settings`);
    // It removed the program after that.
    if (isProgramGone) return;
    return restartIfPending(runtime, identity, names, await readIfRunning(runtime), log);
  }
  if (isProgramGone) throw programGone;
  const live = await writeSettings(runtime, before.previousSettings);
  log(`restored ${names.join(" and ")}`);
  try {
    await restartIfPending(runtime, identity, names, live, log);
  } catch (error) {
    // A server that still has archive_mode on would keep all WAL without its command.
    await writeSettings(runtime, inFile).then(
      () => log(`set ${names.join(" and ")} again`),
      () => log(`WARN: ${names.join(" and ")} stay restored, because PostgreSQL does not answer`),
    );
    throw error;
  }
}

/**
 * True if the last update has set the value, or an earlier one because the last one did not get that far. Another
 * command that names our files is the user's, and would run nothing once they are removed.
 */
function isOurs(name: string, value: string | null, identity: HostIdentity, before: HostOutcome): boolean {
  if (value === null) return false;
  if (value === identity.settings[name] || value === before.settingFacts[name]) return true;
  const paths = [programOf(identity), ...Object.keys(before.fileFacts)].filter((path) => path !== "");
  return name === BY_COMMAND && paths.some((path) => value.includes(path));
}

async function restartIfPending(
  runtime: RuntimeOnHost,
  identity: HostIdentity,
  names: readonly string[],
  live: LiveSettings | null,
  log: LogLine,
): Promise<void> {
  if (live === null || !isPending(live, names)) return;
  if (identity.allowRestart) await restart(runtime, identity, log);
  else log("WARN: PostgreSQL keeps archive_mode on and therefore all WAL until it is restarted: restart it soon");
}

/** Null for a server that does not answer: it reads its settings when it starts. */
async function readIfRunning(runtime: RuntimeOnHost): Promise<LiveSettings | null> {
  try {
    return await readSettings(runtime);
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return null;
  }
}
