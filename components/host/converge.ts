/**
 * Brings a host to its desired state, and reads its true state. The order of an update: programs, directories, files
 * and runtime, a cluster if no repository has the stanza, PostgreSQL's settings, a restart only if allowed, stanza,
 * check, first backup, units.
 *
 * Every step can be repeated, and leaves parts alone that are as desired. A failure keeps the state reached so far
 * ({@link PartlyApplied}), above all PostgreSQL's previous settings.
 */
import { type Account, type Connection, run, type LogLine } from "./connection";
import {
  type Accounts,
  accountsFor,
  type DesiredDirectory,
  type DesiredFile,
  desiredText,
  factText,
  makeDirectories,
  readFacts,
  removeFiles,
  sha256Hex,
  writeFiles,
} from "./desiredFiles";
import {
  askServer,
  isPending,
  type LiveSettings,
  type PreviousSettings,
  readPreviousSettings,
  readSettings,
  settingFactsOf,
  settingNow,
  writeSettings,
} from "./postgresSettings";
import {
  destinationText,
  lackingFull,
  renderDestinations,
  withoutCertain,
  withoutMoved,
  withoutNew,
} from "./hostDestinations";
import {
  destinationLines,
  detectionOf,
  isAsDesired,
  type Looked,
  queryOf,
  requireUpgraded,
  requireUsable,
} from "./detected";
import {
  dropSynchronous,
  readDestinations,
  type RuntimeOnHost,
  runtimeVerbs,
  upgradeStanza,
  VERB_TIMEOUT_MS,
} from "./runtimeVerbs";
import { checkStock, checkStockKnows, type StockOnHost, stockVerbs } from "./stock";
import { PACKAGED_PGBACKREST, requireVersion } from "./postgresInstall";
import { accountsIn, bringPrograms, findNodeNeed, type ProgramsWanted, removeOldNodes } from "./installPrograms";
import { type HostFacts, readState } from "./state";
import {
  checkAgent,
  checkSecretFiles,
  disableUnits,
  enableUnits,
  hasAgent,
  isSystemdRunning,
  isUnitPath,
  readUnits,
  startServing,
  servicesOf,
  timersAndServicesOf,
  unitsIn,
} from "./systemdUnits";
import { archivedBy, BY_COMMAND, BY_SLOT, refuseOtherArchiving, requireWalLevel } from "./archiveSetting";
import { given } from "../../runtime/base/given";
import { checkContainer } from "./containedServer";
import {
  archives,
  emptyOutcome,
  type HostIdentity,
  type HostOutcome,
  type FileOwners,
  ownersPath,
  programOf,
  restart,
  runtimeOf,
  withCompiled,
} from "./hostIdentity";
import { bringCluster, requireOwnStanza } from "./bringCluster";
import { applyFirstRun } from "./firstRun";
import { neededByStandby } from "./restoreCommand";
import { withLock } from "./hostLock";
import {
  closeGap,
  enterHost,
  filesOfLeft,
  isOtherMachine,
  isUnfinished,
  leaveFormer,
  markFinished,
  markSet,
  readBegun,
  readOthersBegun,
  refuseOtherHost,
  requireAlone,
  writeBegun,
} from "./hostOwners";

export interface DesiredHost extends HostIdentity, Omit<ProgramsWanted, "directories"> {
  /** Omitted if the runtime is the engine. */
  readonly stock?: StockOnHost;
  readonly files: readonly DesiredFile[];
  /** We create them and, once empty, remove them. */
  readonly directoriesToMake: readonly DesiredDirectory[];
  /** Created if missing, never removed: repositories, spool and logs. */
  readonly directoriesToKeep: readonly DesiredDirectory[];
  /** Directories that must not lie on the root's file system. */
  readonly mounts: readonly string[];
  readonly firstBackup: boolean;
  /** Digest of each repository's location by its name; omitted if locations are secret. */
  readonly locations?: Readonly<Record<string, string>>;
  /** Paths of secrets that somebody else keeps on the host. */
  readonly secretFiles?: readonly string[];
  /** `owner` of the last update, and its file of owners. */
  readonly formerOwner?: string;
  readonly formerOwnersPath?: string;
}

