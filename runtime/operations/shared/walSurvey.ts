/** Size and gaps of the current cluster's WAL in one repository, from names alone. Only a history file is read. */
import { nullOn } from "../../base/errors";
import { archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { runsOf } from "../../format/wal/segmentPath";
import { lsnOfSegment, parseWalName, segmentSizeOf } from "../../format/wal/walSegment";
import { pathsIn } from "../../recoverability/branches";
import type { RepoFacts } from "../../recoverability/facts";
import { loadHistory } from "../../recoverability/loadHistory";
import { gapsOf, walNeeds } from "../verify/gaps";
import { countHistories, findMissingHistories } from "../verify/histories";

export interface WalSurvey {
  readonly segmentCount: number;
  /** Stored size of everything in the archive id's directory. */
  readonly sizeBytes: number;
  /** Missing segments and histories between the oldest backup and the newest segment, counted like `verify`. */
  readonly gapCount: number;
}

/** Lists the whole archive id, so the cost grows with the archive. Null without the stanza. */
export async function surveyWal(
  facts: RepoFacts,
  backups: readonly BackupInfoEntry[],
  localSegmentSizeBytes: number,
  nowMs: number,
): Promise<WalSurvey | null> {
  const { repo } = facts;
  const archiveInfo = await nullOn(facts.archiveInfo(), "fileMissing");
  if (archiveInfo === null) return null;
  const current = currentHistory(archiveInfo);
  const archiveId = archiveIdOf(current);
  const own = backups.filter(({ dbId }) => dbId === current.id);
  const walSegmentSizeBytes = segmentSizeOf(own) ?? localSegmentSizeBytes;
  const { histories, segmentCount, sizeBytes, storedAtS } = await facts.wholeArchive(archiveId);
  const history = await loadHistory([{ facts, archiveId }], walSegmentSizeBytes, () => {});
  const needs = walNeeds(backups, current.id, repo, backups, nowMs);
  const runs = runsOf(storedAtS.keys(), walSegmentSizeBytes);
  const gaps = gapsOf(runs, needs, pathsIn(history), walSegmentSizeBytes);
  const names = [...runs.flat(), ...histories.map(({ name }) => name)];
  const missing = await findMissingHistories(repo, archiveId, names, needs.gapless);
  const gapCount = gaps.reduce((sum, [from, to]) => sum + segmentsBetween(from, to, walSegmentSizeBytes) + 1, 0);
  return { segmentCount, sizeBytes, gapCount: gapCount + countHistories(missing) };
}

/** Number of segments from one to a later one, whatever their timelines; 0 when it is not later. Pure. */
export function segmentsBetween(from: string, to: string, walSegmentSizeBytes: number): number {
  if (parseWalName(from)?.kind !== "segment" || parseWalName(to)?.kind !== "segment") return 0;
  const distance = lsnOfSegment(to, walSegmentSizeBytes) - lsnOfSegment(from, walSegmentSizeBytes);
  return distance <= 0n ? 0 : Number(distance / BigInt(walSegmentSizeBytes));
}
