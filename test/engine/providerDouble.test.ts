/**
 * The doubles of cloud providers on the real engine: plans, secrets, replacements, drift, failures, and a bucket on a
 * real S3 server.
 */
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage } from "../../runtime/storage/open";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { s3Kind } from "../harness/real/interopParts";
import { liveBucket } from "../harness/real/liveBucket";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { AWS, CLOUDFLARE } from "../harness/doubles/providerSchemas";
import { textOf } from "../harness/doubles/providerValues";
import { OPEN_DEPS, s3Repo } from "../harness/repositories";

const BUCKET = "aws:s3/bucket:Bucket";
const VERSIONING = "aws:s3/bucketVersioning:BucketVersioning";
const USER = "aws:iam/user:User";
const KEY = "aws:iam/accessKey:AccessKey";
const TOKEN = "cloudflare:index/accountToken:AccountToken";

let programFolder: ProgramFolder;
let server: S3Server;
let aws: ProviderDouble;
let cloudflare: ProviderDouble;

beforeAll(async () => {
  server = await S3Server.create({ kind: await s3Kind() });
  aws = await ProviderDouble.start(AWS, { live: { [BUCKET]: liveBucket(server, "bucket") } });
  cloudflare = await ProviderDouble.start(CLOUDFLARE);
  programFolder = await makeProgramFolder([aws, cloudflare]);
});
afterAll(async () => {
  aws?.stop();
  cloudflare?.stop();
  await server?.remove();
  removeProgramFolder(programFolder);
});

interface Wanted {
  readonly bucket?: string;
  readonly tags?: Record<string, string>;
  readonly more?: Record<string, unknown>;
}

class Declared extends pulumi.CustomResource {}

/** Declares a resource by its token, as the classes in the providers' packages do. */
function declare(
  type: string,
  name: string,
  inputs: pulumi.Inputs,
  outputs: readonly string[] = [],
): Declared & Record<string, pulumi.Output<string>> {
  const unknown = Object.fromEntries(outputs.map((output) => [output, undefined]));
  return new Declared(type, name, { ...unknown, ...inputs }) as Declared & Record<string, pulumi.Output<string>>;
}

function open(wanted: Wanted): Promise<Stack> {
  return openStack(programFolder, "cloud", async () => {
    const bucket = declare(
      BUCKET,
      "backups",
      { ...(wanted.bucket === undefined ? {} : { bucket: wanted.bucket }), tags: wanted.tags, ...wanted.more },
      ["arn"],
    );
    declare(VERSIONING, "versions", {
      bucket: bucket["bucket"] ?? bucket.id,
      versioningConfiguration: { status: "Enabled" },
    });
    const user = declare(USER, "writer", { name: "writer" }, ["arn"]);
    const key = declare(KEY, "key", { user: user["name"] }, ["secret"]);
    const token = declare(TOKEN, "token", { accountId: "0123", name: pulumi.secret("named in secret"), policies: [] }, [
      "value",
    ]);
    return { bucketArn: bucket["arn"], keyId: key.id, secret: key["secret"], token: token["value"] };
  });
}

test("a preview marks unknown values and creates nothing", async () => {
  const stack = await open({ tags: { purpose: "backups" } });
  const { changeSummary, stdout } = await stack.preview({ diff: true });
  expect(changeSummary).toEqual({ create: 6 });
  expect(stdout).toMatch(/bucketArn *: output<string>|bucketArn *: \[unknown\]/);
  expect(stdout).not.toContain("named in secret");
  expect(aws.all()).toEqual([]);
});

