/**
 * Targets out of another stack, on the real engine: a host on this machine and a cluster behind the provider's double
 * back up into a bucket that stack `network` declares. Secrets stay secret, the rest stays readable, and a preview
 * guesses nothing about a target that does not exist yet.
 */
import { existsSync, readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CipherPassphrase } from "../../components/credentials/cipherPassphrase";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import type { HostRepositoryArgs } from "../../components/databases/hostArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { engineEnvironment, ProviderDouble } from "../harness/doubles/providerDouble";
import { KUBERNETES } from "../harness/doubles/providerSchemas";
import { plain, type Value } from "../harness/doubles/providerValues";
import { LocalHost } from "./localHost";
import { NIGHTLY } from "../../tools/parts/nightly";

const PASSPHRASE = "marker-passphrase-of-the-network-stack";
const SECRET = "kubernetes:core/v1:SecretPatch";
const NETWORK = "organization/pgbackstop-local/network";

let host: LocalHost;
let kubernetes: ProviderDouble;
const printed: string[] = [];

beforeAll(async () => {
  host = await LocalHost.create();
  kubernetes = await ProviderDouble.start(KUBERNETES);
});
afterAll(async () => {
  kubernetes?.stop();
  await host?.remove();
});

function open(stackName: string, program: () => Promise<Record<string, unknown>>): Promise<Stack> {
  const { programFolder } = host;
  const env = { ...programFolder.env, ...engineEnvironment([kubernetes]) };
  return openStack({ ...programFolder, env }, stackName, program);
}

function bucket(): S3CompatibleRepository {
  const { accessKeyId, secretAccessKey, caFile = "", name, ...address } = host.settings().bucket;
  return new S3CompatibleRepository("backups", {
    ...address,
    caFile,
    path: "/shared",
    bucket: { existing: { name, credentials: { accessKeyId, secretAccessKey } } },
    cipher: { passphrase: pulumi.secret(PASSPHRASE) },
  });
}

