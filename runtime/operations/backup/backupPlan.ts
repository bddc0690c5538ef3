/**
 * Decides each repository's label and manifest: pure, from the scan, the server's facts and each repository's infos.
 *
 * All repositories share the file list, LSNs and page checks. Label, prior, keys, bundles and compression belong to a
 * repository. All full backups of one run get the same label, later than every label that any repository knows, so that
 * one repository can stand in for another at restore. A backup that builds on a prior is named after its set's full
 * backup and the same time.
 */
import { fail } from "../../base/errors";
import { type BlockSettings, blockSizesOf, keptBlockSizes, superBlockSizeOf } from "../../format/repository/blockSize";
import { findBlockSource } from "../../format/repository/blockSource";
import type { CompressSpec } from "../../format/codec/compress";
import { sortedBy } from "../../format/repository/fileRows";
import { BACKREST_VERSION } from "../../format/repository/infoFile";
import { type BackupType, formatLabel, fullLabelOf } from "../../format/repository/label";
import {
  defaultsOf,
  type FileList,
  type Manifest,
  type ManifestFile,
  type ManifestOptions,
} from "../../format/repository/manifest";
import type { Scan, ScannedFile } from "../../postgres/dataDirectory";
import type { BackupStart } from "../../postgres/session";
import type { BundleSpec } from "../../repository/repository";
import type { BlockPlan } from "./fileTargets";
import type { PlannedFiles } from "./plannedFiles";

export interface RepoPlan {
  /** As at the start of the copy but without file rows, which the copy collects. */
  readonly manifest: Manifest;
  readonly files: PlannedFiles;
  readonly bundle: BundleSpec | null;
  /** Null stores files whole. */
  readonly block: BlockSpec | null;
}

export interface BlockSpec {
  readonly settings: BlockSettings;
  /** The backup whose blocks are not stored again, with the rows of files that have a map; null for a full backup. */
  readonly prior: { readonly manifest: Manifest; readonly rows: ReadonlyMap<string, ManifestFile> } | null;
}

export interface ManifestInput
  extends Pick<Manifest, "annotations" | "blockIncr" | "bundle" | "databases" | "files" | "label" | "pg" | "type">,
    Pick<Manifest, "copyStartedAtS" | "startedAtS"> {
  /** Null for a full backup. */
  readonly prior: Manifest | null;
  readonly scan: Scan;
  /** Null for a backup of a server that is down. */
  readonly begun: BackupStart | null;
  readonly options: Omit<ManifestOptions, "compressType" | "compressLevel">;
  readonly compress: CompressSpec;
  readonly cipherPass: string | null;
}

/** The manifest of a backup before its files are copied: with scanned sizes and without an end. */
export function newManifest(input: ManifestInput): Manifest {
  const { prior, label, type } = input;
  const base = input.scan.paths.find((path) => path.name === "pg_data");
  if (base === undefined) throw fail("assert", "the scan has no row for the data directory");
  return {
    backrestVersion: BACKREST_VERSION,
    label,
    type,
    ...(prior === null ? {} : { prior: prior.label }),
    // Block maps hold indexes into this list, so it only grows at its end.
    references: [...(prior?.references ?? []), label],
    ...(input.begun === null ? {} : { lsnStart: input.begun.lsn, archiveStart: input.begun.walName }),
    startedAtS: input.startedAtS,
    copyStartedAtS: input.copyStartedAtS,
    stoppedAtS: 0,
    bundle: input.bundle,
    // All bundled files of one set have headers, or none has.
    bundleRaw: prior?.bundleRaw ?? input.blockIncr,
    blockIncr: input.blockIncr,
    pg: input.pg,
    options: { ...input.options, compressType: input.compress.type, compressLevel: input.compress.level },
    targets: input.scan.targets,
    ...(input.cipherPass === null ? {} : { cipherPass: input.cipherPass }),
    databases: input.databases,
    annotations: input.annotations,
    files: input.files,
    paths: input.scan.paths,
    links: input.scan.links,
    defaults: defaultsOf(base),
    other: [],
  };
}

/** The backup's compression, which its prior may have decided. */
export function compressOf({ options }: Pick<Manifest, "options">): CompressSpec {
  return { type: options.compressType, level: options.compressLevel ?? 0 };
}

/** How one repository stores one file in blocks; null stores it whole. */
export function blockPlanOf(
  stanza: string,
  plan: Pick<RepoPlan, "manifest" | "block">,
  file: ScannedFile,
): BlockPlan | null {
  const { manifest, block } = plan;
  if (block === null) return null;
  const row = block.prior?.rows.get(file.name);
  const kept = row === undefined ? null : keptBlockSizes(row, file.sizeBytes);
  const sizes = kept ?? blockSizesOf(block.settings, file, manifest.startedAtS);
  if (sizes === null) return null;
  const source =
    kept === null || row === undefined || block.prior === null
      ? null
      : findBlockSource(stanza, block.prior.manifest, row);
  return {
    blockSizeBytes: sizes.blockSizeBytes,
    checksumSizeBytes: sizes.checksumSizeBytes,
    superBlockSizeBytes: superBlockSizeOf(block.settings, manifest.type, sizes.blockSizeBytes),
    reference: manifest.references.length - 1,
    prior:
      source === null || row === undefined
        ? null
        : { source, sizeBytes: row.sizeBytes, sha1: row.sha1, pagesValid: row.checksumPage === true },
  };
}

export interface LabelNeed {
  readonly repoIndex: number;
  readonly type: BackupType;
  /** Label of the set that a diff or incr extends; null for a full backup. */
  readonly fullLabel: string | null;
  /** The repository's labels, of existing and expired backups. */
  readonly known: readonly string[];
}

export interface LabelChoice {
  /** Labels by repository key. */
  readonly labels: ReadonlyMap<number, string>;
  /** Seconds to wait before the labels may be used: 0 or 1. */
  readonly waitSeconds: number;
}

/**
 * `taken` are labels that no directory of this run may have.
 * @throws clock (106) when a label would not be later than the known ones, even a second later
 */
export function chooseLabels(
  startedAtS: number,
  needs: readonly LabelNeed[],
  taken: ReadonlySet<string> = new Set(),
): LabelChoice {
  const known = needs.flatMap((need) => need.known);
  for (const waitSeconds of [0, 1]) {
    const made = needs.map((need) => ({
      need,
      label: formatLabel(need.type, startedAtS + waitSeconds, need.fullLabel ?? undefined),
    }));
    const stale = made.find(({ need, label }) => label <= newestFor(need, known) || taken.has(label));
    if (stale === undefined)
      return { labels: new Map(made.map(({ need, label }) => [need.repoIndex, label])), waitSeconds };
    if (waitSeconds === 0) continue;
    throw fail(
      "clock",
      `new backup label '${stale.label}' is not later than latest backup label '${newestFor(stale.need, known)}'`,
      {
        hint: ["has the timezone changed?", "is there clock skew?"],
      },
    );
  }
  throw fail("assert", "no label was chosen");
}

/** A full backup must be later than every label, one that builds on a prior later than its own set. */
function newestFor(need: LabelNeed, known: readonly string[]): string {
  const others = need.fullLabel === null ? known : known.filter((label) => fullLabelOf(label) === need.fullLabel);
  return others.reduce((newest, label) => (label > newest ? label : newest), "");
}

/** Largest first, so that no worker starts a giant file when the others are done. */
export function copyOrder(files: FileList): FileList {
  return sortedBy(files, ({ sizeBytes }) => -sizeBytes);
}
