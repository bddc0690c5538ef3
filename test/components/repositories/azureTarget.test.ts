/** A container of Azure as a repository: from a target to findings, topology, pgbackrest.conf and files of keys. */
// claim: docs/azure.md: `at: azure.target` of a database (hosts and clusters; the runtime reads what is rendered)
import { describe, expect, test } from "vitest";
import { secretFiles } from "../../../components/credentials/repositorySecretFiles";
import { unknownMarker } from "../../../components/plan/model/unknown";
import { isInRange, stockLimits } from "../../../components/plan/engines/stockVersions";
import type { AzureSettings } from "../../../components/plan/repositories/azureType";
import type { TargetSettings } from "../../../components/plan/repositories/repositoryTypes";
import { checkHost } from "../../../components/plan/rules";
import { hasPast } from "../../../components/plan/runbook/attacked";
import { topologyOf } from "../../../components/plan/topology/topology";
import { renderPgbackrestConf } from "../../../components/render/host/pgbackrestConf";
import { credentialLines } from "../../../components/render/host/systemdCredentials";
import { load, MAIN_FILE } from "../../runtime/config/support";
import { plan } from "../plans";
import { findingsOf, planWith, refusalsOf, renderedCluster, stepsAfterAttack } from "./storeTargets";

const SAS = "sv=2021-06-08&sig=markerSas%3D";
const FULL: AzureSettings = { account: "acmepg", container: "orders", keyType: "sas", hasKey: true };

function planOf(
  azure: Partial<AzureSettings> = {},
  at: Partial<TargetSettings> = {},
  more = {},
): ReturnType<typeof plan> {
  return planWith({ name: "azure", path: "/orders", encrypted: true, azure: { ...FULL, ...azure }, ...at }, more);
}

function findings(azure: Partial<AzureSettings>, at: Partial<TargetSettings> = {}, more = {}): string[] {
  return findingsOf(planOf(azure, at, more));
}

describe("the rules", () => {
  test("have no findings if all values are given, or unknown", () => {
    expect(findings({})).toEqual([]);
    expect(findings({ account: unknownMarker(1), container: unknownMarker(2), endpoint: unknownMarker(3) })).toEqual(
      [],
    );
  });

  test("name what is wrong with an address", () => {
    expect(findings({ account: "acme.pg" }).join()).toContain('"acme.pg" is not the name of a storage account');
    expect(findings({ container: "a--b" }).join()).toContain('"a--b" is not the name of a container');
    expect(findings({ endpoint: "https://blob.core.windows.net" }).join()).toContain("is not a host name");
    expect(findings({ port: 0 }).join()).toContain("0 is not a port: 1 to 65535");
    expect(findings({}, { path: "/" }).join()).toContain("the prefix covers the whole container");
  });

  test("ask for exactly one key, where it can be used", () => {
    expect(findings({ hasKey: false }).join()).toContain(
      'PB063 repositories.repo2.at.azure.credentials: key type "sas"',
    );
    expect(findings({ keyType: "auto" }).join()).toContain("PB064 repositories.repo2.at.azure.credentials");
    expect(findings({ keyType: "auto", hasKey: false })).toEqual([]);
    const both = findings({ hasExistingSecret: true }).join();
    expect(both).toContain("PB067 repositories.repo2.at.azure.existingSecret: a host cannot read");
    expect(both).toContain("PB068");
  });

  // claim: docs/azure.md: a container that keeps neither versions nor deleted blobs is a warning
  test("warn of a container whose deleted blobs are gone, and of a lock that ends before the retention", () => {
    expect(findings({ facts: { versioning: false } }).join()).toContain(
      "PB036 repositories.repo2.at: the container keeps neither versions nor deleted blobs",
    );
    expect(findings({ facts: { versioning: false, undeleteDays: 14 } })).toEqual([]);
    expect(findings({ facts: { versioning: true, immutableDays: 14 } }).join()).toContain(
      "PB034 repositories.repo2.keepDays: a full backup is kept for up to 37 days but locked for 14",
    );
  });

  // claim: docs/azure.md: do not let a rule delete or archive blobs
  test("refuse a container whose blobs a rule removes or freezes", () => {
    const removed = findings({ facts: { expireLiveDays: 90, storageClass: "Archive" } }).join();
    expect(removed).toContain("PB058 repositories.repo2.at: a rule of the bucket removes objects 90 days after");
    expect(removed).toContain("PB060 repositories.repo2.at.storageClass: reading from class Archive takes hours");
    expect(findings({ facts: { storageClass: "Cool" } }).join()).toContain("PB061");
    expect(findings({ facts: { storageClass: "Standard_ZRS" } })).toEqual([]);
  });

  // claim: docs/drills-attack.md: the preview refuses it for a repository without versions
  test("refuse a host that restores with the writer's key, and an attack drill without versions", () => {
    const target = { name: "azure", path: "/o", encrypted: true };
    const { attacking, restoring } = refusalsOf({ ...target, azure: FULL });
    expect(restoring).toContain("PB101");
    expect(attacking).not.toContain("PB040");
    expect(refusalsOf({ ...target, azure: { ...FULL, facts: { versioning: false } } }).attacking).toContain(
      "PB040 drills.attack.repositories: the container of repo1 keeps no versions",
    );
  });
});

test("the topology shows account and container, in a failure domain of their own", () => {
  expect(topologyOf(planOf({ facts: { versioning: true, undeleteDays: 14 } })).repositories[1]).toMatchObject({
    kind: "azure",
    location: "azure://acmepg/orders/orders",
    provider: "azure",
    failureDomain: "Azure Blob Storage",
    offSite: true,
    bucket: { versioning: true, undeleteDays: 14 },
  });
  const lab = topologyOf(planOf({ endpoint: "azurite.lan", port: 10000 })).repositories[1];
  expect(lab).toMatchObject({ endpoint: "azurite.lan:10000", failureDomain: "azurite.lan" });
  expect(lab).not.toHaveProperty("offSite");
});

