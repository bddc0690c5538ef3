/** Where instances run, and how their primary is updated. */
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { judged } from "../../../../components/plan/findings/abstain";
import { checkPlacement } from "../../../../components/plan/rules/placement";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { context, objectOf, resolved } from "../../clusters";

test.each<[string, Partial<DeclaredCluster>, readonly string[]]>([
  ["nothing", {}, []],
  [
    "the operator's values",
    {
      affinity: { podAntiAffinityType: "required" },
      primaryUpdateStrategy: "unsupervised",
      primaryUpdateMethod: "switchover",
    },
    [],
  ],
  [
    "other values",
    { affinity: { podAntiAffinityType: "always" }, primaryUpdateStrategy: "manual", primaryUpdateMethod: "roll" },
    ["PB210 affinity.podAntiAffinityType", "PB210 primaryUpdateStrategy", "PB210 primaryUpdateMethod"],
  ],
  ["values that come later", { primaryUpdateStrategy: unknownMarker(0), primaryUpdateMethod: unknownMarker(1) }, []],
  ["supervised updates", { primaryUpdateStrategy: "supervised" }, ["PB211 primaryUpdateStrategy"]],
  ["the same by spec", { spec: { primaryUpdateStrategy: "supervised" } }, ["PB211 primaryUpdateStrategy"]],
  [
    "supervised updates without a standby",
    { primaryUpdateStrategy: "supervised", instances: 1 },
    ["PB210 primaryUpdateStrategy"],
  ],
])("%s", (_what, over, expected) => {
  expect(judged(checkPlacement(resolved(over))).findings.map(({ code, path }) => `${code} ${path}`)).toEqual(expected);
});

test("the Cluster has them", () => {
  const affinity = {
    podAntiAffinityType: "required",
    topologyKey: "topology.kubernetes.io/zone",
    nodeSelector: { pool: "databases" },
    tolerations: [{ key: "databases", operator: "Exists" }],
  };
  const over = { affinity, primaryUpdateStrategy: "supervised", primaryUpdateMethod: "switchover" };
  expect(objectOf(renderCluster(context(over), null), "cluster")["spec"]).toMatchObject(over);
});
