/** Changes in a cluster's volume snapshots: whether and how often they are taken, and their retention. Pure. */
import { textRunsPerDay } from "../schedule/schedule";
import type { SnapshotPlan } from "../cluster/snapshotPlan";
import { type Collector, type Value, valueText } from "./change";

type Snapshots = Partial<SnapshotPlan> | undefined;

export function diffSnapshots(to: Collector, old: Snapshots, now: Snapshots): void {
  if (old === undefined || now === undefined) {
    if (now !== undefined) to.add("snapshots", null, "taken", "strengthened", "volume snapshots are taken");
    if (old !== undefined) to.add("snapshots", "taken", null, "weakened", "volume snapshots are no longer taken");
    return;
  }
  const rate = (cron: string | null): number => (cron === null ? 0 : textRunsPerDay(cron));
  to.rank(
    "snapshots.cron",
    old.cron ?? null,
    now.cron ?? null,
    rate,
    (cron) => `snapshots are taken: ${valueText(cron)}`,
  );
  to.plain(
    "snapshots.online",
    old.online ?? true,
    now.online ?? true,
    (value) => `snapshots are ${value === true ? "hot" : "cold"}`,
  );
  const survives = (owner: Value): number => (owner === null ? 1 : 0);
  to.rank("snapshots.ownerReference", old.ownerReference ?? null, now.ownerReference ?? null, survives, (owner) =>
    owner === null
      ? "snapshots outlive the Cluster"
      : `snapshots are removed with the ${owner === "cluster" ? "Cluster" : valueText(owner)}`,
  );
  const texts = {
    keepDays: "days that every snapshot is kept",
    keepCount: "snapshots that are kept at any age",
  } as const;
  for (const field of ["keepDays", "keepCount"] as const) {
    const [was, is] = [old[field] ?? null, now[field] ?? null];
    // If both are omitted there is no limit; if only one is, it counts as zero.
    const without = keepsAll(was === null ? old : now) ? Number.POSITIVE_INFINITY : field === "keepDays" ? 0 : 1;
    to.rank(
      `snapshots.${field}`,
      was,
      is,
      (value: Value) => (value === null ? without : Number(value)),
      (value) => `${texts[field]}: ${valueText(value)}`,
    );
  }
}

function keepsAll({ keepCount, keepDays }: Partial<SnapshotPlan>): boolean {
  return keepCount === undefined && keepDays === undefined;
}
