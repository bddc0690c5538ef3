/**
 * Weak versions of the guards, as they were before there were several writers. With a guard switched off, the
 * simulation must detect the error that it prevents.
 *
 * A test file mocks the runtime's modules with them. Each run decides which guards are off.
 */
import type { Context } from "../../runtime/base/context";
import { type BackupInfo, type BackupInfoEntry, backupInfoEntryOf } from "../../runtime/format/repository/backupInfo";
import type { Manifest } from "../../runtime/format/repository/manifest";
import { type DumpManifest, renderDumpManifest } from "../../runtime/format/repository/dumpManifest";
import { attemptPath, dumpManifestPath } from "../../runtime/format/repository/repoPath";
import type { ServerContent, Verdict } from "../../runtime/operations/heal/decide";
import type { Copy } from "../../runtime/operations/shared/carriedWal";
import { hasManifest, listLabels, saveManifest } from "../../runtime/repository/backupStore";
import { loadBackupInfo, saveBackupInfo } from "../../runtime/repository/infoStore";
import { NO_LEASE } from "../../runtime/repository/lease";
import type { Publication } from "../../runtime/repository/publish";
import type { Reconstructed } from "../../runtime/repository/reconstruct";
import { type Repository, writeFile } from "../../runtime/repository/repository";

/**
 * `lease`: everybody gets it. `publish`: nothing is checked. `listing`: one listing is trusted. `source`: every server
 * counts as the same. `memory`: whatever the agent once stored counts as still there. `record`: heal forgets that a
 * repository lacks a segment once the segment has left pg_wal. `process`: every other process of the host counts as
 * ended. `bytes`: a stored name counts, whatever its file has. `twins`: nobody looks again after a push. `conflict`: a
 * conflict is not recorded. `origin`: heal copies the first content that it finds. `looks`: the
 * answer that a manifest is stored is believed. `holds`: only backup.info knows them. `dumps`: nothing is checked when
 * a dump gets its manifest. `set`: a listing may name an entry twice. `grace`: a push waits for all repositories.
 * `sessions`: a stream looks at no other session's bytes.
 */
export type Guard =
  | "lease"
  | "publish"
  | "listing"
  | "source"
  | "memory"
  | "record"
  | "process"
  | "bytes"
  | "twins"
  | "conflict"
  | "origin"
  | "looks"
  | "holds"
  | "dumps"
  | "set"
  | "grace"
  | "sessions";

let off: ReadonlySet<Guard> = new Set();

export function switchOff(guards: readonly Guard[]): void {
  off = new Set(guards);
}

export function isOff(guard: Guard): boolean {
  return off.has(guard);
}

type Function<A extends unknown[], R> = (...args: A) => R;

/** Calls `weak` while the guard is off, otherwise `real`. */
export function unlessOff<A extends unknown[], R>(
  guard: Guard,
  real: Function<A, R>,
  weak: Function<A, R>,
): Function<A, R> {
  return (...args) => (isOff(guard) ? weak : real)(...args);
}

/** Lists a backup even if it was changed or removed meanwhile. */
export async function finishUnseen(
  repo: Repository,
  manifest: Manifest,
  { pass }: Publication,
  ctx: Context,
): Promise<BackupInfo> {
  const saveHistory = await saveManifest(repo, manifest, { lease: NO_LEASE, pass }, ctx);
  await saveHistory();
  const info = await loadBackupInfo(repo);
  const backups = [...info.backups.filter((entry) => entry.label !== manifest.label), backupInfoEntryOf(manifest)];
  const updated: BackupInfo = { ...info, backups: backups.sort((left, right) => (left.label < right.label ? -1 : 1)) };
  await saveBackupInfo(repo, updated, ctx);
  await repo.storage.remove(attemptPath(repo.stanza, manifest.label));
  return updated;
}

/** Lists a dump even if its files have been removed. */
export async function publishUnseen(
  repo: Repository,
  manifest: DumpManifest,
  _lease: unknown,
  ctx: Context,
  directory = manifest.label,
): Promise<void> {
  await writeFile(repo, dumpManifestPath(repo.stanza, directory), renderDumpManifest(manifest), repo.cipherPass, ctx);
}

/** Drops every backup that one listing does not show, and all that depend on it. */
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
  return {
    info,
    loaded: info,
    adopted: [],
    lost: [],
    doubts: [],
    directories: new Undoubted(directories),
    links: new Set(),
  };
}

/** Claims that the first listing had every directory of a later one. */
class Undoubted extends Map<string, boolean> {
  override has(): boolean {
    return true;
  }
}

/** Trusts a repository's copy before the server's own bytes. */
export async function firstDecides(
  _name: string,
  [first]: readonly Copy[],
  server: ServerContent | null,
): Promise<Verdict> {
  return { sha1: first?.sha1 ?? server?.sha1 ?? null, conflict: null, trouble: null };
}
