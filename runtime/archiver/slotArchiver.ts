/**
 * Archives a server's WAL through a replication slot as long as its agent lives: one connection after another, with
 * pauses after failures.
 */
import { untilAborted } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
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
import { Reconnect } from "./reconnect";
import type { WalService } from "./walService";

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
  readonly #connections: Reconnect;

  constructor(proc: CommandProcess, ctx: Context, wal: Pick<WalService, "push" | "walDirectory">, slot: SlotArchiving) {
    this.#proc = proc;
    this.#ctx = ctx;
    this.#wal = wal;
    this.#slot = slot;
    const consequence = "retrying; the replication slot keeps it";
    this.#connections = new Reconnect({ trouble: "WAL is not archived", consequence }, ctx);
  }

  start(): void {
    this.#running = [this.#run(), this.#reportForever()];
  }

  /** Why WAL is not archived; null while the slot is read, or while a server may just be starting. */
  get error(): BackupError | null {
    return this.#connections.error;
  }

  /**
   * Lists every segment that the server has finished by now, so that the list of waiting files is complete.
   * @throws archiveDisabled (87) while the slot is not read
   */
  async markFinished(): Promise<void> {
    const follower = this.#follower;
    if (follower === null)
      throw fail("archiveDisabled", `the replication slot ${this.#slot.name} is not read yet`, { retryable: true });
    await follower.markUntil(await this.#wholeLsn());
  }

  /** A segment on a standby is whole once it was received to its end, or something after it was replayed. */
  async #wholeLsn(): Promise<bigint> {
    const session = await this.#proc.newSession();
    try {
      const { rows } = await session.query(
        "select (case when pg_catalog.pg_is_in_recovery() then " +
          "greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn() - 1) " +
          "else pg_catalog.pg_current_wal_flush_lsn() end)::text as lsn",
      );
      const [row] = rows as readonly { readonly lsn: string }[];
      return parseLsn(row?.lsn ?? "");
    } finally {
      await session.close();
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#stop.abort(fail("term", "the agent is ending"));
    await Promise.race([Promise.all(this.#running), untilAborted(signal)]);
  }

  #run(): Promise<void> {
    return this.#connections.run(async () => {
      this.#isStandby = await this.#once().finally(() => {
        this.#isStandby = false;
        this.#follower = null;
      });
      return this.#isStandby;
    }, this.#stop.signal);
  }

  async #once(): Promise<boolean> {
    const proc = this.#proc;
    // A container that was made again may have other mounts: its pg_wal must not be looked for in the old ones.
    await proc.container?.findProcess();
    const { spoolPath, stanza = "" } = proc.config;
    const parts = {
      slot: this.#slot.name,
      onStandby: this.#slot.onStandby,
      wholeLsn: () => this.#wholeLsn(),
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
        this.#connections.begun();
        this.#news.abort();
      },
      lost: (count: number) => {
        this.#lossCount += count;
      },
    };
    return followOnce(parts, this.#stop.signal, this.#ctx);
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
      trouble: this.#connections.trouble?.message ?? null,
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
