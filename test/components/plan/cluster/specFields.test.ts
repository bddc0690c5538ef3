import { expect, test } from "vitest";
import { checkArguments } from "../../../../components/plan/arguments/checkArguments";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { checkClusterPlan } from "../../../../components/plan/cluster/planCluster";
import { likeOf, settleSpec, withLike } from "../../../../components/plan/cluster/specFields";
import { findingText } from "../../../../components/plan/findings/findings";
import { DeferredRead, view } from "../../../../components/plan/model/deferred";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { topologyOf } from "../../../../components/plan/topology/topology";
import { checkSpec, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { BARMAN } from "../../../../components/plan/rules/manifests/plugins";
import { recoverySource } from "../../../../components/render/kubernetes/source";
import { PLUGIN_NAME } from "../../../../runtime/cnpg/names";
import { context, declaredCluster, objectOf, resolved } from "../../clusters";
import { BUCKET } from "../../plans";

const IMAGE = "registry.example.net/postgresql:17.4@sha256:0123";

/** A field of `spec`, and the arguments that say the same. */
const SAME: readonly (readonly [string, object, object])[] = [
  ["instances", { instances: 1 }, { instances: 1 }],
  ["an image", { imageName: IMAGE }, { image: IMAGE }],
  ["the target of backups", { backup: { target: "primary" } }, { backupTarget: "primary" }],
  ["a volume's size", { storage: { size: "60Gi" } }, { storageGiB: 60 }],
  ["a volume's class", { storage: { storageClass: "fast" } }, { storageClass: "fast" }],
  ["parameters", { postgresql: { parameters: { work_mem: "8MB" } } }, { parameters: { work_mem: "8MB" } }],
  ["TLS of the metrics", { monitoring: { tls: { enabled: true } } }, { monitoring: { tls: true } }],
];

test.each(SAME)("%s by `spec` counts as the argument, and both are an error", (_what, spec, settings) => {
  const unsaid = Object.fromEntries(Object.keys(settings).map((name) => [name, undefined]));
  const [final, wanted] = [{ ...unsaid, spec }, settings].map((each) => {
    const plan = resolved(each);
    const cluster = objectOf(renderCluster(context(each), null), "cluster");
    return [topologyOf(plan.database), checkClusterPlan(plan, false), cluster];
  });
  expect(final).toEqual(wanted);
  expect(settleSpec({ ...settings, spec }).saidTwice).toHaveLength(1);
});

test.each<[string, Partial<DeclaredCluster>, string]>([
  [
    "a field",
    { spec: { instances: 3 } },
    "PB200 spec.instances: instances says this field, too; leave one of the two out",
  ],
  [
    "a parameter with a dot",
    { parameters: { "pgaudit.log": "all" }, spec: { postgresql: { parameters: { "pgaudit.log": "ddl" } } } },
    "PB200 spec.postgresql.parameters.pgaudit.log: parameters.pgaudit.log says",
  ],
  [
    "the application's Secret of a restore",
    {
      bootstrap: { recovery: { stanza: "old", repositories: { repo1: BUCKET }, ownerSecret: "a" } },
      spec: { bootstrap: { recovery: { secret: { name: "b" } } } },
    },
    "PB200 spec.bootstrap.recovery.secret.name: bootstrap.recovery.ownerSecret says",
  ],
  ["a promotion", { replica: { enabled: true }, spec: { replica: { enabled: false } } }, "PB200 spec.replica.enabled"],
])("what `spec` and an argument say is a finding: %s", (_what, declared, text) => {
  const findings = checkClusterPlan(resolved(declared), false);
  expect(findings.map(findingText)).toContainEqual(expect.stringContaining(text));
});

test("a field that comes later is said, too, and spoils no other", () => {
  const marker = unknownMarker(0);
  const spec = { imageName: marker, postgresql: { parameters: { work_mem: marker } } };
  const { saidTwice, settings } = settleSpec(view(declaredCluster({ spec, image: IMAGE })));
  expect(saidTwice).toEqual([{ path: "spec.imageName", argument: "image" }]);
  expect(() => settings.image).toThrow(DeferredRead);
  expect(() => settings.parameters?.["work_mem"]).toThrow(DeferredRead);
  expect(settings.storageGiB).toBe(50);
});

test("a timeout of the archive has its argument", () => {
  const spec = { postgresql: { parameters: { archive_timeout: "1h" } } };
  expect(checkClusterPlan(resolved({ spec }), false).map(({ code }) => code)).toContain("PB113");
});

test.each<[string, object, boolean]>([
  ["follows another cluster", { replica: { enabled: true, source: "other" } }, true],
  ["is promoted", { replica: { enabled: false, source: "other" } }, false],
  ["is the primary of a distributed topology", { replica: { self: "a", primary: "a", source: "b" } }, false],
  ["is another one there", { replica: { self: "a", primary: "b", source: "b" } }, true],
  ["is another one there, by its own name", { replica: { primary: "b", source: "b" } }, true],
  ["is the primary there, by its own name", { replica: { primary: "orders", source: "b" } }, false],
])("a Cluster that %s by `spec`", (_what, spec, isReplica) => {
  expect(resolved({ spec }).database.isReplica ?? false).toBe(isReplica);
});

test.each<[string, object, readonly string[]]>([
  ["a label", { affinity: { topologyKey: "zone" } }, []],
  ["another plugin", { plugins: [{ name: "own.example.net" }] }, []],
  ["the same archiver", { plugins: [{ name: PLUGIN_NAME, isWALArchiver: true }] }, []],
  ["a late value", { plugins: [{ name: PLUGIN_NAME, enabled: unknownMarker(0) }] }, []],
  ["a disabled archiver", { plugins: [{ name: PLUGIN_NAME, enabled: false }] }, ["PB201"]],
  ["a plugin that archives no more", { plugins: [{ name: PLUGIN_NAME, isWALArchiver: false }] }, ["PB201"]],
  ["a second archiver", { plugins: [{ name: "own.example.net", isWALArchiver: true }] }, ["PB196"]],
  ["another configuration", { plugins: [{ name: PLUGIN_NAME, parameters: { configMap: "other" } }] }, ["PB200"]],
  ["another Secret", { plugins: [{ name: PLUGIN_NAME, parameters: { repo1Secret: "other" } }] }, ["PB200"]],
  ["other resources", { plugins: [{ name: PLUGIN_NAME, parameters: { cpuRequest: "1", fullEveryDays: "3" } }] }, []],
  ["the operator's own archiver", { backup: { barmanObjectStore: { destinationPath: "s3://b" } } }, ["PB196"]],
])("the archiver beside %s by `spec`", (_what, spec, codes) => {
  expect(checkSpec(context({ spec }), null).map(({ code }) => code)).toEqual(codes);
});

test("another source of a restore is a finding", () => {
  const recovery = { stanza: "old", repositories: { repo1: BUCKET } };
  const textsOf = (spec: object): string[] => {
    const declared = { bootstrap: { recovery }, spec };
    const { source } = resolved(declared);
    const made = context(declared);
    const from = source === null ? null : recoverySource(made, source);
    return checkSpec(made, from).map(({ code, path }) => `${code} ${path}`);
  };
  const elsewhere = (parameters: object): object => ({
    externalClusters: [{ name: "source", plugin: { parameters } }],
  });
  expect(textsOf(elsewhere({ stanza: "other" }))).toEqual([
    "PB200 spec.externalClusters.source.plugin.parameters.stanza",
  ]);
  expect(textsOf(elsewhere({ image: "mirror.example.net/node" }))).toEqual([]);
  expect(textsOf({ bootstrap: { recovery: { source: "other" } } })).toEqual(["PB200 spec.bootstrap.recovery.source"]);
});

test("another server name of Barman sends WAL elsewhere", () => {
  const plugins = [{ name: BARMAN, parameters: { serverName: "other" } }];
  const declared = {
    engine: "barman-cloud",
    schedules: { full: { cron: "0 3 * * 0" } },
    repositories: { repo1: BUCKET },
  };
  const findings = checkSpec(context({ ...declared, spec: { plugins } }), null);
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual([
    `PB200 spec.plugins.${BARMAN}.parameters.serverName`,
  ]);
});

test("a copy has what it needs to start, in either form, and what it says itself counts first", () => {
  const catalog = { apiGroup: "postgresql.cnpg.io", kind: "ImageCatalog", name: "own", major: 17 };
  const of = (declared: Partial<DeclaredCluster>): object =>
    likeOf(settleSpec({ namespace: "a", repositories: {}, ...declared }).settings);
  const like = of({
    instances: 3,
    parameters: { work_mem: "8MB" },
    spec: {
      imageName: IMAGE,
      storage: { size: "5Gi", storageClass: "fast" },
      walStorage: { size: "1Gi" },
      affinity: { topologyKey: "zone" },
      postgresql: { shared_preload_libraries: ["a"], pg_hba: ["b"] },
    },
  });
  expect(like).toEqual({
    image: IMAGE,
    parameters: { work_mem: "8MB" },
    storageClass: "fast",
    storageGiB: 5,
    spec: { walStorage: { size: "1Gi" }, postgresql: { shared_preload_libraries: ["a"] } },
  });
  const copied = of({ spec: { imageCatalogRef: catalog } });
  expect(copied).toEqual({ spec: { imageCatalogRef: catalog, postgresql: {} } });

  const copyOf = (own: object, from: object = like): object => {
    const {
      namespace: _namespace,
      repositories: _repositories,
      ...rest
    } = withLike({
      namespace: "b",
      repositories: {},
      like: from,
      ...own,
    });
    expect(settleSpec(rest).saidTwice).toEqual([]);
    return rest;
  };
  expect(copyOf({})).toEqual(like);
  expect(
    copyOf({ storageGiB: 9, parameters: { max_connections: "9" }, spec: { walStorage: { size: "2Gi" } } }),
  ).toEqual({
    ...like,
    storageGiB: 9,
    parameters: { work_mem: "8MB", max_connections: "9" },
    spec: { walStorage: { size: "2Gi" }, postgresql: { shared_preload_libraries: ["a"] } },
  });
  const bySpec = { imageName: "own:17", storage: { size: "7Gi" }, postgresql: { parameters: { work_mem: "9MB" } } };
  expect(copyOf({ spec: bySpec })).toEqual({
    parameters: {},
    storageClass: "fast",
    spec: {
      ...bySpec,
      walStorage: { size: "1Gi" },
      postgresql: { ...bySpec.postgresql, shared_preload_libraries: ["a"] },
    },
  });
  expect(copyOf({ image: "own:17" }, copied)).toMatchObject({ image: "own:17", spec: { postgresql: {} } });
  expect(copyOf({ image: "own:17" }, copied)).not.toHaveProperty("spec.imageCatalogRef");
  expect(copyOf({ spec: { imageCatalogRef: catalog } })).not.toHaveProperty("image");
});

const GIVEN = { namespace: "db", repositories: { repo1: { at: { name: "a" } } }, storageGiB: 1 };

test.each([
  [
    { postgresql: { parameters: { max_connections: 400 } } },
    "spec.postgresql.parameters.max_connections",
    "it is the number 400, and must be text",
    'write it in quotes: "400"',
  ],
  [
    { resources: { limits: { cpu: {} } } },
    "spec.resources.limits.cpu",
    "it is a section, and must be a number or text",
    "",
  ],
  [
    { enablePDB: "no" },
    "spec.enablePDB",
    'it is the text "no", and must be true or false',
    "write false without quotes",
  ],
  [{ affinity: null }, "spec.affinity", "it is empty", "give it a value, or leave it out"],
])("%j is refused", (own, path, message, hint) => {
  expect(checkArguments("CnpgClusterArgs", { ...GIVEN, spec: own })).toMatchObject([{ path, message, hint }]);
});

test.each([
  [
    { afinity: {} },
    "spec.afinity",
    "spec has no field 'afinity' in CloudNativePG 1.28 to 1.30",
    "did you mean affinity?",
  ],
  [
    { brandNewThing: 1 },
    "spec.brandNewThing",
    "spec has no field 'brandNewThing' in CloudNativePG 1.28 to 1.30",
    "silence this for a field of a newer operator",
  ],
  [
    { affinity: { tolerations: [{ efect: "NoSchedule" }] } },
    "spec.affinity.tolerations[0].efect",
    "affinity.tolerations[0] has no field 'efect' in CloudNativePG 1.28 to 1.30",
    "did you mean effect?",
  ],
])("%j passes with a warning", (spec, path, message, hint) => {
  expect(checkArguments("CnpgClusterArgs", { ...GIVEN, spec })).toEqual([]);
  const findings = checkClusterPlan(resolved({ spec }), false);
  expect(findings).toMatchObject([{ code: "PB192", severity: "warning", path, message, hint }]);
  expect(objectOf(renderCluster(context({ spec }), null), "cluster")["spec"]).toMatchObject(spec);
});

test("quantities are numbers or text", () => {
  const own = { resources: { limits: { cpu: 1, memory: "2Gi" } }, storage: { pvcTemplate: { accessModes: ["a"] } } };
  expect(checkArguments("CnpgClusterArgs", { ...GIVEN, spec: own })).toEqual([]);
});
