/** The declarations that the engine gets from an AzureRepository. */
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeAll, expect, test } from "vitest";
import { AzureRepository, type AzureRepositoryArgs, RepositorySecret } from "../../../components/index";
import { type Declared, inputsIn, startProgram, titlesOf, valueOf } from "../declaredResources";

let declared: Declared[];
const called: pulumi.runtime.MockCallArgs[] = [];
const ACCOUNT_KEYS = ["key1", "key2"].map((keyName) => ({
  keyName,
  value: Buffer.from(`planted ${keyName}`).toString("base64"),
}));
const ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
const NONE = { credentials: undefined };
const CREATE = { accountName: "acmepg", location: "westeurope" };

beforeAll(async () => {
  declared = await startProgram(
    ({ name }) => ({ id: `${ID}/${name}` }),
    (call) => {
      called.push(call);
      return { keys: ACCOUNT_KEYS };
    },
  );
});
afterEach(() => {
  declared.length = 0;
  called.length = 0;
});

async function make(args: Partial<AzureRepositoryArgs> = {}): Promise<AzureRepository> {
  const repository = new AzureRepository("orders-azure", { container: { create: CREATE }, ...args });
  await valueOf(repository.target.azure?.credentials?.key);
  await valueOf(repository.location);
  await expect.poll(() => declared.some(({ name }) => name === "orders-azure-guard")).toBe(true);
  return repository;
}

const inputsOf = (ending: string): Record<string, unknown> => inputsIn(declared, `orders-azure-${ending}`);

function partsOf(sas: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(sas));
}

// claim: docs/azure.md: `AzureRepository` creates an account without public access, soft delete, versions, a container
//   and a signature (doubles of Pulumi's engine; no real account)
test("the shortest form: an account over TLS, versions, soft delete, a container, and a signature for it alone", async () => {
  const repository = await make();
  expect(titlesOf(declared)).toEqual([
    "azure-native:resources:ResourceGroup orders-azure-resource-group",
    "azure-native:storage:BlobContainer orders-azure-container",
    "azure-native:storage:BlobServiceProperties orders-azure-blob-service",
    "azure-native:storage:ManagementPolicy orders-azure-lifecycle",
    "azure-native:storage:StorageAccount orders-azure-account",
    "pgbackstop:index:AzureRepository orders-azure",
    "pgbackstop:index:KeyGuard orders-azure-guard",
  ]);
  expect(inputsOf("resource-group")).toEqual({ resourceGroupName: "pgbackstop-acmepg", location: "westeurope" });
  expect(inputsOf("account")).toEqual({
    ...CREATE,
    resourceGroupName: "pgbackstop-acmepg",
    kind: "StorageV2",
    sku: { name: "Standard_LRS" },
    accessTier: "Hot",
    allowBlobPublicAccess: false,
    allowSharedKeyAccess: true,
    enableHttpsTrafficOnly: true,
    minimumTlsVersion: "TLS1_2",
  });
  const kept = { enabled: true, days: 14 };
  expect(inputsOf("blob-service")).toMatchObject({
    isVersioningEnabled: true,
    deleteRetentionPolicy: kept,
    containerDeleteRetentionPolicy: kept,
  });
  expect(inputsOf("container")).toMatchObject({
    accountName: "acmepg",
    containerName: "pgbackrest",
    publicAccess: "None",
    immutableStorageWithVersioning: { enabled: true },
  });
  const { credentials, ...azure } = (await valueOf(pulumi.output(repository.target))).azure ?? NONE;
  expect(azure).toEqual({
    account: "acmepg",
    container: "pgbackrest",
    keyType: "sas",
    facts: { versioning: true, undeleteDays: 14 },
  });
  const { sig, ...signed } = partsOf(credentials?.key ?? "");
  expect(signed).toEqual({ sp: "racwdl", se: "9999-12-31T23:59:59Z", spr: "https", sv: "2021-06-08", sr: "c" });
  // From the text that the service documents, signed by openssl with the same key.
  expect(sig).toBe("6PEFKzOsxCDsIEHUsL4ffrg5IzL8ebncL8H9qubwZaI=");
  expect(await valueOf(repository.location)).toBe("azure://acmepg/pgbackrest/pgbackrest");
});

// claim: docs/azure.md: no rule touches live blobs
test("the only rule removes replaced versions, and never a live blob", async () => {
  await make({ undeleteDays: 30 });
  const { policy } = inputsOf("lifecycle") as { policy: { rules: { definition: object }[] } };
  expect(policy.rules.map(({ definition }) => definition)).toEqual([
    { filters: { blobTypes: ["blockBlob"] }, actions: { version: { delete: { daysAfterCreationGreaterThan: 30 } } } },
  ]);
});

// claim: docs/azure.md: `immutableDays` locks each version, and info files can still be overwritten
test("a lock is a policy of versions; 0 takes it away for new ones", async () => {
  const locked = await make({ immutableDays: 30 });
  expect(inputsOf("lock")).toEqual({
    accountName: "acmepg",
    resourceGroupName: "pgbackstop-acmepg",
    containerName: "pgbackrest",
    immutabilityPolicyName: "default",
    immutabilityPeriodSinceCreationInDays: 30,
  });
  expect(locked.target.azure?.facts).toMatchObject({ immutableDays: 30, lockMode: "governance", undeleteDays: 31 });
  declared.length = 0;
  const ended = await make({ immutableDays: 0 });
  expect(declared.map(({ name }) => name)).not.toContain("orders-azure-lock");
  expect(ended.target.azure?.facts).not.toHaveProperty("immutableDays");
});

