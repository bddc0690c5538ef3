/** Repositories on S3 and R2 as plain values: defaults, and all mistakes reported at once. */
import { expect, test } from "vitest";
import { estimateStorage } from "../../../components/plan/storage/cost";
import { checkR2, type R2Settings, r2EndpointOf, r2Rules, r2TokenResources } from "../../../components/plan/storage/r2";
import { checkS3Repository, resolveS3Repository, type S3RepositorySettings } from "../../../components/plan/storage/s3";
import { unknownMarker } from "../../../components/plan/model/unknown";

const S3: S3RepositorySettings = { bucket: { create: { name: "acme-orders-pg" } }, region: "eu-central-1" };
const ACCOUNT = "0123456789abcdef0123456789abcdef";
const R2: R2Settings = { accountId: ACCOUNT, bucket: { create: { name: "acme-orders-pg" } } };
const OIDC = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF";
const POD = { namespace: "orders", serviceAccount: "orders" };
const FOREIGN = { existing: { name: "acme-shared" } };

const s3 = (over: Partial<S3RepositorySettings>): string[] =>
  checkS3Repository({ ...S3, ...over }).map((result) => `${result.code} ${result.path}`);
const r2 = (over: Partial<R2Settings>): string[] =>
  checkR2({ ...R2, ...over }).map((result) => `${result.code} ${result.path}`);

test("S3: a bucket and a region are enough; the rules delete only replaced versions and unfinished uploads", () => {
  expect(s3({})).toEqual([]);
  const plan = resolveS3Repository(S3);
  expect(plan).toMatchObject({
    managed: true,
    uriStyle: "host",
    keyType: "shared",
    undeleteDays: 14,
    lockMode: "governance",
  });
  expect(plan.rules).toEqual([
    {
      id: "pgbackstop-unfinished-uploads",
      status: "Enabled",
      filter: { prefix: "" },
      abortIncompleteMultipartUpload: { daysAfterInitiation: 2 },
    },
    {
      id: "pgbackstop-replaced-versions",
      status: "Enabled",
      filter: { prefix: "" },
      noncurrentVersionExpiration: { noncurrentDays: 14 },
      expiration: { expiredObjectDeleteMarker: true },
    },
  ]);
});

test.each<[Partial<S3RepositorySettings>, string]>([
  [{}, "shared"],
  [{ credentials: { keys: {} } }, "shared"],
  [{ credentials: { instanceRole: {} } }, "auto"],
  [{ credentials: { role: { irsa: { oidcProviderArn: OIDC, ...POD } } } }, "web-id"],
  [{ credentials: { role: { podIdentity: { clusterName: "acme", ...POD } } } }, "pod-id"],
])("S3: %j signs in by %s", (over, keyType) => {
  expect(s3(over)).toEqual([]);
  expect(resolveS3Repository({ ...S3, ...over }).keyType).toBe(keyType);
});

test("S3: a bucket name with dots uses path style, because a wildcard certificate covers one level", () => {
  expect(resolveS3Repository({ ...S3, bucket: { create: { name: "pg.acme.example" } } }).uriStyle).toBe("path");
});

test.each<[string, Partial<S3RepositorySettings>, string[]]>([
  ["no bucket", { bucket: {} }, ["PB016 bucket"]],
  ["two buckets", { bucket: { ...S3.bucket, ...FOREIGN } }, ["PB016 bucket"]],
  ["capitals", { bucket: { create: { name: "Acme" } } }, ["PB020 bucket.create.name"]],
  ["an address", { bucket: { create: { name: "10.0.0.1" } } }, ["PB020 bucket.create.name"]],
  ["a name of Amazon's own", { bucket: { existing: { name: "acme-s3alias" } } }, ["PB020 bucket.existing.name"]],
  ["no region", { region: "Frankfurt" }, ["PB020 region"]],
  ["the whole bucket", { path: "/" }, ["PB020 path"]],
  ["no sign-in", { credentials: {} }, ["PB016 credentials"]],
  ["two sign-ins", { credentials: { create: {}, instanceRole: {} } }, ["PB016 credentials"]],
  ["a role for nobody", { credentials: { role: {} } }, ["PB016 credentials.role"]],
  [
    "an issuer in place of its ARN",
    { credentials: { role: { irsa: { oidcProviderArn: "https://oidc.eks", ...POD } } } },
    ["PB020 credentials.role.irsa.oidcProviderArn"],
  ],
  ["an alias of a key", { kmsKeyArn: "arn:aws:kms:eu-central-1:123456789012:alias/pg" }, ["PB020 kmsKeyArn"]],
  ["a lock on another owner's bucket", { bucket: FOREIGN, immutableDays: 30 }, ["PB082 immutableDays"]],
  [
    "a lock on an adopted bucket",
    { bucket: { existing: { name: "acme-shared", takeOver: true } }, immutableDays: 30 },
    [],
  ],
  [
    "an adoption of unknown parts",
    { bucket: { existing: { name: unknownMarker(0), takeOver: true } } },
    ["PB082 bucket.existing.name"],
  ],
  ["compliance without consent", { immutableDays: 30, lockMode: "compliance" }, ["PB080 lockMode"]],
  ["a week to notice", { undeleteDays: 7 }, ["PB081 undeleteDays"]],
  ["a negative number", { expectedStoredGiB: -1 }, ["PB014 expectedStoredGiB"]],
  [
    "unknown values",
    { bucket: { create: { name: unknownMarker(0) } }, region: unknownMarker(1), kmsKeyArn: unknownMarker(2) },
    [],
  ],
])("S3: %s", (_what, over, expected) => {
  expect(s3(over)).toEqual(expected);
});

