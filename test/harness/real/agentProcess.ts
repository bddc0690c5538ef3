/**
 * Runs the agent as a host does: beside PostgreSQL, on its own unix socket or on one that outlives it. The perl client
 * sends the requests.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";
import { run, type RunResult, type Started, start, waitFor } from "../../../tools/parts/process";
import { giveTo, makeUserFolder, type OsUser, reachable, serverUser } from "../../../tools/parts/users";
import type { RuntimeProgram } from "./runtimeCli";

/**
 * Does what systemd does with a socket unit. It listens and starts the program at the first connection, with the socket
 * as descriptor 3. After the program exits, the next connection starts it again. On SIGTERM it also ends the program.
 */
const ACTIVATE = `
$^F = 10; $SIG{TERM} = sub { kill "TERM", $child if $child; exit 0 };
socket(S, PF_UNIX, SOCK_STREAM, 0) and bind(S, sockaddr_un(shift)) and listen(S, 64) or die "socket: $!";
$pids = shift; POSIX::dup2(fileno(S), 3);
for (;;) {
  my $ready = ""; vec($ready, 3, 1) = 1; select($ready, undef, undef, undef) > 0 or next;
  $child = fork; if (!$child) { $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; exec @ARGV }
  open(P, ">>", $pids); print P "$child\\n"; close P; waitpid($child, 0);
}`;

export interface AgentPaths {
  /** The folder of the socket. */
  readonly folder: string;
  readonly socket: string;
  readonly client: string;
}

/**
 * The paths of an agent's socket and its client. They are known before the cluster exists, so that its archive_command
 * can name both.
 */
export function agentPaths(user: OsUser = serverUser()): AgentPaths {
  const folder = makeUserFolder("pgb-agent-", user);
  return {
    folder,
    socket: join(folder, "agent.sock"),
    client: reachable(join(projectFolder(), "runtime", "agent", "pgbackrest-client"), user),
  };
}

export function archiveCommandOf({ client, socket }: AgentPaths): string {
  return `${client} ${socket} archive-push %p`;
}

export interface AgentOptions {
  readonly paths: AgentPaths;
  readonly runtime: RuntimeProgram;
  readonly configPath: string;
  readonly stanza: string;
  /** True: another process holds the socket and starts the agent. */
  readonly activated?: boolean;
  readonly args?: readonly string[];
}

export class AgentProcess {
  readonly #options: AgentOptions;
  readonly #user = serverUser();
  #process: Started | null = null;

  private constructor(options: AgentOptions) {
    this.#options = options;
  }

  static async start(options: AgentOptions): Promise<AgentProcess> {
    const agent = new AgentProcess(options);
    await agent.start();
    return agent;
  }

  get #pidFile(): string {
    return join(this.#options.paths.folder, "pids");
  }

  /** The process id of the agent, or of the process that holds its socket. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get logFile(): string {
    return join(this.#options.paths.folder, "agent.log");
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : "";
  }

  /** Starts or restarts the agent and waits until it listens. */
  async start(): Promise<void> {
    const { paths, runtime, configPath, stanza, activated, args = [] } = this.#options;
    const own = [
      runtime.file,
      `--config-path=${configPath}`,
      `--stanza=${stanza}`,
      "--log-level-console=detail",
      ...args,
      "agent",
    ];
    const options = { user: this.#user, cwd: paths.folder, logFile: this.logFile };
    writeFileSync(this.logFile, "", { flag: "a" });
    const before = this.log().length;
    giveTo(this.logFile, this.#user);
    this.#process =
      activated === true
        ? await start(
            "perl",
            ["-MSocket", "-MPOSIX", "-e", ACTIVATE, paths.socket, this.#pidFile, runtime.node, ...own],
            options,
          )
        : await start(runtime.node, [...own.slice(0, -1), `--agent-socket=${paths.socket}`, "agent"], options);
    const started = this.#process;
    // The socket of a killed agent remains, so it does not prove that a new agent listens.
    const listens = (): boolean =>
      activated === true ? existsSync(paths.socket) : this.log().includes("agent listens on", before);
    await waitFor("the agent's socket", 90_000, async () => {
      if (!started.isRunning()) throw new Error(`the agent ended while starting\n${this.log().slice(-2000)}`);
      return listens() ? true : null;
    });
  }

  /** Process ids of the agents that the socket has started so far. */
  activatedPids(): number[] {
    if (!existsSync(this.#pidFile)) return [];
    // Skip a line that is still being written.
    return readFileSync(this.#pidFile, "utf8").split("\n").slice(0, -1).map(Number);
  }

  /** Stops the agent and returns the exit code. A killed socket holder cannot end its agent, so this method does. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    const code = await this.#process?.stop(signal);
    this.#process = null;
    const child = this.activatedPids().at(-1);
    if (child !== undefined && this.#isAgent(child)) process.kill(child, signal);
    return code ?? 0;
  }

  #isAgent(pid: number): boolean {
    const commandFile = `/proc/${pid}/cmdline`;
    return existsSync(commandFile) && readFileSync(commandFile, "utf8").includes(this.#options.configPath);
  }

  /** Runs the client once in `cwd`, like PostgreSQL. */
  ask(cwd: string, args: readonly string[]): Promise<RunResult> {
    const { paths } = this.#options;
    return run(paths.client, [paths.socket, ...args], { user: this.#user, cwd, timeoutMs: 120_000 });
  }
}
