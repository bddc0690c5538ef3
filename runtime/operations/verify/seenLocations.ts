/**
 * What verify knows of stored bytes, by the SHA-1 of their location: some thirty bytes for each, where a map takes a
 * hundred. There may be millions.
 */
import type { VerifyFileResult } from "./verifyFile";

const DIGEST_LENGTH = 20;
/** A digest and a state. */
const ENTRY_SIZE_BYTES = DIGEST_LENGTH + 1;
const ENTRIES_AT_ONCE = 4096;
const SLOTS_MIN = 1024;
const STATE = { ok: 0, unread: 1, problem: 2 } as const;

export class SeenLocations {
  readonly #ok: VerifyFileResult;
  #chunks: Buffer[] = [];
  #length = 0;
  /** Positions of entries from 1, by the first characters of their digests; half of the slots are free. */
  #slots = new Uint32Array(SLOTS_MIN);
  readonly #problems = new Map<number, VerifyFileResult>();

  /** `ok` is the result of most of them. */
  constructor(ok: VerifyFileResult) {
    this.#ok = ok;
  }

  /** The digest has a character for each byte. Undefined for unknown bytes, null for those that are not read. */
  get(digest: string): VerifyFileResult | null | undefined {
    const index = (this.#slots[this.#slotOf(digest)] as number) - 1;
    if (index === -1) return undefined;
    const state = this.#chunkOf(index)[beginOf(index) + DIGEST_LENGTH];
    if (state === STATE.ok) return this.#ok;
    return state === STATE.unread ? null : this.#problems.get(index);
  }

  set(digest: string, result: VerifyFileResult | null): void {
    if (2 * this.#length >= this.#slots.length) this.#grow();
    const slot = this.#slotOf(digest);
    let index = (this.#slots[slot] as number) - 1;
    if (index === -1) {
      index = this.#length++;
      if (index % ENTRIES_AT_ONCE === 0) this.#chunks.push(Buffer.allocUnsafeSlow(ENTRIES_AT_ONCE * ENTRY_SIZE_BYTES));
      this.#chunkOf(index).write(digest, beginOf(index), "latin1");
      this.#slots[slot] = index + 1;
    }
    const isKnown = result === null || result === this.#ok;
    if (!isKnown) this.#problems.set(index, result);
    this.#chunkOf(index)[beginOf(index) + DIGEST_LENGTH] =
      result === null ? STATE.unread : isKnown ? STATE.ok : STATE.problem;
  }

  clear(): void {
    this.#chunks = [];
    this.#length = 0;
    this.#slots = new Uint32Array(SLOTS_MIN);
    this.#problems.clear();
  }

  #chunkOf(index: number): Buffer {
    return this.#chunks[Math.floor(index / ENTRIES_AT_ONCE)] as Buffer;
  }

  /** Where the digest is, or would be. */
  #slotOf(digest: string): number {
    const first =
      digest.charCodeAt(0) | (digest.charCodeAt(1) << 8) | (digest.charCodeAt(2) << 16) | (digest.charCodeAt(3) << 24);
    for (let slot = first & (this.#slots.length - 1); ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const index = (this.#slots[slot] as number) - 1;
      if (index === -1 || this.#isAt(index, digest)) return slot;
    }
  }

  #isAt(index: number, digest: string): boolean {
    const chunk = this.#chunkOf(index);
    const begin = beginOf(index);
    for (let at = 0; at < DIGEST_LENGTH; at++) if (chunk[begin + at] !== digest.charCodeAt(at)) return false;
    return true;
  }

  #grow(): void {
    const slots = new Uint32Array(2 * this.#slots.length);
    for (let index = 0; index < this.#length; index++) {
      let slot = this.#chunkOf(index).readUInt32LE(beginOf(index)) & (slots.length - 1);
      while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1);
      slots[slot] = index + 1;
    }
    this.#slots = slots;
  }
}

function beginOf(index: number): number {
  return (index % ENTRIES_AT_ONCE) * ENTRY_SIZE_BYTES;
}
