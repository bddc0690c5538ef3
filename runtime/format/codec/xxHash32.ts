/** xxHash32 with seed 0, the checksum of LZ4 frames. (xxHash specification 0.1.1.) */

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
  readonly #lanes = Int32Array.of((PRIME_1 + PRIME_2) | 0, PRIME_2, 0, -PRIME_1 | 0);
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
    const [lane1 = 0, lane2 = 0, lane3 = 0, lane4 = 0] = this.#lanes;
    const mixed = rotate(lane1, 1) + rotate(lane2, 7) + rotate(lane3, 12) + rotate(lane4, 18);
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
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const lanes = this.#lanes;
    let lane1 = lanes[0] as number;
    let lane2 = lanes[1] as number;
    let lane3 = lanes[2] as number;
    let lane4 = lanes[3] as number;
    for (let position = begin; position < end; position += STRIPE_SIZE_BYTES) {
      lane1 = round(lane1, view.getInt32(position, true));
      lane2 = round(lane2, view.getInt32(position + 4, true));
      lane3 = round(lane3, view.getInt32(position + 8, true));
      lane4 = round(lane4, view.getInt32(position + 12, true));
    }
    lanes[0] = lane1;
    lanes[1] = lane2;
    lanes[2] = lane3;
    lanes[3] = lane4;
  }
}

function round(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, PRIME_2)) | 0, 13), PRIME_1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
