/**
 * What `expire --dry-run` prints of a repository: which backups stay and why, which go, and since when any point in
 * time can be restored. Pure.
 */
import { timeText } from "../../base/clock";
import { printableValue } from "../../base/printable";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import type { Retention } from "../../repository/retention";
import { planKept } from "./archivePlan";
import { firstDependants, pickByCalendar } from "./calendar";
import type { Ages, ExpirePlan } from "./expirePlan";
import { holdOf, holdText } from "./hold";

export interface CalendarInput {
  readonly repoName: string;
  readonly info: Pick<BackupInfo, "backups" | "currentId">;
  readonly plan: Pick<ExpirePlan, "kept" | "extra" | "sets">;
  readonly retention: Retention;
  readonly ages: Ages;
}

export function calendarText(input: CalendarInput): string {
  const { ages, info, plan, repoName, retention } = input;
  const { zone } = retention.keep ?? {};
  const reasons = reasonsOf(input);
  const width = Math.max(0, ...plan.kept.map(({ label }) => label.length));
  const lines = [`${repoName}: what stays${zone === undefined ? "" : `, in days of ${zone}`}`];
  for (const { label } of plan.kept) {
    const alone = plan.extra.has(label) ? "; only as it was when it ended" : "";
    lines.push(`  ${label.padEnd(width)}  ${(reasons.get(label) ?? []).join(", ")}${alone}`);
  }
  const gone = plan.sets.flatMap(({ labels }) => labels).sort();
  lines.push(`${repoName}: what goes${gone.length === 0 ? ": nothing" : ""}`, ...gone.map((label) => `  ${label}`));
  const fromS = pointInTimeFrom(plan.kept, info.currentId, retention, ages);
  const since = fromS === null ? "no point in time yet" : `any point in time from ${timeText(fromS)} on`;
  lines.push(`${repoName}: ${since}`);
  return `${lines.map(printableValue).join("\n")}\n`;
}

function reasonsOf({ ages, info, plan, retention }: CalendarInput): ReadonlyMap<string, readonly string[]> {
  const { keep } = retention;
  const periods = new Map<string, string[]>();
  for (const { keptBy, label, period } of keep === undefined ? [] : pickByCalendar(info.backups, keep, ages.nowS))
    periods.set(label, [...(periods.get(label) ?? []), `${keptBy} ${period}`]);
  const dependants = firstDependants(plan.kept);
  return new Map(
    plan.kept.map((entry): readonly [string, readonly string[]] => {
      const { label } = entry;
      const hold = holdOf(entry);
      const own = [
        ...(plan.extra.has(label) ? [] : ["within retention"]),
        ...(periods.get(label) ?? []),
        ...(hold === null ? [] : [holdText(hold)]),
      ];
      const dependant = dependants.get(label);
      return [label, own.length > 0 || dependant === undefined ? own : [`needed by ${dependant}`]];
    }),
  );
}

/** End of the first backup of the present cluster that keeps all WAL after it. Null if no backup does. */
function pointInTimeFrom(
  kept: readonly BackupInfoEntry[],
  historyId: number,
  retention: Retention,
  ages: Ages,
): number | null {
  const plan = planKept(kept, historyId, retention, ages);
  const alone = new Set(plan?.ranges.flatMap(({ label, stop }) => (stop === null ? [] : [label])));
  const ends = kept.flatMap(({ archiveStart, dbId, label, stoppedAtS }) =>
    dbId === historyId && archiveStart !== null && !alone.has(label) ? [stoppedAtS] : [],
  );
  return ends.length === 0 ? null : Math.min(...ends);
}
