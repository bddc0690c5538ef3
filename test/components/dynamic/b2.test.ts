/** The engine's calls for B2 buckets and keys against the double: lost answers, owners, locks and drift. */
import { unknownValue } from "@pulumi/pulumi/runtime";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  BUCKET_CAPABILITIES,
  type BucketInputs,
  type BucketOutputs,
  bucketCheck,
  bucketCreate,
  bucketDelete,
  bucketDiff,
  bucketRead,
  bucketUpdate,
  configure,
  type KeyInputs,
  keyCheck,
  keyCreate,
  keyDelete,
  keyDiff,
  keyRead,
} from "../../../components/dynamic/b2";
import { UNKNOWN } from "../../../components/dynamic/previewValues";
import { B2ServerDouble } from "../../harness/doubles/b2Server";
import { failureOf } from "../../harness/compare/engineTexts";

// Skips the pauses between attempts. The client's tests check their length.
vi.mock("node:timers/promises", () => ({ setTimeout: async () => undefined }));

const OWNER = "acme/shop/prod/backups";
const RULE = { prefix: "", deleteHiddenAfterDays: 14, cancelUnfinishedAfterDays: 2 };
const RULE_BODY = {
  fileNamePrefix: "",
  daysFromHidingToDeleting: 14,
  daysFromUploadingToHiding: null,
  daysFromStartingToCancelingUnfinishedLargeFiles: 2,
};
const wanted: BucketInputs = { bucketName: "acme-orders", owner: OWNER, lifecycleRules: [RULE] };
const locked: BucketInputs = { ...wanted, fileLockEnabled: true, defaultRetention: { mode: "governance", days: 14 } };

let server: B2ServerDouble;
let reported: string;

beforeEach(async () => {
  server = await B2ServerDouble.start();
  await signIn(server.admin);
  reported = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    reported += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server.stop();
});

function signIn({
  applicationKeyId,
  applicationKey,
}: {
  applicationKeyId: string;
  applicationKey: string;
}): Promise<void> {
  const settings: Record<string, string> = {
    "b2:applicationKeyId": applicationKeyId,
    "b2:applicationKey": applicationKey,
    "b2:endpoint": server.endpoint,
  };
  return configure({ get: (key) => settings[key] }, {});
}

/** The server carries out the call, but the client never gets the answer. */
const lost = { kind: "loseAnswer" } as const;

function countOf(call: string): number {
  return server.calls.filter((each) => each.startsWith(call)).length;
}

describe("signing in", () => {
  test("takes both parts from the configuration, or both from the environment, and names the missing one", async () => {
    const { applicationKeyId, applicationKey } = server.admin;
    const B2 = {
      B2_APPLICATION_KEY_ID: applicationKeyId,
      B2_APPLICATION_KEY: applicationKey,
      B2_ENDPOINT: server.endpoint,
    };
    await configure({ get: () => undefined }, B2);
    expect((await bucketCreate(wanted)).outs.accountId).toBe(server.accountId);
    await configure({ get: () => undefined }, {});
    expect(await failureOf(bucketCreate(wanted))).toContain(
      "b2:applicationKeyId and b2:applicationKey is missing; set it with pulumi config set --secret",
    );
    await configure({ get: (key) => (key === "b2:applicationKeyId" ? "id" : undefined) }, B2);
    expect(await failureOf(bucketCreate(wanted))).toContain(
      "not signed in to Backblaze B2: b2:applicationKey is missing",
    );
    await configure({ get: (key) => ({ "b2:endpoint": "http://example.net" })[key] }, B2);
    expect(await failureOf(bucketCreate(wanted))).toContain('b2:endpoint is "http://example.net"');
  });

  test("the marker of unknown values is the SDK's", () => {
    expect(UNKNOWN).toBe(unknownValue);
  });
});

