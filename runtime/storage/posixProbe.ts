/** What a directory tells about itself: its owner, whether anything is mounted there, and how much room is left. */
import { lstat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { spaceFact } from "./space";
import type { StorageFact } from "./storage";

/** A path has no more parts than this (PATH_MAX is 4096). */
const DEPTH_MAX = 4096;

export async function probePosix(root: string): Promise<StorageFact[]> {
  const [own, space] = [await lstat(root), await statfs(root)];
  const mount = await findMount(root);
  return [
    { name: "owner", verdict: "ok", text: `user ${own.uid}, group ${own.gid}, mode ${(own.mode & 0o7777).toString(8).padStart(4, "0")}` },
    mount === "/"
      ? { name: "mount", verdict: "warn", text: "on the root file system: lost with this machine, and a full repository stops it" }
      : { name: "mount", verdict: "ok", text: `on the file system mounted at ${mount}` },
    spaceFact(space.bavail * space.bsize, space.blocks * space.bsize),
  ];
}

/** The highest directory above (or the path itself) that is on the same device. */
async function findMount(path: string): Promise<string> {
  let here = path;
  const { dev } = await lstat(path);
  for (let depth = 0; depth < DEPTH_MAX && here !== "/"; depth++) {
    const parent = dirname(here);
    if ((await lstat(parent)).dev !== dev) return here;
    here = parent;
  }
  return here;
}
