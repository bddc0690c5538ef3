/**
 * Checks that a backup is complete: its own files, by names and sizes, and its base.
 *
 * Files are compared with one recursive listing of the backup's directory. A missing name is looked up directly,
 * because a listing may be incomplete. Bytes are not read: `verify` does that.
 */
import { fail } from "../base/errors";
import { mapParallel } from "../base/parallel";
import type { BackupInfo } from "../format/repository/backupInfo";
import { extensionOf } from "../format/codec/compress";
import { filesWhere, viewsOf } from "../format/repository/fileRows";
import { NameIndex } from "../format/repository/nameIndex";
import type { FileList, Manifest, ManifestFile } from "../format/repository/manifest";
import { backupPath, bundlePath, copyOf, dataFilePath, manifestPath } from "../format/repository/repoPath";
import { hasManifest } from "./backupStore";
import type { Repository } from "./repository";

const QUESTIONS_AT_ONCE = 16;
const BLOCK_SUFFIX = ".pgbi";
const HINT = "Another process has removed or replaced it in the meantime. The backup was not listed. Take another one.";

/**
 * Returns the directory's paths that are not in the manifest.
 * @throws fileMissing (55), fileInvalid (28) naming the first file or bundle that differs from the manifest
 */
export async function requireStored(repo: Repository, manifest: Manifest): Promise<readonly string[]> {
  const strays: string[] = [];
  const expected = new Expected(repo.stanza, manifest);
  for await (const entry of repo.storage.list(backupPath(repo.stanza, manifest.label), { recursive: true })) {
    if (entry.type === "file" && !expected.require(repo, entry.path, entry.sizeBytes)) strays.push(entry.path);
  }
  await mapParallel(expected.unseen(), QUESTIONS_AT_ONCE, async (path) => {
    const file = await repo.storage.stat(path);
    if (file !== null) expected.require(repo, path, file.sizeBytes);
    else
      throw fail("fileMissing", `${repo.name}: '${path}' of backup '${manifest.label}' is gone`, {
        hint: HINT,
        repoIndex: repo.key,
        path,
      });
  });
  return strays;
}

/**
 * Paths of the backup's own files that a listing of its directory lacks or shows with another size. A listing may be
 * incomplete, so the caller reads these paths and judges what it reads.
 */
export async function listDoubtful(repo: Repository, manifest: Manifest): Promise<readonly string[]> {
  const expected = new Expected(repo.stanza, manifest);
  const wrong: string[] = [];
  for await (const entry of repo.storage.list(backupPath(repo.stanza, manifest.label), { recursive: true })) {
    if (entry.type === "file" && isWrongSize(expected.see(entry.path, entry.sizeBytes))) wrong.push(entry.path);
  }
  return [...wrong, ...expected.unseen()];
}

/** A path of no file, a file of the right size, or the size that a file should have. */
type Sight = "stray" | "right" | number;

function isWrongSize(sight: Sight): sight is number {
  return typeof sight === "number";
}

/** The files of a backup's own directory. */
class Expected {
  readonly #stanza: string;
  readonly #manifest: Manifest;
  /** Rows with a separate file. */
  readonly #rows: FileList;
  readonly #index: NameIndex;
  readonly #seen: Uint8Array;
  /** Minimum size of each bundle. */
  readonly #bundles = new Map<string, number>();
  readonly #seenBundles = new Set<string>();
  readonly #root: string;
  readonly #extension: string;