test("the runbook reads a container as it was, if it keeps versions", () => {
  const pastOf = (versioning: boolean): boolean => {
    const [, node] = topologyOf(planOf({ facts: { versioning, undeleteDays: 14 } })).repositories;
    return node !== undefined && hasPast(node);
  };
  expect([pastOf(true), pastOf(false)]).toEqual([true, false]);
});

// claim: docs/azure.md: if versions were deleted, first bring them back
test("the runbook brings back what soft delete keeps", () => {
  const steps = stepsAfterAttack(planOf());
  expect(steps).toContain("az storage blob undelete");
  expect(steps).not.toContain("gcloud storage");
});

test("a month's price is estimated with Azure's own row", () => {
  const sizing = { databaseGiB: 100, walGiBPerDay: 1 };
  const priced = (azure: Partial<AzureSettings>): unknown => {
    const at = { name: "azure", path: "/o", encrypted: true, azure: { ...FULL, ...azure } };
    return topologyOf(plan({ sizing, repositories: { repo1: { at, keepDays: 30 } } })).repositories[0]?.cost?.perMonth;
  };
  expect(priced({})).toBeGreaterThan(1);
  expect(priced({ facts: { undeleteDays: 14 } })).toBeGreaterThan(Number(priced({})));
  expect(priced({ facts: { storageClass: "Standard_GRS" } })).toBeUndefined();
});

test("pgbackrest.conf has the same meaning for the runtime, and the key is in the file of secrets", async () => {
  const text = renderPgbackrestConf(planOf());
  expect(text).toContain("repo2-type=azure\n");
  expect(text).not.toMatch(/storage-port|azure-endpoint|azure-uri-style|azure-key=/);
  const target = {
    name: "azure",
    path: "/orders",
    azure: { account: "acmepg", container: "orders", keyType: "sas" as const, credentials: { key: SAS } },
    cipher: { passphrase: "pass" },
  };
  const [file, ...others] = secretFiles({ directories: { config: "/etc/pgbackstop" }, agent: true }, "repo2", target);
  expect(others).toEqual([]);
  const secrets = await new Promise<string>((resolve) => void file?.text.apply(resolve));
  const { config } = load({
    argv: ["backup", "--stanza=main"],
    files: { [MAIN_FILE]: `${text}\n`, "/etc/pgbackrest/conf.d/repo2-credentials.conf": secrets },
  });
  const { azure, path } = config.repos[1] ?? {};
  expect(path).toBe("/orders");
  expect(azure).toMatchObject({
    account: "acmepg",
    container: "orders",
    endpoint: "blob.core.windows.net",
    keyType: "sas",
    uriStyle: "host",
  });
  expect(azure?.key?.reveal()).toBe(SAS);
});

test("stock reads a managed identity from 2.58 on, and the other keys before", () => {
  const limits = (keyType: AzureSettings["keyType"], version: string): string[] =>
    stockLimits(planOf({ keyType }).repositories)
      .filter((limit) => isInRange(limit, version))
      .map(({ path, fact }) => `${path}: ${fact}`);
  const managed = ["repositories.repo2: managed identities of Azure came with 2.58"];
  expect([limits("auto", "2.57"), limits("auto", "2.58.0"), limits("sas", "2.45")]).toEqual([managed, [], []]);
});

test("another server is written with its port, style and authority", () => {
  const own = { endpoint: "azurite.lan", port: 10000, uriStyle: "path" as const, caFile: "/etc/ssl/lab.pem" };
  const text = renderPgbackrestConf(planOf({ ...own, keyType: "shared" }));
  expect(text).toContain(
    [
      "repo2-azure-account=acmepg",
      "repo2-azure-container=orders",
      "repo2-azure-endpoint=azurite.lan",
      "repo2-azure-uri-style=path",
      "repo2-storage-port=10000",
      "repo2-storage-ca-file=/etc/ssl/lab.pem",
    ].join("\n"),
  );
});

test("units get a key that the host already has", () => {
  const kept = planOf({ hasKey: false }, {}, { secretFiles: { azureKey: "/run/secrets/azure" } });
  expect(credentialLines(kept).filter((line) => line.includes("azure"))).toEqual([
    "LoadCredential=repo2-azure-key:/run/secrets/azure",
  ]);
  expect(checkHost(kept).filter(({ severity }) => severity === "error")).toEqual([]);
  expect(findings({}, {}, { secretFiles: { azureKey: "/run/secrets/azure" } }).join()).toContain("PB103");
});

// claim: docs/azure.md: in a cluster the key comes from a Secret
test("pods of a cluster get the key from a Secret with a key of any name", () => {
  const rendered = (existingSecret: { name: string; azureKeyKey?: string; passphraseKey?: string }): unknown => {
    const azure = { account: "acmepg", container: "orders", keyType: "sas", existingSecret };
    return renderedCluster({ path: "/orders", azure }).parameters;
  };
  expect(rendered({ name: "keys", passphraseKey: "pass" })).toMatchObject({
    repo1SecretKeys: "AZURE_KEY=keys/AZURE_KEY,ENCRYPTION_PASS=keys/pass",
  });
  expect(rendered({ name: "keys", azureKeyKey: "SAS" })).toMatchObject({ repo1SecretKeys: "AZURE_KEY=keys/SAS" });
  expect(rendered({ name: "keys" })).toMatchObject({ repo1Secret: "keys" });
});
