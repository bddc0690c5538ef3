/**
 * Files that need no bytes from a repository: holes for excluded databases, and existing files that are already right.
 */
import type { AccountIds } from "../../local/actAs";
import { constants, lstat, open } from "../../local/nodeFiles";
import type { ManifestFile } from "../../format/repository/manifest";
import { systemError } from "../../local/systemError";

const WRITE_NEW =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/** Writes a durable file of zeroes that takes no disk space, with the row's attributes. */
export async function zeroFile(destination: string, file: ManifestFile, owner: AccountIds | null): Promise<void> {
  const handle = await open(destination, WRITE_NEW, 0o600).catch((error: unknown) => {
    throw systemError("fileOpen", `open file '${destination}' for write`, destination, error);
  });
  try {
    await handle.truncate(file.sizeBytes);
    await handle.chmod(file.mode);
    if (owner !== null) await handle.chown(owner.uid, owner.gid);
    await handle.sync();
    await handle.utimes(file.modifiedAtS, file.modifiedAtS);
  } catch (error) {
    throw systemError("fileWrite", `write '${destination}'`, destination, error);
  } finally {
    await handle.close();
  }
}

/**
 * Equal size and time, and older than the backup's copy: a file that changed during the copy may have kept its time
 * ("pgbackrest-format" 17, step 8). Mode and owner are already set.
 */
export async function isUnchanged(destination: string, file: ManifestFile, copyStartedAtS: number): Promise<boolean> {
  const info = await lstat(destination).catch(() => null);
  if (info === null || !info.isFile() || info.size !== file.sizeBytes) return false;
  const modifiedAtS = Math.floor(info.mtimeMs / 1000);
  return modifiedAtS === file.modifiedAtS && modifiedAtS < copyStartedAtS;
}
