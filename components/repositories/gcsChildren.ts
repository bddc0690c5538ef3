/** Children of {@link GcsRepository}: the bucket, service accounts with keys, and their roles. */
import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import { childName } from "../internal/children";
import { declareGcp } from "../internal/gcpResources";
import { outputOf } from "../internal/packagedResources";
import { FIRST_ROTATION } from "../internal/rotation";
import type { GcsRepositoryPlan } from "../plan/storage/gcs";
import { type PlannedBucket, resourcesOf } from "./common";
import type { GcsRepositoryArgs } from "./gcsRepositoryArgs";
import type { GcsCredentials } from "./target";
import { given } from "../../runtime/base/given";

export type PlannedGcs = PlannedBucket<GcsRepositoryPlan, "rules" | "undeleteDays">;
type KeyRole = "reader" | "writer";

/** How databases sign in. */
export interface GcsAccess {
  readonly writer?: GcsCredentials;
  readonly reader?: GcsCredentials;
  /** Accounts, keys and roles that were made for it. */
  readonly made: readonly pulumi.Resource[];
}

/** "IAM roles for Cloud Storage": the role for settings shows whether versions are kept, for repo-target-time. */
const ROLES: Readonly<Record<KeyRole, string>> = {
  writer: "roles/storage.objectUser",
  reader: "roles/storage.objectViewer",
};
const SETTINGS_ROLE = "roles/storage.legacyBucketReader";
const DAY_SECONDS = 86_400;

/** The name, available once the bucket exists. An existing bucket is not touched. */
export function createBucket(
  name: string,
  { bucket: { create, existing }, project }: GcsRepositoryArgs,
  { rules, undeleteDays }: PlannedGcs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  if (create === undefined) return pulumi.output(existing?.name ?? "");
  const kept = pulumi.output(undeleteDays).apply((days) => days * DAY_SECONDS);
  const bucket = declareGcp(
    "gcp:storage/bucket:Bucket",
    childName(name, "bucket"),
    {
      name: create.name,
      location: create.location,
      ...given({ project }),
      uniformBucketLevelAccess: true,
      publicAccessPrevention: "enforced",
      versioning: { enabled: true },
      softDeletePolicy: { retentionDurationSeconds: kept },
      lifecycleRules: rules,
      forceDestroy: create.forceDestroy ?? false,
    },
    opts,
  );
  return pulumi.all([create.name, bucket.id]).apply(([bucketName]) => bucketName);
}

/** Neither protected nor kept: another account can be made at any time. */
export function createAccess(
  name: string,
  args: GcsRepositoryArgs,
  bucket: pulumi.Output<string>,
  parent: pulumi.Resource,
): GcsAccess {
  const { create, existingSecret, identity, keys } = args.credentials ?? {};
  // A refused bucket leaves neither accounts nor keys.
  const opts = { parent, protect: false, retainOnDelete: false, dependsOn: resourcesOf(bucket) };
  if (keys !== undefined) return { writer: { key: pulumi.secret(keys.key) }, made: [] };
  if (existingSecret !== undefined) return { made: [] };
  if (identity !== undefined)
    return { made: identity.member === undefined ? [] : grantRoles(name, "writer", bucket, identity.member, opts) };
  const { reader = false, rotationTrigger = FIRST_ROTATION } = create ?? {};
  const rotated = { ...opts, replacementTrigger: rotationTrigger, additionalSecretOutputs: ["privateKey"] };
  const made: pulumi.Resource[] = [];
  const createKey = (role: KeyRole): GcsCredentials => {
    const account = declareGcp(
      "gcp:serviceaccount/account:Account",
      childName(name, `${role}Account`),
      {
        accountId: bucket.apply((bucketName) => accountIdOf(name, bucketName, role)),
        displayName: pulumi.interpolate`pgbackstop: ${role} of ${bucket}`,
        ...given({ project: args.project }),
      },
      // A renamed stack or repository keeps its account.
      { ...opts, ignoreChanges: ["accountId"] },
      ["member", "name"],
    );
    const key = declareGcp(
      "gcp:serviceaccount/key:Key",
      childName(name, `${role}Key`),
      { serviceAccountId: outputOf(account, "name") },
      rotated,
      ["privateKey"],
    );
    const roles = grantRoles(name, role, bucket, outputOf(account, "member"), opts);
    made.push(account, key, ...roles);
    // A key without its rights would fail the first backup.
    const ready = pulumi.all([outputOf(key, "privateKey"), ...roles.map(({ id }) => id)]);
    return { key: pulumi.secret(ready.apply(([encoded = ""]) => keyTextOf(encoded))) };
  };
  return { writer: createKey("writer"), ...(reader ? { reader: createKey("reader") } : {}), made };
}

function grantRoles(
  name: string,
  role: KeyRole,
  bucket: pulumi.Output<string>,
  member: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource[] {
  const grant = (child: Parameters<typeof childName>[1], granted: string): pulumi.CustomResource =>
    declareGcp(
      "gcp:storage/bucketIAMMember:BucketIAMMember",
      childName(name, child),
      { bucket, role: granted, member },
      opts,
    );
  return [grant(`${role}Role`, ROLES[role]), grant(`${role}SettingsRole`, SETTINGS_ROLE)];
}

/** An id of at most 30 characters. Several repositories, also of other stacks, may share a bucket. */
function accountIdOf(name: string, bucketName: string, role: KeyRole): string {
  const owner = [pulumi.getProject(), pulumi.getStack(), name, bucketName].join("/");
  return `pgbackstop-${createHash("sha256").update(owner).digest("hex").slice(0, 10)}-${role}`;
}

/** In one line, which every form of a secret can carry. Google gives the file's text in base64. */
function keyTextOf(encoded: string): string {
  const text = Buffer.from(encoded, "base64").toString();
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    throw new pulumi.RunError("Google gave a key of a service account that is not JSON");
  }
}
