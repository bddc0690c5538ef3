/**
 * The operator side of a plugin: the objects in CloudNativePG's namespace that let its operator find the plugin, trust
 * it and always reach a replica. While none answers, no cluster with the plugin is reconciled, and none fails over.
 * Pure; Secrets with certificates are named here and created elsewhere.
 */
import { PATHS, PLUGIN_NAME } from "../../../runtime/cnpg/names";
import { PROGRAM_PORT, programFile, type ProgramSource } from "../../../runtime/cnpg/programStart";
import type { DeployedRuntime } from "../engines/engine";
import { packedName } from "./bundle";
import { type ProgramContainer, programContainer, PROGRAM_SECURITY, programVolumes } from "./container";
import { MANAGED_BY, type Metadata, metadataOf, object, type RenderedObject } from "./objects";
import { placed } from "./podPlacement";
import type { PodPlacement } from "../../plan/cluster/declaredCluster";
import { fields, merged, readers } from "../../plan/model/deferred";

export const PLUGIN_PORT = 9090;
export interface PluginPlan {
  readonly namespace: string;
  /** Name of the Service, and prefix of all other names. */
  readonly serviceName: string;
  readonly replicas: number;
  readonly image: string;
  /** In the same namespace, or with `url` where the plugin's pods fetch it. */
  readonly runtime: Omit<DeployedRuntime, "image">;
  /** Serves its runtime to pods of clusters. */
  readonly isServing?: boolean;
  /** Runtimes that it had before, which clusters may name: as {@link recordedRuntime} writes them. */
  readonly earlier?: readonly string[];
  readonly memory: string;
  readonly cpu: string;
  readonly placement?: PodPlacement;
}

/** Certificates as Secrets of type kubernetes.io/tls. */
export function certificateSecrets(plan: Pick<PluginPlan, "serviceName">): {
  readonly server: string;
  readonly client: string;
} {
  return fields({ server: () => `${plan.serviceName}-server-tls`, client: () => `${plan.serviceName}-client-tls` });
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
  const selector = selectorOf(plan);
  const metadata = serviceMetadata(plan);
  return [
    serviceAccountOf(plan),
    object("deployment", ["apps/v1", "Deployment"], metadata, {
      spec: () =>
        fields({
          replicas: () => plan.replicas,
          selector: () => ({ matchLabels: selector }),
          strategy: () => ({ type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }),
          template: () =>
            placed({ metadata: { labels: metadata.labels ?? {} }, spec: podSpec(plan, selector) }, plan.placement),
        }),
    }),
    ...(plan.replicas < 2
      ? []
      : [
          object("disruption-budget", ["policy/v1", "PodDisruptionBudget"], metadata, {
            spec: () => ({ minAvailable: 1, selector: { matchLabels: selector } }),
          }),
        ]),
    pluginService(plan, PLUGIN_NAME),
  ];
}

function serviceMetadata(plan: Pick<PluginPlan, "namespace" | "serviceName">, more?: () => object): Metadata {
  const name = (): string => plan.serviceName;
  return metadataOf(plan, name, name, more);
}

/** What selects the plugin's pods. */
export function selectorOf(plan: Pick<PluginPlan, "serviceName">): Readonly<Record<string, string>> {
  return fields({ "app.kubernetes.io/name": () => plan.serviceName });
}

/**
 * It has no rights: hooks only read their input. Without its own account a pod would use the namespace's default one.
 */
export function serviceAccountOf(plan: Pick<PluginPlan, "namespace" | "serviceName">): RenderedObject {
  const metadata = serviceMetadata(plan);
  return object("service-account", ["v1", "ServiceAccount"], metadata, { automountServiceAccountToken: () => false });
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
  plan: Pick<PluginPlan, "isServing" | "namespace" | "serviceName">,
  pluginName: string,
): RenderedObject {
  const secrets = certificateSecrets(plan);
  const more = (): object => ({ "cnpg.io/pluginName": pluginName });
  const metadata = serviceMetadata(plan, more);
  const annotations = fields({
    "cnpg.io/pluginPort": () => String(PLUGIN_PORT),
    "cnpg.io/pluginServerSecret": () => secrets.server,
    "cnpg.io/pluginClientSecret": () => secrets.client,
  });
  return object("service", ["v1", "Service"], merged(metadata, { annotations }), {
    spec: () =>
      fields({
        selector: () => selectorOf(plan),
        ports: () => [
          { name: "grpc", port: PLUGIN_PORT, targetPort: PLUGIN_PORT, protocol: "TCP" },
          ...(plan.isServing === true
            ? [{ name: "http", port: PROGRAM_PORT, targetPort: PROGRAM_PORT, protocol: "TCP" }]
            : []),
        ],
      }),
  });
}

