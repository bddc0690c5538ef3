/** Reports a pod's status like a kubelet. */
import { mergePatch, podPath } from "./api";
import { CONFIG } from "./config";
import type { ContainerSpec } from "./objects";
import { type Pod, signal } from "./pod";
import { now } from "./util";

interface ContainerStatus {
  readonly ready: boolean;
  readonly started: boolean;
  readonly state: { readonly terminated?: { readonly exitCode: number } };
}

/** Writes the status, and stops the sidecars of a finished job. */
export async function updateStatus(pod: Pod): Promise<void> {
  const { metadata, spec } = pod.object;
  const initContainerStatuses = (spec.initContainers ?? []).map((container) => statusOf(pod, container, true));
  const containerStatuses = spec.containers.map((container) => statusOf(pod, container, false));
  const ready = pod.initialized && containerStatuses.every((container) => container.ready);
  const ended = containerStatuses.every((container) => container.state.terminated !== undefined);
  const done = pod.initialized && (spec.restartPolicy ?? "Always") !== "Always" && ended;
  const succeeded = done && containerStatuses.every((container) => container.state.terminated?.exitCode === 0);
  if (done && (succeeded || spec.restartPolicy === "Never")) stopSidecars(pod);
  const failed = pod.failed || (done && spec.restartPolicy === "Never");
  await mergePatch(`${podPath(metadata)}/status`, {
    status: {
      phase: succeeded ? "Succeeded" : failed ? "Failed" : pod.initialized ? "Running" : "Pending",
      podIP: pod.ip,
      podIPs: [{ ip: pod.ip }],
      hostIP: CONFIG.nodeAddress,
      hostIPs: [{ ip: CONFIG.nodeAddress }],
      startTime: pod.startTime,
      conditions: [
        condition(pod, "PodScheduled", true),
        condition(pod, "PodReadyToStartContainers", true),
        condition(pod, "Initialized", pod.initialized),
        condition(pod, "ContainersReady", ready),
        condition(pod, "Ready", ready),
      ],
      initContainerStatuses,
      containerStatuses,
    },
  });
}

function statusOf(pod: Pod, spec: ContainerSpec, isInit: boolean): ContainerStatus {
  const container = pod.containers.get(spec.name);
  const lastEnd = pod.lastEnds.get(spec.name);
  const common = {
    name: spec.name,
    image: spec.image,
    imageID: container === undefined ? "" : `${spec.image}@sha256:${"0".repeat(64)}`,
    containerID: container === undefined ? "" : `procklet://${spec.name}`,
    restartCount: pod.restarts.get(spec.name) ?? 0,
    ready: false,
    started: false,
    lastState:
      lastEnd === undefined
        ? {}
        : { terminated: { ...lastEnd, reason: lastEnd.exitCode === 0 ? "Completed" : "Error" } },
  };
  if (container === undefined)
    return { ...common, state: { waiting: { reason: pod.waiting.get(spec.name) ?? "PodInitializing" } } as object };
  const { entered, exitCode, finishedAt, running, startedAt } = container;
  if (running && !entered) return { ...common, state: { waiting: { reason: "ContainerCreating" } } as object };
  if (running) {
    const ready = (!isInit || spec.restartPolicy === "Always") && container.ready;
    return {
      ...common,
      ready,
      started: container.startupOk,
      state: { running: { startedAt } } as object,
    };
  }
  const code = exitCode ?? 137;
  const terminated = { exitCode: code, reason: code === 0 ? "Completed" : "Error", startedAt, finishedAt };
  return { ...common, ready: isInit && code === 0, state: { terminated } };
}

function stopSidecars(pod: Pod): void {
  if (pod.sidecarsStopped) return;
  pod.sidecarsStopped = true;
  for (const container of pod.containers.values()) {
    if (!container.running) continue;
    pod.stopping = true;
    signal(container, "SIGTERM");
  }
}

function condition(pod: Pod, type: string, value: boolean): object {
  const status = value ? "True" : "False";
  const before = pod.conditions.get(type);
  if (before?.status === status) return before;
  const changed = { type, status, lastTransitionTime: now() };
  pod.conditions.set(type, changed);
  return changed;
}