/** An update under way. */
interface Update {
  readonly connection: Connection;
  /** With the version of stock on the host; null if the runtime is the engine. */
  readonly desired: DesiredHost & { readonly stockVersion: string | null };
  /** PostgreSQL's. */
  readonly account: Account;
  /** True if another component that declares the host too has set the settings. */
  readonly isShared: boolean;
  /** Filled as far as it gets. */
  readonly outcome: HostOutcome;
  readonly log: LogLine;
}

/** An incomplete update; `outcome` is the state it reached. */
export class PartlyApplied extends Error {
  readonly outcome: HostOutcome;

  constructor(outcome: HostOutcome, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = "PartlyApplied";
    this.outcome = outcome;
  }
}

/** Converges the host. @throws Error before any change, PartlyApplied after that */
export async function convergeHost(
  connection: Connection,
  desired: DesiredHost,
  known: HostOutcome | null,
  log: LogLine,
): Promise<HostOutcome> {
  const looked = lookedAt(desired, ownersOf(desired.files), desired, [desired.formerOwnersPath]);
  const seemsReady =
    known !== null && known.ready && isEmptyDifference(Object.keys(known.fileFacts), Object.keys(looked.owners));
  const facts = await readState(connection, queryOf(looked, seemsReady), VERB_TIMEOUT_MS);
  const before = await beforeOn(connection, desired, known, facts, log);
  const wasReady = seemsReady && before !== null && before.ready;
  if (desired.postgres?.install !== true) accountsIn(facts, desired.user, connection);
  requireUsable(looked, facts, connection.name);
  requireVersion(desired.postgres, desired.dataDirectory, facts, connection.name);
  if (before?.upgradedFrom !== undefined)
    requireUpgraded(desired.dataDirectory, before.upgradedFrom, facts, connection.name);
  const isOwner = desired.owner === desired.formerOwner;
  if (wasReady && isOwner && findNodeNeed(connection, desired, looked, facts, before.nodeFact) === null) {
    const finding = detectionOf(looked, facts, accountsIn(facts, desired.user, connection));
    const files = Object.fromEntries(
      desired.files.map((file) => [file.path, desiredText(file, sha256Hex(file.content))]),
    );
    if (isAsDesired(looked, finding, facts, { files, expectsFull: desired.firstBackup })) {
      for (const line of destinationLines(finding.detected.destinations)) log(line);
      return { ...structuredClone(before), ...finding.detected, ...machineOf(facts) };
    }
  }
  refuseOtherArchiving(desired.settings, before?.previousSettings ?? {});
  const checkEngine = async (account: Account | null): Promise<string | null> =>
    desired.stock === undefined || account === null ? null : checkStock(connection, desired.stock, account, log);
  const postgres = await withMissingStock(connection, desired);
  const stockVersion = postgres?.pgbackrest === true ? null : await checkEngine(facts.account);
  if (desired.launcher !== undefined) await checkAgent(connection, desired.directories.units);
  await checkSecretFiles(connection, desired.secretFiles ?? []);
  await refuseOthersFiles(connection, desired, before);
  const madeForLock = await makeDirectories(
    connection,
    desired.directoriesToMake.filter((directory) => directory.path === desired.directories.config),
    accountsFor(connection.login, connection.login),
  );
  return withLock(connection, desired.directories.config, async () => {
    const outcome: HostOutcome = {
      ...(before === null ? emptyOutcome() : structuredClone(before)),
      ...machineOf(facts),
      stanzaMade: false,
    };
    outcome.madeDirectories = [...new Set([...outcome.madeDirectories, ...madeForLock])];
    const isShared = await enter(connection, desired, log);
    await resumeSettings(connection, desired, outcome);
    await takeLeftFiles(connection, desired, outcome);
    try {
      const accounts = await bringPrograms(connection, { ...desired, ...given({ postgres }) }, looked, outcome, log);
      const checked = { ...desired, stockVersion: stockVersion ?? (await checkEngine(accounts.database)) };
      const account = accounts.database;
      await applyAll({ connection, desired: checked, account, isShared, outcome, log }, accounts);
      await removeOldNodes(connection, desired, outcome, (paths) =>
        neededByStandby(connection, account, desired, paths, log),
      );
      if (outcome.ready && desired.owner !== undefined)
        await markFinished(connection, ownersPath(desired), desired.owner, true);
      return outcome;
    } catch (error) {
      outcome.ready = false;
      throw new PartlyApplied(outcome, error);
    }
  });
}

