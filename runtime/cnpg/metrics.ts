/** Metrics: what each repository holds, through CloudNativePG's own exporter. Read from the repositories now and then, never in a scrape. */
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";
import type { LaneStatus } from "../operations/pushQueue";
import { perRepo, type RepoResult } from "../base/parallel";
import type { BackupInfoEntry } from "../format/backupInfo";
import { findNewestWal, listBackups, newestFullOf, type StoredWal } from "../operations/destinations";
import type { Repository } from "../repository/repository";
import { callCapabilities, metricDefinitions, metricSamples } from "./answers";
import type { MetricDefinition, MetricSample } from "./messages";
import type { PluginService } from "./server";

export interface MetricParts {
  readonly repos: readonly Repository[];
  lanes(): readonly (LaneStatus & { readonly debtCount: number })[];
}

const REFRESH_MS = 60_000;
/** Every so many refreshes, once every repository has some: a listing costs more than a file, and money in some stores. */
const WAL_TURNS = 5;
const LABELS = ["repo"];
const DEFINITIONS: readonly MetricDefinition[] = [
  { name: "pgbackstop_repository_up", help: "1 when the repository was read within the last minutes", labels: LABELS },
  { name: "pgbackstop_wal_waiting_files", help: "WAL files that are ready and not yet in the repository", labels: LABELS },
  { name: "pgbackstop_wal_owed_files", help: "WAL files that PostgreSQL was told are safe and the repository lacks", labels: LABELS },
  { name: "pgbackstop_backups", help: "backups that can be restored from the repository", labels: LABELS },
  { name: "pgbackstop_first_recoverability_time_seconds", help: "end of the oldest backup: recovery reaches back to it", labels: LABELS },
  {
    name: "pgbackstop_last_recoverability_time_seconds",
    help: "when the newest WAL segment was stored: recovery reaches up to it",
    labels: LABELS,
  },
  { name: "pgbackstop_last_backup_time_seconds", help: "end of the newest backup", labels: LABELS },
  { name: "pgbackstop_last_full_backup_time_seconds", help: "end of the newest full backup", labels: LABELS },
];

export class MetricSource {
  readonly #parts: MetricParts;
  #backups: readonly RepoResult<readonly BackupInfoEntry[]>[] = [];
  #wal: readonly RepoResult<StoredWal | null>[] = [];

  constructor(parts: MetricParts) {
    this.#parts = parts;
  }

  service(): PluginService {
    return {
      name: "metrics",
      methods: {
        GetCapabilities: () => callCapabilities(["METRICS"]),
        Define: () => metricDefinitions(DEFINITIONS),
        Collect: () =>
          metricSamples(DEFINITIONS, [...this.#laneSamples(), ...this.#backups.flatMap(backupSamples), ...this.#wal.flatMap(walSamples)]),
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
      this.#backups = await listBackups(this.#parts.repos).catch(unknown);
      const isKnown = this.#wal.length > 0 && this.#wal.every((result) => result.ok && result.value !== null);
      if (turn % WAL_TURNS === 0 || !isKnown) this.#wal = await perRepo(this.#parts.repos, findNewestWal).catch(unknown);
      await ctx.clock.sleep(REFRESH_MS, signal).catch(() => {});
    }
  }

  #laneSamples(): MetricSample[] {
    return this.#parts.lanes().flatMap(({ repoKey, waitingCount, debtCount }) => [
      { name: "pgbackstop_wal_waiting_files", value: waitingCount, labels: [`repo${repoKey}`] },
      { name: "pgbackstop_wal_owed_files", value: debtCount, labels: [`repo${repoKey}`] },
    ]);
  }
}

function backupSamples(result: RepoResult<readonly BackupInfoEntry[]>): MetricSample[] {
  const labels = [`repo${result.repoKey}`];
  const up = { name: "pgbackstop_repository_up", value: result.ok ? 1 : 0, labels };
  if (!result.ok) return [up];
  const times = result.value.map((entry) => entry.stoppedAtS);
  const newestFull = newestFullOf(result.value);
  return [
    up,
    { name: "pgbackstop_backups", value: result.value.length, labels },
    ...(times.length === 0
      ? []
      : [
          { name: "pgbackstop_first_recoverability_time_seconds", value: Math.min(...times), labels },
          { name: "pgbackstop_last_backup_time_seconds", value: Math.max(...times), labels },
        ]),
    ...(newestFull === null ? [] : [{ name: "pgbackstop_last_full_backup_time_seconds", value: newestFull.stoppedAtS, labels }]),
  ];
}

function walSamples(result: RepoResult<StoredWal | null>): MetricSample[] {
  if (!result.ok || result.value === null) return [];
  return [{ name: "pgbackstop_last_recoverability_time_seconds", value: result.value.storedAtS, labels: [`repo${result.repoKey}`] }];
}
