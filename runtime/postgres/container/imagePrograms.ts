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
  /** The directory of this machine, at the same path in the containers; omitted to look only for programs. */
  readonly directory?: string;
}

const LABEL = "pgbackstop.directory";
/**
 * Prints each directory with a server, the server's version and the directory's programs. The shell alone does it: an
 * image need not have anything else.
 */
const FIND_SCRIPT =
  'p=$(command -v postgres); for d in "${p%/*}" "$@"; do [ -x "$d/postgres" ] || continue; echo "$d"; "$d/postgres" --version; for f in "$d"/*; do echo "${f##*/}"; done; echo; done; exit 0';
const EXISTS_SCRIPT = 'for p; do [ -e "$p" ] && exit 0; done; exit 1';
/** PostgreSQL runs archive_command and restore_command by it ("system(3)"). */
const SHELL = "/bin/sh";
/** An engine's words for a program that the image lacks, with its codes. */
const NO_PROGRAM = /executable file not found|no such file or directory/i;
const NO_PROGRAM_CODES = [126, 127];
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

  /** Programs of a major version. @throws fileMissing if the image has another one, or no shell; execute */
  static async find(request: ImageRequest, major: string, signal: AbortSignal): Promise<ImagePrograms> {
    const [shell = "", ...args] = findCommand(major);
    const command = runCommand(request, shell, args);
    const hint = "Choose a backup of the image's version with --set, or restore elsewhere.";
    const { directory, names } = await findInContainer(command, { major, imageName: request.imageName, hint }, signal);
    return new ImagePrograms(request, directory, names);
  }

  async has(name: string): Promise<boolean> {
    return this.#names.has(name);
  }

  async hasLibrary(name: string): Promise<boolean> {
    const command = runCommand(this.#request, SHELL, [
      "-c",
      EXISTS_SCRIPT,
      "sh",
      ...libraryPaths(this.directory, name),
    ]);
    const { code, stderr } = await runProgram(command, { signal: new AbortController().signal });
    if (code > 1) throw unanswered(this.#request.imageName, stderr);
    return code === 0;
  }

  command(name: string, args: readonly string[], reads = false): readonly string[] {
    return runCommand(this.#request, `${this.directory}/${name}`, args, reads);
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
    const { directory, engine } = this.#request;
    return directory === undefined ? Promise.resolve() : endContainers(engine, directory);
  }
}

/** What looks for programs in a container. */
export function findCommand(major: string): readonly string[] {
  return [SHELL, "-c", FIND_SCRIPT, "sh", ...usualDirectories(major), "/usr/local/bin"];
}

/**
 * The programs of a major version that {@link findCommand} found.
 * @throws fileMissing if the image has another version, or no shell; execute if it gave no answer
 */
export async function findInContainer(
  command: readonly string[],
  { hint, imageName, major }: { readonly major: string; readonly imageName: string; readonly hint: string },
  signal: AbortSignal,
): Promise<{ readonly directory: string; readonly names: readonly string[] }> {
  const { code, stderr, stdout } = await runProgram(command, { signal });
  if (NO_PROGRAM_CODES.includes(code) && stderr.includes(SHELL) && NO_PROGRAM.test(stderr))
    throw fail("fileMissing", `image ${imageName} has no shell: there is no ${SHELL}`, {
      hint: `PostgreSQL runs archive_command and restore_command by ${SHELL}, and recovers nothing without it. Use an image of the same version that has one.`,
    });
  if (code !== 0) throw unanswered(imageName, stderr);
  const blocks = stdout.split("\n\n").map((block) => block.split("\n"));
  for (const [directory = "", version = "", ...names] of blocks)
    if (isVersion(version, major)) return { directory, names };
  const seen = blocks.flatMap(([directory, version]) =>
    version === undefined ? [] : [`${directory} is of '${version}'`],
  );
  throw fail("fileMissing", [`image ${imageName} has no PostgreSQL ${major}`, ...seen].join("\n"), { hint });
}

/** A program that did not run has not said no. */
function unanswered(imageName: string, stderr: string): Error {
  return fail("execute", `unable to look into image ${imageName}: ${stderr.trim()}`, {
    hint: "Check that the engine can start a container of that image.",
  });
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
  reads = false,
): string[] {
  return [
    engine,
    "run",
    "--rm",
    "--pull=never",
    ...(reads ? ["--interactive"] : []),
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
    ...(directory === undefined ? [] : [`--label=${LABEL}=${directory}`, `--volume=${directory}:${directory}`]),
    "--env=LC_ALL=C",
    "--workdir=/",
    `--entrypoint=${program}`,
    image,
    ...args,
  ];
}
