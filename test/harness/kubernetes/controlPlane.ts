/**
 * Starts a new, real control plane in a network: etcd, kube-apiserver and, for tests that need controllers,
 * kube-controller-manager.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { request as send } from "node:http";
import { join } from "node:path";
import { makeCertificates } from "../../../tools/parts/servers/certificates";
import type { ApiServerParts, LabParts } from "../../../tools/parts/kubernetes/kubernetesPrograms";
import { type RunOptions, type RunResult, sleep, type Started } from "../../../tools/parts/process";
import { freePort } from "../../../tools/parts/servers/s3Server";
import type { TestNetwork } from "../testNetwork";
import { type ApiRequest, type Asker, Kubectl } from "./kubectl";

export interface ControlPlane {
  readonly kubectl: Kubectl;
  /** Runs a bash script in which `kubectl` talks to the lab. The script stops at the first failure. */
  shell(script: string, options?: RunOptions): Promise<RunResult>;
  readonly testNetwork: TestNetwork;
  /** Such as `https://10.244.0.1:6443`. */
  readonly url: string;
  /** The admin's token. */
  readonly token: string;
  readonly kubeconfig: string;
  readonly caFile: string;
  /** The certificate of the API server. The double of the kubelet uses it too. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly serviceAccountKeyFile: string;
}

/** Time limit for the API server to start on a busy machine. It needs some 5 s of processor time. */
const START_MS = 240_000;
/** Time limit for one answer of the API server. */
const ANSWER_MS = 60_000;
/** The port of the API server in its own namespaces. */
const API_PORT = 6443;
const CLUSTER_ADDRESSES = "10.96.0.0/16";
const SERVER_NAMES = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/** Collecting garbage is a quarter of what these programs do in their short lives. */
const GO_ENV = { GOGC: "400" };

/** Only the controllers that tests need. The volume binder is off: the double of the kubelet binds claims. */
const CONTROLLERS = [
  "serviceaccount-controller",
  "root-ca-certificate-publisher-controller",
  "job-controller",
  "deployment-controller",
  "replicaset-controller",
  "statefulset-controller",
  "endpointslice-controller",
  // The Kubernetes provider of Pulumi waits for the Endpoints of a Service.
  "endpoints-controller",
  "garbage-collector-controller",
  "namespace-controller",
  "disruption-controller",
  "cronjob-controller",
  "persistentvolumeclaim-protection-controller",
  "ephemeral-volume-controller",
  "clusterrole-aggregation-controller",
];

/** Starts etcd and the API server and waits until it is ready. @throws Error with the end of its log */
export async function startControlPlane(
  parts: ApiServerParts,
  testNetwork: TestNetwork,
  runFolder: string,
): Promise<ControlPlane> {
  const onLoopback = testNetwork.address === "127.0.0.1";
  const apiPort = onLoopback ? await freePort() : API_PORT;
  const [etcdUrl, peerUrl] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const files = await writeFiles(runFolder, `https://${testNetwork.address}:${apiPort}`, testNetwork.address);
  const etcd = await testNetwork.start(
    "etcd",
    parts.etcd,
    flags({
      "data-dir": join(runFolder, "etcd"),
      "unsafe-no-fsync": true,
      "log-level": "warn",
      "listen-client-urls": etcdUrl,
      "advertise-client-urls": etcdUrl,
      "listen-peer-urls": peerUrl,
      "initial-advertise-peer-urls": peerUrl,
      "initial-cluster": `default=${peerUrl}`,
    }),
    GO_ENV,
  );
  const server = await testNetwork.start(
    "kube-apiserver",
    parts.kubeApiserver,
    flags({
      "etcd-servers": etcdUrl,
      "service-cluster-ip-range": CLUSTER_ADDRESSES,
      "bind-address": testNetwork.address,
      "secure-port": apiPort,
      "tls-cert-file": files.certFile,
      "tls-private-key-file": files.keyFile,
      "cert-dir": join(runFolder, "pki"),
      "token-auth-file": files.tokens,
      "authorization-mode": "RBAC",
      "service-account-issuer": "https://kubernetes.default.svc",
      "service-account-key-file": files.serviceAccountKeyFile,
      "service-account-signing-key-file": files.serviceAccountKeyFile,
      // Without kube-proxy, the server must call webhooks at their endpoints.
      "enable-aggregator-routing": true,
      // No node controller sets the conditions.
      "disable-admission-plugins": "TaintNodesByCondition",
      // Nothing uses the API server's Service, and a loopback address cannot be advertised.
      "endpoint-reconciler-type": "none",
      ...(onLoopback ? { "advertise-address": "192.0.2.1" } : {}),
      "allow-privileged": true,
      profiling: false,
    }),
    GO_ENV,
  );
  const { kubeconfig } = files;
  const socketPath = join(runFolder, "api");
  const proxyArgs = ["proxy", ...flags({ kubeconfig, "unix-socket": socketPath })];
  const proxy = await testNetwork.start("kubectl-proxy", parts.kubectl, proxyArgs, GO_ENV);
  const kubectl = new Kubectl(
    (args, options) =>
      testNetwork.run(
        parts.kubectl,
        ["--kubeconfig", kubeconfig, "--cache-dir", join(runFolder, "kubectl-cache"), ...args],
        { ...options, env: { ...GO_ENV, ...options?.env } },
      ),
    (request) => ask(socketPath, request),
  );
  await waitUntilReady(socketPath, [etcd, server, proxy]);
  const kubectlFunction = `kubectl() { GOGC=${GO_ENV.GOGC} '${parts.kubectl}' --kubeconfig '${kubeconfig}' --cache-dir '${join(runFolder, "kubectl-cache")}' "$@"; }`;
  const shell: ControlPlane["shell"] = (script, options) =>
    testNetwork.run("bash", ["-c", `set -euo pipefail\n${kubectlFunction}\n${script}`], options);
  return { kubectl, shell, testNetwork, ...files };
}

