/** The operator's types from a definition. test/kubernetes/apiServer.test.ts compares those of the real one. */
import { expect, test } from "vitest";
import { interfacesOf, ofAllVersions } from "../../../tools/docs/cnpgSpec";

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

test("a field that only some versions have says so, at any depth", () => {
  const object = (properties: object): object => ({ type: "object", properties });
  const list = (item: object): object => ({ type: "array", items: item });
  const text = { type: "string" };
  const schema = ofAllVersions(
    new Map([
      ["1.28", object({ all: text, old: text, items: list(object({ name: text })) })],
      ["1.29", object({ all: text, old: text, middle: text, items: list(object({ name: text, env: text })) })],
      ["1.30", object({ all: text, fresh: text, items: list(object({ name: text, env: text })) })],
    ]),
  );
  expect(interfacesOf({ Cluster: schema })).toEqual([
    [
      "export interface ClusterSpec {",
      "  all?: pulumi.Input<string>;",
      "  /** From CloudNativePG 1.30 on. */",
      "  fresh?: pulumi.Input<string>;",
      "  items?: ItemSpec[];",
      "  /** Only in CloudNativePG 1.29. */",
      "  middle?: pulumi.Input<string>;",
      "  /** Not after CloudNativePG 1.29. */",
      "  old?: pulumi.Input<string>;",
      "}\n",
    ].join("\n"),
    "export interface ItemSpec {\n  /** From CloudNativePG 1.29 on. */\n  env?: pulumi.Input<string>;\n  name?: pulumi.Input<string>;\n}\n",
  ]);
});
