/**
 * A host behind SSH: one connection for all commands, after the host has proved its key.
 *
 * The login's shell starts a command as `sh` with a fixed environment, without a terminal; as root through `sudo -n` if
 * the login is another account. Secrets go over standard input only: everybody on the host sees command lines.
 * `timeout` of coreutils enforces time limits, because a signal over SSH reaches neither sudo's child nor older
 * servers.
 */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import type { Client, ClientChannel } from "ssh2";
import { shellArgument } from "../../plan/host/hostCommand";
import {
  type Account,
  argvAs,
  type Connection,
  EXEC_LIMITS,
  type ExecOptions,
  type ExecResult,
  type HeldCommand,
} from "../connection";
import { openSshClient } from "./sshClient";
import type { SshTarget } from "./sshTarget";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";
const ROOT: Account = { name: "root", uid: 0, gid: 0 };
/** A line before the output of each command. Files that the login's shell reads at its start may print before it. */
const FRAME = "pgbackstop answers:\n";
const BEFORE_FRAME_CHARS_MAX = 64 * 1024;
/** A shell's exit codes for a program that is missing or not executable. */
const NOT_STARTED = [126, 127];

/**
 * Connects and signs in.
 * @throws Error with fact and remedy: no answer, wrong host key, sign-in refused. That sudo needs a password, the first
 * command that fails throws.
 */
export async function connectOverSsh(target: SshTarget): Promise<Connection> {
  const clients: Client[] = [];
  const end = async (): Promise<void> => {
    for (const client of clients.reverse()) client.end();
  };
  try {
    const client = await openSshClient(target, clients, (path) => readFile(path, "utf8"));
    const shell = new SshShell(client, target);
    const login = isRaised(target) ? ROOT : await loginOf(shell, target);
    // Asking first whether sudo works would cost a round trip and a session of sudo.
    let isProved = !isRaised(target);
    return {
      name: target.host,
      login,
      exec: async (argv, options = {}) => {
        const result = await shell.execute(argvAs(login, options.account, argv), options);
        if (!isProved && result.exitCode !== 0) await loginOf(shell, target);
        isProved = true;
        return result;
      },
      hold: (argv) => shell.hold(argv),
      close: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

function isRaised({ sudo, user }: SshTarget): boolean {
  return sudo && user !== ROOT.name;
}

/** The account that commands run as. @throws Error if sudo needs a password or is missing */
async function loginOf(shell: SshShell, { host, sudo, user }: SshTarget): Promise<Account> {
  if (user === ROOT.name) return ROOT;
  const result = await shell.execute(["/bin/sh", "-c", "id -u; id -g"], {});
  if (sudo && result.exitCode !== 0) {
    throw new Error(
      `${user} cannot become root on ${host} through sudo without a password (${result.stderr.trim()}): allow it there with a file in /etc/sudoers.d ` +
        `("${user} ALL=(ALL) NOPASSWD: ALL"), or set user: "root"`,
    );
  }
  const [uid = "", gid = ""] = result.stdout.split("\n");
  return { name: sudo ? ROOT.name : user, uid: Number(uid), gid: Number(gid) };
}

class SshShell {
  readonly #client: Client;
  readonly #target: SshTarget;
  #lost: Error | null = null;

  constructor(client: Client, target: SshTarget) {
    this.#client = client;
    this.#target = target;
    client.on("error", (error) => {
      this.#lost ??= error;
    });
    client.on("close", () => {
      this.#lost ??= new Error("it was closed by the host");
    });
  }

  async execute(
    argv: readonly string[],
    { onLine, stdin, timeoutMs = EXEC_LIMITS.timeoutMs }: ExecOptions,
  ): Promise<ExecResult> {
    const output = { stdout: "", stderr: "" };
    let tooMuch = false;
    const ended = this.#run(argv, timeoutMs, (channel) => {
      const collect = (name: "stdout" | "stderr") => (text: string) => {
        if (output[name].length + text.length <= EXEC_LIMITS.outputCharsMax) output[name] += text;
        else {
          tooMuch = true;
          channel.close();
        }
      };
      const add = collect("stdout");
      const lines = onLine === undefined ? null : new PassThrough();
      if (lines !== null && onLine !== undefined) createInterface({ input: lines }).on("line", onLine);
      const answer = afterFrame((text) => {
        add(text);
        lines?.write(text);
      });
      channel.setEncoding("utf8").on("data", answer.write).on("end", answer.end);
      channel.stderr.setEncoding("utf8").on("data", collect("stderr"));
      channel.end(stdin ?? "");
    });
    const exitCode = await ended.catch((error: unknown) => {
      // We closed the channel: a missing exit code does not mean a lost connection.
      if (tooMuch) return null;
      throw error;
    });
    if (tooMuch || exitCode === null)
      throw new Error(`${argv[0]} printed more than ${EXEC_LIMITS.outputCharsMax} characters`);
    if (NOT_STARTED.includes(exitCode) && output.stderr.includes(`${argv[0]}`))
      throw new Error(`unable to start ${argv[0]}: ${output.stderr.trim()}`);
    return { exitCode, ...output };
  }

  hold(argv: readonly string[]): Promise<HeldCommand> {
    return new Promise((resolve, reject) => {
      let stderr = "";
      const exited = this.#run(argv, null, (channel) => {
        channel.stderr.setEncoding("utf8").on("data", (text: string) => {
          stderr = (stderr + text).slice(-2000);
        });
        const release = async (): Promise<void> => {
          channel.end();
          await exited;
        };
        channel.setEncoding("utf8").on("data", afterFrame(() => resolve({ release })).write);
      });
      exited.then((exitCode) => {
        reject(new Error(`${argv[0]} ended with exit code ${exitCode}${stderr === "" ? "" : `: ${stderr.trim()}`}`));
      }, reject);
    });
  }

  /**
   * The exit code. `attach` adds listeners before anything of the command can arrive: its output and its end may come
   * in the packet that confirms its start.
   * @throws Error if the connection breaks before the program's end arrives
   */
  #run(argv: readonly string[], timeoutMs: number | null, attach: (channel: ClientChannel) => void): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) return reject(this.#lostError(argv));
      this.#client.exec(commandLine(argv, this.#target, timeoutMs), (error, channel) => {
        if (error !== undefined)
          return reject(
            new Error(`unable to start ${argv[0]} on ${this.#target.host}: ${error.message}`, { cause: error }),
          );
        let exitCode: number | null = null;
        channel.on("exit", (code: number | null, signal?: string) => {
          exitCode = code ?? 128 + (SIGNALS[signal ?? ""] ?? 0);
        });
        channel.on("close", () => (exitCode === null ? reject(this.#lostError(argv)) : resolve(exitCode)));
        // A program that leaves input unread closes it: its exit code has the result.
        channel.on("error", () => undefined);
        attach(channel);
      });
    });
  }

  #lostError(argv: readonly string[]): Error {
    const reason = this.#lost?.message ?? "no exit code came back";
    return new Error(
      `the connection to ${this.#target.host} was lost while ${argv[0]} ran (${reason}): run the update again to continue`,
    );
  }
}

