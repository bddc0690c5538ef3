/** A bucket of Google as a repository: from a target to findings, topology, pgbackrest.conf and files of keys. */
// claim: docs/gcs.md: `at: google.target` of a database (hosts and clusters; the runtime reads what is rendered)
import { describe, expect, test } from "vitest";
import { secretFiles } from "../../../components/credentials/repositorySecretFiles";
import { unknownMarker } from "../../../components/plan/model/unknown";
import type { GcsSettings } from "../../../components/plan/repositories/gcsType";
import type { TargetSettings } from "../../../components/plan/repositories/repositoryTypes";
import { checkHost } from "../../../components/plan/rules";
import { hasPast } from "../../../components/plan/runbook/attacked";
import { topologyOf } from "../../../components/plan/topology/topology";
import { renderPgbackrestConf } from "../../../components/render/host/pgbackrestConf";
import { credentialLines } from "../../../components/render/host/systemdCredentials";
import { load, MAIN_FILE } from "../../runtime/config/support";
import type { plan } from "../plans";
import { findingsOf, planWith, refusalsOf, renderedCluster, stepsAfterAttack } from "./storeTargets";

const KEY = '{"type":"service_account","private_key":"markerKey"}';
const FULL: GcsSettings = { bucket: "acme-pg", keyType: "service", hasKey: true };

function planOf(gcs: Partial<GcsSettings> = {}, at: Partial<TargetSettings> = {}, more = {}): ReturnType<typeof plan> {
  return planWith({ name: "google", path: "/orders", encrypted: true, gcs: { ...FULL, ...gcs }, ...at }, more);
}

function findings(gcs: Partial<GcsSettings>, at: Partial<TargetSettings> = {}, more = {}): string[] {
  return findingsOf(planOf(gcs, at, more));
}

describe("the rules", () => {
  test("have no findings if all values are given, or unknown", () => {
    expect(findings({})).toEqual([]);
    expect(findings({ endpoint: "https://gcs.lan:4443", userProject: "acme-backups" })).toEqual([]);
    expect(findings({ bucket: unknownMarker(1), endpoint: unknownMarker(2) })).toEqual([]);
  });

  test("name what is wrong with an address", () => {
    expect(findings({ bucket: "Acme" }).join()).toContain('"Acme" is not the name of a bucket');
    expect(findings({ endpoint: "storage.googleapis.com/acme-pg" }).join()).toContain("is not a host name");
    expect(findings({ userProject: "Acme" }).join()).toContain('"Acme" is not the id of a project');
    expect(findings({}, { path: "/" }).join()).toContain("the prefix covers the whole bucket");
  });

  test("ask for exactly one key, where it can be used", () => {
    expect(findings({ hasKey: false }).join()).toContain(
      'PB063 repositories.repo2.at.gcs.credentials: key type "service"',
    );
    expect(findings({ keyType: "auto" }).join()).toContain("PB064 repositories.repo2.at.gcs.credentials");
    expect(findings({ keyType: "auto", hasKey: false })).toEqual([]);
    expect(findings({ hasExistingSecret: true }).join()).toContain(
      "PB067 repositories.repo2.at.gcs.existingSecret: a host cannot read",
    );
  });

  // claim: docs/gcs.md: a bucket that keeps neither versions nor deleted objects is a warning
  test("warn of a bucket whose deleted objects are gone, and of classes that cost more", () => {
    expect(findings({ facts: { versioning: false } }).join()).toContain(
      "PB036 repositories.repo2.at: the bucket keeps neither versions nor deleted objects",
    );
    expect(findings({ facts: { versioning: false, undeleteDays: 14 } })).toEqual([]);
    expect(findings({ facts: { expireLiveDays: 90 } }).join()).toContain("PB058 repositories.repo2.at");
    for (const storageClass of ["NEARLINE", "ARCHIVE"])
      expect(findings({ facts: { storageClass } }).join()).toContain("PB061 repositories.repo2.at.storageClass");
  });

  // claim: docs/drills-attack.md: the preview refuses it for a repository without versions
  test("refuse a host that restores with the writer's key, and an attack drill without soft delete", () => {
    const target = { name: "google", path: "/o", encrypted: true };
    const { attacking, restoring } = refusalsOf({ ...target, gcs: FULL });
    expect(restoring).toContain("PB101");
    expect(attacking).not.toContain("PB040");
    const attackingWith = (facts: object): string => refusalsOf({ ...target, gcs: { ...FULL, facts } }).attacking;
    expect(attackingWith({ versioning: false, undeleteDays: 14 })).not.toContain("PB040");
    expect(attackingWith({ versioning: true, undeleteDays: 0 })).toContain(
      "PB040 drills.attack.repositories: the bucket of repo1 has no soft delete",
    );
  });
});

