/**
 * Requests that fetch into one path one after the other, as a recovery does, each in a place of its own beside it until it is whole and still
 * wanted. PostgreSQL may be gone before its file is there, and another one, started since, gets its own files at the same path: what the first
 * had asked for must neither be written into them nor take their name.
 */
import { readdirSync, renameSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { fail } from "../base/errors";
import { isSpecialFile } from "../local/atomicWrite";
import { systemError } from "../local/systemError";

/** Beside what PostgreSQL and pg_rewind let restore_command bring; with what a fetch that broke off appends. */
const LEFT_PLACE = /^(RECOVERYXLOG|RECOVERYHISTORY|[0-9A-F]{24}|[0-9A-F]{8}\.history)\.pgbackstop-[0-9a-f]+(\.pgbackrest\.tmp)?$/;

/**
 * Removes what killed processes have left in `pg_wal` of files that they fetched: as large as a segment, and nothing that PostgreSQL would ever remove.
 * Only for the one process that fetches into this directory. Names of what went; a directory that cannot be read is no error.
 */
export function removeLeftPlaces(walDirectory: string, isTaken: (place: string) => boolean = () => false): string[] {
  try {
    const left = readdirSync(walDirectory).filter(
      (name) => LEFT_PLACE.test(name) && !isTaken(`${walDirectory}/${name.replace(/\.pgbackrest\.tmp$/, "")}`),
    );
    for (const name of left) rmSync(`${walDirectory}/${name}`, { force: true });
    return left;
  } catch {
    return [];
  }
}

export class OwnPlaces {
  readonly #taken = new Set<string>();
  /** By path, the request that came last. */
  readonly #latest = new Map<string, symbol>();

  /**
   * What `bring` says, which gets the place; true: the file is at `destination`. @throws what `bring` throws; fileMove (74) when the caller is
   * `gone`, or another request for the same path has come since
   */
  async fill(destination: string, gone: AbortSignal, bring: (place: string) => Promise<boolean>): Promise<boolean> {
    // A device or a pipe takes the bytes as it is.
    if (await isSpecialFile(destination)) return bring(destination);
    const own = Symbol(destination);
    this.#latest.set(destination, own);
    const place = this.#take(destination);
    try {
      const isFound = await bring(place);
      if (gone.aborted || this.#latest.get(destination) !== own)
        throw fail("fileMove", `nobody waits any more for what was to come to '${destination}'`, { path: destination });
      // At once: nothing may come between the look and the move.
      if (isFound) moveTo(place, destination);
      return isFound;
    } finally {
      if (this.#latest.get(destination) === own) this.#latest.delete(destination);
      await rm(place, { force: true }).catch(() => {});
      this.#taken.delete(place);
    }
  }

  /** {@link removeLeftPlaces}, but for requests that are under way. */
  removeLeft(walDirectory: string): string[] {
    return removeLeftPlaces(walDirectory, (place) => this.#taken.has(place));
  }

  /** The same few names again and again. */
  #take(destination: string): string {
    for (let number = 1; ; number++) {
      const place = `${destination}.pgbackstop-${number}`;
      if (this.#taken.has(place)) continue;
      this.#taken.add(place);
      return place;
    }
  }
}

function moveTo(place: string, destination: string): void {
  try {
    renameSync(place, destination);
  } catch (error) {
    throw systemError("fileMove", `move '${place}' to '${destination}'`, destination, error);
  }
}
