/** The declarations that the engine gets from a B2Repository. */
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeAll, expect, test } from "vitest";
import { B2Repository, type B2RepositoryArgs } from "../../../components/repositories/b2Repository";
import { type Declared, inputsIn, startProgram, titlesOf, valueOf } from "../declaredResources";

let declared: Declared[];
const CIPHER = "planted-passphrase";

beforeAll(async () => {
  declared = await startProgram(({ type, name }) =>
    type.endsWith("B2ApplicationKey")
      ? { applicationKeyId: `id-${name}`, applicationKey: `secret-${name}` }
      : { id: `s3.eu-central-003.backblazeb2.com/bucket-${name}` },
  );
});
afterEach(() => {
  declared.length = 0;
});

async function make(args: Partial<B2RepositoryArgs>): Promise<B2Repository> {
  const repository = new B2Repository("orders-b2", { bucket: { create: { name: "acme-orders-pg" } }, ...args });
  await valueOf(repository.target.s3?.credentials?.secretAccessKey);
  await valueOf(repository.region);
  if (repository.readerCredentials !== undefined) await valueOf(repository.readerCredentials.secretAccessKey);
  if (repository.recoveryCredentials !== undefined) await valueOf(repository.recoveryCredentials.secretAccessKey);
  return repository;
}

const inputsOf = (name: string): Record<string, unknown> => inputsIn(declared, name);

test("the shortest form: a bucket with its rule, a writer's key, a target with its endpoint", async () => {
  const repository = await make({ cipher: { passphrase: CIPHER } });
  expect(titlesOf(declared)).toEqual([
    "pgbackstop:index:B2Repository orders-b2",
    "pgbackstop:index:KeyGuard orders-b2-guard",
    "pulumi-nodejs:dynamic/index:B2ApplicationKey orders-b2-writer-key",
    "pulumi-nodejs:dynamic/index:B2Bucket orders-b2-bucket",
  ]);
  expect(inputsOf("orders-b2-bucket")).toMatchObject({
    bucketName: "acme-orders-pg",
    owner: "shop/prod/orders-b2-bucket",
    lifecycleRules: [{ prefix: "", deleteHiddenAfterDays: 14, cancelUnfinishedAfterDays: 2 }],
    fileLockEnabled: false,
    forceDestroy: false,
  });
  expect(inputsOf("orders-b2-writer-key")).toMatchObject({
    keyName: "pgbackstop-prod-orders-b2-writer",
    capabilities: ["listBuckets", "listFiles", "readFiles", "writeFiles"],
    bucketIds: ["bucket-orders-b2-bucket"],
  });
  const { s3, ...target } = await valueOf(pulumi.output(repository.target));
  expect(target).toMatchObject({
    name: "orders-b2",
    path: "/pgbackrest",
    offSite: true,
    cipher: { passphrase: CIPHER },
  });
  expect(s3).toEqual({
    bucket: "acme-orders-pg",
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    uriStyle: "path",
    quirks: "b2",
    credentials: { accessKeyId: "id-orders-b2-writer-key", secretAccessKey: "secret-orders-b2-writer-key" },
    facts: { versioning: true, undeleteDays: 14 },
  });
  expect(await valueOf(repository.location)).toBe("s3://acme-orders-pg/pgbackrest");
  expect(JSON.stringify(inputsOf("orders-b2"))).not.toContain(CIPHER);
});

test("secrets are marked, in the target and in every output", async () => {
  const repository = await make({
    credentials: { create: { reader: true, recovery: true, rotationTrigger: "1" } },
    cipher: { passphrase: CIPHER },
  });
  const inputs = [
    repository.target.s3?.credentials?.accessKeyId,
    repository.target.s3?.credentials?.secretAccessKey,
    repository.readerCredentials?.secretAccessKey,
    repository.recoveryCredentials?.secretAccessKey,
    repository.target.cipher?.passphrase,
  ];
  for (const input of inputs) expect(await pulumi.isSecret(pulumi.output(input))).toBe(true);
  expect(inputsOf("orders-b2-reader-key")).toMatchObject({
    capabilities: ["listBuckets", "listFiles", "readFiles"],
    rotationTrigger: "1",
  });
  expect(inputsOf("orders-b2-recovery-key")["capabilities"]).toContain("deleteFiles");
});

