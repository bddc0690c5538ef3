/**
 * `S3Repository` and `R2Repository` on the real engine, with doubles of the providers: what they create, keep, change,
 * adopt and delete. versitygw provides Amazon's bucket, versions, lock, policy, users and keys, and the tests try every
 * right there.
 */
import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CipherPassphrase } from "../../components/credentials/cipherPassphrase";
import { PostgresHost } from "../../components/databases/postgresHost";
import type { S3Credentials } from "../../components/repositories/target";
import { R2Repository, type R2RepositoryArgs } from "../../components/repositories/r2Repository";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { S3Repository } from "../../components/repositories/s3Repository";
import type { S3RepositoryArgs } from "../../components/repositories/s3RepositoryArgs";
import { atNight, NIGHTLY } from "../../tools/parts/nightly";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { failureOf } from "../harness/compare/engineTexts";
import { liveAws } from "../harness/real/liveBucket";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { AWS, CLOUDFLARE } from "../harness/doubles/providerSchemas";
import { textOf } from "../harness/doubles/providerValues";
import { askS3, type S3Keys, type S3Question } from "../harness/network/s3Requests";
import { type Changed, EngineRecord } from "./engineRecord";

const BUCKET = "aws:s3/bucket:Bucket";
const LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration";
const POLICY = "aws:s3/bucketPolicy:BucketPolicy";
const KEY = "aws:iam/accessKey:AccessKey";
const R2_BUCKET = "cloudflare:index/r2Bucket:R2Bucket";
const R2_LIFECYCLE = "cloudflare:index/r2BucketLifecycle:R2BucketLifecycle";
const TOKEN = "cloudflare:index/accountToken:AccountToken";
const GROUPS = "cloudflare:index/getAccountApiTokenPermissionGroupsList:getAccountApiTokenPermissionGroupsList";

const NAME = "acme-orders-pg";
const ACCOUNT = "0123456789abcdef0123456789abcdef";
const CIPHER = "planted-passphrase-of-the-repository";
const S3: S3RepositoryArgs = {
  region: "eu-central-1",
  bucket: { create: { name: NAME } },
  credentials: { create: { reader: true, recovery: true } },
  cipher: { passphrase: CIPHER },
  expectedStoredGiB: 100,
};
const R2: R2RepositoryArgs = {
  accountId: ACCOUNT,
  jurisdiction: "eu",
  bucket: { create: { name: NAME, location: "weur" } },
  credentials: { create: { reader: true } },
  cipher: { passphrase: CIPHER },
  expectedStoredGiB: 100,
};

let server: S3Server;
let aws: ProviderDouble;
let cloudflare: ProviderDouble;
let programFolder: ProgramFolder;
const record = new EngineRecord();
const secrets = new Set<string>([CIPHER]);

beforeAll(async () => {
  server = await S3Server.create({ kind: "versitygw", versioning: true, users: true });
  aws = await ProviderDouble.start(AWS, { live: liveAws(server) });
  cloudflare = await ProviderDouble.start(CLOUDFLARE);
  programFolder = await makeProgramFolder([aws, cloudflare]);
});
afterAll(async () => {
  aws?.stop();
  cloudflare?.stop();
  await server?.remove();
  removeProgramFolder(programFolder);
});

function openS3(
  args: S3RepositoryArgs = S3,
  opts: pulumi.ComponentResourceOptions = {},
  stackName = "amazon",
  name = "orders-s3",
): Promise<Stack> {
  return openStack(programFolder, stackName, async () => {
    const repository = new S3Repository(name, args, opts);
    const {
      location,
      monthlyCostUsd,
      pricesAsOf,
      readerCredentials,
      recoveryCredentials,
      restoreEndpoint,
      roleArn,
      target,
      writerPolicy,
    } = repository;
    return {
      location,
      restoreEndpoint,
      writerPolicy,
      roleArn,
      monthlyCostUsd,
      pricesAsOf,
      target: target.s3,
      ...keyOutputs("writer", target.s3?.credentials),
      ...keyOutputs("reader", readerCredentials),
      ...keyOutputs("recovery", recoveryCredentials),
    };
  });
}

