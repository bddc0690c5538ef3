/** The operator's types from a definition. test/kubernetes/apiServer.test.ts compares those of the real one. */
import { expect, test } from "vitest";
import { interfacesOf } from "../../../tools/docs/cnpgSpec";

const FIELDS = {
  size: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] },
  count: { type: "integer" },
  texts: { type: "array", items: { type: "string" } },
  labels: { type: "object", additionalProperties: { type: "string" } },
  free: { type: "object" },
  policies: { type: "array", items: { type: "object", properties: { on: { type: "boolean" } } } },
  other_part: { type: "object", properties: { on: { type: "boolean" } } },
  byName: { type: "object", additionalProperties: { type: "object", properties: { policies: { type: "string" } } } },
};

test("equal parts are one type, and each leaf may come later", () => {
  expect(interfacesOf({ Cluster: { properties: FIELDS } })).toEqual([
    "export interface ByNameSpec {\n  policies?: pulumi.Input<string>;\n}\n",
    [
      "export interface ClusterSpec {",
      "  size?: pulumi.Input<IntOrString>;",
      "  count?: pulumi.Input<number>;",
      "  texts?: pulumi.Input<pulumi.Input<string>[]>;",
      "  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;",
      "  free?: pulumi.Inputs;",
      "  policies?: PolicySpec[];",
      "  other_part?: PolicySpec;",
      "  byName?: { [name: string]: ByNameSpec };",
      "}\n",
    ].join("\n"),
    "export interface PolicySpec {\n  on?: pulumi.Input<boolean>;\n}\n",
  ]);
});
