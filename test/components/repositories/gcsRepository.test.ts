/** The declarations that the engine gets from a GcsRepository. */
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeAll, expect, test } from "vitest";
import { GcsRepository, type GcsRepositoryArgs, RepositorySecret } from "../../../components/index";
import { type Declared, inputsIn, startProgram, titlesOf, valueOf } from "../declaredResources";

let declared: Declared[];
const CREATE = { name: "acme-orders-pg", location: "europe-west3" };
/** As Google gives it: several lines. */
const keyOf = (name: string): string =>
  `{\n  "type": "service_account",\n  "private_key": "-----BEGIN\\nplanted ${name}\\n"\n}\n`;

beforeAll(async () => {
  declared = await startProgram(({ type, name, inputs }) => {
    if (type.includes("serviceaccount/key")) return { privateKey: Buffer.from(keyOf(name)).toString("base64") };
    const { accountId } = inputs as { readonly accountId?: string };
    return { member: `serviceAccount:${accountId}@acme.iam.gserviceaccount.com`, name: `accounts/${accountId}` };
  });
});
afterEach(() => {
  declared.length = 0;
});

async function make(args: Partial<GcsRepositoryArgs> = {}): Promise<GcsRepository> {
  const repository = new GcsRepository("orders-google", { bucket: { create: CREATE }, ...args });
  await valueOf(repository.target.gcs?.credentials?.key);
  await valueOf(repository.location);
  await expect.poll(() => declared.some(({ name }) => name === "orders-google-guard")).toBe(true);
  return repository;
}

const inputsOf = (ending: string): Record<string, unknown> => inputsIn(declared, `orders-google-${ending}`);

// claim: docs/gcs.md: `GcsRepository` creates a bucket that the public cannot open, versions, soft delete, and an
//   account with a key and two roles (doubles of Pulumi's engine; no real account)
test("the shortest form: a closed bucket, versions, soft delete, and a key with rights on it alone", async () => {
  const repository = await make();
  expect(titlesOf(declared)).toEqual([
    "gcp:serviceaccount/account:Account orders-google-writer-account",
    "gcp:serviceaccount/key:Key orders-google-writer-key",
    "gcp:storage/bucket:Bucket orders-google-bucket",
    "gcp:storage/bucketIAMMember:BucketIAMMember orders-google-writer-role",
    "gcp:storage/bucketIAMMember:BucketIAMMember orders-google-writer-settings-role",
    "pgbackstop:index:GcsRepository orders-google",
    "pgbackstop:index:KeyGuard orders-google-guard",
  ]);
  expect(inputsOf("bucket")).toEqual({
    ...CREATE,
    uniformBucketLevelAccess: true,
    publicAccessPrevention: "enforced",
    versioning: { enabled: true },
    softDeletePolicy: { retentionDurationSeconds: 14 * 86_400 },
    lifecycleRules: [
      { action: { type: "Delete" }, condition: { daysSinceNoncurrentTime: 14 } },
      { action: { type: "AbortIncompleteMultipartUpload" }, condition: { age: 2 } },
    ],
    forceDestroy: false,
  });
  const { accountId } = inputsOf("writer-account");
  expect(accountId).toMatch(/^pgbackstop-[0-9a-f]{10}-writer$/);
  expect(String(accountId).length).toBeLessThanOrEqual(30);
  const member = `serviceAccount:${String(accountId)}@acme.iam.gserviceaccount.com`;
  const granted = { bucket: CREATE.name, member };
  expect(inputsOf("writer-role")).toEqual({ ...granted, role: "roles/storage.objectUser" });
  expect(inputsOf("writer-settings-role")).toEqual({ ...granted, role: "roles/storage.legacyBucketReader" });
  expect(inputsOf("writer-key")).toMatchObject({ serviceAccountId: `accounts/${String(accountId)}` });
  const { credentials, ...bucket } = (await valueOf(pulumi.output(repository.target))).gcs ?? {};
  expect(bucket).toEqual({ bucket: CREATE.name, keyType: "service", facts: { versioning: true, undeleteDays: 14 } });
  const key = credentials?.key ?? "";
  expect(key).not.toContain("\n");
  expect(JSON.parse(key)).toEqual(JSON.parse(keyOf("orders-google-writer-key")));
  expect(await valueOf(repository.location)).toBe("gs://acme-orders-pg/pgbackrest");
});

