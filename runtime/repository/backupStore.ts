/**
 * Backups in a repository: label directories and manifests.
 *
 * A directory with `backup.manifest.copy` and without `backup.manifest` is an unfinished or abandoned backup; nothing
 * refers to it. `publish.ts` makes a backup visible.
 */
import { promisify } from "node:util";
import { createGzip, gzip, type ZlibOptions } from "node:zlib";
import type { ByteStream } from "../base/bytes";
import type { Context } from "../base/context";
import { fail, isError, toBackupError } from "../base/errors";
import type { Measured } from "../base/hash";
import { LIMITS } from "../base/limits";
import { throughTransform } from "../format/codec/throughTransform";
import { isLabel } from "../format/repository/label";
import { type Manifest, readManifest, renderManifestBytes, renderManifestParts } from "../format/repository/manifest";
import {
  backupHistoryPath,
  backupPath,
  backupsPath,
  copyOf,
  manifestHistoryPath,
  manifestPath,
} from "../format/repository/repoPath";
import type { Lease } from "./lease";
import { listNames, openFile, type Repository, writeFile, writeParts } from "./repository";

const MANIFEST_SUFFIX = ".manifest.gz";

/** Labels with a directory, ascending, complete or not. */
export function listLabels(repo: Repository): Promise<string[]> {
  return listNames(repo, backupsPath(repo.stanza), (name, type) => type === "directory" && isLabel(name));
}

/** Links in place of a label's directory: someone moved the backup to another disk, or planted the link. */
export async function listLinks(repo: Repository): Promise<string[]> {
  if (!repo.storage.features.directories) return [];
  return listNames(repo, backupsPath(repo.stanza), (name, type) => type === "link" && isLabel(name));
}

/** The newest label of the manifest history, which outlives expired backups; null if absent. */
export async function findNewestHistoryLabel(repo: Repository): Promise<string | null> {
  const [year] = (await listHistory(repo)).slice(-1);
  return (await year?.labels())?.at(-1) ?? null;
}

/** Manifests of the history by year, both ascending. */
export async function listHistory(repo: Repository): Promise<{ year: string; labels: () => Promise<string[]> }[]> {
  const root = backupHistoryPath(repo.stanza);
  const years = await listNames(repo, root, (name, type) => type === "directory" && /^\d{4}$/.test(name));
  const labelOf = (name: string): string => name.slice(0, -MANIFEST_SUFFIX.length);
  const labels = (year: string): Promise<string[]> =>
    listNames(repo, `${root}/${year}`, (name) => name.endsWith(MANIFEST_SUFFIX) && isLabel(labelOf(name)));
  return years.map((year) => ({ year, labels: async () => (await labels(year)).map(labelOf) }));
}

/** True when the directory holds a finished backup. */
export async function hasManifest(repo: Repository, label: string): Promise<boolean> {
  return (await repo.storage.stat(manifestPath(repo.stanza, label))) !== null;
}

/**
 * The manifest of a finished backup, from its copy if the main file is damaged. `pass` is backup.info's sub-passphrase.
 * `measured` gets the main file.
 * @throws fileMissing, checksum, crypto, format; format (29) when it contains another label
 */
export async function loadManifest(
  repo: Repository,
  label: string,
  pass: string | null,
  measured?: Measured,
): Promise<Manifest> {
  const path = manifestPath(repo.stanza, label);
  let manifest: Manifest;
  try {
    manifest = await loadManifestFile(repo, path, pass, measured);
  } catch (error) {
    // Without the main file the backup was never finished: its copy must not pass for a complete backup.
    // A storage that does not answer has no answer about the copy either.
    if (isError(error, "fileMissing", "hostConnect")) throw error;
    try {
      manifest = await loadManifestFile(repo, copyOf(path), pass);
    } catch {
      throw error;
    }
  }
  if (manifest.label !== label) {
    throw fail("format", `requested backup '${label}' and manifest label '${manifest.label}' do not match`, {
      hint: "this indicates some sort of corruption (at the very least paths have been renamed).",
      repoIndex: repo.key,
      path,
    });
  }
  return manifest;
}

/** One of a manifest's two files, unvalidated. @throws fileMissing, checksum, crypto, format */
export async function loadManifestFile(
  repo: Repository,
  path: string,
  pass: string | null,
  measured?: Measured,
): Promise<Manifest> {
  const plain = await openFile(repo, path, pass);
  return readManifest(measured?.through(plain) ?? plain, path, LIMITS.manifestSizeBytesMax);
}

/** A manifest with more files is never held in memory as text. */
const WHOLE_FILES_MAX = 50_000;

/** Saves the manifest of an unfinished backup, which marks its directory as ours. */
export async function saveManifestCopy(
  repo: Repository,
  manifest: Manifest,
  pass: string | null,
  ctx: Context,
): Promise<void> {
  const path = copyOf(manifestPath(repo.stanza, manifest.label));
  if (manifest.files.length <= WHOLE_FILES_MAX) return writeFile(repo, path, renderManifestBytes(manifest), pass, ctx);
  await writeParts(repo, path, () => renderManifestParts(manifest), pass, ctx);
}

export interface ManifestWrite {
  readonly lease: Pick<Lease, "keep">;
  readonly pass: string | null;
  /** Called between the two files. The manifest follows only if it resolves. */
  readonly check?: () => Promise<void>;
}

/**
 * Writes copy and manifest, in this order: from then on the backup can be adopted. Returns the writer of the history's
 * file.
 */
export async function saveManifest(
  repo: Repository,
  manifest: Manifest,
  { lease, pass, check }: ManifestWrite,
  ctx: Context,
): Promise<() => Promise<void>> {
  const path = manifestPath(repo.stanza, manifest.label);
  const history = manifestHistoryPath(repo.stanza, manifest.label);
  const saveBy = async (write: (target: string) => Promise<void>): Promise<void> => {
    await lease.keep();
    await write(copyOf(path));
    await check?.();
    await lease.keep();
    await write(path);
  };
  if (manifest.files.length <= WHOLE_FILES_MAX) {
    const text = renderManifestBytes(manifest);
    // Node's thread pool compresses in the meantime.
    const [packed] = await Promise.all([
      gzipAside(text, { level: HISTORY_LEVEL }),
      saveBy((target) => writeFile(repo, target, text, pass, ctx)),
    ]);
    return () => writeFile(repo, history, packed, pass, ctx);
  }
  // Rendered for each file: that takes less time than unpacking the history's.
  const open = (): Iterable<Uint8Array> => renderManifestParts(manifest);
  const packed = (): ByteStream => throughTransform(open(), () => createGzip({ level: HISTORY_LEVEL }), toBackupError);
  await saveBy((target) => writeParts(repo, target, open, pass, ctx));
  return () => writeParts(repo, history, packed, pass, ctx);
}

/** With 20,000 rows the best level takes twice as long for two hundredths less. */
const HISTORY_LEVEL = 6;
function gzipAside(bytes: Uint8Array, options: ZlibOptions): Promise<Buffer> {
  return promisify<Uint8Array, ZlibOptions, Buffer>(gzip)(bytes, options);
}

/** Removes an unfinished backup's directory. Refuses a finished one: that is our bug, never the user's. */
export async function removeUnfinished(repo: Repository, label: string): Promise<void> {
  if (await hasManifest(repo, label))
    throw fail("assert", `backup '${label}' is finished and must not be removed as unfinished`);
  await repo.storage.removePath(backupPath(repo.stanza, label));
}
