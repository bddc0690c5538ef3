/**
 * What an agent that archives through a replication slot keeps in `<spool-path>/pgbackstop/<stanza>`:
 *
 * - `slot/archive_status/<WAL file>.ready` and `.done`, as PostgreSQL has them in `pg_wal` for its archiver: which
 *   files are finished, and which are acknowledged. An agent derives them from the slot again at each connection.
 * - `slot.json`: the acknowledged position, to find a gap after the loss of a slot. Durable.
 * - `slot-report.json`: the slot's state for metrics and status, replaced every few seconds.
 */
import { dirname } from "node:path";
import { mkdir, readdir, rename, rm, writeFile } from "./nodeFiles";
import { atomicWrite, loadReport, replaceReport } from "./atomicWrite";
import { isMissing, systemError } from "./systemError";

export interface SlotPosition {
  readonly systemId: bigint;
  readonly timeline: number;
  readonly lsn: bigint;
}

export interface SlotReport {
  readonly slot: string;
  readonly atS: number;
  /** When the slot was last read; null if never. */
  readonly activeAtS: number | null;
  /** True while the agent reads the slot. */
  readonly isActive: boolean;
  /** `reserved`, `extended`, `unreserved`, `lost`; null while the server does not answer. */
  readonly walStatus: string | null;
  readonly retainedBytes: number;
  /** WAL until the server drops what the slot needs; null without a limit. */
  readonly safeBytes: number | null;
  /** How often WAL was gone before it was archived. */
  readonly lossCount: number;
  /** Why the slot is not read; null while it is. */
  readonly trouble: string | null;
}

const POSITION = "slot.json";
const REPORT = "slot-report.json";

/** Its `archive_status` says which WAL files are finished. */
export function slotDirectory(spoolPath: string, stanza: string): string {
  return `${spoolPath}/pgbackstop/${stanza}/slot`;
}

/** Null if it is missing or unreadable: the slot alone then shows where to begin. */
export async function loadSlotPosition(spoolPath: string, stanza: string): Promise<SlotPosition | null> {
  const value = await loadReport(`${spoolPath}/pgbackstop/${stanza}/${POSITION}`);
  const { lsn, systemId, timeline } = value;
  if (typeof lsn !== "string" || typeof systemId !== "string" || typeof timeline !== "number") return null;
  if (!/^\d+$/.test(lsn) || !/^\d+$/.test(systemId)) return null;
  return { systemId: BigInt(systemId), timeline, lsn: BigInt(lsn) };
}

/** Null forgets it. Durable when it resolves. @throws fileWrite and the like */
export async function saveSlotPosition(
  spoolPath: string,
  stanza: string,
  position: SlotPosition | null,
): Promise<void> {
  const path = `${spoolPath}/pgbackstop/${stanza}/${POSITION}`;
  if (position === null) return rm(path, { force: true });
  const { lsn, systemId, timeline } = position;
  const text = JSON.stringify({ version: 1, systemId: String(systemId), timeline, lsn: String(lsn) });
  await atomicWrite(path, Buffer.from(`${text}\n`, "utf8"));
}

/** Null if no agent has reported yet. */
export async function loadSlotReport(spoolPath: string, stanza: string): Promise<SlotReport | null> {
  const value = await loadReport(`${spoolPath}/pgbackstop/${stanza}/${REPORT}`);
  const { activeAtS, atS, isActive, lossCount, retainedBytes, safeBytes, slot, trouble, walStatus } = value;
  if (typeof slot !== "string" || typeof atS !== "number" || typeof retainedBytes !== "number") return null;
  return {
    slot,
    atS,
    activeAtS: typeof activeAtS === "number" ? activeAtS : null,
    isActive: isActive === true,
    walStatus: typeof walStatus === "string" ? walStatus : null,
    retainedBytes,
    safeBytes: typeof safeBytes === "number" ? safeBytes : null,
    lossCount: typeof lossCount === "number" ? lossCount : 0,
    trouble: typeof trouble === "string" ? trouble : null,
  };
}

/** Why the slot is not read, by the last report beside a directory of {@link slotDirectory}; null if it gives none. */
export async function loadSlotTrouble(readyDirectory: string): Promise<string | null> {
  const { trouble } = await loadReport(`${dirname(readyDirectory)}/${REPORT}`);
  return typeof trouble === "string" ? trouble : null;
}

/** @throws the file system's errors */
export function saveSlotReport(spoolPath: string, stanza: string, report: SlotReport): Promise<void> {
  return replaceReport(`${spoolPath}/pgbackstop/${stanza}/${REPORT}`, { version: 1, ...report });
}

/**
 * Makes `.ready` files of exactly these names, and keeps those that are there: their age is the WAL's. `.done` files
 * stay while `isKept` says so.
 */
export async function setReadyFiles(
  directory: string,
  names: readonly string[],
  isKept: (walName: string) => boolean,
): Promise<void> {
  const status = `${directory}/archive_status`;
  const wanted = new Set(names.map((name) => `${name}.ready`));
  try {
    await mkdir(status, { recursive: true, mode: 0o750 });
    const present = new Set(await readdir(status));
    for (const file of present) {
      const isDone = file.endsWith(".done") && !wanted.has(file.replace(/\.done$/, ".ready"));
      if (!wanted.has(file) && !(isDone && isKept(file.slice(0, -".done".length))))
        await rm(`${status}/${file}`, { force: true });
    }
    for (const file of wanted) if (!present.has(file)) await writeFile(`${status}/${file}`, "", { mode: 0o640 });
  } catch (error) {
    throw systemError("fileWrite", `list finished WAL in '${status}'`, status, error);
  }
}

export async function addReadyFile(directory: string, name: string): Promise<void> {
  const path = `${directory}/archive_status/${name}.ready`;
  try {
    await writeFile(path, "", { mode: 0o640 });
  } catch (error) {
    throw systemError("fileWrite", `write '${path}'`, path, error);
  }
}

/** Acknowledged. */
export async function markDone(directory: string, name: string): Promise<void> {
  const path = `${directory}/archive_status/${name}`;
  try {
    await rename(`${path}.ready`, `${path}.done`);
  } catch (error) {
    if (!isMissing(error)) throw systemError("fileMove", `move '${path}.ready'`, path, error);
  }
}
