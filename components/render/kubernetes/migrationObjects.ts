/**
 * Objects of a migration in Kubernetes: what its Jobs read, where they remember and report, rights to what is named and nothing else, and a Job for
 * each step. Pure.
 *
 * A Job of `pgbackstop migrate` needs both Node.js and pg_dump. The image of the target's PostgreSQL has the second, and the program comes as a
 * ConfigMap: an init container of Node.js's own image copies `node` beside it. The other way round, pg_dump would bring its libraries along.
 */
import { BUNDLE_FILE, PLACES } from "../../../runtime/cnpg/names";
import type { MigrationStep, SecretSettings, WorkloadSettings } from "../../plan/migration/migrationSteps";
import { PROGRAM_SECURITY, programContainer, programVolumes } from "./container";
import { given, MANAGED_BY, type Manifest, type RenderedObject } from "./objects";

/** Of PostgreSQL in CloudNativePG's images: its programs want an account that has a name. */
const POSTGRES_USER = 26;
const CPU = "50m";
const MEMORY = "384Mi";
/** Dumps pass through it; each copy has a pg_dump and a psql beside it. */
const COPY_MEMORY = "1Gi";
const STEPS_FILE = "steps.json";
const SCALED_KINDS = { Deployment: "deployments", StatefulSet: "statefulsets" } as const;
const WORDS = { "stop-workloads": "stop", "start-workloads": "start", "repoint-secrets": "repoint", "restore-secrets": "restore" } as const;

/** What is there already, or comes with the component. */
export interface MigrationObjects {
  /** Begins the names of all objects. */
  readonly name: string;
  /** Of the Jobs. */
  readonly namespace: string;
  readonly workloads: readonly WorkloadSettings[];
  readonly secrets: readonly SecretSettings[];
  /** The program. */
  readonly runtime: { readonly configMap: string; readonly image: string };
  /** With pg_dump and psql, of the target's version or a newer one. */
  readonly postgresImage: string;
  /** Sources of a projected volume: passwords and certificates under the names that words say. */
  readonly serverSources: readonly object[];
}

/** What `finish` looks at: the repositories of the target. */
export interface RepositoryVolumes {
  readonly args: readonly string[];
  readonly volumeMounts: readonly object[];
  readonly volumes: readonly object[];
}

/** Name of the file in the Secret of new values, and in the directory of Jobs. */
export function valueFile(secretIndex: number, key: string): string {
  return `${secretIndex}-${key}`;
}

export function objectNames(name: string): {
  readonly record: string;
  readonly report: string;
  readonly servers: string;
  readonly steps: string;
  readonly values: string;
  readonly words: string;
} {
  return {
    record: `${name}-record`,
    report: `${name}-report`,
    servers: `${name}-servers`,
    steps: `${name}-steps`,
    values: `${name}-values`,
    words: `${name}-words`,
  };
}

/** All but Jobs and what has secrets: once, in order. @param verbs of `pgbackstop migrate` that Jobs run */
export function renderMigrationPlace(objects: MigrationObjects, verbs: readonly string[]): RenderedObject[] {
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
  const word = isAgain ? "resume" : WORDS[action as keyof typeof WORDS];
  const isRepoint = action === "repoint-secrets";
  const values = { name: "values", secret: { secretName: objectNames(objects.name).values } };
  const container = programContainer({
    name: "step",
    image: objects.runtime.image,
    args: [...changeWords(), word],
    cpu: CPU,
    memory: MEMORY,
    volumeMounts: [stepsMount(), ...(isRepoint ? [{ name: "values", mountPath: PLACES.values, readOnly: true }] : [])],
  });
  return job(objects, role, { containers: [container] }, [stepsVolume(objects), ...(isRepoint ? [values] : [])]);
}

/** Words of one step, as its Job reads them; none has a line end. */
export function wordsText(words: readonly string[]): string {
  return words.map((word) => `${word}\n`).join("");
}

/**
 * A Job of `pgbackstop migrate`: the step in the image with pg_dump, then its report to where the stack finds it, with the exit code of the step. Its
 * words are in a ConfigMap: a Job that is made again after it failed takes those of then.
 */
