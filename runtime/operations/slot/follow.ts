/**
 * Takes the part of PostgreSQL's archiver through a physical replication slot: the server keeps WAL from the slot's
 * position on, `archive_mode` may be off, and no program is installed at the server.
 *
 * The connection of the replication protocol says how far the server has written, keeps the slot from other readers,
 * and moves it. The WAL itself is read from `pg_wal`, where the slot holds it: the same files that `archive_command`
 * gets, without a copy in the spool that could fill a disk. What the connection carries is only counted.
 *
 * A finished segment waits until the policy acknowledges it, then the slot moves behind it. So whatever dies, the next
 * connection begins with the first segment that was not acknowledged.
 */
import { existsSync, readdir } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import type { PgControl } from "../../format/page/pgControl";
import { parseHistory } from "../../format/wal/timeline";
import { formatLsn, lsnOfSegment, SEGMENT_NAME, historyName, timelineOf } from "../../format/wal/walSegment";
import type { MissingWalStore } from "../../local/missingWal";
import { addReadyFile, markDone, setReadyFiles, type SlotPosition } from "../../local/slotState";
import { systemError } from "../../local/systemError";
import type { Session } from "../../postgres/session";
import type { Confirmation } from "../../postgres/walStream";
import type { Repository } from "../../repository/repository";
import type { ClusterIdentity } from "../shared/identity";
import type { WalSource } from "../stream/stream";
import { recordLost } from "./lostWal";
import { findArchived } from "./archivedPosition";
import { createSlot, dropSlot, findInServer, findSlot, type Slot } from "./slot";
import {
  type ArchivePosition,
  planSegments,
  resumePoint,
  type SegmentStart,
  segmentsBetween,
  type WalHistory,
} from "./slotPlan";

const WHOLE_LOOK_MS = 200;
const PAUSE_FIRST_MS = 1000;
const PAUSE_MS_MAX = 10_000;
/** Files of acknowledged WAL that the server has removed are forgotten after as many segments. */
const PRUNE_SEGMENTS = 64;

export interface FollowParts {
  /** The slot's name. */
  readonly slot: string;
  /** Follows a standby too. */
  readonly onStandby: boolean;
  /** Every segment that ends here or before is whole on the server's disk. */
  wholeLsn(): Promise<bigint>;
  readonly walDirectory: string;
  readonly readyDirectory: string;
  readonly repos: readonly Repository[];
  readonly missingWal: MissingWalStore;
  /** @throws stop (62) when the user has stopped the stanza */
  requireStarted(): void;
  loadControl(): Promise<PgControl>;
  open(): Promise<WalSource>;
  newSession(): Promise<Pick<Session, "query" | "close">>;
  /** Null when it does not exist. */
  readFile(path: string): Promise<Uint8Array | null>;
  loadPosition(): Promise<SlotPosition | null>;
  savePosition(position: SlotPosition | null): Promise<void>;
  /** Resolves once the policy has decided. */
  push(walName: string): Promise<{ readonly accepted: boolean; readonly error: BackupError | null }>;
  begun(follower: Follower): void;
  /** Called with the number of WAL files that nobody has. */
  lost(count: number): void;
}

/** Serves one connection until it ends or `signal` aborts; true when the server is a standby. @throws why it ended */
export async function followOnce(parts: FollowParts, signal: AbortSignal, ctx: Context): Promise<boolean> {
  parts.requireStarted();
  const control = await parts.loadControl();
  const stream = await parts.open();
  try {
    const source = await stream.identify();
    if (source.systemId !== control.systemId) {
      const hint = "Check that pg1-path, pg1-port and pg1-socket-path belong to one server.";
      throw fail("dbMismatch", `the server has system-id ${source.systemId}, pg1-path ${control.systemId}`, { hint });
    }
    const ancestors = await loadAncestors(parts, source.timeline);
    const { inRecovery, timeline } = source;
    if (inRecovery && !parts.onStandby) {
      await leaveStandby(parts, { timeline, flushLsn: source.flushLsn, ancestors }, control, ctx);
      return true;
    }
    const flushLsn = inRecovery ? await parts.wholeLsn() : source.flushLsn;
    const follower = new Follower(parts, { timeline, flushLsn, ancestors, inRecovery }, control, ctx);
    const { isRecorded, resumed } = await follower.findResumePoint().catch(async (error: unknown) => {
      // The slot keeps WAL until a repository shows where to begin.
      if (isError(error, "repoInvalid")) await ownSlot(parts, ctx);
      throw error;
    });
    const { slot, isNew } = await ownSlot(parts, ctx);
    // An earlier connection may have created it, and not begun.
    const isFirst = isNew || !isRecorded;
    await follower.begin({ isNew: isFirst, slotLsn: slot.restartLsn ?? source.flushLsn, resumed });
    parts.begun(follower);
    const start = { timeline, lsn: source.flushLsn, slot: parts.slot };
    throw await follower.run(stream, start, signal);
  } finally {
    await stream.close();
  }
}

