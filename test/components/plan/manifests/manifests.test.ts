/** Kubernetes objects that others wrote: each published mistake has a code, and correct objects have none. */
import { expect, test } from "vitest";
import { checkManifests } from "../../../../components/plan/rules/manifests";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import * as seeds from "./seeds";

type Json = Record<string, unknown>;

const UNKNOWN = unknownMarker(0);
const BARMAN = "barman-cloud.cloudnative-pg.io";
const DALIBO = "pgbackrest.dalibo.com";

function codes(...objects: Json[]): string[] {
  return checkManifests(objects).map((result) => `${result.code} ${result.path}`);
}

function object(kind: string, name: string, spec: Json, apiVersion = "postgresql.cnpg.io/v1"): Json {
  return { apiVersion, kind, metadata: { name, namespace: "db" }, spec };
}

function scheduled(over: Json = {}, name = "daily"): Json {
  const plugin = { method: "plugin", pluginConfiguration: { name: BARMAN } };
  return object("ScheduledBackup", name, { schedule: "0 0 3 * * *", cluster: { name: "orders" }, ...plugin, ...over });
}

function barmanCluster(over: Json = {}, name = "orders"): Json {
  const plugins = [{ name: BARMAN, isWALArchiver: true, parameters: { barmanObjectName: "store" } }];
  return object("Cluster", name, { instances: 3, plugins, ...over });
}

function store(configuration: Json, over: Json = {}, name = "store"): Json {
  const base = { destinationPath: "s3://backups/orders", endpointURL: "https://minio.lab:9000" };
  return object(
    "ObjectStore",
    name,
    { configuration: { ...base, ...configuration }, retentionPolicy: "30d", ...over },
    "barmancloud.cnpg.io/v1",
  );
}

const B2 = {
  bucket: "orders-b2",
  endpoint: "s3.us-east-005.backblazeb2.com",
  region: "us-east-005",
  repoPath: "/orders",
  verifyTLS: true,
  retentionPolicy: { full: 14, fullType: "time" },
  cipherConfig: { encryptionPass: { name: "orders", key: "ENCRYPTION_PASS" } },
};
const R2 = { ...B2, bucket: "orders-r2", endpoint: "0123.r2.cloudflarestorage.com", region: "auto" };

function stanza(repositories: Json[], over: Json = {}, name = "orders"): Json {
  return object(
    "Stanza",
    name,
    { stanzaConfiguration: { name: "orders", s3Repositories: repositories, ...over } },
    "pgbackrest.dalibo.com/v1",
  );
}

const DALIBO_CLUSTER = barmanCluster({
  plugins: [{ name: DALIBO, isWALArchiver: true, parameters: { stanzaRef: "orders" } }],
});

function daliboBackup(parameters: Json, over: Json = {}, name = "daily"): Json {
  return scheduled({ target: "primary", pluginConfiguration: { name: DALIBO, parameters }, ...over }, name);
}

test("correct objects have no finding", () => {
  expect(codes(barmanCluster(), store({}), scheduled())).toEqual([]);
  const next = daliboBackup({ selectedRepository: "2" }, { schedule: "0 0 4 * * *" }, "daily-r2");
  expect(codes(DALIBO_CLUSTER, stanza([B2, R2]), daliboBackup({ selectedRepository: "1" }), next)).toEqual([]);
  expect(codes({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "pgbackrest" } }, {}, { kind: 3 })).toEqual([]);
});

test("both ScheduledBackups were writing to B2, the bucket at R2 was empty", () => {
  const names = ["immich-daily-b2", "immich-daily-r2"];
  expect(codes(...seeds.TWO_OBJECT_STORES)).toEqual(
    names.map((name) => `PB043 ScheduledBackup database/${name} spec.pluginConfiguration.parameters.barmanObjectName`),
  );
});

test("a Service named pgbackrest", () => {
  expect(codes(seeds.SERVICE)).toEqual(["PB052 Service database/pgbackrest metadata.name"]);
  expect(checkManifests([seeds.SERVICE])[0]?.message).toContain("PGBACKREST_PORT");
  expect(codes({ ...seeds.SERVICE, metadata: { name: "cnpg-pgbackrest" } })).toEqual([]);
});

