/**
 * Schemas for the doubles of cloud providers: inputs, inputs that replace the resource, secrets, and outputs that the
 * service decides. Taken from the schemas of @pulumi/aws 7, @pulumi/azure-native 3, @pulumi/gcp 9 and
 * @pulumi/cloudflare 6 and the documentation of the services. Only types that this project uses have a row.
 */
import { createHash } from "node:crypto";
import type { ProviderSchema, ResourceSchema } from "./providerDouble";
import { textOf, type Values } from "./providerValues";

/** A setting of one bucket; the bucket's name is its identifier. */
const ofBucket = (required: readonly string[], optional: readonly string[] = []): ResourceSchema => ({
  required: ["bucket", ...required],
  optional: [...optional, "region", "expectedBucketOwner"],
  replaces: ["bucket", "region", "expectedBucketOwner"],
  id: ({ bucket }) => textOf(bucket),
});

/** Amazon: buckets, bucket settings, users and keys. */
export const AWS: ProviderSchema = {
  name: "aws",
  version: "7.48.0",
  resources: {
    "aws:s3/bucket:Bucket": {
      required: [],
      optional: ["bucket", "bucketPrefix", "forceDestroy", "objectLockEnabled", "tags", "region"],
      replaces: ["bucket", "bucketPrefix", "objectLockEnabled", "region"],
      autoName: "bucket",
      id: ({ bucket }) => textOf(bucket),
      idOfImport: (given) => given.replace(/@.*$/, ""),
      computed: {
        arn: ({ bucket }) => `arn:aws:s3:::${textOf(bucket)}`,
        bucketDomainName: ({ bucket }) => `${textOf(bucket)}.s3.amazonaws.com`,
        hostedZoneId: () => "Z3AQBSTGFYJSTF",
      },
    },
    "aws:s3/bucketVersioning:BucketVersioning": ofBucket(["versioningConfiguration"], ["mfa"]),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": ofBucket(
      [],
      ["rules", "transitionDefaultMinimumObjectSize"],
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": ofBucket(
      [],
      ["blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"],
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": ofBucket(["rules"]),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": ofBucket(
      [],
      ["objectLockEnabled", "rule", "token"],
    ),
    "aws:s3/bucketPolicy:BucketPolicy": ofBucket(["policy"]),
    "aws:iam/user:User": {
      required: [],
      optional: ["name", "path", "tags", "forceDestroy", "permissionsBoundary"],
      autoName: "name",
      id: ({ name }) => textOf(name),
      computed: {
        arn: ({ name, path }) => `arn:aws:iam::123456789012:user${textOf(path ?? "/")}${textOf(name)}`,
        uniqueId: (_inputs, _id, random) => `AIDA${random.slice(0, 16).toUpperCase()}`,
      },
    },
    "aws:iam/userPolicy:UserPolicy": {
      required: ["policy", "user"],
      optional: ["name", "namePrefix"],
      replaces: ["name", "namePrefix", "user"],
      autoName: "name",
      id: ({ user, name }) => `${textOf(user)}:${textOf(name)}`,
    },
    "aws:iam/role:Role": {
      required: ["assumeRolePolicy"],
      optional: ["name", "path", "tags", "description", "permissionsBoundary"],
      replaces: ["name", "path"],
      autoName: "name",
      id: ({ name }) => textOf(name),
      computed: { arn: ({ name }) => `arn:aws:iam::123456789012:role/${textOf(name)}` },
    },
    "aws:iam/rolePolicy:RolePolicy": {
      required: ["policy", "role"],
      optional: ["name", "namePrefix"],
      replaces: ["name", "namePrefix", "role"],
      autoName: "name",
      id: ({ role, name }) => `${textOf(role)}:${textOf(name)}`,
    },
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": {
      required: ["clusterName", "namespace", "roleArn", "serviceAccount"],
      optional: ["region", "tags", "targetRoleArn"],
      replaces: ["clusterName", "namespace", "serviceAccount", "region"],
      computed: { associationId: (_inputs, _id, random) => `a-${random.slice(0, 17)}` },
    },
    "aws:iam/accessKey:AccessKey": {
      required: ["user"],
      optional: ["status", "pgpKey"],
      replaces: ["user", "pgpKey"],
      secrets: ["secret", "sesSmtpPasswordV4"],
      computed: {
        secret: (_inputs, _id, random) =>
          createHash("sha256").update(`secret ${random}`).digest("base64url").slice(0, 40),
        createDate: () => "2026-11-20T06:40:59Z",
      },
    },
  },
};

