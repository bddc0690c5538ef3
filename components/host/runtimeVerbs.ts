/** The runtime's verbs on a host: run as PostgreSQL's account, with their log lines passed on while they run. */
import { setTimeout as sleep } from "node:timers/promises";
import { canRunRuntime, NODE_MAJOR_MIN, NODE_MINOR_MIN } from "../../runtime/base/nodeVersion";
import { type Account, CommandFailed, type Connection, type ExecOptions, type ExecResult } from "./connection";
import { type Destination, parseDestinations } from "./hostDestinations";

/** For all verbs but backups: repositories may be slow or silent. */
export const VERB_TIMEOUT_MS = 10 * 60_000;
/** Standard output has only the document. */
export const QUIET = ["--log-level-console=off", "--log-level-stderr=error"] as const;
/** Exit code of a verb if another process holds its lock. */
const LOCKED = 50;
const LOCK_TRIES = 20;
const LOCK_WAIT_MS = 3000;
export const BACKUP_TIMEOUT_MS = 7 * 24 * 3600_000;

export interface RuntimeOnHost {
  readonly connection: Connection;
  readonly account: Account;
  /** Program and options that every verb shares. */
  readonly argv: readonly string[];
  /** Runs a verb with the secrets, as the login; omitted if `account` reads them itself. */
  readonly launcher?: string | undefined;
  readonly onLine: (line: string) => void;
}

/** An update's requests to the engine of a host. */
export interface EngineVerbs {
  /** Creates the stanza in every repository that lacks it. */
  createStanza(): Promise<void>;
  /** Proves that a WAL segment arrives in every repository; full backups may still be missing. */
  checkArchiving(): Promise<void>;
  /** A full backup into each of these repositories. */
  takeFull(repoIndexes: readonly number[], isAll: boolean): Promise<void>;
  /** An incremental backup into each of these repositories, which have a full one. */
  takeIncremental(repoIndexes: readonly number[], isAll: boolean): Promise<void>;
}

export function runtimeVerbs(runtime: RuntimeOnHost): EngineVerbs {
  return {
    createStanza: () => createStanza(runtime),
    checkArchiving: () => checkArchiving(runtime),
    takeFull: async (repoIndexes, isAll) => {
      if (isAll) return takeFullBackup(runtime);
      for (const repoIndex of repoIndexes) await takeFullBackup(runtime, repoIndex);
    },
    takeIncremental: async (repoIndexes, isAll) => {
      const args = ["backup", "--type=incr", ...(isAll ? [] : [`--repos=${repoIndexes.join(",")}`])];
      await runVerb(runtime, "take a backup after the gap in the WAL", args, BACKUP_TIMEOUT_MS);
    },
  };
}

/** Fault of the Node.js with this answer to `--version`; null if it is good enough. */
export function findNodeFault(answer: ExecResult): string | null {
  if (answer.exitCode !== 0) {
    const errorText = answer.stderr.trim();
    return `cannot be run${errorText === "" ? "" : ` (${errorText})`}`;
  }
  if (canRunRuntime(answer.stdout)) return null;
  const major = Number(/^v([0-9]+)\./.exec(answer.stdout)?.[1]);
  const minorMin = NODE_MINOR_MIN[major];
  const also = major > NODE_MAJOR_MIN && minorMin !== undefined ? `, or v${major}.${minorMin}` : "";
  return `is ${answer.stdout.trim()} but the runtime needs at least v${NODE_MAJOR_MIN}.${NODE_MINOR_MIN[NODE_MAJOR_MIN]}${also}`;
}

/**
 * Creates the stanza in every repository that lacks it. A server that was just recovered already archives, which holds
 * the lock for short times: it waits for the lock.
 * @throws CommandFailed
 */
export async function createStanza(runtime: RuntimeOnHost): Promise<void> {
  await runLocked(runtime, "create the stanza", ["stanza-create"]);
}

/**
 * Lets the stanza follow the cluster that pg_upgrade made from that of `former`.
 * @throws CommandFailed, also if it was not made from it
 */
export async function upgradeStanza(runtime: RuntimeOnHost, former: string): Promise<void> {
  await runLocked(runtime, "upgrade the stanza", ["stanza-upgrade", `--upgraded-from=${former}`]);
}

/**
 * Drops the stanza's replication slot. A server that is down keeps it, which is logged.
 * @throws CommandFailed if the server answers
 */
export function dropSlot(runtime: RuntimeOnHost, log: (line: string) => void): Promise<void> {
  const warning =
    "the replication slot may still keep WAL on the server. Drop it there: SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'pgbackstop%'";
  return dropAtServer(runtime, { what: "drop the replication slot", verb: "slot-drop", warning }, log);
}

/**
 * Lets commits no longer wait for an agent that is gone. A server that is down keeps the setting, which is logged.
 * @throws CommandFailed if the server answers
 */
