/**
 * This machine as a host. Programs get a small, fixed environment: no passphrase or token of the calling program
 * reaches them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants, userInfo } from "node:os";
import { createInterface } from "node:readline";
import {
  type Account,
  argvAs,
  type Connection,
  EXEC_LIMITS,
  type ExecOptions,
  type ExecResult,
  type HeldCommand,
} from "./connection";

/** For the last output of a program whose server may keep the pipe open. */
const OUTPUT_MS = 2000;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The machine that runs this program. */
export function connectLocally(): Connection {
  const own = userInfo();
  const login: Account = { name: own.username, uid: own.uid, gid: own.gid };
  const running = new Set<ChildProcess>();
  const endAll = (): void => {
    for (const child of running) child.kill("SIGTERM");
  };
  process.on("exit", endAll);
  return {
    name: "this machine",
    login,
    exec: (argv, options = {}) => execute(argvAs(login, options.account, argv), options, running),
    hold: (argv) => hold(argv, running),
    close: async () => {
      process.off("exit", endAll);
      endAll();
    },
  };
}

function start(argv: readonly string[], running: Set<ChildProcess>): ChildProcess {
  const [program = "", ...args] = argv;
  const environment = { PATH: process.env["PATH"] ?? DEFAULT_PATH, HOME: userInfo().homedir, LANG: "C.UTF-8" };
  const child = spawn(program, args, { cwd: "/", env: environment, stdio: ["pipe", "pipe", "pipe"] });
  running.add(child);
  // A program that leaves input unread closes the pipe: its exit code has the result.
  child.stdin?.on("error", () => undefined);
  return child;
}

function execute(argv: readonly string[], options: ExecOptions, running: Set<ChildProcess>): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const child = start(argv, running);
    const output = { stdout: "", stderr: "" };
    let tooMuch = false;
    const { startsServer = false, timeoutMs = EXEC_LIMITS.timeoutMs } = options;
    const end = (signal: "SIGTERM" | "SIGKILL"): void => {
      if (startsServer) child.kill(signal);
      else endTree(child, signal);
    };
    // A program that survives may hold them open for ever.
    const closeOutput = (): void => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const timers = [
      setTimeout(() => end("SIGTERM"), timeoutMs),
      setTimeout(() => {
        end("SIGKILL");
        closeOutput();
      }, timeoutMs + EXEC_LIMITS.killAfterMs),
    ];
    if (startsServer) child.on("exit", () => timers.push(setTimeout(closeOutput, OUTPUT_MS)));
    const collect = (name: "stdout" | "stderr") => (text: string) => {
      if (output[name].length + text.length > EXEC_LIMITS.outputCharsMax) {
        tooMuch = true;
        endTree(child, "SIGTERM");
      } else {
        output[name] += text;
      }
    };
    child.stdout?.setEncoding("utf8").on("data", collect("stdout"));
    child.stderr?.setEncoding("utf8").on("data", collect("stderr"));
    if (child.stdout !== null && options.onLine !== undefined)
      createInterface({ input: child.stdout }).on("line", options.onLine);
    child.on("error", (error) => {
      for (const timer of timers) clearTimeout(timer);
      running.delete(child);
      reject(new Error(`unable to start ${argv[0]}: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      for (const timer of timers) clearTimeout(timer);
      running.delete(child);
      if (tooMuch) reject(new Error(`${argv[0]} printed more than ${EXEC_LIMITS.outputCharsMax} characters`));
      else resolve({ exitCode: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), ...output });
    });
    child.stdin?.end(options.stdin ?? "");
  });
}

/** A shell's programs do not end with it. They stay in our process group, so that they end when that is killed. */
function endTree(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  for (const pid of treeOf(child.pid)) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  }
}

/** A process and its descendants; on systems without this file the process alone. */
function treeOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").match(/[0-9]+/g) ?? [];
    return [pid, ...children.flatMap((each) => treeOf(Number(each)))];
  } catch {
    return [pid];
  }
}

function hold(argv: readonly string[], running: Set<ChildProcess>): Promise<HeldCommand> {
  return new Promise((resolve, reject) => {
    const child = start(argv, running);
    let stderr = "";
    const ended = new Promise<void>((end) => {
      child.on("close", (code) => {
        running.delete(child);
        reject(
          new Error(
            `${argv[0]} ended with exit code ${code ?? "of a signal"}${stderr === "" ? "" : `: ${stderr.trim()}`}`,
          ),
        );
        end();
      });
    });
    child.on("error", (error) => {
      running.delete(child);
      reject(new Error(`unable to start ${argv[0]}: ${error.message}`));
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-2000);
    });
    child.stdout?.once("data", () => {
      resolve({
        release: async () => {
          child.stdin?.end();
          await ended;
        },
      });
    });
  });
}
