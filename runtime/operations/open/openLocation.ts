/**
 * What an opened backup keeps on this machine, beside the directory where it is mounted:
 *
 * ```
 * <at>                      the mounted data directory
 * <at>.pgbackstop/          0700, of PostgreSQL's account
 *   open.json               what is open, and which processes serve it
 *   upper/ journal          fetched and written pages
 *   pg_wal/                 the opened server's, linked from the data directory: its syncs do not pass through us
 *   progress.json           how much of the backup is there
 *   restored.auto.conf      postgresql.auto.conf as a restore would write it
 *   wal/                    fetched for the server's recovery; wal.cjs asks for it through wal.sock
 *   serve.log postgres.log  of the process that serves the files, and of PostgreSQL
 *   postgresql.conf hba.conf ident.conf, the socket
 * ```
 */
import { basename } from "node:path";
import { lstat, readdir, readFileSync, readlinkSync, statfsSync, statSync } from "../../local/nodeFiles";
import { utf8 } from "../../base/bytes";
import { BackupError, fail } from "../../base/errors";
import { type Mount, OPENED_SOURCE, parseMountTable } from "../../base/mountTable";
import type { BackupInfo } from "../../format/repository/backupInfo";
import type { ManifestTarget } from "../../format/repository/manifest";
import { atomicWrite, loadReport, replaceReport } from "../../local/atomicWrite";
import type { ProgramEnd } from "../../local/program";
import { bootId } from "../../local/lockState";
import { statOf } from "../../local/lockState";
import { isMissing, systemCodeOf, systemError, textIfThere } from "../../local/systemError";
import type { RecoveryRequest } from "../restore/recovery";
import type { OldWal } from "../recover/oldWal";
import type { Settings } from "../shared/settingsText";
import type { PlannedLink } from "../restore/restorePlan";
import type { Account } from "./tree";

export interface OpenLocation {
  readonly at: string;
  readonly folder: string;
  readonly upper: string;
  readonly journal: string;
  readonly serverWal: string;
  readonly progress: string;
  readonly restoredConf: string;
  /** Fetched ahead for the recovery, and given to it. */
  readonly wal: string;
  readonly fetchedWal: string;
  readonly walScript: string;
  readonly walSocket: string;
  readonly serveLog: string;
  readonly serverLog: string;
}

export function openLocation(at: string): OpenLocation {
  const folder = `${at}.pgbackstop`;
  return {
    at,
    folder,
    upper: `${folder}/upper`,
    journal: `${folder}/journal`,
    serverWal: `${folder}/pg_wal`,
    progress: `${folder}/progress.json`,
    restoredConf: `${folder}/restored.auto.conf`,
    wal: `${folder}/wal`,
    fetchedWal: `${folder}/wal/fetched`,
    walScript: `${folder}/wal.cjs`,
    walSocket: `${folder}/wal.sock`,
    serveLog: `${folder}/serve.log`,
    serverLog: `${folder}/postgres.log`,
  };
}

/** A process of this machine, also after its number was given to another one. */
export interface ProcessId {
  readonly pid: number;
  /** Since the machine's boot. */
  readonly startTicks: number;
}

/** What open.json holds. */
export interface OpenState {
  readonly version: 1;
  readonly stanza: string;
  readonly account: Account;
  /** `open` made the directory, and `close` removes it. */
  readonly madeDirectory: boolean;
  /** Absent until the backup was chosen. */
  readonly backup?: {
    readonly label: string;
    readonly repo: string;
    /** The cluster's. */
    readonly systemId: string;
    readonly pgVersion: string;
    readonly sizeBytes: number;
    /** Identifies the manifest's rows, which the journal counts. */
    readonly rows: string;
    /** What could be verified when, in words. */
    readonly verified: string;
    readonly tablespaces: readonly ManifestTarget[];
    /** The followed timeline, where nobody named one and PostgreSQL would take another one. */
    readonly timeline?: string;
  };
  /** Also what nobody reads is fetched. */
  readonly fetchesAll: boolean;
  readonly recovery: Omit<RecoveryRequest, "restoreCommand">;
  /**
   * `preparing`: nothing of it is usable; `prepared`: it can be mounted; `used`: a server has run in it, so that its
   * files may hold writes; `moving`: it becomes a plain data directory.
   */
  readonly phase: "preparing" | "prepared" | "used" | "moving";
  /** Serves the files. */
  readonly server?: ProcessId;
  /** Where it becomes a plain data directory. */
  readonly move?: Move;
  /** Only after `recover --instant`: production runs on it until everything is here. */
  readonly production?: Production;
}

