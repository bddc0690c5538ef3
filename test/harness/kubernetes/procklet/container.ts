/**
 * Runs containers: process trees in their own mount, pid, uts and ipc namespaces, with a layer over files that all pods
 * share.
 */
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { chownSync, closeSync, existsSync, mkdirSync, openSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { get } from "./api";
import { CONFIG, type ImageDouble, NODE_NAME } from "./config";
import type { ContainerSpec, DataObject, EnvVar, KeyRef } from "./objects";
import { type Container, initPid, type Pod } from "./pod";
import { updateStatus } from "./status";
import { log, logError, now, quote, sleep } from "./util";

/** The longest pause before a container restarts. */
const RESTART_S_MAX = 30;

/** Starts a container. Returns null if its image has no double; the pod's status then says so. */
export async function startContainer(pod: Pod, spec: ContainerSpec, isInit: boolean): Promise<Container | null> {
  const { metadata, spec: podSpec } = pod.object;
  const image = CONFIG.images.find(({ name }) => new RegExp(name).test(spec.image));
  if (image === undefined) {
    pod.waiting.set(spec.name, "ErrImagePull");
    log(metadata.name, spec.name, `there is no double of the image ${spec.image}`);
    return null;
  }
  const folder = join(pod.folder, "containers", `${spec.name}-${pod.restarts.get(spec.name) ?? 0}`);
  const identity = identityOf(pod, spec, image);
  const env = await environmentOf(pod, spec);
  env["PATH"] ??= image.path;
  env["HOME"] ??= "/tmp";
  writeEntry(pod, spec, image, { ...identity, env }, folder);
  const output = openSync(join(CONFIG.logFolder, `${metadata.namespace}_${metadata.name}_${spec.name}.log`), "a");
  const namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--uts", "--ipc"];
  const args = ["netns", "exec", pod.netns, ...namespaces, "bash", CONFIG.containerScript, join(folder, "settings")];
  const child = spawn("ip", args, { stdio: ["ignore", output, output] });
  closeSync(output);
  const dueIn = (probe: { readonly initialDelaySeconds?: number } | undefined): number =>
    performance.now() + 1000 * (probe?.initialDelaySeconds ?? 0);
  const container: Container = {
    spec,
    process: child,
    isInit,
    ...identity,
    env,
    startedAt: now(),
    startedMs: performance.now(),
    running: true,
    entered: false,
    ready: false,
    startupOk: spec.startupProbe === undefined,
    exitCode: null,
    killed: false,
    finishedAt: null,
    misses: 0,
    due: {
      startup: dueIn(spec.startupProbe),
      readiness: dueIn(spec.readinessProbe),
      liveness: dueIn(spec.livenessProbe),
    },
  };
  pod.containers.set(spec.name, container);
  log(metadata.name, spec.name, "start", [...(spec.command ?? []), ...(spec.args ?? [])].slice(0, 4).join(" "));
  child.on("error", logError);
  child.on("exit", (code, signalName) => {
    Object.assign(container, {
      running: false,
      ready: false,
      exitCode: container.killed ? 137 : (code ?? 137),
      finishedAt: now(),
    });
    log(metadata.name, spec.name, "exit", code, signalName);
    const always = (podSpec.restartPolicy ?? "Always") === "Always" && !isInit;
    const onFailure = podSpec.restartPolicy === "OnFailure" && code !== 0 && !isInit;
    if (always || onFailure || spec.restartPolicy === "Always") scheduleRestart(pod, container);
    updateStatus(pod).catch(logError);
  });
  // Until it has entered, its first process still sees this machine's files, so no exec or probe may enter it.
  while (container.running && !container.entered) {
    await sleep(20);
    container.entered = hasText(join(folder, "entered"));
  }
  return container;
}

function hasText(file: string): boolean {
  return existsSync(file) && statSync(file).size > 0;
}

function scheduleRestart(pod: Pod, { spec, isInit, exitCode, startedAt, finishedAt }: Container): void {
  if (pod.stopping) return;
  const restarts = pod.restarts.get(spec.name) ?? 0;
  pod.restarts.set(spec.name, restarts + 1);
  pod.lastEnds.set(spec.name, { exitCode: exitCode ?? 137, startedAt, finishedAt: finishedAt ?? now() });
  setTimeout(
    () => {
      if (!pod.stopping) startContainer(pod, spec, isInit).catch(logError);
    },
    1000 * Math.min(RESTART_S_MAX, 2 ** restarts),
  );
}

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

function identityOf(pod: Pod, { securityContext: own = {} }: ContainerSpec, image: ImageDouble): Identity {
  const { securityContext: common = {} } = pod.object.spec;
  const uid = own.runAsUser ?? common.runAsUser ?? image.uid;
  return { uid, gid: own.runAsGroup ?? common.runAsGroup ?? uid };
}

/** Writes a container's entry script, mounts and settings. */
function writeEntry(
  pod: Pod,
  spec: ContainerSpec,
  image: ImageDouble,
  { uid, gid, env }: Identity & Pick<Container, "env">,
  folder: string,
): void {
  const expand = (text: string): string =>
    text.replace(/\$\(([\w.-]+)\)/g, (whole, name: string) => env[name] ?? whole);
  const command = [...(spec.command ?? image.entrypoint ?? []), ...(spec.args ?? [])].map(expand);
  const lines = [
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`),
    `cd ${quote(spec.workingDir ?? "/")}`,
    "echo entered >&3; exec 3>&-",
    `exec ${command.map(quote).join(" ")}`,
  ];
  mkdirSync(join(folder, "entry"), { recursive: true });
  const script = join(folder, "entry", "entry.sh");
  // The script may contain secrets: only the container's account may read it.
  writeFileSync(script, `${lines.join("\n")}\n`, { mode: 0o400 });
  chownSync(script, uid, gid);
  const mounts = [
    ...image.mounts.map(({ source, target }): [string, string, string] => [source, target, "ro"]),
    [join(folder, "entry"), "/.procklet", "ro"] as const,
    [join(pod.folder, "hosts"), "/etc/hosts", "ro"] as const,
    ...(spec.volumeMounts ?? []).map(
      ({ name, mountPath, subPath = "", readOnly = false }): [string, string, string] => {
        const source = join(pod.volumes[name] ?? "", subPath);
        if (subPath !== "") mkdirSync(source, { recursive: true });
        return [source, mountPath, readOnly ? "ro" : "rw"];
      },
    ),
  ]
    // container.sh mounts its own /dev/shm.
    .filter(([, target]) => target !== "/dev/shm")
    // Mount outer folders first.
    .sort(([, a], [, b]) => a.split("/").length - b.split("/").length);
  writeFileSync(join(folder, "mounts"), mounts.map((mount) => `${mount.join("\t")}\n`).join(""));
  const settings = {
    FOLDER: folder,
    POD_ROOT: CONFIG.podRoot,
    MOUNTS: join(folder, "mounts"),
    POD_HOSTNAME: env["HOSTNAME"] ?? "",
    READ_ONLY: spec.securityContext?.readOnlyRootFilesystem === true ? "1" : "0",
    USER_GROUP: `${uid}:${gid}`,
    EXTRA_GROUPS: String(pod.object.spec.securityContext?.fsGroup ?? gid),
  };
  writeFileSync(
    join(folder, "settings"),
    Object.entries(settings)
      .map(([name, value]) => `${name}=${quote(value)}\n`)
      .join(""),
  );
}

async function environmentOf(pod: Pod, spec: ContainerSpec): Promise<Record<string, string>> {
  const { metadata, spec: podSpec } = pod.object;
  const data = async (kind: string, name: string): Promise<Readonly<Record<string, string>>> =>
    (await get<DataObject>(`/api/v1/namespaces/${metadata.namespace}/${kind}/${name}`)).data ?? {};
  const { hostname, port } = new URL(CONFIG.apiUrl);
  const env: Record<string, string> = {
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
    HOSTNAME: podSpec.hostname ?? metadata.name,
  };
  for (const { configMapRef, secretRef } of spec.envFrom ?? []) {
    if (configMapRef !== undefined) Object.assign(env, await data("configmaps", configMapRef.name));
    if (secretRef !== undefined)
      for (const [key, value] of Object.entries(await data("secrets", secretRef.name))) env[key] = decode(value);
  }
  const keyOf = async (kind: string, { name, key, optional }: KeyRef): Promise<string | undefined> => {
    const value = (await data(kind, name))[key];
    if (value === undefined && optional !== true) throw new Error(`${kind}/${name} has no key ${key}`);
    return value;
  };
  for (const variable of spec.env ?? []) {
    const { fieldRef, secretKeyRef, configMapKeyRef } = variable.valueFrom ?? {};
    if (variable.valueFrom === undefined) env[variable.name] = variable.value ?? "";
    else if (fieldRef !== undefined) env[variable.name] = fieldOf(pod, fieldRef.fieldPath);
    else if (secretKeyRef !== undefined) setWhenThere(env, variable, decode(await keyOf("secrets", secretKeyRef)));
    else if (configMapKeyRef !== undefined) setWhenThere(env, variable, await keyOf("configmaps", configMapKeyRef));
    else throw new Error(`environment variable ${variable.name}: its source is not simulated`);
  }
  return env;
}

function setWhenThere(env: Record<string, string>, { name }: EnvVar, value: string | undefined): void {
  if (value !== undefined) env[name] = value;
}

function decode(value: string | undefined): string {
  return Buffer.from(value ?? "", "base64").toString();
}

/** A field of the pod for the downward API. */
export function fieldOf(pod: Pod, path: string): string {
  const { metadata } = pod.object;
  const single: Readonly<Record<string, string>> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace,
    "metadata.uid": metadata.uid,
    "status.podIP": pod.ip,
    "status.hostIP": CONFIG.nodeAddress,
    "spec.nodeName": NODE_NAME,
    "spec.serviceAccountName": pod.object.spec.serviceAccountName ?? "default",
  };
  const [, kind, key] = /^metadata\.(labels|annotations)(?:\['(.*)'\])?$/.exec(path) ?? [];
  if (kind === undefined) return single[path] ?? "";
  const map = (kind === "labels" ? metadata.labels : metadata.annotations) ?? {};
  if (key !== undefined) return map[key] ?? "";
  return Object.entries(map)
    .map(([name, value]) => `${name}="${value}"`)
    .join("\n");
}

function enter(container: Container, namespaces: readonly string[]): string[] {
  return ["-t", `${initPid(container)}`, ...namespaces, "-r", "-w", "-S", `${container.uid}`, "-G", `${container.gid}`];
}

/**
 * Runs a command in a container with the container's environment. Returns null if the container has not started or has
 * ended.
 */
export function execIn(container: Container, command: readonly string[], options: SpawnOptions): ChildProcess | null {
  if (!container.entered || initPid(container) === 0) return null;
  return spawn("/usr/bin/nsenter", [...enter(container, ["-m", "-u", "-i", "-n", "-p"]), ...command], {
    env: container.env,
    ...options,
  });
}
