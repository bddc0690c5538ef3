/** Checks of S3Repository and R2Repository before any creation, and R2's derived key. Engine tests cover the rest. */
import { createRequire } from "node:module";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, expect, test } from "vitest";
import { PosixRepository, R2Repository, S3CompatibleRepository, S3Repository } from "../../../components/index";
import { loadCloudflare } from "../../../components/internal/cloudPackages";
import { secretKeyOf } from "../../../components/repositories/r2Repository";
import { type Declared, startProgram, titlesOf, valueOf } from "../declaredResources";

const ACCOUNT = "0123456789abcdef0123456789abcdef";
let declared: Declared[];
const called: string[] = [];

beforeAll(async () => {
  declared = await startProgram(undefined, ({ token }) => {
    called.push(token);
    return {};
  });
});

test("the large packages of clouds are loaded by the component that needs them, not with this package", () => {
  const loaded = (): string[] =>
    Object.keys(createRequire(__filename).cache).filter((path) => /@pulumi.(aws|cloudflare)/.test(path));
  const keys = { accessKeyId: "0".repeat(32), secretAccessKey: "0".repeat(64) };
  const existing = { bucket: { existing: { name: "acme-pg" } }, credentials: { keys }, path: "/existing" };
  new R2Repository("existing-r2", { ...existing, accountId: ACCOUNT });
  new S3Repository("existing-s3", { ...existing, region: "eu-central-1" });
  expect(loaded()).toEqual([]);
  expect(loadCloudflare("test").AccountToken).toBeTypeOf("function");
  expect(loaded().length).toBeGreaterThan(0);
});

test("R2's secret of a token is the SHA-256 of its value, in lower-case hexadecimal digits", () => {
  expect(secretKeyOf("pgbackstop-test-token")).toBe("3347bc5e953449036d918dce33be396570f4b49c84c49ab026e04c126f3a405e");
});

test("all mistakes are reported at once, each with its path", () => {
  expect(() => new S3Repository("wrong", { bucket: {}, region: "Frankfurt", credentials: {}, path: "/" })).toThrow(
    /S3Repository wrong: 4 errors in the arguments[^]*PB016 bucket: [^]*PB020 region: [^]*PB020 path: [^]*PB016 credentials: /,
  );
});

test("a lock on R2 is refused with the reason and an alternative", () => {
  expect(
    () => new R2Repository("wrong", { accountId: ACCOUNT, bucket: { create: { name: "acme" } }, immutableDays: 30 }),
  ).toThrow(
    /PB059 immutableDays: immutableDays is not possible on Cloudflare R2: R2's bucket lock also forbids overwriting[^]*use B2 or S3 for the immutable copy/,
  );
});

test("a user's facts about a bucket and its location reach the target, and a known provider's price the outputs", async () => {
  const credentials = { accessKeyId: "id", secretAccessKey: "planted-secret" };
  const bucket = { existing: { name: "acme", credentials, facts: { versioning: true, undeleteDays: 30 } } };
  const wasabi = new S3CompatibleRepository("wasabi", {
    bucket,
    endpoint: "s3.eu-central-1.wasabisys.com",
    region: "eu-central-1",
    expectedStoredGiB: 2000,
  });
  expect(wasabi.target.s3?.facts).toEqual({ versioning: true, undeleteDays: 30 });
  expect(await valueOf(wasabi.monthlyCostUsd)).toBe(17.16);
  expect(await valueOf(wasabi.pricesAsOf)).toBe("2026-11-20");
  expect(await valueOf(wasabi.restoreEndpoint)).toBe("https://s3.eu-central-1.wasabisys.com:443");
  const lab = new S3CompatibleRepository("lab", {
    bucket,
    endpoint: pulumi.output("s3.lab"),
    region: "lab",
    port: 9000,
    offSite: false,
    expectedStoredGiB: 1,
  });
  expect([lab.target.offSite, await valueOf(lab.monthlyCostUsd)]).toEqual([false, undefined]);
  expect(new PosixRepository("nas", { path: "/mnt/nas", offSite: true }).target.offSite).toBe(true);
  expect(
    () => new S3CompatibleRepository("wrong", { bucket, endpoint: "s3.lab", region: "lab", expectedStoredGiB: -1 }),
  ).toThrow("PB014 expectedStoredGiB");
});

