/**
 * Table pages, and rows of the few system catalogs whose first columns have fixed offsets. (PostgreSQL
 * "storage/bufpage.h", "storage/itemid.h", "access/htup_details.h", "catalog/pg_class.h", "catalog/pg_namespace.h",
 * "catalog/pg_database.h".)
 */
import { textOf, viewOf } from "../../base/bytes";

interface PageRow {
  /** Counts from 1. */
  readonly line: number;
  /** Columns, after the tuple's header. */
  readonly columns: Uint8Array;
  /** The transaction that wrote it. */
  readonly xmin: number;
  /** The transaction that deleted or replaced it, or is about to; 0 if absent. */
  readonly xmax: number;
}

const PAGE_HEADER_SIZE_BYTES = 24;
const LOWER_OFFSET = 12;
const ITEM_SIZE_BYTES = 4;
const ITEM_NORMAL = 1;
const TUPLE_HEADER_SIZE_BYTES = 23;
const XMAX_OFFSET = 4;
const INFOMASK_OFFSET = 20;
const COLUMNS_OFFSET = 22;
const XMIN_COMMITTED = 0x0100;
const XMIN_INVALID = 0x0200;
const XMAX_INVALID = 0x0800;
const XMAX_LOCK_ONLY = 0x0080;

/**
 * Rows whose bytes are still on the page, including dead ones. Rows that are not on the page are omitted. So are those
 * that PostgreSQL has marked as rolled back, which it does only when somebody reads them.
 */
export function rowsOf(page: Uint8Array): PageRow[] {
  const view = viewOf(page);
  const end = Math.min(view.getUint16(LOWER_OFFSET, true), page.length);
  const rows: PageRow[] = [];
  for (let at = PAGE_HEADER_SIZE_BYTES, line = 1; at + ITEM_SIZE_BYTES <= end; at += ITEM_SIZE_BYTES, line++) {
    const item = view.getUint32(at, true);
    const begin = item & 0x7fff;
    const sizeBytes = item >>> 17;
    if (((item >>> 15) & 3) !== ITEM_NORMAL || sizeBytes < TUPLE_HEADER_SIZE_BYTES || begin + sizeBytes > page.length)
      continue;
    const columnsAt = view.getUint8(begin + COLUMNS_OFFSET);
    if (columnsAt < TUPLE_HEADER_SIZE_BYTES || columnsAt > sizeBytes) continue;
    const mask = view.getUint16(begin + INFOMASK_OFFSET, true);
    // Both bits: frozen.
    if ((mask & (XMIN_COMMITTED | XMIN_INVALID)) === XMIN_INVALID) continue;
    const xmin = view.getUint32(begin, true);
    const xmax = (mask & (XMAX_INVALID | XMAX_LOCK_ONLY)) === 0 ? view.getUint32(begin + XMAX_OFFSET, true) : 0;
    rows.push({ line, columns: page.subarray(begin + columnsAt, begin + sizeBytes), xmin, xmax });
  }
  return rows;
}

/** `relkind` of pg_class, as PostgreSQL writes it. */
export type RelationKind = string;

export interface ClassRow {
  readonly oid: number;
  readonly name: string;
  readonly schema: number;
  /** 0 without its own file: views, partitioned tables, and mapped catalogs. */
  readonly file: number;
  readonly kind: RelationKind;
  readonly isTemporary: boolean;
}

export interface NamedRow {
  readonly oid: number;
  readonly name: string;
}

const NAME_SIZE_BYTES = 64;
/** PostgreSQL 18 adds one column before these (relallfrozen). */
const KIND_OFFSET = 115;
const PERSISTENCE_OFFSET = 114;

/** A row of pg_class; null when it is too short. */
export function parseClassRow(columns: Uint8Array, major: number): ClassRow | null {
  const shift = major >= 18 ? 4 : 0;
  if (columns.length <= KIND_OFFSET + shift) return null;
  const view = viewOf(columns);
  return {
    oid: view.getUint32(0, true),
    name: nameAt(columns, 4),
    schema: view.getUint32(68, true),
    file: view.getUint32(88, true),
    kind: String.fromCharCode(columns[KIND_OFFSET + shift] as number),
    isTemporary: columns[PERSISTENCE_OFFSET + shift] === "t".charCodeAt(0),
  };
}

/** A row of pg_namespace or pg_database, both of which begin with oid and name; null when it is too short. */
export function parseNamedRow(columns: Uint8Array): NamedRow | null {
  if (columns.length < 4 + NAME_SIZE_BYTES) return null;
  return {
    oid: viewOf(columns).getUint32(0, true),
    name: nameAt(columns, 4),
  };
}

/** A row of pg_inherits: two oids (PostgreSQL "catalog/pg_inherits.h"); zeros when it is too short. */
export function parseInheritance(columns: Uint8Array): { readonly child: number; readonly parent: number } {
  if (columns.length < 8) return { child: 0, parent: 0 };
  const view = viewOf(columns);
  return { child: view.getUint32(0, true), parent: view.getUint32(4, true) };
}

/** DROP DATABASE first sets the connection limit to -2 (PostgreSQL "catalog/pg_database.h"). */
export function isInvalidDatabase(columns: Uint8Array, major: number): boolean {
  const offset = major < 15 ? 208 : 80;
  if (columns.length < offset + 4) return false;
  return viewOf(columns).getInt32(offset, true) === -2;
}

function nameAt(bytes: Uint8Array, begin: number): string {
  const name = bytes.subarray(begin, begin + NAME_SIZE_BYTES);
  const end = name.indexOf(0);
  return textOf(end === -1 ? name : name.subarray(0, end));
}

const MAP_MAGIC = 0x592717;
const MAP_ENTRIES_MAX = 64;

/**
 * The file of each mapped catalog, by oid, from pg_filenode.map or a record that replaces it; empty for invalid
 * content. (PostgreSQL "utils/cache/relmapper.c".)
 */
export function parseFileMap(bytes: Uint8Array): ReadonlyMap<number, number> {
  const view = viewOf(bytes);
  const files = new Map<number, number>();
  if (bytes.length < 8 || view.getUint32(0, true) !== MAP_MAGIC) return files;
  const count = Math.min(view.getInt32(4, true), MAP_ENTRIES_MAX, Math.floor((bytes.length - 8) / 8));
  for (let index = 0; index < count; index++)
    files.set(view.getUint32(8 + index * 8, true), view.getUint32(12 + index * 8, true));
  return files;
}
