/**
 * WAL records of checkpoints. (PostgreSQL "catalog/pg_control.h", struct CheckPoint: the offsets are the same with and
 * without the fields that 17 and 18 put into padding.)
 */
import { fail } from "../../base/errors";
import { RESOURCE_MANAGER } from "./walRecord";
import type { WalRecord } from "./walReader";

export interface Checkpoint {
  /** Where a recovery from it begins. */
  readonly redo: bigint;
  /** The next transaction number at the redo point. */
  readonly nextXid: number;
  /** Microseconds since 1970; stored in whole seconds. */
  readonly atUs: bigint;
}

const SHUTDOWN = 0x00;
const ONLINE = 0x10;
const INFO_MASK = 0xf0;
const US_PER_S = 1_000_000n;
const XID_OFFSET = 24;
const TIME_OFFSET = 64;

export function isCheckpoint({ info, resourceManager }: WalRecord): boolean {
  const kind = info & INFO_MASK;
  return resourceManager === RESOURCE_MANAGER.xlog && (kind === SHUTDOWN || kind === ONLINE);
}

/** @throws format */
export function checkpointOf(main: Uint8Array): Checkpoint {
  if (main.length < TIME_OFFSET + 8) throw fail("format", `a checkpoint of ${main.length} bytes`);
  const view = new DataView(main.buffer, main.byteOffset, main.byteLength);
  return {
    redo: view.getBigUint64(0, true),
    nextXid: view.getUint32(XID_OFFSET, true),
    atUs: view.getBigInt64(TIME_OFFSET, true) * US_PER_S,
  };
}
