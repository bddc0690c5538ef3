/** Gathers the document of `report` for one database: its status, and what each repository holds. */
import { shownText } from "../../base/bytes";
import type { BackupError } from "../../base/errors";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { perRepo } from "../../base/parallel";
import { archiveIdOf, type ArchiveInfo, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { segmentSizeOf } from "../../format/wal/walSegment";
import { loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { isSegment, listWal, type StoredWal } from "../../repository/walStore";
import type { DrillRecord } from "../drill/record";
import { type DumpSurvey, hasDumps } from "../dump/surveyDumps";
import type { StatusReport } from "../info/status";
import { archivedSegmentSize } from "../verify/archivedSize";
import { findNewestTimeline, walNeeds } from "../verify/verify";
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

/** Lists every WAL file: a request for each thousand. An unreadable repository has its trouble, and nothing else. */
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
  const wal: StoredWal[] = [];
  let walBytes = 0;
  const archiveId = archiveIdOf(currentHistory(archive));
  for await (const stored of listWal(repo, archiveId)) {
    wal.push(stored);
    walBytes += stored.sizeRepoBytes;
  }
  const newestMs = wal
    .filter(({ name }) => isWhole(name))
    .reduce((newest, each) => Math.max(newest, each.modifiedAtMs), 0);
  return {
    backups: info.backups.toSorted((left, right) => left.stoppedAtS - right.stoppedAtS).map(backupOf),
    ...(await coverage(repo, info, archive, wal, nowMs)),
    ...(newestMs === 0 ? {} : { newestWalS: Math.floor(newestMs / 1000) }),
    walBytes,
  };
}

function storedBytes({ backups, walBytes }: Held): number {
  return backups.reduce((sum, backup) => sum + backup.storedBytes, walBytes);
}

function isWhole(name: string): boolean {
  return isSegment(name) && !name.endsWith(".partial");
}

async function coverage(
  repo: Repository,
  info: BackupInfo,
  archive: ArchiveInfo,
  wal: readonly StoredWal[],
  nowMs: number,
): Promise<Coverage> {
  const current = currentHistory(archive);
  const pass = archive.cipherPass ?? null;
  const backups = info.backups.filter(({ dbId }) => dbId === current.id);
  const segments = wal.filter(({ name }) => isWhole(name)).toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const shown = segmentSizeOf(backups) ?? (await archivedSegmentSize(repo, current, segments, pass));
  const histories = wal.map(({ name }) => name).filter((name) => name.endsWith(".history"));
  return coverageOf({
    backups,
    storedAtS: new Map(segments.map(({ modifiedAtMs, name }) => [name, Math.floor(modifiedAtMs / 1000)])),
    newest: await findNewestTimeline(repo, archiveIdOf(current), histories.toSorted().at(-1) ?? "", pass),
    trimmed: new Set(walNeeds(backups, current.id, repo, info.backups, nowMs).alone.map(([start]) => start)),
    segmentSizeBytes: shown ?? WAL_SEGMENT_SIZE_BYTES,
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
