/**
 * WAL file names and positions (LSN), and the arithmetic between them.
 *
 * A segment's name is timeline, `lsn >> 32` and `(lsn & 0xffffffff) / segment size`, each as eight upper-case
 * hexadecimal digits; an LSN's text is `16/B374D848`. Segment sizes are powers of two from 1 MiB to 1 GiB. (PostgreSQL
 * "access/xlog_internal.h"; pgBackRest 2.60 "postgres/interface", "command/archive/common".)
 */
import { assert, fail } from "../../base/errors";
import { type CompressType, typeOfExtension } from "../codec/compress";

export interface WalName {
  readonly kind: "segment" | "partial" | "history" | "backupLabel";
  readonly timeline: number;
  /** Upper half of the position; absent for a timeline history. */
  readonly logNo?: number;
  /** Number of the segment within its 4 GiB; absent for a timeline history. */
  readonly segmentNo?: number;
}

export interface ArchivedName {
  /** PostgreSQL's name, with `.partial` if it is partial. */
  readonly name: string;
  readonly kind: "segment" | "partial";
  /** SHA-1 of the uncompressed content. */
  readonly sha1: string;
  readonly compressType: CompressType;
}

/** The most segments that {@link segmentRange} lists: 16 TiB of the usual size. */
const RANGE_SEGMENTS_MAX = 1_048_576;
const MIB = 1024 * 1024;
/** Characters of a WAL file's name that are its timeline. */
export const TIMELINE_LENGTH = 8;
/** Characters of a segment's name, with which names of partial segments and backup labels begin. */
export const SEGMENT_LENGTH = 24;
/** Characters of a segment's name that are its directory in an archive. */
export const DIRECTORY_LENGTH = 16;
/** A whole segment's name. */
export const SEGMENT_NAME = /^[0-9A-F]{24}$/;
const WAL_NAME = /^([0-9A-F]{8})(?:([0-9A-F]{8})([0-9A-F]{8})(\.partial|\.[0-9A-F]{8}\.backup)?|(\.history))$/;
const LSN = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;
const ARCHIVED_NAME = /^([0-9A-F]{24}(?:\.partial)?)-([0-9a-f]{40})(\.[a-z0-9]+)?$/;

/** Null when `name` is not a WAL file's. */
export function parseWalName(name: string): WalName | null {
  const match = WAL_NAME.exec(name);
  if (match === null) return null;
  const timeline = Number.parseInt(match[1] as string, 16);
  if (match[5] !== undefined) return { kind: "history", timeline };
  const kind = match[4] === undefined ? "segment" : match[4] === ".partial" ? "partial" : "backupLabel";
  return {
    kind,
    timeline,
    logNo: Number.parseInt(match[2] as string, 16),
    segmentNo: Number.parseInt(match[3] as string, 16),
  };
}

/** Timeline of a name that is known to begin with one. */
export function timelineOf(name: string): number {
  return Number.parseInt(name.slice(0, TIMELINE_LENGTH), 16);
}

/** The name of a segment in the archive, `<24 digits>[.partial]-<sha1>[extension]`; null for anything else. */
export function parseArchivedName(fileName: string): ArchivedName | null {
  const match = ARCHIVED_NAME.exec(fileName);
  if (match === null) return null;
  const compressType = typeOfExtension(match[3] ?? "");
  if (compressType === null) return null;
  const name = match[1] as string;
  return { name, kind: name.endsWith(".partial") ? "partial" : "segment", sha1: match[2] as string, compressType };
}

export function nextSegment(name: string, segmentSizeBytes: number): string {
  const position = segmentPosition(name, segmentSizeBytes);
  return formatSegment(position.timeline, position.number + 1n, segmentSizeBytes);
}

/** On the same timeline; null before the first one. */
export function previousSegment(name: string, segmentSizeBytes: number): string | null {
  const position = segmentPosition(name, segmentSizeBytes);
  return position.number === 0n ? null : formatSegment(position.timeline, position.number - 1n, segmentSizeBytes);
}

/**
 * All segments from `start` to `stop`, inclusive.
 * @throws format when their timelines differ, or stop is before start.
 */
export function segmentRange(start: string, stop: string, segmentSizeBytes: number): string[] {
  const first = segmentPosition(start, segmentSizeBytes);
  const last = segmentPosition(stop, segmentSizeBytes);
  if (first.timeline !== last.timeline)
    throw fail("format", `WAL segments '${start}' and '${stop}' are of different timelines`);
  if (last.number < first.number) throw fail("format", `WAL segment '${stop}' is before '${start}'`);
  const count = last.number - first.number + 1n;
  if (count > BigInt(RANGE_SEGMENTS_MAX)) {
    throw fail("format", `WAL range '${start}' to '${stop}' has ${count} segments, more than ${RANGE_SEGMENTS_MAX}`);
  }
  return Array.from({ length: Number(count) }, (_, index) =>
    formatSegment(first.timeline, first.number + BigInt(index), segmentSizeBytes),
  );
}

