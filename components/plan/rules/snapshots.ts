/** File system snapshots next to backups: quick to roll back, but dangerous for the archive. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { HostPlan } from "../model/plan";

/**
 * After a rollback PostgreSQL continues at an older position of the same timeline. It writes segments whose names the
 * archive already has, with other content. The archive refuses them (error 45), and WAL piles up.
 */
export function checkSnapshots({ snapshots }: HostPlan): Finding[] {
  if (!snapshots.includes("zfs")) return [];
  const fact =
    "after a rollback to a snapshot PostgreSQL reuses WAL names of the same timeline: the archive refuses them with error 45, and archiving stalls until the disk is full";
  const hint =
    "return to one by pgbackstop rollback, which keeps archiving alive (docs/hosts/recover.md#snapshots-of-zfs), never by zfs rollback alone; then silence this";
  return [finding("PB062", "snapshots.zfs", fact, hint)];
}
