import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import {
  isInvalidDatabase,
  parseClassRow,
  parseFileMap,
  parseNamedRow,
  rowsOf,
} from "../../../../runtime/format/page/heapPage";
import { pack } from "../walWriter";
import { classRow, name, page } from "./pages";

describe("pages of tables", () => {
  it("yield each row that is still on them, and the transaction that deleted it", () => {
    const rows = rowsOf(
      page([
        { columns: "live" },
        { columns: "deleted", xmax: 700 },
        { columns: "locked", xmax: 700, mask: 0x80 },
        { columns: "rolled back", xmax: 700, mask: 0x800 },
        { columns: "never committed", mask: 0x200 },
        { columns: "frozen", mask: 0x300 },
        { columns: "free", state: 0 },
        { columns: "dead", state: 3 },
        { columns: "redirected", state: 2 },
        { columns: "with nulls", hoff: 32 },
      ]),
    );
    expect(rows.map(({ columns, line, xmax }) => [line, Buffer.from(columns).toString(), xmax])).toEqual([
      [1, "live", 0],
      [2, "deleted", 700],
      [3, "locked", 0],
      [4, "rolled back", 0],
      [6, "frozen", 0],
      [10, "with nulls", 0],
    ]);
    expect(rows.every(({ xmin }) => xmin === 600)).toBe(true);
    expect(rowsOf(Buffer.alloc(8192))).toEqual([]);
  });

  it("with any bytes yield only rows on the page", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 400 }), fc.nat(0xffff), (bytes, lower) => {
        const content = Buffer.alloc(8192);
        content.set(bytes);
        content.writeUInt16LE(lower, 12);
        for (const { columns } of rowsOf(content))
          expect(columns.byteOffset + columns.length).toBeLessThanOrEqual(content.byteOffset + 8192);
      }),
    );
    expect(rowsOf(page([{ columns: "header within the header", hoff: 22 }]))).toEqual([]);
    expect(
      rowsOf(page([{ columns: "short", hoff: 23 }])).map(({ columns }) => Buffer.from(columns).toString()),
    ).toEqual(["short"]);
  });
});

describe("rows of catalogs", () => {
  it.each([14, 15, 16, 17, 18, 19])("pg_class of PostgreSQL %i", (major) => {
    expect(parseClassRow(classRow(major, "orders"), major)).toEqual({
      oid: 16400,
      name: "orders",
      schema: 2200,
      file: 16500,
      kind: "r",
      isTemporary: false,
    });
    expect(parseClassRow(classRow(major, "x".repeat(63), { kind: "m", persistence: "t" }), major)).toMatchObject({
      name: "x".repeat(63),
      kind: "m",
      isTemporary: true,
    });
    const row = classRow(major, "orders");
    for (let cut = 0; cut < (major >= 18 ? 120 : 116); cut++)
      expect(parseClassRow(row.subarray(0, cut), major)).toBeNull();
  });

  it("of 18 differs from 17", () => {
    expect(parseClassRow(classRow(18, "orders"), 17)?.kind).not.toBe("r");
  });

  it("pg_namespace and pg_database begin alike", () => {
    expect(parseNamedRow(pack([4, 16390], name("schéma")))).toEqual({ oid: 16390, name: "schéma" });
    expect(parseNamedRow(pack([4, 16390], name("x")).subarray(0, 67))).toBeNull();
  });

  it("a database that is being dropped is recognised, wherever its version keeps the limit", () => {
    const old = (limit: number): Uint8Array =>
      pack([4, 5], name("shop"), [4, 10], [4, 6], name("C"), name("C"), [1, 0], [1, 1], [2, 0], [4, limit]);
    const now = (limit: number): Uint8Array =>
      pack([4, 5], name("shop"), [4, 10], [4, 6], "c", [1, 0], [1, 1], [1, 0], [4, limit]);
    for (const [major, row] of [
      [14, old],
      [15, now],
      [18, now],
      [19, now],
    ] as const) {
      expect(isInvalidDatabase(row(-2), major), String(major)).toBe(true);
      expect(isInvalidDatabase(row(-1), major)).toBe(false);
      expect(isInvalidDatabase(row(-2).subarray(0, 79), major)).toBe(false);
    }
  });

  it("parses the map of mapped catalogs, and nothing else", () => {
    const map = pack([4, 0x592717], [4, 2], [4, 1259], [4, 16500], [4, 1262], [4, 1262], Buffer.alloc(500));
    expect([...parseFileMap(map)]).toEqual([
      [1259, 16500],
      [1262, 1262],
    ]);
    expect(parseFileMap(map.subarray(0, 7)).size).toBe(0);
    expect([...parseFileMap(map.subarray(0, 20))]).toEqual([[1259, 16500]]);
    expect(parseFileMap(pack([4, 0x592718], [4, 1], [4, 1], [4, 2])).size).toBe(0);
    expect(parseFileMap(pack([4, 0x592717], [4, -1], Buffer.alloc(512))).size).toBe(0);
    expect(
      parseFileMap(
        pack([4, 0x592717], [4, 0x7fffffff], ...Array.from({ length: 200 }, (_, oid): [4, number] => [4, oid])),
      ).size,
    ).toBe(64);
  });
});
