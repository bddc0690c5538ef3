/**
 * What is open on this machine. A record in the spool says it also while nothing is mounted: after a restart of the
 * machine, after `close --keep`, and for a unit of systemd that does not see the directory.
 *
 * ```
 * <spool-path>/pgbackstop/<stanza>/opened/<SHA-1 of the directory's path>.json
 *   {"version":1,"at":"/mnt/past","backup":{"label":"20261120-020000F","repo":"repo1","systemId":"7…"}}
 * ```
 * `open` writes it before any repository is read, without the backup if that is still to be chosen. A `close` that
 * keeps nothing removes it.
 */
import { dirname } from "node:path";
import { geteuid } from "node:process";
import { fail, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { OPENED_SOURCE, parseMountTable } from "../../base/mountTable";
import { actAs } from "../../local/actAs";
import { atomicWrite, DIRECTORY_MODE, syncDirectory } from "../../local/atomicWrite";
import { isFlocked } from "../../local/lockFile";
import { lchown, lstat, mkdir, stat, unlink } from "../../local/nodeFiles";
import { isMissing, namesIfThere, nullIfMissing, systemError, textIfThere } from "../../local/systemError";
import {
  isAlive,
  loadProgress,
  loadState,
  type OpenedBackup,
  openLocation,
  type OpenLocation,
  type OpenState,
} from "./openLocation";
import { OPENING_LOCK, SERVING_LOCK } from "./openLocks";
import type { Account } from "./tree";

interface OpenedRecord {
  readonly at: string;
  /** Absent until it was chosen. */
  readonly backup?: Chosen;
}

type Chosen = Pick<NonNullable<OpenState["backup"]>, "label" | "repo" | "systemId">;

/** Durable when it resolves. Makes a missing spool path, of the account. @throws errors of {@link atomicWrite} */
export async function saveOpened(spoolPath: string, at: string, state: OpenState): Promise<void> {
  const { account, backup, stanza } = state;
  const chosen: Chosen | undefined = backup && { label: backup.label, repo: backup.repo, systemId: backup.systemId };
  const text = `${JSON.stringify({ version: 1, at, backup: chosen })}\n`;
  const owner = await requireSpool(spoolPath, account);
  // Root leaves only files that the spool's owner can replace, and follows none of its links.
  await actAs(owner, () => atomicWrite(recordFile(spoolPath, stanza, at), Buffer.from(text)));
}

/** Returns whether it was open. @throws fileRemove */
export async function forgetOpened(spoolPath: string, stanza: string, at: string): Promise<boolean> {
  const owner = await nullIfMissing(stat(spoolPath));
  if (owner === null) return false;
  const path = recordFile(spoolPath, stanza, at);
  return actAs(owner, async () => {
    try {
      await unlink(path);
    } catch (error) {
      if (isMissing(error)) return false;
      throw systemError("fileRemove", `remove '${path}'`, path, error);
    }
    await syncDirectory(dirname(path));
    return true;
  });
}

/** The backup that is open at a directory, as its record says. @throws fileOpen, jsonFormat */
export async function findOpened(spoolPath: string, stanza: string, at: string): Promise<Chosen | null> {
  return (await loadRecord(recordFile(spoolPath, stanza, at)))?.backup ?? null;
}

/**
 * The stanza's, by records and by mounts. Where something cannot be read, it counts as open: a backup that is removed
 * by mistake costs every page that was not read yet. What another account has opened with another spool path does not
 * count: nothing would expire until that account closes it.
 * @throws pathOpen, fileOpen, jsonFormat for records that cannot be read
 */
export async function listOpened(
  spoolPath: string,
  stanza: string,
  mountTable: string | null = null,
): Promise<OpenedBackup[]> {
  const records = new Map<string, OpenedRecord>();
  const directory = recordsPath(spoolPath, stanza);
  for (const name of (await namesIfThere(directory)) ?? []) {
    const record = name.endsWith(".json") ? await loadRecord(`${directory}/${name}`) : null;
    if (record !== null) records.set(record.at, record);
  }
  const mounts = parseMountTable(mountTable ?? (await textIfThere("/proc/self/mountinfo")) ?? "");
  // Anybody may mount a file system of this name: the kernel says who has.
  const ours = mounts.filter(({ options, source }) => source === OPENED_SOURCE && options.includes("user_id=0"));
  const opened: OpenedBackup[] = [];
  for (const at of [...new Set([...records.keys(), ...ours.map(({ path }) => path)])].sort()) {
    const seen = await lookAt(openLocation(at), records.get(at), stanza);
    if (seen !== null) opened.push(seen);
  }
  return opened;
}

async function lookAt(
  location: OpenLocation,
  record: OpenedRecord | undefined,
  stanza: string,
): Promise<OpenedBackup | null> {
  const { at, folder } = location;
  let state: OpenState | null = null;
  let doubt: string | undefined;
  try {
    state = await loadState(location);
    if (state !== null && state.stanza !== stanza) state = null;
    if (state === null && record === undefined) return null;
    if (state === null) doubt = `'${folder}' is not seen here`;
  } catch (error) {
    if (record === undefined && (await isForeign(folder))) return null;
    doubt = toBackupError(error).message;
  }
  const chosen = state?.backup ?? record?.backup;
  if (chosen === undefined && state !== null && isUnused(location)) return null;
  if (chosen === undefined && doubt === undefined) doubt = "it is being opened";
  return {
    at,
    label: chosen?.label ?? null,
    repo: chosen?.repo ?? null,
    systemId: chosen?.systemId ?? null,
    isServed: isAlive(state?.server),
    isProduction: state?.production !== undefined,
    progress: state === null ? null : await loadProgress(location),
    isRecovering: state === null || state.phase === "preparing" || (await hasSignal(location)),
    ...(doubt === undefined ? {} : { doubt }),
  };
}

async function isForeign(folder: string): Promise<boolean> {
  const self = geteuid?.();
  if (self === 0) return false;
  try {
    return (await lstat(folder)).uid !== self;
  } catch {
    return true;
  }
}

/** PostgreSQL removes these files at the end of a recovery. One that cannot be looked at counts. */
async function hasSignal({ upper }: OpenLocation): Promise<boolean> {
  try {
    for (const name of ["recovery.signal", "standby.signal"])
      if ((await nullIfMissing(lstat(`${upper}/${name}`))) !== null) return true;
    return false;
  } catch {
    return true;
  }
}

/** An `open` was killed before it has chosen a backup: the next one begins again. */
function isUnused({ folder }: OpenLocation): boolean {
  return [OPENING_LOCK, SERVING_LOCK].every((name) => isFlocked(`${folder}/${name}`) === false);
}

async function loadRecord(path: string): Promise<OpenedRecord | null> {
  const text = await textIfThere(path);
  if (text === null) return null;
  try {
    const { at, backup, version } = JSON.parse(text) as Partial<OpenedRecord & { readonly version: number }>;
    const isChosen = [backup?.label, backup?.repo, backup?.systemId].every((field) => typeof field === "string");
    if (version === 1 && typeof at === "string" && (backup === undefined || isChosen))
      return backup === undefined ? { at } : { at, backup };
  } catch {
    // Reported below.
  }
  throw fail("jsonFormat", `'${path}' does not say what is open`, {
    hint: "It is the record of an opened backup. Close that one, or remove the file if nothing is open.",
    path,
  });
}

function recordsPath(spoolPath: string, stanza: string): string {
  return `${spoolPath}/pgbackstop/${stanza}/opened`;
}

function recordFile(spoolPath: string, stanza: string, at: string): string {
  return `${recordsPath(spoolPath, stanza)}/${sha1Hex(at)}.json`;
}

/** Its owner. A spool path that root has made would stop the account's other commands. */
async function requireSpool(spoolPath: string, account: Account): Promise<Account> {
  const there = await nullIfMissing(stat(spoolPath));
  if (there !== null) return there;
  try {
    const first = await mkdir(spoolPath, { recursive: true, mode: DIRECTORY_MODE });
    for (let path = spoolPath; first !== undefined && path.startsWith(first); path = dirname(path))
      await lchown(path, account.uid, account.gid);
  } catch (error) {
    throw systemError("pathCreate", `create path '${spoolPath}'`, spoolPath, error);
  }
  return account;
}
