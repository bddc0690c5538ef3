/** `pg_wal/archive_status`: which files PostgreSQL has ready for the archive. Source: PostgreSQL "src/backend/postmaster/pgarch.c". */
import { readdir, stat } from "node:fs/promises";
import { parseWalName } from "../format/wal/walSegment";

/**
 * Names of WAL files that wait for the archive (a `.ready` file is there), ascending, timeline histories first as PostgreSQL sends them;
 * at most `limit`. A directory that cannot be read gives none: looking ahead is a help, never a duty.
 */
export async function listReady(walDirectory: string, limit: number): Promise<string[]> {
  const names = await readdir(`${walDirectory}/archive_status`).catch(() => [] as string[]);
  const ready: string[] = [];
  for (const name of names) {
    if (!name.endsWith(".ready")) continue;
    const walName = name.slice(0, -".ready".length);
    if (parseWalName(walName) !== null) ready.push(walName);
  }
  const rank = (name: string): string => (name.endsWith(".history") ? `0${name}` : `1${name}`);
  return ready.sort((left, right) => (rank(left) < rank(right) ? -1 : 1)).slice(0, limit);
}

/** How many WAL files wait, and since when the first of them; null where there is no server's directory. */
export async function waitingWal(walDirectory: string): Promise<{ readonly count: number; readonly oldestAtS: number | null } | null> {
  const directory = `${walDirectory}/archive_status`;
  if ((await stat(directory).catch(() => null)) === null) return null;
  const names = await listReady(walDirectory, Number.POSITIVE_INFINITY);
  const first = names[0] === undefined ? null : await stat(`${directory}/${names[0]}.ready`).catch(() => null);
  return { count: names.length, oldestAtS: first === null ? null : Math.floor(first.mtimeMs / 1000) };
}
