/** Gathers the facts of one host: the only file of this room that reads anything. */
import { WAL_SEGMENT_SIZE_BYTES } from "../base/limits";
import { createHash } from "node:crypto";
import { toBackupError } from "../base/errors";
import { given } from "../base/given";
import type { CommandProcess, Invocation } from "../process/commandProcess";
import type { Config } from "../config/types";
import { BACKREST_VERSION } from "../format/repository/infoFile";
import { loadRuns } from "../local/runRecords";
import { hasStopFile } from "../local/stopFile";
import { loadLocalDrills } from "../operations/drill/history";
import { ATTACK } from "../operations/drill/record";
import { type DumpSurvey, surveyDumps } from "../operations/dump/surveyDumps";
import { trimmedLabels } from "../operations/expire/archivePlan";
import { currentBackupsOf } from "../operations/info/destinations";
import { collectInfo, type InfoRepo } from "../operations/info/info";
import { type OpenedBackup, openedOf } from "../operations/open/openLocation";
import { listOpened } from "../operations/open/openedRecords";
import type { ReportFile } from "../operations/report/reportFields";
import { loadStreams } from "../operations/stream/streamReport";
import { surveyWal, type WalSurvey } from "../operations/shared/walSurvey";
import { loadSlot, waitingFor } from "../operations/slot/slotReport";
import { factsOf, type RepoFacts } from "../recoverability/facts";
import type { CountedTrouble } from "../recoverability/troubles";
import { VERSION } from "../version";
import type { Sample } from "./definitions";
import { exporterSamples } from "./exporter";
import { hostSamples, repositorySamples, type RepoHostFacts, type RepoState } from "./samples";
import { findDataDirectory } from "../operations/info/knownDirectory";

/** What `status` reports of these repositories, of which nothing was read before. */
export type LoadTroubles = (proc: CommandProcess, repos: readonly RepoFacts[]) => Promise<readonly CountedTrouble[]>;

/** What a process that keeps running shows besides its services. */
export interface ServedViews {
  readonly loadTroubles: LoadTroubles;
  /** The document of the verb `report`. */
  report(proc: CommandProcess): Promise<ReportFile>;
}

export async function gatherSamples(
  proc: CommandProcess,
  loadTroubles: LoadTroubles,
  surveys: Surveys = new Surveys(1),
): Promise<Sample[]> {
  const { config, ctx } = proc;
  const { pgs, stanza = "" } = config;
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  const walSegmentSizeBytes = await proc
    .loadControl()
    .then((control) => control.walSegmentSizeBytes)
    .catch(() => WAL_SEGMENT_SIZE_BYTES);
  const locks = { backup: proc.lockState("backup"), restore: proc.lockState("restore") };
  const repos = factsOf(proc.repositories());
  // First, because it reads what was archived before it lists the repositories.
  const troubles = await surveys.troubles.of(ALL, () =>
    loadTroubles(proc, repos).catch((error: unknown) => {
      ctx.log.warn(`unable to judge as status does: ${toBackupError(error).message}`);
      return null;
    }),
  );
  const missingWal = proc.missingWal();
  const asked = { stanza, set: undefined, type: undefined, locks, extras: false };
  const report = await collectInfo(repos, missingWal, asked);
  const facts = await Promise.all(
    report.repos.map((row, index) => gatherRepository(proc, row, repos[index], surveys, walSegmentSizeBytes)),
  );
  const slot = await loadSlot(config);
  const dataDirectory = pgs[0] === undefined ? null : findDataDirectory(proc);
  const streams = await loadStreams(config, async (path) => (await proc.readFile(path)) !== null);
  return [
    ...exporterSamples({ report, backrestVersion: BACKREST_VERSION, nowS }),
    ...repositorySamples(stanza, facts, walSegmentSizeBytes),
    ...hostSamples(stanza, {
      repos: facts,
      waiting: dataDirectory === null ? null : await waitingFor(config, dataDirectory, slot, nowS),
      slot,
      locks,
      isStopped: [stanza, undefined].some((name) => hasStopFile(config.lockPath, name, proc.lockOwners())),
      troubles,
      runs: await loadRuns(config.spoolPath, stanza),
      streams: streams?.states ?? [],
      synchronous: streams?.synchronous ?? null,
      drills: await loadLocalDrills(config.spoolPath, stanza),
      attacks: await loadLocalDrills(config.spoolPath, stanza, [ATTACK]),
      opened: openedOf(
        report.repos.flatMap(({ info }) => info?.history ?? []),
        await openedOrNone(proc),
      ),
      configHash: hashOf(config),
      version: VERSION,
      nowS,
    }),
  ];
}

