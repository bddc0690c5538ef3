/** The operator side of this package's CloudNativePG plugin. */
import * as pulumi from "@pulumi/pulumi";
import { PLUGIN_NAME } from "../../runtime/cnpg/names";
import { SelfSignedCertificate } from "../dynamic/selfSignedCertificate";
import { childName, renderedName, typeToken } from "../internal/children";
import { declareContent, type DeclaredContent } from "../internal/content";
import { fillKnown, fillText, splitKnown, suffixed } from "../internal/inputs";
import {
  type ConfigMap,
  declareKubernetes,
  type Deployment,
  type PodDisruptionBudget,
  type Secret,
  type Service,
  type ServiceAccount,
  showChild,
  shownChild,
  shownChildren,
} from "../internal/kubernetesObjects";
import { throwErrors } from "../internal/validate";
import type { Finding } from "../plan/findings/findings";
import { checkedValue } from "../repositories/common";
import { given } from "../plan/model/given";
import { DALIBO } from "../plan/rules/manifests/plugins";
import { checkPlugin } from "../plan/rules/plugin";
import { renderDalibo } from "../render/kubernetes/daliboPlugin";
import { certificateSecrets, PLUGIN_DEFAULTS, type PluginPlan, renderPlugin } from "../render/kubernetes/plugin";
import { MANAGED_BY } from "../render/kubernetes/objects";
import { deployRuntime, NO_RUNTIME } from "./clusterParts";
import type { PluginRef, PodPlacementArgs } from "./cnpgArgs";

/** Certificates live long: with an expired one failover stops until the next update. */
const VALID_DAYS = 3650;
const RENEW_DAYS = 1095;
const DALIBO_NAME = "cnpg-pgbackrest";

/** The plugin to install. */
export const PluginEngine = {
  /** This package's. */
  Runtime: "runtime",
  /** Dalibo's; its custom resource definitions must be there. */
  Pgbackrest: "pgbackrest",
} as const;
export type PluginEngine = (typeof PluginEngine)[keyof typeof PluginEngine];

export interface CnpgPluginArgs {
  /** @default "runtime" @plain the objects of the plugin */
  engine?: PluginEngine;
  /** Namespace of CloudNativePG's operator: it does not find a plugin in another one. @default "cnpg-system" */
  operatorNamespace?: pulumi.Input<string>;
  /**
   * Name of the Service, and prefix of all other names. Never `pgbackrest`: Services become variables of pods.
   * @default "pgbackstop", with engine "pgbackrest" "cnpg-pgbackrest"
   */
  serviceName?: pulumi.Input<string>;
  /**
   * While none answers, no cluster is reconciled and none fails over.
   * @default 2
   * @plain whether the disruption budget exists
   */
  replicas?: number;
  /**
   * Another image with Node.js 22.15 or newer, `sh` and `gzip`, for the plugin and for sidecars. With engine
   * "pgbackrest" the image of the controller.
   */
  image?: pulumi.Input<string>;
  /**
   * Instead of `image`, one of yours that contains the runtime (built with this package's `Dockerfile`), by digest: no
   * ConfigMap carries it then. `followRuntime` has no effect.
   * @example "registry.example.net/pgbackstop@sha256:…"
   */
  runtimeImage?: pulumi.Input<string>;
  /**
   * Where the replicas run, and what policies of the Kubernetes cluster ask of them.
   * @example { nodeSelector: { pool: "backups" }, imagePullSecrets: ["registry"], priorityClassName: "low" }
   */
  podPlacement?: PodPlacementArgs;
  /** With engine "pgbackrest": the image of the sidecars. */
  sidecarImage?: pulumi.Input<string>;
  /** With engine "pgbackrest": the image of the sidecars' exporter. */
  exporterImage?: pulumi.Input<string>;
  /** For each replica. @default "192Mi", with engine "pgbackrest" no request */
  memory?: pulumi.Input<string>;
  /** For each replica. @default "50m", with engine "pgbackrest" no request */
  cpu?: pulumi.Input<string>;
  /**
   * True updates to the installed package's runtime with the next update; false keeps the installed one. Clusters
   * decide separately. Not with engine "pgbackrest".
   * @default false
   * @plain whether changes of the runtime are ignored
   */
  followRuntime?: boolean;
  /** A new text creates new certificates with the next update. An update renews them three years before they expire. */
  rotationTrigger?: pulumi.Input<string>;
}

