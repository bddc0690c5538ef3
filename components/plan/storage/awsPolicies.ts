/**
 * Amazon policies for a repository in a bucket, as JSON texts: permissions below the repository's prefix. Pure.
 *
 * The writer's policy is that of pgBackRest's user guide: it lists, reads, writes and deletes by name, which in a
 * versioned bucket only adds a delete marker. `s3:ListBucket` is required: without it S3 answers "forbidden" for a
 * missing object instead of "not found". Multipart uploads need only the additional action that aborts them.
 */

export interface PolicyScope {
  /** `arn:aws:s3:::acme-orders-pg` */
  readonly bucketArn: string;
  /** With a leading slash; `/` is the whole bucket. */
  readonly path: string;
  /** KMS key of the bucket; undefined for S3's own key. */
  readonly kmsKeyArn?: string | undefined;
  /** Keys of what was stored before. */
  readonly formerKmsKeyArns?: readonly string[] | undefined;
}

/** Databases, restores elsewhere, or repair of a bucket after an attack. */
export type PolicyRole = "writer" | "reader" | "recovery";

interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: "*" | Readonly<Record<string, string>>;
  readonly Action: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

const OBJECT_ACTIONS: Readonly<Record<PolicyRole, readonly string[]>> = {
  writer: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
  reader: ["s3:GetObject", "s3:GetObjectVersion"],
  recovery: [
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload",
  ],
};

/** Versions show a repository as it was before an attack; the writer does not need them. */
const LIST_ACTIONS: Readonly<Record<PolicyRole, readonly string[]>> = {
  writer: ["s3:ListBucket"],
  reader: ["s3:ListBucket", "s3:ListBucketVersions"],
  recovery: ["s3:ListBucket", "s3:ListBucketVersions"],
};

const KEY_ACTIONS: Readonly<Record<PolicyRole, readonly string[]>> = {
  writer: ["kms:GenerateDataKey", "kms:Decrypt"],
  reader: ["kms:Decrypt"],
  recovery: ["kms:GenerateDataKey", "kms:Decrypt"],
};

export function accessPolicy(role: PolicyRole, scope: PolicyScope): string {
  const { bucketArn, formerKmsKeyArns = [], kmsKeyArn, path } = scope;
  const prefix = path.replace(/^\/+|\/+$/g, "");
  const list = { Effect: "Allow", Action: LIST_ACTIONS[role], Resource: bucketArn } as const;
  const lists: readonly Statement[] =
    prefix === ""
      ? [{ Sid: "List", ...list }]
      : [
          // Only the first level of the root: the bucket may hold others' objects.
          {
            Sid: "ListRoot",
            ...list,
            Condition: { StringEquals: { "s3:prefix": ["", prefix], "s3:delimiter": ["/"] } },
          },
          { Sid: "ListRepository", ...list, Condition: { StringLike: { "s3:prefix": [`${prefix}/*`] } } },
        ];
  const objects = `${bucketArn}/${prefix === "" ? "*" : `${prefix}/*`}`;
  return policyText([
    ...lists,
    { Sid: "Objects", Effect: "Allow", Action: OBJECT_ACTIONS[role], Resource: objects },
    ...(kmsKeyArn === undefined
      ? []
      : [{ Sid: "Key", Effect: "Allow", Action: KEY_ACTIONS[role], Resource: kmsKeyArn } as const]),
    ...(formerKmsKeyArns.length === 0
      ? []
      : [{ Sid: "FormerKeys", Effect: "Allow", Action: "kms:Decrypt", Resource: formerKmsKeyArns } as const]),
  ]);
}

/** Refuses every unencrypted request; JSON text. */
export function tlsOnlyPolicy(bucketArn: string): string {
  return policyText([
    {
      Sid: "TlsOnly",
      Effect: "Deny",
      Principal: "*",
      Action: "s3:*",
      Resource: [bucketArn, `${bucketArn}/*`],
      Condition: { Bool: { "aws:SecureTransport": "false" } },
    },
  ]);
}

/** A Kubernetes service account that pods use to sign in. */
export interface ServiceAccountName {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Trust policy for IRSA: that service account, with a token made for it; JSON text. */
export function irsaTrustPolicy(oidcProviderArn: string, { namespace, serviceAccount }: ServiceAccountName): string {
  const issuer = oidcProviderArn.replace(/^.*:oidc-provider\//, "");
  const account = `system:serviceaccount:${namespace}:${serviceAccount}`;
  return policyText([
    {
      Sid: "ServiceAccount",
      Effect: "Allow",
      Principal: { Federated: oidcProviderArn },
      Action: "sts:AssumeRoleWithWebIdentity",
      Condition: { StringEquals: { [`${issuer}:sub`]: account, [`${issuer}:aud`]: "sts.amazonaws.com" } },
    },
  ]);
}

/** Trust policy for EKS Pod Identity; the association names the account. JSON text. */
export function podIdentityTrustPolicy(): string {
  const principal = { Service: "pods.eks.amazonaws.com" };
  return policyText([
    { Sid: "PodIdentity", Effect: "Allow", Principal: principal, Action: ["sts:AssumeRole", "sts:TagSession"] },
  ]);
}

export function bucketArnOf(bucket: string, region: string): string {
  return `arn:${partitionOf(region)}:s3:::${bucket}`;
}

export function s3EndpointOf(region: string): string {
  return `s3.${region}.amazonaws.com${partitionOf(region) === "aws-cn" ? ".cn" : ""}`;
}

function partitionOf(region: string): string {
  if (region.startsWith("cn-")) return "aws-cn";
  return region.startsWith("us-gov-") ? "aws-us-gov" : "aws";
}

function policyText(statements: readonly Statement[]): string {
  return JSON.stringify({ Version: "2012-10-17", Statement: statements });
}
