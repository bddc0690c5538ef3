/** What makes a host this one and no other: its name, its address, its keys and those that may sign in. */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { utils } from "ssh2";
import { HOST_ACCOUNTS } from "../../../tools/parts/debian/debianHost";

export interface HostIdentity {
  /** Public keys of the host, as a line of known_hosts has them: `ssh-ed25519 AAAA…`. */
  readonly hostKeys: readonly string[];
  /**
   * Private keys in OpenSSH's form that may sign in, by account: `deploy` may do everything by sudo, `nosudo` nothing.
   */
  readonly keys: Readonly<Record<Account, string>>;
}

type Account = "root" | keyof typeof HOST_ACCOUNTS;

/** A file of a host that no tree has. */
export interface HostFile {
  readonly path: string;
  readonly text: string;
  /** Default 0o644. */
  readonly mode?: number;
}

const KEY_KINDS = ["ed25519", "ecdsa"] as const;

/** Fresh keys of the host and of its accounts, and the files in which the host has them. */
export function makeIdentity(): { readonly identity: HostIdentity; readonly files: readonly HostFile[] } {
  const own = KEY_KINDS.map((kind) => ({ kind, pair: makePair(kind) }));
  const accounts = { root: makePair("ed25519"), deploy: makePair("ed25519"), nosudo: makePair("ed25519") };
  return {
    identity: {
      hostKeys: own.map(({ pair }) => pair.public),
      keys: { root: accounts.root.private, deploy: accounts.deploy.private, nosudo: accounts.nosudo.private },
    },
    files: [
      ...own.flatMap(({ kind, pair }) => [
        { path: `/etc/ssh/ssh_host_${kind}_key`, text: pair.private, mode: 0o600 },
        { path: `/etc/ssh/ssh_host_${kind}_key.pub`, text: `${pair.public}\n` },
      ]),
      ...Object.entries(accounts).map(([name, pair]) => ({
        path: `${name === "root" ? "/root" : `/home/${name}`}/.ssh/authorized_keys`,
        text: `${pair.public}\n`,
        mode: 0o600,
      })),
    ],
  };
}

/**
 * Writes the host's own files into an empty folder that is laid over a tree, with the modes and owners that they have
 * there.
 */
export function writeHostFiles(
  folder: string,
  host: { readonly name: string; readonly address: string; readonly files: readonly HostFile[] },
): void {
  const files: readonly HostFile[] = [
    ...host.files,
    { path: "/etc/hostname", text: `${host.name}\n` },
    {
      path: "/etc/hosts",
      text: `127.0.0.1 localhost\n127.0.1.1 ${host.name}\n::1 localhost ip6-localhost ip6-loopback\n`,
    },
    // Before systemd's own 80-container-host0.network, which would ask for an address.
    { path: "/etc/systemd/network/10-host0.network", text: networkOf(host.address) },
  ];
  mkdirSync(folder, { mode: 0o755 });
  for (const { path, text, mode } of files) {
    const owner = ownerOf(path);
    makeFolders(folder, dirname(path));
    const file = join(folder, path);
    writeFileSync(file, text);
    chownSync(file, owner, owner);
    chmodSync(file, mode ?? 0o644);
  }
}

/** Folders have the modes of those that they hide. */
function makeFolders(folder: string, path: string): void {
  const parts = path.split("/").filter((part) => part !== "");
  for (const [index] of parts.entries()) {
    const below = `/${parts.slice(0, index + 1).join("/")}`;
    const closed = below === "/root" || ownerOf(below) !== 0 || below.endsWith("/.ssh");
    const owner = ownerOf(below);
    mkdirSync(join(folder, below), { recursive: true });
    chownSync(join(folder, below), owner, owner);
    chmodSync(join(folder, below), closed ? 0o700 : 0o755);
  }
}

/** User and group of a path: an account's has the number of the account. */
function ownerOf(path: string): number {
  const account = Object.entries(HOST_ACCOUNTS).find(([name]) => `${path}/`.startsWith(`/home/${name}/`));
  return account?.[1] ?? 0;
}

function networkOf(address: string): string {
  return `[Match]\nName=host0\n\n[Network]\nAddress=${address}/16\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n`;
}

function makePair(kind: (typeof KEY_KINDS)[number]): { readonly private: string; readonly public: string } {
  return kind === "ecdsa" ? utils.generateKeyPairSync(kind, { bits: 256 }) : utils.generateKeyPairSync(kind);
}
