/**
 * Fire drills of a cluster: a CronJob for each runs the runtime's `cnpg-drill`, by an account that may make Clusters in the namespace, and read and
 * remove those of its drills and nothing else. Pure.
 */
import { createHash } from "node:crypto";
import { PLACES } from "../../runtime/cnpg/names";
import type { ResourcesSettings } from "../plan/clusterSettings";
import type { DrillPlan } from "../plan/plan";
import { claimNames, configMapName, secretFiles } from "./engines/runtime";
import type { EngineContext } from "./engines/engine";
import { programContainer, PROGRAM_SECURITY, programVolumes } from "./kubernetesContainer";
import { given, MANAGED_BY, type RenderedObject } from "./kubernetesObjects";
import { renderSettingsFile } from "./settingsFile";

/** CloudNativePG takes names of Clusters up to this length. */
const NAME_LENGTH_MAX = 50;
const HASH_DIGITS = 8;
const CPU = "50m";
/** Rows of a dump pass through it one by one. */
const MEMORY = "384Mi";
/** How late a run may begin, for instance after the control plane was down. */
const LATE_SECONDS = 6 * 60 * 60;
/** What a drill takes at most where nothing is said, and beside it to remove what it made. */
const DRILL_MINUTES_MAX = 1440;
const END_SECONDS = 20 * 60;
/** With the Job goes what a drill left that was killed for good. */
const KEPT_SECONDS = 24 * 60 * 60;
/** Killed, or told to end by nobody of ours: another pod begins anew, and removes what is left first. */
const KILLED_CODES = [137, 143];
const SETTINGS_FILE = "pgbackstop.json";
const NOTIFY_FILE = "notify.json";

/** Of the CronJob, and of the throw-away Cluster. */
export function drillName(cluster: string, drill: string): string {
  const name = `${cluster}-drill-${drill}`;
  if (name.length <= NAME_LENGTH_MAX) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH_DIGITS);
  return `${name.slice(0, NAME_LENGTH_MAX - HASH_DIGITS - 1).replace(/-+$/, "")}-${hash}`;
}

/** Nothing where there is no drill, or none that the engine can make; rules refuse those. */
export function renderDrills(context: EngineContext): RenderedObject[] {
  const { plan } = context;
  const drills = plan.drills.filter(({ elsewhere }) => elsewhere !== true).toSorted((left, right) => (left.name < right.name ? -1 : 1));
  if (drills.length === 0 || plan.engine !== "runtime") return [];
  const account = `${plan.cluster}-drill`;
  const metadata = metadataOf(context, account);
  return [
    {
      role: "drill-config",
      manifest: {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...metadata, name: settingsName(context) },
        data: context.isOutline ? {} : { [SETTINGS_FILE]: settingsText(context) },
      },
    },
    { role: "drill-account", manifest: { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: false } },
    {
      role: "drill-role",
      manifest: {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        metadata,
        rules: rulesFor(
          plan.cluster,
          drills.map(({ name }) => drillName(plan.cluster, name)),
        ),
      },
    },
    {
      role: "drill-binding",
      manifest: {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        metadata,
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: account },
        subjects: [{ kind: "ServiceAccount", name: account, namespace: plan.namespace }],
      },
    },
    ...drills.map((drill) => ({
      role: `drill-${drill.name}`,
      manifest: {
        apiVersion: "batch/v1",
        kind: "CronJob",
        metadata: metadataOf(context, drillName(plan.cluster, drill.name)),
        spec: cronJob(context, drill, account),
      },
    })),
  ];
}

/** By name where Kubernetes can say it: neither what is made nor what is listed has one. */
function rulesFor(cluster: string, names: readonly string[]): object[] {
  const clusters = { apiGroups: ["postgresql.cnpg.io"], resources: ["clusters"] };
  return [
    { ...clusters, verbs: ["create"] },
    { ...clusters, resourceNames: [cluster, ...names], verbs: ["get"] },
    { ...clusters, resourceNames: names, verbs: ["delete"] },
    { apiGroups: ["batch"], resources: ["jobs"], resourceNames: names.map((name) => `${name}-1-full-recovery`), verbs: ["get"] },
    { apiGroups: [""], resources: ["secrets"], resourceNames: names.flatMap((name) => [`${name}-superuser`, `${name}-ca`]), verbs: ["get"] },
    { apiGroups: [""], resources: ["events"], verbs: ["list"] },
  ];
}

function metadataOf({ plan }: EngineContext, name: string): RenderedObject["manifest"]["metadata"] {
  return { name, namespace: plan.namespace, labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } };
}

function settingsName({ plan }: EngineContext): string {
  return `${plan.cluster}-drills`;
}

function settingsText({ plan }: EngineContext): string {
  return renderSettingsFile({ ...plan, firstBackup: false, drilled: plan });
}