function podSpec(plan: PluginPlan, selector: Readonly<Record<string, string>>): object {
  const secrets = certificateSecrets(plan);
  return fields({
    serviceAccountName: () => plan.serviceName,
    automountServiceAccountToken: () => false,
    enableServiceLinks: () => false,
    securityContext: () => PROGRAM_SECURITY,
    // On two nodes if there are two.
    topologySpreadConstraints: () => [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: selector },
      },
    ],
    containers: () => [merged(pluginContainer(plan), portsAndProbes(plan))],
    volumes: () =>
      pluginVolumes(plan, [
        // Only the pod's group may read it.
        { name: "server", secret: merged(fields({ secretName: () => secrets.server }), { defaultMode: 0o440 }) },
        // The plugin must not see the operator's key.
        {
          name: "client",
          secret: merged(fields({ secretName: () => secrets.client }), {
            defaultMode: 0o440,
            items: [{ key: "tls.crt", path: "tls.crt" }],
          }),
        },
      ]),
    terminationGracePeriodSeconds: () => 30,
  });
}

function pluginContainer(plan: PluginPlan): object {
  const own = fields<Omit<ProgramContainer, keyof DeployedRuntime> & Pick<ProgramContainer, "image">>({
    name: () => "plugin",
    image: () => plan.image,
    args: () => [
      `--plugin-server-path=${PATHS.server}`,
      `--plugin-client-path=${PATHS.client}`,
      `--plugin-listen=0.0.0.0:${PLUGIN_PORT}`,
      ...(plan.isServing === true ? [`--plugin-runtime-listen=0.0.0.0:${PROGRAM_PORT}`] : []),
      `--plugin-image=${plan.image}`,
      "--log-level-console=info",
      "--log-level-file=off",
      "cnpg-operator",
    ],
    ...readers(plan, "cpu", "memory"),
    sources: () => sourcesOf(plan),
    volumeMounts: () => [
      ...(mountsKept(plan) ? [{ name: "bundle", mountPath: PATHS.bundle, readOnly: true }] : []),
      { name: "server", mountPath: PATHS.server, readOnly: true },
      { name: "client", mountPath: PATHS.client, readOnly: true },
    ],
  });
  return programContainer(merged(plan.runtime, own));
}

/** How the record of the plugin's runtimes names one. */
export function recordedRuntime({
  sha256,
  url,
}: {
  readonly sha256: string;
  readonly url?: string | undefined;
}): string {
  return url === undefined ? sha256 : `${sha256} ${url}`;
}

/** Undefined if no URL has the plugin's own runtime: then a ConfigMap carries it. */
function sourcesOf({ earlier = [], runtime: { sha256, url } }: PluginPlan): readonly ProgramSource[] | undefined {
  if (sha256 === undefined || url === undefined) return undefined;
  const before = earlier.flatMap((recorded): ProgramSource[] => {
    const [known = "", from] = recorded.split(" ");
    return from === undefined ? [] : [{ sha256: known, url: from }];
  });
  return [{ sha256, url }, ...before];
}

/** True if only earlier runtimes are in ConfigMaps. */
function mountsKept(plan: PluginPlan): boolean {
  return plan.runtime.url !== undefined && keptRuntimes(plan).length > 0;
}

/** SHA-256 of earlier runtimes that ConfigMaps have. */
function keptRuntimes({ earlier = [] }: PluginPlan): readonly string[] {
  return earlier.filter((recorded) => !recorded.includes(" "));
}

function portsAndProbes(plan: PluginPlan): object {
  return fields({
    ports: () => [
      { name: "grpc", containerPort: PLUGIN_PORT, protocol: "TCP" },
      ...(plan.isServing === true ? [{ name: "http", containerPort: PROGRAM_PORT, protocol: "TCP" }] : []),
    ],
    readinessProbe: () => ({ tcpSocket: { port: PLUGIN_PORT }, periodSeconds: 5 }),
    livenessProbe: () => ({ tcpSocket: { port: PLUGIN_PORT }, periodSeconds: 10, failureThreshold: 3 }),
  });
}

/** Earlier runtimes lie next to its own; one that was deleted by hand keeps no plugin from starting. */
function pluginVolumes(plan: PluginPlan, more: readonly object[]): readonly object[] {
  const { runtime, serviceName } = plan;
  const volumes = programVolumes(runtime, more);
  const kept = keptRuntimes(plan);
  if (runtime.sha256 === undefined || kept.length === 0) return volumes;
  const sourceOf = (name: string | undefined, sha256: string, optional: object): object => {
    const path = programFile(sha256);
    return { configMap: { name, items: [{ key: path, path }], ...optional } };
  };
  const before = kept.map((sha256) => sourceOf(packedName(serviceName, sha256), sha256, { optional: true }));
  if (runtime.url !== undefined) return [{ name: "bundle", projected: { sources: before } }, ...volumes];
  const sources = [sourceOf(runtime.configMap, runtime.sha256, {}), ...before];
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
