/**
 * Metrics of each repository, through CloudNativePG's own exporter, under the names that hosts use. Read from the
 * repositories at intervals, never during a scrape.
 */
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { given } from "../../base/given";
import type { WorkerStatus } from "../../operations/archivePush/pushQueue";
import { silentLog } from "../../base/log";
import { perRepo, type RepoResult } from "../../base/parallel";
import type { BackupInfo } from "../../format/repository/backupInfo";
import { DRILLS, DUMPS, REPOSITORY, STATUS, SYNCHRONOUS } from "../../metrics/definitions";
import {
  attackSamples,
  drillSamples,
  dumpSamples,
  gapSamples,
  type RepoState,
  repositorySamples,
  streamSamples,
  synchronousSamples,
  troubleSamples,
  workerSamples,
} from "../../metrics/samples";
import { trimmedLabels } from "../../operations/expire/archivePlan";
import { currentBackupsOf } from "../../operations/info/destinations";
import { loadDrillHistory } from "../../operations/drill/history";
import { ATTACK, DRILL_KINDS, type DrillRecord } from "../../operations/drill/record";
import { type DumpSurvey, surveyDumps } from "../../operations/dump/surveyDumps";
import type { SynchronousReport } from "../../local/streamState";
import { stateOf, type StreamStatus } from "../../operations/stream/streamStatus";
import { factsOf, type NewestWal, type RepoFacts } from "../../recoverability/facts";
import type { CountedTrouble } from "../../recoverability/troubles";
import type { Repository } from "../../repository/repository";
import { callCapabilities, metricDefinitions, metricSamples } from "../grpc/answers";
import type { MetricSample } from "../grpc/messages";
import type { PluginService } from "../grpc/grpcServer";

export interface MetricParts {
  readonly repos: readonly Repository[];
  walSegmentSizeBytes(): Promise<number>;
  /** Maximum age of a repository's newest logical dump; null if none is expected. */
  dumpExpectedS(repoIndex: number): number | null;
  /** What `status` reports on the primary; null elsewhere. */
  troubles(repos: readonly RepoFacts[]): Promise<readonly CountedTrouble[] | null>;
  /** Missing segments by repository, as far as they were counted. */
  gaps(): ReadonlyMap<number, number>;
  /** Streams of the primary; empty elsewhere and without streaming. */
  streams(): readonly StreamStatus[];
  /** State of synchronous commits on the primary; null where no commit shall wait. */
  synchronous(): SynchronousReport | null;
  workers(): readonly (WorkerStatus & { readonly missingWalCount: number; readonly conflictCount: number })[];
}

const REFRESH_MS = 60_000;
const SERVED = [...REPOSITORY, ...STATUS, ...SYNCHRONOUS, ...DRILLS, ...DUMPS];
/**
 * Refreshes between listings of WAL, once every repository has some, of dumps, and for `status`: a listing costs more
 * than a file, and money in some stores.
 */
const WAL_TURNS = 5;

export class MetricSource {
  readonly #parts: MetricParts;
  #infos: readonly RepoResult<BackupInfo>[] = [];
  #wal: readonly RepoResult<NewestWal | null>[] = [];
  #drills: readonly DrillRecord[] = [];
  #dumps: readonly RepoResult<DumpSurvey>[] = [];
  #troubles: readonly CountedTrouble[] | null = null;
  #trimmed: ReadonlyMap<number, ReadonlySet<string>> = new Map();
  #walSegmentSizeBytes = WAL_SEGMENT_SIZE_BYTES;

  constructor(parts: MetricParts) {
    this.#parts = parts;
  }

