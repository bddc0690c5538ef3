/**
 * PostgreSQL's own programs: finds those of a version on this machine, and runs one to its end. A container's image has
 * its own ({@link ImagePrograms}).
 *
 * It searches the directories of Debian (`/usr/lib/postgresql/<version>/bin`), of postgresql.org's packages for Red Hat
 * (`/usr/pgsql-<version>/bin`), of SUSE and of installations from source; an option names another one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { pipeline } from "node:stream/promises";
import { access, constants } from "../local/nodeFiles";
import { systemCodeOf } from "../local/systemError";
import { type ByteStream, hasStrayBytes, utf8 } from "../base/bytes";
import { fail } from "../base/errors";

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  /** The last part of it. */
  readonly stderr: string;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Standard output: kept for the result (default), discarded, or written to an open file. */
  readonly output?: "kept" | "discarded" | number;
}

const OUTPUT_SIZE_MAX = 256 * 1024;

/** Programs of one major version. */
export interface Programs {
  readonly directory: string;
  has(name: string): Promise<boolean>;
  /** True if the server finds a library of `shared_preload_libraries`. */
  hasLibrary(name: string): Promise<boolean>;
  /** What starts a program, without an input unless it `reads` one. */
  command(name: string, args: readonly string[], reads?: boolean): readonly string[];
  /**
   * Runs a program in the C locale; the caller judges exit codes other than 0.
   * @throws execute; the signal's reason when it aborts
   */
  run(name: string, args: readonly string[], options: RunOptions): Promise<ProgramResult>;
  /** Ends servers and programs that run without the process that started them. */
  endLeft(): Promise<void>;
}

/** Those that read a running server. */
export type DumpPrograms = Pick<Programs, "command" | "directory" | "has">;

/** A directory of this machine. */
class DirectoryPrograms implements Programs {
  readonly directory: string;
  readonly #prefix: readonly string[];

  constructor(directory: string, prefix: readonly string[]) {
    this.directory = directory;
    this.#prefix = prefix;
  }

  has(name: string): Promise<boolean> {
    return isExecutable(`${this.directory}/${name}`);
  }

  async hasLibrary(name: string): Promise<boolean> {
    for (const path of libraryPaths(this.directory, name)) if (await exists(path)) return true;
    return false;
  }

