/**
 * The Job in which people run `extract-table` for a Cluster: its image of PostgreSQL with our program, the repositories
 * as alongside an instance, production's Secrets, and a volume of its own. Pure.
 *
 * It is made of the Cluster as it is now, so that image, Secrets and placement are right without a declaration. Its pod
 * waits for `kubectl exec`, as the sidecar does.
 */
import { fail } from "../../base/errors";
import { at, findOwnParameters, type Json, type JsonObject, listAt, textAt } from "../kubernetes/clusterObject";
import { LAUNCHER_FILE, PATHS, PLUGIN_NAME } from "../names";
import { OWN_VARIABLES } from "../operator/sidecarPatch";
import { type PluginParameters, readParameters } from "../operator/parameters";
import { claimVolume, filesOf, mounted, type MountedVolume, ownVolumes } from "../operator/parameterVolumes";
import { unpackCommand } from "../programStart";
import { launcherText } from "../sidecar/sidecarLauncher";

export interface TableJobRequest {
  /** PostgreSQL's image; undefined is the Cluster's. */
  readonly image: string | undefined;
  /** Size of the volume; undefined is that of the Cluster's. */
  readonly size: string | undefined;
  /** Node's image, if the Cluster names none. */
  readonly nodeImage: string | undefined;
}

/** A forgotten pod keeps a volume. */
const HOURS_MAX = 24;
/** CloudNativePG's default. */
const POSTGRES_ID = 26;
const CPU = "100m";
/** The server next to production has shared_buffers of 128 MB. */
const MEMORY = "1Gi";
const LAUNCHER = `${PATHS.run}/${LAUNCHER_FILE}`;
/** As the first process, the shell also takes over what killed programs leave. */
const WAIT = `set -e
printf %s "$1" > ${LAUNCHER}
chmod 755 ${LAUNCHER}
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait "$!"; done`;

/** @throws format for another object; optionRequired; the errors of {@link readParameters} */
export function tableJob(cluster: JsonObject, request: TableJobRequest): JsonObject {
  const name = textAt(cluster, "metadata", "name");
  if (textAt(cluster, "kind") !== "Cluster" || name === undefined)
    throw fail("format", "standard input is not a Cluster of CloudNativePG", {
      hint: "kubectl get cluster NAME -o json | kubectl exec -i … cnpg-job",
    });
  const given = findOwnParameters(cluster);
  if (given === null)
    throw fail("optionInvalidValue", `Cluster ${name} has no plugin '${PLUGIN_NAME}': its repositories are unknown`);
  const parameters = readParameters(given, { clusterName: name, image: request.nodeImage });
  const namespace = textAt(cluster, "metadata", "namespace");
  const labels = { "app.kubernetes.io/managed-by": PLUGIN_NAME, "app.kubernetes.io/name": `${name}-table` };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: `${name}-table`, ...(namespace === undefined ? {} : { namespace }), labels },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: HOURS_MAX * 3600,
      ttlSecondsAfterFinished: 3600,
      template: { metadata: { labels }, spec: podSpec(cluster, name, parameters, request) },
    },
  };
}

function podSpec(
  cluster: JsonObject,
  name: string,
  parameters: PluginParameters,
  { image, size }: TableJobRequest,
): JsonObject {
  const postgres = image ?? textAt(cluster, "status", "image") ?? textAt(cluster, "spec", "imageName");
  if (postgres === undefined) throw required("job-image", "the Cluster has no image yet");
  const program = ownVolumes(parameters.bundle);
  const extensions = extensionsOf(cluster);
  const volumes = [
    ...program,
    ...filesOf("pgbackstop", parameters, PATHS, true),
    ...parameters.claims.map(claimVolume),
    ...extensions.map(({ volume }) => volume),
    mounted("production", { projected: { sources: productionSources(cluster, name) } }, PATHS.production),
    mounted("scratch", scratchVolume(cluster, size), PATHS.scratch, false),
  ];
  const { runtime } = parameters;
  const pinned = runtime === undefined ? null : { ...runtime, kept: runtime.url === "" ? PATHS.bundle : "" };
  const unpack = container(cluster, "program", parameters.image, program);
  const main = container(cluster, "table", postgres, volumes);
  const [uid, gid] = ["postgresUID", "postgresGID"].map((field) => at(cluster, "spec", field) ?? POSTGRES_ID);
  return {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 5,
    ...placement(cluster),
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
        command: ["/bin/sh", "-c", WAIT, "sh", launcher(name, parameters.stanza, extensions)],
        env: [...OWN_VARIABLES, ...sharedLibraries(extensions)],
        readinessProbe: { exec: { command: ["test", "-x", LAUNCHER] }, periodSeconds: 1, failureThreshold: 60 },
      },
    ],
    volumes: volumes.map(({ volume }) => volume),
  };
}

function launcher(cluster: string, stanza: string, extensions: readonly Extension[]): string {
  const libraries = extensions.flatMap((extension) => extension.libraries).join(":");
  const program = [`${PATHS.run}/node`, `${PATHS.run}/runtime.cjs`];
  return launcherText(program, [
    `--config=${PATHS.config}/pgbackrest.conf`,
    `--config-include-path=${PATHS.include}`,
    `--stanza=${stanza}`,
    `--lock-path=${PATHS.run}/lock`,
    `--spool-path=${PATHS.scratch}/spool`,
    `--drill-path=${PATHS.scratch}/table`,
    `--drill-cluster=${cluster}`,
    `--drill-secret-path=${PATHS.production}`,
    ...(libraries === "" ? [] : [`--library-path=${libraries}`]),
    "--log-level-console=info",
    "--log-level-file=off",
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

/** It comes and goes with the pod. @throws optionRequired */
function scratchVolume(cluster: JsonObject, asked: string | undefined): JsonObject {
  const size = asked ?? textAt(cluster, "spec", "storage", "size");
  if (size === undefined) throw required("job-size", "the Cluster does not name the size of its volume");
  const storageClass = textAt(cluster, "spec", "storage", "storageClass");
  return {
    ephemeral: {
      volumeClaimTemplate: {
        spec: {
          accessModes: ["ReadWriteOnce"],
          ...(storageClass === undefined ? {} : { storageClassName: storageClass }),
          resources: { requests: { storage: size } },
        },
      },
    },
  };
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

function required(option: string, fact: string): Error {
  return fail("optionRequired", `cnpg-job command requires option: ${option}`, { hint: `${fact}.` });
}