/** Azure: an account, its blobs' settings, containers. @param keys of every account */
export function azureNative(keys: readonly { readonly keyName: string; readonly value: string }[]): ProviderSchema {
  const within = ["accountName", "resourceGroupName"];
  const ofAccount = (required: readonly string[], optional: readonly string[] = []): ResourceSchema => ({
    required: [...within, ...required],
    optional,
    replaces: within,
  });
  return {
    name: "azure-native",
    version: "3.28.0",
    resources: {
      "azure-native:resources:ResourceGroup": {
        required: ["location"],
        optional: ["resourceGroupName", "tags"],
        replaces: ["resourceGroupName", "location"],
      },
      "azure-native:storage:StorageAccount": {
        required: ["kind", "resourceGroupName", "sku"],
        optional: ["accountName", "location", "accessTier", ...ACCOUNT_FLAGS, "minimumTlsVersion", "tags"],
        replaces: [...within, "location"],
        computed: { name: ({ accountName }) => textOf(accountName) },
      },
      "azure-native:storage:BlobServiceProperties": ofAccount(
        ["blobServicesName"],
        ["isVersioningEnabled", "deleteRetentionPolicy", "containerDeleteRetentionPolicy"],
      ),
      "azure-native:storage:BlobContainer": {
        ...ofAccount(["containerName"], ["publicAccess", "immutableStorageWithVersioning", "metadata"]),
        replaces: [...within, "containerName"],
      },
      "azure-native:storage:BlobContainerImmutabilityPolicy": ofAccount(
        ["containerName"],
        ["immutabilityPolicyName", "immutabilityPeriodSinceCreationInDays", "allowProtectedAppendWrites"],
      ),
      "azure-native:storage:ManagementPolicy": ofAccount(["managementPolicyName", "policy"]),
      "azure-native:authorization:RoleAssignment": {
        required: ["principalId", "roleDefinitionId", "scope"],
        optional: ["principalType", "roleAssignmentName"],
        replaces: ["principalId", "roleDefinitionId", "scope"],
      },
    },
    functions: { "azure-native:storage:listStorageAccountKeys": () => ({ keys: keys.map((key) => ({ ...key })) }) },
  };
}

const ACCOUNT_FLAGS = ["allowBlobPublicAccess", "allowSharedKeyAccess", "enableHttpsTrafficOnly"];

/** Cloudflare: R2 buckets and their tokens. */
export const CLOUDFLARE: ProviderSchema = {
  name: "cloudflare",
  version: "6.22.1",
  resources: {
    "cloudflare:index/r2Bucket:R2Bucket": {
      required: ["accountId", "name"],
      optional: ["jurisdiction", "location", "storageClass"],
      replaces: ["accountId", "name", "jurisdiction", "location"],
      id: ({ name }) => textOf(name),
      idOfImport: (given) => given.split("/")[1] ?? given,
      computed: { creationDate: () => "2026-11-20T06:40:59Z" },
    },
    "cloudflare:index/r2BucketLifecycle:R2BucketLifecycle": ofR2Bucket(),
    "cloudflare:index/r2BucketLock:R2BucketLock": ofR2Bucket(),
    "cloudflare:index/accountToken:AccountToken": {
      required: ["accountId", "name", "policies"],
      optional: ["condition", "expiresOn", "notBefore", "status"],
      replaces: ["accountId"],
      secrets: ["value"],
      computed: {
        value: (_inputs, _id, random) => `cfat_${createHash("sha256").update(random).digest("hex").slice(0, 40)}`,
        issuedOn: () => "2026-11-20T06:40:59Z",
      },
    },
  },
  functions: {
    "cloudflare:index/getAccountApiTokenPermissionGroupsList:getAccountApiTokenPermissionGroupsList": permissionGroups,
  },
};

