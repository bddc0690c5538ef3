/** The objects of a CloudNativePG cluster: their content does not depend on the order of arguments. */
import * as fc from "../../../harness/properties";
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { planCluster } from "../../../../components/plan/cluster/planCluster";
import { renderAttachment, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { mergeOver } from "../../../../components/render/kubernetes/objects";
import { declaredCluster, context, objectOf } from "../../clusters";

const CONF = `# Written by pgbackstop: changes made here by hand are undone by the next update. Secrets are in conf.d.`;

test("a hibernated cluster has its schedules suspended, and no update waits for its first backup", () => {
  const DECLARED = {
    dumps: { cron: "0 1 * * *" },
    staleCheck: {},
    drills: { weekly: { cron: "0 6 * * 0" } },
  } as object;
  const shown = (annotations: Record<string, string>): string[] =>
    renderCluster(context({ ...DECLARED, annotations }), null).flatMap(({ manifest, role }) => {
      const { immediate, suspend } = (manifest["spec"] ?? {}) as { immediate?: boolean; suspend?: boolean };
      if (!["ScheduledBackup", "CronJob"].includes(manifest.kind)) return role === "full" ? [role] : [];
      return [`${role}${suspend === true ? " suspended" : ""}${immediate === true ? " immediate" : ""}`];
    });
  expect(shown({})).toEqual(["schedule-full immediate", "schedule-incr", "drill-weekly", "dump", "stale-check"]);
  expect(shown({ "cnpg.io/hibernation": "on" })).toEqual([
    "schedule-full suspended",
    "schedule-incr suspended",
    "drill-weekly",
    "dump suspended",
    "stale-check suspended",
  ]);
  const minutesOf = (annotations: Record<string, string>): number => {
    const { firstBackupTimeoutMinutes: _, ...declared } = declaredCluster({ annotations });
    return planCluster("orders", declared).definition.firstBackupTimeoutMinutes;
  };
  expect([minutesOf({}), minutesOf({ "cnpg.io/hibernation": "on" })]).toEqual([60, 0]);
});

test("a cluster with two repositories: the complete objects", () => {
  const objects = renderCluster(context(), null);
  expect(objects.map(({ role, manifest }) => `${role} ${manifest.kind} ${manifest.metadata.name}`)).toEqual([
    "config ConfigMap orders-pgbackstop",
    "cluster Cluster orders",
    "schedule-full ScheduledBackup orders-full",
    "schedule-incr ScheduledBackup orders-incr",
  ]);
  expect(objectOf(objects, "cluster")).toEqual({
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Cluster",
    metadata: { name: "orders", namespace: "orders", labels: { "app.kubernetes.io/managed-by": "pgbackstop" } },
    spec: {
      instances: 3,
      imageName: expect.stringMatching(
        /^ghcr\.io\/cloudnative-pg\/postgresql:18\.\d+-\d{12}-standard-trixie@sha256:[0-9a-f]{64}$/,
      ) as string,
      enableSuperuserAccess: false,
      storage: { size: "50Gi" },
      plugins: [
        {
          name: "pgbackstop",
          isWALArchiver: true,
          parameters: {
            bundle: "orders-runtime-0123456789ab",
            configMap: "orders-pgbackstop",
            cpuRequest: "100m",
            image: "docker.io/library/node:24-slim@sha256:0123",
            memoryLimit: "448Mi",
            memoryRequest: "448Mi",
            repo1Secret: "orders-repo1",
            repo2SecretKeys:
              "ACCESS_KEY_ID=cnpg-secret/r2-access-key-id,ACCESS_SECRET_KEY=cnpg-secret/r2-secret-access-key,ENCRYPTION_PASS=orders-repo2/ENCRYPTION_PASS",
            stanza: "orders",
          },
        },
      ],
      backup: { target: "prefer-standby" },
    },
  });
  expect(objectOf(objects, "schedule-full")).toEqual({
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "ScheduledBackup",
    metadata: { name: "orders-full", namespace: "orders", labels: { "app.kubernetes.io/managed-by": "pgbackstop" } },
    spec: {
      schedule: "0 0 3 * * 0",
      cluster: { name: "orders" },
      method: "plugin",
      pluginConfiguration: { name: "pgbackstop", parameters: { type: "full" } },
      target: "prefer-standby",
      immediate: true,
      backupOwnerReference: "self",
    },
  });
  expect(objectOf(objects, "schedule-incr")["spec"]).toMatchObject({ schedule: "0 0 3 * * 1-6", immediate: false });
});

test("the configuration is a host's, with a pod's paths", () => {
  const data = objectOf(renderCluster(context(), null), "config")["data"] as Record<string, string>;
  const conf = data["pgbackrest.conf"] ?? "";
  expect(conf.startsWith(CONF)).toBe(true);
  expect(conf).toContain(
    "[orders]\npg1-path=/var/lib/postgresql/data/pgdata\npg1-port=5432\npg1-socket-path=/controller/run\npg1-user=postgres\n",
  );
  for (const line of [
    "repo1-cipher-type=aes-256-cbc",
    "repo1-retention-full=4",
    "repo2-retention-full=90",
    "repo2-retention-full-type=time",
    // Half a host's: the memory of a sidecar is limited.
    "repo1-storage-upload-chunk-size=8MiB",
    "repo2-storage-upload-chunk-size=8MiB",
  ])
    expect(conf).toContain(`${line}\n`);
  expect(conf).toContain("spool-path=/var/lib/postgresql/data/pgbackstop\n");
  expect(JSON.parse(data["pgbackstop.json"] ?? "")).toMatchObject({ version: 1, acknowledge: "all" });
  expect(conf).toContain("process-max=1\n");
  const two = objectOf(renderCluster(context({ processMax: 2 }), null), "config")["data"] as Record<string, string>;
  expect(two["pgbackrest.conf"]).toContain("process-max=2\n");
  const resourcesOf = (over: Partial<DeclaredCluster>): (string | undefined)[] => {
    const { plugins } = objectOf(renderCluster(context(over), null), "cluster")["spec"] as {
      plugins: { parameters: Record<string, string> }[];
    };
    return ["memoryRequest", "memoryLimit", "cpuRequest", "cpuLimit"].map((name) => plugins[0]?.parameters[name]);
  };
  expect(resourcesOf({})).toEqual(["448Mi", "448Mi", "100m", undefined]);
  expect(resourcesOf({ processMax: 2 })).toEqual(["608Mi", "608Mi", "100m", undefined]);
  expect(resourcesOf({ processMax: 2, sidecar: { memory: "1Gi" } })).toEqual(["1Gi", "1Gi", "100m", undefined]);
  expect(resourcesOf({ sidecar: { memoryLimit: "2Gi" } })).toEqual(["2Gi", "2Gi", "100m", undefined]);
  expect(resourcesOf({ sidecar: { memory: "1Gi", memoryLimit: "2Gi", cpu: "1", cpuLimit: "2" } })).toEqual([
    "1Gi",
    "2Gi",
    "1",
    "2",
  ]);
  const separate = objectOf(renderCluster(context({ walStorage: { sizeGiB: 10 } }), null), "config")["data"] as Record<
    string,
    string
  >;
  expect(separate["pgbackrest.conf"]).toContain("spool-path=/var/lib/postgresql/wal/pgbackstop\n");
});

const WIDE: Partial<DeclaredCluster> = {
  walStorage: { sizeGiB: 10, storageClass: "fast" },
  tablespaces: { hot: { sizeGiB: 5, owner: "app" }, archive: { sizeGiB: 50, storageClass: "slow", temporary: false } },
  parameters: { shared_buffers: "256MB", max_connections: "200", work_mem: "8MB" },
  sharedPreloadLibraries: ["vchord.so"],
  extensions: {
    vchord: { image: "ghcr.io/x/vchord:18" },
    pgvector: { image: "ghcr.io/x/pgvector:18", libraryPath: ["lib"] },
    // Its image is in a catalog.
    postgis: { libraryPath: ["lib"] },
  },
  roles: {
    reader: { login: true, inRoles: ["pg_monitor"], passwordSecret: "reader" },
    app: { login: true, createdb: true },
  },
  poolers: {
    web: { poolMode: "session", instances: 2, parameters: { max_client_conn: "500", default_pool_size: "100" } },
  },
  bootstrap: {
    initdb: {
      database: "immich",
      owner: "immich",
      ownerSecret: "immich",
      postInitApplicationSql: ["CREATE EXTENSION vchord"],
    },
  },
  monitoring: { podMonitor: true, customQueries: [{ name: "queries", key: "q.yaml" }] },
  resources: { cpu: "500m", memory: "1Gi", memoryLimit: "2Gi" },
  objectives: { rpoSeconds: 60 },
  labels: { team: "db", app: "x" },
};

test("a cluster's parts besides its backups", () => {
  const objects = renderCluster(context(WIDE), null);
  expect(JSON.stringify(objectOf(objects, "cluster"))).not.toContain('"image":{}');
  expect(objectOf(objects, "cluster")["spec"]).toMatchObject({
    walStorage: { size: "10Gi", storageClass: "fast" },
    tablespaces: [
      { name: "archive", temporary: false, storage: { size: "50Gi", storageClass: "slow" } },
      { name: "hot", owner: { name: "app" }, storage: { size: "5Gi" } },
    ],
    postgresql: {
      parameters: {
        archive_timeout: expect.stringMatching(/^\d+s$/) as string,
        max_connections: "200",
        shared_buffers: "256MB",
        work_mem: "8MB",
      },
      shared_preload_libraries: ["vchord.so"],
      extensions: [
        { name: "pgvector", image: { reference: "ghcr.io/x/pgvector:18" }, dynamic_library_path: ["lib"] },
        { name: "postgis", dynamic_library_path: ["lib"] },
        { name: "vchord", image: { reference: "ghcr.io/x/vchord:18" } },
      ],
    },
    managed: {
      roles: [
        { name: "app", login: true, createdb: true },
        { name: "reader", login: true, inRoles: ["pg_monitor"], passwordSecret: { name: "reader" } },
      ],
    },
    bootstrap: {
      initdb: {
        database: "immich",
        owner: "immich",
        secret: { name: "immich" },
        postInitApplicationSQL: ["CREATE EXTENSION vchord"],
      },
    },
    monitoring: { customQueriesConfigMap: [{ name: "queries", key: "q.yaml" }] },
    resources: { requests: { cpu: "500m", memory: "1Gi" }, limits: { memory: "2Gi" } },
  });
  expect(objectOf(objects, "pooler-web")).toMatchObject({
    kind: "Pooler",
    metadata: { name: "orders-web" },
    spec: {
      type: "rw",
      instances: 2,
      pgbouncer: { poolMode: "session", parameters: { default_pool_size: "100", max_client_conn: "500" } },
    },
  });
  expect(objectOf(objects, "pod-monitor")).toMatchObject({
    kind: "PodMonitor",
    spec: { podMetricsEndpoints: [{ port: "metrics" }] },
  });
});

test("pg_dump imports databases of a running server", () => {
  const bootstrap: DeclaredCluster["bootstrap"] = {
    import: {
      type: "monolith",
      host: "old.example.net",
      databases: ["*"],
      roles: ["*"],
      passwordSecret: { name: "old", key: "password" },
    },
  };
  expect(objectOf(renderCluster(context({ bootstrap }), null), "cluster")["spec"]).toMatchObject({
    bootstrap: {
      initdb: { import: { type: "monolith", databases: ["*"], roles: ["*"], source: { externalCluster: "source" } } },
    },
    externalClusters: [
      {
        name: "source",
        connectionParameters: { host: "old.example.net", user: "postgres", dbname: "postgres" },
        password: { name: "old", key: "password" },
      },
    ],
  });
});

test("overrides are applied to the Cluster: merged, replaced, removed", () => {
  const spec = { affinity: { topologyKey: "zone" }, enableSuperuserAccess: null, storage: { size: "60Gi" } };
  const over = { storageGiB: undefined, overrides: { cluster: { spec } } };
  const cluster = objectOf(renderCluster(context(over), null), "cluster");
  expect(cluster["spec"]).toMatchObject({ affinity: { topologyKey: "zone" }, storage: { size: "60Gi" }, instances: 3 });
  expect(cluster["spec"]).not.toHaveProperty("enableSuperuserAccess");
  const roles = [{ name: "a", login: true }, { name: "b" }];
  expect(mergeOver(roles, [{ name: "a", createdb: true }, { name: "c" }])).toEqual([
    { name: "a", login: true, createdb: true },
    { name: "b" },
    { name: "c" },
  ]);
  expect(mergeOver(roles, [{ name: "a", $patch: "delete" }])).toEqual([{ name: "b" }]);
  expect(mergeOver(roles, [{ $patch: "replace" }, { name: "c" }])).toEqual([{ name: "c" }]);
  expect(mergeOver(undefined, [{ $patch: "replace" }, { name: "c" }])).toEqual([{ name: "c" }]);
  expect(mergeOver({ a: [1, 2], b: { c: 1 } }, { a: [3], b: { d: 2 } })).toEqual({ a: [3], b: { c: 1, d: 2 } });
});

test("keys of one ConfigMap, and paths of one volume, are items of their own", () => {
  const refs = [{ name: "m", key: "a" }];
  const monitoring = { customQueriesConfigMap: [{ name: "m", key: "b" }] };
  const over = { monitoring: { customQueries: refs }, spec: { monitoring } };
  const cluster = objectOf(renderCluster(context(over), null), "cluster");
  expect(cluster["spec"]).toMatchObject({
    monitoring: { customQueriesConfigMap: [...refs, ...monitoring.customQueriesConfigMap] },
  });
  const both = [...refs, { name: "m", key: "b" }];
  expect(mergeOver(both, [{ name: "m", key: "a", $patch: "delete" }])).toEqual([{ name: "m", key: "b" }]);
  expect(mergeOver(both, [{ name: "m", $patch: "delete" }])).toEqual([]);
  const mounts = [{ name: "data", mountPath: "/a" }];
  expect(mergeOver(mounts, [{ name: "data", mountPath: "/b" }])).toHaveLength(2);
});

test("what `spec` adds to a list of keys stays beside what overrides add", () => {
  const refsOf = (key: string): object => ({ monitoring: { customQueriesConfigMap: [{ name: "m", key }] } });
  const over = { spec: refsOf("a"), overrides: { cluster: { spec: refsOf("b") } } };
  const { spec } = objectOf(renderCluster(context(over), null), "cluster");
  expect(spec).toMatchObject({
    monitoring: {
      customQueriesConfigMap: [
        { name: "m", key: "a" },
        { name: "m", key: "b" },
      ],
    },
  });
});

/** The value with every object's keys in another order. */
function shuffled(value: unknown, order: () => number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, order));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => ({ key, item: shuffled(item, order), rank: order() }));
  return Object.fromEntries(entries.sort((left, right) => left.rank - right.rank).map(({ item, key }) => [key, item]));
}

