import { expect, test } from "vitest";
import { checkClusterPlan } from "../../../../components/plan/cluster/planCluster";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { settleItems } from "../../../../components/plan/cluster/overriddenItems";
import { settleOverrides } from "../../../../components/plan/cluster/overrides";
import { findingText } from "../../../../components/plan/findings/findings";
import { DeferredRead, view } from "../../../../components/plan/model/deferred";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { topologyOf } from "../../../../components/plan/topology/topology";
import { checkOverrides, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { BARMAN } from "../../../../components/plan/rules/manifests/plugins";
import { renderGitops } from "../../../../components/render/kubernetes/gitops";
import { recoverySource } from "../../../../components/render/kubernetes/source";
import { PLUGIN_NAME } from "../../../../runtime/cnpg/names";
import { context, declaredCluster, objectOf, resolved } from "../../clusters";
import { BUCKET } from "../../plans";

const IMAGE = "registry.example.net/postgresql:17.4@sha256:0123";

function over(spec: object): { readonly overrides: { readonly cluster: object } } {
  return { overrides: { cluster: { spec } } };
}

/** An override, and the arguments that say the same. */
const SAME: readonly (readonly [string, object, object])[] = [
  ["instances", { instances: 1 }, { instances: 1 }],
  ["an image", { imageName: IMAGE }, { image: IMAGE }],
  [
    "an image catalog",
    { imageCatalogRef: { kind: "ImageCatalog", name: "own", major: 17 } },
    { imageCatalog: { kind: "ImageCatalog", name: "own" }, postgresVersion: 17 },
  ],
  ["superuser access", { enableSuperuserAccess: true }, { superuserAccess: true }],
  ["the target of backups", { backup: { target: "primary" } }, { backupTarget: "primary" }],
  ["a volume's size", { storage: { size: "60Gi" } }, { storageGiB: 60 }],
  ["a volume's class", { storage: { storageClass: "fast" } }, { storageClass: "fast" }],
  [
    "a volume for WAL",
    { walStorage: { size: "1024Gi", storageClass: "fast" } },
    { walStorage: { sizeGiB: 1024, storageClass: "fast" } },
  ],
  [
    "libraries and parameters",
    { postgresql: { shared_preload_libraries: ["pg_cron"], parameters: { work_mem: "8MB" } } },
    { sharedPreloadLibraries: ["pg_cron"], parameters: { work_mem: "8MB" } },
  ],
];

test.each(SAME)("an override of %s counts as the argument", (_what, spec, settings) => {
  const unsaid = Object.fromEntries(Object.keys(settings).map((name) => [name, undefined]));
  const declared = [{ ...unsaid, ...over(spec) }, settings];
  const [final, wanted] = declared.map((each) => {
    const plan = resolved(each);
    const cluster = objectOf(renderCluster(context(each), null), "cluster");
    return [topologyOf(plan.database), checkClusterPlan(plan, false), cluster];
  });
  expect(final).toEqual(wanted);
});

test.each<[string, object, string]>([
  ["another number", { instances: 1 }, "PB200 overrides.cluster.spec.instances: it is 1, and instances is 3"],
  ["another size", { storage: { size: "500Mi" } }, "PB200 overrides.cluster.spec.storage.size: it is 0.48828125, and"],
  ["a removed field", { storage: null, instances: null }, "PB200 overrides.cluster.spec.instances: null removes what"],
])("%s than the argument's is a finding", (_what, spec, text) => {
  const findings = checkClusterPlan(resolved(over(spec)), false);
  expect(findings.map(findingText)).toContainEqual(expect.stringContaining(text));
});

test.each<[object, string, string, string]>([
  [
    { spec: { imageName: 17 } },
    "PB191 overrides.cluster.spec.imageName",
    "it is the number 17, and must be text",
    'write it in quotes: "17"',
  ],
  [
    { spec: { instances: "3" } },
    "PB191 overrides.cluster.spec.instances",
    'it is the text "3", and must be a number',
    "write 3 without quotes",
  ],
  [
    { spec: { postgresql: { parameters: { max_connections: 400 } } } },
    "PB191 overrides.cluster.spec.postgresql.parameters.max_connections",
    "it is the number 400, and must be text",
    'write it in quotes: "400"',
  ],
  [
    { spec: { plugins: { name: "x" } } },
    "PB191 overrides.cluster.spec.plugins",
    "it is a section, and must be a list",
    "write each value as an item of a list",
  ],
  [
    { spec: { backup: "primary" } },
    "PB191 overrides.cluster.spec.backup",
    'it is the text "primary", and must be a section with names',
    "",
  ],
  [{ spec: "x" }, "PB191 overrides.cluster.spec", 'it is the text "x", and must be a section with names', ""],
  [
    { sepc: {} },
    "PB190 overrides.cluster.sepc",
    "overrides.cluster has no field 'sepc'",
    "it takes apiVersion, kind, metadata, spec",
  ],
  [{ meta: {} }, "PB190 overrides.cluster.meta", "overrides.cluster has no field 'meta'", "did you mean metadata?"],
  [
    { spec: { postgresql: { synchronous: { number: "two" } } } },
    "PB191 overrides.cluster.spec.postgresql.synchronous.number",
    'it is the text "two", and must be a number',
    "write the number alone",
  ],
  [
    { metadata: { labels: { tier: 1 } } },
    "PB191 overrides.cluster.metadata.labels.tier",
    "it is the number 1, and must be text",
    'write it in quotes: "1"',
  ],
])("the override %j is refused on every road", (cluster, at, message, hint) => {
  const overrides = { cluster };
  const expected = [{ message, hint }];
  const findings = checkClusterPlan(resolved({ overrides }), false);
  expect(findings).toMatchObject(expected);
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual([at]);
  const file = { clusters: { orders: { namespace: "orders", storageGiB: 1, overrides } } };
  const { findings: rendered, manifests } = renderGitops(file, { sha256: "0".repeat(64), brotli: "" } as never, false);
  expect(rendered).toMatchObject(expected);
  expect(manifests).toEqual([]);
});

test("an override of a Pooler has its types, too", () => {
  const overrides = { poolers: { web: { spec: { instances: "2", template: null, brandNew: 1 } } } };
  const findings = checkClusterPlan(resolved({ poolers: { web: {} }, overrides }), false);
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual(["PB191 overrides.poolers.web.spec.instances"]);
});

test.each([
  { spec: { brandNew: { instances: "3" }, instances: null, plugins: [{ $patch: "replace" }] } },
  { spec: { imageName: unknownMarker(0), affinity: { tolerations: unknownMarker(1) } }, metadata: unknownMarker(2) },
  {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Cluster",
    spec: { managed: { roles: [{ name: "a", $patch: "delete" }] } },
  },
])("null, $patch, late values and fields of a newer operator are no wrong types: %j", (cluster) => {
  expect(resolved({ overrides: { cluster } }).definition.wrongOverrides).toEqual([]);
});

test("another name of the Cluster is a finding", () => {
  const { contradictions } = settleOverrides({ overrides: { cluster: { metadata: { name: "other" } } } });
  expect(contradictions.map(({ path }) => path)).toEqual(["overrides.cluster.metadata.name"]);
});

test.each<[string, Partial<DeclaredCluster>, string]>([
  [
    "a tablespace's size",
    { tablespaces: { logs: { sizeGiB: 1 } }, ...over({ tablespaces: [{ name: "logs", storage: { size: "2Gi" } }] }) },
    "PB200 overrides.cluster.spec.tablespaces.logs.storage.size: it is 2, and tablespaces.logs.sizeGiB is 1",
  ],
  [
    "an extension's image, by `spec`",
    {
      extensions: { v: { image: "v:1" } },
      spec: { postgresql: { extensions: [{ name: "v", image: { reference: "v:2" } }] } },
    },
    'PB200 spec.postgresql.extensions.v.image.reference: it is "v:2", and extensions.v.image is "v:1"',
  ],
  [
    "a role's Secret",
    {
      roles: { app: { passwordSecret: "a" } },
      spec: { managed: { roles: [{ name: "app", passwordSecret: { name: "b" } }] } },
    },
    'PB200 spec.managed.roles.app.passwordSecret.name: it is "b", and roles.app.passwordSecret is "a"',
  ],
  [
    "the application's Secret",
    { bootstrap: { initdb: { ownerSecret: "a" } }, spec: { bootstrap: { initdb: { secret: { name: "b" } } } } },
    'PB200 spec.bootstrap.initdb.secret.name: it is "b", and bootstrap.initdb.ownerSecret is "a"',
  ],
  [
    "a Pooler's name",
    { poolers: { web: {} }, overrides: { poolers: { web: { metadata: { name: "other" } } } } },
    "PB200 overrides.poolers.web.metadata.name: poolerHosts would name another Service",
  ],
])("another value of %s is a finding", (_what, declared, text) => {
  const findings = checkClusterPlan(resolved(declared), false);
  expect(findings.map(findingText)).toContainEqual(expect.stringContaining(text));
});

test("items are those of the arguments, with what overrides add, change and remove", () => {
  const tablespaces = { a: { sizeGiB: 1, owner: "app" }, b: { sizeGiB: 2 } };
  const itemsOf = (list: unknown): object | undefined =>
    settleItems(declaredCluster({ tablespaces, ...over({ tablespaces: list }) })).items.tablespaces;
  const added = { name: "c", storage: { size: "3Gi", storageClass: "fast" }, temporary: true };
  expect(itemsOf([added, { name: "b", $patch: "delete" }, { name: "a", owner: { name: null } }])).toEqual({
    a: { sizeGiB: 1 },
    c: { sizeGiB: 3, storageClass: "fast", temporary: true },
  });
  expect(itemsOf([{ $patch: "replace" }, { name: "b", storage: { size: "4Gi" } }])).toEqual({ b: { sizeGiB: 4 } });
  expect(itemsOf(null)).toEqual({});
  expect(itemsOf(undefined)).toBe(tablespaces);
  const deferred = view([{ name: "c", storage: { size: unknownMarker(0), storageClass: "fast" } }]);
  const { c } = itemsOf(deferred) as { c: { sizeGiB: number; storageClass: string } };
  expect(c.storageClass).toBe("fast");
  expect(() => c.sizeGiB).toThrow(DeferredRead);
});

test("the Cluster has the items in the order in which they were written", () => {
  const tablespaces = ["z", "y"].map((name) => ({ name, storage: { size: "1Gi" } }));
  const cluster = objectOf(
    renderCluster(context({ tablespaces: { x: { sizeGiB: 1 } }, spec: { tablespaces } }), null),
    "cluster",
  );
  const { tablespaces: made } = cluster["spec"] as { tablespaces: readonly { name: string }[] };
  expect(made.map(({ name }) => name)).toEqual(["x", "z", "y"]);
});

test("the same value twice contradicts nothing, and neither does a late one", () => {
  const marker = unknownMarker(0);
  const spec = { instances: 3, imageName: marker, postgresql: { parameters: { work_mem: marker } } };
  const declared = view(declaredCluster({ ...over(spec), image: IMAGE }));
  const { contradictions, settings } = settleOverrides(declared);
  expect(contradictions).toEqual([]);
  expect(() => settings.image).toThrow(DeferredRead);
  expect(() => settings.parameters?.["work_mem"]).toThrow(DeferredRead);
});

test("a timeout of the archive has its argument", () => {
  const spec = { postgresql: { parameters: { archive_timeout: "1h" } } };
  expect(checkClusterPlan(resolved(over(spec)), false).map(({ code }) => code)).toContain("PB113");
});

test.each<[string, object, boolean]>([
  ["follows another cluster", { replica: { enabled: true, source: "other" } }, true],
  ["is promoted", { replica: { enabled: false, source: "other" } }, false],
  ["is the primary of a distributed topology", { replica: { self: "a", primary: "a", source: "b" } }, false],
  ["is another one there", { replica: { self: "a", primary: "b", source: "b" } }, true],
  ["is another one there, by its own name", { replica: { primary: "b", source: "b" } }, true],
  ["is the primary there, by its own name", { replica: { primary: "orders", source: "b" } }, false],
])("a Cluster that %s by an override", (_what, spec, isReplica) => {
  expect(resolved(over(spec)).database.isReplica ?? false).toBe(isReplica);
});

test.each<[string, object, readonly string[]]>([
  ["a label", { affinity: { topologyKey: "zone" } }, []],
  ["another plugin", { plugins: [{ name: "own.example.net" }] }, []],
  ["the same archiver", { plugins: [{ name: PLUGIN_NAME, isWALArchiver: true }] }, []],
  ["a late value", { plugins: [{ name: PLUGIN_NAME, enabled: unknownMarker(0) }] }, []],
  ["a disabled archiver", { plugins: [{ name: PLUGIN_NAME, enabled: false }] }, ["PB201"]],
  ["a plugin that archives no more", { plugins: [{ name: PLUGIN_NAME, isWALArchiver: false }] }, ["PB201"]],
  ["a removed plugin", { plugins: [{ name: PLUGIN_NAME, $patch: "delete" }] }, ["PB201"]],
  ["other plugins instead", { plugins: [{ $patch: "replace" }, { name: "own.example.net" }] }, ["PB201"]],
  ["no plugins", { plugins: null }, ["PB201"]],
  ["a second archiver", { plugins: [{ name: "own.example.net", isWALArchiver: true }] }, ["PB196"]],
  ["another configuration", { plugins: [{ name: PLUGIN_NAME, parameters: { configMap: "other" } }] }, ["PB200"]],
  ["another Secret", { plugins: [{ name: PLUGIN_NAME, parameters: { repo1Secret: "other" } }] }, ["PB200"]],
  ["a removed stanza", { plugins: [{ name: PLUGIN_NAME, parameters: { stanza: null } }] }, ["PB200"]],
  ["other resources", { plugins: [{ name: PLUGIN_NAME, parameters: { cpuRequest: "1", fullEveryDays: "3" } }] }, []],
  ["the operator's own archiver", { backup: { barmanObjectStore: { destinationPath: "s3://b" } } }, ["PB196"]],
])("the archiver beside an override of %s", (_what, spec, codes) => {
  expect(checkOverrides(context(over(spec)), null).map(({ code }) => code)).toEqual(codes);
});

test("an override of the source of a restore is a finding, at the field that has it", () => {
  const recovery = { stanza: "old", repositories: { repo1: BUCKET } };
  const textsOf = (more: Partial<DeclaredCluster>): string[] => {
    const declared = { bootstrap: { recovery }, ...more };
    const { source } = resolved(declared);
    const made = context(declared);
    const from = source === null ? null : recoverySource(made, source);
    return checkOverrides(made, from).map(({ code, path }) => `${code} ${path}`);
  };
  const elsewhere = (parameters: object): object => ({
    externalClusters: [{ name: "source", plugin: { parameters } }],
  });
  expect(textsOf({ spec: elsewhere({ stanza: "other" }) })).toEqual([
    "PB200 spec.externalClusters.source.plugin.parameters.stanza",
  ]);
  expect(textsOf(over({ ...elsewhere({ image: "mirror.example.net/node" }) }))).toEqual([]);
  expect(textsOf(over({ externalClusters: null }))).toEqual([
    "PB200 overrides.cluster.spec.externalClusters.source.plugin",
  ]);
  expect(textsOf(over({ bootstrap: { recovery: { source: "other" } } }))).toEqual([
    "PB200 overrides.cluster.spec.bootstrap.recovery.source",
  ]);
});

test("an override of Barman's server name sends WAL elsewhere", () => {
  const plugins = [{ name: BARMAN, parameters: { serverName: "other" } }];
  const declared = {
    engine: "barman-cloud",
    schedules: { full: { cron: "0 3 * * 0" } },
    repositories: { repo1: BUCKET },
  };
  const findings = checkOverrides(context({ ...declared, spec: { plugins } }), null);
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual([
    `PB200 spec.plugins.${BARMAN}.parameters.serverName`,
  ]);
});