/**
 * A standby's slot would hold WAL that its primary's agent archives. What this server finished as a primary, and no
 * repository has, may be nowhere else: the slot stays until it is archived.
 */
async function leaveStandby(parts: FollowParts, history: WalHistory, control: PgControl, ctx: Context): Promise<void> {
  const { newSession, savePosition, slot: name } = parts;
  const session = await newSession();
  try {
    const slot = await findSlot(session, name);
    if (slot === null || slot.activePid !== null) return;
    for (const walName of await waitingOfPrimary(parts, slot, history, control)) {
      const { accepted, error } = await parts.push(walName);
      if (accepted) continue;
      ctx.log.warn(`the replication slot ${name} stays: this standby has WAL of its time as a primary to archive`);
      throw error ?? fail("archiveTimeout", `${walName} is not archived yet`, { retryable: true });
    }
    // It may have been promoted while its WAL was archived.
    if (!(await dropSlot(session, name, "in recovery"))) return;
    await savePosition(null);
    ctx.log.info(`dropped the replication slot ${name}: this server is a standby now`);
  } finally {
    await session.close();
  }
}

/**
 * Whole segments between what is acknowledged and the end of that timeline, as far as the server has them. The record
 * may be missing or unreadable: then the slot shows what is acknowledged, and the server's last change of timeline
 * where its time as a primary ended.
 */
async function waitingOfPrimary(
  { loadPosition, walDirectory }: FollowParts,
  { restartLsn }: Slot,
  history: WalHistory,
  { systemId, walSegmentSizeBytes }: PgControl,
): Promise<readonly string[]> {
  const saved = await loadPosition();
  const resumed = saved?.systemId === systemId ? resumePoint(saved, history) : null;
  const from = resumed === null || (restartLsn !== null && restartLsn < resumed) ? restartLsn : resumed;
  if (from === null) return [];
  const left =
    resumed === null ? history.ancestors.at(-1) : history.ancestors.find((each) => each.timeline === saved?.timeline);
  const to = left?.lsn ?? history.flushLsn;
  const size = BigInt(walSegmentSizeBytes);
  const names = segmentsBetween((from / size) * size, (to / size) * size, history, walSegmentSizeBytes);
  return names.filter((name) => existsSync(`${walDirectory}/${name}`));
}

/** @throws lockAcquire (50) while another process reads the slot */
async function ownSlot({ newSession, slot: name }: FollowParts, ctx: Context): Promise<{ slot: Slot; isNew: boolean }> {
  const session = await newSession();
  try {
    const present = await findSlot(session, name);
    if (present?.activePid != null)
      throw fail(
        "lockAcquire",
        `process ${present.activePid} of the server serves the replication slot ${name} already`,
        {
          hint: "Is another agent of this stanza running? Two servers' agents need stanzas of their own.",
          retryable: true,
        },
      );
    if (present !== null && present.restartLsn !== null) return { slot: present, isNew: false };
    if (present !== null) {
      ctx.log.warn(`the server has dropped WAL that the replication slot ${name} held: creating the slot again`);
      await dropSlot(session, name);
    }
    const slot = await createSlot(session, name);
    ctx.log.info(`created the replication slot ${name} at ${formatLsn(slot.restartLsn ?? 0n)}`);
    return { slot, isNew: true };
  } finally {
    await session.close();
  }
}

/** PostgreSQL writes the history of each timeline that it begins or recovers into `pg_wal`. */
async function loadAncestors(parts: FollowParts, timeline: number): Promise<WalHistory["ancestors"]> {
  if (timeline === 1) return [];
  const bytes = await parts.readFile(`${parts.walDirectory}/${historyName(timeline)}`);
  return bytes === null ? [] : parseHistory(Buffer.from(bytes).toString("utf8"));
}

interface FollowedHistory extends WalHistory {
  readonly inRecovery: boolean;
}

/** One connection's progress. */
export class Follower implements Confirmation {
  readonly #parts: FollowParts;
  readonly #history: FollowedHistory;
  readonly #size: bigint;
  readonly #cluster: ClusterIdentity;
  readonly #ctx: Context;
  /** Finished, not acknowledged, oldest first. */
  readonly #waiting: string[] = [];
  readonly #ended = new AbortController();
  #wake: () => void = () => {};
  #listener: () => void = () => {};
  /** Start of the segment that the server writes. */
  #current: bigint;
  /** Writes of `.ready` files, one after the other. */
  #marking: Promise<void> = Promise.resolve();
  #lsn = 0n;
  #doneCount = 0;

