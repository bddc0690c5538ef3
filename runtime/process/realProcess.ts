/** The {@link CommandProcess} of a real process: opens each resource on first use and closes all of them at the end. */
import { spawn } from "node:child_process";
import { readFileSync, statSync } from "../local/nodeFiles";
import type { Context } from "../base/context";
import { printable } from "../base/printable";
import type { Log } from "../base/log";
import { assert, ERRORS, fail } from "../base/errors";
import { given } from "../base/given";
import type {
  BackgroundDetails,
  CommandProcess,
  MachineAccess,
  OtherConfiguration,
  OwnProcess,
  ProgramAccess,
  Terminal,
} from "./commandProcess";
import { COMMAND_TABLE } from "../config/commands";
import type { Config, PgConfig, RepoConfig } from "../config/types";
import { type MissingWalStore, openMissingWal } from "../local/missingWal";
import { acquireLock, type LockFile, type LockKind } from "../local/lockFile";
import { type HolderLock, openHolderLock } from "../local/holderLock";
import { type Domain, lockDomain } from "../local/lockDomain";
import { isLocked, type LockState, readLockState } from "../local/lockState";
import { childEnvironment } from "../local/ownProcess";
import { checkStopFile } from "../local/stopFile";
import { bytesIfThere } from "../local/systemError";
import type { OwnedDirectory } from "../local/trust";
import { type Environment, showUnit } from "../local/systemdUnit";
import { type ProgramEnd, runProgram } from "../local/program";
import { loadUserNames, type UserNames } from "../local/users";
import type { ServerCandidate } from "../operations/backup/chooseServers";
import { inlinePool, type Job, type JobPool, runJob } from "../operations/shared/jobs";
import { type ContainerServer, ServerContainer } from "../postgres/container/serverContainer";
import { loadControlFile } from "../postgres/controlFile";
import { parsePostmasterPid, type PostmasterPid } from "../postgres/postmasterPid";
import { Session, type SessionTarget } from "../postgres/session";
import { WalStream } from "../postgres/walStream";
import { LEASE_TIMES } from "../repository/lease";
import { type LeaseParts, Leases } from "../repository/leases";
import type { Repository } from "../repository/repository";
import { newRateState } from "../storage/rateLimit";
import { findMountedOwner, mayHang, type StorageProcesses } from "../storage/open";
import { collectGarbage, limitGarbage } from "../workers/heap";
import { workerPool } from "../workers/pool";
import { openRepositories } from "./openRepositories";

export interface ProcessFacts
  extends OwnProcess,
    Omit<Terminal, "ask">,
    Pick<MachineAccess, "listenFd" | "workingDirectory">,
    Pick<ProgramAccess, "ownCommand"> {
  readonly uid: number;
  readonly gid: number;
  readonly osUserName: string;
  readonly hostName: string;
  readonly managerEnvironment: Environment;
  /** Arguments after the program. */
  readonly args: readonly string[];
  /** Worker threads start from this file. */
  readonly programFile: string;
  readonly processorCount: number;
  readonly storageProcesses: StorageProcesses;
  /** True when the process with this id already ran at that time. */
  isAlive(pid: number, atMs: number): boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Without our variables, which may hold secrets. */
  readonly plainEnvironment: Readonly<Record<string, string | undefined>>;
  ask(question: string, signal: AbortSignal): Promise<string | null>;
  /** Warnings go to the log. */
  loadOther(configuration: OtherConfiguration, log: Log): Config;
  /** This process's own configuration, read again. */
  loadAgain(log: Log): Config;
}

/** What processes of one run share. */
interface Known {
  readonly container?: ServerContainer | undefined;
  readonly mountedOwners?: Map<string, number>;
}

const SOON_TIMEOUT_MS = 5000;
/** Longer than between the segments of a busy server, so that threads start for a burst and not for each segment. */
const THREAD_REST_MS = 30_000;

