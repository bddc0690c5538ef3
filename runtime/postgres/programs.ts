/**
 * PostgreSQL's own programs on this machine: finds those of a version, and runs one to its end.
 *
 * It searches the directories of Debian (`/usr/lib/postgresql/<version>/bin`), of postgresql.org's packages for Red Hat
 * (`/usr/pgsql-<version>/bin`), of SUSE and of installations from source; an option names another one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { access, constants } from "../local/nodeFiles";
import { fail } from "../base/errors";

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  /** The last part of it. */
  readonly stderr: string;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** False discards standard output. Default true. */
  readonly keepsOutput?: boolean;
}

const OUTPUT_SIZE_MAX = 256 * 1024;

/** A directory of programs of one major version. */
export class Programs {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  async has(name: string): Promise<boolean> {
    return isExecutable(`${this.directory}/${name}`);
  }

  /**
   * Runs a program in the C locale; the caller judges exit codes other than 0.
   * @throws execute; the signal's reason when it aborts
   */
  run(name: string, args: readonly string[], options: RunOptions): Promise<ProgramResult> {
    return runProgram(`${this.directory}/${name}`, args, options);
  }
}

export interface PipeRequest {
  readonly from: ProgramCall;
  readonly to: ProgramCall;
  /** Input of the second program before and after the first one's output; `after` only if the first one succeeded. */
  readonly before: string;
  readonly after: string;
  readonly signal: AbortSignal;
}

interface ProgramCall {
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * Pipes one program's output into another through this process; memory holds a pipe's worth. The second one gets
 * `after` only when the first one ended with 0; if that failed, or this process is killed, its input ends early.
 * @throws execute with the output of the failed one
 */
export async function pipePrograms({ after, before, from, signal, to }: PipeRequest): Promise<void> {
  const source = spawn("/usr/bin/env", ["LC_ALL=C", from.program, ...from.args], { stdio: ["ignore", "pipe", "pipe"] });
  const sink = spawn("/usr/bin/env", ["LC_ALL=C", to.program, ...to.args], { stdio: ["pipe", "ignore", "pipe"] });
  const end = (): void => {
    source.kill("SIGKILL");
    sink.kill("SIGKILL");
  };
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const [sourceEnd, sinkEnd] = [endOf(source), endOf(sink)];
  // A sink that has ended refuses input: its own output says why.
  sink.stdin.on("error", () => source.kill("SIGKILL"));
  try {
    sink.stdin.write(before);
    source.stdout.pipe(sink.stdin, { end: false });
    const first = await Promise.race([sourceEnd, sinkEnd.then(() => null)]);
    if (first?.code === 0) sink.stdin.end(after);
    else end();
    const [given, taken] = await Promise.all([sourceEnd, sinkEnd]);
    signal.throwIfAborted();
    // The first failure caused the other one.
    if (first !== null && first.code !== 0) throw fail("execute", `'${from.program}' failed: ${first.stderr.trim()}`);
    if (taken.code !== 0) throw fail("execute", `'${to.program}' failed: ${taken.stderr.trim()}`);
    if (given.code !== 0) throw fail("execute", `'${from.program}' failed: ${given.stderr.trim()}`);
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

function endOf(child: ChildProcess): Promise<{ readonly code: number | null; readonly stderr: string }> {
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-OUTPUT_SIZE_MAX);
  });
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ code: null, stderr: error.message }));
    child.on("close", (code) => resolve({ code, stderr }));
  });
}

/** Where packages of Debian, Red Hat and Alpine put programs, then PostgreSQL's own build. */
function usualDirectories(major: string): string[] {
  const packaged = [`/usr/lib/postgresql/${major}/bin`, `/usr/pgsql-${major}/bin`, `/usr/lib/postgresql${major}/bin`];
  return [...packaged, "/usr/local/pgsql/bin"];
}

/** Programs of a major version ("15"). @throws fileMissing with every searched directory */
export async function findPrograms(major: string, binPath: string | undefined, signal: AbortSignal): Promise<Programs> {
  const directories = binPath === undefined ? usualDirectories(major) : [binPath];
  const seen: string[] = [];
  for (const directory of directories) {
    if (!(await isExecutable(`${directory}/postgres`))) continue;
    const { stdout } = await runProgram(`${directory}/postgres`, ["--version"], { signal });
    if (new RegExp(`\\(PostgreSQL\\) ${major}(?!\\d)`).test(stdout)) return new Programs(directory);
    seen.push(`${directory} is of '${stdout.trim()}'`);
  }
  throw fail("fileMissing", [`PostgreSQL ${major} is not installed in ${directories.join(", ")}`, ...seen].join("\n"), {
    hint: `Install PostgreSQL ${major}'s server package, or set --bin-path to its directory.`,
  });
}

/**
 * Directory of pg_dump and psql of a major version or a newer one: a client package is enough.
 * @throws fileMissing with every searched directory
 */
export async function findClientPrograms(
  major: string,
  binPath: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly dump: string; readonly load: string }> {
  const directories = binPath === undefined ? [...usualDirectories(major), "/usr/bin"] : [binPath];
  const seen: string[] = [];
  for (const directory of directories) {
    const [dump, load] = [`${directory}/pg_dump`, `${directory}/psql`];
    if (!(await isExecutable(dump)) || !(await isExecutable(load))) continue;
    const { stdout } = await runProgram(dump, ["--version"], { signal });
    if (Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]) >= Number(major)) return { dump, load };
    seen.push(`${directory} is of '${stdout.trim()}'`);
  }
  throw fail(
    "fileMissing",
    [`pg_dump and psql of PostgreSQL ${major} or newer are not installed in ${directories.join(", ")}`, ...seen].join(
      "\n",
    ),
    {
      hint: `Install PostgreSQL ${major}'s client package, or set --bin-path to its directory.`,
    },
  );
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function runProgram(
  program: string,
  args: readonly string[],
  { keepsOutput = true, signal }: RunOptions,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    // Without the user's locale, because the output is parsed.
    const child = spawn("/usr/bin/env", ["LC_ALL=C", program, ...args], {
      stdio: ["ignore", keepsOutput ? "pipe" : "ignore", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      if (stdout.length < OUTPUT_SIZE_MAX) stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-OUTPUT_SIZE_MAX);
    });
    const end = (): void => void child.kill("SIGTERM");
    if (signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
    child.on("error", (error) => {
      signal.removeEventListener("abort", end);
      reject(fail("execute", `unable to start '${program}': ${error.message}`, { cause: error }));
    });
    child.on("close", (code, killedBy) => {
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else if (code === null) reject(fail("execute", `'${program}' was ended by ${killedBy ?? "a signal"}`));
      else resolve({ code, stdout, stderr });
    });
  });
}
