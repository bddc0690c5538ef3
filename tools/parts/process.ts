/**
 * Runs programs for the demo, the tests and the benchmarks: `run` waits for the end, `start` keeps one running.
 *
 * Every started process is recorded, and stopped by its process id when this process ends: in order and with its own
 * signal on SIGINT and SIGTERM, immediately on a plain exit. Started programs get their own process group, so that
 * Ctrl-C in a terminal reaches only this process, which then decides the order.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import type { OsUser } from "./users";

export interface RunOptions {
  readonly cwd?: string;
  /** Added to this process's environment; undefined removes a name. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Account to run as (root only). */
  readonly user?: OsUser;
  readonly input?: string | Uint8Array;
  /** Default 10 minutes; the process is then killed and `run` throws. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Called for every line of stdout and stderr as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface RunResult {
  /** 128 + signal number when a signal ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly user?: OsUser;
  /** File that gets stdout and stderr. */
  readonly logFile: string;
  /** Signal for a clean end; default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** Signal for an immediate end; default SIGKILL. */
  readonly killSignal?: NodeJS.Signals;
}

export interface Started {
  readonly pid: number;
  /** Exit code, or 128 + signal number. */
  readonly exited: Promise<number>;
  isRunning(): boolean;
  log(): string;
  /**
   * Sends `signal` (default: its stop signal) and waits; kills it after `timeoutMs` (default 30 s). Does nothing if it
   * has ended.
   */
  stop(signal?: NodeJS.Signals, timeoutMs?: number): Promise<number>;
}

const LAST_LINES_MS = 2000;

/**
 * Runs a program to its end; a wrong exit code is not an error here.
 * @throws Error if it cannot start or takes too long
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...identity(options),
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const release = record(child, "SIGTERM", "SIGKILL");
    const texts = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      const split = options.onLine === undefined ? null : byLine(options.onLine);
      child[name]?.setEncoding("utf8").on("data", (chunk: string) => {
        texts[name] += chunk;
        split?.(chunk);
      });
    }
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);
    let timedOut = false;
    const kill = (): void => void child.kill("SIGKILL");
    const timer = setTimeout(
      () => {
        timedOut = true;
        kill();
      },
      options.timeoutMs ?? 10 * 60_000,
    );
    options.signal?.addEventListener("abort", kill, { once: true });
    const finish = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", kill);
      release();
    };
    child.on("error", (error) => {
      finish();
      reject(new Error(`unable to run ${command}: ${error.message}`, { cause: error }));
    });
    child.on("close", (code, signal) => {
      finish();
      if (timedOut)
        reject(new Error(`${describe(command, args)} did not end in time\n${tail(texts.stderr || texts.stdout)}`));
      else resolve({ exitCode: exitCodeOf(code, signal), ...texts, elapsedMs: performance.now() - startedAtMs });
    });
  });
}

/** Like {@link run}; returns stdout. @throws Error with the end of the output if the exit code is not 0 */
export async function runOk(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, args, options);
  if (result.exitCode === 0) return result.stdout;
  throw new Error(
    `${describe(command, args)} ended with exit code ${result.exitCode}\n${tail(`${result.stdout}\n${result.stderr}`)}`,
  );
}

/** Starts a program that runs until stopped. @throws Error if it cannot start */
export async function start(command: string, args: readonly string[], options: StartOptions): Promise<Started> {
  const stopSignal = options.stopSignal ?? "SIGTERM";
  const log = openSync(options.logFile, "a");
  const child = spawn(command, args, { ...identity(options), stdio: ["ignore", log, log], detached: true });
  closeSync(log);
  const release = record(child, stopSignal, options.killSignal ?? "SIGKILL");
  let running = true;
  const exited = new Promise<number>((resolve) => {
    child.on("exit", (code, signal) => {
      running = false;
      release();
      resolve(exitCodeOf(code, signal));
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => {
      running = false;
      release();
      reject(new Error(`unable to start ${command}: ${error.message}`, { cause: error }));
    });
  });
  const stop = async (signal: NodeJS.Signals = stopSignal, timeoutMs = 30_000): Promise<number> => {
    if (!running) return exited;
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    return exited.finally(() => clearTimeout(timer));
  };
  return {
    pid: child.pid ?? 0,
    exited,
    isRunning: () => running,
    log: () => readFileSync(options.logFile, "utf8"),
    stop,
  };
}

/**
 * Runs a program without a time limit and returns its exit code. Its output goes to this process's terminal, or line by
 * line to `onLine`.
 */
export function runInherited(
  command: string,
  args: readonly string[],
  options: Pick<RunOptions, "cwd" | "env" | "onLine"> = {},
): Promise<number> {
  const { onLine } = options;
  const output = onLine === undefined ? "inherit" : "pipe";
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...identity(options), stdio: ["ignore", output, output] });
    const release = record(child, "SIGINT", "SIGTERM");
    if (onLine !== undefined)
      for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", byLine(onLine));
    child.once("error", (error) => {
      release();
      reject(new Error(`unable to run ${command}: ${error.message}`, { cause: error }));
    });
    child.once("exit", (code, signal) => {
      release();
      const end = (): void => resolve(exitCodeOf(code, signal));
      if (onLine === undefined) return end();
      // The last lines may still arrive, but a left-over process may hold the pipe open forever.
      child.once("close", end);
      setTimeout(end, LAST_LINES_MS).unref();
    });
  });
}

/** Calls `onLine` for each complete line. */
function byLine(onLine: (line: string) => void): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk).split(/\r?\n|\r/);
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  };
}

