/**
 * WAL segments of a bed: writes them one after the other, finds them in repositories that are directories, and measures
 * how long archiving took.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { TestBed } from "./testBed";

/**
 * Fills and ends segments one after the other, in a table `t (id int, filler text)`. Returns their names.
 * @throws Error if a name occurs twice
 */
export async function writeSegments(bed: TestBed, count: number): Promise<string[]> {
  const client = await bed.cluster.connect();
  const names = new Set<string>();
  try {
    for (let no = 0; no < count; no++) {
      await client.query("INSERT INTO t SELECT g, md5(g::text || $1) FROM generate_series(1, 200) g", [String(no)]);
      const { rows } = await client.query<{ name: string }>("SELECT pg_walfile_name(pg_switch_wal()) AS name");
      names.add(rows[0]?.name ?? "");
    }
  } finally {
    await client.end();
  }
  if (names.size !== count) throw new Error(`${names.size} segments instead of ${count}`);
  return [...names];
}

/** The file of a segment in a repository that is a directory; null if it is missing. */
export function findStoredSegment(bed: TestBed, key: number, name: string): string | null {
  const folder = join(bed.repoPath(key), "archive", bed.stanza, `${bed.cluster.binaries.major}-1`, name.slice(0, 16));
  const result = existsSync(folder)
    ? readdirSync(folder).find((file) => file.startsWith(`${name}-`) && !file.endsWith(".tmp"))
    : undefined;
  return result === undefined ? null : join(folder, result);
}

/**
 * Seconds from "ready" to "stored in repo1". Renaming keeps the modification time of both files.
 * @throws Error if a file is missing
 */
export function storingDelaysS(bed: TestBed, names: readonly string[]): number[] {
  return names.map((name) => {
    const status = ["done", "ready"]
      .map((suffix) => bed.walFile(`archive_status/${name}.${suffix}`))
      .find((path) => existsSync(path));
    const stored = findStoredSegment(bed, 1, name);
    if (status === undefined || stored === null) throw new Error(`${name}: status ${status}, stored ${stored}`);
    return (statSync(stored).mtimeMs - statSync(status).mtimeMs) / 1000;
  });
}