/**
 * Installs the plugin: a Deployment of two replicas with a disruption budget, the Service by which the operator finds
 * it, and self-signed certificates for both sides. It needs no cert-manager, no image of its own, and no API rights.
 *
 * Creates a ConfigMap, a ServiceAccount, a Deployment, a PodDisruptionBudget, a Service and two Secrets. Destroying it
 * stops the reconciliation of every cluster that still names the plugin: destroy those first.
 *
 * `const plugin = new CnpgPlugin("pgbackstop", {});` then `plugin: plugin.ref` of a cluster.
 */
export class CnpgPlugin extends pulumi.ComponentResource {
  /** Pass this to clusters. Waits for the Deployment and the Service. */
  public readonly ref: PluginRef;
  /** Earliest expiry of the certificates: RFC 3339. */
  public readonly certificatesEnd: pulumi.Output<string>;

  constructor(name: string, args: CnpgPluginArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    const isOwn = (args.engine ?? PluginEngine.Runtime) === PluginEngine.Runtime;
    const replicas = args.replicas ?? PLUGIN_DEFAULTS.replicas;
    const { followRuntime = false, sidecarImage, exporterImage } = args;
    const check = (serviceName: string): Finding[] =>
      checkPlugin({ ...given({ sidecarImage, exporterImage }), followRuntime, serviceName, replicas, isOwn });
    const serviceName = checkedName(
      name,
      args.serviceName ?? (isOwn ? PLUGIN_DEFAULTS.serviceName : DALIBO_NAME),
      check,
    );
    requireOneImage(name, args);
    const namespace = args.operatorNamespace ?? PLUGIN_DEFAULTS.namespace;
    super(typeToken("CnpgPlugin"), name, { serviceName, operatorNamespace: namespace }, opts);

    const runtime = !isOwn
      ? NO_RUNTIME
      : args.runtimeImage !== undefined
        ? { configMap: "", image: args.runtimeImage }
        : deployRuntime({ name, namespace, parent: this }, serviceName, followRuntime);
    const certificates = this.makeCertificates(name, serviceName, namespace, args.rotationTrigger ?? "");
    const { value, deferred } = splitKnown({
      namespace,
      serviceName,
      memory: args.memory ?? PLUGIN_DEFAULTS.memory,
      cpu: args.cpu ?? PLUGIN_DEFAULTS.cpu,
      image: args.image ?? runtime.image,
      configMap: runtime.configMap,
      ...given({ placement: args.podPlacement }),
      images: given({ controller: args.image, sidecar: args.sidecarImage, exporter: args.exporterImage }),
    });
    const plan: PluginPlan = { ...value, replicas };
    const made: pulumi.Resource[] = [certificates.server.content, certificates.client.content];
    showChild(this, "server-tls", certificates.server.object);
    showChild(this, "client-tls", certificates.client.object);
    // Without the defaults of this package's own plugin.
    const cpu = args.cpu === undefined ? undefined : value.cpu;
    const memory = args.memory === undefined ? undefined : value.memory;
    const stock = { ...plan, images: value.images, cpu, memory };
    for (const { role, manifest } of isOwn ? renderPlugin(plan) : renderDalibo(stock)) {
      const object = fillKnown(manifest, deferred) as typeof manifest;
      // In sequence: pods need their mounts, and the Service comes last, because the operator then starts to call.
      const child = declareKubernetes(renderedName(name, role), object, { parent: this, dependsOn: [...made] });
      showChild(this, role, child);
      made.push(child);
    }

    this.ref = { name: pulumi.all(made.map((resource) => resource.urn)).apply(() => (isOwn ? PLUGIN_NAME : DALIBO)) };
    this.certificatesEnd = certificates.end;
    this.registerOutputs({ certificatesEnd: this.certificatesEnd });
  }

  /** The Deployment that runs the plugin. */
  public get deployment(): Deployment {
    return shownChild(this, "deployment") as Deployment;
  }

