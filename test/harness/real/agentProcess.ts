/**
 * The agent as a host runs it: beside PostgreSQL, on a unix socket of its own or on one that stays when it ends, asked
 * by the perl client.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";
import { run, type RunResult, type Started, start, waitFor } from "../../../tools/parts/process";
import { giveTo, makeUserFolder, type OsUser, reachable, serverUser } from "../../../tools/parts/users";
import type { RuntimeProgram } from "./runtimeCli";

/**
 * Listens, starts the program at the first connection with the socket as descriptor 3, and starts it again when it has
 * ended and somebody asks: what systemd does with a socket unit. Its own end ends the program.
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
  /** Folder of the socket. */
  readonly folder: string;
  readonly socket: string;
  readonly client: string;
}

/**
 * Where an agent will listen, with the client: known before the cluster is made, so that its archive_command can name
 * both.
 */
export function agentPaths(user: OsUser = serverUser()): AgentPaths {
  const folder = makeUserFolder("pgb-agent-", user);
  return {
    folder,
    socket: join(folder, "agent.sock"),
    client: reachable(join(projectFolder(), "runtime", "agent", "pgbackrest-client"), user),
  };
}

/** `archive_command` for a place. */
export function archiveCommandOf({ client, socket }: AgentPaths): string {
  return `${client} ${socket} archive-push %p`;
}

export interface AgentOptions {
  readonly paths: AgentPaths;
  readonly runtime: RuntimeProgram;
  readonly configPath: string;
  readonly stanza: string;
  /** True holds the socket outside of the agent. */
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

  /** Of the agent, or of what holds its socket. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get logFile(): string {
    return join(this.#options.paths.folder, "agent.log");
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : "";
  }

  /** Starts it (again) and waits until it listens. */
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
    // The socket of a killed one is there still.
    const listens = (): boolean =>
      activated === true ? existsSync(paths.socket) : this.log().includes("agent listens on", before);
    await waitFor("the agent's socket", 90_000, async () => {
      if (!started.isRunning()) throw new Error(`the agent ended while starting\n${this.log().slice(-2000)}`);
      return listens() ? true : null;
    });
  }

  /** Of the agents that the socket has started so far. */
  activatedPids(): number[] {
    if (!existsSync(this.#pidFile)) return [];
    // A line that is being written does not count yet.
    return readFileSync(this.#pidFile, "utf8").split("\n").slice(0, -1).map(Number);
  }

  /** Ends it; the exit code. What holds the socket cannot end its agent when it is killed: that is done here. */
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

  /** Runs the client once, in `cwd` as PostgreSQL does. */
  ask(cwd: string, args: readonly string[]): Promise<RunResult> {
    const { paths } = this.#options;
    return run(paths.client, [paths.socket, ...args], { user: this.#user, cwd, timeoutMs: 120_000 });
  }
}
