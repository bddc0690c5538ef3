/** Patroni with its Python from Debian's packages, unpacked and not installed, and the etcd that its members use. */
import { join } from "node:path";
import { debianProgram, makePythonRunnable, type Missing, unpackDebian } from "./debian";

export interface PatroniParts {
  /** Patroni's program, run by the tree's Python. */
  readonly command: readonly string[];
  readonly version: string;
  readonly etcd: string;
}

const MODULES = [
  "minimal",
  "psycopg2",
  "yaml",
  "click",
  "prettytable",
  "dateutil",
  "psutil",
  "urllib3",
  "six",
  "wcwidth",
  "dnspython",
  "etcd",
];

/** Or what this machine lacks. */
export async function findPatroni(): Promise<PatroniParts | Missing> {
  const packages = ["patroni", ...MODULES.map((name) => `python3-${name}`)];
  const patroni = await unpackDebian({
    entry: "patroni-sid",
    suite: "sid",
    packages,
    programs: [],
    finish: async (tree) => void makePythonRunnable(tree),
  });
  if ("missing" in patroni) return patroni;
  const etcd = await debianProgram("usr/bin/etcd", { entry: "etcd-sid", suite: "sid", packages: ["etcd-server"] });
  if (typeof etcd !== "string") return etcd;
  return {
    command: [join(patroni.folder, "usr/bin/python3"), join(patroni.folder, "usr/bin/patroni")],
    version: patroni.version,
    etcd,
  };
}