function openR2(
  args: R2RepositoryArgs = R2,
  opts: pulumi.ComponentResourceOptions = {},
  stackName = "cloudflare",
  name = "orders-r2",
): Promise<Stack> {
  return openStack(programFolder, stackName, async () => {
    const { location, monthlyCostUsd, pricesAsOf, readerCredentials, restoreEndpoint, target } = new R2Repository(
      name,
      args,
      opts,
    );
    const keys = { ...keyOutputs("writer", target.s3?.credentials), ...keyOutputs("reader", readerCredentials) };
    return { location, restoreEndpoint, monthlyCostUsd, pricesAsOf, target: target.s3, ...keys };
  });
}

function keyOutputs(role: string, credentials: S3Credentials | undefined): Record<string, unknown> {
  return credentials === undefined
    ? {}
    : { [`${role}Id`]: credentials.accessKeyId, [`${role}Key`]: credentials.secretAccessKey };
}

async function up(stack: Stack): Promise<Changed> {
  const changed = await record.up(stack);
  for (const key of aws.all(KEY)) secrets.add(textOf(key.outputs["secret"]));
  for (const token of cloudflare.all(TOKEN)) {
    const value = textOf(token.outputs["value"]);
    secrets.add(value).add(createHash("sha256").update(value).digest("hex"));
  }
  return changed;
}

const changesOf = (double: ProviderDouble, from: number): string[] =>
  double.calls.slice(from).filter((call) => /^(create|update|delete)/.test(call));

function keysOf(changed: Changed, role: "writer" | "reader" | "recovery"): S3Keys {
  const [id, key] = [changed.outputs[`${role}Id`], changed.outputs[`${role}Key`]];
  expect([id?.secret, key?.secret]).toEqual([true, true]);
  return { accessKeyId: String(id?.value), secretAccessKey: String(key?.value) };
}

async function statusOf(keys: S3Keys, question: Omit<S3Question, "bucket">): Promise<number> {
  return (await askS3(server, { bucket: NAME, ...question }, keys)).status;
}

async function versionOf(key: string): Promise<string> {
  const { headers } = await askS3(server, { method: "HEAD", bucket: NAME, key });
  return String(headers["x-amz-version-id"]);
}

let made: Changed;

test.runIf(NIGHTLY)("S3: a preview shows what would be created, and creates nothing", async () => {
  const { changes, text } = await record.preview(await openS3());
  expect(changes).toEqual({ create: 18 });
  expect(text).toMatch(/location *: "s3:\/\/acme-orders-pg\/pgbackrest"/);
  // The preview shows the policy in full before an update applies it.
  expect(text).not.toMatch(/policy *: \[unknown\]/);
  expect(changesOf(aws, 0)).toEqual([]);
});

