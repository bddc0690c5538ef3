/**
 * Detects that WAL creates a tablespace. Its record has an absolute path, and a server that replays it uses that
 * directory, even if another server does so: next to production it would write old pages into production's files. A
 * restore chooses the directories of the tablespaces that a backup has. (PostgreSQL "commands/tablespace.h",
 * tblspc_redo of "commands/tablespace.c".)
 */
import { textOf, viewOf } from "../../base/bytes";
import { parseWalHeader } from "./walHeader";
import {
  aligned,
  continuedBytes,
  isPageSize,
  isSwitch,
  LONG_PAGE_HEADER_SIZE_BYTES,
  PAGE_HEADER_SIZE_BYTES,
  pageSizeOf,
  RECORD_HEADER_SIZE_BYTES,
  WalReader,
  type WalRecord,
} from "./walReader";
import { OPERATION, operationOf, RESOURCE_MANAGER } from "./walOperations";
import { parseRecord } from "./walRecord";

export interface NewTablespace {
  /** Major version of the server that made it. */
  readonly pgVersion: string;
  /** Null if only a part of the record is in the segment. */
  readonly path: string | null;
}

/** A segment that is read in parts. */
export interface SegmentSource {
  readonly sizeBytes: number;
  /** Less at the end of the segment. Valid until the next call. */
  read(offsetBytes: number, sizeBytes: number): Uint8Array;
}

const OID_SIZE_BYTES = 4;
const INFO_OFFSET = 16;
/** A multiple of every page's size, and small enough for a processor's cache. */
const PART_SIZE_BYTES = 256 * 1024;
/** What is read of the next page: its header, and the kind of a record that begins at the end of this one. */
const OVERLAP_BYTES = 64;
/** A path has less than 1024 bytes (MAXPGPATH). */
const RECORD_SIZE_BYTES_MAX = 2048;

/**
 * The first tablespace that a segment creates, except inside the data directory. Knows only this segment: a record that
 * ends in the next one counts as soon as its kind is known.
 * @throws fileInvalid, versionNotSupported, format for an invalid segment
 */
export function findNewTablespace(segment: SegmentSource): NewTablespace | null {
  const head = segment.read(0, LONG_PAGE_HEADER_SIZE_BYTES + RECORD_SIZE_BYTES_MAX);
  const { pgVersion, segmentSizeBytes } = parseWalHeader(head.subarray(0, 512));
  const continued = continuedCreation(head, viewOf(head), pgVersion);
  if (continued !== null) return continued;
  return hasCreation(segment, viewOf(head), segmentSizeBytes)
    ? firstCreation(segment.read(0, segment.sizeBytes), pgVersion)
    : null;
}

function firstCreation(segment: Uint8Array, pgVersion: string): NewTablespace | null {
  const reader = new WalReader();
  for (const record of reader.read(segment)) {
    if (!isCreation(record.resourceManager, record.info)) continue;
    const { main } = parseRecord(record, Number(pgVersion));
    const path = textOf(main.subarray(OID_SIZE_BYTES, main.indexOf(0, OID_SIZE_BYTES)));
    if (path !== "") return { pgVersion, path };
  }
  const { unfinished } = reader;
  if (unfinished === null || unfinished.length < INFO_OFFSET + 2) return null;
  return isCreation(unfinished[INFO_OFFSET + 1], unfinished[INFO_OFFSET]) ? { pgVersion, path: null } : null;
}

function isCreation(resourceManager = 0, info = 0): boolean {
  const { tablespace } = RESOURCE_MANAGER;
  return resourceManager === tablespace && operationOf({ info, resourceManager }) === OPERATION.tablespace.create;
}

/**
 * Looks at the kinds of records alone: every recovery does this with all its WAL, and reading the records would take
 * as long as their replay.
 */
function hasCreation(segment: SegmentSource, head: DataView, segmentSizeBytes: number): boolean {
  const pageSizeBytes = pageSizeOf(head);
  if (!isPageSize(pageSizeBytes)) return false;
  const sizeBytes = Math.min(segmentSizeBytes, segment.sizeBytes);
  let at = LONG_PAGE_HEADER_SIZE_BYTES;
  let restBytes = continuedBytes(head, 0);
  for (let begin = 0; begin < sizeBytes; begin += PART_SIZE_BYTES) {
    const part = segment.read(begin, PART_SIZE_BYTES + OVERLAP_BYTES);
    const view = viewOf(part);
    const partEnd = Math.min(begin + PART_SIZE_BYTES, begin + part.length, sizeBytes);
    for (let end = begin + pageSizeBytes; end <= partEnd; end += pageSizeBytes) {
      while (at < end) {
        if (restBytes > 0) {
          const skippedBytes = Math.min(restBytes, end - at);
          restBytes -= skippedBytes;
          at = aligned(at + skippedBytes);
          continue;
        }
        restBytes = view.getUint32(at - begin, true);
        if (restBytes < RECORD_HEADER_SIZE_BYTES) return false;
        // Less than a header may be left of the page, and the rest is behind the next one's header.
        const kindAt = at + INFO_OFFSET < end ? at + INFO_OFFSET : at + INFO_OFFSET + PAGE_HEADER_SIZE_BYTES;
        const [info = 0, resourceManager = 0] = part.subarray(kindAt - begin, kindAt - begin + 2);
        if (isCreation(resourceManager, info)) return true;
        if (isSwitch({ info, resourceManager })) return false;
      }
      if (end >= sizeBytes) break;
      at = end + PAGE_HEADER_SIZE_BYTES;
      // After a crash PostgreSQL writes other records in the place of one that continued.
      restBytes = continuedBytes(view, end - begin);
    }
  }
  return false;
}

/**
 * What a record creates of which the previous segment has only 8 or 16 bytes: its kind is in this segment. Any bytes of
 * another record may stand where the kind would be, so the rest must be a creation as a whole.
 */
function continuedCreation(segment: Uint8Array, view: DataView, pgVersion: string): NewTablespace | null {
  if (view.byteLength < LONG_PAGE_HEADER_SIZE_BYTES + RECORD_HEADER_SIZE_BYTES) return null;
  const restBytes = continuedBytes(view, 0);
  if (restBytes === 0 || restBytes > RECORD_SIZE_BYTES_MAX) return null;
  const end = LONG_PAGE_HEADER_SIZE_BYTES + restBytes;
  const rest = segment.subarray(LONG_PAGE_HEADER_SIZE_BYTES, end);
  for (const haveBytes of [8, 16]) {
    const bytes = new Uint8Array(haveBytes + restBytes);
    bytes.set(rest, haveBytes);
    const [info = 0, resourceManager = 0, ...padding] = bytes.subarray(INFO_OFFSET, INFO_OFFSET + 4);
    if (!isCreation(resourceManager, info) || padding.some((byte) => byte !== 0)) continue;
    // A page of a special build, and the header of the next one, may cut the rest.
    if (end > pageSizeOf(view)) return { pgVersion, path: null };
    const path = wholePath({ lsn: 0n, info, resourceManager, xid: 0, bytes }, pgVersion);
    if (path !== null) return { pgVersion, path };
  }
  return null;
}

/** Its path, if the record contains nothing but an absolute one; else null. */
function wholePath(record: WalRecord, pgVersion: string): string | null {
  try {
    const { blocks, main } = parseRecord(record, Number(pgVersion));
    const isWhole = blocks.length === 0 && main.indexOf(0, OID_SIZE_BYTES) === main.length - 1;
    const path = textOf(main.subarray(OID_SIZE_BYTES, -1));
    return isWhole && path.startsWith("/") ? path : null;
  } catch {
    return null;
  }
}