/** Starts the controllers of a control plane. */
export async function startControllers(plane: ControlPlane, parts: LabParts): Promise<Started> {
  const settings = {
    kubeconfig: plane.kubeconfig,
    "service-account-private-key-file": plane.serviceAccountKeyFile,
    "root-ca-file": plane.caFile,
    "use-service-account-credentials": false,
    "leader-elect": false,
    "bind-address": "127.0.0.1",
    controllers: CONTROLLERS.join(","),
  };
  return plane.testNetwork.start("kube-controller-manager", parts.kubeControllerManager, flags(settings), GO_ENV);
}

/** Asks through `kubectl proxy`, whose socket every namespace sees. */
function ask(socketPath: string, { method = "GET", path, headers, body }: ApiRequest): ReturnType<Asker> {
  return new Promise((resolve, reject) => {
    const sent = send({ socketPath, method, path, headers, timeout: ANSWER_MS }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => void (text += chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("timeout", () => sent.destroy(new Error(`${method} ${path}: no answer`)));
    sent.on("error", reject);
    sent.end(body);
  });
}

function flags(settings: Readonly<Record<string, string | number | boolean>>): string[] {
  return Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
}

/** Asks through `kubectl proxy`: a kubectl for each look would cost more than the server's start. */
async function waitUntilReady(socketPath: string, servers: readonly Started[]): Promise<void> {
  const endMs = performance.now() + START_MS;
  for (;;) {
    const dead = servers.find((server) => !server.isRunning());
    const answer =
      dead === undefined
        ? await ask(socketPath, { path: "/readyz", headers: { accept: "text/plain" } }).catch((error: unknown) => ({
            status: 0,
            text: String(error),
          }))
        : null;
    if (answer?.status === 200) return;
    if (dead !== undefined || performance.now() > endMs) {
      const logs = servers.map((server) => server.log().split("\n").slice(-12).join("\n")).join("\n");
      throw new Error(`the API server is not ready: ${answer?.text.trim() ?? "a program ended"}\n${logs}`);
    }
    await sleep(200);
  }
}

interface Files extends Omit<ControlPlane, "kubectl" | "testNetwork" | "shell"> {
  readonly tokens: string;
}

async function writeFiles(runFolder: string, url: string, address: string): Promise<Files> {
  const pki = join(runFolder, "pki");
  mkdirSync(pki, { recursive: true, mode: 0o700 });
  const { caFile, certFile, keyFile } = await makeCertificates(pki, [...SERVER_NAMES, address]);
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "prime256v1",
    privateKeyEncoding: { type: "sec1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const token = randomBytes(16).toString("hex");
  const files = {
    url,
    token,
    caFile,
    certFile,
    keyFile,
    tokens: join(runFolder, "tokens.csv"),
    kubeconfig: join(runFolder, "kubeconfig.json"),
    serviceAccountKeyFile: join(pki, "service-account.key"),
  };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "lab", cluster: { server: url, "certificate-authority": caFile } }],
    users: [{ name: "admin", user: { token } }],
    contexts: [{ name: "lab", context: { cluster: "lab", user: "admin" } }],
    "current-context": "lab",
  };
  writeFileSync(files.serviceAccountKeyFile, privateKey, { mode: 0o600 });
  writeFileSync(files.tokens, `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });
  writeFileSync(files.kubeconfig, JSON.stringify(config), { mode: 0o600 });
  return files;
}