  constructor(stanza: string, manifest: Manifest) {
    this.#stanza = stanza;
    this.#manifest = manifest;
    this.#root = `${backupPath(stanza, manifest.label)}/`;
    this.#extension = extensionOf(manifest.options.compressType);
    this.#rows = filesWhere(manifest.files, ({ reference, bundle, sizeBytes, sizeRepoBytes }) => {
      // Bytes in another backup; bundled backups store nothing for empty files.
      if (reference !== undefined || (manifest.bundle && sizeBytes === 0)) return false;
      if (bundle === undefined) return true;
      const path = bundlePath(stanza, manifest.label, bundle.id);
      this.#bundles.set(path, Math.max(this.#bundles.get(path) ?? 0, bundle.offsetBytes + sizeRepoBytes));
      return false;
    });
    this.#index = NameIndex.of(this.#rows);
    this.#seen = new Uint8Array(this.#rows.length);
  }

  /** False for a path that is not in the manifest. @throws fileInvalid (28) for another size */
  require(repo: Repository, path: string, sizeBytes: number): boolean {
    const sight = this.see(path, sizeBytes);
    if (isWrongSize(sight)) throw this.#wrongSize(repo, path, sizeBytes, sight);
    return sight === "right";
  }

  see(path: string, sizeBytes: number): Sight {
    const leastBytes = this.#bundles.get(path);
    if (leastBytes !== undefined) {
      this.#seenBundles.add(path);
      return sizeBytes < leastBytes ? leastBytes : "right";
    }
    const index = this.#indexOf(path);
    const row = index === -1 ? undefined : this.#rows.at(index);
    if (row === undefined) return "stray";
    this.#seen[index] = 1;
    return sizeBytes === row.sizeRepoBytes ? "right" : row.sizeRepoBytes;
  }

  unseen(): string[] {
    const paths = [...this.#bundles.keys()].filter((path) => !this.#seenBundles.has(path));
    for (let index = 0; index < this.#rows.length; index++)
      if (this.#seen[index] === 0) paths.push(this.#pathOf(this.#rows.at(index) as ManifestFile));
    return paths;
  }

  #pathOf(row: ManifestFile): string {
    return dataFilePath(this.#stanza, this.#manifest.label, row, this.#manifest.options.compressType);
  }

  /** -1 for a path that is not in the manifest. */
  #indexOf(path: string): number {
    for (const suffix of [this.#extension, BLOCK_SUFFIX]) {
      if (!path.endsWith(suffix)) continue;
      const index = this.#index.find(path.slice(this.#root.length, path.length - suffix.length));
      const row = index === -1 ? undefined : this.#rows.at(index);
      if (row !== undefined && (row.block?.mapSizeBytes ?? 0) > 0 === (suffix === BLOCK_SUFFIX)) return index;
    }
    return -1;
  }

  #wrongSize(repo: Repository, path: string, actualBytes: number, expectedBytes: number): Error {
    const text = `${repo.name}: '${path}' of backup '${this.#manifest.label}' has ${actualBytes} bytes and not ${expectedBytes}`;
    return fail("fileInvalid", text, { hint: HINT, repoIndex: repo.key, path });
  }
}

/**
 * Requires that the base is listed and exists, by a direct lookup. Its cluster must be in the history, and the label
 * unused.
 * @throws backupSetInvalid (75), backupMismatch (51)
 */
export async function requireReferences(repo: Repository, manifest: Manifest, info: BackupInfo): Promise<void> {
  const { label, pg } = manifest;
  const refuse = (text: string): never => {
    throw fail("backupSetInvalid", `${repo.name}: backup '${label}' cannot be listed: ${text}`, {
      hint: "Another process has changed the repository in the meantime. Take another backup.",
      repoIndex: repo.key,
    });
  };
  if (!info.history.some((row) => row.id === pg.id && row.systemId === pg.systemId && row.pgVersion === pg.version)) {
    throw fail(
      "backupMismatch",
      `${repo.name}: backup '${label}' is of PostgreSQL ${pg.version}, system-id ${pg.systemId}, which backup.info does not have as ${pg.id}`,
      {
        hint: "The stanza was upgraded or created again in the meantime. Take another backup.",
        repoIndex: repo.key,
      },
    );
  }
  const own = info.backups.find((entry) => entry.label === label);
  if (own !== undefined && own.startedAtS !== manifest.startedAtS) refuse("another backup is listed under its label");
  const listed = new Set(info.backups.map((entry) => entry.label));
  await mapParallel([...referencesOf(manifest)], QUESTIONS_AT_ONCE, async (reference) => {
    if (!listed.has(reference)) refuse(`its prior backup ${reference} is no longer listed`);
    if (!(await hasManifest(repo, reference))) refuse(`the manifest of its prior backup ${reference} is gone`);
  });
}

/** Labels of the backups that hold bytes of this one. */
export function referencesOf(
  manifest: Pick<Manifest, "label" | "prior" | "references" | "files">,
): ReadonlySet<string> {
  const labels = new Set(manifest.references);
  if (manifest.prior !== undefined) labels.add(manifest.prior);
  for (const { reference } of viewsOf(manifest.files)) if (reference !== undefined) labels.add(reference);
  labels.delete(manifest.label);
  return labels;
}

/**
 * The answer of a storage alone is no proof that it stored a manifest. The copy has the same content, so both have one
 * size.
 * @throws fileMissing
 */
export async function requireManifests({ storage, name, stanza, key }: Repository, label: string): Promise<void> {
  const path = manifestPath(stanza, label);
  const [main, copy] = await Promise.all([storage.stat(path), storage.stat(copyOf(path))]);
  if (main !== null && main.sizeBytes === copy?.sizeBytes) return;
  throw fail("fileMissing", `'${path}' or its copy was written to ${name} and is now missing or of another size`, {
    repoIndex: key,
    path,
    retryable: true,
  });
}
