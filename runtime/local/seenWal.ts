/**
 * Stored WAL files whose content is known: what this host has pushed, or has read from the repository. A listing shows
 * a file's size and time; while both are the same, nobody needs to read the file to know that it counts.
 *
 * `<spool-path>/pgbackstop/<stanza>/seen/repo<N>.json` keeps them for the next process: without an agent each
 * `archive_command` is one, and most files that it finds stored were pushed ahead by the former. A lost or damaged file
 * costs one read of each WAL file that PostgreSQL requests again.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "./nodeFiles";

/** Size and time, by archive id and file name; the oldest first. */
export type SeenWal = Map<string, string>;

export interface SeenWalStore {
  /** Never throws. */
  load(repoIndex: number): SeenWal;
  /** Never throws: a failure costs reads. */
  save(repoIndex: number, seen: SeenWal): void;
}

export function openSeenWal(spoolPath: string, stanza: string): SeenWalStore {
  const directory = `${spoolPath}/pgbackstop/${stanza}/seen`;
  const pathOf = (repoIndex: number): string => `${directory}/repo${repoIndex}.json`;
  return {
    load(repoIndex) {
      try {
        const entries: unknown = Object.entries(JSON.parse(readFileSync(pathOf(repoIndex), "utf8")));
        return new Map((entries as [string, unknown][]).filter(isEntry));
      } catch {
        return new Map();
      }
    },
    save(repoIndex, seen) {
      const temporary = `${pathOf(repoIndex)}.${process.pid}.tmp`;
      try {
        mkdirSync(directory, { recursive: true, mode: 0o750 });
        writeFileSync(temporary, JSON.stringify(Object.fromEntries(seen)), { mode: 0o640 });
        renameSync(temporary, pathOf(repoIndex));
      } catch {
        // The next process reads what it is asked for.
      }
    },
  };
}

function isEntry(entry: [string, unknown]): entry is [string, string] {
  return typeof entry[1] === "string";
}
