/**
 * Streamed WAL after the end of the archive (format/wal/streamChunk): the last minute of a lost host. For each segment
 * it provides the bytes that a recovery would get (stream/join).
 */
import type { Context } from "../../base/context";
import { perRepo } from "../../base/parallel";
import { bySession, reachOf } from "../../format/wal/streamChunk";
import { lsnOfSegment } from "../../format/wal/walSegment";
import { listChunks, type StreamOrigin } from "../../repository/streamStore";
import { repoErrorLine } from "../shared/results";
import { type JoinTarget, joinPieces, type PieceSource } from "../stream/join";
import type { Holder, Segment, WalArchive } from "./archive";

interface StreamedSegment {
  /** Zero-filled after the streamed bytes, as in a segment that PostgreSQL is writing. */
  readonly bytes: Uint8Array;
  /** All of its bytes were streamed. */
  readonly isWhole: boolean;
}

export class StreamedWal {
  readonly #sources: ReadonlyMap<string, readonly PieceSource[]>;
  readonly #origin: StreamOrigin;
  readonly #ctx: Context;
  /** On the timeline's path, ascending. */
  readonly segments: readonly Segment[];

  private constructor(archive: WalArchive, sources: ReadonlyMap<string, PieceSource[]>, ctx: Context) {
    const { segmentSizeBytes, systemId } = archive;
    this.#sources = sources;
    this.#origin = { segmentSizeBytes, systemId };
    this.#ctx = ctx;
    this.segments = [...sources.keys()]
      .map((name): Segment => ({ name, lsn: lsnOfSegment(name, segmentSizeBytes), copies: [] }))
      .filter(({ name }) => archive.path.has(name))
      .sort((left, right) => (left.lsn < right.lsn ? -1 : 1));
  }

  /** A repository that does not answer is skipped with a warning. */
  static async open(archive: WalArchive, ctx: Context): Promise<StreamedWal> {
    const sources = new Map<string, PieceSource[]>();
    const { holders } = archive;
    const results = await perRepo(
      holders.map(({ repo }) => repo),
      async (repo) => {
        const { archiveId, pass } = holders.find((each) => each.repo === repo) as Holder;
        return { repo, archive: { archiveId, pass }, chunks: await listChunks(repo, archiveId) };
      },
    );
    for (const result of results) {
      if (!result.ok) {
        ctx.log.warn(`streamed WAL: ${repoErrorLine(result.repoIndex, result.error)}`);
        continue;
      }
      const { chunks, ...origin } = result.value;
      for (const segment of new Set(chunks.map((chunk) => chunk.segment))) {
        const sessions = bySession(
          chunks.filter((chunk) => chunk.segment === segment && chunk.end <= archive.segmentSizeBytes),
        );
        // Only an unbroken start of a segment can be read.
        const usable = sessions
          .filter((own) => reachOf(own) > 0)
          .map((own): PieceSource => ({ ...origin, chunks: own }));
        if (usable.length > 0) sources.set(segment, [...(sources.get(segment) ?? []), ...usable]);
      }
    }
    return new StreamedWal(archive, sources, ctx);
  }

  /** Null when no part of it can be read. */
  async read({ name }: Segment): Promise<StreamedSegment | null> {
    const sources = this.#sources.get(name);
    if (sources === undefined) return null;
    const bytes = Buffer.alloc(this.#origin.segmentSizeBytes);
    const target: JoinTarget = {
      holds: async (at, wal) => bytes.subarray(at, at + wal.length).equals(wal),
      write: async (at, wal) => bytes.set(wal, at),
    };
    const { sizeBytes } = await joinPieces(target, sources, this.#origin, this.#ctx);
    return sizeBytes === 0 ? null : { bytes, isWhole: sizeBytes === bytes.length };
  }
}