test("S3: an update creates bucket, settings and users; a second one changes nothing", async () => {
  made = await up(await openS3());
  expect(made.changes).toEqual({ create: 18 });
  expect(aws.only(BUCKET).inputs).toEqual({ bucket: NAME, region: "eu-central-1", forceDestroy: false });
  expect(aws.only(LIFECYCLE).inputs["rules"]).toEqual([
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
  expect(aws.only("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs).toMatchObject({
    blockPublicAcls: true,
    blockPublicPolicy: true,
    ignorePublicAcls: true,
    restrictPublicBuckets: true,
  });
  expect(
    textOf(
      aws.only("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration").inputs[
        "rules"
      ],
    ),
  ).toContain("AES256");
  const order = changesOf(aws, 0);
  expect(order.indexOf(`create ${LIFECYCLE}`)).toBeGreaterThan(
    order.indexOf("create aws:s3/bucketVersioning:BucketVersioning"),
  );
  const { outputs } = made;
  expect(outputs["restoreEndpoint"]?.value).toBe("https://s3.eu-central-1.amazonaws.com");
  expect([outputs["monthlyCostUsd"]?.value, outputs["pricesAsOf"]?.value]).toEqual([2.47, "2026-11-20"]);
  expect(outputs["target"]?.value).toMatchObject({
    bucket: NAME,
    endpoint: "s3.eu-central-1.amazonaws.com",
    region: "eu-central-1",
    uriStyle: "host",
    keyType: "shared",
    facts: { versioning: true, undeleteDays: 14 },
  });
  expect(textOf(aws.all("aws:iam/userPolicy:UserPolicy")[0]?.inputs["policy"])).toContain(
    "arn:aws:s3:::acme-orders-pg/pgbackrest/*",
  );
  expect((await up(await openS3())).changes).toEqual({ same: 18 });
});

// claim: docs/keys.md: a reader cannot write, a writer cannot delete a version, recovery reads and deletes them; a
//   refused destroy leaves the keys (versitygw; the providers are simulated)
test("S3: the writer's key works, and cannot lose or change a version", async () => {
  const writer = keysOf(made, "writer");
  const key = "pgbackrest/backup/main/backup.info";
  expect(await statusOf(writer, { method: "PUT", key, body: "first" })).toBe(200);
  const first = await versionOf(key);
  expect(await statusOf(writer, { method: "PUT", key, body: "second" })).toBe(200);
  expect(await statusOf(writer, { method: "GET", key })).toBe(200);
  expect(
    await statusOf(writer, {
      method: "GET",
      query: { "list-type": "2", prefix: "pgbackrest/backup/", delimiter: "/" },
    }),
  ).toBe(200);
  // A missing object is "not found", not "forbidden": stock stops at the latter.
  expect(await statusOf(writer, { method: "HEAD", key: "pgbackrest/archive/main/archive.info" })).toBe(404);
  expect(await statusOf(writer, { method: "DELETE", key })).toBe(204);
  expect(await statusOf(writer, { method: "GET", key })).toBe(404);

  expect(await statusOf(writer, { method: "DELETE", key, query: { versionId: first } })).toBe(403);
  expect(await statusOf(writer, { method: "PUT", key: "elsewhere/file", body: "x" })).toBe(403);
  expect(await statusOf(writer, { method: "GET", query: { "list-type": "2", prefix: "elsewhere/" } })).toBe(403);
  expect(await statusOf(writer, { method: "GET", query: { "list-type": "2" } })).toBe(403);
  const suspended = `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Suspended</Status></VersioningConfiguration>`;
  expect(await statusOf(writer, { method: "PUT", query: { versioning: "" }, body: suspended })).toBe(403);
  expect(await statusOf(writer, { method: "DELETE", query: { policy: "" } })).toBe(403);
  expect((await askS3(server, { method: "GET", bucket: NAME, key, query: { versionId: first } })).text).toBe("first");
});

// claim: docs/keys.md: a reader cannot write…
test("S3: the reader's key reads, including old versions, and writes nothing; the recovery key removes delete markers", async () => {
  const key = "pgbackrest/backup/main/backup.info";
  const reader = keysOf(made, "reader");
  const recovery = keysOf(made, "recovery");
  const listed = await askS3(
    server,
    { method: "GET", bucket: NAME, query: { versions: "", prefix: "pgbackrest/backup/" } },
    reader,
  );
  expect(listed.status).toBe(200);
  const marker = /<DeleteMarker>.*?<VersionId>([^<]+)<\/VersionId>/s.exec(listed.text)?.[1] ?? "";
  const version = /<Version>.*?<VersionId>([^<]+)<\/VersionId>/s.exec(listed.text)?.[1] ?? "";
  expect(await statusOf(reader, { method: "GET", key, query: { versionId: version } })).toBe(200);
  expect(await statusOf(reader, { method: "PUT", key, body: "x" })).toBe(403);
  expect(await statusOf(reader, { method: "DELETE", key })).toBe(403);
  expect(await statusOf(reader, { method: "DELETE", key, query: { versionId: version } })).toBe(403);
  expect(
    (await askS3(server, { method: "GET", bucket: NAME, key, query: { versionId: version } }, recovery)).text,
  ).toBe("second");
  expect(
    (
      await askS3(
        server,
        { method: "GET", bucket: NAME, query: { versions: "", prefix: "pgbackrest/backup/" } },
        recovery,
      )
    ).status,
  ).toBe(200);
  expect(await statusOf(recovery, { method: "DELETE", key, query: { versionId: marker } })).toBe(204);
  expect((await askS3(server, { method: "GET", bucket: NAME, key }, reader)).text).toBe("second");
});

test("S3: a preview shows a new lock, and the update locks all later writes, for every key", async () => {
  const locked: S3RepositoryArgs = { ...S3, immutableDays: 30 };
  const { changes, text } = await record.preview(await openS3(locked));
  expect(changes).toEqual({ same: 16, create: 1, update: 2 });
  expect(text).toMatch(/noncurrentDays: 14 => 31/);
  const changed = await up(await openS3(locked));
  expect(changed.changes).toEqual({ same: 16, create: 1, update: 2 });
  expect(changed.outputs["target"]?.value).toMatchObject({
    facts: { undeleteDays: 31, immutableDays: 30, lockMode: "governance" },
  });
  const key = "pgbackrest/archive/main/archive.info";
  expect(await statusOf(keysOf(changed, "writer"), { method: "PUT", key, body: "locked" })).toBe(200);
  expect(
    await statusOf(keysOf(changed, "recovery"), { method: "DELETE", key, query: { versionId: await versionOf(key) } }),
  ).toBe(403);
  // Without immutable days, new objects are not locked, and locked ones stay locked.
  await up(await openS3({ ...S3, immutableDays: 0 }));
  expect(aws.only("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration").inputs).toEqual({
    bucket: NAME,
    region: "eu-central-1",
    objectLockEnabled: "Enabled",
  });
});

const UNLOCKED: S3RepositoryArgs = { ...S3, immutableDays: 0 };

test.runIf(NIGHTLY)("S3: a refresh shows a manual change, and the next update corrects it", async () => {
  aws.changeByHand(aws.only(LIFECYCLE), {
    rules: [{ id: "tidy", status: "Enabled", filter: {}, expiration: { days: 30 } }],
  });
  aws.deleteByHand(aws.only(POLICY));
  const stack = await openS3(UNLOCKED);
  const refreshed = await stack.refresh();
  record.printed.push(refreshed.stdout);
  expect(refreshed.summary.resourceChanges).toEqual({ same: 17, update: 1, delete: 1 });
  expect(refreshed.stdout).toMatch(/BucketLifecycleConfiguration.*rules/);
  expect((await up(stack)).changes).toEqual({ same: 17, update: 1, create: 1 });
  expect(textOf(aws.only(LIFECYCLE).inputs["rules"])).not.toContain("tidy");
  expect(textOf(aws.only(POLICY).inputs["policy"])).toContain("aws:SecureTransport");
});

test.runIf(NIGHTLY)("S3: new keys are created before the old ones are deleted", async () => {
  const before = aws.calls.length;
  const old = keysOf(made, "writer");
  const rotated = await up(
    await openS3({
      ...UNLOCKED,
      credentials: { create: { reader: true, recovery: true, rotationTrigger: "2026-11" } },
    }),
  );
  expect(changesOf(aws, before)).toEqual([
    ...Array<string>(3).fill(`create ${KEY}`),
    ...Array<string>(3).fill(`delete ${KEY}`),
  ]);
  const key = "pgbackrest/backup/main/backup.info";
  expect(await statusOf(keysOf(rotated, "writer"), { method: "GET", key })).toBe(200);
  expect(await statusOf(old, { method: "GET", key })).toBe(403);
});

// claim: docs/keys.md: a reader cannot write…
test("S3: a destroy is refused while the bucket is protected, and otherwise keeps the bucket with its backups and settings, without keys", async () => {
  const args: S3RepositoryArgs = { ...UNLOCKED, credentials: { create: {} } };
  const keys = aws.all(KEY).map(({ id }) => id);
  expect(await failureOf((await openS3(args)).destroy(), record.printed)).toContain("protected");
  expect(aws.only(BUCKET).id).toBe(NAME);
  expect(aws.all(KEY).map(({ id }) => id)).toEqual(keys);
  const stack = await openS3(args, { protect: false });
  const last = await up(stack);
  await record.destroy(stack);
  expect(aws.all(KEY)).toEqual([]);
  expect(aws.all().map(({ type }) => type)).toEqual(expect.arrayContaining([BUCKET, LIFECYCLE, POLICY]));
  expect((await askS3(server, { method: "GET", bucket: NAME, key: "pgbackrest/backup/main/backup.info" })).text).toBe(
    "second",
  );
  expect(await statusOf(keysOf(last, "writer"), { method: "GET", key: "pgbackrest/backup/main/backup.info" })).toBe(
    403,
  );
});

test("S3: an existing bucket is adopted by import, keeps foreign settings, and survives every destroy", async () => {
  aws.changeByHand(aws.only(BUCKET), { tags: { team: "shop" } });
  for (const { id, type } of aws.all().filter((held) => held.type !== BUCKET))
    aws.deleteByHand({ type, id, inputs: {}, outputs: {} });
  const count = aws.calls.length;
  const args: S3RepositoryArgs = { region: "eu-central-1", bucket: { existing: { name: NAME, takeOver: true } } };
  const stack = await openS3(args, { protect: false, retainOnDelete: false }, "taken");
  expect((await up(stack)).changes).toEqual({ create: 11, import: 1 });
  expect((await up(stack)).changes).toEqual({ same: 12 });
  expect(aws.only(BUCKET).inputs["tags"]).toEqual({ team: "shop" });
  expect(textOf(aws.only(LIFECYCLE).inputs["rules"])).toContain("pgbackstop-replaced-versions");
  await record.destroy(stack);
  expect(changesOf(aws, count).filter((call) => call.endsWith(BUCKET))).toEqual([]);
  expect(aws.only(BUCKET).id).toBe(NAME);
});

test("S3: without adoption only a user is created; the arguments state the bucket's features", async () => {
  const args: S3RepositoryArgs = {
    region: "eu-central-1",
    bucket: { existing: { name: NAME, facts: { versioning: true, undeleteDays: 90 } } },
  };
  const stack = await openS3(args, {}, "shared");
  const { changes, outputs } = await up(stack);
  expect(changes).toEqual({ create: 6 });
  expect(outputs["target"]?.value).toMatchObject({ facts: { versioning: true, undeleteDays: 90 } });
});

test("S3: roles instead of keys: a service account's token, Pod Identity, the machine", async () => {
  const oidcProviderArn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF";
  const pod = { namespace: "db", serviceAccount: "orders" };
  const make = async (credentials: S3RepositoryArgs["credentials"]): Promise<Changed> => {
    const stack = await openS3(
      { region: "eu-central-1", bucket: { existing: { name: NAME } }, ...(credentials && { credentials }) },
      {},
      "shared",
    );
    return up(stack);
  };
  const irsa = await make({ role: { irsa: { oidcProviderArn, ...pod } } });
  expect(irsa.outputs["target"]?.value).toMatchObject({ keyType: "web-id" });
  expect(irsa.outputs["writer"]?.value).toBeUndefined();
  expect(irsa.outputs["roleArn"]?.value).toBe(aws.only("aws:iam/role:Role").outputs["arn"]);
  expect(textOf(aws.only("aws:iam/role:Role").inputs["assumeRolePolicy"])).toContain("system:serviceaccount:db:orders");
  expect(
    (await make({ role: { podIdentity: { clusterName: "prod", ...pod } } })).outputs["target"]?.value,
  ).toMatchObject({ keyType: "pod-id" });
  expect(aws.only("aws:eks/podIdentityAssociation:PodIdentityAssociation").inputs).toMatchObject({
    clusterName: "prod",
    ...pod,
  });
  const machine = await make({ instanceRole: { roleName: "db-host" } });
  expect(machine.outputs["target"]?.value).toMatchObject({ keyType: "auto" });
  expect(aws.all("aws:iam/role:Role")).toEqual([]);
  expect(aws.only("aws:iam/rolePolicy:RolePolicy").inputs).toMatchObject({
    role: "db-host",
    policy: machine.outputs["writerPolicy"]?.value,
  });
});

test("R2: an update creates bucket, rules and tokens for that bucket alone; a second one changes nothing", async () => {
  const { changes, outputs } = await up(await openR2());
  expect(changes).toEqual({ create: 7 });
  expect(cloudflare.only(R2_BUCKET).inputs).toEqual({
    accountId: ACCOUNT,
    name: NAME,
    jurisdiction: "eu",
    location: "weur",
  });
  expect(cloudflare.only(R2_LIFECYCLE).inputs).toMatchObject({
    jurisdiction: "eu",
    rules: [
      {
        id: "Default Multipart Abort Rule",
        abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 604_800 } },
      },
      {
        id: "pgbackstop-unfinished-uploads",
        abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 172_800 } },
      },
    ],
  });
  const [writer, reader] = cloudflare
    .all(TOKEN)
    .toSorted((left) => (textOf(left.inputs["name"]).endsWith("writer") ? -1 : 1));
  const resources = `{"com.cloudflare.edge.r2.bucket.${ACCOUNT}_eu_${NAME}":"*"}`;
  expect(writer?.inputs["policies"]).toEqual([
    { effect: "allow", permissionGroups: [{ id: "2efd5506f9c8494dacb1fa10a3e7d5b6" }], resources },
  ]);
  expect(reader?.inputs["policies"]).toEqual([
    { effect: "allow", permissionGroups: [{ id: "6a018a9f2fc74eb6b293b0c548f38b39" }], resources },
  ]);
  const secretAccessKey = createHash("sha256").update(textOf(writer?.outputs["value"])).digest("hex");
  expect([outputs["writerId"], outputs["writerKey"]]).toEqual([
    { value: writer?.id, secret: true },
    { value: secretAccessKey, secret: true },
  ]);
  expect(outputs["target"]?.value).toMatchObject({
    region: "auto",
    uriStyle: "path",
    quirks: "r2",
    facts: { versioning: false },
  });
  expect(outputs["restoreEndpoint"]?.value).toBe(`https://${ACCOUNT}.eu.r2.cloudflarestorage.com`);
  expect([outputs["monthlyCostUsd"]?.value, outputs["pricesAsOf"]?.value]).toEqual([1.46, "2026-11-20"]);
  expect((await up(await openR2())).changes).toEqual({ same: 7 });
});

