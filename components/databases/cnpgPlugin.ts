/** The operator side of this package's CloudNativePG plugin. */
import * as pulumi from "@pulumi/pulumi";
import { sharedByPlugin } from "./sharedUse";
import { PLUGIN_NAME } from "../../runtime/cnpg/names";
import { VERSION } from "../../runtime/version";
import { RuntimeRecord } from "../dynamic/runtimeRecord";
import { SelfSignedCertificate } from "../dynamic/selfSignedCertificate";
import { childName, renderedName, typeToken } from "../internal/children";
import { declareContent, type DeclaredContent } from "../internal/content";
import { apart, splitKnown, suffixed, withDefault } from "../internal/inputs";
import {
  type ConfigMapPatch,
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
import { judgedManifest } from "../internal/registeredObjects";
import { runtimeBundleSha256 } from "../internal/runtimeBundle";
import { checkedArguments } from "../internal/validate";
import { NODE_IMAGE } from "../plan/cluster/images";
import { given } from "../../runtime/base/given";
import { DALIBO } from "../plan/rules/manifests/plugins";
import { checkPlugin } from "../plan/rules/plugin";
import { renderDalibo } from "../render/kubernetes/daliboPlugin";
import {
  certificateSecrets,
  PLUGIN_DEFAULTS,
  type PluginPlan,
  recordedRuntime,
  renderPlugin,
  runtimeUrl,
  serviceAccountOf,
} from "../render/kubernetes/plugin";
import { MANAGED_BY, type Manifest, type RenderedObject } from "../render/kubernetes/objects";
import { deployRuntime, type RuntimeForm, type RuntimeInputs } from "./clusterRuntime";
import type { PluginRef, PluginRuntime, PodPlacementArgs } from "./cnpgArgs";

/** Certificates live long: with an expired one failover stops until the next update. */
const VALID_DAYS = 3650;
const RENEW_DAYS = 1095;
const DALIBO_NAME = "cnpg-pgbackrest";

/** The plugin to install. */
export const PluginEngine = {
  /** This package's. */
  Runtime: "runtime",
  /** Dalibo's plugin; its custom resource definitions must exist. */
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
   * Number of replicas. While none answers, no cluster is reconciled and none fails over. With engine "pgbackrest"
   * always 1: a second one would never be ready.
   * @default 2
   * @plain whether the disruption budget exists
   * @minimum 1
   */
  replicas?: number;
  /**
   * Another image with Node.js 22.15 or newer, `sh` and `gzip`, for the plugin and for sidecars. With engine
   * "pgbackrest" the image of the controller.
   */
  image?: pulumi.Input<string>;
  /**
   * Instead of `image`, your own that contains the runtime (built with this package's `Dockerfile`), by digest: no
   * ConfigMap carries it then. `followRuntime` has no effect.
   * @example "registry.example.net/pgbackstop@sha256:…"
   */
  runtimeImage?: pulumi.Input<string>;
  /**
   * URL from which the plugin's pods fetch the runtime, for a small state: no ConfigMap carries it then. The npm
   * package of the installed version, or `dist/runtime.cjs.br` of it in a bucket or on a server. Pods run and serve
   * nothing that has another SHA-256 than the installed package's runtime. No credentials; HTTP is enough. An installed
   * plugin takes another URL with `followRuntime`.
   * @example "https://npm.example.net/pgbackstop/-/pgbackstop-0.1.0.tgz"
   */
  runtimeSource?: pulumi.Input<string>;
  /**
   * True serves the runtime of `runtimeImage` to clusters with `runtimeDelivery: "plugin"`, whose pods need no such
   * image then. Build the image from the installed version: pods refuse another one's runtime.
   * @default false
   * @plain the ports of the Service
   */
  servesRuntime?: boolean;
  /**
   * Placement, pull secrets and annotations of the replicas.
   * @example { nodeSelector: { pool: "backups" }, imagePullSecrets: ["registry"], priorityClassName: "low" }
   */
  podPlacement?: PodPlacementArgs;
  /** With engine "pgbackrest": the image of the sidecars. */
  sidecarImage?: pulumi.Input<string>;
  /** With engine "pgbackrest": the image of the sidecars' exporter. */
  exporterImage?: pulumi.Input<string>;
  /** Memory of each replica. @default "192Mi", with engine "pgbackrest" no request */
  memory?: pulumi.Input<string>;
  /** CPU of each replica. @default "50m", with engine "pgbackrest" no request */
  cpu?: pulumi.Input<string>;
  /**
   * True updates to the installed package's runtime with the next update; false keeps the installed one. Clusters
   * decide separately. Not with engine "pgbackrest".
   * @default false
   * @plain whether changes of the runtime are ignored
   */
  followRuntime?: boolean;
  /**
   * Any text. A new text creates new certificates in the next update. An update renews them three years before they
   * expire.
   */
  rotationTrigger?: pulumi.Input<string>;
}

/**
 * Installs the plugin: a Deployment of two replicas with a disruption budget, or of one replica with engine
 * "pgbackrest", the Service by which the operator finds it, and self-signed certificates for both sides. It needs no
 * cert-manager, no image of its own, and no API rights.
 *
 * It serves its runtime to the pods of clusters, next to those of earlier versions that it had here.
 *
 * Creates a ConfigMap, a ServiceAccount, a Deployment, a PodDisruptionBudget, a Service and two Secrets. Destroying it
 * stops the reconciliation of every cluster that still names the plugin: destroy those first.
 *
 * `const plugin = new CnpgPlugin("pgbackstop", {});` then `plugin: plugin.ref` of a cluster.
 */
export class CnpgPlugin extends pulumi.ComponentResource {
  /** Pass this to clusters. Resolves when Deployment and Service are ready. */
  public readonly ref: PluginRef;
  /** Earliest expiry of the certificates: RFC 3339. */
  public readonly certificatesEnd: pulumi.Output<string>;

  constructor(name: string, args: CnpgPluginArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    const isOwn = (args.engine ?? PluginEngine.Runtime) === PluginEngine.Runtime;
    const usualName = isOwn ? PLUGIN_DEFAULTS.serviceName : DALIBO_NAME;
    const { followRuntime = false, replicas = isOwn ? PLUGIN_DEFAULTS.replicas : 1 } = args;
    const own = checkedArguments("CnpgPlugin", name, args, {
      check: ({ exporterImage, runtimeSource, serviceName = usualName, sidecarImage }) => {
        const images = given({ runtimeSource, sidecarImage, exporterImage });
        return checkPlugin({ ...images, followRuntime, serviceName, replicas, isOwn });
      },
    });
    requireOneImage(name, args);
    const serviceName = withDefault(own.serviceName, usualName);
    const namespace = withDefault(own.operatorNamespace, PLUGIN_DEFAULTS.namespace);
    super(typeToken("CnpgPlugin"), name, { serviceName, operatorNamespace: namespace }, opts);
    sharedByPlugin(`CnpgPlugin ${name}`, namespace, isOwn ? PLUGIN_NAME : DALIBO).judge(this);

    const certificates = this.makeCertificates(name, serviceName, namespace, own.rotationTrigger ?? "");
    showChild(this, "server-tls", certificates.server.object);
    showChild(this, "client-tls", certificates.client.object);
    const made: pulumi.Resource[] = [certificates.server.content, certificates.client.content];
    const common: CommonPlan = { namespace, serviceName, replicas };
    const runtime = isOwn ? this.declareOwn(name, own, common, made) : undefined;
    if (!isOwn) this.declareDalibo(name, own, common, made);

    // The last one waits for all others. Whatever needs the plugin names in the state all that it awaits.
    const isReady = pulumi.output(made.at(-1)?.urn);
    this.ref = {
      name: isReady.apply(() => (isOwn ? PLUGIN_NAME : DALIBO)),
      ...(runtime === undefined ? {} : { runtime: isReady.apply(() => runtime) }),
    };
    this.certificatesEnd = certificates.end;
    this.registerOutputs({ certificatesEnd: this.certificatesEnd });
  }

  /** In sequence: pods need their mounts, and the Service comes last, because the operator then starts to call. */
  private declareOwn(
    name: string,
    args: CnpgPluginArgs,
    common: CommonPlan,
    made: pulumi.Resource[],
  ): pulumi.Output<PluginRuntime | undefined> {
    const { memory = PLUGIN_DEFAULTS.memory, cpu = PLUGIN_DEFAULTS.cpu, podPlacement: placement } = args;
    const { namespace, serviceName } = common;
    const [account] = this.declareAll(name, { namespace, serviceName }, (plan) => [serviceAccountOf(plan)], made);
    const { earlier, image, runtime } = this.deployOwn(name, args, common, account as ServiceAccount);
    const { configMap, sha256, url } = runtime;
    const isServing = sha256.apply((known) => known !== undefined || args.servesRuntime === true);
    const served = { runtime: given({ configMap, sha256, url }), isServing, earlier };
    const values = { ...common, ...served, image, memory, cpu, ...given({ placement }) };
    const isRemaining = ({ role }: RenderedObject): boolean => role !== "service-account";
    this.declareAll(name, values, (plan) => renderPlugin(plan as PluginPlan).filter(isRemaining), made);
    return pulumi
      .all([namespace, serviceName, sha256, runtime.image, isServing, runtime.version])
      .apply(([space, service, known, nodeImage, serves, version]) =>
        serves
          ? {
              sha256: known ?? runtimeBundleSha256(),
              url: runtimeUrl({ namespace: space, serviceName: service }),
              image: nodeImage,
              onRequest: known === undefined,
              ...given({ version: known === undefined ? VERSION : version }),
            }
          : undefined,
      );
  }

  private deployOwn(
    name: string,
    args: CnpgPluginArgs,
    { namespace, serviceName }: CommonPlan,
    { metadata }: ServiceAccount,
  ): OwnRuntime {
    const none: pulumi.Output<undefined> = pulumi.output(undefined);
    if (args.runtimeImage !== undefined) {
      const runtime = { configMap: "", image: pulumi.output(NODE_IMAGE), sha256: none };
      return { runtime, image: args.runtimeImage, earlier: pulumi.output([]) };
    }
    const owners = metadata.apply(({ name: own, uid }) =>
      uid === undefined ? [] : [{ apiVersion: "v1", kind: "ServiceAccount", name: own, uid }],
    );
    const scope = { name, namespace, parent: this };
    const { followRuntime = false, runtimeSource: from } = args;
    const deployed =
      from === undefined
        ? // Clusters may name a runtime for years: it stays when a newer one replaces it, and goes with the account.
          deployRuntime(scope, serviceName, followRuntime, { kind: "packed" }, owners)
        : deployRuntime(scope, serviceName, followRuntime, pulumi.output(from).apply(installedAt));
    const { configMap, image, sha256, url, version } = deployed;
    const runtime = { configMap, image: pulumi.output(image), sha256: pulumi.output(sha256), url, version };
    const recorded = pulumi
      .all([sha256, url])
      .apply(([known, source]) => (known === undefined ? known : recordedRuntime({ sha256: known, url: source })));
    const record = new RuntimeRecord(childName(name, "runtimeRecord"), { sha256: recorded }, { parent: this });
    // Known in previews of a plugin that serves nothing.
    const earlier = runtime.sha256.apply((known) =>
      known === undefined ? pulumi.output<readonly string[]>([]) : record.earlier.apply((all) => all ?? []),
    );
    return { runtime, image: args.image ?? image, earlier };
  }

  private declareDalibo(name: string, args: CnpgPluginArgs, common: CommonPlan, made: pulumi.Resource[]): void {
    const { cpu, exporterImage, image, memory, podPlacement: placement, sidecarImage } = args;
    const images = given({ controller: image, sidecar: sidecarImage, exporter: exporterImage });
    const { namespace, serviceName } = common;
    const values = { namespace, serviceName, images, ...given({ cpu, memory, placement }) };
    this.declareAll(name, values, renderDalibo, made);
  }

  /** In sequence; a deferred value makes only the fields deferred that read it. */
  private declareAll<Values extends object>(
    name: string,
    values: Values,
    render: (plan: pulumi.Unwrap<Values>) => readonly RenderedObject[],
    made: pulumi.Resource[],
  ): pulumi.Resource[] {
    const rendered = apart(splitKnown(values), render);
    return rendered.now.map(({ role }, index) => {
      const manifest = rendered.derive((objects) => objects[index]?.manifest) as Manifest;
      const options = { parent: this, dependsOn: [...made] };
      const judged = judgedManifest(`CnpgPlugin ${name}`, this, manifest);
      const child = declareKubernetes(renderedName(name, role), manifest, options, judged);
      showChild(this, role, child);
      made.push(child);
      return child;
    });
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
  public get configMap(): ConfigMapPatch | undefined {
    return shownChild(this, "runtime") as ConfigMapPatch | undefined;
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
    const names = pulumi.output(serviceName).apply((known) => certificateSecrets({ serviceName: known }));
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
      secretName: pulumi.Output<string>,
      { certificatePem, privateKeyPem }: SelfSignedCertificate,
    ) =>
      declareContent(
        childName(name, role),
        {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name: secretName, namespace, labels: { ...MANAGED_BY, "cnpg.io/reload": "true" } },
          type: "kubernetes.io/tls",
          stringData: { "tls.crt": certificatePem, "tls.key": pulumi.secret(privateKeyPem) },
        },
        { parent: this, additionalSecretOutputs: ["data", "stringData"] },
      );
    return {
      server: secretOf("serverSecret", names.server, server),
      client: secretOf("clientSecret", names.client, client),
      end: pulumi.all([server.notAfter, client.notAfter]).apply((ends) => ends.toSorted()[0] ?? ""),
    };
  }
}

