/** AWS policies: the exact permissions, and those that are never granted. */
import { expect, test } from "vitest";
import {
  accessPolicy,
  bucketArnOf,
  irsaTrustPolicy,
  podIdentityTrustPolicy,
  type PolicyRole,
  type PolicyScope,
  s3EndpointOf,
  tlsOnlyPolicy,
} from "../../../../components/plan/storage/awsPolicies";

const SCOPE = { bucketArn: "arn:aws:s3:::acme-orders-pg", path: "/pg/main" };
const KEY = "arn:aws:kms:eu-central-1:123456789012:key/0f6c";

interface Statement {
  readonly Sid: string;
  readonly Action: string[];
  readonly Resource: string;
  readonly Condition?: object;
}

function statements(role: PolicyRole, over: Partial<PolicyScope> = {}): Statement[] {
  return (JSON.parse(accessPolicy(role, { ...SCOPE, ...over })) as { Statement: Statement[] }).Statement;
}

const actionsOf = (role: PolicyRole): string[] =>
  statements(role, { kmsKeyArn: KEY }).flatMap((statement) => statement.Action);

test("the writer's policy is that of pgBackRest's user guide, plus aborting uploads", () => {
  expect(JSON.parse(accessPolicy("writer", SCOPE))).toEqual({
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "ListRoot",
        Effect: "Allow",
        Action: ["s3:ListBucket"],
        Resource: "arn:aws:s3:::acme-orders-pg",
        Condition: { StringEquals: { "s3:prefix": ["", "pg/main"], "s3:delimiter": ["/"] } },
      },
      {
        Sid: "ListRepository",
        Effect: "Allow",
        Action: ["s3:ListBucket"],
        Resource: "arn:aws:s3:::acme-orders-pg",
        Condition: { StringLike: { "s3:prefix": ["pg/main/*"] } },
      },
      {
        Sid: "Objects",
        Effect: "Allow",
        Action: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
        Resource: "arn:aws:s3:::acme-orders-pg/pg/main/*",
      },
    ],
  });
});

test("the writer can never remove a version, end a lock, or change the bucket's settings", () => {
  const never =
    /Version|Bypass|Retention|LegalHold|Lifecycle|ObjectLock|Versioning|Policy|\*|Acl|Tagging|DeleteBucket|CreateBucket/;
  expect(actionsOf("writer").filter((action) => never.test(action))).toEqual([]);
  for (const role of ["writer", "reader", "recovery"] as const) {
    expect(
      actionsOf(role).filter((action) => /Bypass|PutObjectRetention|Put(Lifecycle|Bucket)|iam:|\*/.test(action)),
    ).toEqual([]);
  }
});

test("the reader changes nothing, and reads versions of a time before an attack", () => {
  expect(actionsOf("reader").filter((action) => /Put|Delete|Abort|Generate/.test(action))).toEqual([]);
  expect(new Set(actionsOf("reader"))).toEqual(
    new Set(["s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject", "s3:GetObjectVersion", "kms:Decrypt"]),
  );
});

test("the recovery policy is the writer's plus access to versions", () => {
  expect(actionsOf("recovery")).toEqual(
    expect.arrayContaining([...actionsOf("writer"), "s3:ListBucketVersions", "s3:GetObjectVersion"]),
  );
  expect(actionsOf("recovery")).toContain("s3:DeleteObjectVersion");
});

test.each(["/", ""])("the whole bucket (%j) has no conditions", (path) => {
  const [list, objects, ...others] = statements("writer", { path });
  expect(list).toEqual({ Sid: "List", Effect: "Allow", Action: ["s3:ListBucket"], Resource: SCOPE.bucketArn });
  expect(objects).toMatchObject({ Sid: "Objects", Resource: `${SCOPE.bucketArn}/*` });
  expect(others).toEqual([]);
});

test("a prefix never covers another one that begins alike, and no listing of the root goes below its first level", () => {
  for (const role of ["writer", "reader", "recovery"] as const) {
    const [root, below, objects] = statements(role, { path: "/pg" });
    expect(root?.Condition).toEqual({ StringEquals: { "s3:prefix": ["", "pg"], "s3:delimiter": ["/"] } });
    expect(below?.Condition).toEqual({ StringLike: { "s3:prefix": ["pg/*"] } });
    expect(objects?.Resource).toBe(`${SCOPE.bucketArn}/pg/*`);
  }
});

test("a KMS key is one more statement, about that key alone", () => {
  expect(statements("writer", { kmsKeyArn: KEY }).at(-1)).toEqual({
    Sid: "Key",
    Effect: "Allow",
    Action: ["kms:GenerateDataKey", "kms:Decrypt"],
    Resource: KEY,
  });
  expect(statements("reader", { kmsKeyArn: KEY }).at(-1)).toMatchObject({ Action: ["kms:Decrypt"], Resource: KEY });
});

test("former KMS keys decrypt what is stored, and encrypt nothing", () => {
  expect(statements("writer", { kmsKeyArn: KEY, formerKmsKeyArns: [`${KEY}0`] }).slice(-2)).toEqual([
    expect.objectContaining({ Sid: "Key", Resource: KEY }),
    { Sid: "FormerKeys", Effect: "Allow", Action: "kms:Decrypt", Resource: [`${KEY}0`] },
  ]);
});

test("requests without TLS are refused for all", () => {
  expect(JSON.parse(tlsOnlyPolicy(SCOPE.bucketArn))).toEqual({
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "TlsOnly",
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: [SCOPE.bucketArn, `${SCOPE.bucketArn}/*`],
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ],
  });
});

test("a role trusts one service account, or the agent of Pod Identity", () => {
  const provider = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF";
  expect(JSON.parse(irsaTrustPolicy(provider, { namespace: "db", serviceAccount: "orders" }))).toMatchObject({
    Statement: [
      {
        Principal: { Federated: provider },
        Action: "sts:AssumeRoleWithWebIdentity",
        Condition: {
          StringEquals: {
            "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF:sub": "system:serviceaccount:db:orders",
            "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF:aud": "sts.amazonaws.com",
          },
        },
      },
    ],
  });
  expect(JSON.parse(podIdentityTrustPolicy())).toMatchObject({
    Statement: [{ Principal: { Service: "pods.eks.amazonaws.com" }, Action: ["sts:AssumeRole", "sts:TagSession"] }],
  });
});

test.each([
  ["eu-central-1", "arn:aws:s3:::b", "s3.eu-central-1.amazonaws.com"],
  ["us-gov-west-1", "arn:aws-us-gov:s3:::b", "s3.us-gov-west-1.amazonaws.com"],
  ["cn-north-1", "arn:aws-cn:s3:::b", "s3.cn-north-1.amazonaws.com.cn"],
])("region %s", (region, arn, endpoint) => {
  expect(bucketArnOf("b", region)).toBe(arn);
  expect(s3EndpointOf(region)).toBe(endpoint);
});