  constructor(parts: FollowParts, history: FollowedHistory, control: PgControl, ctx: Context) {
    this.#parts = parts;
    this.#history = history;
    this.#size = BigInt(control.walSegmentSizeBytes);
    this.#cluster = { version: control.pgVersion, systemId: control.systemId };
    this.#current = (history.flushLsn / this.#size) * this.#size;
    this.#ctx = ctx;
  }

  /** Position to which the slot moves; 0 leaves it. */
  get lsn(): bigint {
    return this.#lsn;
  }

  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  /**
   * Where the archive of this server's history ends, as the agent has recorded, else as repositories show.
   * @throws archiveMismatch (44) if every repository belongs to another cluster; repoInvalid (103) if none answers;
   * archiveTimeout (82), retryable, while a standby has not reached that place again after its start
   */
  async findResumePoint(): Promise<{ readonly isRecorded: boolean; readonly resumed: bigint | null }> {
    const saved = await this.#parts.loadPosition();
    const recorded = this.#resumePoint(saved?.systemId === this.#cluster.systemId ? saved : null);
    if (recorded !== null) return { isRecorded: true, resumed: recorded };
    const size = Number(this.#size);
    const archived = await findArchived(this.#parts.repos, this.#cluster, this.#history, size, this.#ctx);
    return { isRecorded: false, resumed: this.#resumePoint(archived) };
  }

  /** A standby that has just started shows a position before its last one. */
  #resumePoint(known: ArchivePosition | null): bigint | null {
    const { flushLsn, inRecovery, timeline } = this.#history;
    if (inRecovery && known?.timeline === timeline && known.lsn > flushLsn)
      throw fail("archiveTimeout", `the standby has not reached ${formatLsn(known.lsn)} yet, which is archived`, {
        hint: "Does it receive WAL from its primary? See pg_stat_wal_receiver.",
        retryable: true,
      });
    return resumePoint(known, this.#history);
  }

  /** Lists what waits, and records what the server no longer has. */
  async begin(at: SegmentStart): Promise<void> {
    const { readyDirectory, walDirectory } = this.#parts;
    const { optional, required } = planSegments(at, this.#history, Number(this.#size));
    const present = await this.#listWal();
    const end = optional.findIndex((name) => !present.has(name));
    const earlier = optional.slice(0, end === -1 ? optional.length : end).reverse();
    const gone = required.filter((name) => !present.has(name));
    await this.#recordLost(gone);
    const histories = this.#history.timeline > 1 && present.has(historyName(this.#history.timeline));
    this.#waiting.push(
      ...(histories ? [historyName(this.#history.timeline)] : []),
      ...earlier,
      ...required.filter((name) => present.has(name)),
    );
    await setReadyFiles(readyDirectory, this.#waiting, (name) => existsSync(`${walDirectory}/${name}`));
    // What waits needs the slot too. A new one holds WAL from the last checkpoint on, and that of a server whose disk
    // lost its newest writes is ahead of it.
    const [first] = this.#waiting.filter((name) => SEGMENT_NAME.test(name));
    const neededLsn = first === undefined ? this.#current : lsnOfSegment(first, Number(this.#size));
    if (neededLsn < at.slotLsn) this.#lsn = neededLsn;
  }

  /** Returns why the connection has ended. */
  async run(
    stream: WalSource,
    start: { readonly timeline: number; readonly lsn: bigint; readonly slot: string },
    signal: AbortSignal,
  ): Promise<Error> {
    this.#ctx.log.info(
      `archiving WAL of timeline ${start.timeline} through the replication slot ${start.slot}, ${this.#waiting.length} file(s) wait`,
    );
    const sink = (lsn: bigint, wal: Uint8Array): void => this.#reached(lsn + BigInt(wal.length));
    const either = AbortSignal.any([signal, this.#ended.signal]);
    // It never throws. A push that waits for a repository must not delay the next connection.
    void this.#archive(either);
    const ended = await stream.receive(start, sink, either, this);
    const reason: unknown = this.#ended.signal.aborted && !signal.aborted ? this.#ended.signal.reason : ended;
    this.end(ended);
    return toBackupError(reason);
  }

  /** Ends the connection. */
  end(reason: BackupError): void {
    if (!this.#ended.signal.aborted) this.#ended.abort(reason);
    this.#wake();
  }

  /** Lists every segment before `flushLsn` that was finished in the meantime. @throws fileWrite */
  async markUntil(flushLsn: bigint): Promise<void> {
    this.#reached(flushLsn);
    await this.#marking;
    if (this.#ended.signal.aborted) throw toBackupError(this.#ended.signal.reason);
  }

  /** Everything before `lsn` is on the server's disk. */
  #reached(lsn: bigint): void {
    const end = (lsn / this.#size) * this.#size;
    if (end <= this.#current) return;
    const names = segmentsBetween(this.#current, end, this.#history, Number(this.#size));
    this.#current = end;
    this.#marking = this.#marking
      .then(async () => {
        await this.#untilWhole(end);
        for (const name of names) {
          await addReadyFile(this.#parts.readyDirectory, name);
          this.#waiting.push(name);
        }
        this.#wake();
      })
      .catch((error: unknown) => this.end(toBackupError(error)));
  }

  /**
   * A standby sends what it has replayed, and with a record that ends a segment it has replayed all of it: it may not
   * have received the rest yet, and the file, used before, may have other bytes there.
   */
  async #untilWhole(lsn: bigint): Promise<void> {
    if (!this.#history.inRecovery) return;
    while ((await this.#parts.wholeLsn()) < lsn) await this.#ctx.clock.sleep(WHOLE_LOOK_MS, this.#ended.signal);
  }

  async #archive(signal: AbortSignal): Promise<void> {
    let pauseMs = 0;
    let reported = "";
    while (!signal.aborted) {
      const [name] = this.#waiting;
      if (name === undefined) {
        await this.#woken(signal);
        continue;
      }
      try {
        const error = await this.#archiveOne(name);
        if (error !== null) throw error;
        pauseMs = 0;
        reported = "";
      } catch (thrown) {
        const error = toBackupError(thrown);
        if (!signal.aborted && error.message !== reported)
          this.#ctx.log.warn(`${name} is not archived yet: ${error.message}`);
        reported = error.message;
        pauseMs = Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
        await this.#ctx.clock.sleep(pauseMs, signal).catch(() => {});
      }
    }
  }

  /** Null once it is acknowledged, or lost. */
  async #archiveOne(name: string): Promise<BackupError | null> {
    try {
      const { accepted, error } = await this.#parts.push(name);
      if (!accepted) return error ?? fail("archiveTimeout", `${name} was not acknowledged`, { retryable: true });
    } catch (error) {
      // Someone dropped the slot, or the server did because of max_slot_wal_keep_size.
      if (!isError(error, "fileMissing") || existsSync(`${this.#parts.walDirectory}/${name}`)) throw error;
      // A container that ends may take its directories away: the next connection looks again.
      if (this.#ended.signal.aborted) return null;
      await this.#recordLost([name]);
    }
    // The next connection lists it again: a stored file is not sent twice.
    if (this.#ended.signal.aborted) return null;
    if (SEGMENT_NAME.test(name)) await this.#confirm(name);
    await markDone(this.#parts.readyDirectory, name);
    this.#waiting.shift();
    if (++this.#doneCount % PRUNE_SEGMENTS === 0) await this.#prune();
    return null;
  }

  /** In turn with `.ready` files: one that is written in the meantime would not be among the waiting names, and go. */
  async #prune(): Promise<void> {
    const pruned = this.#marking.then(async () => {
      const present = await this.#listWal();
      await setReadyFiles(this.#parts.readyDirectory, this.#waiting, (name) => present.has(name));
    });
    this.#marking = pruned.catch(() => {});
    await pruned;
  }

  async #confirm(name: string): Promise<void> {
    const lsn = lsnOfSegment(name, Number(this.#size)) + this.#size;
    await this.#parts.savePosition({ systemId: this.#cluster.systemId, timeline: timelineOf(name), lsn });
    this.#lsn = lsn;
    this.#listener();
  }

  /** @throws fileMissing (55) if the server has one of them: then only this machine does not see its `pg_wal` */
  async #recordLost(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const { lost, missingWal, newSession, repos, slot, walDirectory } = this.#parts;
    const session = await newSession();
    let kept: string | undefined;
    try {
      [kept] = await findInServer(session, names, { name: slot, segmentSizeBytes: Number(this.#size) });
    } finally {
      await session.close();
    }
    if (kept !== undefined)
      throw fail("fileMissing", `the server has ${kept} in its pg_wal, but '${walDirectory}' lacks it`, {
        hint: "Was the directory moved, or its disk unmounted, while the server runs? Bring it back. The slot keeps the WAL.",
        retryable: true,
      });
    const count = await recordLost(names, repos, missingWal, this.#cluster, this.#ctx);
    if (count === 0) return;
    lost(count);
    this.#ctx.log.warn(
      `${count} WAL file(s) from ${names[0] ?? ""} on were removed by the server before they were archived: recovery cannot pass this gap, and the agent takes a new backup`,
    );
  }

  async #listWal(): Promise<ReadonlySet<string>> {
    const { walDirectory } = this.#parts;
    try {
      return new Set(await readdir(walDirectory));
    } catch (error) {
      throw systemError("pathOpen", `list '${walDirectory}'`, walDirectory, error);
    }
  }

  #woken(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
