/** Installs the plugin's operator side and the runtime's ConfigMaps in a lab, as plain manifests. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { PLUGIN_NAME } from "../../../runtime/cnpg/names";
import { projectFolder } from "../../../tools/parts/cache";
import { run } from "../../../tools/parts/process";
import type { Kubectl } from "./kubectl";
import { OPERATOR_NAMESPACE } from "./lab";

/** The name of the Service, the Deployment and the server's Secret. */
export const PLUGIN_SERVICE = "pgbackstop-plugin";
/** The ConfigMap with the runtime, in the operator's namespace and in that of clusters. */
export const RUNTIME_MAP = "pgbackstop-runtime";
export const NODE_IMAGE = "docker.io/library/node:24";

/** Applies everything and waits until the plugin is available. The bundle must be built. */
export async function installPlugin(kubectl: Kubectl): Promise<void> {
  await kubectl.apply([
    ...(await certificates()),
    runtimeMap(OPERATOR_NAMESPACE),
    runtimeMap("default"),
    service(),
    deployment(),
  ]);
  await kubectl.runOk(
    ["rollout", "status", `deployment/${PLUGIN_SERVICE}`, "-n", OPERATOR_NAMESPACE, "--timeout=120s"],
    { timeoutMs: 130_000 },
  );
}

/** New certificates for both sides. Applying them replaces the existing ones. */
export async function certificates(): Promise<object[]> {
  const [server, client] = [PLUGIN_SERVICE, `${PLUGIN_SERVICE}-client`];
  return [
    await certificate({ commonName: server, secretName: server, usage: "serverAuth" }),
    await certificate({ commonName: client, secretName: client, usage: "clientAuth" }),
  ];
}

interface Leaf {
  /** Also the certificate's DNS name. */
  readonly commonName: string;
  readonly secretName: string;
  readonly usage: "serverAuth" | "clientAuth";
}

/**
 * A certificate as a Secret for the operator's namespace. It is self-signed and not a CA: the operator uses the
 * server's certificate itself as the root.
 */
export async function certificate({ commonName, secretName, usage }: Leaf): Promise<object> {
  const folder = mkdtempSync(join(tmpdir(), "pgb-leaf-"));
  try {
    const extensions = [
      `subjectAltName=DNS:${commonName}`,
      "basicConstraints=critical,CA:FALSE",
      `extendedKeyUsage=${usage}`,
    ];
    const args = [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "30",
      "-subj",
      `/CN=${commonName}`,
    ];
    const files = ["-keyout", join(folder, "key"), "-out", join(folder, "crt")];
    const made = await run("openssl", [...args, ...files, ...extensions.flatMap((text) => ["-addext", text])]);
    if (made.exitCode !== 0) throw new Error(`openssl: ${made.stderr}`);
    const text = (file: string): string => readFileSync(join(folder, file), "base64");
    return {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: secretName, namespace: OPERATOR_NAMESPACE, labels: { "cnpg.io/reload": "true" } },
      type: "kubernetes.io/tls",
      data: { "tls.crt": text("crt"), "tls.key": text("key") },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runtimeMap(namespace: string): object {
  const bundle = gzipSync(readFileSync(join(projectFolder(), "dist", "runtime.cjs")), { level: 9 });
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: RUNTIME_MAP, namespace },
    binaryData: { "runtime.cjs.gz": bundle.toString("base64") },
  };
}

function service(): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: PLUGIN_SERVICE,
      namespace: OPERATOR_NAMESPACE,
      labels: { "cnpg.io/pluginName": PLUGIN_NAME },
      annotations: {
        "cnpg.io/pluginServerSecret": PLUGIN_SERVICE,
        "cnpg.io/pluginClientSecret": `${PLUGIN_SERVICE}-client`,
        "cnpg.io/pluginPort": "9090",
      },
    },
    spec: { selector: { app: PLUGIN_SERVICE }, ports: [{ port: 9090, protocol: "TCP" }] },
  };
}

function deployment(): object {
  const volume = (name: string, readOnly = true): object => ({
    name,
    mountPath: `/pgbackstop/${name}`,
    ...(readOnly ? { readOnly } : {}),
  });
  const start =
    'set -e; gzip -dc /pgbackstop/bundle/runtime.cjs.gz > /pgbackstop/run/runtime.cjs; exec node /pgbackstop/run/runtime.cjs "$@"';
  const container = {
    name: "plugin",
    image: NODE_IMAGE,
    command: ["/bin/sh", "-c", start, "sh"],
    args: [
      "--no-config",
      "--log-level-console=detail",
      "--log-level-file=off",
      `--plugin-image=${NODE_IMAGE}`,
      "cnpg-operator",
    ],
    readinessProbe: { tcpSocket: { port: 9090 } },
    securityContext: {
      readOnlyRootFilesystem: true,
      runAsUser: 10_001,
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
    },
    volumeMounts: [volume("server"), volume("client"), volume("bundle"), volume("run", false)],
  };
  const volumes = [
    { name: "server", secret: { secretName: PLUGIN_SERVICE } },
    {
      name: "client",
      secret: { secretName: `${PLUGIN_SERVICE}-client`, items: [{ key: "tls.crt", path: "tls.crt" }] },
    },
    { name: "bundle", configMap: { name: RUNTIME_MAP } },
    { name: "run", emptyDir: {} },
  ];
  const labels = { app: PLUGIN_SERVICE };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: PLUGIN_SERVICE, namespace: OPERATOR_NAMESPACE },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container], volumes } },
    },
  };
}
