import { expect, test } from "vitest";
import {
  B2_CAPABILITIES,
  type B2Settings,
  checkB2,
  filePrefixOf,
  resolveB2,
} from "../../../../components/plan/storage/b2";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { BUCKET_CAPABILITIES } from "../../../../components/dynamic/b2";

const settings: B2Settings = { bucket: { create: { name: "acme-orders-pg" } } };

function findings(over: Partial<B2Settings>): string[] {
  return checkB2({ ...settings, ...over }).map((result) => `${result.code} ${result.path}`);
}

test("a bucket alone is enough", () => {
  expect(findings({})).toEqual([]);
  expect(resolveB2(settings)).toEqual({
    path: "/pgbackrest",
    immutableDays: undefined,
    lockMode: "governance",
    deleteHiddenAfterDays: 14,
    cancelUnfinishedAfterDays: 2,
  });
});

test.each<[Partial<B2Settings>, number]>([
  [{ undeleteDays: 1 }, 7],
  [{ undeleteDays: 30 }, 30],
  [{ immutableDays: 30 }, 31],
  [{ immutableDays: 14 }, 15],
  [{ immutableDays: 30, undeleteDays: 90 }, 90],
  [{ immutableDays: 0, undeleteDays: 3 }, 7],
])("deleted files stay longer than any lock: %j", (over, days) => {
  expect(resolveB2({ ...settings, ...over }).deleteHiddenAfterDays).toBe(days);
});

test.each<[string, Partial<B2Settings>, string[]]>([
  ["no bucket", { bucket: {} }, ["PB016 bucket"]],
  ["two buckets", { bucket: { create: { name: "acme-orders" }, existing: { name: "acme-others" } } }, ["PB016 bucket"]],
  ["a name in capitals", { bucket: { create: { name: "Acme-Orders" } } }, ["PB020 bucket.create.name"]],
  ["a short name", { bucket: { existing: { name: "acme" } } }, ["PB020 bucket.existing.name"]],
  ["a reserved name", { bucket: { create: { name: "b2-orders" } } }, ["PB020 bucket.create.name"]],
  ["the whole bucket", { path: "/" }, ["PB020 path"]],
  ["a path without slash", { path: "pgbackrest" }, ["PB020 path"]],
  ["a path that ends with a slash", { path: "/pgbackrest/" }, ["PB020 path"]],
  ["no source of keys", { credentials: {} }, ["PB016 credentials"]],
  ["two sources of keys", { credentials: { create: {}, keys: {} } }, ["PB016 credentials"]],
  ["half a day", { undeleteDays: 14.5 }, ["PB014 undeleteDays"]],
  ["ten years of lock", { immutableDays: 3_650 }, ["PB014 immutableDays"]],
  ["an unknown mode", { immutableDays: 30, lockMode: "strict" }, ["PB014 lockMode"]],
  ["a mode without days", { lockMode: "governance" }, ["PB080 lockMode"]],
  ["compliance without consent", { immutableDays: 30, lockMode: "compliance" }, ["PB080 lockMode"]],
  ["compliance with consent", { immutableDays: 30, lockMode: "compliance", acceptIrreversible: true }, []],
  ["a lock for a week", { immutableDays: 7 }, ["PB081 immutableDays"]],
  ["a week to notice", { undeleteDays: 7 }, ["PB081 undeleteDays"]],
  ["a lock that is switched off", { immutableDays: 0 }, []],
])("%s", (_what, over, expected) => {
  expect(findings(over)).toEqual(expected);
});

test("unknown values have no finding", () => {
  expect(findings({ bucket: { create: { name: unknownMarker(0) } }, path: unknownMarker(1) })).toEqual([]);
});

test("files of a repository begin with its path", () => {
  expect(filePrefixOf("/pg/main")).toBe("pg/main/");
});

test("keys get what B2 allows keys of one bucket; no key of a database deletes a version or ends a lock", () => {
  for (const capabilities of Object.values(B2_CAPABILITIES)) {
    for (const capability of capabilities) expect(BUCKET_CAPABILITIES).toContain(capability);
    expect(capabilities).not.toContain("bypassGovernance");
  }
  expect(B2_CAPABILITIES.writer).toEqual(["listBuckets", "listFiles", "readFiles", "writeFiles"]);
  expect(B2_CAPABILITIES.reader).toEqual(["listBuckets", "listFiles", "readFiles"]);
});
