/** The published JSON schemas accept every document that the commands print, and refuse others. */
import Ajv, { type ValidateFunction } from "ajv";
import { expect, test } from "vitest";
import { diffTopologies, unknownPartsOf } from "../../../../components/plan/diff";
import type { Topology } from "../../../../components/plan/topology/topology";
import {
  renderDiffDocument,
  renderFailedDocument,
  renderTopologyDocument,
} from "../../../../components/render/topology/topologyDocument";
import { topologySchemas } from "../../../../tools/parts/build/topologySchema";
import { anyTopology, topology, withUnknown } from "../../../components/topologies";
import * as fc from "../../../harness/properties";

const schemas = topologySchemas();

/** @param isClosed refuses fields that the schema does not name: a document must have none */
function validator(name: string, isClosed = true): ValidateFunction {
  const close = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(close);
    if (typeof value !== "object" || value === null) return value;
    const closed = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, close(item)]));
    return "properties" in value && isClosed ? { ...closed, additionalProperties: false } : closed;
  };
  return new Ajv({ allErrors: true }).compile(close(schemas.get(name)) as object);
}

const shown = validator("topology.schema.json");
const compared = validator("topology-diff.schema.json");
const errorsOf = (validate: ValidateFunction, text: string): unknown =>
  validate(JSON.parse(text)) ? [] : validate.errors;

// claim: docs/topology-document.md: the JSON schemas fit every document
test("any topology fits, with unknown parts too", () => {
  fc.assert(
    fc.property(anyTopology, fc.constantFrom("location", "keepDays", "cron", "perMonth"), (one, leaf) => {
      const unknown = withUnknown(one, (path) => path.endsWith(`.${leaf}`));
      const text = renderTopologyDocument(
        new Map([
          ["a", one],
          ["b", unknown],
          ["c", null],
        ]),
      );
      expect(errorsOf(shown, text)).toEqual([]);
    }),
  );
});

// claim: docs/topology-document.md: the JSON schemas fit…
test("any comparison fits, and so does a failed one", () => {
  fc.assert(
    fc.property(anyTopology, anyTopology, (before, after) => {
      const sets = [
        new Map([["a", before]]),
        new Map<string, Topology | null>([
          ["a", after],
          ["b", null],
        ]),
      ] as const;
      const findings = [{ database: "a", code: "PB011", path: "x", message: "m", file: "a.ts", line: 1 }];
      const text = renderDiffDocument(diffTopologies(...sets), findings, unknownPartsOf(sets[1]));
      expect(errorsOf(compared, text)).toEqual([]);
    }),
  );
  const failure = { reason: "it failed", findings: [{ database: "a", code: "PB011", path: "x" }], otherErrors: 1 };
  expect(errorsOf(compared, renderFailedDocument(failure))).toEqual([]);
});

test.each([
  ["topology.schema.json", { version: 2, topologies: {} }],
  ["topology.schema.json", { version: 1, topologies: { a: { ...topology(), repositories: [{ key: 1 }] } } }],
  ["topology.schema.json", { version: 1, topologies: { a: { ...topology(), copies: 3 } } }],
  ["topology-diff.schema.json", { version: 1 }],
  ["topology-diff.schema.json", { version: 1, failure: { reason: "it failed" } }],
])("%s refuses %.80j", (name, document) => {
  expect(validator(name, false)(document)).toBe(false);
});

test("a schema has its address and the comments of the types", () => {
  for (const [name, schema] of schemas)
    expect(schema["$id"]).toMatch(new RegExp(`^https://[^ ]+@[0-9.]+/dist/${name}$`));
  const definitions = schemas.get("topology.schema.json")?.["definitions"] as Record<string, { properties: unknown }>;
  expect(definitions["RepositoryNode"]?.properties).toMatchObject({
    location: {
      type: "string",
      description: "Directory, `s3://bucket/prefix`, or `azure://account/container/prefix`.",
    },
    offSite: { anyOf: [{ type: "boolean" }, { $ref: "#/definitions/hidden" }], description: "Absent if unknown." },
  });
});
