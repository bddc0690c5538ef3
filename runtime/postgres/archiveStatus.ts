/**
 * `pg_wal/archive_status`: the files that PostgreSQL has ready for the archive. Source: PostgreSQL
 * "src/backend/postmaster/pgarch.c".
 */
import { statSync, stat } from "../local/nodeFiles";
import { namesIfThere } from "../local/systemError";
import { parseWalName, SEGMENT_NAME } from "../format/wal/walSegment";

/**
 * Names of WAL files with a `.ready` file, ascending, timeline histories first as in PostgreSQL; at most `limit`.
 * @throws pathOpen (53) when it cannot be seen
 */
export async function listReady(walDirectory: string, limit: number): Promise<string[]> {
  const ready = await listStatus(walDirectory, ".ready");
  const rank = (name: string): string => (name.endsWith(".history") ? `0${name}` : `1${name}`);
  return ready.sort((left, right) => (rank(left) < rank(right) ? -1 : 1)).slice(0, limit);
}

/**
 * Names of WAL files that PostgreSQL takes for archived and has not removed yet, in any order.
 * @throws pathOpen (53)
 */
export function listDone(walDirectory: string): Promise<string[]> {
  return listStatus(walDirectory, ".done");
}

/** The newest complete segment of {@link listDone}; null if the directory has none, or cannot be read. */
export async function newestDone(walDirectory: string): Promise<string | null> {
  const names = await listDone(walDirectory).catch(() => [] as string[]);
  return (
    names
      .filter((name) => SEGMENT_NAME.test(name))
      .sort()
      .at(-1) ?? null
  );
}

async function listStatus(walDirectory: string, ending: string): Promise<string[]> {
  const path = `${walDirectory}/archive_status`;
  const names = (await namesIfThere(path)) ?? [];
  return names.flatMap((name) => {
    const walName = name.slice(0, -ending.length);
    return name.endsWith(ending) && parseWalName(walName) !== null ? [walName] : [];
  });
}

/** True while PostgreSQL wants to archive the file; also when that cannot be seen. */
export function isReady(walDirectory: string, walName: string): boolean {
  const directory = `${walDirectory}/archive_status`;
  return exists(`${directory}/${walName}.ready`) || !exists(directory);
}

/** True once PostgreSQL has written the whole file: it waits for the archive, or is stored. */
export function isFinished(walDirectory: string, walName: string): boolean {
  return [".ready", ".done"].some((end) => exists(`${walDirectory}/archive_status/${walName}${end}`));
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Number of waiting WAL files, and since when the first one waits; null without a directory that may be listed. */
export async function waitingWal(
  walDirectory: string,
): Promise<{ readonly count: number; readonly oldestAtS: number | null } | null> {
  const directory = `${walDirectory}/archive_status`;
  if ((await stat(directory).catch(() => null)) === null) return null;
  const names = await listReady(walDirectory, Number.POSITIVE_INFINITY).catch(() => null);
  if (names === null) return null;
  const first = names[0] === undefined ? null : await stat(`${directory}/${names[0]}.ready`).catch(() => null);
  return { count: names.length, oldestAtS: first === null ? null : Math.floor(first.mtimeMs / 1000) };
}
