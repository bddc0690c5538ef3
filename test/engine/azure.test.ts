/**
 * `AzureRepository` on the real engine, with a double of the provider `azure-native`: what it creates, changes and
 * keeps. Its signature opens a repository on Azurite, whose account's key the double gives.
 */
// claim: docs/azure.md: `AzureRepository` creates…
import type * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AzureRepository, type AzureRepositoryArgs } from "../../components/index";
import { Secret } from "../../runtime/base/secret";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { AzuriteServer } from "../../tools/parts/servers/azuriteServer";
import { failureOf } from "../harness/compare/engineTexts";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { azureNative } from "../harness/doubles/providerSchemas";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { azureRepo } from "../harness/repositories";
import { type Changed, EngineRecord, expectUsable } from "./engineRecord";

const OTHER_KEY = Buffer.from("planted second key of the account").toString("base64");
const CIPHER = "planted-passphrase-of-the-repository";

let server: AzuriteServer;
let azure: ProviderDouble;
let programFolder: ProgramFolder;
const record = new EngineRecord();
const secrets = new Set<string>([CIPHER, OTHER_KEY]);

beforeAll(async () => {
  server = await AzuriteServer.create();
  secrets.add(server.accountKey);
  azure = await ProviderDouble.start(
    azureNative([
      { keyName: "key1", value: server.accountKey },
      { keyName: "key2", value: OTHER_KEY },
    ]),
  );
  programFolder = await makeProgramFolder([azure]);
});
afterAll(async () => {
  azure?.stop();
  await server?.remove();
  removeProgramFolder(programFolder);
});

function open(args: Partial<AzureRepositoryArgs> = {}, opts: pulumi.ComponentResourceOptions = {}): Promise<Stack> {
  const create = { accountName: server.account, location: "westeurope", name: server.container };
  const all = { container: { create }, cipher: { passphrase: CIPHER }, ...args };
  return openStack(programFolder, "azure", async () => {
    const { location, target } = new AzureRepository("orders-azure", all, opts);
    return { location, sas: target.azure?.credentials?.key };
  });
}

async function up(stack: Stack): Promise<Changed> {
  const changed = await record.up(stack);
  secrets.add(String(changed.outputs["sas"]?.value));
  return changed;
}

let sas = "";

test("a preview knows the location; an update creates the account and a signature that opens a repository", async () => {
  expect((await record.preview(await open())).changes).toEqual({ create: 8 });
  expect(azure.calls.filter((call) => /^(create|invoke)/.test(call))).toEqual([]);
  const { changes, outputs } = await up(await open());
  expect(changes).toEqual({ create: 8 });
  expect(outputs["location"]?.value).toBe(`azure://${server.account}/${server.container}/pgbackrest`);
  expect(outputs["sas"]?.secret).toBe(true);
  sas = String(outputs["sas"]?.value);
  await expectUsable(azureRepo(server, "/pgbackrest", { keyType: "sas", key: new Secret(sas) }));
});

test("a second update changes nothing, a lock is added later, and the account's other key makes another signature", async () => {
  const again = await up(await open());
  expect(again.changes).toEqual({ same: 8 });
  expect(again.outputs["sas"]?.value).toBe(sas);
  const locked = await up(await open({ immutableDays: 30 }));
  // The policy; the repository's own arguments, soft delete and the rule, because deleted blobs stay longer.
  expect(locked.changes).toEqual({ create: 1, same: 5, update: 3 });
  const other = await up(await open({ immutableDays: 30, credentials: { create: { signedBy: "key2" } } }));
  // The repository's own arguments.
  expect(other.changes).toEqual({ same: 8, update: 1 });
  expect(other.outputs["sas"]?.value).not.toBe(sas);
});

// claim: docs/azure.md: a destroy is refused before anything is deleted, and then leaves account and container
test("a destroy is refused; a lock can end; without the protection a destroy leaves everything at Azure", async () => {
  const before = azure.calls.length;
  const deleted = (): string[] => azure.calls.slice(before).filter((call) => call.startsWith("delete"));
  const args = { immutableDays: 30 };
  await failureOf((await open(args)).destroy(), record.printed);
  expect(deleted()).toEqual([]);
  // A protected repository takes the policy away: what is locked stays locked.
  expect((await up(await open({ immutableDays: 0 }))).changes).toMatchObject({ delete: 1 });
  expect(deleted()).toEqual(["delete azure-native:storage:BlobContainerImmutabilityPolicy"]);
  await up(await open({}, { protect: false }));
  await record.destroy(await open({}, { protect: false }));
  expect(deleted()).toHaveLength(1);
});

test("neither the state nor the engine's output contains a key, a signature or the passphrase", () => {
  expect(secrets.size).toBe(5);
  record.expectNone([...secrets], programFolder, server.account);
});
