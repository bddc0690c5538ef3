/**
 * `archive-copy`: keeps the WAL that makes a backup consistent in the backup too ("pgbackrest-format" 15, step 11).
 *
 * Each segment comes from the same repository's archive and is packed like the backup's other files. As in stock, the
 * rows have no checksum of the stored bytes; the checksum of the content is the one in the archive's file name.
 */
import { collect } from "../../base/bytes";
import type { Context } from "../../base/context";
import { assert, fail } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { compressBytes } from "../../format/codec/compress";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { dataFilePath } from "../../format/repository/repoPath";
import { walDirectoryName } from "../../postgres/versions";
import { seal } from "../../repository/repository";
import { openWal, type StoredWal } from "../../repository/walStore";
import { compressOf } from "./backupPlan";
import type { OpenBackup } from "./run";

interface CopyWalStop {
  readonly stoppedAtS: number;
  readonly walSegmentSizeBytes: number;
}

/** `files` are the archive's segments. @throws fileMissing, checksum when one is gone or changed in the meantime */
export async function copyWal(
  open: OpenBackup,
  manifest: Manifest,
  files: readonly StoredWal[],
  stop: CopyWalStop,
  ctx: Context,
): Promise<ManifestFile[]> {
  const { repo, lease, archiveId, archivePass } = open;
  const base = manifest.paths.find((path) => path.name === "pg_data");
  assert(base !== undefined, "the manifest has no row for the data directory");
  const compress = compressOf(manifest);
  const rows: ManifestFile[] = [];
  for (const stored of files) {
    const { name: segment } = stored;
    const plain = await collect(await openWal(repo, archiveId, stored, archivePass), stop.walSegmentSizeBytes);
    const actual = sha1Hex(plain);
    if (actual !== stored.sha1 || plain.length !== stop.walSegmentSizeBytes) {
      throw fail(
        "checksum",
        `WAL segment ${segment} of ${repo.name} has checksum '${actual}' (${plain.length} bytes) but '${stored.sha1}' is expected`,
      );
    }
    const name = `pg_data/${walDirectoryName(manifest.pg.version)}/${segment}`;
    const bytes = seal(compressBytes(plain, compress), manifest.cipherPass ?? null, ctx);
    await lease.keep();
    await repo.storage.put(dataFilePath(repo.stanza, manifest.label, { name }, compress.type), bytes, {
      atomic: false,
    });
    const { user, group } = base;
    rows.push({
      name,
      sizeBytes: plain.length,
      sizeRepoBytes: bytes.length,
      sha1: actual,
      modifiedAtS: stop.stoppedAtS,
      mode: base.mode & 0o644,
      user,
      group,
    });
  }
  return rows;
}
