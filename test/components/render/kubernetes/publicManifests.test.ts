/** Clusters that people run, and the documented samples, as arguments: pasted into `spec`, or with shorter ones. */
import { expect, test } from "vitest";
import { checkArguments } from "../../../../components/plan/arguments/checkArguments";
import { checkClusterPlan, planCluster } from "../../../../components/plan/cluster/planCluster";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { contextOf, objectOf } from "../../clusters";
import { declaredAs, programsOf, PUBLIC_CLUSTERS } from "../../publicClusters";

/** Fields that this package sets, or that have its default. */
const OURS = ["plugins", "backup"];
const DEFAULTS: Readonly<Record<string, unknown>> = { enableSuperuserAccess: false };

const ROWS = Object.entries(PUBLIC_CLUSTERS).flatMap(([what, { pooler, spec }]) =>
  Object.entries(programsOf({ spec, ...(pooler === undefined ? {} : { pooler }) })).map(([form, program]) => ({
    what: `${what}, ${form}`,
    program,
    pooler,
    spec,
  })),
);

test.each(ROWS)("$what", ({ pooler, program, spec }) => {
  const args = { namespace: "orders", repositories: { repo1: { at: { path: "/orders" } } }, ...program };
  expect(checkArguments("CnpgClusterArgs", args)).toEqual([]);
  const declared = declaredAs(program);
  const findings = checkClusterPlan(planCluster("orders", declared), false);
  expect(findings.filter(({ code, severity }) => severity === "error" || code === "PB192")).toEqual([]);
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
