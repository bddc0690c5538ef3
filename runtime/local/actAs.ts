/**
 * Lets root work with another account's rights, so that the kernel refuses what that account may not do. In a directory
 * that the account may write, it can swap any name for a link while root works there.
 */
import { systemError } from "./systemError";

export interface AccountIds {
  readonly uid: number;
  readonly gid: number;
}

/** Node's types lack a function. */
const own: NodeJS.Process & { initgroups?: (user: number, group: number) => void } = process;

function takeGroups({ gid, uid }: AccountIds): void {
  try {
    own.initgroups?.(uid, gid);
  } catch {
    // An account without a name has no other groups.
    own.setgroups?.([gid]);
  }
}

/**
 * Runs `work` as `account`, or unchanged when this process is not root. The whole process has those rights until `work`
 * has ended, so nothing else may run in the meantime.
 * @throws userMissing (89) when root may not become another account
 */
export async function actAs<T>(account: AccountIds, work: () => Promise<T>): Promise<T> {
  const { getegid, geteuid, getgroups, setegid, seteuid, setgroups } = own;
  if (geteuid?.() !== 0 || account.uid === 0) return work();
  const [gid, groups] = [getegid?.() ?? 0, getgroups?.() ?? []];
  const comeBack = (): void => {
    seteuid?.(0);
    setegid?.(gid);
    setgroups?.(groups);
  };
  try {
    takeGroups(account);
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
  const { geteuid, setgid, setuid } = own;
  if (geteuid?.() !== 0 || account.uid === 0) return;
  try {
    takeGroups(account);
    setgid?.(account.gid);
    setuid?.(account.uid);
  } catch (error) {
    throw systemError("userMissing", `become account ${account.uid}`, "/", error);
  }
}
