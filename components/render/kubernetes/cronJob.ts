/**
 * Common parts of a cluster's scheduled Jobs: their own account, the packed program, one run at a time, and
 * notification. Pure.
 */
import { PATHS } from "../../../runtime/cnpg/names";
import type { EngineContext } from "../engines/engine";
import { programContainer, type ProgramContainer, PROGRAM_SECURITY, programVolumes } from "./container";
import { MANAGED_BY, type RenderedObject } from "./objects";
import { placed } from "./podPlacement";

/** Allowed delay of a run, for instance after a control plane outage. */
const DELAY_SECONDS = 6 * 60 * 60;
const NOTIFY_FILE = "notify.json";

export interface ScheduledJob {
  readonly name: string;
  /** ServiceAccount in the namespace; if omitted, the Job does not call Kubernetes. */
  readonly account?: string;
  /** Five fields. */
  readonly cron: string;
  readonly timeZone: string;
  /** A longer run is stopped. */
  readonly deadlineSeconds: number;
  readonly container: Omit<ProgramContainer, "image" | "configMap" | "args">;
  /** Options of the program. */
  readonly options: readonly string[];
  readonly verb: string;
  readonly env?: readonly object[];
  readonly volumes?: readonly object[];
  /** More fields of the Job. */
  readonly job?: object;
}

/** @param role of the CronJob among the objects of its cluster */
export function renderCronJob(context: EngineContext, role: string, scheduled: ScheduledJob): RenderedObject {
  const { namespace } = context.database;
  const { cron, deadlineSeconds, job = {}, name, timeZone } = scheduled;
  const labels = { ...MANAGED_BY, "app.kubernetes.io/name": name };
  const spec = {
    schedule: cron,
    timeZone,
    concurrencyPolicy: "Forbid",
    startingDeadlineSeconds: DELAY_SECONDS,
    successfulJobsHistoryLimit: 1,
    failedJobsHistoryLimit: 1,
    jobTemplate: {
      metadata: { labels: MANAGED_BY },
      spec: {
        backoffLimit: 2,
        ...job,
        activeDeadlineSeconds: deadlineSeconds,
        template: placed({ metadata: { labels }, spec: podSpec(context, scheduled) }, context.definition.podPlacement),
      },
    },
  };
  return {
    role,
    manifest: { apiVersion: "batch/v1", kind: "CronJob", metadata: { name, namespace, labels }, spec },
  };
}

function podSpec({ definition, runtime }: EngineContext, scheduled: ScheduledJob): object {
  const { account, container, env = [], name, options, verb, volumes = [] } = scheduled;
  const notification = notificationParts(definition.notifySecret, name);
  const program = programContainer({
    ...container,
    ...runtime,
    args: [
      // Kubernetes sets the address, which works without DNS.
      ...(account === undefined
        ? []
        : ["--kubernetes-host=$(KUBERNETES_SERVICE_HOST)", "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)"]),
      ...options,
      ...notification.options,
      "--log-level-console=info",
      "--log-level-file=off",
      verb,
    ],
    volumeMounts: [...(container.volumeMounts ?? []), ...notification.volumeMounts],
  });
  return {
    restartPolicy: "Never",
    ...(account === undefined ? {} : { serviceAccountName: account }),
    automountServiceAccountToken: account !== undefined,
    enableServiceLinks: false,
    securityContext: PROGRAM_SECURITY,
    containers: [{ ...program, env: [...env, ...identity()] }],
    volumes: programVolumes(runtime, [...volumes, ...notification.volumes]),
  };
}

interface NotificationParts {
  readonly options: readonly string[];
  readonly volumeMounts: readonly object[];
  readonly volumes: readonly object[];
}

/** What a run needs to notify about its end. @param unit names it in the notification */
function notificationParts(secretName: string | undefined, unit: string): NotificationParts {
  if (secretName === undefined) return { options: [], volumeMounts: [], volumes: [] };
  return {
    options: [`--notify-file=${PATHS.notify}/${NOTIFY_FILE}`, `--unit=${unit}`],
    volumeMounts: [{ name: "notify", mountPath: PATHS.notify, readOnly: true }],
    // Without the Secret a run continues and nobody is notified.
    volumes: [{ name: "notify", secret: { secretName, optional: true } }],
  };
}

/** Identifies a pod's Job, for its objects and notifications. */
function identity(): object[] {
  const field = (name: string, fieldPath: string): object => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return [
    field("JOB_NAME", "metadata.labels['batch.kubernetes.io/job-name']"),
    field("JOB_UID", "metadata.labels['batch.kubernetes.io/controller-uid']"),
    field("JOB_NAMESPACE", "metadata.namespace"),
  ];
}

/** ServiceAccount, Role and RoleBinding of one name. @param role prefix of their roles */
export function renderAccount(
  { database }: EngineContext,
  role: string,
  name: string,
  rules: readonly object[],
): RenderedObject[] {
  const { namespace } = database;
  const metadata = { name, namespace, labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } };
  const rbac = { apiVersion: "rbac.authorization.k8s.io/v1", metadata };
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name };
  return [
    {
      role: `${role}-account`,
      manifest: { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: false },
    },
    { role: `${role}-role`, manifest: { ...rbac, kind: "Role", rules } },
    {
      role: `${role}-binding`,
      manifest: { ...rbac, kind: "RoleBinding", roleRef, subjects: [{ kind: "ServiceAccount", name, namespace }] },
    },
  ];
}