test("an update creates the resources; secrets are secret in outputs and state, and the bucket exists", async () => {
  const stack = await open({ tags: { purpose: "backups" } });
  const { outputs, stdout, summary } = await stack.up();
  expect(summary.resourceChanges).toEqual({ create: 6 });
  const bucket = aws.only(BUCKET);
  expect(bucket.id).toMatch(/^backups-[0-9a-f]{7}$/);
  expect(outputs["bucketArn"]).toEqual({ value: `arn:aws:s3:::${bucket.id}`, secret: false });
  expect(aws.only(VERSIONING)).toMatchObject({ id: bucket.id, inputs: { bucket: bucket.id } });
  const secret = textOf(aws.only(KEY).outputs["secret"]);
  expect(outputs["secret"]).toEqual({ value: secret, secret: true });
  expect(outputs["token"]?.secret).toBe(true);
  for (const marker of [secret, "named in secret", textOf(cloudflare.only(TOKEN).outputs["value"])]) {
    expect(marker.length).toBeGreaterThan(10);
    expect(stdout).not.toContain(marker);
    expect(stateTexts(programFolder.folder).join("\n")).not.toContain(marker);
  }
  // Our storage writes to the bucket that the program declared.
  const storage = openStorage(s3Repo(server, { s3: { bucket: bucket.id } }), OPEN_DEPS);
  await storage.put("proof", Buffer.from("stored"));
  expect((await storage.stat("proof"))?.sizeBytes).toBe(6);
  await storage.remove("proof");
  await storage.close();
  expect((await stack.up()).summary.resourceChanges).toEqual({ same: 6 });
});

test("a changed tag is an update in place; a changed name creates another bucket first", async () => {
  const before = aws.only(BUCKET).id;
  const tagged = await open({ tags: { purpose: "drills" } });
  expect((await tagged.preview()).changeSummary).toEqual({ same: 5, update: 1 });
  expect((await tagged.up()).summary.resourceChanges).toEqual({ same: 5, update: 1 });
  expect(aws.only(BUCKET)).toMatchObject({ id: before, inputs: { tags: { purpose: "drills" } } });

  aws.calls.length = 0;
  const renamed = await open({ bucket: "another-bucket", tags: { purpose: "drills" } });
  expect((await renamed.preview()).changeSummary).toEqual({ same: 4, replace: 2 });
  await renamed.up();
  expect(aws.only(BUCKET).id).toBe("another-bucket");
  const changes = aws.calls.filter((call) => /^(create|delete)/.test(call));
  expect(changes).toEqual([`create ${BUCKET}`, `create ${VERSIONING}`, `delete ${VERSIONING}`, `delete ${BUCKET}`]);
});

test("a refresh shows manual changes and deletions, and the next update corrects them", async () => {
  const wanted = { bucket: "another-bucket", tags: { purpose: "drills" } };
  aws.changeByHand(aws.only(BUCKET), { tags: { purpose: "something else" } });
  aws.deleteByHand(aws.only(VERSIONING));
  const stack = await open(wanted);
  expect((await stack.refresh()).summary.resourceChanges).toEqual({ same: 4, update: 1, delete: 1 });
  expect((await stack.up()).summary.resourceChanges).toEqual({ same: 4, update: 1, create: 1 });
  expect(aws.only(BUCKET).inputs["tags"]).toEqual({ purpose: "drills" });
});

test("a missing or unknown input is an error before any change", async () => {
  const stack = await openStack(programFolder, "wrong", async () => {
    declare(KEY, "key", { usr: "typo" });
  });
  const failure = await failureOf(stack.preview());
  expect(failure).toContain('Missing required argument. The argument "user" is required');
  expect(failure).toContain("Invalid or unknown key. Examine values at 'key.usr'");
});

test("a planned failure fails the update with the service's message, and the next one continues", async () => {
  const wanted = { bucket: "another-bucket", tags: { purpose: "faults" } };
  aws.plan("update", { type: BUCKET, message: "AccessDenied: not authorized to perform s3:PutBucketTagging" });
  const stack = await open(wanted);
  expect(await failureOf(stack.up())).toContain("AccessDenied: not authorized to perform s3:PutBucketTagging");
  expect((await stack.up()).summary.resourceChanges).toEqual({ same: 5, update: 1 });
});

test("a destroy deletes everything", async () => {
  const stack = await open({ bucket: "another-bucket", tags: { purpose: "faults" } });
  expect((await stack.destroy()).summary.resourceChanges).toEqual({ delete: 6 });
  expect([...aws.all(), ...cloudflare.all()]).toEqual([]);
});

test("a planned fault that did not happen fails the test that planned it", async () => {
  const idle = await ProviderDouble.start(AWS);
  idle.plan("create", { type: BUCKET, message: "BucketAlreadyExists" });
  expect(() => idle.stop()).toThrow(
    `planned faults of provider 'aws' did not happen: create ${BUCKET}: BucketAlreadyExists`,
  );
});
