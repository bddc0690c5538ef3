/**
 * ConfigMaps and Secrets that running programs read. The Kubernetes provider replaces one whose content changes, unless
 * its configuration says otherwise: it deletes the object first, because its name is fixed. A running cluster would
 * have no configuration for that moment, or for as long as the update is cut off there.
 *
 * So the object is declared without content, and a patch puts the content on. The provider changes a patch in place.
 */
import * as pulumi from "@pulumi/pulumi";
import { childName } from "./children";
import { declareKubernetes, declareKubernetesPatch, type KubernetesObject } from "./kubernetesObjects";
import type { JudgedObject } from "./registeredObjects";

export interface ObjectWithContent extends KubernetesObject {
  readonly type?: string;
  readonly data?: pulumi.Input<{ readonly [key: string]: pulumi.Input<string> }>;
  /** Plain text values of a Secret. */
  readonly stringData?: pulumi.Input<{ readonly [key: string]: pulumi.Input<string> }>;
}

export interface DeclaredContent {
  readonly object: pulumi.Resource;
  /** What mounts the object waits for this. */
  readonly content: pulumi.Resource;
}

/** The API server refuses such a Secret without these keys. */
const REQUIRED_KEYS: Readonly<Record<string, object>> = {
  "kubernetes.io/tls": { data: { "tls.crt": "", "tls.key": "" } },
};

/** A ConfigMap or a Secret whose content changes in place. */
export function declareContent(
  name: string,
  { data, stringData, ...object }: ObjectWithContent,
  opts: pulumi.CustomResourceOptions,
  judged: JudgedObject | null = null,
): DeclaredContent {
  const made = declareKubernetes(
    name,
    { ...object, ...REQUIRED_KEYS[object.type ?? ""] },
    // An imported object has content, which the patch takes over, and an imported Secret may have another type.
    pulumi.mergeOptions(opts, { ignoreChanges: ["data", "stringData", "type"] }),
  );
  const { name: objectName, namespace } = object.metadata as Record<"name" | "namespace", pulumi.Input<string>>;
  const patch = {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: { name: objectName, namespace },
    // Server-side apply does not remove keys that are omitted of `stringData`.
    data: stringData === undefined ? data : inBase64(stringData),
  };
  const content = declareKubernetesPatch(
    childName(name, "content"),
    patch,
    true,
    // Forgotten, not removed: while the object is there, it has its content, and both go together.
    pulumi.mergeOptions(opts, { dependsOn: [made], retainOnDelete: true }),
    judged,
  );
  return { object: made, content };
}

function inBase64(texts: NonNullable<ObjectWithContent["stringData"]>): pulumi.Output<Record<string, string>> {
  return pulumi.output(texts).apply((known) =>
    Object.fromEntries(
      // A resource may turn out to have no value.
      Object.entries<string | undefined>(known).flatMap(([key, text]) =>
        text === undefined ? [] : [[key, Buffer.from(text).toString("base64")]],
      ),
    ),
  );
}