/** Only another update proves the host. One that failed has left `ready` false, and what it knows of locations. */
function afterKilled(known: HostOutcome): HostOutcome {
  if (!known.ready) return known;
  const { locations } = known;
  return { ...known, ready: false, ...(locations === undefined ? {} : { locations: withoutCertain(locations) }) };
}

/** The last known state, if it is that of this machine; not ready if a killed update has changed it since. */
async function beforeOn(
  connection: Connection,
  desired: DesiredHost,
  known: HostOutcome | null,
  { answers, machineId }: HostFacts,
  log: LogLine,
): Promise<HostOutcome | null> {
  if (known === null) return null;
  const { formerOwner, formerOwnersPath, owner } = desired;
  const ours = { ownersPaths: [ownersPath(desired), formerOwnersPath], owners: [owner, formerOwner] };
  if (!(await isOtherMachine(connection, { ...ours, ...given({ machineId: known.machineId }) }, machineId)))
    return isUnfinished(answers.get("record"), [owner, formerOwner]) ? afterKilled(known) : known;
  log(
    `${connection.name} is another machine than at the last update: it is set up from the start, and the former machine keeps what it has`,
  );
  return null;
}

function machineOf({ machineId }: HostFacts): Pick<HostOutcome, "machineId"> {
  return machineId === "" ? {} : { machineId };
}

/** Looks at files that this component has not written, outside of its own directory. @throws Error */
async function refuseOthersFiles(
  connection: Connection,
  desired: DesiredHost,
  before: HostOutcome | null,
): Promise<void> {
  const { directories, files, runtimeArgv } = desired;
  const config = runtimeArgv.find((argument) => argument.startsWith("--config="));
  const paths = files
    .map(({ path }) => path)
    .filter((path) => before?.fileFacts[path] === undefined && !path.startsWith(`${directories.config}/`));
  if (config === undefined) return;
  const program = paths.find((path) => path === programOf(desired));
  const placed = { config: config.slice("--config=".length), paths, units: directories.units, program };
  await refuseOtherHost(connection, placed);
}

/** Records the component that declares the host. @returns true if another one has set the settings @throws Error */
async function enter(connection: Connection, desired: DesiredHost, log: LogLine): Promise<boolean> {
  const { container, dataDirectory, formerOwner: former, formerOwnersPath: from, owner, stanza } = desired;
  if (owner === undefined) return false;
  const declared = { stanza, "data directory": dataDirectory, ...given({ container }) };
  const to = ownersPath(desired);
  if (from !== undefined && from !== to) await requireAlone(connection, from, [owner, former]);
  const entering = { owner, former, declared, archives: archives(desired), unfinished: true as const };
  const by = archivedBy(desired.settings);
  const isShared = await enterHost(connection, to, { ...entering, ...given({ by }) }, log);
  if (from !== undefined && from !== to) await leaveFormer(connection, { from, to }, [owner, former]);
  return isShared;
}

/** Takes over what updates that were killed had noted, also others'; the engine knows nothing of it. */
async function resumeSettings(connection: Connection, desired: DesiredHost, outcome: HostOutcome): Promise<void> {
  const { formerOwner, owner } = desired;
  if (owner === undefined || !archives(desired)) return;
  const own = [owner, formerOwner];
  const begun = await readBegun(connection, ownersPath(desired), own);
  const others = await readOthersBegun(connection, ownersPath(desired), own);
  outcome.previousSettings = { ...others.previousSettings, ...begun?.previousSettings, ...outcome.previousSettings };
  if (begun?.walGap === true || others.walGap === true) outcome.walGap = true;
  refuseOtherArchiving(desired.settings, outcome.previousSettings);
}

/** What a component that left had beyond this one, such as timers and keys, is removed like files of our own. */
async function takeLeftFiles(connection: Connection, desired: DesiredHost, outcome: HostOutcome): Promise<void> {
  if (desired.owner === undefined) return;
  const files = await filesOfLeft(connection, ownersPath(desired));
  outcome.fileFacts = { ...Object.fromEntries(files.map((path) => [path, "missing"])), ...outcome.fileFacts };
}

