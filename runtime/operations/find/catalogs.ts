/**
 * Names of relations, schemas and databases from WAL: from changes to pages of pg_class, pg_namespace and pg_database.
 *
 * The first change of a page after a checkpoint carries the whole page (`full_page_writes`). So from a checkpoint on
 * every changed or removed row of these catalogs is fully known: later changes are applied to the page. Untouched pages
 * are unknown here; production or a backup provides their rows.
 */
import {
  type ClassRow,
  isInvalidDatabase,
  type NamedRow,
  parseClassRow,
  parseFileMap,
  parseNamedRow,
  rowsOf,
} from "../../format/page/heapPage";
import { insertedColumns, type RowChange, updatedColumns } from "../../format/wal/walHeap";
import { pageOf, type RelationFile, type WalBlock, type WalContent } from "../../format/wal/walRecord";

const CLASS_OID = 1259;
const NAMESPACE_OID = 2615;
const DATABASE_OID = 1262;
/** Schema `pg_catalog` ("catalog/pg_namespace.dat"). */
export const CATALOG_SCHEMA = 11;

/** PostgreSQL's name of a table that replaces another one in a rewrite ("commands/cluster.c", make_new_heap). */
export const TRANSIENT = /^pg_temp_(\d+)$/;

type Catalog = "class" | "namespace" | "database";

/** The change of one catalog row; a side is null when it does not exist or is unknown. */
export interface CatalogChange {
  readonly catalog: Catalog;
  readonly kind: RowChange["kind"];
  readonly database: number;
  readonly old: Uint8Array | null;
  readonly new: Uint8Array | null;
}

/** What a transaction changed in pg_class; a side is null when it does not exist or is unknown. */
interface RelationChange {
  readonly database: number;
  readonly old: ClassRow | null;
  readonly new: ClassRow | null;
}

/** `database/file`, the key of a relation's files. */
export function fileKey({ database, relation }: Pick<RelationFile, "database" | "relation">): string {
  return `${database}/${relation}`;
}

export class Catalogs {
  readonly #major: number;
  /** Files of mapped and moved catalogs, by `database/oid`; a catalog that never moved has its own number. */
  readonly #files = new Map<string, number>();
  /** Files that a rewrite fills before they become a catalog's. */
  readonly #coming = new Map<string, Catalog>();
  /** Columns of the rows of known pages, by `database/file/block`. */
  readonly #pages = new Map<string, Map<number, Uint8Array>>();
  readonly #relations = new Map<string, ClassRow>();
  /** Catalogs of pg_filenode.map, by `database/file`: pg_class names no file of theirs. */
  readonly #mapped = new Map<string, ClassRow>();
  /** From old rows only: the successor may be on a page that is not known. */
  readonly #formerRelations = new Map<string, ClassRow>();
  /** Transactions that changed pg_class in vain. */
  readonly #rolledBack = new Set<number>();
  readonly #schemas = new Map<string, string>();
  readonly #databases = new Map<number, string>();

  constructor(major: number) {
    this.#major = major;
  }

  /** The relation that has, or had, this file. */
  findRelation(database: number, file: number): ClassRow | undefined {
    const key = `${database}/${file}`;
    return this.#relations.get(key) ?? this.#mapped.get(key);
  }

  /**
   * A relation that had this file, and may have lost it: after VACUUM FULL a table's file is also in the old row of
   * `pg_temp_<oid>`.
   */
  findFormerRelation(database: number, file: number): ClassRow | undefined {
    return this.#formerRelations.get(`${database}/${file}`);
  }

  findSchema(database: number, oid: number): string | undefined {
    return this.#schemas.get(`${database}/${oid}`);
  }

  findDatabase(oid: number): string | undefined {
    return this.#databases.get(oid);
  }

