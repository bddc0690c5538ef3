/** Gathers the document of `report` for one database: its status, and what each repository holds. */
import { shownText } from "../../base/bytes";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { perRepo } from "../../base/parallel";
import { archiveIdOf, type ArchiveInfo, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { segmentSizeOf } from "../../format/wal/walSegment";
import { pathsIn } from "../../recoverability/branches";
import type { RepoFacts, WholeArchive } from "../../recoverability/facts";
import { loadHistory } from "../../recoverability/loadHistory";
import { type Windows, windowsOf } from "../../recoverability/windows";
import type { DrillRecord } from "../drill/record";
import { type DumpSurvey, hasDumps } from "../dump/surveyDumps";
import type { StatusReport } from "../info/status";
import { archivedSegmentSize } from "../verify/archivedSize";
import { walNeeds } from "../verify/gaps";
import { troubleOf } from "./judgeReport";
import type {
  ReportedBackup,
  ReportedCost,
  ReportedDatabase,
  ReportedDrill,
  ReportedDumps,
  ReportedRepo,
} from "./reportFields";

export interface ReportInput {
  readonly host: string;
  readonly repos: readonly RepoFacts[];
  readonly status: StatusReport;
  /** Those of all machines, oldest first. */
  readonly drills: readonly DrillRecord[];
  /** Null without a price. */
  readonly costOf: (key: number, storedBytes: number) => ReportedCost | null;
  readonly objectives: { readonly rtoSeconds?: number; readonly rpoSeconds?: number };
}

interface Held extends Pick<ReportedRepo, "backups" | "newestWalS" | "walBytes">, Windows {}

const NOTHING: Held = { backups: [], windows: [], gaps: [], walBytes: 0 };

/**
 * Lists every WAL file: a request for each directory of 256 segments. An unreadable repository has its trouble, and
 * nothing else.
 */
export async function collectReport(input: ReportInput): Promise<ReportedDatabase> {
  const { costOf, drills, host, objectives, repos, status } = input;
  const results = await perRepo(repos, (facts) => heldBy(facts, status.nowS * 1000));
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
        encrypted: repos[index]?.repo.cipherType !== "none",
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

async function heldBy(facts: RepoFacts, nowMs: number): Promise<Held> {
  const info = await facts.backupInfo();
  const archive = await facts.archiveInfo();
  const wal = await facts.wholeArchive(archiveIdOf(currentHistory(archive)));
  const { newestMs } = wal;
  return {
    backups: info.backups.toSorted((left, right) => left.stoppedAtS - right.stoppedAtS).map(backupOf),
    ...(await windowsIn(facts, info, archive, wal, nowMs)),
    ...(newestMs === 0 ? {} : { newestWalS: Math.floor(newestMs / 1000) }),
    walBytes: wal.sizeBytes,
  };
}

function storedBytes({ backups, walBytes }: Held): number {
  return backups.reduce((sum, backup) => sum + backup.storedBytes, walBytes);
}

/** The current cluster alone. */
async function windowsIn(
  facts: RepoFacts,
  info: BackupInfo,
  archive: ArchiveInfo,
  { oldest, storedAtS }: WholeArchive,
  nowMs: number,
): Promise<Windows> {
  const { remembered, repo } = facts;
  const current = currentHistory(archive);
  const pass = archive.cipherPass ?? null;
  const backups = info.backups.filter(({ dbId }) => dbId === current.id);
  const segmentSizeBytes =
    segmentSizeOf(backups) ?? (await archivedSegmentSize(remembered, current, oldest, pass)) ?? WAL_SEGMENT_SIZE_BYTES;
  const history = await loadHistory([{ facts, archiveId: archiveIdOf(current) }], segmentSizeBytes, () => {});
  const { alone } = walNeeds(backups, current.id, repo, info.backups, nowMs);
  return windowsOf({
    backups,
    storedAtS,
    branches: pathsIn(history),
    trimmed: new Set(alone.map(({ archiveStart }) => archiveStart)),
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