/** Notes what {@link resumeSettings} reads, on the host itself. */
async function noteSettings({ connection, desired, outcome }: Update): Promise<void> {
  const { owner } = desired;
  const { previousSettings, walGap } = outcome;
  if (owner === undefined) return;
  await writeBegun(connection, ownersPath(desired), owner, { previousSettings, ...given({ walGap }) });
}

/** Whether the packages to install include stock pgBackRest: only if its program is missing. */
async function withMissingStock(
  connection: Connection,
  { postgres, stock }: DesiredHost,
): Promise<DesiredHost["postgres"]> {
  if (postgres?.install !== true || stock?.argv[0] !== PACKAGED_PGBACKREST) return postgres;
  const { exitCode } = await connection.exec(["test", "-x", PACKAGED_PGBACKREST]);
  return exitCode === 0 ? postgres : { ...postgres, pgbackrest: true };
}

/** The true state. Parts that PostgreSQL or the repositories do not answer stay unknown. */
export async function readHost(
  connection: Connection,
  identity: HostIdentity,
  before: HostOutcome,
  owners: FileOwners,
  log: LogLine,
): Promise<HostOutcome> {
  const looked = lookedAt(identity, owners);
  const facts = await readState(connection, queryOf(looked), VERB_TIMEOUT_MS);
  const { detected, problems } = detectionOf(looked, facts, accountsIn(facts, identity.user, connection));
  for (const line of problems) log(line);
  if (before.machineId !== undefined && facts.machineId !== "" && before.machineId !== facts.machineId)
    log(`${connection.name} has another machine-id than at the last update: is it the same machine?`);
  // A server that is down, or of another cluster at the same port, says nothing about this one.
  const isOwn =
    identity.container !== undefined || facts.clusterVersion === String(Math.floor(detected.serverVersion / 10_000));
  const serverVersion = isOwn ? detected.serverVersion : before.serverVersion;
  // The last update was killed after the state was stored: only another one proves the host.
  const isKilled = isUnfinished(facts.answers.get("record"), [identity.owner]);
  // A repository that it added may still lack the backup after its gap.
  const destinations = isKilled ? withoutNew(detected.destinations, before.destinations) : detected.destinations;
  return { ...structuredClone(isKilled ? afterKilled(before) : before), ...detected, destinations, serverVersion };
}

function lookedAt(
  identity: HostIdentity,
  owners: FileOwners,
  more: Partial<Pick<DesiredHost, "directoriesToMake" | "directoriesToKeep" | "mounts">> = {},
  formerOwnersPaths: readonly (string | undefined)[] = [],
): Looked {
  const { directoriesToKeep = [], directoriesToMake = [], mounts = [] } = more;
  const written = directoriesToKeep.map(({ path }) => path);
  return {
    user: identity.user,
    dataDirectory: identity.dataDirectory,
    container: identity.container,
    ownersPaths: [...new Set([ownersPath(identity), ...formerOwnersPaths.filter((path) => path !== undefined)])],
    unitsDirectory: identity.directories.units,
    runtimeArgv: identity.runtimeArgv,
    launcher: identity.launcher,
    units: identity.units.enabled,
    settings: identity.settings,
    owners,
    node: identity.node,
    directories: [...directoriesToMake.map(({ path }) => path), ...written],
    mounts,
    written,
  };
}

function ownersOf(files: readonly DesiredFile[]): FileOwners {
  return Object.fromEntries(files.map((file) => [file.path, file.owner]));
}

function isEmptyDifference(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item) => right.includes(item));
}