/** The first executable file named `name` on PATH, or null. */
export async function findOnPath(name: string): Promise<string | null> {
  const result = await run("/bin/sh", ["-c", 'command -v -- "$1"', "sh", name]);
  return result.exitCode === 0 ? result.stdout.trim() : null;
}

/** All descendants of a process, from top to bottom. */
export function descendantsOf(pid: number): number[] {
  const parents = readdirSync("/proc").flatMap((name): [number, number][] => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const fields = readFileSync(`/proc/${name}/stat`, "utf8").split(") ").at(-1)?.split(" ");
      return [[Number(name), Number(fields?.[1])]];
    } catch {
      return [];
    }
  });
  const pids = [pid];
  for (const parent of pids)
    pids.push(...parents.filter(([child, of]) => of === parent && !pids.includes(child)).map(([child]) => child));
  return pids.slice(1);
}

/** Processes whose command line contains each of these texts, except this one. */
export function pidsWith(...texts: readonly string[]): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const line = readFileSync(`/proc/${name}/cmdline`, "utf8");
      return texts.every((text) => line.includes(text)) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/** Kills every process whose command line contains this text, and waits until all are gone. */
export async function endProcesses(text: string): Promise<void> {
  await waitFor(`the end of processes of ${text}`, 60_000, async () => {
    const pids = pidsWith(text);
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    return pids.length === 0 ? true : null;
  });
}

/** Pauses a process: returns once every thread has stopped, which the kernel does some time after the signal. */
export function pauseProcess(pid: number): void {
  process.kill(pid, "SIGSTOP");
  const isStopped = (thread: string): boolean => {
    // The name, in parentheses before the state, may contain anything.
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1");
    return stat[stat.lastIndexOf(")") + 2] === "T";
  };
  const untilMs = performance.now() + 10_000;
  while (!readdirSync(`/proc/${pid}/task`).every(isStopped))
    if (performance.now() > untilMs) throw new Error(`process ${pid} goes on after SIGSTOP`);
}

/** Waits without blocking the event loop. */
export function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

/** Longest pause that {@link waitFor} adds because its check takes long. */
const PAUSE_MS_MAX = 1000;

/**
 * Repeats `check` until it returns a non-null value. A check that takes long probably starts a program: a longer pause
 * leaves the processor to what is awaited.
 * @throws Error naming `what` after `timeoutMs`
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | null>,
  pauseMs = 50,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const beganMs = performance.now();
    const value = await check();
    if (value !== null) return value;
    if (performance.now() > endMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    const tookMs = performance.now() - beganMs;
    await sleep(Math.max(pauseMs, Math.min(4 * tookMs, PAUSE_MS_MAX)));
  }
}

type Cleanup = () => void | Promise<void>;
const cleanups: Cleanup[] = [];
const children = new Map<ChildProcess, { stopSignal: NodeJS.Signals; killSignal: NodeJS.Signals }>();
let watching = false;
let ending = false;

/** True after a signal to end: nothing more may start. */
export function isEnding(): boolean {
  return ending;
}

/** Runs `cleanup` on SIGINT and SIGTERM, last registered first. The returned function unregisters it. */
export function onEnd(cleanup: Cleanup): () => void {
  watch();
  cleanups.push(cleanup);
  return () => {
    const position = cleanups.indexOf(cleanup);
    if (position >= 0) cleanups.splice(position, 1);
  };
}

/** Removes it after the work, also when this process is ended. */
export async function removedAfter<R extends { remove(): Promise<void> }, T>(
  removable: R,
  work: (removable: R) => Promise<T>,
): Promise<T> {
  const forget = onEnd(() => removable.remove());
  try {
    return await work(removable);
  } finally {
    forget();
    await removable.remove();
  }
}

/**
 * Runs every registered cleanup, then stops remaining processes. Bounded: 60 s for the cleanups, 15 s for the
 * processes.
 */
export async function cleanUp(): Promise<void> {
  const all = (async () => {
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
      try {
        await cleanup();
      } catch (error) {
        process.stderr.write(`clean-up: ${String(error)}\n`);
      }
    }
  })();
  await Promise.race([all, sleep(60_000)]);
  for (const [child, how] of children) child.kill(how.stopSignal);
  for (let turn = 0; turn < 150 && children.size > 0; turn += 1) await sleep(100);
  killAll();
}

function watch(): void {
  if (watching) return;
  watching = true;
  process.on("exit", killAll);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (ending) return;
      ending = true;
      void cleanUp().finally(() => process.exit(128 + constants.signals[signal]));
    });
  }
}

function record(child: ChildProcess, stopSignal: NodeJS.Signals, killSignal: NodeJS.Signals): () => void {
  watch();
  children.set(child, { stopSignal, killSignal });
  return () => void children.delete(child);
}

function killAll(): void {
  for (const [child, how] of children) child.kill(how.killSignal);
}

function identity(options: Pick<RunOptions, "cwd" | "env" | "user">): {
  cwd?: string;
  env: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
} {
  const env: NodeJS.ProcessEnv = { ...process.env, ...options.env };
  const where = options.cwd === undefined ? {} : { cwd: options.cwd };
  if (options.user === undefined || process.getuid?.() !== 0) return { ...where, env };
  return {
    ...where,
    env: { ...env, USER: options.user.name, LOGNAME: options.user.name, HOME: "/" },
    uid: options.user.uid,
    gid: options.user.gid,
  };
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

function describe(command: string, args: readonly string[]): string {
  const text = [command, ...args].join(" ");
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

function tail(text: string): string {
  return text.trim().split("\n").slice(-25).join("\n");
}
