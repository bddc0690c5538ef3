/**
 * The children of an S3Repository at Amazon: the bucket with its settings, and users or roles. plan/ supplies their
 * inputs.
 */
import * as pulumi from "@pulumi/pulumi";
import { childName } from "../internal/children";
import type { Aws } from "../internal/cloudPackages";
import { plainText } from "../internal/inputs";
import { FIRST_ROTATION } from "../internal/rotation";
import {
  bucketArnOf,
  irsaTrustPolicy,
  podIdentityTrustPolicy,
  type PolicyRole,
  tlsOnlyPolicy,
} from "../plan/storage/awsPolicies";
import type { LifecycleRule, S3RepositoryPlan } from "../plan/storage/s3";
import { type PlannedBucket, resourcesOf, secretCredentials } from "./common";
import type { S3RepositoryArgs, S3Role } from "./s3RepositoryArgs";
import type { S3Credentials } from "./target";

export type S3BucketPlan = PlannedBucket<S3RepositoryPlan, "rules" | "undeleteDays">;

/** A bucket, for resources that need it ready. */
export interface S3BucketRef {
  /** Available once every setting exists: nothing may be written before the bucket keeps versions. */
  readonly name: pulumi.Output<string>;
  readonly arn: pulumi.Output<string>;
}

export interface S3Access {
  readonly policyOf: (role: PolicyRole) => pulumi.Output<string>;
  /** Absent with a role. */
  readonly writer?: S3Credentials;
  readonly reader?: S3Credentials;
  readonly recovery?: S3Credentials;
  readonly roleArn?: pulumi.Output<string>;
  /** Users, policies, keys and roles that were created for it. */
  readonly made: readonly pulumi.Resource[];
}

/** The bucket with all its settings; for an unchanged existing one, only the name. */
export function createBucket(
  aws: () => Aws,
  name: string,
  args: S3RepositoryArgs,
  plan: S3BucketPlan,
  opts: pulumi.CustomResourceOptions,
): S3BucketRef {
  const { create, existing } = args.bucket;
  const { region } = args;
  // Not Amazon's own answer, which a preview does not know: policies should be readable before they are created.
  const arnOf = (bucketName: pulumi.Output<string>): pulumi.Output<string> =>
    pulumi.all([bucketName, region]).apply(([known, regionName]) => bucketArnOf(known, regionName));
  if (create === undefined && existing?.takeOver !== true) {
    const bucketName = pulumi.output(existing?.name ?? "");
    return { name: bucketName, arn: arnOf(bucketName) };
  }
  const kept = create === undefined ? { ...opts, retainOnDelete: true } : opts;
  const { s3 } = aws();
  const bucket = new s3.Bucket(
    childName(name, "bucket"),
    {
      bucket: create?.name ?? existing?.name ?? "",
      region,
      ...(create === undefined ? {} : { forceDestroy: create.forceDestroy ?? false }),
    },
    create === undefined ? { ...kept, ...importOf(args) } : kept,
  );
  const arn = arnOf(bucket.bucket);
  const settings = createSettings(s3, name, args, plan, { bucket: bucket.bucket, arn }, kept);
  const ready = pulumi.all([bucket.bucket, pulumi.all(settings.map((setting) => setting.bucket))]);
  return { name: ready.apply(([bucketName]) => bucketName), arn };
}

/** Amazon finds a bucket outside the provider's region by `name@region`. Settings that are not ours stay unchanged. */
function importOf({ bucket, region }: S3RepositoryArgs): pulumi.CustomResourceOptions {
  const name = plainText(bucket.existing?.name);
  return {
    import: typeof region === "string" ? `${name}@${region}` : name,
    ignoreChanges: ["tags", "forceDestroy", "objectLockEnabled", "bucketNamespace"],
  };
}

/**
 * In sequence: Amazon refuses some settings while another one is being created, and a policy before public access is
 * blocked.
 */
