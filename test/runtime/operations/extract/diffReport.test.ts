import { expect, test } from "vitest";
import { type DiffReport, diffJson, diffText } from "../../../../runtime/operations/extract/diffReport";

const report: DiffReport = {
  database: "shop",
  table: "public.orders",
  from: "backup 20261120-020000F of repo1, at 2026-11-20T06:39:58.000Z",
  to: "production, at 2026-11-27T09:51:12.000Z",
  key: ["id"],
  columns: { onlyFrom: ["note"], onlyTo: [] },
  rows: { same: 1204, added: 1, changed: 1, removed: 7 },
  shown: [
    { kind: "removed", before: { id: "17", total: "12.00", name: "O'Neil\n- id: 1" }, after: null },
    {
      kind: "changed",
      before: { id: "18", total: "12.00", name: null },
      after: { id: "18", total: "12.00", name: "NULL" },
    },
    { kind: "added", before: null, after: { id: "19", total: "", name: "x".repeat(300) } },
  ],
};

test("a text names what was compared, counts all rows and shows some", () => {
  expect(diffText(report)).toBe(
    [
      "table public.orders of database shop, by its key (id)",
      "  from  backup 20261120-020000F of repo1, at 2026-11-20T06:39:58.000Z",
      "  to    production, at 2026-11-27T09:51:12.000Z",
      "  not compared, only before: note",
      "rows: 7 removed, 1 added, 1 changed, 1204 equal",
      '- id: 17  total: 12.00  name: "O\'Neil\\n- id: 1"',
      "~ id: 18",
      '    name: NULL -> "NULL"',
      `+ id: 19  total: ""  name: "${"x".repeat(200)}…"`,
      "and 6 more; --limit shows more of them",
      "",
    ].join("\n"),
  );
});

test("a table without a key shows whole rows", () => {
  const [row] = report.shown;
  const text = diffText({ ...report, key: null, columns: { onlyFrom: [], onlyTo: ["late"] }, shown: row ? [row] : [] });
  expect(text).toContain("shop, whole rows, without a common primary key\n");
  expect(text).toContain("  not compared, only after: late\n");
  expect(text).toContain("\n- id: 17  total: 12.00");
});

test("no value moves the cursor or forges a line", () => {
  const value = "\u001b[2J\r\u202e\nrows: 0 removed";
  const shown = [{ kind: "removed", before: { id: "1", [`a\n${value}`]: value }, after: null }] as const;
  const text = diffText({ ...report, table: `public."${value}"`, shown });
  expect(text).not.toMatch(/[\u001b\r\u202e]/);
  expect(text.split("\n").filter((line) => line.startsWith("rows:"))).toHaveLength(1);
});

test("a program gets the same, whole", () => {
  expect(JSON.parse(diffJson(report))).toEqual(report);
});
