/**
 * What must be true of each position that a repository's worker reports to a server whose commits wait for it.
 *
 * A reported position stays stored: some session's chunks have the server's bytes up to it, which a recovery takes if
 * no other server has stored others. Of two servers whose bytes differ at a place, one gets positions beyond it
 * reported. Both may in the first ten seconds after the second one's first chunk. A storage that says something untrue
 * excuses its repository.
 */
import {
  bySession,
  checkChunk,
  CHUNK_HEAD_SIZE_BYTES,
  coverOf,
  parseChunkHead,
  parseChunkName,
  type StreamChunk,
} from "../../runtime/format/wal/streamChunk";
import { CLUSTER, WAL_SIZE_BYTES } from "../runtime/repository/support";
import type { Bucket, StoredFile } from "./bucket";

/** Offsets in the segment that every server writes. */
const FLUSHED_AT = 50;
/** From here on a twin's bytes are its own. */
const FORK_AT = 130;
/** {@link PACE.proofMs}: two servers may both be confirmed this long. */
const BOTH_MS = 10_000;
const STREAM_FILE = /^pgbackstop\/[^/]+\/stream\/[^/]+\/(.+)$/;

/** A server that writes one segment. */
export interface Server {
  readonly name: string;
  readonly wal: Uint8Array;
  /** Offset of its own bytes. */
  readonly fork: number;
  /** Position after the last byte. */
  flushed: number;
}

/** Positions are offsets in the segment. */
type Positions = Map<Server, number>;

export class Streams {
  readonly #buckets: readonly Bucket[];
  readonly #servers = new Map<string, Server>();
  readonly #sessions = new Map<string, Server>();
  /** The furthest reported positions, by repository. */
  readonly #reported: readonly Positions[];
  /** The furthest positions that were reported while no second server was new. */
  readonly #alone: readonly Positions[];
  /** Since when two servers have chunks there. */
  readonly #bothSinceMs: (number | null)[];
  readonly #seenVersions: number[];
  readonly #misledNow: (repoIndex: number) => boolean;
  /** Repositories that a storage has said something untrue about. */
  readonly #misled = new Set<number>();
  #segment: { readonly no: number; readonly wal: Uint8Array } | null = null;

  /** @param misledNow true if a running process was told something untrue about the repository */
  constructor(buckets: readonly Bucket[], misledNow: (repoIndex: number) => boolean) {
    this.#buckets = buckets;
    this.#misledNow = misledNow;
    this.#reported = buckets.map(() => new Map());
    this.#alone = buckets.map(() => new Map());
    this.#bothSinceMs = buckets.map(() => null);
    this.#seenVersions = buckets.map(() => 0);
  }

