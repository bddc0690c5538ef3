/**
 * A Kubernetes with CloudNativePG for tests, in its own network, mount and process namespaces. etcd, kube-apiserver,
 * kube-controller-manager, operator, instance manager and PostgreSQL are real. The kubelet is a double (`procklet/`),
 * which also stands in for the scheduler, the network and the storage. README.md explains the consequences.
 */
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";
import type { RunOptions, RunResult } from "../../../tools/parts/process";
import { pinnedVersion } from "../../../tools/parts/kubernetes/goTools";
import type { LabParts } from "../../../tools/parts/kubernetes/kubernetesPrograms";
import { bundleProgram } from "../network/forward";
import { startOnGround } from "../real/ground";
import { makeLogFolder } from "../real/logs";
import { NODE_ADDRESS } from "../testNetwork";
import { type ControlPlane, startControlPlane, startControllers } from "./controlPlane";
import { imageDoubles } from "./images";
import type { Kubectl } from "./kubectl";
import type { ImageDouble, ProckletConfig } from "./procklet/config";

export interface LabOptions {
  /** The name of the folder of logs; default `lab`. */
  readonly name?: string;
  /** Doubles that take precedence over {@link imageDoubles}. */
  readonly images?: readonly ImageDouble[];
  /** Default true: installs the operator and waits until it is available. */
  readonly operator?: boolean;
}

export interface Lab {
  readonly kubectl: Kubectl;
  /** Runs a bash script in which `kubectl` talks to the lab. The script stops at the first failure. */
  shell(script: string, options?: RunOptions): Promise<RunResult>;
  /** The servers' logs and `pods/NAMESPACE_POD_CONTAINER.log`. Kept until the next lab of the same name. */
  readonly logFolder: string;
  /** The folder that contains hostPath volumes. */
  readonly hostFolder: string;
  /**
   * Makes a server on this machine's loopback a Service of the lab. Pods reach it as `NAME.NAMESPACE.svc`, at the same
   * port.
   * @returns the address that pods use
   */
  expose(name: string, port: number, namespace?: string): Promise<string>;
  /**
   * Sends a signal to the first process of a container in a pod of `default`. It comes from outside the container, so
   * SIGSTOP and SIGKILL work.
   */
  signal(pod: string, container: string, name: NodeJS.Signals): Promise<void>;
  /**
   * Simulates that the node of a pod in `default` loses power: SIGKILL for all its processes at once. Then it deletes
   * the pod by force, as an administrator would.
   */
  crash(pod: string): Promise<void>;
  /** Ends every process of the lab and removes its state. */
  stop(): Promise<void>;
}

/** The namespace of the operator and its plugins. */
export const OPERATOR_NAMESPACE = "cnpg-system";
const OPERATOR = "cnpg-controller-manager";
const OPERATOR_MS = 300_000;

/**
 * Starts everything in some 30 s on two cores.
 * @throws Error with the folder of logs if a part does not become ready
 */
export async function startLab(parts: LabParts, options: LabOptions = {}): Promise<Lab> {
  const runFolder = mkdtempSync(join(tmpdir(), "pgbk-"));
  // Pods run as other accounts and need to reach their volumes in it.
  chmodSync(runFolder, 0o755);
  const logFolder = makeLogFolder("kubernetes", options.name ?? "lab");
  try {
    return await startOnGround(runFolder, logFolder, async ({ expose, network }) => {
      const plane = await startControlPlane(parts, network, runFolder);
      await startControllers(plane, parts);
      await startProcklet(plane, parts, runFolder, options.images ?? []);
      if (options.operator !== false) await installOperator(plane.kubectl, parts);
      return {
        kubectl: plane.kubectl,
        shell: plane.shell,
        logFolder,
        hostFolder: join(runFolder, "host"),
        expose: async (name: string, port: number, namespace = "default") => {
          await expose(port);
          await plane.kubectl.apply(serviceOf(name, namespace, port));
          return `${name}.${namespace}.svc`;
        },
        signal: async (pod: string, container: string, name: NodeJS.Signals) =>
          void (await askNode(plane.kubectl, `signal/default/${pod}/${container}?name=${name}`)),
        crash: async (pod: string) => {
          await askNode(plane.kubectl, `crash/default/${pod}`);
          await plane.kubectl.runOk([
            "delete",
            "pod",
            pod,
            "-n",
            "default",
            "--grace-period=0",
            "--force",
            "--wait=false",
          ]);
        },
      };
    });
  } catch (error) {
    throw new Error(
      `the lab did not start: ${error instanceof Error ? error.message : String(error)}\nlogs: ${logFolder}`,
      { cause: error },
    );
  }
}

async function startProcklet(
  plane: ControlPlane,
  parts: LabParts,
  runFolder: string,
  images: readonly ImageDouble[],
): Promise<void> {
  const folders = {
    stateFolder: join(runFolder, "node"),
    logFolder: join(plane.testNetwork.logFolder, "pods"),
    hostFolder: join(runFolder, "host"),
  };
  for (const path of Object.values(folders)) mkdirSync(path, { recursive: true });
  const config: ProckletConfig = {
    nodeAddress: NODE_ADDRESS,
    apiUrl: plane.url,
    token: plane.token,
    caFile: plane.caFile,
    ...folders,
    podRoot: parts.podRoot,
    containerScript: join(folder(), "procklet", "container.sh"),
    certFile: plane.certFile,
    keyFile: plane.keyFile,
    kubernetesVersion: pinnedVersion("k8s.io/kubernetes", "tools/kubernetes"),
    images: [...images, ...imageDoubles(parts, join(runFolder, "accounts"))],
  };
  const configFile = join(runFolder, "procklet.json");
  writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });
  const program = await bundleProgram("kubernetes/procklet/procklet.ts", runFolder);
  await plane.testNetwork.start("procklet", process.execPath, ["--enable-source-maps", program, configFile]);
}

/** Requests a path that procklet adds to the kubelet's own, through the API server. */
function askNode(kubectl: Kubectl, path: string): Promise<string> {
  return kubectl.runOk(["get", "--raw", `/api/v1/nodes/procklet/proxy/${path}`]);
}

/** This folder, even if this file is part of a bundle. */
function folder(): string {
  return join(projectFolder(), "test", "harness", "kubernetes");
}

async function installOperator(kubectl: Kubectl, { manifests }: LabParts): Promise<void> {
  await kubectl.applyFiles(manifests.operator);
  const flags = [`--timeout=${OPERATOR_MS / 1000}s`, "-n", OPERATOR_NAMESPACE];
  await kubectl.runOk(["rollout", "status", `deployment/${OPERATOR}`, ...flags], { timeoutMs: OPERATOR_MS + 10_000 });
}

function serviceOf(name: string, namespace: string, port: number): readonly object[] {
  return [
    { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec: { ports: [{ port, protocol: "TCP" }] } },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-outside`, namespace, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ port, protocol: "TCP" }],
      endpoints: [{ addresses: [NODE_ADDRESS], conditions: { ready: true } }],
    },
  ];
}
