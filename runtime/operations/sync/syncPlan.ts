/**
 * What `sync` copies and how the copy is described: pure, from the infos and manifests of both repositories.
 *
 * A copy keeps label, type, prior and times, so that either repository can stand in for the other. It uses the target's
 * keys, compression and paths: one key and one compression per set, as in stock.
 */
import { fail } from "../../base/errors";
import { type BackupInfo, type BackupInfoEntry, isSameBackup, withEntries } from "../../format/repository/backupInfo";
import type { BlockSettings } from "../../format/repository/blockSize";
import type { CompressSpec } from "../../format/codec/compress";
import { BACKREST_VERSION } from "../../format/repository/infoFile";
import { isLabel } from "../../format/repository/label";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import type { Repository } from "../../repository/repository";
import type { Retention } from "../../repository/retention";
import { planExpire } from "../expire/expirePlan";

/** All that the target's retention keeps, the newest, or one by its label; always with those that they depend on. */
export type SyncScope =
  | { readonly kind: "all"; readonly retention: Retention }
  | { readonly kind: "latest" }
  | { readonly kind: "set"; readonly label: string };

export interface SyncPlan {
  /** Backups that the target lacks, in copying order. */
  readonly entries: readonly BackupInfoEntry[];
  /** Labels under which the target holds another backup. What builds on the source's is copied: files are compared. */
  readonly taken: readonly string[];
  /** Labels that the target's next expire would remove. */
  readonly expired: readonly string[];
}

/**
 * @throws backupSetInvalid (75), fileInvalid (28) when the repositories belong to different clusters or the target
 * holds another backup under the label of `--set`
 */
export function planSync(source: BackupInfo, target: BackupInfo, scope: SyncScope, nowS: number): SyncPlan {
  for (const entry of source.history) {
    const other = target.history.find((row) => row.id === entry.id);
    if (other === undefined || other.systemId !== entry.systemId || other.pgVersion !== entry.pgVersion) {
      throw fail(
        "fileInvalid",
        `history id ${entry.id} is PostgreSQL ${entry.pgVersion}, system-id ${entry.systemId} in one repository and ${describe(other)} in the other`,
        {
          hint: "are both repositories of the same stanza? has a stanza-upgrade been forgotten?",
        },
      );
    }
  }
  const wanted = wantedLabels(source, scope);
  const held = new Map(target.backups.map((entry) => [entry.label, entry]));
  const taken = source.backups.flatMap((entry) => {
    const own = held.get(entry.label);
    return wanted.has(entry.label) && own !== undefined && !isSameBackup(own, entry) ? [entry.label] : [];
  });
  if (scope.kind === "set" && taken.includes(scope.label)) {
    throw fail("fileInvalid", `the target holds another backup with the label ${scope.label}`, {
      hint: "two hosts began them in the same second; both can be restored by --repo.",
    });
  }
  const entries = source.backups.filter(({ label }) => wanted.has(label) && !held.has(label));
  const expired = scope.kind === "all" ? findExpired(target, entries, scope.retention, nowS) : [];
  return { entries: entries.filter(({ label }) => !expired.includes(label)), taken, expired };
}

/** Labels of the entries that expire would remove once the target held them all. */
function findExpired(
  target: BackupInfo,
  entries: readonly BackupInfoEntry[],
  retention: Retention,
  nowS: number,
): string[] {
  const request = { oldest: false, refusePageErrors: false, dryRun: true };
  const { sets } = planExpire("", withEntries(target, entries), retention, request, { nowS, pauses: [] });
  const expired = new Set(sets.flatMap((set) => set.labels));
  return entries.flatMap(({ label }) => (expired.has(label) ? [label] : []));
}

function describe(entry: BackupInfo["history"][number] | undefined): string {
  return entry === undefined ? "nothing" : `PostgreSQL ${entry.pgVersion}, system-id ${entry.systemId}`;
}

function wantedLabels(source: BackupInfo, scope: SyncScope): ReadonlySet<string> {
  if (scope.kind === "all") return new Set(source.backups.map((entry) => entry.label));
  const label = scope.kind === "set" ? scope.label : source.backups.at(-1)?.label;
  if (label === undefined) return new Set();
  if (!isLabel(label)) throw fail("optionInvalidValue", `'${label}' is not a valid backup label format`);
  const wanted = new Set<string>();
  for (let next: string | undefined = label; next !== undefined; ) {
    const entry: BackupInfoEntry | undefined = source.backups.find((candidate) => candidate.label === next);
    if (entry === undefined)
      throw fail("backupSetInvalid", `backup set ${next} is not valid`, { hint: "Run info to list the backups." });
    wanted.add(entry.label);
    for (const reference of entry.references ?? []) wanted.add(reference);
    next = entry.prior;
  }
  return wanted;
}

