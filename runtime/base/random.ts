/** Randomness as a value that is passed in. */
import { randomBytes } from "node:crypto";

export interface Random {
  /** `sizeBytes` bytes of cryptographic quality. */
  bytes(sizeBytes: number): Uint8Array;
}

export const systemRandom: Random = { bytes: (sizeBytes) => randomBytes(sizeBytes) };
