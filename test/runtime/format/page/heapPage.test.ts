import { fc } from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import {
  isInvalidDatabase,
  parseClassRow,
  parseFileMap,
  parseNamedRow,
  rowsOf,
} from "../../../../runtime/format/page/heapPage";
import { pack } from "../walWriter";

interface Row {
  readonly columns: string;
  readonly xmax?: number;
  readonly mask?: number;
  readonly hoff?: number;
  readonly state?: number;
}

/** A page with these rows. Like in PostgreSQL, rows fill it from the end. */
function page(rows: readonly Row[]): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.writeUInt16LE(24 + rows.length * 4, 12);
  let end = 8192;
  for (const [index, { columns, hoff = 24, mask = 0, state = 1, xmax = 0 }] of rows.entries()) {
    const tuple = Buffer.concat([
      pack([4, 600], [4, xmax], [4, 0], [2, 0], [2, 0], [2, 1], [2, 3], [2, mask], [1, hoff]),
      Buffer.alloc(Math.max(0, hoff - 23)),
      Buffer.from(columns),
    ]);
    end -= Math.ceil(tuple.length / 8) * 8;
    bytes.set(tuple, end);
    bytes.writeUInt32LE((end | (state << 15) | (tuple.length << 17)) >>> 0, 24 + index * 4);
  }
  return bytes;
}

function name(text: string): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write(text);
  return bytes;
}

/** pg_class up to relpersistence and relkind ("catalog/pg_class.h"); relallfrozen is new in 18. */
function classRow(major: number, text: string, kind = "r", persistence = "p"): Uint8Array {
  const allFrozen: (readonly [4, number])[] = major >= 18 ? [[4, 0]] : [];
  return pack(
    [4, 16400],
    name(text),
    [4, 2200],
    [4, 16402],
    [4, 0],
    [4, 10],
    [4, 2],
    [4, 16500],
    [4, 0],
    [4, 1],
    [4, 0],
    [4, 1],
    ...allFrozen,
    [4, 0],
    [1, 1],
    [1, 0],
    persistence,
    kind,
    [2, 3],
  );
}

describe("pages of tables", () => {
  it("yield each row that is still on them, and whether it is old", () => {
    const rows = rowsOf(
      page([
        { columns: "live" },
        { columns: "deleted", xmax: 700 },
        { columns: "locked", xmax: 700, mask: 0x80 },
        { columns: "rolled back", xmax: 700, mask: 0x800 },
        { columns: "free", state: 0 },
        { columns: "dead", state: 3 },
        { columns: "redirected", state: 2 },
        { columns: "with nulls", hoff: 32 },
      ]),
    );
    expect(rows.map(({ columns, isOld, line }) => [line, Buffer.from(columns).toString(), isOld])).toEqual([
      [1, "live", false],
      [2, "deleted", true],
      [3, "locked", false],
      [4, "rolled back", false],
      [8, "with nulls", false],
    ]);
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
    expect(parseClassRow(classRow(major, "x".repeat(63), "m", "t"), major)).toMatchObject({
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