test("R2: an account and a bucket are enough; the rules end unfinished uploads and delete nothing", () => {
  expect(r2({})).toEqual([]);
  expect(r2Rules()).toEqual([
    {
      id: "Default Multipart Abort Rule",
      enabled: true,
      conditions: { prefix: "" },
      abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 604_800 } },
    },
    {
      id: "pgbackstop-unfinished-uploads",
      enabled: true,
      conditions: { prefix: "" },
      abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 172_800 } },
    },
  ]);
});

test.each([
  ["default", `${ACCOUNT}.r2.cloudflarestorage.com`],
  ["eu", `${ACCOUNT}.eu.r2.cloudflarestorage.com`],
  ["fedramp", `${ACCOUNT}.fedramp.r2.cloudflarestorage.com`],
])("R2: jurisdiction %s has its own address", (jurisdiction, endpoint) => {
  expect(r2EndpointOf(ACCOUNT, jurisdiction)).toBe(endpoint);
  expect(JSON.parse(r2TokenResources(ACCOUNT, jurisdiction, "acme"))).toEqual({
    [`com.cloudflare.edge.r2.bucket.${ACCOUNT}_${jurisdiction}_acme`]: "*",
  });
});

test.each<[string, Partial<R2Settings>, string[]]>([
  ["an account's name", { accountId: "acme" }, ["PB020 accountId"]],
  ["an unknown jurisdiction", { jurisdiction: "europe" }, ["PB014 jurisdiction"]],
  ["no bucket", { bucket: {} }, ["PB016 bucket"]],
  ["dots", { bucket: { create: { name: "pg.acme" } } }, ["PB020 bucket.create.name"]],
  ["an unknown location", { bucket: { create: { name: "acme", location: "moon" } } }, ["PB014 bucket.create.location"]],
  ["the whole bucket", { path: "/" }, ["PB020 path"]],
  ["no keys", { credentials: {} }, ["PB016 credentials"]],
  ["a lock", { immutableDays: 30 }, ["PB059 immutableDays"]],
  ["no lock", { immutableDays: 0 }, []],
  [
    "an adoption of unknown parts",
    { accountId: unknownMarker(0), bucket: { existing: { name: "acme", takeOver: true } } },
    ["PB082 bucket.existing"],
  ],
  ["unknown values", { accountId: unknownMarker(0), bucket: { existing: { name: unknownMarker(1) } } }, []],
])("R2: %s", (_what, over, expected) => {
  expect(r2(over)).toEqual(expected);
});

test("R2: a lock is refused with the reason and an alternative", () => {
  const [result] = checkR2({ ...R2, immutableDays: 30 });
  expect(result?.severity).toBe("error");
  expect(result?.message).toContain("backup.info cannot be updated, a repeated archive_command fails forever");
  expect(result?.hint).toContain("use B2 or S3 for the immutable copy");
});

test.each([
  // 100 GiB are 107.4 GB. On B2 and R2 the first 10 GB are free.
  ["aws", 100, 2.47],
  ["r2", 100, 1.46],
  ["b2", 100, 0.68],
  ["b2", 9, 0],
  ["wasabi", 10, 7.99],
])("keeping at %s %d GiB costs %d a month", (provider, gib, perMonth) => {
  expect(estimateStorage(provider, undefined, gib)).toEqual({ perMonth, asOf: "2026-11-20" });
});

test("a missing price is null, not zero", () => {
  expect(estimateStorage("minio", undefined, 100)).toBeNull();
  expect(estimateStorage("aws", "GLACIER", 100)).toBeNull();
});
