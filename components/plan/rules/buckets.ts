/**
 * Buckets of Amazon S3, Cloudflare R2 and Google and containers of Azure as resources of their providers' packages:
 * rules that delete or freeze objects backups need, locks that break backups, and public access. Pure; pass only
 * buckets that hold backups.
 */
import { type Finding, finding } from "../findings/findings";
import { R2_LOCK_REASON } from "../storage/r2";
import { findClassFault } from "../storage/storageClasses";
import { hasField, listAt, numberAt, textAt } from "./manifests/objects";
import { valueAt } from "../model/anyValue";

export interface CloudResource {
  /** `aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration`. */
  readonly type: string;
  readonly name: string;
  readonly properties: unknown;
}

export const KEEP_HINT =
  "remove the rule: only pgBackRest's expire knows which objects are no longer needed; rules may remove replaced versions and unfinished uploads";
const PUBLIC_ACLS = ["public-read", "public-read-write", "authenticated-read"];
const AZURE_AGES = ["Modification", "Creation", "LastAccessTime"];
const BLOCKS = ["blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"];

/** Empty for types without rules. */
export function checkCloudResource(resource: CloudResource): Finding[] {
  const check = CHECKS[resource.type.replace(/^([^:]+):([^/:]+)\/?[^:]*:/, "$1:$2:")];
  return check === undefined ? [] : check(resource);
}

const CHECKS: Readonly<Record<string, (resource: CloudResource) => Finding[]>> = {
  "aws:s3:Bucket": checkBucket,
  "aws:s3:BucketV2": checkBucket,
  "aws:s3:BucketAcl": checkAcl,
  "aws:s3:BucketAclV2": checkAcl,
  "aws:s3:BucketLifecycleConfiguration": (resource) => checkAwsRules(resource, "rules"),
  "aws:s3:BucketLifecycleConfigurationV2": (resource) => checkAwsRules(resource, "rules"),
  "aws:s3:BucketPublicAccessBlock": checkPublicAccessBlock,
  "azure-native:storage:BlobContainer": checkContainerAccess,
  "azure-native:storage:ManagementPolicy": checkAzureRules,
  "azure-native:storage:StorageAccount": checkAccountAccess,
  "gcp:storage:Bucket": checkGoogleBucket,
  "gcp:storage:BucketIAMBinding": checkGoogleMembers,
  "gcp:storage:BucketIAMMember": checkGoogleMembers,
  "cloudflare:index:R2BucketLock": checkR2Lock,
  "cloudflare:index:R2BucketLifecycle": checkR2Rules,
  "cloudflare:index:R2ManagedDomain": checkR2Domain,
  "cloudflare:index:R2CustomDomain": checkR2Domain,
};

function checkBucket(resource: CloudResource): Finding[] {
  return [...checkAcl(resource), ...checkAwsRules(resource, "lifecycleRules")];
}

function checkAwsRules(resource: CloudResource, field: string): Finding[] {
  return listAt(resource.properties, field).flatMap((rule, index) => {
    if (textAt(rule, "status") === "Disabled" || valueAt(rule, "enabled") === false) return [];
    const path = `${resource.name} ${field}[${index}]`;
    const transitions = listAt(rule, "transitions").map((item) => textAt(item, "storageClass") ?? "");
    const ends = expirationsOf(rule, path).flatMap(([at, expiration]) => {
      const days = numberAt(expiration, "days");
      return (days !== null && days > 0) || hasField(expiration, "date") ? [expiring(at, days)] : [];
    });
    return [...ends, ...moving(`${path}.transitions`, transitions)];
  });
}

/** One section, or a list of them in BucketV2. */
function expirationsOf(rule: unknown, path: string): (readonly [path: string, expiration: unknown])[] {
  return [
    [`${path}.expiration`, valueAt(rule, "expiration")],
    ...listAt(rule, "expirations").map((each, index) => [`${path}.expirations[${index}]`, each] as const),
  ];
}

function checkR2Rules(resource: CloudResource): Finding[] {
  return listAt(resource.properties, "rules").flatMap((rule, index) => {
    if (valueAt(rule, "enabled") === false) return [];
    const path = `${resource.name} rules[${index}]`;
    const seconds = numberAt(rule, "deleteObjectsTransition", "condition", "maxAge");
    const ends = hasField(rule, "deleteObjectsTransition", "condition");
    // R2 has only one other class, so a rule without a class name means that one.
    const moves = listAt(rule, "storageClassTransitions").map(
      (item) => textAt(item, "storageClass") ?? "InfrequentAccess",
    );
    return [
      ...(ends
        ? [expiring(`${path}.deleteObjectsTransition`, seconds === null ? null : Math.floor(seconds / 86400))]
        : []),
      ...moving(`${path}.storageClassTransitions`, moves),
    ];
  });
}

/** What concerns live blobs; previous versions and snapshots may go. */
function checkAzureRules(resource: CloudResource): Finding[] {
  return listAt(valueAt(resource.properties, "policy"), "rules").flatMap((rule, index) => {
    if (valueAt(rule, "enabled") === false) return [];
    const path = `${resource.name} policy.rules[${index}]`;
    const live = valueAt(rule, "definition", "actions", "baseBlob");
    const ages = AZURE_AGES.flatMap((age) => numberAt(live, "delete", `daysAfter${age}GreaterThan`) ?? []);
    const ends = hasField(live, "delete");
    const tiers = ["Archive", "Cool", "Cold"].filter((tier) => hasField(live, `tierTo${tier}`));
    return [
      ...(ends ? [expiring(`${path}.baseBlob.delete`, ages[0] ?? null)] : []),
      ...moving(`${path}.baseBlob`, tiers),
    ];
  });
}

