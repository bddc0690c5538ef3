/**
 * The patch (RFC 6902) for the operator's pods and recovery jobs: the sidecar, its volumes and the socket directory.
 * Pure.
 *
 * The operator compares pods with the patched one. So the same cluster must give the same bytes, in any order of
 * fields, and a complete pod gets an empty patch: the operator asks again when it creates the pod. Nothing here depends
 * on time or on the content of a Secret.
 */
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import { SMALL_ALLOCATOR } from "../../base/limits";
import { at, type Json, type JsonObject, listAt, type Parameters, textAt } from "../kubernetes/clusterObject";
import {
  API_SERVER_OPTIONS,
  HEARTBEAT_AGE_MAX_S,
  HEARTBEAT_FILE,
  PATHS,
  PLUGIN_NAME,
  REPORT_PASSWORD_FILE,
  SIDECAR_NAME,
  SOCKET_DIRECTORY,
  SOURCE_PATHS,
} from "../names";
import { type PinnedProgram, startCommand } from "../programStart";
import { type PluginParameters, readParameters } from "./parameters";
import { claimVolume, filesOf, ownVolumes, reportVolumes } from "./parameterVolumes";

export interface PatchOperation {
  readonly op: "add" | "replace";
  readonly path: string;
  readonly value: Json;
}

export interface SidecarRequest {
  /**
   * `restore` alongside a recovery job; `follow` alongside an instance that archives to no repository and reads another
   * cluster's archive.
   */
  readonly mode: "instance" | "restore" | "follow";
  /** Parameters of the mode's repositories. */
  readonly parameters: Parameters;
  /** The archive that an instance may follow besides its own; null for most clusters. */
  readonly source: Parameters | null;
  /** Default if the cluster names none. */
  readonly image: string | undefined;
}

const PLUGINS_VOLUME = "plugins";
const DATA_DIRECTORY = "/var/lib/postgresql/data/pgdata";
const DATA_MOUNT = "/var/lib/postgresql/data";
const WAL_MOUNT = "/var/lib/postgresql/wal";

/**
 * `object` is a Pod or a Job; `mainName` its main container.
 * @throws format, and the errors of {@link readParameters}
 */
export function sidecarPatch(
  cluster: JsonObject,
  object: JsonObject,
  mainName: string,
  request: SidecarRequest,
): PatchOperation[] {
  const isJob = textAt(object, "kind") === "Job";
  const path = isJob ? "/spec/template/spec" : "/spec";
  const pod = isJob ? at(object, "spec", "template", "spec") : at(object, "spec");
  const main = listAt(pod, "containers").findIndex((container) => textAt(container, "name") === mainName);
  const mainContainer = listAt(pod, "containers")[main];
  if (!isFields(pod) || !isFields(mainContainer))
    throw fail("format", `the ${isJob ? "job" : "pod"} has no container '${mainName}'`);
  const name = textAt(cluster, "metadata", "name") ?? "";
  const defaults = { clusterName: name, image: request.image };
  const parameters = readParameters(request.parameters, defaults);
  const source = request.source === null ? null : readParameters(request.source, defaults);
  const claims = [...new Set([...parameters.claims, ...(source?.claims ?? [])])].sort();

  const isOptional = request.mode !== "restore";
  const sourceFiles = source === null ? [] : filesOf("pgbackstop-source", source, SOURCE_PATHS, isOptional);
  const files = [...filesOf("pgbackstop", parameters, PATHS, isOptional), ...sourceFiles];
  // Alongside an instance that archives.
  const page = request.mode === "instance" ? reportVolumes(parameters) : [];
  const mountedVolumes = [...ownVolumes(parameters.bundle), ...files, ...page, ...claims.map(claimVolume)];
  const volumes = [{ name: PLUGINS_VOLUME, emptyDir: {} }, ...mountedVolumes.map(({ volume }) => volume)];
  const socketMount = { name: PLUGINS_VOLUME, mountPath: SOCKET_DIRECTORY };
  const mounts = [socketMount, ...mountedVolumes.map(({ mount }) => mount)];
  const sidecar = sidecarOf(cluster, mainContainer, mounts, { parameters, source, mode: request.mode });
  return [
    ...putAll(`${path}/volumes`, at(pod, "volumes"), volumes, "name"),
    ...putAll(`${path}/containers/${main}/volumeMounts`, at(mainContainer, "volumeMounts"), [socketMount], "mountPath"),
    ...putAll(`${path}/initContainers`, at(pod, "initContainers"), [sidecar], "name"),
  ];
}

