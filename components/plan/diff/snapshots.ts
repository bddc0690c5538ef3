/** Changes in a cluster's volume snapshots: whether and how often they are taken, and their retention. Pure. */
import { textRunsPerDay } from "../schedule/schedule";
import type { SnapshotPlan } from "../cluster/snapshotPlan";
import { type Collector, section, type Value, valueText } from "./change";

type Snapshots = Partial<SnapshotPlan> | undefined;

export function diffSnapshots(to: Collector, old: Snapshots, now: Snapshots): void {
  if (old === undefined || now === undefined) {
    if (now !== undefined) to.add("snapshots", null, "taken", "strengthened", "volume snapshots are taken");
    if (old !== undefined) to.add("snapshots", "taken", null, "weakened", "volume snapshots are no longer taken");
    return;
  }
  const snapshots = section(to, "snapshots", old, now);
  const rate = (cron: Value): number => (cron === null ? 0 : textRunsPerDay(String(cron)));
  snapshots.rank("cron", rate, (cron) => `snapshots are taken: ${valueText(cron)}`);
  to.plain(
    "snapshots.online",
    old.online ?? true,
    now.online ?? true,
    (value) => `snapshots are ${value === true ? "hot" : "cold"}`,
  );
  const survives = (owner: Value): number => (owner === null ? 1 : 0);
  snapshots.rank("ownerReference", survives, (owner) =>
    owner === null
      ? "snapshots outlive the Cluster"
      : `snapshots are removed with the ${owner === "cluster" ? "Cluster" : valueText(owner)}`,
  );
  const texts = {
    keepDays: "days that every snapshot is kept",
    keepCount: "snapshots that are kept at any age",
  } as const;
  for (const field of ["keepDays", "keepCount"] as const) {
    const lacking = old[field] === undefined ? old : now;
    // If both are omitted there is no limit; if only one is, it counts as zero.
    const without = keepsAll(lacking) ? Number.POSITIVE_INFINITY : field === "keepDays" ? 0 : 1;
    const amount = (value: Value): number => (value === null ? without : Number(value));
    snapshots.rank(field, amount, (value) => `${texts[field]}: ${valueText(value)}`);
  }
}

function keepsAll({ keepCount, keepDays }: Partial<SnapshotPlan>): boolean {
  return keepCount === undefined && keepDays === undefined;
}