function checkContainerAccess({ name, properties }: CloudResource): Finding[] {
  const access = textAt(properties, "publicAccess") ?? "None";
  if (access === "None") return [];
  return [open(`${name} publicAccess`, `the container is open (${access}): anyone can read the backups`)];
}

function checkAccountAccess({ name, properties }: CloudResource): Finding[] {
  if (valueAt(properties, "allowBlobPublicAccess") !== true) return [];
  const hint = "leave it out, or set it to false";
  return [open(`${name} allowBlobPublicAccess`, "one setting of a container can make the backups public", hint)];
}

/** What concerns live objects; noncurrent ones may go. A rule for `ANY` counts for live ones too. */
function checkGoogleBucket({ name, properties }: CloudResource): Finding[] {
  const rules = listAt(properties, "lifecycleRules").flatMap((rule, index) => {
    const condition = valueAt(rule, "condition");
    const isForReplaced =
      textAt(condition, "withState") === "ARCHIVED" || GOOGLE_NONCURRENT.some((field) => hasField(condition, field));
    if (isForReplaced) return [];
    const path = `${name} lifecycleRules[${index}]`;
    const type = textAt(rule, "action", "type");
    if (type === "Delete") return [expiring(path, numberAt(condition, "age"))];
    return type === "SetStorageClass" ? moving(path, [textAt(rule, "action", "storageClass") ?? ""], "gcs") : [];
  });
  const days = Math.ceil((numberAt(properties, "retentionPolicy", "retentionPeriod") ?? 0) / 86_400);
  if (days === 0 && valueAt(properties, "defaultEventBasedHold") !== true) return rules;
  const fact = "nothing can be overwritten while it is held, and backups overwrite backup.info and archive.info";
  const hint = "remove it, and set softDeletePolicy: it keeps what is overwritten or deleted";
  return [
    ...rules,
    finding("PB059", `${name} ${days === 0 ? "defaultEventBasedHold" : "retentionPolicy"}`, fact, hint),
  ];
}

const GOOGLE_NONCURRENT = ["daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions"];
const EVERYBODY = ["allUsers", "allAuthenticatedUsers"];

function checkGoogleMembers({ name, properties }: CloudResource): Finding[] {
  const members = [valueAt(properties, "member"), ...listAt(properties, "members")];
  const all = EVERYBODY.find((each) => members.includes(each));
  return all === undefined ? [] : [open(`${name} member`, `the bucket is open to ${all}`)];
}

function expiring(path: string, days: number | null): Finding {
  const when = days === null ? "at a date" : `${days} days after they were written`;
  const fact = `removes objects ${when}: increments and WAL need older ones, so restores fail although backups report success`;
  return finding("PB058", path, fact, KEEP_HINT);
}

function moving(path: string, classes: readonly string[], provider?: string): Finding[] {
  const findFault = (fault: ReturnType<typeof findClassFault>): string | undefined =>
    classes.find((name) => findClassFault(name, provider) === fault);
  const frozen = findFault("frozen");
  if (frozen !== undefined) {
    const fact = `moves objects to ${frozen}: reading takes hours of thawing first, so restores and increments fail`;
    return [finding("PB060", path, fact, "remove the transition")];
  }
  if (findFault("infrequent") === undefined) return [];
  const fact = "moves objects to a class that bills at least 30 days of each and every read: WAL costs more there";
  return [finding("PB061", path, fact, "remove the transition")];
}

function checkR2Lock(resource: CloudResource): Finding[] {
  return listAt(resource.properties, "rules").flatMap((rule, index) => {
    if (valueAt(rule, "enabled") === false) return [];
    const hint = "empty the rules (removing the resource keeps them), and use B2 or S3 for the immutable copy";
    return [finding("PB059", `${resource.name} rules[${index}]`, R2_LOCK_REASON, hint)];
  });
}

function checkAcl(resource: CloudResource): Finding[] {
  const acl = textAt(resource.properties, "acl");
  return acl !== null && PUBLIC_ACLS.includes(acl)
    ? [open(`${resource.name} acl`, `the bucket is ${acl}: anyone can read the backups`)]
    : [];
}

function checkPublicAccessBlock(resource: CloudResource): Finding[] {
  const missing = BLOCKS.filter(
    (name) => valueAt(resource.properties, name) === false || !hasField(resource.properties, name),
  );
  if (missing.length === 0) return [];
  return [
    open(
      resource.name,
      `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} not true: a policy or an ACL can make the bucket public`,
      "set all four to true",
    ),
  ];
}

function checkR2Domain(resource: CloudResource): Finding[] {
  if (valueAt(resource.properties, "enabled") !== true) return [];
  return [open(`${resource.name} enabled`, "anyone can read the bucket at a public address")];
}

function open(path: string, fact: string, hint = "keep backups in a separate private bucket"): Finding {
  return finding("PB094", path, fact, hint);
}
