/**
 * Dalibo's plugin (0.0.3) on the operator side, with the lessons of a published set-up: a Service that does not become
 * options of pgBackRest, rights, and certificates for both sides. Its own project supplies the custom resource
 * definitions. Pure.
 */
import { DALIBO } from "../../plan/rules/manifests/plugins";
import { DALIBO_IMAGES } from "../../plan/cluster/images";
import { given } from "../../plan/model/given";
import { certificateSecrets, PLUGIN_PORT, type PluginPlan, pluginService } from "./plugin";
import { MANAGED_BY, type Metadata, type RenderedObject } from "./objects";
import { placed } from "./podPlacement";

const RBAC = "rbac.authorization.k8s.io";
const WATCH = ["get", "list", "watch"];
/** Its image runs the program as this account. */
const USER = 10001;

export interface DaliboPlan extends Pick<PluginPlan, "namespace" | "placement" | "serviceName" | "replicas"> {
  /** If omitted, those of its own manifest. */
  readonly images: { readonly controller?: string; readonly sidecar?: string; readonly exporter?: string };
  /** CPU request of the controller; if omitted, none is requested. */
  readonly cpu?: string | undefined;
  readonly memory?: string | undefined;
}

/** In the order of creation. One replica works at a time: it holds a lease. */
export function renderDalibo(plan: DaliboPlan): RenderedObject[] {
  const { namespace, placement, replicas, serviceName } = plan;
  const selector = { "app.kubernetes.io/name": serviceName };
  const labels = { ...selector, ...MANAGED_BY };
  const metadata = { name: serviceName, namespace, labels };
  const subjects = [{ kind: "ServiceAccount", name: serviceName, namespace }];
  const wide = { name: serviceName, labels };
  const binding = (role: string, kind: "ClusterRole" | "Role", own: Metadata): RenderedObject => {
    const roleRef = { apiGroup: RBAC, kind, name: serviceName };
    return { role, manifest: { apiVersion: `${RBAC}/v1`, kind: `${kind}Binding`, metadata: own, roleRef, subjects } };
  };
  return [
    { role: "service-account", manifest: { apiVersion: "v1", kind: "ServiceAccount", metadata } },
    { role: "cluster-role", manifest: { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: wide, rules: RULES } },
    binding("cluster-role-binding", "ClusterRole", wide),
    { role: "lease-role", manifest: { apiVersion: `${RBAC}/v1`, kind: "Role", metadata, rules: LEASE_RULES } },
    binding("lease-role-binding", "Role", metadata),
    {
      role: "deployment",
      manifest: {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata,
        spec: {
          replicas,
          selector: { matchLabels: selector },
          template: placed({ metadata: { labels }, spec: podSpec(plan) }, placement),
        },
      },
    },
    pluginService({ namespace, serviceName }, DALIBO, selector),
  ];
}

function podSpec({ cpu, images, memory, serviceName }: DaliboPlan): object {
  const requests = given({ cpu, memory });
  const limits = given({ memory });
  const resources =
    Object.keys(requests).length === 0
      ? {}
      : { resources: given({ requests, limits: memory === undefined ? undefined : limits }) };
  const secrets = certificateSecrets({ serviceName });
  return {
    serviceAccountName: serviceName,
    // Services of the namespace would become variables, and variables options.
    enableServiceLinks: false,
    securityContext: { runAsNonRoot: true, runAsUser: USER, fsGroup: USER, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: "controller",
        image: images.controller ?? DALIBO_IMAGES.controller,
        args: [
          "operator",
          "--server-cert=/server/tls.crt",
          "--server-key=/server/tls.key",
          "--client-cert=/client/tls.crt",
          `--server-address=:${PLUGIN_PORT}`,
        ],
        env: [
          { name: "SIDECAR_IMAGE", value: images.sidecar ?? DALIBO_IMAGES.sidecar },
          { name: "SIDECAR_EXPORTER_IMAGE", value: images.exporter ?? DALIBO_IMAGES.exporter },
        ],
        ...resources,
        ports: [{ name: "grpc", containerPort: PLUGIN_PORT, protocol: "TCP" }],
        readinessProbe: { tcpSocket: { port: PLUGIN_PORT }, periodSeconds: 10 },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        },
        volumeMounts: [
          { name: "server", mountPath: "/server", readOnly: true },
          { name: "client", mountPath: "/client", readOnly: true },
        ],
      },
    ],
    volumes: [
      { name: "server", secret: { secretName: secrets.server, defaultMode: 0o440 } },
      { name: "client", secret: { secretName: secrets.client, defaultMode: 0o440 } },
    ],
  };
}

/** Same as in its own manifest. */
const RULES = [
  { apiGroups: [""], resources: ["persistentvolumeclaims"], verbs: ["create", "patch", ...WATCH] },
  { apiGroups: [""], resources: ["secrets"], verbs: ["create", "delete", ...WATCH] },
  {
    apiGroups: ["pgbackrest.dalibo.com"],
    resources: ["pluginconfigs", "stanzas"],
    verbs: ["create", "delete", "patch", "update", ...WATCH],
  },
  {
    apiGroups: ["pgbackrest.dalibo.com"],
    resources: ["pluginconfigs/finalizers", "stanzas/finalizers"],
    verbs: ["update"],
  },
  {
    apiGroups: ["pgbackrest.dalibo.com"],
    resources: ["pluginconfigs/status", "stanzas/status"],
    verbs: ["get", "patch", "update"],
  },
  { apiGroups: ["postgresql.cnpg.io"], resources: ["backups"], verbs: WATCH },
  { apiGroups: ["postgresql.cnpg.io"], resources: ["clusters"], verbs: ["get"] },
  { apiGroups: ["postgresql.cnpg.io"], resources: ["clusters/finalizers"], verbs: ["update"] },
  { apiGroups: [RBAC], resources: ["roles", "rolebindings"], verbs: ["create", "patch", "update", ...WATCH] },
];
const LEASE_RULES = [
  {
    apiGroups: ["coordination.k8s.io"],
    resources: ["leases"],
    verbs: ["create", "delete", "patch", "update", ...WATCH],
  },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
];
