/**
 * The Job for which an update waits: it ends when every repository of a cluster has a full backup, and records in its
 * own annotation what each one holds. It runs as the instances' account, because keys may belong to that account. Pure.
 */
import { createHash } from "node:crypto";
import { PATHS } from "../../../runtime/cnpg/names";
import { jobCommand } from "../../../runtime/cnpg/programStart";
import type { ClusterDefinition } from "../../plan/cluster/clusterPlan";
import { claimNames } from "../engines/runtime";
import type { EngineContext } from "../engines/engine";
import { pinnedProgram, programContainer, PROGRAM_SECURITY, programVolumes } from "./container";
import { repositoryParts } from "./drillCronJob";
import { MANAGED_BY, type RenderedObject } from "./objects";
import { placed } from "./podPlacement";

/** As instances: repositories on volumes belong to it. */
const POSTGRES_USER = 26;
const CPU = "50m";
const MEMORY = "192Mi";
/** For an image that is pulled slowly, before the program's own wait begins. */
const START_SECONDS = 15 * 60;
/** Of the Job, among the objects of its cluster. */
export const FULL_BACKUP_ROLE = "full";
/** Other locations of repositories are another template: the provider then replaces the Job, which runs again. */
const LOCATIONS = "pgbackstop/locations";

/** Limit for the provider, after which the Job itself has ended. */
export function fullBackupLimitMinutes({ firstBackupTimeoutMinutes }: ClusterDefinition): number {
  return firstBackupTimeoutMinutes + START_SECONDS / 60 + 5;
}

/** Right and Job, in this order; empty if updates do not wait. */
export function renderFullBackupJob(context: EngineContext): RenderedObject[] {
  const { cluster, namespace } = context.database;
  if (context.definition.firstBackupTimeoutMinutes === 0) return [];
  const name = `${cluster}-full`;
  const metadata = { name, namespace, labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } };
  const rbac = { apiVersion: "rbac.authorization.k8s.io/v1", metadata };
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name };
  const subjects = [{ kind: "ServiceAccount", name: accountOf(context), namespace }];
  const rules = [{ apiGroups: ["batch"], resources: ["jobs"], resourceNames: [name], verbs: ["patch"] }];
  // A failed one runs again with the next update.
  const annotations = { "pulumi.com/replaceUnready": "true" };
  return [
    { role: "full-role", manifest: { ...rbac, kind: "Role", rules } },
    { role: "full-binding", manifest: { ...rbac, kind: "RoleBinding", roleRef, subjects } },
    {
      role: FULL_BACKUP_ROLE,
      manifest: {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { ...metadata, annotations },
        spec: context.isOutline ? {} : jobSpec(context, metadata.labels),
      },
    },
  ];
}

function jobSpec(context: EngineContext, labels: object): object {
  const { definition, runtime } = context;
  const minutes = definition.firstBackupTimeoutMinutes;
  const { args, volumeMounts, volumes } = repositoryParts(context);
  const program = programContainer({
    name: "full",
    ...runtime,
    args: [
      "--kubernetes-host=$(KUBERNETES_SERVICE_HOST)",
      "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)",
      ...args,
      `--settings=${PATHS.config}/pgbackstop.json`,
      `--spool-path=${PATHS.run}/spool`,
      `--lock-path=${PATHS.run}/lock`,
      "--await-job=$(JOB_NAME)",
      `--await-minutes=${minutes}`,
      "--log-level-console=info",
      "--log-level-file=off",
      "cnpg-await-full",
    ],
    cpu: CPU,
    memory: MEMORY,
    volumeMounts,
  });
  const fieldPath = "metadata.labels['batch.kubernetes.io/job-name']";
  const container = {
    ...program,
    command: jobCommand(pinnedProgram(runtime)),
    env: [
      { name: "PGBACKSTOP_SECRETS", value: PATHS.secrets },
      { name: "JOB_NAME", valueFrom: { fieldRef: { fieldPath } } },
    ],
    // The provider shows the end of the log with the error.
    terminationMessagePolicy: "FallbackToLogsOnError",
  };
  return {
    // A repository that lacks a backup after all that time lacks it in another pod too. The provider recognises this
    // reason for a failure, and not that of a podFailurePolicy.
    backoffLimit: 0,
    podFailurePolicy: { rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] }] },
    activeDeadlineSeconds: minutes * 60 + START_SECONDS,
    template: placed(
      {
        metadata: { labels, annotations: { [LOCATIONS]: locationsOf(context) } },
        spec: {
          restartPolicy: "Never",
          serviceAccountName: accountOf(context),
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          securityContext: {
            ...PROGRAM_SECURITY,
            runAsUser: POSTGRES_USER,
            runAsGroup: POSTGRES_USER,
            fsGroup: POSTGRES_USER,
          },
          ...besideInstance(context),
          containers: [container],
          volumes: programVolumes(runtime, volumes),
        },
      },
      definition.podPlacement,
    ),
  };
}

/** CloudNativePG names the account like the cluster, unless the Cluster names one. */
function accountOf({ database, definition }: EngineContext): string {
  const { spec } = (definition.overrides.cluster ?? {}) as {
    readonly spec?: { readonly serviceAccountName?: unknown };
  };
  return typeof spec?.serviceAccountName === "string" ? spec.serviceAccountName : database.cluster;
}

/** A volume with a repository may be usable on one node only. */
function besideInstance({ database }: EngineContext): object {
  if (claimNames(database).length === 0) return {};
  const term = {
    labelSelector: { matchLabels: { "cnpg.io/cluster": database.cluster } },
    topologyKey: "kubernetes.io/hostname",
  };
  return { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } };
}

/** Digest of what the repositories are. */
function locationsOf({ database }: EngineContext): string {
  const rows = database.repositories.map(({ kind, name, path, s3 }) => [name, kind, path, s3?.endpoint, s3?.bucket]);
  return createHash("sha256")
    .update(JSON.stringify([database.stanza, rows]))
    .digest("hex");
}
