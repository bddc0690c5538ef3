/** `pg_wal/archive_status`: which files PostgreSQL has ready for the archive. Source: PostgreSQL "src/backend/postmaster/pgarch.c". */
import { readdir } from "node:fs/promises";
import { parseWalName } from "../format/walSegment";

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
