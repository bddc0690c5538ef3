/**
 * Our own PostgreSQL server alongside production's: started on a restored data directory, reachable only by a unix
 * socket in a private directory, and stopped by us.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, open, openSync, readFile } from "../local/nodeFiles";
import { untilAborted, withTimeTo } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, isError } from "../base/errors";
import { parsePostmasterPid } from "./postmasterPid";
import type { Programs } from "./programs";
import { Session } from "./session";

export interface SideServerOptions {
  readonly programs: Programs;
  readonly dataDirectory: string;
  /** Its settings: besides this file only postgresql.auto.conf of the data directory is read. */
  readonly configFile: string;
  readonly socketDirectory: string;
  readonly port: number;
  readonly logFile: string;
  readonly user: string;
  readonly database: string;
  readonly queryTimeoutMs: number;
  /** Raises settings for which recovery has ended the server; true if it may start again. */
  readonly raiseLimits: () => Promise<boolean>;
}

const POLL_MS = 20;
const LOG_TAIL_BYTES = 64 * 1024;
const LOG_LINES_MAX = 6;
const END_MS = 30_000;

export class SideServer {
  readonly #options: SideServerOptions;
  #ended: Promise<number> = Promise.resolve(0);
  #child: ChildProcess;
  #isRunning = false;

  private constructor(options: SideServerOptions) {
    this.#options = options;
    this.#child = this.#begin();
  }

  /** Starts the server, which is not ready yet. */
  static start(options: SideServerOptions): SideServer {
    return new SideServer(options);
  }

  #begin(): ChildProcess {
    const { configFile, dataDirectory, logFile, programs } = this.#options;
    const log = openSync(logFile, "a", 0o600);
    try {
      // Its own process group: a terminal's signals are for us, and we stop the server.
      const settings = ["-c", `config_file=${configFile}`, "-c", "synchronous_standby_names="];
      const [program = "", ...args] = programs.command("postgres", ["-D", dataDirectory, ...settings]);
      const child = spawn(program, args, { detached: true, stdio: ["ignore", log, log], cwd: "/" });
      this.#isRunning = true;
      this.#ended = new Promise((resolve) => {
        const end = (code: number): void => {
          this.#isRunning = false;
          resolve(code);
        };
        child.on("error", () => end(127));
        child.on("exit", (code) => end(code ?? 1));
      });
      return child;
    } finally {
      closeSync(log);
    }
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /**
   * The first connection that the server accepts after recovery. It starts again if recovery needs higher limits.
   * @throws dbConnect with the end of its log when it stops instead
   */
  async connectFirst(ctx: Context): Promise<Session> {
    for (;;) {
      if (!this.#isRunning) {
        if (!(await this.#options.raiseLimits())) throw await this.#stopped();
        this.#child = this.#begin();
      }
      if (await this.#isReady()) {
        try {
          return await this.connect();
        } catch (error) {
          // The server may not accept connections immediately after the status in the file; other errors are final.
          if (!isError(error, "dbConnect") || !/starting up|ECONNREFUSED|ENOENT/.test(error.message)) throw error;
        }
      }
      await ctx.clock.sleep(POLL_MS, ctx.signal);
    }
  }

  /** @throws dbConnect */
  connect(database = this.#options.database): Promise<Session> {
    const { port, queryTimeoutMs, socketDirectory, user } = this.#options;
    return Session.open({
      host: socketDirectory,
      port,
      user,
      database,
      queryTimeoutMs,
      applicationName: "pgbackstop drill",
    });
  }

  /** Shuts it down cleanly, so that its files need no recovery. Does nothing if it has ended. */
  async stop(ctx: Context): Promise<void> {
    if (this.#isRunning) this.#child.kill("SIGINT");
    await Promise.race([this.#ended, untilAborted(ctx.signal)]);
    if (this.#isRunning) throw ctx.signal.reason;
  }

  /** Kills it immediately, without regard to its files. */
  async end(ctx: Pick<Context, "clock">): Promise<void> {
    await this.#kill("SIGQUIT", ctx);
    // In a container the server may outlive the child, which is the engine's program.
    await this.#options.programs.endLeft();
    await this.#kill("SIGKILL", ctx);
    if (this.#isRunning) throw fail("pgRunning", `the server of '${this.#options.dataDirectory}' cannot be stopped`);
  }

  async #kill(signal: NodeJS.Signals, ctx: Pick<Context, "clock">): Promise<void> {
    if (!this.#isRunning) return;
    this.#child.kill(signal);
    await withTimeTo(END_MS, ctx.clock, (enough) => Promise.race([this.#ended, untilAborted(enough)]));
  }

  async #isReady(): Promise<boolean> {
    const text = await readFile(`${this.#options.dataDirectory}/postmaster.pid`, "utf8").catch(() => "");
    return parsePostmasterPid(text).status === "ready";
  }

  async #stopped(): Promise<BackupError> {
    const code = await this.#ended;
    const lines = await this.logLines();
    const message = [`PostgreSQL stopped before it accepted a connection (exit code ${code})`, ...lines].join("\n");
    return fail("dbConnect", message, { hint: "Its output is the reason why this backup cannot be used." });
  }

  /** The last log lines about an error. */
  async logLines(): Promise<string[]> {
    const lines = (await readTail(this.#options.logFile))
      .split("\n")
      .filter((line) => /\b(FATAL|PANIC|ERROR|HINT|WARN)\b:?/.test(line));
    return lines.slice(-LOG_LINES_MAX).map((line) => line.trim());
  }
}

async function readTail(path: string): Promise<string> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
    await handle.read(bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString("utf8");
  } finally {
    await handle.close();
  }
}