/** JSON with sorted keys. */
export function stableJson(value: Json | readonly PatchOperation[]): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    isFields(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([left], [right]) => (left < right ? -1 : 1)))
      : inner,
  );
}

/** Adds missing entries, replaces different ones with the same key, and keeps equal ones. */
function putAll(path: string, list: Json | undefined, wanted: readonly JsonObject[], key: string): PatchOperation[] {
  if (!Array.isArray(list)) return wanted.length === 0 ? [] : [{ op: "add", path, value: wanted }];
  return wanted.flatMap((value): PatchOperation[] => {
    const position = list.findIndex((entry: Json) => at(entry, key) === value[key]);
    if (position === -1) return [{ op: "add", path: `${path}/-`, value }];
    // Another plugin may have added the socket directory: any volume of that name will do.
    const isShared = value["name"] === PLUGINS_VOLUME;
    return isShared || stableJson(list[position] as Json) === stableJson(value)
      ? []
      : [{ op: "replace", path: `${path}/${position}`, value }];
  });
}

interface SidecarParts {
  readonly parameters: PluginParameters;
  readonly source: PluginParameters | null;
  readonly mode: SidecarRequest["mode"];
}

function sidecarOf(cluster: JsonObject, main: JsonObject, own: readonly JsonObject[], parts: SidecarParts): JsonObject {
  const { parameters } = parts;
  const ownPaths = new Set(own.map((mount) => textAt(mount, "mountPath")));
  const mounts = listAt(main, "volumeMounts")
    .filter((mount) => !ownPaths.has(textAt(mount, "mountPath")))
    .toSorted((left, right) => ((textAt(left, "mountPath") ?? "") < (textAt(right, "mountPath") ?? "") ? -1 : 1));
  const env = listAt(main, "env").filter((entry) => !OWN_VARIABLES.some(({ name }) => name === textAt(entry, "name")));
  // What must outlive the pod: the record of missing WAL. On the WAL volume if there is one.
  const durable = `${mounts.some((mount) => textAt(mount, "mountPath") === WAL_MOUNT) ? WAL_MOUNT : DATA_MOUNT}/pgbackstop`;
  const pullPolicy = textAt(cluster, "spec", "imagePullPolicy");
  const { requests, limits } = parameters;
  const resources = { ...(isEmpty(requests) ? {} : { requests }), ...(isEmpty(limits) ? {} : { limits }) };
  return {
    name: SIDECAR_NAME,
    image: parameters.image,
    ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
    restartPolicy: "Always",
    command: startCommand(pinnedOf(parameters, durable)),
    args: argumentsOf(main, durable, parts),
    env: [...env, ...OWN_VARIABLES],
    volumeMounts: [...mounts, ...own],
    startupProbe: {
      exec: { command: ["test", "-S", `${SOCKET_DIRECTORY}/${PLUGIN_NAME}`] },
      periodSeconds: 1,
      failureThreshold: 120,
      timeoutSeconds: 5,
    },
    // A frozen process keeps its socket: only the time of its last answer shows it. The probe does not start Node.
    livenessProbe: {
      exec: { command: ["/bin/sh", "-c", IS_ALIVE] },
      periodSeconds: 10,
      failureThreshold: 2,
      timeoutSeconds: 5,
    },
    // Always present: the operator adds an empty one, and the container would differ.
    resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      privileged: false,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      seccompProfile: { type: "RuntimeDefault" },
      capabilities: { drop: ["ALL"] },
    },
  };
}

