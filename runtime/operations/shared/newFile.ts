/** Writes a file of this machine that gets its name only when it is complete and durable, and replaces no other one. */
import { dirname } from "node:path";
import { BackupError, fail } from "../../base/errors";
import { NO_MORE_NAMES, syncDirectory } from "../../local/atomicWrite";
import { type FileHandle, link, lstat, open, rename, rm, unlink } from "../../local/nodeFiles";
import { nullIfMissing, systemCodeOf, systemError } from "../../local/systemError";

const TEMPORARY = ".pgbackstop.tmp";

/** For the option `to-file`. @throws fileExists */
export async function requireNoFile(path: string): Promise<void> {
  if ((await nullIfMissing(lstat(path))) !== null)
    throw fail("fileExists", `'${path}' already exists`, { hint: "Choose another file with --to-file." });
}

/**
 * Mode 0600. It replaces no file that appeared since the run began.
 * @param fill writes the content
 * @throws fileExists, fileWrite; errors of `fill`, and then there is no file
 */
export async function writeNewFile(path: string, fill: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temporary = `${path}${TEMPORARY}`;
  try {
    // Of a killed run.
    await rm(temporary, { force: true });
    const handle = await open(temporary, "wx", 0o600);
    let number: number;
    try {
      await fill(handle);
      await handle.sync();
      number = (await handle.stat()).ino;
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
    if ((await nullIfMissing(lstat(temporary)))?.ino !== number)
      throw fail("fileWrite", `another process has replaced '${temporary}'`, { path: temporary });
    await giveName(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    throw error instanceof BackupError ? error : systemError("fileWrite", `write '${path}'`, path, error);
  }
}

/** A rename would replace a file that appeared since the run began; a link does not. */
async function giveName(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") throw appeared(temporary, path);
    if (!NO_MORE_NAMES.has(systemCodeOf(error) ?? "")) throw error;
    if ((await nullIfMissing(lstat(path))) !== null) throw appeared(temporary, path);
    await rename(temporary, path);
    return;
  }
  await unlink(temporary);
}

function appeared(temporary: string, path: string): Error {
  return fail("fileExists", `'${path}' already exists: it was made while the dump was written`, {
    hint: `The dump is complete: rename '${temporary}'.`,
  });
}
