/**
 * Space for `expire` on a full file system: each run leaves some files of random bytes in the repository. A write of
 * `expire` that fails gives one of them up, and is repeated.
 *
 * The proof that `expire` is alone stays the lease's. Any process may remove these files, and any writer may take the
 * space first: then the write fails again, as without them.
 */
import type { Context } from "../base/context";
import { isError, toBackupError } from "../base/errors";
import { reservePath } from "../format/repository/repoPath";
import { overlaid } from "../storage/overlaid";
import type { Storage } from "../storage/storage";
import type { Repository } from "./repository";

/** Each has space for the lease, marks, and the info file of hundreds of backups. */
const FILE_SIZE_BYTES = 256 * 1024;
const NUMBERS = [1, 2, 3, 4];

/** The repository for `expire`. Object stores have no reserve: a removal gives no space to the next request. */
export function withReserve(repo: Repository): Repository {
  const { storage, stanza } = repo;
  if (!storage.features.directories) return repo;
  const { create } = storage;
  const spending = async <T>(write: () => Promise<T>): Promise<T> => {
    for (let left = NUMBERS.length; ; left--) {
      try {
        return await write();
      } catch (error) {
        // Servers do not say that space is the reason, and a file that is given up comes back.
        const mayBeFull = isError(error, "fileOpen", "fileWrite", "fileSync", "fileClose", "fileMove", "pathCreate");
        if (!mayBeFull || left === 0 || !(await giveUp(storage, stanza).catch(() => false))) throw error;
      }
    }
  };
  return {
    ...repo,
    storage: overlaid(storage, {
      put: (path, bytes, options) => spending(() => storage.put(path, bytes, options)),
      create: create && ((path, bytes) => spending(() => create.call(storage, path, bytes))),
    }),
  };
}

/** Makes the files that are missing. A repository without space for them is not an error. */
export async function keepReserve({ name, stanza, storage }: Repository, { log, random }: Context): Promise<void> {
  if (!storage.features.directories) return;
  try {
    const sizes = new Map<string, number>();
    for await (const { path, sizeBytes } of storage.list(reservePath(stanza))) sizes.set(path, sizeBytes);
    for (const path of NUMBERS.map((number) => `${reservePath(stanza)}/${number}`))
      if (sizes.get(path) !== FILE_SIZE_BYTES) await storage.put(path, random.bytes(FILE_SIZE_BYTES));
  } catch (error) {
    log.warn(`${name}: no space is kept for the next expire: ${toBackupError(error).message}`);
  }
}

/** False without a file. */
async function giveUp(storage: Storage, stanza: string): Promise<boolean> {
  for await (const { path } of storage.list(reservePath(stanza), { namesOnly: true })) {
    await storage.remove(path);
    return true;
  }
  return false;
}
