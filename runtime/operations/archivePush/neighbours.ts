/**
 * Listings of the stored segments next to one that is pushed. One listing answers for the sixteen segments that differ
 * only in the last digit, and concurrent pushes share it.
 */
import type { Clock } from "../../base/clock";
import type { Repository } from "../../repository/repository";
import { findBeside, listWal, type StoredWal } from "../../repository/walStore";

/**
 * How long a listing answers before a push. It misses another host's segment that arrives in the meantime; the listing
 * after the push shows that one.
 */
const LISTED_MS = 500;
/** Hexadecimal digits of a segment's name less one: sixteen segments share them. */
const NEIGHBOURS_LENGTH = 23;
/** The directory of a segment or backup label. */
const SEGMENT_DIRECTORY = /^[0-9A-F]{16}(?=[0-9A-F]{8})/;

interface Listing {
  readonly location: string;
  readonly askedAtMs: number;
  readonly stored: Promise<readonly StoredWal[]>;
}

export class Neighbours {
  readonly #repo: Repository;
  readonly #clock: Clock;
  #latest: Listing | undefined;
  /** Running listings by location. */
  readonly #running = new Map<string, Promise<readonly StoredWal[]>>();
  readonly #waiting = new Map<string, Promise<readonly StoredWal[]>>();

  constructor(repo: Repository, clock: Clock) {
    this.#repo = repo;
    this.#clock = clock;
  }

  /** Makes the next call list again. */
  forget(): void {
    this.#latest = undefined;
  }

  /** Files under a segment's name, from a listing of the last half second. */
  async recent(name: string, archiveId: string): Promise<readonly StoredWal[]> {
    const known = this.#latest;
    const isRecent =
      known?.location === locationOf(name, archiveId) && this.#clock.monotonicMs() - known.askedAtMs < LISTED_MS;
    return named(name, await (isRecent ? known.stored : this.#list(name, archiveId)));
  }

  /** Files under a segment's name, from a listing that begins after this call. */
  async after(name: string, archiveId: string): Promise<readonly StoredWal[]> {
    const location = locationOf(name, archiveId);
    const running = this.#running.get(location);
    let listed = this.#waiting.get(location);
    if (listed === undefined && running !== undefined) {
      listed = running
        .catch(() => {})
        .then(() => {
          this.#waiting.delete(location);
          return this.#list(name, archiveId);
        });
      this.#waiting.set(location, listed);
    }
    return named(name, await (listed ?? this.#list(name, archiveId)));
  }

  #list(name: string, archiveId: string): Promise<readonly StoredWal[]> {
    const location = locationOf(name, archiveId);
    const stored = findBeside(this.#repo, archiveId, name, name.slice(0, NEIGHBOURS_LENGTH));
    const listing = { location, askedAtMs: this.#clock.monotonicMs(), stored };
    this.#latest = listing;
    this.#running.set(location, stored);
    const end = (): void => {
      if (this.#running.get(location) === stored) this.#running.delete(location);
    };
    stored.then(end, () => {
      end();
      if (this.#latest === listing) this.#latest = undefined;
    });
    return stored;
  }
}

/** Names in an archive as first listed. One listing covers a directory of up to 256 segments. */
export class ListedNames {
  readonly #repo: Repository;
  readonly #names = new Map<string, Set<string>>();

  constructor(repo: Repository) {
    this.#repo = repo;
  }

  /** Always false for histories, which are in no such directory. */
  async has(name: string, { archiveId }: { readonly archiveId: string }): Promise<boolean> {
    const directory = SEGMENT_DIRECTORY.exec(name)?.[0];
    if (directory === undefined) return false;
    const key = `${archiveId}/${directory}`;
    let names = this.#names.get(key);
    if (names === undefined) {
      names = new Set();
      for await (const stored of listWal(this.#repo, archiveId, directory)) names.add(stored.name);
      this.#names.set(key, names);
    }
    return names.has(name);
  }
}

function locationOf(name: string, archiveId: string): string {
  return `${archiveId}/${name.slice(0, NEIGHBOURS_LENGTH)}`;
}

function named(name: string, stored: readonly StoredWal[]): readonly StoredWal[] {
  return stored.filter((each) => each.name === name);
}