/** Signal numbers (POSIX) by their SSH names (RFC 4254). */
const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ABRT: 6,
  KILL: 9,
  SEGV: 11,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
};

/** Passes on what comes after the frame; all of an answer without one, which is no answer of a command of ours. */
function afterFrame(onText: (text: string) => void): {
  readonly write: (text: string) => void;
  readonly end: () => void;
} {
  let before: string | null = "";
  const pass = (text: string): void => {
    before = null;
    if (text !== "") onText(text);
  };
  return {
    write: (text) => {
      if (before === null) return onText(text);
      before += text;
      const at = before.indexOf(FRAME);
      if (at >= 0) pass(before.slice(at + FRAME.length));
      else if (before.length > BEFORE_FRAME_CHARS_MAX) pass(before);
    },
    end: () => pass(before ?? ""),
  };
}

/** One line for any login shell. */
function commandLine(argv: readonly string[], target: SshTarget, timeoutMs: number | null): string {
  const limited =
    timeoutMs === null
      ? argv
      : [
          "timeout",
          "--preserve-status",
          `--kill-after=${EXEC_LIMITS.killAfterMs / 1000}`,
          `${timeoutMs / 1000}`,
          ...argv,
        ];
  const raised = isRaised(target) ? ["sudo", "-n", "--", ...limited] : limited;
  const script = `cd / && printf '%s\\n' ${shellArgument(FRAME.trimEnd())} && exec env -i PATH=${PATH} LANG=C.UTF-8 HOME="$HOME" ${raised.map(shellArgument).join(" ")}`;
  return `/bin/sh -c ${shellArgument(script)}`;
}
