/**
 * Removes a cluster's old volume snapshots: the runtime's `cnpg-expire` runs once a day, with an account that may only
 * list and delete Backups and VolumeSnapshots of the namespace. CloudNativePG itself keeps every snapshot. Pure.
 */
import { expiresSnapshots, expiryName, snapshotSchedules } from "../../plan/cluster/snapshotPlan";
import { nightTime } from "../../plan/schedule/defaultBackups";
import type { EngineContext } from "../engines/engine";
import { fields } from "../../plan/model/deferred";
import { renderAccount, renderCronJob, type ScheduledJob } from "./cronJob";
import type { RenderedObject } from "./objects";

/** A run takes seconds; one that hangs must not block the next. */
const RUN_SECONDS = 15 * 60;
const MEMORY = "192Mi";
const CPU = "50m";

/** Empty without a retention of snapshots, or without snapshots. */
export function renderExpiry(context: EngineContext): RenderedObject[] {
  const { database, definition } = context;
  const { snapshots } = definition;
  if (snapshots === undefined || !expiresSnapshots(database, snapshots)) return [];
  const name = (): string => expiryName(database.cluster);
  const rights = (group: string, resource: string): object => ({
    apiGroups: [group],
    resources: [resource],
    verbs: ["list", "delete"],
  });
  const rules = [rights("postgresql.cnpg.io", "backups"), rights("snapshot.storage.k8s.io", "volumesnapshots")];
  const scheduled = fields<ScheduledJob>({
    name,
    account: name,
    cron: () => {
      const { hour, minute } = nightTime(database.cluster);
      return `${minute} ${hour} * * *`;
    },
    timeZone: () => "Etc/UTC",
    deadlineSeconds: () => RUN_SECONDS,
    container: () => ({ name: "expire", cpu: CPU, memory: MEMORY }),
    options: () => [
      () => `--snapshot-cluster=${database.cluster}`,
      ...snapshotSchedules(database, snapshots).map((each) => () => `--snapshot-schedule=${database.cluster}-${each}`),
      ...(snapshots.keepDays === undefined ? [] : [() => `--snapshot-keep-days=${snapshots.keepDays}`]),
      ...(snapshots.keepCount === undefined ? [] : [() => `--snapshot-keep-count=${snapshots.keepCount}`]),
    ],
    verb: () => "cnpg-expire",
  });
  return [...renderAccount(context, "expiry", name, () => rules), renderCronJob(context, "expiry", scheduled)];
}