export interface Production {
  /** WAL of the old data that no repository has. */
  readonly oldWal: OldWal | null;
  /** The server has them until the directory is a plain one. */
  readonly settings: Settings;
}

/** To a plain data directory. */
export interface Move {
  readonly to: string;
  readonly tablespaces: readonly (Pick<PlannedLink, "destination" | "location"> & {
    /** The link's, in the data directory. */
    readonly name: string;
  })[];
}

/** Null when nothing is open there. @throws jsonFormat, fileOpen */
export async function loadState({ folder }: OpenLocation): Promise<OpenState | null> {
  const path = stateFile(folder);
  const text = await textIfThere(path);
  if (text === null) return null;
  try {
    const state = JSON.parse(text) as OpenState;
    if (state.version === 1 && ["preparing", "prepared", "used", "moving"].includes(state.phase)) return state;
  } catch {
    // Reported below.
  }
  throw fail("jsonFormat", `'${path}' does not say what is open`, {
    hint: `Unmount and remove '${folder}' yourself.`,
    path,
  });
}

export async function saveState({ folder }: OpenLocation, state: OpenState): Promise<void> {
  await atomicWrite(stateFile(folder), utf8(`${JSON.stringify(state, null, 2)}\n`), { mode: 0o600 });
}

function stateFile(folder: string): string {
  return `${folder}/open.json`;
}

/** Null when no such process runs. */
export function findProcess(pid: number): ProcessId | null {
  const stat = statOf(pid);
  return stat === null || stat.state === "Z" || stat.state === "X" ? null : { pid, startTicks: stat.startTicks };
}

export function isAlive(id: ProcessId | undefined): boolean {
  return id !== undefined && findProcess(id.pid)?.startTicks === id.startTicks;
}

/** Whether `at` has to be made. @throws pathNotEmpty, linkExpected */
export async function isAbsent({ at }: OpenLocation): Promise<boolean> {
  try {
    const info = await lstat(at);
    if (info.isDirectory() && (await readdir(at)).length === 0) return false;
    if (info.isDirectory())
      throw fail("pathNotEmpty", `unable to mount at '${at}': the directory is not empty`, {
        hint: "Choose an empty directory, or one that does not exist.",
      });
  } catch (error) {
    if (isMissing(error)) return true;
    if (error instanceof BackupError) throw error;
    throw systemError("pathOpen", `look at '${at}'`, at, error);
  }
  throw fail("optionInvalidValue", `'${at}' is not valid for 'at' option: it is no directory`);
}

/** A backup that is open on this machine. */
export interface OpenedBackup {
  readonly at: string;
  /** Null while nobody can tell which backup it is. */
  readonly label: string | null;
  readonly repo: string | null;
  readonly systemId: string | null;
  /** False if the process that serves its files has ended. */
  readonly isServed: boolean;
  /** Production runs on it. */
  readonly isProduction: boolean;
  /** Null if nothing says it yet. */
  readonly progress: OpenProgress | null;
  /** Its recovery may still ask for WAL. */
  readonly isRecovering: boolean;
  /** Why what is there cannot be seen. */
  readonly doubt?: string;
}

/** What is open of these clusters, or may be: another cluster of this machine may have the stanza's name. */
export function openedOf(history: BackupInfo["history"], opened: readonly OpenedBackup[]): readonly OpenedBackup[] {
  const systemIds = new Set(history.map(({ systemId }) => String(systemId)));
  return opened.filter(({ systemId }) => systemId === null || systemIds.size === 0 || systemIds.has(systemId));
}

