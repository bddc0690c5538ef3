/**
 * What removes old volume snapshots of a cluster: once a day the runtime's `cnpg-expire`, by an account that may list and delete Backups and
 * VolumeSnapshots of the namespace and nothing else. CloudNativePG itself keeps every snapshot. Pure.
 */
import { expiresSnapshots, snapshotScheduleNames } from "../../plan/cluster/snapshotPlan";
import type { EngineContext } from "../engines/engine";
import { renderAccount, renderCronJob } from "./cronJob";
import type { RenderedObject } from "./objects";

/** Names of the CronJob, its account, its Role: at most 52 characters for a CronJob, which names of clusters with snapshots leave. */
export function expiryName(cluster: string): string {
  return `${cluster}-expire`;
}

const HOUR = 4;
/** A run takes seconds; one that hangs must not keep the next one from beginning. */
const RUN_SECONDS = 15 * 60;
const MEMORY = "192Mi";
const CPU = "50m";

/** Nothing where snapshots have no retention, or nobody takes any. */
export function renderExpiry(context: EngineContext): RenderedObject[] {
  const { plan, shape } = context;
  const { snapshots } = shape;
  if (snapshots === undefined || !expiresSnapshots(plan, snapshots)) return [];
  const name = expiryName(plan.cluster);
  const rights = (group: string, resource: string): object => ({ apiGroups: [group], resources: [resource], verbs: ["list", "delete"] });
  return [
    ...renderAccount(context, "expiry", name, [rights("postgresql.cnpg.io", "backups"), rights("snapshot.storage.k8s.io", "volumesnapshots")]),
    renderCronJob(context, "expiry", {
      name,
      account: name,
      cron: `${minuteOf(plan.cluster)} ${HOUR} * * *`,
      timeZone: "Etc/UTC",
      deadlineSeconds: RUN_SECONDS,
      container: { name: "expire", cpu: CPU, memory: MEMORY },
      options: [
        `--snapshot-cluster=${plan.cluster}`,
        ...snapshotScheduleNames(plan, snapshots).map((schedule) => `--snapshot-schedule=${schedule}`),
        ...(snapshots.keepDays === undefined ? [] : [`--snapshot-keep-days=${snapshots.keepDays}`]),
        ...(snapshots.keepCount === undefined ? [] : [`--snapshot-keep-count=${snapshots.keepCount}`]),
      ],
      verb: "cnpg-expire",
    }),
  ];
}

/** The same for a cluster at all times, and another one for another: a hundred of them do not begin in one minute. */
function minuteOf(cluster: string): number {
  return [...cluster].reduce((sum, letter) => sum * 31 + (letter.codePointAt(0) ?? 0), 0) % 60;
}
