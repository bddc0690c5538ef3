/** A bucket of this stack under another name: its repository was renamed. */
import type * as pulumi from "@pulumi/pulumi";
import { childName } from "../internal/children";
import { refusedIf } from "../internal/earlierState";

/** Inputs of a repository that makes its bucket. */
interface BucketInputs {
  readonly bucket?: { readonly create?: { readonly name?: unknown } };
  readonly [input: string]: unknown;
}

/** How a state shows a bucket. */
export interface BucketKind {
  readonly type: string;
  /** Outputs that together identify a bucket of the type, from a repository that makes it. */
  identityOf(bucketName: string, inputs: BucketInputs): Readonly<Record<string, unknown>>;
}

/**
 * Options of a repository that is refused if the stack has its bucket already, with the alias to write.
 * @param title of the repository, for errors
 */
export function refusedIfRenamed(
  title: string,
  opts: pulumi.ComponentResourceOptions | undefined,
  kind: BucketKind,
): pulumi.ComponentResourceOptions | undefined {
  return refusedIf(title, opts, (earlier, given) => {
    const inputs = given as BucketInputs;
    const bucketName = inputs.bucket?.create?.name;
    if (typeof bucketName !== "string") return null;
    const identity = Object.entries(kind.identityOf(bucketName, inputs));
    const same = earlier.find(
      (resource) =>
        resource.type === kind.type && identity.every(([field, value]) => resource.outputs[field] === value),
    );
    if (same === undefined) return null;
    const ending = childName("", "bucket");
    const former = same.name.endsWith(ending) ? same.name.slice(0, -ending.length) : same.name;
    return (
      `${title}: this stack has its bucket already, as a resource of "${former}": if it was renamed, ` +
      `add the option { aliases: [{ name: "${former}" }] }, and it keeps its bucket, keys and passphrase`
    );
  });
}
