/**
 * The end of a backup, per repository and in this order: label file, WAL that makes it consistent, durable names,
 * manifests, backup.info.
 */
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { assert, type BackupError, fail, isError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { mapParallel } from "../../base/parallel";
import { compressBytes } from "../../format/codec/compress";
import { viewsOf } from "../../format/repository/fileRows";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { backupPath, backupsPath, dataFilePath } from "../../format/repository/repoPath";
import { segmentRange } from "../../format/wal/walSegment";
import type { BackupStop } from "../../postgres/session";
import { finishBackup } from "../../repository/publish";
import { type Repository, seal } from "../../repository/repository";
import type { StoredWal } from "../../repository/walStore";
import { storedAt } from "../restore/restorePlan";
import type { LocalWal } from "../shared/localWal";
import { waitForWal } from "../shared/waitWal";
import type { Copied } from "./copy";
import { copyWal } from "./archiveCopy";
import { requireNames } from "./begin";
import { compressOf } from "./backupPlan";
import type { BackupRun, OpenBackup } from "./run";
import { withoutSharers } from "./sharers";

export interface FinishOptions {
  readonly archiveCheck: boolean;
  readonly archiveCopy: boolean;
  readonly archiveTimeoutMs: number;
}

export interface Stop {
  readonly stoppedAtS: number;
  /** Null for a backup of a server that is down: such a backup is consistent without WAL. */
  readonly wal: StopWal | null;
}

export interface StopWal {
  readonly stopped: BackupStop;
  readonly archiveStart: string;
  readonly walSegmentSizeBytes: number;
  /** A standby cannot switch to the next segment. */
  readonly onStandby: boolean;
  /** `pg_wal` of the server, which decides what its segments contain. */
  readonly local: Pick<LocalWal, "finishedSha1">;
}

export async function finish(
  run: BackupRun,
  copied: Copied,
  stop: Stop,
  options: FinishOptions,
  ctx: Context,
): Promise<void> {
  const { wal, stoppedAtS } = stop;
  const segments =
    wal !== null && options.archiveCheck
      ? segmentRange(wal.archiveStart, wal.stopped.walName, wal.walSegmentSizeBytes)
      : [];
  if (segments.length > 0) ctx.log.info(`check archive for segment(s) ${segments[0]}:${segments.at(-1)}`);
  await run.forEach(async (open) => {
    const { repo, infoPass, lease } = open;
    const { manifest: begun, files: planned } = run.plan(repo.key);
    const more: ManifestFile[] = [];
    if (wal !== null) {
      await lease.keep();
      more.push(...(await storeLabelFiles(repo, begun, wal.stopped, stoppedAtS, ctx)));
      const stored = await waitForSegments(open, segments, wal, options.archiveTimeoutMs, ctx);
      if (options.archiveCopy) more.push(...(await copyWal(open, begun, stored, { ...wal, stoppedAtS }, ctx)));
    }
    const files = planned.list(copied.gone, more);
    const end = wal === null ? {} : { archiveStop: wal.stopped.walName, lsnStop: wal.stopped.lsn };
    const manifest: Manifest = { ...withoutSharers(begun), ...end, stoppedAtS, files };
    checkComplete(manifest);
    requireNames(manifest);
    if (manifest.options.hardlink) await linkUnchanged(open, manifest, ctx);
    await syncDirectories(repo, manifest);
    await finishBackup(repo, manifest, { lease, pass: infoPass }, ctx);
    run.complete(repo.key, manifest);
  });
  run.requireOne();
}

async function waitForSegments(
  open: OpenBackup,
  segments: readonly string[],
  { local, onStandby, walSegmentSizeBytes: segmentSizeBytes }: StopWal,
  timeoutMs: number,
  ctx: Context,
): Promise<StoredWal[]> {
  const archive = open.archive();
  const ownSha1 = (name: string): Promise<string | null> => local.finishedSha1(name);
  const wait = { timeoutMs, segmentSizeBytes, ownSha1, moreHints: onStandby ? STANDBY_HINTS : [] };
  const files: StoredWal[] = [];
  for (const segment of segments) files.push(await waitForWal(archive, segment, wait, ctx));
  return files;
}

const LINKS_AT_ONCE = 16;
const STANDBY_HINTS = [
  "The primary archives this segment when it is full. Set archive_timeout there, or run 'select pg_switch_wal()' on it while the backup waits.",
];

/**
 * Stores backup_label and tablespace_map as PostgreSQL returned them: never bundled, with the rights of the data
 * directory's files.
 */
async function storeLabelFiles(
  repo: Repository,
  manifest: Manifest,
  stopped: BackupStop,
  stoppedAtS: number,
  ctx: Context,
): Promise<ManifestFile[]> {
  const base = manifest.paths.find((path) => path.name === "pg_data");
  assert(base !== undefined, "the manifest has no row for the data directory");
  const contents: [string, string][] = [["pg_data/backup_label", stopped.backupLabel]];
  if (stopped.tablespaceMap !== "") contents.push(["pg_data/tablespace_map", stopped.tablespaceMap]);
  const compress = compressOf(manifest);
  const rows: ManifestFile[] = [];
  for (const [name, text] of contents) {
    const plain = utf8(text);
    const packed = compressBytes(plain, compress);
    const pass = manifest.cipherPass;
    const stored = seal(packed, pass ?? null, ctx);
    await repo.storage.put(dataFilePath(repo.stanza, manifest.label, { name }, compress.type), stored, {
      atomic: false,
    });
    const filtered = compress.type !== "none" || pass !== undefined;
    rows.push({
      name,
      sizeBytes: plain.length,
      sizeRepoBytes: stored.length,
      sha1: sha1Hex(plain),
      ...(filtered ? { sha1Repo: sha1Hex(stored) } : {}),
      modifiedAtS: stoppedAtS,
      mode: base.mode & 0o644,
      user: base.user,
      group: base.group,
    });
  }
  return rows;
}

const SHA1 = /^[0-9a-f]{40}$/;

/** Runs before the manifest is saved: everything that it promises must exist. */
function checkComplete(manifest: Manifest): void {
  for (const file of viewsOf(manifest.files)) {
    const { sizeBytes } = file;
    if (!SHA1.test(file.sha1)) throw fail("assert", `file '${file.name}' has no checksum`);
    if (sizeBytes > 0 && file.sizeRepoBytes <= 0)
      throw fail("assert", `file '${file.name}' of ${sizeBytes} bytes has no stored bytes`);
  }
  assert(
    manifest.files.some((file) => file.name === "pg_data/global/pg_control"),
    "the backup has no pg_control",
  );
}

/**
 * Hard-links files of earlier backups into this backup's directory, so that the directory is complete. The manifest
 * still names the earlier backup (stock's rule for `repo-hardlink`). Bytes in bundles and blocks have no file to link.
 * If the file system allows no more links, the backup is as good without them; missing bytes end it.
 * @throws fileMissing
 */
async function linkUnchanged({ repo, lease }: OpenBackup, manifest: Manifest, ctx: Context): Promise<void> {
  const { hardLink } = repo.storage;
  assert(hardLink !== undefined, `${repo.name} has no hard links`);
  const root = backupPath(repo.stanza, manifest.label);
  const refused: BackupError[] = [];
  const linked = manifest.files.filter(
    ({ reference, bundle, block }) => reference !== undefined && bundle === undefined && block === undefined,
  );
  await mapParallel(linked, LINKS_AT_ONCE, async (file) => {
    if (file.reference === undefined || refused.length > 0) return;
    const { path } = storedAt(repo.key, repo.stanza, manifest, file);
    const own = `${root}${path.slice(backupPath(repo.stanza, file.reference).length)}`;
    await lease.keep();
    try {
      await hardLink(own, path);
    } catch (error) {
      if (!isError(error, "featureNotSupported")) throw error;
      refused.push(error);
    }
  });
  const [first] = refused;
  if (first !== undefined) ctx.log.warn(`${repo.name}: not all unchanged files have hard links: ${first.message}`);
}

/** Data files were written in place. Their names become durable here, before anything refers to them. */
async function syncDirectories(repo: Repository, manifest: Manifest): Promise<void> {
  if (!repo.storage.features.directories) return;
  const root = backupPath(repo.stanza, manifest.label);
  // Full backups without bundles, and backups with hard links, have every directory. The others have those that hold a
  // file.
  const hasAll = !manifest.bundle && (manifest.type === "full" || manifest.options.hardlink);
  const directories = new Set(hasAll ? manifest.paths.map((path) => `${root}/${path.name}`) : []);
  for (const file of viewsOf(manifest.files)) {
    if (file.reference !== undefined || (manifest.bundle && file.sizeBytes === 0)) continue;
    const path = file.bundle === undefined ? `${root}/${file.name}` : `${root}/bundle/${file.bundle.id}`;
    for (let end = path.lastIndexOf("/"); end > root.length; end = path.lastIndexOf("/", end - 1))
      directories.add(path.slice(0, end));
  }
  for (const directory of directories) await repo.storage.syncPath(directory);
  await repo.storage.syncPath(root);
  await repo.storage.syncPath(backupsPath(repo.stanza));
}