describe("a bucket", () => {
  test("is created private, marked, with its rules; endpoint and region come from the account", async () => {
    const { id, outs } = await bucketCreate(wanted);
    const bucket = server.bucket("acme-orders");
    expect(id).toBe(`s3.test-central-009.backblazeb2.com/${bucket.bucketId}`);
    expect(bucket).toMatchObject({
      bucketType: "allPrivate",
      bucketInfo: { "pgbackstop-owner": OWNER },
      lifecycleRules: [RULE_BODY],
    });
    expect(outs).toEqual({
      ...wanted,
      bucketId: bucket.bucketId,
      accountId: server.accountId,
      s3Endpoint: "s3.test-central-009.backblazeb2.com",
      s3Region: "test-central-009",
      adopted: false,
      isPrivate: true,
      foundOwner: OWNER,
    });
    expect(await bucketDiff(id, outs, wanted)).toEqual({ changes: false, replaces: [], deleteBeforeReplace: false });
  });

  test("gets object lock at creation and its retention afterwards", async () => {
    await bucketCreate(locked);
    expect(server.bucket("acme-orders")).toMatchObject({
      fileLockEnabled: true,
      defaultRetention: { mode: "governance", period: { duration: 14, unit: "days" } },
    });
    expect(server.calls.slice(1)).toEqual(["b2_create_bucket v4", "b2_list_buckets v4", "b2_update_bucket v4"]);
  });

  test("gets its retention even from a key that may not read it", async () => {
    const { id, outs } = await bucketCreate({ ...wanted, fileLockEnabled: true });
    const capabilities = ["listBuckets", "writeBuckets", "writeBucketRetentions"];
    await signIn(server.addKey({ capabilities }));
    await bucketUpdate(id, outs, locked);
    expect(server.bucket("acme-orders").defaultRetention).toEqual({
      mode: "governance",
      period: { duration: 14, unit: "days" },
    });
  });

  test("is found by its mark and finished after a lost answer", async () => {
    server.plan("b2_create_bucket", lost);
    const { outs } = await bucketCreate(locked);
    expect(server.buckets.map((bucket) => bucket.bucketId)).toEqual([outs.bucketId]);
    expect([countOf("b2_create_bucket"), outs.adopted]).toEqual([2, false]);
    expect(server.bucket("acme-orders").defaultRetention.mode).toBe("governance");
  });

  test("with a taken name is reported with its owner, and left alone", async () => {
    server.namesOfOthers.add("acme-orders");
    expect(await failureOf(bucketCreate(wanted))).toContain("is taken by another account");
    server.namesOfOthers.clear();
    const bucket = server.addBucket({ bucketName: "acme-orders" });
    expect(await failureOf(bucketCreate(wanted))).toContain(
      'to use it set bucket: { existing: { name: "acme-orders" } }',
    );
    bucket.bucketInfo = { "pgbackstop-owner": "acme/other/prod/backups" };
    expect(await failureOf(bucketCreate(wanted))).toContain('belongs to "acme/other/prod/backups"');
    expect(await failureOf(bucketCreate({ ...wanted, adopt: true }))).toContain('belongs to "acme/other/prod/backups"');
    expect(bucket).toMatchObject({ revision: 2, lifecycleRules: [] });
  });

  test("of a resource that was renamed is refused with the alias to write", async () => {
    server.addBucket({ bucketName: "acme-orders", bucketInfo: { "pgbackstop-owner": "shop/prod/old-bucket" } });
    const refusal = (owner: string): Promise<string> => failureOf(bucketCreate({ ...wanted, owner }));
    expect(await refusal("shop/prod/new-bucket")).toContain('add the option { aliases: [{ name: "old" }] }');
    expect(await refusal("shop/prod/backups")).toContain('add the option { aliases: [{ name: "old-bucket" }] }');
    expect(await refusal("shop/test/old-bucket")).not.toContain("aliases");
  });

  test("is changed in place despite concurrent changes, and a lost answer does no harm", async () => {
    const { id, outs } = await bucketCreate(wanted);
    const news = { ...wanted, lifecycleRules: [{ ...RULE, deleteHiddenAfterDays: 30 }] };
    expect(await bucketDiff(id, outs, news)).toMatchObject({ changes: true, replaces: [] });
    server.plan("b2_update_bucket", { kind: "race" }, lost);
    const updated = await bucketUpdate(id, outs, news);
    expect(server.bucket("acme-orders").lifecycleRules).toEqual([{ ...RULE_BODY, daysFromHidingToDeleting: 30 }]);
    expect(updated.outs.lifecycleRules).toEqual(news.lifecycleRules);
    server.plan("b2_update_bucket", { kind: "race" }, { kind: "race" }, { kind: "race" });
    expect(await failureOf(bucketUpdate(id, updated.outs, wanted))).toContain("409 conflict");
  });

  test("keeps foreign info, and restores settings that were changed", async () => {
    const { id, outs } = await bucketCreate(locked);
    server.changeByHand("acme-orders", {
      bucketType: "allPublic",
      bucketInfo: { team: "shop" },
      lifecycleRules: [{ ...RULE_BODY, daysFromUploadingToHiding: 1 }],
      defaultRetention: { mode: "governance", period: { duration: 1, unit: "days" } },
    });
    const read = await bucketRead(id, outs);
    expect(read.inputs).toMatchObject({
      lifecycleRules: [{ ...RULE, hideUploadedAfterDays: 1 }],
      defaultRetention: { mode: "governance", days: 1 },
    });
    expect(reported).toContain(
      'changed by hand: bucket acme-orders: lifecycleRules [{"prefix":"","deleteHiddenAfterDays":14',
    );
    expect(reported).toContain('defaultRetention {"mode":"governance","days":14} → {"mode":"governance","days":1}');
    expect(reported).toContain("it is public");
    expect(reported).toContain("its mark is gone");
    const result = read.props as BucketOutputs;
    expect(await bucketDiff(id, result, locked)).toMatchObject({ changes: true, replaces: [] });
    const { outs: repaired } = await bucketUpdate(id, result, locked);
    expect(server.bucket("acme-orders")).toMatchObject({
      bucketType: "allPrivate",
      bucketInfo: { team: "shop", "pgbackstop-owner": OWNER },
      lifecycleRules: [RULE_BODY],
      defaultRetention: { period: { duration: 14 } },
    });
    expect((await bucketDiff(id, repaired, locked)).changes).toBe(false);
  });

  test("is not reported as changed where this key may not read", async () => {
    const { id, outs } = await bucketCreate(locked);
    await signIn(server.addKey({ capabilities: ["listBuckets"] }));
    reported = "";
    const { props } = await bucketRead(id, outs);
    expect(props).toEqual(outs);
    expect(reported).toBe("");
  });

  test("is replaced when its name changes; unknown values in a preview are not judged", async () => {
    const { id, outs } = await bucketCreate(wanted);
    expect(await bucketDiff(id, outs, { ...wanted, bucketName: "acme-others" })).toEqual({
      changes: true,
      replaces: ["bucketName"],
      deleteBeforeReplace: false,
    });
    const unknown = { ...wanted, bucketName: UNKNOWN, lifecycleRules: UNKNOWN as never };
    expect(await bucketDiff(id, outs, unknown)).toEqual({ changes: true, replaces: [], deleteBeforeReplace: false });
    expect(
      (await bucketCheck({}, { ...unknown, defaultRetention: { mode: UNKNOWN, days: UNKNOWN as never } })).failures,
    ).toEqual([]);
  });

  test.each<[string, Partial<BucketInputs>, string]>([
    ["an upper-case name", { bucketName: "Acme-Orders" }, "bucketName"],
    ["a short name", { bucketName: "acme" }, "bucketName"],
    ["a reserved name", { bucketName: "b2-orders" }, "bucketName"],
    ["an address as name", { bucketName: "192.0.2.77" }, "bucketName"],
    ["a rule that hides by age", { lifecycleRules: [{ ...RULE, hideUploadedAfterDays: 30 }] }, "lifecycleRules[0]"],
    ["a rule of no days", { lifecycleRules: [{ prefix: "x", deleteHiddenAfterDays: 0 }] }, "lifecycleRules[0]"],
    ["a rule that does nothing", { lifecycleRules: [{ prefix: "x" }] }, "lifecycleRules[0]"],
    [
      "rules about the same files",
      {
        lifecycleRules: [
          { ...RULE, prefix: "pg" },
          { ...RULE, prefix: "pg/wal" },
        ],
      },
      "lifecycleRules[1]",
    ],
    ["a retention without lock", { defaultRetention: { mode: "governance", days: 1 } }, "defaultRetention"],
    ["an unknown mode", { fileLockEnabled: true, defaultRetention: { mode: "strict", days: 1 } }, "defaultRetention"],
    ["no days", { fileLockEnabled: true, defaultRetention: { mode: "governance", days: 0 } }, "defaultRetention"],
  ])("with %s is refused before any change", async (_what, change, property) => {
    expect((await bucketCheck({}, { ...wanted, ...change })).failures.map((failure) => failure.property)).toEqual([
      property,
    ]);
  });

  test("never loses its object lock, and reports that before any change", async () => {
    expect((await bucketCheck(locked, wanted)).failures).toEqual([
      {
        property: "fileLockEnabled",
        reason: expect.stringContaining("Backblaze cannot disable a bucket's object lock") as string,
      },
    ]);
    expect((await bucketCheck(wanted, locked)).failures).toEqual([]);
    const { id, outs } = await bucketCreate(wanted);
    const { outs: after } = await bucketUpdate(id, outs, locked);
    expect(server.bucket("acme-orders").fileLockEnabled).toBe(true);
    // Without a default retention, new files are not locked.
    const unlocked: BucketInputs = { ...wanted, fileLockEnabled: true };
    await bucketUpdate(id, after, unlocked);
    expect(server.bucket("acme-orders")).toMatchObject({ fileLockEnabled: true, defaultRetention: { mode: null } });
  });

  test("is reported as missing once it is, and deleting it again is no error", async () => {
    const { id, outs } = await bucketCreate(wanted);
    server.buckets.length = 0;
    expect(await bucketRead(id, outs)).toEqual({ id: "" });
    await bucketDelete(id, outs);
    expect(await failureOf(bucketUpdate(id, outs, wanted))).toContain("is gone: run a refresh");
  });
});

