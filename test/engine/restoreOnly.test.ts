/**
 * A host that only restores, on the real engine, with a reader's key on a real S3 server. It restores another host's
 * backups. It writes nothing into the bucket, and the server would not allow it.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accessPolicy } from "../../components/plan/storage/awsPolicies";
import { run } from "../../tools/parts/process";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { compareChecksums, TestCluster } from "../../tools/parts/postgres/testCluster";
import { giveTo, reachable } from "../../tools/parts/users";
import { failureOf } from "../harness/compare/engineTexts";
import { liveAws } from "../harness/real/liveBucket";
import { askS3 } from "../harness/network/s3Requests";
import { LocalHost } from "./localHost";

type Package = typeof import("../../components/index");

const PATH = "/pgbackrest";
const PASSPHRASE = "planted-passphrase";

let host: LocalHost;
let server: S3Server;
let built: Package;
let reader: { readonly accessKeyId: string; readonly secretAccessKey: string };
const printed: string[] = [];

beforeAll(async () => {
  host = await LocalHost.create();
  server = await S3Server.create({ kind: "versitygw", versioning: true, users: true });
  built = createRequire(join(host.programFolder.folder, "program.cjs"))("pgbackstop") as Package;
  const aws = liveAws(server);
  await aws["aws:iam/user:User"]?.create?.({ name: "reader" });
  const policy = accessPolicy("reader", { bucketArn: `arn:aws:s3:::${server.bucket}`, path: PATH });
  await aws["aws:iam/userPolicy:UserPolicy"]?.create?.({ name: "rights", user: "reader", policy });
  const made = (await aws["aws:iam/accessKey:AccessKey"]?.create?.({ user: "reader" })) as {
    id: string;
    outputs: { secret: string };
  };
  reader = { accessKeyId: made.id, secretAccessKey: made.outputs.secret };
});
afterAll(async () => {
  await server?.remove();
  await host?.remove();
});

function repository(): InstanceType<Package["S3CompatibleRepository"]> {
  const credentials = { accessKeyId: server.accessKey, secretAccessKey: server.secretKey };
  return new built.S3CompatibleRepository("lab", {
    bucket: { existing: { name: server.bucket, credentials, readerCredentials: reader } },
    endpoint: server.host,
    port: server.port,
    region: server.region,
    uriStyle: "path",
    caFile: reachable(server.caFile, host.cluster.user),
    cipher: { passphrase: PASSPHRASE },
  });
}

function openSource(): Promise<Stack> {
  return openStack(host.programFolder, "source", async () => {
    const repositories = { repo1: { at: repository().target, keepDays: 7 } };
    new built.PostgresHost("ledger", {
      connection: { local: {} },
      dataDirectory: host.cluster.dataPath,
      repositories,
      ...host.settings().host,
    });
  });
}

function openRestoring(which: "target" | "readerTarget" = "readerTarget", restoreOnly = true): Promise<Stack> {
  return openStack(host.programFolder, "restoring", async () => {
    const { nodePath, user } = host.settings().host ?? {};
    const at = repository()[which];
    if (at === undefined || nodePath === undefined || user === undefined) throw new Error("there is no such target");
    const names = ["config", "lib", "units", "lock", "spool", "log"] as const;
    const directories = Object.fromEntries(names.map((name) => [name, host.path("restoring", name)]));
    const repositories = { repo1: { at } };
    const made = new built.PostgresHost("copy", {
      connection: { local: {} },
      dataDirectory: host.path("restoring", "data"),
      restoreOnly,
      nodePath,
      user,
      directories,
      repositories,
    });
    const { destinations, firstBackup, restoreCommand, topology } = made;
    return { destinations, firstBackup, restoreCommand, topology };
  });
}

async function versions(): Promise<string[]> {
  const { text } = await askS3(server, { method: "GET", bucket: server.bucket, query: { versions: "" } });
  return [...text.matchAll(/<VersionId>([^<]+)</g)].map((match) => match[1] ?? "");
}

// claim: docs/keys.md: a host with `restoreOnly` restores with a read-only key, and writes nothing
test("restores another host's backups with the reader's key, and writes nothing", async () => {
  mkdirSync(host.path("restoring"));
  giveTo(host.path("restoring"), host.cluster.user);
  await host.cluster.sql("CREATE TABLE orders AS SELECT id, md5(id::text) AS text FROM generate_series(1, 5000) AS id");
  printed.push((await (await openSource()).up()).stdout);
  await host.cluster.sql("UPDATE orders SET text = 'replayed' WHERE id % 100 = 0");
  // A record's segment. Right after a switch, pg_switch_wal() names the segment that is still being written.
  const segment = await host.cluster.value("SELECT pg_walfile_name(pg_create_restore_point('replayed'))");
  await host.cluster.switchWal();
  const expected = await host.cluster.tableChecksums();
  await host.cluster.waitForValue(
    `SELECT (last_archived_wal >= '${segment}')::text FROM pg_stat_archiver`,
    "true",
    300_000,
  );
  await host.cluster.stop();
  const before = await versions();

  const stack = await openRestoring();
  const { outputs, stdout, summary } = await stack.up();
  printed.push(stdout);
  expect(summary.resourceChanges).toEqual({ create: 4 });
  expect(stdout).toContain("repo1: newest full backup ");
  expect([outputs["firstBackup"]?.value, outputs["topology"]?.value]).toEqual(["off", ""]);
  expect((await stack.up()).summary.resourceChanges).toEqual({ same: 4 });
  expect((await stack.refresh()).summary.resourceChanges).toEqual({ same: 4 });
  expect(readFileSync(host.path("restoring", "config", "conf.d", "repo1-credentials.conf"), "utf8")).toContain(
    reader.accessKeyId,
  );
  expect(existsSync(host.path("restoring", "units"))).toBe(false);

  const command = String(outputs["restoreCommand"]?.value);
  const restored = await run("/bin/sh", ["-c", command], { user: host.cluster.user, cwd: "/" });
  expect(`${restored.exitCode} ${restored.stderr}`).toBe("0 ");
  const cluster = TestCluster.adopt({ binaries: host.cluster.binaries, dataPath: host.path("restoring", "data") });
  try {
    await cluster.start();
    await cluster.waitForRecovery();
    expect(compareChecksums(expected, await cluster.tableChecksums())).toEqual([]);
    expect(await cluster.value("SHOW archive_mode")).toBe("off");
  } finally {
    await cluster.remove();
  }
  const written = await run("/bin/sh", ["-c", command.replace(/--delta .*$/, "expire --repo1-retention-full=1")], {
    user: host.cluster.user,
    cwd: "/",
  });
  expect(written.exitCode).not.toBe(0);
  expect(await versions()).toEqual(before);
});

test("a reader's key is refused for taking backups; a writer's key without backups is a warning", async () => {
  expect(await failureOf((await openRestoring("readerTarget", false)).preview(), printed)).toContain(
    "PB099 repositories.repo1.at: its keys can only read",
  );
  const { stderr, stdout } = await (await openRestoring("target")).preview();
  expect(stdout + stderr).toContain("PB101 repositories.repo1.at: this host only restores, but its keys can write");
});

test("a destroy removes its files, and leaves data and bucket", async () => {
  const before = await versions();
  printed.push((await (await openRestoring()).destroy()).stdout);
  expect(existsSync(host.path("restoring", "config"))).toBe(false);
  expect(existsSync(host.path("restoring", "data", "PG_VERSION"))).toBe(true);
  expect(await versions()).toEqual(before);
  expect(printed.join("\n")).not.toContain(reader.secretAccessKey);
});
