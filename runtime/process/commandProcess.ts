/**
 * What a command gets from its process: main opens and closes these, commands only use them. Parameters are named
 * `proc`, because `process` is Node's.
 */
import type { Context } from "../base/context";
import type { Config } from "../config/types";
import type { PgControl } from "../format/page/pgControl";
import type { MissingWalStore } from "../local/missingWal";
import type { LockFile, LockKind } from "../local/lockFile";
import type { LockState } from "../local/lockState";
import type { Environment, UnitFacts } from "../local/systemdUnit";
import type { ProgramEnd, ProgramRun } from "../local/program";
import type { UserNames } from "../local/users";
import type { ServerCandidate } from "../operations/backup/chooseServers";
import type { JobPool } from "../operations/shared/jobs";
import type { ContainerServer } from "../postgres/container/serverContainer";
import type { Session } from "../postgres/session";
import type { WalStream } from "../postgres/walStream";
import type { Leases } from "../repository/leases";
import type { Repository } from "../repository/repository";

export interface Invocation {
  readonly config: Config;
  readonly ctx: Context;
}

export interface RepositoryAccess {
  /** All configured repositories, or just `--repo`'s, by key; opened on first use. */
  repositories(): readonly Repository[];
  pool(): JobPool;
  missingWal(stanza?: string): MissingWalStore;
  /** The right to write backups into a repository, for holders of the `backup` lock; lasts until the command ends. */
  readonly leases: Pick<Leases, "take" | "isBusy" | "releaseAll">;
  /** The same for processes without a lock file, such as the sidecar; the caller releases them. */
  unlockedLeases(ctx: Context): Pick<Leases, "take" | "releaseAll">;
  /** The right to write dumps into a repository, for holders of the `dump` lock; lasts until the command ends. */
  readonly dumpLeases: Pick<Leases, "take">;
}

/** The cluster of pg1. */
export interface ClusterAccess {
  /** On this machine. */
  readonly dataDirectory: string;
  /** `pg_wal` of {@link dataDirectory}; of a container, behind its link if it is one. */
  readonly walDirectory: string;
  /** The container of the server; undefined if it runs on this machine. */
  readonly container?: ContainerServer | undefined;
  loadControl(): Promise<PgControl>;
  /** True while the server stops, as its postmaster.pid says. */
  isServerStopping(): boolean;
  /** Opened on first use. */
  session(): Promise<Session>;
  /** A further session, which the caller closes: for another database, or after a restart of the server. */
  newSession(database?: string): Promise<Session>;
  /** A connection that receives WAL; the caller closes it. Default name: this command's. */
  walStream(applicationName?: string): Promise<WalStream>;
  /** Every configured cluster, connected on first use. */
  servers(): readonly ServerCandidate[];
}

export interface LockAccess {
  /** Throws `lockAcquire` (50) when another process holds the lock; ours lasts until the process ends. */
  lock(kind: LockKind, repos: readonly Pick<Repository, "key">[]): readonly LockFile[];
  /** Whether a process works on a stanza on this host, and its progress, as its lock file says. */
  lockState(kind: LockKind, stanza?: string): LockState;
  /** The same, and removes files without a held lock. */
  isLocked(kind: LockKind): boolean;
  requireStarted(): void;
  /**
   * Accounts besides root and this one that may own the lock path: owners of data directories and posix repositories.
   */
  lockOwners(): readonly number[];
}

export interface OwnProcess {
  readonly pid: number;
  readonly execId: string;
  /** Start by the monotonic clock. */
  readonly beganMs: number;
  /** Sends SIGTERM; false when no process has that id. */
  terminate(pid: number): boolean;
}

export interface ProgramAccess {
  readonly process: OwnProcess;
  /** Arguments that start this program again, for restore_command. */
  readonly ownCommand: readonly string[];
  /** Starts this command's background process: the same arguments with `:async`, detached. */
  startBackground(details?: BackgroundDetails): { readonly ended: Promise<number> };
  /**
   * Runs this program again with its output joined to ours, until it ends or `signal` stops it; returns the exit code.
   * The callback gets its standard error too.
   */
  runSelf(args: readonly string[], signal: AbortSignal, onOutput?: (text: string) => void): Promise<number>;
  /**
   * This process with another configuration, for callers that serve two. It has its own threads, and closes with this
   * one.
   * @throws what reading a configuration throws
   */
  other(configuration: OtherConfiguration): CommandProcess;
  /**
   * This process with its own configuration read again: files and secrets may have changed. The caller closes it.
   * @throws what reading a configuration throws
   */
  reloaded(): CommandProcess;
  /** Closes what this process has opened; main does that at the end. It may be called again. */
  close(): Promise<void>;
  /**
   * Runs another program to its end, in the root directory. Its environment has none of our configuration, unless it is
   * this program again (`isOwn`).
   * @throws execute (102) when it cannot be started
   */
  program(
    args: readonly string[],
    options: Omit<ProgramRun, "env" | "cwd" | "clock"> & { readonly isOwn?: boolean },
  ): Promise<ProgramEnd>;
}

export interface BackgroundDetails {
  /** Descriptors 3, 4, … of the process. */
  readonly fds: readonly number[];
  /** An open file for its output. */
  readonly logFd: number;
  readonly env: Readonly<Record<string, string>>;
  /** Arguments of another command, instead of this one's. */
  readonly args?: readonly string[];
}

export interface MachineAccess {
  readonly machine: Machine;
  readonly users: UserNames;
  readonly self: { readonly uid: number; readonly gid: number };
  readonly workingDirectory: string;
  /** Listening socket from systemd; null if absent. */
  readonly listenFd: number | null;
  /** Null when it does not exist. */
  readFile(path: string): Promise<Uint8Array | null>;
}

export interface Terminal {
  /** Both standard input and output are a terminal. */
  readonly isInteractive: boolean;
  /** Null when nobody can answer. */
  ask(question: string): Promise<string | null>;
  /** Standard input to its end. */
  readInput(): Promise<string>;
  /** To standard output: a command's result, not its log. */
  print(text: string): void;
  /** To standard error: for people, alongside a result for programs. */
  printError(text: string): void;
  /** Resolves when more may come. */
  printBytes(bytes: Uint8Array): Promise<void>;
}

export interface CommandProcess
  extends Invocation,
    RepositoryAccess,
    ClusterAccess,
    LockAccess,
    ProgramAccess,
    MachineAccess,
    Terminal {}

export interface Machine {
  readonly hostName: string;
  /** Variables of systemd, the CronJob or Kubernetes, and nothing else. */
  readonly environment: Environment;
  /** Null when systemd does not know the unit, or does not run here. */
  showUnit(unit: string): Promise<UnitFacts | null>;
}

export interface OtherConfiguration {
  /** As on a command line. */
  readonly args: readonly string[];
  /**
   * Directory of its secrets, as in `PGBACKSTOP_SECRETS`; variables of the environment do not apply to these
   * repositories.
   */
  readonly secretsPath: string;
  /** Where directories that its files name are mounted here. */
  readonly moved: Readonly<Record<string, string>>;
}

/** Resolves to the exit code. */
export type Command = (proc: CommandProcess) => Promise<number>;
