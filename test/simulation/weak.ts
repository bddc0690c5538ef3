/**
 * Guards as they were before there were several writers: the simulation must find what each of them is for when it is
 * switched off.
 *
 * A test file puts these in the place of the runtime's own modules; which one is off is decided run by run.
 */
import type { Context } from "../../runtime/base/context";
import { type BackupInfo, type BackupInfoEntry, backupInfoEntryOf } from "../../runtime/format/repository/backupInfo";
import type { Manifest } from "../../runtime/format/repository/manifest";
import { attemptPath, manifestHistoryPath } from "../../runtime/format/repository/repoPath";
import { hasManifest, listLabels, saveManifest } from "../../runtime/repository/backupStore";
import { loadBackupInfo, saveBackupInfo } from "../../runtime/repository/infoStore";
import type { Publication } from "../../runtime/repository/publish";
import type { Reconstructed } from "../../runtime/repository/reconstruct";
import { type Repository, writeFile } from "../../runtime/repository/repository";

/**
 * `lease`: everybody has it; `publish`: nothing is looked at; `listing`: one listing is believed; `source`: every
 * server counts as the same; `memory`: what the agent once stored is there for ever.
 */
export type Guard = "lease" | "publish" | "listing" | "source" | "memory";

let off: ReadonlySet<Guard> = new Set();

export function switchOff(guards: readonly Guard[]): void {
  off = new Set(guards);
}

export function isOff(guard: Guard): boolean {
  return off.has(guard);
}

type Function<A extends unknown[], R> = (...args: A) => R;

/** Calls `weak` while the guard is off, else what the runtime has. */
export function unlessOff<A extends unknown[], R>(
  guard: Guard,
  real: Function<A, R>,
  weak: Function<A, R>,
): Function<A, R> {
  return (...args) => (isOff(guard) ? weak : real)(...args);
}

/** Lists a backup, whatever has become of it. */
export async function finishUnseen(
  repo: Repository,
  manifest: Manifest,
  { pass }: Publication,
  ctx: Context,
): Promise<BackupInfo> {
  const packed = await saveManifest(repo, manifest, pass, ctx);
  await writeFile(repo, manifestHistoryPath(repo.stanza, manifest.label), packed, pass, ctx);
  const info = await loadBackupInfo(repo);
  const backups = [...info.backups.filter((entry) => entry.label !== manifest.label), backupInfoEntryOf(manifest)];
  const updated: BackupInfo = { ...info, backups: backups.sort((left, right) => (left.label < right.label ? -1 : 1)) };
  await saveBackupInfo(repo, updated, ctx);
  await repo.storage.remove(attemptPath(repo.stanza, manifest.label));
  return updated;
}

/** What one listing does not show is gone, with all that builds on it. */
export async function believeListing(repo: Repository): Promise<Reconstructed> {
  const loaded = await loadBackupInfo(repo);
  const directories = new Map<string, boolean>();
  for (const label of await listLabels(repo)) directories.set(label, await hasManifest(repo, label));
  const kept: BackupInfoEntry[] = [];
  for (const entry of loaded.backups) {
    const isThere = directories.get(entry.label) === true;
    if (isThere && (entry.prior === undefined || kept.some(({ label }) => label === entry.prior))) kept.push(entry);
  }
  const info = { ...loaded, backups: kept };
  return { info, loaded: info, adopted: [], lost: [], doubts: [], directories: new Undoubted(directories) };
}

/** Whatever a later listing shows was in the first one. */
class Undoubted extends Map<string, boolean> {
  override has(): boolean {
    return true;
  }
}
