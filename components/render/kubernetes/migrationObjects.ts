/**
 * Objects of a migration in Kubernetes: inputs, records and reports of its Jobs, rights to the named objects only, and
 * a Job for each step. Pure.
 *
 * A Job of `pgbackstop migrate` needs both Node.js and pg_dump. The image of the target's PostgreSQL has pg_dump, and
 * the program comes as a ConfigMap. An init container of Node.js's own image copies `node` next to it; copying pg_dump
 * instead would need its libraries too.
 */
import { API_SERVER_OPTIONS, PATHS } from "../../../runtime/cnpg/names";
import type { MigrationStep, SecretSettings, WorkloadSettings } from "../../plan/migration/migrationSteps";
import { unpackCommand } from "../../../runtime/cnpg/programStart";
import type { DeployedRuntime } from "../engines/engine";
import { pinnedProgram, PROGRAM_SECURITY, programContainer, programVolumes } from "./container";
import type { PodPlacement } from "../../plan/cluster/declaredCluster";
import { given } from "../../plan/model/given";
import { placed } from "./podPlacement";
import { MANAGED_BY, type Manifest, type RenderedObject } from "./objects";

/** PostgreSQL's account in CloudNativePG's images: its programs require an account with a name. */
const POSTGRES_USER = 26;
const CPU = "50m";
const MEMORY = "384Mi";
/** Dumps pass through it; each copy has its own pg_dump and psql. */
const COPY_MEMORY = "1Gi";
const STEPS_FILE = "steps.json";
const SCALED_KINDS = { Deployment: "deployments", StatefulSet: "statefulsets" } as const;
const VERBS = {
  "stop-workloads": "stop",
  "start-workloads": "start",
  "repoint-secrets": "repoint",
  "restore-secrets": "restore",
} as const;

/** Objects that exist, or come with the component. */
export interface MigrationObjects {
  /** Prefix of all names. */
  readonly name: string;
  /** Namespace of the Jobs. */
  readonly namespace: string;
  readonly workloads: readonly WorkloadSettings[];
  readonly secrets: readonly SecretSettings[];
  /** The program. */
  readonly runtime: DeployedRuntime;
  /** With pg_dump and psql, of the target's version or a newer one. */
  readonly postgresImage: string;
  /** Sources of a projected volume: passwords and certificates under the names in the arguments. */
  readonly serverSources: readonly object[];
  readonly placement?: PodPlacement;
}

/** The target's repositories, for `finish`. */
export interface RepositoryVolumes {
  readonly args: readonly string[];
  readonly volumeMounts: readonly object[];
  readonly volumes: readonly object[];
}

/** Name of the file in the Secret of new values, and in the Jobs' directory. */
export function valueFile(secretIndex: number, key: string): string {
  return `${secretIndex}-${key}`;
}

export function objectNames(name: string): {
  readonly record: string;
  readonly report: string;
  readonly servers: string;
  readonly steps: string;
  readonly values: string;
  readonly args: string;
} {
  return {
    record: `${name}-record`,
    report: `${name}-report`,
    servers: `${name}-servers`,
    steps: `${name}-steps`,
    values: `${name}-values`,
    args: `${name}-words`,
  };
}

/** Everything but Jobs and objects with secrets: once, in order. @param verbs of `pgbackstop migrate` that Jobs run */
export function renderMigrationObjects(objects: MigrationObjects, verbs: readonly string[]): RenderedObject[] {
  const names = objectNames(objects.name);
  const object = (role: string, kind: string, name: string, fields: object): RenderedObject => ({
    role,
    manifest: { apiVersion: "v1", kind, metadata: metadataOf(objects, name), ...fields },
  });
  return [
    object("steps", "ConfigMap", names.steps, { data: { [STEPS_FILE]: stepsText(objects) } }),
    object("record", "Secret", names.record, {}),
    ...verbs.map((verb) => object(`report-${verb}`, "ConfigMap", `${names.report}-${verb}`, {})),
    object("account", "ServiceAccount", objects.name, { automountServiceAccountToken: false }),
    ...namespacesOf(objects).flatMap((namespace) => rights(objects, namespace, verbs)),
  ];
}

