/**
 * The durable debt: which WAL files PostgreSQL was told are safe although a repository lacks them.
 *
 * One empty file per repository and WAL file, `<spool-path>/pgbackstop/<stanza>/debt/repo<N>/<wal file name>`, made durable before the
 * acknowledgement and removed once the repository holds the file. The spool of stock (`<spool-path>/archive/<stanza>`) is not used: stock
 * removes it as a whole at restore.
 */
import { mkdirSync, openSync, closeSync, fsyncSync, readdirSync, rmSync } from "node:fs";
import { isMissing, systemError } from "./systemError";

export interface DebtStore {
  /** Durable when it returns. */
  add(repoKey: number, walName: string): void;
  /** Ascending. */
  list(repoKey: number): string[];
  /** Keys of the repositories that have any debt, ascending. */
  repoKeys(): number[];
  remove(repoKey: number, walName: string): void;
}

export function openDebt(spoolPath: string, stanza: string): DebtStore {
  const root = `${spoolPath}/pgbackstop/${stanza}/debt`;
  const directoryOf = (repoKey: number): string => `${root}/repo${repoKey}`;
  return {
    add(repoKey, walName) {
      const directory = directoryOf(repoKey);
      try {
        mkdirSync(directory, { recursive: true, mode: 0o750 });
        closeSync(openSync(`${directory}/${walName}`, "w", 0o640));
        for (const path of [directory, root]) {
          const descriptor = openSync(path, "r");
          fsyncSync(descriptor);
          closeSync(descriptor);
        }
      } catch (error) {
        throw systemError("fileWrite", `record in '${directory}' that repo${repoKey} lacks ${walName}`, directory, error);
      }
    },
    list(repoKey) {
      return readNames(directoryOf(repoKey));
    },
    repoKeys() {
      return readNames(root)
        .filter((name) => /^repo\d+$/.test(name))
        .map((name) => Number(name.slice("repo".length)))
        .filter((repoKey) => readNames(directoryOf(repoKey)).length > 0)
        .sort((left, right) => left - right);
    },
    remove(repoKey, walName) {
      rmSync(`${directoryOf(repoKey)}/${walName}`, { force: true });
    },
  };
}

function readNames(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw systemError("pathOpen", `list '${directory}'`, directory, error);
  }
}
