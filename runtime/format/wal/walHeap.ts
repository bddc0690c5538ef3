/**
 * WAL records of row changes: what they do to which line of which page. (PostgreSQL "access/heapam_xlog.h".)
 *
 * Records without tuple data carry a page image instead.
 */
import { viewOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { OPERATION, operationOf, RESOURCE_MANAGER } from "./walOperations";
import type { WalBlock, WalContent } from "./walRecord";
import type { WalRecord } from "./walReader";
import { formatLsn } from "./walSegment";

interface Line {
  readonly block: WalBlock;
  /** Counts from 1. */
  readonly line: number;
}

export type RowChange =
  | ({ readonly kind: "insert" | "inPlace" } & Line)
  /** `isMove`: an update moves the row to another partition, where a record inserts it. */
  | ({ readonly kind: "delete"; readonly isMove: boolean } & Line)
  | { readonly kind: "inserts"; readonly block: WalBlock; readonly count: number }
  | {
      readonly kind: "update";
      readonly from: Line;
      readonly to: Line;
      readonly isPrefixShared: boolean;
      readonly isSuffixShared: boolean;
    };

/** A speculative insertion that is withdrawn: no deletion. */
const DELETE_SPECULATIVE = 0x08;
/** PostgreSQL's XLH_DELETE_IS_PARTITION_MOVE. */
const DELETE_MOVED = 0x10;
const UPDATE_PREFIX = 0x20;
const UPDATE_SUFFIX = 0x40;

/** Null for records without a row change. @throws format */
export function parseRowChange(record: WalRecord, content: WalContent): RowChange | null {
  try {
    return changeOf(record, content);
  } catch (error) {
    throw fail("format", `unable to parse the WAL record at ${formatLsn(record.lsn)} about a row`, { cause: error });
  }
}

function changeOf(record: WalRecord, { blocks, main }: WalContent): RowChange | null {
  const view = viewOf(main);
  const operation = operationOf(record);
  const first = blocks[0];
  if (record.resourceManager === RESOURCE_MANAGER.heap2) {
    return operation === OPERATION.heap2.multiInsert
      ? { kind: "inserts", block: required(first), count: view.getUint16(2, true) }
      : null;
  }
  switch (operation) {
    case OPERATION.heap.insert:
      return { kind: "insert", block: required(first), line: view.getUint16(0, true) };
    case OPERATION.heap.inplace:
      return { kind: "inPlace", block: required(first), line: view.getUint16(0, true) };
    case OPERATION.heap.delete: {
      const flags = view.getUint8(7);
      if ((flags & DELETE_SPECULATIVE) !== 0) return null;
      const isMove = (flags & DELETE_MOVED) !== 0;
      return { kind: "delete", block: required(first), line: view.getUint16(4, true), isMove };
    }
    case OPERATION.heap.update:
    case OPERATION.heap.hotUpdate: {
      const flags = view.getUint8(7);
      return {
        kind: "update",
        from: { block: required(blocks.find(({ id }) => id === 1) ?? first), line: view.getUint16(4, true) },
        to: { block: required(first), line: view.getUint16(12, true) },
        isPrefixShared: (flags & UPDATE_PREFIX) !== 0,
        isSuffixShared: (flags & UPDATE_SUFFIX) !== 0,
      };
    }
    default:
      return null;
  }
}

function required(block: WalBlock | undefined): WalBlock {
  if (block === undefined) throw fail("format", "a record about a row names no page");
  return block;
}

/** Size of a tuple's header in WAL: two flag fields, and the offset of the columns in the whole tuple. */
const HEADER_SIZE_BYTES = 5;
/** Size of a tuple's header on its page, before the null bitmap. */
const TUPLE_HEADER_SIZE_BYTES = 23;

/** The columns of an inserted row; null if a page image replaces them. */
export function insertedColumns({ data }: WalBlock): Uint8Array | null {
  if (data.length < HEADER_SIZE_BYTES || (data[4] as number) < TUPLE_HEADER_SIZE_BYTES) return null;
  return data.subarray(HEADER_SIZE_BYTES + (data[4] as number) - TUPLE_HEADER_SIZE_BYTES);
}

/**
 * The columns of an updated row: the record omits equal bytes at both ends. Null if a page image replaces them.
 * @throws format
 */
export function updatedColumns(
  change: Extract<RowChange, { kind: "update" }>,
  old: Uint8Array | null,
): Uint8Array | null {
  const { data } = change.to.block;
  const sizesBytes = (change.isPrefixShared ? 2 : 0) + (change.isSuffixShared ? 2 : 0);
  if (data.length < sizesBytes + HEADER_SIZE_BYTES) return null;
  const view = viewOf(data);
  let at = 0;
  const size = (isThere: boolean): number => {
    if (!isThere) return 0;
    at += 2;
    return view.getUint16(at - 2, true);
  };
  const prefixSizeBytes = size(change.isPrefixShared);
  const suffixSizeBytes = size(change.isSuffixShared);
  const own = insertedColumns({ ...change.to.block, data: data.subarray(at) });
  if (own === null) return null;
  if (prefixSizeBytes === 0 && suffixSizeBytes === 0) return own;
  if (old === null || old.length < prefixSizeBytes || old.length < suffixSizeBytes) return null;
  const columns = new Uint8Array(prefixSizeBytes + own.length + suffixSizeBytes);
  columns.set(old.subarray(0, prefixSizeBytes));
  columns.set(own, prefixSizeBytes);
  columns.set(old.subarray(old.length - suffixSizeBytes), prefixSizeBytes + own.length);
  return columns;
}
