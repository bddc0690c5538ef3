/** A host as the state keeps it, between the updates: its identity, and how far an update got. */
import { type Account, type Connection, type LogLine, loadAccount, run } from "./connection";
import { type Accounts, accountsFor, type OwnerRole } from "./desiredFiles";
import type { Detected } from "./detected";
import type { ProgramsOutcome } from "./installPrograms";
import type { NodeLocation } from "./node/nodeChoice";
import { findRestartCommand, type LiveSettings, type PreviousSettings, waitForServer } from "./postgresSettings";
import type { RuntimeOnHost } from "./runtimeVerbs";
import type { UnitNames } from "./systemdUnits";
import { given } from "../../runtime/base/given";

/**
 * Reaches a host and identifies our things on it. Kept in the state, so that reading and removing work without
 * arguments.
 */
export interface HostIdentity {
  /** URN of the component; missing in the state of an earlier version. */
  readonly owner?: string;
  readonly stanza: string;
  /** Account of PostgreSQL. */
  readonly user: string;
  /** In the container if there is one. */
  readonly dataDirectory: string;
  /** For messages, the container that PostgreSQL runs in; omitted if it runs on the host itself. */
  readonly container?: string;
  readonly directories: { readonly config: string; readonly units: string };
  readonly runtimeArgv: readonly string[];
  /** The command that passes the secrets to a verb; omitted if PostgreSQL's account reads them itself. */
  readonly launcher?: string;
  readonly units: UnitNames;
  /**
   * PostgreSQL settings as declared; empty on a host that only restores: nothing writes into a repository there, and no
   * server is queried.
   */
  readonly settings: Readonly<Record<string, string>>;
  readonly allowRestart: boolean;
  readonly restartCommand: readonly string[];
  /** Location of our Node.js; omitted if the host's own is used. */
  readonly node?: NodeLocation;
}

/** The known state of a host after it was converged or read. */
export interface HostOutcome extends Detected, ProgramsOutcome {
  previousSettings: PreviousSettings;
  /** `taken`, `found` (there was a backup), `off`, or `waiting`. */
  firstBackup: string;
  /**
   * True once every repository of the present configuration has the stanza: from then on its passphrases are in use.
   */
  stanzaMade: boolean;
  /** True once stanza, check and first backup succeeded with the present configuration. */
  ready: boolean;
  /**
   * True once an update made the server archive, until each repository has a backup that begins after that; else
   * omitted. WAL before that is in no repository.
   */
  walGap?: true;
  /** The machine's own id, when it has one: the same address may lead to another machine. */
  machineId?: string;
  /**
   * Digest of each repository's location by its name, as of the last update that ended with every backup; omitted by
   * earlier versions, and where locations are secret.
   */
  locations?: Readonly<Record<string, string>>;
  /** Data directory of the cluster that pg_upgrade upgraded, until the stanza follows the new one; else omitted. */
  upgradedFrom?: string;
}

/** A server may recover for long, and waits for its clients before that. */
const RESTART_TIMEOUT_MS = 3_600_000;

/** The file that names the components which declare a host (hostOwners.ts). */
export function ownersPath({ directories }: Pick<HostIdentity, "directories">): string {
  return `${directories.config}/owners`;
}

/** For an unknown host. */
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

/** Path of each file to its owner's role. */
export type FileOwners = Readonly<Record<string, OwnerRole>>;

/** False on a host that only restores. */
export function archives({ settings }: Pick<HostIdentity, "settings">): boolean {
  return Object.keys(settings).length > 0;
}

export function programOf({ runtimeArgv }: Pick<HostIdentity, "runtimeArgv">): string {
  return runtimeArgv[1] ?? "";
}

/** Includes the cache that the program writes next to itself (runtime/start.ts). */
export function withCompiled(paths: readonly string[], identity: Pick<HostIdentity, "runtimeArgv">): string[] {
  const program = programOf(identity);
  return paths.flatMap((path) => (path === program ? [path, `${path}.compiled`] : [path]));
}

export async function loadAccounts(connection: Connection, user: string): Promise<Accounts> {
  return accountsFor(connection.login, await loadAccount(connection, user));
}

export function runtimeOf(
  connection: Connection,
  identity: HostIdentity,
  account: Account,
  log: LogLine,
): RuntimeOnHost {
  const { launcher, runtimeArgv } = identity;
  return { connection, account, argv: runtimeArgv, ...given({ launcher }), onLine: log };
}

export async function restart(runtime: RuntimeOnHost, identity: HostIdentity, log: LogLine): Promise<LiveSettings> {
  const { connection } = runtime;
  const { dataDirectory, restartCommand } = identity;
  const command = restartCommand.length > 0 ? restartCommand : await findRestartCommand(connection, dataDirectory);
  log(`restarting PostgreSQL: ${command.join(" ")}`);
  await run(connection, "restart PostgreSQL", command, { timeoutMs: RESTART_TIMEOUT_MS, startsServer: true });
  return waitForServer(runtime);
}
