/**
 * A real API server with the real definitions of CloudNativePG, Barman's plugin and the External Secrets Operator
 * accepts, with strict validation, every object that components declare. It refuses the same objects with an unknown
 * field.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RepositorySecret } from "../../components/credentials/repositorySecret";
import { SharedExternalSecret } from "../../components/credentials/sharedExternalSecret";
import { renderCluster } from "../../components/render/kubernetes/clusterObjects";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { CNPG_SPEC, renderCnpgSpec } from "../../tools/docs/cnpgSpec";
import { projectFolder } from "../../tools/parts/cache";
import { contextOf } from "../components/clusters";
import { declaredAs, programsOf, PUBLIC_CLUSTERS } from "../components/publicClusters";
import { type ApiServer, startApiServer } from "../harness/kubernetes/apiServer";
import { daliboDefinitions } from "../harness/kubernetes/daliboDefinitions";
import { apiServerParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";

const STORE = { name: "onepassword-connect" };
const KEYS = {
  accessKeyId: { key: "backblaze", property: "ID", secretKey: "b2-access-key-id" },
  secretAccessKey: { key: "backblaze", property: "KEY" },
};

/** Every object that a component for credentials declares. */
function credentials(): void {
  const b2 = new S3CompatibleRepository("b2", {
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    bucket: { existing: { name: "orders", credentials: { accessKeyId: "id", secretAccessKey: "secret" } } },
    cipher: { passphrase: "only for this test" },
  });
  new RepositorySecret("orders-b2", { namespace: "default", create: { from: b2.target }, labels: { team: "shop" } });
  new RepositorySecret("orders-r2", {
    namespace: "default",
    external: { store: { ...STORE, kind: "SecretStore", refreshIntervalSeconds: 90 }, keys: KEYS },
  });
  new SharedExternalSecret("cnpg-secret", {
    namespace: "default",
    store: STORE,
    repositories: { b2: KEYS, r2: { ...KEYS, accessKeyId: { key: "r2" } } },
  });
}

describe("a real API server", async () => {
  const parts = await apiServerParts("objects that components declare");
  if (parts === null) return;
  let server: ApiServer;
  beforeAll(async () => {
    server = await startApiServer(parts);
    await server.define(
      ["cnpg", "barman-cloud", "external-secrets", "prometheus"],
      [...daliboDefinitions("stanza"), ...daliboDefinitions("repository")],
    );
  });
  afterAll(() => server?.stop());

  test("has the fields that the types of spec name: npm run docs writes them", () => {
    const types = readFileSync(join(projectFolder(), CNPG_SPEC), "utf8");
    expect(types === renderCnpgSpec(parts.manifests.definitions), "they are stale").toBe(true);
  });

  test("accepts the Secrets and ExternalSecrets of repositories", async () => {
    const objects = await renderedObjects(credentials);
    expect(objects.map((object) => (object as { kind: string }).kind).sort()).toEqual([
      "ExternalSecret",
      "ExternalSecret",
      "Secret",
    ]);
    expect(await server.kubectl.refusal(objects)).toBe("");
    const stored = await server.kubectl.apply(objects);
    expect(stored.map(({ metadata }) => metadata.name).sort()).toEqual(["cnpg-secret", "orders-b2", "orders-r2"]);
  });

  test("refuses each of them with an unknown field", async () => {
    for (const object of await renderedObjects(credentials)) {
      const { kind, spec = {}, ...rest } = object as { kind: string; spec?: object };
      const wrong =
        kind === "Secret"
          ? { kind, ...rest, stringdata: {} }
          : { kind, ...rest, spec: { ...spec, refreshIntervall: "1h" } };
      expect(await server.kubectl.refusal([wrong])).toMatch(
        /\.(stringdata|spec\.refreshIntervall): field not declared in schema/,
      );
    }
  });

  test("accepts every field of CloudNativePG's and Barman's objects", async () => {
    const cluster = (plugin: object): object => ({
      apiVersion: "postgresql.cnpg.io/v1",
      kind: "Cluster",
      metadata: { name: "orders", namespace: "default" },
      spec: { instances: 1, storage: { size: "1Gi" }, plugins: [plugin] },
    });
    const store = (configuration: object): object => ({
      apiVersion: "barmancloud.cnpg.io/v1",
      kind: "ObjectStore",
      metadata: { name: "b2", namespace: "default" },
      spec: { configuration: { destinationPath: "s3://orders/", ...configuration } },
    });
    expect(
      await server.kubectl.refusal([
        cluster({ name: "toy.example", isWALArchiver: true }),
        store({ wal: { compression: "gzip" } }),
      ]),
    ).toBe("");
    expect(await server.kubectl.refusal([cluster({ name: "toy.example", isWalArchiver: true })])).toContain(
      ".spec.plugins[0].isWalArchiver",
    );
    expect(await server.kubectl.refusal([store({ wal: { compresion: "gzip" } })])).toContain(
      ".spec.configuration.wal.compresion",
    );
    expect(await server.kubectl.refusal([store({ wal: { compression: "zip" } })])).toContain("Unsupported value");
  });

  test("accepts public Clusters as programs make them, a Pooler with templates, and a PodMonitor over TLS", async () => {
    const template = {
      metadata: { labels: { app: "pooler" } },
      spec: { containers: [{ name: "pgbouncer", resources: { requests: { cpu: 1, memory: "64Mi" } } }] },
    };
    const serviceTemplate = { metadata: { labels: { app: "pooler" } }, spec: { type: "LoadBalancer" } };
    const extra = declaredAs({
      storageGiB: 1,
      monitoring: { podMonitor: true, tls: true },
      poolers: { web: { spec: { template, serviceTemplate } } },
    });
    const programs = [...Object.values(PUBLIC_CLUSTERS).map((each) => declaredAs(programsOf(each).shortened)), extra];
    const objects = programs.flatMap((declared) =>
      renderCluster(contextOf({ ...declared, namespace: "default" }), null)
        .map(({ manifest }) => manifest)
        .filter(({ kind }) => ["Cluster", "PodMonitor", "Pooler"].includes(kind)),
    );
    expect(objects.map(({ kind }) => kind).filter((kind) => kind !== "Cluster")).toEqual([
      "Pooler",
      "Pooler",
      "PodMonitor",
    ]);
    expect(await server.kubectl.refusal(objects)).toBe("");
  });

  test("accepts both generations of Dalibo's objects as documented", async () => {
    const b2 = { bucket: "orders", endpoint: "s3.example.com", region: "eu", repoPath: "/orders", verifyTLS: true };
    const dalibo = (kind: string, spec: object): object => ({
      apiVersion: "pgbackrest.dalibo.com/v1",
      kind,
      metadata: { name: "orders", namespace: "default" },
      spec,
    });
    const stanza = dalibo("Stanza", { stanzaConfiguration: { name: "orders", s3Repositories: [b2] } });
    const repository = dalibo("Repository", { repoConfiguration: { stanza: "orders", s3Repositories: [b2] } });
    const config = dalibo("PluginConfig", { storageConfig: { storageClass: "default", size: "1Gi" } });
    expect(await server.kubectl.refusal([stanza, repository, config])).toBe("");
    const old = dalibo("Stanza", { repoConfiguration: { stanza: "orders", s3Repositories: [b2] } });
    expect(await server.kubectl.refusal([old])).toContain(".spec.repoConfiguration: field not declared in schema");
  });
});
