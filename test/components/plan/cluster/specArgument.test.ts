/** The argument `spec` of a cluster and its overrides: one patch with the effect of both. */
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { checkArguments } from "../../../../components/plan/arguments/checkArguments";
import { withSpec } from "../../../../components/plan/cluster/specArgument";
import { checkClusterPlan, planCluster } from "../../../../components/plan/cluster/planCluster";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { mergeOver } from "../../../../components/render/kubernetes/objects";
import * as fc from "../../../harness/properties";
import { context, declaredCluster, objectOf } from "../../clusters";

const number = fc.nat(9);
const optional = { requiredKeys: [] };
const itemOf = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<object> =>
  fc.record({ name: fc.constantFrom("a", "b", "c"), v: value, w: value }, { requiredKeys: ["name"] });
const itemsOf = (item: fc.Arbitrary<object>): fc.Arbitrary<object[]> =>
  fc.uniqueArray(item, { selector: (each) => (each as { name: string }).name, maxLength: 3 });
const fields = <T>(value: fc.Arbitrary<T>, items: fc.Arbitrary<object[]>): object => ({
  text: value,
  one: fc.record({ b: value, c: value }, optional),
  list: items,
  texts: fc.array(number, { maxLength: 2 }),
});

/** As the component makes it: the objects that are merged exist. */
const rendered = fc.record({ ...fields(number, itemsOf(itemOf(number))) }, { requiredKeys: ["one"] } as object);
const ownFields = fc.record({ ...fields(number, itemsOf(itemOf(number))) }, optional);
const removed = fc.constantFrom(null, 1, 2, 3);
const items = itemsOf(
  fc.oneof(itemOf(number), fc.record({ name: fc.constantFrom("a", "b"), $patch: fc.constant("delete") })),
);
const replacing = itemsOf(itemOf(number)).map((given) => [{ $patch: "replace" }, ...given]);
const overrides = fc.record({ ...fields(removed, fc.oneof(items, replacing)) }, optional);

test("both in one patch give what one after the other gives", () => {
  fc.assert(
    fc.property(rendered, ownFields, overrides, (base, own, over) => {
      const { cluster } = withSpec({ spec: own, overrides: { cluster: { spec: over } } }).overrides;
      const inTurn = mergeOver(mergeOver({ spec: base }, { spec: own }), { spec: over });
      expect(mergeOver({ spec: base }, cluster)).toEqual(inTurn);
    }),
    { numRuns: 1000 },
  );
});

test("without it, settings stay as they are", () => {
  const settings = { overrides: { cluster: { metadata: { labels: { a: "b" } } } } };
  expect(withSpec(settings)).toBe(settings);
});

test("the Cluster has its fields over the arguments', and the overrides' over both", () => {
  const over = {
    spec: {
      postgresql: { parameters: { work_mem: "8MB" }, pg_hba: ["hostssl all all all cert"] },
      enablePDB: false,
      affinity: { topologyKey: "rack", podAntiAffinityType: "required" },
    },
    parameters: { shared_buffers: "1GB" },
    overrides: { cluster: { spec: { affinity: { topologyKey: "host" }, enableSuperuserAccess: null } } },
  };
  const { spec: made } = objectOf(renderCluster(context(over), null), "cluster");
  expect(made).toMatchObject({
    instances: 3,
    enablePDB: false,
    affinity: { topologyKey: "host", podAntiAffinityType: "required" },
    postgresql: { parameters: { work_mem: "8MB", shared_buffers: "1GB" }, pg_hba: ["hostssl all all all cert"] },
  });
  expect(made).not.toHaveProperty("enableSuperuserAccess");
});

test("a Pooler has its own spec over the arguments', and its overrides over both", () => {
  const template = { spec: { containers: [{ name: "pgbouncer", image: "pgbouncer:1" }] } };
  const over = {
    poolers: { web: { instances: 2, parameters: { max_client_conn: "500" }, spec: { template, type: "ro" } } },
    overrides: {
      poolers: { web: { metadata: { labels: { team: "shop" } }, spec: { type: "r", pgbouncer: { paused: true } } } },
    },
  };
  const { metadata, spec } = objectOf(renderCluster(context(over), null), "pooler-web");
  expect(metadata.labels).toEqual({ "app.kubernetes.io/managed-by": "pgbackstop", team: "shop" });
  expect(spec).toEqual({
    cluster: { name: "orders" },
    instances: 2,
    type: "r",
    pgbouncer: { poolMode: "session", parameters: { max_client_conn: "500" }, paused: true },
    template,
  });
});

test("a rule that reads overrides reads it too", () => {
  const declared = declaredCluster({ streaming: { synchronous: "all" }, spec: { minSyncReplicas: 1 } });
  const codes = checkClusterPlan(planCluster("orders", declared), false).map(({ code }) => code);
  expect(codes).toContain("PB150");
});

test("findings name the argument that has the field", () => {
  const pathsOf = (over: Partial<DeclaredCluster>): string[] =>
    checkClusterPlan(planCluster("orders", declaredCluster(over)), false)
      .filter(({ code }) => code === "PB200")
      .map(({ path }) => path);
  const spec = { instances: 2, postgresql: { parameters: { "pg_stat_statements.max": "2" } } };
  const parameters = { "pg_stat_statements.max": "1" };
  expect(pathsOf({ instances: 3, parameters, spec })).toEqual([
    "spec.instances",
    "spec.postgresql.parameters.pg_stat_statements.max",
  ]);
  expect(pathsOf({ instances: 3, spec: {}, overrides: { cluster: { spec } } })).toEqual([
    "overrides.cluster.spec.instances",
  ]);
});

const GIVEN = { namespace: "db", repositories: { repo1: { at: { name: "a" } } }, storageGiB: 1 };

test.each([
  [{ afinity: {} }, "spec.afinity", "spec has no field 'afinity'", "did you mean affinity?"],
  [
    { brandNewThing: 1 },
    "spec.brandNewThing",
    "spec has no field 'brandNewThing'",
    "a field of a newer operator belongs into overrides.cluster.spec",
  ],
  [
    { affinity: { tolerations: [{ efect: "NoSchedule" }] } },
    "spec.affinity.tolerations[0].efect",
    "spec.affinity.tolerations[0] has no field 'efect'",
    "did you mean effect?",
  ],
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

test("quantities are numbers or text", () => {
  const own = { resources: { limits: { cpu: 1, memory: "2Gi" } }, storage: { pvcTemplate: { accessModes: ["a"] } } };
  expect(checkArguments("CnpgClusterArgs", { ...GIVEN, spec: own })).toEqual([]);
});