  /** The Service by which the operator finds the plugin. */
  public get service(): Service {
    return shownChild(this, "service") as Service;
  }

  /** The account of the plugin's pods. */
  public get serviceAccount(): ServiceAccount {
    return shownChild(this, "service-account") as ServiceAccount;
  }

  /** The disruption budget, with two replicas or more. */
  public get disruptionBudget(): PodDisruptionBudget | undefined {
    return shownChild(this, "disruption-budget") as PodDisruptionBudget | undefined;
  }

  /** The Secret with the plugin's certificate. */
  public get serverSecret(): Secret {
    return shownChild(this, "server-tls") as Secret;
  }

  /** The Secret with the operator's certificate. */
  public get clientSecret(): Secret {
    return shownChild(this, "client-tls") as Secret;
  }

  /** The ConfigMap with the program of engine "runtime". */
  public get configMap(): ConfigMap | undefined {
    return shownChild(this, "runtime") as ConfigMap | undefined;
  }

  /** Every object of this component by its role, such as `objects["cluster-role"]` with engine "pgbackrest". */
  public get objects(): { [role: string]: pulumi.CustomResource } {
    return shownChildren(this, "");
  }

  /** One self-signed leaf for each side; each side's Secret contains the part of the other that it must know. */
  private makeCertificates(
    name: string,
    serviceName: pulumi.Input<string>,
    namespace: pulumi.Input<string>,
    rotation: pulumi.Input<string>,
  ): { readonly server: DeclaredContent; readonly client: DeclaredContent; readonly end: pulumi.Output<string> } {
    const { deferred, value } = splitKnown({ serviceName });
    const secretNames = certificateSecrets(value);
    const days = { validDays: VALID_DAYS, renewDays: RENEW_DAYS, rotation };
    const dnsNames = [serviceName, pulumi.interpolate`${serviceName}.${namespace}.svc`];
    const server = new SelfSignedCertificate(
      childName(name, "serverCertificate"),
      { commonName: serviceName, dnsNames, usage: "server", ...days },
      { parent: this },
    );
    const client = new SelfSignedCertificate(
      childName(name, "clientCertificate"),
      { commonName: suffixed(serviceName, "-client"), dnsNames: [], usage: "client", ...days },
      { parent: this },
    );
    const secretOf = (
      role: "serverSecret" | "clientSecret",
      secretName: string,
      { certificatePem, privateKeyPem }: SelfSignedCertificate,
    ) =>
      declareContent(
        childName(name, role),
        {
          apiVersion: "v1",
          kind: "Secret",
          metadata: {
            name: fillText(secretName, deferred),
            namespace,
            labels: { ...MANAGED_BY, "cnpg.io/reload": "true" },
          },
          type: "kubernetes.io/tls",
          stringData: { "tls.crt": certificatePem, "tls.key": pulumi.secret(privateKeyPem) },
        },
        { parent: this, additionalSecretOutputs: ["data", "stringData"] },
      );
    return {
      server: secretOf("serverSecret", secretNames.server, server),
      client: secretOf("clientSecret", secretNames.client, client),
      end: pulumi.all([server.notAfter, client.notAfter]).apply((ends) => ends.toSorted()[0] ?? ""),
    };
  }
}

/** A name that comes later is checked when it does. */
function checkedName(
  name: string,
  serviceName: pulumi.Input<string>,
  check: (known: string) => Finding[],
): pulumi.Input<string> {
  const title = `CnpgPlugin ${name}`;
  const { value } = splitKnown({ serviceName });
  throwErrors(title, check(value.serviceName));
  return typeof serviceName === "string" ? serviceName : checkedValue(title, pulumi.output(serviceName), check);
}

function requireOneImage(name: string, { engine, image, runtimeImage }: CnpgPluginArgs): void {
  if (runtimeImage === undefined) return;
  const fact =
    image !== undefined
      ? "image and runtimeImage are both given: runtimeImage contains Node.js too"
      : engine === PluginEngine.Pgbackrest
        ? "engine pgbackrest has its own images"
        : null;
  if (fact === null) return;
  throw new pulumi.InputPropertyError({
    propertyPath: "runtimeImage",
    reason: `CnpgPlugin ${name}: ${fact}; leave one out`,
  });
}
