/**
 * Whole archives, compared now and then: what a repository lacks is recorded on the volume of the primary, and with `any` or `named` nobody else
 * knows of it once that volume is lost. So the sidecar of the primary lists the archives, copies what one has and another lacks, and counts the
 * segments that are missing still. A few minutes after each promotion and start, then every six hours: a listing is a request for each thousand
 * files, and the files that are copied at a time are bounded.
 *
 * Not before PostgreSQL has archived a file from here: a cluster that was just recovered may be one that this archive refuses. `verify` is
 * not run here: it reads every byte of every repository, beside the database.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import type { Healed } from "../../operations/heal/heal";
import { listBackups } from "../../operations/info/destinations";
import { repoErrorLine } from "../../operations/shared/results";
import { surveyWal } from "../../operations/shared/walSurvey";
import type { Repository } from "../../repository/repository";

export interface TimedHealParts {
  readonly repos: readonly Repository[];
  /** True on the primary, once its archive is known to be its own. */
  mayHeal(): Promise<boolean>;
  /** True while a backup runs here: listings of whole archives take memory that it needs. */
  isBusy(): boolean;
  /** Copies what is missing, `copiesMax` files into each repository. */
  heal(copiesMax: number, signal: AbortSignal): Promise<readonly RepoResult<Healed>[]>;
  walSegmentSizeBytes(): Promise<number>;
}

const LOOK_MS = 60_000;
/** What was inherited from the primary before is copied by itself in this time. */
const FIRST_MS = 5 * 60_000;
const PAUSE_MS = 6 * 3600_000;
/** After a run that left something. */
const AGAIN_MS = 30 * 60_000;
const COPIES_MAX = 2048;

export class TimedHeal {
  readonly #parts: TimedHealParts;
  #gaps: ReadonlyMap<number, number> = new Map();

  constructor(parts: TimedHealParts) {
    this.#parts = parts;
  }

  /** Segments missing in each repository when it was last listed; none on a standby, whose numbers would stay as they are. */
  gaps(): ReadonlyMap<number, number> {
    return this.#gaps;
  }

  /** Runs until `signal` aborts; never throws. */
  async runForever(ctx: Context, signal: AbortSignal): Promise<void> {
    let dueAtMs: number | null = null;
    while (!signal.aborted) {
      await ctx.clock.sleep(LOOK_MS, signal).catch(() => {});
      const isMine = !signal.aborted && (await this.#parts.mayHeal().catch(() => false));
      const nowMs = ctx.clock.monotonicMs();
      if (!isMine) {
        dueAtMs = null;
        this.#gaps = new Map();
      } else if (dueAtMs === null) dueAtMs = nowMs + FIRST_MS;
      else if (nowMs >= dueAtMs && !this.#parts.isBusy()) dueAtMs = nowMs + ((await this.#run(ctx, signal)) ? PAUSE_MS : AGAIN_MS);
    }
  }

  /** True when nothing is left to be copied. */
  async #run(ctx: Context, signal: AbortSignal): Promise<boolean> {
    const isWhole = this.#parts.repos.length < 2 || (await this.#heal(ctx, signal));
    if (!signal.aborted) await this.#count(ctx);
    return isWhole;
  }

  async #heal(ctx: Context, signal: AbortSignal): Promise<boolean> {
    try {
      const results = await this.#parts.heal(COPIES_MAX, signal);
      for (const result of results) if (!result.ok) ctx.log.warn(`its WAL cannot be compared: ${repoErrorLine(result.repoKey, result.error)}`);
      return results.every((result) => result.ok && result.value.copied < COPIES_MAX);
    } catch (error) {
      if (!signal.aborted) ctx.log.warn(`the WAL of the repositories cannot be compared: ${toBackupError(error).message}`);
      return false;
    }
  }

  async #count(ctx: Context): Promise<void> {
    try {
      const walSegmentSizeBytes = await this.#parts.walSegmentSizeBytes();
      const backups = await listBackups(this.#parts.repos);
      const surveys = await perRepo(this.#parts.repos, async (repo) => {
        const own = backups.find(({ repoKey }) => repoKey === repo.key);
        if (own?.ok === false) throw own.error;
        return surveyWal(repo, own?.value ?? [], walSegmentSizeBytes);
      });
      // What cannot be read tells nothing, and no old number.
      this.#gaps = new Map(surveys.flatMap((each) => (each.ok && each.value !== null ? [[each.repoKey, each.value.gapCount] as const] : [])));
    } catch (error) {
      ctx.log.debug(`missing WAL cannot be counted: ${toBackupError(error).message}`);
    }
  }
}
