/** Findings about buckets that the cloud providers' packages declare. */
import { expect, test } from "vitest";
import { checkCloudResource } from "../../../../components/plan/rules/buckets";
import { resolveAzure } from "../../../../components/plan/storage/azure";
import { resolveGcs } from "../../../../components/plan/storage/gcs";

const RULES = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration";
const R2 = "cloudflare:index/r2Bucket";
const AZURE = "azure-native:storage";
const GOOGLE = "gcp:storage";
const GOOGLES = { bucket: { create: { name: "acme-pg", location: "EU" } } };
const OWN_RULES = resolveAzure({ container: { create: { accountName: "acmepg", location: "westeurope" } } }).rules;
const azureRules = (actions: object, enabled = true): object => ({
  policy: { rules: [{ enabled, name: "rule", type: "Lifecycle", definition: { actions } }] },
});

function codes(type: string, properties: object): string[] {
  return checkCloudResource({ type, name: "backups", properties }).map((result) => `${result.code} ${result.path}`);
}

test.each<[string, string, object, string[]]>([
  [
    "rules that remove live objects",
    RULES,
    { rules: [{ status: "Enabled", expiration: { days: 30 } }] },
    ["PB058 backups rules[0].expiration"],
  ],
  [
    "rules that freeze",
    RULES,
    { rules: [{ status: "Enabled", transitions: [{ days: 7, storageClass: "GLACIER" }] }] },
    ["PB060 backups rules[0].transitions"],
  ],
  [
    "a class with a minimum",
    RULES,
    { rules: [{ transitions: [{ storageClass: "STANDARD_IA" }] }] },
    ["PB061 backups rules[0].transitions"],
  ],
  ["a disabled rule", RULES, { rules: [{ status: "Disabled", expiration: { days: 30 } }] }, []],
  [
    "rules for replaced versions and unfinished uploads",
    RULES,
    {
      rules: [
        {
          status: "Enabled",
          abortIncompleteMultipartUpload: { daysAfterInitiation: 2 },
          noncurrentVersionExpiration: { noncurrentDays: 14 },
          expiration: { expiredObjectDeleteMarker: true },
        },
      ],
    },
    [],
  ],
  [
    "the old inline rules",
    "aws:s3/bucket:Bucket",
    { lifecycleRules: [{ enabled: true, expiration: { days: 1 } }] },
    ["PB058 backups lifecycleRules[0].expiration"],
  ],
  [
    "a rule of Azure that removes live blobs",
    `${AZURE}:ManagementPolicy`,
    azureRules({ baseBlob: { delete: { daysAfterCreationGreaterThan: 30 } } }),
    ["PB058 backups policy.rules[0].baseBlob.delete"],
  ],
  [
    "a rule of Azure that freezes, in a version of its interface",
    "azure-native:storage/v20230101:ManagementPolicy",
    azureRules({ baseBlob: { tierToArchive: { daysAfterModificationGreaterThan: 7 } } }),
    ["PB060 backups policy.rules[0].baseBlob"],
  ],
  [
    "a tier with a minimum",
    `${AZURE}:ManagementPolicy`,
    azureRules({ baseBlob: { tierToCool: { daysAfterModificationGreaterThan: 7 } } }),
    ["PB061 backups policy.rules[0].baseBlob"],
  ],
  [
    "a rule of Azure that is disabled",
    `${AZURE}:ManagementPolicy`,
    azureRules({ baseBlob: { delete: { daysAfterCreationGreaterThan: 30 } } }, false),
    [],
  ],
  ["rules for replaced versions of blobs", `${AZURE}:ManagementPolicy`, { policy: { rules: OWN_RULES } }, []],
  ["an open container", `${AZURE}:BlobContainer`, { publicAccess: "Blob" }, ["PB094 backups publicAccess"]],
  ["a private container", `${AZURE}:BlobContainer`, { publicAccess: "None" }, []],
  [
    "an account that allows open containers",
    `${AZURE}:StorageAccount`,
    { allowBlobPublicAccess: true },
    ["PB094 backups allowBlobPublicAccess"],
  ],
  [
    "a lock at R2",
    `${R2}Lock:R2BucketLock`,
    { rules: [{ enabled: true, condition: { type: "Age", maxAgeSeconds: 1 } }] },
    ["PB059 backups rules[0]"],
  ],
  ["an emptied lock", `${R2}Lock:R2BucketLock`, { rules: [] }, []],
  [
    "rules at R2 that remove live objects",
    `${R2}Lifecycle:R2BucketLifecycle`,
    { rules: [{ enabled: true, deleteObjectsTransition: { condition: { type: "Age", maxAge: 2592000 } } }] },
    ["PB058 backups rules[0].deleteObjectsTransition"],
  ],
  [
    "R2's own rule for uploads",
    `${R2}Lifecycle:R2BucketLifecycle`,
    { rules: [{ enabled: true, abortMultipartUploadsTransition: { condition: {} } }] },
    [],
  ],
  ["a public bucket", "aws:s3/bucketAcl:BucketAcl", { acl: "public-read" }, ["PB094 backups acl"]],
  [
    "a block with a hole",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    { blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true },
    ["PB094 backups"],
  ],
  [
    "a public name at R2",
    "cloudflare:index/r2ManagedDomain:R2ManagedDomain",
    { enabled: true },
    ["PB094 backups enabled"],
  ],
  [
    "a rule of Google that removes live objects",
    `${GOOGLE}/bucket:Bucket`,
    { lifecycleRules: [{ action: { type: "Delete" }, condition: { age: 30 } }] },
    ["PB058 backups lifecycleRules[0]"],
  ],
  [
    "a rule of Google that moves live objects, which stay readable",
    `${GOOGLE}/bucket:Bucket`,
    { lifecycleRules: [{ action: { type: "SetStorageClass", storageClass: "ARCHIVE" }, condition: { age: 7 } }] },
    ["PB061 backups lifecycleRules[0]"],
  ],
  ["our own rules at Google", `${GOOGLE}/bucket:Bucket`, { lifecycleRules: resolveGcs(GOOGLES).rules }, []],
  [
    "a retention policy at Google",
    `${GOOGLE}/bucket:Bucket`,
    { retentionPolicy: { retentionPeriod: 86400 } },
    ["PB059 backups retentionPolicy"],
  ],
  [
    "a bucket of Google for everybody",
    `${GOOGLE}/bucketIAMMember:BucketIAMMember`,
    { member: "allUsers", role: "roles/storage.objectViewer" },
    ["PB094 backups member"],
  ],
  [
    "a bucket of Google for an account",
    `${GOOGLE}/bucketIAMBinding:BucketIAMBinding`,
    { members: ["serviceAccount:a@b"] },
    [],
  ],
  ["another kind of resource", "aws:ec2/instance:Instance", { acl: "public-read" }, []],
])("%s", (_what, type, properties, expected) => {
  expect(codes(type, properties)).toEqual(expected);
});
