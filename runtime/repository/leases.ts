/**
 * The leases of one command: one for each repository that it writes, taken on first use and released together at the
 * end.
 */
import type { Context } from "../base/context";
import { isError } from "../base/errors";
import { given } from "../base/given";
import { perRepo, type RepoResult } from "../base/parallel";
import { loadArchiveInfo } from "./infoStore";
import { acquireLease, type Lease, type LeaseRequest } from "./lease";
import type { Repository } from "./repository";

export interface LeaseParts extends Pick<LeaseRequest, "domain" | "holder" | "work"> {
  /** A storage of the repository that works after the command was aborted. */
  storageAfterAbort(repo: Repository): LeaseRequest["storageAfterAbort"];
}

export class Leases {
  readonly #parts: () => LeaseParts;
  readonly #ctx: Context;
  readonly #taken = new Map<number, Promise<Lease>>();

  /** `parts` is called for the first lease: the caller holds its lock files then. */
  constructor(parts: () => LeaseParts, ctx: Context) {
    this.#parts = parts;
    this.#ctx = ctx;
  }

  /**
   * The lease of a repository. Leases requested together are claimed in ascending order of their keys, so that two
   * commands over the same repositories cannot each get a part. `require` fails where there is no stanza: then nothing
   * is written there.
   * @throws lockAcquire (50) when another process holds it, also on repeated calls; errors of `require` and the storage
   */
  take(repo: Repository, require: (repo: Repository) => Promise<unknown> = loadArchiveInfo): Promise<Lease> {
    const known = this.#taken.get(repo.key);
    if (known !== undefined) return known;
    const lower = [...this.#taken].filter(([key]) => key < repo.key).map(([, lease]) => lease);
    const taking = this.#take(repo, require, Promise.allSettled(lower));
    this.#taken.set(repo.key, taking);
    taking.catch((error: unknown) => {
      // An unreachable repository may return; a busy one stays busy for this command.
      if (!isError(error, "lockAcquire")) this.#taken.delete(repo.key);
    });
    return taking;
  }

  /** True when another process holds the lease that this command requested. */
  async isBusy(repo: Repository): Promise<boolean> {
    const taking = this.#taken.get(repo.key);
    if (taking === undefined) return false;
    return taking.then(
      () => false,
      (error: unknown) => isError(error, "lockAcquire"),
    );
  }

  /** Never throws. */
  async releaseAll(): Promise<void> {
    await Promise.all(
      [...this.#taken.values()].map((taking) => taking.then((lease) => lease.release()).catch(() => {})),
    );
    this.#taken.clear();
  }

  async #take(
    repo: Repository,
    require: (repo: Repository) => Promise<unknown>,
    turn: Promise<unknown>,
  ): Promise<Lease> {
    await require(repo);
    const { domain, holder, storageAfterAbort, work } = this.#parts();
    const request = { domain, holder, turn, ...given({ work, storageAfterAbort: storageAfterAbort(repo) }) };
    return acquireLease(repo, request, this.#ctx);
  }
}

/** Runs `work` in every repository whose lease is available; the others return their error. */
export async function withLeases<T>(
  repos: readonly Repository[],
  leases: Pick<Leases, "take">,
  require: (repo: Repository) => Promise<unknown>,
  work: (repos: readonly Repository[]) => Promise<RepoResult<T>[]>,
): Promise<RepoResult<T | Lease>[]> {
  const taken = await perRepo(repos, (repo) => leases.take(repo, require));
  const failed = taken.filter((result) => !result.ok);
  const done = await work(repos.filter((repo) => !failed.some((result) => result.repoIndex === repo.key)));
  return [...failed, ...done].sort((left, right) => left.repoIndex - right.repoIndex);
}