describe("deleting a bucket", () => {
  test("removes an empty one, even after a lost answer", async () => {
    const { id, outs } = await bucketCreate(wanted);
    server.plan("b2_delete_bucket", lost);
    await bucketDelete(id, outs);
    expect(server.buckets).toEqual([]);
  });

  test("never empties one without forceDestroy", async () => {
    const { id, outs } = await bucketCreate(wanted);
    server.addFile(server.bucket("acme-orders"), { action: "hide" });
    expect(await failureOf(bucketDelete(id, outs))).toContain(
      "is not empty (hidden versions and unfinished uploads count), so it is not deleted",
    );
    expect(server.bucket("acme-orders").files).toHaveLength(1);
  });

  test("empties one with forceDestroy: many pages of versions, and unfinished uploads", async () => {
    const { id, outs } = await bucketCreate({ ...wanted, forceDestroy: true });
    const bucket = server.bucket("acme-orders");
    for (let index = 0; index < 1_020; index++) server.addFile(bucket);
    for (let index = 0; index < 120; index++) server.addFile(bucket, { action: "start" });
    await bucketDelete(id, outs);
    expect(server.buckets).toEqual([]);
    expect(reported).toContain("deleted 1020 versions from bucket acme-orders");
  });

  test("stops at a locked file, at a lost mark and at another owner's mark", async () => {
    const { id, outs } = await bucketCreate({ ...wanted, forceDestroy: true });
    const bucket = server.bucket("acme-orders");
    server.addFile(bucket, { locked: true });
    expect(await failureOf(bucketDelete(id, outs))).toContain("object lock or a legal hold protects it");
    server.changeByHand("acme-orders", { bucketInfo: {} });
    expect(await failureOf(bucketDelete(id, outs))).toContain(
      "has lost the mark pgbackstop-owner, so pgbackstop does not empty it",
    );
    server.changeByHand("acme-orders", { bucketInfo: { "pgbackstop-owner": "acme/new/prod/x" } });
    expect(await failureOf(bucketDelete(id, outs))).toContain('belongs to "acme/new/prod/x"');
    expect(await failureOf(bucketUpdate(id, outs, wanted))).toContain('belongs to "acme/new/prod/x"');
    expect(bucket.files).toHaveLength(1);
  });
});

