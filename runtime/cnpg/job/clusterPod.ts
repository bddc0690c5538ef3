/**
 * A pod for work on a Cluster that needs PostgreSQL's programs and the keys of the repositories, which no container of
 * an instance has together: its image of PostgreSQL with our program, the repositories as alongside an instance, and
 * production's Secrets. Pure.
 *
 * It is made of the Cluster as it is now, so that image, Secrets and placement are right without a declaration.
 */
import { fail } from "../../base/errors";
import { at, findOwnParameters, type Json, type JsonObject, listAt, textAt } from "../kubernetes/clusterObject";
import { LAUNCHER_FILE, literalArg, PATHS, PLUGIN_NAME } from "../names";
import { OWN_VARIABLES } from "../operator/sidecarPatch";
import { type PluginParameters, readParameters } from "../operator/parameters";
import { claimVolume, filesOf, mounted, type MountedVolume, ownVolumes } from "../operator/parameterVolumes";
import { unpackCommand } from "../programStart";
import { launcherText } from "../sidecar/sidecarLauncher";

/** A Cluster with this plugin. */
export interface WorkedCluster {
  readonly object: JsonObject;
  readonly name: string;
  readonly parameters: PluginParameters;
}

export interface PodWork {
  /** Name of the container that does it. */
  readonly name: string;
  /** PostgreSQL's. */
  readonly image: string;
  readonly volumes: readonly MountedVolume[];
  /** Options of the program in that container. */
  readonly options: readonly string[];
  /** Runs once {@link LAUNCHER} is there, with these arguments. */
  readonly script: string;
  readonly args: readonly string[];
  /** Further fields of the container. */
  readonly fields: JsonObject;
  /** Between the signal to end and the end. */
  readonly graceSeconds: number;
}

/** CloudNativePG's default. */
const POSTGRES_ID = 26;
const CPU = "100m";
/** A server next to production has shared_buffers of 128 MB; pg_dump holds the catalog of a database. */
const MEMORY = "1Gi";
export const LAUNCHER = `${PATHS.run}/${LAUNCHER_FILE}`;
const PREPARE = `set -e
printf %s "$1" > ${LAUNCHER}
chmod 755 ${LAUNCHER}
shift
`;

/**
 * @param nodeImage Node's image, if the Cluster names none
 * @throws optionInvalidValue without this plugin; the errors of {@link readParameters}
 */
export function workedCluster(object: JsonObject, nodeImage: string | undefined): WorkedCluster {
  const name = textAt(object, "metadata", "name") ?? "";
  const given = findOwnParameters(object);
  if (given === null)
    throw fail("optionInvalidValue", `Cluster ${name} has no plugin '${PLUGIN_NAME}': its repositories are unknown`);
  return { object, name, parameters: readParameters(given, { clusterName: name, image: nodeImage }) };
}

/** What finds the pods of one kind of work, for instance a NetworkPolicy. */
export function workLabels(name: string): JsonObject {
  return { "app.kubernetes.io/managed-by": PLUGIN_NAME, "app.kubernetes.io/name": name };
}

/** PostgreSQL's image; undefined before the operator has chosen one. */
export function imageOf(cluster: JsonObject): string | undefined {
  return textAt(cluster, "status", "image") ?? textAt(cluster, "spec", "imageName");
}

/** `spec` of the pod. */
export function clusterPod({ name, object, parameters }: WorkedCluster, work: PodWork): JsonObject {
  const program = ownVolumes(parameters.bundle);
  const extensions = extensionsOf(object);
  const volumes = [
    ...program,
    ...filesOf("pgbackstop", parameters, PATHS, true),
    ...parameters.claims.map(claimVolume),
    ...extensions.map(({ volume }) => volume),
    mounted("production", { projected: { sources: productionSources(object, name) } }, PATHS.production),
    ...work.volumes,
  ];
  const { runtime } = parameters;
  const pinned = runtime === undefined ? null : { ...runtime, kept: runtime.url === "" ? PATHS.bundle : "" };
  const unpack = container(object, "program", parameters.image, program);
  const main = container(object, work.name, work.image, volumes);
  const [uid, gid] = ["postgresUID", "postgresGID"].map((field) => at(object, "spec", field) ?? POSTGRES_ID);
  const launcher = launcherOf(name, parameters, [...work.options, ...libraryOption(extensions)]);
  return {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: work.graceSeconds,
    ...placement(object),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: uid as Json,
      runAsGroup: gid as Json,
      fsGroup: gid as Json,
      seccompProfile: { type: "RuntimeDefault" },
    },
    initContainers: [{ ...unpack, command: unpackCommand(pinned) }],
    containers: [
      {
        ...main,
        command: ["/bin/sh", "-c", `${PREPARE}${work.script}`, "sh", launcher, ...work.args.map(literalArg)],
        env: [...OWN_VARIABLES, ...sharedLibraries(extensions)],
        ...work.fields,
      },
    ],
    volumes: volumes.map(({ volume }) => volume),
  };
}

