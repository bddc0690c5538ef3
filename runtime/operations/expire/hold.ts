/**
 * A hold: notes of a backup that keep `expire` and `stanza-delete` from it. Stock shows them like any annotation, and
 * keeps them when it writes backup.info.
 */
import { timeText } from "../../base/clock";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";

export interface Hold {
  readonly reason: string;
  /** When it ends, in seconds since 1970; null if only `release` ends it. */
  readonly untilS: number | null;
}

/** All names of such notes begin with it. */
export const HOLD_NOTE = "pgbackstop-hold";
const HOLD_END_NOTE = `${HOLD_NOTE}-until`;

/** Null without a hold. An end that is no time, which only another program can have written, never comes. */
export function holdOf({ annotations = {} }: Pick<BackupInfoEntry, "annotations">): Hold | null {
  const { [HOLD_NOTE]: reason, [HOLD_END_NOTE]: until } = annotations;
  if (reason === undefined) return null;
  const untilMs = Date.parse(until ?? "");
  return { reason, untilS: Number.isNaN(untilMs) ? null : Math.floor(untilMs / 1000) };
}

/** Empty texts remove the notes. */
export function holdNotes(hold: Hold | null): Readonly<Record<string, string>> {
  if (hold === null) return { [HOLD_NOTE]: "", [HOLD_END_NOTE]: "" };
  const { reason, untilS } = hold;
  return { [HOLD_NOTE]: reason, [HOLD_END_NOTE]: untilS === null ? "" : timeText(untilS) };
}

/** `held: audit 2026 (until 2027-03-31T23:59:59Z)` */
export function holdText({ reason, untilS }: Hold): string {
  return `held: ${reason} (${untilS === null ? "until release" : `until ${timeText(untilS)}`})`;
}

/** Holds by label as their records have them; null for a released backup. */
export type RecordedHolds = ReadonlyMap<string, Hold | null>;

/** The list with the holds that it lacks; the same one if it lacks none. */
export function withHolds(info: BackupInfo, recorded: RecordedHolds): BackupInfo {
  const isLacking = (entry: BackupInfoEntry): boolean => endS(recorded.get(entry.label)) > endS(holdOf(entry));
  if (!info.backups.some(isLacking)) return info;
  const backups = info.backups.map((entry) => {
    const hold = isLacking(entry) ? recorded.get(entry.label) : null;
    return hold ? { ...entry, annotations: { ...entry.annotations, ...holdNotes(hold) } } : entry;
  });
  return { ...info, backups };
}

/** For a backup that no list has: only the time tells. */
export function isHeldAt(hold: Hold | null | undefined, nowMs: number): boolean {
  return endS(hold) * 1000 >= nowMs;
}

function endS(hold: Hold | null | undefined): number {
  return hold ? (hold.untilS ?? Number.POSITIVE_INFINITY) : Number.NEGATIVE_INFINITY;
}
