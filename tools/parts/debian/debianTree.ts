/**
 * Unpacked root file systems of Debian: mmdebstrap makes them from Debian's packages and runs their scripts. Nothing is
 * installed on this machine.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { debianSource, unpackDebian } from "./debian";
import { findOnPath, runOk } from "../process";

export interface DebianTree {
  readonly suite: string;
  readonly packages: readonly string[];
  /** Shell script that runs with the tree's folder after all packages are installed. */
  readonly after: string;
}

/** Half of the packages' content; without the LLVM library PostgreSQL does not compile expressions. */
const LEFT_OUT = [
  "/usr/share/doc/*",
  "/usr/share/info/*",
  "/usr/share/locale/*",
  "/usr/share/man/*",
  "/usr/lib/*/libLLVM*",
  "/usr/lib/*/libz3*",
  "/usr/lib/postgresql/*/lib/bitcode/*",
  "/usr/lib/postgresql/*/lib/llvmjit*",
];
const BUILD_MS = 45 * 60_000;

/** Runs with the tree's folder before any package is unpacked. */
export const BEFORE = `#!/bin/sh
set -e
mkdir -p "$1/etc/dpkg/dpkg.cfg.d"
printf 'path-exclude=%s\\n' ${LEFT_OUT.map((path) => `'${path}'`).join(" ")} > "$1/etc/dpkg/dpkg.cfg.d/left-out"
# Nobody needs half of a tree.
echo force-unsafe-io > "$1/etc/dpkg/dpkg.cfg.d/fast"
`;
/** Makes the tree `root` in a scratch folder: two minutes on idle cores. @throws Error with what this machine lacks */
export async function makeDebianTree({ after, packages, suite }: DebianTree, scratch: string): Promise<void> {
  const source = await debianSource(suite);
  if ("missing" in source) throw new Error(source.missing);
  if ((await findOnPath("perl")) === null) throw new Error("needs perl, which is not on PATH");
  const tool = await unpackDebian({
    entry: "mmdebstrap-bookworm",
    suite: "bookworm",
    packages: ["mmdebstrap"],
    programs: [],
  });
  if ("missing" in tool) throw new Error(tool.missing);
  const hooks = join(scratch, "hooks");
  mkdirSync(hooks);
  for (const [name, text] of Object.entries({ before: BEFORE, after })) {
    writeFileSync(join(hooks, name), text);
    chmodSync(join(hooks, name), 0o755);
  }
  const options = [
    "--mode=root",
    "--variant=minbase",
    "--format=directory",
    `--include=${packages.join(",")}`,
    "--aptopt=APT::Install-Recommends false",
    "--aptopt=Acquire::Retries 3",
    `--setup-hook=${join(hooks, "before")}`,
    `--customize-hook=${join(hooks, "after")}`,
  ];
  // Anything that package scripts start or mount ends with the namespaces.
  const alone = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"];
  const command = [
    "perl",
    join(tool.folder, "usr/bin/mmdebstrap"),
    ...options,
    suite,
    join(scratch, "root"),
    source.line,
  ];
  await runOk("unshare", [...alone, ...command], {
    timeoutMs: BUILD_MS,
    env: { LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive" },
  });
  rmSync(hooks, { recursive: true });
}
