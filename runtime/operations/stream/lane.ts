/**
 * One repository's part of streaming: ships what the window has and the repository lacks, at most once in an interval, and takes the pieces of a
 * segment away when the whole segment is in the archive.
 *
 * A repository that fails is tried again after longer and longer pauses; when the window has gone on without it, it begins anew with a whole
 * segment, because only an unbroken beginning of one can be used.
 */
import type { Context } from "../../base/context";
import { type BackupError, toBackupError } from "../../base/errors";
import { formatLsn, lsnOfSegment, segmentOfLsn } from "../../format/walSegment";
import type { StreamChunk } from "../../format/streamChunk";
import type { StreamState } from "../../local/streamState";
import { requirePresent } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { listChunks, putChunk, removeChunk, type StreamOrigin } from "../../repository/streamStore";
import { findWal } from "../../repository/walStore";
import type { ClusterIdentity } from "../identity";
import { type OpenArchive, PushTarget } from "../pushWal";
import { repoErrorLine } from "../results";
import type { WalWindow } from "./window";

export interface LaneOptions {
  readonly cluster: ClusterIdentity;
  readonly timeline: number;
  readonly segmentSizeBytes: number;
  /** Of format/streamChunk. */
  readonly session: string;
  readonly intervalMs: number;
  /** @throws stop (62) when the user has stopped the stanza */
  requireStarted(): void;
}

export interface LaneStatus {
  readonly repoKey: number;
  /** Position up to which the repository has everything; null before the first time. */
  readonly lsn: bigint | null;
  /** What the server had written by this time is in the repository; null before the first time. */
  readonly atMs: number | null;
  readonly error: BackupError | null;
}

/** As other processes are told it; null before the first time. */
export function stateOf({ atMs, lsn, repoKey }: LaneStatus): StreamState | null {
  return atMs === null || lsn === null ? null : { key: repoKey, lsn: formatLsn(lsn), positionBytes: Number(lsn), atS: Math.floor(atMs / 1000) };
}

/** A piece: what a repository gets at once. */
const CHUNK_SIZE_BYTES_MAX = 8 * 1024 * 1024;
/** So many pieces of a segment become one again, as long as the segment is not larger than this. */
const PIECES_MAX = 32;
const MERGED_SIZE_BYTES_MAX = 16 * 1024 * 1024;
const PAUSE_MS_MAX = 60_000;
/** Of looking by itself whether a segment has been archived: by somebody else, or before the agent was started. */
const LOOK_MS = 30_000;
const SEGMENT = /^[0-9A-F]{24}$/;

export class StreamLane {
  readonly #repo: Repository;
  readonly #window: WalWindow;
  readonly #options: LaneOptions;
  readonly #origin: StreamOrigin;
  readonly #target: PushTarget;
  readonly #ctx: Context;
  /** Pieces of this session, by segment. */
  readonly #own = new Map<string, StreamChunk[]>();
  readonly #archived = new Set<string>();
  /** Pieces that were here before. */
  #older: StreamChunk[] | null = null;
  #position: bigint;
  #shippedAtMs: number | null = null;
  #error: BackupError | null = null;
  #lookedAtMs: number;

  constructor(repo: Repository, window: WalWindow, options: LaneOptions, ctx: Context) {
    this.#repo = repo;
    this.#window = window;
    this.#options = options;
    this.#origin = { systemId: options.cluster.systemId, segmentSizeBytes: options.segmentSizeBytes };
    this.#target = new PushTarget(repo, ctx);
    this.#ctx = ctx;
    this.#position = window.begin;
    this.#lookedAtMs = ctx.clock.monotonicMs();
  }

