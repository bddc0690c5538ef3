/**
 * The operator side of a plugin: the objects in CloudNativePG's namespace that let its operator find the plugin, trust
 * it and always reach a replica. While none answers, no cluster with the plugin is reconciled, and none fails over.
 * Pure; Secrets with certificates are named here and created elsewhere.
 */
import { PATHS, PLUGIN_NAME } from "../../../runtime/cnpg/names";
import { PROGRAM_PORT, programFile } from "../../../runtime/cnpg/programStart";
import type { DeployedRuntime } from "../engines/engine";
import { packedName } from "./bundle";
import { programContainer, PROGRAM_SECURITY, programVolumes } from "./container";
import { MANAGED_BY, type Metadata, type RenderedObject } from "./objects";
import { placed } from "./podPlacement";
import type { PodPlacement } from "../../plan/cluster/declaredCluster";

export const PLUGIN_PORT = 9090;
export interface PluginPlan {
  /** The operator's namespace. */
  readonly namespace: string;
  /** Name of the Service, and prefix of all other names. */
  readonly serviceName: string;
  readonly replicas: number;
  readonly image: string;
  /** In the same namespace. */
  readonly runtime: Omit<DeployedRuntime, "image">;
  /** Serves its runtime to pods of clusters. */
  readonly isServing?: boolean;
  /** SHA-256 of the runtimes that it had before, which clusters may name. */
  readonly earlier?: readonly string[];
  readonly memory: string;
  readonly cpu: string;
  readonly placement?: PodPlacement;
}

/** Certificates as Secrets of type kubernetes.io/tls. */
export function certificateSecrets({ serviceName }: Pick<PluginPlan, "serviceName">): {
  readonly server: string;
  readonly client: string;
} {
  return { server: `${serviceName}-server-tls`, client: `${serviceName}-client-tls` };
}

/** Certificates by cert-manager instead of our own: each is self-signed, which both sides trust. */
export function certificateObjects(plan: Pick<PluginPlan, "namespace" | "serviceName">): RenderedObject[] {
  const { namespace, serviceName } = plan;
  const secrets = certificateSecrets(plan);
  const issuer = `${serviceName}-selfsigned`;
  const certificate = (side: "server" | "client", more: object): RenderedObject => ({
    role: `${side}-certificate`,
    manifest: {
      apiVersion: "cert-manager.io/v1",
      kind: "Certificate",
      metadata: { name: `${serviceName}-${side}`, namespace, labels: MANAGED_BY },
      spec: {
        secretName: secrets[side],
        commonName: side === "server" ? serviceName : `${serviceName}-client`,
        duration: "2160h",
        renewBefore: "360h",
        isCA: false,
        privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
        usages: [`${side} auth`, "digital signature"],
        issuerRef: { name: issuer, kind: "Issuer", group: "cert-manager.io" },
        ...more,
      },
    },
  });
  return [
    {
      role: "issuer",
      manifest: {
        apiVersion: "cert-manager.io/v1",
        kind: "Issuer",
        metadata: { name: issuer, namespace, labels: MANAGED_BY },
        spec: { selfSigned: {} },
      },
    },
    certificate("server", { dnsNames: [serviceName, `${serviceName}.${namespace}.svc`] }),
    certificate("client", {}),
  ];
}

/** In the order of creation; the Service last, because the operator calls once it exists. */
export function renderPlugin(plan: PluginPlan): RenderedObject[] {
  const selector = { "app.kubernetes.io/name": plan.serviceName };
  const metadata = metadataOf(plan);
  const labels = { ...metadata.labels };
  return [
    serviceAccountOf(plan),
    {
      role: "deployment",
      manifest: {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata,
        spec: {
          replicas: plan.replicas,
          selector: { matchLabels: selector },
          strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
          template: placed({ metadata: { labels }, spec: podSpec(plan, selector) }, plan.placement),
        },
      },
    },
    ...(plan.replicas < 2
      ? []
      : [
          {
            role: "disruption-budget",
            manifest: {
              apiVersion: "policy/v1",
              kind: "PodDisruptionBudget",
              metadata,
              spec: { minAvailable: 1, selector: { matchLabels: selector } },
            },
          },
        ]),
    pluginService(plan, PLUGIN_NAME, selector),
  ];
}

/**
 * It has no rights: hooks only read their input. Without its own account a pod would use the namespace's default one.
 */
export function serviceAccountOf(plan: Pick<PluginPlan, "namespace" | "serviceName">): RenderedObject {
  const metadata = metadataOf(plan);
  return {
    role: "service-account",
    manifest: { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: false },
  };
}

function metadataOf({ namespace, serviceName }: Pick<PluginPlan, "namespace" | "serviceName">): Metadata {
  return {
    name: serviceName,
    namespace,
    labels: { "app.kubernetes.io/name": serviceName, ...MANAGED_BY },
  };
}

