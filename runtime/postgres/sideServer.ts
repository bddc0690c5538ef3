/**
 * A PostgreSQL server of our own beside production's: started from a data directory that was restored for it, reachable by a unix socket in a
 * private directory only, and stopped by us.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { untilAborted, withTimeTo } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, isError } from "../base/errors";
import type { Programs } from "./programs";
import { Session } from "./session";

export interface SideServerOptions {
  readonly programs: Programs;
  readonly dataDirectory: string;
  /** Its settings: nothing else is read but postgresql.auto.conf of the data directory. */
  readonly configFile: string;
  readonly socketDirectory: string;
  readonly port: number;
  readonly logFile: string;
  readonly user: string;
  readonly database: string;
  readonly queryTimeoutMs: number;
}

const POLL_MS = 20;
/** A line of the status in postmaster.pid (PostgreSQL "utils/pidfile.h"). */
const STATUS_LINE = 7;
const LOG_TAIL_BYTES = 64 * 1024;
const LOG_LINES_MAX = 6;
const END_MS = 30_000;

export class SideServer {
  readonly #options: SideServerOptions;
  readonly #ended: Promise<number>;
  readonly #child: ChildProcess;
  #isRunning = true;

  private constructor(options: SideServerOptions, child: ChildProcess) {
    this.#options = options;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const end = (code: number): void => {
        this.#isRunning = false;
        resolve(code);
      };
      child.on("error", () => end(127));
      child.on("exit", (code) => end(code ?? 1));
    });
  }

  /** Starts the server; it is not ready yet. */
  static start(options: SideServerOptions): SideServer {
    const { configFile, dataDirectory, logFile, programs } = options;
    const log = openSync(logFile, "a", 0o600);
    try {
      // A group of its own: the signals of a terminal are for us, and we end the server.
      const child = spawn(`${programs.directory}/postgres`, ["-D", dataDirectory, "-c", `config_file=${configFile}`], {
        detached: true,
        stdio: ["ignore", log, log],
        cwd: "/",
      });
      return new SideServer(options, child);
    } finally {
      closeSync(log);
    }
  }

  /** The first connection that the server accepts, once recovery is over. @throws dbConnect with the end of its log when it stops instead */
  async connectFirst(ctx: Context): Promise<Session> {
    for (;;) {
      if (!this.#isRunning) throw await this.#stopped();
      if (await this.#isReady()) {
        try {
          return await this.connect();
        } catch (error) {
          // Between the file's word and the first connection there may be a moment; anything else stays as it is.
          if (!isError(error, "dbConnect") || !/starting up|ECONNREFUSED|ENOENT/.test(error.message)) throw error;
        }
      }
      await ctx.clock.sleep(POLL_MS, ctx.signal);
    }
  }

  /** @throws dbConnect */
  connect(database = this.#options.database): Promise<Session> {
    const { port, queryTimeoutMs, socketDirectory, user } = this.#options;
    return Session.open({ host: socketDirectory, port, user, database, queryTimeoutMs, applicationName: "pgbackstop drill" });
  }

  /** Shuts it down so that its files need no recovery. Fine when it has ended. */
  async stop(ctx: Context): Promise<void> {
    if (this.#isRunning) this.#child.kill("SIGINT");
    await Promise.race([this.#ended, untilAborted(ctx.signal)]);
    if (this.#isRunning) throw ctx.signal.reason;
  }

  /** Ends it at once, whatever becomes of its files. */
  async end(ctx: Pick<Context, "clock">): Promise<void> {
    for (const signal of ["SIGQUIT", "SIGKILL"] as const) {
      if (!this.#isRunning) return;
      this.#child.kill(signal);
      await withTimeTo(END_MS, ctx.clock, (enough) => Promise.race([this.#ended, untilAborted(enough)]));
    }
    if (this.#isRunning) throw fail("pgRunning", `the server of '${this.#options.dataDirectory}' cannot be ended`);
  }

  async #isReady(): Promise<boolean> {
    const text = await readFile(`${this.#options.dataDirectory}/postmaster.pid`, "utf8").catch(() => "");
    return text.split("\n")[STATUS_LINE]?.trim() === "ready";
  }

  async #stopped(): Promise<BackupError> {
    const code = await this.#ended;
    const lines = await this.logLines();
    const message = [`PostgreSQL stopped before it accepted a connection (exit code ${code})`, ...lines].join("\n");
    return fail("dbConnect", message, { hint: "what it says is the reason why this backup could not be used." });
  }

  /** The last lines of the log that tell of something wrong. */
  async logLines(): Promise<string[]> {
    const lines = (await readTail(this.#options.logFile)).split("\n").filter((line) => /\b(FATAL|PANIC|ERROR|HINT|WARN)\b:?/.test(line));
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
