import { expect, test } from "vitest";
import { checkClusterPlan } from "../../../../components/plan/cluster/planCluster";
import { settleOverrides } from "../../../../components/plan/cluster/overrides";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { topologyOf } from "../../../../components/plan/topology/topology";
import { checkOverrides, renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { context, declaredCluster, objectOf, resolved } from "../../clusters";

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
    { walStorage: { size: "1Ti", storageClass: "fast" } },
    { walStorage: { sizeGiB: 1024, storageClass: "fast" } },
  ],
  [
    "libraries and parameters",
    { postgresql: { shared_preload_libraries: ["pg_cron"], parameters: { work_mem: "8MB" } } },
    { sharedPreloadLibraries: ["pg_cron"], parameters: { work_mem: "8MB" } },
  ],
];

test.each(SAME)("an override of %s counts as the argument", (_what, spec, settings) => {
  const names = ["instances", "postgresVersion", "storageGiB"] as const;
  // What a program leaves out, an override may say.
  const base = Object.fromEntries(names.map((name) => [name, undefined]));
  const [byOverride, byArgument] = [
    { ...base, ...over(spec) },
    { ...base, ...settings },
  ].map((each) => {
    const own = { storageGiB: 50, postgresVersion: 18, ...given(each) };
    const isSaid = (name: string): boolean => name in settings && "overrides" in each;
    return Object.fromEntries(Object.entries(own).map(([name, value]) => [name, isSaid(name) ? undefined : value]));
  });
  const plans = [byOverride, byArgument].map((each) => resolved(each));
  const [one, other] = plans.map((plan) => [topologyOf(plan.database), checkClusterPlan(plan, false)]);
  expect(one).toEqual(other);
  const [final, wanted] = [byOverride, byArgument].map((each) =>
    objectOf(renderCluster(context(each), null), "cluster"),
  );
  expect(final).toEqual(wanted);
});

function given(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

test.each<[string, object, string]>([
  ["another number", { instances: 1 }, "overrides.cluster.spec.instances: it is 1, and instances is 3"],
  ["another size", { storage: { size: "500Mi" } }, "overrides.cluster.spec.storage.size: it is 0.48828125, and"],
  ["a removed field", { storage: null, instances: null }, "overrides.cluster.spec.instances: null removes what"],
])("%s than the argument's is a finding", (_what, spec, text) => {
  const findings = checkClusterPlan(resolved(over(spec)), false);
  expect(findings.filter(({ code }) => code === "PB200").map(({ message, path }) => `${path}: ${message}`)).toEqual([
    expect.stringContaining(text),
  ]);
});

test("another name of the Cluster is a finding", () => {
  const { contradictions } = settleOverrides({ overrides: { cluster: { metadata: { name: "other" } } } });
  expect(contradictions.map(({ path }) => path)).toEqual(["overrides.cluster.metadata.name"]);
});

test("the same value twice is none, and neither is a late one", () => {
  const marker = unknownMarker(0);
  const spec = { instances: 3, imageName: marker, postgresql: { parameters: { work_mem: marker } } };
  const { contradictions, settings } = settleOverrides(declaredCluster({ ...over(spec), image: IMAGE }));
  expect([contradictions, settings.image, settings.parameters]).toEqual([[], IMAGE, undefined]);
});

test("a timeout of the archive has its argument", () => {
  const spec = { postgresql: { parameters: { archive_timeout: "1h" } } };
  expect(checkClusterPlan(resolved(over(spec)), false).map(({ code }) => code)).toContain("PB112");
});

test.each<[string, object, boolean]>([
  ["follows another cluster", { replica: { enabled: true, source: "other" } }, true],
  ["is promoted", { replica: { enabled: false, source: "other" } }, false],
  ["is the primary of a distributed topology", { replica: { self: "a", primary: "a", source: "b" } }, false],
  ["is another one there", { replica: { self: "a", primary: "b", source: "b" } }, true],
])("a Cluster that %s by an override", (_what, spec, isReplica) => {
  expect(resolved(over(spec)).database.isReplica ?? false).toBe(isReplica);
});

const OURS = "pgbackstop.dev";

test.each<[string, object, readonly string[]]>([
  ["a label", { affinity: { topologyKey: "zone" } }, []],
  ["another plugin", { plugins: [{ name: "own.example.net" }] }, []],
  ["the same archiver", { plugins: [{ name: OURS, isWALArchiver: true }] }, []],
  ["a late value", { plugins: [{ name: OURS, enabled: unknownMarker(0) }] }, []],
  ["a disabled archiver", { plugins: [{ name: OURS, enabled: false }] }, ["PB201"]],
  ["a plugin that archives no more", { plugins: [{ name: OURS, isWALArchiver: false }] }, ["PB201"]],
  ["a removed plugin", { plugins: [{ name: OURS, $patch: "delete" }] }, ["PB201"]],
  ["other plugins instead", { plugins: [{ $patch: "replace" }, { name: "own.example.net" }] }, ["PB201"]],
  ["no plugins", { plugins: null }, ["PB201"]],
  ["a second archiver", { plugins: [{ name: "own.example.net", isWALArchiver: true }] }, ["PB196"]],
  ["the operator's own archiver", { backup: { barmanObjectStore: { destinationPath: "s3://b" } } }, ["PB196"]],
])("the archiver beside an override of %s", (_what, spec, codes) => {
  expect(checkOverrides(context(over(spec)), null).map(({ code }) => code)).toEqual(codes);
});