test.runIf(NIGHTLY)(
  "R2: a refresh shows a rule that deletes, and an update removes it; new tokens come before the old ones go",
  async () => {
    cloudflare.changeByHand(cloudflare.only(R2_LIFECYCLE), {
      rules: [{ id: "tidy", enabled: true, deleteObjectsTransition: {} }],
    });
    const stack = await openR2();
    const refreshed = await stack.refresh();
    record.printed.push(refreshed.stdout);
    expect(refreshed.summary.resourceChanges).toEqual({ same: 6, update: 1 });
    expect((await up(stack)).changes).toEqual({ same: 6, update: 1 });
    expect(textOf(cloudflare.only(R2_LIFECYCLE).inputs["rules"])).not.toContain("tidy");
    const count = cloudflare.calls.length;
    await up(await openR2({ ...R2, credentials: { create: { reader: true, rotationTrigger: "2026-11" } } }));
    const order = [`create ${TOKEN}`, `create ${TOKEN}`, `delete ${TOKEN}`, `delete ${TOKEN}`];
    expect(changesOf(cloudflare, count)).toEqual(order);
  },
);

test("R2: no permission id is guessed", async () => {
  const before = cloudflare.calls.length;
  cloudflare.plan("invoke", { type: GROUPS, message: "403 Forbidden: 9109 Unauthorized to access requested resource" });
  const failure = await failureOf((await openR2(R2, {}, "unlucky")).preview(), record.printed);
  expect(failure).toContain(`unable to read the permission groups of Cloudflare account ${ACCOUNT}: `);
  expect(failure).toContain("or create a token in the dashboard and set credentials.keys");
  expect(changesOf(cloudflare, before)).toEqual([]);
});