test("a Kubernetes Secret with keys of any names signs in at S3 and R2, and nothing is created or looked up for it", async () => {
  const existingSecret = {
    name: "longhorn-minio-credentials",
    accessKeyIdKey: "AWS_ACCESS_KEY_ID",
    secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY",
  };
  const bucket = { existing: { name: "acme-orders-pg" } };
  const s3 = new S3Repository("quiet-s3", { bucket, region: "eu-central-1", credentials: { existingSecret } });
  const r2 = new R2Repository("quiet-r2", { bucket, accountId: ACCOUNT, credentials: { existingSecret } });
  for (const { target, location } of [s3, r2]) {
    await valueOf(location);
    expect(target.s3).toMatchObject({ existingSecret });
    expect(target.s3?.credentials).toBeUndefined();
  }
  expect(s3.target.s3?.keyType).toBe("shared");
  const quiet = (): string[] => titlesOf(declared).filter((each) => each.includes(" quiet-"));
  await expect.poll(() => quiet().length).toBe(4);
  expect(quiet().every((each) => each.startsWith("pgbackstop:"))).toBe(true);
  expect(called).toEqual([]);
  const keys = { accessKeyId: "id", secretAccessKey: "key" };
  expect(() => new R2Repository("both", { bucket, accountId: ACCOUNT, credentials: { keys, existingSecret } })).toThrow(
    "PB016 credentials: exactly one of create, keys and existingSecret",
  );
});

test("an existing bucket has a target to restore from if a reader's keys are given", async () => {
  const credentials = { accessKeyId: "id", secretAccessKey: "planted-secret" };
  const readerCredentials = { accessKeyId: "reader", secretAccessKey: "planted-reader" };
  const at = { endpoint: "s3.lab", region: "lab" };
  const lab = new S3CompatibleRepository("reader", {
    ...at,
    bucket: { existing: { name: "acme", credentials, readerCredentials } },
  });
  const { s3, readOnly } = (await valueOf(pulumi.output(lab.readerTarget))) ?? {};
  expect([s3?.credentials, readOnly]).toEqual([readerCredentials, true]);
  expect(await pulumi.isSecret(pulumi.output(lab.readerTarget?.s3?.credentials?.secretAccessKey))).toBe(true);
  expect(lab.target.readOnly).toBeUndefined();
});

test("a target to restore from needs a passphrase that a host can have", () => {
  const existingSecret = { name: "lab", passphraseKey: "passphrase" };
  const readerCredentials = { accessKeyId: "reader", secretAccessKey: "planted-reader" };
  const bucket = { existing: { name: "acme", existingSecret, readerCredentials } };
  const make = (more: object): S3CompatibleRepository =>
    new S3CompatibleRepository("kept", { endpoint: "s3.lab", region: "lab", bucket, ...more });
  expect(() => make({})).toThrow("only the Secret has the passphrase");
  expect(make({ cipher: { passphrase: "planted" } }).readerTarget?.cipher).toBeDefined();
});

test.each([
  ["acme.backups", "path"],
  ["acme-backups", "host"],
])("a bucket whose name arrives with the update is addressed by it: %s", async (name, uriStyle) => {
  const existing = { name: pulumi.output(Promise.resolve(name)) };
  const made = new S3Repository(`deferred-${uriStyle}`, { region: "eu-central-1", bucket: { existing } });
  expect(await valueOf(pulumi.output(made.target.s3?.uriStyle))).toBe(uriStyle);
});
