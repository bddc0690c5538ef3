/** Gathers the document of `report` for one database: its status, and what each repository holds. */
import { shownText } from "../../base/bytes";
import type { BackupError } from "../../base/errors";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { perRepo } from "../../base/parallel";
import { archiveIdOf, type ArchiveInfo, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { SegmentNumbers } from "../../format/wal/segmentNumbers";
import { SEGMENT_NAME, segmentSizeOf } from "../../format/wal/walSegment";
import { loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { listWalInTurn } from "../../repository/walStore";
import type { DrillRecord } from "../drill/record";
import { type DumpSurvey, hasDumps } from "../dump/surveyDumps";
import type { StatusReport } from "../info/status";
import { archivedSegmentSize } from "../verify/archivedSize";
import { walNeeds } from "../verify/gaps";
import { findNewestTimeline } from "../verify/verify";
import { type Coverage, coverageOf } from "./coverage";
import type {
  ReportedBackup,
  ReportedCost,
  ReportedDatabase,
  ReportedDrill,
  ReportedDumps,
  ReportedRepo,
  ReportedTrouble,
} from "./reportFields";

export interface ReportInput {
  readonly host: string;
  readonly repos: readonly Repository[];
  readonly status: StatusReport;
  /** Those of all machines, oldest first. */
  readonly drills: readonly DrillRecord[];
  /** Null without a price. */
  readonly costOf: (key: number, storedBytes: number) => ReportedCost | null;
  readonly objectives: { readonly rtoSeconds?: number; readonly rpoSeconds?: number };
}

interface Held extends Pick<ReportedRepo, "backups" | "newestWalS" | "walBytes">, Coverage {}

const NOTHING: Held = { backups: [], windows: [], gaps: [], walBytes: 0 };

/**
 * Lists every WAL file: a request for each directory of 256 segments. An unreadable repository has its trouble, and
 * nothing else.
 */
export async function collectReport(input: ReportInput): Promise<ReportedDatabase> {
  const { costOf, drills, host, objectives, repos, status } = input;
  const results = await perRepo(repos, (repo) => heldBy(repo, status.nowS * 1000));
  return {
    host,
    stanza: status.stanza,
    atS: status.nowS,
    troubles: status.troubles.map(troubleOf),
    repos: results.map((result, index) => {
      const own = status.repos.find(({ key }) => key === result.repoIndex);
      const troubles = own?.troubles ?? [];
      const cost = result.ok ? costOf(result.repoIndex, storedBytes(result.value)) : null;
      const more = result.ok || troubles.length > 0 ? [] : [result.error];
      return {
        key: result.repoIndex,
        location: own?.location ?? "",
        encrypted: repos[index]?.cipherType !== "none",
        troubles: [...troubles, ...more].map(troubleOf),
        ...dumpsOf(own?.dumps ?? null),
        ...(result.ok ? result.value : NOTHING),
        ...(cost === null ? {} : { cost }),
      };
    }),
    drills: drills.map(drillOf),
    ...objectives,
  };
}

async function heldBy(repo: Repository, nowMs: number): Promise<Held> {
  const info = await loadBackupInfo(repo);
  const archive = await loadArchiveInfo(repo);
  const wal = await lookThrough(repo, info, archive);
  const { newestMs } = wal;
  return {
    backups: info.backups.toSorted((left, right) => left.stoppedAtS - right.stoppedAtS).map(backupOf),
    ...(await coverage(repo, info, archive, wal, nowMs)),
    ...(newestMs === 0 ? {} : { newestWalS: Math.floor(newestMs / 1000) }),
    walBytes: wal.sizeBytes,
  };
}

interface ListedWal {
  readonly sizeBytes: number;
  /** Time of the newest complete segment, or 0 if the archive has no segment. */
  readonly newestMs: number;
  /** When each complete segment was stored. */
  readonly storedAtS: SegmentNumbers;
  readonly newestHistory: string;
  readonly segmentSizeBytes: number;
}

/** The WAL of the current cluster. */
async function lookThrough(repo: Repository, info: BackupInfo, archive: ArchiveInfo): Promise<ListedWal> {
  const current = currentHistory(archive);
  const storedAtS = new SegmentNumbers();
  let [newestHistory, newestMs, sizeBytes] = ["", 0, 0];
  let segmentSizeBytes = segmentSizeOf(info.backups.filter(({ dbId }) => dbId === current.id));
  for await (const files of listWalInTurn(repo, archiveIdOf(current))) {
    const segments = files.filter(({ name }) => SEGMENT_NAME.test(name));
    segmentSizeBytes ??= await archivedSegmentSize(repo, current, segments, archive.cipherPass ?? null);
    for (const { name, sizeRepoBytes } of files) {
      sizeBytes += sizeRepoBytes;
      if (name.endsWith(".history") && name > newestHistory) newestHistory = name;
    }
    for (const { modifiedAtMs, name } of segments) {
      storedAtS.set(name, Math.floor(modifiedAtMs / 1000));
      newestMs = Math.max(newestMs, modifiedAtMs);
    }
  }
  return {
    sizeBytes,
    newestMs,
    storedAtS,
    newestHistory,
    segmentSizeBytes: segmentSizeBytes ?? WAL_SEGMENT_SIZE_BYTES,
  };
}

function storedBytes({ backups, walBytes }: Held): number {
  return backups.reduce((sum, backup) => sum + backup.storedBytes, walBytes);
}

async function coverage(
  repo: Repository,
  info: BackupInfo,
  archive: ArchiveInfo,
  { newestHistory, segmentSizeBytes, storedAtS }: ListedWal,
  nowMs: number,
): Promise<Coverage> {
  const current = currentHistory(archive);
  const backups = info.backups.filter(({ dbId }) => dbId === current.id);
  return coverageOf({
    backups,
    storedAtS,
    newest: await findNewestTimeline(repo, archiveIdOf(current), newestHistory, archive.cipherPass ?? null),
    trimmed: new Set(walNeeds(backups, current.id, repo, info.backups, nowMs).alone.map(([start]) => start)),
    segmentSizeBytes,
  });
}

function backupOf(entry: BackupInfoEntry): ReportedBackup {
  const { error, label, repoSizeDeltaBytes, sizeBytes, startedAtS, stoppedAtS, type } = entry;
  return {
    label,
    type,
    startedAtS,
    stoppedAtS,
    databaseBytes: sizeBytes,
    storedBytes: repoSizeDeltaBytes,
    ...(error === true ? { damaged: true } : {}),
  };
}

/** As `status` has read them. */
function dumpsOf(dumps: DumpSurvey | null): { readonly dumps?: ReportedDumps } {
  if (dumps === null || !hasDumps(dumps)) return {};
  const { completeCount: complete, newest } = dumps;
  if (newest === null) return { dumps: { complete } };
  const { databases, label, stoppedAtS } = newest;
  return { dumps: { complete, newest: { label, stoppedAtS, databases: databases.map(shownText) } } };
}

function drillOf({ endedAtS, failures, id, ok, opened, repo, rpo, rtoMs }: DrillRecord): ReportedDrill {
  const [failure] = failures;
  return {
    id,
    repo,
    endedAtS,
    ok,
    ...(rtoMs === null ? {} : { rtoSeconds: rtoMs / 1000 }),
    ...(opened === undefined ? {} : { opened: true }),
    ...(rpo === null ? {} : { rpoSeconds: rpo.seconds }),
    ...(failure === undefined ? {} : { failure: failure.message }),
  };
}

function troubleOf({ hints, message, name }: BackupError): ReportedTrouble {
  return { error: name, message, hints: [...hints] };
}
