/**
 * WAL records of checkpoints. (PostgreSQL "catalog/pg_control.h", struct CheckPoint: up to 18 the offsets are the same
 * with and without the fields in padding; 19 has one more, logicalDecodingEnabled, before the next transaction number.)
 */
import { viewOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { OPERATION, operationOf, RESOURCE_MANAGER } from "./walOperations";
import type { WalRecord } from "./walReader";

export interface Checkpoint {
  /** Where a recovery from it begins. */
  readonly redo: bigint;
  /** The next transaction number at the redo point. */
  readonly nextXid: number;
  /** Microseconds since 1970; stored in whole seconds. */
  readonly atUs: bigint;
}

const US_PER_S = 1_000_000n;
/** In struct CheckPoint of 14 and newer, before {@link checkpointShiftBytes}: "FullTransactionId nextXid". */
export const NEXT_XID_OFFSET = 24;
const TIME_OFFSET = 64;

/** How much further the next transaction number and everything after it are. @param major PostgreSQL version */
export function checkpointShiftBytes(major: number): number {
  return major >= 19 ? 8 : 0;
}

export function isCheckpoint(record: WalRecord): boolean {
  const { checkpoint, shutdown } = OPERATION.xlog;
  const operation = operationOf(record);
  return record.resourceManager === RESOURCE_MANAGER.xlog && (operation === shutdown || operation === checkpoint);
}

/** @param major PostgreSQL version that wrote it. @throws format */
export function checkpointOf(main: Uint8Array, major: number): Checkpoint {
  const shift = checkpointShiftBytes(major);
  if (main.length < TIME_OFFSET + shift + 8) throw fail("format", `a checkpoint of ${main.length} bytes`);
  const view = viewOf(main);
  return {
    redo: view.getBigUint64(0, true),
    nextXid: view.getUint32(NEXT_XID_OFFSET + shift, true),
    atUs: view.getBigInt64(TIME_OFFSET + shift, true) * US_PER_S,
  };
}
