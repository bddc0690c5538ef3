/**
 * What the operator's pods and recovery jobs get: the sidecar, its volumes and the directory of sockets, as an RFC 6902 patch. Pure.
 *
 * The patched pod becomes what the operator expects, so the same cluster must give the same bytes each time, in whatever order its fields came,
 * and a pod that has it all gets an empty patch: it is asked for again when the pod is made. Nothing here depends on time or on what is in a
 * Secret.
 */
import { fail } from "../base/errors";
import { at, isObject, type Json, type JsonObject, listAt, type Parameters, textAt } from "./cluster";
import { HEARTBEAT_AGE_MAX_S, HEARTBEAT_FILE, PLACES, PLUGIN_NAME, SIDECAR_NAME, SOCKET_DIRECTORY, START } from "./names";
import { type PluginParameters, type RepoSecret, readParameters } from "./parameters";

export interface PatchOperation {
  readonly op: "add" | "replace";
  readonly path: string;
  readonly value: Json;
}

export interface SidecarWish {
  readonly mode: "instance" | "restore";
  /** Of the repositories that the mode works with. */
  readonly parameters: Parameters;
  /** Where the cluster names none. */
  readonly image: string | undefined;
}

const PLUGINS_VOLUME = "plugins";
const DATA_DIRECTORY = "/var/lib/postgresql/data/pgdata";
const WAL_MOUNT = "/var/lib/postgresql/wal";

/** `object` is a Pod or a Job; `mainName` its container that does the work. @throws format, and what {@link readParameters} throws */
export function sidecarPatch(cluster: JsonObject, object: JsonObject, mainName: string, wish: SidecarWish): PatchOperation[] {
  const isJob = textAt(object, "kind") === "Job";
  const path = isJob ? "/spec/template/spec" : "/spec";
  const pod = isJob ? at(object, "spec", "template", "spec") : at(object, "spec");
  const main = listAt(pod, "containers").findIndex((container) => textAt(container, "name") === mainName);
  const mainContainer = listAt(pod, "containers")[main];
  if (!isObject(pod) || !isObject(mainContainer)) throw fail("format", `the ${isJob ? "job" : "pod"} has no container '${mainName}'`);
  const name = textAt(cluster, "metadata", "name") ?? "";
  const parameters = readParameters(wish.parameters, { clusterName: name, image: wish.image });

  const volumes = [{ name: PLUGINS_VOLUME, emptyDir: {} }, ...ownVolumes(parameters)];
  const socketMount = { name: PLUGINS_VOLUME, mountPath: SOCKET_DIRECTORY };
  const sidecar = sidecarOf(cluster, mainContainer, parameters, wish.mode);
  return [
    ...putAll(`${path}/volumes`, at(pod, "volumes"), volumes, "name"),
    ...putAll(`${path}/containers/${main}/volumeMounts`, at(mainContainer, "volumeMounts"), [socketMount], "mountPath"),
    ...putAll(`${path}/initContainers`, at(pod, "initContainers"), [sidecar], "name"),
  ];
}

/** JSON with the keys of every object in one order. */
export function stableJson(value: Json | readonly PatchOperation[]): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([left], [right]) => (left < right ? -1 : 1)))
      : inner,
  );
}

/** Adds what is not in the list, replaces what is another one under the same key, and lets be what is equal. */
function putAll(path: string, list: Json | undefined, wanted: readonly JsonObject[], key: string): PatchOperation[] {
  if (!Array.isArray(list)) return wanted.length === 0 ? [] : [{ op: "add", path, value: wanted }];
  return wanted.flatMap((value): PatchOperation[] => {
    const place = list.findIndex((entry: Json) => at(entry, key) === value[key]);
    if (place === -1) return [{ op: "add", path: `${path}/-`, value }];
    // Another plugin may have brought the directory of sockets: any volume of that name will do.
    const isShared = value["name"] === PLUGINS_VOLUME;
    return isShared || stableJson(list[place] as Json) === stableJson(value) ? [] : [{ op: "replace", path: `${path}/${place}`, value }];
  });
}

function ownVolumes(parameters: PluginParameters): JsonObject[] {
  const { bundle, configMap, secrets, secretConf, claims } = parameters;
  return [
    { name: "pgbackstop-run", emptyDir: {} },
    { name: "pgbackstop-bundle", configMap: { name: bundle } },
    { name: "pgbackstop-config", configMap: { name: configMap } },
    ...secrets.map(secretVolume),
    ...(secretConf === undefined ? [] : [{ name: "pgbackstop-conf", secret: { secretName: secretConf } }]),
    ...claims.map((claim, index) => ({ name: `pgbackstop-claim-${index}`, persistentVolumeClaim: { claimName: claim } })),
  ];
}

/** Keys of several Secrets become files of one directory. */
function secretVolume(secret: RepoSecret): JsonObject {
  const name = `pgbackstop-${secret.repo}`;
  if (secret.files === undefined) return { name, secret: { secretName: secret.name } };
  const names = [...new Set(secret.files.map((file) => file.name))].sort();
  const sources = names.map((each) => ({
    secret: { name: each, items: secret.files.filter((file) => file.name === each).map(({ file, key }) => ({ key, path: file })) },
  }));
  return { name, projected: { sources } };
}

