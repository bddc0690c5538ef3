/**
 * Requests that fetch into one path one after the other, as a recovery does, each in a place of its own beside it until it is whole and still
 * wanted. PostgreSQL may be gone before its file is there, and another one, started since, gets its own files at the same path: what the first
 * had asked for must neither be written into them nor take their name.
 */
import { renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { fail } from "../base/errors";
import { isSpecialFile } from "../local/atomicWrite";
import { systemError } from "../local/systemError";

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

  /** The same few names again and again: what a killed agent has left is written over. */
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
