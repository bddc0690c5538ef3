/**
 * Runs other programs of this machine to their end: to stop and start PostgreSQL, and to query file systems. Never
 * through a shell.
 */
import { spawn } from "node:child_process";
import type { Clock } from "../base/clock";
import { fail } from "../base/errors";
import type { LockFile } from "./lockFile";
import { systemCodeOf } from "./systemError";

export interface ProgramRun {
  /** Ends the program with SIGTERM. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** The complete environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Receives lines of both outputs as they arrive, or only of standard error; absent only keeps them. */
  readonly onLine?: (line: string) => void;
  readonly onErrorLine?: (line: string) => void;
  readonly cwd?: string;
  /** The program holds it too until it has ended, also if this process is killed before. */
  readonly lock?: Pick<LockFile, "fd"> | undefined;
}

export interface ProgramEnd {
  /** When a signal ended it, 128 plus the signal's number, as in a shell. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const OUTPUT_SIZE_MAX = 16 * 1024 * 1024;
const LEFT_BEHIND_MS = 1000;
const SIGNALLED = 128 + 15;

/**
 * Ends when the program does, even if a child still holds its outputs (a server started by pg_ctl does).
 * @throws execute (102) when it cannot be started
 */
export function runProgram(
  argv: readonly string[],
  { clock, cwd, env, lock, signal, onLine, onErrorLine }: ProgramRun,
): Promise<ProgramEnd> {
  const [program = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...env },
      stdio: ["ignore", "pipe", "pipe", ...(lock === undefined ? [] : [lock.fd])],
      ...(cwd === undefined ? {} : { cwd }),
    });
    const outputs = { stdout: new Output(onLine), stderr: new Output(onErrorLine ?? onLine) };
    child.stdout?.setEncoding("utf8").on("data", (text: string) => outputs.stdout.add(text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => outputs.stderr.add(text));
    const end = (): void => void child.kill("SIGTERM");
    if (signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
    child.on("error", (error) => {
      signal.removeEventListener("abort", end);
      const hint = systemCodeOf(error) === "ENOENT" ? { hint: `is '${program}' installed, and in PATH?` } : {};
      reject(fail("execute", `unable to start '${program}': ${error.message}`, { cause: error, ...hint }));
    });
    const closed = new AbortController();
    child.on("close", () => closed.abort());
    const finish = (code: number | null): void => {
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve({ exitCode: code ?? SIGNALLED, stdout: outputs.stdout.end(), stderr: outputs.stderr.end() });
    };
    child.on("exit", (code) => {
      signal.removeEventListener("abort", end);
      // Both outputs end with it, unless a child still holds them.
      clock.sleep(LEFT_BEHIND_MS, closed.signal).then(
        () => finish(code),
        () => finish(code),
      );
    });
  });
}

/** Passes lines to the listener, and keeps the text. */
class Output {
  readonly #onLine: ((line: string) => void) | undefined;
  #text = "";
  #line = "";

  constructor(onLine: ((line: string) => void) | undefined) {
    this.#onLine = onLine;
  }

  add(text: string): void {
    if (this.#text.length < OUTPUT_SIZE_MAX) this.#text += text;
    const lines = `${this.#line}${text}`.split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#onLine?.(line);
  }

  end(): string {
    if (this.#line !== "") this.#onLine?.(this.#line);
    return this.#text;
  }
}