test.runIf(NIGHTLY)("R2: the bucket stays when everything else goes, and is adopted by import", async () => {
  const args: R2RepositoryArgs = { ...R2, credentials: { create: {} } };
  const stack = await openR2(args, { protect: false });
  await up(stack);
  await record.destroy(stack);
  expect(cloudflare.all(TOKEN)).toEqual([]);
  expect(cloudflare.only(R2_BUCKET).id).toBe(NAME);
  const existing: R2RepositoryArgs = { ...args, bucket: { existing: { name: NAME, takeOver: true } } };
  const taken = await openR2(existing, { protect: false, retainOnDelete: false }, "taken-r2");
  expect((await up(taken)).changes).toEqual({ create: 5, import: 1 });
  expect((await up(taken)).changes).toEqual({ same: 6 });
  await record.destroy(taken);
  expect(cloudflare.only(R2_BUCKET).id).toBe(NAME);
});

test("no finding contains a secret name or prefix, even if it is the fault", async () => {
  secrets.add("Planted_Bucket").add("planted-prefix/");
  const location_ = { endpoint: "s3.lab.example", region: "lab" };
  const failing = async (program: () => unknown): Promise<string> =>
    failureOf((await openStack(programFolder, "secretive", async () => void program())).preview(), record.printed);
  const host = await failing(() => {
    const credentials = { accessKeyId: "id", secretAccessKey: "key" };
    const lab = new S3CompatibleRepository("lab", {
      ...location_,
      bucket: { existing: { name: pulumi.secret("Planted_Bucket"), credentials } },
    });
    new PostgresHost("ledger", {
      connection: { local: {} },
      dataDirectory: "/data",
      repositories: { repo1: { at: lab.target, keepDays: 7 } },
    });
  });
  expect(host).toContain("PB020 repositories.repo1.at.s3.bucket: the value is secret, so this shows only the rule");
  const { bucket, region } = S3;
  const prefix = await failing(
    () => new S3Repository("orders-s3", { bucket, region, path: pulumi.secret("planted-prefix/") }),
  );
  expect(prefix).toContain("PB020 path: the value is secret, so this shows only the rule");
});

