/**
 * Decides per file what one repository gets: pure, from the scan and the repository's prior backup ("pgbackrest-format"
 * 12).
 *
 * A file with the size and time of the prior backup is not read. One with the same size but another time is compared by
 * checksum (with `delta`, every file is). The rest is copied. `delta` is turned on when times cannot be trusted: after
 * a timeline switch, when times went back or lie in the future, when a size changed without its time. (pgBackRest 2.60
 * "info/manifest".)
 */
import { TIMELINE_LENGTH } from "../../format/wal/walSegment";
import { SHA1_EMPTY } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { viewAt, viewsOf } from "../../format/repository/fileRows";
import { NameIndex } from "../../format/repository/nameIndex";
import type { FileList, FileView, Manifest, ManifestFile } from "../../format/repository/manifest";
import type { ScannedFile } from "../../postgres/dataDirectory";
import { CONTROL_FILE } from "../restore/restorePlan";
import { pageSegmentOf } from "../../format/page/pageChecksum";
import { type Choice, PlannedFiles, uncopied } from "./plannedFiles";

export interface ChooseInput {
  readonly files: FileList;
  /** Null for a full backup. */
  readonly prior: Manifest | null;
  readonly delta: boolean;
  /** Bundled backups keep no bytes of empty files. */
  readonly bundle: boolean;
  readonly checkPages: boolean;
}

export function chooseFiles({ bundle, checkPages, delta, files, prior }: ChooseInput): PlannedFiles {
  const rows = rowsByName(prior?.files ?? []);
  return new PlannedFiles(files, (file) => {
    if (file.sizeBytes === 0 && bundle) return { kind: "keep", row: emptyRow(file, checkPages) };
    const row = prior === null ? undefined : rows(file.name);
    return prior === null || row === undefined ? null : chooseKnown(file, row, prior, delta);
  });
}

/** Null means copy. */
function chooseKnown(file: ScannedFile, row: FileView, prior: Manifest, delta: boolean): Choice | null {
  if (file.sizeBytes !== row.sizeBytes || row.sha1 === "") return null;
  // A bundled backup stores no bytes for an empty file, so a separate file has nothing to refer to.
  if (file.sizeBytes === 0 && prior.bundle && row.reference === undefined) return null;
  const kept = referenceTo(file, row, prior.label);
  if (file.sizeBytes === 0) return { kind: "keep", row: kept };
  // The server may write pg_control twice in one second, and a backup from a standby depends on its newest content.
  if (file.name === CONTROL_FILE) return { kind: "compare", row: kept };
  if (!delta && file.modifiedAtS === row.modifiedAtS) return { kind: "keep", row: kept };
  // A file that fits in memory as one piece is compared at no extra cost.
  return delta || file.sizeBytes <= LIMITS.chunkSizeBytes ? { kind: "compare", row: kept } : null;
}

function rowsByName(files: FileList): (name: string) => FileView | undefined {
  const index = NameIndex.of(files);
  return (name) => {
    const position = index.find(name);
    return position === -1 ? undefined : viewAt(files, position);
  };
}

/** The row of an empty file in a bundled backup: nothing is stored for it. */
export function emptyRow(file: ScannedFile, checkPages: boolean): ManifestFile {
  const row = { ...uncopied(file), sizeBytes: 0, sizeRepoBytes: 0, sha1: SHA1_EMPTY };
  return checkPages && pageSegmentOf(file.name) !== null ? { ...row, checksumPage: true } : row;
}

/** The current file, with its bytes in the prior backup. */
export function referenceTo(file: ScannedFile, row: FileView, priorLabel: string): ManifestFile {
  // Field by field: a rest pattern is slow, and there may be a million rows.
  const { sizeBytes, sizeRepoBytes, sha1, sha1Repo, bundle, block, checksumPage, pageErrors } = row;
  const { name, modifiedAtS, mode, user, group } = file;
  const kept: { -readonly [K in keyof ManifestFile]: ManifestFile[K] } = {
    name,
    sizeBytes,
    sizeRepoBytes,
    sha1,
    modifiedAtS,
    mode,
    user,
    group,
    reference: row.reference ?? priorLabel,
  };
  if (sha1Repo !== undefined) kept.sha1Repo = sha1Repo;
  if (bundle !== undefined) kept.bundle = bundle;
  if (block !== undefined) kept.block = block;
  if (checksumPage !== undefined) kept.checksumPage = checksumPage;
  if (pageErrors !== undefined) kept.pageErrors = pageErrors;
  return kept;
}

export interface DeltaInput {
  readonly files: FileList;
  readonly prior: Manifest;
  /** Absent for an offline backup. */
  readonly archiveStart?: string;
  /** Which servers the times of `files` come from. */
  readonly times: "primary" | "primary with standby" | "standby alone";
}

/** Why the prior's times cannot be trusted; null when they can. */
export function findDeltaReason({ files, prior, archiveStart, times }: DeltaInput): string | null {
  // Servers write the same change at different times by different clocks. With a standby beside the primary the times
  // are the primary's and the bytes the standby's, which may be older: equal times may hide different contents.
  if (times !== "primary" || prior.options.backupStandby === true) {
    return `file times may come from another server than those of the ${prior.label} backup`;
  }
  const timeline = prior.archiveStop?.slice(0, TIMELINE_LENGTH);
  if (archiveStart !== undefined && timeline !== undefined && archiveStart.slice(0, TIMELINE_LENGTH) !== timeline) {
    return `a timeline switch has occurred since the ${prior.label} backup`;
  }
  if ((archiveStart !== undefined) !== prior.options.online)
    return `the online option has changed since the ${prior.label} backup`;
  const rows = rowsByName(prior.files);
  for (const file of viewsOf(files)) {
    const row = rows(file.name);
    if (row === undefined) continue;
    if (file.modifiedAtS < row.modifiedAtS) {
      return `file '${file.name}' has timestamp earlier than prior backup (prior ${row.modifiedAtS}, current ${file.modifiedAtS})`;
    }
    const priorBytes = row.sizeOriginalBytes ?? row.sizeBytes;
    if (file.modifiedAtS === row.modifiedAtS && file.sizeBytes !== priorBytes) {
      return `file '${file.name}' has same timestamp (${file.modifiedAtS}) as prior but different size (prior ${priorBytes}, current ${file.sizeBytes})`;
    }
  }
  return null;
}

/** The same for times after the start of the copy, which concerns every repository. */
export function findFutureReason(files: FileList, copyStartS: number): string | null {
  for (const { name, modifiedAtS } of viewsOf(files)) {
    if (modifiedAtS > copyStartS)
      return `file '${name}' has timestamp (${modifiedAtS}) in the future (relative to copy start ${copyStartS})`;
  }
  return null;
}
