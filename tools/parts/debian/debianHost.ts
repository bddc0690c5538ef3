/**
 * Debian hosts for tests: root file systems of Debian 12 and 13 as an administrator would set them up (systemd, sshd,
 * sudo, with or without PostgreSQL), and the program that boots one.
 *
 * mmdebstrap makes a tree from Debian's packages and runs their scripts: `postgresql` has its cluster `main`. A tree is
 * kept unpacked, because a host boots on a layer over it and never changes it. Nothing is installed on this machine.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cached, sharedCacheFolder } from "../cache";
import { debianProgram, type Missing } from "./debian";
import { BEFORE, makeDebianTree } from "./debianTree";
import { findNamespaceObstacle } from "../namespaces";

/** Debian 12 with PostgreSQL 15 and Debian 13 with PostgreSQL 17, and both without. */
export const HOST_SYSTEMS = ["bookworm", "trixie", "bookworm-bare", "trixie-bare"] as const;
export type HostSystem = (typeof HOST_SYSTEMS)[number];

export interface HostParts {
  /** systemd-nspawn. */
  readonly nspawn: string;
  /** Folders of the requested trees. */
  readonly trees: ReadonlyMap<HostSystem, string>;
}

/** Accounts of every tree: the first has sudo without a password, the second has none. */
export const HOST_ACCOUNTS = { deploy: 1000, nosudo: 1001 } as const;
/** Possible paths of control groups; on a machine with one hierarchy it is the last. */
const CONTROL_GROUP_ROOTS = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"] as const;

const PACKAGES = [
  "systemd",
  "systemd-sysv",
  "dbus",
  "libpam-systemd",
  "openssh-server",
  "sudo",
  "iproute2",
  "procps",
  "ca-certificates",
  "tzdata",
];
/** Runs with the tree's folder after all packages are installed. A host's identity is added at its boot. */
const AFTER = `#!/bin/sh
set -e
rm -f "$1/etc/dpkg/dpkg.cfg.d/fast"
${Object.entries(HOST_ACCOUNTS)
  .map(([name, uid]) => `chroot "$1" useradd --uid ${uid} --create-home --shell /bin/bash ${name}`)
  .join("\n")}
echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/deploy"
chmod 440 "$1/etc/sudoers.d/deploy"
chroot "$1" systemctl enable systemd-networkd ssh
rm -rf "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale
: > "$1/etc/machine-id"
`;

/**
 * The program that boots hosts, and the trees of these systems; missing trees are built (one to three minutes on idle
 * cores).
 */
export async function findHostParts(systems: readonly HostSystem[]): Promise<HostParts | Missing> {
  const obstacle = await findNamespaceObstacle("hosts need");
  if (obstacle !== null) return { missing: obstacle };
  if (controlGroupRoots().length === 0) return { missing: "hosts need control groups below /sys/fs/cgroup" };
  const nspawn = await findNspawn();
  if (typeof nspawn !== "string") return nspawn;
  const trees = new Map<HostSystem, string>();
  for (const system of systems) {
    const tree = await findHostTree(system);
    if (typeof tree !== "string") return tree;
    trees.set(system, tree);
  }
  return { nspawn, trees };
}

/** Control group hierarchies in which a group for a host can be made. */
export function controlGroupRoots(): readonly string[] {
  return CONTROL_GROUP_ROOTS.filter((root) => existsSync(join(root, "cgroup.procs")));
}

function findNspawn(): Promise<string | Missing> {
  return debianProgram("usr/bin/systemd-nspawn", {
    entry: "systemd-nspawn-bookworm",
    suite: "bookworm",
    packages: ["systemd-container", "libsystemd-shared"],
    libraryFolders: ["systemd"],
  });
}

export async function findHostTree(system: HostSystem): Promise<string | Missing> {
  const bare = system.endsWith("-bare");
  const packages = bare ? PACKAGES : [...PACKAGES, "postgresql"];
  const key = createHash("sha256")
    .update([packages.join(","), BEFORE, AFTER].join("\n"))
    .digest("hex")
    .slice(0, 12);
  const folder = join(sharedCacheFolder(), `host-${system}-${key}`);
  try {
    if (!existsSync(folder)) {
      const suite = system.replace("-bare", "");
      await cached(folder, (scratch) => makeDebianTree({ suite, packages, after: AFTER }, scratch));
    }
    return join(folder, "root");
  } catch (error) {
    return { missing: `unable to build a Debian ${system}: ${error instanceof Error ? error.message : String(error)}` };
  }
}
