/**
 * Renames directories and renames them back. Each step is one durable rename, and repeating it changes nothing, so an
 * interrupted run simply starts again. Only our own empty directories are ever removed.
 *
 * PostgreSQL's account may write here, so root works with that account's rights. Root uses its own rights only where
 * the account lacks them: in directories that only root can write, where no other account can swap a name.
 */
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rmdir,
  type Stats,
  writeFile,
} from "../../local/nodeFiles";
import { dirname } from "node:path";
import { fail } from "../../base/errors";
import { syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing, systemCodeOf, systemError } from "../../local/systemError";
import { isRootsAlone, ownUid, whyNotRootsAlone } from "../../local/trust";
import type { Owner } from "./hostFacts";
import type { Journal } from "./recoveryJournal";

export interface Rights {
  asAccount<T>(work: () => Promise<T>): Promise<T>;
  /** Root works with its own rights everywhere: the account belongs to a container. */
  readonly isRoots?: boolean;
}

type Moved = Pick<Journal, "account" | "dataDirectory" | "moves" | "stamp">;

/** Runs before anything is stopped: root must not move what the account's link leads to. @throws fileOwner (88) */
export async function requireOwned(moved: Omit<Moved, "stamp">): Promise<void> {
  for (const { from } of moved.moves) await requireOwner(from, ownersOf(from, moved));
}

/**
 * Also runs before anything is stopped: some account must be allowed to rename the directories. An empty directory,
 * made and removed there, shows it.
 * @throws fileMove (74)
 */
export async function requireRights({ account, moves }: Omit<Moved, "stamp">, rights: Rights): Promise<void> {
  for (const { from } of moves) {
    const parent = dirname(from);
    const others = whyNotRootsAlone(parent);
    if (others === null && ownUid() === 0) continue;
    try {
      await rights.asAccount(async () => rmdir(await mkdtemp(`${from}.probe-`)));
    } catch (error) {
      if (!isRefusal(error)) throw systemError("fileMove", `rename in '${parent}'`, parent, error);
      const roots = others === null ? "only root may" : `root renames only where it alone may: ${others}`;
      throw fail("fileMove", `account ${account.uid} may not rename in '${parent}', and ${roots}`, {
        path: parent,
        cause: error,
        hint: [
          `A recovery keeps the old data there under another name: chown ${account.uid}:${account.gid} '${parent}'.`,
          others === null
            ? "Or run this as root."
            : "Or give it and all directories above it to root alone: chown root, chmod go-w.",
        ],
      });
    }
  }
}

/** @throws fileMove (74), fileOwner (88) */
export async function moveAside(moved: Omit<Moved, "stamp">, rights: Rights): Promise<void> {
  for (const { from, to } of moved.moves) {
    if (await exists(to)) continue;
    await renameTo(from, to, ownersOf(from, moved), rights);
  }
}

/**
 * Before an undo stops anything: every old directory must be somewhere. Without one of them, old data would run beside
 * recovered ones. @throws fileMissing (55)
 */
export async function requireKept({ moves, phase }: Pick<Journal, "moves" | "phase">): Promise<void> {
  // In these phases a directory may still have its name, or have it again.
  const isOngoing = phase === "stop" || phase === "move" || phase === "undo";
  for (const { from, to } of moves) {
    if ((await exists(to)) || (isOngoing && (await exists(from)))) continue;
    throw fail("fileMissing", `the old data of '${from}' are gone: '${to}' does not exist`, {
      path: to,
      hint:
        "Nothing was changed. Without it the old data are not whole, and the server must not start on them. " +
        "Put a copy of it back there, or keep the recovered data.",
    });
  }
}

/** Puts the old directories back and keeps the newer ones as `<name>.recovered-<stamp>`. Returns those paths. */
export async function moveBack(moved: Moved, rights: Rights): Promise<string[]> {
  const kept: string[] = [];
  for (const { from, to } of moved.moves.toReversed()) {
    const owners = ownersOf(from, moved);
    if (!(await exists(to))) continue;
    if (await exists(from)) {
      const isEmpty = await change(from, rights, () => rmdir(from)).then(
        () => true,
        () => false,
      );
      if (!isEmpty) {
        const aside = `${from}.recovered-${moved.stamp}`;
        await renameTo(from, aside, owners, rights);
        kept.push(aside);
      }
    }
    await renameTo(to, from, owners, rights);
  }
  return kept;
}