/** Where pods of clusters fetch the plugin's runtimes. */
export function runtimeUrl({ namespace, serviceName }: Pick<PluginPlan, "namespace" | "serviceName">): string {
  return `http://${serviceName}.${namespace}.svc:${PROGRAM_PORT}`;
}

/**
 * The operator finds a plugin by it, its port, and the certificates of both sides.
 * @param pluginName as Clusters write it
 */
export function pluginService(
  { isServing = false, namespace, serviceName }: Pick<PluginPlan, "isServing" | "namespace" | "serviceName">,
  pluginName: string,
  selector: Readonly<Record<string, string>>,
): RenderedObject {
  const secrets = certificateSecrets({ serviceName });
  return {
    role: "service",
    manifest: {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: serviceName,
        namespace,
        labels: { ...selector, ...MANAGED_BY, "cnpg.io/pluginName": pluginName },
        annotations: {
          "cnpg.io/pluginPort": String(PLUGIN_PORT),
          "cnpg.io/pluginServerSecret": secrets.server,
          "cnpg.io/pluginClientSecret": secrets.client,
        },
      },
      spec: {
        selector,
        ports: [
          { name: "grpc", port: PLUGIN_PORT, targetPort: PLUGIN_PORT, protocol: "TCP" },
          ...(isServing ? [{ name: "http", port: PROGRAM_PORT, targetPort: PROGRAM_PORT, protocol: "TCP" }] : []),
        ],
      },
    },
  };
}

function podSpec(plan: PluginPlan, selector: Readonly<Record<string, string>>): object {
  const secrets = certificateSecrets(plan);
  return {
    serviceAccountName: plan.serviceName,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: PROGRAM_SECURITY,
    // On two nodes if there are two.
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: selector },
      },
    ],
    containers: [
      {
        ...programContainer({
          name: "plugin",
          ...plan.runtime,
          image: plan.image,
          args: [
            `--plugin-server-path=${PATHS.server}`,
            `--plugin-client-path=${PATHS.client}`,
            `--plugin-listen=0.0.0.0:${PLUGIN_PORT}`,
            ...(plan.isServing === true ? [`--plugin-runtime-listen=0.0.0.0:${PROGRAM_PORT}`] : []),
            `--plugin-image=${plan.image}`,
            "--log-level-console=info",
            "--log-level-file=off",
            "cnpg-operator",
          ],
          cpu: plan.cpu,
          memory: plan.memory,
          volumeMounts: [
            { name: "server", mountPath: PATHS.server, readOnly: true },
            { name: "client", mountPath: PATHS.client, readOnly: true },
          ],
        }),
        ports: [
          { name: "grpc", containerPort: PLUGIN_PORT, protocol: "TCP" },
          ...(plan.isServing === true ? [{ name: "http", containerPort: PROGRAM_PORT, protocol: "TCP" }] : []),
        ],
        readinessProbe: { tcpSocket: { port: PLUGIN_PORT }, periodSeconds: 5 },
        livenessProbe: { tcpSocket: { port: PLUGIN_PORT }, periodSeconds: 10, failureThreshold: 3 },
      },
    ],
    volumes: pluginVolumes(plan, [
      // Only the pod's group may read it.
      { name: "server", secret: { secretName: secrets.server, defaultMode: 0o440 } },
      // The plugin must not see the operator's key.
      {
        name: "client",
        secret: { secretName: secrets.client, defaultMode: 0o440, items: [{ key: "tls.crt", path: "tls.crt" }] },
      },
    ]),
    terminationGracePeriodSeconds: 30,
  };
}

/** Earlier runtimes lie next to its own; one that was deleted by hand keeps no plugin from starting. */
function pluginVolumes(
  { earlier = [], image, runtime, serviceName }: PluginPlan,
  more: readonly object[],
): readonly object[] {
  const volumes = programVolumes({ ...runtime, image }, more);
  if (runtime.sha256 === undefined || earlier.length === 0) return volumes;
  const sourceOf = (name: string | undefined, sha256: string, optional: object): object => {
    const path = programFile(sha256);
    return { configMap: { name, items: [{ key: path, path }], ...optional } };
  };
  const sources = [
    sourceOf(runtime.configMap, runtime.sha256, {}),
    ...earlier.map((sha256) => sourceOf(packedName(serviceName, sha256), sha256, { optional: true })),
  ];
  return [{ name: "bundle", projected: { sources } }, ...volumes.slice(1)];
}

/** Number of replicas, and resources of each. */
export const PLUGIN_DEFAULTS = {
  serviceName: "pgbackstop",
  namespace: "cnpg-system",
  replicas: 2,
  memory: "192Mi",
  cpu: "50m",
} as const;
