/**
 * Startup, readiness and liveness probes by httpGet, exec and tcpSocket, each with its period, deadline and threshold.
 */
import { get as httpGet } from "node:http";
import { get as httpsGet } from "node:https";
import { connect } from "node:net";
import { execIn } from "./container";
import type { Probe } from "./objects";
import { type Container, type Pod, signal } from "./pod";
import { updateStatus } from "./status";
import { log } from "./util";

/** Runs a pod's due probes and reports changes. */
export async function runProbes(pod: Pod): Promise<void> {
  for (const container of pod.containers.values()) {
    if (!container.running || !container.entered) continue;
    const before = `${container.startupOk} ${container.ready}`;
    await checkStartup(pod, container);
    await checkReadiness(pod, container);
    await checkLiveness(pod, container);
    if (before !== `${container.startupOk} ${container.ready}`) await updateStatus(pod);
  }
}

async function checkStartup(pod: Pod, container: Container): Promise<void> {
  const { startupProbe: probe } = container.spec;
  if (probe === undefined || container.startupOk || !isDue(container, "startup", probe)) return;
  if (await passes(pod, container, probe)) {
    container.startupOk = true;
    return;
  }
  const { failureThreshold = 3, initialDelaySeconds = 0, periodSeconds = 10 } = probe;
  const patienceMs = 1000 * (initialDelaySeconds + periodSeconds * failureThreshold);
  if (performance.now() - container.startedMs > patienceMs) kill(pod, container, "startup");
}

async function checkReadiness(pod: Pod, container: Container): Promise<void> {
  if (!container.startupOk) return;
  const { readinessProbe: probe } = container.spec;
  if (probe === undefined) container.ready = true;
  else if (isDue(container, "readiness", probe)) container.ready = await passes(pod, container, probe);
}

async function checkLiveness(pod: Pod, container: Container): Promise<void> {
  const { livenessProbe: probe } = container.spec;
  if (probe === undefined || !container.startupOk || !isDue(container, "liveness", probe)) return;
  if (await passes(pod, container, probe)) {
    container.misses = 0;
    return;
  }
  container.misses += 1;
  if (container.misses >= (probe.failureThreshold ?? 3)) kill(pod, container, "liveness");
}

/** Checks an awaited result more often than a kubelet would, so that tests need not wait for a full period. */
function isDue(container: Container, kind: keyof Container["due"], probe: Probe): boolean {
  const nowMs = performance.now();
  if (nowMs < container.due[kind]) return false;
  const waiting = kind === "startup" || (kind === "readiness" && !container.ready);
  container.due[kind] = nowMs + (waiting ? 500 : 1000 * (probe.periodSeconds ?? 10));
  return true;
}

function kill(pod: Pod, container: Container, kind: string): void {
  if (!container.running) return;
  log(pod.object.metadata.name, container.spec.name, `${kind} probe failed: kill`);
  signal(container, "SIGKILL");
}

function passes(pod: Pod, container: Container, probe: Probe): Promise<boolean> {
  const timeoutMs = 1000 * (probe.timeoutSeconds ?? 1);
  if (probe.httpGet !== undefined) return passesHttp(pod, container, probe.httpGet, timeoutMs);
  if (probe.exec !== undefined) return passesExec(container, probe.exec.command, timeoutMs);
  if (probe.tcpSocket !== undefined) return passesTcp(pod.ip, portOf(container, probe.tcpSocket.port), timeoutMs);
  log(pod.object.metadata.name, container.spec.name, "has a probe of a kind that is not simulated");
  return Promise.resolve(false);
}

function passesHttp(
  pod: Pod,
  container: Container,
  wanted: NonNullable<Probe["httpGet"]>,
  timeoutMs: number,
): Promise<boolean> {
  const address = `${pod.ip}:${portOf(container, wanted.port)}${wanted.path ?? "/"}`;
  return new Promise((resolve) => {
    const judge = (response: { statusCode?: number | undefined; resume(): void }): void => {
      response.resume();
      resolve((response.statusCode ?? 500) < 400);
    };
    const request =
      wanted.scheme === "HTTPS"
        ? httpsGet(`https://${address}`, { rejectUnauthorized: false, timeout: timeoutMs, agent: false }, judge)
        : httpGet(`http://${address}`, { timeout: timeoutMs, agent: false }, judge);
    request.on("error", () => resolve(false));
    request.on("timeout", () => request.destroy(new Error("timeout")));
  });
}

function passesExec(container: Container, command: readonly string[], timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = execIn(container, command, { stdio: "ignore", timeout: timeoutMs, killSignal: "SIGKILL" });
    if (child === null) {
      resolve(false);
      return;
    }
    child.on("exit", (code) => resolve(code === 0));
    child.on("error", () => resolve(false));
  });
}

function passesTcp(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    const socket = connect({ host, port, timeout: timeoutMs }, () => end(true));
    socket.on("error", () => end(false));
    socket.on("timeout", () => end(false));
  });
}

function portOf({ spec }: Container, port: number | string): number {
  return typeof port === "number" ? port : (spec.ports?.find(({ name }) => name === port)?.containerPort ?? 0);
}
