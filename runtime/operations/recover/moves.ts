/**
 * Directories that get another name, and get it back. Each step is one rename, durable before the next; done again it does nothing, so a run that
 * was killed anywhere is simply begun anew. Nothing is ever removed but empty directories of ours.
 *
 * PostgreSQL's account may write here, so root works with its rights. Only where that account may not do it, root does: in directories that are root's
 * alone, where nobody can exchange a name.
 */
import { chmod, chown, lstat, mkdir, mkdtemp, readFile, rename, rmdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../../base/errors";
import { syncDirectory } from "../../local/atomicWrite";
import { systemCodeOf, systemError } from "../../local/systemError";
import { isRootsAlone, ownUid } from "../../local/trust";
import type { Owner } from "./hostFacts";
import type { Journal } from "./recoveryJournal";

export interface Rights {
  asAccount<T>(work: () => Promise<T>): Promise<T>;
}

type Moved = Pick<Journal, "account" | "dataDirectory" | "moves" | "stamp">;

/** Before anything is stopped: root must not move what the account only leads to. @throws fileOwner (88) */
export async function requireOwned(place: Omit<Moved, "stamp">): Promise<void> {
  for (const { from } of place.moves) await requireOwner(from, ownersOf(from, place));
}

/** Before anything is stopped, too: somebody must be able to give the directories another name. @throws fileMove (74) */
export async function requireRights({ account, moves }: Omit<Moved, "stamp">, rights: Rights): Promise<void> {
  for (const { from } of moves) {
    const parent = dirname(from);
    if (isRootsAlone(parent)) continue;
    try {
      await rights.asAccount(async () => rmdir(await mkdtemp(`${from}.probe-`)));
    } catch (error) {
      throw fail("fileMove", `account ${account.uid} may not change names in '${parent}', and others than root may: ${String(error)}`, {
        path: parent,
        cause: error,
        hint: `chown '${parent}' to that account; or let only root write there, and in the directories above it (chmod go-w).`,
      });
    }
  }
}

/** @throws fileMove (74), fileOwner (88) */
export async function moveAside(place: Omit<Moved, "stamp">, rights: Rights): Promise<void> {
  for (const { from, to } of place.moves) {
    if (await exists(to)) continue;
    await renameTo(from, to, ownersOf(from, place), rights);
  }
}

/** Puts the old directories back; what has come in their place is kept as `<name>.recovered-<stamp>`. Tells where. */
export async function moveBack(place: Moved, rights: Rights): Promise<string[]> {
  const kept: string[] = [];
  for (const { from, to } of place.moves.toReversed()) {
    const owners = ownersOf(from, place);
    if (!(await exists(to))) continue;
    if (await exists(from)) {
      const isEmpty = await change(from, rights, () => rmdir(from)).then(
        () => true,
        () => false,
      );
      if (!isEmpty) {
        const aside = `${from}.recovered-${place.stamp}`;
        await renameTo(from, aside, owners, rights);
        kept.push(aside);
      }
    }
    await renameTo(to, from, owners, rights);
  }
  return kept;
}

/**
 * Makes the directories that a restore fills, as the old ones were. The marker makes `--delta` go on with what is in them: without it a restore
 * that was killed before it had written anything would be refused for the directories that it had made.
 */
export async function prepare(
  { account, dataDirectory, moves }: Pick<Journal, "account" | "dataDirectory" | "moves">,
  rights: Rights,
): Promise<void> {
  for (const { from } of moves) if (from !== dataDirectory) await makeDirectory(from, { ...account, mode: 0o700 }, rights);
  await makeDirectory(dataDirectory, account, rights);
  await rights.asAccount(async () => {
    const marker = `${dataDirectory}/backup.manifest`;
    if ((await readFile(marker).catch(() => null)) !== null) return;
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
  // Made by root, where the account may not.
  if (ownUid() === 0 && (await lstat(path)).uid !== account.uid && isRootsAlone(dirname(path))) await chown(path, account.uid, account.gid);
  await requireOwner(path, [account.uid]);
  await syncDirectory(dirname(path));
}

/** Changes the name `path`: with the account's rights, or where it has none in a directory that is root's alone. */
async function change<T>(path: string, rights: Rights, work: () => Promise<T>): Promise<T> {
  try {
    return await rights.asAccount(work);
  } catch (error) {
    const isRefused = ["EACCES", "EPERM"].includes(systemCodeOf(error) ?? "");
    if (isRefused && ownUid() === 0 && isRootsAlone(dirname(path))) return work();
    throw error;
  }
}

/** The data directory itself may be root's: the configuration names it, and not a link in the account's hands. */
function ownersOf(from: string, { account, dataDirectory }: Omit<Moved, "stamp">): readonly number[] {
  return from === dataDirectory ? [account.uid, 0] : [account.uid];
}

/** @throws fileOwner (88) */
async function requireOwner(path: string, owners: readonly number[]): Promise<void> {
  const info = await lstat(path).catch(() => null);
  if (info === null || (info.isDirectory() && owners.includes(info.uid)) || ownUid() !== 0) return;
  const fact = info.isDirectory() ? `belongs to account ${info.uid}` : "is no directory";
  throw fail("fileOwner", `'${path}' ${fact}, and the cluster to account ${owners[0]}: root does not move it`, {
    path,
    hint: "does a link of the cluster (pg_wal, pg_tblspc) lead to the wrong place? Correct it, or chown the directory when it is the cluster's.",
  });
}

async function renameTo(from: string, to: string, owners: readonly number[], rights: Rights): Promise<void> {
  await requireOwner(from, owners);
  if (await exists(to)) throw fail("fileMove", `unable to move '${from}' to '${to}', which is there already`, { path: to });
  try {
    await change(to, rights, () => rename(from, to));
  } catch (error) {
    // Beside itself a directory has the same device: only an overlay answers so, for what an image brought.
    if (systemCodeOf(error) === "EXDEV") {
      throw fail("fileMove", `unable to move '${from}' to '${to}': its file system (overlayfs) cannot rename directories of the lower layer`, {
        path: from,
        cause: error,
        hint:
          "pgbackstop recover --undo starts the server again. Then stop it, put a copy (cp -a) in the directory's place, start it, and recover again. " +
          "Better: keep data in a volume.",
      });
    }
    throw systemError("fileMove", `move '${from}' to '${to}'`, from, error);
  }
  await syncDirectory(dirname(to));
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}
