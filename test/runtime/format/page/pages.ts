/** Pages of tables as PostgreSQL writes them, row by row. */
import { pack } from "../walWriter";

export interface Row {
  readonly columns: string | Uint8Array;
  readonly xmin?: number;
  readonly xmax?: number;
  readonly mask?: number;
  readonly hoff?: number;
  readonly state?: number;
}

/** A page with these rows. Like in PostgreSQL, rows fill it from the end. */
export function page(rows: readonly Row[]): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.writeUInt16LE(24 + rows.length * 4, 12);
  let end = 8192;
  for (const [index, { columns, hoff = 24, mask = 0, state = 1, xmin = 600, xmax = 0 }] of rows.entries()) {
    const tuple = Buffer.concat([
      pack([4, xmin], [4, xmax], [4, 0], [2, 0], [2, 0], [2, 1], [2, 3], [2, mask], [1, hoff]),
      Buffer.alloc(Math.max(0, hoff - 23)),
      typeof columns === "string" ? Buffer.from(columns) : columns,
    ]);
    end -= Math.ceil(tuple.length / 8) * 8;
    bytes.set(tuple, end);
    bytes.writeUInt32LE((end | (state << 15) | (tuple.length << 17)) >>> 0, 24 + index * 4);
  }
  return bytes;
}

export function name(text: string): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write(text);
  return bytes;
}

/** pg_class up to relpersistence and relkind ("catalog/pg_class.h"); relallfrozen is new in 18. */
export function classRow(
  major: number,
  text: string,
  { kind = "r", persistence = "p", oid = 16400, file = 16500 } = {},
): Uint8Array {
  const allFrozen: (readonly [4, number])[] = major >= 18 ? [[4, 0]] : [];
  return pack(
    [4, oid],
    name(text),
    [4, 2200],
    [4, 16402],
    [4, 0],
    [4, 10],
    [4, 2],
    [4, file],
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
