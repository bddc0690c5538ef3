/**
 * Gives each request its own temporary file next to the common destination, until the file is complete and still
 * wanted: a recovery fetches into one path again and again. PostgreSQL may end before its file arrives, and a newly
 * started one fetches its own files to the same path. An earlier request must neither write into those files nor
 * replace them.
 */
import { readdirSync, renameSync, rm, rmSync } from "../local/nodeFiles";
import { fail } from "../base/errors";
import { findFinalName } from "../base/temporaryName";
import { isSpecialFile } from "../local/atomicWrite";
import { systemError } from "../local/systemError";

/** The names that PostgreSQL and pg_rewind fetch with restore_command. */
const LEFT_FILE = /^(RECOVERYXLOG|RECOVERYHISTORY|[0-9A-F]{24}|[0-9A-F]{8}\.history)\.pgbackstop-[0-9a-f]+$/;

/**
 * Removes files that killed processes fetched into `pg_wal`: each is as large as a segment, and PostgreSQL never
 * removes them. Only for the one process that fetches into this directory. Returns the removed names; an unreadable
 * directory is not an error.
 */
export function removeLeftFiles(walDirectory: string, isTaken: (temporary: string) => boolean = () => false): string[] {
  try {
    const left = readdirSync(walDirectory).filter((name) => {
      const temporary = findFinalName(name) ?? name;
      return LEFT_FILE.test(temporary) && !isTaken(`${walDirectory}/${temporary}`);
    });
    for (const name of left) rmSync(`${walDirectory}/${name}`, { force: true });
    return left;
  } catch {
    return [];
  }
}

export class OwnFiles {
  readonly #taken = new Set<string>();
  /** The latest request by path. */
  readonly #latest = new Map<string, symbol>();

  /**
   * Calls `bring` with the temporary path and returns its result; true: the file is at `destination`.
   * @throws errors of `bring`; fileMove (74) when the caller is `gone`, or a newer request for the same path exists
   */
  async fill(destination: string, gone: AbortSignal, bring: (temporary: string) => Promise<boolean>): Promise<boolean> {
    // A device or a pipe takes the bytes directly.
    if (await isSpecialFile(destination)) return bring(destination);
    const own = Symbol(destination);
    this.#latest.set(destination, own);
    const temporary = this.#take(destination);
    try {
      const isFetched = await bring(temporary);
      if (gone.aborted || this.#latest.get(destination) !== own)
        throw fail("fileMove", `the caller no longer waits for '${destination}'`, { path: destination });
      // Synchronous: nothing may happen between the check and the move.
      if (isFetched) moveTo(temporary, destination);
      return isFetched;
    } finally {
      if (this.#latest.get(destination) === own) this.#latest.delete(destination);
      await rm(temporary, { force: true }).catch(() => {});
      this.#taken.delete(temporary);
    }
  }

  /** {@link removeLeftFiles}, except requests in progress. */
  removeLeft(walDirectory: string): string[] {
    return removeLeftFiles(walDirectory, (temporary) => this.#taken.has(temporary));
  }

  /** Reuses a few names. */
  #take(destination: string): string {
    for (let number = 1; ; number++) {
      const temporary = `${destination}.pgbackstop-${number}`;
      if (this.#taken.has(temporary)) continue;
      this.#taken.add(temporary);
      return temporary;
    }
  }
}

function moveTo(temporary: string, destination: string): void {
  try {
    renameSync(temporary, destination);
  } catch (error) {
    throw systemError("fileMove", `move '${temporary}' to '${destination}'`, destination, error);
  }
}
