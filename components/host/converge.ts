/**
 * Brings a host to its desired state, reads its true state, and takes everything back. The order of an update: directories, files and
 * runtime, PostgreSQL's settings, a restart only where allowed, stanza, check, first backup, units. Repositories are never removed.
 *
 * Everything can be repeated; what is as desired already is not touched. A failure keeps what was reached so far ({@link PartlyApplied}),
 * above all the settings that PostgreSQL had before.
 */
import { type Account, type Connection, loadAccount, run } from "./connection";
import {
  type Accounts,
  accountsFor,
  type DesiredDirectory,
  type DesiredFile,
  desiredText,
  factText,
  makeDirectories,
  type OwnerRole,
  readFacts,
  removeDirectories,
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
  waitForServer,
  writeSettings,
} from "./postgresSettings";
import { destinationText, lackingFull, renderDestinations } from "./hostDestinations";
import { destinationLines, findingOf, isAsDesired, type Looked, queryOf, requireUsable } from "./found";
import { type EngineVerbs, readDestinations, type RuntimeOnHost, runtimeVerbs, VERB_TIMEOUT_MS } from "./runtimeVerbs";
import { checkStock, checkStockKnows, type StockOnHost, stockVerbs } from "./stock";
import type { NodePlace } from "./nodeChoice";
import { requireVersion } from "./postgresInstall";
import { accountsIn, bringPrograms, findNodeNeed, type ProgramsWanted, removeOldNodes } from "./installPrograms";
import { takeBackRestoreCommand } from "./restoreCommand";
import { readState } from "./state";
import {
  checkAgent,
  checkSecretFiles,
  disableUnits,
  enableUnits,
  isSystemdRunning,
  isUnitPath,
  readUnits,
  reloadUnits,
  servingUnits,
  startServing,
  timersOf,
  type UnitNames,
} from "./systemdUnits";

/** What is needed to reach a host and to know which things on it are ours; kept in the state, so that reading and removing work alone. */
export interface HostIdentity {
  readonly stanza: string;
  /** Account of PostgreSQL. */
  readonly user: string;
  readonly dataDirectory: string;
  readonly directories: { readonly config: string; readonly units: string };
  readonly runtimeArgv: readonly string[];
  /** The command that lends the secrets to a verb; left out where PostgreSQL's account reads them itself. */
  readonly launcher?: string;
  readonly units: UnitNames;
  /** PostgreSQL settings as declared; none on a host that only restores: there nothing is written into a repository, and no server is asked. */
  readonly settings: Readonly<Record<string, string>>;
  readonly allowRestart: boolean;
  readonly restartCommand: readonly string[];
  /** Where a Node.js of ours is; left out where it is none of ours. */
  readonly node?: NodePlace;
}

export interface DesiredHost extends HostIdentity, Omit<ProgramsWanted, "directories"> {
  /** Left out where the runtime is the engine. */
  readonly stock?: StockOnHost;
  readonly files: readonly DesiredFile[];
  /** Ours to make and, once empty, to remove. */
  readonly directoriesToMake: readonly DesiredDirectory[];
  /** Made where missing, never removed: repositories, spool and logs. */
  readonly directoriesToKeep: readonly DesiredDirectory[];
  /** Directories that must lie on another file system than the root's. */
  readonly mounts: readonly string[];
  readonly firstBackup: boolean;
  /** Secrets that somebody else keeps on the host: their paths. */
  readonly secretFiles?: readonly string[];
}

/** With the version of stock that is there; null where the runtime is the engine. */
type CheckedHost = DesiredHost & { readonly stockVersion: string | null };

/** What is known of a host after it was converged or read. */
export interface HostOutcome {
  /** Path to its state as one line of text (desiredFiles.ts). */
  fileFacts: Record<string, string>;
  settingFacts: Record<string, string>;
  unitFacts: Record<string, string>;
  timersEnabled: boolean;
  pendingRestart: boolean;
  previousSettings: PreviousSettings;
  madeDirectories: string[];
  serverVersion: number;
  /** Packages, Node.js and the distribution to their versions, as last read. */
  versions: Record<string, string>;
  /** What is at the place of our Node.js (node.ts); empty where it is none of ours. */
  nodeFact: string;
  /** Paths of it that are ours to remove. */
  nodePaths: string[];
  /** `taken`, `found` (there was a backup), `off`, or `waiting`. */
  firstBackup: string;
  /** JSON text: what each repository holds (hostDestinations.ts); empty while nobody has read it. */
  destinations: string;
  /** True once the stanza is in every repository of the present configuration: from then on its passphrases are in use. */
  stanzaMade: boolean;
  /** True once stanza, check and first backup went through with the present configuration. */
  ready: boolean;
}

