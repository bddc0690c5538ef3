/**
 * PostgreSQL's programs of a container's image: they have its version and its extensions, which this machine need not
 * have. Each runs in a container of its own without a network or rights, and sees one directory of this machine.
 */
import { fail } from "../../base/errors";
import {
  isVersion,
  libraryPaths,
  type ProgramResult,
  type Programs,
  type RunOptions,
  runProgram,
  usualDirectories,
} from "../programs";

export interface ImageRequest {
  readonly engine: "docker" | "podman";
  /** The image's digest: its name may mean another one by now. */
  readonly image: string;
  /** For messages. */
  readonly imageName: string;
  /** PostgreSQL's account in the image. */
  readonly account: { readonly uid: number; readonly gid: number };
  /** The directory of this machine, at the same path in the containers. */
  readonly directory: string;
}

const LABEL = "pgbackstop.directory";
/** Prints each directory with a server, the server's version and the directory's programs. */
const FIND_SCRIPT =
  'for d in "$(dirname "$(command -v postgres)")" "$@"; do [ -x "$d/postgres" ] || continue; echo "$d"; "$d/postgres" --version; ls "$d"; echo; done';
const EXISTS_SCRIPT = 'for p; do [ -e "$p" ] && exit 0; done; exit 1';
/** Queries of assertions may run in parallel, and share memory by files. */
const SHARED_MEMORY = "512m";

export class ImagePrograms implements Programs {
  readonly directory: string;
  readonly #request: ImageRequest;
  readonly #names: ReadonlySet<string>;

  private constructor(request: ImageRequest, directory: string, names: readonly string[]) {
    this.#request = request;
    this.directory = directory;
    this.#names = new Set(names);
  }

  /** Programs of a major version. @throws fileMissing if the image has another one; execute */
  static async find(request: ImageRequest, major: string, signal: AbortSignal): Promise<ImagePrograms> {
    const searched = [...usualDirectories(major), "/usr/local/bin"];
    const command = runCommand(request, "sh", ["-c", FIND_SCRIPT, "sh", ...searched]);
    const { code, stderr, stdout } = await runProgram(command, { signal });
    const blocks = stdout.split("\n\n").map((block) => block.split("\n"));
    for (const [directory = "", version = "", ...names] of blocks)
      if (isVersion(version, major)) return new ImagePrograms(request, directory, names);
    const seen = blocks.flatMap(([directory, version]) =>
      version === undefined ? [] : [`${directory} is of '${version}'`],
    );
    const said = seen.length > 0 ? seen : code === 0 ? [] : [stderr.trim()];
    throw fail("fileMissing", [`image ${request.imageName} has no PostgreSQL ${major}`, ...said].join("\n"), {
      hint: "Choose a backup of the image's version with --set, or restore elsewhere.",
    });
  }

  async has(name: string): Promise<boolean> {
    return this.#names.has(name);
  }

  async hasLibrary(name: string): Promise<boolean> {
    const command = runCommand(this.#request, "sh", ["-c", EXISTS_SCRIPT, "sh", ...libraryPaths(this.directory, name)]);
    return (await runProgram(command, { signal: new AbortController().signal })).code === 0;
  }

  command(name: string, args: readonly string[]): readonly string[] {
    return runCommand(this.#request, `${this.directory}/${name}`, args);
  }

  async run(name: string, args: readonly string[], options: RunOptions): Promise<ProgramResult> {
    // The first process of a container ignores a signal that it does not handle.
    const end = (): void => void this.endLeft().catch(() => {});
    options.signal.addEventListener("abort", end, { once: true });
    try {
      return await runProgram(this.command(name, args), options);
    } finally {
      options.signal.removeEventListener("abort", end);
    }
  }

  endLeft(): Promise<void> {
    return endContainers(this.#request.engine, this.#request.directory);
  }
}

/** Ends the containers of programs for a directory, also after the signal to end. @throws execute */
export async function endContainers(engine: ImageRequest["engine"], directory: string): Promise<void> {
  const { signal } = new AbortController();
  const listed = await runProgram([engine, "ps", "--all", "--quiet", "--filter", `label=${LABEL}=${directory}`], {
    signal,
  });
  if (listed.code !== 0) throw fail("execute", `${engine} ps failed: ${listed.stderr.trim()}`);
  const ids = listed.stdout.split("\n").filter((line) => line !== "");
  if (ids.length === 0) return;
  const removed = await runProgram([engine, "rm", "--force", "--volumes", ...ids], { signal });
  // One that has ended in the meantime removes itself.
  if (removed.code !== 0 && !/no such container|already in progress/i.test(removed.stderr))
    throw fail("execute", `${engine} rm failed: ${removed.stderr.trim()}`);
}

function runCommand(
  { account, directory, engine, image }: ImageRequest,
  program: string,
  args: readonly string[],
): string[] {
  return [
    engine,
    "run",
    "--rm",
    "--network=none",
    `--user=${account.uid}:${account.gid}`,
    // The files' owner is a number of this machine, also where the engine maps the numbers of other containers.
    "--userns=host",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    // The directory has no label that a container may read, on a machine with SELinux.
    "--security-opt=label=disable",
    "--read-only",
    "--tmpfs=/tmp",
    `--shm-size=${SHARED_MEMORY}`,
    // As the unit of a drill says for what is not in a container.
    "--cpu-shares=205",
    "--oom-score-adj=800",
    // Its output is ours; the engine would keep a copy.
    "--log-driver=none",
    `--label=${LABEL}=${directory}`,
    "--env=LC_ALL=C",
    `--volume=${directory}:${directory}`,
    "--workdir=/",
    `--entrypoint=${program}`,
    image,
    ...args,
  ];
}