describe("adopting a bucket", () => {
  const adopt: BucketInputs = {
    bucketName: "acme-orders",
    owner: OWNER,
    lifecycleRules: [{ ...RULE, prefix: "pgbackrest/" }],
    adopt: true,
  };
  const photos = { ...RULE_BODY, fileNamePrefix: "photos/", daysFromUploadingToHiding: 90 };

  test("changes its mark and our rule, nothing else, and never deletes it", async () => {
    const bucket = server.addBucket({
      bucketName: "acme-orders",
      bucketInfo: { team: "shop" },
      lifecycleRules: [photos],
      fileLockEnabled: true,
    });
    server.addFile(bucket);
    bucket.defaultRetention = { mode: "compliance", period: { duration: 1, unit: "years" } };
    const { id, outs } = await bucketCreate(adopt);
    expect([outs.bucketId, outs.adopted, outs.lifecycleRules]).toEqual([bucket.bucketId, true, adopt.lifecycleRules]);
    expect(bucket).toMatchObject({
      bucketInfo: { team: "shop", "pgbackstop-owner": OWNER, "pgbackstop-adopted": "yes" },
      lifecycleRules: [photos, { ...RULE_BODY, fileNamePrefix: "pgbackrest/" }],
      defaultRetention: { mode: "compliance" },
    });
    expect((await bucketDiff(id, outs, adopt)).changes).toBe(false);
    expect((await bucketRead(id, outs)).props).toEqual(outs);

    // A new path moves our existing rule.
    const moved = { ...adopt, lifecycleRules: [{ ...RULE, prefix: "backups/" }] };
    const { outs: after } = await bucketUpdate(id, outs, moved);
    expect(bucket.lifecycleRules).toEqual([photos, { ...RULE_BODY, fileNamePrefix: "backups/" }]);

    await bucketDelete(id, { ...after, forceDestroy: true });
    expect(server.buckets).toEqual([bucket]);
    expect([bucket.bucketInfo, bucket.files.length]).toEqual([{ team: "shop" }, 1]);
    expect(countOf("b2_delete")).toBe(0);
  });

  test.each([true, false])("gives up only a default retention that was ours (readable: %s)", async (readable) => {
    const bucket = server.addBucket({ bucketName: "acme-orders", fileLockEnabled: true });
    if (!readable)
      await signIn(server.addKey({ capabilities: ["listBuckets", "writeBuckets", "writeBucketRetentions"] }));
    const theirs = { mode: "governance", period: { duration: 3, unit: "days" } };
    const ours = { ...adopt, fileLockEnabled: true, defaultRetention: { mode: "governance", days: 14 } };
    const { id, outs } = await bucketCreate(ours);
    expect(bucket.defaultRetention).toMatchObject({ period: { duration: 14 } });
    const { defaultRetention: _given, ...unlocked } = ours;
    const { outs: after } = await bucketUpdate(id, outs, unlocked);
    expect(bucket.defaultRetention).toMatchObject({ mode: null });
    expect(after.defaultRetention).toBeUndefined();
    bucket.defaultRetention = theirs;
    await bucketUpdate(id, after, { ...unlocked, forceDestroy: true });
    expect(bucket.defaultRetention).toEqual(theirs);
  });

  test("stays in effect when the program later says create, or the state is lost", async () => {
    const bucket = server.addBucket({ bucketName: "acme-orders" });
    const { id, outs } = await bucketCreate(adopt);
    const { outs: after } = await bucketUpdate(id, outs, { ...adopt, adopt: false });
    expect(after.adopted).toBe(true);
    const again = await bucketCreate({ ...adopt, adopt: false });
    expect([again.outs.bucketId, again.outs.adopted]).toEqual([bucket.bucketId, true]);
    await bucketDelete(id, { owner: OWNER });
    expect(server.buckets).toEqual([bucket]);
  });

  test("refuses another owner's rule about our files, a public bucket, and a missing one", async () => {
    expect(await failureOf(bucketCreate(adopt))).toContain('there is no bucket "acme-orders" that this key can see');
    const bucket = server.addBucket({ bucketName: "acme-orders", lifecycleRules: [{ ...photos, fileNamePrefix: "" }] });
    const refused = await failureOf(bucketCreate(adopt));
    expect(refused).toContain(
      'a lifecycle rule for "" that covers "pgbackrest/" and hides files 90 days after their upload',
    );
    bucket.bucketType = "allPublic";
    expect(await failureOf(bucketCreate(adopt))).toContain("is public, so anyone could read the backups");
    expect(bucket.revision).toBe(2);
    bucket.bucketType = "allPrivate";
    await bucketCreate({ ...adopt, replaceLifecycleRules: true });
    expect(bucket.lifecycleRules).toEqual([{ ...RULE_BODY, fileNamePrefix: "pgbackrest/" }]);
  });
});

