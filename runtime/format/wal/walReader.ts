/**
 * Reads WAL as records: cuts segments into pages, joins records that cross pages and segments, and checks each CRC.
 *
 * A page begins with 24 bytes (magic, flags, timeline, position, length of the continued record), a segment's first one
 * with 40. A record begins at a multiple of 8 with 24 bytes: length, transaction, previous record, info, resource
 * manager, CRC; its length never crosses a page. Bytes after a switch record in its segment are not records.
 * (PostgreSQL "access/xlog_internal.h", "access/xlogrecord.h", "xlogreader.c".)
 */
import { concatBytes, viewOf } from "../../base/bytes";
import { crc32c } from "../codec/crc32c";
import { parseWalHeader, type WalHeader } from "./walHeader";
import { OPERATION, operationOf, type RecordKind, RESOURCE_MANAGER } from "./walOperations";
import { formatLsn } from "./walSegment";

export interface WalRecord extends RecordKind {
  /** Start of the record. */
  readonly lsn: bigint;
  /** 0 without a transaction. */
  readonly xid: number;
  /** The whole record, valid as long as the segment's bytes. */
  readonly bytes: Uint8Array;
}

export const RECORD_HEADER_SIZE_BYTES = 24;
export const PAGE_HEADER_SIZE_BYTES = 24;
export const LONG_PAGE_HEADER_SIZE_BYTES = 40;
const FLAG_CONTINUES = 0x0001;
const FLAG_LONG_HEADER = 0x0002;
const CRC_OFFSET = 20;
/** XLogRecordMaxSize: PostgreSQL never writes a larger one. */
const RECORD_SIZE_BYTES_MAX = 1020 * 1024 * 1024;

interface Pending {
  readonly lsn: bigint;
  readonly sizeBytes: number;
  readonly parts: Uint8Array[];
  haveBytes: number;
}

/** Reads segments one after the other. */
export class WalReader {
  /** Why the last segment was not read to its end; null when it was. */
  problem: string | null = null;
  #pending: Pending | null = null;
  #next: bigint | null = null;
  #position = 0n;

  /** Start of the next record. */
  get position(): bigint {
    return this.#position;
  }

  /** What this segment has of a record that ends in the next one; null if it ends with a whole record. */
  get unfinished(): Uint8Array | null {
    return this.#pending === null ? null : concatBytes(this.#pending.parts);
  }

  /**
   * Records that end in this segment, including one that began in the previous segment if that was just read. Ends
   * early, with {@link problem}, at the first invalid byte.
   * @throws fileInvalid, versionNotSupported, format for an invalid segment
   */
  *read(bytes: Uint8Array): Iterable<WalRecord> {
    const header = parseWalHeader(bytes.subarray(0, 512));
    const view = viewOf(bytes);
    if (this.#next !== header.lsn) this.#pending = null;
    this.#next = header.lsn + BigInt(header.segmentSizeBytes);
    this.#position = header.lsn;
    this.problem = null;
    const pageSizeBytes = pageSizeOf(view);
    if (!isPageSize(pageSizeBytes)) {
      this.problem = `the segment at ${formatLsn(header.lsn)} has pages of ${pageSizeBytes} bytes`;
      return;
    }
    for (let begin = 0; begin < header.segmentSizeBytes; begin += pageSizeBytes) {
      const end = begin + pageSizeBytes;
      if (!this.#isPage(view, begin, end, header)) return;
      let at =
        begin +
        ((view.getUint16(begin + 2, true) & FLAG_LONG_HEADER) === 0
          ? PAGE_HEADER_SIZE_BYTES
          : LONG_PAGE_HEADER_SIZE_BYTES);
      const restBytes = continuedBytes(view, begin);
      const part = bytes.subarray(at, Math.min(at + restBytes, end));
      at = aligned(at + part.length);
      if (this.#pending !== null) {
        const whole = this.#continue(part, restBytes);
        if (this.problem !== null) return;
        if (whole !== null) {
          yield whole;
          // Of its 24 bytes, 8 or 16 may be on the previous page.
          if (isSwitch(whole)) {
            this.#position = this.#next;
            return;
          }
        }
      }
      if (part.length < restBytes) continue;
      while (at < end) {
        this.#position = header.lsn + BigInt(at);
        const record = this.#begin(bytes, view, at, end, this.#position);
        if (this.problem !== null) return;
        if (record === null) break;
        yield record;
        if (isSwitch(record)) {
          this.#position = this.#next;
          return;
        }
        at = aligned(at + record.bytes.length);
      }
    }
    this.#position = this.#next;
  }

  /** Discards the part of a record that continues in the next segment. */
  forget(): void {
    this.#pending = null;
    this.#next = null;
  }

  #isPage(view: DataView, begin: number, end: number, header: WalHeader): boolean {
    const lsn = header.lsn + BigInt(begin);
    if (end > view.byteLength) this.problem = `the segment ends within the page at ${formatLsn(lsn)}`;
    else if (view.getUint16(begin, true) !== view.getUint16(0, true))
      this.problem = `there is no page at ${formatLsn(lsn)}`;
    else if (view.getBigUint64(begin + 8, true) !== lsn)
      this.problem = `the page at ${formatLsn(lsn)} has another position`;
    return this.problem === null;
  }

  /**
   * Null while the record continues on the next page, and where it was abandoned (PostgreSQL writes another one in its
   * place after a crash).
   */
  #continue(part: Uint8Array, restBytes: number): WalRecord | null {
    const pending = this.#pending as Pending;
    if (restBytes === 0) {
      this.#pending = null;
      return null;
    }
    if (restBytes !== pending.sizeBytes - pending.haveBytes) {
      this.problem = `the record at ${formatLsn(pending.lsn)} has no valid continuation`;
      return null;
    }
    pending.parts.push(part);
    pending.haveBytes += part.length;
    if (pending.haveBytes < pending.sizeBytes) return null;
    this.#pending = null;
    return this.#check(concatBytes(pending.parts), pending.lsn);
  }

