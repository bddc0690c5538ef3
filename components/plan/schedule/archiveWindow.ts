/** How far back `retention-archive` lets point-in-time recovery reach. Pure. */
import { backupsPerDay, BACKUP_TYPES, type Schedule } from "./schedule";

/**
 * Days in the worst case, when the next backup has just removed the WAL before the oldest counted one. Null if no
 * schedule makes what it counts. It counts backups of a type and above: of `diff` also the full ones (pgBackRest 2.60,
 * command/expire).
 * @param count value of `retention-archive`
 * @param type value of `retention-archive-type`; undefined for its default
 */
export function archiveWindowDays(
  { key }: { readonly key: number },
  count: string,
  type: string | undefined,
  schedules: readonly Schedule[],
): number | null {
  const counted = BACKUP_TYPES.slice(0, BACKUP_TYPES.findIndex((each) => each === (type ?? "full")) + 1);
  const perDay = backupsPerDay(schedules, key, counted);
  const days = (Number(count) - 1) / perDay;
  return perDay > 0 && Number.isFinite(days) ? days : null;
}
