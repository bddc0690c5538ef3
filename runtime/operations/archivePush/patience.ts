/**
 * How long a request for a WAL file waits for one repository: the whole time, unless the repository has failed since it
 * last stored a file, or PostgreSQL is stopping. Then it must first answer a small question; if it does, it is slow at
 * worst, and gets the whole time.
 *
 * PostgreSQL stops only after its archiver has tried the last segment up to six times, a second apart. So while it
 * stops, a repository that has failed gets a quarter of a second. An early answer is an error, never an
 * acknowledgement: PostgreSQL keeps the segment, and asks again when it starts.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail } from "../../base/errors";
import type { FailedRepos } from "../../local/failedRepos";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";

/** A repository that takes longer for a small question is silent. */
const SILENT_MS = 2000;
/** For a repository that has failed, while PostgreSQL stops. Transfers into it go on where the process does. */
const FAILED_MS = 250;

export class Patience {
  readonly #repo: Repository;
  readonly #failed: FailedRepos | undefined;
  readonly #ctx: Context;
  /** Why the repository stored nothing; null since it last stored something. */
  #failure: BackupError | null;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #hasAnswered = false;

  /** `failed` has what earlier processes met, for one that ends with its request. */
  constructor(repo: Repository, failed: FailedRepos | undefined, ctx: Context) {
    this.#repo = repo;
    this.#failed = failed;
    this.#ctx = ctx;
    this.#failure = failed?.load(repo.key, ctx.clock.nowMs()) ?? null;
  }

  /** The repository's error, if a request that began at `beganAtMs` need not wait for it any longer. */
  givenUp(beganAtMs: number, isStopping: boolean): BackupError | null {
    const nowMs = this.#ctx.clock.monotonicMs();
    if (this.#failure === null && !isStopping) return null;
    if (this.#failure !== null && isStopping) return nowMs - beganAtMs < FAILED_MS ? null : this.#failure;
    if (this.#askedAtMs < beganAtMs) this.#ask(nowMs);
    if (this.#hasAnswered || nowMs - this.#askedAtMs < SILENT_MS) return null;
    if (this.#failure === null)
      this.failed(
        fail("hostConnect", `no answer within ${SILENT_MS} ms while PostgreSQL is stopping`, {
          repoIndex: this.#repo.key,
          retryable: true,
        }),
      );
    return this.#failure;
  }

  failed(error: BackupError): void {
    this.#failure = error;
    this.#failed?.save(this.#repo.key, error, this.#ctx.clock.nowMs());
  }

  stored(): void {
    if (this.#failure !== null) this.#failed?.save(this.#repo.key, null, this.#ctx.clock.nowMs());
    this.#failure = null;
  }

  #ask(nowMs: number): void {
    this.#askedAtMs = nowMs;
    this.#hasAnswered = false;
    const answered = (): void => {
      if (this.#askedAtMs === nowMs) this.#hasAnswered = true;
    };
    // A refusal is an answer; an outage ends with a retryable error.
    loadArchiveInfo(this.#repo).then(answered, (error: BackupError) => {
      if (!error.retryable) answered();
    });
  }
}