export type Tell = (line: string) => void;

/** An update that did not get to its end; `outcome` is what was reached. */
export class PartlyApplied extends Error {
  readonly outcome: HostOutcome;

  constructor(outcome: HostOutcome, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = "PartlyApplied";
    this.outcome = outcome;
  }
}

const LOCK_SCRIPT = 'exec flock -w 10 -E 75 "$1" /bin/sh -c "echo locked; exec cat"';

/** Converges the host. @throws Error before anything was changed, PartlyApplied after that */
export async function convergeHost(connection: Connection, desired: DesiredHost, before: HostOutcome | null, tell: Tell): Promise<HostOutcome> {
  const looked = lookedAt(desired, ownersOf(desired.files), desired);
  const wasReady = before !== null && before.ready && isEmptyDifference(Object.keys(before.fileFacts), Object.keys(looked.owners));
  const facts = await readState(connection, queryOf(looked, wasReady), VERB_TIMEOUT_MS);
  if (desired.postgres?.install !== true) accountsIn(facts, desired.user, connection);
  requireUsable(looked, facts, connection.name);
  requireVersion(desired.postgres, desired.dataDirectory, facts, connection.name);
  if (wasReady && findNodeNeed(connection, desired, looked, facts, before.nodeFact) === null) {
    const finding = findingOf(looked, facts, accountsIn(facts, desired.user, connection));
    const files = Object.fromEntries(desired.files.map((file) => [file.path, desiredText(file, sha256Hex(file.content))]));
    if (isAsDesired(looked, finding, facts, { files, expectsFull: desired.firstBackup })) {
      for (const line of destinationLines(finding.found.destinations)) tell(line);
      return { ...structuredClone(before), ...finding.found };
    }
  }
  const checkEngine = async (account: Account | null): Promise<string | null> =>
    desired.stock === undefined || account === null ? null : checkStock(connection, desired.stock, account, tell);
  const stockVersion = await checkEngine(facts.account);
  if (desired.launcher !== undefined) await checkAgent(connection, desired.directories.units);
  await checkSecretFiles(connection, desired.secretFiles ?? []);
  const madeForLock = await makeDirectories(
    connection,
    desired.directoriesToMake.filter((directory) => directory.path === desired.directories.config),
    accountsFor(connection.login, connection.login),
  );
  return withLock(connection, desired.directories.config, async () => {
    const outcome: HostOutcome = before === null ? emptyOutcome() : structuredClone(before);
    outcome.madeDirectories = [...new Set([...outcome.madeDirectories, ...madeForLock])];
    try {
      const accounts = await bringPrograms(connection, desired, looked, outcome, tell);
      await applyAll(connection, { ...desired, stockVersion: stockVersion ?? (await checkEngine(accounts.database)) }, outcome, accounts, tell);
      await removeOldNodes(connection, desired, outcome);
      return outcome;
    } catch (error) {
      outcome.ready = false;
      throw new PartlyApplied(outcome, error);
    }
  });
}

/** The true state. What PostgreSQL or the repositories do not answer is left unknown. */
export async function readHost(
  connection: Connection,
  identity: HostIdentity,
  before: HostOutcome,
  owners: Owners,
  tell: Tell,
): Promise<HostOutcome> {
  const looked = lookedAt(identity, owners);
  const facts = await readState(connection, queryOf(looked), VERB_TIMEOUT_MS);
  const { found, said } = findingOf(looked, facts, accountsIn(facts, identity.user, connection));
  for (const line of said) tell(line);
  return { ...structuredClone(before), ...found };
}

function lookedAt(
  identity: HostIdentity,
  owners: Owners,
  more: Partial<Pick<DesiredHost, "directoriesToMake" | "directoriesToKeep" | "mounts">> = {},
): Looked {
  const { directoriesToKeep = [], directoriesToMake = [], mounts = [] } = more;
  const written = directoriesToKeep.map(({ path }) => path);
  return {
    user: identity.user,
    dataDirectory: identity.dataDirectory,
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

function ownersOf(files: readonly DesiredFile[]): Owners {
  return Object.fromEntries(files.map((file) => [file.path, file.owner]));
}

function isEmptyDifference(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item) => right.includes(item));
}

