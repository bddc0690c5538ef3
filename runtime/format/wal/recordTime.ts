/** Times in WAL records, by the clock of the server that wrote them. */
import { viewOf } from "../../base/bytes";
import { checkpointOf, isCheckpoint } from "./walCheckpoint";
import { OPERATION, operationOf, RESOURCE_MANAGER } from "./walOperations";
import type { WalRecord } from "./walReader";
import { parseRecord } from "./walRecord";
import { parseTransactionEnd, timestampUs } from "./walTransaction";

/**
 * Microseconds since 1970. Null for a record that is neither the end of a transaction, nor a checkpoint, nor the end of
 * a recovery: struct xl_end_of_recovery of "access/xlog_internal.h" begins with its time.
 * @param major PostgreSQL version that wrote it. @throws format
 */
export function recordTimeUs(record: WalRecord, major: number): bigint | null {
  const isTransaction = record.resourceManager === RESOURCE_MANAGER.transaction;
  const isEnd =
    record.resourceManager === RESOURCE_MANAGER.xlog && operationOf(record) === OPERATION.xlog.endOfRecovery;
  if (!isTransaction && !isEnd && !isCheckpoint(record)) return null;
  const { main } = parseRecord(record, major);
  if (isTransaction) return parseTransactionEnd(main, record.info, record.xid, major)?.atUs ?? null;
  return isEnd ? timestampUs(viewOf(main), 0) : checkpointOf(main, major).atUs;
}
