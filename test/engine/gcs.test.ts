/**
 * `GcsRepository` on the real engine, with a double of the provider `gcp`: what it creates, changes and keeps. Its key
 * opens a repository on fake-gcs-server, by a token of a double of Google's token service.
 */
// claim: docs/gcs.md: `GcsRepository` creates…
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GcsRepository, type GcsRepositoryArgs } from "../../components/index";
import { systemClock } from "../../runtime/base/clock";
import { systemRandom } from "../../runtime/base/random";
import { Secret } from "../../runtime/base/secret";
import { openStorage } from "../../runtime/storage/open";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { GcsServer } from "../../tools/parts/servers/gcsServer";
import { failureOf } from "../harness/compare/engineTexts";
import { findSecrets, holdsSecret } from "../harness/compare/secrets";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { googleCloud } from "../harness/doubles/providerSchemas";
import { S3Double } from "../harness/doubles/s3Double";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { gcsRepo } from "../harness/repositories";

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
/** All output of the engine, and all secrets, for the search at the end. */
const printed: string[] = [];
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

async function up(
  stack: Stack,
): Promise<{ changes: object; outputs: Record<string, { value: unknown; secret: boolean }> }> {
  const { outputs, stdout, stderr, summary } = await stack.up();
  printed.push(stdout, stderr);
  return { changes: summary.resourceChanges ?? {}, outputs };
}

let key = "";

test("a preview knows the location; an update creates the bucket and a key that opens a repository", async () => {
  const { changeSummary, stdout } = await (await open()).preview({ diff: true });
  printed.push(stdout);
  expect(changeSummary).toEqual({ create: 8 });
  expect(google.calls.filter((call) => call.startsWith("create"))).toEqual([]);
  const { changes, outputs } = await up(await open());
  expect(changes).toEqual({ create: 8 });
  expect(outputs["location"]?.value).toBe(`gs://${server.bucket}/pgbackrest`);
  expect(outputs["key"]?.secret).toBe(true);
  key = String(outputs["key"]?.value);
  const storage = openStorage(gcsRepo(server, "/pgbackrest", { keyType: "service", key: new Secret(key) }), {
    clock: systemClock,
    random: systemRandom,
    signal: new AbortController().signal,
    ioTimeoutMs: 20_000,
    readFile: (path: string) => readFileSync(path),
  });
  expect(await storage.create?.("backup.info", Buffer.from("1"))).toBe(true);
  expect(await storage.stat("backup.info")).toMatchObject({ sizeBytes: 1 });
  await storage.close();
  expect(tokens.requests).toHaveLength(1);
});

test("a second update changes nothing; a new text makes another key, and then deletes the old one", async () => {
  const again = await up(await open());
  expect(again.changes).toEqual({ same: 8 });
  expect(again.outputs["key"]?.value).toBe(key);
  const before = google.calls.length;
  const rotated = await up(await open({ credentials: { create: { rotationTrigger: "2026-12" } } }));
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
  await failureOf((await open(args)).destroy(), printed);
  expect(deleted()).toEqual([]);
  await up(await open(args, { protect: false }));
  const { stdout } = await (await open(args, { protect: false })).destroy();
  printed.push(stdout);
  expect(deleted().sort()).toEqual([
    "delete gcp:serviceaccount/account:Account",
    "delete gcp:serviceaccount/key:Key",
    "delete gcp:storage/bucketIAMMember:BucketIAMMember",
    "delete gcp:storage/bucketIAMMember:BucketIAMMember",
  ]);
});

test("neither the state nor the engine's output contains a key or the passphrase", () => {
  const all = [...secrets];
  expect(all.length).toBe(3);
  expect(findSecrets(join(programFolder.folder, "state"), all)).toEqual([]);
  expect(holdsSecret(printed.join("\n"), all)).toBe(false);
  expect(findSecrets(join(programFolder.folder, "state"), [server.bucket]).length).toBeGreaterThan(0);
});
