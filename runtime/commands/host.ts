/** What a command gets from the process it runs in: main opens and closes these, commands only use them. */
import type { Context } from "../base/context";
import type { Config } from "../config/types";
import type { PgControl } from "../format/page/pgControl";
import type { DebtStore } from "../local/debt";
import type { LockFile, LockKind } from "../local/lockFile";
import type { LockState } from "../local/lockState";
import type { Environment, UnitFacts } from "../local/systemdUnit";
import type { ProgramEnd, ProgramRun } from "../local/program";
import type { UserNames } from "../local/users";
import type { ServerCandidate } from "../operations/backup/chooseServers";
import type { JobPool } from "../operations/shared/jobs";
import type { Session } from "../postgres/session";
import type { WalStream } from "../postgres/walStream";
import type { Leases } from "../repository/leases";
import type { Repository } from "../repository/repository";

/** What was asked for, and the means that every function takes. */
export interface Invocation {
  readonly config: Config;
  readonly ctx: Context;
}

/** The repositories, and what works on them. */
export interface RepositoryAccess {
  /** Repositories by key, opened on first use; all configured ones, or just `--repo`'s. */
  repositories(): readonly Repository[];
  pool(): JobPool;
  /** Of a stanza, by default the configured one. */
  debt(stanza?: string): DebtStore;
  /** The right to write backups into a repository, for who holds the `backup` lock; lasts until the command ends. */
  readonly leases: Pick<Leases, "take" | "isBusy" | "releaseAll">;
  /** The same for who holds no lock file, as the sidecar; the caller gives them back. */
  unlockedLeases(ctx: Context): Pick<Leases, "take" | "releaseAll">;
}

/** The cluster of pg1: its directory and its server. */
export interface ClusterAccess {
  /** Data directory of pg1. */
  readonly dataDirectory: string;
  loadControl(): Promise<PgControl>;
  /** The session with the server of pg1; opened on first use. */
  session(): Promise<Session>;
  /**
   * Another session with that server, that the caller closes: for one of its databases (default: the configured one), or because a server that is
   * started anew knows nothing of the old one.
   */
  newSession(database?: string): Promise<Session>;
  /** Another connection with that server, to receive its WAL; the caller closes it. */
  walStream(): Promise<WalStream>;
  /** Every configured cluster, connected to when it is asked for. */
  servers(): readonly ServerCandidate[];
}

/** Who else works here. */
export interface LockAccess {
  /** Throws `lockAcquire` (50) when somebody else works there; the lock lasts until the process ends. */
  lock(kind: LockKind, repos: readonly Pick<Repository, "key">[]): readonly LockFile[];
  /** Who works on a stanza (default: the configured one) on this host, and how far: as their files tell it. */
  lockState(kind: LockKind, stanza?: string): LockState;
  /** Does somebody work on the stanza on this host? Certain, where {@link lockState} trusts the number of a process. */
  isLocked(kind: LockKind): boolean;
  /** Throws `stop` (62) when the user has stopped this stanza. */
  requireStarted(): void;
  /** Accounts besides root and this one that may own the lock path: those of the data directories and of repositories that are directories. */
  lockOwners(): readonly number[];
}

/** This process, this program once more, and other programs. */
export interface ProgramAccess {
  /** This process, and a way to end another one; false when there is none of that id. */
  readonly process: {
    readonly pid: number;
    readonly execId: string;
    /** When it began, by the monotonic clock. */
    readonly beganMs: number;
    terminate(pid: number): boolean;
  };
  /** Words that start this program again, for restore_command. */
  readonly ownCommand: readonly string[];
  /** Starts the background process of this command: the same words with `:async`, detached; its end is not waited for. */
  startBackground(): void;
  /**
   * Runs this program once more, its output joined to that of this one, to its end or until `signal` tells it to end; the exit code. What it
   * writes to standard error goes to `told` too.
   */
  runSelf(words: readonly string[], signal: AbortSignal, told?: (text: string) => void): Promise<number>;
  /**
   * This process with a configuration of other repositories, for who serves two. It has threads of its own, and is closed with this one.
   * @throws what reading a configuration throws
   */
  other(configuration: OtherConfiguration): CommandHost;
  /**
   * Runs another program to its end, in the root directory. Nothing of our configuration is in its environment, unless it is this program again
   * (`isOwn`). @throws execute (102) when it cannot be started
   */
  program(words: readonly string[], options: Omit<ProgramRun, "env" | "cwd" | "clock"> & { readonly isOwn?: boolean }): Promise<ProgramEnd>;
}

/** The machine: its names, users and files. */
export interface MachineAccess {
  /** The machine and its service manager. */
  readonly machine: Machine;
  readonly users: UserNames;
  /** User and group that this process works as. */
  readonly self: { readonly uid: number; readonly gid: number };
  readonly workingDirectory: string;
  /** Descriptor of a listening socket that systemd has handed over; null without one. */
  readonly listenFd: number | null;
  /** A file's bytes, null when it is not there. */
  readFile(path: string): Promise<Uint8Array | null>;
}

/** Who started the command. */
export interface Terminal {
  /** Somebody sits before the terminal. */
  readonly isInteractive: boolean;
  /** What they answer; null when nobody can be asked. */
  ask(question: string): Promise<string | null>;
  /** To standard output: a command's result, not its log. */
  print(text: string): void;
  /** The same for bytes; resolves when more may come. */
  printBytes(bytes: Uint8Array): Promise<void>;
}

/** All of it, for a command; its functions take the parts that they use. */
export interface CommandHost extends Invocation, RepositoryAccess, ClusterAccess, LockAccess, ProgramAccess, MachineAccess, Terminal {}

export interface Machine {
  readonly hostName: string;
  /** What systemd, or the CronJob, tells its processes, and nothing else. */
  readonly environment: Environment;
  /** What systemd knows of another unit; null when it knows nothing, or is not there. */
  showUnit(unit: string): Promise<UnitFacts | null>;
}

export interface OtherConfiguration {
  /** As on a command line. */
  readonly words: readonly string[];
  /** Directory of its secrets, as `PGBACKSTOP_SECRETS` names it; the environment's own words are not for these repositories. */
  readonly secretsPath: string;
  /** Directories that its files name, by where they are here. */
  readonly moved: Readonly<Record<string, string>>;
}

/** A command runs and tells the exit code. */
export type Command = (host: CommandHost) => Promise<number>;
