/**
 * The paths of a server in a container, on this machine. The server, its settings and its backups use the container's
 * paths; only this file knows where they are, and only {@link follow} goes through a link that a container has made.
 */
import { guardLinks, lstatSync, readlinkSync, realpathSync } from "../../local/nodeFiles";
import { dirname, join } from "node:path";
import { fail } from "../../base/errors";
import { isMissing } from "../../local/systemError";
import type { ContainerFacts, ContainerMount } from "./inspect";

/** Where this machine has what a server calls by another path. */
export interface ServerPaths {
  /** @throws pathMissing (73) for a path that this machine cannot read, pathOpen (53) if a link leads to one */
  here(path: string): string;
}

/** How a server in a container calls its paths. */
export interface ServerView extends ServerPaths {
  readonly dataDirectory: string;
  /** As {@link here}, but of an entry itself if it is a link. */
  entry(path: string): string;
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
 * container's accounts write below them: a link there counts as the container sees it, and must end in a mount. What
 * was a directory now may be a link later, so everything below a mount that was used is guarded.
 */
export function containerPaths(facts: Pick<ContainerFacts, "mounts" | "name">): Omit<ServerView, "dataDirectory"> {
  const locate = (path: string, sources: Map<ContainerMount, string>): string | null => {
    const mount = mountOf(facts, path);
    if (mount === null || mount.kind === "tmpfs") return null;
    const source = sources.get(mount) ?? existing(mount.source);
    sources.set(mount, source);
    return join(source, path.slice(mount.destination === "/" ? 0 : mount.destination.length));
  };
  const find = (path: string, followsLast: boolean): string => {
    // The administrator may have moved a source, so it is looked at again each time.
    const sources = new Map<ContainerMount, string>();
    const isMount = (at: string): boolean => facts.mounts.some(({ destination }) => destination === at);
    const { links, reached } = follow(path, (at) => (isMount(at) ? null : locate(at, sources)), followsLast);
    const at = locate(reached, sources);
    if (at !== null) {
      guardLinks(sources.values());
      return at;
    }
    const where = mountOf(facts, reached) === null ? "in no volume" : "in memory (tmpfs)";
    const [link] = links;
    if (link === undefined)
      throw fail(
        "pathMissing",
        `'${reached}' of container '${facts.name}' is ${where}, and is lost with the container`,
        {
          hint: "Mount a volume or a directory of the host there, as the documentation of the image says.",
          path: reached,
        },
      );
    throw fail(
      "pathOpen",
      `'${link}' is a link that container '${facts.name}' has made to '${reached}', which is ${where}`,
      {
        hint: "Links of a container may lead to files of this machine: they are followed only from one mount of it to another. Mount the directory itself.",
        path: link,
      },
    );
  };
  return { here: (path) => find(path, true), entry: (path) => find(path, false) };
}

function existing(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (isMissing(error)) return path;
    throw error;
  }
}

/** The path on this machine of a path in a running container, through its first process. */
export function insideOf(pid: number, path: string): string {
  const root = `/proc/${pid}/root`;
  return join(root, follow(path, (at) => join(root, at)).reached);
}

interface Followed {
  /** Absolute, as the container sees it, and without links. */
  readonly reached: string;
  /** Links on the way, first to last. */
  readonly links: readonly string[];
}

/**
 * Follows links as a container does: an absolute one begins at the container's root, and nothing leads above it.
 * @param locate where this machine has an entry of the container; null: it cannot be a link, or cannot be looked at
 */
function follow(path: string, locate: (path: string) => string | null, followsLast = true): Followed {
  const left = partsOf(path);
  const links: string[] = [];
  let reached = "/";
  while (left.length > 0) {
    const part = left.shift() as string;
    if (part === ".") continue;
    if (part === "..") {
      reached = dirname(reached);
      continue;
    }
    const next = join(reached, part);
    const at = followsLast || left.length > 0 ? locate(next) : null;
    const target = at === null ? null : linkAt(at);
    if (target === null) {
      reached = next;
      continue;
    }
    links.push(next);
    if (links.length > LINKS_MAX) throw fail("pathOpen", `'${path}' has too many links in the container`, { path });
    left.unshift(...partsOf(target));
    if (target.startsWith("/")) reached = "/";
  }
  return { reached, links };
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

/** Null for other kinds of entries, and for a missing one. */
function linkAt(path: string): string | null {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function isBelow(path: string, directory: string): boolean {
  return directory === "/" || path === directory || path.startsWith(`${directory}/`);
}
