/** WAL files without which a recovery never comes to what was streamed behind them: whole segments, and histories of timelines. */
import { parseWalName } from "../../format/wal/walSegment";
import { listReady } from "../../postgres/archiveStatus";
import type { Repository } from "../../repository/repository";
import { findWal, listWal } from "../../repository/walStore";

export const SEGMENT = /^[0-9A-F]{24}$/;
const DIRECTORY_LENGTH = 16;
/** Each has the segments of 4 GiB. */
const DIRECTORIES_MAX = 8;
const HISTORIES_MAX = 8;

/** What a repository may lack of what the server has written: what waits in `pg_wal`, and its debt. */
export async function listOwed(walDirectory: string, debt: readonly string[]): Promise<readonly string[]> {
  return [...(await listReady(walDirectory, Number.POSITIVE_INFINITY)), ...debt];
}

/** For a stream that begins with the segment `first`: what lies before it, of any timeline. */
export function isNeeded(walName: string, first: string): boolean {
  if (parseWalName(walName)?.kind === "history") return true;
  return SEGMENT.test(walName) && walName < first;
}

/** Those of `names` that are in the archive, as far as a bounded look finds them: the earliest first. */
export async function* archivedOf(repo: Repository, archiveId: string, names: readonly string[]): AsyncIterable<string> {
  const wanted = new Set(names);
  for (const name of names.filter((each) => !SEGMENT.test(each)).slice(0, HISTORIES_MAX))
    if ((await findWal(repo, archiveId, name)).length > 0) yield name;
  const directories = [...new Set(names.filter((name) => SEGMENT.test(name)).map((name) => name.slice(0, DIRECTORY_LENGTH)))].sort();
  for (const directory of directories.slice(0, DIRECTORIES_MAX))
    for await (const { name } of listWal(repo, archiveId, directory)) if (wanted.has(name)) yield name;
}
