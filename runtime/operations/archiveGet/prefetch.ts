/**
 * Prefetches WAL segments, so that a recovery does not wait for a store's latency.
 *
 * The queue is stock's `in` directory: complete segments under their own names. Each repository's archive directory is
 * listed once, and again when a segment seems to be missing, so most segments cost one request. A segment comes from
 * the first repository (by key) with a good copy; its SHA-1 must match its name. Only `archiveGet`, which asks every
 * repository, may call a segment missing.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { findFinalName } from "../../base/temporaryName";
import type { Spool } from "../../local/spool";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { DIRECTORY_LENGTH, nextSegment } from "../../format/wal/walSegment";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { listWal, type StoredWal } from "../../repository/walStore";
import { requireOneContent } from "./archiveGet";
import type { Candidate, CopyWal } from "./fetchCopy";
import { fetchFirst } from "./fetchFirst";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { repoErrorLine } from "../shared/results";

export interface PrefetchOptions {
  readonly cluster: ClusterIdentity;
  readonly segmentSizeBytes: number;
  /** `archive-get-queue-max` */
  readonly queueSizeBytesMax: number;
  /** Concurrent transfers. */
  readonly processMax: number;
  /** Copies one candidate. */
  readonly fetch: CopyWal;
}

/** Minimum number of prefetched segments, as in stock. */
const QUEUE_SEGMENTS_MIN = 2;
/** How long a repository may take to list after another one has reported the segment. */
const OFFER_GRACE_MS = 500;
/** Time after which a repository that failed to list is asked again. */
const ASK_AGAIN_MS = 5000;

/** The segments that should be queued when `name` is requested, without `name`. */
export function queueOf(
  name: string,
  { segmentSizeBytes, queueSizeBytesMax }: Pick<PrefetchOptions, "segmentSizeBytes" | "queueSizeBytesMax">,
): string[] {
  const count = Math.max(QUEUE_SEGMENTS_MIN, Math.floor(queueSizeBytesMax / segmentSizeBytes));
  const names: string[] = [];
  for (let next = nextSegment(name, segmentSizeBytes); names.length < count; next = nextSegment(next, segmentSizeBytes))
    names.push(next);
  return names;
}

export class Prefetcher {
  readonly #holdings: readonly Holdings[];
  readonly #spool: Spool;
  readonly #options: PrefetchOptions;
  readonly #ctx: Context;
  readonly #running = new Map<string, Promise<boolean>>();
  #wanted: readonly string[] = [];

  constructor(repos: readonly Repository[], spool: Spool, options: PrefetchOptions, ctx: Context) {
    this.#holdings = repos.map((repo) => new Holdings(repo, options, ctx));
    this.#spool = spool;
    this.#options = options;
    this.#ctx = ctx;
  }

  /**
   * True when the segment was in the queue, or just arrived, and was moved to `destination`. Continues to fetch what
   * follows.
   */
  async take(name: string, destination: string): Promise<boolean> {
    const running = this.#running.get(name);
    if (running !== undefined) await running;
    const isMoved = await this.#spool.moveOut(name, destination);
    if (isMoved || running === undefined) {
      this.#wanted = queueOf(name, this.#options);
      void this.#tidy(name).then(() => this.#goOn());
    }
    return isMoved;
  }

  /** Fetches these in order until one fails; returns the fetched names. For a process that ends afterwards. */
  async fetchAll(names: readonly string[]): Promise<string[]> {
    this.#wanted = names;
    this.#goOn();
    const fetched: string[] = [];
    for (const name of names) {
      const running = this.#running.get(name) ?? this.#fetch(name);
      if (!(await running)) break;
      fetched.push(name);
    }
    await this.settle();
    return fetched;
  }

