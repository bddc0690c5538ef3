/**
 * Tracks each transaction until its end in WAL: the rows that it changes, by file, and its changes of the catalogs.
 *
 * Subtransactions have their own numbers; the commit record names those of its transaction. A rolled back transaction
 * is forgotten. Memory grows with the number of concurrent transactions, not with the WAL.
 */
import { viewOf } from "../../base/bytes";
import { fail, isError } from "../../base/errors";
import type { ClassRow, NamedRow } from "../../format/page/heapPage";
import { parseRowChange, type RowChange } from "../../format/wal/walHeap";
import type { WalRecord } from "../../format/wal/walReader";
import { OPERATION, operationOf, RESOURCE_MANAGER } from "../../format/wal/walOperations";
import { parseRecord, type RelationFile } from "../../format/wal/walRecord";
import { type Checkpoint, checkpointOf, isCheckpoint } from "../../format/wal/walCheckpoint";
import { formatLsn } from "../../format/wal/walSegment";
import { parseTransactionEnd, type TransactionEnd } from "../../format/wal/walTransaction";
import { type CatalogChange, Catalogs, fileKey, TRANSIENT } from "./catalogs";

export interface RowCounts {
  readonly file: RelationFile;
  inserts: number;
  updates: number;
  deletes: number;
}

export interface ClassChange {
  readonly database: number;
  /** Null when the row is unknown. */
  old: ClassRow | null;
  /** Null when it is removed. */
  new: ClassRow | null;
  isNew: boolean;
  /** Every file that it had during the transaction, by `database/file`. */
  readonly files: Set<string>;
  /** A known row of the relation. */
  readonly row: ClassRow;
  /** Position of its first change. */
  firstLsn: bigint;
  /** Position of its last change. */
  lsn: bigint;
}

/** The effects of one transaction or subtransaction so far. */
export interface Activity {
  readonly xid: number;
  /** Position of its first record. */
  readonly firstLsn: bigint;
  readonly rows: Map<string, RowCounts>;
  /** Changes by `database/oid`. */
  readonly relations: Map<string, ClassChange>;
  /** Changes of pg_class with an unknown row. */
  unknownDrops: number;
  readonly schemas: { readonly database: number; readonly row: NamedRow | null }[];
  readonly databases: { readonly oid: number; readonly row: NamedRow | null }[];
  /** Databases whose directory it removed, which no rollback restores. */
  readonly removedDatabases: { readonly oid: number; readonly lsn: bigint }[];
  /** New files filled page by page: of a moved table, not a truncated one. */
  readonly copied: Set<string>;
  /** Old files of catalogs that have new ones. */
  readonly remapped: Set<string>;
  isPrepared: boolean;
}

export interface Ended {
  readonly end: TransactionEnd;
  /** Position of the record that ends it. */
  readonly lsn: bigint;
  /** Activity of all its parts; null when it did nothing relevant. */
  readonly activity: Activity | null;
  /** Where the first of its removed databases was marked as invalid. */
  readonly markedLsn: bigint | null;
  /** A part of it began, or may have begun, before the WAL that was read. */
  readonly isCut: boolean;
}

/** Offset in a running-transactions record ("storage/standbydefs.h", xl_running_xacts). */
const NEXT_XID_OFFSET = 12;
const OLDEST_RUNNING_OFFSET = 16;
const MAP_HEAD_SIZE_BYTES = 12;

export class ActivityTracker {
  readonly catalogs: Catalogs;
  readonly #major: number;
  readonly #running = new Map<number, Activity>();
  /** Names of prepared transactions: the record that ends one has its name only for logical decoding. */
  readonly #prepared = new Map<number, string>();
  #markedLsn: bigint | null = null;

  /** Position of the first record after the last gap. */
  #beganLsn: bigint | null = null;
  /** Transactions from this number on began in the WAL that was read; null while unknown. */
  #wholeFromXid: number | null;

  /** @param wholeFromXid transactions from this number on begin in the WAL to read; null when unknown */
  constructor(major: number, wholeFromXid: number | null) {
    this.#major = major;
    this.#wholeFromXid = wholeFromXid;
    this.catalogs = new Catalogs(major);
  }

  /** The transaction that this record ends, or null. @throws format */
  add(record: WalRecord): Ended | null {
    this.#beganLsn ??= record.lsn;
    try {
      return this.#apply(record);
    } catch (error) {
      if (isError(error)) throw error;
      throw fail("format", `unable to parse the WAL record at ${formatLsn(record.lsn)}`, { cause: error });
    }
  }