async function applyAll(update: Update, accounts: Accounts): Promise<void> {
  const { connection, desired, outcome, log } = update;
  const wasReady = outcome.ready;
  outcome.ready = false;
  const made = await makeDirectories(connection, desired.directoriesToMake, accounts);
  outcome.madeDirectories = [...new Set([...outcome.madeDirectories, ...made])];
  await makeDirectories(connection, desired.directoriesToKeep, accounts);

  // WAL may go there from now on, whatever becomes of this update.
  if (outcome.locations !== undefined) outcome.locations = withoutMoved(outcome.locations, desired.locations ?? {});
  const { changed: written, left } = await applyFiles(update, accounts);
  // After an incomplete update, services may not have read its files yet.
  const changed = wasReady ? written : [...new Set([...written, ...desired.files.map(({ path }) => path)])];
  // Before the settings name its socket.
  const systemd = await isSystemdRunning(connection, desired.directories.units);
  if (systemd) await startServing(connection, desired.units, changed);
  const runtime = runtimeOf(connection, desired, accounts.database, log);
  if (!archives(desired)) {
    await removeLeft(update, left, runtime);
    outcome.firstBackup = "off";
    // For drills, if there are any.
    if (desired.units.enabled.length > 0) await applyUnits(update, changed);
    await logDestinations(update, runtime);
    outcome.ready = true;
    return;
  }
  await bringCluster(runtime, desired, log);
  const settingsChanged = await applySettings(update, runtime, !wasReady);
  await removeLeft(update, left, runtime);

  const isLacking = desired.firstBackup && lackingFull(outcome.destinations).length > 0;
  if (!wasReady || settingsChanged || isLacking || changed.some((path) => !isUnitPath(path))) {
    const verbs = desired.stock === undefined ? runtimeVerbs(runtime) : stockVerbs(runtime, desired.stock);
    await followUpgrade(update, runtime);
    log("creating the stanza");
    await verbs.createStanza();
    outcome.stanzaMade = true;
    // Nothing at PostgreSQL starts an agent that reads a slot.
    if (systemd && BY_SLOT in desired.settings) await enableUnits(connection, servicesOf(desired.units), changed);
    const hadGap = outcome.walGap === true;
    if (!outcome.pendingRestart) await applyFirstRun(update, runtime, verbs);
    if (hadGap && outcome.walGap === undefined && desired.owner !== undefined)
      await closeGap(connection, ownersPath(desired));
  }
  outcome.stanzaMade = true;
  await applyUnits(update, changed);
  await proveDestinations(update, runtime);
  outcome.ready = !outcome.pendingRestart;
}

/** After pg_upgrade: the runtime refuses unless the cluster was made from the stanza's. */
async function followUpgrade({ outcome, log }: Update, runtime: RuntimeOnHost): Promise<void> {
  const { upgradedFrom } = outcome;
  if (upgradedFrom === undefined) return;
  log(`upgrading the stanza, which was that of ${upgradedFrom}`);
  await upgradeStanza(runtime, upgradedFrom);
  delete outcome.upgradedFrom;
}

/**
 * Writes files that differ, removes those no longer declared. `left` are files to remove after the settings: a previous
 * engine archives with them until then.
 */
async function applyFiles(
  update: Update,
  accounts: Accounts,
): Promise<{ readonly changed: string[]; readonly left: readonly string[] }> {
  const { connection, desired, outcome, log } = update;
  const declared = new Set(desired.files.map((file) => file.path));
  const stale = Object.keys(outcome.fileFacts).filter((path) => !declared.has(path));
  // Secrets of a removed repository would add it again, under the configuration about to be written.
  const early = stale.filter((path) => path.endsWith(".timer") || path.startsWith(`${desired.directories.config}/`));
  const left = stale.filter((path) => !early.includes(path));
  await removeStale(update, early);
  // Recorded before writing: whatever happens later, we remove these paths.
  outcome.fileFacts = {
    ...outcome.fileFacts,
    ...Object.fromEntries([...declared].map((path) => [path, outcome.fileFacts[path] ?? "missing"])),
  };
  const written = await writeFiles(connection, desired.files, accounts);
  for (const path of written) log(`wrote ${path}`);
  // Accounts that run it cannot write next to it, but read what root writes; without this cache it starts more slowly,
  // which is no error.
  if (written.includes(programOf(desired))) {
    const version = [...desired.runtimeArgv.slice(0, 2), "version"];
    await connection.exec(["/bin/sh", "-c", 'umask 022; exec "$@"', "sh", ...version]).catch(() => null);
  }
  const facts = await readFileFacts(connection, ownersOf(desired.files), accounts);
  const remaining = stale.filter((path) => outcome.fileFacts[path] !== undefined);
  outcome.fileFacts = {
    ...Object.fromEntries(remaining.map((path) => [path, outcome.fileFacts[path] ?? "missing"])),
    ...facts,
  };
  return { changed: [...stale, ...written], left };
}

