/** The life cycle of a pod: network, volumes, init containers and sidecars in sequence, containers, clean stop. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { podPath, remove } from "./api";
import { startContainer } from "./container";
import { type Container, type Pod, pods, signal } from "./pod";
import { updateStatus } from "./status";
import { log, logError, runNow, sleep } from "./util";
import { makeVolumes } from "./volumes";

/** Default grace period of a pod. */
const GRACE_S = 30;

let connected = 0;

/** Gives the pod an address on the node's bridge. */
function connect(pod: Pod): void {
  const number = connected;
  connected += 1;
  pod.ip = `10.244.${1 + Math.trunc(number / 250)}.${1 + (number % 250)}`;
  pod.netns = `pod-${number}`;
  runNow("ip", "netns", "add", pod.netns);
  runNow("ip", "link", "add", `v${number}`, "type", "veth", "peer", "name", "eth0", "netns", pod.netns);
  runNow("ip", "link", "set", `v${number}`, "master", "br0", "up");
  runNow("ip", "-n", pod.netns, "addr", "add", `${pod.ip}/16`, "dev", "eth0");
  runNow("ip", "-n", pod.netns, "link", "set", "eth0", "up");
  runNow("ip", "-n", pod.netns, "link", "set", "lo", "up");
}

function disconnect({ netns }: Pod): void {
  try {
    if (netns !== "") runNow("ip", "netns", "del", netns);
  } catch (error) {
    logError(error);
  }
}

/** Starts a pod. Resolves when its containers have started or an init container has failed. */
export async function startPod(pod: Pod): Promise<void> {
  const { spec } = pod.object;
  mkdirSync(pod.folder, { recursive: true });
  writeFileSync(join(pod.folder, "hosts"), "127.0.0.1 localhost\n");
  connect(pod);
  pod.volumes = await makeVolumes(pod);
  await updateStatus(pod);
  for (const container of spec.initContainers ?? []) {
    const started = await startContainer(pod, container, true);
    await updateStatus(pod);
    if (started === null) return;
    if (container.restartPolicy === "Always") {
      // Check the current sidecar: after a crash it is no longer the one started above.
      while (pod.containers.get(container.name)?.startupOk !== true && !pod.stopping) await sleep(300);
    } else {
      while (started.running) await sleep(50);
      if (started.exitCode !== 0 && !pod.stopping) {
        pod.failed = true;
        await updateStatus(pod);
        return;
      }
    }
    if (pod.stopping) return;
  }
  pod.initialized = true;
  for (const container of spec.containers) await startContainer(pod, container, false);
  await updateStatus(pod);
}

/** Stops containers first, then sidecars, the last one first, all within the grace period. Then deletes the object. */
export async function stopPod(pod: Pod): Promise<void> {
  pod.stopping = true;
  const { metadata } = pod.object;
  const graceS = metadata.deletionGracePeriodSeconds ?? GRACE_S;
  log(metadata.name, "stopping, grace", graceS);
  const running = [...pod.containers.values()].filter((container) => container.running);
  const endMs = performance.now() + 1000 * graceS;
  await stopTogether(
    running.filter((container) => !container.isInit),
    endMs,
  );
  for (const sidecar of running.filter((container) => container.isInit).reverse())
    await stopTogether([sidecar], Math.max(endMs, performance.now() + 2000));
  await sleep(100);
  disconnect(pod);
  rmSync(pod.folder, { recursive: true, force: true });
  const body = { apiVersion: "v1", kind: "DeleteOptions", gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } };
  await remove(podPath(metadata), body).catch(logError);
  pods.delete(metadata.uid);
}

async function stopTogether(containers: readonly Container[], endMs: number): Promise<void> {
  for (const container of containers) signal(container, "SIGTERM");
  while (containers.some((container) => container.running) && performance.now() < endMs) await sleep(50);
  for (const container of containers) if (container.running) signal(container, "SIGKILL");
}
