/**
 * A repository in a directory of this machine taken away and brought back, as it happens to mounts.
 *
 * `blocked`: something else lies where the repository was, every access fails. `unmounted`: the mount point is there
 * and empty.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { giveTo, type OsUser } from "../../../tools/parts/users";

export type Absence = "blocked" | "unmounted";

/** @throws Error when it is away already */
export function takeAway(path: string, absence: Absence, user: OsUser): void {
  renameSync(path, awayPath(path));
  if (absence === "blocked") writeFileSync(path, "not a directory\n");
  else mkdirSync(path, { mode: 0o750 });
  giveTo(path, user);
}

/** What was written meanwhile at its place is gone. @throws Error when it is not away */
export function bringBack(path: string): void {
  rmSync(path, { recursive: true, force: true });
  renameSync(awayPath(path), path);
}

function awayPath(path: string): string {
  return `${path}.away`;
}