test("nothing of another account counts as gone", async () => {
  const { id, outs } = await bucketCreate({ ...wanted, forceDestroy: true });
  const key = await keyCreate({ keyName: "x", owner: OWNER, bucketIds: [outs.bucketId], capabilities: ["readFiles"] });
  const former = server;
  server = await B2ServerDouble.start();
  try {
    await signIn(server.admin);
    const calls = [
      bucketRead(id, outs),
      bucketUpdate(id, outs, wanted),
      bucketDelete(id, outs),
      keyRead(key.id, key.outs),
      keyDelete(key.id, key.outs),
    ];
    for (const call of calls)
      expect(await failureOf(call)).toContain(`this belongs to the Backblaze account ${former.accountId}`);
  } finally {
    await former.stop();
  }
});

describe("a key", () => {
  const capabilities = ["listFiles", "listBuckets", "readFiles"];
  let key: KeyInputs;
  beforeEach(() => {
    const { bucketId } = server.addBucket({ bucketName: "acme-orders" });
    key = { keyName: "orders-reader", owner: OWNER, capabilities, bucketIds: [bucketId] };
  });

  test("for one bucket uses version 3, with a unique name", async () => {
    const { id, outs } = await keyCreate(key);
    expect(server.calls.slice(1)).toEqual(["b2_create_key v3"]);
    expect(outs).toMatchObject({ ...key, apiVersion: 3, applicationKeyId: id, expiresAtMs: null });
    expect(outs.fullKeyName).toMatch(/^orders-reader-[0-9a-f]{8}-[0-9a-f]{8}$/);
    expect(server.keys.at(-1)).toMatchObject({
      applicationKey: outs.applicationKey,
      isMultiBucket: false,
      bucketIds: key.bucketIds,
    });
    expect(await keyDiff(id, outs, { ...key, capabilities: [...capabilities].reverse() })).toEqual({
      changes: false,
      replaces: [],
      deleteBeforeReplace: false,
    });
    const read = await keyRead(id, outs);
    expect(read).toEqual({ id, props: outs });
    expect(server.calls.slice(2)).toEqual(["b2_list_keys v4", "b2_list_keys v3"]);
  });

  test("for several buckets uses version 4", async () => {
    const { bucketId } = server.addBucket({ bucketName: "acme-invoices" });
    const { id, outs } = await keyCreate({ ...key, bucketIds: [...key.bucketIds, bucketId] });
    expect([server.calls.at(-1), outs.apiVersion]).toEqual(["b2_create_key v4", 4]);
    expect((await keyRead(id, outs)).id).toBe(id);
    await keyDelete(id);
    expect(countOf("b2_delete_key v3")).toBe(0);
    expect(await keyRead(id, outs)).toEqual({ id: "" });
  });

  test("uses version 4 where version 3 refuses, and reports that", async () => {
    server.plan("b2_create_key", {
      kind: "refuse",
      status: 400,
      code: "bad_request",
      message: "not supported on API version number 3",
      version: 3,
    });
    const { outs } = await keyCreate(key);
    expect(outs.apiVersion).toBe(4);
    expect(server.keys.at(-1)).toMatchObject({ isMultiBucket: true, bucketIds: key.bucketIds });
    expect(reported).toContain("the console does not show it");
    expect(await failureOf(keyCreate({ ...key, bucketIds: ["0123456789abcdef01234567"] }))).toContain("bad_bucket_id");
  });

  test("is deleted after a lost answer, and another one is created", async () => {
    server.plan("b2_create_key", lost, { kind: "refuse", status: 429, code: "too_many_requests", retryAfter: "0" });
    const { id } = await keyCreate(key);
    expect(
      server.keys.filter((each) => each.keyName.startsWith("orders-reader")).map((each) => each.applicationKeyId),
    ).toEqual([id]);
    expect([countOf("b2_create_key"), countOf("b2_delete_key")]).toEqual([3, 2]);
  });

  test("that may exist and cannot be looked up is reported by its name", async () => {
    server.plan("b2_create_key", lost);
    server.plan("b2_list_keys", { kind: "refuse", status: 403, code: "transaction_cap_exceeded" });
    expect(await failureOf(keyCreate(key))).toMatch(
      /a key named orders-reader-[0-9a-f-]{17} may exist, but the search for it failed/,
    );
  });

  test("changes by replacement, the new one first", async () => {
    const { id, outs } = await keyCreate(key);
    const changes: Partial<KeyInputs>[] = [
      { capabilities: ["readFiles"] },
      { bucketIds: ["other"] },
      { namePrefix: "pg/" },
      { validDurationSeconds: 60 },
      { rotationTrigger: "2" },
    ];
    for (const change of changes) {
      expect(await keyDiff(id, outs, { ...key, ...change })).toEqual({
        changes: true,
        replaces: Object.keys(change),
        deleteBeforeReplace: false,
      });
    }
    // A renamed stack or repository names the key otherwise.
    expect(await keyDiff(id, outs, { ...key, keyName: "x", owner: "acme/shop/prod/renamed" })).toEqual({
      changes: false,
      replaces: [],
      deleteBeforeReplace: false,
    });
    expect(await keyDiff(id, outs, { ...key, bucketIds: UNKNOWN as never })).toEqual({
      changes: true,
      replaces: [],
      deleteBeforeReplace: false,
    });
  });

  test("is deleted by the version that knows it; a missing one is no error", async () => {
    const { id, outs } = await keyCreate(key);
    server.plan("b2_delete_key", lost);
    await keyDelete(id);
    await keyDelete(id);
    expect(server.keys).toEqual([server.admin]);
    expect(await keyRead(id, outs)).toEqual({ id: "" });
    expect(reported).toContain(`key ${outs.fullKeyName} is gone`);
    server.listsAllKeysAtV4 = true;
    const second = await keyCreate(key);
    await keyDelete(second.id);
    expect(server.keys).toEqual([server.admin]);
  });

  test("is never reported as missing when its state is unknown", async () => {
    const { id, outs } = await keyCreate(key);
    server.plan("b2_list_keys", { kind: "refuse", status: 400, code: "bad_request", version: 3 });
    expect(await failureOf(keyRead(id, outs))).toContain("400 bad_request");
  });

  test("that the signed-in key may not create names the missing capability", async () => {
    await signIn(server.addKey({ capabilities: ["listBuckets"] }));
    expect(await failureOf(keyCreate(key))).toContain("it needs writeKeys, without a restriction to another bucket");
  });

  test.each<[string, Partial<KeyInputs>, string]>([
    ["a capability of the account", { capabilities: ["writeKeys"] }, "capabilities"],
    ["no capability", { capabilities: [] }, "capabilities"],
    ["no bucket", { bucketIds: [] }, "bucketIds"],
    ["a name with blanks", { keyName: "my key" }, "keyName"],
    ["a thousand days", { validDurationSeconds: 86_400_000 }, "validDurationSeconds"],
  ])("with %s is refused before any change", async (_what, change, property) => {
    expect((await keyCheck({}, { ...key, ...change })).failures.map((failure) => failure.property)).toEqual([property]);
  });

  test("with unknown buckets passes the check", async () => {
    expect(
      (await keyCheck({}, { ...key, bucketIds: UNKNOWN as never, capabilities: [...BUCKET_CAPABILITIES] })).failures,
    ).toEqual([]);
  });
});
