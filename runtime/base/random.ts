/** Randomness as a parameter. */
import { randomBytes } from "node:crypto";

export interface Random {
  /** `sizeBytes` bytes of cryptographic quality. */
  bytes(sizeBytes: number): Uint8Array;
}

export const systemRandom: Random = { bytes: (sizeBytes) => randomBytes(sizeBytes) };
