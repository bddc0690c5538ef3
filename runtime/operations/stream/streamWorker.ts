/**
 * Streams to one repository: ships what the window has and the repository lacks. Removes a segment's chunks once the
 * archive has the complete segment.
 *
 * A repository that no commit waits for is served at most once per interval. A prompt repository gets WAL at once, by a
 * few uploads at the same time: what arrives between two starts is one upload. Only the unbroken beginning counts as
 * stored, in whatever order uploads end. Merging and removing then run alongside the uploads.
 *
 * A failed repository is retried after growing pauses. If the window has moved past it, it starts again at a complete
 * segment, because only an unbroken start of a segment can be used. WAL that a recovery needs before that is reported
 * as not safe until it is archived.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import {
  formatLsn,
  lsnOfSegment,
  previousSegment,
  SEGMENT_NAME,
  segmentOfLsn,
  timelineOf,
} from "../../format/wal/walSegment";
import { reachOf, type StreamChunk } from "../../format/wal/streamChunk";
import { requirePresent } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { listChunks, putChunk, removeChunk, type StreamOrigin } from "../../repository/streamStore";
import type { StoredWal } from "../../repository/walStore";
import { PushTarget } from "../archivePush/pushWal";
import type { OpenArchive } from "../shared/knownWal";
import { repoErrorLine } from "../shared/results";
import { Leftovers } from "./streamLeftovers";
import { archivedBefore, archivedOf, chunkAt, completeOf, findFurther, isNeeded, leastLsn, mergedOf } from "./needed";
import { cutChunks, type Fork, OtherSessions } from "./otherSessions";
import { PACE } from "./pace";
import { findLost, storedBeside } from "./proof";
import { settle } from "./settle";
import { isServers, StreamConflicts } from "./streamConflicts";
import type { StreamStatus } from "./streamStatus";
import type { ArchivedSegment, PromptOptions, StreamWorkerOptions, Upload } from "./streamWorkerOptions";
import type { WalWindow } from "./walWindow";

export class StreamWorker {
  readonly #repo: Repository;
  readonly #window: WalWindow;
  readonly #options: StreamWorkerOptions;
  readonly #origin: StreamOrigin;
  readonly #target: PushTarget;
  readonly #ctx: Context;
  readonly #leftovers: Leftovers;
  /** This session's chunks, by segment. */
  readonly #own = new Map<string, StreamChunk[]>();
  readonly #archived = new Set<string>();
  /** Segments of earlier timelines that cannot be assembled from their chunks. */
  readonly #unusable = new Set<string>();
  /** The session's first segment. */
  readonly #first: string;
  /** Files that a recovery needs before the newest chunk and that the repository may lack. */
  readonly #missingWal: Set<string>;
  /** Those of them that are archived, while PostgreSQL's request to archive them may still add missing WAL. */
  readonly #histories = new Set<string>();
  /** Chunks of earlier sessions. */
  #older: StreamChunk[] | null = null;
  /** Segments that an earlier session has streamed completely and that the archive lacks. */
  readonly #complete = new Set<string>();
  readonly #conflicts: StreamConflicts;
  readonly #others: OtherSessions;
  #position: bigint;
  #reachedAtMs: number | null = null;
  /** The last time that nothing was missing. */
  #safeAtMs: number | null = null;
  #error: BackupError | null = null;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #lookError = "";
  /** Uploads of a prompt repository, in the order of their bytes; they end in any order. */
  #uploads: Upload[] = [];
  /** Position after the last upload that was begun. */
  #sent: bigint;
  #failure: BackupError | null = null;
  #uploadBeganAtMs = Number.NEGATIVE_INFINITY;
  /** Duration of recent uploads, the shortest ones: a single slow one must not hold back the next. */
  #uploadMs = Number.POSITIVE_INFINITY;
  /** The last upload left received WAL behind: the next one need not wait for more. */
  #isBehind = false;
  #tidying: Promise<void> | null = null;
  #tidiedAtMs = Number.NEGATIVE_INFINITY;
  #mergedAtMs = Number.NEGATIVE_INFINITY;
  /** Stored, and shown to be there. */
  #confirmed: bigint;
  #provenAtMs = Number.NEGATIVE_INFINITY;
  #proving: Promise<void> | null = null;
  /** Newest segment that was seen in the archive. */
  #newestArchived: string | null;
  #lostCount: number;

  constructor(repo: Repository, window: WalWindow, options: StreamWorkerOptions, ctx: Context) {
    this.#repo = repo;
    this.#window = window;
    this.#options = options;
    this.#origin = { systemId: options.cluster.systemId, segmentSizeBytes: options.segmentSizeBytes };
    this.#target = new PushTarget(repo, ctx);
    this.#ctx = ctx;
    this.#leftovers = new Leftovers(repo, ctx);
    this.#conflicts = new StreamConflicts(repo.key, options.segmentSizeBytes, ctx.log);
    this.#others = new OtherSessions(repo, window, options, this.#origin, ctx.log);
    this.#position = window.begin;
    this.#sent = window.begin;
    this.#confirmed = window.begin;
    this.#lostCount = options.lostCount ?? 0;
    this.#first = this.#segment();
    this.#missingWal = new Set(options.missingWal.filter((name) => isNeeded(name, this.#first)));
    this.#newestArchived = archivedBefore(options.archivedBefore ?? null, options.cluster, this.#first);
    // Chunks of a segment that the archive lacks may be merged or lost, and a file of its name is compared with it.
    const needed = (): Set<string> => new Set([this.#segment(), ...this.#own.keys()]);
    window.keepFor(() => leastLsn(needed(), options.segmentSizeBytes) ?? window.begin);
  }

  status(): StreamStatus {
    const error = this.#error ?? this.#others.error ?? this.#conflicts.error;
    const common = { repoIndex: this.#repo.key, error, lostCount: this.#lostCount };
    if (this.#reachedAtMs === null) return { ...common, lsn: null, atMs: null };
    const missing = new Set([...this.#missingWal, ...this.#conflicts.before(this.#confirmed)]);
    if (missing.size > 0)
      return { ...common, lsn: leastLsn(missing, this.#options.segmentSizeBytes), atMs: this.#safeAtMs };
    const lsn = this.#others.least(this.#confirmed);
    const isShown = this.#options.prompt !== undefined || this.#provenAgeMs() <= PACE.shownMs;
    const isLevel = isShown && !this.#window.closed && lsn >= this.#window.end;
    return { ...common, lsn, atMs: isLevel ? this.#ctx.clock.nowMs() : this.#reachedAtMs };
  }

  /** For the next session. */
  get newestArchived(): ArchivedSegment | null {
    return this.#newestArchived === null ? null : { cluster: this.#options.cluster, name: this.#newestArchived };
  }

  /** Called when a file has reached the repository's archive. */
  archived(walName: string): void {
    this.#archived.add(walName);
    this.#complete.delete(walName);
    this.#conflicts.end(walName);
    if (SEGMENT_NAME.test(walName) && walName >= this.#first && walName > (this.#newestArchived ?? ""))
      this.#newestArchived = walName;
    const isHistory = !SEGMENT_NAME.test(walName) && this.#missingWal.has(walName);
    if (isHistory && this.#options.listMissingWal !== undefined) this.#histories.add(walName);
    else this.#missingWal.delete(walName);
    this.#window.notify();
    this.#options.prompt?.progressed();
  }

  /**
   * Ships until the window is closed and everything was shipped or has failed, or until the context's signal aborts.
   */
  run(): Promise<void> {
    const { prompt } = this.#options;
    return prompt === undefined ? this.#runByInterval() : this.#runPromptly(prompt);
  }

  async #runByInterval(): Promise<void> {
    const { clock, signal } = this.#ctx;
    let pauseMs = 0;
    for (let beganAtMs = Number.NEGATIVE_INFINITY; !signal.aborted; ) {
      const isOver = this.#window.closed;
      if (!isOver && !this.#hasWork()) {
        await this.#wait(PACE.lookMs);
        if (!this.#window.closed && !this.#hasWork()) await this.#try();
        continue;
      }
      const waitMs = beganAtMs + Math.max(this.#options.intervalMs, pauseMs) - clock.monotonicMs();
      if (!isOver && waitMs > 0) {
        await this.#waitOut(waitMs);
        continue;
      }
      beganAtMs = clock.monotonicMs();
      pauseMs = (await this.#try()) ? 0 : Math.min(Math.max(pauseMs * 2, this.#options.intervalMs), PACE.pauseMsMax);
      if (isOver) return;
    }
  }

  #hasWork(): boolean {
    return this.#confirmed < this.#window.end || this.#reachedAtMs === null;
  }

  async #wait(limitMs: number): Promise<void> {
    const enough = new AbortController();
    const signal = AbortSignal.any([this.#ctx.signal, enough.signal]);
    await Promise.race([this.#window.changed(signal), this.#ctx.clock.sleep(limitMs, signal).catch(() => {})]);
    enough.abort();
  }

  /** Waits the full time, unless the window closes first. */
  async #waitOut(durationMs: number): Promise<void> {
    await this.#ctx.clock.sleep(durationMs, AbortSignal.any([this.#ctx.signal, this.#window.closing])).catch(() => {});
  }

  async #try(): Promise<boolean> {
    try {
      await this.#ship();
      this.#succeeded();
      return true;
    } catch (thrown) {
      this.#failed(toBackupError(thrown));
      return false;
    }
  }

  #succeeded(): void {
    if (this.#error !== null) this.#ctx.log.info(`${this.#repo.name} accepts streamed WAL again`);
    this.#error = null;
  }

  #failed(error: BackupError): void {
    this.#target.forget();
    if (this.#error?.message !== error.message)
      this.#ctx.log.warn(
        `streaming: ${repoErrorLine(this.#repo.key, error)}\nretrying; the other repositories are not affected`,
      );
    this.#error = error;
  }

  async #runPromptly(prompt: PromptOptions): Promise<void> {
    const { signal } = this.#ctx;
    for (let pauseMs = 0; !signal.aborted; ) {
      const before = this.#position;
      try {
        await this.#shipPromptly(prompt);
        return;
      } catch (thrown) {
        this.#failed(toBackupError(thrown));
      }
      if (this.#window.closed) return;
      const nextMs = Math.max(pauseMs * 2, PACE.promptPauseMs);
      pauseMs = this.#position > before ? PACE.promptPauseMs : Math.min(nextMs, PACE.promptPauseMsMax);
      await this.#waitOut(pauseMs);
    }
  }

  /** Returns when the window is closed and everything was shipped. @throws the first failure of an upload */
  async #shipPromptly(prompt: PromptOptions): Promise<void> {
    const { signal } = this.#ctx;
    const archive = await this.#open();
    if (this.#others.fork !== null) {
      await this.#withdraw(archive, this.#others.fork);
      await this.#prove(archive, this.#ctx.clock.monotonicMs());
    }
    this.#sent = this.#position;
    this.#failure = null;
    const running = new Set<Promise<void>>();
    // A server without new WAL: everything is here already.
    this.#advance(prompt);
    try {
      while (this.#failure === null) {
        if (signal.aborted) throw toBackupError(signal.reason, "term");
        if (this.#window.closed && this.#uploads.length === 0 && this.#position >= this.#window.end) break;
        this.#keepProven(archive, prompt);
        const waitMs = this.#untilUpload(prompt);
        if (waitMs === 0) {
          const upload = this.#upload(archive, prompt);
          running.add(upload);
          void upload.then(() => running.delete(upload));
          continue;
        }
        this.#tidy(archive);
        const lookMs = this.#histories.size > 0 ? PACE.tidyMs : this.#isHeldBack() ? PACE.promptLookMs : PACE.lookMs;
        await this.#wait(waitMs ?? lookMs);
      }
    } finally {
      await Promise.all([...running, this.#proving]);
      this.#uploads = [];
    }
    if (this.#failure !== null) throw this.#failure;
    await this.#tidying;
    await this.#sweepQuietly(archive);
  }

  /** Time until the next upload may begin; null while there is nothing to send, or too much on its way. */
  #untilUpload({ groupMs }: PromptOptions): number | null {
    if (this.#sent < this.#window.begin) {
      if (this.#uploads.length > 0) return null;
      this.#jump();
      this.#sent = this.#position;
    }
    if (this.#sent >= this.#window.end || this.#uploads.length >= PACE.uploadsMax) return null;
    if (this.#window.closed) return 0;
    const isAlone = this.#uploads.length === 0 || this.#isBehind || this.#uploadMs === Number.POSITIVE_INFINITY;
    const spreadMs = isAlone ? 0 : this.#uploadMs / 2;
    return Math.max(0, this.#uploadBeganAtMs + Math.max(groupMs, spreadMs) - this.#ctx.clock.monotonicMs());
  }

  /** Never rejects: the first failure stops {@link #shipPromptly}, which begins again at the stored position. */
  async #upload(archive: OpenArchive, prompt: PromptOptions): Promise<void> {
    const goal = this.#window.end;
    const chunk = chunkAt(this.#options, this.#sent, goal);
    const segmentLsn = lsnOfSegment(chunk.segment, this.#options.segmentSizeBytes);
    const isArchived = this.#archived.has(chunk.segment);
    const size = isArchived ? this.#options.segmentSizeBytes : chunk.end;
    const from = this.#sent;
    const end = segmentLsn + BigInt(size);
    const beganAtMs = this.#ctx.clock.monotonicMs();
    const upload: Upload = { end, levelAtMs: end >= goal ? this.#ctx.clock.nowMs() : null, isDone: isArchived };
    this.#uploads.push(upload);
    this.#sent = end;
    this.#isBehind = end < goal;
    if (isArchived) return this.#advance(prompt);
    this.#uploadBeganAtMs = beganAtMs;
    try {
      this.#options.requireStarted();
      await this.#put(archive, chunk, from, end);
      this.#own.set(chunk.segment, [...(this.#own.get(chunk.segment) ?? []), chunk]);
      this.#uploadMs = Math.min(this.#ctx.clock.monotonicMs() - beganAtMs, this.#uploadMs * PACE.uploadGrowth + 1);
      upload.isDone = true;
      // After a failure of an earlier upload these bytes are sent again.
      if (this.#failure === null) this.#advance(prompt);
    } catch (thrown) {
      this.#failure ??= toBackupError(thrown);
    }
    this.#window.notify();
  }

  /** Counts the unbroken beginning of the uploads that have ended as stored. */
  #advance(prompt: PromptOptions): void {
    for (let first = this.#uploads[0]; first?.isDone === true; first = this.#uploads[0]) {
      this.#uploads.shift();
      this.#position = first.end;
      if (first.levelAtMs !== null) this.#reached(first.levelAtMs);
      this.#leaveCovered();
      this.#succeeded();
    }
    if (this.#uploads.length === 0 && this.#position >= this.#window.end) this.#reached(this.#ctx.clock.nowMs());
    this.#confirm(prompt);
  }

  /** @param proven what was stored when a look began that has just ended, however long it took */
  #confirm(prompt: PromptOptions, proven = 0n): void {
    const lsn = this.#others.areThere || this.#provenAgeMs() > PACE.proofMs ? proven : this.#position;
    if (lsn > this.#confirmed) this.#confirmed = lsn;
    prompt.progressed();
  }

  /** Begins to look whether the repository still has what it had, when a confirmation needs that, or soon will. */
  #keepProven(archive: OpenArchive, prompt: PromptOptions): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    const hasMore = this.#uploads.length > 0 || this.#confirmed < this.#position || this.#conflicts.names.length > 0;
    const isDue = nowMs - this.#provenAtMs > PACE.proofMs / 2 || this.#isUnproven();
    if (this.#proving !== null || !hasMore || !isDue) return;
    const position = this.#position;
    this.#proving = this.#prove(archive, nowMs)
      .then(() => this.#confirm(prompt, position))
      .catch((thrown: unknown) => {
        this.#failure ??= toBackupError(thrown);
        this.#window.notify();
      })
      .finally(() => {
        this.#proving = null;
        if (this.#isUnproven()) this.#window.notify();
      });
  }

  /** True for WAL that needs a look which begins now: another server may have stored other bytes since the last one. */
  #isUnproven(): boolean {
    return this.#confirmed < this.#position && (this.#others.areThere || this.#provenAgeMs() > PACE.proofMs);
  }

  /** Reports the position of a repository that no commit waits for, after a look if the last one is too old. */
  async #keepShown(archive: OpenArchive): Promise<void> {
    const nowMs = this.#ctx.clock.monotonicMs();
    if (nowMs - this.#provenAtMs >= PACE.shownMs / 2) await this.#prove(archive, nowMs);
    this.#confirmed = this.#position;
  }

  #provenAgeMs(): number {
    return this.#ctx.clock.monotonicMs() - this.#provenAtMs;
  }

  /** @throws fileMissing if streamed WAL is gone; the position is then where it begins */
  async #prove(archive: OpenArchive, nowMs: number): Promise<void> {
    const { segmentSizeBytes, timeline } = this.#options;
    // A file of a segment that is yet to come is another server's too.
    const [present, next] = [0n, BigInt(segmentSizeBytes)].map((ahead) =>
      segmentOfLsn(timeline, this.#window.end + ahead, segmentSizeBytes),
    ) as [string, string];
    const held = {
      chunks: [...this.#own.values()].flat(),
      archived: this.#newestArchived,
      segments: [...this.#complete, ...this.#own.keys(), this.#segment(), present, next],
    };
    const lost = await findLost(this.#repo, archive.archiveId, held, {
      isHeld: (chunk) => this.#own.get(chunk.segment)?.includes(chunk) === true,
      isOwn: (segment, copies) => this.#isOwn(segment, copies),
    });
    this.#conflicts.set(this.#conflictsIn(lost.stored));
    if (lost.isArchivedLost && held.archived !== null) this.#lose(held.archived);
    if (lost.chunk !== null) throw this.#goBack(lost.chunk);
    await this.#others.look(
      archive,
      lost.chunks.filter((chunk) => this.#isOther(chunk)),
    );
    if (this.#others.fork !== null && this.#options.prompt !== undefined) {
      this.#options.prompt.progressed();
      throw this.#others.error;
    }
    this.#provenAtMs = nowMs;
    this.#leaveCovered();
  }

  /** True for another session's chunk of a segment that counts by its chunks, or that is yet to come. */
  #isOther({ segment, session }: StreamChunk): boolean {
    const isOurs =
      this.#own.has(segment) || (segment >= this.#segment() && timelineOf(segment) === this.#options.timeline);
    return session !== this.#options.session && isOurs && !this.#archived.has(segment);
  }

  /**
   * Takes back what this session has stored of other WAL than an earlier session, whose commits may have been
   * confirmed: a recovery would get the later one's. What was confirmed stays.
   */
  async #withdraw(archive: OpenArchive, { chunk: other, lsn }: Fork): Promise<void> {
    if (this.#options.session < other.session || this.#confirmed > lsn) return;
    const put = (chunk: StreamChunk, from: bigint): Promise<void> => this.#put(archive, chunk, from, lsn);
    await cutChunks(this.#own, lsn, this.#options.segmentSizeBytes, put, (chunk) =>
      removeChunk(this.#repo, archive.archiveId, chunk),
    );
    if (this.#position > lsn) this.#position = lsn;
  }

  /** True if these files of a segment's name are the server's own segment, as far as this worker knows. */
  #isOwn(segment: string, copies: readonly StoredWal[]): boolean {
    const { segmentSizeBytes } = this.#options;
    const begin = lsnOfSegment(segment, segmentSizeBytes);
    return (
      copies.length > 0 &&
      (this.#archived.has(segment) || isServers(copies, begin, begin + BigInt(segmentSizeBytes), this.#window))
    );
  }

  /** Segments that count by their chunks, or are yet to come, and of which the archive has another file. */
  #conflictsIn(stored: ReadonlyMap<string, readonly StoredWal[]>): string[] {
    const current = this.#segment();
    const isOurs = (name: string): boolean =>
      this.#own.has(name) ||
      this.#complete.has(name) ||
      (name >= current && timelineOf(name) === this.#options.timeline);
    return [...stored].flatMap(([name, copies]) => (isOurs(name) && !this.#isOwn(name, copies) ? [name] : []));
  }

  /** True while WAL that is streamed does not count. */
  #isHeldBack(): boolean {
    return this.#missingWal.size > 0 || this.#conflicts.names.length > 0;
  }

  /** An archived segment is gone: nothing after it can be recovered until the archive has it again. */
  #lose(segment: string): void {
    this.#options.recordLost?.(segment);
    this.#lostCount++;
    this.#archived.delete(segment);
    this.#missingWal.add(segment);
    this.#newestArchived = null;
    this.#ctx.log.warn(
      `${this.#repo.name} no longer has the archived segment ${segment}: something else than pgbackstop removes its files\n` +
        "nothing after it counts as stored there until it is back: it is copied from pg_wal or another repository",
    );
  }

  /** Streamed WAL is gone: it is sent again from there. */
  #goBack({ begin, segment }: StreamChunk): BackupError {
    const { segmentSizeBytes } = this.#options;
    const left = (this.#own.get(segment) ?? []).filter((chunk) => chunk.begin < begin);
    for (const name of this.#own.keys()) if (name >= segment) this.#own.delete(name);
    if (left.length > 0) this.#own.set(segment, left);
    this.#position = lsnOfSegment(segment, segmentSizeBytes) + BigInt(reachOf(left));
    if (this.#confirmed > this.#position) this.#confirmed = this.#position;
    this.#reachedAtMs = null;
    this.#provenAtMs = Number.NEGATIVE_INFINITY;
    this.#lostCount++;
    const text = `streamed WAL from ${formatLsn(this.#position)} on is gone: something else than pgbackstop removes its files`;
    const error = fail("fileMissing", text, { repoIndex: this.#repo.key, retryable: true });
    // Immediately, so that no upload that ends now counts.
    this.#failure ??= error;
    if (this.#position < this.#window.begin) this.#options.restart?.(error);
    this.#options.prompt?.progressed();
    return error;
  }

  /** Until it has the position of the session's start the server has more than it has sent. */
  #reached(atMs: number): void {
    if (this.#position < this.#options.flushLsn) return;
    this.#reachedAtMs = atMs;
    if (!this.#isHeldBack()) this.#safeAtMs = atMs;
  }

  /** Merges and removes alongside the uploads. A failure is no failure to ship. */
  #tidy(archive: OpenArchive): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    if (this.#tidying !== null || nowMs - this.#tidiedAtMs < PACE.tidyMs) return;
    this.#tidiedAtMs = nowMs;
    this.#tidying = this.#mergeTail(archive, nowMs)
      .catch((thrown: unknown) => this.#ctx.log.detail(`streaming: ${toBackupError(thrown).message}`))
      .then(() => this.#sweepQuietly(archive))
      .finally(() => {
        this.#tidying = null;
      });
  }

  /** At most once per interval: it sends the bytes again that the chunks hold already. */
  async #mergeTail(archive: OpenArchive, nowMs: number): Promise<void> {
    if (nowMs - this.#mergedAtMs < this.#options.intervalMs) return;
    const { segmentSizeBytes } = this.#options;
    const segment = this.#segment();
    const segmentLsn = lsnOfSegment(segment, segmentSizeBytes);
    const stored = Number(this.#position - segmentLsn);
    const chunk = mergedOf(this.#own.get(segment) ?? [], stored);
    if (chunk === null) return;
    const from = segmentLsn + BigInt(chunk.begin);
    if (this.#window.begin > from) return;
    this.#mergedAtMs = nowMs;
    await this.#put(archive, chunk, from, segmentLsn + BigInt(chunk.end));
    const own = this.#own.get(segment) ?? [];
    const isMerged = ({ begin, end }: StreamChunk): boolean => begin >= chunk.begin && end <= chunk.end;
    this.#own.set(segment, [chunk, ...own.filter((each) => !isMerged(each))]);
    this.#leftovers.add(own.filter((each) => isMerged(each) && each.end - each.begin < chunk.end - chunk.begin));
  }

  async #put(archive: OpenArchive, chunk: StreamChunk, from: bigint, to: bigint): Promise<void> {
    await this.#window.hold(from, to, (wal) => putChunk(this.#repo, archive, chunk, wal, this.#origin, this.#ctx));
    // Otherwise chunks may land in the empty directory under an unmounted path.
    await requirePresent(this.#repo);
  }

  async #open(): Promise<OpenArchive> {
    this.#options.requireStarted();
    const archive = await this.#target.open(this.#options.cluster);
    if (this.#older === null) await this.#options.requireOwn?.();
    this.#older ??= await this.#listOlder(archive.archiveId);
    return archive;
  }

  async #ship(): Promise<void> {
    const archive = await this.#open();
    const goal = this.#window.end;
    const goalAtMs = this.#ctx.clock.nowMs();
    for (; this.#position < goal; await this.#keepShown(archive)) await this.#shipOne(archive, goal);
    await this.#keepShown(archive);
    this.#reached(goalAtMs);
    await this.#sweepQuietly(archive);
  }

  async #shipOne(archive: OpenArchive, goal: bigint): Promise<void> {
    const { signal } = this.#ctx;
    if (signal.aborted) throw toBackupError(signal.reason, "term");
    const { segmentSizeBytes, session } = this.#options;
    const size = BigInt(segmentSizeBytes);
    if (this.#position < this.#window.begin) this.#jump();
    if (this.#position >= goal) return;
    const segment = this.#segment();
    const segmentLsn = lsnOfSegment(segment, segmentSizeBytes);
    if (this.#archived.has(segment)) {
      this.#position = segmentLsn + size;
      return;
    }
    const own = this.#own.get(segment) ?? [];
    const reach = goal < segmentLsn + size ? goal : segmentLsn + size;
    const isMerge =
      own.length >= PACE.piecesMax &&
      this.#window.begin <= segmentLsn &&
      reach - segmentLsn <= BigInt(PACE.mergedSizeBytesMax);
    const from = isMerge ? segmentLsn : this.#position;
    const most = from + BigInt(isMerge ? PACE.mergedSizeBytesMax : PACE.chunkSizeBytesMax);
    const to = reach < most ? reach : most;
    const chunk = { segment, session, begin: Number(from - segmentLsn), end: Number(to - segmentLsn) };
    await this.#put(archive, chunk, from, to);
    this.#own.set(segment, isMerge ? [chunk] : [...own, chunk]);
    this.#position = to;
    if (isMerge) this.#leftovers.add(own);
    this.#leaveCovered();
  }

  /**
   * The window has moved past this repository: continue at the next complete segment. Earlier ones must come through
   * the archive.
   */
  #jump(): void {
    const size = BigInt(this.#options.segmentSizeBytes);
    const next = ((this.#window.begin + size - 1n) / size) * size;
    for (; this.#position < next; this.#position = (this.#position / size + 1n) * size) {
      const segment = this.#segment();
      if (!this.#archived.has(segment)) this.#missingWal.add(segment);
    }
  }

  /** The segment of the next byte. */
  #segment(): string {
    return segmentOfLsn(this.#options.timeline, this.#position, this.#options.segmentSizeBytes);
  }

  async #listOlder(archiveId: string): Promise<StreamChunk[]> {
    const older = await listChunks(this.#repo, archiveId);
    const further = findFurther(older, this.#options);
    if (further !== null) this.#ctx.log.warn(`${this.#repo.name} ${further}`);
    this.#others.areThere = older.some((chunk) => this.#isOther(chunk));
    await this.#lookBack(older, archiveId);
    return older;
  }

  /**
   * A segment that an earlier session has streamed completely is as good as archived, unless the archive has a file of
   * its name: until the server's push knows that file, it may be another server's. The same listing shows the segment
   * before the session's first one.
   */
  async #lookBack(older: readonly StreamChunk[], archiveId: string): Promise<void> {
    const { segmentSizeBytes } = this.#options;
    const complete = completeOf(this.#missingWal, older, segmentSizeBytes);
    const before = previousSegment(this.#first, segmentSizeBytes);
    const stored = await storedBeside(this.#repo, archiveId, before === null ? complete : [...complete, before]);
    // One that is absent may never have been there: a stanza may be newer than the server's WAL.
    if (before !== null && stored.has(before) && !this.#missingWal.has(before)) this.#newestArchived = before;
    for (const name of complete) {
      if (stored.has(name) || this.#archived.has(name)) continue;
      this.#missingWal.delete(name);
      this.#complete.add(name);
    }
  }

  /**
   * Until this session has shipped the segment up to the position, an earlier one may have shipped more, and may go on
   * with it: another agent's. Other bytes are another server's, and stay.
   */
  #leaveCovered(): void {
    const segment = segmentOfLsn(this.#options.timeline, this.#position - 1n, this.#options.segmentSizeBytes);
    const end = Number(this.#position - lsnOfSegment(segment, this.#options.segmentSizeBytes));
    const older = [...(this.#older ?? []), ...this.#others.shown].filter((each) => each.segment === segment);
    if (older.length > 0 && older.every((each) => each.end <= end && this.#others.isOurs(each)))
      this.#leaveOlder(segment);
  }

  #leaveOlder(segment: string): void {
    this.#leftovers.add((this.#older ?? []).filter((chunk) => chunk.segment === segment));
    this.#older = (this.#older ?? []).filter((chunk) => chunk.segment !== segment);
  }

  /** A failed lookup or removal is not a failure to ship. */
  async #sweepQuietly(archive: OpenArchive): Promise<void> {
    try {
      await this.#inherit();
      await this.#sweep(archive);
      this.#lookError = "";
    } catch (thrown) {
      const { message } = toBackupError(thrown);
      if (this.#lookError !== message)
        this.#ctx.log.warn(`streaming: unable to look up archived WAL in ${this.#repo.name}: ${message}`);
      this.#lookError = message;
    }
    await this.#leftovers.clear(archive.archiveId);
  }

  /**
   * A promoted server archives the history of its timeline first. By the end of that request the WAL that its previous
   * primary left behind is recorded as missing: only then does nothing more come.
   */
  async #inherit(): Promise<void> {
    if (this.#histories.size === 0) return;
    const names = (await this.#options.listMissingWal?.()) ?? [];
    for (const name of names) if (isNeeded(name, this.#first) && !this.#archived.has(name)) this.#missingWal.add(name);
    for (const name of this.#histories) {
      if (names.includes(name)) continue;
      this.#histories.delete(name);
      this.#missingWal.delete(name);
    }
    this.#options.prompt?.progressed();
  }

  /** Removes every chunk of archived segments. */
  async #sweep(archive: OpenArchive): Promise<void> {
    const current = this.#segment();
    const older = this.#older ?? [];
    const streamed = [...this.#own.keys(), ...older.map(({ segment }) => segment)];
    const names = new Set(streamed.filter((name) => name !== current));
    const nowMs = this.#ctx.clock.monotonicMs();
    const isAwaited = this.#options.prompt !== undefined && this.#isHeldBack();
    if (nowMs - this.#lookedAtMs >= (isAwaited ? PACE.promptLookMs : PACE.lookMs)) {
      this.#lookedAtMs = nowMs;
      this.#options.requireStarted();
      // Chunks of other timelines may stay forever: expire checks them.
      const ours = [...names].filter((name) => timelineOf(name) === timelineOf(current));
      const passed = [...ours, ...this.#conflicts.names].filter((name) => name < current);
      // While a segment waits, a file of its name in the archive may have another server's content.
      const waiting = new Set(await this.#options.listMissingWal?.());
      const wanted = [...passed, ...this.#missingWal].filter((name) => !this.#archived.has(name) && !waiting.has(name));
      for await (const name of archivedOf(this.#repo, archive, this.#target.known, wanted)) this.archived(name);
      for await (const name of settle(this.#target, archive, older, this.#options, this.#unusable, this.#ctx))
        this.archived(name);
    }
    for (const name of names) {
      if (!this.#archived.has(name)) continue;
      this.#leftovers.add(this.#own.get(name) ?? []);
      this.#own.delete(name);
      this.#leaveOlder(name);
    }
    for (const name of this.#archived) if (name < current) this.#archived.delete(name);
    this.#window.release();
  }
}
