/** Differences between two clusters. packages/migration/test/interop/migrate.test.ts changes real ones. */
import { expect, test } from "vitest";
import {
  type ClusterComparison,
  compareClusters,
  compareContents,
  compareInventories,
  sameLargeObjects,
} from "../../runtime/compareClusters";
import type { Contents, LargeObjects, TableSum } from "../../runtime/contents";
import type { Membership } from "../../runtime/facts";
import { movedMemberships } from "../../runtime/migrationPlan";
import { cluster, database, role } from "./support";

const OBJECTS: LargeObjects = { count: "2", bytes: "10", sum: "7 8", owners: "5 6" };
const table = (changes: Partial<TableSum> = {}): TableSum => ({
  name: "public.goods",
  isView: false,
  rows: "50",
  sum: "1 2",
  ...changes,
});
const contents = (tables: readonly TableSum[], sequence = "50 called", largeObjects = OBJECTS): Contents => ({
  tables,
  sequences: new Map([["public.goods_id_seq", sequence]]),
  largeObjects,
});
const reported = (source: Contents, target: Contents): string[] =>
  compareContents("shop", source, target).differences.map(({ kind, name, text }) => `${kind} ${name}: ${text}`);

test("a table differs by the number of its rows, or by their content; a materialized view was recomputed", () => {
  expect(reported(contents([table()]), contents([table()]))).toEqual([]);
  expect(reported(contents([table()]), contents([table({ rows: "49", sum: "1 1" })]))).toEqual([
    "table public.goods: 50 rows in the source, 49 in the target",
  ]);
  expect(reported(contents([table()]), contents([table({ rows: "49" })]))).toHaveLength(1);
  expect(reported(contents([table()]), contents([table({ sum: "1 3" })]))).toEqual([
    "table public.goods: 50 rows on both sides, but different ones",
  ]);
  const { differences, notes } = compareContents(
    "shop",
    contents([table({ isView: true })]),
    contents([table({ isView: true, sum: "1 3" })]),
  );
  expect([differences, notes.map(({ kind }) => kind)]).toEqual([[], ["materialized view"]]);
});

test("a sequence differs by its value, and by whether that was used", () => {
  for (const value of ["49 called", "50 not called"])
    expect(reported(contents([]), contents([], value))).toEqual([
      `sequence value public.goods_id_seq: '50 called' in the source, '${value}' in the target`,
    ]);
});

test("large objects differ by number, size, contents or owners", () => {
  expect(sameLargeObjects(contents([]), contents([], "", { ...OBJECTS }))).toBe(true);
  for (const name of ["count", "bytes", "sum", "owners"] as const)
    expect([name, sameLargeObjects(contents([]), contents([], "", { ...OBJECTS, [name]: "9" }))]).toEqual([
      name,
      false,
    ]);
});

test("an object is missing, changed, or only in the target", () => {
  const line = (name: string, hash = "a"): { kind: string; name: string; definition: string; hash: string } => ({
    kind: "view",
    name,
    definition: hash,
    hash,
  });
  const result = compareInventories(
    "shop",
    [line("same"), line("other"), line("gone")],
    [line("more"), line("other", "b"), line("same")],
  );
  expect(result.map(({ name, text }) => `${name}: ${text}`)).toEqual([
    "other: 'a' in the source, 'b' in the target",
    "gone: missing in the target",
    "more: only in the target",
  ]);
});

test("what several grantors allow adds up", () => {
  const grant = { role: "app", member: "admin", grantor: "admin", admin: false, inherit: true, set: true };
  const creation = { ...grant, grantor: "postgres", admin: true, inherit: false, set: false };
  const roles = [role("app"), role("admin")];
  const input = (there: readonly Membership[]): ClusterComparison => ({
    source: cluster({ roles, memberships: [grant, creation] }),
    target: cluster({ systemId: "2", roles, memberships: there }),
    databases: [],
    keepRoles: [],
    tablespaces: true,
    otherPasswords: null,
  });
  const united = { ...creation, inherit: true, set: true };
  expect(movedMemberships(input([]).source)).toEqual([united]);
  expect(compareClusters(input([united]))).toEqual([]);
  expect(compareClusters(input([creation])).map(({ kind, name }) => `${kind} ${name}`)).toEqual([
    "membership admin in app",
  ]);
});

test("a cluster differs by databases, roles, memberships, settings and passwords of migrated ones", () => {
  const membership: Membership = {
    role: "readers",
    member: "web",
    grantor: "postgres",
    admin: false,
    inherit: null,
    set: null,
  };
  const setting = { database: "shop", role: null, name: "work_mem", value: "7MB" };
  const source = cluster({
    databases: [database("shop", { owner: "web" }), database("ledger")],
    roles: [role("web"), role("readers"), role("kept"), role("postgres")],
    memberships: [membership],
    settings: [setting, { ...setting, database: null, name: "lock_timeout" }],
  });
  const target = cluster({
    systemId: "2",
    databases: [database("shop")],
    roles: [role("web", { inherits: false }), role("kept", { createsRoles: true }), role("streaming_replica")],
    settings: [{ ...setting, value: "1MB" }],
  });
  const input: ClusterComparison = {
    source,
    target,
    databases: ["shop", "ledger"],
    keepRoles: ["kept"],
    tablespaces: true,
    otherPasswords: ["web", "kept"],
  };
  expect(compareClusters(input).map(({ kind, name }) => `${kind} ${name}`)).toEqual([
    "database shop",
    "database ledger",
    "role web",
    "role readers",
    "role web",
    "membership web in readers",
    "setting work_mem of database shop",
    "setting lock_timeout of all roles",
  ]);
  expect(compareClusters({ ...input, target: { ...source, systemId: "2" }, otherPasswords: null })).toEqual([]);
});
