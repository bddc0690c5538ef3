/** Whose fields an apply would change, as the API server tells it. */
import { expect, test } from "vitest";
import { fieldsOfOthers, hasApplied, type LiveObject } from "../../../../components/plan/cluster/fieldOwners";

const LIVE: LiveObject = {
  metadata: {
    managedFields: [
      {
        manager: "helm",
        operation: "Update",
        fieldsV1: {
          "f:spec": {
            ".": {},
            "f:plugins": {},
            "f:instances": {},
            "f:backup": { ".": {}, "f:target": {}, "f:volumeSnapshot": { "f:className": {} } },
            "f:managed": { "f:roles": { 'k:{"name":"app"}': { ".": {}, "f:login": {} } } },
            "f:labels": {},
          },
        },
      },
      { manager: "edit", operation: "Update", fieldsV1: { "f:spec": { "f:plugins": {} } } },
      { manager: "us", operation: "Apply", fieldsV1: { "f:spec": { "f:storage": { "f:size": {} } } } },
      { manager: "us", operation: "Update", fieldsV1: { "f:spec": { "f:logLevel": {} } } },
    ],
  },
  spec: {
    plugins: [{ name: "other", enabled: true }],
    instances: 2,
    backup: { target: "primary", volumeSnapshot: { className: "csi", online: true } },
    managed: { roles: [{ name: "app", login: true }] },
    storage: { size: "1Gi" },
    logLevel: "info",
    labels: {},
  },
};

const others = (spec: object): string[] =>
  fieldsOfOthers(LIVE, { spec }, "us").map(({ managers, path }) => `${path} ${managers.join("+")}`);

test("a field with another value belongs to each of its managers", () => {
  expect(others({ plugins: [{ name: "ours" }], backup: { target: "prefer-standby" } })).toEqual([
    "spec.plugins helm+edit",
    "spec.backup.target helm",
  ]);
  expect(others({ backup: { volumeSnapshot: { className: "fast" } } })).toEqual([
    "spec.backup.volumeSnapshot.className helm",
  ]);
  expect(others({ plugins: [{ name: "other" }, { name: "ours" }] })).toEqual(["spec.plugins helm+edit"]);
  expect(others({ plugins: [] })).toEqual(["spec.plugins helm+edit"]);
  // The same name with another operation is another manager.
  expect(others({ logLevel: "debug" })).toEqual(["spec.logLevel us"]);
});

test("equal values, own fields and fields of nobody are no conflict", () => {
  expect(others({ plugins: [{ name: "other" }], instances: 2, backup: { target: "primary" } })).toEqual([]);
  expect(others({ storage: { size: "2Gi" }, postgresql: { parameters: { archive_timeout: "60s" } } })).toEqual([]);
  expect(others({ backup: { volumeSnapshot: { online: false, walClassName: "fast" } } })).toEqual([]);
});

test("what depends on the server's schema is not judged", () => {
  // An empty section, a key below one that was applied empty, and a list whose items have keys.
  expect(others({ backup: { volumeSnapshot: {} }, labels: { a: "b" }, managed: { roles: [{ name: "x" }] } })).toEqual(
    [],
  );
});

test("an object without owners has no conflict, and no manager", () => {
  for (const live of [{}, { metadata: {} }, { metadata: { managedFields: [{}] } }] as const) {
    expect(fieldsOfOthers(live, { spec: { plugins: [] } }, "us")).toEqual([]);
    expect(hasApplied(live, "us")).toBe(false);
  }
  expect(hasApplied(LIVE, "us")).toBe(true);
  expect(hasApplied(LIVE, "helm")).toBe(false);
});
