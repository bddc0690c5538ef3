/**
 * Copies one database between servers without a file: `pg_dump | psql`, with a check of the bytes in between.
 *
 * A shell's pipe reports only the right side's result, and a truncated dump looks complete. So psql's input ends only
 * after pg_dump has succeeded and its last line ("PostgreSQL database dump complete") has passed; otherwise psql is
 * killed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fail } from "../../../runtime/base/errors";

export interface DumpPipe {
  readonly dumpProgram: string;
  readonly loadProgram: string;
  readonly dumpArgs: readonly string[];
  /** The complete environment of each program: it says where to connect. */
  readonly source: Readonly<Record<string, string>>;
  readonly target: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Receives the process id of pg_dump. */
  readonly began?: (dumpPid: number) => void;
}

const LOAD_ARGS = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"];
const COMPLETE = "-- PostgreSQL database dump complete";
const TAIL_SIZE = 4096;
const STDERR_SIZE_MAX = 16 * 1024;
const LINES_MAX = 8;

interface Ended {
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | null;
}

/**
 * Resolves with the number of bytes, once both programs have ended with 0.
 * @throws execute (102) with the failed side's output; the signal's reason when it aborts
 */
export async function pipeDump(pipe: DumpPipe): Promise<number> {
  const { dumpArgs, dumpProgram, loadProgram, signal } = pipe;
  signal.throwIfAborted();
  const load = new Program(loadProgram, LOAD_ARGS, pipe.target, ["pipe", "ignore", "pipe"]);
  const dump = new Program(dumpProgram, ["--format=plain", "--no-password", ...dumpArgs], pipe.source, [
    "ignore",
    "pipe",
    "pipe",
  ]);
  if (dump.pid !== undefined) pipe.began?.(dump.pid);
  const endBoth = (): void => {
    dump.end();
    load.end();
  };
  signal.addEventListener("abort", endBoth, { once: true });
  try {
    const passed = await pass(dump, load);
    const dumped = await dump.ended;
    const isWhole = dumped.code === 0 && passed.tail.includes(COMPLETE);
    // Its input stays open until the dump is known to be complete.
    if (isWhole) load.input?.end();
    else load.end();
    const loaded = await load.ended;
    signal.throwIfAborted();
    if (isWhole && loaded.code === 0) return passed.sizeBytes;
    // The first failure is the reason: without psql pg_dump's output breaks.
    throw passed.isRefused || isWhole ? load.failure(loaded) : dump.failure(dumped, "its output is incomplete");
  } finally {
    signal.removeEventListener("abort", endBoth);
    endBoth();
  }
}

interface Passed {
  readonly sizeBytes: number;
  readonly tail: string;
  /** psql ended before the dump did. */
  readonly isRefused: boolean;
}

async function pass(dump: Program, load: Program): Promise<Passed> {
  let sizeBytes = 0;
  let tail = Buffer.alloc(0);
  let isRefused = false;
  const gone = load.ended.then(() => {
    isRefused = true;
  });
  for await (const chunk of dump.output ?? []) {
    const bytes = chunk as Buffer;
    sizeBytes += bytes.length;
    tail = Buffer.concat([tail, bytes]).subarray(-TAIL_SIZE);
    if (isRefused || load.input === null || load.input.destroyed) {
      // Its input closes shortly before its end is known.
      isRefused = true;
      break;
    }
    if (!load.input.write(bytes)) await Promise.race([once(load.input, "drain").catch(() => {}), gone]);
  }
  if (isRefused) dump.end();
  return { sizeBytes, tail: tail.toString("latin1"), isRefused };
}

class Program {
  readonly ended: Promise<Ended>;
  readonly #name: string;
  readonly #child: ChildProcess;
  #stderr = "";

  constructor(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    stdio: readonly ("pipe" | "ignore")[],
  ) {
    this.#name = program.slice(program.lastIndexOf("/") + 1);
    this.#child = spawn(program, [...args], { env: { ...env, LC_ALL: "C" }, stdio: [...stdio], cwd: "/" });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_SIZE_MAX);
    });
    // A program that ends early breaks the pipe: its exit code has the reason.
    this.#child.stdin?.on("error", () => {});
    this.ended = new Promise((resolve) => {
      this.#child.on("error", (error) => {
        this.#stderr += error.message;
        resolve({ code: null, killedBy: null });
      });
      this.#child.on("close", (code, killedBy) => resolve({ code, killedBy }));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get input(): ChildProcess["stdin"] {
    return this.#child.stdin;
  }

  get output(): ChildProcess["stdout"] {
    return this.#child.stdout;
  }

  end(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGTERM");
  }

  failure({ code, killedBy }: Ended, otherwise = "it failed without a message"): Error {
    const how =
      killedBy === null
        ? code === null
          ? "cannot be started"
          : `ended with exit code ${code}`
        : `was ended by ${killedBy}`;
    const message = this.#stderr.trim().split("\n").slice(-LINES_MAX).join("\n");
    return fail("execute", `${this.#name} ${how}: ${message === "" ? otherwise : message}`);
  }
}
