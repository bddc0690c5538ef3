/** Each field of Clusters that people run, and of the documented samples, is reached by a program. */
import { expect, test } from "vitest";
import { checkArguments } from "../../../../components/plan/arguments/checkArguments";
import { checkClusterPlan, planCluster } from "../../../../components/plan/cluster/planCluster";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { contextOf, objectOf } from "../../clusters";
import { declaredAs, PUBLIC_CLUSTERS } from "../../publicClusters";

/** Fields that this package sets, or that have its default. */
const OURS = ["plugins", "backup"];
const DEFAULTS: Readonly<Record<string, unknown>> = { enableSuperuserAccess: false };

test.each(Object.entries(PUBLIC_CLUSTERS))("%s", (_what, { pooler, program, spec }) => {
  const args = { namespace: "orders", repositories: { repo1: { at: { path: "/orders" } } }, ...program };
  expect(checkArguments("CnpgClusterArgs", args)).toEqual([]);
  const declared = declaredAs(program);
  const findings = checkClusterPlan(planCluster("orders", declared), false);
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  const objects = renderCluster(contextOf(declared), null);
  const made = objectOf(objects, "cluster")["spec"] as Readonly<Record<string, unknown>>;
  const names = Object.keys(spec);
  const own = Object.entries(made).filter(
    ([name, value]) =>
      names.includes(name) || !(OURS.includes(name) || name === "imageName" || DEFAULTS[name] === value),
  );
  expect(Object.fromEntries(own)).toEqual(spec);
  if (pooler !== undefined) expect(objectOf(objects, "pooler-web")["spec"]).toEqual(pooler);
});
