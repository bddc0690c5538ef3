/** Patroni with its Python out of Debian's packages, unpacked and not installed, and the etcd in which its members find each other. */
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unpackDebian, type Unpacked } from "./debian";

export interface PatroniParts {
  /** Patroni's program, of the tree's own Python. */
  readonly command: readonly string[];
  readonly version: string;
  readonly etcd: string;
}

const MODULES = ["minimal", "psycopg2", "yaml", "click", "prettytable", "dateutil", "psutil", "urllib3", "six", "wcwidth", "dnspython", "etcd"];

const PYTHON_START = `#!/bin/sh
tree="\${0%/usr/bin/python3}"
libraries="$tree/usr/lib/x86_64-linux-gnu"
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" --argv0 "$0" "$tree"/usr/bin/python3.* "$@"
`;

/** Everything, or what this machine lacks. */
export async function findPatroni(): Promise<PatroniParts | { readonly missing: string }> {
  const packages = ["patroni", ...MODULES.map((name) => `python3-${name}`)];
  const patroni = await unpackDebian({ entry: "patroni-sid", suite: "sid", packages, programs: [], finish: makeRunnable });
  if ("missing" in patroni) return patroni;
  const etcd: Unpacked = await unpackDebian({ entry: "etcd-sid", suite: "sid", packages: ["etcd-server"], programs: ["usr/bin/etcd"] });
  if ("missing" in etcd) return etcd;
  return {
    command: [join(patroni.folder, "usr/bin/python3"), join(patroni.folder, "usr/bin/patroni")],
    version: patroni.version,
    etcd: join(etcd.folder, "usr/bin/etcd"),
  };
}

/** Its Python finds everything by its own place, wherever other libraries are than its own. */
async function makeRunnable(tree: string): Promise<void> {
  const binaries = join(tree, "usr/bin");
  const python = join(binaries, "python3");
  if (existsSync(python)) rmSync(python);
  if (!readdirSync(binaries).some((name) => /^python3\.\d+$/.test(name))) throw new Error("the packages of Patroni have no Python");
  writeFileSync(python, PYTHON_START, { mode: 0o755 });
}