/** Whether one of these backups is open: another cluster may have a backup of the same second. */
export function isOpenedOf(
  { backups, history }: Pick<BackupInfo, "backups" | "history">,
  { label, systemId }: { readonly label: string | null; readonly systemId: string | null },
): boolean {
  const dbId = backups.find((entry) => entry.label === label)?.dbId;
  return history.some((entry) => entry.id === dbId && String(entry.systemId) === systemId);
}

/** How much of the backup's files is there. */
export interface OpenProgress {
  readonly totalBytes: number;
  /** Not fetched, and not replaced by writes. */
  readonly missingBytes: number;
  /** Everything is there, and on the disk: no repository is needed. */
  readonly isWhole: boolean;
  /** Also what nobody reads is fetched. */
  readonly fetchesAll: boolean;
  /** Why the rest is not fetched at the moment. */
  readonly trouble: string | null;
}

export async function saveProgress({ progress }: OpenLocation, report: OpenProgress): Promise<void> {
  await replaceReport(progress, report);
}

export async function loadProgress({ progress }: OpenLocation): Promise<OpenProgress | null> {
  const { fetchesAll, isWhole, missingBytes, totalBytes, trouble } = await loadReport(progress);
  if (typeof totalBytes !== "number" || typeof missingBytes !== "number") return null;
  return {
    totalBytes,
    missingBytes,
    isWhole: isWhole === true,
    fetchesAll: fetchesAll === true,
    trouble: typeof trouble === "string" ? trouble : null,
  };
}

/** Everything that was written there is on the disk when it resolves. @throws fileSync */
export async function syncFileSystem(
  { folder }: OpenLocation,
  { program }: { program(args: readonly string[]): Promise<ProgramEnd> },
): Promise<void> {
  const { exitCode, stderr } = await program(["sync", "-f", folder]);
  if (exitCode !== 0) throw fail("fileSync", `unable to sync the file system of '${folder}': ${stderr.trim()}`);
}

/**
 * Identifies this start of the machine, and this mount of the file system that has the path: what was only in the
 * kernel's memory is gone with either. Numbers of mounts are given again; on a disk the kernel's entry of the mounted
 * file system is not.
 */
export function bootOf(path: string, mounts = mountsOf("self"), superblock = superblockOf): string {
  const holds = ({ path: at }: Mount): boolean => at === "/" || path === at || path.startsWith(`${at}/`);
  const mount = mounts.filter(holds).reduce<Mount | null>((longest, each) => longer(longest, each), null);
  return `${bootId()}-${mount?.id ?? 0}-${mount === null ? 0 : superblock(mount)}`;
}

/** If two have the same path, the second one is seen. */
function longer(left: Mount | null, right: Mount): Mount {
  return left === null || right.path.length >= left.path.length ? right : left;
}

/** Zero where the kernel shows none. */
function superblockOf({ device, type }: Mount): number {
  try {
    const name = basename(readlinkSync(`/sys/dev/block/${device}`));
    return statSync(`/sys/fs/${type}/${name}`).ino;
  } catch {
    return 0;
  }
}

function mountsOf(pid: "self" | number): Mount[] {
  return parseMountTable(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
}

/** What we have mounted at a path, as this process or another one sees it. The path may be a mount itself. */
export function findMount(at: string, pid: "self" | number = "self"): Mount | null {
  const seen = mountsOf(pid).findLast(({ path }) => path === at);
  return seen?.source === OPENED_SOURCE ? seen : null;
}

/** It is mounted, and nobody answers. The kernel knows attributes by heart: only a request shows it. */
export function isDeadMount(at: string): boolean {
  if (findMount(at) === null) return false;
  try {
    statfsSync(at);
    return false;
  } catch (error) {
    return ["ENOTCONN", "ECONNABORTED"].includes(systemCodeOf(error) ?? "");
  }
}