/** Path of each file to the role that shall own it. */
export type Owners = Readonly<Record<string, OwnerRole>>;

/** Takes back what {@link convergeHost} did: units, settings, a standby's restore_command, files, empty directories; never a repository, spool or log. */
export async function removeHost(connection: Connection, identity: HostIdentity, before: HostOutcome, tell: Tell): Promise<void> {
  const accounts = await loadAccounts(connection, identity.user);
  const hasLock = (await connection.exec(["test", "-d", identity.directories.config])).exitCode === 0;
  const work = async (): Promise<void> => {
    const systemd = await isSystemdRunning(connection, identity.directories.units);
    if (systemd) await disableUnits(connection, timersOf(identity.units));
    await restoreSettings(connection, identity, before, accounts.database, tell);
    if (!archives(identity)) {
      await takeBackRestoreCommand(connection, accounts.database, { dataDirectory: identity.dataDirectory, program: programOf(identity) }, tell);
    }
    if (systemd) await disableUnits(connection, servingUnits(identity.units));
    await removeFiles(connection, [...withCompiled(Object.keys(before.fileFacts), identity), ...before.nodePaths]);
    if (systemd) await reloadUnits(connection);
    const kept = await removeDirectories(connection, before.madeDirectories);
    if (kept.length > 0) tell(`not empty and therefore kept: ${kept.join(", ")}`);
  };
  await (hasLock ? withLock(connection, identity.directories.config, work) : work());
}

async function applyAll(connection: Connection, desired: CheckedHost, outcome: HostOutcome, accounts: Accounts, tell: Tell): Promise<void> {
  const wasReady = outcome.ready;
  outcome.ready = false;
  outcome.stanzaMade = false;
  const made = await makeDirectories(connection, desired.directoriesToMake, accounts);
  outcome.madeDirectories = [...new Set([...outcome.madeDirectories, ...made])];
  await makeDirectories(connection, desired.directoriesToKeep, accounts);

  const { changed: written, left } = await applyFiles(connection, desired, outcome, accounts, tell);
  // What an update that did not get to its end wrote, nobody may have read yet.
  const changed = wasReady ? written : [...new Set([...written, ...desired.files.map(({ path }) => path)])];
  // Before the settings name its socket.
  const systemd = await isSystemdRunning(connection, desired.directories.units);
  if (systemd) await startServing(connection, desired.units, changed);
  const runtime = runtimeOf(connection, desired, accounts.database, tell);
  if (!archives(desired)) {
    await removeStale(connection, desired, outcome, left, tell);
    outcome.firstBackup = "off";
    // Of drills, where there are any.
    if (desired.units.enabled.length > 0) await applyUnits(connection, desired, outcome, changed, tell);
    await tellDestinations(runtime, outcome, tell);
    outcome.ready = true;
    return;
  }
  const settingsChanged = await applySettings(connection, runtime, desired, outcome, tell);
  await removeStale(connection, desired, outcome, left, tell);

  const isLacking = desired.firstBackup && lackingFull(outcome.destinations).length > 0;
  if (!wasReady || settingsChanged || isLacking || changed.some((path) => !isUnitPath(path))) {
    const verbs = desired.stock === undefined ? runtimeVerbs(runtime) : stockVerbs(runtime, desired.stock);
    tell("creating the stanza");
    await verbs.createStanza();
    outcome.stanzaMade = true;
    if (!outcome.pendingRestart) await applyFirstRun(runtime, verbs, desired, outcome, tell);
  }
  outcome.stanzaMade = true;
  await applyUnits(connection, desired, outcome, changed, tell);
  await proveDestinations(runtime, desired, outcome, tell);
  outcome.ready = !outcome.pendingRestart;
}

/** False on a host that only restores. */
function archives({ settings }: Pick<HostIdentity, "settings">): boolean {
  return Object.keys(settings).length > 0;
}

function programOf({ runtimeArgv }: Pick<HostIdentity, "runtimeArgv">): string {
  return runtimeArgv[1] ?? "";
}

