/** The driver of Azure Blob Storage under the suite of storages, on Azurite. */
// claim: docs/azure.md: containers of Azure Blob Storage (Azurite, Microsoft's emulator; no real account)
import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { containerSas, SAS_PERMISSIONS, type SasRole } from "../../components/plan/storage/azureSas";
import { collect, streamOf } from "../../runtime/base/bytes";
import { measure } from "../../runtime/base/hash";
import { Secret } from "../../runtime/base/secret";
import type { AzureConfig } from "../../runtime/config/types";
import { azureAddressOf } from "../../runtime/storage/azure/azureAddress";
import { AzureHttp } from "../../runtime/storage/azure/azureHttp";
import { sasAuthority, sharedKeyAuthority } from "../../runtime/storage/azure/azureKey";
import { BlobAttacks } from "../../runtime/storage/azure/blobAttack";
import { openStorage } from "../../runtime/storage/open";
import type { Storage } from "../../runtime/storage/storage";
import { AzuriteServer } from "../../tools/parts/servers/azuriteServer";
import { azureRepo, OPEN_DEPS } from "../harness/repositories";
import { storageSuite } from "./storage.suite";

const MIB = 1024 * 1024;

let server: AzuriteServer;
const opened: Storage[] = [];
beforeAll(async () => {
  server = await AzuriteServer.create();
});
afterAll(async () => {
  for (const storage of opened) await storage.close();
  await server.remove();
});
const open = (path: string, azure: Partial<AzureConfig> = {}): Storage => {
  const storage = openStorage(azureRepo(server, path, azure), OPEN_DEPS);
  opened.push(storage);
  return storage;
};
storageSuite("Azure with the account's key", () => ({
  features: { directories: false, symlinks: false },
  open: async () => open("/some/prefix"),
  partSizeBytes: 4 * MIB,
  createsExclusively: true,
  replaces: true,
  manyCount: 1100,
}));

// claim: docs/azure.md: `doctor` tests the certificate, the clock, listings and conditional writes
test("a probe finds a service that keeps its promises", async () => {
  const facts = (await open("/probe").probe?.("scratch")) ?? [];
  expect(facts.map(({ name, verdict }) => `${name} ${verdict}`)).toEqual([
    "tls ok",
    "clock ok",
    "pages ok",
    "create ok",
    // Azurite has no versions.
    "versions warn",
  ]);
});

// claim: docs/drills-attack.md: Azure: the container keeps no versions (fails)
test("an attack finds that nothing keeps versions, and changes nothing else", async () => {
  const storage = open("/attacked");
  await storage.put("real", Buffer.from("real"));
  const attacked = storage.openAttacked?.("pgbackstop/main/attack/1");
  await attacked?.put("f", Buffer.from("x"));
  expect(await attacked?.attack()).toEqual({
    facts: [{ name: "versions", verdict: "fail", text: expect.stringContaining("the container keeps no versions") }],
    past: null,
  });
  await attacked?.close();
  expect(Buffer.from(await collect(await storage.read("real"), 9)).toString()).toBe("real");
});

// claim: docs/drills-attack.md: Azure: this key switches soft delete off
test.each([
  ["the account's key may set properties of the account", "account", "fail"],
  ["the writer's signature may not", "writer", "ok"],
])("%s, as an attack tries with an invalid body", async (_name, kind, verdict) => {
  const { account, accountKey, container } = server;
  const { azure } = azureRepo(server, "/attacked");
  if (azure === undefined) throw new Error("no container");
  const address = azureAddressOf(azure, 4);
  const permissions = SAS_PERMISSIONS.writer;
  const sas = containerSas({ account, accountKey, container, permissions, expires: "9999-12-31" });
  const isAccount = kind === "account";
  const authority = isAccount ? sharedKeyAuthority(account, new Secret(accountKey)) : sasAuthority(new Secret(sas));
  const facts = {
    repoIndex: 4,
    container,
    keyType: isAccount ? "shared" : "sas",
    connection: address.connection,
  } as const;
  const ca = readFileSync(azure.caFile ?? "", "utf8");
  const http = new AzureHttp({ ...OPEN_DEPS, address, authority, facts, verifyTls: true, ca });
  const storage = open("/attacked");
  const target = { ...OPEN_DEPS, prefix: "attacked/scratch", storage, past: () => storage };
  const [[name, attack] = []] = new BlobAttacks(http, target, OPEN_DEPS.random).settings;
  const content = await measure(streamOf());
  const file = { path: "f", key: "attacked/scratch/f", content, versionId: "v" };
  expect([name, (await attack?.([file]))?.verdict]).toEqual(["soft-delete", verdict]);
  await http.close();
});

test("a shared access signature reads, lists, writes and removes, also at the root", async () => {
  const storage = open("/", { keyType: "sas", key: new Secret(server.sas()) });
  await storage.putStream("sas/f", () => streamOf(Buffer.alloc(4 * MIB + 1, "x")));
  expect((await collect(await storage.read("sas/f"), 5 * MIB)).length).toBe(4 * MIB + 1);
  const names: string[] = [];
  for await (const { path } of storage.list("sas")) names.push(path);
  expect(names).toEqual(["sas/f"]);
  await storage.remove("sas/f");
  expect(await storage.stat("sas/f")).toBeNull();
});

// claim: docs/azure.md: a signature (SAS) for databases lists, reads, writes and deletes by name
test("the writer's signature of the components does all that a repository needs, the reader's only reads", async () => {
  const { account, accountKey, container } = server;
  const openAs = (role: SasRole): Storage => {
    const permissions = SAS_PERMISSIONS[role];
    const sas = containerSas({ account, accountKey, container, permissions, expires: "9999-12-31" });
    return open("/signed", { keyType: "sas", key: new Secret(sas) });
  };
  const writer = openAs("writer");
  expect(await writer.create?.("lease", Buffer.from("1"))).toBe(true);
  expect(await writer.create?.("lease", Buffer.from("2"))).toBe(false);
  await writer.putStream("d/f", () => streamOf(Buffer.alloc(4 * MIB + 1, "x")));
  const reader = openAs("reader");
  expect((await collect(await reader.read("d/f"), 5 * MIB)).length).toBe(4 * MIB + 1);
  await expect(reader.put("d/g", new Uint8Array(1))).rejects.toMatchObject({ kind: "access" });
  await expect(reader.remove("d/f")).rejects.toMatchObject({ kind: "access" });
  await expect(reader.removePath("d")).rejects.toMatchObject({ kind: "access" });
  expect(await writer.stat("d/f")).toMatchObject({ sizeBytes: 4 * MIB + 1 });
  await writer.removePath("d");
  expect(await writer.stat("d/f")).toBeNull();
});

// claim: docs/azure.md: a signature that has expired is refused in words, and no message repeats it
test("a shared access signature that has expired or lacks a right is refused, and not repeated", async () => {
  for (const [sas, hint] of [
    [server.sas({ expiresAtMs: Date.now() - 60_000 }), "repo4-azure-key"],
    [server.sas({ permissions: "r" }), "must allow to list, read, write and delete"],
  ] as const) {
    const refused = await open("/", { keyType: "sas", key: new Secret(sas) })
      .put("sas/g", new Uint8Array(1))
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ kind: "access", hints: [expect.stringContaining(hint)] });
    const signature = new URLSearchParams(sas).get("sig") ?? "";
    expect(inspect(refused, { depth: 10 })).not.toContain(signature);
    expect(inspect(refused, { depth: 10 })).not.toContain(encodeURIComponent(signature));
  }
});