// claim: docs/keys.md: a rename of a…
test.each(
  atNight<readonly [string, string, R2RepositoryArgs["bucket"], string]>(
    [
      "created",
      "renamed-r2",
      { create: { name: "acme-sales-pg" } },
      'add the option { aliases: [{ name: "orders-r2" }] }',
    ],
    [
      "existing",
      "renamed-shared",
      { existing: { name: "acme-shared-pg" } },
      'this stack has its keys already, as those of "orders-r2"',
    ],
  ),
)(
  "R2: a rename changes no token of a bucket that is %s; without an alias it is refused",
  async (_, stack, bucket, why) => {
    const r2 = { ...R2, bucket };
    const tokens = await up(await openR2(r2, {}, stack));
    const from = cloudflare.calls.length;
    const refused = await failureOf((await openR2(r2, {}, stack, "sales-r2")).up(), record.printed);
    expect(refused).toContain(why);
    expect(changesOf(cloudflare, from)).toEqual([]);
    const aliases = { aliases: [{ name: "orders-r2" }] };
    const kept = await up(await openR2(r2, aliases, stack, "sales-r2"));
    expect([changesOf(cloudflare, from), kept.outputs["writerKey"]]).toEqual([[], tokens.outputs["writerKey"]]);
  },
);

// claim: docs/keys.md: a rename of a…
test.runIf(NIGHTLY)("S3: a rename changes no user and no key; without an alias it is refused", async () => {
  const s3 = { region: S3.region, bucket: { create: { name: "acme-sales-pg" } }, cipher: { passphrase: CIPHER } };
  const before = await up(await openS3(s3, {}, "renamed-s3"));
  const unnamed = await openS3(s3, {}, "renamed-s3", "sales-s3");
  for (const refuse of [() => unnamed.preview(), () => unnamed.up()]) {
    const refusal = await failureOf(refuse(), record.printed);
    expect(refusal).toContain("S3Repository sales-s3: this stack has its bucket already");
    expect(refusal).toContain('add the option { aliases: [{ name: "orders-s3" }] }');
  }
  // Of the refused update there is nothing.
  expect((await up(await openS3(s3, {}, "renamed-s3"))).changes).toEqual({ same: 12 });
  await failureOf(unnamed.up(), record.printed);
  const renamed = await up(await openS3(s3, { aliases: [{ name: "orders-s3" }] }, "renamed-s3", "sales-s3"));
  expect(renamed.changes).toEqual({ same: 12 });
  expect(renamed.outputs["writerKey"]).toEqual(before.outputs["writerKey"]);
});