  /** The files of a database's pg_class and pg_namespace. */
  filesOf(database: number): { readonly relations: number; readonly schemas: number } {
    return { relations: this.#fileOf(database, CLASS_OID), schemas: this.#fileOf(database, NAMESPACE_OID) };
  }

  /**
   * Applies the content of pg_filenode.map, or of a record that replaces it; returns the files that it no longer names.
   */
  setFileMap(database: number, bytes: Uint8Array): number[] {
    const replaced: number[] = [];
    for (const [oid, file] of parseFileMap(bytes)) {
      const before = this.#fileOf(database, oid);
      if (before !== file) replaced.push(before);
      this.#files.set(`${database}/${oid}`, file);
      const row = { oid, name: String(oid), schema: CATALOG_SCHEMA, file, kind: "r", isTemporary: false } as const;
      this.#mapped.set(`${database}/${file}`, row);
    }
    return replaced;
  }

  /** Applies page images of any record, then its row change; null when that is no row of these catalogs. */
  apply({ blocks }: WalContent, change: RowChange | null): CatalogChange | null {
    // The row before the change. An image shows the page after the change, where an updated row still exists alongside
    // the new one.
    const before = change === null || change.kind === "inserts" ? null : this.#before(change);
    for (const block of blocks) {
      const catalog = block.image === null || block.fork !== 0 ? null : this.#catalogOf(block.file);
      if (catalog !== null && block.image !== null) this.#setPage(catalog, block, pageOf(block.image));
    }
    if (change === null || change.kind === "inserts") return null;
    const target = change.kind === "update" ? change.to : change;
    const catalog = this.#catalogOf(target.block.file);
    if (catalog === null) return null;
    const { database } = target.block.file;
    const source = change.kind === "update" ? change.from : change;
    const old = change.kind === "insert" ? null : (before ?? this.#rowAt(source.block, source.line));
    if (change.kind === "delete") return { catalog, kind: "delete", database, old, new: null };
    const given =
      change.kind === "update"
        ? updatedColumns(change, old)
        : change.kind === "insert"
          ? insertedColumns(change.block)
          : inplaceRow(change.block);
    const columns = given ?? this.#rowAt(target.block, target.line);
    if (columns !== null) this.#setRow(catalog, target.block, target.line, columns);
    return { catalog, kind: change.kind, database, old, new: columns };
  }

  /**
   * Undoes a transaction's changes of pg_class. Pages still show its rows. Production or a backup may know what was
   * unknown before it.
   */
  rollBack(xid: number, changes: readonly RelationChange[]): void {
    if (changes.length > 0) this.#rolledBack.add(xid);
    for (const { database, new: now } of changes) if (now !== null) this.#relations.delete(`${database}/${now.file}`);
    for (const { database, old } of changes)
      if (old !== null && old.file !== 0) this.#relations.set(`${database}/${old.file}`, old);
  }

  /** Called when WAL is missing: pages may have changed, names stay. */
  forgetPages(): void {
    this.#pages.clear();
  }

  /** Parses a row from production's or a backup's pages, for names that WAL does not show. */
  relationOf(columns: Uint8Array): ClassRow | null {
    return parseClassRow(columns, this.#major);
  }

  namedOf(columns: Uint8Array): NamedRow | null {
    return parseNamedRow(columns);
  }

  isInvalidDatabase(columns: Uint8Array): boolean {
    return isInvalidDatabase(columns, this.#major);
  }

  #before(change: Exclude<RowChange, { kind: "inserts" }>): Uint8Array | null {
    const { block, line } = change.kind === "update" ? change.from : change;
    return this.#catalogOf(block.file) === null ? null : this.#rowAt(block, line);
  }

  #catalogOf({ database, relation }: RelationFile): Catalog | null {
    const coming = this.#coming.get(`${database}/${relation}`);
    if (coming !== undefined) return coming;
    if (database === 0) return relation === this.#fileOf(0, DATABASE_OID) ? "database" : null;
    if (relation === this.#fileOf(database, CLASS_OID)) return "class";
    return relation === this.#fileOf(database, NAMESPACE_OID) ? "namespace" : null;
  }

  #fileOf(database: number, oid: number): number {
    return this.#files.get(`${database}/${oid}`) ?? oid;
  }

  #rowAt(block: WalBlock, line: number): Uint8Array | null {
    return this.#pages.get(pageKey(block))?.get(line) ?? null;
  }

  #setPage(catalog: Catalog, block: WalBlock, page: Uint8Array): void {
    const rows = rowsOf(page).filter(({ xmin }) => !this.#rolledBack.has(xmin));
    this.#pages.set(pageKey(block), new Map(rows.map(({ line, columns }) => [line, columns])));
    for (const { columns, xmax } of rows)
      this.#learn(catalog, block.file.database, columns, xmax !== 0 && !this.#rolledBack.has(xmax));
  }

  #setRow(catalog: Catalog, block: WalBlock, line: number, columns: Uint8Array): void {
    // Copied: the segment's memory is released.
    const own = new Uint8Array(columns);
    const key = pageKey(block);
    const page = this.#pages.get(key);
    if (page === undefined) this.#pages.set(key, new Map([[line, own]]));
    else page.set(line, own);
    this.#learn(catalog, block.file.database, own);
  }

  /** VACUUM FULL makes a table `pg_temp_<oid>`; its file becomes the catalog's at the end. */
  #learnRewrite({ file, name, oid }: ClassRow, database: number): void {
    const of = TRANSIENT.exec(name)?.[1];
    const own = file === 0 ? oid : file;
    if (of === String(CLASS_OID)) this.#coming.set(`${database}/${own}`, "class");
    else if (of === String(NAMESPACE_OID)) this.#coming.set(`${database}/${own}`, "namespace");
    else if (of === String(DATABASE_OID)) this.#coming.set(`0/${own}`, "database");
  }

  /** An old row changes nothing that is known: its successor may be on another page. */
  #learn(catalog: Catalog, database: number, columns: Uint8Array, isOld = false): void {
    if (catalog === "class") {
      const row = parseClassRow(columns, this.#major);
      if (row === null) return;
      if (row.file !== 0) (isOld ? this.#formerRelations : this.#relations).set(`${database}/${row.file}`, row);
      this.#learnRewrite(row, database);
      if (row.oid === NAMESPACE_OID && row.file !== 0)
        setUnless(isOld, this.#files, `${database}/${NAMESPACE_OID}`, row.file);
      return;
    }
    const row = parseNamedRow(columns);
    if (row === null) return;
    if (catalog === "namespace") setUnless(isOld, this.#schemas, `${database}/${row.oid}`, row.name);
    else setUnless(isOld, this.#databases, row.oid, row.name);
  }
}

/** Keeps what is known if the value is old. */
function setUnless<K, V>(isOld: boolean, known: Map<K, V>, key: K, value: V): void {
  if (!isOld || !known.has(key)) known.set(key, value);
}

function pageKey({ block, file }: WalBlock): string {
  return `${fileKey(file)}/${block}`;
}

function inplaceRow({ data }: WalBlock): Uint8Array | null {
  return data.length === 0 ? null : data;
}
