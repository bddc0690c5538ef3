/**
 * Fetches everything that nobody has read yet, in the order of the manifest, until the backup is no longer needed.
 *
 * Readers go first: their requests wait for none of ours, and while one waits, a single part is under way here. A
 * failure never ends it: the file is tried again in the next pass. Several failures in a row say that the repository is
 * away, and each further attempt waits longer.
 */
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import type { Context } from "../../base/context";
import { formatSize } from "../../base/units";
import type { Journal } from "./journal";
import { PAGE_BYTES, type PageRun } from "./pageSet";
import { missingBytesOf } from "./storedFile";
import type { Target } from "./upperDirectory";

export interface HydrationParts {
  readonly targets: readonly Target[];
  readonly journal: Journal;
  /** Fetches pages that nobody waits for. */
  behind(target: Target, runs: readonly PageRun[]): Promise<void>;
  /** A reader waits for pages. */
  isAwaited(): boolean;
  /** All files of the upper directory are on the disk when it resolves. */
  sync(): Promise<void>;
  /** Space that is left for the upper directory. */
  freeBytes(): Promise<number>;
}

const WORKERS = 4;
/** A part of a file. */
const PART_PAGES = 512;
const TURN_MS = 5;
/** What a loss of power may cost. */
const UNSYNCED_BYTES_MAX = 1024 * 1024 * 1024;
const STRIKES_MAX = 3;
const PAUSE_MS = { least: 1000, most: 60_000 };

export class Hydration {
  readonly #parts: HydrationParts;
  readonly #ctx: Context;
  /** Why files could not be fetched, the last one at the end. */
  readonly #failures = new Map<number, BackupError>();
  /** The local disk's. */
  #diskFailure: BackupError | null = null;
  /** Whole files that a loss of power does not change. */
  readonly #settled = new Set<Target>();
  #running = 0;
  #strikes = 0;
  #pauseMs = PAUSE_MS.least;
  #unsyncedBytes = 0;

  constructor(parts: HydrationParts, ctx: Context) {
    this.#parts = parts;
    this.#ctx = ctx;
  }

  /** Why something could not be fetched yet; null if nothing waits for a further attempt. */
  get trouble(): BackupError | null {
    return this.#diskFailure ?? [...this.#failures.values()].at(-1) ?? null;
  }

  /** Resolves when everything is there and on the disk. @throws term */
  async run(): Promise<void> {
    const { targets } = this.#parts;
    let missing = missingBytes(targets);
    if (missing > 0) this.#ctx.log.info(`fetching everything: ${formatSize(missing)} are missing`);
    while (!(await this.#attempt())) {
      const left = missingBytes(targets);
      if (left >= missing) await this.#pause();
      missing = left;
    }
    for (const { file } of targets) file.release();
    this.#ctx.log.info("everything is here: these files no longer need the repository");
  }

  /** Tries each file that lacks pages once. True if all pages are on the disk. */
  async #attempt(): Promise<boolean> {
    try {
      await this.#requireSpace();
      // An earlier attempt's.
      this.#diskFailure = null;
      await this.#pass();
      const isWhole = await this.#settle();
      if (isWhole) await this.#conclude();
      return isWhole;
    } catch (error) {
      this.#diskFailure = toBackupError(error);
      if (this.#ctx.signal.aborted) throw error;
      return false;
    }
  }

  async #conclude(): Promise<void> {
    const { journal } = this.#parts;
    journal.append({ kind: "whole" });
    await journal.sync();
  }

  async #requireSpace(): Promise<void> {
    const missing = missingBytes(this.#parts.targets);
    const free = await this.#parts.freeBytes();
    if (free <= missing)
      throw fail("fileWrite", `${formatSize(missing)} are missing, and only ${formatSize(free)} of space are left`);
  }

  async #pass(): Promise<void> {
    const { targets } = this.#parts;
    let next = 0;
    const work = async (): Promise<void> => {
      for (let target = targets[next++]; target !== undefined; target = targets[next++])
        if (target.origin.pages.missingCount > 0) await this.#fetch(target);
    };
    // No part is under way when it ends, so that the journal can be closed.
    const ends = await Promise.allSettled(Array.from({ length: WORKERS }, work));
    const failed = ends.find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }

  async #fetch(target: Target): Promise<void> {
    const { index, pages } = target.origin;
    try {
      for (let first = 0; first < pages.count && pages.missingCount > 0; first += PART_PAGES) {
        const runs = pages.missingRuns(first, first + PART_PAGES - 1);
        if (runs.length > 0) await this.#fetchPart(target, runs);
      }
      this.#failures.delete(index);
    } catch (error) {
      const failure = toBackupError(error);
      if (this.#ctx.signal.aborted) throw failure;
      this.#failures.delete(index);
      this.#failures.set(index, failure);
      if (++this.#strikes >= STRIKES_MAX) await this.#pause();
    }
  }

  async #fetchPart(target: Target, runs: readonly PageRun[]): Promise<void> {
    const { clock, signal } = this.#ctx;
    while (this.#running > 0 && this.#parts.isAwaited()) await clock.sleep(TURN_MS, signal);
    if (signal.aborted) throw toBackupError(signal.reason, "term");
    const { missingCount } = target.origin.pages;
    this.#running++;
    try {
      await this.#parts.behind(target, runs);
    } finally {
      this.#running--;
    }
    this.#strikes = 0;
    this.#pauseMs = PAUSE_MS.least;
    this.#unsyncedBytes += (missingCount - target.origin.pages.missingCount) * PAGE_BYTES;
    if (this.#unsyncedBytes >= UNSYNCED_BYTES_MAX) await this.#settle();
  }

  async #pause(): Promise<void> {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, PAUSE_MS.most);
    const { trouble } = this;
    if (trouble !== null && pauseMs === PAUSE_MS.least)
      this.#ctx.log.warn(`fetching everything pauses: [${trouble.name}] ${trouble.message}`);
    await this.#ctx.clock.sleep(pauseMs, this.#ctx.signal);
  }

  /** Makes whole files certain after a loss of power too. True if all of them are. */
  async #settle(): Promise<boolean> {
    const { journal, sync, targets } = this.#parts;
    this.#unsyncedBytes = 0;
    const whole = targets.flatMap((target) =>
      target.origin.pages.missingCount === 0 ? [{ target, dropCount: target.file.dropCount }] : [],
    );
    try {
      await sync();
    } catch (error) {
      if (isError(error, "fileSync")) for (const { file } of targets) file.distrust();
      throw error;
    }
    // Another sync may have failed in the meantime: what came back since is not on the disk.
    const certain = whole.filter(({ dropCount, target }) => dropCount === target.file.dropCount);
    for (const { target } of certain) {
      if (this.#settled.has(target)) continue;
      target.file.settled();
      this.#settled.add(target);
    }
    await journal.sync();
    return certain.length === targets.length;
  }
}

export function missingBytes(targets: readonly Pick<Target, "origin">[]): number {
  return targets.reduce((sum, { origin }) => sum + missingBytesOf(origin), 0);
}