test("both plugins wait for one leader lease", () => {
  const field = "Deployment database/pgbackrest-controller spec.template.spec.containers[0]";
  const images = ["PB085 ".concat(field, ".image"), "PB085 ".concat(field, ".env.SIDECAR_IMAGE")];
  expect(codes(seeds.CONTROLLER)).toEqual(images);
  expect(codes(seeds.BARMAN_CONTROLLER, seeds.CONTROLLER)).toEqual(
    [...images, "PB086 Deployment database/pgbackrest-controller"].map((text) => text.trim()),
  );
  const stopped = { ...seeds.BARMAN_CONTROLLER, spec: { ...(seeds.BARMAN_CONTROLLER["spec"] as Json), replicas: 0 } };
  expect(codes(stopped, seeds.CONTROLLER)).toEqual(images);
});

test("backups on a replica end with 056: the target must be the primary", () => {
  expect(codes(seeds.FROM_A_STANDBY)).toEqual([
    "PB070 ScheduledBackup database/immich18-daily-b2 spec.schedule",
    "PB050 ScheduledBackup database/immich18-daily-b2 spec.target",
  ]);
});

test("the parameter is selectedRepository, not repo", () => {
  expect(codes(daliboBackup({ repo: "2" }))).toEqual([
    "PB091 ScheduledBackup db/daily spec.pluginConfiguration.parameters.repo",
  ]);
});

test("WAL goes to both repositories, the full backup only to the first", () => {
  const result = codes(seeds.REPOSITORY, seeds.CLUSTER, seeds.FIRST_BACKUP);
  expect(result).toContain("PB028 Repository database/immich18-repository s3Repositories[1]");
  expect(
    codes(seeds.REPOSITORY, seeds.CLUSTER, ...seeds.FINAL_BACKUPS).filter((text) => text.startsWith("PB028")),
  ).toEqual([]);
});

test("the set-up's final configuration still has mistakes", () => {
  expect(codes(seeds.REPOSITORY, seeds.CLUSTER, ...seeds.FINAL_BACKUPS)).toEqual([
    "PB089 Repository database/immich18-repository",
    "PB079 Repository database/immich18-repository spec.repoConfiguration.archive.pushQueueMax",
    "PB007 Repository database/immich18-repository spec.repoConfiguration.s3Repositories[0].cipherConfig",
    "PB007 Repository database/immich18-repository spec.repoConfiguration.s3Repositories[1].cipherConfig",
    "PB074 Cluster database/immich18 spec.plugins[0]",
    "PB070 ScheduledBackup database/immich18-daily-b2 spec.schedule",
    "PB070 ScheduledBackup database/immich18-daily-r2 spec.schedule",
  ]);
});

test("five fields run every hour: 24 backups a day instead of one", () => {
  const [result] = checkManifests([seeds.FINAL_BACKUPS[0]]);
  expect(result?.message).toContain('"0 3 * * *" has five fields');
  expect(result?.message).toContain("runs 24 times a day, at minute 3 of every hour");
  expect(result?.hint).toBe('put the seconds first: "0 0 3 * * *"');
});

test("an ExternalSecret of a removed version", () => {
  expect(codes(seeds.EXTERNAL_SECRET)).toEqual(["PB087 ExternalSecret database/cnpg-secret apiVersion"]);
  expect(codes({ ...seeds.EXTERNAL_SECRET, apiVersion: "external-secrets.io/v1" })).toEqual([]);
});

test("Barman over MinIO: hourly by mistake, and kept for ever", () => {
  expect(codes(...seeds.MINIO)).toEqual([
    "PB006 ObjectStore app/app-minio-store spec.retentionPolicy",
    "PB070 ScheduledBackup app/app-db-backup spec.schedule",
  ]);
});