  /** Null when it continues on the next page. */
  #begin(bytes: Uint8Array, view: DataView, at: number, end: number, lsn: bigint): WalRecord | null {
    const sizeBytes = view.getUint32(at, true);
    if (sizeBytes < RECORD_HEADER_SIZE_BYTES || sizeBytes > RECORD_SIZE_BYTES_MAX) {
      this.problem = `there is no record at ${formatLsn(lsn)}`;
      return null;
    }
    if (at + sizeBytes <= end) return this.#check(bytes.subarray(at, at + sizeBytes), lsn);
    this.#pending = { lsn, sizeBytes, parts: [bytes.subarray(at, end)], haveBytes: end - at };
    return null;
  }

  #check(bytes: Uint8Array, lsn: bigint): WalRecord | null {
    const view = viewOf(bytes);
    if (
      crc32c(bytes.subarray(RECORD_HEADER_SIZE_BYTES), bytes.subarray(0, CRC_OFFSET)) !==
      view.getUint32(CRC_OFFSET, true)
    ) {
      this.problem = `the record at ${formatLsn(lsn)} does not match its checksum`;
      return null;
    }
    return {
      lsn,
      xid: view.getUint32(4, true),
      resourceManager: bytes[17] as number,
      info: bytes[16] as number,
      bytes,
    };
  }
}

/** Size of a segment's pages, of those that {@link isPageSize} takes. */
export function pageSizeOf(segment: DataView): number {
  return segment.getUint32(36, true);
}

/** How much of an earlier page's record a page continues with. */
export function continuedBytes(segment: DataView, pageAt: number): number {
  return (segment.getUint16(pageAt + 2, true) & FLAG_CONTINUES) === 0 ? 0 : segment.getUint32(pageAt + 16, true);
}

/** Page sizes that PostgreSQL can be built with: 1 to 64 KiB. */
export function isPageSize(sizeBytes: number): boolean {
  return sizeBytes >= 1024 && sizeBytes <= 65_536 && (sizeBytes & (sizeBytes - 1)) === 0;
}

/** Nothing follows it in its segment. */
export function isSwitch(record: RecordKind): boolean {
  return record.resourceManager === RESOURCE_MANAGER.xlog && operationOf(record) === OPERATION.xlog.switch;
}

/** Where a record may begin. */
export function aligned(offset: number): number {
  return (offset + 7) & ~7;
}