/**
 * Makes the directories that a restore fills, like the old ones. The marker makes `--delta` continue in them. Without
 * it, a restore that was killed before its first write would be refused because of its own directories.
 */
export async function prepare(
  { account, dataDirectory, moves }: Pick<Journal, "account" | "dataDirectory" | "moves">,
  rights: Rights,
): Promise<void> {
  for (const { from } of moves)
    if (from !== dataDirectory) await makeDirectory(from, { ...account, mode: 0o700 }, rights);
  await makeDirectory(dataDirectory, account, rights);
  await rights.asAccount(async () => {
    const marker = `${dataDirectory}/backup.manifest`;
    if ((await nullIfMissing(readFile(marker))) !== null) return;
    await writeFile(marker, "", { mode: 0o600 });
    await syncDirectory(dataDirectory);
  });
}

async function makeDirectory(path: string, account: Owner, rights: Rights): Promise<void> {
  try {
    await change(path, rights, async () => {
      await mkdir(path, { mode: account.mode });
      await chmod(path, account.mode);
    });
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST") throw systemError("pathCreate", `create path '${path}'`, path, error);
  }
  // Created by root where the account may not.
  const mayGive = rights.isRoots === true || isRootsAlone(dirname(path));
  if (ownUid() === 0 && (await lstat(path)).uid !== account.uid && mayGive) await chown(path, account.uid, account.gid);
  await requireOwner(path, [account.uid]);
  await syncDirectory(dirname(path));
}

/** Renames `path`: with the account's rights, or with root's in a directory that only root can write. */
async function change<T>(path: string, rights: Rights, work: () => Promise<T>): Promise<T> {
  try {
    return await rights.asAccount(work);
  } catch (error) {
    if (isRefusal(error) && ownUid() === 0 && isRootsAlone(dirname(path))) return work();
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return ["EACCES", "EPERM"].includes(systemCodeOf(error) ?? "");
}

/** The data directory itself may be root's: the configuration names it, not a link under the account's control. */
function ownersOf(from: string, { account, dataDirectory }: Omit<Moved, "stamp">): readonly number[] {
  return from === dataDirectory ? [account.uid, 0] : [account.uid];
}

/** @throws fileOwner (88) */
async function requireOwner(path: string, owners: readonly number[]): Promise<void> {
  const info = await look(path);
  if (info === null || (info.isDirectory() && owners.includes(info.uid)) || ownUid() !== 0) return;
  const fact = info.isDirectory() ? `belongs to account ${info.uid}` : "is not a directory";
  throw fail("fileOwner", `'${path}' ${fact}, and the cluster belongs to account ${owners[0]}: root does not move it`, {
    path,
    hint: "Check the cluster's links (pg_wal, pg_tblspc). If the directory is the cluster's, chown it to that account.",
  });
}

async function renameTo(from: string, to: string, owners: readonly number[], rights: Rights): Promise<void> {
  await requireOwner(from, owners);
  if (await exists(to))
    throw fail("fileMove", `unable to move '${from}' to '${to}', which already exists`, { path: to });
  try {
    await change(to, rights, () => rename(from, to));
  } catch (error) {
    // A directory and its sibling share a device. Only an overlay reports otherwise, for content of an image.
    if (systemCodeOf(error) === "EXDEV") {
      throw fail(
        "fileMove",
        `unable to move '${from}' to '${to}': its file system (overlayfs) cannot rename directories of the lower layer`,
        {
          path: from,
          cause: error,
          hint:
            "pgbackstop recover --undo starts the server again. Then stop it, replace the directory by a copy (cp -a), start it, and recover again. " +
            "Better: keep data in a volume.",
        },
      );
    }
    throw systemError("fileMove", `move '${from}' to '${to}'`, from, error);
  }
  await syncDirectory(dirname(to));
}

async function exists(path: string): Promise<boolean> {
  return (await look(path)) !== null;
}

/** Null for a missing entry only: a move that cannot be seen is not one that has been made. @throws fileOpen (41) */
function look(path: string): Promise<Stats | null> {
  return nullIfMissing(lstat(path), (error) => systemError("fileOpen", `look at '${path}'`, path, error));
}
