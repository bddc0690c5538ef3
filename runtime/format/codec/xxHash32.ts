/** xxHash32 with seed 0, the checksum of LZ4 frames. (xxHash specification 0.1.1.) */
import { viewOf } from "../../base/bytes";

const PRIME_1 = -1640531535; // 2654435761
const PRIME_2 = -2048144777; // 2246822519
const PRIME_3 = -1028477379; // 3266489917
const PRIME_4 = 668265263;
const PRIME_5 = 374761393;
const STRIPE_SIZE_BYTES = 16;

/** Hash of bytes in memory, unsigned. */
export function xxHash32(bytes: Uint8Array): number {
  const hash = new XxHash32();
  hash.add(bytes);
  return hash.digest();
}

/** Hash of bytes in pieces. */
export class XxHash32 {
  readonly #accumulators = Int32Array.of((PRIME_1 + PRIME_2) | 0, PRIME_2, 0, -PRIME_1 | 0);
  readonly #rest = new Uint8Array(STRIPE_SIZE_BYTES);
  #restSize = 0;
  #sizeBytes = 0;

  add(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    let position = 0;
    if (this.#restSize > 0) {
      position = Math.min(STRIPE_SIZE_BYTES - this.#restSize, bytes.length);
      this.#rest.set(bytes.subarray(0, position), this.#restSize);
      this.#restSize += position;
      if (this.#restSize < STRIPE_SIZE_BYTES) return;
      this.#stripes(this.#rest, 0, STRIPE_SIZE_BYTES);
      this.#restSize = 0;
    }
    const end = bytes.length - ((bytes.length - position) % STRIPE_SIZE_BYTES);
    this.#stripes(bytes, position, end);
    if (end < bytes.length) {
      this.#rest.set(bytes.subarray(end));
      this.#restSize = bytes.length - end;
    }
  }

  /** Unsigned, of all bytes so far. */
  digest(): number {
    const [accumulator1 = 0, accumulator2 = 0, accumulator3 = 0, accumulator4 = 0] = this.#accumulators;
    const mixed =
      rotate(accumulator1, 1) + rotate(accumulator2, 7) + rotate(accumulator3, 12) + rotate(accumulator4, 18);
    let hash = ((this.#sizeBytes >= STRIPE_SIZE_BYTES ? mixed : PRIME_5) + (this.#sizeBytes % 0x1_0000_0000)) | 0;
    const view = new DataView(this.#rest.buffer);
    let position = 0;
    for (; position + 4 <= this.#restSize; position += 4) {
      hash = Math.imul(rotate((hash + Math.imul(view.getInt32(position, true), PRIME_3)) | 0, 17), PRIME_4);
    }
    for (; position < this.#restSize; position++) {
      hash = Math.imul(rotate((hash + Math.imul(this.#rest[position] as number, PRIME_5)) | 0, 11), PRIME_1);
    }
    hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
    hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #stripes(bytes: Uint8Array, begin: number, end: number): void {
    const view = viewOf(bytes);
    const accumulators = this.#accumulators;
    let accumulator1 = accumulators[0] as number;
    let accumulator2 = accumulators[1] as number;
    let accumulator3 = accumulators[2] as number;
    let accumulator4 = accumulators[3] as number;
    for (let position = begin; position < end; position += STRIPE_SIZE_BYTES) {
      accumulator1 = round(accumulator1, view.getInt32(position, true));
      accumulator2 = round(accumulator2, view.getInt32(position + 4, true));
      accumulator3 = round(accumulator3, view.getInt32(position + 8, true));
      accumulator4 = round(accumulator4, view.getInt32(position + 12, true));
    }
    accumulators[0] = accumulator1;
    accumulators[1] = accumulator2;
    accumulators[2] = accumulator3;
    accumulators[3] = accumulator4;
  }
}

function round(accumulator: number, input: number): number {
  return Math.imul(rotate((accumulator + Math.imul(input, PRIME_2)) | 0, 13), PRIME_1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