/** How files of the copy are stored. */
export interface CopyForm {
  readonly compress: CompressSpec;
  readonly cipherPass: string | null;
  readonly bundleRaw: boolean;
  /** Null if the source's files in blocks become whole files. */
  readonly block: BlockSettings | null;
  /** The labels that the target's block maps index; the copy's own is the last one. */
  readonly references: readonly string[];
}

/**
 * A full backup uses the target's own form, other backups that of their set. `prior` is the target's copy of this
 * backup's prior; `newPass` makes a passphrase if the repository is encrypted.
 */
export function copyForm(
  source: Pick<Manifest, "label" | "type" | "references" | "blockIncr" | "bundle">,
  target: Pick<Repository, "compress" | "block">,
  prior: Manifest | null,
  newPass: () => string | null,
): CopyForm {
  const { compress: own } = target;
  const block = source.blockIncr && source.bundle ? target.block : null;
  // The prior's maps hold indexes into its list, so new labels go to the end.
  const references = [
    ...new Set([
      ...(prior?.references ?? []),
      ...source.references.filter((label) => label !== source.label),
      source.label,
    ]),
  ];
  if (source.type === "full" || prior === null)
    return { compress: own, cipherPass: newPass(), bundleRaw: block !== null, block, references };
  const { compressType, compressLevel } = prior.options;
  const level = compressType === own.type ? own.level : (compressLevel ?? own.level);
  return {
    compress: { type: compressType, level },
    cipherPass: prior.cipherPass ?? null,
    bundleRaw: prior.bundleRaw,
    block,
    references,
  };
}

/** The manifest of a copy, with the files stored so far. */
export function copyManifest(
  source: Manifest,
  entry: BackupInfoEntry,
  form: CopyForm,
  files: readonly ManifestFile[],
): Manifest {
  const { cipherPass: _pass, ...rest } = source;
  return {
    ...rest,
    backrestVersion: BACKREST_VERSION,
    references: form.references,
    annotations: entry.annotations ?? {},
    bundleRaw: form.bundleRaw,
    blockIncr: form.block !== null || files.some((file) => (file.block?.mapSizeBytes ?? 0) > 0),
    options: {
      ...source.options,
      compressType: form.compress.type,
      compressLevel: form.compress.level,
      hardlink: false,
    },
    ...(form.cipherPass === null ? {} : { cipherPass: form.cipherPass }),
    files,
  };
}

export interface PlacedRows {
  /** Files that an earlier backup of the target already holds. */
  readonly held: readonly ManifestFile[];
  /** Files whose bytes have to be copied. */
  readonly missing: readonly ManifestFile[];
}

/** A backup of the target. */
export interface EarlierBackup {
  readonly references: readonly string[];
  readonly rows: ReadonlyMap<string, ManifestFile>;
}

/**
 * Divides a backup's rows: bytes in an earlier backup of the target become references, the rest is copied. `earlier`
 * are the target's backups of the labels that the backup refers to, `references` those of the copy.
 */
export function divideRows(
  source: Pick<Manifest, "bundle" | "files">,
  earlier: ReadonlyMap<string, EarlierBackup>,
  references: readonly string[],
): PlacedRows {
  const held: ManifestFile[] = [];
  const missing: ManifestFile[] = [];
  // A block map holds indexes into the references of its backup, and is read with those of the copy.
  const readable = new Map<string, boolean>(
    [...earlier].map(([label, own]) => [label, own.references.every((each, index) => each === references[index])]),
  );
  for (const file of source.files) {
    const { reference = "" } = file;
    const stored = earlier.get(reference)?.rows.get(file.name);
    const own = (stored?.block?.mapSizeBytes ?? 0) > 0 && readable.get(reference) !== true ? undefined : stored;
    if (source.bundle && file.sizeBytes === 0) {
      // A bundled backup stores no bytes for an empty file.
      const { reference: _reference, sha1Repo: _sha1Repo, bundle: _bundle, block: _block, ...rest } = file;
      held.push({ ...rest, sizeRepoBytes: 0 });
    } else if (
      own !== undefined &&
      file.reference !== undefined &&
      own.sha1 === file.sha1 &&
      own.sizeBytes === file.sizeBytes
    ) {
      held.push(withStored(file, { ...own, reference: own.reference ?? file.reference }));
    } else {
      missing.push(file);
    }
  }
  return { held, missing };
}

/** Takes the cluster's facts from `file` and the repository's from `stored`. */
export function withStored(
  file: ManifestFile,
  stored: Pick<ManifestFile, "sizeRepoBytes" | "sha1Repo" | "reference" | "bundle" | "block">,
): ManifestFile {
  const { reference: _reference, sha1Repo: _sha1Repo, bundle: _bundle, block: _block, ...rest } = file;
  const { sizeRepoBytes, sha1Repo, reference, bundle, block } = stored;
  return {
    ...rest,
    sizeRepoBytes,
    ...(sha1Repo === undefined ? {} : { sha1Repo }),
    ...(reference === undefined ? {} : { reference }),
    ...(bundle === undefined ? {} : { bundle }),
    ...(block === undefined ? {} : { block }),
  };
}
