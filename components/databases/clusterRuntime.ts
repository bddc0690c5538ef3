/**
 * Where pods of clusters, of the plugin and of Jobs have the runtime from: the plugin serves it, a ConfigMap of
 * the namespace carries it, or their image contains it. Only the first two need an object here.
 */
import * as pulumi from "@pulumi/pulumi";
import { childName } from "../internal/children";
import {
  declareKubernetes,
  declareKubernetesPatch,
  type KubernetesObject,
  PATCH_ANNOTATIONS,
  showChild,
} from "../internal/kubernetesObjects";
import { runtimeBundleBrotli, runtimeBundleSha256 } from "../internal/runtimeBundle";
import { type ClusterPlan, runsInPods } from "../plan/cluster/clusterPlan";
import { expiresSnapshots } from "../plan/cluster/snapshotPlan";
import { packedConfigMap, type ServedRuntime, servedNote } from "../render/kubernetes/bundle";
import type { Manifest } from "../render/kubernetes/objects";
import { VERSION } from "../../runtime/version";
import { type ClusterBackupArgs, type PluginRef, RuntimeDelivery } from "./cnpgArgs";

/** Where pods have the runtime from, as renderers take it. Outputs without a value are omitted. */
export interface RuntimeInputs {
  readonly configMap?: pulumi.Input<string | undefined>;
  readonly image: pulumi.Input<string>;
  readonly sha256?: pulumi.Input<string | undefined>;
  readonly url?: pulumi.Input<string | undefined>;
  readonly version?: pulumi.Input<string | undefined>;
}

/** For engines without a runtime. */
export const NO_RUNTIME = { configMap: "", image: "" } as const;

/** The component whose pods run it. */
export interface RuntimeScope {
  readonly name: string;
  readonly namespace: pulumi.Input<string>;
  readonly parent: pulumi.Resource;
}

/** What a new object carries. An existing one keeps what it has. */
export type RuntimeForm = { readonly kind: "packed" } | { readonly kind: "served"; readonly served: ServedRuntime };

export interface RuntimeChoice extends Pick<ClusterBackupArgs, "followRuntime" | "runtimeDelivery" | "runtimeImage"> {
  readonly plugin?: PluginRef;
}

type RuntimeObject = pulumi.CustomResource & {
  readonly metadata: pulumi.Output<{ readonly name: string; readonly uid?: string }>;
  readonly data: pulumi.Output<{
    readonly image: string;
    readonly sha256?: string;
    readonly url?: string;
    readonly version?: string;
  }>;
};

/**
 * The ConfigMap of an owner. It stays as created unless it follows the package, or the plugin: a new one restarts every
 * instance that names it.
 * @param keptBy owners of a ConfigMap that stays when a newer one replaces it
 */
export function deployRuntime(
  scope: RuntimeScope,
  owner: pulumi.Input<string>,
  follow: boolean,
  form: pulumi.Input<RuntimeForm>,
  keptBy?: pulumi.Input<object[]>,
): RuntimeInputs {
  const manifest = pulumi.all([owner, form]).apply(([name, known]) => manifestOf(name, known));
  const { labels } = servedNote("", "", { image: "", sha256: "", url: "" }).metadata;
  const object = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: manifest.apply(({ metadata }) => metadata.name),
      namespace: scope.namespace,
      labels,
      ...(keptBy === undefined ? {} : { ownerReferences: keptBy }),
    },
    immutable: true,
    data: manifest.apply(({ data }) => data),
    // Nothing of it is secret. Ciphertext in the state would be a third larger than the text.
    binaryData: manifest.apply(({ binaryData }) => binaryData),
  };
  const ignored = follow ? ["binaryData"] : ["metadata.name", "data", "binaryData"];
  const declare = keptBy === undefined ? declareKubernetes : declareKept;
  // A megabyte of text.
  const own = { parent: scope.parent, ignoreChanges: ignored, hideDiffs: ["binaryData"] };
  const made = declare(childName(scope.name, "runtime"), object, own) as RuntimeObject;
  showChild(scope.parent, "runtime", made);
  return {
    configMap: pulumi
      .all([made.metadata, made.data])
      .apply(([{ name }, { url }]) => (url === undefined ? name : undefined)),
    image: made.data.image,
    sha256: made.data.apply(({ sha256 }) => sha256),
    url: made.data.apply(({ url }) => url),
    version: made.data.apply(({ version }) => version),
  };
}