/** Hetzner: a server and the key that signs in to it. */
export const HCLOUD: ProviderSchema = {
  name: "hcloud",
  version: "1.41.0",
  resources: {
    "hcloud:index/sshKey:SshKey": {
      required: ["publicKey"],
      optional: ["name", "labels"],
      replaces: ["publicKey"],
      autoName: "name",
      computed: { fingerprint: (_inputs, _id, random) => random.slice(0, 32) },
    },
    "hcloud:index/server:Server": {
      required: ["serverType"],
      optional: ["name", "image", "location", "sshKeys", "userData", "labels", "publicNets", "networks", "firewallIds"],
      replaces: ["image", "location", "sshKeys", "userData"],
      autoName: "name",
      computed: { ipv4Address: () => "192.0.2.17", status: () => "running" },
    },
  },
};

/** Keys that a program makes. */
export const TLS: ProviderSchema = {
  name: "tls",
  version: "5.6.1",
  resources: {
    "tls:index/privateKey:PrivateKey": {
      required: ["algorithm"],
      optional: ["ecdsaCurve", "rsaBits"],
      replaces: ["algorithm", "ecdsaCurve", "rsaBits"],
      secrets: ["privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"],
    },
  },
};

/**
 * Kubernetes: objects that hold keys. The provider accepts objects unchanged. It replaces a ConfigMap or a Secret whose
 * content changes (`enableConfigMapMutable` and `enableSecretMutable` are off unless a user sets them).
 */
export const KUBERNETES: ProviderSchema = {
  name: "kubernetes",
  version: "4.34.1",
  resources: {
    "kubernetes:core/v1:Secret": {
      required: [],
      optional: ["apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable"],
      replaces: ["type", "data", "stringData"],
      secrets: ["data", "stringData"],
      id: objectId,
    },
    "kubernetes:core/v1:SecretPatch": {
      required: ["metadata"],
      optional: ["apiVersion", "kind", "data"],
      patches: "kubernetes:core/v1:Secret",
      secrets: ["data", "stringData"],
      id: objectId,
    },
    "kubernetes:core/v1:ConfigMapPatch": {
      required: ["metadata"],
      optional: ["apiVersion", "kind", "data", "binaryData", "immutable"],
      replaces: ["metadata"],
      patches: "kubernetes:core/v1:ConfigMap",
      id: objectId,
    },
    "kubernetes:external-secrets.io/v1:ExternalSecret": ofSpec(),
    "kubernetes:core/v1:ConfigMap": {
      required: [],
      optional: ["apiVersion", "kind", "metadata", "data", "binaryData", "immutable"],
      replaces: ["data", "binaryData"],
      id: objectId,
    },
    "kubernetes:core/v1:Service": ofSpec(),
    "kubernetes:core/v1:ServiceAccount": {
      required: [],
      optional: ["apiVersion", "kind", "metadata", "automountServiceAccountToken"],
      id: objectId,
    },
    "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy": ofSpec(),
    "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding": ofSpec(),
    "kubernetes:apps/v1:Deployment": ofSpec(),
    "kubernetes:policy/v1:PodDisruptionBudget": ofSpec(),
    "kubernetes:batch/v1:CronJob": ofSpec(),
    "kubernetes:batch/v1:Job": { ...ofSpec(), replaces: ["metadata", "spec"] },
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole": ofRights("rules"),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding": ofRights("roleRef", "subjects"),
    "kubernetes:rbac.authorization.k8s.io/v1:Role": ofRights("rules"),
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": ofRights("roleRef", "subjects"),
    "kubernetes:postgresql.cnpg.io/v1:Backup": {
      ...ofSpec(),
      replaces: ["metadata", "spec"],
      // The real provider waits for the Backup to end.
      computed: { status: () => ({ phase: "completed", backupId: "20261120-065300F" }) },
    },
    "kubernetes:postgresql.cnpg.io/v1:Cluster": { ...ofSpec(), autoNameInMetadata: true },
    "kubernetes:postgresql.cnpg.io/v1:ClusterPatch": ofSpec(),
    "kubernetes:postgresql.cnpg.io/v1:ScheduledBackup": ofSpec(),
    "kubernetes:postgresql.cnpg.io/v1:Pooler": ofSpec(),
    "kubernetes:barmancloud.cnpg.io/v1:ObjectStore": ofSpec(),
    "kubernetes:pgbackrest.dalibo.com/v1:Stanza": ofSpec(),
    "kubernetes:pgbackrest.dalibo.com/v1:Repository": ofSpec(),
    "kubernetes:monitoring.coreos.com/v1:PodMonitor": ofSpec(),
    "kubernetes:monitoring.coreos.com/v1:PrometheusRule": ofSpec(),
  },
};