export function renderMigrateJob(
  objects: MigrationObjects,
  { role, verb = "plan" }: MigrationStep,
  repositories: RepositoryVolumes | null,
): Manifest {
  const run = { name: "run", mountPath: PLACES.run };
  const bundle = { name: "bundle", mountPath: PLACES.bundle, readOnly: true };
  const base = { cpu: CPU, memory: MEMORY };
  const fetch = `set -e; gzip -dc ${PLACES.bundle}/${BUNDLE_FILE} > ${PLACES.run}/runtime.cjs; cp "$(command -v node)" ${PLACES.run}/node`;
  const step = programContainer({
    ...base,
    memory: COPY_MEMORY,
    name: "migrate",
    image: objects.postgresImage,
    args: [`--lock-path=${PLACES.run}/lock`, `--spool-path=${PLACES.run}/spool`, "--log-level-file=off", ...(repositories?.args ?? [])],
    volumeMounts: [
      { name: "words", mountPath: PLACES.words, readOnly: true },
      { name: "servers", mountPath: PLACES.servers, readOnly: true },
      ...(repositories?.volumeMounts ?? []),
    ],
  });
  const report = programContainer({
    ...base,
    name: "report",
    image: objects.runtime.image,
    args: [...changeWords(), "report", verb],
    volumeMounts: [stepsMount()],
  });
  const node = programContainer({ ...base, name: "node", image: objects.runtime.image, args: [] });
  return job(
    objects,
    role,
    {
      initContainers: [
        { ...node, command: ["/bin/sh", "-c", fetch], volumeMounts: [bundle, run] },
        {
          ...step,
          command: ["/bin/sh", "-c", MIGRATE, "sh", `${PLACES.words}/${verb}`],
          // Keys of repositories are files there, as beside an instance.
          ...(repositories === null ? {} : { env: [{ name: "PGBACKSTOP_SECRETS", value: PLACES.secrets }] }),
        },
      ],
      containers: [report],
    },
    [
      stepsVolume(objects),
      { name: "words", configMap: { name: objectNames(objects.name).words } },
      { name: "servers", projected: { defaultMode: 0o440, sources: objects.serverSources } },
      ...(repositories?.volumes ?? []),
    ],
  );
}

/**
 * Its end is told by the container behind it, which could not tell of one that fails. The newest programs of the image are the right ones. A shell that
 * is a container's first process passes no signal on: a copy that is told to end has to hear of it, to let the source be written to again.
 */
const MIGRATE = `set -u
words=$1
shift
while IFS= read -r word; do set -- "$@" "$word"; done < "$words"
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
code=0
${PLACES.run}/node ${PLACES.run}/runtime.cjs --bin-path="$bin" "$@" > ${PLACES.run}/report.json &
pid=$!
trap 'kill -TERM "$pid"' TERM
wait "$pid" || code=$?
while kill -0 "$pid" 2>/dev/null; do
  code=0
  wait "$pid" || code=$?
done
echo "$code" > ${PLACES.run}/code`;

function changeWords(): string[] {
  return [
    // Kubernetes puts these in.
    "--kubernetes-host=$(KUBERNETES_SERVICE_HOST)",
    "--kubernetes-port=$(KUBERNETES_SERVICE_PORT)",
    `--migration-file=${PLACES.migration}/${STEPS_FILE}`,
    `--lock-path=${PLACES.run}/lock`,
    "--log-level-console=info",
    "--log-level-file=off",
    "cnpg-migrate",
  ];
}

function stepsMount(): object {
  return { name: "steps", mountPath: PLACES.migration, readOnly: true };
}

function stepsVolume({ name }: MigrationObjects): object {
  return { name: "steps", configMap: { name: objectNames(name).steps } };
}

/** It stays when it has ended: gone, it would be made, and run, again. One that failed is replaced by the next update. */
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
      template: {
        metadata: { labels: { ...MANAGED_BY, "app.kubernetes.io/name": objects.name } },
        spec: {
          restartPolicy: "Never",
          serviceAccountName: objects.name,
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          securityContext: security,
          ...containers,
          volumes: programVolumes(objects.runtime.configMap, volumes),
        },
      },
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

/** That of the Jobs first, as undefined. */
function namespacesOf({ secrets, workloads }: MigrationObjects): readonly (string | undefined)[] {
  return [undefined, ...new Set([...workloads, ...secrets].flatMap(({ namespace }) => namespace ?? []))];
}

/** By name, but for pods and runs of CronJobs, which have none before they are there. */
function rights(objects: MigrationObjects, namespace: string | undefined, verbs: readonly string[]): RenderedObject[] {
  const { name, secrets, workloads } = objects;
  const here = workloads.filter((workload) => workload.namespace === namespace);
  const own = objectNames(name);
  const secretNames = [
    ...secrets.filter((secret) => secret.namespace === namespace).map((secret) => secret.name),
    ...(namespace === undefined ? [own.record] : []),
  ];
  const namesOf = (kind: string): string[] => here.filter((workload) => workload.kind === kind).map((workload) => workload.name);
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
    ...(secretNames.length === 0 ? [] : [{ apiGroups: [""], resources: ["secrets"], resourceNames: secretNames, verbs: ["get", "patch"] }]),
    ...(namespace !== undefined || verbs.length === 0
      ? []
      : [{ apiGroups: [""], resources: ["configmaps"], resourceNames: verbs.map((verb) => `${own.report}-${verb}`), verbs: ["get", "patch"] }]),
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
