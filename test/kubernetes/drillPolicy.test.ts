/**
 * A real API server enforces the policy for the account of a cluster's drills. The account can create the Cluster of a
 * drill, but not one with another image, another Secret or any other change in its pods.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderCluster } from "../../components/render/kubernetes/clusterObjects";
import { mergeOver } from "../../components/plan/model/mergeOver";
import type { RenderedObject } from "../../components/render/kubernetes/objects";
import type { JsonObject } from "../../runtime/cnpg/kubernetes/clusterObject";
import { throwAwayCluster } from "../../runtime/cnpg/drill/drillCluster";
import type { BackupInfoEntry } from "../../runtime/format/repository/backupInfo";
import { sleep } from "../../tools/parts/process";
import { declaredCluster, context, objectOf } from "../components/clusters";
import { type ApiServer, startApiServer } from "../harness/kubernetes/apiServer";
import type { Kubectl, KubernetesObject } from "../harness/kubernetes/kubectl";
import { apiServerParts } from "../harness/kubernetes/parts";

const SHAPE = {
  drills: { weekly: { cron: "0 5 * * 6" } },
  spec: {
    walStorage: { size: "5Gi", storageClass: "fast" },
    tablespaces: [{ name: "hot", storage: { size: "1Gi" } }],
    postgresql: { extensions: [{ name: "vector", image: { reference: "registry.example.net/pgvector:18" } }] },
    monitoring: { customQueriesConfigMap: [{ name: "own-queries", key: "queries" }] },
    enableSuperuserAccess: true,
  },
};
/** Settings that a drill may leave to production. Its account must not use them. */
const OF_PRODUCTION = {
  spec: {
    superuserSecret: { name: "orders-superuser-own" },
    projectedVolumeTemplate: { sources: [{ secret: { name: "orders-files" } }] },
    env: [{ name: "TOKEN", valueFrom: { secretKeyRef: { name: "orders-token", key: "token" } } }],
    certificates: { serverCASecret: "orders-own-ca", serverTLSSecret: "orders-own-tls" },
    imagePullSecrets: [{ name: "registry" }],
    postgresql: {
      ldap: { server: "ldap.example.net", bindSearchAuth: { bindPassword: { name: "ldap", key: "password" } } },
    },
    storage: { pvcTemplate: { volumeMode: "Filesystem" } },
    monitoring: { customQueriesSecret: [{ name: "own-queries", key: "queries" }] },
    logLevel: "debug",
    switchoverDelay: 60,
  },
};
const rendered = (): RenderedObject[] => renderCluster(context(declaredCluster(SHAPE)), null);
const production = (): JsonObject => mergeOver(objectOf(rendered(), "cluster"), OF_PRODUCTION) as JsonObject;
const thrownAway = (): JsonObject =>
  throwAwayCluster(production(), {
    name: "orders-drill-weekly",
    drillId: "20261121-051347Z-1a2b3c4d",
    job: { name: "orders-drill-weekly-29", uid: "c0ffee00-0000-4000-8000-000000000000" },
    untilMs: Date.parse("2026-11-21T06:00:00Z"),
    repoIndex: 2,
    picked: { backup: { label: "20261121-010000F" } as BackupInfoEntry, type: "immediate" },
    targetTimeline: "latest",
    newestWal: "0000000100000000000000A1",
    major: 18,
    resources: { "requests.cpu": "500m" },
  });

/**
 * Fields that CloudNativePG's webhook adds (`api/v1/cluster_defaults.go` of 1.30), and a plugin that the operator adds
 * to every Cluster.
 */
const FILLED_IN = {
  spec: {
    bootstrap: { recovery: { database: "app", owner: "app" } },
    affinity: { podAntiAffinityType: "preferred" },
    plugins: [{ name: "everywhere.example.net", enabled: true }],
    monitoring: {
      customQueriesConfigMap: [{ name: "cnpg-default-monitoring", key: "queries" }],
      customQueriesSecret: [{ name: "own-queries", key: "queries" }],
    },
    probes: { liveness: { isolationCheck: { enabled: true, requestTimeout: 1000, connectionTimeout: 1000 } } },
    replicationSlots: {
      highAvailability: { enabled: true, slotPrefix: "_cnpg_" },
      synchronizeReplicas: { enabled: true },
    },
  },
};

const secret = { name: "of-somebody-else", key: "key" };
const volume = { size: "50Gi", pvcTemplate: { dataSource: { kind: "PersistentVolumeClaim", name: "orders-1" } } };
const { plugin } = (thrownAway()["spec"] as { externalClusters: [{ plugin: { name: string; parameters: object } }] })
  .externalClusters[0];
const sourceWith = (parameters: object): object => ({
  externalClusters: [{ name: "source", plugin: { ...plugin, parameters: { ...plugin.parameters, ...parameters } } }],
});

