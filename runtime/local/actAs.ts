/**
 * Lets root work with another account's rights, so that the kernel refuses what that account may not do. In a directory
 * that the account may write, it can swap any name for a link while root works there.
 */
import { systemError } from "./systemError";

export interface AccountIds {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Runs `work` as `account`, or unchanged when this process is not root. The whole process has those rights until `work`
 * has ended, so nothing else may run in the meantime.
 * @throws userMissing (89) when root may not become another account
 */
export async function actAs<T>(account: AccountIds, work: () => Promise<T>): Promise<T> {
  // Missing in Node's types.
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

/**
 * Inside of {@link actAs}: `work` with root's rights again, if this process is root's. The same holds: nothing else may
 * run in the meantime.
 */
export async function actAsRoot<T>(work: () => Promise<T>): Promise<T> {
  const { getegid, geteuid, getgroups, getuid, setegid, seteuid, setgroups } = process;
  if (getuid?.() !== 0 || geteuid?.() === 0) return work();
  const account = { uid: geteuid?.() ?? 0, gid: getegid?.() ?? 0, groups: getgroups?.() ?? [] };
  seteuid?.(0);
  setegid?.(0);
  try {
    return await work();
  } finally {
    setgroups?.(account.groups);
    setegid?.(account.gid);
    seteuid?.(account.uid);
  }
}

/**
 * Gives up root's rights for good. Nothing happens when this process is not root.
 * @throws userMissing (89)
 */
export function becomeAccount(account: AccountIds): void {
  const {
    geteuid,
    initgroups,
    setgid,
    setgroups,
    setuid,
  }: NodeJS.Process & {
    initgroups?: (user: number, group: number) => void;
  } = process;
  if (geteuid?.() !== 0 || account.uid === 0) return;
  try {
    try {
      initgroups?.(account.uid, account.gid);
    } catch {
      setgroups?.([account.gid]);
    }
    setgid?.(account.gid);
    setuid?.(account.uid);
  } catch (error) {
    throw systemError("userMissing", `become account ${account.uid}`, "/", error);
  }
}