/**
 * Kept means that it may exist when an update asks for it: the program went back to an earlier version of this package.
 * The provider refuses to create such an object. A patch creates it if it is missing, and takes it if it is there.
 */
function declareKept(
  name: string,
  object: KubernetesObject,
  options: pulumi.CustomResourceOptions & { readonly ignoreChanges: string[] },
): pulumi.CustomResource {
  return declareKubernetesPatch(name, object, true, {
    ...options,
    retainOnDelete: true,
    ignoreChanges: [...options.ignoreChanges, ...PATCH_ANNOTATIONS.map((key) => `metadata.annotations["${key}"]`)],
  });
}

/** A runtime of Jobs, which this version starts: they know every form. */
export function runtimeOfJobs(scope: RuntimeScope, choice: RuntimeChoice, follow: boolean): RuntimeInputs {
  const { runtimeImage } = choice;
  if (runtimeImage !== undefined) return inImage(runtimeImage);
  const form = servedBy(choice).apply(
    (served): RuntimeForm => (served === undefined ? { kind: "packed" } : { kind: "served", served }),
  );
  return deployRuntime(scope, scope.name, follow, form);
}

/** The runtime of a cluster, if its instances, its recovery or the removal of its snapshots run it. */
export function runtimeOf(
  scope: RuntimeScope & { readonly cluster: pulumi.Input<string> },
  { database, definition, source }: ClusterPlan,
  choice: RuntimeChoice,
): RuntimeInputs {
  const isInPods = runsInPods({ database, source });
  if (!isInPods && !expiresSnapshots(database, definition.snapshots)) return NO_RUNTIME;
  const { followRuntime = false, runtimeDelivery, runtimeImage } = choice;
  if (runtimeImage !== undefined) return inImage(runtimeImage);
  const form = servedBy(choice).apply((served): RuntimeForm => {
    if (served !== undefined) return { kind: "served", served };
    if (runtimeDelivery === RuntimeDelivery.Plugin) warnUnserved(scope);
    return { kind: "packed" };
  });
  // If only a job runs it, a newer one restarts nothing.
  return deployRuntime(scope, scope.cluster, followRuntime || !isInPods, form);
}

/** An image does not say which version it contains: an older one ignores newer fields, with a warning. */
function inImage(image: pulumi.Input<string>): RuntimeInputs {
  return { configMap: "", image, version: VERSION };
}

/** The plugin may have an image of its own: clusters must start all the same. */
function warnUnserved({ name, parent }: RuntimeScope): void {
  void pulumi.log.warn(
    `${name}: the plugin serves no runtime, so a new cluster gets a ConfigMap with it; pass the ref of a CnpgPlugin, and update that one by followRuntime: true`,
    parent,
  );
}

/** Undefined if a ConfigMap is to carry the runtime. */
function servedBy({ plugin, runtimeDelivery }: RuntimeChoice): pulumi.Output<ServedRuntime | undefined> {
  if (runtimeDelivery === RuntimeDelivery.ConfigMap) return pulumi.output(undefined);
  return pulumi
    .output(plugin?.runtime)
    .apply((known) => (known === undefined || (known.onRequest && runtimeDelivery === undefined) ? undefined : known));
}

function manifestOf(
  owner: string,
  form: RuntimeForm,
): Manifest & { readonly data: Readonly<Record<string, string>>; readonly binaryData?: object } {
  const sha256 = form.kind === "served" ? form.served.sha256 : runtimeBundleSha256();
  const made =
    form.kind === "served"
      ? servedNote(owner, "", form.served)
      : packedConfigMap(owner, "", sha256, runtimeBundleBrotli());
  return made as ReturnType<typeof manifestOf>;
}