// claim: docs/kubernetes/new-cluster.md: equal arguments give equal bytes; six fields run like the five
test("1,000 renders with shuffled arguments are the same bytes", () => {
  const file = declaredCluster(WIDE);
  const expected = JSON.stringify(renderCluster(context(file), null));
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (numbers) => {
      const order = (): number => numbers.next().value as number;
      expect(JSON.stringify(renderCluster(context(shuffled(file, order) as DeclaredCluster), null))).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

// claim: docs/streaming.md: switching streaming on changes one ConfigMap of a cluster; a replica cluster promises no
//   seconds
test("streaming changes the configuration alone, which restarts nothing", () => {
  const objectives = { rpoSeconds: 30 };
  const plain = renderCluster(context(), null);
  const streamed = renderCluster(context({ objectives, streaming: {} }), null);
  const settings = (objects: typeof plain): object =>
    JSON.parse((objectOf(objects, "config")["data"] as Record<string, string>)["pgbackstop.json"] ?? "") as object;
  expect(settings(streamed)).toEqual({ ...settings(plain), stream: { intervalSeconds: 5 } });
  expect(settings(plain)).not.toHaveProperty("stream");
  // The objective does not shorten archive_timeout: streaming meets it.
  expect(streamed.filter(({ role }) => role !== "config")).toEqual(plain.filter(({ role }) => role !== "config"));
});

test("commits that wait change the configuration and one field of the Cluster", () => {
  const streaming = { synchronous: "named", repositories: ["repo2"], standbys: 1, groupMilliseconds: 20 } as const;
  const plain = renderCluster(context({ streaming: {} }), null);
  const waiting = renderCluster(context({ streaming }), null);
  const data = objectOf(waiting, "config")["data"] as Record<string, string>;
  expect(JSON.parse(data["pgbackstop.json"] ?? "")).toMatchObject({
    stream: { intervalSeconds: 5, synchronous: ["repo2"], groupMilliseconds: 20 },
  });
  const synchronous = {
    method: "first",
    number: 2,
    maxStandbyNamesFromCluster: 1,
    standbyNamesPre: ["pgbackstop"],
    dataDurability: "required",
  };
  const { spec, ...rest } = objectOf(plain, "cluster");
  expect(objectOf(waiting, "cluster")).toEqual({ ...rest, spec: { ...(spec as object), postgresql: { synchronous } } });
  const attached = (over: object): unknown =>
    objectOf(renderAttachment(context({ streaming, ...over })), "attachment")["spec"];
  expect(attached({})).toMatchObject({ postgresql: { synchronous } });
  expect(attached({ archiveTimeoutSeconds: 60 })).toMatchObject({
    postgresql: { parameters: { archive_timeout: "60s" }, synchronous },
  });
});

test("commits that wait for the user's own standbys too keep the rest of what he overrides", () => {
  const postgresql = {
    synchronous: { method: "first", number: 1, failoverQuorum: true },
    pg_hba: ["local all all trust"],
  };
  const over = { streaming: { synchronous: "all" }, overrides: { cluster: { spec: { postgresql } } } } as const;
  expect(objectOf(renderCluster(context(over), null), "cluster")["spec"]).toMatchObject({
    postgresql: {
      pg_hba: ["local all all trust"],
      synchronous: {
        method: "first",
        number: 2,
        maxStandbyNamesFromCluster: 1,
        standbyNamesPre: ["pgbackstop"],
        failoverQuorum: true,
      },
    },
  });
});
