/**
 * Archives a server's WAL through a replication slot as long as its agent lives: one connection after another, with
 * pauses after failures.
 */
import { untilAborted } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { hintLines } from "../base/troubleshooting";
import { parseLsn } from "../format/wal/walSegment";
import {
  loadSlotPosition,
  loadSlotReport,
  saveSlotPosition,
  saveSlotReport,
  type SlotReport,
} from "../local/slotState";
import { type Follower, followOnce } from "../operations/slot/follow";
import type { SlotArchiving } from "../operations/slot/readyDirectory";
import { findSlot, SLOT_READER_NAME } from "../operations/slot/slot";
import type { CommandProcess } from "../process/commandProcess";
import type { WalService } from "./walService";

const PAUSE_FIRST_MS = 1000;
const PAUSE_MS_MAX = 10_000;
/** A server that is starting or restarting is not worth a report. */
const SILENT_MS = 15_000;
/** A connection that lasted this long was healthy: the next pause is a short one. */
const WELL_MS = 10_000;
const STANDBY_MS = 5000;
/** How often other processes learn the slot's state. The server is asked less often: each time is a connection. */
const REPORT_MS = 5000;
const ASK_EVERY = 6;

export class SlotArchiver {
  readonly #proc: CommandProcess;
  readonly #ctx: Context;
  readonly #wal: Pick<WalService, "push" | "walDirectory">;
  readonly #slot: SlotArchiving;
  readonly #stop = new AbortController();
  #running: readonly Promise<void>[] = [];
  #follower: Follower | null = null;
  #isStandby = false;
  #lossCount = 0;
  /** Ends the pause before the next report. */
  #news = new AbortController();
  #trouble: { readonly error: BackupError; readonly sinceMs: number; isReported: boolean } | null = null;

  constructor(proc: CommandProcess, ctx: Context, wal: Pick<WalService, "push" | "walDirectory">, slot: SlotArchiving) {
    this.#proc = proc;
    this.#ctx = ctx;
    this.#wal = wal;
    this.#slot = slot;
  }

  start(): void {
    this.#running = [this.#run(), this.#reportForever()];
  }

  /** Why WAL is not archived; null while the slot is read, or while a server may just be starting. */
  get error(): BackupError | null {
    return this.#trouble?.isReported === true ? this.#trouble.error : null;
  }

  /**
   * Lists every segment that the server has finished by now, so that the list of waiting files is complete.
   * @throws archiveDisabled (87) while the slot is not read
   */
  async markFinished(): Promise<void> {
    const follower = this.#follower;
    if (follower === null)
      throw fail("archiveDisabled", `the replication slot ${this.#slot.name} is not read yet`, { retryable: true });
    const session = await this.#proc.newSession();
    try {
      const { rows } = await session.query("select pg_catalog.pg_current_wal_flush_lsn()::text as lsn");
      const [row] = rows as readonly { readonly lsn: string }[];
      await follower.markUntil(parseLsn(row?.lsn ?? ""));
    } finally {
      await session.close();
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#stop.abort(fail("term", "the agent is ending"));
    await Promise.race([Promise.all(this.#running), untilAborted(signal)]);
  }

  async #run(): Promise<void> {
    const { clock } = this.#ctx;
    const { signal } = this.#stop;
    for (let pauseMs = 0; !signal.aborted; ) {
      const beganAtMs = clock.monotonicMs();
      this.#isStandby = await this.#once().catch((error: unknown) => {
        if (!signal.aborted) this.#report(toBackupError(error));
        return false;
      });
      this.#follower = null;
      const held = clock.monotonicMs() - beganAtMs >= WELL_MS;
      if (this.#isStandby) pauseMs = STANDBY_MS;
      else pauseMs = held ? PAUSE_FIRST_MS : Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  #once(): Promise<boolean> {
    const proc = this.#proc;
    const { spoolPath, stanza = "" } = proc.config;
    const parts = {
      slot: this.#slot.name,
      walDirectory: this.#wal.walDirectory,
      readyDirectory: this.#slot.readyDirectory,
      repos: proc.repositories(),
      missingWal: proc.missingWal(),
      requireStarted: () => proc.requireStarted(),
      loadControl: () => proc.loadControl(),
      open: () => proc.walStream(SLOT_READER_NAME),
      newSession: () => proc.newSession(),
      readFile: (path: string) => proc.readFile(path),
      loadPosition: () => loadSlotPosition(spoolPath, stanza),
      savePosition: (position: Parameters<typeof saveSlotPosition>[2]) => saveSlotPosition(spoolPath, stanza, position),
      push: async (walName: string) => {
        const { answer, warnings } = await this.#wal.push(walName);
        for (const warning of warnings) this.#ctx.log.warn(warning);
        return answer;
      },
      begun: (follower: Follower) => {
        this.#follower = follower;
        this.#trouble = null;
        this.#news.abort();
      },
      lost: (count: number) => {
        this.#lossCount += count;
      },
    };
    return followOnce(parts, this.#stop.signal, this.#ctx);
  }

  #report(error: BackupError): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    const known = this.#trouble;
    const isNews = known?.isReported !== true || known.error.message !== error.message;
    const sinceMs = known?.sinceMs ?? nowMs;
    const isReported = known?.isReported === true || nowMs - sinceMs >= SILENT_MS;
    const text = `WAL is not archived: ${error.message}`;
    if (isReported && isNews)
      this.#ctx.log.warn([text, ...hintLines(error), "retrying; the replication slot keeps it"].join("\n"));
    else this.#ctx.log.detail(text);
    this.#trouble = { error, sinceMs, isReported };
  }

  async #reportForever(): Promise<void> {
    const { spoolPath, stanza = "" } = this.#proc.config;
    const { signal } = this.#stop;
    let last = await loadSlotReport(spoolPath, stanza);
    this.#lossCount += last?.lossCount ?? 0;
    for (let turn = 0; !signal.aborted; turn++) {
      await this.#ctx.clock.sleep(REPORT_MS, AbortSignal.any([signal, this.#news.signal])).catch(() => {});
      if (signal.aborted) return;
      const isNews = this.#news.signal.aborted;
      this.#news = new AbortController();
      last = await this.#newReport(last, isNews || turn % ASK_EVERY === 0);
      await saveSlotReport(spoolPath, stanza, last).catch((error: unknown) =>
        this.#ctx.log.debug(`unable to record the slot's state: ${toBackupError(error).message}`),
      );
    }
  }

  async #newReport(last: SlotReport | null, mayAsk: boolean): Promise<SlotReport> {
    const asked = mayAsk ? await this.#ask().catch(() => null) : null;
    const atS = Math.floor(this.#ctx.clock.nowMs() / 1000);
    const isActive = this.#isStandby || this.#follower !== null;
    return {
      slot: this.#slot.name,
      atS,
      activeAtS: isActive ? atS : (last?.activeAtS ?? null),
      isActive,
      walStatus: asked?.walStatus ?? last?.walStatus ?? null,
      retainedBytes: asked?.retainedBytes ?? last?.retainedBytes ?? 0,
      safeBytes: asked === null ? (last?.safeBytes ?? null) : asked.safeBytes,
      lossCount: this.#lossCount,
      trouble: this.#trouble?.error.message ?? null,
    };
  }

  async #ask(): ReturnType<typeof findSlot> {
    const session = await this.#proc.newSession();
    try {
      return await findSlot(session, this.#slot.name);
    } finally {
      await session.close();
    }
  }
}
