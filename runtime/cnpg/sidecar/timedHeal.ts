/**
 * Compares complete archives at intervals. Missing WAL of a repository is recorded on the primary's volume; with `any`
 * or `named` the record is lost with that volume. So the primary's sidecar lists the archives, copies segments that one
 * has and another lacks, or pg_wal still has, and counts those still missing. It runs a few minutes after each
 * promotion and start, then every six hours: a listing is one request per thousand files, and the number of files
 * copied at a time is bounded.
 *
 * It waits until PostgreSQL has archived a file from here: this archive may refuse a cluster that was just recovered.
 * `verify` does not run here: it reads every byte of every repository, alongside the database.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import type { Healed } from "../../operations/heal/heal";
import { listBackups } from "../../operations/info/destinations";
import { repoErrorLine } from "../../operations/shared/results";
import { RepoFacts } from "../../recoverability/facts";
import { surveyWal } from "../../operations/shared/walSurvey";
import type { Repository } from "../../repository/repository";

export interface TimedHealParts {
  readonly repos: readonly Repository[];
  /** True on the primary, once the archive is known to be its own. */
  mayHeal(): Promise<boolean>;
  /** True while a backup runs here: listing complete archives takes memory that it needs. */
  isBusy(): boolean;
  /** Copies missing files, at most `copiesMax` into each repository. */
  heal(copiesMax: number, signal: AbortSignal): Promise<readonly RepoResult<Healed>[]>;
  walSegmentSizeBytes(): Promise<number>;
}

const LOOK_MS = 60_000;
/** Normal archiving copies the former primary's backlog within this time. */
const FIRST_MS = 5 * 60_000;
const PAUSE_MS = 6 * 3600_000;
/** After a run that left files to copy. */
const AGAIN_MS = 30 * 60_000;
const COPIES_MAX = 2048;

export class TimedHeal {
  readonly #parts: TimedHealParts;
  #gaps: ReadonlyMap<number, number> = new Map();

  constructor(parts: TimedHealParts) {
    this.#parts = parts;
  }

  /** Missing segments of each repository at its last listing; empty on a standby, whose numbers would not change. */
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
      else if (nowMs >= dueAtMs && !this.#parts.isBusy())
        dueAtMs = nowMs + ((await this.#run(ctx, signal)) ? PAUSE_MS : AGAIN_MS);
    }
  }

  /** True when nothing is left to copy. */
  async #run(ctx: Context, signal: AbortSignal): Promise<boolean> {
    const isWhole = await this.#heal(ctx, signal);
    if (!signal.aborted) await this.#count(ctx);
    return isWhole;
  }

  async #heal(ctx: Context, signal: AbortSignal): Promise<boolean> {
    try {
      const results = await this.#parts.heal(COPIES_MAX, signal);
      for (const result of results)
        if (!result.ok) ctx.log.warn(`unable to compare WAL: ${repoErrorLine(result.repoIndex, result.error)}`);
      return results.every((result) => result.ok && result.value.copied < COPIES_MAX);
    } catch (error) {
      if (!signal.aborted) ctx.log.warn(`unable to compare WAL: ${toBackupError(error).message}`);
      return false;
    }
  }

  async #count(ctx: Context): Promise<void> {
    try {
      const walSegmentSizeBytes = await this.#parts.walSegmentSizeBytes();
      const backups = await listBackups(this.#parts.repos);
      const surveys = await perRepo(this.#parts.repos, async (repo) => {
        const own = backups.find(({ repoIndex }) => repoIndex === repo.key);
        if (own?.ok === false) throw own.error;
        return surveyWal(new RepoFacts(repo), own?.value ?? [], walSegmentSizeBytes, ctx.clock.nowMs());
      });
      // An unreadable repository has no number, not an old one.
      this.#gaps = new Map(
        surveys.flatMap((each) =>
          each.ok && each.value !== null ? [[each.repoIndex, each.value.gapCount] as const] : [],
        ),
      );
    } catch (error) {
      ctx.log.debug(`unable to count missing WAL: ${toBackupError(error).message}`);
    }
  }
}
