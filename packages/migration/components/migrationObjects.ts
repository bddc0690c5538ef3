/**
 * Objects of a migration in Kubernetes: inputs, records and reports of its Jobs, rights to the named objects only, and
 * a Job for each step. Pure; settings may be deferred.
 *
 * A Job of `pgbackstop-migration` needs both Node.js and pg_dump. The image of the target's PostgreSQL has pg_dump, and
 * the program comes as a ConfigMap. An init container of Node.js's own image copies `node` next to it; copying pg_dump
 * instead would need its libraries too.
 */
import {
  API_SERVER_OPTIONS,
  type DeployedRuntime,
  fields,
  given,
  MANAGED_BY,
  type Manifest,
  PATHS,
  pinnedProgram,
  placed,
  type PodPlacement,
  PROGRAM_SECURITY,
  programContainer,
  programVolumes,
  type RenderedObject,
  unpackCommand,
} from "pgbackstop/kit";
import { JOB_PATHS } from "../names";
import { EVIDENCE_FILES, type MigrationStep, type SecretSettings, type WorkloadSettings } from "./migrationSteps";

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

/** What the Jobs change, and may change. */
export interface SharedObjects {
  /** Prefix of all names. */
  readonly name: string;
  /** Namespace of the Jobs. */
  readonly namespace: string;
  readonly workloads: readonly WorkloadSettings[];
  readonly secrets: readonly SecretSettings[];
}

/** Objects that exist, or come with the component. */
export interface MigrationObjects extends SharedObjects {
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
  readonly program: string;
} {
  return {
    record: `${name}-record`,
    report: `${name}-report`,
    servers: `${name}-servers`,
    steps: `${name}-steps`,
    values: `${name}-values`,
    args: `${name}-words`,
    program: `${name}-migrate`,
  };
}

/** Everything but Jobs and objects with secrets: once, in order. @param verbs of the program that Jobs run */
export function renderMigrationObjects(objects: SharedObjects, verbs: readonly string[]): RenderedObject[] {
  const names = objectNames(objects.name);
  const object = (role: string, kind: string, name: string, makers: Makers = {}): RenderedObject => ({
    role,
    manifest: fields<Manifest>({
      apiVersion: () => "v1",
      kind: () => kind,
      metadata: () => metadataOf(objects, name),
      ...makers,
    }),
  });
  return [
    object("steps", "ConfigMap", names.steps, { data: () => fields({ [STEPS_FILE]: () => stepsText(objects) }) }),
    object("record", "Secret", names.record),
    ...verbs.map((verb) => object(`report-${verb}`, "ConfigMap", `${names.report}-${verb}`)),
    object("account", "ServiceAccount", objects.name, { automountServiceAccountToken: () => false }),
    ...namespacesOf(objects).flatMap((namespace) => rights(objects, namespace, verbs)),
  ];
}

type Makers = Readonly<Record<string, () => unknown>>;

/** A Job that changes workloads or Secrets. */
export function renderChangeJob(objects: MigrationObjects, { action, role }: MigrationStep): Manifest {
  const isAgain = role.endsWith("-again");
  const argument = isAgain ? "resume" : VERBS[action as keyof typeof VERBS];
  const isRepoint = action === "repoint-secrets";
  const values = { name: "values", secret: { secretName: objectNames(objects.name).values } };
  const container = changeContainer(objects, "step", [argument], isRepoint);
  return job(objects, role, { containers: [container] }, [
    stepsVolume(objects),
    programVolume(objects),
    ...(isRepoint ? [values] : []),
  ]);
}

function changeContainer(
  objects: MigrationObjects,
  name: string,
  args: readonly string[],
  readsValues = false,
): object {
  const container = programContainer({
    name,
    image: objects.runtime.image,
    args: [...API_SERVER_OPTIONS, `--migration-file=${JOB_PATHS.migration}/${STEPS_FILE}`, ...args],
    cpu: CPU,
    memory: MEMORY,
    volumeMounts: [
      { name: "steps", mountPath: JOB_PATHS.migration, readOnly: true },
      PROGRAM_MOUNT,
      ...(readsValues ? [{ name: "values", mountPath: JOB_PATHS.values, readOnly: true }] : []),
    ],
  });
  return { ...container, command: ["/bin/sh", "-c", CHANGE, "sh"] };
}

