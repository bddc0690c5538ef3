import { compareBytes, countBefore } from "../../base/bytes";
import { isSorted, nameAt } from "./fileRows";
import type { FileList } from "./manifestRows";

/**
 * Finds rows by name: a map of a million names would take ten times as much memory. Names that are asked for in the
 * order of the rows are found without a search.
 */
export class NameIndex {
  readonly #length: number;
  readonly #nameAt: (index: number) => string;
  /** Positions from 1 by the hash of their names; half of the slots are free. */
  #slots: Uint32Array | null = null;
  #last = -1;
  #lastName: string | null = null;
  /** Searches by halves before the hashes of all names are worth their time; none if the names do not ascend. */
  #searchesLeft: number;

  /** No name may occur twice. `doAscend` if they ascend by their bytes. */
  constructor(length: number, nameOf: (index: number) => string, doAscend: boolean) {
    this.#length = length;
    this.#nameAt = nameOf;
    this.#searchesLeft = doAscend ? Math.ceil(length / SEARCH_COST) : 0;
  }

  static of(files: FileList): NameIndex {
    return new NameIndex(files.length, (index) => nameAt(files, index), isSorted(files));
  }

  /** -1 for an unknown name. */
  find(name: string): number {
    if (name === this.#lastName) return this.#last;
    const index = this.#findOther(name);
    if (index !== -1) {
      this.#last = index;
      this.#lastName = name;
    }
    return index;
  }

  #findOther(name: string): number {
    for (let index = this.#last; index < Math.min(this.#last + NEAR, this.#length); index++)
      if (index >= 0 && this.#nameAt(index) === name) return index;
    return this.#slots === null && this.#searchesLeft-- > 0 ? this.#search(name) : this.#lookUp(name);
  }

  #search(name: string): number {
    const index = countBefore(this.#length, (at) => compareBytes(this.#nameAt(at), name) < 0);
    return index < this.#length && this.#nameAt(index) === name ? index : -1;
  }

  #lookUp(name: string): number {
    this.#slots ??= this.#slotsOfAll();
    return (this.#slots[this.#slotOf(name, this.#slots)] as number) - 1;
  }

  #slotsOfAll(): Uint32Array {
    const slots = new Uint32Array(2 ** Math.ceil(Math.log2(this.#length + 1) + 1));
    for (let index = 0; index < this.#length; index++) slots[this.#slotOf(this.#nameAt(index), slots)] = index + 1;
    return slots;
  }

  /** Where the name is, or would be. */
  #slotOf(name: string, slots: Uint32Array): number {
    const mask = slots.length - 1;
    let hash = HASH_BASIS;
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), HASH_PRIME);
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const index = slots[slot] as number;
      if (index === 0 || this.#nameAt(index - 1) === name) return slot;
    }
  }
}

/** Rows to look at before a search: the last one that was found, and the next ones. */
const NEAR = 3;
/** A search takes as long as the hashes of so many names. */
const SEARCH_COST = 64;
/** FNV-1a. */
const HASH_BASIS = 0x811c9dc5;
const HASH_PRIME = 0x01000193;
