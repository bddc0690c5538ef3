/**
 * Resources of other providers, declared by their type token: replaces the classes of `@pulumi/kubernetes`, because
 * loading that package costs a second. The plugin has the version that the program has installed, or else the one that
 * this package was tested with. `provider` and `providers` work as usual.
 */
import * as pulumi from "@pulumi/pulumi";

/** Provider packages, with their default version. */
const PLUGINS = { "@pulumi/kubernetes": "4.34.1" } as const;

/** A Kubernetes object; `kind` and `apiVersion` decide the type token. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: object;
}

/** A resource known only by its token. */
export class DeclaredResource extends pulumi.CustomResource {}

/**
 * `v1` is the core group: `kubernetes:core/v1:Secret`; others stay unchanged:
 * `kubernetes:external-secrets.io/v1:ExternalSecret`.
 */
export function declareKubernetes(
  name: string,
  object: KubernetesObject,
  opts: pulumi.CustomResourceOptions,
): DeclaredResource {
  const group = object.apiVersion.includes("/") ? object.apiVersion : `core/${object.apiVersion}`;
  const own: pulumi.CustomResourceOptions = { version: pluginVersion("@pulumi/kubernetes") };
  return new DeclaredResource(
    `kubernetes:${group}:${object.kind}`,
    name,
    { ...object },
    pulumi.mergeOptions(own, opts),
  );
}

type ConfigMapResource = DeclaredResource & {
  readonly data: pulumi.Output<Readonly<Record<string, string>> | undefined>;
};

/** Content of a ConfigMap, read and not managed. @param id `namespace/name`, once it may be read */
export function readConfigMap(
  name: string,
  id: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): ConfigMapResource["data"] {
  const own: pulumi.CustomResourceOptions = { version: pluginVersion("@pulumi/kubernetes"), id };
  // Only named fields become outputs.
  const read = new DeclaredResource(
    "kubernetes:core/v1:ConfigMap",
    name,
    { data: undefined },
    pulumi.mergeOptions(opts, own),
  );
  return (read as ConfigMapResource).data;
}

/**
 * Applies fields to an object that others own, by server-side apply with its own manager:
 * `kubernetes:postgresql.cnpg.io/v1:ClusterPatch`, as `CustomResourcePatch` of `@pulumi/kubernetes` does. Destroying it
 * removes these fields only.
 * @param takeOver fields that another manager has set; otherwise the update fails on them
 */
export function declareKubernetesPatch(
  name: string,
  object: KubernetesObject,
  takeOver: boolean,
  opts: pulumi.CustomResourceOptions,
): DeclaredResource {
  const own: pulumi.CustomResourceOptions = { version: pluginVersion("@pulumi/kubernetes") };
  // A fixed name in every update tells the API server who manages these fields.
  const annotations = {
    "pulumi.com/patchFieldManager": "pgbackstop",
    ...(takeOver ? { "pulumi.com/patchForce": "true" } : {}),
  };
  const patch = { ...object, metadata: { ...object.metadata, annotations } };
  return new DeclaredResource(
    `kubernetes:${object.apiVersion}:${object.kind}Patch`,
    name,
    patch,
    pulumi.mergeOptions(own, opts),
  );
}

function pluginVersion(packageName: keyof typeof PLUGINS): string {
  try {
    return (require(`${packageName}/package.json`) as { readonly version: string }).version.replace(/^v/, "");
  } catch {
    return PLUGINS[packageName];
  }
}
