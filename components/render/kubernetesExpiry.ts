/**
 * What removes old volume snapshots of a cluster: once a day the runtime's `cnpg-expire`, by an account that may list and delete Backups and
 * VolumeSnapshots of the namespace and nothing else. CloudNativePG itself keeps every snapshot. Pure.
 */
import type { SnapshotSettings } from "../plan/clusterSettings";
import { expiresSnapshots, snapshotScheduleNames } from "../plan/snapshotRetention";
import type { EngineContext } from "./engines/engine";
import { programContainer, PROGRAM_SECURITY, programVolumes } from "./kubernetesContainer";
import { MANAGED_BY, type RenderedObject } from "./kubernetesObjects";

/** Names of the CronJob, its account, its Role: at most 52 characters for a CronJob, which names of clusters with snapshots leave. */
export function expiryName(cluster: string): string {
  return `${cluster}-expire`;
}

const HOUR = 4;
/** How late a run may begin, for instance after the control plane was down. */
const LATE_SECONDS = 6 * 60 * 60;
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
  const metadata = { name, namespace: plan.namespace, labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } };
  const rights = (group: string, resource: string): object => ({ apiGroups: [group], resources: [resource], verbs: ["list", "delete"] });
  return [
    { role: "expiry-account", manifest: { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: false } },
    {
      role: "expiry-role",
      manifest: {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        metadata,
        rules: [rights("postgresql.cnpg.io", "backups"), rights("snapshot.storage.k8s.io", "volumesnapshots")],
      },
    },
    {
      role: "expiry-binding",
      manifest: {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        metadata,
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
        subjects: [{ kind: "ServiceAccount", name, namespace: plan.namespace }],
      },
    },
    { role: "expiry", manifest: { apiVersion: "batch/v1", kind: "CronJob", metadata, spec: cronJob(context, snapshots) } },
  ];
}

function cronJob({ plan, runtime }: EngineContext, snapshots: SnapshotSettings): object {
  const name = expiryName(plan.cluster);
  const container = programContainer({
    name: "expire",
    image: runtime.image,
    args: [
      // Kubernetes puts the address in, which is there without any DNS.
      "--kubernetes-host=$(KUBERNETES_SERVICE_HOST)",
      "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)",
      `--snapshot-cluster=${plan.cluster}`,
      ...snapshotScheduleNames(plan, snapshots).map((schedule) => `--snapshot-schedule=${schedule}`),
      ...(snapshots.keepDays === undefined ? [] : [`--snapshot-keep-days=${snapshots.keepDays}`]),
      ...(snapshots.keepCount === undefined ? [] : [`--snapshot-keep-count=${snapshots.keepCount}`]),
      "--log-level-console=info",
      "--log-level-file=off",
      "cnpg-expire",
    ],
    cpu: CPU,
    memory: MEMORY,
  });
  return {
    schedule: `${minuteOf(plan.cluster)} ${HOUR} * * *`,
    timeZone: "Etc/UTC",
    concurrencyPolicy: "Forbid",
    startingDeadlineSeconds: LATE_SECONDS,
    successfulJobsHistoryLimit: 1,
    failedJobsHistoryLimit: 1,
    jobTemplate: {
      metadata: { labels: MANAGED_BY },
      spec: {
        backoffLimit: 2,
        activeDeadlineSeconds: RUN_SECONDS,
        template: {
          metadata: { labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } },
          spec: {
            restartPolicy: "Never",
            serviceAccountName: name,
            automountServiceAccountToken: true,
            enableServiceLinks: false,
            securityContext: PROGRAM_SECURITY,
            containers: [container],
            volumes: programVolumes(runtime.configMap),
          },
        },
      },
    },
  };
}

/** The same for a cluster at all times, and another one for another: a hundred of them do not begin in one minute. */
function minuteOf(cluster: string): number {
  return [...cluster].reduce((sum, letter) => sum * 31 + (letter.codePointAt(0) ?? 0), 0) % 60;
}
