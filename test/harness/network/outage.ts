/**
 * Takes a repository in a directory of this machine away and brings it back, as happens to mounts.
 *
 * `blocked`: another file is at the repository's path, so every access fails. `unmounted`: the mount point exists and
 * is empty.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { giveTo, type OsUser } from "../../../tools/parts/users";

export type Absence = "blocked" | "unmounted";

/** @throws Error if it is already away */
export function takeAway(path: string, absence: Absence, user: OsUser): void {
  renameSync(path, awayPath(path));
  if (absence === "blocked") writeFileSync(path, "not a directory\n");
  else mkdirSync(path, { mode: 0o750 });
  giveTo(path, user);
}

/** Discards everything written at its path meanwhile. @throws Error if it is not away */
export function bringBack(path: string): void {
  rmSync(path, { recursive: true, force: true });
  renameSync(awayPath(path), path);
}

function awayPath(path: string): string {
  return `${path}.away`;
}