/** What both engines' objects need. */
interface CommonPlan {
  readonly namespace: pulumi.Input<string>;
  readonly serviceName: pulumi.Input<string>;
  readonly replicas: number;
}

/** The plugin's program: the image that its pods run, and what they have it from. */
interface OwnRuntime {
  readonly image: pulumi.Input<string>;
  readonly runtime: RuntimeInputs & {
    /** The image of Node.js for pods of clusters. */
    readonly image: pulumi.Output<string>;
    readonly sha256: pulumi.Output<string | undefined>;
  };
  readonly earlier: pulumi.Output<readonly string[]>;
}

/** The runtime of the installed package. */
function installedAt(url: string): RuntimeForm {
  const served = { sha256: runtimeBundleSha256(), url, image: NODE_IMAGE, version: VERSION };
  return { kind: "served", served };
}

function requireOneImage(name: string, args: CnpgPluginArgs): void {
  const { engine, image, runtimeImage, runtimeSource, servesRuntime } = args;
  if (runtimeSource !== undefined && runtimeImage !== undefined)
    throw new pulumi.InputPropertyError({
      propertyPath: "runtimeSource",
      reason: `CnpgPlugin ${name}: runtimeImage contains the runtime, and runtimeSource has it too; leave one out`,
    });
  if (servesRuntime !== undefined && runtimeImage === undefined)
    throw new pulumi.InputPropertyError({
      propertyPath: "servesRuntime",
      reason: `CnpgPlugin ${name}: servesRuntime is for a runtimeImage: without one the plugin serves its runtime; leave it out`,
    });
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
