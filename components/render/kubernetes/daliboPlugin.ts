/**
 * Dalibo's plugin (0.0.3) on the operator side, with the lessons of a published set-up: a Service that does not become
 * options of pgBackRest, rights, and certificates for both sides. Its own project supplies the custom resource
 * definitions. Pure.
 */
import { DALIBO } from "../../plan/rules/manifests/plugins";
import { DALIBO_IMAGES } from "../../plan/cluster/images";
import { fields, givenFields, merged, without, readers } from "../../plan/model/deferred";
import { certificateSecrets, PLUGIN_PORT, type PluginPlan, pluginService, selectorOf } from "./plugin";
import { type Metadata, metadataOf, object, type RenderedObject, resourcesSpec } from "./objects";
import { placed } from "./podPlacement";

const RBAC = "rbac.authorization.k8s.io";
const WATCH = ["get", "list", "watch"];
/** Its image runs the program as this account. */
const USER = 10001;

export interface DaliboPlan extends Pick<PluginPlan, "namespace" | "placement" | "serviceName"> {
  /** If omitted, those of its own manifest. */
  readonly images: { readonly controller?: string; readonly sidecar?: string; readonly exporter?: string };
  /** CPU request of the controller; if omitted, none is requested. */
  readonly cpu?: string | undefined;
  readonly memory?: string | undefined;
}

/**
 * In the order of creation. Only the replica that holds a lease listens: a second one is never ready, and neither is
 * one that starts before the former has ended.
 */
export function renderDalibo(plan: DaliboPlan): RenderedObject[] {
  const name = (): string => plan.serviceName;
  const metadata = metadataOf(plan, name, name);
  const wide = without(metadata, "namespace");
  const labels = metadata.labels ?? {};
  const named = fields({ name });
  const subject = fields({ kind: () => "ServiceAccount", name, namespace: () => plan.namespace });
  const binding = (role: string, kind: "ClusterRole" | "Role", own: Metadata): RenderedObject =>
    object(role, [`${RBAC}/v1`, `${kind}Binding`], own, {
      roleRef: () => merged({ apiGroup: RBAC, kind }, named),
      subjects: () => [subject],
    });
  return [
    object("service-account", ["v1", "ServiceAccount"], metadata),
    object("cluster-role", [`${RBAC}/v1`, "ClusterRole"], wide, { rules: () => RULES }),
    binding("cluster-role-binding", "ClusterRole", wide),
    object("lease-role", [`${RBAC}/v1`, "Role"], metadata, { rules: () => LEASE_RULES }),
    binding("lease-role-binding", "Role", metadata),
    object("deployment", ["apps/v1", "Deployment"], metadata, {
      spec: () =>
        fields({
          replicas: () => 1,
          strategy: () => ({ type: "Recreate" }),
          selector: () => ({ matchLabels: selectorOf(plan) }),
          template: () => placed({ metadata: { labels }, spec: podSpec(plan) }, plan.placement),
        }),
    }),
    pluginService(plan, DALIBO),
  ];
}

function podSpec(plan: DaliboPlan): object {
  const secrets = certificateSecrets(plan);
  return fields({
    serviceAccountName: () => plan.serviceName,
    // Services of the namespace would become variables, and variables options.
    enableServiceLinks: () => false,
    securityContext: () => ({
      runAsNonRoot: true,
      runAsUser: USER,
      fsGroup: USER,
      seccompProfile: { type: "RuntimeDefault" },
    }),
    containers: () => [controller(plan)],
    volumes: () => [
      { name: "server", secret: fields({ secretName: () => secrets.server }) },
      { name: "client", secret: fields({ secretName: () => secrets.client }) },
    ],
  });
}

function controller(plan: DaliboPlan): object {
  const { images } = plan;
  const variable = (name: string, value: () => string): object => merged({ name }, fields({ value }));
  return givenFields({
    name: () => "controller",
    image: () => images.controller ?? DALIBO_IMAGES.controller,
    args: () => [
      "operator",
      "--server-cert=/server/tls.crt",
      "--server-key=/server/tls.key",
      "--client-cert=/client/tls.crt",
      `--server-address=:${PLUGIN_PORT}`,
    ],
    env: () => [
      variable("SIDECAR_IMAGE", () => images.sidecar ?? DALIBO_IMAGES.sidecar),
      variable("SIDECAR_EXPORTER_IMAGE", () => images.exporter ?? DALIBO_IMAGES.exporter),
    ],
    resources: () => resourcesSpec(givenFields({ ...readers(plan, "cpu", "memory"), memoryLimit: () => plan.memory })),
    ports: () => [{ name: "grpc", containerPort: PLUGIN_PORT, protocol: "TCP" }],
    readinessProbe: () => ({ tcpSocket: { port: PLUGIN_PORT }, periodSeconds: 10 }),
    securityContext: () => ({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    }),
    volumeMounts: () => [
      { name: "server", mountPath: "/server", readOnly: true },
      { name: "client", mountPath: "/client", readOnly: true },
    ],
  });
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
