/**
 * The WAL records that this runtime reads, by resource manager ("access/rmgrlist.h") and operation, a part of the info
 * bits. The same in PostgreSQL 14 to 19 but for one. Of all other records of the heap and of `xlog` only page images
 * matter here, and of other resource managers nothing: a test classifies each one of PostgreSQL's own list.
 */

export const RESOURCE_MANAGER = {
  xlog: 0,
  transaction: 1,
  database: 4,
  tablespace: 5,
  relationMap: 7,
  standby: 8,
  heap2: 9,
  heap: 10,
} as const;

export const OPERATION = {
  xlog: { shutdown: 0x00, checkpoint: 0x10, switch: 0x40, endOfRecovery: 0x90, page: 0xb0 },
  transaction: { commit: 0x00, prepare: 0x10, abort: 0x20, commitPrepared: 0x30, abortPrepared: 0x40 },
  /** PostgreSQL 15 split creation into two kinds. */
  database: { drop14: 0x10, drop: 0x20 },
  tablespace: { create: 0x00 },
  relationMap: { update: 0x00 },
  standby: { running: 0x10 },
  heap2: { multiInsert: 0x50 },
  heap: { insert: 0x00, delete: 0x10, update: 0x20, hotUpdate: 0x40, inplace: 0x70 },
} as const;

export interface RecordKind {
  readonly resourceManager: number;
  /** Including the resource manager's four bits. */
  readonly info: number;
}

/** Resource managers of which one bit is a flag: a page is new, a transaction's end has parts. */
const WITH_FLAG: readonly number[] = [RESOURCE_MANAGER.transaction, RESOURCE_MANAGER.heap2, RESOURCE_MANAGER.heap];

export function operationOf({ info, resourceManager }: RecordKind): number {
  return info & (WITH_FLAG.includes(resourceManager) ? 0x70 : 0xf0);
}
