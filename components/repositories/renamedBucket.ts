/**
 * A bucket of this stack, or keys for one, under another name: its repository was renamed. Without an alias databases
 * would get other keys, and the engine deletes the former ones at the end of the update.
 */
import type * as pulumi from "@pulumi/pulumi";
import { childName, typeToken } from "../internal/children";
import { declaredTitles, type EarlierResource, refusedIf } from "../internal/earlierState";
import { isFields, valueAt } from "../plan/model/anyValue";

/** Inputs of a repository's component. */
type BucketInputs = Readonly<Record<string, unknown>>;

/** How a state shows a bucket and its keys. */
export interface BucketKind {
  readonly type: string;
  /** Argument and field with the name of what is made, and its child. By default `bucket.create.name` and `bucket`. */
  readonly section?: { readonly name: string; readonly field: string; readonly child: Parameters<typeof childName>[1] };
  /** Outputs that together identify a bucket of the type, from a repository that makes it. */
  identityOf(bucketName: string, inputs: BucketInputs): Readonly<Record<string, unknown>>;
  /** Types of keys, tokens and roles that a repository makes. */
  readonly keyTypes: readonly string[];
  /** Beginning of a location. @default "s3" */
  readonly scheme?: string;
  /** Outputs of a repository's component that tell it from one in another account, besides its location. */
  serviceOf(inputs: BucketInputs): Readonly<Record<string, unknown>>;
}

/**
 * Options of a repository that is refused if the stack has its bucket or its keys already, with the alias to write.
 * @param title of the repository: its class and its name
 */
export function refusedIfRenamed(
  title: string,
  opts: pulumi.ComponentResourceOptions | undefined,
  kind: BucketKind,
): pulumi.ComponentResourceOptions | undefined {
  const titles = declaredTitles().add(title);
  return refusedIf(title, opts, (earlier, inputs) => renamedBucket(title, kind, earlier, inputs, titles));
}

/** Why the repository may not be created; null if it may. @param titles of the program's repositories */
export function renamedBucket(
  title: string,
  kind: BucketKind,
  earlier: readonly EarlierResource[],
  inputs: BucketInputs,
  titles: ReadonlySet<string>,
): string | null {
  const { child, field, name: section } = kind.section ?? { name: "bucket", field: "name", child: "bucket" };
  const madeBucket = valueAt(inputs, section, "create", field);
  if (typeof madeBucket === "string") {
    const same = earlier.find(
      ({ outputs, type }) => type === kind.type && hasAll(outputs, kind.identityOf(madeBucket, inputs)),
    );
    if (same === undefined) return null;
    const ending = childName("", child);
    return refusal(title, "bucket", same.name.endsWith(ending) ? same.name.slice(0, -ending.length) : same.name);
  }
  const existing = valueAt(inputs, "bucket", "existing", "name");
  const { path } = inputs;
  if (typeof existing !== "string" || typeof path !== "string" || !makesKeys(inputs)) return null;
  const [className = ""] = title.split(" ");
  const wanted = { location: `${kind.scheme ?? "s3"}://${existing}${path}`, ...kind.serviceOf(inputs) };
  const former = earlier.find(
    ({ name, outputs, type }) =>
      type === typeToken(className) &&
      !titles.has(`${className} ${name}`) &&
      hasAll(outputs, wanted) &&
      earlier.some((key) => kind.keyTypes.includes(key.type) && keyNames(name).includes(key.name)),
  );
  return former === undefined ? null : refusal(title, "keys", former.name);
}

const KEY_ROLES = ["writerKey", "readerKey", "recoveryKey", "writerToken", "readerToken", "role"] as const;

function keyNames(name: string): string[] {
  return KEY_ROLES.map((role) => childName(name, role));
}

/** True by default. */
function makesKeys({ credentials }: BucketInputs): boolean {
  if (credentials === undefined) return true;
  return isFields(credentials) && (credentials["create"] !== undefined || credentials["role"] !== undefined);
}

function hasAll(outputs: EarlierResource["outputs"], wanted: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(wanted).every(([field, value]) => outputs[field] === value);
}

function refusal(title: string, what: "bucket" | "keys", former: string): string {
  return (
    `${title}: this stack has its ${what} already, as ${what === "keys" ? "those" : "a resource"} of "${former}": ` +
    `if it was renamed, add the option { aliases: [{ name: "${former}" }] }, and it keeps its bucket, keys and passphrase`
  );
}
