/** The statements of a swap; test/interop/restore/extractTable.test.ts runs them. */
import { expect, test } from "vitest";
import type { Surroundings } from "../../../../runtime/operations/extract/surroundings";
import { lostLinks, swapSql } from "../../../../runtime/operations/extract/swap";

const AROUND: Surroundings = {
  relations: [{ name: "goods", schema: "shop" }],
  isThere: true,
  references: [],
  parents: [],
  children: [],
  replication: { published: [], schemaPublications: [], subscriptions: [] },
  oidColumns: [],
  extensions: [],
  views: [],
};
const statements = (around: Surroundings, homes: ReadonlyMap<string, string>, table: string | null): string[] =>
  swapSql({ wanted: { schema: "shop", table }, restored: "back", homes, around, kept: "old", comment: "c" });

test("a publication gets the new table with the columns and rows of the old one", () => {
  const published = [
    { publication: "feed", schema: "shop", table: "goods", columns: ["id", "a b"], filter: "id > 5" },
    { publication: "all", schema: "shop", table: "goods", columns: null, filter: null },
    { publication: "all", schema: "shop", table: "gone", columns: null, filter: null },
  ];
  const around = { ...AROUND, replication: { ...AROUND.replication, published } };
  expect(statements(around, new Map([["goods", "shop"]]), "goods")).toEqual([
    "BEGIN",
    "SET LOCAL lock_timeout = '10s'",
    'ALTER PUBLICATION "feed" DROP TABLE ONLY "shop"."goods"',
    'ALTER PUBLICATION "all" DROP TABLE ONLY "shop"."goods"',
    'ALTER PUBLICATION "all" DROP TABLE ONLY "shop"."gone"',
    'CREATE SCHEMA "old"',
    `COMMENT ON SCHEMA "old" IS 'c'`,
    'ALTER TABLE "shop"."goods" SET SCHEMA "old"',
    'ALTER TABLE "back"."goods" SET SCHEMA "shop"',
    expect.stringMatching(/setval.* = 'old' .* IN \('shop'\)/),
    'DROP SCHEMA "back"',
    'ALTER PUBLICATION "feed" ADD TABLE ONLY "shop"."goods" ("id", "a b") WHERE (id > 5)',
    'ALTER PUBLICATION "all" ADD TABLE ONLY "shop"."goods"',
    "COMMIT",
  ]);
});

test("a publication of a schema gets the new schema", () => {
  const around = { ...AROUND, replication: { ...AROUND.replication, schemaPublications: ["feed"] } };
  expect(statements(around, new Map([["goods", "shop"]]), null).slice(2)).toEqual([
    'ALTER PUBLICATION "feed" DROP TABLES IN SCHEMA "shop"',
    'ALTER SCHEMA "shop" RENAME TO "old"',
    'ALTER SCHEMA "back" RENAME TO "shop"',
    expect.stringMatching(/setval.* = 'old' .* IN \('shop'\)/),
    'COMMENT ON SCHEMA "shop" IS NULL',
    'ALTER PUBLICATION "feed" ADD TABLES IN SCHEMA "shop"',
    "COMMIT",
  ]);
});

test("links to tables that came back are made again where those are, the others are named", () => {
  const link = { schema: "shop", table: "goods", parentSchema: "shop", parentTable: "goods", bound: null };
  const around = {
    ...AROUND,
    parents: [
      { ...link, parentTable: "things", bound: "DEFAULT" },
      { ...link, table: "gone", parentTable: "things" },
    ],
    children: [
      { ...link, schema: "more", table: "more" },
      { ...link, table: "less", parentTable: "gone" },
    ],
  };
  const homes = new Map([["goods", "else"]]);
  expect(statements(around, homes, "goods").filter((each) => /INHERIT|TACH/.test(each))).toEqual([
    'ALTER TABLE "shop"."things" DETACH PARTITION "shop"."goods"',
    'ALTER TABLE "shop"."gone" NO INHERIT "shop"."things"',
    'ALTER TABLE "more"."more" NO INHERIT "shop"."goods"',
    'ALTER TABLE "shop"."less" NO INHERIT "shop"."gone"',
    'ALTER TABLE "shop"."things" ATTACH PARTITION "else"."goods" DEFAULT',
    'ALTER TABLE "more"."more" INHERIT "else"."goods"',
  ]);
  expect(lostLinks({ around, homes })).toEqual(["shop.gone of shop.things", "shop.less of shop.gone"]);
});
