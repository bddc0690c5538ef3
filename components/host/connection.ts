/**
 * How a host is reached: one narrow interface, the same for this machine and a host behind SSH. A transport must be
 * able to start a program, send it input, and read its output.
 */

export interface ExecOptions {
  /** Sent to the program's standard input, which is then closed. The only path for secrets. */
  readonly stdin?: string | Uint8Array | undefined;
  /** Runs as this account instead of the login. */
  readonly account?: Account | undefined;
  /** Called with each complete line of standard output. */
  readonly onLine?: ((line: string) => void) | undefined;
  /** The program is terminated (TERM) after this time; default two minutes. */
  readonly timeoutMs?: number | undefined;
  /** Leaves alone what the program has started, such as a server: it neither ends with it nor is waited for. */
  readonly startsServer?: boolean | undefined;
}

/**
 * For every connection: limits for a command's time, for its orderly end after that, and for output, beyond any
 * legitimate amount.
 */
export const EXEC_LIMITS = { timeoutMs: 120_000, killAfterMs: 10_000, outputCharsMax: 16 * 1024 * 1024 } as const;

export interface ExecResult {
  /** 128 + signal number when a signal ended the program, as in a shell. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An account of the host, by its ids. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Shows one line of what is done. */
export type LogLine = (line: string) => void;

/** A program that runs until it is released or the connection breaks. */
export interface HeldCommand {
  release(): Promise<void>;
}

export interface Connection {
  /** For messages: `this machine`. */
  readonly name: string;
  /** The account that commands run as by default. */
  readonly login: Account;
  /**
   * Runs a program to its end, without a shell; a failing program is a result, not an error.
   * @throws Error if it cannot be started
   */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /**
   * Starts a program that prints one line when it is ready and ends when its input ends.
   * @throws Error if it ends before that
   */
  hold(argv: readonly string[]): Promise<HeldCommand>;
  close(): Promise<void>;
}

/** A failed command: program, exit code and the end of its output. */
export class CommandFailed extends Error {
  readonly result: ExecResult;

  constructor(what: string, result: ExecResult) {
    const output = `${result.stdout}\n${result.stderr}`
      .split("\n")
      .filter((line) => line.trim() !== "")
      .slice(-12)
      .join("\n");
    super(`unable to ${what}: exit code ${result.exitCode}${output === "" ? "" : `\n${output}`}`);
    this.name = "CommandFailed";
    this.result = result;
  }
}

/** Runs a program that must succeed. @throws CommandFailed */
export async function run(
  connection: Connection,
  what: string,
  argv: readonly string[],
  options?: ExecOptions,
): Promise<ExecResult> {
  const result = await connection.exec(argv, options);
  if (result.exitCode !== 0) throw new CommandFailed(what, result);
  return result;
}

/** Runs a POSIX shell script with `args` from `$1` on; the script must succeed. @throws CommandFailed */
export function runScript(
  connection: Connection,
  what: string,
  script: string,
  args: readonly string[],
  options?: ExecOptions,
): Promise<ExecResult> {
  return run(connection, what, ["/bin/sh", "-c", script, "sh", ...args], options);
}

/** The account `name` of the host. @throws Error if it is missing */
export async function loadAccount(connection: Connection, name: string): Promise<Account> {
  if (name === connection.login.name) return connection.login;
  const result = await connection.exec(["id", "--", name]);
  const match = /^uid=([0-9]+)\S* gid=([0-9]+)/.exec(result.stdout);
  if (result.exitCode !== 0 || match === null) {
    throw new Error(
      `there is no account ${name} on ${connection.name}: set user to the account that PostgreSQL runs as`,
    );
  }
  return { name, uid: Number(match[1]), gid: Number(match[2]) };
}

/**
 * Shell functions that run a program as another account, in that account's environment: `$HOME/.pgpass` is its own. $1
 * its name, $2 and $3 its ids; the rest is the program.
 */
export const AS_ACCOUNT_FUNCTION = `exec_as() {
  case $1 in *[!A-Za-z0-9_.-]*) ;; *) eval "HOME=~$1" ;; esac
  USER=$1 LOGNAME=$1; export HOME USER LOGNAME
  uid=$2 gid=$3; shift 3
  exec setpriv --reuid="$uid" --regid="$gid" --init-groups -- "$@"
}`;

/**
 * The command line that runs `argv` as `account` when logged in as `login`.
 * @throws Error if `login` may not do that
 */
export function argvAs(login: Account, account: Account | undefined, argv: readonly string[]): readonly string[] {
  if (account === undefined || account.uid === login.uid) return argv;
  if (login.uid !== 0) {
    throw new Error(
      `unable to run commands as ${account.name} when logged in as ${login.name}: log in as root or as ${account.name}`,
    );
  }
  const script = `${AS_ACCOUNT_FUNCTION}\nexec_as "$@"`;
  return ["/bin/sh", "-c", script, "sh", account.name, String(account.uid), String(account.gid), ...argv];
}
