/**
 * Work that root does with the rights of another account, so that the kernel refuses what that account may not do: in a directory that the account
 * may write, it can exchange any name for a link while root works there.
 */
import { systemError } from "./systemError";

export interface AccountIds {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Runs `work` as `account`; as this process when it is not root. The whole process changes its rights until `work` has ended: nothing else of it may
 * run meanwhile. @throws userMissing (89) where root may not become another account
 */
export async function actAs<T>(account: AccountIds, work: () => Promise<T>): Promise<T> {
  // Node's types have forgotten it.
  const {
    getegid,
    geteuid,
    getgroups,
    initgroups,
    setegid,
    seteuid,
    setgroups,
  }: NodeJS.Process & { initgroups?: (user: number, group: number) => void } = process;
  if (geteuid?.() !== 0 || account.uid === 0) return work();
  const own = { gid: getegid?.() ?? 0, groups: getgroups?.() ?? [] };
  const comeBack = (): void => {
    seteuid?.(0);
    setegid?.(own.gid);
    setgroups?.(own.groups);
  };
  try {
    try {
      initgroups?.(account.uid, account.gid);
    } catch {
      // An account without a name has no other groups.
      setgroups?.([account.gid]);
    }
    setegid?.(account.gid);
    seteuid?.(account.uid);
  } catch (error) {
    comeBack();
    throw systemError("userMissing", `work as account ${account.uid}`, "/", error);
  }
  try {
    return await work();
  } finally {
    comeBack();
  }
}
