/**
 * `B2Repository` on the real engine, with a double of Backblaze's native API: what it creates, keeps, changes, adopts
 * and deletes.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import type { ComponentResourceOptions } from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { B2RepositoryArgs } from "../../components/repositories/b2Repository";
import { NIGHTLY } from "../../tools/parts/nightly";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf } from "../harness/compare/engineTexts";
import { type B2Key, B2ServerDouble } from "../harness/doubles/b2Server";
import { EngineRecord } from "./engineRecord";

type Package = typeof import("../../components/index");

const NAME = "acme-orders-pg";
const ARGS: B2RepositoryArgs = {
  bucket: { create: { name: NAME } },
  immutableDays: 14,
  credentials: { create: { reader: true } },
};
const RULE = {
  fileNamePrefix: "",
  daysFromHidingToDeleting: 15,
  daysFromUploadingToHiding: null,
  daysFromStartingToCancelingUnfinishedLargeFiles: 2,
};

let server: B2ServerDouble;
let programFolder: ProgramFolder;
let built: Package;
let config: Record<string, { value: string; secret?: boolean }>;
const record = new EngineRecord();

beforeAll(async () => {
  server = await B2ServerDouble.start();
  programFolder = await makeProgramFolder();
  // Loads the built package as a user's program does, so that Pulumi serializes its dynamic resources unchanged.
  built = createRequire(join(programFolder.folder, "program.cjs"))("pgbackstop") as Package;
  config = {
    "b2:applicationKeyId": { value: server.admin.applicationKeyId },
    "b2:applicationKey": { value: server.admin.applicationKey, secret: true },
    "b2:endpoint": { value: server.endpoint },
  };
});
afterAll(async () => {
  removeProgramFolder(programFolder);
  await server?.stop();
});

async function open(
  args: B2RepositoryArgs = ARGS,
  opts: ComponentResourceOptions = {},
  stackName = "prod",
  name = "orders-b2",
): Promise<Stack> {
  const stack = await openStack(programFolder, stackName, async () => {
    const repository = new built.B2Repository(name, args, opts);
    return {
      location: repository.location,
      endpoint: repository.endpoint,
      region: repository.region,
      writer: repository.target.s3?.credentials?.secretAccessKey,
      writerId: repository.target.s3?.credentials?.accessKeyId,
      reader: repository.readerCredentials?.secretAccessKey,
      passphrase: repository.passphrase,
    };
  });
  await stack.setAllConfig(config);
  return stack;
}

function keyOf(role: string): B2Key {
  const keys = server.keys.filter((key) => key.keyName.startsWith(`pgbackstop-prod-orders-b2-${role}-`));
  expect(keys.map((key) => key.keyName)).toHaveLength(1);
  return keys[0] as B2Key;
}

function changesSince(count: number): string[] {
  return server.calls.slice(count).filter((call) => /create|update|delete/.test(call));
}

test("a preview shows what would be created, and creates nothing", async () => {
  const { changes, text } = await record.preview(await open(), false);
  expect(changes).toEqual({ create: 6 });
  expect(text).toContain('location: "s3://acme-orders-pg/pgbackrest"');
  expect(server.calls).toEqual([]);
});

test("an update creates bucket and keys with least rights; secrets are secret; a lost answer does no harm", async () => {
  server.plan("b2_create_bucket", { kind: "loseAnswer" });
  server.plan("b2_authorize_account", { kind: "refuse", status: 503, code: "service_unavailable", retryAfter: "0" });
  const { changes, outputs } = await record.up(await open());
  expect(changes).toEqual({ create: 6 });
  expect(server.bucket(NAME)).toMatchObject({
    bucketType: "allPrivate",
    bucketInfo: { "pgbackstop-owner": "pgbackstop-local/prod/orders-b2-bucket" },
    lifecycleRules: [RULE],
    fileLockEnabled: true,
    defaultRetention: { mode: "governance", period: { duration: 14, unit: "days" } },
  });
  expect(keyOf("writer")).toMatchObject({
    capabilities: ["listBuckets", "listFiles", "readFiles", "writeFiles"],
    bucketIds: [server.bucket(NAME).bucketId],
    isMultiBucket: false,
  });
  expect(keyOf("reader").capabilities).toEqual(["listBuckets", "listFiles", "readFiles"]);
  expect(outputs["writer"]).toEqual({ value: keyOf("writer").applicationKey, secret: true });
  expect(outputs["reader"]).toEqual({ value: keyOf("reader").applicationKey, secret: true });
  expect(outputs["writerId"]?.secret).toBe(true);
  expect(outputs["endpoint"]).toEqual({ value: "s3.test-central-009.backblazeb2.com", secret: false });
  expect(outputs["region"]?.value).toBe("test-central-009");
});

test("a second update and a refresh change nothing", async () => {
  const count = server.calls.length;
  const stack = await open();
  expect((await record.up(stack)).changes).toEqual({ same: 6 });
  const refreshed = await stack.refresh();
  record.printed.push(refreshed.stdout);
  expect(refreshed.summary.resourceChanges).toEqual({ same: 6 });
  expect((await record.preview(stack, false)).changes).toEqual({ same: 6 });
  expect(changesSince(count)).toEqual([]);
});

test("a changed argument is one update in place; removing the lock is refused before any change", async () => {
  const stack = await open({ ...ARGS, undeleteDays: 60 });
  const shown = await record.preview(stack);
  expect(shown.changes).toEqual({ same: 4, update: 2 });
  // A change to the bucket does not make its keys wait, and the endpoint stays known.
  expect(shown.text).not.toContain("writer-key");
  expect(shown.text).toMatch(/deleteHiddenAfterDays *: 15 => 60/);
  expect((await record.up(stack)).changes).toEqual({ same: 4, update: 2 });
  expect(server.bucket(NAME).lifecycleRules).toEqual([{ ...RULE, daysFromHidingToDeleting: 60 }]);
  const { immutableDays: _days, ...unlocked } = ARGS;
  expect(await failureOf((await open(unlocked)).preview(), record.printed)).toContain(
    "Backblaze cannot disable a bucket's object lock",
  );
});

test("a refresh shows a manual change, and the next update corrects it", async () => {
  server.changeByHand(NAME, { lifecycleRules: [{ ...RULE, daysFromUploadingToHiding: 30 }], bucketType: "allPublic" });
  server.keys.splice(server.keys.indexOf(keyOf("reader")), 1);
  const stack = await open();
  const refreshed = await stack.refresh();
  record.printed.push(refreshed.stdout);
  expect(refreshed.summary.resourceChanges).toEqual({ same: 4, update: 1, delete: 1 });
  expect(refreshed.stdout).toContain(`changed by hand: bucket ${NAME}: it is public`);
  expect(refreshed.stdout).toContain("hideUploadedAfterDays");
  expect((await record.up(stack)).changes).toMatchObject({ create: 1, update: expect.any(Number) as number });
  expect(server.bucket(NAME)).toMatchObject({ lifecycleRules: [RULE], bucketType: "allPrivate" });
  keyOf("reader");
});

test("new keys are created before the old ones are deleted", async () => {
  const old = keyOf("writer").applicationKeyId;
  const count = server.calls.length;
  const { changes, outputs } = await record.up(
    await open({ ...ARGS, credentials: { create: { reader: true, rotationTrigger: "2026-11" } } }),
  );
  expect(changes).toMatchObject({ replace: 2 });
  // Version 4 of the API does not know such a key, so each of the two deletions also calls version 3.
  const operations = ["b2_create_key", "b2_create_key", ...Array<string>(4).fill("b2_delete_key")];
  expect(changesSince(count).map((call) => call.split(" ")[0])).toEqual(operations);
  expect(keyOf("writer").applicationKeyId).not.toBe(old);
  expect(outputs["writer"]?.value).toBe(keyOf("writer").applicationKey);
});

const ROTATED: B2RepositoryArgs = { ...ARGS, credentials: { create: { reader: true, rotationTrigger: "2026-11" } } };

test("a destroy is refused while the bucket is protected, and otherwise keeps the bucket with its backups", async () => {
  server.addFile(server.bucket(NAME));
  const keys = [...server.keys];
  expect(await failureOf((await open(ROTATED)).destroy(), record.printed)).toContain("protected");
  expect(server.keys).toEqual(keys);
  const stack = await open(ROTATED, { protect: false });
  await record.up(stack);
  await record.destroy(stack);
  expect(server.bucket(NAME).files).toHaveLength(1);
  expect(server.keys).toEqual([server.admin]);
});

test("a bucket that was kept is recognised by its mark, and deleted only when every argument allows it", async () => {
  const bucket = server.bucket(NAME);
  const forced = { ...ARGS, bucket: { create: { name: NAME, forceDestroy: true } }, credentials: { create: {} } };
  const stack = await open(forced, { protect: false, retainOnDelete: false });
  await record.up(stack);
  expect(server.buckets).toEqual([bucket]);
  expect(await record.destroy(stack)).toContain(`emptying bucket ${NAME} because forceDestroy is set`);
  expect(server.buckets).toEqual([]);
});

test.runIf(NIGHTLY)(
  "an existing bucket is refused unless it is adopted, and a destroy leaves it as it was",
  async () => {
    const photos = { ...RULE, fileNamePrefix: "photos/" };
    const bucket = server.addBucket({ bucketName: NAME, lifecycleRules: [photos], bucketInfo: { team: "shop" } });
    const args = { bucket: { create: { name: NAME } } };
    expect(await failureOf((await open(args, {}, "other")).up(), record.printed)).toContain(
      `to use it set bucket: { existing: { name: "${NAME}" } }`,
    );
    const stack = await open(
      { bucket: { existing: { name: NAME } } },
      { protect: false, retainOnDelete: false },
      "other",
    );
    expect((await record.up(stack)).text).toContain(`took over bucket ${NAME}`);
    expect(bucket.lifecycleRules).toEqual([
      photos,
      { ...RULE, fileNamePrefix: "pgbackrest/", daysFromHidingToDeleting: 14 },
    ]);
    expect((await record.preview(stack, false)).changes).toEqual({ same: 5 });
    expect(await record.destroy(stack)).toContain("was taken over, not created here: it is kept unchanged");
    expect(server.buckets).toEqual([bucket]);
    expect(bucket.bucketInfo).toEqual({ team: "shop" });
  },
);

// claim: docs/keys.md: a rename of a stack or a repository changes no key, token or passphrase; without an alias it is
//   refused with the alias to write, and the way back is free
test("a rename changes no key and no passphrase; without an alias it is refused, and the way back is free", async () => {
  const named = (name: string, opts: ComponentResourceOptions = {}): Promise<Stack> =>
    open({ bucket: { create: { name: "acme-sales-pg" } }, encrypt: true }, opts, "renamed", name);
  const { outputs } = await record.up(await named("orders-b2"));
  const keys = [...server.keys];
  const unnamed = await named("sales-b2");
  for (const refuse of [() => unnamed.preview(), () => unnamed.up()])
    expect(await failureOf(refuse(), record.printed)).toContain('add the option { aliases: [{ name: "orders-b2" }] }');
  // Of the refused update there is nothing.
  expect((await record.up(await named("orders-b2"))).changes).toEqual({ same: 7 });
  if (NIGHTLY) await failureOf(unnamed.up(), record.printed);
  const renamed = await record.up(await named("sales-b2", { aliases: [{ name: "orders-b2" }] }));
  expect(renamed.changes).toEqual({ same: 6, update: 1 });
  expect([renamed.outputs, server.keys]).toEqual([outputs, keys]);
});

test("neither the state nor the engine's output contains a key or a token", () => {
  const secrets = server.secrets();
  expect(secrets.length).toBeGreaterThan(8);
  record.expectNone(secrets, programFolder, NAME);
});
