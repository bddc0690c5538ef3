/**
 * Names of relations, schemas and databases as WAL tells them: what it writes to the pages of pg_class, pg_namespace and pg_database.
 *
 * The first change of a page behind a checkpoint carries the whole page (`full_page_writes`). So from a checkpoint on every row of these
 * catalogs that is changed or removed is known in full, whatever becomes of it: a page that came whole is followed change by change. Pages
 * that were not touched since are not here; who needs their rows asks production or a backup.
 */
import { type ClassRow, isInvalidDatabase, type NamedRow, parseClassRow, parseFileMap, parseNamedRow, rowsOf } from "../../format/page/heapPage";
import { insertedColumns, type RowChange, updatedColumns } from "../../format/wal/walHeap";
import { pageOf, type RelationFile, type WalBlock, type WalContent } from "../../format/wal/walRecord";

const CLASS_OID = 1259;
const NAMESPACE_OID = 2615;
const DATABASE_OID = 1262;

type Catalog = "class" | "namespace" | "database";

/** What a change did to one row of a catalog; a side is null when there is none, or when its row is not known. */
export interface CatalogChange {
  readonly catalog: Catalog;
  readonly kind: RowChange["kind"];
  readonly database: number;
  readonly old: Uint8Array | null;
  readonly new: Uint8Array | null;
}

/** `database/file`, the key of everything about a relation's files. */
export function fileKey({ database, relation }: Pick<RelationFile, "database" | "relation">): string {
  return `${database}/${relation}`;
}

export class Catalogs {
  readonly #major: number;
  /** Files of mapped and moved catalogs, by `database/oid`; those that never moved have their number. */
  readonly #files = new Map<string, number>();
  /** Files that a rewrite fills before it says that they are a catalog's. */
  readonly #coming = new Map<string, Catalog>();
  /** Columns of the rows of pages that are known, by `database/file/block`. */
  readonly #pages = new Map<string, Map<number, Uint8Array>>();
  readonly #relations = new Map<string, ClassRow>();
  readonly #schemas = new Map<string, string>();
  readonly #databases = new Map<number, string>();

  constructor(major: number) {
    this.#major = major;
  }

  /** Of a relation that has, or had, this file. */
  findRelation(database: number, file: number): ClassRow | undefined {
    return this.#relations.get(`${database}/${file}`);
  }

  findSchema(database: number, oid: number): string | undefined {
    return this.#schemas.get(`${database}/${oid}`);
  }

  findDatabase(oid: number): string | undefined {
    return this.#databases.get(oid);
  }

  /** pg_class and pg_namespace of a database: where their rows lie. */
  filesOf(database: number): { readonly relations: number; readonly schemas: number } {
    return { relations: this.#fileOf(database, CLASS_OID), schemas: this.#fileOf(database, NAMESPACE_OID) };
  }

  /** The content of pg_filenode.map, or of a record that replaces it; gives the files that are no longer named. */
  setFileMap(database: number, bytes: Uint8Array): number[] {
    const replaced: number[] = [];
    for (const [oid, file] of parseFileMap(bytes)) {
      const before = this.#fileOf(database, oid);
      if (before !== file) replaced.push(before);
      this.#files.set(`${database}/${oid}`, file);
    }
    return replaced;
  }

  /** Images of pages in any record, then what it does to a row; null when that is no row of these catalogs. */
  apply({ blocks }: WalContent, change: RowChange | null): CatalogChange | null {
    // The row as it was: an image shows the page as it is after the change, where an updated row is still there beside the new one.
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
    const told =
      change.kind === "update" ? updatedColumns(change, old) : change.kind === "insert" ? insertedColumns(change.block) : inPlace(change.block);
    const columns = told ?? this.#rowAt(target.block, target.line);
    if (columns !== null) this.#setRow(catalog, target.block, target.line, columns);
    return { catalog, kind: change.kind, database, old, new: columns };
  }

  /** Part of the WAL was not seen: pages may have changed, names stay what they were. */
  forgetPages(): void {
    this.#pages.clear();
  }

  /** Rows of a page that came from elsewhere, for who has read it: their names, where WAL tells no others. */
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
    const rows = rowsOf(page);
    this.#pages.set(pageKey(block), new Map(rows.map(({ line, columns }) => [line, columns])));
    // Rows that hold count for more than what was there before them.
    for (const { columns } of rows.toSorted((left, right) => Number(right.isOld) - Number(left.isOld)))
      this.#learn(catalog, block.file.database, columns);
  }

  #setRow(catalog: Catalog, block: WalBlock, line: number, columns: Uint8Array): void {
    // Not of the segment's memory.
    const own = new Uint8Array(columns);
    const key = pageKey(block);
    const page = this.#pages.get(key);
    if (page === undefined) this.#pages.set(key, new Map([[line, own]]));
    else page.set(line, own);
    this.#learn(catalog, block.file.database, own);
  }

  /** VACUUM FULL makes a table `pg_temp_<oid>` whose file, of its own number, becomes the catalog's when it is over. */
  #learnRewrite({ file, name, oid }: ClassRow, database: number): void {
    const of = /^pg_temp_(\d+)$/.exec(name)?.[1];
    const own = file === 0 ? oid : file;
    if (of === String(CLASS_OID)) this.#coming.set(`${database}/${own}`, "class");
    else if (of === String(NAMESPACE_OID)) this.#coming.set(`${database}/${own}`, "namespace");
    else if (of === String(DATABASE_OID)) this.#coming.set(`0/${own}`, "database");
  }

  #learn(catalog: Catalog, database: number, columns: Uint8Array): void {
    if (catalog === "class") {
      const row = parseClassRow(columns, this.#major);
      if (row === null) return;
      if (row.file !== 0) this.#relations.set(`${database}/${row.file}`, row);
      this.#learnRewrite(row, database);
      if (row.oid === NAMESPACE_OID && row.file !== 0) this.#files.set(`${database}/${NAMESPACE_OID}`, row.file);
      return;
    }
    const row = parseNamedRow(columns);
    if (row === null) return;
    if (catalog === "namespace") this.#schemas.set(`${database}/${row.oid}`, row.name);
    else this.#databases.set(row.oid, row.name);
  }
}

function pageKey({ block, file }: WalBlock): string {
  return `${fileKey(file)}/${block}`;
}

function inPlace({ data }: WalBlock): Uint8Array | null {
  return data.length === 0 ? null : data;
}
