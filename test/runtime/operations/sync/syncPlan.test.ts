import { expect, it } from "vitest";
import type { ManifestFile } from "../../../../runtime/format/repository/manifest";
import { divideRows } from "../../../../runtime/operations/sync/syncPlan";

const ROW: ManifestFile = {
  name: "pg_data/base/5/16384",
  sizeBytes: 10,
  sizeRepoBytes: 7,
  sha1: "0".repeat(40),
  modifiedAtS: 0,
  mode: 0o600,
  user: null,
  group: null,
  reference: "I1",
};

// The target missed I1 and took P, so its list for a copy has P where the map of I1 means I1.
it.each([
  ["a block map whose labels the copy has at the same places", 50, ["F", "I1", "P", "X"], true],
  ["a block map whose labels the copy has at other places", 50, ["F", "P", "I1", "X"], false],
  ["a whole file", 0, ["F", "P", "I1", "X"], true],
] as const)("a copy refers to %s, or gets the file's bytes", (_what, mapSizeBytes, references, isHeld) => {
  const { reference: _reference, ...own } = ROW;
  const stored = { ...own, block: { sizeBytes: 8192, checksumSizeBytes: 6, mapSizeBytes } };
  const earlier = new Map([["I1", { references: ["F", "I1"], rows: new Map([[ROW.name, stored]]) }]]);
  const { held, missing } = divideRows({ bundle: true, files: [ROW] }, earlier, references);
  expect([held.length, missing.length]).toEqual(isHeld ? [1, 0] : [0, 1]);
});