test("a reader's and a recovery signature have the rights of their names, and all keys are secret", async () => {
  const repository = await make({
    credentials: { create: { reader: true, recovery: true, expires: "2027-12-31", signedBy: "key2" } },
    cipher: { passphrase: "planted-passphrase" },
  });
  const reader = await valueOf(repository.readerTarget?.azure?.credentials?.key);
  expect(partsOf(reader)).toMatchObject({ sp: "rl", se: "2027-12-31T23:59:59Z" });
  expect(partsOf(await valueOf(repository.recoveryCredentials?.key))).toMatchObject({ sp: "racwdxl" });
  expect(repository.readerTarget?.readOnly).toBe(true);
  for (const key of [repository.target.azure, repository.readerTarget?.azure, undefined])
    if (key !== undefined) expect(await pulumi.isSecret(pulumi.output(key.credentials?.key))).toBe(true);
  expect(await pulumi.isSecret(pulumi.output(repository.recoveryCredentials?.key))).toBe(true);
  const other = await make();
  expect(partsOf(reader)["sig"]).not.toBe(partsOf(await valueOf(other.target.azure?.credentials?.key))["sig"]);
  expect(JSON.stringify(declared)).not.toMatch(/planted|sig=|cGxhbnRlZC/);
  expect(called.every(({ token }) => token === "azure-native:storage:listStorageAccountKeys")).toBe(true);
});

test("the account's key is given only when asked for, and a managed identity gets a role and no key", async () => {
  const shared = await make({ credentials: { accountKey: {} } });
  expect(shared.target.azure?.keyType).toBe("shared");
  expect(await valueOf(shared.target.azure?.credentials?.key)).toBe(ACCOUNT_KEYS[0]?.value);
  declared.length = 0;
  called.length = 0;
  const identity = await make({ credentials: { managedIdentity: { principalId: "p" } } });
  expect([identity.target.azure?.keyType, identity.target.azure?.credentials]).toEqual(["auto", undefined]);
  expect(called).toEqual([]);
  expect(inputsOf("account")).toMatchObject({ allowSharedKeyAccess: false });
  await expect.poll(() => declared.some(({ name }) => name.endsWith("writer-role"))).toBe(true);
  expect(inputsOf("writer-role")).toMatchObject({
    principalId: "p",
    scope: `${ID}/orders-azure-container`,
    roleDefinitionId: expect.stringMatching(
      /^\/subscriptions\/s\/providers\/Microsoft\.Authorization\/roleDefinitions\//,
    ),
  });
});

// claim: docs/azure.md: an existing container stays as it is
test("an existing container is not touched: its key is given, in a Secret, or signed", async () => {
  const existing = { accountName: "acmepg", name: "orders" };
  const facts = { versioning: false };
  const given = await make({
    container: { existing: { ...existing, facts } },
    credentials: { keys: { key: "planted-sas" } },
  });
  expect(given.target.azure).toMatchObject({ keyType: "sas", facts });
  expect(await pulumi.isSecret(pulumi.output(given.target.azure?.credentials?.key))).toBe(true);
  const secret = { name: "keys", azureKeyKey: "SAS" };
  const named = await make({ container: { existing }, credentials: { existingSecret: secret } });
  expect(named.target.azure).toMatchObject({ existingSecret: secret, keyType: "sas" });
  expect(called).toEqual([]);
  const signed = await make({ container: { existing: { ...existing, resourceGroupName: "g" } } });
  expect(partsOf(await valueOf(signed.target.azure?.credentials?.key))).toMatchObject({ sp: "racwdl" });
  expect(called[0]?.inputs).toEqual({ accountName: "acmepg", resourceGroupName: "g" });
  expect(declared.every(({ type }) => type.startsWith("pgbackstop:"))).toBe(true);
  expect(JSON.stringify(declared)).not.toContain("planted");
});

test("a cluster's Secret has the key under the name that the plugin reads", async () => {
  const { target } = await make();
  const keys = new RepositorySecret("orders-keys", { namespace: "orders", create: { from: target } });
  expect(await valueOf(keys.ref.azureKeyKey)).toBe("AZURE_KEY");
  const stored = (): unknown => declared.find(({ inputs }) => inputs["data"] !== undefined)?.inputs["data"];
  await expect.poll(() => JSON.stringify(stored())).toMatch(/"value":\{"AZURE_KEY":"[A-Za-z0-9+/=]+"\}/);
});

test("all mistakes are reported at once, each with its path", () => {
  expect(
    () =>
      new AzureRepository("wrong", {
        container: { create: { accountName: "Acme-PG", location: "west/europe", name: "a--b" } },
        credentials: { create: { expires: "2027-02-30" } },
        undeleteDays: 400,
        path: "/",
      }),
  ).toThrow(
    /AzureRepository wrong: 6 errors[^]*PB020 container.create.accountName: [^]*PB020 container.create.name: [^]*PB020 container.create.location: [^]*PB020 path: [^]*PB020 credentials.create.expires: "2027-02-30" is not a day[^]*PB014 undeleteDays: /,
  );
  const make_ = (args: AzureRepositoryArgs) => () => new AzureRepository("wrong", args);
  expect(make_({ container: {} })).toThrow("PB016 container: exactly one of create and existing");
  expect(make_({ container: { existing: { accountName: "acmepg", name: "orders" } } })).toThrow(
    "PB020 container.existing.resourceGroupName: keys for an existing account are made with its resource group",
  );
  const keys = { key: "k" };
  expect(
    make_({
      container: { existing: { accountName: "acmepg", name: "orders" } },
      credentials: { keys },
      immutableDays: 30,
    }),
  ).toThrow("PB082 immutableDays: ");
  const forever = { immutableDays: 30, lockMode: "compliance" as const, acceptIrreversible: true };
  expect(make_({ container: { create: CREATE }, ...forever })).toThrow(/PB080 lockMode: a policy is created unlocked/);
});
