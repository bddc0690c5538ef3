/** What a stream worker gets from the connection that it serves. */
import type { BackupError } from "../../base/errors";
import type { ClusterIdentity } from "../shared/identity";
import type { SettleOptions } from "./settle";

export interface StreamWorkerOptions extends SettleOptions {
  /** Session id of format/wal/streamChunk. */
  readonly session: string;
  readonly intervalMs: number;
  /** The server's flush position at the start of the session. */
  readonly flushLsn: bigint;
  /**
   * WAL files that the archive may lack and that a recovery needs before the session's first segment: by name, in any
   * order.
   */
  readonly missingWal: readonly string[];
  /** The same list later; absent if it cannot grow. */
  listMissingWal?(): Promise<readonly string[]>;
  /** @throws stop (62) when the user has stopped the stanza */
  requireStarted(): void;
  /** Runs before the session's first chunk, until it succeeds. @throws if this server may not write here */
  requireOwn?(): Promise<void>;
  /** Absent for a repository that no commit waits for. */
  readonly prompt?: PromptOptions;
  /** {@link StreamStatus.lostCount} of earlier sessions. */
  readonly lostCount?: number;
  /** The newest segment that an earlier session of this process has seen in the archive. */
  readonly archivedBefore?: ArchivedSegment | null;
  /** Records that the repository lacks an archived segment again. */
  recordLost?(walName: string): void;
  /** Called when streamed WAL is lost that the window no longer has: the server must send it again. */
  restart?(reason: BackupError): void;
}

export interface ArchivedSegment {
  readonly cluster: ClusterIdentity;
  readonly name: string;
}

export interface PromptOptions {
  /** Minimum time between the starts of two uploads: it limits the number of requests. */
  readonly groupMs: number;
  /** Called when the position of {@link StreamStatus} has changed. */
  progressed(): void;
}

/** An upload of a prompt repository: one chunk, or a segment that needs none because it is archived. */
export interface Upload {
  readonly end: bigint;
  /** When it began, if it reached everything that was received by then. */
  readonly levelAtMs: number | null;
  isDone: boolean;
}
