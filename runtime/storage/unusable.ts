/**
 * The storage of a repository that cannot be opened: every use fails with the reason. So the error belongs to this
 * repository, and the others continue. A missing secret is one case: a host may have the keys of some repositories
 * only.
 */
import type { BackupError } from "../base/errors";
import type { Storage } from "./storage";

/** Callers do without these where they are absent, and go another way. */
const ABILITIES = ["create", "hardLink", "removeDirectory", "replace"] as const;

type Abilities = Pick<Storage, "features" | (typeof ABILITIES)[number]>;

/** @param like what the storage can do when it is usable; default: nothing that is optional */
export function unusableStorage(
  name: string,
  reason: BackupError,
  like: Abilities = { features: { directories: false, symlinks: false } },
): Storage {
  const refuse = (): Promise<never> => Promise.reject(reason);
  const present = ABILITIES.filter((ability) => like[ability] !== undefined);
  return {
    name,
    features: like.features,
    ...Object.fromEntries(present.map((ability) => [ability, refuse])),
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
