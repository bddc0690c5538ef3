/**
 * Finds out, without touching it, whether a directory lies on a file system that may stop answering.
 *
 * A local disk answers or fails. A file server, or the program behind a FUSE mount, may do neither, and a thread that
 * waits for it cannot be ended. So a path is followed name by name, and no name is looked up where another machine or
 * program would have to answer. Types that are not known to be local count as such mounts.
 */
import { type Mount as KernelMount, parseMountTable } from "../../base/mountTable";
import { lstatSync, readFileSync, readlinkSync } from "../../local/nodeFiles";
import { resolve } from "node:path";

/** Its `id` changes when the file system is mounted again. */
export type Mount = Pick<KernelMount, "id" | "path" | "type">;

export interface MountReader {
  /** The kernel's table; null if absent. */
  readTable(): string | null;
  /** Target of a symbolic link; null for anything else. Called only on local file systems. */
  readLink(path: string): string | null;
}

/** File systems on this machine's own disks and memory (names of the kernel). */
const LOCAL: ReadonlySet<string> = new Set(
  (
    "bcachefs btrfs devtmpfs erofs exfat ext2 ext3 ext4 f2fs hfsplus iso9660 jfs msdos nilfs2 ntfs3 overlay ramfs " +
    "reiserfs rootfs squashfs tmpfs udf ufs vfat xfs zfs"
  ).split(" "),
);
const LINKS_MAX = 40;
/** Directories of a repository that may be links or mounts themselves. */
const PARTS = ["", "/archive", "/backup"];

/** The first such mount on the way to the directory, or below it; null if all of it is local. */
export function findHangingMount(directory: string, reader: MountReader = systemMounts): Mount | null {
  const table = reader.readTable();
  if (table === null) return null;
  const mounts = parseMounts(table);
  if (mounts.every(isLocal)) return null;
  for (const part of PARTS) {
    const end = follow(`${directory}${part}`, new Map(mounts.map((mount) => [mount.path, mount])), reader);
    if (typeof end !== "string") return end;
    const below = mounts.find((mount) => !isLocal(mount) && mount.path.startsWith(`${end === "/" ? "" : end}/`));
    if (below !== undefined) return below;
  }
  return null;
}

/**
 * True if a file system other than the one of `/` is mounted at or above the directory, or if that cannot be seen. A
 * unit of systemd sees each path of `ReadWritePaths` as a mount: the same directory of the same file system does not
 * count.
 */
export function isOnMount(directory: string, reader: MountReader = systemMounts): boolean {
  const table = reader.readTable();
  if (table === null) return true;
  const mounts = parseMountTable(table);
  const end = follow(directory, new Map(parseMounts(table).map((mount) => [mount.path, mount])), reader);
  // Where `/` itself is a file server's, links are not followed.
  const path = typeof end === "string" ? end : end.path === "/" ? resolve(directory) : end.path;
  const base = mounts.findLast((mount) => mount.path === "/");
  const isBase = (mount: KernelMount): boolean =>
    mount.path === "/" ||
    (mount.device === base?.device && mount.root === `${base.root === "/" ? "" : base.root}${mount.path}`);
  return mounts.some((mount) => !isBase(mount) && (path === mount.path || path.startsWith(`${mount.path}/`)));
}

/** The real path, as far as it exists, or the first mount on it that is not local. */
function follow(path: string, mounts: ReadonlyMap<string, Mount>, reader: MountReader): string | Mount {
  let rest = partsOf(resolve(path));
  let done = "";
  for (let links = 0; ; ) {
    const mount = mounts.get(done === "" ? "/" : done);
    if (mount !== undefined && !isLocal(mount)) return mount;
    const [part, ...others] = rest;
    if (part === undefined) return done === "" ? "/" : done;
    const next = `${done}/${part}`;
    const target = mounts.has(next) || links > LINKS_MAX ? null : reader.readLink(next);
    if (target === null) [done, rest] = [next, others];
    else {
      links++;
      [done, rest] = ["", [...partsOf(resolve(done === "" ? "/" : done, target)), ...others]];
    }
  }
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function isLocal(mount: Mount): boolean {
  return LOCAL.has(mount.type);
}

/** Without the kernel's own file systems: no repository is there. */
function parseMounts(table: string): Mount[] {
  return parseMountTable(table)
    .filter(({ path }) => !/^\/(proc|sys|dev)(\/(?!shm)|$)/.test(path))
    .map(({ device, id, path, type }) => ({ id: `${id} ${device}`, path, type }));
}

const systemMounts: MountReader = {
  readTable: () => {
    try {
      return readFileSync("/proc/self/mountinfo", "utf8");
    } catch {
      return null;
    }
  },
  readLink: (path) => {
    try {
      return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : null;
    } catch {
      return null;
    }
  },
};