  /** Starts nothing new and waits for transfers in progress. */
  async settle(): Promise<void> {
    this.#wanted = [];
    await Promise.all(this.#running.values());
  }

  /** Removes unwanted files: earlier segments, other timelines, interrupted transfers. */
  async #tidy(current: string): Promise<void> {
    const wanted = new Set([current, ...this.#wanted]);
    for (const entry of await this.#spool.list()) {
      const name = findFinalName(entry) ?? entry;
      if (!wanted.has(name) && !this.#running.has(name)) await this.#spool.remove(entry);
    }
    const present = new Set(await this.#spool.list());
    this.#wanted = this.#wanted.filter((name) => !present.has(name));
  }

  #goOn(): void {
    for (const name of this.#wanted) {
      if (this.#running.size >= this.#options.processMax) return;
      if (!this.#running.has(name)) void this.#fetch(name);
    }
  }

  /** Never throws: the error is reported when the segment is requested. */
  #fetch(name: string): Promise<boolean> {
    const running = this.#fetchOne(name).finally(() => {
      this.#running.delete(name);
      this.#goOn();
    });
    this.#running.set(name, running);
    return running;
  }

  async #fetchOne(name: string): Promise<boolean> {
    this.#wanted = this.#wanted.filter((other) => other !== name);
    try {
      const candidates = await this.#locate(name);
      requireOneContent(candidates, name);
      const failed = ({ repo, stored }: Candidate, error: BackupError): void =>
        this.#ctx.log.debug(`${repoErrorLine(repo.key, error)} (${stored.fileName})`);
      const path = `${this.#spool.path}/${name}`;
      if ((await fetchFirst(candidates, path, this.#options.fetch, failed, this.#ctx)) !== null) return true;
    } catch (error) {
      this.#ctx.log.debug(`unable to prefetch ${name}: ${toBackupError(error).message}`);
    }
    // Later segments are useless without it.
    this.#wanted = this.#wanted.filter((other) => other < name);
    return false;
  }

  /** Copies by repository key, of the repositories that answered in time. */
  async #locate(name: string): Promise<Candidate[]> {
    const answers = new Map<number, readonly Candidate[]>();
    const offered = new AbortController();
    const all = Promise.all(
      this.#holdings.map(async (holdings) => {
        const copies = await holdings.find(name);
        answers.set(holdings.repo.key, copies);
        if (copies.length > 0) offered.abort();
      }),
    );
    // Ends when all have answered, or some time after the first one that has the segment.
    const grace = new Promise<void>((resolve) => {
      const wait = (): void => void this.#ctx.clock.sleep(OFFER_GRACE_MS, this.#ctx.signal).then(resolve, resolve);
      if (offered.signal.aborted) wait();
      else offered.signal.addEventListener("abort", wait, { once: true });
    });
    await Promise.race([all, grace]);
    return this.#holdings.flatMap(({ repo }) => answers.get(repo.key) ?? []);
  }
}

interface OpenArchives {
  readonly archiveIds: readonly string[];
  readonly pass: string | null;
}

/** One repository's segments by directory, as last listed. */
class Holdings {
  readonly repo: Repository;
  readonly #options: Pick<PrefetchOptions, "cluster" | "segmentSizeBytes">;
  readonly #ctx: Context;
  #opened: Promise<OpenArchives> | undefined;
  readonly #directories = new Map<string, Promise<ReadonlyMap<string, Candidate[]>>>();
  #failedAtMs = Number.NEGATIVE_INFINITY;

  constructor(repo: Repository, options: Pick<PrefetchOptions, "cluster" | "segmentSizeBytes">, ctx: Context) {
    this.repo = repo;
    this.#options = options;
    this.#ctx = ctx;
  }

  /** Empty when the repository lacks it, or does not answer. */
  async find(name: string): Promise<readonly Candidate[]> {
    if (this.#ctx.clock.monotonicMs() - this.#failedAtMs < ASK_AGAIN_MS) return [];
    const directory = name.slice(0, DIRECTORY_LENGTH);
    try {
      const known = this.#directories.get(directory);
      const copies = (await known)?.get(name);
      if (copies !== undefined) return copies;
      // The segment may have arrived after the listing; another call may already be listing again.
      if (known === this.#directories.get(directory)) this.#directories.set(directory, this.#read(directory));
      return (await this.#directories.get(directory))?.get(name) ?? [];
    } catch (error) {
      this.#directories.delete(directory);
      this.#opened = undefined;
      this.#failedAtMs = this.#ctx.clock.monotonicMs();
      this.#ctx.log.debug(repoErrorLine(this.repo.key, toBackupError(error)));
      return [];
    }
  }

  async #read(directory: string): Promise<ReadonlyMap<string, Candidate[]>> {
    this.#opened ??= this.#open();
    const { archiveIds, pass } = await this.#opened;
    const byName = new Map<string, Candidate[]>();
    for (const archiveId of archiveIds) {
      for await (const stored of listWal(this.repo, archiveId, directory)) {
        byName.set(stored.name, [...(byName.get(stored.name) ?? []), this.#candidate(archiveId, pass, stored)]);
      }
    }
    return byName;
  }

  #candidate(archiveId: string, pass: string | null, stored: StoredWal): Candidate {
    return { repo: this.repo, archiveId, pass, stored, segmentSizeBytes: this.#options.segmentSizeBytes };
  }

  async #open(): Promise<OpenArchives> {
    const info = await loadArchiveInfo(this.repo);
    const ids = archiveIdsOf(info, this.#options.cluster);
    if (ids.length === 0)
      throw fail("archiveMismatch", `${this.repo.name} has no archive of this cluster`, { repoIndex: this.repo.key });
    return { archiveIds: ids.map(archiveIdOf), pass: info.cipherPass ?? null };
  }
}