/** Arguments of one step, as its Job reads them; none contains a newline. */
export function argsText(args: readonly string[]): string {
  return args.map((argument) => `${argument}\n`).join("");
}

/**
 * A Job of `pgbackstop-migration`: runs the step in the image with pg_dump, then transfers its report and exit code to
 * the stack. Its arguments are in a ConfigMap: a Job that is recreated after a failure uses the current ones.
 * @param repositories of the target, for `finish`: the backup program is asked about them
 */
export function renderMigrateJob(
  objects: MigrationObjects,
  { role, verb = "plan" }: MigrationStep,
  repositories: RepositoryVolumes | null,
): Manifest {
  const { image } = objects.runtime;
  const runtime = repositories === null ? { image } : objects.runtime;
  const base = { ...runtime, cpu: CPU, memory: MEMORY };
  const step = programContainer({
    ...base,
    memory: COPY_MEMORY,
    name: "migrate",
    image: objects.postgresImage,
    args: repositories === null ? [] : [...BACKUP_OPTIONS, ...repositories.args],
    volumeMounts: [
      { name: "words", mountPath: JOB_PATHS.args, readOnly: true },
      { name: "servers", mountPath: JOB_PATHS.servers, readOnly: true },
      ...(repositories?.volumeMounts ?? []),
    ],
  });
  const node = programContainer({ ...base, name: "node", args: [], volumeMounts: [PROGRAM_MOUNT] });
  const more = repositories === null ? COPY_NODE : unpackCommand(pinnedProgram(objects.runtime));
  return job(
    objects,
    role,
    {
      initContainers: [
        { ...node, command: ["/bin/sh", "-c", UNPACK, "sh", ...more] },
        {
          ...step,
          command: ["/bin/sh", "-c", migrateScript(repositories !== null), "sh", `${JOB_PATHS.args}/${verb}`],
          // Keys of repositories are files there, as alongside an instance.
          ...(repositories === null ? {} : { env: [{ name: "PGBACKSTOP_SECRETS", value: PATHS.secrets }] }),
        },
      ],
      containers: [changeContainer(objects, "report", ["report", verb])],
    },
    [
      stepsVolume(objects),
      programVolume(objects),
      { name: "words", configMap: { name: objectNames(objects.name).args } },
      { name: "servers", projected: { defaultMode: 0o440, sources: objects.serverSources } },
      ...(repositories?.volumes ?? []),
    ],
    runtime,
  );
}

/**
 * The next container reports its result, and would not run after a failure, so this one never fails. It uses the newest
 * programs of the image. As a container's first process, a shell passes no signal on. A copy that is terminated must
 * receive it, to make the source writable again.
 */
function migrateScript(asksBackups: boolean): string {
  const asked = Object.entries(EVIDENCE_FILES).map(
    ([verb, name]) => `${NODE} ${PATHS.run}/runtime.cjs "$@" --output=json ${verb} > ${PATHS.run}/${name} || :\n`,
  );
  return `set -u
words=$1
shift
${asksBackups ? asked.join("") : ""}set --
while IFS= read -r word; do set -- "$@" "$word"; done < "$words"
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
code=0
${NODE} ${PATHS.run}/migrate.cjs --bin-path="$bin" "$@" > ${PATHS.run}/report.json &
pid=$!
trap 'kill -TERM "$pid"' TERM
wait "$pid" || code=$?
while kill -0 "$pid" 2>/dev/null; do
  code=0
  wait "$pid" || code=$?
done
echo "$code" > ${PATHS.run}/code`;
}

/** Options of the backup program besides the repositories'. */
const BACKUP_OPTIONS = [
  `--lock-path=${PATHS.run}/lock`,
  `--spool-path=${PATHS.run}/spool`,
  "--log-level-file=off",
  "--log-level-console=off",
  "--log-level-stderr=warn",
];
const PROGRAM_MOUNT = { name: "program", mountPath: JOB_PATHS.program, readOnly: true };
const NODE = `${PATHS.run}/node`;
const UNPACK = `set -e; gzip -dc ${JOB_PATHS.program}/migrate.cjs.gz > ${PATHS.run}/migrate.cjs; exec "$@"`;
const COPY_NODE = ["/bin/sh", "-c", `cp "$(command -v node)" ${NODE}`];
const CHANGE = `set -e; gzip -dc ${JOB_PATHS.program}/kubernetes.cjs.gz > ${PATHS.run}/kubernetes.cjs; exec node ${PATHS.run}/kubernetes.cjs "$@"`;

