/**
 * Backup labels: `YYYYMMDD-HHMMSSF` for a full backup, `<full label>_YYYYMMDD-HHMMSSD` or `…I` for one that builds on
 * it.
 *
 * The time is the start of the backup in this process' local time zone, and labels are compared as plain text, so the
 * zone must not change within a repository. (pgBackRest 2.60 "command/backup/common", "info/manifest".)
 */
import { assert } from "../../base/errors";

export type BackupType = "full" | "diff" | "incr";

const LABEL = /^\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?$/;
const FULL_LABEL_LENGTH = 16;

/** `fullLabel` is the label of the set's full backup; required for diff and incr. */
export function formatLabel(type: BackupType, startedAtS: number, fullLabel?: string): string {
  const date = new Date(startedAtS * 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${String(date.getFullYear()).padStart(4, "0")}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  const time = `${day}-${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
  if (type === "full") return `${time}F`;
  assert(fullLabel !== undefined && isLabel(fullLabel), `a ${type} backup needs the label of its full backup`);
  return `${fullLabelOf(fullLabel)}_${time}${type === "diff" ? "D" : "I"}`;
}

export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

export function labelType(label: string): BackupType {
  assert(isLabel(label), `'${label}' is not a backup label`);
  return label.endsWith("F") ? "full" : label.endsWith("D") ? "diff" : "incr";
}

/** The label of the full backup in `label`'s set; a full backup's own label. */
export function fullLabelOf(label: string): string {
  assert(isLabel(label), `'${label}' is not a backup label`);
  return label.slice(0, FULL_LABEL_LENGTH);
}

/** The start of the day on which a backup began, by the clock and zone of its host. */
export function labelDayS(label: string): number {
  const [, year, month, day] = /(\d{4})(\d{2})(\d{2})-\d{6}[FDI]$/.exec(label) ?? [];
  return Date.UTC(Number(year), Number(month) - 1, Number(day)) / 1000;
}
