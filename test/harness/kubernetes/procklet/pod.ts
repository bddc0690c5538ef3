/** procklet's state of pods and their containers. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import type { ContainerSpec, PodObject } from "./objects";
import { now } from "./util";

export interface Container {
  readonly spec: ContainerSpec;
  readonly process: ChildProcess;
  readonly isInit: boolean;
  readonly uid: number;
  readonly gid: number;
  readonly env: Readonly<Record<string, string>>;
  readonly startedAt: string;
  readonly startedMs: number;
  /** Its process exists, even if it has not entered the container yet. */
  running: boolean;
  /** Its process has entered the container. */
  entered: boolean;
  ready: boolean;
  startupOk: boolean;
  exitCode: number | null;
  killed: boolean;
  finishedAt: string | null;
  /** Consecutive failures of the liveness probe. */
  misses: number;
  /** The next due time of each probe. */
  readonly due: { startup: number; readiness: number; liveness: number };
}

export interface Pod {
  object: PodObject;
  readonly containers: Map<string, Container>;
  readonly restarts: Map<string, number>;
  /** How each container's previous run ended. */
  readonly lastEnds: Map<
    string,
    { readonly exitCode: number; readonly startedAt: string; readonly finishedAt: string }
  >;
  /** Why a container is not running. */
  readonly waiting: Map<string, string>;
  readonly conditions: Map<
    string,
    { readonly type: string; readonly status: string; readonly lastTransitionTime: string }
  >;
  /** Functions that refresh secrets and config maps. */
  readonly refresh: (() => Promise<void>)[];
  readonly startTime: string;
  readonly folder: string;
  ip: string;
  netns: string;
  /** Folders by volume name. */
  volumes: Readonly<Record<string, string>>;
  hosts: string;
  initialized: boolean;
  failed: boolean;
  /** No more containers may start. */
  stopping: boolean;
  deleted: boolean;
  /** The pod's node is lost, so nothing completes the pod's deletion. */
  lost: boolean;
  probing: boolean;
  sidecarsStopped: boolean;
}

/** By uid. */
export const pods = new Map<string, Pod>();

export function newPod(object: PodObject, folder: string): Pod {
  return {
    object,
    folder,
    containers: new Map(),
    restarts: new Map(),
    lastEnds: new Map(),
    waiting: new Map(),
    conditions: new Map(),
    refresh: [],
    startTime: now(),
    ip: "",
    netns: "",
    volumes: {},
    hosts: "",
    initialized: false,
    failed: false,
    stopping: false,
    deleted: false,
    lost: false,
    probing: false,
    sidecarsStopped: false,
  };
}

export function findPod(namespace: string, name: string): Pod | undefined {
  return [...pods.values()].find(
    ({ object: { metadata } }) => metadata.namespace === namespace && metadata.name === name,
  );
}

/**
 * Process id of a container's first process; 0 if it has none. procklet spawns `unshare`, and that process is its only
 * child.
 */
export function initPid({ process: { pid = 0 } }: Container): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]) || 0;
  } catch {
    return 0;
  }
}

export function signal(container: Container, name: NodeJS.Signals): void {
  const pid = initPid(container);
  try {
    if (pid <= 0) return;
    process.kill(pid, name);
    // `unshare` cannot end with its child's signal and exits with 1.
    if (name === "SIGKILL") container.killed = true;
  } catch {
    // The process has ended meanwhile.
  }
}