function ownMounts({ secrets, secretConf, claims }: PluginParameters): JsonObject[] {
  return [
    { name: PLUGINS_VOLUME, mountPath: SOCKET_DIRECTORY },
    { name: "pgbackstop-run", mountPath: PLACES.run },
    { name: "pgbackstop-bundle", mountPath: PLACES.bundle, readOnly: true },
    { name: "pgbackstop-config", mountPath: PLACES.config, readOnly: true },
    ...secrets.map(({ repo }) => ({ name: `pgbackstop-${repo}`, mountPath: `${PLACES.secrets}/${repo}`, readOnly: true })),
    ...(secretConf === undefined ? [] : [{ name: "pgbackstop-conf", mountPath: PLACES.include, readOnly: true }]),
    ...claims.map((claim, index) => ({ name: `pgbackstop-claim-${index}`, mountPath: `${PLACES.claims}/${claim}` })),
  ];
}

function sidecarOf(cluster: JsonObject, main: JsonObject, parameters: PluginParameters, mode: SidecarWish["mode"]): JsonObject {
  const own = ownMounts(parameters);
  const ownPaths = new Set(own.map((mount) => textAt(mount, "mountPath")));
  const mounts = listAt(main, "volumeMounts")
    .filter((mount) => !ownPaths.has(textAt(mount, "mountPath")))
    .toSorted((left, right) => ((textAt(left, "mountPath") ?? "") < (textAt(right, "mountPath") ?? "") ? -1 : 1));
  const env = listAt(main, "env").filter((entry) => !OWN_VARIABLES.includes(textAt(entry, "name") ?? ""));
  const pullPolicy = textAt(cluster, "spec", "imagePullPolicy");
  const { requests, limits } = parameters;
  const resources = { ...(isEmpty(requests) ? {} : { requests }), ...(isEmpty(limits) ? {} : { limits }) };
  return {
    name: SIDECAR_NAME,
    image: parameters.image,
    ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
    restartPolicy: "Always",
    command: ["/bin/sh", "-c", START, "sh"],
    args: argumentsOf(main, parameters, mode, mounts),
    env: [...env, { name: "PGBACKSTOP_SECRETS", value: PLACES.secrets }],
    volumeMounts: [...mounts, ...own],
    startupProbe: {
      exec: { command: ["test", "-S", `${SOCKET_DIRECTORY}/${PLUGIN_NAME}`] },
      periodSeconds: 1,
      failureThreshold: 120,
      timeoutSeconds: 5,
    },
    // A frozen process keeps its socket: only the time of its last answer tells. No probe starts Node.
    livenessProbe: { exec: { command: ["/bin/sh", "-c", IS_ALIVE] }, periodSeconds: 10, failureThreshold: 2, timeoutSeconds: 5 },
    // Always there: the operator adds it when it is empty, and would hand back another container than this one.
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

const WATCHED = [PLACES.config, PLACES.include, PLACES.secrets];
const OWN_VARIABLES = ["PGBACKSTOP_SECRETS"];
const IS_ALIVE = `read at < ${HEARTBEAT_FILE} && test $(($(date +%s) - at)) -lt ${HEARTBEAT_AGE_MAX_S}`;

function argumentsOf(main: JsonObject, { stanza }: PluginParameters, mode: SidecarWish["mode"], mounts: readonly Json[]): string[] {
  const variable = (name: string): string | undefined =>
    textAt(
      listAt(main, "env").find((entry) => textAt(entry, "name") === name),
      "value",
    );
  // What repositories lack must outlive the pod: on the volume of the WAL itself, where there is one.
  const durable = mounts.some((mount) => textAt(mount, "mountPath") === WAL_MOUNT) ? WAL_MOUNT : "/var/lib/postgresql/data";
  const session =
    mode === "restore"
      ? []
      : ["--pg1-user=postgres", `--pg1-socket-path=${variable("PGHOST") ?? "/controller/run"}`, `--pg1-port=${variable("PGPORT") ?? "5432"}`];
  return [
    `--config=${PLACES.config}/pgbackrest.conf`,
    `--config-include-path=${PLACES.include}`,
    `--stanza=${stanza}`,
    `--pg1-path=${variable("PGDATA") ?? DATA_DIRECTORY}`,
    ...session,
    `--lock-path=${PLACES.run}/lock`,
    `--spool-path=${durable}/pgbackstop`,
    "--log-level-console=info",
    "--log-level-file=off",
    `--plugin-heartbeat=${HEARTBEAT_FILE}`,
    ...(mode === "restore" ? [] : [`--plugin-instance=${variable("POD_NAME") ?? ""}`, ...WATCHED.map((path) => `--plugin-watch=${path}`)]),
    mode === "restore" ? "cnpg-restore" : "cnpg-instance",
  ];
}

function isEmpty(record: object): boolean {
  return Object.keys(record).length === 0;
}
