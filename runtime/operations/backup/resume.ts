/**
 * Resumes an interrupted full backup, ours or stock's ("pgbackrest-format" 12.4).
 *
 * Only a repository's newest directory can be resumed, and only if it holds a manifest.copy of the same kind of backup.
 * A file is kept if the new backup would store it under the same name with the same size and time; its stored bytes are
 * checked first. Everything else in the directory is removed, including bundles, because their complete files are
 * unknown.
 *
 * An attempt of another host is never resumed, because its process may only be asleep and write again. Files are kept
 * unread only if the attempt read the same server. Stock does not record its server, so its files are compared.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { type Attempt, isSameSource, type SourceIdentity } from "../../format/repository/attemptFile";
import { BACKREST_VERSION } from "../../format/repository/infoFile";
import { viewsOf } from "../../format/repository/fileRows";
import { NameIndex } from "../../format/repository/nameIndex";
import type { FileList, Manifest, ManifestFile } from "../../format/repository/manifest";
import { attemptPath, backupPath, copyOf, dataFilePath, manifestPath } from "../../format/repository/repoPath";
import { loadManifestFile } from "../../repository/backupStore";
import type { Repository } from "../../repository/repository";
import type { PlannedFiles } from "./plannedFiles";
import type { Lease } from "../../repository/lease";
import type { OpenBackup } from "./run";
import { hasNote } from "./sharers";

export interface ResumeRequest {
  readonly resume: boolean;
  readonly isFull: boolean;
  readonly source: SourceIdentity;
}

export interface Resumable {
  readonly manifest: Manifest;
  /** The attempt read the same server: equal sizes and times mean equal bytes. */
  readonly isSameSource: boolean;
}

/** The backup under `label`, or why it cannot be resumed. */
export async function findResumable(
  { repo, infoPass, lease }: Pick<OpenBackup, "repo" | "infoPass" | "lease">,
  label: string,
  attempt: Attempt | null,
  request: ResumeRequest,
): Promise<Resumable | { readonly reason: string }> {
  if (attempt !== null && !lease.isOver(attempt.domain)) return { reason: "another host started it" };
  if (!request.resume) return { reason: "resume is disabled" };
  if (!request.isFull) return { reason: "resume only valid for full backup" };
  const path = copyOf(manifestPath(repo.stanza, label));
  let manifest: Manifest;
  try {
    manifest = await loadManifestFile(repo, path, infoPass);
  } catch (error) {
    return { reason: `unable to read ${path}: [${toBackupError(error).name}] ${toBackupError(error).message}` };
  }
  if (manifest.label !== label) return { reason: "partially deleted by prior resume or invalid" };
  if (manifest.backrestVersion !== BACKREST_VERSION) {
    return {
      reason: `new pgBackRest version '${BACKREST_VERSION}' does not match resumable pgBackRest version '${manifest.backrestVersion}'`,
    };
  }
  // A directory that sync left looks like this too.
  if (manifest.stoppedAtS !== 0)
    return { reason: "it was almost finished, so another repository may have the complete backup" };
  if (manifest.type !== "full")
    return { reason: `new backup type 'full' does not match resumable backup type '${manifest.type}'` };
  const { compressType } = manifest.options;
  if (compressType !== repo.compress.type) {
    return { reason: `new compression '${repo.compress.type}' does not match resumable compression '${compressType}'` };
  }
  if ((manifest.cipherPass === undefined) !== (infoPass === null))
    return { reason: "the encryption of the repository has changed" };
  if (attempt === null && hasNote(manifest)) return { reason: "its attempt file is gone" };
  return { manifest, isSameSource: attempt !== null && isSameSource(attempt.source, request.source) };
}

/** Rows of the earlier attempt that are still valid, by name: pure. */
export function rowsToKeep(files: FileList, resumed: Manifest, delta: boolean): Map<string, ManifestFile> {
  const index = NameIndex.of(resumed.files);
  const kept = new Map<string, ManifestFile>();
  for (const file of viewsOf(files)) {
    const { name } = file;
    const position = index.find(name);
    const row = position === -1 ? undefined : resumed.files.at(position);
    if (
      row === undefined ||
      row.sha1 === "" ||
      row.reference !== undefined ||
      row.bundle !== undefined ||
      row.block !== undefined
    )
      continue;
    if (file.sizeBytes === 0 || file.sizeBytes !== row.sizeBytes || (!delta && file.modifiedAtS !== row.modifiedAtS))
      continue;
    const { modifiedAtS, mode, user, group } = file;
    kept.set(name, { ...row, modifiedAtS, mode, user, group });
  }
  return kept;
}

/** Removes files of the earlier attempt that the new one does not keep. */
export async function cleanResumed(
  repo: Repository,
  resumed: Manifest,
  kept: ReadonlyMap<string, ManifestFile>,
  lease: Lease,
  ctx: Context,
): Promise<void> {
  const root = backupPath(repo.stanza, resumed.label);
  const stay = new Set([attemptPath(repo.stanza, resumed.label), copyOf(manifestPath(repo.stanza, resumed.label))]);
  for (const row of kept.values())
    stay.add(dataFilePath(repo.stanza, resumed.label, row, resumed.options.compressType));
  const strays: string[] = [];
  for await (const entry of repo.storage.list(root, { recursive: true }))
    if (!stay.has(entry.path)) strays.push(entry.path);
  for (const path of strays) {
    ctx.log.detail(`${repo.name}: remove file '${path}' from resumed backup`);
    await lease.keep();
    await repo.storage.remove(path);
  }
}

/** Keeps the verified files: unread if times can be trusted, otherwise after a comparison. */
export function withResumed(files: PlannedFiles, good: Iterable<ManifestFile>, delta: boolean): void {
  for (const row of good) files.set(row.name, { kind: delta ? "compare" : "keep", row });
}
