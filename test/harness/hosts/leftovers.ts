/**
 * What remains of a host after it ends: its control groups, which are folders of the kernel, and a folder of small
 * files. Their names contain the id of their process, so that a later run can remove those of a process that could not.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { controlGroupRoots } from "../../../tools/parts/debian/debianHost";

const GROUP_PREFIX = "pgbackstop-host-";
const FOLDER_PREFIX = "pgbh-";

/** A unique name for a host's control groups. */
export function makeGroupName(): string {
  return `${GROUP_PREFIX}${process.pid}-${randomBytes(4).toString("hex")}`;
}

/** Makes an empty folder that the servers' accounts may enter. */
export function makeRunFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  chmodSync(folder, 0o755);
  return folder;
}

/** Removes a host's control groups that have no processes. True if none remains. */
export function removeGroup(name: string): boolean {
  const folders = controlGroupRoots().map((root) => join(root, name));
  for (const folder of folders) removeFolder(folder);
  return !folders.some((folder) => existsSync(folder));
}

/** Removes what processes left behind when they ended. */
export function removeLeftovers(): void {
  for (const root of controlGroupRoots())
    for (const name of abandoned(root, GROUP_PREFIX)) removeFolder(join(root, name));
  for (const name of abandoned(tmpdir(), FOLDER_PREFIX)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

/** Names in a folder that start with the prefix and the id of a process that has ended. */
function abandoned(folder: string, prefix: string): readonly string[] {
  return readdirSync(folder).filter((name) => {
    const pid = name.startsWith(prefix) ? /^(\d+)-/.exec(name.slice(prefix.length))?.[1] : undefined;
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
}

function removeFolder(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removeFolder(join(folder, entry.name));
    rmdirSync(folder);
  } catch {
    // Either the folder is gone, or a process in it still runs. The next run removes it.
  }
}