function createSettings(
  s3: Aws["s3"],
  name: string,
  { kmsKeyArn, region }: S3RepositoryArgs,
  plan: S3BucketPlan,
  made: { readonly bucket: pulumi.Output<string>; readonly arn: pulumi.Output<string> },
  opts: pulumi.CustomResourceOptions,
): readonly { readonly bucket: pulumi.Output<string> }[] {
  const common = { bucket: made.bucket, region };
  const after = (dependency: pulumi.Resource): pulumi.CustomResourceOptions => ({ ...opts, dependsOn: [dependency] });
  const versioning = new s3.BucketVersioning(
    childName(name, "versioning"),
    { ...common, versioningConfiguration: { status: "Enabled" } },
    opts,
  );
  const publicAccess = new s3.BucketPublicAccessBlock(
    childName(name, "publicAccess"),
    { ...common, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true },
    opts,
  );
  const policy = made.arn.apply(tlsOnlyPolicy);
  const tlsOnly = new s3.BucketPolicy(childName(name, "tlsOnly"), { ...common, policy }, after(publicAccess));
  const byDefault =
    kmsKeyArn === undefined ? { sseAlgorithm: "AES256" } : { sseAlgorithm: "aws:kms", kmsMasterKeyId: kmsKeyArn };
  const encryption = new s3.BucketServerSideEncryptionConfiguration(
    childName(name, "encryption"),
    // Without a bucket key, each object would be a paid call to KMS.
    {
      ...common,
      rules: [
        {
          applyServerSideEncryptionByDefault: byDefault,
          ...(kmsKeyArn === undefined ? {} : { bucketKeyEnabled: true }),
        },
      ],
    },
    opts,
  );
  const rulesOf = (rules: readonly LifecycleRule[]) => rules.map((rule) => ({ ...rule, filter: { ...rule.filter } }));
  const rules = Array.isArray(plan.rules) ? rulesOf(plan.rules) : pulumi.output(plan.rules).apply(rulesOf);
  const lifecycle = new s3.BucketLifecycleConfiguration(
    childName(name, "lifecycle"),
    { ...common, rules },
    after(versioning),
  );
  const settings = [versioning, publicAccess, tlsOnly, encryption, lifecycle];
  const { immutableDays, lockMode } = plan;
  if (immutableDays === undefined) return settings;
  // Not the bucket's own argument, whose change would replace the bucket.
  const rule =
    immutableDays === 0 ? {} : { rule: { defaultRetention: { mode: lockMode.toUpperCase(), days: immutableDays } } };
  const lock = new s3.BucketObjectLockConfiguration(
    childName(name, "lock"),
    { ...common, objectLockEnabled: "Enabled", ...rule },
    after(versioning),
  );
  return [...settings, lock];
}

/** Users with keys, or a role, neither protected nor kept. */
export function createAccess(
  aws: () => Aws,
  name: string,
  { credentials, region }: S3RepositoryArgs,
  policyOf: S3Access["policyOf"],
  bucket: S3BucketRef,
  parent: pulumi.Resource,
): Omit<S3Access, "policyOf"> {
  const { existingSecret, instanceRole, keys, role } = credentials ?? {};
  // A refused bucket leaves neither users nor keys.
  const opts = { parent, protect: false, retainOnDelete: false, dependsOn: resourcesOf(bucket.name) };
  if (keys !== undefined) return { writer: secretCredentials(keys), made: [] };
  if (existingSecret !== undefined) return { made: [] };
  if (role !== undefined) return createRole(aws(), name, role, region, policyOf("writer"), opts);
  if (instanceRole !== undefined) {
    const { roleName } = instanceRole;
    if (roleName === undefined) return { made: [] };
    return {
      made: [
        new (aws().iam.RolePolicy)(
          childName(name, "writerPolicy"),
          { role: roleName, policy: policyOf("writer") },
          opts,
        ),
      ],
    };
  }
  const { iam } = aws();
  const made: pulumi.Resource[] = [];
  const { reader = false, recovery = false, rotationTrigger } = credentials?.create ?? {};
  const rotated = { ...opts, replacementTrigger: rotationTrigger ?? FIRST_ROTATION };
  const createUser = (role_: PolicyRole): S3Credentials => {
    const user = new iam.User(childName(name, `${role_}User`), {}, opts);
    const policy = new iam.UserPolicy(
      childName(name, `${role_}Policy`),
      { user: user.name, policy: policyOf(role_) },
      opts,
    );
    const key = new iam.AccessKey(childName(name, `${role_}Key`), { user: user.name }, rotated);
    made.push(user, policy, key);
    // A key without its rights would fail the first backup.
    const ready = pulumi.all([key.id, key.secret, policy.id]);
    return secretCredentials({
      accessKeyId: ready.apply(([id]) => id),
      secretAccessKey: ready.apply(([, secret]) => secret),
    });
  };
  return {
    writer: createUser("writer"),
    ...(reader ? { reader: createUser("reader") } : {}),
    ...(recovery ? { recovery: createUser("recovery") } : {}),
    made,
  };
}

/** A role for the pods of one service account; its ARN is available once it may write. */
function createRole(
  aws: Aws,
  name: string,
  { irsa, podIdentity }: S3Role,
  region: pulumi.Input<string>,
  policy: pulumi.Output<string>,
  opts: pulumi.CustomResourceOptions,
): Pick<S3Access, "made" | "roleArn"> {
  const assumeRolePolicy =
    irsa === undefined
      ? podIdentityTrustPolicy()
      : pulumi
          .all([irsa.oidcProviderArn, irsa.namespace, irsa.serviceAccount])
          .apply(([arn, namespace, serviceAccount]) => irsaTrustPolicy(arn, { namespace, serviceAccount }));
  const role = new aws.iam.Role(childName(name, "role"), { assumeRolePolicy }, opts);
  const allowed = new aws.iam.RolePolicy(childName(name, "writerPolicy"), { role: role.name, policy }, opts);
  const made: pulumi.Resource[] = [role, allowed];
  if (podIdentity !== undefined) {
    const { clusterName, namespace, serviceAccount } = podIdentity;
    const association = { clusterName, namespace, serviceAccount, roleArn: role.arn, region };
    made.push(
      new aws.eks.PodIdentityAssociation(childName(name, "podIdentity"), association, {
        ...opts,
        dependsOn: [allowed],
      }),
    );
  }
  return { roleArn: pulumi.all([role.arn, allowed.id]).apply(([arn]) => arn), made };
}
