/**
 * Containers of other accounts, as far as this machine's processes show them: a rootless engine has its own store,
 * which root's engine does not list.
 */
import { readdir, readFile, stat } from "../../local/nodeFiles";

export interface RootlessEngine {
  readonly uid: number;
  readonly engine: "docker" | "podman";
}

/** Accounts that run a container of this name, or one of any name with Docker, whose processes do not name it. */
export async function findRootless(name: string | undefined, processes = "/proc"): Promise<RootlessEngine[]> {
  const detected = new Map<string, RootlessEngine>();
  for (const pid of await readdir(processes).catch(() => [] as string[])) {
    if (!/^\d+$/.test(pid)) continue;
    const text = await readFile(`${processes}/${pid}/cmdline`, "utf8").catch(() => "");
    const engine = engineOf(text.split("\0"), name);
    const uid = engine === null ? 0 : ((await stat(`${processes}/${pid}`).catch(() => null))?.uid ?? 0);
    if (engine !== null && uid !== 0) detected.set(`${engine} ${uid}`, { engine, uid });
  }
  return [...detected.values()];
}

/** Podman's conmon has the container's name after `-n`; rootlesskit holds the daemon of Docker. Pure. */
export function engineOf(argv: readonly string[], name: string | undefined): RootlessEngine["engine"] | null {
  const program = argv[0]?.split("/").at(-1);
  if (program === "conmon") return name !== undefined && argv[argv.indexOf("-n") + 1] === name ? "podman" : null;
  return program === "rootlesskit" && argv.some((arg) => /dockerd/.test(arg)) ? "docker" : null;
}