  /** Offset 0 of the segment. */
  get beginLsn(): bigint {
    return BigInt(this.#segment?.no ?? 0) * BigInt(WAL_SIZE_BYTES);
  }

  /** @param wal the segment as every server but a twin writes it */
  serverOf(name: string, isTwin: boolean, segmentNo: number, wal: Uint8Array): Server {
    const known = this.#servers.get(name);
    if (known !== undefined) return known;
    this.#segment ??= { no: segmentNo, wal };
    const own = new Uint8Array(this.#segment.wal);
    if (isTwin) own.fill(name.charCodeAt(0), FORK_AT);
    const server = { name, wal: own, fork: isTwin ? FORK_AT : own.length, flushed: FLUSHED_AT };
    this.#servers.set(name, server);
    return server;
  }

  /** A connection begins. */
  begin(session: string, server: Server): void {
    this.#sessions.set(session, server);
  }

  /** A worker has reported this position as stored in its repository. Returns a violation or null. */
  report(repoIndex: number, server: Server, lsn: bigint, nowMs: number): string | null {
    const index = repoIndex - 1;
    const position = Number(lsn - this.beginLsn);
    const reported = this.#reported[index];
    if (reported === undefined || position <= (reported.get(server) ?? 0) || this.#isMisled(repoIndex)) return null;
    reported.set(server, position);
    const lost = this.#findLost(index);
    if (lost !== null) return lost;
    const sinceMs = this.#bothSinceMs[index] ?? null;
    if (sinceMs !== null && nowMs - sinceMs <= BOTH_MS) return null;
    const alone = this.#alone[index] as Positions;
    alone.set(server, position);
    for (const [other, otherPosition] of alone) {
      const fork = Math.min(server.fork, other.fork);
      if (other !== server && Math.min(position, otherPosition) > fork)
        return `repo${repoIndex}: ${server.name} and ${other.name} were both told that it has their WAL after ${fork}`;
    }
    return null;
  }

  /** What was reported is still stored. Checks only what changed since the last call. */
  check(): string | null {
    if (this.#servers.size === 0) return null;
    for (const [index, bucket] of this.#buckets.entries()) {
      if (this.#seenVersions[index] === bucket.version) continue;
      this.#seenVersions[index] = bucket.version;
      this.#lookForBoth(index);
      const lost = this.#isMisled(bucket.key) ? null : this.#findLost(index);
      if (lost !== null) return lost;
    }
    return null;
  }

  #isMisled(repoIndex: number): boolean {
    if (this.#misledNow(repoIndex)) this.#misled.add(repoIndex);
    return this.#misled.has(repoIndex);
  }

  #lookForBoth(index: number): void {
    const bucket = this.#buckets[index] as Bucket;
    const servers = new Set(chunksOf(bucket).map(({ chunk }) => this.#sessions.get(chunk.session)));
    if (servers.size < 2) this.#bothSinceMs[index] = null;
    else this.#bothSinceMs[index] ??= bucket.clockMs();
  }

  #findLost(index: number): string | null {
    const bucket = this.#buckets[index] as Bucket;
    const all = chunksOf(bucket);
    for (const [server, position] of this.#reported[index] as Positions) {
      // A later session removes the start of an earlier one that it has too, and a paused one does so late.
      if (this.#bothSinceMs[index] === null ? reachOf(all, server) < position : togetherOf(all, server) < position)
        return `repo${bucket.key}: ${server.name}'s WAL up to ${position} was reported, and is not stored`;
    }
    return null;
  }
}

/** How far one session's chunks have the server's bytes, from the segment's first one on. */
function reachOf(all: readonly Stored[], { wal }: Server): number {
  const ends = new Map(all.map((stored) => [stored.chunk, sameEnd(stored, wal)]));
  const reaches = bySession([...ends.keys()]).map((own) => {
    let reached = 0;
    for (const chunk of coverOf(own.filter((each) => ends.get(each) !== null))) {
      reached = ends.get(chunk) ?? 0;
      if (reached < chunk.end) break;
    }
    return reached;
  });
  return Math.max(0, ...reaches);
}

/** How far all chunks together have them. */
function togetherOf(all: readonly Stored[], { wal }: Server): number {
  const ends = all.map((stored) => [stored.chunk.begin, sameEnd(stored, wal) ?? 0] as const);
  for (let reached = 0; ; ) {
    const further = Math.max(reached, ...ends.flatMap(([begin, end]) => (begin <= reached ? end : [])));
    if (further === reached) return reached;
    reached = further;
  }
}

/** Where a chunk begins to differ, or its end; null for one that a recovery cannot read. */
function sameEnd({ chunk, file }: Stored, wal: Uint8Array): number | null {
  const content = contentOf(chunk, file);
  if (content === null) return null;
  const other = content.findIndex((byte, at) => byte !== wal[chunk.begin + at]);
  return other === -1 ? chunk.end : chunk.begin + other;
}

interface Stored {
  readonly chunk: StreamChunk;
  readonly file: StoredFile;
}

function chunksOf(bucket: Bucket): Stored[] {
  return [...bucket.files].flatMap(([path, file]) => {
    const chunk = parseChunkName(STREAM_FILE.exec(path)?.[1] ?? "");
    return chunk === null ? [] : [{ chunk, file }];
  });
}

const contents = new WeakMap<StoredFile, Uint8Array | null>();

/** A chunk's WAL; null for one that a recovery cannot read. */
function contentOf(chunk: StreamChunk, file: StoredFile): Uint8Array | null {
  const known = contents.get(file);
  if (known !== undefined) return known;
  let wal: Uint8Array | null = file.bytes.subarray(CHUNK_HEAD_SIZE_BYTES);
  try {
    checkChunk(chunk, parseChunkHead(file.bytes), wal, CLUSTER.systemId, WAL_SIZE_BYTES);
  } catch {
    wal = null;
  }
  contents.set(file, wal);
  return wal;
}
