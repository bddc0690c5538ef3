/** A WAL file of the push queue, and its state in each repository. */
import type { BackupError } from "../../base/errors";
import type { PreparedWal } from "./prepareWal";

export interface FileState {
  stored: "pushed" | "present" | null;
  /** What was sent last, whether or not it counts as stored yet. */
  sent: PreparedWal | null;
  /** Nobody has requested it, and this process need not push it. */
  left: boolean;
  /** Where and when it was stored or last seen; meaningless while `stored` is null. */
  seenAtMs: number;
  seenEpoch: number;
  busy: boolean;
  urgent: boolean;
  /** Attempts that did not store the file. */
  failures: number;
  error: BackupError | null;
  retryAtMs: number;
}

export interface QueuedFile {
  readonly name: string;
  /** Identity of the stored file; null before. */
  fileId: string | null;
  sha1: string | null;
  sizeBytes: number;
  ready: boolean;
  requests: number;
  /** An error of the file itself: no repository may have it. */
  fatal: BackupError | null;
  readonly states: ReadonlyMap<number, FileState>;
}

export function newFile(name: string, repoIndexes: readonly number[]): QueuedFile {
  const fresh = (): FileState => ({
    stored: null,
    sent: null,
    left: false,
    seenAtMs: 0,
    seenEpoch: 0,
    busy: false,
    urgent: false,
    failures: 0,
    error: null,
    retryAtMs: 0,
  });
  const states = new Map(repoIndexes.map((key) => [key, fresh()]));
  return { name, fileId: null, sha1: null, sizeBytes: 0, ready: false, requests: 0, fatal: null, states };
}

/** Timeline histories first, in PostgreSQL's order. */
export function inOrder(files: Iterable<QueuedFile>): QueuedFile[] {
  const rank = ({ name }: QueuedFile): string => (name.endsWith(".history") ? `0${name}` : `1${name}`);
  return [...files].sort((left, right) => (rank(left) < rank(right) ? -1 : 1));
}