/**
 * The segment with the byte at `lsn`. (Before version 17, PostgreSQL's pg_walfile_name returns the previous one at an
 * exact boundary.)
 */
export function segmentOfLsn(timeline: number, lsn: bigint, segmentSizeBytes: number): string {
  checkSegmentSize(segmentSizeBytes);
  return formatSegment(timeline, lsn / BigInt(segmentSizeBytes), segmentSizeBytes);
}

/** A timeline's digits at the start of WAL file names. */
export function timelineDigits(timeline: number): string {
  return digitsOf(timeline);
}

/** `00000002.history` */
export function historyName(timeline: number): string {
  return `${timelineDigits(timeline)}.history`;
}

function digitsOf(value: bigint | number): string {
  return value.toString(16).toUpperCase().padStart(8, "0");
}

export function lsnOfSegment(name: string, segmentSizeBytes: number): bigint {
  return segmentPosition(name, segmentSizeBytes).number * BigInt(segmentSizeBytes);
}

/** @throws format when `text` is not of the form `0/2000028`. */
export function parseLsn(text: string): bigint {
  const match = LSN.exec(text);
  if (match === null) throw fail("format", `'${text}' is not a WAL position of the form '0/2000028'`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** As PostgreSQL prints it: upper-case, without leading zeros. */
export function formatLsn(lsn: bigint): string {
  assert(lsn >= 0n && lsn < 1n << 64n, `WAL position ${lsn} is not of 64 bits`);
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}

/** `number` counts segments from position 0. */
function segmentPosition(name: string, segmentSizeBytes: number): { timeline: number; number: bigint } {
  checkSegmentSize(segmentSizeBytes);
  const parsed = parseWalName(name);
  if (parsed === null || parsed.kind !== "segment") throw fail("format", `'${name}' is not the name of a WAL segment`);
  const perLog = (1n << 32n) / BigInt(segmentSizeBytes);
  const segmentNo = BigInt(parsed.segmentNo ?? 0);
  if (segmentNo >= perLog)
    throw fail("format", `'${name}' is not the name of a WAL segment of ${segmentSizeBytes} bytes`);
  return { timeline: parsed.timeline, number: BigInt(parsed.logNo ?? 0) * perLog + segmentNo };
}

function formatSegment(timeline: number, number: bigint, segmentSizeBytes: number): string {
  const perLog = (1n << 32n) / BigInt(segmentSizeBytes);
  const name = `${timelineDigits(timeline)}${digitsOf(number / perLog)}${digitsOf(number % perLog)}`;
  assert(name.length === 24, `WAL segment ${number} of timeline ${timeline} is out of range`);
  return name;
}

function checkSegmentSize(sizeBytes: number): void {
  const power =
    Number.isSafeInteger(sizeBytes) &&
    sizeBytes >= MIB &&
    sizeBytes <= 1024 * MIB &&
    (sizeBytes & (sizeBytes - 1)) === 0;
  assert(power, `WAL segment size ${sizeBytes} is not a power of two from 1 MiB to 1 GiB`);
}

/** The sizes that initdb allows: powers of two from 1 MiB to 1 GiB. */
const SEGMENT_SIZES: readonly number[] = Array.from({ length: 11 }, (_, index) => 2 ** (20 + index));

/**
 * The WAL segment size of one cluster's backups: the only size at which their start positions and segment names agree.
 * Null when none shows it.
 *
 * The cluster on this host may be another one: a new machine has Debian's, whose segments have another size.
 */
export function segmentSizeOf(
  backups: readonly { readonly archiveStart?: string | null; readonly lsnStart?: string }[],
): number | null {
  const known = backups.flatMap(({ archiveStart, lsnStart }) =>
    typeof archiveStart === "string" && lsnStart !== undefined && LSN.test(lsnStart)
      ? [{ name: archiveStart, lsn: parseLsn(lsnStart) }]
      : [],
  );
  const fitting = SEGMENT_SIZES.filter((size) =>
    known.every(({ lsn, name }) => segmentOfLsn(timelineOf(name), lsn, size) === name),
  );
  return known.length > 0 && fitting.length === 1 ? (fitting[0] ?? null) : null;
}
