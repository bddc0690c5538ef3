/**
 * Segments under whose names the archive has other content: of a server that was taken back to a snapshot, or of a
 * clone. A recovery gets the archived file and never reads the streamed chunks, so nothing from there on counts.
 */
import type { BackupError } from "../../base/errors";
import { Measured } from "../../base/hash";
import type { Log } from "../../base/log";
import { formatLsn, lsnOfSegment } from "../../format/wal/walSegment";
import type { StoredWal } from "../../repository/walStore";
import { conflictError } from "../archivePush/conflicts";
import { repoErrorLine } from "../shared/results";
import type { WalWindow } from "./walWindow";

/** True if the only file of a segment's name has the server's content. False also if the window lacks a part of it. */
export function isServers(copies: readonly StoredWal[], begin: bigint, end: bigint, window: WalWindow): boolean {
  const [copy, ...others] = copies;
  if (copy === undefined || others.length > 0 || window.begin > begin || window.end < end) return false;
  const measured = new Measured();
  for (const part of window.slice(begin, end)) measured.add(part);
  return copy.sha1 === measured.result().sha1;
}

/** One repository's conflicts, as its last look has shown them. */
export class StreamConflicts {
  readonly #repoIndex: number;
  readonly #segmentSizeBytes: number;
  readonly #log: Log;
  #names: readonly string[] = [];
  readonly #reported = new Set<string>();

  constructor(repoIndex: number, segmentSizeBytes: number, log: Log) {
    this.#repoIndex = repoIndex;
    this.#segmentSizeBytes = segmentSizeBytes;
    this.#log = log;
  }

  /** Ascending. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Those that begin before `lsn`. */
  before(lsn: bigint): readonly string[] {
    return this.#names.filter((name) => lsnOfSegment(name, this.#segmentSizeBytes) < lsn);
  }

  /** The error of the reported ones; null without any. */
  get error(): BackupError | null {
    return conflictError(this.#repoIndex, [...this.#reported].sort());
  }

  /** The archive has the server's own file. */
  end(name: string): void {
    this.#names = this.#names.filter((each) => each !== name);
    this.#reported.delete(name);
  }

  /**
   * Takes what a look has shown. It is reported only after a second look: the server's own push may have stored the
   * file, and not know yet that it did.
   */
  set(names: readonly string[]): void {
    const again = names.filter((name) => this.#names.includes(name) && !this.#reported.has(name));
    this.#names = [...names].sort();
    for (const name of this.#reported) if (!names.includes(name)) this.#reported.delete(name);
    const error = conflictError(this.#repoIndex, again);
    if (error === null) return;
    for (const name of again) this.#reported.add(name);
    const from = formatLsn(lsnOfSegment(again[0] as string, this.#segmentSizeBytes));
    this.#log.warn(
      `streaming: ${repoErrorLine(this.#repoIndex, error)}\nno streamed WAL from ${from} on counts as stored there: a recovery would get the archived file instead\nHINT: ${error.hints.join(" ")}`,
    );
  }
}