test("a reader's account only reads, all keys are secret, and nothing that is declared has one", async () => {
  const repository = await make({
    credentials: { create: { reader: true } },
    cipher: { passphrase: "planted-passphrase" },
    project: "acme-backups",
    undeleteDays: 30,
  });
  await expect.poll(() => declared.some(({ name }) => name.endsWith("reader-settings-role"))).toBe(true);
  expect(inputsOf("reader-role")).toMatchObject({ role: "roles/storage.objectViewer" });
  expect([inputsOf("reader-account"), inputsOf("bucket")]).toMatchObject([
    { project: "acme-backups" },
    { project: "acme-backups", softDeletePolicy: { retentionDurationSeconds: 30 * 86_400 } },
  ]);
  expect(repository.readerTarget?.readOnly).toBe(true);
  expect(await valueOf(repository.readerTarget?.gcs?.credentials?.key)).toContain("planted orders-google-reader-key");
  for (const { gcs } of [repository.target, repository.readerTarget ?? {}] as { gcs?: { credentials?: object } }[])
    expect(await pulumi.isSecret(pulumi.output(gcs?.credentials))).toBe(true);
  expect(JSON.stringify(declared)).not.toContain("planted");
});

test("the machine's account gets roles and no key, or nothing if nobody is named", async () => {
  const member = "serviceAccount:database@acme.iam.gserviceaccount.com";
  const repository = await make({ credentials: { identity: { member } } });
  expect([repository.target.gcs?.keyType, repository.target.gcs?.credentials]).toEqual(["auto", undefined]);
  await expect.poll(() => declared.some(({ name }) => name.endsWith("writer-settings-role"))).toBe(true);
  expect(inputsOf("writer-role")).toMatchObject({ member, role: "roles/storage.objectUser" });
  expect(declared.some(({ type }) => type.includes("serviceaccount"))).toBe(false);
  declared.length = 0;
  await make({ credentials: { identity: {} } });
  expect(declared.some(({ type }) => type.includes("IAMMember"))).toBe(false);
});

// claim: docs/gcs.md: an existing bucket stays as it is
test("an existing bucket is not touched: its key is given, in a Secret, or made", async () => {
  const existing = { name: "acme-pg", facts: { versioning: false } };
  const given = await make({ bucket: { existing }, credentials: { keys: { key: "planted-key" } } });
  expect(given.target.gcs).toMatchObject({ keyType: "service", facts: existing.facts });
  const secret = { name: "keys", gcsKeyKey: "json" };
  const named = await make({ bucket: { existing }, credentials: { existingSecret: secret } });
  expect(named.target.gcs).toMatchObject({ existingSecret: secret, keyType: "service" });
  expect(declared.every(({ type }) => type.startsWith("pgbackstop:"))).toBe(true);
  await make({ bucket: { existing } });
  expect(declared.some(({ type }) => type === "gcp:storage/bucket:Bucket")).toBe(false);
  expect(inputsOf("writer-role")).toMatchObject({ bucket: "acme-pg" });
  expect(JSON.stringify(declared)).not.toContain("planted");
});

test("a cluster's Secret has the key under the name that the plugin reads", async () => {
  const { target } = await make();
  const keys = new RepositorySecret("orders-keys", { namespace: "orders", create: { from: target } });
  expect(await valueOf(keys.ref.gcsKeyKey)).toBe("GCS_KEY");
  const stored = (): unknown => declared.find(({ inputs }) => inputs["data"] !== undefined)?.inputs["data"];
  await expect.poll(() => JSON.stringify(stored())).toMatch(/"value":\{"GCS_KEY":"[A-Za-z0-9+/=]+"\}/);
});

test("all mistakes are reported at once, each with its path", () => {
  const wrong = (args: GcsRepositoryArgs) => () => new GcsRepository("wrong", args);
  expect(
    wrong({
      bucket: { create: { name: "Acme_PG", location: "europe/west" } },
      credentials: { identity: { member: "database" } },
      path: "/",
    }),
  ).toThrow(
    /GcsRepository wrong: 4 errors[^]*PB020 bucket.create.name: [^]*PB020 bucket.create.location: [^]*PB020 path: [^]*PB020 credentials.identity.member: "database"/,
  );
  expect(wrong({ bucket: { create: CREATE }, undeleteDays: 91 })).toThrow(
    "undeleteDays: it is 91, and must be 1 to 90",
  );
  expect(wrong({ bucket: {} })).toThrow("PB016 bucket: exactly one of create and existing");
  const existing = { name: "acme-pg" };
  expect(wrong({ bucket: { existing }, undeleteDays: 30 })).toThrow("PB082 undeleteDays: ");
  expect(wrong({ bucket: { existing }, credentials: {} })).toThrow("PB016 credentials: exactly one of");
});

test("repositories that share a bucket have accounts of their own", async () => {
  const bucket = { existing: { name: "acme-shared-pg" } };
  for (const name of ["orders", "shop"]) {
    const { target } = new GcsRepository(`shared-${name}`, { bucket, path: `/${name}` });
    await valueOf(target.gcs?.credentials?.key);
  }
  const idOf = (name: string): unknown => inputsIn(declared, `shared-${name}-writer-account`)["accountId"];
  expect(idOf("orders")).toMatch(/^pgbackstop-[0-9a-f]{10}-writer$/);
  expect(idOf("orders")).not.toBe(idOf("shop"));
});
