/** The files that make a host unique: its name, its address, its keys and the keys that may sign in. */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { utils } from "ssh2";
import { makeKeyPair } from "../../../components/host/ssh/keys";
import { HOST_ACCOUNTS } from "../../../tools/parts/debian/debianHost";

export interface HostIdentity {
  /** The host's public keys as in known_hosts: `ssh-ed25519 AAAA…`. */
  readonly hostKeys: readonly string[];
  /**
   * Private keys in OpenSSH's format that may sign in, by account. `deploy` may run everything with sudo, `nosudo`
   * nothing.
   */
  readonly keys: Readonly<Record<Account, string>>;
}

type Account = "root" | keyof typeof HOST_ACCOUNTS;

/** A file of the host that is not in its tree. */
export interface HostFile {
  readonly path: string;
  readonly text: string;
  /** Default 0o644. */
  readonly mode?: number;
}

const KEY_KINDS = ["ed25519", "ecdsa"] as const;

/** New keys of the host and its accounts, and the files that contain them on the host. */
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
 * Writes the host's own files, with their modes and owners, into an empty folder, which is then mounted over a tree.
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
    // It precedes systemd's own 80-container-host0.network, which would request an address.
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

/** Each folder gets the mode of the folder that it hides. */
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

/** User and group id of a path. An account has the same number for both. */
function ownerOf(path: string): number {
  const account = Object.entries(HOST_ACCOUNTS).find(([name]) => `${path}/`.startsWith(`/home/${name}/`));
  return account?.[1] ?? 0;
}

function networkOf(address: string): string {
  return `[Match]\nName=host0\n\n[Network]\nAddress=${address}/16\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n`;
}

function makePair(kind: (typeof KEY_KINDS)[number]): { readonly private: string; readonly public: string } {
  if (kind === "ecdsa") return utils.generateKeyPairSync(kind, { bits: 256 });
  const { privateKey, publicKey } = makeKeyPair("");
  return { private: privateKey, public: publicKey };
}
