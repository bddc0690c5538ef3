/**
 * Decides what a backup copies and under which label: pure, from the scan, the server's facts and each repository's infos.
 *
 * File list, LSNs and page checks are shared by all repositories; label, keys and compression belong to a repository. All repositories of one
 * run get the same label, later than every label that any of them knows, so that one repository can stand in for another at restore.
 */
import { fail } from "../../base/errors";
import { SHA1_EMPTY } from "../../base/hash";
import type { CompressSpec } from "../../format/compress";
import { BACKREST_VERSION } from "../../format/info";
import { formatLabel } from "../../format/label";
import { defaultsOf, type Manifest, type ManifestFile, type ManifestOptions } from "../../format/manifest";
import type { Scan, ScannedFile } from "../../postgres/dataDirectory";

export interface ManifestInput {
  readonly label: string;
  readonly scan: Scan;
  readonly startedAtS: number;
  readonly copyStartedAtS: number;
  readonly lsnStart: string;
  readonly archiveStart: string;
  readonly pg: Manifest["pg"];
  readonly databases: Manifest["databases"];
  readonly options: Omit<ManifestOptions, "compressType" | "compressLevel">;
  readonly compress: CompressSpec;
  readonly cipherPass: string | null;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The manifest of a full backup before its files are copied: sizes as scanned, no checksums, no end. */
export function newManifest(input: ManifestInput): Manifest {
  const base = input.scan.paths.find((path) => path.name === "pg_data");
  if (base === undefined) throw fail("assert", "the scan has no row for the data directory");
  return {
    backrestVersion: BACKREST_VERSION,
    label: input.label,
    type: "full",
    references: [input.label],
    lsnStart: input.lsnStart,
    archiveStart: input.archiveStart,
    startedAtS: input.startedAtS,
    copyStartedAtS: input.copyStartedAtS,
    stoppedAtS: 0,
    bundle: false,
    bundleRaw: false,
    blockIncr: false,
    pg: input.pg,
    options: { ...input.options, compressType: input.compress.type, compressLevel: input.compress.level },
    targets: input.scan.targets,
    ...(input.cipherPass === null ? {} : { cipherPass: input.cipherPass }),
    databases: input.databases,
    annotations: input.annotations,
    files: input.scan.files.map(uncopied),
    paths: input.scan.paths,
    links: input.scan.links,
    defaults: defaultsOf(base),
    other: [],
  };
}

/** The row of a file that is not copied yet. */
function uncopied(file: ScannedFile): ManifestFile {
  const { name, sizeBytes, modifiedAtS, mode, user, group } = file;
  return { name, sizeBytes, sizeRepoBytes: sizeBytes, sha1: sizeBytes === 0 ? SHA1_EMPTY : "", modifiedAtS, mode, user, group };
}

export interface LabelChoice {
  readonly label: string;
  /** Seconds that the caller must let pass before it uses the label: 0 or 1. */
  readonly waitSeconds: number;
}

/**
 * The label of a full backup that started at `startedAtS`, later than every label in `known`; one second later when two backups fall into
 * the same one. @throws clock (106) when the newest label lies in the future
 */
export function chooseFullLabel(startedAtS: number, known: readonly string[]): LabelChoice {
  const newest = known.reduce((max, label) => (label > max ? label : max), "");
  for (const waitSeconds of [0, 1]) {
    const label = formatLabel("full", startedAtS + waitSeconds);
    if (label > newest) return { label, waitSeconds };
  }
  throw fail("clock", `new backup label '${formatLabel("full", startedAtS + 1)}' is not later than latest backup label '${newest}'`, {
    hint: ["has the timezone changed?", "is there clock skew?"],
  });
}

/** How pages of a file are checked; null for files without pages ("pgbackrest-format" 7.4, last line). */
export function pageSegmentOf(name: string): { readonly segmentNo: number } | null {
  const slash = name.lastIndexOf("/");
  const directory = name.slice(0, slash);
  const base = name.slice(slash + 1);
  const checked = /^pg_data\/base\/\d+$/.test(directory) || directory === "pg_data/global" || /^pg_tblspc\/\d+\/PG_[^/]+\/\d+$/.test(directory);
  if (!checked || base === "pg_filenode.map" || base === "PG_VERSION" || base === "pg_control") return null;
  const segment = /^\d+(?:_[a-z]+)?\.(\d+)$/.exec(base);
  return { segmentNo: segment === null ? 0 : Number(segment[1]) };
}

/** Largest first, so that the last worker does not start a giant when the others are done. */
export function copyOrder(files: readonly ScannedFile[]): ScannedFile[] {
  return [...files].sort((left, right) => right.sizeBytes - left.sizeBytes || (left.name < right.name ? -1 : 1));
}
