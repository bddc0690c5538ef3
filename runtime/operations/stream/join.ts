/**
 * The beginning of one segment out of the pieces that several sessions and repositories have of it: what a recovery gets (stream/partial), and so
 * what `find` reads.
 */
import type { Context } from "../../base/context";
import { isError, toBackupError } from "../../base/errors";
import { coverOf, newestFirst, type StreamChunk } from "../../format/wal/streamChunk";
import type { Repository } from "../../repository/repository";
import { PIECE_FAULTS, readChunk, type StreamArchive, type StreamOrigin } from "../../repository/streamStore";
import { repoErrorLine } from "../shared/results";

export interface PieceSource {
  readonly repo: Repository;
  readonly archive: StreamArchive;
  /** Of one session and one segment. */
  readonly chunks: readonly StreamChunk[];
}

/** What the beginning is put together in. */
export interface JoinTarget {
  /** Are these the bytes at this offset? Asked of such as were written. */
  holds(at: number, wal: Uint8Array): Promise<boolean>;
  write(at: number, wal: Uint8Array): Promise<void>;
}

export interface Joined {
  /** From the first byte of the segment on; 0 when there is nothing. */
  readonly sizeBytes: number;
  /** Whose pieces reach there. */
  readonly last: PieceSource | null;
}

/** The newest session first; a piece that cannot be read is told, and another one taken that has the same. */
export async function joinPieces(target: JoinTarget, sources: readonly PieceSource[], origin: StreamOrigin, ctx: Context): Promise<Joined> {
  let joined: Joined = { sizeBytes: 0, last: null };
  for (const source of [...sources].sort((left, right) => newestFirst(left.chunks, right.chunks))) {
    const sizeBytes = await extend(target, joined.sizeBytes, source, origin, ctx);
    if (sizeBytes > joined.sizeBytes) joined = { sizeBytes, last: source };
  }
  return joined;
}

/**
 * Lengthens what the target holds by what one session has beyond it, if all that both have is the same; tells how much there is then. Another
 * repository has got more of the same session, or the newest session was cut off before it was where an earlier one had been. Of a server that was
 * taken back to an earlier state the sessions differ: its newest one counts.
 */
async function extend(
  target: JoinTarget,
  sizeBytes: number,
  { archive, chunks, repo }: PieceSource,
  origin: StreamOrigin,
  ctx: Context,
): Promise<number> {
  let usable = chunks.filter(({ end }) => end <= origin.segmentSizeBytes);
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
      // Another piece may reach as far: the merged one was damaged, or removed meanwhile.
      if (!isError(error, ...PIECE_FAULTS)) return reached;
      usable = usable.filter((other) => other !== chunk);
      continue;
    }
    const known = Math.max(Math.min(chunk.end, reached) - at, 0);
    if (known > 0 && !(await target.holds(at, wal.subarray(0, known)))) return reached;
    if (known < wal.length) await target.write(chunk.begin + known, wal.subarray(known));
    at = chunk.end;
    reached = Math.max(reached, at);
  }
}