function programVolume({ name }: SharedObjects): object {
  return { name: "program", configMap: { name: objectNames(name).program } };
}

function stepsVolume({ name }: SharedObjects): object {
  return { name: "steps", configMap: { name: objectNames(name).steps } };
}

/**
 * It stays after its end: the next update would otherwise create and run it again. The next update replaces a failed
 * one.
 */
function job(
  objects: MigrationObjects,
  role: string,
  containers: object,
  volumes: readonly object[],
  runtime: DeployedRuntime = { image: objects.runtime.image },
): Manifest {
  const metadata = metadataOf(objects, `${objects.name}-${role}`);
  const security = { ...PROGRAM_SECURITY, runAsUser: POSTGRES_USER, runAsGroup: POSTGRES_USER, fsGroup: POSTGRES_USER };
  return {
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
            volumes: programVolumes(runtime, volumes),
          },
        },
        objects.placement,
      ),
    },
  };
}

function stepsText({ name, secrets, workloads }: SharedObjects): string {
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
function namespacesOf({ secrets, workloads }: SharedObjects): readonly (string | undefined)[] {
  return [undefined, ...new Set([...workloads, ...secrets].flatMap(({ namespace }) => namespace ?? []))];
}

function rights(objects: SharedObjects, namespace: string | undefined, verbs: readonly string[]): RenderedObject[] {
  const { name } = objects;
  const metadata = (): Manifest["metadata"] =>
    namespace === undefined ? metadataOf(objects, name) : metadataOf({ namespace }, name);
  const suffix = namespace === undefined ? "" : `-${namespace}`;
  const api = "rbac.authorization.k8s.io";
  const object = (role: string, kind: string, makers: Makers): RenderedObject => ({
    role: `${role}${suffix}`,
    manifest: fields<Manifest>({ apiVersion: () => `${api}/v1`, kind: () => kind, metadata, ...makers }),
  });
  return [
    object("role", "Role", { rules: () => rulesOf(objects, namespace, verbs) }),
    object("binding", "RoleBinding", {
      roleRef: () => ({ apiGroup: api, kind: "Role", name }),
      subjects: () => [fields({ kind: () => "ServiceAccount", name: () => name, namespace: () => objects.namespace })],
    }),
  ];
}

/** By name, except for pods and runs of CronJobs, whose names are not known in advance. */
function rulesOf(
  { name, secrets, workloads }: SharedObjects,
  namespace: string | undefined,
  verbs: readonly string[],
): object[] {
  const here = workloads.filter((workload) => workload.namespace === namespace);
  const own = objectNames(name);
  const secretNames = [
    ...secrets.filter((secret) => secret.namespace === namespace).map((secret) => secret.name),
    ...(namespace === undefined ? [own.record] : []),
  ];
  const namesOf = (kind: string): string[] =>
    here.filter((workload) => workload.kind === kind).map((workload) => workload.name);
  const cronJobs = namesOf("CronJob");
  const reports = namespace === undefined ? verbs.map((verb) => `${own.report}-${verb}`) : [];
  const rule = (group: string, resource: string, resourceNames: readonly string[], ...allowed: string[]): object[] =>
    resourceNames.length === 0 ? [] : [{ apiGroups: [group], resources: [resource], resourceNames, verbs: allowed }];
  const listed = (isNeeded: boolean, group: string, resource: string): object[] =>
    isNeeded ? [{ apiGroups: [group], resources: [resource], verbs: ["list"] }] : [];
  return [
    ...Object.entries(SCALED_KINDS).flatMap(([kind, plural]) => [
      ...rule("apps", plural, namesOf(kind), "get"),
      ...rule("apps", `${plural}/scale`, namesOf(kind), "patch"),
    ]),
    ...listed(here.length > cronJobs.length, "", "pods"),
    ...rule("batch", "cronjobs", cronJobs, "get", "patch"),
    ...listed(cronJobs.length > 0, "batch", "jobs"),
    ...rule("", "secrets", secretNames, "get", "patch"),
    ...rule("", "configmaps", reports, "get", "patch"),
  ];
}

function metadataOf(of: Pick<SharedObjects, "namespace">, name: string): Manifest["metadata"] {
  return fields({
    name: () => name,
    namespace: () => of.namespace,
    labels: () => ({ ...MANAGED_BY, "app.kubernetes.io/name": name }),
  });
}
