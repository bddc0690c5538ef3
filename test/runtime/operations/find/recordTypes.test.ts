/**
 * The classes of PostgreSQL's WAL record types: what `find` takes from a record, or why it takes nothing. Each type of
 * PostgreSQL's own list must be in one class.
 */
import { describe, expect, it } from "vitest";
import { type Activity, ActivityTracker, type Ended } from "../../../../runtime/operations/find/activity";
import { LISTED_MAJORS, listedTypes, type RecordType } from "../../../harness/recordTypes";
import { classRow, page } from "../../format/page/pages";
import { type Body, bodyOf, endOf, pack } from "../../format/walWriter";

/** Types that `find` reads, with what one record shows. */
const READ: Readonly<Record<string, string>> = {
  XLOG_CHECKPOINT_SHUTDOWN: "transaction numbers, end of the server",
  XLOG_CHECKPOINT_ONLINE: "transaction numbers",
  // A table that moves to another tablespace, with its rows.
  XLOG_FPI: "copied page",
  XLOG_XACT_COMMIT: "commit",
  XLOG_XACT_PREPARE: "prepare",
  XLOG_XACT_ABORT: "abort",
  XLOG_XACT_COMMIT_PREPARED: "commit",
  XLOG_XACT_ABORT_PREPARED: "abort",
  XLOG_DBASE_DROP: "removed database",
  XLOG_RELMAP_UPDATE: "file of a catalog",
  XLOG_RUNNING_XACTS: "transaction numbers, end of the server",
  XLOG_HEAP_INSERT: "insert",
  XLOG_HEAP_DELETE: "delete",
  XLOG_HEAP_UPDATE: "update",
  XLOG_HEAP_HOT_UPDATE: "update",
  // Of catalogs only.
  XLOG_HEAP_INPLACE: "row in place 1",
  XLOG_HEAP2_MULTI_INSERT: "insert",
};

/**
 * Types that `find` ignores, by what they are about. They change no committed row of a table; docs/find.md names the
 * last two, which change something similar.
 */
const IGNORED: readonly (readonly [about: string, names: RegExp])[] = [
  ["indexes", /^XLOG_(BRIN|BTREE|GIN|GIST|HASH|SPGIST)_/],
  ["WAL itself", /^XLOG_(NOOP|SWITCH|ASSIGN_LSN|OVERWRITE_CONTRECORD|CHECKPOINT_REDO)$/],
  ["settings", /^XLOG_(PARAMETER_CHANGE|FPW_CHANGE|LOGICAL_DECODING_STATUS_CHANGE)$/],
  ["marks of a position", /^XLOG_(BACKUP_END|RESTORE_POINT|END_OF_RECOVERY)$/],
  ["numbers of objects", /^XLOG_NEXTOID$/],
  ["pages with new hints", /^XLOG_FPI_FOR_HINT$/],
  ["parts of a transaction, which its end names too", /^XLOG_XACT_(ASSIGNMENT|INVALIDATIONS)$/],
  ["caches and locks of standbys", /^XLOG_(INVALIDATIONS|STANDBY_LOCK)$/],
  ["states of transactions", /^(CLOG|COMMIT_TS|XLOG_MULTIXACT)_/],
  ["new files, databases and tablespaces", /^XLOG_(SMGR_CREATE|DBASE_CREATE\w*|TBLSPC_CREATE)$/],
  ["tablespaces, which are empty then", /^XLOG_TBLSPC_DROP$/],
  ["logical replication", /^XLOG_(REPLORIGIN_\w+|LOGICAL_MESSAGE|HEAP2_REWRITE|HEAP2_NEW_CID)$/],
  ["rows that no transaction sees", /^XLOG_HEAP2_(PRUNE\w*|VACUUM)$/],
  ["flags and locks of rows and pages", /^XLOG_HEAP2?_(FREEZE_PAGE|VISIBLE|LOCK|LOCK_UPDATED|CONFIRM)$/],
  // For logical replication; pg_class shows the new file.
  ["truncated tables, a second time", /^XLOG_HEAP_TRUNCATE$/],
  // VACUUM, or TRUNCATE of a table that the same transaction created.
  ["empty ends of files", /^XLOG_SMGR_TRUNCATE$/],
  ["sequences", /^XLOG_SEQ_LOG$/],
  ["pages of extensions", /^RM_GENERIC_ID$/],
];

const FILE = 16_400;
const [RUNNING, XID, NEXT] = [701, 702, 950];
const CATALOG_PAGES = [0, 9, 10];
const WITH_FLAG = [1, 9, 10];

