import { expect, it } from "vitest";
import type { WalBlock } from "../../../../runtime/format/wal/walRecord";
import { CATALOG_SCHEMA, Catalogs } from "../../../../runtime/operations/find/catalogs";
import { classRow, page, type Row } from "../../format/page/pages";

const MAJOR = 18;
const DATABASE = 5;
const FILE = 16500;

/** An image of a page of pg_class, in a record that changes no row. */
function image(
  block: number,
  rows: readonly Row[],
): { readonly blocks: readonly WalBlock[]; readonly main: Uint8Array } {
  const file = { tablespace: 1663, database: DATABASE, relation: 1259 };
  const pageImage = { bytes: page(rows), holeOffset: 0, holeSizeBytes: 0, compression: "none" } as const;
  return {
    blocks: [{ id: 0, fork: 0, file, block, image: pageImage, data: new Uint8Array(0) }],
    main: new Uint8Array(0),
  };
}

it("after VACUUM FULL a file is the table's, whatever page with the old row of its temporary name comes later", () => {
  const table = { columns: classRow(MAJOR, "orders", { file: FILE }) };
  const temporary = { columns: classRow(MAJOR, "pg_temp_16400", { oid: 16390, file: FILE }) };
  const catalogs = new Catalogs(MAJOR);
  const nameOf = (): string | undefined => catalogs.findRelation(DATABASE, FILE)?.name;
  catalogs.apply(image(7, [temporary]), null);
  expect(nameOf()).toBe("pg_temp_16400");
  catalogs.apply(image(3, [table]), null);
  catalogs.apply(image(7, [{ ...temporary, xmax: 700 }]), null);
  expect(nameOf()).toBe("orders");

  // Without the table's page, production and backups are asked first.
  const partial = new Catalogs(MAJOR);
  partial.apply(image(7, [{ ...temporary, xmax: 700 }]), null);
  expect(partial.findRelation(DATABASE, FILE)).toBeUndefined();
  expect(partial.findFormerRelation(DATABASE, FILE)?.name).toBe("pg_temp_16400");
});

it("a name that was rolled back is forgotten, also when a page still shows it", () => {
  const catalogs = new Catalogs(MAJOR);
  const [old, renamed] = [classRow(MAJOR, "orders", { file: FILE }), classRow(MAJOR, "renamed", { file: FILE })];
  const nameOf = (): string | undefined => catalogs.findRelation(DATABASE, FILE)?.name;
  catalogs.apply(image(3, [{ columns: renamed }]), null);
  const now = catalogs.relationOf(renamed);
  catalogs.rollBack(700, [{ database: DATABASE, old: null, new: now }]);
  expect(nameOf()).toBeUndefined();
  catalogs.rollBack(701, [{ database: DATABASE, old: catalogs.relationOf(old), new: now }]);
  expect(nameOf()).toBe("orders");
  const rows = [
    { columns: old, xmax: 701 },
    { columns: renamed, xmin: 701 },
    { columns: renamed, mask: 0x200 },
  ];
  catalogs.apply(image(3, rows), null);
  expect(nameOf()).toBe("orders");
});

it("a mapped catalog that VACUUM FULL moved stays a catalog, with its former file too", () => {
  const catalogs = new Catalogs(MAJOR);
  const map = (file: number): Uint8Array => {
    const bytes = Buffer.alloc(512);
    for (const [index, value] of [0x592717, 1, 1249, file].entries()) bytes.writeUInt32LE(value, index * 4);
    return bytes;
  };
  for (const file of [1249, 16700, 16800]) catalogs.setFileMap(DATABASE, map(file));
  for (const file of [16700, 16800])
    expect(catalogs.findRelation(DATABASE, file)).toMatchObject({ oid: 1249, schema: CATALOG_SCHEMA });
  expect(catalogs.findRelation(DATABASE, 16900)).toBeUndefined();
});
