/** The repositories of one backup run: the active ones, each one's plan, and the errors of those that left. */
import type { Context } from "../../base/context";
import { assert, type BackupError, toBackupError } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import type { Manifest } from "../../format/repository/manifest";
import type { Lease } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import { combinedError } from "../shared/results";
import type { AwaitedArchive } from "../shared/waitWal";
import type { RepoPlan } from "./backupPlan";

export interface OpenBackup {
  readonly repo: Repository;
  readonly lease: Lease;
  readonly archiveId: string;
  /** archive.info's sub-passphrase: encrypts WAL. */
  readonly archivePass: string | null;
  readonly historyId: number;
  /** backup.info's sub-passphrase: encrypts manifests. */
  readonly infoPass: string | null;
  /** Usable backups of backup.info, ascending by label. */
  readonly backups: readonly BackupInfoEntry[];
  /** Labels of the others in backup.info: their manifest or base is gone. */
  readonly lost: ReadonlySet<string>;
  /** With what this host has stored or read by now: during a backup its agent pushes more. */
  archive(): AwaitedArchive;
}

export interface BackupDone {
  readonly label: string;
  readonly manifest: Manifest;
}

export class BackupRun {
  readonly #keys: readonly number[];
  readonly #alive = new Map<number, OpenBackup>();
  readonly #errors = new Map<number, BackupError>();
  readonly #plans = new Map<number, RepoPlan>();
  readonly #done = new Map<number, BackupDone>();
  readonly #ctx: Context;

  constructor(opened: readonly RepoResult<OpenBackup>[], ctx: Context) {
    this.#ctx = ctx;
    this.#keys = opened.map((result) => result.repoIndex);
    for (const result of opened) {
      if (result.ok) this.#alive.set(result.repoIndex, result.value);
      else this.leave(result.repoIndex, result.error);
    }
  }

  get alive(): readonly OpenBackup[] {
    return [...this.#alive.values()];
  }

  isAlive(repoIndex: number): boolean {
    return this.#alive.has(repoIndex);
  }

  /** Runs a step in every active repository. An error removes only that repository; an abort ends the run. */
  async forEach(step: (open: OpenBackup) => Promise<void>): Promise<void> {
    await Promise.all(
      this.alive.map((open) =>
        step(open).catch((error: unknown) => {
          this.leave(open.repo.key, toBackupError(error));
        }),
      ),
    );
    this.throwIfAborted();
  }

  /** Before a write into the run's labels: a repository that another process has taken over leaves the run. */
  async keepLeases(): Promise<void> {
    await this.forEach(({ lease }) => lease.keep());
    this.requireOne();
  }

  leave(repoIndex: number, error: BackupError): void {
    if (this.#errors.has(repoIndex)) return;
    this.#alive.delete(repoIndex);
    this.#errors.set(repoIndex, error);
    this.#ctx.log.warn(`repo${repoIndex} drops out of this backup: [${error.name}] ${error.message}`);
  }

  /** @throws the combined error when no repository is left */
  requireOne(): void {
    this.throwIfAborted();
    if (this.#alive.size > 0) return;
    const error = combinedError("backup", this.results());
    assert(error !== null, "no repository is left and none failed");
    throw error;
  }

  throwIfAborted(): void {
    if (this.#ctx.signal.aborted) throw toBackupError(this.#ctx.signal.reason, "term");
  }

  begin(repoIndex: number, plan: RepoPlan): void {
    this.#plans.set(repoIndex, plan);
  }

  plan(repoIndex: number): RepoPlan {
    const plan = this.#plans.get(repoIndex);
    assert(plan !== undefined, `repo${repoIndex} has no plan`);
    return plan;
  }

  complete(repoIndex: number, manifest: Manifest): void {
    this.#done.set(repoIndex, { label: manifest.label, manifest });
  }

  results(): RepoResult<BackupDone>[] {
    return this.#keys.map((repoIndex): RepoResult<BackupDone> => {
      const error = this.#errors.get(repoIndex);
      if (error !== undefined) return { repoIndex, ok: false, error };
      const value = this.#done.get(repoIndex);
      assert(value !== undefined, `repo${repoIndex} has neither a result nor an error`);
      return { repoIndex, ok: true, value };
    });
  }
}
