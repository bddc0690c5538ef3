/**
 * One host with PostgreSQL and an agent that streams into a bucket behind a delaying proxy and into a directory. Every
 * part can be killed, and the host can be lost with its disk. Clients keep what was acknowledged.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "pg";
import { SMALL_ALLOCATOR } from "../../runtime/base/limits";
import type { StreamFile } from "../../runtime/config/settingsFields";
import { projectFolder } from "../parts/cache";
import type { PostgresBinaries } from "../parts/postgres/postgres";
import { TestCluster } from "../parts/postgres/testCluster";
import {
  descendantsOf,
  findOnPath,
  pidsWith,
  removedAfter,
  run,
  runOk,
  type RunOptions,
  sleep,
  type Started,
  start,
  waitFor,
} from "../parts/process";
import { S3Server } from "../parts/servers/s3Server";
import { giveTo, makeUserFolder, reachable } from "../parts/users";
import { configureProgram } from "./bed";
import { type DelayProxy, startDelayProxy } from "./delayProxy";
import { processMemory } from "./measure";

export interface RpoLabOptions {
  readonly binaries: PostgresBinaries;
  /** The bundle to run. */
  readonly runtimeFile: string;
  readonly s3Kind: "s3rver" | "versitygw";
  /** Null has no repositories and no agent. */
  readonly stream: StreamFile | null;
  /** True: WAL leaves through a replication slot, as that of a container; `archive_mode` is off. */
  readonly slot?: boolean;
  readonly repos: readonly ("posix" | "s3")[];
  /** Round trip to the bucket. */
  readonly latencyMs: number;
  /** Settings of PostgreSQL. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** True makes the bucket log each request. */
  readonly logsRequests?: boolean;
}

export interface Commit {
  readonly client: number;
  readonly no: number;
  readonly ackMs: number;
}

const STANZA = "rpo";

export async function withRpoLab<T>(options: RpoLabOptions, work: (lab: RpoLab) => Promise<T>): Promise<T> {
  return removedAfter(await RpoLab.create(options), work);
}

export class RpoLab {
  readonly cluster: TestCluster;
  readonly #folder: string;
  readonly #options: RpoLabOptions;
  readonly #server: S3Server | null;
  #proxy: DelayProxy | null;
  readonly #proxyPort: number;
  readonly #agents = new Map<number, Started>();

  private constructor(
    cluster: TestCluster,
    folder: string,
    options: RpoLabOptions,
    server: S3Server | null,
    proxy: DelayProxy | null,
  ) {
    this.cluster = cluster;
    this.#folder = folder;
    this.#options = options;
    this.#server = server;
    this.#proxy = proxy;
    this.#proxyPort = proxy?.port ?? 0;
  }

  /** A running host with its first full backup. */
  static async create(options: RpoLabOptions): Promise<RpoLab> {
    const folder = makeUserFolder("pgb-rpo-");
    const server = options.repos.includes("s3")
      ? await S3Server.create({ kind: options.s3Kind, logsRequests: options.logsRequests ?? false })
      : null;
    const proxy = server === null ? null : await startDelayProxy(server.port, options.latencyMs);
    const client = reachable(join(projectFolder(), "runtime", "agent", "pgbackrest-client"));
    const archives =
      options.stream === null || options.slot === true
        ? {}
        : {
            archive_mode: "on",
            archive_command: `${client} ${join(folder, "agent.sock")} archive-push %p # pgbackrest`,
          };
    const cluster = await TestCluster.create({
      binaries: options.binaries,
      folder: join(folder, "pg"),
      settings: { ...archives, wal_keep_size: "0", ...options.settings },
    });
    const lab = new RpoLab(cluster, folder, options, server, proxy);
    try {
      copyFileSync(options.runtimeFile, join(folder, "runtime.cjs"));
      lab.#configure();
      if (options.stream !== null) await lab.startAgent();
      await cluster.start();
      await cluster.sql("CREATE TABLE commits (client int, no int, filler text, PRIMARY KEY (client, no))");
      if (options.stream === null) return lab;
      await lab.run(["stanza-create"]);
      await lab.run(["backup", "--type=full"]);
      return lab;
    } catch (error) {
      await lab.remove();
      throw error;
    }
  }

