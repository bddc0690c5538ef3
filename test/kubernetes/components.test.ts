/**
 * A real API server with the real definitions accepts, with strict validation, every object that the components for
 * CloudNativePG declare, for each engine. Dalibo's definitions are doubles.
 */
// claim: docs/monitoring.md: `Monitoring` declares the content…
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterBackupArgs, CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgBackup } from "../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgPlugin } from "../../components/databases/cnpgPlugin";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { Monitoring } from "../../components/monitoring/monitoring";
import { resolveHost } from "../../components/plan/model/resolveDatabase";
import { topologyOf } from "../../components/plan/topology/topology";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { settings } from "../components/plans";
import { type ApiServer, startApiServer } from "../harness/kubernetes/apiServer";
import { daliboDefinitions } from "../harness/kubernetes/daliboDefinitions";
import { apiServerParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";

const KEYS = { accessKeyId: "id", secretAccessKey: "secret" };
const SILENCE = {
  PB042: "a test",
  PB078: "a test",
  PB003: "a test",
  PB007: "a test",
  PB009: "a test",
  PB030: "a test",
};

function bucket(name: string, over: { cipher?: boolean; existing?: boolean } = {}): S3CompatibleRepository {
  const existing =
    over.existing === true
      ? {
          existingSecret: {
            name: "cnpg-secret",
            accessKeyIdKey: "b2-access-key-id",
            secretAccessKeyKey: "b2-secret-access-key",
          },
        }
      : { credentials: KEYS };
  return new S3CompatibleRepository(name, {
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    path: `/${name}`,
    bucket: { existing: { name: "orders-pg", ...existing } },
    ...(over.cipher === false ? {} : { cipher: { passphrase: "only for this test" } }),
  });
}

const WIDE: Partial<CnpgClusterArgs> = {
  instances: 3,
  parameters: { shared_buffers: "256MB" },
  spec: {
    walStorage: { size: "10Gi", storageClass: "fast" },
    tablespaces: [
      { name: "hot", owner: { name: "app" }, storage: { size: "5Gi" } },
      { name: "slow", temporary: true, storage: { size: "50Gi", storageClass: "slow" } },
    ],
    postgresql: {
      shared_preload_libraries: ["vchord.so"],
      extensions: [
        {
          name: "vchord",
          image: { reference: "ghcr.io/tensorchord/vchord-scratch:pg18-v1.0.0" },
          dynamic_library_path: ["lib"],
          extension_control_path: ["share"],
        },
      ],
    },
    managed: {
      roles: [
        {
          name: "reader",
          login: true,
          inRoles: ["pg_monitor"],
          passwordSecret: { name: "reader" },
          connectionLimit: 5,
          validUntil: "2027-01-01T00:00:00Z",
        },
      ],
    },
    bootstrap: {
      initdb: {
        database: "immich",
        owner: "immich",
        secret: { name: "immich" },
        localeProvider: "builtin",
        builtinLocale: "C.UTF-8",
        walSegmentSize: 64,
        postInitSQL: ["SELECT 1"],
      },
    },
    monitoring: { customQueriesConfigMap: [{ name: "queries", key: "q.yaml" }], disableDefaultQueries: true },
    resources: { requests: { cpu: "500m", memory: "1Gi" }, limits: { memory: "2Gi" } },
  },
  poolers: { web: { poolMode: "session", instances: 2, parameters: { max_client_conn: "500" } } },
  monitoring: {
    podMonitor: true,
    prometheusRule: true,
    labels: { release: "kube-prometheus-stack" },
    alertLabels: { team: "databases" },
    runbookUrl: "https://wiki.example.net/backups",
  },
  snapshots: {
    className: "csi",
    online: true,
    cron: "0 5 * * *",
    tablespaceClassNames: { hot: "csi" },
    ownerReference: "backup",
    keepDays: 7,
  },
  objectives: { rpoSeconds: 60 },
  metadata: { labels: { team: "db" }, annotations: { "example.net/team": "db" } },
};

function common(over: Partial<ClusterBackupArgs> = {}): ClusterBackupArgs {
  return {
    namespace: "default",
    repositories: {
      repo1: { at: bucket("one").target, keepDays: 14 },
      repo2: { at: bucket("two", { existing: true }).target, keepFullCount: 4 },
    },
    schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6", ownerReference: "cluster" } },
    silence: SILENCE,
    ...over,
  };
}

/** Programs whose objects are sent, by title. */
const PROGRAMS: Readonly<Record<string, () => void>> = {
  "the plugin": () => void new CnpgPlugin("pgbackstop", { operatorNamespace: "default" }),
  "Dalibo's plugin on the operator's side": () =>
    void new CnpgPlugin("dalibo", { operatorNamespace: "default", engine: "pgbackrest" }),
  "a cluster with everything": () => void new CnpgCluster("orders", { ...common(), ...WIDE, storageGiB: 50 }),
  "an import": () =>
    void new CnpgCluster("imported", {
      ...common({ schedules: { full: { cron: "0 3 * * 0", suspend: true, immediate: false, target: "primary" } } }),
      storageGiB: 5,
      spec: {
        bootstrap: {
          initdb: {
            import: { type: "monolith", databases: ["*"], roles: ["*"], source: { externalCluster: "old" } },
          },
        },
        externalClusters: [
          {
            name: "old",
            connectionParameters: { host: "old", user: "postgres", dbname: "postgres", sslmode: "require" },
            password: { name: "old", key: "password" },
          },
        ],
      },
    }),
  "a restore to a moment from a named repository": () =>
    void new CnpgRestore("restored", {
      ...common(),
      storageGiB: 50,
      source: {
        stanza: "old",
        repositories: { repo1: { at: bucket("source").target } },
        target: { time: "2026-11-20T06:40:59Z", timeline: "latest", exclusive: true },
        database: "app",
        owner: "app",
      },
    }),
  "Dalibo's plugin": () =>
    void new CnpgCluster("dalibo", {
      ...common({ engine: "pgbackrest", schedules: { full: { cron: "0 3 * * *" } } }),
      storageGiB: 5,
    }),
  "Dalibo's plugin before its version 0.0.1": () =>
    void new CnpgCluster("older", {
      ...common({
        engine: "pgbackrest",
        stanzaKind: "Repository",
        repositories: {
          repo1: { at: bucket("one", { cipher: false }).target, keepDays: 14 },
          repo2: { at: bucket("two", { cipher: false }).target, keepFullCount: 4 },
        },
        schedules: { full: { cron: "0 3 * * *" } },
      }),
      storageGiB: 5,
    }),
  "Barman's plugin": () =>
    void new CnpgCluster("barman", {
      ...common({
        engine: "barman-cloud",
        repositories: {
          repo1: {
            at: bucket("barman", { cipher: false }).target,
            keepDays: 30,
            ca: { name: "minio-ca", key: "ca.crt" },
          },
        },
        schedules: { full: { cron: "0 3 * * *" } },
      }),
      storageGiB: 5,
    }),
  "the monitoring of two clusters and a host": () => {
    const orders = new CnpgCluster("watched", { ...common(), storageGiB: 5 });
    const again = new CnpgBackup("watched", {
      ...common(),
      clusterName: "other",
      instances: 2,
      operatorVersion: "1.30.0",
    });
    const host = JSON.stringify(topologyOf(resolveHost("watched", settings(), "/usr/bin/node")));
    void new Monitoring("backups", {
      topologies: [orders.topology, again.topology, host],
      kubernetes: {
        namespace: "default",
        ruleLabels: { release: "kube-prometheus-stack" },
        dashboardAnnotations: { grafana_folder: "PostgreSQL" },
      },
    });
  },
  "snapshots alone": () =>
    void new CnpgCluster("snapshots", {
      ...common({
        engine: "volumeSnapshot",
        repositories: {},
        schedules: { full: { cron: "0 3 * * *" } },
        snapshots: { className: "csi" },
      }),
      storageGiB: 5,
    }),
};

describe("a real API server", async () => {
  const parts = await apiServerParts("objects of the components for CloudNativePG");
  if (parts === null) return;
  let server: ApiServer;
  beforeAll(async () => {
    server = await startApiServer(parts, "components");
    await server.define(
      ["cnpg", "barman-cloud", "prometheus"],
      [...daliboDefinitions("stanza"), ...daliboDefinitions("repository")],
    );
  });
  afterAll(() => server?.stop());

  // claim: docs/kubernetes/new-cluster.md: a real API server accepts every object, in strict mode (Dalibo's definitions
  //   are doubles)
  test.each(Object.keys(PROGRAMS))("accepts the objects of %s", async (what) => {
    const objects = await renderedObjects(PROGRAMS[what] ?? (() => undefined));
    expect(objects.length).toBeGreaterThan(0);
    expect(await server.kubectl.refusal(objects)).toBe("");
    await server.kubectl.apply(objects);
  });

  // claim: docs/kubernetes/new-cluster.md: a real API server…
  test("accepts patches of existing Clusters, and no unknown field", async () => {
    const objects = await renderedObjects(
      () =>
        void new CnpgBackup("legacy", {
          ...common({ monitoring: { podMonitor: true, prometheusRule: true } }),
          clusterName: "legacy",
          instances: 2,
          operatorVersion: "1.30.0",
        }),
    );
    expect(objects.map((object) => (object as { kind: string }).kind)).toEqual(
      expect.arrayContaining(["PodMonitor", "PrometheusRule"]),
    );
    const cluster = {
      apiVersion: "postgresql.cnpg.io/v1",
      kind: "Cluster",
      metadata: { name: "legacy", namespace: "default" },
    };
    await server.kubectl.apply([{ ...cluster, spec: { instances: 2, storage: { size: "1Gi" } } }]);
    expect(await server.kubectl.refusal(objects)).toBe("");
    for (const object of objects) {
      const wrong = { ...object, specc: {} };
      expect(await server.kubectl.refusal([wrong])).toMatch(/specc/);
    }
  });
});