  #apply(record: WalRecord): Ended | null {
    switch (record.resourceManager) {
      case RESOURCE_MANAGER.heap:
      case RESOURCE_MANAGER.heap2:
        this.#rows(record);
        return null;
      case RESOURCE_MANAGER.transaction:
        return this.#transaction(record);
      case RESOURCE_MANAGER.xlog:
        this.#xlog(record);
        return null;
      case RESOURCE_MANAGER.database:
        this.#database(record);
        return null;
      case RESOURCE_MANAGER.relationMap:
        if (operationOf(record) === OPERATION.relationMap.update) this.#map(record);
        return null;
      case RESOURCE_MANAGER.standby:
        if (operationOf(record) === OPERATION.standby.running)
          this.#forgetBefore(parseRecord(record, this.#major).main);
        return null;
      default:
        return null;
    }
  }

  /** Called when WAL is missing: running transactions may have ended in it, and pages may have changed. */
  lose(): void {
    this.#running.clear();
    this.#markedLsn = null;
    this.#wholeFromXid = null;
    this.#beganLsn = null;
    this.catalogs.forgetPages();
  }

  #rows(record: WalRecord): void {
    const content = parseRecord(record, this.#major);
    const change = parseRowChange(record, content);
    const catalogChange = this.catalogs.apply(content, change);
    if (
      catalogChange?.catalog === "database" &&
      catalogChange.new !== null &&
      catalogChange.kind === "inPlace" &&
      this.catalogs.isInvalidDatabase(catalogChange.new)
    )
      this.#markedLsn = record.lsn;
    if (change === null || record.xid === 0) return;
    const activity = this.#of(record);
    count(activity, change);
    if (catalogChange !== null) this.#catalogChange(activity, catalogChange, record.lsn);
  }

  #catalogChange(activity: Activity, change: CatalogChange, lsn: bigint): void {
    const { database, kind } = change;
    if (change.catalog === "class") {
      const [old, now] = [change.old, change.new].map((columns) =>
        columns === null ? null : this.catalogs.relationOf(columns),
      );
      const row = now ?? old ?? null;
      if (row === null) {
        if (kind === "delete") activity.unknownDrops++;
        return;
      }
      // Repeated changes: REPACK (CONCURRENTLY) makes them in the new file before it becomes the table's.
      if (old && now && old.file !== now.file && !TRANSIENT.test(now.name))
        activity.rows.delete(`${database}/${now.file}`);
      const files = new Set(
        [old, now].flatMap((each) =>
          each === null || each === undefined || each.file === 0 ? [] : [`${database}/${each.file}`],
        ),
      );
      noteRelation(activity, {
        database,
        old: old ?? null,
        new: now ?? null,
        isNew: kind === "insert",
        files,
        row,
        firstLsn: lsn,
        lsn,
      });
      return;
    }
    if (kind !== "delete") return;
    const row = change.old === null ? null : this.catalogs.namedOf(change.old);
    if (change.catalog === "namespace") activity.schemas.push({ database, row });
    else if (row !== null) activity.databases.push({ oid: row.oid, row });
  }

  #transaction(record: WalRecord): Ended | null {
    const { main } = parseRecord(record, this.#major);
    const end = parseTransactionEnd(main, record.info, record.xid, this.#major);
    if (end === null) return null;
    if (end.kind === "prepare") {
      for (const xid of [end.xid, ...end.subtransactions]) {
        const part = this.#running.get(xid);
        if (part !== undefined) part.isPrepared = true;
      }
      this.#prepared.set(end.xid, end.preparedAs ?? "");
      return { end, lsn: record.lsn, activity: null, markedLsn: null, isCut: false };
    }
    const named = end.preparedAs === null ? end : { ...end, preparedAs: this.#prepared.get(end.xid) ?? end.preparedAs };
    this.#prepared.delete(end.xid);
    const parts = [end.xid, ...end.subtransactions].flatMap((xid) => this.#running.get(xid) ?? []);
    // Subtransactions have higher numbers.
    const isCut = this.#isCut(end.xid);
    if (end.kind === "abort") {
      for (const part of parts) this.#rollBack(part);
      return { end: named, lsn: record.lsn, activity: null, markedLsn: null, isCut };
    }
    for (const xid of [end.xid, ...end.subtransactions]) this.#running.delete(xid);
    const activity = merged(end.xid, parts);
    const ended = { end: named, lsn: record.lsn, activity, markedLsn: this.#markedLsn, isCut };
    if (activity !== null && activity.removedDatabases.length > 0) this.#markedLsn = null;
    return ended;
  }

  #xlog(record: WalRecord): void {
    const operation = operationOf(record);
    // All running transactions ended with the server; prepared ones did not.
    if (operation === OPERATION.xlog.shutdown)
      for (const activity of this.#running.values()) if (!activity.isPrepared) this.#rollBack(activity);
    const content = parseRecord(record, this.#major);
    if (isCheckpoint(record)) this.#checkpoint(checkpointOf(content.main, this.#major));
    if (content.blocks.length === 0) return;
    this.catalogs.apply(content, null);
    if (operation === OPERATION.xlog.page && record.xid !== 0) {
      const activity = this.#of(record);
      for (const { file, fork } of content.blocks) if (fork === 0) activity.copied.add(fileKey(file));
    }
  }

  #checkpoint({ nextXid, redo }: Checkpoint): void {
    if (this.#beganLsn !== null && redo >= this.#beganLsn) this.#wholeFromXid ??= nextXid;
  }

  #database(record: WalRecord): void {
    const { drop, drop14 } = OPERATION.database;
    if (operationOf(record) !== (this.#major >= 15 ? drop : drop14)) return;
    const { main } = parseRecord(record, this.#major);
    const oid = viewOf(main).getUint32(0, true);
    if (record.xid !== 0) this.#of(record).removedDatabases.push({ oid, lsn: record.lsn });
  }

  #map(record: WalRecord): void {
    const { main } = parseRecord(record, this.#major);
    const database = viewOf(main).getUint32(0, true);
    const replaced = this.catalogs.setFileMap(database, main.subarray(MAP_HEAD_SIZE_BYTES));
    if (record.xid !== 0) for (const file of replaced) this.#of(record).remapped.add(`${database}/${file}`);
  }

  #isCut(xid: number): boolean {
    return this.#wholeFromXid === null || isBefore(xid, this.#wholeFromXid);
  }

  /** After a crash no record ends the lost transactions. */
  #forgetBefore(main: Uint8Array): void {
    const view = viewOf(main);
    const oldest = view.getUint32(OLDEST_RUNNING_OFFSET, true);
    this.#wholeFromXid ??= view.getUint32(NEXT_XID_OFFSET, true);
    for (const activity of this.#running.values()) if (isBefore(activity.xid, oldest)) this.#rollBack(activity);
  }

  #rollBack({ relations, xid }: Activity): void {
    this.#running.delete(xid);
    this.catalogs.rollBack(xid, [...relations.values()]);
  }

  #of({ lsn, xid }: WalRecord): Activity {
    const known = this.#running.get(xid);
    if (known !== undefined) return known;
    const activity = emptyActivity(xid, lsn);
    this.#running.set(xid, activity);
    return activity;
  }
}

/** Transaction numbers wrap around. */
function isBefore(left: number, right: number): boolean {
  return ((left - right) | 0) < 0;
}

function emptyActivity(xid: number, firstLsn: bigint): Activity {
  return {
    xid,
    firstLsn,
    rows: new Map(),
    relations: new Map(),
    unknownDrops: 0,
    schemas: [],
    databases: [],
    removedDatabases: [],
    copied: new Set(),
    remapped: new Set(),
    isPrepared: false,
  };
}

function count({ rows }: Activity, change: RowChange): void {
  if (change.kind === "inPlace") return;
  const { file } = change.kind === "update" ? change.to.block : change.block;
  const key = fileKey(file);
  let counts = rows.get(key);
  if (counts === undefined) {
    counts = { file, inserts: 0, updates: 0, deletes: 0 };
    rows.set(key, counts);
  }
  if (change.kind === "update" || (change.kind === "delete" && change.isMove)) counts.updates++;
  else if (change.kind === "delete") counts.deletes++;
  else counts.inserts += change.kind === "inserts" ? change.count : 1;
}

/** Keeps the state before the transaction and the state after it: changes of its parts come in any order. */
function noteRelation({ relations }: Activity, change: ClassChange): void {
  const key = `${change.database}/${change.row.oid}`;
  const known = relations.get(key);
  if (known === undefined) {
    relations.set(key, { ...change });
    return;
  }
  for (const file of change.files) known.files.add(file);
  if (change.firstLsn < known.firstLsn) {
    known.old = change.old;
    known.isNew = change.isNew;
    known.firstLsn = change.firstLsn;
  }
  if (change.lsn > known.lsn) {
    known.new = change.new;
    known.lsn = change.lsn;
  }
}

function merged(xid: number, parts: readonly Activity[]): Activity | null {
  const [first, ...rest] = parts;
  if (first === undefined) return null;
  if (rest.length === 0) return first;
  const lsns = parts.map(({ firstLsn }) => firstLsn);
  const all = emptyActivity(
    xid,
    lsns.reduce((least, lsn) => (lsn < least ? lsn : least)),
  );
  for (const part of parts.toSorted((left, right) => (left.firstLsn < right.firstLsn ? -1 : 1))) {
    for (const [key, counts] of part.rows) {
      const sum = all.rows.get(key);
      if (sum === undefined) all.rows.set(key, { ...counts });
      else for (const name of ["inserts", "updates", "deletes"] as const) sum[name] += counts[name];
    }
    for (const change of part.relations.values()) noteRelation(all, change);
    all.unknownDrops += part.unknownDrops;
    all.schemas.push(...part.schemas);
    all.databases.push(...part.databases);
    all.removedDatabases.push(...part.removedDatabases);
    for (const key of part.copied) all.copied.add(key);
    for (const key of part.remapped) all.remapped.add(key);
  }
  return all;
}
