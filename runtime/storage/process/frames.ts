/** Messages of the channel between a process and its storage process: a JSON head and bytes, each after its length. */
import { EMPTY_BYTES } from "../../base/bytes";
import { assert } from "../../base/errors";

export interface Frame<Head = unknown> {
  readonly head: Head;
  readonly body: Uint8Array;
}

const LENGTHS_SIZE_BYTES = 8;
/** The longest head is a batch of a listing; a body is a chunk of a file. */
const PART_SIZE_BYTES_MAX = 1024 * 1024 * 1024;

type PartOfFrame = "lengths" | "head" | "body";

export function encodeFrame(head: unknown, body: Uint8Array = EMPTY_BYTES): Uint8Array[] {
  const text = Buffer.from(JSON.stringify(head));
  const lengths = Buffer.allocUnsafe(LENGTHS_SIZE_BYTES);
  lengths.writeUInt32LE(text.length, 0);
  lengths.writeUInt32LE(body.length, 4);
  return [Buffer.concat([lengths, text]), ...(body.length === 0 ? [] : [body])];
}

/** Puts frames together from a channel's pieces. */
export class FrameReader {
  #filled = 0;
  #part: Buffer = Buffer.allocUnsafe(LENGTHS_SIZE_BYTES);
  #bodySizeBytes = 0;
  #head: unknown;
  #state: PartOfFrame = "lengths";

  *read(piece: Uint8Array): Iterable<Frame> {
    for (let offset = 0; offset < piece.length; ) {
      const take = Math.min(piece.length - offset, this.#part.length - this.#filled);
      this.#part.set(piece.subarray(offset, offset + take), this.#filled);
      this.#filled += take;
      offset += take;
      if (this.#filled < this.#part.length) return;
      const frame = this.#finishPart();
      if (frame !== null) yield frame;
    }
  }

  #finishPart(): Frame | null {
    const part = this.#part;
    if (this.#state === "lengths") {
      this.#bodySizeBytes = part.readUInt32LE(4);
      const headSizeBytes = part.readUInt32LE(0);
      assert(
        headSizeBytes > 0 && Math.max(headSizeBytes, this.#bodySizeBytes) <= PART_SIZE_BYTES_MAX,
        "a frame is damaged",
      );
      return this.#next("head", headSizeBytes);
    }
    if (this.#state === "head") {
      this.#head = JSON.parse(part.toString());
      if (this.#bodySizeBytes > 0) return this.#next("body", this.#bodySizeBytes);
    }
    const frame = { head: this.#head, body: this.#state === "body" ? part : EMPTY_BYTES };
    this.#next("lengths", LENGTHS_SIZE_BYTES);
    return frame;
  }

  /** Not from Node's pool: consumers keep bodies. */
  #next(state: PartOfFrame, sizeBytes: number): null {
    this.#state = state;
    this.#part = Buffer.allocUnsafeSlow(sizeBytes);
    this.#filled = 0;
    return null;
  }
}
