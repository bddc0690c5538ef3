/**
 * The storage of a repository that cannot be opened: every use fails with the reason. So the error belongs to this
 * repository, and the others continue. A missing secret is one case: a host may have the keys of some repositories
 * only.
 */
import type { BackupError } from "../base/errors";
import type { Storage } from "./storage";

export function unusableStorage(name: string, reason: BackupError): Storage {
  const refuse = (): Promise<never> => Promise.reject(reason);
  return {
    name,
    features: { directories: false, symlinks: false },
    stat: refuse,
    // oxlint-disable-next-line require-yield -- it yields nothing because it fails
    async *list() {
      throw reason;
    },
    read: refuse,
    put: refuse,
    putStream: refuse,
    remove: refuse,
    removePath: refuse,
    makePath: refuse,
    syncPath: refuse,
    link: refuse,
    close: async () => {},
  };
}