  command(name: string, args: readonly string[]): readonly string[] {
    return [...this.#prefix, `${this.directory}/${name}`, ...args];
  }

  run(name: string, args: readonly string[], options: RunOptions): Promise<ProgramResult> {
    return runProgram(this.command(name, args), options);
  }

  async endLeft(): Promise<void> {}
}

/** Where a server with programs in `directory` may have a library. */
export function libraryPaths(directory: string, name: string): string[] {
  const plain = name.replace(/^\$libdir\//, "");
  return plain.includes("/")
    ? [plain, `${plain}.so`]
    : [`${directory}/../lib/${plain}.so`, `${directory}/../lib/postgresql/${plain}.so`];
}

export interface PipeRequest {
  readonly from: readonly string[];
  /** Variables may stand before the program: `PGSSLMODE=verify-full`. */
  readonly to: readonly string[];
  /** Input of the second program before and after the first one's output; `after` only if the first one succeeded. */
  readonly before: string;
  readonly after: string;
  readonly signal: AbortSignal;
}

/**
 * Pipes one program's output into another through this process; memory holds a pipe's worth. The second one gets
 * `after` only when the first one ended with 0; if that failed, or this process is killed, its input ends early.
 * @throws execute with the output of the failed one
 */
export async function pipePrograms({ after, before, from, signal, to }: PipeRequest): Promise<void> {
  const sinkName = nameOf(to);
  const source = spawn("/usr/bin/env", ["LC_ALL=C", ...from], { stdio: ["ignore", "pipe", "pipe"] });
  const sink = spawn("/usr/bin/env", ["LC_ALL=C", ...to], { stdio: ["pipe", "ignore", "pipe"] });
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
    if (first !== null && first.code !== 0) throw fail("execute", `'${from[0]}' failed: ${first.stderr.trim()}`);
    if (taken.code !== 0) throw fail("execute", `'${sinkName}' failed: ${taken.stderr.trim()}`);
    if (given.code !== 0) throw fail("execute", `'${from[0]}' failed: ${given.stderr.trim()}`);
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

/**
 * A program's standard output in the C locale; variables may stand before the program. It ends without an error only
 * if the program ended with 0, so that a part of an output never passes for all of it. The program ends with the
 * caller's loop. Its input is empty, and open until then: a program in a container ends with it.
 * @throws execute with its standard error; the signal's reason when it aborts
 */
export async function* programOutput(command: readonly string[], signal: AbortSignal): ByteStream {
  const program = nameOf(command);
  const child = spawn("/usr/bin/env", ["LC_ALL=C", ...exactCommand(command)], { stdio: "pipe" });
  const ended = endOf(child);
  const end = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    const result = await ended;
    signal.throwIfAborted();
    requireSuccess(program, result);
  } finally {
    signal.removeEventListener("abort", end);
    child.kill("SIGKILL");
    await ended;
  }
}

/**
 * Gives a stream to a program's standard input, in the C locale. A source that fails ends the program.
 * @throws execute with its standard error; the source's error; the signal's reason when it aborts
 */
export async function feedProgram(command: readonly string[], source: ByteStream, signal: AbortSignal): Promise<void> {
  const [program = ""] = command;
  const child = spawn("/usr/bin/env", ["LC_ALL=C", ...command], { stdio: ["pipe", "ignore", "pipe"] });
  const ended = endOf(child);
  const end = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  let fault: { readonly error: unknown } | null = null;
  try {
    await pipeline(source, child.stdin);
  } catch (error) {
    // A program that has ended refuses input: its own output says why.
    if (systemCodeOf(error) !== "EPIPE") child.kill("SIGKILL");
    fault = { error };
  }
  const result = await ended;
  signal.removeEventListener("abort", end);
  signal.throwIfAborted();
  if (fault !== null && systemCodeOf(fault.error) !== "EPIPE") throw fault.error;
  requireSuccess(program, result);
  if (fault !== null) throw fail("execute", `'${program}' ended before it had read everything`);
}

/** Variables may stand before it. */
function nameOf(command: readonly string[]): string {
  return command.find((part) => !/^[A-Z]+=/.test(part)) ?? "";
}

/**
 * Node replaces bytes of an argument that are no UTF-8 (base/bytes). If the last argument has such, a shell makes it of
 * digits; the character after it keeps line ends, which `$(…)` drops.
 */
function exactCommand(command: readonly string[]): readonly string[] {
  const last = command.at(-1) ?? "";
  if (!hasStrayBytes(last)) return command;
  const digits = Array.from(utf8(`${last}x`), (byte) => `\\0${byte.toString(8)}`).join("");
  return ["/bin/sh", "-c", 'a=$(printf %b "$0"); exec /usr/bin/env "$@" "${a%x}"', digits, ...command.slice(0, -1)];
}

/** Options of PostgreSQL's programs: the server, and a database whose name may look like a connection string. */
export function connectionArgs(host: string, port: number | string, user: string, database: string): string[] {
  const name = database.replaceAll("\\", "\\\\").replaceAll("'", "\\'");
  return [`--host=${host}`, `--port=${port}`, `--username=${user}`, "--no-password", `--dbname=dbname='${name}'`];
}

interface ProgramFinish {
  /** Null after a signal. */
  readonly code: number | null;
  readonly stderr: string;
}

/** @throws execute with its standard error */
function requireSuccess(program: string, { code, stderr }: ProgramFinish): void {
  if (code === 0) return;
  throw fail("execute", `'${program}' ${code === null ? "was ended by a signal" : "failed"}: ${stderr.trim()}`);
}

function endOf(child: ChildProcess): Promise<ProgramFinish> {
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
export function usualDirectories(major: string): string[] {
  const packaged = [`/usr/lib/postgresql/${major}/bin`, `/usr/pgsql-${major}/bin`, `/usr/lib/postgresql${major}/bin`];
  return [...packaged, "/usr/local/pgsql/bin"];
}

/**
 * Programs of a major version ("15").
 * @param prefix what starts each of them, as another account
 * @throws fileMissing with every searched directory; execute if one that is there does not run
 */
export async function findPrograms(
  major: string,
  binPath: string | undefined,
  signal: AbortSignal,
  prefix: readonly string[] = [],
): Promise<Programs> {
  const directories = binPath === undefined ? usualDirectories(major) : [binPath];
  const seen: string[] = [];
  for (const directory of directories) {
    if (!(await isExecutable(`${directory}/postgres`))) continue;
    const stdout = await versionOf(`${directory}/postgres`, signal);
    if (isVersion(stdout, major)) return new DirectoryPrograms(directory, prefix);
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
    const stdout = await versionOf(dump, signal);
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

/** A program's answer to `--version`. @throws execute if it does not run */
export async function versionOf(program: string, signal: AbortSignal, prefix: readonly string[] = []): Promise<string> {
  const ended = await runProgram([...prefix, program, "--version"], { signal });
  requireSuccess(program, ended);
  return ended.stdout;
}

/** Whether the output of `postgres --version` is of a major version. */
export function isVersion(output: string, major: string): boolean {
  return new RegExp(`\\(PostgreSQL\\) ${major}(?!\\d)`).test(output);
}

function isExecutable(path: string): Promise<boolean> {
  return exists(path, constants.X_OK);
}

async function exists(path: string, mode = constants.F_OK): Promise<boolean> {
  try {
    await access(path, mode);
    return true;
  } catch {
    return false;
  }
}

export function runProgram(
  command: readonly string[],
  { output = "kept", signal }: RunOptions,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const [program = ""] = command;
    // Without the user's locale, because the output is parsed.
    const child = spawn("/usr/bin/env", ["LC_ALL=C", ...command], {
      stdio: ["ignore", output === "kept" ? "pipe" : output === "discarded" ? "ignore" : output, "pipe"],
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