  #configure(): void {
    const { repos, slot = false, stream } = this.#options;
    const server = this.#server;
    if (server !== null) copyFileSync(server.caFile, join(this.#folder, "ca.crt"));
    const lines = repos.flatMap((kind, index) => {
      const all: Record<string, string> =
        kind === "posix" || server === null
          ? { path: join(this.#folder, `repo${index + 1}`) }
          : {
              ...server.repositoryOptions(),
              path: `/repo${index + 1}`,
              "storage-port": String(this.#proxyPort),
              "storage-ca-file": join(this.#folder, "ca.crt"),
            };
      const options = { ...all, "retention-full": "9" };
      return Object.entries(options).map(([option, value]) => `repo${index + 1}-${option}=${value}`);
    });
    const more = ["compress-type=zst", "compress-level=1", "process-max=2", "archive-timeout=60", "io-timeout=10"];
    const own = { folders: [], dataPath: this.cluster.dataPath, lines: [...lines, ...more] };
    configureProgram(this.cluster, join(this.#folder, "ours"), STANZA, own);
    const archive = slot ? "stream" : undefined;
    const settings = { version: 1, acknowledge: "any", archive, stream: stream ?? undefined };
    writeFileSync(join(this.#folder, "pgbackstop.json"), JSON.stringify(settings), { mode: 0o644 });
  }

  get #argv(): string[] {
    return [
      reachable(process.execPath),
      join(this.#folder, "runtime.cjs"),
      `--config=${join(this.#folder, "ours.conf")}`,
      `--stanza=${STANZA}`,
    ];
  }

  async run(args: readonly string[]): Promise<string> {
    const [command = "", ...own] = this.#argv;
    return runOk(command, [...own, ...args], this.#identity);
  }

  async pgbench(args: readonly string[]): Promise<string> {
    const { port, socketPath, superuser } = this.cluster;
    // Debian's newest needs a newer C library than this machine may have.
    const program = (await findOnPath("pgbench")) ?? join(this.#options.binaries.folder, "pgbench");
    return runOk(program, ["-h", socketPath, "-p", String(port), "-U", superuser, ...args, "postgres"]);
  }

  /** As in a unit. */
  get #identity(): Pick<RunOptions, "cwd" | "env" | "user"> {
    return { user: this.cluster.user, cwd: this.#folder, env: SMALL_ALLOCATOR };
  }

  /** @param no a second agent has 2 @param other the cluster of another host, which this agent serves */
  async startAgent(no = 1, other: TestCluster | null = null): Promise<void> {
    const [command = "", ...own] = this.#argv;
    const logFile = join(this.#folder, "agent.log");
    writeFileSync(logFile, "", { flag: "a" });
    giveTo(logFile, this.cluster.user);
    const hostOptions = other === null ? [] : this.#hostOptions(no, other);
    const args = [...own, ...hostOptions, "--log-level-console=info", `--agent-socket=${this.#socket(no)}`, "agent"];
    const agent = await start(command, args, { ...this.#identity, logFile });
    this.#agents.set(no, agent);
    await waitFor("the agent", 60_000, async () => {
      if (!agent.isRunning()) throw new Error(`the agent ended\n${this.agentLog().slice(-2000)}`);
      return (await this.status(no)) === "" ? null : true;
    });
  }

  #socket(no: number): string {
    return join(this.#folder, no === 1 ? "agent.sock" : `agent${no}.sock`);
  }

  #hostOptions(no: number, { dataPath, port, socketPath }: TestCluster): string[] {
    const folders = ["lock", "log", "spool"].map((name) => [name, join(this.#folder, "ours", `${name}${no}`)] as const);
    for (const [, path] of folders) {
      mkdirSync(path, { recursive: true });
      giveTo(path, this.cluster.user);
    }
    const server = [`--pg1-path=${dataPath}`, `--pg1-port=${port}`, `--pg1-socket-path=${socketPath}`];
    return [...server, ...folders.map(([name, path]) => `--${name}-path=${path}`)];
  }

  /** PostgreSQL's settings for a server of another host that archives through an agent of its own. */
  archivesBy(no: number): Record<string, string> {
    const client = reachable(join(projectFolder(), "runtime", "agent", "pgbackrest-client"));
    return { archive_command: `${client} ${this.#socket(no)} archive-push %p # pgbackrest` };
  }

  async stopAgent(signal: NodeJS.Signals = "SIGTERM", no = 1): Promise<void> {
    await this.#agents.get(no)?.stop(signal);
    this.#agents.delete(no);
  }

  /** Suspends an agent, or resumes it. */
  signalAgent(signal: "SIGSTOP" | "SIGCONT", no = 1): void {
    const pid = this.#agents.get(no)?.pid;
    if (pid !== undefined) process.kill(pid, signal);
  }

  agentLog(): string {
    return readFileSync(join(this.#folder, "agent.log"), "utf8");
  }

  /** Directory of a posix repository. */
  repositoryPath(repoIndex: number): string {
    return join(this.#folder, `repo${repoIndex}`);
  }

  /** Proportional memory of all processes of ours. */
  memoryBytes(): number {
    return pidsWith(join(this.#folder, "runtime.cjs")).reduce((sum, pid) => sum + processMemory(pid), 0);
  }

  /** Process id of the agent. */
  get agentPid(): number {
    return this.#agents.get(1)?.pid ?? 0;
  }

  /** The agent's lines about the repositories; empty while it does not answer. */
  async status(no = 1): Promise<string> {
    const client = reachable(join(projectFolder(), "runtime", "agent", "pgbackrest-client"));
    const options = { user: this.cluster.user, cwd: this.#folder };
    const { exitCode, stdout, stderr } = await run(client, [this.#socket(no), "status"], options);
    return exitCode === 0 ? `${stdout}${stderr}` : "";
  }

  /** Waits until commits wait for the repositories, or just until each repository gets the stream. */
  async untilStreaming(no = 1): Promise<void> {
    const wanted = this.#options.stream?.synchronous === undefined ? /streamed=[0-9A-F]/ : /synchronous=synchronous/;
    await waitFor("the stream", 120_000, async () => (wanted.test(await this.status(no)) ? true : null)).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${this.agentLog().slice(-3000)}`, { cause: error });
      },
    );
  }

  async cutNetwork(): Promise<void> {
    await this.#proxy?.close();
    this.#proxy = null;
  }

  async mendNetwork(): Promise<void> {
    if (this.#server !== null && this.#proxy === null)
      this.#proxy = await startDelayProxy(this.#server.port, this.#options.latencyMs, this.#proxyPort);
  }

  get proxy(): DelayProxy | null {
    return this.#proxy;
  }

  get bucket(): S3Server | null {
    return this.#server;
  }

  /** Kills every process of the server immediately. */
  async killServer(): Promise<void> {
    const { pid } = this.cluster;
    if (pid === 0) return;
    for (const each of [pid, ...descendantsOf(pid)]) {
      try {
        process.kill(each, "SIGKILL");
      } catch {
        // It has ended in the meantime.
      }
    }
    await this.cluster.stop("immediate");
  }

  /** Kills agent and server, and removes the data directory and what the agent has recorded. */
  async loseHost(): Promise<void> {
    await Promise.all([...[...this.#agents.keys()].map((no) => this.stopAgent("SIGKILL", no)), this.killServer()]);
    const { dataPath } = this.cluster;
    for (const name of readdirSync(dataPath)) rmSync(join(dataPath, name), { recursive: true, force: true });
    const spool = join(this.#folder, "ours", "spool");
    rmSync(spool, { recursive: true, force: true });
    mkdirSync(spool);
    giveTo(spool, this.cluster.user);
  }

  /** Restores all repositories have, and opens it. */
  async restore(repoIndex?: number, more: readonly string[] = []): Promise<void> {
    await this.run(["restore", ...more, ...(repoIndex === undefined ? [] : [`--repo=${repoIndex}`])]);
    await this.startAgent();
    await this.startServer();
  }

  async startServer(): Promise<void> {
    await waitFor("the end of the killed server's processes", 60_000, () =>
      this.cluster.start({}, { timeoutMs: 180_000 }).then(
        () => true as const,
        (error: unknown) => {
          if (/pre-existing shared memory block|lock file "postmaster.pid"/.test(String(error))) return null;
          throw error;
        },
      ),
    );
    await this.cluster.waitForValue("SELECT pg_is_in_recovery()", "false", 180_000);
  }

  async remove(): Promise<void> {
    for (const no of this.#agents.keys()) await this.stopAgent("SIGKILL", no);
    await this.cluster.remove();
    await this.#proxy?.close();
    await this.#server?.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Clients that commit one row after the other, connect again after a failure, and keep what was acknowledged. */
export class Writers {
  readonly commits: Commit[] = [];
  readonly #cluster: TestCluster;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[];
  readonly #next: Map<number, number>;

  /** @param next the number of each client's next row; it is counted on here */
  constructor(cluster: TestCluster, count: number, next: Map<number, number>) {
    this.#cluster = cluster;
    this.#next = next;
    this.#running = Array.from({ length: count }, (_, client) => this.#write(client));
  }

  async #write(client: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      let session: Client | null = null;
      let isDoubtful = false;
      try {
        session = await this.#cluster.connect();
        // A wait that was given up ends with this warning: the commit is nowhere but here.
        session.on("notice", (notice) => {
          isDoubtful ||= String(notice.message).includes("wait for synchronous replication");
        });
        while (!this.#stop.signal.aborted) {
          const no = this.#next.get(client) ?? 1;
          this.#next.set(client, no + 1);
          isDoubtful = false;
          await session.query("INSERT INTO commits VALUES ($1::int, $2::int, repeat(md5($2::text), 3))", [client, no]);
          if (!isDoubtful) this.commits.push({ client, no, ackMs: performance.now() });
        }
      } catch {
        await sleep(20);
      } finally {
        await session?.end().catch(() => undefined);
      }
    }
  }

  /** Returns immediately; {@link ended} waits for the clients. */
  stop(): void {
    this.#stop.abort();
  }

  async ended(): Promise<void> {
    this.stop();
    await Promise.all(this.#running);
  }
}

/** The acknowledged commits that the server lacks. */
export async function missingCommits(cluster: TestCluster, commits: readonly Commit[]): Promise<Commit[]> {
  const rows = await cluster.sql(
    "SELECT a.client, a.no FROM unnest($1::int[], $2::int[]) AS a (client, no) LEFT JOIN commits USING (client, no) WHERE commits.no IS NULL",
    [commits.map(({ client }) => client), commits.map(({ no }) => no)],
  );
  const names = new Set(rows.map(({ client, no }) => `${String(client)} ${String(no)}`));
  return commits.filter(({ client, no }) => names.has(`${client} ${no}`));
}
