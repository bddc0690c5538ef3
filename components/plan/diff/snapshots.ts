/** What changes in the volume snapshots of a cluster: whether and how often they are taken, and how long they stay. Pure. */
import { textRunsPerDay } from "../schedule/schedule";
import type { SnapshotPlan } from "../cluster/snapshotPlan";
import { type Collector, type Value, valueText } from "./change";

type Snapshots = Partial<SnapshotPlan> | undefined;

export function diffSnapshots(to: Collector, old: Snapshots, now: Snapshots): void {
  if (old === undefined || now === undefined) {
    if (now !== undefined) to.add("snapshots", null, "taken", "strengthened", "volume snapshots are taken");
    if (old !== undefined) to.add("snapshots", "taken", null, "weakened", "no volume snapshots are taken any more");
    return;
  }
  const rate = (cron: string | null): number => (cron === null ? 0 : textRunsPerDay(cron));
  to.rank("snapshots.cron", old.cron ?? null, now.cron ?? null, rate, (cron) => `snapshots are taken: ${valueText(cron)}`);
  to.plain("snapshots.online", old.online ?? true, now.online ?? true, (value) => `snapshots are ${value === true ? "hot" : "cold"}`);
  const words = { keepDays: "days for which every snapshot stays", keepCount: "snapshots that stay whatever their age" } as const;
  for (const field of ["keepDays", "keepCount"] as const) {
    const [was, is] = [old[field] ?? null, now[field] ?? null];
    // Left out is no limit where both are, and the least of this one where the other one stands.
    const without = keepsAll(was === null ? old : now) ? Number.POSITIVE_INFINITY : field === "keepDays" ? 0 : 1;
    to.rank(
      `snapshots.${field}`,
      was,
      is,
      (value: Value) => (value === null ? without : Number(value)),
      (value) => `${words[field]}: ${valueText(value)}`,
    );
  }
}

function keepsAll({ keepCount, keepDays }: Partial<SnapshotPlan>): boolean {
  return keepCount === undefined && keepDays === undefined;
}
