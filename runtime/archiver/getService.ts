/**
 * Provides WAL to a recovering PostgreSQL: segments from a prefetched queue, everything else from all repositories.
 * Files that an earlier process left in the queue are not trusted: a crash of the machine may have truncated them.
 */
import { SEGMENT_NAME } from "../format/wal/walSegment";
import { orAborted } from "../base/clock";
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";
import type { CommandProcess } from "../process/commandProcess";
import { rm } from "../local/nodeFiles";
import { agentSpool, type Spool } from "../local/spool";
import { archiveGetInTime } from "../operations/archiveGet/archiveGet";
import type { CopyWal, FetchWalJob } from "../operations/archiveGet/fetchCopy";
import type { ClusterIdentity } from "../operations/shared/identity";
import { getLast } from "../operations/stream/partial";
import { Prefetcher } from "../operations/archiveGet/prefetch";

export interface GetOptions {
  /** False fetches this file alone, without prefetching. */
  readonly ahead?: boolean;
  /** How long to retry an undecided answer; default `archive-timeout`. */
  readonly timeoutMs?: number;
  /** As in {@link ArchiveGetOptions}. */
  readonly mayLackStanza?: boolean;
}

/** What it needs of its process. */
export interface GetSource
  extends Pick<CommandProcess, "config" | "dataDirectory" | "loadControl" | "pool" | "readFile" | "repositories"> {
  /** Set where only this repository is asked: its queue has nothing of the others. */
  readonly onlyRepo?: number;
}

export class GetService {
  readonly #proc: GetSource;
  readonly #ctx: Context;
  readonly #spool: Spool;
  #prefetcher: Prefetcher | null = null;
  #cluster: (ClusterIdentity & { readonly segmentSizeBytes: number }) | null = null;

  constructor(proc: GetSource, ctx: Context) {
    this.#proc = proc;
    this.#ctx = ctx;
    this.#spool = agentSpool(proc.config.spoolPath, proc.config.stanza ?? "", proc.onlyRepo);
  }

  /** True when it was fetched, false when certainly no repository has it. @throws errors of `archiveGet` */
  async get(walName: string, destination: string, options: GetOptions = {}): Promise<boolean> {
    const { config } = this.#proc;
    const control = await this.#proc.loadControl();
    const cluster = { version: control.pgVersion, systemId: control.systemId };
    if (options.ahead !== false && SEGMENT_NAME.test(walName) && config.archive.getQueueSizeBytesMax > 0) {
      const prefetcher = await this.#open({ ...cluster, segmentSizeBytes: control.walSegmentSizeBytes });
      if ((await prefetcher?.take(walName, destination)) === true) {
        this.#ctx.log.detail(`found ${walName} in the queue`);
        return true;
      }
    }
    return archiveGetInTime(
      this.#proc.repositories(),
      {
        walName,
        destination,
        cluster,
        segmentSizeBytes: control.walSegmentSizeBytes,
        fetch: this.#fetch,
        mayLackStanza: options.mayLackStanza ?? false,
      },
      options.timeoutMs ?? config.archive.timeoutMs,
      this.#ctx,
    );
  }

  /** Like {@link get}, but at the end of the archive a recovery also receives the streamed part of the next segment. */
  async getOrLast(walName: string, destination: string, options: GetOptions = {}): Promise<boolean> {
    const get = (): Promise<boolean> => this.get(walName, destination, options);
    const timeoutMs = options.timeoutMs ?? this.#proc.config.archive.timeoutMs;
    return (await get()) || (await this.last(walName, destination, timeoutMs, get));
  }

  /** The streamed part of a segment that no repository has; `timeoutMs` as in {@link PartialOptions}. */
  async last(
    walName: string,
    destination: string,
    timeoutMs: number | null,
    getWhole: () => Promise<boolean>,
  ): Promise<boolean> {
    const { dataDirectory } = this.#proc;
    const { pgVersion: version, systemId, walSegmentSizeBytes: segmentSizeBytes } = await this.#proc.loadControl();
    const exists = async (name: string): Promise<boolean> =>
      (await this.#proc.readFile(`${dataDirectory}/${name}`)) !== null;
    const options = { walName, destination, cluster: { version, systemId }, segmentSizeBytes, timeoutMs };
    return getLast(this.#proc.repositories(), options, { dataDirectory, exists }, getWhole, this.#ctx);
  }

  /** In a worker thread, so that this one can answer. Files in the queue need not survive a crash of the machine. */
  readonly #fetch: CopyWal = async ({ repo, ...candidate }, destination, limit) => {
    const limitMs = limit?.limitMs ?? null;
    const job = { kind: "fetchWal", repoIndex: repo.key, ...candidate, destination, durable: false, limitMs } as const;
    const copied = this.#proc.pool().run<FetchWalJob>(job);
    if (limit === null) return copied;
    // The thread ends the copy by its time.
    const { signal } = limit;
    void copied.then(() => (signal.aborted ? rm(destination, { force: true }) : undefined)).catch(() => undefined);
    return orAborted(copied, signal);
  };

  async close(): Promise<void> {
    await this.#prefetcher?.settle();
  }

  /** Null when there is no location for a queue. */
  async #open(cluster: ClusterIdentity & { readonly segmentSizeBytes: number }): Promise<Prefetcher | null> {
    const known = this.#cluster;
    const isSame =
      known?.version === cluster.version &&
      known.systemId === cluster.systemId &&
      known.segmentSizeBytes === cluster.segmentSizeBytes;
    if (isSame) return this.#prefetcher;
    await this.#prefetcher?.settle();
    this.#cluster = cluster;
    try {
      await this.#spool.make();
      for (const name of await this.#spool.list()) await this.#spool.remove(name);
    } catch (error) {
      this.#ctx.log.warn(`unable to prefetch: ${toBackupError(error).message}`);
      this.#prefetcher = null;
      return null;
    }
    const { archive, processMax } = this.#proc.config;
    const queueSizeBytesMax = archive.getQueueSizeBytesMax;
    const options = {
      cluster,
      segmentSizeBytes: cluster.segmentSizeBytes,
      queueSizeBytesMax,
      processMax,
      fetch: this.#fetch,
    };
    this.#prefetcher = new Prefetcher(this.#proc.repositories(), this.#spool, options, this.#ctx);
    return this.#prefetcher;
  }
}
