/** Whether a repository's file system has space for a week like the last one, where the storage says what is free. */
import { type BackupError, fail } from "../../base/errors";
import { formatSize } from "../../base/units";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { formatLabel } from "../../format/repository/label";
import { lsnOfSegment, segmentSizeOf } from "../../format/wal/walSegment";
import type { NewestWal } from "../../recoverability/facts";
import type { Repository } from "../../repository/repository";
import type { Retention } from "../../repository/retention";
import type { Space } from "../../storage/storage";
import { planExpire } from "../expire/expirePlan";
import { currentBackupsOf } from "./destinations";

export interface SpaceLeft extends Pick<Space, "freeBytes"> {
  /** WAL of a week. */
  readonly walBytes: number;
}

const DAY_S = 86_400;
const WEEK_S = 7 * DAY_S;

/** Null where nobody can tell. */
export async function loadSpaceLeft(
  repo: Repository,
  info: BackupInfo,
  newestWal: NewestWal | null,
  nowS: number,
): Promise<SpaceLeft | null> {
  const space = (await repo.storage.space?.()) ?? null;
  if (space === null) return null;
  return { freeBytes: space.freeBytes, walBytes: newestWal === null ? 0 : weekOfWal(info, newestWal, nowS) };
}

/** From the positions of the oldest backup of the week and the newest segment, and the stored size of the last ones. */
function weekOfWal(info: BackupInfo, newestWal: NewestWal, nowS: number): number {
  const current = currentBackupsOf(info);
  const oldest = lastWeekOf(current, nowS).find(({ archiveStart }) => archiveStart !== null);
  const segmentSizeBytes = segmentSizeOf(current);
  if (oldest === undefined || oldest.archiveStart === null || segmentSizeBytes === null) return 0;
  const elapsedS = newestWal.storedAtS - oldest.startedAtS;
  const passed = lsnOfSegment(newestWal.name, segmentSizeBytes) - lsnOfSegment(oldest.archiveStart, segmentSizeBytes);
  if (elapsedS < DAY_S || passed <= 0n) return 0;
  return (Number(passed) / segmentSizeBytes) * newestWal.meanSizeBytes * (WEEK_S / elapsedS);
}

/**
 * The next week needs space for what the last one brought, less what retention will remove in it. At any time one
 * more backup must fit, with a day of WAL: `expire` runs after it.
 */
export function spaceErrors(
  { key, retention }: Pick<Repository, "key" | "retention">,
  { backups }: Pick<BackupInfo, "backups">,
  left: SpaceLeft | null,
  nowS: number,
): BackupError[] {
  const recent = lastWeekOf(backups, nowS);
  if (left === null || recent.length === 0) return [];
  const { freeBytes, walBytes } = left;
  const sizes = recent.map(({ repoSizeDeltaBytes }) => repoSizeDeltaBytes);
  const removedBytes = retention === undefined ? 0 : removedIn(backups, recent, retention, nowS + WEEK_S);
  const growthBytes = removedBytes === 0 ? sumOf(sizes) + walBytes : sumOf(sizes) - removedBytes;
  const neededBytes = Math.max(growthBytes, Math.max(...sizes) + walBytes / 7);
  if (freeBytes >= neededBytes) return [];
  const brought = `${formatSize(sumOf(sizes))} of backups and ${formatSize(walBytes)} of WAL`;
  const fact = `${formatSize(freeBytes)} are free, and a week like the last one (${brought}) needs ${formatSize(neededBytes)}`;
  const hint = "Add space, or keep less: in a full repository, backups and WAL end.";
  return [fail("fileWrite", fact, { repoIndex: key, hint })];
}

/** Bytes that retention removes if the week until `untilS` brings the backups of the last one again. */
function removedIn(
  backups: readonly BackupInfoEntry[],
  recent: readonly BackupInfoEntry[],
  retention: Retention,
  untilS: number,
): number {
  const labels = new Map<string, string>();
  const again = recent.map((entry): BackupInfoEntry => {
    const [startedAtS, stoppedAtS] = [entry.startedAtS + WEEK_S, entry.stoppedAtS + WEEK_S];
    const moved = (label: string): string => labels.get(label) ?? label;
    const full = entry.references?.[0] ?? entry.label;
    const label = formatLabel(entry.type, startedAtS, entry.type === "full" ? undefined : moved(full));
    labels.set(entry.label, label);
    const { prior, references, ...rest } = entry;
    const base = prior === undefined ? {} : { prior: moved(prior) };
    const others = references === undefined ? {} : { references: references.map(moved) };
    return { ...rest, label, startedAtS, stoppedAtS, ...base, ...others };
  });
  const all = [...backups, ...again].sort((left, right) => (left.label < right.label ? -1 : 1));
  const request = { oldest: false, refusePageErrors: false, dryRun: true };
  const { sets } = planExpire("", { backups: all }, retention, request, { nowS: untilS, pauses: [] });
  const gone = new Set(sets.flatMap((set) => set.labels));
  return sumOf(all.map((entry) => (gone.has(entry.label) ? entry.repoSizeDeltaBytes : 0)));
}

function lastWeekOf(backups: readonly BackupInfoEntry[], nowS: number): BackupInfoEntry[] {
  return backups.filter(({ stoppedAtS }) => stoppedAtS > nowS - WEEK_S && stoppedAtS <= nowS);
}

function sumOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}
