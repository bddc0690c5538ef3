/**
 * procklet: a kubelet for tests on one node that does not exist. It binds every pod to itself and runs the containers
 * as plain processes in namespaces, without images, cgroups or a container runtime. It polls the API server for
 * changes. README.md in the parent folder says which parts of a kubelet it covers.
 *
 * `node procklet.cjs SETTINGS-FILE`
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ApiError, get, mergePatch, podPath, post } from "./api";
import { CONFIG, KUBELET_PORT, NODE_NAME } from "./config";
import { serveKubelet } from "./kubelet";
import { startPod, stopPod } from "./lifecycle";
import { writeHosts } from "./names";
import type { ListOf, PodObject } from "./objects";
import { newPod, type Pod, pods } from "./pod";
import { runProbes } from "./probes";
import { updateStatus } from "./status";
import { log, logError, now, sleep } from "./util";
import { bindClaims } from "./volumes";

const POLL_MS = 300;
/** Polls between two rounds of probes, names and claims. */
const CHECK_EVERY = 2;
/** Polls between two refreshes of secrets and config maps. A kubelet takes a minute. */
const REFRESH_EVERY = 15;

async function registerNode(): Promise<void> {
  const labels = { "kubernetes.io/hostname": NODE_NAME, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" };
  await post("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: NODE_NAME, labels } });
  const resources = { cpu: "2", memory: "8Gi", pods: "100" };
  await mergePatch(`/api/v1/nodes/${NODE_NAME}/status`, {
    status: {
      daemonEndpoints: { kubeletEndpoint: { Port: KUBELET_PORT } },
      declaredFeatures: ["ExtendWebSocketsToKubelet"],
      capacity: resources,
      allocatable: resources,
      addresses: [{ type: "InternalIP", address: CONFIG.nodeAddress }],
      conditions: [
        { type: "Ready", status: "True", reason: "procklet", lastHeartbeatTime: now(), lastTransitionTime: now() },
      ],
      nodeInfo: {
        architecture: "amd64",
        operatingSystem: "linux",
        kubeletVersion: CONFIG.kubernetesVersion,
        containerRuntimeVersion: "procklet://0",
        machineID: "",
        systemUUID: "",
        bootID: "",
        kernelVersion: "",
        osImage: "",
        kubeProxyVersion: "",
      },
    },
  });
}

async function bind({ metadata }: PodObject): Promise<void> {
  await post(`${podPath(metadata)}/binding`, {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: metadata.name, namespace: metadata.namespace },
    target: { apiVersion: "v1", kind: "Node", name: NODE_NAME },
  }).catch(logError);
}

function stopOnce(pod: Pod): void {
  if (pod.deleted) return;
  pod.deleted = true;
  stopPod(pod).catch(logError);
}

async function syncPods(): Promise<void> {
  const { items } = await get<ListOf<PodObject>>("/api/v1/pods");
  for (const object of items) await syncPod(object);
  const present = new Set(items.map(({ metadata }) => metadata.uid));
  for (const [uid, pod] of pods) if (!present.has(uid)) stopOnce(pod);
}

async function syncPod(object: PodObject): Promise<void> {
  const { metadata, spec, status } = object;
  if (spec.nodeName === undefined) {
    await bind(object);
    return;
  }
  let pod = pods.get(metadata.uid);
  const isNew = pod === undefined;
  if (isNew && metadata.deletionTimestamp === undefined && ["Succeeded", "Failed"].includes(status.phase ?? "")) return;
  pod ??= newPod(object, join(CONFIG.stateFolder, "pods", metadata.uid));
  pods.set(metadata.uid, pod);
  pod.object = object;
  if (metadata.deletionTimestamp !== undefined && !pod.lost) stopOnce(pod);
  else if (isNew) start(pod);
}

function start(pod: Pod): void {
  startPod(pod).catch((error: unknown) => {
    log("start", pod.object.metadata.name, error instanceof Error ? error.stack : error);
    pod.failed = true;
    updateStatus(pod).catch(logError);
  });
}

function probeOnce(pod: Pod): void {
  if (pod.stopping || pod.probing) return;
  pod.probing = true;
  runProbes(pod)
    .catch(logError)
    .finally(() => {
      pod.probing = false;
    });
}

async function turn(poll: number): Promise<void> {
  await syncPods();
  if (poll % REFRESH_EVERY === 0) {
    for (const pod of pods.values())
      if (!pod.stopping && pod.initialized) for (const renew of pod.refresh) renew().catch(logError);
  }
  if (poll % CHECK_EVERY !== 0) return;
  await writeHosts(pods.values());
  await bindClaims();
  for (const pod of pods.values()) probeOnce(pod);
}

/** Runs until its namespaces end. */
async function main(): Promise<void> {
  mkdirSync(CONFIG.stateFolder, { recursive: true });
  await registerNode().catch((error: unknown) => {
    if (!(error instanceof ApiError) || error.code !== 409) throw error;
  });
  serveKubelet();
  log("ready");
  for (let poll = 0; ; poll += 1) {
    await turn(poll).catch(logError);
    await sleep(POLL_MS);
  }
}

main().catch((error: unknown) => {
  logError(error);
  process.exitCode = 1;
});