/** With the program goes what it leaves beside itself (runtime/start.ts). */
function withCompiled(paths: readonly string[], identity: Pick<HostIdentity, "runtimeArgv">): string[] {
  const program = programOf(identity);
  return paths.flatMap((path) => (path === program ? [path, `${path}.compiled`] : [path]));
}

/**
 * Writes what differs, removes what is no longer declared. `left` is what goes after the settings: an engine that came before archives by it
 * until then.
 */
async function applyFiles(
  connection: Connection,
  desired: DesiredHost,
  outcome: HostOutcome,
  accounts: Accounts,
  tell: Tell,
): Promise<{ readonly changed: string[]; readonly left: readonly string[] }> {
  const declared = new Set(desired.files.map((file) => file.path));
  const stale = Object.keys(outcome.fileFacts).filter((path) => !declared.has(path));
  // Secrets of a repository that is gone would bring it back, under the configuration that is about to be written.
  const early = stale.filter((path) => path.endsWith(".timer") || path.startsWith(`${desired.directories.config}/`));
  const left = stale.filter((path) => !early.includes(path));
  await removeStale(connection, desired, outcome, early, tell);
  // Noted before writing: whatever happens from here on, these paths are ours to remove.
  outcome.fileFacts = { ...outcome.fileFacts, ...Object.fromEntries([...declared].map((path) => [path, outcome.fileFacts[path] ?? "missing"])) };
  const written = await writeFiles(connection, desired.files, accounts);
  for (const path of written) tell(`wrote ${path}`);
  // Who runs it later cannot write beside it; without what this leaves there it starts more slowly, which is no error.
  if (written.includes(programOf(desired))) await connection.exec([...desired.runtimeArgv.slice(0, 2), "version"]).catch(() => null);
  const facts = await readFileFacts(connection, Object.fromEntries(desired.files.map((file) => [file.path, file.owner])), accounts);
  outcome.fileFacts = { ...Object.fromEntries(left.map((path) => [path, outcome.fileFacts[path] ?? "missing"])), ...facts };
  return { changed: [...stale, ...written], left };
}

/** Stops what is among them, and removes them. */
async function removeStale(connection: Connection, desired: DesiredHost, outcome: HostOutcome, stale: readonly string[], tell: Tell): Promise<void> {
  if (stale.length === 0) return;
  const units = stale.filter(isUnitPath).map((path) => path.slice(path.lastIndexOf("/") + 1));
  if (units.length > 0 && (await isSystemdRunning(connection, desired.directories.units))) await disableUnits(connection, units);
  await removeFiles(connection, withCompiled(stale, desired));
  for (const path of stale) tell(`removed ${path}`);
  outcome.fileFacts = Object.fromEntries(Object.entries(outcome.fileFacts).filter(([path]) => !stale.includes(path)));
}

/** Sets what differs and restarts where that is needed and allowed. Returns true when something was changed or is now in force. */
async function applySettings(
  connection: Connection,
  runtime: RuntimeOnHost,
  desired: CheckedHost,
  outcome: HostOutcome,
  tell: Tell,
): Promise<boolean> {
  const names = Object.keys(desired.settings);
  const inFile = await readPreviousSettings(connection, runtime.account, desired.dataDirectory, names);
  for (const name of names) {
    // Ours from an earlier run whose state was lost is no previous value.
    if (!(name in outcome.previousSettings)) {
      const value = inFile[name] ?? null;
      outcome.previousSettings = { ...outcome.previousSettings, [name]: value === desired.settings[name] ? null : value };
    }
  }
  const waited = outcome.pendingRestart;
  let live = await askServer(runtime, desired.dataDirectory);
  await checkServer(connection, desired, live);
  if (desired.stockVersion !== null) checkStockKnows(desired.stockVersion, live.serverVersion);
  const different = names.filter((name) => settingNow(name, live, inFile) !== desired.settings[name]);
  if (different.length > 0) {
    for (const name of different) tell(`setting ${name} = ${desired.settings[name]}`);
    live = await writeSettings(runtime, desired.settings);
  }
  if (isPending(live, names) && desired.allowRestart) {
    tell(`restarting PostgreSQL: ${desired.restartCommand.join(" ")}`);
    await run(connection, "restart PostgreSQL", desired.restartCommand);
    live = await waitForServer(runtime);
    if (isPending(live, names))
      throw new Error(
        `PostgreSQL still waits for a restart after ${desired.restartCommand.join(" ")}: does it restart the server of ${desired.dataDirectory}?`,
      );
  }
  await refreshSettings(connection, runtime, desired, outcome);
  if (outcome.pendingRestart) {
    tell("WARN: archive_mode comes into force with the next restart of PostgreSQL: restart it, then run the update again (or set allowRestart)");
  }
  return different.length > 0 || (waited && !outcome.pendingRestart);
}