/** Changes to a drill's Cluster, and their refusals. */
const REFUSED: readonly (readonly [what: string, over: object, pattern: RegExp])[] = [
  ["another name", { metadata: { name: "orders-2" } }, /makes Clusters of these names/],
  [
    "an annotation that changes pods",
    { metadata: { annotations: { "cnpg.io/podPatch": "[]" } } },
    /without annotations/,
  ],
  ["another image", { spec: { imageName: "registry.example.net/own:18" } }, /image, pods and volumes as production's/],
  [
    "no image",
    {
      spec: {
        imageName: null,
        imageCatalogRef: { kind: "ImageCatalog", name: "own", major: 18, apiGroup: "postgresql.cnpg.io" },
      },
    },
    /image, pods/,
  ],
  ["a superuser's Secret", { spec: { superuserSecret: { name: "of-somebody-else" } } }, /none of its Secrets/],
  [
    "production's own superuser's Secret",
    { spec: { superuserSecret: OF_PRODUCTION.spec.superuserSecret } },
    /none of its Secrets/,
  ],
  [
    "files out of Secrets",
    { spec: { projectedVolumeTemplate: { sources: [{ secret: { name: "of-somebody-else" } }] } } },
    /none of its Secrets/,
  ],
  [
    "production's own files out of Secrets",
    { spec: { projectedVolumeTemplate: OF_PRODUCTION.spec.projectedVolumeTemplate } },
    /none of its Secrets/,
  ],
  [
    "a variable out of a Secret",
    { spec: { env: [{ name: "KEY", valueFrom: { secretKeyRef: secret } }] } },
    /none of its Secrets/,
  ],
  [
    "all variables of a Secret",
    { spec: { envFrom: [{ secretRef: { name: "of-somebody-else" } }] } },
    /none of its Secrets/,
  ],
  [
    "a role with a password",
    { spec: { managed: { roles: [{ name: "app", passwordSecret: { name: "of-somebody-else" } }] } } },
    /none of its Secrets/,
  ],
  ["production's certificates", { spec: { certificates: OF_PRODUCTION.spec.certificates } }, /none of its Secrets/],
  [
    "an archive of its own",
    {
      spec: {
        backup: {
          barmanObjectStore: {
            destinationPath: "s3://own/",
            s3Credentials: { accessKeyId: secret, secretAccessKey: secret },
          },
        },
      },
    },
    /none of its Secrets/,
  ],
  ["another account", { spec: { serviceAccountName: "admin" } }, /none of its Secrets/],
  ["a Secret to pull images with", { spec: { imagePullSecrets: [{ name: "of-somebody-else" }] } }, /image, pods/],
  ["another user", { spec: { postgresUID: 0 } }, /image, pods/],
  ["a security context", { spec: { securityContext: { privileged: true } } }, /image, pods/],
  [
    "a database of its own with a Secret",
    { spec: { bootstrap: { initdb: { secret: { name: "of-somebody-else" } } } } },
    /recovered from the source/,
  ],
  [
    "a recovery with a Secret",
    { spec: { bootstrap: { recovery: { secret: { name: "of-somebody-else" } } } } },
    /recovered from the source/,
  ],
  [
    "the volumes of others",
    {
      spec: {
        bootstrap: { recovery: { volumeSnapshots: { storage: { kind: "PersistentVolumeClaim", name: "orders-1" } } } },
      },
    },
    /recovered from the source/,
  ],
  [
    "another server with its password",
    { spec: { externalClusters: [{ name: "source", password: secret, connectionParameters: { host: "db" } }] } },
    /production's archive/,
  ],
  ["keys of another Secret", { spec: sourceWith({ repo1Secret: "of-somebody-else" }) }, /production's archive/],
  ["a sidecar of another image", { spec: sourceWith({ image: "registry.example.net/own" }) }, /production's archive/],
  [
    "another plugin",
    { spec: { externalClusters: [{ name: "source", plugin: { name: "other.example.net", parameters: {} } }] } },
    /production's archive/,
  ],
  [
    "production's archiver",
    { spec: { plugins: [{ name: "pgbackstop", isWALArchiver: true, parameters: { stanza: "orders" } }] } },
    /archives nowhere/,
  ],
  ["a copy of production's volume", { spec: { storage: volume } }, /volumes of a drill/],
  ["a copy of production's volume for WAL", { spec: { walStorage: volume } }, /volumes of a drill/],
  [
    "a copy of production's volume for a tablespace",
    { spec: { tablespaces: [{ name: "hot", storage: volume }] } },
    /volumes of a drill/,
  ],
  [
    "a tablespace that production has not",
    { spec: { tablespaces: [{ name: "cold", storage: { size: "1Gi" } }] } },
    /volumes of a drill/,
  ],
  [
    "an extension of another image",
    { spec: { postgresql: { extensions: [{ name: "vector", image: { reference: "registry.example.net/own" } }] } } },
    /extensions of production's/,
  ],
  [
    "production's password for LDAP",
    { spec: { postgresql: { ldap: OF_PRODUCTION.spec.postgresql.ldap } } },
    /extensions of production's/,
  ],
  [
    "queries out of another Secret",
    { spec: { monitoring: { customQueriesSecret: [secret] } } },
    /no other Secret of queries/,
  ],
];

describe("the account of a cluster's drills", async () => {
  const parts = await apiServerParts("the policy of drills");
  if (parts === null) return;
  let server: ApiServer;
  /** Returns the API server's refusal to the account. The dry run stores nothing. */
  const refusal = (object: Parameters<Kubectl["refusalTo"]>[1]): Promise<string> =>
    server.kubectl.refusalTo("system:serviceaccount:orders:orders-drill", object, "orders");
  const own = (over: object): KubernetesObject =>
    mergeOver(thrownAway(), mergeOver({ metadata: { namespace: "orders" } }, over)) as KubernetesObject;

  beforeAll(async () => {
    server = await startApiServer(parts, "drill-policy");
    await server.define(["cnpg"]);
    await server.kubectl.apply([{ apiVersion: "v1", kind: "Namespace", metadata: { name: "orders" } }, production()]);
    const drills = rendered().filter(({ role }) =>
      ["scope", "scope-binding", "policy", "policy-binding", "account", "role", "binding"].includes(
        role.replace(/^drill-/, ""),
      ),
    );
    await server.kubectl.apply(drills.map(({ manifest }) => manifest));
    // The server enforces a new policy with a delay.
    for (const over of [{ metadata: { name: "another" } }, { spec: { imageName: "registry.example.net/own:18" } }]) {
      for (const endMs = performance.now() + 60_000; (await refusal(own(over))) === ""; ) {
        if (performance.now() > endMs) throw new Error("a policy is not in force");
        await sleep(200);
      }
    }
  });
  afterAll(() => server?.stop());

  // claim: docs/kubernetes/drills.md: what a drill's account may create (a real API server)
  test("creates a drill's Cluster, as sent and as the operator's webhook completes it", async () => {
    expect(await refusal(own({}))).toBe("");
    expect(await refusal(own(FILLED_IN))).toBe("");
  });

  // claim: docs/kubernetes/drills.md: what a drill's account…
  test.each(REFUSED)("is refused %s", async (_what, over, pattern) => {
    const printed = await refusal(own(over));
    expect(printed).toMatch(/ValidatingAdmissionPolicy 'pgbackstop-drill(-scope)?\.orders\.orders'/);
    expect(printed).toMatch(pattern);
  });

  // claim: docs/kubernetes/drills.md: what a drill's account…
  test("follows another image of production, and does not restrict other accounts", async () => {
    const image = "ghcr.io/cloudnative-pg/postgresql:18.7-standard-trixie";
    await server.kubectl.runOk([
      "patch",
      "clusters.postgresql.cnpg.io",
      "orders",
      "-n",
      "orders",
      "--type=merge",
      "-p",
      JSON.stringify({ spec: { imageName: image } }),
    ]);
    const newer = own({ spec: { imageName: image } });
    for (const endMs = performance.now() + 60_000; (await refusal(newer)) !== ""; ) {
      if (performance.now() > endMs) throw new Error(await refusal(newer));
      await sleep(200);
    }
    expect(await refusal(own({}))).toMatch(/image, pods and volumes as production's/);
    expect(
      await server.kubectl.refusal([
        own({ metadata: { name: "another" }, spec: { imageName: "registry.example.net/own:18" } }),
      ]),
    ).toBe("");
  });

  test("cannot create a Cluster whose name the API server generates", async () => {
    const { name: _name, ...metadata } = own({}).metadata;
    expect(await refusal({ ...own({}), metadata: { ...metadata, generateName: "orders-drill-wee" } })).toMatch(
      /makes Clusters of these names|names its Cluster/,
    );
  });

  test("creates nothing once production is gone, while others still create and change Clusters", async () => {
    await server.kubectl.runOk(["delete", "clusters.postgresql.cnpg.io", "orders", "-n", "orders"]);
    for (const endMs = performance.now() + 60_000; (await refusal(own({}))) === ""; ) {
      if (performance.now() > endMs) throw new Error("a Cluster would be made");
      await sleep(200);
    }
    expect(await refusal(own({}))).toMatch(/no params found/);
    const another = own({ metadata: { name: "another" } });
    expect(await server.kubectl.refusal([another])).toBe("");
    await server.kubectl.apply([another]);
    await server.kubectl.runOk(["label", "clusters.postgresql.cnpg.io", "another", "-n", "orders", "changed=yes"]);
    await server.kubectl.apply([production()]);
  });
});
