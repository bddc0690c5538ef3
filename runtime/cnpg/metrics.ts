/**
 * Metrics: what each repository holds, through CloudNativePG's own exporter, under the names that hosts use. Read from the repositories now and
 * then, never in a scrape.
 */
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";
import type { LaneStatus } from "../operations/pushQueue";
import { perRepo, type RepoResult } from "../base/parallel";
import type { BackupInfoEntry } from "../format/backupInfo";
import { REPOSITORY } from "../metrics/definitions";
import { laneSamples, repositorySamples } from "../metrics/samples";
import { findNewestWal, listBackups, type StoredWal } from "../operations/destinations";
import type { Repository } from "../repository/repository";
import { callCapabilities, metricDefinitions, metricSamples } from "./answers";
import type { MetricSample } from "./messages";
import type { PluginService } from "./server";

export interface MetricParts {
  readonly repos: readonly Repository[];
  walSegmentSizeBytes(): Promise<number>;
  lanes(): readonly (LaneStatus & { readonly debtCount: number })[];
}

/** Until pg_control could be read. */
const WAL_SEGMENT_SIZE_BYTES = 16 * 1024 * 1024;
const REFRESH_MS = 60_000;
/** Every so many refreshes, once every repository has some: a listing costs more than a file, and money in some stores. */
const WAL_TURNS = 5;

export class MetricSource {
  readonly #parts: MetricParts;
  #backups: readonly RepoResult<readonly BackupInfoEntry[]>[] = [];
  #wal: readonly RepoResult<StoredWal | null>[] = [];
  #walSegmentSizeBytes = WAL_SEGMENT_SIZE_BYTES;

  constructor(parts: MetricParts) {
    this.#parts = parts;
  }

  service(): PluginService {
    return {
      name: "metrics",
      methods: {
        GetCapabilities: () => callCapabilities(["METRICS"]),
        Define: () => metricDefinitions(REPOSITORY),
        Collect: () => metricSamples(REPOSITORY, this.#samples()),
      },
    };
  }

  /** Runs until `signal` aborts; never throws. */
  async refreshForever(ctx: Context, signal: AbortSignal): Promise<void> {
    const unknown = (error: unknown): [] => {
      ctx.log.debug(`metrics: ${toBackupError(error).message}`);
      return [];
    };
    for (let turn = 0; !signal.aborted; turn++) {
      this.#walSegmentSizeBytes = await this.#parts.walSegmentSizeBytes().catch(() => WAL_SEGMENT_SIZE_BYTES);
      this.#backups = await listBackups(this.#parts.repos).catch(unknown);
      const isKnown = this.#wal.length > 0 && this.#wal.every((result) => result.ok && result.value !== null);
      if (turn % WAL_TURNS === 0 || !isKnown) this.#wal = await perRepo(this.#parts.repos, findNewestWal).catch(unknown);
      await ctx.clock.sleep(REFRESH_MS, signal).catch(() => {});
    }
  }

  /** Queues are told from the start, repositories once they were read. */
  #samples(): MetricSample[] {
    const stanza = this.#parts.repos[0]?.stanza ?? "";
    const lanes = this.#parts.lanes();
    const facts = this.#backups.map((result) => {
      const wal = this.#wal.find(({ repoKey }) => repoKey === result.repoKey);
      return {
        key: result.repoKey,
        backups: result.ok ? result.value : null,
        newestWal: result.ok && wal?.ok === true ? wal.value : null,
        debtCount: lanes.find(({ repoKey }) => repoKey === result.repoKey)?.debtCount ?? 0,
      };
    });
    const samples = [...laneSamples(stanza, lanes), ...repositorySamples(stanza, facts, this.#walSegmentSizeBytes)];
    const labelsOf = new Map(REPOSITORY.map(({ labels, name }) => [name, labels]));
    return samples.map(({ labels, name, value }) => ({ name, value, labels: (labelsOf.get(name) ?? []).map((label) => labels[label] ?? "") }));
  }
}