  service(): PluginService {
    return {
      name: "metrics",
      methods: {
        GetCapabilities: () => callCapabilities(["METRICS"]),
        Define: () => metricDefinitions(SERVED),
        Collect: () => metricSamples(SERVED, this.#samples()),
      },
    };
  }

  /** Runs until `signal` aborts; never throws. */
  async refreshForever(ctx: Context, signal: AbortSignal): Promise<void> {
    const say = (error: unknown): void => ctx.log.debug(`metrics: ${toBackupError(error).message}`);
    const unknown = (error: unknown): [] => {
      say(error);
      return [];
    };
    // A metric reports the repository that does not answer.
    const quiet = { ...ctx, log: silentLog };
    for (let turn = 0; !signal.aborted; turn++) {
      const isLong = turn % WAL_TURNS === 0;
      const facts = factsOf(this.#parts.repos);
      this.#walSegmentSizeBytes = await this.#parts.walSegmentSizeBytes().catch(() => WAL_SEGMENT_SIZE_BYTES);
      // First, because it reads what was archived before it lists the repositories. What is wrong is judged again soon.
      if (isLong || this.#troubles?.length !== 0)
        this.#troubles = await this.#parts.troubles(facts).catch((error: unknown) => {
          say(error);
          return null;
        });
      this.#infos = await perRepo(facts, (own) => own.backupInfo()).catch(unknown);
      this.#trimmed = this.#trimmedLabels(ctx.clock.nowMs());
      const isKnown = this.#wal.length > 0 && this.#wal.every((result) => result.ok && result.value !== null);
      if (isLong || !isKnown) this.#wal = await perRepo(facts, (own) => own.newestWal()).catch(unknown);
      if (isLong) this.#dumps = await perRepo(facts, (own) => surveyDumps(own.remembered)).catch(unknown);
      // A job elsewhere runs drills: its records are in the repositories.
      if (isLong) {
        const remembered = facts.map((own) => own.remembered);
        const drills = loadDrillHistory(remembered, quiet, this.#drills, DRILL_KINDS);
        this.#drills = await drills.catch(() => this.#drills);
      }
      await ctx.clock.sleep(REFRESH_MS, signal).catch(() => {});
    }
  }

  #trimmedLabels(nowMs: number): ReadonlyMap<number, ReadonlySet<string>> {
    return new Map(
      this.#infos.map((result): readonly [number, ReadonlySet<string>] => {
        const { backups, currentId } = result.ok ? result.value : { backups: [], currentId: 0 };
        const repo = this.#parts.repos.find(({ key }) => key === result.repoIndex);
        return [result.repoIndex, trimmedLabels(backups, currentId, repo?.retention, nowMs)];
      }),
    );
  }

  /** Queues are reported from the start, repositories after they were read. */
  #samples(): MetricSample[] {
    const stanza = this.#parts.repos[0]?.stanza ?? "";
    const workers = this.#parts.workers();
    const gaps = this.#parts.gaps();
    const facts = this.#infos.map((result): RepoState => {
      const wal = this.#wal.find(({ repoIndex }) => repoIndex === result.repoIndex);
      return {
        key: result.repoIndex,
        backups: result.ok ? result.value.backups : null,
        current: result.ok ? currentBackupsOf(result.value) : [],
        trimmed: this.#trimmed.get(result.repoIndex) ?? new Set<string>(),
        newestWal: result.ok && wal?.ok === true ? wal.value : null,
        missingWalCount: workers.find(({ repoIndex }) => repoIndex === result.repoIndex)?.missingWalCount ?? 0,
        conflictCount: workers.find(({ repoIndex }) => repoIndex === result.repoIndex)?.conflictCount ?? 0,
        ...given({ gapCount: gaps.get(result.repoIndex) }),
      };
    });
    const samples = [
      ...workerSamples(stanza, workers),
      ...repositorySamples(stanza, facts, this.#walSegmentSizeBytes),
      ...(this.#troubles === null ? [] : troubleSamples(stanza, this.#troubles)),
      ...gapSamples(stanza, gaps),
      ...this.#parts.streams().flatMap((status) => {
        const state = stateOf(status);
        return state === null ? [] : streamSamples(stanza, state);
      }),
      ...synchronousSamples(stanza, this.#parts.synchronous()),
      ...drillSamples(
        stanza,
        this.#drills.filter(({ pick }) => pick !== ATTACK),
      ),
      ...attackSamples(
        stanza,
        this.#drills.filter(({ pick }) => pick === ATTACK),
      ),
      ...dumpSamples(
        stanza,
        this.#parts.repos.map(({ key }) => {
          const dumps = this.#dumps.find(({ repoIndex }) => repoIndex === key);
          return { key, dumps: dumps?.ok === true ? dumps.value : null, dumpExpectedS: this.#parts.dumpExpectedS(key) };
        }),
      ),
    ];
    const labelsOf = new Map(SERVED.map(({ labels, name }) => [name, labels]));
    return samples.map(({ labels, name, value }) => ({
      name,
      value,
      labels: (labelsOf.get(name) ?? []).map((label) => labels[label] ?? ""),
    }));
  }
}
