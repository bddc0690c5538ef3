/**
 * Directories that get another name, and get it back. Each step is one rename, durable before the next; done again it does nothing, so a run that
 * was killed anywhere is simply begun anew. Nothing is ever removed but empty directories of ours.
 */
import { chmod, chown, lstat, mkdir, readFile, rename, rmdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../../base/errors";
import { syncDirectory } from "../../local/atomicWrite";
import { systemCodeOf, systemError } from "../../local/systemError";
import type { Owner } from "./hostFacts";
import type { Journal } from "./journal";
import type { Move } from "./plan";

/** @throws fileMove (74) */
export async function moveAside(moves: readonly Move[]): Promise<void> {
  for (const { from, to } of moves) {
    if (await exists(to)) continue;
    await renameTo(from, to);
  }
}

/** Puts the old directories back; what has come in their place is kept as `<name>.recovered-<stamp>`. Tells where. */
export async function moveBack(moves: readonly Move[], stamp: string): Promise<string[]> {
  const kept: string[] = [];
  for (const { from, to } of moves.toReversed()) {
    if (!(await exists(to))) continue;
    if (await exists(from)) {
      const isEmpty = await rmdir(from).then(
        () => true,
        () => false,
      );
      if (!isEmpty) {
        const place = `${from}.recovered-${stamp}`;
        await renameTo(from, place);
        kept.push(place);
      }
    }
    await renameTo(to, from);
  }
  return kept;
}

/**
 * Makes the directories that a restore fills, as the old ones were. The marker makes `--delta` go on with what is in them: without it a restore
 * that was killed before it had written anything would be refused for the directories that it had made.
 */
export async function prepare({ account, dataDirectory, moves }: Journal): Promise<void> {
  for (const { from } of moves) if (from !== dataDirectory) await makeDirectory(from, { ...account, mode: 0o700 });
  await makeDirectory(dataDirectory, account);
  const marker = `${dataDirectory}/backup.manifest`;
  if ((await readFile(marker).catch(() => null)) !== null) return;
  await writeFile(marker, "", { mode: 0o600 });
  await chown(marker, account.uid, account.gid);
  await syncDirectory(dataDirectory);
}

async function makeDirectory(path: string, { gid, mode, uid }: Owner): Promise<void> {
  try {
    await mkdir(path, { mode });
    await chmod(path, mode);
    await chown(path, uid, gid);
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST") throw systemError("pathCreate", `create path '${path}'`, path, error);
    await chown(path, uid, gid);
  }
  await syncDirectory(dirname(path));
}

async function renameTo(from: string, to: string): Promise<void> {
  if (await exists(to)) throw fail("fileMove", `unable to move '${from}' to '${to}', which is there already`, { path: to });
  try {
    await rename(from, to);
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
