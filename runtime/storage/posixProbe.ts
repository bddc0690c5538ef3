/** Facts about a directory: its owner, its mount, and its free space. */
import { lstat } from "../local/nodeFiles";
import { dirname } from "node:path";
import { spaceFact } from "./space";
import type { Space, StorageFact } from "./storage";

/** No path has more parts (PATH_MAX is 4096). */
const DEPTH_MAX = 4096;

export async function probePosix(root: string, space: Space): Promise<StorageFact[]> {
  const own = await lstat(root);
  const mount = await findMount(root);
  return [
    {
      name: "owner",
      verdict: "ok",
      text: `user ${own.uid}, group ${own.gid}, mode ${(own.mode & 0o7777).toString(8).padStart(4, "0")}`,
    },
    mount === "/"
      ? {
          name: "mount",
          verdict: "warn",
          text: "on the root file system: lost with this machine, and a full repository stops it",
        }
      : { name: "mount", verdict: "ok", text: `on the file system mounted at ${mount}` },
    spaceFact(space),
  ];
}

/** The highest directory on the same device: the path or one of its parents. */
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
