/**
 * `global/pg_control`: identifies a data directory's cluster and its last checkpoint. Little-endian hosts only.
 *
 * Control and catalog version together identify the PostgreSQL version. Only the first 512 bytes matter; a backup
 * stores them followed by zeros up to 8192. Errors: fileInvalid (28) when too short, versionNotSupported (46), checksum
 * (26): the server may be writing, so read again after a pause. (PostgreSQL "catalog/pg_control.h"; pgBackRest 2.60
 * "postgres/interface".)
 */
import { viewOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { crc32c } from "../codec/crc32c";
import { checkpointShiftBytes, NEXT_XID_OFFSET } from "../wal/walCheckpoint";

export interface PgControl {
  readonly systemId: bigint;
  /** "9.6", "10" … "19". */
  readonly pgVersion: string;
  readonly controlVersion: number;
  readonly catalogVersion: number;
  /** Position of the last checkpoint record; {@link INVALID_CHECKPOINT} after a restore without a start. */
  readonly checkpointLsn: bigint;
  readonly redoLsn: bigint;
  readonly timeline: number;
  readonly pageSizeBytes: number;
  readonly walSegmentSizeBytes: number;
  readonly dataChecksums: boolean;
}

/** The others are off, and from PostgreSQL 19 on two states in which a page may have none (`ChecksumStateType`). */
const CHECKSUMS_ON = 1;
export const PG_CONTROL_READ_BYTES = 512;
export const PG_CONTROL_FILE_BYTES = 8192;
/** The checkpoint in a restored pg_control: PostgreSQL cannot start from it without backup_label. */
export const INVALID_CHECKPOINT = 0xdeadn;

interface Layout {
  readonly pgVersion: string;
  readonly controlVersion: number;
  /** For {@link UNRELEASED} the lowest one. */
  readonly catalogVersion: number;
  readonly redoOffset: number;
  readonly timelineOffset: number;
  readonly pageSizeOffset: number;
  readonly segmentSizeOffset: number;
  readonly checksumsOffset: number;
  readonly crcOffset: number;
}

const CHECKPOINT_OFFSET = 32;

/**
 * Its release may still get another catalog version. Like stock, we accept every one from its row's to the end of that
 * year, because the control version alone decides the layout (pgBackRest 2.60.0 "postgres/interface/version.intern.h").
 * The betas of 19 have other control versions or WAL magics: stock 2.60.0 refuses them, and so do we.
 */
const UNRELEASED = "19";

/**
 * Columns: version, control, catalog, then offsets of redo LSN, timeline, page size, WAL segment size, data checksum
 * version, CRC.
 */
const LAYOUTS: readonly Layout[] = [
  layoutRow("9.6", 960, 201608131, 48, 56, 216, 228, 252, 256),
  layoutRow("10", 1002, 201707211, 48, 56, 216, 228, 252, 288),
  layoutRow("11", 1100, 201809051, 40, 48, 208, 220, 244, 280),
  layoutRow("12", 1201, 201909212, 40, 48, 216, 228, 252, 288),
  layoutRow("13", 1300, 202007201, 40, 48, 216, 228, 252, 288),
  layoutRow("14", 1300, 202107181, 40, 48, 216, 228, 252, 288),
  layoutRow("15", 1300, 202209061, 40, 48, 216, 228, 252, 288),
  layoutRow("16", 1300, 202307071, 40, 48, 216, 228, 252, 288),
  layoutRow("17", 1700, 202406281, 40, 48, 216, 228, 252, 288),
  layoutRow("18", 1800, 202506291, 40, 48, 216, 228, 252, 292),
  layoutRow("19", 1905, 202605131, 40, 48, 224, 240, 268, 308),
];

function layoutRow(pgVersion: string, controlVersion: number, catalogVersion: number, ...offsets: SixNumbers): Layout {
  const [redoOffset, timelineOffset, pageSizeOffset, segmentSizeOffset, checksumsOffset, crcOffset] = offsets;
  const named = { redoOffset, timelineOffset, pageSizeOffset, segmentSizeOffset, checksumsOffset, crcOffset };
  return { pgVersion, controlVersion, catalogVersion, ...named };
}

type SixNumbers = readonly [number, number, number, number, number, number];

/** @throws fileInvalid, versionNotSupported, checksum, format (sizes out of range) */
export function parsePgControl(first512: Uint8Array): PgControl {
  const view = checkedView(first512);
  const layout = layoutOf(view);
  const actual = crc32c(first512.subarray(0, layout.crcOffset));
  const expected = view.getUint32(layout.crcOffset, true);
  if (actual !== expected) {
    throw fail("checksum", `pg_control: invalid checksum, actual ${hex(actual)} but expected ${hex(expected)}`, {
      hint: "Try again: PostgreSQL may have been writing. If the error persists, pg_control is damaged.",
    });
  }
  const pageSizeBytes = view.getUint32(layout.pageSizeOffset, true);
  const walSegmentSizeBytes = view.getUint32(layout.segmentSizeOffset, true);
  checkPowerOfTwo("page size", pageSizeBytes, 1024, 32 * 1024);
  checkPowerOfTwo("WAL segment size", walSegmentSizeBytes, 1024 * 1024, 1024 * 1024 * 1024);
  return {
    systemId: view.getBigUint64(0, true),
    pgVersion: layout.pgVersion,
    controlVersion: layout.controlVersion,
    catalogVersion: view.getUint32(12, true),
    checkpointLsn: view.getBigUint64(CHECKPOINT_OFFSET, true),
    redoLsn: view.getBigUint64(layout.redoOffset, true),
    timeline: view.getUint32(layout.timelineOffset, true),
    pageSizeBytes,
    walSegmentSizeBytes,
    dataChecksums: view.getUint32(layout.checksumsOffset, true) === CHECKSUMS_ON,
  };
}

/** The first bytes of a pg_control that only a backup reads: no server starts from it. @throws versionNotSupported */
export function renderPgControl(control: PgControl): Uint8Array {
  const bytes = new Uint8Array(PG_CONTROL_READ_BYTES);
  const view = checkedView(bytes);
  view.setBigUint64(0, control.systemId, true);
  view.setUint32(8, control.controlVersion, true);
  view.setUint32(12, control.catalogVersion, true);
  const layout = layoutOf(view);
  view.setBigUint64(CHECKPOINT_OFFSET, control.checkpointLsn, true);
  view.setBigUint64(layout.redoOffset, control.redoLsn, true);
  view.setUint32(layout.timelineOffset, control.timeline, true);
  view.setUint32(layout.pageSizeOffset, control.pageSizeBytes, true);
  view.setUint32(layout.segmentSizeOffset, control.walSegmentSizeBytes, true);
  view.setUint32(layout.checksumsOffset, control.dataChecksums ? CHECKSUMS_ON : 0, true);
  view.setUint32(layout.crcOffset, crc32c(bytes.subarray(0, layout.crcOffset)), true);
  return bytes;
}

/** What pg_upgrade requires of a cluster, or copies into its new one. */
export interface UpgradeFacts {
  /** Cleanly, as a primary. */
  readonly isShutDown: boolean;
  /** With its epoch. */
  readonly nextXid: bigint;
}

const STATE_OFFSET = 16;
/** "DB_SHUTDOWNED" */
const STATE_SHUT_DOWN = 1;

/** Facts of bytes that {@link parsePgControl} accepts. */
export function upgradeFactsOf(first512: Uint8Array): UpgradeFacts {
  const view = checkedView(first512);
  const { pgVersion, redoOffset } = layoutOf(view);
  // The struct begins with the redo position.
  const offset = redoOffset + NEXT_XID_OFFSET + checkpointShiftBytes(Number(pgVersion));
  return {
    isShutDown: view.getUint32(STATE_OFFSET, true) === STATE_SHUT_DOWN,
    nextXid: view.getBigUint64(offset, true),
  };
}

/**
 * Settings that WAL was written with. A hot standby needs at least as much ("xlogrecovery.c",
 * CheckRequiredParameterValues).
 */
export const LIMIT_NAMES = [
  "max_connections",
  "max_worker_processes",
  "max_wal_senders",
  "max_prepared_transactions",
  "max_locks_per_transaction",
] as const;
export type RecoveryLimits = Readonly<Record<(typeof LIMIT_NAMES)[number], number>>;

/** Distance of the first limit to the page size: five integers, a boolean, the alignment and a double are between. */
const LIMITS_BEFORE_PAGE_SIZE_BYTES = 36;

/**
 * Limits of bytes that {@link parsePgControl} accepts, of PostgreSQL 12 and newer. Replay writes them here as soon as
 * it reads their change, before it compares them with the server's settings ("xlog.c", XLOG_PARAMETER_CHANGE).
 */
export function recoveryLimitsOf(first512: Uint8Array): RecoveryLimits {
  const view = checkedView(first512);
  const offset = layoutOf(view).pageSizeOffset - LIMITS_BEFORE_PAGE_SIZE_BYTES;
  return limitsBy((_, index) => view.getInt32(offset + 4 * index, true));
}

export function limitsBy(valueOf: (name: keyof RecoveryLimits, index: number) => number): RecoveryLimits {
  return Object.fromEntries(LIMIT_NAMES.map((name, index) => [name, valueOf(name, index)])) as RecoveryLimits;
}

/** True if `track_commit_timestamp` was on, of bytes as for {@link recoveryLimitsOf}. */
export function tracksCommitTimestamp(first512: Uint8Array): boolean {
  const view = checkedView(first512);
  return view.getUint8(layoutOf(view).pageSizeOffset - LIMITS_BEFORE_PAGE_SIZE_BYTES + 4 * LIMIT_NAMES.length) !== 0;
}

/** A copy of the header (or of the whole file) with {@link INVALID_CHECKPOINT} and a matching CRC. */
export function invalidateCheckpoint(content: Uint8Array): Uint8Array {
  const copy = new Uint8Array(content);
  const view = checkedView(copy);
  const layout = layoutOf(view);
  view.setBigUint64(CHECKPOINT_OFFSET, INVALID_CHECKPOINT, true);
  view.setUint32(layout.crcOffset, crc32c(copy.subarray(0, layout.crcOffset)), true);
  return copy;
}

/** The stored form: the first 512 bytes and zeros, 8192 bytes in all. */
export function imageOf(first512: Uint8Array): Uint8Array {
  checkedView(first512);
  const image = new Uint8Array(PG_CONTROL_FILE_BYTES);
  image.set(first512.subarray(0, PG_CONTROL_READ_BYTES));
  return image;
}

function layoutOf(view: DataView): Layout {
  const controlVersion = view.getUint32(8, true);
  const catalogVersion = view.getUint32(12, true);
  const layout = LAYOUTS.find(
    (candidate) => candidate.controlVersion === controlVersion && isCatalogOf(candidate, catalogVersion),
  );
  if (layout === undefined) {
    throw fail(
      "versionNotSupported",
      `unexpected control version = ${controlVersion} and catalog version = ${catalogVersion}`,
      {
        hint: `Is this version of PostgreSQL supported? Known are ${LAYOUTS[0]?.pgVersion} to ${LAYOUTS.at(-1)?.pgVersion}.`,
      },
    );
  }
  return layout;
}

function isCatalogOf(layout: Layout, catalogVersion: number): boolean {
  if (layout.pgVersion !== UNRELEASED) return catalogVersion === layout.catalogVersion;
  // The year, month, day, and a counter: YYYYMMDDN.
  return catalogVersion >= layout.catalogVersion && yearOf(catalogVersion) === yearOf(layout.catalogVersion);
}

function yearOf(catalogVersion: number): number {
  return Math.floor(catalogVersion / 100_000);
}

function checkedView(content: Uint8Array): DataView {
  if (content.length < PG_CONTROL_READ_BYTES) {
    throw fail("fileInvalid", `pg_control has ${content.length} bytes, expected at least ${PG_CONTROL_READ_BYTES}`);
  }
  return viewOf(content);
}

function checkPowerOfTwo(what: string, value: number, min: number, max: number): void {
  if (value >= min && value <= max && (value & (value - 1)) === 0) return;
  throw fail("format", `pg_control: ${what} is ${value}, expected a power of two from ${min} to ${max}`);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