/** Objects with only a `spec`. */
function ofSpec(): ResourceSchema {
  return { required: ["spec"], optional: ["apiVersion", "kind", "metadata"], id: objectId };
}

function ofRights(...fields: string[]): ResourceSchema {
  return { required: fields, optional: ["apiVersion", "kind", "metadata"], id: objectId };
}

/** The Kubernetes provider identifies objects as `namespace/name`. */
function objectId({ metadata }: Values): string {
  const { name, namespace } = (metadata ?? {}) as Values;
  return `${textOf(namespace)}/${textOf(name)}`;
}

/** Destroying the rules and locks of an R2 bucket leaves them in place. */
function ofR2Bucket(): ResourceSchema {
  return {
    required: ["accountId", "bucketName"],
    optional: ["jurisdiction", "rules"],
    replaces: ["accountId", "bucketName", "jurisdiction"],
    deleteDoesNothing: true,
  };
}

function permissionGroups(args: Values): Values {
  const scopes = ["com.cloudflare.edge.r2.bucket"];
  const results = [
    { id: "2efd5506f9c8494dacb1fa10a3e7d5b6", name: "Workers R2 Storage Bucket Item Write", scopes },
    { id: "6a018a9f2fc74eb6b293b0c548f38b39", name: "Workers R2 Storage Bucket Item Read", scopes },
    {
      id: "bf7481a1826f439697cb59a20b22293e",
      name: "Workers R2 Storage Write",
      scopes: ["com.cloudflare.api.account"],
    },
    { id: "b4992e1108244f5d8bfbd5744320c2e1", name: "Workers R2 Storage Read", scopes: ["com.cloudflare.api.account"] },
  ];
  return { accountId: textOf(args["accountId"]), results };
}

/** Google: buckets, service accounts, their keys and roles. @param keyOf text of a new key of an account */
export function googleCloud(keyOf: (email: string) => string): ProviderSchema {
  const emailOf = (accountId: Values[string] | undefined): string =>
    `${textOf(accountId ?? "")}@acme.iam.gserviceaccount.com`;
  return {
    name: "gcp",
    version: "9.37.0",
    resources: {
      "gcp:storage/bucket:Bucket": {
        required: ["location"],
        optional: ["name", "project", ...BUCKET_SETTINGS],
        replaces: ["name", "location", "project"],
        id: ({ name }) => textOf(name),
      },
      "gcp:storage/bucketIAMMember:BucketIAMMember": {
        required: ["bucket", "member", "role"],
        optional: ["condition"],
        replaces: ["bucket", "member", "role"],
      },
      "gcp:serviceaccount/account:Account": {
        required: [],
        optional: ["accountId", "displayName", "description", "project", "disabled"],
        replaces: ["accountId", "project"],
        computed: {
          email: ({ accountId }) => emailOf(accountId),
          member: ({ accountId }) => `serviceAccount:${emailOf(accountId)}`,
          name: ({ accountId }) => `projects/acme/serviceAccounts/${emailOf(accountId)}`,
        },
      },
      "gcp:serviceaccount/key:Key": {
        required: ["serviceAccountId"],
        optional: ["keepers", "keyAlgorithm", "privateKeyType"],
        replaces: ["serviceAccountId", "keepers"],
        secrets: ["privateKey"],
        computed: {
          privateKey: ({ serviceAccountId }) =>
            Buffer.from(keyOf(textOf(serviceAccountId).replace(/^.*\//, ""))).toString("base64"),
        },
      },
    },
  };
}

const BUCKET_SETTINGS = [
  "forceDestroy",
  "lifecycleRules",
  "publicAccessPrevention",
  "retentionPolicy",
  "softDeletePolicy",
  "storageClass",
  "uniformBucketLevelAccess",
  "versioning",
];