async function gatherRepository(
  proc: CommandProcess,
  { backups, droppedCount, error, info, key, missingWalCount }: InfoRepo,
  own: RepoFacts | undefined,
  surveys: Surveys,
  walSegmentSizeBytes: number,
): Promise<RepoState & RepoHostFacts> {
  const { config, ctx } = proc;
  const { expectDumpWithinS, expectFullWithinS: expected } = config.settings.repos[key] ?? {};
  const known = {
    key,
    missingWalCount,
    conflictCount: proc.missingWal().listConflicts(key).length,
    droppedCount,
    fullExpectedS: typeof expected === "number" ? expected : null,
    dumpExpectedS: expectDumpWithinS ?? null,
  };
  if (error !== null || own === undefined) {
    ctx.log.warn(`repo${key} cannot be read: ${error?.message ?? "it is not configured"}`);
    return { ...known, backups: null, current: [], newestWal: null, survey: null, dumps: null };
  }
  const nowMs = ctx.clock.nowMs();
  const newestWal = await orNull(proc, key, "WAL", () => own.newestWal());
  const survey = config.monitoring.walGaps
    ? await surveys.wal.of(key, () =>
        orNull(proc, key, "WAL", () => surveyWal(own, backups, walSegmentSizeBytes, nowMs)),
      )
    : null;
  const dumps = await surveys.dumps.of(key, () => orNull(proc, key, "dumps", () => surveyDumps(own.remembered)));
  const trimmed = info === null ? undefined : trimmedLabels(info.backups, info.currentId, own.repo.retention, nowMs);
  const read = { backups, current: info === null ? [] : currentBackupsOf(info), newestWal, survey, dumps };
  return { ...known, ...read, ...given({ trimmed, gapCount: survey?.gapCount }) };
}

/** A spool that cannot be read hides no other metric. */
async function openedOrNone({ config, ctx }: Invocation): Promise<readonly OpenedBackup[]> {
  try {
    return await listOpened(config.spoolPath, config.stanza ?? "");
  } catch (error) {
    ctx.log.warn(`opened backups are not counted: ${toBackupError(error).message}`);
    return [];
  }
}

/** Facts that a repository cannot provide are missing, with a log line. */
async function orNull<T>(
  proc: Invocation,
  repoIndex: number,
  what: "WAL" | "dumps",
  work: () => Promise<T>,
): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    proc.ctx.log.warn(`repo${repoIndex}: unable to read ${what}: ${toBackupError(error).message}`);
    return null;
  }
}

/**
 * Over the settings that decide where backups go and how long they stay; secrets are stars in JSON and do not count.
 */
function hashOf({ pgs, repos, settings }: Config): string {
  return createHash("sha256").update(JSON.stringify({ pgs, repos, settings })).digest("hex").slice(0, 16);
}

/**
 * A survey of a whole archive, of all dumps, or of everything that `status` looks at, costs more than all else, and
 * money in some stores: repeated gathering does it only every few turns.
 */
export class Surveys {
  readonly wal: Turns<WalSurvey>;
  readonly dumps: Turns<DumpSurvey>;
  readonly troubles: Turns<readonly CountedTrouble[]>;

  constructor(everyTurns: number) {
    this.wal = new Turns(everyTurns);
    this.dumps = new Turns(everyTurns);
    this.troubles = new Turns(everyTurns);
  }
}

/** A survey of all repositories together. */
const ALL = 0;

class Turns<T> {
  readonly #everyTurns: number;
  readonly #known = new Map<number, { readonly survey: T; turnsLeft: number }>();

  constructor(everyTurns: number) {
    this.#everyTurns = everyTurns;
  }

  async of(repoIndex: number, look: () => Promise<T | null>): Promise<T | null> {
    const known = this.#known.get(repoIndex);
    if (known !== undefined && --known.turnsLeft > 0) return known.survey;
    const survey = await look();
    if (survey === null) this.#known.delete(repoIndex);
    else this.#known.set(repoIndex, { survey, turnsLeft: this.#everyTurns });
    return survey;
  }
}