/** The stack that owns the bucket. */
function openNetwork(exports: () => Record<string, unknown>): Promise<Stack> {
  return open("network", async () => exports());
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

type At = HostRepositoryArgs["at"];

function hostArgs(at: At): ConstructorParameters<typeof PostgresHost>[1] {
  const { dataDirectory, host: own = {}, nasPath } = host.settings();
  return {
    connection: { local: {} },
    dataDirectory,
    ...own,
    repositories: {
      repo1: { at: new PosixRepository("nas", { path: nasPath }).target, keepDays: 7 },
      repo2: { at, keepDays: 7 },
    },
    schedules: { full: { cron: "30 2 * * 0" } },
    silence: { PB042: "a test", PB007: "a test", PB097: "a test", PB030: "a test", PB009: "a test", PB025: "a test" },
  };
}

/** The stack that uses it: a host, and a cluster. */
function openDatabases(atOf: () => At): Promise<Stack> {
  return open("databases", async () => {
    const at = atOf();
    const db = new PostgresHost("db", hostArgs(at));
    const orders = new CnpgCluster(
      "orders",
      {
        namespace: "orders",
        storageGiB: 1,
        repositories: { repo1: { at, keepDays: 14 } },
        schedules: { full: { cron: "0 3 * * 0" } },
        silence: { PB003: "a test", PB042: "a test", PB030: "a test" },
      },
      { protect: false },
    );
    return { hostTopology: db.topology, clusterTopology: orders.topology, firstBackup: db.firstBackup };
  });
}

function openShared(): Promise<Stack> {
  return openDatabases(() => new pulumi.StackReference(NETWORK).getOutput("target") as pulumi.Output<never>);
}

test("a host and a cluster use the target of another stack; a second update changes nothing", async () => {
  const network = await openNetwork(() => ({ target: bucket().target }));
  await network.up();
  const stack = await openShared();
  const { stdout: preview } = await stack.preview({ diff: true });
  printed.push(preview);
  expect(preview).toContain(`location     : "s3://${host.s3.bucket}/shared"`);

  const { outputs, stdout } = await stack.up();
  printed.push(stdout);
  expect(outputs).toMatchObject({ firstBackup: { value: "taken" }, hostTopology: { secret: false } });
  expect(outputs["clusterTopology"]?.secret).toBe(false);
  expect(existsSync(`${host.s3.bucketPath}/shared/backup/main`)).toBe(true);
  const keys = readFileSync(host.path("etc", "conf.d", "repo2-credentials.conf"), "utf8");
  expect(keys).toContain(`repo2-cipher-pass=${PASSPHRASE}`);
  expect(keys).toContain(`repo2-s3-key-secret=${host.s3.secretKey}`);
  const { data } = kubernetes.find(SECRET, "orders/orders-repo1")?.inputs ?? {};
  expect(plain(data as Value)).toMatchObject({
    ACCESS_SECRET_KEY: base64(host.s3.secretKey),
    ENCRYPTION_PASS: base64(PASSPHRASE),
  });

  const again = await stack.up();
  expect(Object.keys(again.summary.resourceChanges ?? {})).toEqual(["same"]);
  const refreshed = await stack.refresh();
  expect(Object.keys(refreshed.summary.resourceChanges ?? {})).toEqual(["same"]);
});

test.runIf(NIGHTLY)(
  "a target of the same program takes the place of the other stack's without a change of host or cluster",
  async () => {
    const before = host.fingerprint();
    const stack = await openDatabases(() => bucket().target);
    const { changeSummary, stdout } = await stack.preview();
    printed.push(stdout);
    expect(Object.keys(changeSummary).sort()).toEqual(["create", "discard", "same"]);
    await stack.up();
    expect(host.fingerprint()).toEqual(before);
    await (await openShared()).up();
    expect(host.fingerprint()).toEqual(before);
  },
);

test("neither state nor output of either stack has a secret in readable form", async () => {
  const texts = [
    ...stateTexts(host.programFolder.folder),
    ...printed,
    readFileSync(host.path("etc", "pgbackrest.conf"), "utf8"),
  ];
  expect(texts.join("\n")).toContain("/shared");
  for (const secret of [PASSPHRASE, host.s3.secretKey, host.s3.accessKey]) {
    expect(texts.filter((text) => text.includes(secret))).toEqual([]);
  }
});

test("destroying the host's stack leaves the bucket", async () => {
  const { stdout } = await (await openShared()).destroy();
  expect(stdout).toContain("restored archive_command");
  expect(existsSync(`${host.s3.bucketPath}/shared/backup/main`)).toBe(true);
});

test("a preview guesses nothing about a target that the same update makes", async () => {
  const stack = await openDatabases(() => {
    const key = new CipherPassphrase("key", {}, { protect: false });
    const target = { name: "nas", path: "/mnt/nas/x", requireMount: true, cipher: key.ref };
    return key.passphrase.apply(() => target) as pulumi.Output<never>;
  });
  const { stdout, stderr } = await stack.preview({ diff: true });
  printed.push(stdout, stderr);
  const text = `${stdout}\n${stderr}`;
  expect(text).not.toMatch(/PB\d{3} repositories/);
  // Its name and key are known, and nothing else.
  expect(stdout).toMatch(/\[1\]: "repo2"/);
  expect(stdout).toMatch(
    /repositories: \[\s+\[0\]: \{[^{}]*name\s*: "repo1"[^{}]*\}\s+\[1\]: (output<string>|\[?unknown)/,
  );
  expect(text.replace(/"repo2"/g, "")).not.toContain("repo2");
  expect(text).not.toContain("undefined");
});

// Last: a program that fails while it waits leaves the SDK of this process in no state for another one.
test("a preview refuses an output that the other stack does not have", async () => {
  await (await openNetwork(() => ({ other: "x" }))).up();
  const failure = await failureOf((await openShared()).preview(), printed);
  expect(failure).toContain("PB118 repositories.repo2.at: it is required, and the output has no value");
  expect(failure).toContain("update the stack that exports it first");
});