/** A Job that changes workloads or Secrets. */
export function renderChangeJob(objects: MigrationObjects, { action, role }: MigrationStep): Manifest {
  const isAgain = role.endsWith("-again");
  const argument = isAgain ? "resume" : VERBS[action as keyof typeof VERBS];
  const isRepoint = action === "repoint-secrets";
  const values = { name: "values", secret: { secretName: objectNames(objects.name).values } };
  const container = programContainer({
    name: "step",
    ...objects.runtime,
    args: [...changeArgs(), argument],
    cpu: CPU,
    memory: MEMORY,
    volumeMounts: [stepsMount(), ...(isRepoint ? [{ name: "values", mountPath: PATHS.values, readOnly: true }] : [])],
  });
  return job(objects, role, { containers: [container] }, [stepsVolume(objects), ...(isRepoint ? [values] : [])]);
}

/** Arguments of one step, as its Job reads them; none contains a newline. */
export function argsText(args: readonly string[]): string {
  return args.map((argument) => `${argument}\n`).join("");
}

/**
 * A Job of `pgbackstop migrate`: runs the step in the image with pg_dump, then transfers its report and exit code to
 * the stack. Its arguments are in a ConfigMap: a Job that is recreated after a failure uses the current ones.
 */
export function renderMigrateJob(
  objects: MigrationObjects,
  { role, verb = "plan" }: MigrationStep,
  repositories: RepositoryVolumes | null,
): Manifest {
  const base = { cpu: CPU, memory: MEMORY };
  const step = programContainer({
    ...base,
    memory: COPY_MEMORY,
    name: "migrate",
    ...objects.runtime,
    image: objects.postgresImage,
    args: [
      `--lock-path=${PATHS.run}/lock`,
      `--spool-path=${PATHS.run}/spool`,
      "--log-level-file=off",
      ...(repositories?.args ?? []),
    ],
    volumeMounts: [
      { name: "words", mountPath: PATHS.args, readOnly: true },
      { name: "servers", mountPath: PATHS.servers, readOnly: true },
      ...(repositories?.volumeMounts ?? []),
    ],
  });
  const report = programContainer({
    ...base,
    name: "report",
    ...objects.runtime,
    args: [...changeArgs(), "report", verb],
    volumeMounts: [stepsMount()],
  });
  const node = programContainer({ ...base, name: "node", ...objects.runtime, args: [] });
  return job(
    objects,
    role,
    {
      initContainers: [
        { ...node, command: unpackCommand(pinnedProgram(objects.runtime)) },
        {
          ...step,
          command: ["/bin/sh", "-c", MIGRATE, "sh", `${PATHS.args}/${verb}`],
          // Keys of repositories are files there, as alongside an instance.
          ...(repositories === null ? {} : { env: [{ name: "PGBACKSTOP_SECRETS", value: PATHS.secrets }] }),
        },
      ],
      containers: [report],
    },
    [
      stepsVolume(objects),
      { name: "words", configMap: { name: objectNames(objects.name).args } },
      { name: "servers", projected: { defaultMode: 0o440, sources: objects.serverSources } },
      ...(repositories?.volumes ?? []),
    ],
  );
}

/**
 * The next container reports its result, and would not run after a failure, so this one never fails. It uses the newest
 * programs of the image. As a container's first process, a shell passes no signal on. A copy that is terminated must
 * receive it, to make the source writable again.
 */
const MIGRATE = `set -u
words=$1
shift
while IFS= read -r word; do set -- "$@" "$word"; done < "$words"
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
code=0
${PATHS.run}/node ${PATHS.run}/runtime.cjs --bin-path="$bin" "$@" > ${PATHS.run}/report.json &
pid=$!
trap 'kill -TERM "$pid"' TERM
wait "$pid" || code=$?
while kill -0 "$pid" 2>/dev/null; do
  code=0
  wait "$pid" || code=$?
done
echo "$code" > ${PATHS.run}/code`;

function changeArgs(): string[] {
  return [
    ...API_SERVER_OPTIONS,
    `--migration-file=${PATHS.migration}/${STEPS_FILE}`,
    `--lock-path=${PATHS.run}/lock`,
    "--log-level-console=info",
    "--log-level-file=off",
    "cnpg-migrate",
  ];
}

function stepsMount(): object {
  return { name: "steps", mountPath: PATHS.migration, readOnly: true };
}

function stepsVolume({ name }: MigrationObjects): object {
  return { name: "steps", configMap: { name: objectNames(name).steps } };
}

/**
 * It stays after its end: the next update would otherwise create and run it again. The next update replaces a failed
 * one.
 */
