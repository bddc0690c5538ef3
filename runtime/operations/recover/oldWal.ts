/**
 * Saves WAL of the old data that no repository has: what the server wrote after its last archived segment, before it
 * died or was stopped. PostgreSQL searches pg_wal for segments that the archive lacks ("Continuous Archiving",
 * recovering, step 6). So `recover` copies the files into the new data directory, `restore` moves them to pg_wal before
 * the server can start, and recovery ends where the old server did.
 */
import { chown, copyFile, mkdir, open, readdir, rename, rmdir, stat, unlink } from "../../local/nodeFiles";
import { fail } from "../../base/errors";
import { lsnOfSegment, nextSegment, SEGMENT_NAME, timelineOf } from "../../format/wal/walSegment";
import { syncDirectory } from "../../local/atomicWrite";
import { namesIfThere, nullIfMissing, systemCodeOf, systemError } from "../../local/systemError";
import type { Owner } from "./hostFacts";

/** Name below the data directory. */
export const OLD_WAL = "pgbackstop.old-wal";

/** Header of a WAL page: magic, flags, timeline, address (PostgreSQL "src/include/access/xlog_internal.h"). */
const PAGE_HEAD_BYTES = 16;

export interface OldWal {
  readonly directory: string;
  /** The newest archived segment. */
  readonly last: string;
  /** The followed one; `last` may be on its ancestor. */
  readonly timeline: number;
  readonly segmentSizeBytes: number;
}

/**
 * Copies the segments after the archived ones; returns their names. There may be gaps: segments that were archived
 * since, and are gone here. A repeated call copies them again.
 * @throws fileRead (42) for an old pg_wal that exists and cannot be read
 */
export async function saveOldWal(old: OldWal, dataDirectory: string, account: Owner): Promise<string[]> {
  const { directory } = old;
  const saved: string[] = [];
  try {
    const names = (await nullIfMissing(readdir(directory))) ?? [];
    for await (const name of writtenAfter(old, names)) {
      await saveFile(`${directory}/${name}`, `${dataDirectory}/${OLD_WAL}`, name, account);
      saved.push(name);
    }
  } catch (error) {
    const { hints, kind, message } = systemError("fileRead", `save the old WAL in '${directory}'`, directory, error);
    const wayOut = "It may hold the last commits: make it readable. To recover without it, move that directory away.";
    throw fail(kind, message, { hint: [...hints, wayOut], path: directory, cause: error });
  }
  if (saved.length > 0) await syncDirectory(`${dataDirectory}/${OLD_WAL}`);
  return saved;
}

/**
 * True when this pg_wal leads on from the newest archived segment to the server's last one, which is always in it: then
 * no WAL of this server is anywhere else.
 */
export async function leadsOn(old: OldWal): Promise<boolean> {
  const { directory, last, segmentSizeBytes, timeline } = old;
  const next = (name: string): string => nextSegment(name, segmentSizeBytes).slice(8);
  // The segment with the switch point is on both timelines.
  let position = timelineOf(last) === timeline ? next(last) : last.slice(8);
  const names = await writtenSegments(directory, segmentSizeBytes);
  let hasEnd = names.includes(last);
  for (const name of names.filter((each) => isAfter(each, old))) {
    if (name.slice(8) !== position) return false;
    position = next(name);
    hasEnd = true;
  }
  return hasEnd;
}

/**
 * Names of the segments that pg_wal has with their own content. Never throws: a running server may remove one at any
 * time, and a disk that dies must not keep anybody from a recovery without it.
 */
export async function writtenSegments(directory: string, segmentSizeBytes: number): Promise<string[]> {
  const written: string[] = [];
  const names = (await readdir(directory).catch(() => [] as string[])).filter((name) => SEGMENT_NAME.test(name));
  for (const name of names.toSorted())
    if (await isWritten(`${directory}/${name}`, name, segmentSizeBytes).catch(() => false)) written.push(name);
  return written;
}

/** Moves what {@link saveOldWal} copied to pg_wal. */
export async function moveOldWal(dataDirectory: string, walDirectory: string): Promise<void> {
  const directory = `${dataDirectory}/${OLD_WAL}`;
  const names = await namesIfThere(directory);
  if (names === null) return;
  for (const name of names) {
    const [from, to] = [`${directory}/${name}`, `${walDirectory}/${name}`];
    try {
      await rename(from, to);
    } catch (error) {
      if (systemCodeOf(error) !== "EXDEV") throw systemError("fileMove", `move '${from}' to '${to}'`, from, error);
      await saveFile(from, walDirectory, name, await stat(from));
      await unlink(from);
    }
  }
  await syncDirectory(walDirectory);
  await rmdir(directory);
}

/** Segments of pg_wal that the archive lacks, in their order. A recycled file still holds its old content. */
async function* writtenAfter(old: OldWal, names: readonly string[]): AsyncIterable<string> {
  const { directory, segmentSizeBytes } = old;
  for (const name of names.toSorted())
    if (isAfter(name, old) && (await isWritten(`${directory}/${name}`, name, segmentSizeBytes))) yield name;
}

function isAfter(name: string, { last, timeline }: OldWal): boolean {
  if (!SEGMENT_NAME.test(name) || timelineOf(name) !== timeline) return false;
  // The segment with the switch point is on both timelines.
  return timelineOf(last) === timeline ? name > last : name.slice(8) >= last.slice(8);
}

async function saveFile(
  from: string,
  directory: string,
  name: string,
  { gid, uid }: Pick<Owner, "gid" | "uid">,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const target = `${directory}/${name}`;
  await copyFile(from, target);
  await chown(target, uid, gid);
  const handle = await open(target, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function isWritten(path: string, name: string, segmentSizeBytes: number): Promise<boolean> {
  const handle = await open(path, "r");
  try {
    const head = Buffer.alloc(PAGE_HEAD_BYTES);
    const { bytesRead } = await handle.read(head, 0, PAGE_HEAD_BYTES, 0);
    if (bytesRead < PAGE_HEAD_BYTES) return false;
    // A timeline's first segment begins with a copy of its ancestor's.
    return head.readUInt32LE(4) <= timelineOf(name) && head.readBigUInt64LE(8) === lsnOfSegment(name, segmentSizeBytes);
  } finally {
    await handle.close();
  }
}
