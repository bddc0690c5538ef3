/**
 * Chunks of other sessions in the segments that a session streams. They are of an earlier connection, or of another
 * agent of this server, if they have the same bytes. Other bytes are of another server that writes the same timeline: a
 * clone, or what this server was before it was taken back to a snapshot. Only the bytes tell, where both sessions have
 * some; beyond that nothing does.
 *
 * A recovery takes the newest session's bytes. So an earlier session's position ends where a later one has other bytes.
 * A later session that commits wait for ends too: what the earlier one has may have been confirmed.
 */
import { type BackupError, fail, nullOn } from "../../base/errors";
import type { Log } from "../../base/log";
import { chunkFileName, type StreamChunk } from "../../format/wal/streamChunk";
import { formatLsn, lsnOfSegment } from "../../format/wal/walSegment";
import type { Repository } from "../../repository/repository";
import { PIECE_FAULTS, readChunk, type StreamOrigin } from "../../repository/streamStore";
import type { OpenArchive } from "../shared/knownWal";
import { repoErrorLine } from "../shared/results";
import type { StreamWorkerOptions } from "./streamWorkerOptions";
import type { WalWindow } from "./walWindow";

/** Where another session's bytes begin to differ. */
export interface Fork {
  readonly lsn: bigint;
  readonly chunk: StreamChunk;
}

/** What was compared of a chunk. */
interface Compared {
  /** Offset in the segment. */
  readonly end: number;
  /** False if a part differs, or the window lacked it. */
  readonly isWhole: boolean;
}

export class OtherSessions {
  readonly #repo: Repository;
  readonly #window: WalWindow;
  readonly #options: StreamWorkerOptions;
  readonly #origin: StreamOrigin;
  readonly #log: Log;
  /** Chunks by file name. */
  readonly #compared = new Map<string, Compared>();
  /** The chunk that was read last: it may reach further than the window, which grows. */
  #read: { readonly name: string; readonly wal: Uint8Array } | null = null;
  #fork: Fork | null = null;
  /** Chunks of other sessions, as the last look has shown them. */
  shown: readonly StreamChunk[] = [];
  /**
   * True while there are such chunks. Then another server may store other bytes at any time, and a commit needs a look
   * that began after its WAL was stored: the later one of two sees the other's.
   */
  areThere = false;

  constructor(repo: Repository, window: WalWindow, options: StreamWorkerOptions, origin: StreamOrigin, log: Log) {
    this.#repo = repo;
    this.#window = window;
    this.#options = options;
    this.#origin = origin;
    this.#log = log;
  }

  /** As the last look has shown it; null while all bytes agree. */
  get fork(): Fork | null {
    return this.#fork;
  }

  /** The position, or where other bytes begin before it. */
  least(lsn: bigint): bigint {
    return this.#fork !== null && this.#fork.lsn < lsn ? this.#fork.lsn : lsn;
  }

  get error(): BackupError | null {
    if (this.#fork === null) return null;
    const { chunk, lsn } = this.#fork;
    const text = `another session (${chunk.session}) has streamed other WAL of ${chunk.segment} from ${formatLsn(lsn)} on`;
    return fail("archiveDuplicate", text, {
      hint: [
        "Do two servers stream into one stanza? Stop the agent of the one that is not production.",
        "On a server that was taken back to an earlier state run SELECT pg_switch_wal(): its archived segments count.",
      ],
      repoIndex: this.#repo.key,
    });
  }

  /** True if all of the chunk was compared, and is this server's. */
  isOurs(chunk: StreamChunk): boolean {
    const compared = this.#compared.get(chunkFileName(chunk));
    return compared?.end === chunk.end && compared.isWhole;
  }

  /** Compares the chunks, as a listing has just shown them. */
  async look(archive: OpenArchive, chunks: readonly StreamChunk[]): Promise<void> {
    const names = new Set(chunks.map(chunkFileName));
    for (const name of this.#compared.keys()) if (!names.has(name)) this.#compared.delete(name);
    this.shown = chunks;
    this.areThere = chunks.length > 0;
    let fork: Fork | null = null;
    for (const chunk of chunks) {
      const lsn = await this.#findOther(archive, chunk);
      if (lsn !== null && (fork === null || lsn < fork.lsn)) fork = { lsn, chunk };
    }
    const isNew = fork !== null && this.#fork === null;
    this.#fork = fork;
    if (isNew && this.error !== null)
      this.#log.warn(
        `streaming: ${repoErrorLine(this.#repo.key, this.error)}\nno streamed WAL from there on counts as stored there\nHINT: ${this.error.hints.join(" ")}`,
      );
  }

  /** Position of the first byte that differs; null if none is known. @throws errors of the storage */
  async #findOther(archive: OpenArchive, chunk: StreamChunk): Promise<bigint | null> {
    const segmentLsn = lsnOfSegment(chunk.segment, this.#options.segmentSizeBytes);
    const name = chunkFileName(chunk);
    const compared = this.#compared.get(name) ?? { end: chunk.begin, isWhole: true };
    const wanted = segmentLsn + BigInt(compared.end);
    const end = segmentLsn + BigInt(chunk.end);
    if (wanted >= end || this.#window.end <= wanted || this.#window.begin >= end) return null;
    const theirs = await this.#wal(archive, chunk);
    // A recovery cannot read it either.
    if (theirs === null) return null;
    const from = wanted < this.#window.begin ? this.#window.begin : wanted;
    const to = end < this.#window.end ? end : this.#window.end;
    let at = Number(from - segmentLsn);
    for (const part of from < to ? this.#window.slice(from, to) : []) {
      const other = theirs.subarray(at - chunk.begin, at - chunk.begin + part.length);
      if (Buffer.compare(other, part) !== 0) {
        // A recovery takes the newest session's bytes, and no commit waits for this one.
        if (this.#options.prompt === undefined && chunk.session < this.#options.session) {
          this.#compared.set(name, { end: chunk.end, isWhole: false });
          return null;
        }
        return segmentLsn + BigInt(at + part.findIndex((byte, index) => byte !== other[index]));
      }
      at += part.length;
    }
    this.#compared.set(name, { end: at, isWhole: compared.isWhole && from === wanted });
    return null;
  }

  /** Null for a chunk that is gone or damaged. */
  async #wal(archive: OpenArchive, chunk: StreamChunk): Promise<Uint8Array | null> {
    const name = chunkFileName(chunk);
    if (this.#read?.name === name) return this.#read.wal;
    const wal = await nullOn(readChunk(this.#repo, archive, chunk, this.#origin), ...PIECE_FAULTS);
    this.#read = wal === null ? null : { name, wal };
    return wal;
  }
}

/** Cuts a session's chunks, by segment, at a position: what is before it stays stored all the time. */
export async function cutChunks(
  own: Map<string, StreamChunk[]>,
  lsn: bigint,
  segmentSizeBytes: number,
  put: (chunk: StreamChunk, from: bigint) => Promise<void>,
  remove: (chunk: StreamChunk) => Promise<void>,
): Promise<void> {
  for (const [segment, chunks] of own) {
    const segmentLsn = lsnOfSegment(segment, segmentSizeBytes);
    const kept: StreamChunk[] = [];
    for (const chunk of chunks) {
      const common = { ...chunk, end: Math.min(chunk.end, Number(lsn - segmentLsn)) };
      const isKept = common.end > common.begin;
      if (isKept) kept.push(common);
      if (common.end === chunk.end) continue;
      if (isKept) await put(common, segmentLsn + BigInt(common.begin));
      await remove(chunk);
    }
    if (kept.length > 0) own.set(segment, kept);
    else own.delete(segment);
  }
}
