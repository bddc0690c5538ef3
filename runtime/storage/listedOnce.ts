/**
 * A listing is a set: one place for all drivers. Services and proxies name an entry again at the border of two pages,
 * or send a page again, and a directory that changes while it is read may show a name twice. A file and a directory of
 * one name are two entries, as object stores have them.
 *
 * Nothing depends on the order of a listing. In one that ascends, as object stores send it, each name is known to be
 * new by the one before. Only another name is looked up among the hashes of all earlier ones, which take 16 to 32 bytes
 * each. The first of two entries counts.
 */
import { overlaid } from "./overlaid";
import type { ObjectInfo, Storage } from "./storage";

export function listedOnce(storage: Storage): Storage {
  return overlaid(storage, { list: (path, options) => eachOnce(storage.list(path, options)) });
}

async function* eachOnce(entries: AsyncIterable<ObjectInfo>): AsyncIterable<ObjectInfo> {
  const [files, directories] = [new SeenNames(), new SeenNames()];
  for await (const entry of entries)
    if ((entry.type === "directory" ? directories : files).add(entry.path)) yield entry;
}

const FIRST_SLOTS = 64;

export class SeenNames {
  /** Hashes, each at the first free slot from its place on; 0 is free. */
  #slots = new Float64Array(FIRST_SLOTS);
  #count = 0;
  #greatest = "";

  /** False if the name was added before. */
  add(name: string): boolean {
    const isAscending = name > this.#greatest;
    if (isAscending) this.#greatest = name;
    const hash = hashOf(name);
    const slot = this.#find(hash);
    // Two names have one hash in one of millions of listings, and then only one out of order could be missed.
    if (this.#slots[slot] === hash) return isAscending;
    this.#slots[slot] = hash;
    if (++this.#count * 2 > this.#slots.length) this.#grow();
    return true;
  }

  #find(hash: number): number {
    const last = this.#slots.length - 1;
    let slot = hash % this.#slots.length;
    while (this.#slots[slot] !== 0 && this.#slots[slot] !== hash) slot = slot === last ? 0 : slot + 1;
    return slot;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Float64Array(old.length * 2);
    for (const hash of old) if (hash !== 0) this.#slots[this.#find(hash)] = hash;
  }
}

/** 53 bits, never 0. */
function hashOf(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x9e3779b1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x85ebca6b);
    high ^= high >>> 15;
  }
  return (high >>> 11) * 0x1_0000_0000 + (low >>> 0) || 1;
}
