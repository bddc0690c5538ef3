/**
 * Assembles the start of one segment from the chunks of several sessions and repositories: for a recovery
 * (stream/partial) and for `find`.
 */
import type { Context } from "../../base/context";
import { type BackupError, isError, toBackupError } from "../../base/errors";
import { chunkFileName, coverOf, newestFirst, type StreamChunk } from "../../format/wal/streamChunk";
import type { Repository } from "../../repository/repository";
import {
  listChunks,
  PIECE_FAULTS,
  readChunk,
  type StreamArchive,
  type StreamOrigin,
} from "../../repository/streamStore";
import type { Doubt } from "../archiveGet/archiveGet";
import { repoErrorLine } from "../shared/results";

export interface PieceSource {
  readonly repo: Repository;
  readonly archive: StreamArchive;
  /** Chunks of one session and one segment. */
  readonly chunks: readonly StreamChunk[];
}

/** Where the start of the segment is assembled. */
export interface JoinTarget {
  /** True when these bytes are at this offset. Called only for written bytes. */
  holds(at: number, wal: Uint8Array): Promise<boolean>;
  write(at: number, wal: Uint8Array): Promise<void>;
}

export interface Joined {
  /** From the first byte of the segment; 0 without any. */
  readonly sizeBytes: number;
  /** The source whose chunks reach that far. */
  readonly last: PieceSource | null;
  /** Repositories whose chunks reach further, and could not be read. */
  readonly unread: readonly Doubt[];
}

/**
 * Takes encrypted repositories first, then the newest session: a writer of an unencrypted repository can store a
 * session that is newer than any other. So it only extends what an encrypted one holds, and only over the same bytes.
 * An unreadable chunk is reported and replaced by another one with the same bytes.
 */
export async function joinPieces(
  target: JoinTarget,
  sources: readonly PieceSource[],
  origin: StreamOrigin,
  ctx: Context,
): Promise<Joined> {
  let [sizeBytes, last]: [number, PieceSource | null] = [0, null];
  const failed: Failure[] = [];
  for (const source of [...sources].sort(mostTrustedFirst)) {
    const report = (error: BackupError, end: number): void => {
      failed.push({ repoIndex: source.repo.key, error, end });
    };
    const reached = await extend(target, { sizeBytes, last }, source, origin, { ctx, report });
    if (reached > sizeBytes) [sizeBytes, last] = [reached, source];
  }
  return { sizeBytes, last, unread: failed.filter(({ end }) => end > sizeBytes) };
}

interface Failure extends Doubt {
  /** How far the session reaches, according to its chunks' names. */
  readonly end: number;
}

function mostTrustedFirst(left: PieceSource, right: PieceSource): number {
  const trust = ({ repo }: PieceSource): number => (repo.cipherPass === null ? 0 : 1);
  return trust(right) - trust(left) || newestFirst(left.chunks, right.chunks);
}

/**
 * Extends the target with one session's further bytes, if all common bytes are equal; returns the new length. Another
 * repository may have more of the same session, or the newest session was cut off before the end of an earlier one.
 * Sessions differ after a server was taken back to an earlier state: then the newest one counts.
 */
async function extend(
  target: JoinTarget,
  { last, sizeBytes }: Pick<Joined, "last" | "sizeBytes">,
  { archive, chunks, repo }: PieceSource,
  origin: StreamOrigin,
  { ctx, report }: { readonly ctx: Context; readonly report: (error: BackupError, end: number) => void },
): Promise<number> {
  const unreadable = new Set<string>();
  const isUsable = (chunk: StreamChunk): boolean =>
    chunk.end <= origin.segmentSizeBytes && !unreadable.has(chunkFileName(chunk));
  let usable = chunks.filter(isUsable);
  let reached = sizeBytes;
  for (let at = 0; ; ) {
    ctx.signal.throwIfAborted();
    const cover = coverOf(usable);
    const chunk = cover.find(({ begin }) => begin === at);
    if (chunk === undefined || (cover.at(-1)?.end ?? 0) <= reached) return reached;
    let wal: Uint8Array;
    try {
      wal = await readChunk(repo, archive, chunk, origin);
    } catch (thrown) {
      const error = toBackupError(thrown);
      ctx.log.warn(`streamed WAL: ${repoErrorLine(repo.key, error)}`);
      if (!isError(error, ...PIECE_FAULTS)) {
        report(error, cover.at(-1)?.end ?? 0);
        return reached;
      }
      unreadable.add(chunkFileName(chunk));
      // A running agent merges chunks: these bytes may be in another one by now, which may begin before them.
      if (isError(error, "fileMissing")) {
        const listed = await listChunks(repo, archive.archiveId, chunk.segment).catch((failure: unknown) => {
          report(toBackupError(failure), cover.at(-1)?.end ?? 0);
          return usable;
        });
        usable = listed.filter(({ session }) => session === chunk.session);
        at = 0;
      }
      // Another chunk may reach as far.
      usable = usable.filter(isUsable);
      continue;
    }
    const known = Math.max(Math.min(chunk.end, reached) - at, 0);
    if (known > 0 && !(await target.holds(at, wal.subarray(0, known)))) {
      // Earlier sessions of one repository differ after its server was taken back.
      if (last !== null && last.repo !== repo)
        ctx.log.warn(
          `streamed WAL: ${chunk.segment} in ${repo.name} (session ${chunk.session}) differs from that in ${last.repo.name}, and is not used`,
        );
      return reached;
    }
    if (known < wal.length) await target.write(chunk.begin + known, wal.subarray(known));
    at = chunk.end;
    reached = Math.max(reached, at);
  }
}
