/**
 * The paths of a server in a container, on this machine. The server, its settings and its backups use the container's
 * paths; only this file knows where they are.
 */
import { lstat, lstatSync, readlink, realpathSync } from "../../local/nodeFiles";
import { dirname, join, normalize } from "node:path";
import { fail } from "../../base/errors";
import { isMissing } from "../../local/systemError";
import type { ContainerFacts, ContainerMount } from "./inspect";

/** Where this machine has what a server calls by another path. */
export interface ServerPaths {
  /** @throws pathMissing (73) for a path that this machine cannot read, pathOpen (53) for one through a link */
  here(path: string): string;
}

/** How a server in a container calls its paths. */
export interface ServerView extends ServerPaths {
  readonly dataDirectory: string;
}

/** A server of this machine. */
export const OWN_PATHS: ServerPaths = { here: (path) => path };

/** More links than this are a circle. */
const LINKS_MAX = 40;

/** The mount with the longest destination above `path`. */
export function mountOf({ mounts }: Pick<ContainerFacts, "mounts">, path: string): ContainerMount | null {
  const above = mounts.filter(({ destination }) => isBelow(path, destination));
  return above.sort((left, right) => right.destination.length - left.destination.length)[0] ?? null;
}

/**
 * Follows the container's mounts, so it also works while the container is stopped. Root uses these paths, and the
 * container's accounts write below them: a link there could lead anywhere on this machine.
 */
export function containerPaths(facts: Pick<ContainerFacts, "mounts" | "name">): ServerPaths {
  return {
    here(named) {
      const path = normalize(named);
      const mount = mountOf(facts, path);
      if (mount !== null && mount.kind !== "tmpfs")
        return beneath(mount.source, path.slice(mount.destination === "/" ? 0 : mount.destination.length), facts.name);
      const where = mount === null ? "in no volume" : "in memory (tmpfs)";
      throw fail("pathMissing", `'${path}' of container '${facts.name}' is ${where}, and is lost with the container`, {
        hint: "Mount a volume or a directory of the host there, as the documentation of the image says.",
        path,
      });
    },
  };
}

/** The path of `rest` in a directory of this machine, whose own links are the administrator's. */
function beneath(source: string, rest: string, container: string): string {
  let path = existing(source);
  for (const part of rest.split("/").filter((each) => each !== "")) {
    path = join(path, part);
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true)
      throw fail("pathOpen", `'${path}' is a link that container '${container}' has made`, {
        hint: "Links of a container may lead to files of this machine. Mount the directory itself.",
        path,
      });
  }
  return path;
}

function existing(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (isMissing(error)) return path;
    throw error;
  }
}

/**
 * The path on this machine of a path in a running container. Follows links as the container does: an absolute link
 * below `/proc/PID/root` would otherwise lead to this machine's own files.
 */
export async function insideOf(pid: number, path: string): Promise<string> {
  const root = `/proc/${pid}/root`;
  const left = path.split("/").filter((part) => part !== "");
  let reached = "/";
  for (let links = 0; left.length > 0; ) {
    const part = left.shift() as string;
    if (part === "..") reached = dirname(reached);
    if (part === "." || part === "..") continue;
    const next = join(reached, part);
    const target = await linkAt(join(root, next));
    if (target === null) {
      reached = next;
      continue;
    }
    if (++links > LINKS_MAX) throw fail("pathOpen", `'${path}' has too many links in the container`, { path });
    left.unshift(...target.split("/").filter((piece) => piece !== ""));
    if (target.startsWith("/")) reached = "/";
  }
  return join(root, reached);
}

/** Null for other kinds of entries, and for a missing one. */
async function linkAt(path: string): Promise<string | null> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function isBelow(path: string, directory: string): boolean {
  return directory === "/" || path === directory || path.startsWith(`${directory}/`);
}