/** What must be right before archiving is switched on. @throws Error when the server is another one, or would not start again */
async function checkServer(connection: Connection, desired: DesiredHost, live: LiveSettings): Promise<void> {
  const { stdout } = await run(connection, "compare the data directories", ["readlink", "-f", "--", desired.dataDirectory, live.dataDirectory]);
  const [declared, running] = stdout.trim().split("\n");
  if (declared !== running) {
    throw new Error(
      `the server that answers has its data in ${live.dataDirectory}, not in ${desired.dataDirectory}: set port, socketDirectory or dataDirectory`,
    );
  }
  if (live.values["wal_level"] === "minimal") {
    throw new Error("wal_level is minimal: PostgreSQL would refuse to start with archive_mode on; set it to replica and restart PostgreSQL first");
  }
  const library = live.values["archive_library"] ?? "";
  if (library !== "") throw new Error(`archive_library is ${library}: it takes the place of archive_command; reset it first`);
}

async function applyFirstRun(runtime: RuntimeOnHost, verbs: EngineVerbs, desired: DesiredHost, outcome: HostOutcome, tell: Tell): Promise<void> {
  tell("checking that WAL arrives in the repositories");
  await verbs.checkArchiving();
  if (!desired.firstBackup) {
    outcome.firstBackup = "off";
    return;
  }
  const destinations = await readDestinations(runtime);
  const lacking = lackingFull(renderDestinations(destinations));
  if (lacking.length === 0) {
    if (outcome.firstBackup !== "taken") outcome.firstBackup = "found";
    return;
  }
  outcome.firstBackup = "waiting";
  const isAll = destinations.every(({ newestFull }) => newestFull === null);
  if (isAll) tell("taking the first backup");
  // One of them is new, or lost what it had: WAL alone restores nothing.
  else
    tell(`taking a full backup for ${lacking.map((repoKey) => `repo${repoKey}`).join(" and ")}, which ${lacking.length === 1 ? "has" : "have"} none`);
  await verbs.takeFull(lacking, isAll);
  outcome.firstBackup = "taken";
}

/** Reads from each repository what it holds. @throws Error for one without the full backup that this update should have brought */
async function proveDestinations(runtime: RuntimeOnHost, desired: DesiredHost, outcome: HostOutcome, tell: Tell): Promise<void> {
  const destinations = await readDestinations(runtime);
  outcome.destinations = renderDestinations(destinations);
  for (const destination of destinations) {
    tell(destination.error === undefined && destination.newestFull !== null ? destinationText(destination) : `WARN: ${destinationText(destination)}`);
  }
  const lacking = lackingFull(outcome.destinations).map((repoKey) => `repo${repoKey}`);
  if (lacking.length === 0 || outcome.pendingRestart) return;
  const fact = `${lacking.join(", ")} ${lacking.length === 1 ? "holds" : "hold"} no full backup: nothing can be restored from there`;
  if (desired.firstBackup) throw new Error(`${fact}; run the update again, and see the log of the backup`);
  tell(`WARN: ${fact}; set firstBackup, or take one with: pgbackstop backup --type=full --repo=${lacking[0]?.slice(4) ?? ""}`);
}