function launcherOf(cluster: string, { secretConf, stanza }: PluginParameters, options: readonly string[]): string {
  const program = [`${PATHS.run}/node`, `${PATHS.run}/runtime.cjs`];
  return launcherText(program, [
    `--config=${PATHS.config}/pgbackrest.conf`,
    ...(secretConf === undefined ? [] : [`--config-include-path=${PATHS.include}`]),
    `--stanza=${stanza}`,
    `--lock-path=${PATHS.run}/lock`,
    `--drill-cluster=${cluster}`,
    `--drill-secret-path=${PATHS.production}`,
    "--log-level-console=info",
    "--log-level-file=off",
    ...options,
  ]);
}

/** An extension with an image of its own. */
interface Extension {
  readonly volume: MountedVolume;
  /** Directories of the server's libraries, and of those that these need. */
  readonly libraries: readonly string[];
  readonly shared: readonly string[];
}

/** As the operator mounts them: those of the running image, which a catalog may name, else those of the spec. */
function extensionsOf(cluster: JsonObject): Extension[] {
  const running = listAt(cluster, "status", "pgDataImageInfo", "extensions");
  const declared = running.length > 0 ? running : listAt(cluster, "spec", "postgresql", "extensions");
  return declared.flatMap((extension, index): Extension[] => {
    const [name, reference] = [textAt(extension, "name"), textAt(extension, "image", "reference")];
    if (name === undefined || reference === undefined) return [];
    const path = `/extensions/${name}`;
    const below = (field: string, usual: readonly Json[]): string[] => {
      const listed = listAt(extension, field);
      return (listed.length > 0 ? listed : usual).flatMap((folder) =>
        typeof folder === "string" ? [`${path}/${folder}`] : [],
      );
    };
    return [
      {
        volume: mounted(`extension-${index}`, { image: { reference } }, path),
        libraries: below("dynamic_library_path", ["lib"]),
        shared: below("ld_library_path", []),
      },
    ];
  });
}

function libraryOption(extensions: readonly Extension[]): string[] {
  const value = extensions.flatMap(({ libraries }) => libraries).join(":");
  return value === "" ? [] : [`--library-path=${value}`];
}

function sharedLibraries(extensions: readonly Extension[]): JsonObject[] {
  const value = extensions.flatMap(({ shared }) => shared).join(":");
  return value === "" ? [] : [{ name: "LD_LIBRARY_PATH", value }];
}

function container(cluster: JsonObject, name: string, image: string, volumes: readonly MountedVolume[]): JsonObject {
  const pullPolicy = textAt(cluster, "spec", "imagePullPolicy");
  return {
    name,
    image,
    ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
    volumeMounts: volumes.map(({ mount }) => mount),
    resources: { requests: { cpu: CPU, memory: MEMORY }, limits: { memory: MEMORY } },
    securityContext: {
      allowPrivilegeEscalation: false,
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
    },
  };
}

/** Where production's pods run too: pull Secrets and taints are the namespace's matter. */
function placement(cluster: JsonObject): JsonObject {
  const fields = {
    imagePullSecrets: at(cluster, "spec", "imagePullSecrets"),
    nodeSelector: at(cluster, "spec", "affinity", "nodeSelector"),
    tolerations: at(cluster, "spec", "affinity", "tolerations"),
  };
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]): [string, Json][] => (value === undefined ? [] : [[name, value]])),
  );
}

/** All optional: a dump into a file needs none, and the superuser's Secret may come while the pod waits. */
function productionSources(cluster: JsonObject, name: string): Json[] {
  const [method] = ["initdb", "recovery", "pg_basebackup"].filter(
    (each) => at(cluster, "spec", "bootstrap", each) !== undefined,
  );
  const owner = textAt(cluster, "spec", "bootstrap", method ?? "initdb", "secret", "name") ?? `${name}-app`;
  const superuser = textAt(cluster, "spec", "superuserSecret", "name") ?? `${name}-superuser`;
  const ca = textAt(cluster, "status", "certificates", "serverCASecret") ?? `${name}-ca`;
  const source = (secret: string, keys: readonly string[], folder = ""): Json => ({
    secret: { name: secret, items: keys.map((key) => ({ key, path: `${folder}${key}` })), optional: true },
  });
  return [
    source(owner, ["username", "password", "dbname"]),
    source(superuser, ["username", "password"], "superuser/"),
    source(ca, ["ca.crt"]),
  ];
}
