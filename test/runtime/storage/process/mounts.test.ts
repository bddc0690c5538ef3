import { expect, test } from "vitest";
import { findHangingMount, isOnMount, type MountReader } from "../../../../runtime/storage/process/mounts";

const LOCAL = [
  "22 27 0:21 / /proc rw,relatime - proc proc rw",
  "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,resv_strict",
  "28 27 0:25 / /dev/shm rw - tmpfs tmpfs rw",
  "29 27 0:26 / /proc/cpuinfo rw - fuse.lxcfs lxcfs rw",
];

function reader(
  mounts: readonly string[],
  links: Readonly<Record<string, string>> = {},
  looked: string[] = [],
): MountReader {
  return {
    readTable: () => `${[...LOCAL, ...mounts].join("\n")}\n`,
    readLink: (path) => {
      looked.push(path);
      return links[path] ?? null;
    },
  };
}

const NAS = "30 27 0:40 / /mnt/nas rw,hard shared:5 master:2 - nfs4 nas:/x rw,vers=4.2";

test("a directory on a local disk is used directly, whatever else is mounted", () => {
  expect(findHangingMount("/var/lib/repo", reader([]))).toBeNull();
  expect(findHangingMount("/var/lib/repo", reader([NAS]))).toBeNull();
  expect(findHangingMount("/mnt/nasty", reader([NAS]))).toBeNull();
  expect(findHangingMount("/srv", { readTable: () => null, readLink: () => null })).toBeNull();
});

test.for([
  "nfs",
  "nfs4",
  "cifs",
  "smb3",
  "fuse.sshfs",
  "fuse",
  "fuseblk",
  "9p",
  "ceph",
  "virtiofs",
  "autofs",
  "lustre",
  "new",
])("%s may hang", (type) => {
  const mount = `30 27 0:40 / /mnt/nas rw - ${type} source rw`;
  expect(findHangingMount("/mnt/nas/repo", reader([mount]))).toEqual({ id: "30 0:40", path: "/mnt/nas", type });
});

test("a link is followed, and nothing on the mount is looked up", () => {
  const looked: string[] = [];
  const links = { "/var/lib/repo": "../../srv/repos", "/srv/repos": "/mnt/nas/repos" };
  expect(findHangingMount("/var/lib/repo/", reader([NAS], links, looked))?.path).toBe("/mnt/nas");
  expect(looked).toEqual(["/var", "/var/lib", "/var/lib/repo", "/srv", "/srv/repos", "/mnt"]);
});

test("links that lead to each other end", () => {
  expect(findHangingMount("/a/repo", reader([NAS], { "/a": "/b", "/b": "/a" }))).toBeNull();
});

test("a mount or a link inside the repository counts", () => {
  expect(findHangingMount("/srv", reader(["30 27 0:40 / /srv/archive rw - nfs4 x rw"]))?.path).toBe("/srv/archive");
  expect(findHangingMount("/srv", reader([NAS], { "/srv/archive": "/mnt/nas/a" }))?.path).toBe("/mnt/nas");
  expect(findHangingMount("/srv", reader([NAS], { "/srv/backup": "/mnt/nas/b" }))?.path).toBe("/mnt/nas");
});

test("a local disk below a file server's mount is still behind it", () => {
  const disk = "31 30 254:1 / /mnt/nas/disk rw - ext4 /dev/vdb rw";
  expect(findHangingMount("/mnt/nas/disk/repo", reader([NAS, disk]))?.path).toBe("/mnt/nas");
});

test("a name with a space is read", () => {
  expect(findHangingMount("/mnt/my nas/repo", reader(["30 27 0:40 / /mnt/my\\040nas rw - nfs4 x rw"]))?.path).toBe(
    "/mnt/my nas",
  );
});

test("the last of several mounts at one place counts", () => {
  const over = ["30 27 0:40 / /mnt/nas rw - autofs x rw", "31 30 254:1 / /mnt/nas rw - ext4 /dev/vdb rw"];
  expect(findHangingMount("/mnt/nas/repo", reader(over))).toBeNull();
});

test.each<[string, boolean, readonly string[], Readonly<Record<string, string>>]>([
  ["a bare mount point", false, [], {}],
  ["a mount elsewhere", false, ["30 27 0:40 / /mnt/nasty rw - nfs4 nas:/x rw"], {}],
  ["a mount above", true, [NAS], {}],
  ["a local disk at it", true, ["30 27 8:1 / /mnt/nas/pg rw - ext4 /dev/sda1 rw"], {}],
  ["a link to a mount", true, ["30 27 0:40 / /srv/box rw - nfs4 nas:/x rw"], { "/mnt/nas": "/srv/box" }],
  ["a link from a mount to the disk of /", false, [], { "/mnt/nas": "/srv/box" }],
  ["another directory of the disk of /", true, ["30 27 254:0 /disks/nas /mnt/nas rw - ext4 /dev/vda rw"], {}],
  ["a writable path of a unit", false, ["30 27 254:0 /mnt/nas/pg /mnt/nas/pg rw - ext4 /dev/vda rw"], {}],
])("a directory behind %s is on a mount: %s", (_, expected, mounts, links) => {
  expect(isOnMount("/mnt/nas/pg", reader(mounts, links))).toBe(expected);
});
