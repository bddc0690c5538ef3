/** What a repository keeps: pgBackRest's options, and the calendar of `pgbackstop.json`. */
import type { BackupType } from "../format/repository/label";

export interface Retention {
  /** Count of backups, or days, by `fullType`; absent keeps all. */
  readonly full?: number;
  readonly fullType: "count" | "time";
  readonly diff?: number;
  /** Number of `archiveType` backups with gapless WAL; absent follows the retention of that type. */
  readonly archive?: number;
  readonly archiveType: BackupType;
  /** Age at which a manifest in the history expires; absent keeps all. */
  readonly historyDays?: number;
  /** Backups that stay after the others of their time have expired; absent none. */
  readonly keep?: KeepCalendar;
}

/** Number of newest days, weeks, months and years with a backup of which one backup each stays; absent none. */
export interface KeepCalendar {
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
  /** Name of the time zone in which a day begins. */
  readonly zone: string;
}
