/** The objects of a CloudNativePG cluster: their content does not depend on the order of arguments. */
import * as fc from "../../../harness/properties";
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { planCluster } from "../../../../components/plan/cluster/planCluster";
import { renderAttachment, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { mergeOver } from "../../../../components/plan/model/mergeOver";
import { declaredCluster, context, objectOf } from "../../clusters";

const CONF = `# Written by pgbackstop: changes made here by hand are undone by the next update. Secrets are in conf.d.`;

test("a hibernated cluster has its schedules suspended, and no update waits for its first backup", () => {
  const DECLARED = {
    dumps: { cron: "0 1 * * *" },
    staleCheck: {},
    drills: { weekly: { cron: "0 6 * * 0" } },
  } as object;
  const shown = (annotations: Record<string, string>): string[] =>
    renderCluster(context({ ...DECLARED, metadata: { annotations } }), null).flatMap(({ manifest, role }) => {
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
    const { firstBackupTimeoutMinutes: _, ...declared } = declaredCluster({ metadata: { annotations } });
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
  const separate = objectOf(renderCluster(context({ spec: { walStorage: { size: "10Gi" } } }), null), "config")[
    "data"
  ] as Record<string, string>;
  expect(separate["pgbackrest.conf"]).toContain("spool-path=/var/lib/postgresql/wal/pgbackstop\n");
});

const WIDE: Partial<DeclaredCluster> = {
  parameters: { shared_buffers: "256MB", max_connections: "200" },
  poolers: {
    web: {
      poolMode: "session",
      instances: 2,
      parameters: { max_client_conn: "500", default_pool_size: "100" },
      metadata: { labels: { team: "shop" }, annotations: { own: "1" } },
      spec: { pgbouncer: { paused: true }, template: { spec: { containers: [{ name: "pgbouncer", image: "b:1" }] } } },
    },
  },
  monitoring: { podMonitor: true },
  objectives: { rpoSeconds: 60 },
  metadata: { labels: { team: "db", app: "x" }, annotations: { own: "2" } },
  spec: {
    walStorage: { size: "10Gi", storageClass: "fast" },
    storage: { resizeInUseVolumes: false },
    enablePDB: false,
    postgresql: {
      parameters: { work_mem: "8MB" },
      pg_hba: ["hostssl all all all cert"],
      shared_preload_libraries: ["vchord.so"],
    },
    monitoring: { customQueriesConfigMap: [{ name: "queries", key: "q.yaml" }] },
    plugins: [{ name: "own.example.net" }],
  },
};

test("a cluster's parts besides its backups", () => {
  const objects = renderCluster(context(WIDE), null);
  const { metadata, spec } = objectOf(objects, "cluster");
  expect(metadata).toMatchObject({
    labels: { "app.kubernetes.io/managed-by": "pgbackstop", team: "db", app: "x" },
    annotations: { own: "2" },
  });
  expect(spec).toMatchObject({
    instances: 3,
    enablePDB: false,
    storage: { size: "50Gi", resizeInUseVolumes: false },
    walStorage: { size: "10Gi", storageClass: "fast" },
    postgresql: {
      parameters: {
        archive_timeout: expect.stringMatching(/^\d+s$/) as string,
        max_connections: "200",
        shared_buffers: "256MB",
        work_mem: "8MB",
      },
      pg_hba: ["hostssl all all all cert"],
      shared_preload_libraries: ["vchord.so"],
    },
    monitoring: { customQueriesConfigMap: [{ name: "queries", key: "q.yaml" }] },
    plugins: [{ name: "pgbackstop", isWALArchiver: true }, { name: "own.example.net" }],
  });
  expect(objectOf(objects, "pooler-web")).toMatchObject({
    kind: "Pooler",
    metadata: {
      name: "orders-web",
      labels: { "app.kubernetes.io/managed-by": "pgbackstop", team: "shop" },
      annotations: { own: "1" },
    },
    spec: {
      type: "rw",
      instances: 2,
      pgbouncer: {
        poolMode: "session",
        parameters: { default_pool_size: "100", max_client_conn: "500" },
        paused: true,
      },
      template: { spec: { containers: [{ name: "pgbouncer", image: "b:1" }] } },
    },
  });
  expect(objectOf(objects, "pod-monitor")).toMatchObject({
    kind: "PodMonitor",
    spec: { podMetricsEndpoints: [{ port: "metrics" }] },
  });
});

test("objects merge by their fields, and lists by the names of their items", () => {
  const roles = [{ name: "a", login: true }, { name: "b" }];
  expect(mergeOver(roles, [{ name: "a", createdb: true }, { name: "c" }])).toEqual([
    { name: "a", login: true, createdb: true },
    { name: "b" },
    { name: "c" },
  ]);
  expect(mergeOver({ a: [1, 2], b: { c: 1 } }, { a: [3], b: { d: 2 } })).toEqual({ a: [3], b: { c: 1, d: 2 } });
  const refs = ["a", "b"].map((key) => ({ name: "m", key }));
  expect(mergeOver([refs[0]], [refs[1]])).toEqual(refs);
  const mounts = [{ name: "data", mountPath: "/a" }];
  expect(mergeOver(mounts, [{ name: "data", mountPath: "/b" }])).toHaveLength(2);
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

test("commits that wait for the user's own standbys too keep the rest of what he says", () => {
  const postgresql = {
    synchronous: { method: "first", number: 1, failoverQuorum: true },
    pg_hba: ["local all all trust"],
  };
  const over = { streaming: { synchronous: "all" }, spec: { postgresql } } as const;
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