export class RealProcess implements CommandProcess {
  readonly config: Config;
  readonly ctx: Context;
  readonly leases: Leases;
  readonly dumpLeases: Leases;
  readonly #facts: ProcessFacts;
  /** Owners of mounts, by path of the repository. */
  readonly #mountedOwners: Map<string, number>;
  /** The container of pg1; undefined if the server runs on this machine. */
  readonly #container: ServerContainer | undefined;
  readonly #locks = new Set<LockFile>();
  /** Ends requests to abandoned repositories when the command is over. */
  readonly #closing = new AbortController();
  #repos: readonly Repository[] | undefined;
  #rateStates: Readonly<Record<number, SharedArrayBuffer>> | undefined;
  #pool: JobPool | undefined;
  /** Opened again to release leases after an abort. */
  readonly #again: Repository[] = [];
  readonly #others: RealProcess[] = [];
  readonly #sessions = new Map<number, Session>();
  /** Opened with the first lease. */
  #knownDomain: Domain | null | undefined;
  #holderLock: HolderLock | null = null;
  #closed: Promise<void> | undefined;
  #users: UserNames | undefined;

  constructor(
    config: Config,
    ctx: Context,
    facts: ProcessFacts,
    { container, mountedOwners = new Map<string, number>() }: Known = {},
  ) {
    this.#mountedOwners = mountedOwners;
    this.config = config;
    this.ctx = ctx;
    this.#facts = facts;
    this.#container = container ?? this.#containerOf(config);
    this.leases = new Leases(() => this.#leaseParts(), ctx);
    this.dumpLeases = new Leases(() => ({ ...this.#leaseParts(), work: "dumps" }), ctx);
  }

  get dataDirectory(): string {
    const [pg] = this.config.pgs;
    if (pg === undefined) throw fail("optionRequired", `${this.config.command} command requires option: pg1-path`);
    return this.#here(pg);
  }

  get walDirectory(): string {
    const { container, dataDirectory } = this;
    return container?.view.here(`${container.view.dataDirectory}/pg_wal`) ?? `${dataDirectory}/pg_wal`;
  }

  get container(): ContainerServer | undefined {
    const [pg] = this.config.pgs;
    return pg === undefined ? undefined : this.#containerAt(pg);
  }

  /** Names of the container's accounts if the server runs in one. */
  get users(): UserNames {
    this.#users ??= this.#container?.findUsers() ?? loadUserNames();
    return this.#users;
  }

  get self(): { readonly uid: number; readonly gid: number } {
    return { uid: this.#facts.uid, gid: this.#facts.gid };
  }

  get workingDirectory(): string {
    return this.#facts.workingDirectory;
  }

  get listenFd(): number | null {
    return this.#facts.listenFd;
  }

  get machine(): CommandProcess["machine"] {
    return { hostName: this.#facts.hostName, environment: this.#facts.managerEnvironment, showUnit };
  }

  startBackground(details?: BackgroundDetails): { readonly ended: Promise<number> } {
    const [program = "", ...first] = this.#facts.ownCommand;
    const { command } = this.config;
    const at = this.#facts.args.indexOf(command);
    const own = this.#facts.args.map((arg, position) => (position === at ? `${command}:async` : arg));
    const args = details?.args ?? own;
    const child = spawn(program, [...first, ...args], {
      detached: true,
      ...(details === undefined
        ? { stdio: "ignore" as const }
        : {
            stdio: ["ignore", details.logFd, details.logFd, ...details.fds],
            env: { ...this.#facts.environment, ...details.env },
            cwd: "/",
          }),
    });
    child.unref();
    const ended = new Promise<number>((resolve) => {
      child.on("error", (error) => {
        this.ctx.log.warn(`unable to start '${command}:async': ${error.message}`);
        resolve(ERRORS.execute);
      });
      child.on("exit", (code) => resolve(code ?? ERRORS.term));
    });
    return { ended };
  }

  runSelf(args: readonly string[], signal: AbortSignal, onOutput?: (text: string) => void): Promise<number> {
    const [program = "", ...first] = this.#facts.ownCommand;
    return new Promise((resolve, reject) => {
      const child = spawn(program, [...first, ...args], {
        stdio: ["ignore", "inherit", onOutput === undefined ? "inherit" : "pipe"],
        env: childEnvironment(this.#facts.environment),
      });
      child.stderr?.setEncoding("utf8").on("data", (text: string) => onOutput?.(text));
      const end = (): void => void child.kill("SIGTERM");
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
      child.on("error", (error) =>
        reject(fail("execute", `unable to start '${program}': ${error.message}`, { cause: error })),
      );
      child.on("close", (code) => {
        signal.removeEventListener("abort", end);
        resolve(code ?? ERRORS.term);
      });
    });
  }

  program(
    args: readonly string[],
    { isOwn = false, ...run }: Parameters<CommandProcess["program"]>[1],
  ): Promise<ProgramEnd> {
    return runProgram(args, {
      ...run,
      clock: this.ctx.clock,
      cwd: "/",
      env: isOwn ? this.#facts.environment : this.#facts.plainEnvironment,
    });
  }

  get isInteractive(): boolean {
    return this.#facts.isInteractive;
  }

  ask(question: string): Promise<string | null> {
    return this.isInteractive ? this.#facts.ask(question, this.ctx.signal) : Promise.resolve(null);
  }

  readInput(): Promise<string> {
    return this.#facts.readInput();
  }

  other(configuration: OtherConfiguration): CommandProcess {
    const config = this.#facts.loadOther(configuration, this.ctx.log);
    const proc = new RealProcess(config, this.ctx, this.#facts, this.#known());
    this.#others.push(proc);
    return proc;
  }

  reloaded(): CommandProcess {
    return new RealProcess(this.#facts.loadAgain(this.ctx.log), this.ctx, this.#facts, this.#known());
  }

  get ownCommand(): readonly string[] {
    return this.#facts.ownCommand;
  }

  repositories(): readonly Repository[] {
    // A server answers accepted requests before it ends: they outlive the signal that ends it.
    const signal = isServing(this.config)
      ? this.#closing.signal
      : AbortSignal.any([this.ctx.signal, this.#closing.signal]);
    this.#repos ??= openRepositories(
      this.config.stanza ?? "",
      this.#repoConfigs(),
      this.#ioTimeoutMs,
      { ...this.ctx, signal },
      { processes: this.#facts.storageProcesses, rates: this.#rates(), serves: isServing(this.config) },
    );
    return this.#repos;
  }

  session(): Promise<Session> {
    const [pg] = this.config.pgs;
    assert(pg !== undefined, "a session needs pg1-path");
    return this.#sessionWith(pg);
  }

  newSession(database?: string): Promise<Session> {
    const [pg] = this.config.pgs;
    if (pg === undefined) return Promise.reject(fail("dbConnect", "pg1-path is not set, so no server is known"));
    return this.#openSession(pg, database ?? pg.database);
  }

  async walStream(applicationName?: string): Promise<WalStream> {
    const [pg] = this.config.pgs;
    if (pg === undefined) throw fail("dbConnect", "pg1-path is not set, so no server is known");
    const target = await this.#sessionTarget(pg, pg.database);
    return WalStream.open({ ...target, applicationName: applicationName ?? target.applicationName }, this.ctx.clock);
  }

  servers(): readonly ServerCandidate[] {
    return this.config.pgs.map((pg) => ({
      key: pg.key,
      dataDirectory: this.#here(pg),
      view: this.#containerAt(pg)?.view,
      connect: () => this.#sessionWith(pg),
    }));
  }

  async #sessionWith(pg: PgConfig): Promise<Session> {
    const existing = this.#sessions.get(pg.key);
    if (existing !== undefined) return existing;
    const session = await this.#openSession(pg, pg.database);
    this.#sessions.set(pg.key, session);
    return session;
  }

  async #openSession(pg: PgConfig, database: string): Promise<Session> {
    return Session.open(await this.#sessionTarget(pg, database));
  }

  async #sessionTarget(pg: PgConfig, database: string): Promise<SessionTarget> {
    const common = {
      port: pg.port,
      database,
      queryTimeoutMs: this.config.dbTimeoutMs,
      applicationName: `pgBackRest [${this.config.command}]`,
    };
    const container = this.#containerAt(pg);
    if (container !== undefined) {
      const host = await container.socketPath(pg.socketPath, pg.port);
      const hints = [
        "does PostgreSQL run in the container, and do pg1-socket-path and pg1-port (in the container) point at it?",
        "may local connections use this role without a password, or with the container's POSTGRES_PASSWORD (pg_hba.conf, pg1-user)?",
      ];
      const user = pg.user ?? container.superuser;
      const password = await container.password(user);
      return { ...common, host, user, paths: container.view, hints, ...given({ password }) };
    }
    const { socketPath = "" } = runningAt(pg.path) ?? {};
    return {
      ...common,
      host: pg.socketPath ?? (socketPath === "" ? "/var/run/postgresql" : socketPath),
      user: pg.user ?? this.#facts.osUserName,
    };
  }

  /** Looks for the container of the server; an error is thrown when the server is used. */
  async findContainer(): Promise<void> {
    await this.#container?.look();
  }

  #containerOf({ settings }: Config): ServerContainer | undefined {
    if (settings.container === undefined) return undefined;
    return new ServerContainer(settings.container, (argv) => this.program(argv, { signal: this.ctx.signal }));
  }

  /** The container of a cluster; undefined for a directory of this machine, as in `restore --pg1-path`. */
  #containerAt(pg: PgConfig): ServerContainer | undefined {
    const container = this.#container;
    return container !== undefined && container.dataDirectory === pg.path ? container : undefined;
  }

  /** A cluster's data directory on this machine. */
  #here(pg: PgConfig): string {
    return this.#containerAt(pg)?.view.here(pg.path) ?? pg.path;
  }

  #known(): Known {
    return { container: this.#container, mountedOwners: this.#mountedOwners };
  }

  pool(): JobPool {
    if (this.#pool !== undefined) return this.#pool;
    const { processMax, stanza = "" } = this.config;
    // A server answers in this thread, also requests accepted before the signal: it never computes here, and its jobs
    // outlive the signal.
    const signal = isServing(this.config) ? this.#closing.signal : this.ctx.signal;
    // Jobs that wait for a store wait in the queue, not in a thread: more threads than processors would only cost
    // memory.
    const threads = isServing(this.config) ? Math.min(processMax, this.#facts.processorCount) : processMax;
    if (processMax === 1 || isServing(this.config)) limitGarbage();
    if (processMax === 1 && !isServing(this.config))
      this.#pool = { ...inlinePool(this.#reposByKey(), this.ctx, 1), collect: collectGarbage };
    else {
      const here =
        COMMAND_TABLE[this.config.command].idleMain === true
          ? { runHere: (job: Job) => runJob(job, this.#reposByKey(), this.ctx) }
          : {};
      const version = this.#facts.storageProcesses.version;
      // The jobs of a server push WAL.
      const rates = isServing(this.config) ? {} : this.#rates();
      const start = { stanza, repos: this.#repoConfigs(), ioTimeoutMs: this.#ioTimeoutMs, rates, version };
      const rest = isServing(this.config) ? { rest: { timeMs: THREAD_REST_MS, clock: this.ctx.clock } } : {};
      this.#pool = workerPool(this.#facts.programFile, start, { slots: threads, signal, ...rest, ...here });
    }
    return this.#pool;
  }

  missingWal(stanza = this.config.stanza ?? ""): MissingWalStore {
    return openMissingWal(this.config.spoolPath, stanza);
  }

  async loadControl(): ReturnType<CommandProcess["loadControl"]> {
    return (await loadControlFile(this.dataDirectory, this.ctx)).control;
  }

  isServerStopping(): boolean {
    const [pg] = this.config.pgs;
    return pg !== undefined && runningAt(this.#here(pg))?.status === "stopping";
  }

  lock(kind: LockKind, repos: readonly Pick<Repository, "key">[]): readonly LockFile[] {
    const { lockPath, stanza = "" } = this.config;
    const { execId, pid } = this.#facts;
    const base = { lockPath, owners: this.lockOwners(), stanza, kind, execId, pid };
    // Stock 2.52 and older lock the name without a key. Both names are locked, to exclude every version of stock.
    const taken: LockFile[] = [];
    try {
      for (const request of [base, ...repos.map(({ key: repoIndex }) => ({ ...base, repoIndex }))]) {
        const lock = acquireLock(request);
        const release = (): void => {
          lock.release();
          this.#locks.delete(held);
        };
        const held: LockFile = { ...lock, release };
        this.#locks.add(held);
        taken.push(held);
      }
    } catch (error) {
      // All or none: a caller that continues without them must not block others.
      for (const lock of taken) lock.release();
      throw error;
    }
    return taken;
  }

  unlockedLeases(ctx: Context): Leases {
    // Without lock files two of these processes may run at the same time. They also live on after a failed release.
    return new Leases(() => this.#leaseParts(null), ctx);
  }

  get #domain(): Domain | null {
    const { lockPath, spoolPath } = this.config;
    const { pid, uid } = this.#facts;
    if (this.#knownDomain === undefined) {
      this.#holderLock = openHolderLock(spoolPath, uid, this.ctx.random);
      this.#knownDomain = lockDomain(lockPath, { uid, pid }, this.ctx.random, this.#holderLock);
    }
    return this.#knownDomain;
  }

  #leaseParts(domain = this.#domain): LeaseParts {
    const { command } = this.config;
    const { hostName, pid } = this.#facts;
    return {
      domain,
      holder: { host: hostName, pid, verb: command },
      storageAfterAbort: (repo) => () => this.#storageAfterAbort(repo),
    };
  }

  /** The command's signal ends every request of its own storages. */
  #storageAfterAbort({ key, stanza }: Repository): Repository["storage"] {
    const configs = this.#repoConfigs().filter((config) => config.key === key);
    const [again] = openRepositories(
      stanza,
      configs,
      LEASE_TIMES.releaseMs,
      { ...this.ctx, signal: this.#closing.signal },
      { processes: this.#facts.storageProcesses },
    );
    assert(again !== undefined, `repo${key} was opened without a configuration`);
    this.#again.push(again);
    return again.storage;
  }

  lockState(kind: LockKind, stanza = this.config.stanza ?? ""): LockState {
    const { lockPath, repos } = this.config;
    return readLockState({ lockPath, stanza, kind, repoIndexes: repos.map((repo) => repo.key) }, this.#facts.isAlive);
  }

  isLocked(kind: LockKind): boolean {
    const { lockPath, repos, stanza = "" } = this.config;
    const { execId, pid } = this.#facts;
    return isLocked(
      { lockPath, owners: this.lockOwners(), stanza, kind, repoIndexes: repos.map((repo) => repo.key) },
      { pid, execId },
    );
  }

  requireStarted(): void {
    checkStopFile(this.config.lockPath, this.config.stanza, this.lockOwners());
  }

  /** Accounts that use these clusters and repositories: the owners of the configured directories. */
  lockOwners(): readonly number[] {
    return this.#directories().map(({ uid }) => uid);
  }

  /** Directories that the command uses, with their owners; the lock path counts if nothing says whose the data are. */
  usedDirectories(): readonly OwnedDirectory[] {
    const directories = this.#directories();
    const { lockPath } = this.config;
    const uid = directories.length === 0 ? ownerOf(lockPath) : null;
    return uid === null ? directories : [{ path: lockPath, uid }];
  }

  #directories(): readonly OwnedDirectory[] {
    const { clusterPaths, repos } = this.config;
    // This machine has no account of a container; and the engine may be down while commands need a lock.
    const clusters = this.#container === undefined ? clusterPaths : [];
    const repoPaths = repos.flatMap(({ path, type }) => (type === "posix" ? [path] : []));
    const withOwner = (path: string, uid: number | null | undefined): OwnedDirectory[] =>
      uid === null || uid === undefined ? [] : [{ path, uid }];
    return [
      ...clusters.flatMap((path) => withOwner(path, ownerOf(path))),
      ...repoPaths.flatMap((path) => withOwner(path, mayHang(path) ? this.#mountedOwners.get(path) : ownerOf(path))),
    ];
  }

  /** For root's {@link lockOwners}: asks for the owners of directories on mounts, which may not answer. */
  async findMountedOwners(): Promise<void> {
    if (this.#facts.uid !== 0) return;
    const ioTimeoutMs = Math.min(this.config.ioTimeoutMs, SOON_TIMEOUT_MS);
    const { storageProcesses } = this.#facts;
    await Promise.all(
      this.config.repos.map(async ({ path, type }) => {
        if (type !== "posix" || !mayHang(path)) return;
        const owner = await findMountedOwner(path, { ...this.ctx, ...storageProcesses, ioTimeoutMs });
        if (owner !== null) this.#mountedOwners.set(path, owner);
      }),
    );
  }

  readFile(path: string): Promise<Uint8Array | null> {
    return bytesIfThere(path);
  }

  print(text: string): void {
    this.#facts.print(printable(text));
  }

  printError(text: string): void {
    this.#facts.printError(printable(text));
  }

  printBytes(bytes: Uint8Array): Promise<void> {
    return this.#facts.printBytes(bytes);
  }

  get process(): CommandProcess["process"] {
    const { pid, execId, beganMs, terminate } = this.#facts;
    return { pid, execId, beganMs, terminate };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // While the storages still answer.
    await Promise.all([this.leases.releaseAll(), this.dumpLeases.releaseAll()]);
    this.#closing.abort(fail("term", "the command has ended"));
    for (const other of this.#others) await other.close();
    for (const session of this.#sessions.values()) await session.close();
    await this.#pool?.close();
    await Promise.all([...(this.#repos ?? []), ...this.#again].map((repo) => repo.storage.close()));
    for (const lock of this.#locks) lock.release();
    this.#holderLock?.close();
  }

  get #ioTimeoutMs(): number {
    const { command, ioTimeoutMs } = this.config;
    return COMMAND_TABLE[command].soon === true ? Math.min(ioTimeoutMs, SOON_TIMEOUT_MS) : ioTimeoutMs;
  }

  /** State of each repository's limit; none for a command whose work is urgent or small. */
  #rates(): Readonly<Record<number, SharedArrayBuffer>> {
    if (!isServing(this.config) && COMMAND_TABLE[this.config.command].limited !== true) return {};
    this.#rateStates ??= Object.fromEntries(
      this.#repoConfigs().flatMap(({ key, limitRate }) => (limitRate === undefined ? [] : [[key, newRateState()]])),
    );
    return this.#rateStates;
  }

  #reposByKey(): ReadonlyMap<number, Repository> {
    return new Map(this.repositories().map((repo) => [repo.key, repo]));
  }

  #repoConfigs(): readonly RepoConfig[] {
    const { backup, command, repos, repoIndex } = this.config;
    if (backup.repoIndexes !== undefined) return repos.filter(({ key }) => backup.repoIndexes?.includes(key));
    if (repoIndex === undefined || COMMAND_TABLE[command].everyRepository === true) return repos;
    const chosen = repos.filter((repo) => repo.key === repoIndex);
    if (chosen.length === 0) {
      throw fail("optionInvalidValue", `'${repoIndex}' is not allowed for 'repo' option: it is not configured`, {
        hint: `Configured repositories: ${repos.map((repo) => `repo${repo.key}`).join(", ")}.`,
      });
    }
    return chosen;
  }
}

function isServing({ command }: Config): boolean {
  return COMMAND_TABLE[command].serves === true;
}

function ownerOf(path: string): number | null {
  try {
    return statSync(path).uid;
  } catch {
    return null;
  }
}

/** What the server on a data directory says of itself; null if no server runs there. */
function runningAt(dataDirectory: string): PostmasterPid | null {
  try {
    return parsePostmasterPid(readFileSync(`${dataDirectory}/postmaster.pid`, "utf8"));
  } catch {
    return null;
  }
}
