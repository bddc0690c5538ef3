/** SHA-1, the checksum of the repository format, over bytes and streams. */
import { createHash, hash } from "node:crypto";
import type { ByteStream } from "./bytes";

export const SHA1_EMPTY = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/** 40 lower-case hexadecimal digits. */
export function sha1Hex(bytes: Uint8Array | string): string {
  return hash("sha1", bytes, "hex");
}

export interface Measure {
  readonly sizeBytes: number;
  readonly sha1: string;
}

/** Counts and hashes a passing stream; `result()` is final after its end. */
export class Measured {
  readonly #hash = createHash("sha1");
  #sizeBytes = 0;
  #digest: string | undefined;

  add(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#sizeBytes += chunk.length;
  }

  async *through(source: ByteStream): ByteStream {
    for await (const chunk of source) {
      this.add(chunk);
      yield chunk;
    }
  }

  result(): Measure {
    this.#digest ??= this.#hash.digest("hex");
    return { sizeBytes: this.#sizeBytes, sha1: this.#digest };
  }
}

export async function measure(source: ByteStream): Promise<Measure> {
  const measured = new Measured();
  for await (const chunk of source) measured.add(chunk);
  return measured.result();
}
