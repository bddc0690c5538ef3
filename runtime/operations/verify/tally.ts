/** Counts checked items, with one line for each problem. */
import type { VerifyFileResult, VerifyStatus } from "./verifyFile";

export interface VerifyCounts {
  readonly total: number;
  readonly valid: number;
  readonly missing: number;
  readonly checksumInvalid: number;
  readonly sizeInvalid: number;
  readonly other: number;
  /** Files about which the repository gave no answer. */
  readonly unread: number;
}

export class Tally {
  readonly #problems: string[];
  readonly #by: Record<VerifyStatus, number> = { ok: 0, missing: 0, checksum: 0, size: 0, other: 0, unread: 0 };

  constructor(problems: string[]) {
    this.#problems = problems;
  }

  add(result: VerifyFileResult): void {
    this.#by[result.status]++;
    if (result.status !== "ok") this.#problems.push(result.text);
  }

  counts(): VerifyCounts {
    const { ok, missing, checksum, size, other, unread } = this.#by;
    return {
      total: ok + missing + checksum + size + other + unread,
      valid: ok,
      missing,
      checksumInvalid: checksum,
      sizeInvalid: size,
      other,
      unread,
    };
  }
}

/** Damage counts more than files that were not read. */
export function statusOf({ total, unread, valid }: VerifyCounts): "valid" | "invalid" | "not read" {
  if (valid === total) return "valid";
  return valid + unread === total ? "not read" : "invalid";
}