function job(objects: MigrationObjects, role: string, containers: object, volumes: readonly object[]): Manifest {
  const { metadata, ...rest } = { metadata: metadataOf(objects, `${objects.name}-${role}`) };
  const security = { ...PROGRAM_SECURITY, runAsUser: POSTGRES_USER, runAsGroup: POSTGRES_USER, fsGroup: POSTGRES_USER };
  return {
    ...rest,
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { ...metadata, annotations: { "pulumi.com/replaceUnready": "true" } },
    spec: {
      backoffLimit: 0,
      template: placed(
        {
          metadata: { labels: { ...MANAGED_BY, "app.kubernetes.io/name": objects.name } },
          spec: {
            restartPolicy: "Never",
            serviceAccountName: objects.name,
            automountServiceAccountToken: true,
            enableServiceLinks: false,
            securityContext: security,
            ...containers,
            volumes: programVolumes(objects.runtime, volumes),
          },
        },
        objects.placement,
      ),
    },
  };
}

function stepsText({ name, secrets, workloads }: MigrationObjects): string {
  const { record, report } = objectNames(name);
  return JSON.stringify({
    version: 1,
    record,
    report,
    workloads: workloads.map(({ kind, name: workload, namespace }) => given({ kind, name: workload, namespace })),
    secrets: secrets.map(({ keys, name: secret, namespace }, index) =>
      given({ name: secret, namespace, keys: Object.fromEntries(keys.map((key) => [key, valueFile(index, key)])) }),
    ),
  });
}

/** The Jobs' namespace first, as undefined. */
function namespacesOf({ secrets, workloads }: MigrationObjects): readonly (string | undefined)[] {
  return [undefined, ...new Set([...workloads, ...secrets].flatMap(({ namespace }) => namespace ?? []))];
}

/** Rules by name, except for pods and runs of CronJobs, whose names are not known in advance. */
function rights(objects: MigrationObjects, namespace: string | undefined, verbs: readonly string[]): RenderedObject[] {
  const { name, secrets, workloads } = objects;
  const here = workloads.filter((workload) => workload.namespace === namespace);
  const own = objectNames(name);
  const secretNames = [
    ...secrets.filter((secret) => secret.namespace === namespace).map((secret) => secret.name),
    ...(namespace === undefined ? [own.record] : []),
  ];
  const namesOf = (kind: string): string[] =>
    here.filter((workload) => workload.kind === kind).map((workload) => workload.name);
  const cronJobs = namesOf("CronJob");
  const rules = [
    ...Object.entries(SCALED_KINDS).flatMap(([kind, plural]) => {
      const resourceNames = namesOf(kind);
      if (resourceNames.length === 0) return [];
      return [
        { apiGroups: ["apps"], resources: [plural], resourceNames, verbs: ["get"] },
        { apiGroups: ["apps"], resources: [`${plural}/scale`], resourceNames, verbs: ["patch"] },
      ];
    }),
    ...(here.length === cronJobs.length ? [] : [{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }]),
    ...(cronJobs.length === 0
      ? []
      : [
          { apiGroups: ["batch"], resources: ["cronjobs"], resourceNames: cronJobs, verbs: ["get", "patch"] },
          { apiGroups: ["batch"], resources: ["jobs"], verbs: ["list"] },
        ]),
    ...(secretNames.length === 0
      ? []
      : [{ apiGroups: [""], resources: ["secrets"], resourceNames: secretNames, verbs: ["get", "patch"] }]),
    ...(namespace !== undefined || verbs.length === 0
      ? []
      : [
          {
            apiGroups: [""],
            resources: ["configmaps"],
            resourceNames: verbs.map((verb) => `${own.report}-${verb}`),
            verbs: ["get", "patch"],
          },
        ]),
  ];
  const metadata = metadataOf(namespace === undefined ? objects : { ...objects, namespace }, name);
  const suffix = namespace === undefined ? "" : `-${namespace}`;
  const api = "rbac.authorization.k8s.io";
  return [
    { role: `role${suffix}`, manifest: { apiVersion: `${api}/v1`, kind: "Role", metadata, rules } },
    {
      role: `binding${suffix}`,
      manifest: {
        apiVersion: `${api}/v1`,
        kind: "RoleBinding",
        metadata,
        roleRef: { apiGroup: api, kind: "Role", name },
        subjects: [{ kind: "ServiceAccount", name, namespace: objects.namespace }],
      },
    },
  ];
}

function metadataOf({ namespace }: Pick<MigrationObjects, "namespace">, name: string): Manifest["metadata"] {
  return { name, namespace, labels: { ...MANAGED_BY, "app.kubernetes.io/name": name } };
}