export function dropSynchronous(runtime: RuntimeOnHost, log: (line: string) => void): Promise<void> {
  const warning =
    "commits may wait for the agent, which is gone. See SHOW synchronous_standby_names; if it names pgbackstop, run there: ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();";
  return dropAtServer(runtime, { what: "end the wait of commits", verb: "synchronous-drop", warning }, log);
}

/** Runs a verb that needs no repository, so no secrets: those may be gone. */
async function dropAtServer(
  onHost: RuntimeOnHost,
  { verb, warning, what }: { readonly what: string; readonly verb: string; readonly warning: string },
  log: (line: string) => void,
): Promise<void> {
  const runtime = { ...onHost, launcher: undefined };
  try {
    await runVerb(runtime, what, [verb], VERB_TIMEOUT_MS);
  } catch (error) {
    if (!(error instanceof CommandFailed) || (await isAnswering(runtime))) throw error;
    log(`WARN: ${warning}`);
  }
}

/** True if the server answers. */
async function isAnswering(runtime: RuntimeOnHost): Promise<boolean> {
  try {
    await runQuietly(runtime, ["pg-settings"]);
    return true;
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return false;
  }
}

async function runLocked(runtime: RuntimeOnHost, what: string, args: readonly string[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await runVerb(runtime, what, args, VERB_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof CommandFailed && error.result.exitCode === LOCKED) || tries === LOCK_TRIES) throw error;
      await sleep(LOCK_WAIT_MS);
    }
  }
}

/** Proves that a WAL segment arrives in every repository; full backups may still be missing. @throws CommandFailed */
async function checkArchiving(runtime: RuntimeOnHost): Promise<void> {
  await runVerb(runtime, "check the archiving", ["check", "--no-full-check"], VERB_TIMEOUT_MS);
}

/** A full backup into every repository in one pass, or into one of them. @throws CommandFailed */
async function takeFullBackup(runtime: RuntimeOnHost, repoIndex?: number): Promise<void> {
  const args = ["backup", "--type=full", ...(repoIndex === undefined ? [] : [`--repo=${repoIndex}`])];
  await runVerb(runtime, "take the first backup", args, BACKUP_TIMEOUT_MS);
}

/** Reads the content of each repository. An unreadable one has an error entry. @throws CommandFailed, Error */
export async function readDestinations(runtime: RuntimeOnHost): Promise<Destination[]> {
  return parseDestinationsAnswer(await execWithSecrets(runtime, destinationsArgs(), { timeoutMs: VERB_TIMEOUT_MS }));
}

/** The command line that {@link parseDestinationsAnswer} reads. @param argv with the secrets */
export function destinationsArgv(argv: readonly string[]): string[] {
  return [...argv, ...destinationsArgs()];
}

function destinationsArgs(): string[] {
  return [...QUIET, "info", "--output=json", "--detail-level=destinations"];
}

/** @throws CommandFailed, Error */
export function parseDestinationsAnswer(result: ExecResult): Destination[] {
  // Unreadable repositories are in the document and in the exit code.
  if (result.exitCode !== 0 && !result.stdout.includes('"repo"'))
    throw new CommandFailed("read the repositories", result);
  return parseDestinations(parseJsonOutput("read the repositories", result.stdout));
}

/** Runs a verb without secrets that prints a document, without log lines. */
export async function runQuietly(
  runtime: RuntimeOnHost,
  args: readonly string[],
  stdin?: string,
): Promise<{ readonly stdout: string }> {
  const { connection, account, argv } = runtime;
  const options = { account, timeoutMs: VERB_TIMEOUT_MS, stdin };
  const result = await connection.exec([...argv, ...QUIET, ...args], options);
  if (result.exitCode !== 0) throw new CommandFailed(`run ${args[0]}`, result);
  return result;
}

/** The document in a verb's output. @throws Error if it is missing */
export function parseJsonOutput(what: string, stdout: string): unknown {
  const begin = stdout.search(/^[[{]/m);
  try {
    return JSON.parse(stdout.slice(Math.max(begin, 0)));
  } catch (error) {
    throw new Error(`unable to ${what}: the runtime did not print JSON but ${JSON.stringify(stdout.slice(0, 200))}`, {
      cause: error,
    });
  }
}

function execWithSecrets(
  { account, argv, connection, launcher }: RuntimeOnHost,
  args: readonly string[],
  options: ExecOptions,
): Promise<ExecResult> {
  return launcher === undefined
    ? connection.exec([...argv, ...args], { ...options, account })
    : connection.exec([launcher, ...args], options);
}

/** Runs a verb and passes its log lines on. @throws CommandFailed */
export async function runVerb(
  runtime: RuntimeOnHost,
  what: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const { onLine } = runtime;
  const log = (line: string): void => {
    // The run's options: long, and the same as in the files.
    if (!line.includes(" command begin ")) onLine(line);
  };
  const result = await execWithSecrets(runtime, ["--log-level-console=info", ...args], { timeoutMs, onLine: log });
  if (result.exitCode !== 0) throw new CommandFailed(what, result);
}
