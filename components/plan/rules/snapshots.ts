/** Snapshots of the file system beside backups: quick to go back to, and dangerous for the archive. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { HostPlan } from "../model/plan";

/**
 * After a rollback PostgreSQL goes on at an older place of the same timeline and writes segments with names that the archive already has,
 * with other content. The archive refuses them (error 45), WAL piles up, and the history after the snapshot cannot be told apart.
 */
export function checkSnapshots({ snapshots }: HostPlan): Finding[] {
  if (!snapshots.includes("zfs")) return [];
  const fact =
    "a rollback to a snapshot makes PostgreSQL write the same WAL names on the same timeline again: the archive refuses them with error 45, and archiving stalls until the disk is full";
  const hint =
    "never start the server right after a rollback: let it recover first (recovery.signal with restore_command, recovery_target = 'immediate', action promote), which begins a new timeline, then take a full backup";
  return [finding("PB062", "snapshots.zfs", fact, hint)];
}
