/**
 * `GcsRepository` on the real engine, with a double of the provider `gcp`: what it creates, changes and keeps. Its key
 * opens a repository on fake-gcs-server, by a token of a double of Google's token service.
 */
// claim: docs/gcs.md: `GcsRepository` creates…
import { generateKeyPairSync } from "node:crypto";
import type * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GcsRepository, type GcsRepositoryArgs } from "../../components/index";
import { Secret } from "../../runtime/base/secret";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { GcsServer } from "../../tools/parts/servers/gcsServer";
import { failureOf } from "../harness/compare/engineTexts";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { googleCloud } from "../harness/doubles/providerSchemas";
import { S3Double } from "../harness/doubles/s3Double";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { gcsRepo } from "../harness/repositories";
import { EngineRecord, expectUsable } from "./engineRecord";

const CIPHER = "planted-passphrase-of-the-repository";
const privateKey = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
}).privateKey;

let server: GcsServer;
let tokens: S3Double;
let google: ProviderDouble;
let programFolder: ProgramFolder;
let keyCount = 0;
const record = new EngineRecord();
const secrets = new Set<string>([CIPHER]);

beforeAll(async () => {
  server = await GcsServer.create();
  tokens = await S3Double.start();
  tokens.answering(() => ({
    status: 200,
    headers: {},
    body: JSON.stringify({ access_token: "issued", expires_in: 3599, token_type: "Bearer" }),
  }));
  google = await ProviderDouble.start(googleCloud(newKey));
  programFolder = await makeProgramFolder([google]);
});
afterAll(async () => {
  google?.stop();
  await tokens?.stop();
  await server?.remove();
  removeProgramFolder(programFolder);
});

/** As Google gives it: several lines. */
function newKey(email: string): string {
  const id = `planted-key-${++keyCount}`;
  secrets.add(id);
  const token = `http://127.0.0.1:${tokens.port}/token`;
  const key = { type: "service_account", client_email: email, private_key: privateKey, private_key_id: id };
  return `${JSON.stringify({ ...key, token_uri: token }, null, 2)}\n`;
}

function open(args: Partial<GcsRepositoryArgs> = {}, opts: pulumi.ComponentResourceOptions = {}): Promise<Stack> {
  const bucket = { create: { name: server.bucket, location: "europe-west3" } };
  const all = { bucket, cipher: { passphrase: CIPHER }, ...args };
  return openStack(programFolder, "google", async () => {
    const { location, target } = new GcsRepository("orders-google", all, opts);
    return { location, key: target.gcs?.credentials?.key };
  });
}

let key = "";

test("a preview knows the location; an update creates the bucket and a key that opens a repository", async () => {
  expect((await record.preview(await open())).changes).toEqual({ create: 8 });
  expect(google.calls.filter((call) => call.startsWith("create"))).toEqual([]);
  const { changes, outputs } = await record.up(await open());
  expect(changes).toEqual({ create: 8 });
  expect(outputs["location"]?.value).toBe(`gs://${server.bucket}/pgbackrest`);
  expect(outputs["key"]?.secret).toBe(true);
  key = String(outputs["key"]?.value);
  await expectUsable(gcsRepo(server, "/pgbackrest", { keyType: "service", key: new Secret(key) }));
  expect(tokens.requests).toHaveLength(1);
});

test("a second update changes nothing; a new text makes another key, and then deletes the old one", async () => {
  const again = await record.up(await open());
  expect(again.changes).toEqual({ same: 8 });
  expect(again.outputs["key"]?.value).toBe(key);
  const before = google.calls.length;
  const rotated = await record.up(await open({ credentials: { create: { rotationTrigger: "2026-12" } } }));
  expect(rotated.outputs["key"]?.value).not.toBe(key);
  expect(google.calls.slice(before).filter((call) => /^(create|delete)/.test(call))).toEqual([
    "create gcp:serviceaccount/key:Key",
    "delete gcp:serviceaccount/key:Key",
  ]);
});

// claim: docs/gcs.md: a destroy is refused before anything is deleted, and then leaves the bucket
test("a destroy is refused; without the protection it deletes account, key and roles, and leaves the bucket", async () => {
  const args = { credentials: { create: { rotationTrigger: "2026-12" } } };
  const before = google.calls.length;
  const deleted = (): string[] => google.calls.slice(before).filter((call) => call.startsWith("delete"));
  await failureOf((await open(args)).destroy(), record.printed);
  expect(deleted()).toEqual([]);
  await record.up(await open(args, { protect: false }));
  await record.destroy(await open(args, { protect: false }));
  expect(deleted().sort()).toEqual([
    "delete gcp:serviceaccount/account:Account",
    "delete gcp:serviceaccount/key:Key",
    "delete gcp:storage/bucketIAMMember:BucketIAMMember",
    "delete gcp:storage/bucketIAMMember:BucketIAMMember",
  ]);
});

test("neither the state nor the engine's output contains a key or the passphrase", () => {
  expect(secrets.size).toBe(3);
  record.expectNone([...secrets], programFolder, server.bucket);
});