/** Bytes that are valid as the main data of each type. */
function mainOf(name: string): Uint8Array {
  // Database, tablespace and size of a map; then the map, of one catalog.
  if (name === "XLOG_RELMAP_UPDATE")
    return pack([4, 5], [4, 1663], [4, 512], [4, 0x592717], [4, 1], [4, 1249], [4, FILE]);
  const main = Buffer.alloc(128);
  // Lines of rows and a number of them, transaction numbers of the two kinds of records that have some.
  for (const offset of [0, 2, 4]) main.writeUInt16LE(1, offset);
  for (const offset of [12, 16, 24, 32]) main.writeUInt32LE(NEXT, offset);
  return main;
}

interface Effect {
  readonly shown: string;
  /** The record's page image was read. */
  readonly hasPage: boolean;
}

/** What `find` takes from one record between the changes of a running transaction and the commits of all. */
function effectOf({ info, name, resourceManager }: RecordType, major: number): Effect {
  const tracker = new ActivityTracker(major, null);
  let lsn = 0n;
  const add = (xid: number, manager: number, bits: number, body: Body): Ended | null => {
    lsn += 64n;
    const bytes = Buffer.concat([Buffer.alloc(24), bodyOf(body)]);
    return tracker.add({ lsn, xid, resourceManager: manager, info: bits, bytes });
  };
  const commit = (xid: number): Ended | null => add(xid, 1, 0, { main: endOf({ atUs: 0n }).main });
  add(RUNNING, 10, 0, { blocks: [{ file: [1663, 5, FILE], block: 0 }], main: mainOf("") });
  const image = { bytes: page([{ columns: classRow(major, "orders", { file: FILE + 1 }) }]), holeOffset: 0, info: 0 };
  const blocks = [{ file: [1663, 5, 1259] as const, block: 0, image }];
  const ended = add(XID, resourceManager, info, { blocks, main: mainOf(name) });
  const shown = [
    ...(ended === null ? [] : [ended.end.kind]),
    ...activityOf(commit(XID)?.activity ?? null),
    ...(commit(NEXT)?.isCut === false ? ["transaction numbers"] : []),
    ...(commit(RUNNING)?.activity === null ? ["end of the server"] : []),
  ];
  return { shown: shown.join(", "), hasPage: tracker.catalogs.findRelation(5, FILE + 1) !== undefined };
}

function activityOf(activity: Activity | null): string[] {
  if (activity === null) return [];
  const { copied, relations, removedDatabases, remapped, rows } = activity;
  const [row] = rows.values();
  if (row !== undefined) return (["insert", "update", "delete"] as const).filter((kind) => row[`${kind}s`] > 0);
  if (copied.size > 0) return ["copied page"];
  if (remapped.size > 0) return ["file of a catalog"];
  return [removedDatabases.length > 0 ? "removed database" : `row in place ${relations.size}`];
}

// claim: docs/find.md: each type of WAL record of PostgreSQL 14…
describe("types of WAL records", () => {
  it.each(LISTED_MAJORS)("of PostgreSQL %i are in one class each, and show what the class says", (major) => {
    const types = listedTypes(major);
    expect(types.length).toBeGreaterThan(100);
    for (const type of types) {
      const { name, resourceManager } = type;
      const ignored = IGNORED.flatMap(([about, names]) => (names.test(name) ? [about] : []));
      expect([READ[name] ?? [], ignored].flat(), name).toHaveLength(1);
      const effect = { shown: READ[name] ?? "", hasPage: CATALOG_PAGES.includes(resourceManager) };
      expect(effectOf(type, major), name).toEqual(effect);
      if (WITH_FLAG.includes(resourceManager))
        expect(effectOf({ ...type, info: type.info | 0x80 }, major), name).toEqual(effect);
    }
  });

  it.each(LISTED_MAJORS)("that PostgreSQL %i does not have show nothing", (major) => {
    const known = new Set(listedTypes(major).map(({ info, resourceManager }) => `${resourceManager} ${info}`));
    // Extensions have resource managers from 128 on.
    for (const resourceManager of [...Array(30).keys(), 128, 255])
      for (let info = 0; info < (WITH_FLAG.includes(resourceManager) ? 0x80 : 0x100); info += 0x10)
        if (!known.has(`${resourceManager} ${info}`))
          expect(effectOf({ resourceManager, info, name: "" }, major).shown, `${resourceManager} ${info}`).toBe("");
  });

  it("in the classes are all PostgreSQL's", () => {
    const names = new Set(LISTED_MAJORS.flatMap((major) => listedTypes(major).map(({ name }) => name)));
    expect(Object.keys(READ).filter((name) => !names.has(name))).toEqual([]);
    expect(IGNORED.filter(([, pattern]) => ![...names].some((name) => pattern.test(name)))).toEqual([]);
  });
});
