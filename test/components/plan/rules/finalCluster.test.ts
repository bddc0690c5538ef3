import { expect, test } from "vitest";
import { checkTransformedCluster } from "../../../../components/plan/rules/finalCluster";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { context, objectOf } from "../../clusters";

const SPEC = objectOf(renderCluster(context(), null), "cluster")["spec"] as Readonly<Record<string, unknown>>;

test("what the API server adds is no change", () => {
  const [plugin] = SPEC["plugins"] as readonly object[];
  const final = {
    ...SPEC,
    plugins: [{ enabled: true, ...plugin }],
    backup: { target: "prefer-standby", retentionPolicy: "" },
    affinity: { podAntiAffinityType: "preferred" },
  };
  expect(checkTransformedCluster(SPEC, final)).toEqual([]);
});

test.each<[string, object, string]>([
  ["plugins", { plugins: [] }, "PB201 spec.plugins"],
  ["the size of volumes", { storage: { size: "1Gi" } }, "PB202 spec.storage.size"],
  ["instances", { instances: 1 }, "PB202 spec.instances"],
  ["the image", { imageName: "other:18" }, "PB202 spec.imageName"],
  ["the cluster to follow", { replica: { enabled: true, source: "other" } }, "PB202 spec.replica"],
])("a transform of %s is a finding", (_what, change, finding) => {
  const findings = checkTransformedCluster(SPEC, { ...SPEC, ...change });
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual([finding]);
});

test("a finding contains no value, which may be secret", () => {
  const changed = { ...SPEC, bootstrap: { initdb: { postInitSQL: ["ALTER ROLE app PASSWORD 'planted'"] } } };
  expect(checkTransformedCluster(changed, SPEC).map(({ path }) => path)).toEqual(["spec.bootstrap"]);
  expect(JSON.stringify(checkTransformedCluster(changed, SPEC))).not.toContain("planted");
});