/**
 * Removes the files of a previous engine. Those of an agent stay on record until no commit waits for it, so that the
 * next update repeats what failed.
 */
async function removeLeft(update: Update, left: readonly string[], runtime: RuntimeOnHost): Promise<void> {
  if (hasAgent(left) && !hasAgent(update.desired.files.map(({ path }) => path))) {
    // Not before it ended: it would set the name again.
    await stopUnits(update, left);
    await dropSynchronous(runtime, update.log);
  }
  await removeStale(update, left);
}

async function stopUnits({ connection, desired }: Update, paths: readonly string[]): Promise<void> {
  const units = unitsIn(paths);
  if (units.length > 0 && (await isSystemdRunning(connection, desired.directories.units)))
    await disableUnits(connection, units);
}

/** Stops the units among them, and removes all but what a standby needs, which stays on record. */
async function removeStale(update: Update, all: readonly string[]): Promise<void> {
  const { account, connection, desired, outcome, log } = update;
  const needed = await neededByStandby(connection, account, desired, all, log);
  const stale = all.filter((path) => !needed.includes(path));
  if (stale.length === 0) return;
  await stopUnits(update, stale);
  await removeFiles(connection, withCompiled(stale, desired));
  for (const path of stale) log(`removed ${path}`);
  outcome.fileFacts = Object.fromEntries(Object.entries(outcome.fileFacts).filter(([path]) => !stale.includes(path)));
}

/**
 * Sets values that differ and restarts if needed and allowed. Returns true if a setting changed or took effect.
 * @param isNew the server may be another one than at the last update
 */
async function applySettings(update: Update, runtime: RuntimeOnHost, isNew: boolean): Promise<boolean> {
  const { connection, desired, isShared, log, outcome } = update;
  const names = Object.keys(desired.settings);
  let live = await askServer(runtime, desired);
  const inFile = await readPreviousSettings(runtime, desired, names);
  const begins = beginsToArchive({ desired, isShared, outcome }, live, inFile);
  for (const name of names) {
    // Our own value from a run whose state was lost, or of a component that had another name, is no previous value.
    if (!(name in outcome.previousSettings)) {
      const value = inFile[name] ?? null;
      outcome.previousSettings = {
        ...outcome.previousSettings,
        [name]: isShared || value === desired.settings[name] ? null : value,
      };
    }
  }
  const waited = outcome.pendingRestart;
  await checkServer(connection, desired, live);
  if (desired.stockVersion !== null) checkStockKnows(desired.stockVersion, live.serverVersion);
  if (isNew && outcome.upgradedFrom === undefined) requireOwnStanza(await readDestinations(runtime), live, desired);
  if (begins) outcome.walGap = true;
  const different = names.filter((name) => settingNow(name, live, inFile) !== desired.settings[name]);
  // A killed update leaves no other trace of the previous values, and of the gap.
  if (different.length > 0 || begins) await noteSettings(update);
  if (different.length > 0) {
    for (const name of different) log(`setting ${name} = ${desired.settings[name]}`);
    live = await writeSettings(runtime, desired.settings);
    if (desired.owner !== undefined) await markSet(connection, ownersPath(desired), desired.owner);
  }
  if (isPending(live, names) && desired.allowRestart) {
    live = await restart(runtime, desired, log);
    if (isPending(live, names))
      throw new Error(
        `PostgreSQL still waits for a restart after ${desired.restartCommand.join(" ") || "its unit was restarted"}: does that restart the server of ${desired.dataDirectory}?`,
      );
  }
  await refreshSettings(runtime, desired, outcome);
  if (outcome.pendingRestart) {
    log(
      "WARN: archive_mode takes effect at the next restart of PostgreSQL: restart it, then run the update again (or set allowRestart)",
    );
  }
  return different.length > 0 || (waited && !outcome.pendingRestart);
}

/**
 * True if the server's WAL has gone nowhere until now, or to another program's archive. Another text of our own command
 * is no beginning, and neither is that of a component which declares the host too.
 */
