/**
 * Resources of other providers, declared by their type token: what the classes of `@pulumi/kubernetes` do, without
 * loading that package (it costs a second). The plugin is of the version that the program has installed; without one, of the
 * version that this package was tested with. Providers given by `provider` or `providers` count as usual.
 */
import * as pulumi from "@pulumi/pulumi";

/** Packages of providers, with the version to fall back to. */
const PLUGINS = { "@pulumi/kubernetes": "4.34.1" } as const;

/** An object as Kubernetes has it; `kind` and `apiVersion` decide the type token. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: object;
}

/** A resource that is known by its token only. */
export class DeclaredResource extends pulumi.CustomResource {}

/** `v1` is the core group: `kubernetes:core/v1:Secret`; others are as they are: `kubernetes:external-secrets.io/v1:ExternalSecret`. */
export function declareKubernetes(name: string, object: KubernetesObject, opts: pulumi.CustomResourceOptions): DeclaredResource {
  const group = object.apiVersion.includes("/") ? object.apiVersion : `core/${object.apiVersion}`;
  const own: pulumi.CustomResourceOptions = { version: pluginVersion("@pulumi/kubernetes") };
  return new DeclaredResource(`kubernetes:${group}:${object.kind}`, name, { ...object }, pulumi.mergeOptions(own, opts));
}

type ConfigMapResource = DeclaredResource & { readonly data: pulumi.Output<Readonly<Record<string, string>> | undefined> };

/** What a ConfigMap has, read and not managed. @param id `namespace/name`, as soon as it may be read */
export function readConfigMap(name: string, id: pulumi.Input<string>, opts: pulumi.CustomResourceOptions): ConfigMapResource["data"] {
  const own: pulumi.CustomResourceOptions = { version: pluginVersion("@pulumi/kubernetes"), id };
  // A field is an output only when it is named.
  const read = new DeclaredResource("kubernetes:core/v1:ConfigMap", name, { data: undefined }, pulumi.mergeOptions(opts, own));
  return (read as ConfigMapResource).data;
}

/**
 * Lays fields over an object that others own, by server-side apply with a manager of its own: `kubernetes:postgresql.cnpg.io/v1:ClusterPatch`,
 * as `CustomResourcePatch` of `@pulumi/kubernetes` does. Destroying it takes back these fields only.
 * @param takeOver fields that somebody else has set; else the update fails on them
 */
export function declareKubernetesPatch(
  name: string,
  object: KubernetesObject,
  takeOver: boolean,
  opts: pulumi.CustomResourceOptions,
): DeclaredResource {
  const own: pulumi.CustomResourceOptions = { version: pluginVersion("@pulumi/kubernetes") };
  // A name of its own, the same in every update, so that the API server knows whose fields these are.
  const annotations = { "pulumi.com/patchFieldManager": "pgbackstop", ...(takeOver ? { "pulumi.com/patchForce": "true" } : {}) };
  const patch = { ...object, metadata: { ...object.metadata, annotations } };
  return new DeclaredResource(`kubernetes:${object.apiVersion}:${object.kind}Patch`, name, patch, pulumi.mergeOptions(own, opts));
}

function pluginVersion(packageName: keyof typeof PLUGINS): string {
  try {
    return (require(`${packageName}/package.json`) as { readonly version: string }).version.replace(/^v/, "");
  } catch {
    return PLUGINS[packageName];
  }
}
