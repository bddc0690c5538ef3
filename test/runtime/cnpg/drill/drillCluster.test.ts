import { describe, expect, test } from "vitest";
import { at, type JsonObject } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { readThrowAway, throwAwayCluster, type ThrowAwayRequest } from "../../../../runtime/cnpg/drill/drillCluster";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";

const backup = { label: "20261121-010000F" } as BackupInfoEntry;
const REQUEST: ThrowAwayRequest = {
  name: "orders-drill-weekly",
  drillId: "20261121-051347Z-1a2b3c4d",
  job: { name: "orders-drill-weekly-29", uid: "job-uid" },
  untilMs: Date.parse("2026-11-21T06:00:00Z"),
  repoIndex: 2,
  picked: { backup, type: "default" },
  newestWal: "0000000100000000000000A1",
  major: 18,
  targetTimeline: "3",
  resources: {},
};
const PARAMETERS = {
  stanza: "orders",
  configMap: "orders-pgbackstop",
  bundle: "runtime",
  image: "node",
  repo1Secret: "one",
};

function production(spec: JsonObject = {}): JsonObject {
  return {
    metadata: { name: "orders", namespace: "db", uid: "1" },
    spec: {
      instances: 3,
      imageName: "postgresql:18",
      storage: { size: "10Gi", storageClass: "fast" },
      plugins: [{ name: "pgbackstop", isWALArchiver: true, parameters: PARAMETERS }],
      ...spec,
    },
  };
}
const specOf = (of: JsonObject, request: Partial<ThrowAwayRequest> = {}): JsonObject =>
  throwAwayCluster(of, { ...REQUEST, ...request })["spec"] as JsonObject;

describe("the throw-away Cluster of a drill", () => {
  test("is recovered from one backup of one repository, and knows no newer WAL", () => {
    const spec = specOf(production());
    expect(spec["bootstrap"]).toEqual({
      recovery: { source: "source", recoveryTarget: { backupID: backup.label, targetTLI: "3" } },
    });
    expect(spec["externalClusters"]).toEqual([
      {
        name: "source",
        plugin: { name: "pgbackstop", parameters: { ...PARAMETERS, repo: "2", newestWal: REQUEST.newestWal } },
      },
    ]);
    const target = (picked: ThrowAwayRequest["picked"]): unknown =>
      at(specOf(production(), { picked }), "bootstrap", "recovery", "recoveryTarget");
    expect(target({ backup, type: "immediate" })).toEqual({ backupID: backup.label, targetImmediate: true });
    expect(target({ backup, type: "lsn", target: "0/3000060" })).toEqual({
      backupID: backup.label,
      targetTLI: "3",
      targetLSN: "0/3000060",
    });
  });

  test("archives to no repository, has one instance, and copies only named settings", () => {
    const secretive = {
      backup: { target: "primary" },
      managed: { roles: [{ name: "app" }] },
      monitoring: { customQueriesConfigMap: [] },
      env: [{ name: "HTTP_PROXY", value: "http://proxy" }],
      priorityClassName: "important",
      replica: { enabled: false, source: "other" },
      certificates: { serverCASecret: "own" },
      whatever: "comes next",
    };
    expect(Object.keys(specOf(production(secretive))).sort()).toEqual(Object.keys(specOf(production())).sort());
    const spec = specOf(production(secretive));
    expect(spec).toMatchObject({
      instances: 1,
      enablePDB: false,
      enableSuperuserAccess: true,
      imageName: "postgresql:18",
    });
    for (const name of ["plugins", "backup", "managed", "monitoring", "env"]) expect(spec[name]).toBeUndefined();
  });

  test("has production's volumes, tablespaces, extensions, scheduling and size", () => {
    const spec = specOf(
      production({
        walStorage: { size: "5Gi" },
        tablespaces: [{ name: "hot", owner: { name: "app" }, storage: { size: "1Gi" } }],
        postgresql: { extensions: [{ name: "vector" }] },
        affinity: { nodeSelector: { disk: "ssd" }, enablePodAntiAffinity: true, additionalPodAntiAffinity: {} },
        resources: { requests: { cpu: "2", memory: "8Gi" }, limits: { memory: "8Gi" } },
      }),
      { resources: { "requests.cpu": "500m", "limits.cpu": "1" } },
    );
    expect(spec).toMatchObject({
      storage: { size: "10Gi", storageClass: "fast" },
      walStorage: { size: "5Gi" },
      tablespaces: [{ name: "hot", storage: { size: "1Gi" } }],
      affinity: { nodeSelector: { disk: "ssd" } },
      resources: { requests: { cpu: "500m", memory: "8Gi" }, limits: { cpu: "1", memory: "8Gi" } },
    });
    expect(at(spec, "tablespaces", "0", "owner")).toBeUndefined();
    expect(at(spec, "affinity", "enablePodAntiAffinity")).toBeUndefined();
    expect(at(spec, "postgresql", "extensions")).toEqual([{ name: "vector" }]);
  });

  // claim: docs/kubernetes/drills.md: the throw-away Cluster starts no background work (the manifest; no such extension
  //   ran)
  test("starts no worker, no scheduler and no replication", () => {
    const postgresql = {
      shared_preload_libraries: ["pg_stat_statements", "pg_cron", "$libdir/pg_net", "timescaledb"],
      parameters: {
        max_connections: "500",
        "cron.database_name": "app",
        shared_buffers: "1GB",
        max_logical_replication_workers: "9",
      },
    };
    const spec = specOf(production({ postgresql }));
    expect(at(spec, "postgresql", "shared_preload_libraries")).toEqual(["pg_stat_statements", "timescaledb"]);
    expect(at(spec, "postgresql", "parameters")).toEqual({
      max_connections: "500",
      shared_buffers: "1GB",
      autovacuum: "off",
      event_triggers: "off",
      jit: "off",
      max_logical_replication_workers: "0",
      max_parallel_workers: "0",
      max_worker_processes: "0",
      "timescaledb.max_background_workers": "0",
    });
    expect(at(specOf(production(), { major: 16 }), "postgresql", "parameters")).not.toHaveProperty("event_triggers");
  });

  test("belongs to its Job, and names it for the next drill", () => {
    const made = throwAwayCluster(production(), REQUEST);
    expect(at(made, "metadata", "ownerReferences")).toEqual([
      {
        apiVersion: "batch/v1",
        kind: "Job",
        name: "orders-drill-weekly-29",
        uid: "job-uid",
        controller: false,
        blockOwnerDeletion: false,
      },
    ]);
    const stored = { ...made, metadata: { ...(made["metadata"] as JsonObject), uid: "made-uid" } };
    expect(readThrowAway(stored)).toEqual({
      uid: "made-uid",
      of: "orders",
      jobUid: "job-uid",
      untilMs: REQUEST.untilMs,
    });
    expect(readThrowAway(production())).toBeNull();
    expect(
      at(throwAwayCluster(production(), { ...REQUEST, job: null }), "metadata", "ownerReferences"),
    ).toBeUndefined();
  });

  test("is refused for a Cluster that archives by another engine", () => {
    expect(() => throwAwayCluster(production({ plugins: [{ name: "barman" }] }), REQUEST)).toThrow(
      "does not archive with pgbackstop",
    );
  });
});
