/**
 * The first full backup of a repository that expects one (`firstBackup` of `pgbackstop.json`). Nothing else takes it at
 * these times. Adding an archiver to a running cluster restarts its instances. A Backup requested at that time ends
 * with them, and CloudNativePG does not repeat it. A repository added to a running cluster meets schedules that took
 * their first backup long ago. So does a cluster after a major upgrade, whose previous backups it cannot continue.
 *
 * If a schedule begins with its own backup, that one comes first. Other backups are incremental; only one without a
 * base is full.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { newestFullOf } from "../../operations/info/destinations";
import { checkBackup, type ClusterIdentity } from "../../operations/shared/identity";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";

/** Interval between checks, and before the first one. */
const LOOK_MS = 60_000;
const LOOK_MS_MAX = 60 * 60_000;

export interface FirstBackupParts {
  /** Where a full backup is expected. */
  readonly repos: readonly Repository[];
  cluster(): Promise<ClusterIdentity>;
  /** Makes the stanzas this cluster's, where that is right; only on a primary. Never throws. */
  prepare(): Promise<void>;
  isStandby(): Promise<boolean>;
  /** True while a requested backup runs. */
  isBusy(): boolean;
  /**
   * Takes an incremental backup into one repository, or with null into all; the exit code. It outlives the loop, whose
   * sidecar may get another configuration.
   */
  backup(repoIndex: number | null): Promise<number>;
}

export class FirstBackups {
  readonly #parts: FirstBackupParts;

  constructor(parts: FirstBackupParts) {
    this.#parts = parts;
  }

  /** Resolves when every repository has a full backup or `signal` aborts; never throws. */
  async takeThem(ctx: Context, signal: AbortSignal): Promise<void> {
    let pauseMs = LOOK_MS;
    while (!signal.aborted) {
      await ctx.clock.sleep(pauseMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const { lacking, unknown } = await this.#look();
        if (lacking.length === 0 && unknown === 0) return;
        const isMine = !this.#parts.isBusy() && !(await this.#parts.isStandby());
        if (isMine && unknown > 0) await this.#parts.prepare();
        const isDone = !isMine || lacking.length === 0 || (await this.#take(lacking, ctx, signal));
        pauseMs = isDone ? LOOK_MS : Math.min(pauseMs * 2, LOOK_MS_MAX);
      } catch (error) {
        ctx.log.warn(`unable to take the first backup yet: ${toBackupError(error).message}`);
        pauseMs = Math.min(pauseMs * 2, LOOK_MS_MAX);
      }
    }
  }

  /** An unreadable repository, or one whose stanza is another cluster's, may have one: it is checked again. */
  async #look(): Promise<{ readonly lacking: readonly number[]; readonly unknown: number }> {
    const { repos } = this.#parts;
    const cluster = repos.length === 0 ? null : await this.#parts.cluster();
    const results = await perRepo(repos, async (repo) => {
      const info = await loadBackupInfo(repo);
      const id = cluster === null ? null : checkBackup(repo, info, cluster);
      return newestFullOf(info.backups.filter(({ dbId }) => dbId === id));
    });
    const lacking = results.flatMap((result) => (result.ok && result.value === null ? [result.repoIndex] : []));
    return { lacking, unknown: results.filter((result) => !result.ok).length };
  }

  async #take(repoIndexes: readonly number[], ctx: Context, signal: AbortSignal): Promise<boolean> {
    ctx.log.info(`taking the first backup of ${repoIndexes.map((key) => `repo${key}`).join(", ")}`);
    const all = repoIndexes.length === this.#parts.repos.length;
    let worst = 0;
    for (const key of all ? [null] : repoIndexes) {
      worst = Math.max(worst, await this.#parts.backup(key));
    }
    if (worst !== 0 && !signal.aborted) ctx.log.warn(`the first backup failed with exit code ${worst}: retrying`);
    return worst === 0;
  }
}