// claim: docs/keys.md: a rename of a…
test("S3: another KMS key is refused until the former one may still decrypt what is stored", async () => {
  const s3 = { region: S3.region, bucket: { create: { name: "acme-kms-pg" } }, cipher: { passphrase: CIPHER } };
  const key = (name: string): string => `arn:aws:kms:eu-central-1:123456789012:key/${name}`;
  const open = (kmsKeyArn: string, formerKmsKeyArns: string[] = []): Promise<Stack> =>
    openS3({ ...s3, kmsKeyArn, formerKmsKeyArns }, {}, "amazon-kms");
  await up(await open(key("first")));
  await expect(record.preview(await open(key("second")))).rejects.toThrow(`set formerKmsKeyArns: ["${key("first")}"]`);
  const { text } = await record.preview(await open(key("second"), [key("first")]));
  expect(text).toContain("FormerKeys");
});

test.runIf(NIGHTLY)("a renamed passphrase is refused before it exists, and the way back is free", async () => {
  const open = (keyName: string, path = "/orders", opts: pulumi.ComponentResourceOptions = {}): Promise<Stack> =>
    openStack(programFolder, "renamed-key", async () => {
      const key = new CipherPassphrase(keyName, {}, opts);
      const bucket = { existing: { name: "acme-keys-pg", credentials: { accessKeyId: "id", secretAccessKey: "key" } } };
      const args = { endpoint: "s3.example.net", region: "eu", bucket, path, cipher: key.ref };
      return { passphrase: new S3CompatibleRepository("orders-compatible", args).target.cipher?.passphrase };
    });
  const { outputs } = await up(await open("orders-key"));
  const unnamed = await open("sales-key");
  for (const refuse of [() => unnamed.preview(), () => unnamed.up()])
    expect(await failureOf(refuse(), record.printed)).toContain(
      "CipherPassphrase sales-key would be a new passphrase for s3://acme-keys-pg/orders, which this stack has already: " +
        'if it was renamed, add the option { aliases: [{ name: "orders-key" }] }',
    );
  // Of the refused update there is nothing.
  const back = await up(await open("orders-key"));
  expect(back.changes).not.toHaveProperty("delete");
  expect(back.outputs).toEqual(outputs);
  await failureOf(unnamed.up(), record.printed);
  const renamed = await up(await open("sales-key", "/orders", { aliases: [{ name: "orders-key" }] }));
  expect(renamed.outputs).toEqual(outputs);
  // Another place has no backups under the former one.
  const elsewhere = await failureOf((await open("third-key", "/elsewhere")).up(), record.printed);
  expect(elsewhere).not.toContain("would be a new passphrase");
});

test("neither the states nor the engine's output contain a key, a token or a passphrase", () => {
  const all = [...secrets];
  expect(all.length).toBeGreaterThan(8);
  record.expectNone(all, programFolder, NAME);
});