const WATCHED = [PATHS.config, PATHS.include, PATHS.secrets];
const SOURCE_WATCHED = [SOURCE_PATHS.config, SOURCE_PATHS.include, SOURCE_PATHS.secrets];
/**
 * The directory of secrets, and limits that keep the program and its backups small. Bytes pass through buffers outside
 * V8's heap, whose young generation would grow to 48 MiB per thread, and glibc keeps freed memory per arena.
 */
export const OWN_VARIABLES = [
  ...Object.entries(SMALL_ALLOCATOR).map(([name, value]) => ({ name, value })),
  // Each thread that helps V8 keeps the memory of the largest function that it has compiled.
  { name: "NODE_OPTIONS", value: "--max-semi-space-size=2 --v8-pool-size=1" },
  { name: "PGBACKSTOP_SECRETS", value: PATHS.secrets },
];
const IS_ALIVE = `read at < ${HEARTBEAT_FILE} && test $(($(date +%s) - at)) -lt ${HEARTBEAT_AGE_MAX_S}`;

/** With a copy on the instance's volume, a pod starts without the plugin. */
function pinnedOf({ bundle, runtime }: PluginParameters, durable: string): PinnedProgram | null {
  if (runtime === undefined) return null;
  return { ...runtime, kept: bundle === undefined ? durable : PATHS.bundle };
}

function argumentsOf(main: JsonObject, durable: string, { mode, parameters, source }: SidecarParts): string[] {
  const variable = (name: string): string | undefined =>
    textAt(
      listAt(main, "env").find((entry) => textAt(entry, "name") === name),
      "value",
    );
  const session =
    mode === "instance"
      ? [
          "--pg1-user=postgres",
          `--pg1-socket-path=${variable("PGHOST") ?? "/controller/run"}`,
          `--pg1-port=${variable("PGPORT") ?? "5432"}`,
        ]
      : [];
  const hasPage = mode === "instance" && parameters.reportPassword !== undefined;
  const watched = [...WATCHED, ...(source === null ? [] : SOURCE_WATCHED), ...(hasPage ? [PATHS.report] : [])];
  return [
    `--config=${PATHS.config}/pgbackrest.conf`,
    `--config-include-path=${PATHS.include}`,
    `--stanza=${parameters.stanza}`,
    `--pg1-path=${variable("PGDATA") ?? DATA_DIRECTORY}`,
    ...session,
    `--lock-path=${PATHS.run}/lock`,
    `--spool-path=${durable}`,
    "--log-level-console=info",
    "--log-level-file=off",
    `--plugin-heartbeat=${HEARTBEAT_FILE}`,
    ...(source === null ? [] : [`--plugin-source-stanza=${source.stanza}`]),
    ...(hasPage ? [`--report-password-file=${REPORT_PASSWORD_FILE}`] : []),
    ...(mode === "restore"
      ? restoreArgs(parameters)
      : [`--plugin-instance=${variable("POD_NAME") ?? ""}`, ...watched.map((path) => `--plugin-watch=${path}`)]),
    mode === "instance" ? "cnpg-instance" : "cnpg-restore",
  ];
}

/** Options alongside a recovery job. */
function restoreArgs({ newestWal, repoIndex, repositoryTargetTime }: PluginParameters): string[] {
  return [
    ...API_SERVER_OPTIONS,
    ...(repoIndex === undefined ? [] : [`--repo=${repoIndex}`]),
    ...(newestWal === undefined ? [] : [`--plugin-newest-wal=${newestWal}`]),
    ...(repositoryTargetTime === undefined ? [] : [`--repo-target-time=${repositoryTargetTime}`]),
  ];
}

function isEmpty(record: object): boolean {
  return Object.keys(record).length === 0;
}
