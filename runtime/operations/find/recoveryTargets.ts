/**
 * Recovery targets just before a transaction, as options of `recover` and `restore`: pure.
 *
 * The transaction's number is exact: recovery stops before its commit record and keeps every earlier commit (PostgreSQL
 * "xlogrecovery.c", recoveryStopsBefore). The position of that record is equivalent. A time is exact only if no earlier
 * record in WAL was committed at that time or later. A dropped database's directory is removed before the commit: there
 * only a position helps, that of the transaction's first action. No restore can choose a backup for a transaction
 * number, so the options name one.
 */
import { formatLsn, parseLsn } from "../../format/wal/walSegment";
import type { TransactionEnd } from "../../format/wal/walTransaction";
import type { Activity } from "./activity";

export interface Target {
  readonly type: "xid" | "lsn" | "time";
  readonly target: string;
  readonly set: string | null;
  /** Options of `recover` and `restore`. */
  readonly args: readonly string[];
  /** The equivalent `source.target` of a CnpgRestore. */
  readonly cluster: ClusterTarget;
}

export interface ClusterTarget {
  readonly backup?: string;
  readonly xid?: string;
  readonly lsn?: string;
  /** RFC 3339. */
  readonly time?: string;
  readonly timeline?: string;
  readonly exclusive: true;
}

/** The part of a backup's entry that determines a target. */
export interface BackupEnd {
  readonly label: string;
  readonly repoIndex: number;
  readonly lsnStop: string;
}

export interface TargetFacts {
  readonly end: TransactionEnd;
  readonly lsn: bigint;
  readonly activity: Activity;
  readonly markedLsn: bigint | null;
  /** True when no earlier record was committed at its time or later. */
  readonly isTimeExact: boolean;
  /** Backups on the timeline's path. */
  readonly backups: readonly BackupEnd[];
  /** Set by the user, or different from the latest one. */
  readonly timeline: number | null;
  readonly repoIndex: number | undefined;
}

/** The best one first; empty when no backup ends before the transaction. */
export function targetsOf(facts: TargetFacts): Target[] {
  const { end, lsn } = facts;
  const isIrreversible = facts.activity.removedDatabases.length > 0;
  const stopLsn = isIrreversible ? firstLsn(facts) : lsn;
  const backup = newestBefore(facts.backups, stopLsn);
  if (backup === null) return [];
  const more = [
    ...(facts.timeline === null ? [] : [`--target-timeline=${facts.timeline}`]),
    ...(facts.repoIndex === undefined ? [] : [`--repo=${facts.repoIndex}`]),
  ];
  const target = (type: Target["type"], text: string, set: string | null): Target => ({
    type,
    target: text,
    set,
    args: [
      `--type=${type}`,
      `--target=${text}`,
      "--target-exclusive",
      ...(set === null ? [] : [`--set=${set}`]),
      ...more,
    ],
    cluster: {
      ...(set === null ? {} : { backup: set }),
      [type]: type === "time" ? text.replace(" ", "T").replace("+00", "Z") : text,
      ...(facts.timeline === null ? {} : { timeline: String(facts.timeline) }),
      exclusive: true,
    },
  });
  const byPosition = target("lsn", formatLsn(stopLsn), null);
  if (isIrreversible) return [byPosition];
  const byNumber = target("xid", String(end.xid), backup.label);
  return [byNumber, byPosition, ...(facts.isTimeExact ? [target("time", formatTime(end.atUs), null)] : [])];
}

function firstLsn({ activity, markedLsn }: TargetFacts): bigint {
  return markedLsn !== null && markedLsn < activity.firstLsn ? markedLsn : activity.firstLsn;
}

function newestBefore(backups: readonly BackupEnd[], lsn: bigint): BackupEnd | null {
  return backups.reduce<BackupEnd | null>((best, each) => {
    if (parseLsn(each.lsnStop) > lsn) return best;
    return best === null || parseLsn(each.lsnStop) > parseLsn(best.lsnStop) ? each : best;
  }, null);
}

/** `2026-11-21 09:12:33.123456+00`, as PostgreSQL reads it. */
export function formatTime(atUs: bigint): string {
  const seconds = atUs / 1_000_000n;
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19).replace("T", " ");
  return `${text}.${String(atUs % 1_000_000n).padStart(6, "0")}+00`;
}
