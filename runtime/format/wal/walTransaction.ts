/**
 * WAL records that end transactions: commit and abort, also of prepared ones, and prepare.
 *
 * A bit field announces optional parts in a fixed order; subtransactions, dropped relations, statistics and
 * invalidations begin with a count. (PostgreSQL "access/xact.h", ParseCommitRecord and ParseAbortRecord of
 * "xactdesc.c"; "access/twophase.h".)
 */
import { textOf, viewOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { OPERATION, operationOf, RESOURCE_MANAGER } from "./walOperations";
import type { RelationFile } from "./walRecord";

export interface TransactionEnd {
  readonly kind: "commit" | "abort" | "prepare";
  /** ID of the whole transaction; for an ending prepared one, not that of the record. */
  readonly xid: number;
  /** Microseconds since 1970. */
  readonly atUs: bigint;
  readonly subtransactions: readonly number[];
  /** Relations whose files this record removes. */
  readonly dropped: readonly RelationFile[];
  /** Name of a prepared transaction; null for others. */
  readonly preparedAs: string | null;
}

const HAS_PARTS = 0x80;
const PART = {
  database: 0x01,
  subtransactions: 0x02,
  dropped: 0x04,
  invalidations: 0x08,
  twoPhase: 0x10,
  origin: 0x20,
  accessLocks: 0x40,
  name: 0x80,
  statistics: 0x100,
} as const;
const FILE_SIZE_BYTES = 12;
const INVALIDATION_SIZE_BYTES = 16;
/** 2000-01-01, the epoch of PostgreSQL's timestamps. */
const EPOCH_US = 946_684_800_000_000n;
/** Layout of a prepare record's fixed part ("xl_xact_prepare"); the name follows it, then the subtransactions. */
const PREPARE_XID_OFFSET = 8;
const PREPARE_TIME_OFFSET = 16;
const PREPARE_SUBTRANSACTIONS_OFFSET = 28;
/** Before the end of the fixed part: the length of the name, the origin's position and its time. */
const PREPARE_NAME_SIZE_BACK_BYTES = 18;

/** Microseconds since 1970 of a PostgreSQL timestamp. */
export function timestampUs(view: DataView, offset: number): bigint {
  return view.getBigInt64(offset, true) + EPOCH_US;
}

/** Null for records of this resource manager that end no transaction. @throws format */
export function parseTransactionEnd(main: Uint8Array, info: number, xid: number, major: number): TransactionEnd | null {
  const operation = operationOf({ info, resourceManager: RESOURCE_MANAGER.transaction });
  const { abort, abortPrepared, commit, commitPrepared, prepare } = OPERATION.transaction;
  const view = viewOf(main);
  try {
    if (operation === prepare) return parsePrepare(view, main, major);
    const isPrepared = operation === commitPrepared || operation === abortPrepared;
    if (operation !== commit && operation !== abort && !isPrepared) return null;
    const isCommit = operation === commit || operation === commitPrepared;
    return {
      kind: isCommit ? "commit" : "abort",
      ...parseParts(view, main, (info & HAS_PARTS) !== 0, { xid, isPrepared, isCommit, major }),
    };
  } catch (error) {
    throw fail("format", `unable to parse the record that ends transaction ${xid}`, { cause: error });
  }
}

interface Facts {
  readonly xid: number;
  readonly isPrepared: boolean;
  readonly isCommit: boolean;
  readonly major: number;
}

function parseParts(view: DataView, main: Uint8Array, hasParts: boolean, facts: Facts): Omit<TransactionEnd, "kind"> {
  const parts = hasParts ? view.getUint32(8, true) : 0;
  const has = (part: number): boolean => (parts & part) !== 0;
  let at = hasParts ? 12 : 8;
  const count = (): number => {
    at += 4;
    const items = view.getInt32(at - 4, true);
    if (items < 0) throw fail("format", `a list of ${items} items`);
    return items;
  };
  if (has(PART.database)) at += 8;
  const subtransactions: number[] = [];
  if (has(PART.subtransactions))
    for (let left = count(); left > 0; left--, at += 4) subtransactions.push(view.getUint32(at, true));
  const dropped: RelationFile[] = [];
  if (has(PART.dropped))
    for (let left = count(); left > 0; left--, at += FILE_SIZE_BYTES) dropped.push(fileAt(view, at));
  if (has(PART.statistics)) {
    const items = count();
    // Includes a 64-bit number since 18 ("xl_xact_stats_item").
    at += items * (facts.major >= 18 ? 16 : 12);
  }
  if (facts.isCommit && has(PART.invalidations)) {
    const items = count();
    at += items * INVALIDATION_SIZE_BYTES;
  }
  let xid = facts.xid;
  let preparedAs: string | null = null;
  if (has(PART.twoPhase)) {
    xid = view.getUint32(at, true);
    at += 4;
    if (has(PART.name)) preparedAs = textUntilZero(main, at);
  }
  return {
    xid,
    atUs: timestampUs(view, 0),
    subtransactions,
    dropped,
    preparedAs: facts.isPrepared ? (preparedAs ?? "") : null,
  };
}

function parsePrepare(view: DataView, main: Uint8Array, major: number): TransactionEnd {
  // Includes counts of statistics since 15. Each part begins at a multiple of eight.
  const fixedSizeBytes = major >= 15 ? 72 : 64;
  const nameSizeBytes = view.getUint16(fixedSizeBytes - PREPARE_NAME_SIZE_BACK_BYTES, true);
  let at = fixedSizeBytes + Math.ceil(nameSizeBytes / 8) * 8;
  const subtransactions: number[] = [];
  for (let left = view.getUint32(PREPARE_SUBTRANSACTIONS_OFFSET, true); left > 0; left--, at += 4)
    subtransactions.push(view.getUint32(at, true));
  return {
    kind: "prepare",
    xid: view.getUint32(PREPARE_XID_OFFSET, true),
    atUs: timestampUs(view, PREPARE_TIME_OFFSET),
    subtransactions,
    dropped: [],
    preparedAs: textUntilZero(main, fixedSizeBytes),
  };
}

export function fileAt(view: DataView, offset: number): RelationFile {
  return {
    tablespace: view.getUint32(offset, true),
    database: view.getUint32(offset + 4, true),
    relation: view.getUint32(offset + 8, true),
  };
}

function textUntilZero(bytes: Uint8Array, begin: number): string {
  const end = bytes.indexOf(0, begin);
  if (end === -1) throw fail("format", "a name without its end");
  return textOf(bytes.subarray(begin, end));
}