test("the topology shows the bucket, in a failure domain of its own, and the runbook its past", () => {
  const [, node] = topologyOf(planOf({ facts: { versioning: true, undeleteDays: 14 } })).repositories;
  expect(node).toMatchObject({
    kind: "gcs",
    location: "gs://acme-pg/orders",
    provider: "gcs",
    failureDomain: "Google Cloud Storage",
    offSite: true,
    bucket: { versioning: true, undeleteDays: 14 },
  });
  expect(node !== undefined && hasPast(node)).toBe(true);
  const lab = topologyOf(planOf({ endpoint: "gcs.lan:4443" })).repositories[1];
  expect(lab).toMatchObject({ endpoint: "gcs.lan:4443", failureDomain: "gcs.lan:4443" });
  expect(lab).not.toHaveProperty("offSite");
});

// claim: docs/gcs.md: if a thief deleted versions too, restore what soft delete keeps
test("the runbook brings back what soft delete keeps", () => {
  const steps = stepsAfterAttack(planOf());
  expect(steps).toContain('gcloud storage restore "gs://acme-pg/orders/**" --async');
  expect(steps).not.toContain("az storage");
});

test("pgbackrest.conf names a file of its own for the key, as stock reads it, and the runtime its content", async () => {
  const text = renderPgbackrestConf(planOf({ userProject: "acme-backups", caFile: "/etc/ssl/lab.pem" }));
  expect(text).toContain("repo2-type=gcs\n");
  expect(text).toContain("repo2-gcs-user-project=acme-backups\nrepo2-storage-ca-file=/etc/ssl/lab.pem");
  expect(text).not.toMatch(/gcs-endpoint|gcs-key-type/);
  const path = "/etc/pgbackstop/credentials/repo2-gcs-key.json";
  expect(text).toContain(`repo2-gcs-key=${path}\n`);
  const target = {
    name: "google",
    path: "/orders",
    gcs: { bucket: "acme-pg", credentials: { key: KEY } },
    cipher: { passphrase: "pass" },
  };
  const files = secretFiles({ directories: { config: "/etc/pgbackstop" }, agent: true }, "repo2", target);
  const written = await Promise.all(
    files.map(
      (file) => new Promise<[string, string]>((resolve) => void file.text.apply((t) => resolve([file.path, t]))),
    ),
  );
  expect(Object.fromEntries(written)[path]).toBe(`${KEY}\n`);
  const { config } = load({ argv: ["backup", "--stanza=main"], files: { [MAIN_FILE]: `${text}\n` } });
  expect(config.repos[1]?.gcs).toMatchObject({ bucket: "acme-pg", keyType: "service" });
  expect(config.repos[1]?.gcs?.key?.reveal()).toBe(path);
});

test("units get the key, also one that the host already has", () => {
  const lines = (kept: ReturnType<typeof plan>): string[] =>
    credentialLines(kept).filter((line) => line.includes("gcs"));
  const path = "/run/secrets/google.json";
  const kept = planOf({ hasKey: false }, {}, { secretFiles: { gcsKey: path } });
  expect(lines(kept)).toEqual([`LoadCredential=repo2-gcs-key:${path}`]);
  expect(renderPgbackrestConf(kept)).toContain(`repo2-gcs-key=${path}\n`);
  expect(lines(planOf())).toEqual([expect.stringMatching(/^LoadCredential=repo2-gcs-key:\/.*\/repo2-gcs-key\.json$/)]);
  expect(lines(planOf({ keyType: "auto", hasKey: false }))).toEqual([]);
  expect(checkHost(kept).filter(({ severity }) => severity === "error")).toEqual([]);
  expect(findings({}, {}, { secretFiles: { gcsKey: path } }).join()).toContain("PB103");
});

// claim: docs/gcs.md: in a cluster the key comes from a Secret
test("pods of a cluster get the key from a Secret with a key of any name", () => {
  const rendered = (existingSecret: { name: string; gcsKeyKey?: string; passphraseKey?: string }): unknown => {
    const { parameters, text } = renderedCluster({ path: "/orders", gcs: { bucket: "acme-pg", existingSecret } });
    // Only hosts have a file for it.
    expect(text).toContain("repo1-gcs-bucket=acme-pg");
    expect(text).not.toContain("gcs-key=");
    return parameters;
  };
  expect(rendered({ name: "keys", passphraseKey: "pass" })).toMatchObject({
    repo1SecretKeys: "GCS_KEY=keys/GCS_KEY,ENCRYPTION_PASS=keys/pass",
  });
  expect(rendered({ name: "keys", gcsKeyKey: "json" })).toMatchObject({ repo1SecretKeys: "GCS_KEY=keys/json" });
  expect(rendered({ name: "keys" })).toMatchObject({ repo1Secret: "keys" });
});
