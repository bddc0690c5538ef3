/**
 * The long header at the start of a WAL segment: the cluster and PostgreSQL version that wrote it. Little-endian hosts
 * only.
 *
 * Errors: fileInvalid (28) when too short, versionNotSupported (46) for an unknown magic, format (29) without the long
 * header or with an impossible size. (PostgreSQL "access/xlog_internal.h"; pgBackRest 2.60 "postgres/interface".)
 */
import { viewOf } from "../../base/bytes";
import { assert, fail } from "../../base/errors";
import { formatLsn, lsnOfSegment, parseWalName } from "./walSegment";

export interface WalHeader {
  /** "9.6", "10" … "19". */
  readonly pgVersion: string;
  readonly timeline: number;
  /** Position of the segment's first byte. */
  readonly lsn: bigint;
  readonly systemId: bigint;
  readonly segmentSizeBytes: number;
}

export const WAL_HEADER_SIZE_BYTES = 40;
const FLAG_LONG_HEADER = 0x0002;
const MIB = 1024 * 1024;
const VERSIONS: ReadonlyMap<number, string> = new Map([
  [0xd093, "9.6"],
  [0xd097, "10"],
  [0xd098, "11"],
  [0xd101, "12"],
  [0xd106, "13"],
  [0xd10d, "14"],
  [0xd110, "15"],
  [0xd113, "16"],
  [0xd116, "17"],
  [0xd118, "18"],
  [0xd122, "19"],
]);

/** @throws fileInvalid, versionNotSupported, format */
export function parseWalHeader(first512: Uint8Array): WalHeader {
  if (first512.length < WAL_HEADER_SIZE_BYTES) {
    throw fail("fileInvalid", `WAL segment has ${first512.length} bytes, expected at least ${WAL_HEADER_SIZE_BYTES}`);
  }
  const view = viewOf(first512);
  const magic = view.getUint16(0, true);
  const pgVersion = VERSIONS.get(magic);
  if (pgVersion === undefined) {
    throw fail("versionNotSupported", `unexpected WAL magic ${magic}`, {
      hint: "Is this version of PostgreSQL supported, and is this a WAL file?",
    });
  }
  if ((view.getUint16(2, true) & FLAG_LONG_HEADER) === 0)
    throw fail("format", "first page header in WAL file is expected to be in long format");
  const segmentSizeBytes = view.getUint32(32, true);
  if (segmentSizeBytes < MIB || segmentSizeBytes > 1024 * MIB || (segmentSizeBytes & (segmentSizeBytes - 1)) !== 0) {
    throw fail("format", `WAL segment size is ${segmentSizeBytes}, expected a power of two from 1 MiB to 1 GiB`);
  }
  return {
    pgVersion,
    timeline: view.getUint32(4, true),
    lsn: view.getBigUint64(8, true),
    systemId: view.getBigUint64(24, true),
    segmentSizeBytes,
  };
}

/**
 * The first segment of a timeline begins with pages of an earlier one, so only a later timeline contradicts the name.
 * @throws fileInvalid when the header is another segment's than the one of this name; `.partial` counts as part of it
 */
export function requireNamed(header: WalHeader, name: string): void {
  const segment = name.replace(/\.partial$/, "");
  const lsn = lsnOfSegment(segment, header.segmentSizeBytes);
  const timeline = parseWalName(segment)?.timeline ?? 0;
  if (header.lsn === lsn && header.timeline <= timeline) return;
  throw fail(
    "fileInvalid",
    `the content of ${name} is of timeline ${header.timeline} and position ${formatLsn(header.lsn)}, its name says ${timeline} and ${formatLsn(lsn)}`,
  );
}

/** Long page header for a synthetic segment. Only archive code reads it, never PostgreSQL. */
export function renderWalHeader(header: WalHeader): Uint8Array {
  const magic = [...VERSIONS].find(([, version]) => version === header.pgVersion)?.[0];
  assert(magic !== undefined, `no WAL magic of PostgreSQL ${header.pgVersion} is known`);
  const bytes = new Uint8Array(WAL_HEADER_SIZE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, magic, true);
  view.setUint16(2, FLAG_LONG_HEADER, true);
  view.setUint32(4, header.timeline, true);
  view.setBigUint64(8, header.lsn, true);
  view.setBigUint64(24, header.systemId, true);
  view.setUint32(32, header.segmentSizeBytes, true);
  return bytes;
}
