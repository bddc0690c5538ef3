/** Copies the server's configuration files that are kept next to a backup, encrypted with the copy's own passphrase. */
import type { Context } from "../../base/context";
import { isError, toBackupError } from "../../base/errors";
import { serverFilesPath } from "../../format/repository/repoPath";
import { loadManifest } from "../../repository/backupStore";
import { readFile, type Repository, writeFile } from "../../repository/repository";
import type { SyncSide } from "./copyBackup";

/** A backup is complete without them: an error becomes a warning. */
export async function syncServerFiles(
  from: Repository,
  to: Repository,
  label: string,
  sides: readonly [SyncSide, SyncSide],
  ctx: Context,
): Promise<void> {
  const path = serverFilesPath(from.stanza, label);
  try {
    if ((await from.storage.stat(path)) === null) return;
    const [source, target] = await Promise.all(sides.map(({ repo, infoPass }) => loadManifest(repo, label, infoPass)));
    await writeFile(to, path, await readFile(from, path, source?.cipherPass ?? null), target?.cipherPass ?? null, ctx);
  } catch (error) {
    if (ctx.signal.aborted || isError(error, "assert")) throw error;
    ctx.log.warn(
      `${to.name}: the server's configuration files of ${label} are not copied: ${toBackupError(error).message}`,
    );
  }
}