/** What a host that only restores can restore; a repository that holds nothing yet is no mistake of it. */
async function tellDestinations(runtime: RuntimeOnHost, outcome: HostOutcome, tell: Tell): Promise<void> {
  try {
    const destinations = await readDestinations(runtime);
    outcome.destinations = renderDestinations(destinations);
    for (const destination of destinations) tell(destinationText(destination));
  } catch (error) {
    outcome.destinations = "";
    tell(`WARN: the repositories cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function applyUnits(connection: Connection, desired: DesiredHost, outcome: HostOutcome, changed: readonly string[], tell: Tell): Promise<void> {
  outcome.timersEnabled = await isSystemdRunning(connection, desired.directories.units);
  if (!outcome.timersEnabled) {
    outcome.unitFacts = {};
    if (desired.units.enabled.length > 0 && changed.length > 0) {
      tell(`WARN: timers are written to ${desired.directories.units} but not enabled: systemd is not running there`);
    }
    return;
  }
  await enableUnits(connection, timersOf(desired.units), changed);
  outcome.unitFacts = { ...(await readUnits(connection, desired.units.enabled)) };
}

async function restoreSettings(connection: Connection, identity: HostIdentity, before: HostOutcome, account: Account, tell: Tell): Promise<void> {
  const names = Object.keys(before.previousSettings);
  if (names.length === 0) return;
  if ((await connection.exec(["test", "-e", `${identity.dataDirectory}/PG_VERSION`], { account })).exitCode !== 0) {
    tell(`${identity.dataDirectory} is gone: there are no settings to put back`);
    return;
  }
  const runtime = runtimeOf(connection, identity, account, tell);
  const program = programOf(identity);
  if ((await connection.exec(["test", "-e", program], { account })).exitCode !== 0) {
    throw new Error(`${program} is gone, and the archive settings cannot be put back without it: run an update, which brings it back, then destroy`);
  }
  const inFile = await readPreviousSettings(connection, account, identity.dataDirectory, names);
  if (inFile["archive_command"] !== identity.settings["archive_command"]) {
    tell("archive_command was changed since: the archive settings are left alone");
    return;
  }
  const live = await writeSettings(runtime, before.previousSettings);
  tell(`put back ${names.join(" and ")}`);
  if (!isPending(live, names)) return;
  if (identity.allowRestart) {
    tell(`restarting PostgreSQL: ${identity.restartCommand.join(" ")}`);
    await run(connection, "restart PostgreSQL", identity.restartCommand);
    await waitForServer(runtime);
  } else {
    tell("WARN: PostgreSQL keeps archive_mode on and therefore all WAL until it is restarted: restart it soon");
  }
}

async function refreshSettings(connection: Connection, runtime: RuntimeOnHost, identity: HostIdentity, outcome: HostOutcome): Promise<void> {
  const names = Object.keys(identity.settings);
  const live = await readSettings(runtime);
  const inFile = await readPreviousSettings(connection, runtime.account, identity.dataDirectory, names);
  outcome.serverVersion = live.serverVersion;
  outcome.pendingRestart = isPending(live, names);
  outcome.settingFacts = settingFactsOf(identity.settings, live, inFile);
}

async function readFileFacts(connection: Connection, owners: Owners, accounts: Accounts): Promise<Record<string, string>> {
  const facts = await readFacts(connection, Object.keys(owners));
  return Object.fromEntries([...facts].map(([path, fact]) => [path, factText(fact, owners[path] ?? "admin", accounts)]));
}

async function loadAccounts(connection: Connection, user: string): Promise<Accounts> {
  return accountsFor(connection.login, await loadAccount(connection, user));
}

function runtimeOf(connection: Connection, identity: HostIdentity, account: Account, tell: Tell): RuntimeOnHost {
  const { launcher, runtimeArgv } = identity;
  return { connection, account, argv: runtimeArgv, ...(launcher === undefined ? {} : { launcher }), onLine: tell };
}

/** The lock is on the configuration's directory itself and ends with the connection: nothing to clean up after a crash. */
async function withLock<T>(connection: Connection, directory: string, work: () => Promise<T>): Promise<T> {
  const held = await connection.hold(["/bin/sh", "-c", LOCK_SCRIPT, "sh", directory]).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(
      /exit code 75/.test(text)
        ? `another update of ${directory} is running on ${connection.name}: try again when it is done`
        : `unable to lock ${directory}: ${text}`,
    );
  });
  try {
    return await work();
  } finally {
    await held.release();
  }
}

/** Of a host of which nothing is known yet. */
export function emptyOutcome(): HostOutcome {
  return {
    fileFacts: {},
    settingFacts: {},
    unitFacts: {},
    timersEnabled: false,
    pendingRestart: false,
    previousSettings: {},
    madeDirectories: [],
    serverVersion: 0,
    versions: {},
    nodeFact: "",
    nodePaths: [],
    firstBackup: "waiting",
    destinations: "",
    stanzaMade: false,
    ready: false,
  };
}
