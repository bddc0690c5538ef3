/**
 * Where each repository's archive of a cluster ends. WAL that one repository lacks at its end is no gap there: only
 * another repository shows that more was archived.
 */
import type { StoredWal } from "../../repository/walStore";

export interface ArchiveEnd {
  /** The newest segment. */
  readonly newest: string;
  /** The newest segment that was stored before {@link ArchiveEnds}' time; empty if absent. */
  readonly settled: string;
}

/** Ends by cluster. */
export class ArchiveEnds {
  readonly #settledBeforeMs: number;
  readonly #ends = new Map<string, ArchiveEnd>();

  /**
   * @param settledBeforeMs one time for all repositories: verify reads them one after the other while the
   *   server archives
   */
  constructor(settledBeforeMs: number) {
    this.#settledBeforeMs = settledBeforeMs;
  }

  get byCluster(): ReadonlyMap<string, ArchiveEnd> {
    return this.#ends;
  }

  add(cluster: string, { modifiedAtMs, name }: StoredWal): void {
    const { newest, settled } = this.#ends.get(cluster) ?? { newest: "", settled: "" };
    const isSettled = modifiedAtMs < this.#settledBeforeMs;
    if (name <= newest && (!isSettled || name <= settled)) return;
    this.#ends.set(cluster, {
      newest: name > newest ? name : newest,
      settled: isSettled && name > settled ? name : settled,
    });
  }
}

/** A line for each cluster whose archive in this repository ends before WAL that another one has had for a while. */
export function behindLines(repoIndex: number, ends: ReadonlyMap<number, ReadonlyMap<string, ArchiveEnd>>): string[] {
  return [...(ends.get(repoIndex) ?? [])].flatMap(([cluster, { newest }]) => {
    const ahead = [...ends].find(([, other]) => (other.get(cluster)?.settled ?? "") > newest);
    if (ahead === undefined) return [];
    const [otherIndex, other] = ahead;
    return [
      `${cluster}: the archive ends with ${newest}, and repo${otherIndex} has ${other.get(cluster)?.settled}: 'heal' copies what is missing`,
    ];
  });
}
