/**
 * Lets root work with another account's rights, so that the kernel refuses what that account may not do. In a directory
 * that the account may write, it can swap any name for a link while root works there.
 */
import { userInfo } from "node:os";
import { fail } from "../base/errors";
import { lchown, lstat, mkdir, readdir } from "./nodeFiles";
import { systemCodeOf, systemError } from "./systemError";
import { findOwnGroup } from "./users";

export interface AccountIds {
  readonly uid: number;
  readonly gid: number;
}

/** Node's types lack a function. */
const own: NodeJS.Process & { initgroups?: (user: number, group: number) => void } = process;

/** Linux's group for what belongs to nobody (`/proc/sys/kernel/overflowgid`). */
const NOBODYS_GROUP = 65_534;
const ownGroups = new Map<number, number | null>();

/**
 * The group with which an account works: its own, from the account database. The group of a file or directory of that
 * account may be another one's, and root's if root made the directory. Without an entry it is the given one.
 */
export function groupOf({ gid, uid }: AccountIds): number {
  if (!ownGroups.has(uid)) ownGroups.set(uid, findOwnGroup(uid) ?? findInDirectoryService(uid));
  return ownGroups.get(uid) ?? (gid === 0 && uid !== 0 ? NOBODYS_GROUP : gid);
}

/** Node asks the account database for the effective account only. */
function findInDirectoryService(uid: number): number | null {
  const { geteuid, seteuid } = own;
  if (geteuid?.() !== 0) return null;
  try {
    seteuid?.(uid);
    return userInfo().gid;
  } catch {
    return null;
  } finally {
    seteuid?.(0);
  }
}

function takeGroups(account: AccountIds): void {
  const gid = groupOf(account);
  try {
    own.initgroups?.(account.uid, gid);
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
    setegid?.(groupOf(account));
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
    setgid?.(groupOf(account));
    setuid?.(account.uid);
  } catch (error) {
    throw systemError("userMissing", `become account ${account.uid}`, "/", error);
  }
}

/**
 * Makes a directory of the account, or takes one that it has.
 * @param whose ends the error: `which clones have`
 * @throws pathCreate; fileOwner (88) for one of another account, or what is no directory
 */
export async function requireDirectoryOf({ gid, uid }: AccountIds, path: string, whose: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
    await lchown(path, uid, gid);
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST") throw systemError("pathCreate", `create path '${path}'`, path, error);
    const info = await lstat(path);
    // Left by a process that was killed before it gave its new directory away.
    if (info.isDirectory() && info.uid === process.geteuid?.() && (await readdir(path)).length === 0)
      return lchown(path, uid, gid);
    if (!info.isDirectory() || info.uid !== uid)
      throw fail("fileOwner", `'${path}' is no directory of account ${uid}, ${whose}`, {
        hint: "Remove it, or choose another directory.",
        path,
      });
  }
}