function beginsToArchive(
  { desired, isShared, outcome }: Pick<Update, "desired" | "isShared" | "outcome">,
  live: LiveSettings,
  inFile: PreviousSettings,
): boolean {
  // The agent that reads the slot closes gaps itself.
  if (BY_SLOT in desired.settings) return false;
  if (live.values["archive_mode"] === "off") return true;
  const command = settingNow(BY_COMMAND, live, inFile);
  return !isShared && ![desired.settings[BY_COMMAND], outcome.settingFacts[BY_COMMAND]].includes(command);
}

/** Requirements for archiving. @throws Error if it is another server, or one that would not start again */
async function checkServer(connection: Connection, desired: DesiredHost, live: LiveSettings): Promise<void> {
  requireWalLevel(live.values["wal_level"], desired.settings);
  if (desired.container !== undefined) return checkContainer(desired, live);
  const compare = ["readlink", "-f", "--", desired.dataDirectory, live.dataDirectory];
  const { stdout } = await run(connection, "compare the data directories", compare);
  const [declared, running] = stdout.trim().split("\n");
  if (declared !== running) {
    throw new Error(
      `the running server's data are in ${live.dataDirectory}, not in ${desired.dataDirectory}: set port, socketDirectory or dataDirectory`,
    );
  }
  const library = BY_COMMAND in desired.settings ? (live.values["archive_library"] ?? "") : "";
  if (library !== "") throw new Error(`archive_library is ${library}: it replaces archive_command; reset it first`);
}

/**
 * Reads the content of each repository.
 * @throws Error if one lacks the full backup that this update should have taken
 */
async function proveDestinations({ desired, outcome, log }: Update, runtime: RuntimeOnHost): Promise<void> {
  const destinations = await readDestinations(runtime);
  outcome.destinations = renderDestinations(destinations);
  for (const line of destinationLines(outcome.destinations)) log(line);
  const lacking = lackingFull(outcome.destinations).map((repoIndex) => `repo${repoIndex}`);
  if (lacking.length === 0 || outcome.pendingRestart) return;
  const fact = `${lacking.join(", ")} ${lacking.length === 1 ? "holds" : "hold"} no full backup: nothing can be restored from there`;
  if (desired.firstBackup) throw new Error(`${fact}; run the update again, and see the log of the backup`);
  log(
    `WARN: ${fact}; set firstBackup, or take one with: pgbackstop backup --type=full --repo=${lacking[0]?.slice(4) ?? ""}`,
  );
}

/** Reports what a restore-only host can restore; an empty repository is not its fault. */
async function logDestinations({ outcome, log }: Update, runtime: RuntimeOnHost): Promise<void> {
  try {
    const destinations = await readDestinations(runtime);
    outcome.destinations = renderDestinations(destinations);
    for (const destination of destinations) log(destinationText(destination));
  } catch (error) {
    outcome.destinations = "";
    log(`WARN: the repositories cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function applyUnits({ connection, desired, outcome, log }: Update, changed: readonly string[]): Promise<void> {
  outcome.timersEnabled = await isSystemdRunning(connection, desired.directories.units);
  if (!outcome.timersEnabled) {
    outcome.unitFacts = {};
    if (desired.units.enabled.length > 0 && changed.length > 0) {
      log(`WARN: timers are written to ${desired.directories.units} but not enabled: systemd is not running there`);
    }
    return;
  }
  await enableUnits(connection, timersAndServicesOf(desired.units), changed);
  outcome.unitFacts = { ...(await readUnits(connection, desired.units.enabled)) };
}

async function refreshSettings(runtime: RuntimeOnHost, identity: HostIdentity, outcome: HostOutcome): Promise<void> {
  const names = Object.keys(identity.settings);
  const live = await readSettings(runtime);
  const inFile = await readPreviousSettings(runtime, identity, names);
  outcome.serverVersion = live.serverVersion;
  outcome.pendingRestart = isPending(live, names);
  outcome.settingFacts = settingFactsOf(identity.settings, live, inFile);
}

async function readFileFacts(connection: Connection, owners: FileOwners, accounts: Accounts): Promise<FileFacts> {
  const facts = [...(await readFacts(connection, Object.keys(owners)))];
  return Object.fromEntries(facts.map(([path, fact]) => [path, factText(fact, owners[path] ?? "admin", accounts)]));
}

type FileFacts = HostOutcome["fileFacts"];
