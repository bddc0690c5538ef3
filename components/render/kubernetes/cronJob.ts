/**
 * Common parts of a cluster's scheduled Jobs: their own account, the packed program, one run at a time, and
 * notification. Pure.
 */
import { API_SERVER_OPTIONS, PATHS } from "../../../runtime/cnpg/names";
import { isHibernated } from "../../plan/cluster/clusterPlan";
import { fields, isGiven, list, merged } from "../../plan/model/deferred";
import type { EngineContext } from "../engines/engine";
import { programContainer, type ProgramContainer, PROGRAM_SECURITY, programVolumes } from "./container";
import { MANAGED_BY, type Metadata, metadataOf, object, type RenderedObject } from "./objects";
import { toCronJobFields } from "./sixFields";
import { placed } from "./podPlacement";

/** Allowed delay of a run, for instance after a control plane outage. */
const DELAY_SECONDS = 6 * 60 * 60;
const NOTIFY_FILE = "notify.json";

export interface JobRun {
  /** Name of the Job, or of its CronJob. */
  readonly name: string;
  /** ServiceAccount in the namespace; if omitted, the Job does not call Kubernetes. */
  readonly account?: string;
  /** A longer run is stopped. */
  readonly deadlineSeconds: number;
  readonly container: Omit<ProgramContainer, "image" | "configMap" | "args">;
  /** Options of the program. */
  readonly options: readonly (() => string)[];
  readonly verb: string;
  readonly env?: readonly object[];
  readonly volumes?: readonly object[];
  /** More fields of the Job. */
  readonly job?: object;
}

export interface ScheduledJob extends JobRun {
  /** True for a job that has nothing to do while the cluster is hibernated. */
  readonly restsAsleep?: true;
  /** Five fields. */
  readonly cron: string;
  readonly timeZone: string;
}

/** @param role of the CronJob among the objects of its cluster */
export function renderCronJob(context: EngineContext, role: string, scheduled: ScheduledJob): RenderedObject {
  const name = (): string => scheduled.name;
  const metadata = metadataOf(context.database, name, name);
  return object(role, ["batch/v1", "CronJob"], metadata, {
    spec: () =>
      fields({
        schedule: () => toCronJobFields(scheduled.cron),
        timeZone: () => scheduled.timeZone,
        suspend: () => (scheduled.restsAsleep === true && isHibernated(context.definition) ? true : undefined),
        concurrencyPolicy: () => "Forbid",
        startingDeadlineSeconds: () => DELAY_SECONDS,
        successfulJobsHistoryLimit: () => 1,
        failedJobsHistoryLimit: () => 1,
        jobTemplate: () => ({ metadata: { labels: MANAGED_BY }, spec: renderJobSpec(context, scheduled) }),
      }),
  });
}

/** Spec of one run. */
export function renderJobSpec(context: EngineContext, run: JobRun): object {
  const name = (): string => run.name;
  const metadata = metadataOf(context.database, name, name);
  const template = (): object =>
    placed(
      { metadata: fields({ labels: () => metadata.labels ?? {} }), spec: podSpec(context, run) },
      context.definition.podPlacement,
    );
  return merged(
    { backoffLimit: 2 },
    run.job ?? {},
    fields({ activeDeadlineSeconds: () => run.deadlineSeconds, template }),
  );
}

function podSpec({ definition, runtime }: EngineContext, run: JobRun): object {
  const hasAccount = isGiven(() => run.account);
  const notifies = isGiven(() => definition.notifySecret);
  const args = (): readonly string[] =>
    list(
      ...texts(...(hasAccount ? API_SERVER_OPTIONS : [])),
      ...run.options,
      ...(notifies ? [() => `--notify-file=${PATHS.notify}/${NOTIFY_FILE}`, () => `--unit=${run.name}`] : []),
      ...texts("--log-level-console=info", "--log-level-file=off", run.verb),
    );
  const mounts = notifies ? [{ name: "notify", mountPath: PATHS.notify, readOnly: true }] : [];
  // Without the Secret a run continues and nobody is notified.
  const secret = fields({ secretName: () => definition.notifySecret, optional: () => true });
  const container = merged(
    run.container,
    runtime,
    fields({ args, volumeMounts: () => [...(run.container.volumeMounts ?? []), ...mounts] }),
  );
  return merged(
    { restartPolicy: "Never" },
    hasAccount ? fields({ serviceAccountName: () => run.account }) : {},
    {
      automountServiceAccountToken: hasAccount,
      enableServiceLinks: false,
      securityContext: PROGRAM_SECURITY,
      containers: [merged(programContainer(container), { env: [...(run.env ?? []), ...identity()] })],
    },
    fields({
      volumes: () =>
        programVolumes(runtime, [...(run.volumes ?? []), ...(notifies ? [{ name: "notify", secret }] : [])]),
    }),
  );
}

/** Killed or terminated from outside: another pod starts over, and removes the remains first. */
const KILLED_CODES = [137, 143];
/** Removing the Job also removes the remains of a run that was killed for good. */
const KEPT_SECONDS = 24 * 60 * 60;

/** Fields of a Job whose failed run is not repeated. @param containerName of the program */
export function notRepeated(containerName: string): object {
  return {
    podFailurePolicy: {
      rules: [
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] },
        { action: "FailJob", onExitCodes: { containerName, operator: "NotIn", values: KILLED_CODES } },
      ],
    },
    ttlSecondsAfterFinished: KEPT_SECONDS,
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

/** Texts that are known, among others for {@link list}. */
export function texts(...known: readonly string[]): (() => string)[] {
  return known.map((text) => () => text);
}

/** ServiceAccount, Role and RoleBinding of one name. @param role prefix of their roles */
export function renderAccount(
  { database }: EngineContext,
  role: string,
  name: () => string,
  rules: () => readonly object[],
): RenderedObject[] {
  const metadata = metadataOf(database, name, name);
  return [
    object(`${role}-account`, ["v1", "ServiceAccount"], metadata, { automountServiceAccountToken: () => false }),
    ...renderRole(database, role, metadata, rules, name),
  ];
}

/** The rule of a Role that reads and changes one object. */
export function patchRule(group: string, resource: string, name: () => string): object {
  return fields({
    apiGroups: () => [group],
    resources: () => [resource],
    resourceNames: () => [name()],
    verbs: () => ["get", "patch"],
  });
}

/** Role and RoleBinding of one name, for an account of the namespace. */
export function renderRole(
  database: EngineContext["database"],
  role: string,
  metadata: Metadata,
  rules: () => readonly object[],
  account: () => string,
): RenderedObject[] {
  const group = "rbac.authorization.k8s.io";
  return [
    object(`${role}-role`, [`${group}/v1`, "Role"], metadata, { rules }),
    object(`${role}-binding`, [`${group}/v1`, "RoleBinding"], metadata, {
      roleRef: () => fields({ apiGroup: () => group, kind: () => "Role", name: () => metadata.name }),
      subjects: () => [fields({ kind: () => "ServiceAccount", name: account, namespace: () => database.namespace })],
    }),
  ];
}
