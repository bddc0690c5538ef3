/**
 * Detects that WAL creates a tablespace. Its record has an absolute path, and a server that replays it uses that
 * directory, even if another server does so: next to production it would write old pages into production's files. A
 * restore chooses the directories of the tablespaces that a backup has. (PostgreSQL "commands/tablespace.h",
 * tblspc_redo of "commands/tablespace.c".)
 */
import { RECORD_HEADER_SIZE_BYTES, WalReader } from "./walReader";
import { parseRecord, RESOURCE_MANAGER } from "./walRecord";

export interface NewTablespace {
  /** Null if only a part of the record is in the segment. */
  readonly path: string | null;
}

const OPERATION_MASK = 0xf0;
const CREATE = 0x00;
const OID_SIZE_BYTES = 4;
const INFO_OFFSET = 16;
/** Where a segment's first page continues a record. */
const CONTINUATION_OFFSET = 40;
const FLAG_CONTINUES = 0x0001;
/** A path has less than 1024 bytes (MAXPGPATH). */
const RECORD_SIZE_BYTES_MAX = 2048;

/**
 * The first tablespace that a segment creates, except inside the data directory. Knows only this segment: a record that
 * ends in the next one counts as soon as its kind is known.
 * @param major PostgreSQL version that wrote it
 * @throws fileInvalid, versionNotSupported, format for an invalid segment
 */
export function findNewTablespace(segment: Uint8Array, major: number): NewTablespace | null {
  const reader = new WalReader();
  const records = reader.read(segment);
  if (continuesCreation(segment)) return { path: null };
  for (const record of records) {
    if (!isCreation(record.resourceManager, record.info)) continue;
    const { main } = parseRecord(record, major);
    const path = Buffer.from(main.subarray(OID_SIZE_BYTES)).toString("latin1").split("\0")[0] ?? "";
    if (path !== "") return { path };
  }
  const { unfinished } = reader;
  if (unfinished === null || unfinished.length < INFO_OFFSET + 2) return null;
  return isCreation(unfinished[INFO_OFFSET + 1], unfinished[INFO_OFFSET]) ? { path: null } : null;
}

function isCreation(resourceManager: number | undefined, info: number | undefined): boolean {
  return resourceManager === RESOURCE_MANAGER.tablespace && ((info ?? 0) & OPERATION_MASK) === CREATE;
}

/** True if the previous segment has only 8 or 16 bytes of a record, and this one says that it creates a tablespace. */
function continuesCreation(segment: Uint8Array): boolean {
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  if (view.byteLength < CONTINUATION_OFFSET + RECORD_HEADER_SIZE_BYTES) return false;
  if ((view.getUint16(2, true) & FLAG_CONTINUES) === 0 || view.getUint32(16, true) > RECORD_SIZE_BYTES_MAX)
    return false;
  return [8, 16].some((haveBytes) => {
    const at = CONTINUATION_OFFSET + INFO_OFFSET - haveBytes;
    // Two bytes of padding follow.
    return isCreation(segment[at + 1], segment[at]) && view.getUint16(at + 2, true) === 0;
  });
}
