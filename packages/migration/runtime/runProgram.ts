/**
 * The only reader of arguments, environment, clock, signals and standard streams: builds what a command needs, runs it,
 * and turns its outcome into an exit code. Log lines go to standard error, because standard output has the report.
 */
import { spawn } from "node:child_process";
import { userInfo } from "node:os";
import { systemClock } from "../../../runtime/base/clock";
import type { Context } from "../../../runtime/base/context";
import { BackupError, fail, toBackupError } from "../../../runtime/base/errors";
import { createLog, type LogLevel } from "../../../runtime/base/log";
import { systemRandom } from "../../../runtime/base/random";
import { readFile, stat } from "../../../runtime/local/nodeFiles";
import { exactArguments } from "../../../runtime/local/ownProcess";
import { nullIfMissing } from "../../../runtime/local/systemError";
import { VERSION } from "../../../runtime/version";

/** How long an aborted command may take to end. */
const ABORT_GRACE_MS = 10_000;
/** glibc before 2.41 loses wakeups (bug 25847): a thread of Node's pool sleeps until another call wakes it. */
const STIR_MS = 1000;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

/** What a command gets from its process. */
export interface Invocation {
  readonly args: readonly string[];
  /** @param level of the log */
  readonly context: (level: LogLevel) => Context;
  /** Name of the account. */
  readonly user: string;
  /** Null when it does not exist. */
  readonly readFile: (path: string) => Promise<Uint8Array | null>;
  /** Standard output of a shell command, whatever its exit code. */
  readonly shell: (command: string) => Promise<string>;
  readonly print: (text: string) => void;
  /** For people, alongside a report for programs. */
  readonly printError: (text: string) => void;
}

/** @param command returns the exit code */
export async function runProgram(help: string, command: (proc: Invocation) => Promise<number>): Promise<void> {
  const args = exactArguments(process.argv.slice(2));
  if (args.length === 0 || args[0] === "help" || args.includes("--help") || args.includes("-h")) return print(help);
  if (args[0] === "version" || args.includes("--version")) return print(`pgbackstop-migration ${VERSION}\n`);
  const abort = listenForSignals();
  setInterval(() => void stat("/").catch(() => {}), STIR_MS).unref();
  const contextOf = (level: LogLevel): Context => ({
    clock: systemClock,
    random: systemRandom,
    signal: abort.signal,
    log: createLog(systemClock, [{ level, format: "text", timestamp: true, write: printError }]),
  });
  try {
    process.exitCode = await command({
      args,
      context: contextOf,
      user: userName(),
      readFile: (path) => nullIfMissing(readFile(path)),
      shell,
      print,
      printError,
    });
  } catch (thrown) {
    const error = abort.signal.aborted ? toBackupError(abort.signal.reason, "term") : asBackupError(thrown);
    contextOf("error").log.error(error);
    process.exitCode = error.exitCode;
  }
}

function listenForSignals(): AbortController {
  const abort = new AbortController();
  for (const signal of SIGNALS)
    process.on(signal, () => {
      const error = fail("term", `terminated on signal [${signal}]`);
      abort.abort(error);
      setTimeout(() => process.exit(error.exitCode), ABORT_GRACE_MS).unref();
    });
  return abort;
}

function asBackupError(thrown: unknown): BackupError {
  if (thrown instanceof BackupError) return thrown;
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return fail("unhandled", stack, {
    hint: "This is a defect of pgbackstop-migration: please report it with these lines.",
  });
}

/** In a container the account often has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "postgres";
  }
}

function shell(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/sh", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.length > OUTPUT_BYTES_MAX) child.kill();
    });
    child.on("error", (error) => reject(fail("execute", `unable to run '${command}': ${error.message}`)));
    child.on("close", () => resolve(text));
  });
}

function print(text: string): void {
  process.stdout.write(text);
}

function printError(text: string): void {
  process.stderr.write(text);
}