  status(): LaneStatus {
    const isLevel = !this.#window.closed && this.#shippedAtMs !== null && this.#position >= this.#window.end;
    const atMs = isLevel ? this.#ctx.clock.nowMs() : this.#shippedAtMs;
    return { repoKey: this.#repo.key, lsn: this.#shippedAtMs === null ? null : this.#position, atMs, error: this.#error };
  }

  /** A file has come into the repository's archive. */
  archived(walName: string): void {
    if (SEGMENT.test(walName)) this.#archived.add(walName);
    this.#window.notify();
  }

  /** Ships until the window is closed and all of it is shipped, or could not be; or until the context's signal aborts. */
  async run(): Promise<void> {
    const { clock, signal } = this.#ctx;
    let pauseMs = 0;
    for (let beganAtMs = Number.NEGATIVE_INFINITY; !signal.aborted; ) {
      const isOver = this.#window.closed;
      if (!isOver && !this.#hasWork()) {
        await this.#wait(LOOK_MS);
        await this.#sweepQuietly();
        continue;
      }
      const waitMs = beganAtMs + Math.max(this.#options.intervalMs, pauseMs) - clock.monotonicMs();
      if (!isOver && waitMs > 0) {
        await this.#waitOut(waitMs);
        continue;
      }
      beganAtMs = clock.monotonicMs();
      pauseMs = (await this.#try()) ? 0 : Math.min(Math.max(pauseMs * 2, this.#options.intervalMs), PAUSE_MS_MAX);
      if (isOver) return;
    }
  }

  #hasWork(): boolean {
    return this.#position < this.#window.end || this.#shippedAtMs === null;
  }

  async #wait(limitMs: number): Promise<void> {
    const enough = new AbortController();
    const signal = AbortSignal.any([this.#ctx.signal, enough.signal]);
    await Promise.race([this.#window.changed(signal), this.#ctx.clock.sleep(limitMs, signal).catch(() => {})]);
    enough.abort();
  }

  /** The whole time, unless the window is closed meanwhile. */
  async #waitOut(durationMs: number): Promise<void> {
    await this.#ctx.clock.sleep(durationMs, AbortSignal.any([this.#ctx.signal, this.#window.closing])).catch(() => {});
  }

  async #try(): Promise<boolean> {
    try {
      await this.#ship();
      if (this.#error !== null) this.#ctx.log.info(`${this.#repo.name} takes streamed WAL again`);
      this.#error = null;
      return true;
    } catch (thrown) {
      const error = toBackupError(thrown);
      this.#target.forget();
      if (this.#error?.message !== error.message)
        this.#ctx.log.warn(`streaming: ${repoErrorLine(this.#repo.key, error)}\nit is tried again and again; the other repositories go on`);
      this.#error = error;
      return false;
    }
  }

  async #ship(): Promise<void> {
    this.#options.requireStarted();
    const archive = await this.#target.open(this.#options.cluster);
    this.#older ??= await listChunks(this.#repo, archive.archiveId);
    const goal = this.#window.end;
    const goalAtMs = this.#ctx.clock.nowMs();
    while (this.#position < goal) await this.#shipOne(archive, goal);
    this.#shippedAtMs = goalAtMs;
    await this.#sweep(archive);
  }

  async #shipOne(archive: OpenArchive, goal: bigint): Promise<void> {
    const { segmentSizeBytes, session, timeline } = this.#options;
    const size = BigInt(segmentSizeBytes);
    // Left behind by the window: the beginning of the next whole segment.
    if (this.#position < this.#window.begin) this.#position = ((this.#window.begin + size - 1n) / size) * size;
    if (this.#position >= goal) return;
    const segment = segmentOfLsn(timeline, this.#position, segmentSizeBytes);
    const segmentLsn = lsnOfSegment(segment, segmentSizeBytes);
    if (this.#archived.has(segment)) {
      this.#position = segmentLsn + size;
      return;
    }
    const own = this.#own.get(segment) ?? [];
    const reach = goal < segmentLsn + size ? goal : segmentLsn + size;
    const isMerge = own.length >= PIECES_MAX && this.#window.begin <= segmentLsn && reach - segmentLsn <= BigInt(MERGED_SIZE_BYTES_MAX);
    const from = isMerge ? segmentLsn : this.#position;
    const most = from + BigInt(isMerge ? MERGED_SIZE_BYTES_MAX : CHUNK_SIZE_BYTES_MAX);
    const to = reach < most ? reach : most;
    const chunk = { segment, session, begin: Number(from - segmentLsn), end: Number(to - segmentLsn) };
    await putChunk(this.#repo, archive, chunk, this.#window.slice(from, to), this.#origin, this.#ctx);
    // Else it may lie in the empty directory that a mount was on.
    await requirePresent(this.#repo);
    this.#own.set(segment, isMerge ? [chunk] : [...own, chunk]);
    this.#position = to;
    if (isMerge) for (const old of own) await removeChunk(this.#repo, archive.archiveId, old);
    // Older sessions reached no further: the server has sent this session all that it has.
    if (chunk.begin === 0) await this.#removeOlder(archive.archiveId, segment);
  }

  async #removeOlder(archiveId: string, segment: string): Promise<void> {
    for (const chunk of (this.#older ?? []).filter((old) => old.segment === segment)) await removeChunk(this.#repo, archiveId, chunk);
    this.#older = (this.#older ?? []).filter((old) => old.segment !== segment);
  }

  async #sweepQuietly(): Promise<void> {
    const archive = this.#target.opened;
    if (archive === null || this.#window.closed) return;
    await this.#sweep(archive).catch((error: unknown) => this.#ctx.log.debug(`streaming: ${toBackupError(error).message}`));
  }

  /** Of segments that are archived every piece goes. */
  async #sweep(archive: OpenArchive): Promise<void> {
    const nowMs = this.#ctx.clock.monotonicMs();
    const looks = nowMs - this.#lookedAtMs >= LOOK_MS;
    if (looks) this.#lookedAtMs = nowMs;
    const current = segmentOfLsn(this.#options.timeline, this.#position, this.#options.segmentSizeBytes);
    const names = new Set([...this.#own.keys(), ...(this.#older ?? []).map(({ segment }) => segment)]);
    for (const name of names) {
      if (name === current) continue;
      const isArchived = this.#archived.has(name) || (looks && (await findWal(this.#repo, archive.archiveId, name)).length > 0);
      if (!isArchived) continue;
      for (const chunk of this.#own.get(name) ?? []) await removeChunk(this.#repo, archive.archiveId, chunk);
      this.#own.delete(name);
      await this.#removeOlder(archive.archiveId, name);
    }
    for (const name of this.#archived) if (name < current) this.#archived.delete(name);
  }
}