test.each<[string, Json[], string[]]>([
  ["seven fields", [scheduled({ schedule: "0 0 3 * * * 2027" })], ["PB011 ScheduledBackup db/daily spec.schedule"]],
  [
    "weekday 7, which the operator does not know",
    [scheduled({ schedule: "0 0 3 * * 7" })],
    ["PB011 ScheduledBackup db/daily spec.schedule"],
  ],
  [
    "a range that ends at weekday 7",
    [scheduled({ schedule: "0 0 3 * * 5-7" })],
    ["PB011 ScheduledBackup db/daily spec.schedule"],
  ],
  ["every seventh day", [scheduled({ schedule: "0 0 3 * * */7" })], []],
  ["an invalid hour", [scheduled({ schedule: "0 0 25 * * *" })], ["PB011 ScheduledBackup db/daily spec.schedule"]],
  ["a word as schedule", [scheduled({ schedule: "@daily" })], []],
  [
    "a method left out is the deprecated one",
    [scheduled({ method: undefined })],
    ["PB071 ScheduledBackup db/daily spec.method"],
  ],
  [
    "the deprecated method",
    [scheduled({ method: "barmanObjectStore" })],
    ["PB071 ScheduledBackup db/daily spec.method"],
  ],
  ["a suspended schedule", [scheduled({ suspend: true })], ["PB092 ScheduledBackup db/daily spec.suspend"]],
  [
    "a cold backup of the primary",
    [scheduled({ method: "volumeSnapshot", online: false, target: "primary" })],
    ["PB093 ScheduledBackup db/daily spec.online"],
  ],
  [
    "two immediate backups",
    [scheduled({ immediate: true }), scheduled({ immediate: true, schedule: "0 0 4 * * *" }, "second")],
    ["PB072 ScheduledBackup db/second spec.immediate"],
  ],
  [
    "two schedules in one minute",
    [scheduled(), scheduled({ schedule: "30 0 */3 * * *" }, "second")],
    ["PB027 ScheduledBackup db/second spec.schedule"],
  ],
  ["two clusters in one minute", [scheduled(), scheduled({ cluster: { name: "events" } }, "second")], []],
  [
    "two archivers",
    [
      barmanCluster({
        plugins: [BARMAN, DALIBO].map((name) => ({
          name,
          isWALArchiver: true,
          parameters: { barmanObjectName: "a", stanzaRef: "b" },
        })),
      }),
    ],
    ["PB073 Cluster db/orders spec.plugins", "PB012 Cluster db/orders spec.plugins"],
  ],
  [
    "a plugin and the in-tree archiver",
    [barmanCluster({ backup: { barmanObjectStore: {} } }), scheduled()],
    ["PB073 Cluster db/orders spec.backup.barmanObjectStore", "PB071 Cluster db/orders spec.backup.barmanObjectStore"],
  ],
  [
    "a plugin without a destination",
    [barmanCluster({ plugins: [{ name: BARMAN, isWALArchiver: true }] }), scheduled()],
    ["PB075 Cluster db/orders spec.plugins[0].parameters"],
  ],
  ["no backup at all", [barmanCluster({ plugins: [] })], ["PB090 Cluster db/orders spec"]],
  ["WAL archive alone is useless", [barmanCluster()], ["PB012 Cluster db/orders spec.plugins"]],
  [
    "snapshots without an archive",
    [barmanCluster({ plugins: [], backup: { volumeSnapshot: { className: "csi" } } })],
    ["PB095 Cluster db/orders spec.backup.volumeSnapshot"],
  ],
  ["a cluster scaled to 0", [barmanCluster({ instances: 0 }), scheduled()], ["PB096 Cluster db/orders spec.instances"]],
  [
    "the retention of the Cluster",
    [barmanCluster({ backup: { retentionPolicy: "30d" } }), scheduled()],
    ["PB071 Cluster db/orders spec.backup.retentionPolicy"],
  ],
  [
    "an endpoint over http",
    [store({ endpointURL: "http://minio:9000" })],
    ["PB076 ObjectStore db/store spec.configuration.endpointURL"],
  ],
  [
    "B2 behind Barman",
    [store({ endpointURL: "https://s3.us-east-005.backblazeb2.com" })],
    [
      "PB077 ObjectStore db/store spec.instanceSidecarConfiguration.env",
      "PB078 ObjectStore db/store spec.configuration",
    ],
  ],
  [
    "two stores on one path",
    [store({}), store({}, {}, "second")],
    ["PB008 ObjectStore db/second spec.configuration.destinationPath"],
  ],
  [
    "two clusters under one name in one store",
    [
      barmanCluster(),
      barmanCluster(
        {
          plugins: [
            { name: BARMAN, isWALArchiver: true, parameters: { barmanObjectName: "store", serverName: "orders" } },
          ],
        },
        "copy",
      ),
      scheduled(),
      scheduled({ cluster: { name: "copy" } }, "second"),
      store({}),
    ],
    ["PB008 ObjectStore db/store spec.configuration.destinationPath"],
  ],
  [
    "one bucket path twice",
    [stanza([B2, B2])],
    [
      "PB009 Stanza db/orders spec.stanzaConfiguration",
      "PB008 Stanza db/orders spec.stanzaConfiguration.s3Repositories[1]",
    ],
  ],
  ["one repository", [stanza([B2])], ["PB003 Stanza db/orders spec.stanzaConfiguration"]],
  [
    "unverified certificates",
    [stanza([{ ...B2, verifyTLS: undefined }, R2])],
    ["PB088 Stanza db/orders spec.stanzaConfiguration.s3Repositories[0].verifyTLS"],
  ],
  [
    "retention of 0",
    [stanza([{ ...B2, retentionPolicy: { full: 0 } }, R2])],
    ["PB005 Stanza db/orders spec.stanzaConfiguration.s3Repositories[0].retentionPolicy.full"],
  ],
  [
    "retention of one",
    [stanza([{ ...B2, retentionPolicy: { full: 1 } }, R2])],
    ["PB033 Stanza db/orders spec.stanzaConfiguration.s3Repositories[0].retentionPolicy.full"],
  ],
  [
    "no retention",
    [stanza([{ ...B2, retentionPolicy: undefined }, R2])],
    ["PB006 Stanza db/orders spec.stanzaConfiguration.s3Repositories[0].retentionPolicy"],
  ],
  ["R2 with the region of tools that know no other", [stanza([B2, { ...R2, region: "us-east-1" }])], []],
  [
    "a region of another endpoint",
    [stanza([{ ...B2, region: "auto" }, R2])],
    ["PB054 Stanza db/orders spec.stanzaConfiguration.s3Repositories[0].region"],
  ],
])("%s", (_what, objects, expected) => {
  expect(codes(...objects)).toEqual(expected);
});

test("unknown values have no finding", () => {
  expect(codes(scheduled({ schedule: UNKNOWN, suspend: UNKNOWN }), barmanCluster({ instances: UNKNOWN }))).toEqual([]);
  expect(
    codes(store({ destinationPath: UNKNOWN, endpointURL: UNKNOWN }), store({ destinationPath: UNKNOWN }, {}, "second")),
  ).toEqual([]);
  expect(codes(barmanCluster({ plugins: UNKNOWN }))).toEqual([]);
  const hidden = {
    ...B2,
    bucket: UNKNOWN,
    endpoint: UNKNOWN,
    region: UNKNOWN,
    verifyTLS: UNKNOWN,
    retentionPolicy: UNKNOWN,
  };
  expect(codes(stanza([hidden, hidden]))).toEqual([]);
});

test("objects without a shape do no harm", () => {
  for (const spec of [null, 3, [], { plugins: 3, schedule: {}, pluginConfiguration: [] }]) {
    for (const kind of ["Cluster", "ScheduledBackup"])
      expect(() => codes({ ...object(kind, "x", {}), spec })).not.toThrow();
    expect(() => codes({ ...stanza([]), spec }, { ...store({}), spec })).not.toThrow();
  }
});