test("immutableDays is a lock, a longer life of deleted files, and a fact of the target", async () => {
  const repository = await make({ immutableDays: 30 });
  expect(inputsOf("orders-b2-bucket")).toMatchObject({
    fileLockEnabled: true,
    defaultRetention: { mode: "governance", days: 30 },
    lifecycleRules: [{ prefix: "", deleteHiddenAfterDays: 31 }],
  });
  expect(repository.target.s3?.facts).toEqual({
    versioning: true,
    undeleteDays: 31,
    immutableDays: 30,
    lockMode: "governance",
  });
  declared.length = 0;
  await make({ immutableDays: 0 });
  expect(inputsOf("orders-b2-bucket")).toMatchObject({ fileLockEnabled: true });
  expect(inputsOf("orders-b2-bucket")["defaultRetention"]).toBeUndefined();
});

test("an existing bucket with existing keys: adopted, our rule below the path, no key created", async () => {
  const repository = await make({
    bucket: { existing: { name: "acme-shared" } },
    path: pulumi.output("/pg/main"),
    credentials: { keys: { applicationKeyId: "given-id", applicationKey: "given-secret" } },
  });
  expect(declared.map(({ name }) => name).sort()).toEqual(["orders-b2", "orders-b2-bucket", "orders-b2-guard"]);
  expect(inputsOf("orders-b2-bucket")).toMatchObject({
    bucketName: "acme-shared",
    adopt: true,
    replaceLifecycleRules: false,
    lifecycleRules: [{ prefix: "pg/main/" }],
  });
  expect(inputsOf("orders-b2-bucket")["forceDestroy"]).toBeUndefined();
  expect(await valueOf(repository.target.s3?.credentials?.secretAccessKey)).toBe("given-secret");
  expect(JSON.stringify(inputsOf("orders-b2"))).not.toContain("given-");
});

test("the reader's target is the same repository with the reader's key, and no target has the recovery key", async () => {
  const repository = await make({
    credentials: { create: { reader: true, recovery: true } },
    cipher: { passphrase: CIPHER },
  });
  const { s3, ...reader } = (await valueOf(pulumi.output(repository.readerTarget))) ?? { s3: undefined };
  const { s3: writerS3, ...writer } = await valueOf(pulumi.output(repository.target));
  expect(reader).toEqual({ ...writer, readOnly: true });
  expect(s3).toEqual({
    ...writerS3,
    credentials: { accessKeyId: "id-orders-b2-reader-key", secretAccessKey: "secret-orders-b2-reader-key" },
  });
  expect(await pulumi.isSecret(pulumi.output(repository.readerTarget?.s3?.credentials?.secretAccessKey))).toBe(true);
  expect(JSON.stringify([s3, writerS3])).not.toContain("recovery");
  expect((await make({})).readerTarget).toBeUndefined();
});

test("a Kubernetes Secret instead of keys: none is created, and the target names it", async () => {
  const existingSecret = {
    name: "b2-credentials",
    accessKeyIdKey: "AWS_ACCESS_KEY_ID",
    secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY",
  };
  const repository = await make({ credentials: { existingSecret } });
  expect(declared.map(({ name }) => name).sort()).toEqual(["orders-b2", "orders-b2-bucket", "orders-b2-guard"]);
  expect(repository.target.s3).toMatchObject({ existingSecret });
  expect(repository.target.s3?.credentials).toBeUndefined();
});

test("all mistakes are reported at once, each with its path", () => {
  const wrong = { bucket: {}, credentials: {}, path: "/", undeleteDays: 0 };
  expect(() => new B2Repository("wrong", wrong)).toThrow(
    /B2Repository wrong: 4 errors in the arguments[^]*PB016 bucket: [^]*PB020 path: [^]*PB016 credentials: [^]*PB014 undeleteDays: 0 is outside 1 to 3000/,
  );
});