function cronJob(context: EngineContext, drill: DrillPlan, account: string): object {
  const { plan, runtime } = context;
  const name = drillName(plan.cluster, drill.name);
  const { mounts, volumes } = volumesOf(context, drill);
  const container = {
    ...programContainer({
      name: "drill",
      image: runtime.image,
      args: argsOf(context, drill, name),
      cpu: CPU,
      memory: MEMORY,
      volumeMounts: mounts,
    }),
    env: [
      { name: "PGBACKSTOP_SECRETS", value: PLACES.secrets },
      fieldVariable("JOB_NAME", "metadata.labels['batch.kubernetes.io/job-name']"),
      fieldVariable("JOB_UID", "metadata.labels['batch.kubernetes.io/controller-uid']"),
    ],
  };
  return {
    schedule: drill.cron,
    timeZone: drill.timeZone,
    concurrencyPolicy: "Forbid",
    startingDeadlineSeconds: LATE_SECONDS,
    successfulJobsHistoryLimit: 1,
    failedJobsHistoryLimit: 1,
    jobTemplate: {
      metadata: { labels: MANAGED_BY },
      spec: {
        backoffLimit: 2,
        // A drill that failed has had its turn.
        podFailurePolicy: {
          rules: [
            { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] },
            { action: "FailJob", onExitCodes: { containerName: "drill", operator: "NotIn", values: KILLED_CODES } },
          ],
        },
        activeDeadlineSeconds: (drill.maxMinutes ?? DRILL_MINUTES_MAX) * 60 + END_SECONDS,
        ttlSecondsAfterFinished: KEPT_SECONDS,
        template: {
          metadata: { labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } },
          spec: {
            restartPolicy: "Never",
            serviceAccountName: account,
            automountServiceAccountToken: true,
            enableServiceLinks: false,
            securityContext: PROGRAM_SECURITY,
            containers: [container],
            volumes: programVolumes(runtime.configMap, volumes),
          },
        },
      },
    },
  };
}

function argsOf({ plan, shape }: EngineContext, drill: DrillPlan, name: string): string[] {
  return [
    `--config=${PLACES.config}/pgbackrest.conf`,
    `--settings=${PLACES.drill}/${SETTINGS_FILE}`,
    `--stanza=${plan.stanza}`,
    // Kubernetes puts these in.
    "--kubernetes-host=$(KUBERNETES_SERVICE_HOST)",
    "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)",
    "--drill-job=$(JOB_NAME)",
    "--drill-job-uid=$(JOB_UID)",
    `--drill-cluster=${plan.cluster}`,
    `--drill-secret-path=${PLACES.production}`,
    `--throw-away=${name}`,
    `--name=${drill.name}`,
    ...resourceWords(shape.drills[drill.name]?.resources ?? {}),
    ...(shape.drills[drill.name]?.notifySecret === undefined ? [] : [`--notify-file=${PLACES.notify}/${NOTIFY_FILE}`]),
    `--spool-path=${PLACES.run}/spool`,
    `--lock-path=${PLACES.run}/lock`,
    "--log-level-console=info",
    "--log-level-file=off",
    "cnpg-drill",
  ];
}

function resourceWords({ cpu, cpuLimit, memory, memoryLimit }: ResourcesSettings): string[] {
  const quantities = { "requests.cpu": cpu, "requests.memory": memory, "limits.cpu": cpuLimit, "limits.memory": memoryLimit };
  return Object.entries(quantities).flatMap(([name, quantity]) => (quantity === undefined ? [] : [`--drill-resource=${name}=${quantity}`]));
}

function fieldVariable(name: string, fieldPath: string): object {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

/** Name, where it is mounted, what it is, and whether it is read only. */
type Entry = readonly [name: string, mountPath: string, source: object, readOnly: boolean];

/** Configuration and keys as a sidecar has them; and what production is asked with, where it is there. */
function volumesOf(context: EngineContext, drill: DrillPlan): { readonly mounts: readonly object[]; readonly volumes: readonly object[] } {
  const { plan, secrets, shape } = context;
  const notifySecret = shape.drills[drill.name]?.notifySecret;
  const entries: Entry[] = [
    ["config", PLACES.config, { configMap: { name: configMapName(plan.cluster) } }, true],
    ["drill", PLACES.drill, { configMap: { name: settingsName(context) } }, true],
    ["production", PLACES.production, { projected: { sources: productionSources(plan.cluster, shape.bootstrap.initdb?.ownerSecret) } }, true],
    ...(notifySecret === undefined ? [] : ([["notify", PLACES.notify, { secret: { secretName: notifySecret, optional: true } }, true]] as Entry[])),
    ...plan.repositories.flatMap(({ name }): Entry[] => {
      const sources = secretFiles(secrets[name] ?? {}).map(({ file, key, name: secret }) => ({
        secret: { name: secret, items: [{ key, path: file }], optional: true },
      }));
      return sources.length === 0 ? [] : [[name, `${PLACES.secrets}/${name}`, { projected: { sources } }, true]];
    }),
    ...claimNames(plan).map(
      (claim, index): Entry => [`claim-${index}`, `${PLACES.claims}/${claim}`, { persistentVolumeClaim: { claimName: claim } }, false],
    ),
  ];
  return {
    mounts: entries.map(([name, mountPath, , readOnly]) => given({ name, mountPath, readOnly: readOnly ? true : undefined })),
    volumes: entries.map(([name, , source]) => ({ name, ...source })),
  };
}

/** An application's: production's counts need no more. Of the authority its certificate alone. */
function productionSources(cluster: string, ownerSecret: string | undefined): readonly object[] {
  const item = (key: string): object => ({ key, path: key });
  return [
    { secret: { name: ownerSecret ?? `${cluster}-app`, items: ["username", "password", "dbname"].map(item), optional: true } },
    { secret: { name: `${cluster}-ca`, items: [item("ca.crt")], optional: true } },
  ];
}
