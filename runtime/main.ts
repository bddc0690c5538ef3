/**
 * The program: the only reader of argv, environment, clock, randomness, signals and standard streams. Builds what
 * commands need, runs one, and turns its outcome into an exit code. The same file runs as a worker thread.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { Socket } from "node:net";
import { availableParallelism, hostname, userInfo } from "node:os";
import { createInterface } from "node:readline/promises";
import { text as textFrom } from "node:stream/consumers";
import { basename } from "node:path";
import { isMainThread } from "node:worker_threads";
import { utf8 } from "./base/bytes";
import { systemClock } from "./base/clock";
import { BackupError, ERRORS, fail, toBackupError } from "./base/errors";
import { NOT_IN_ARCHIVE } from "./base/recoveryExit";
import { createLog, type Log, type LogSink, silentLog } from "./base/log";
import { systemRandom } from "./base/random";
import type { Command, OtherConfiguration } from "./process/commandProcess";
import { notRoots, obeyWithRightsOf, requireAccount } from "./commands/rights";
import { loadCommand } from "./commands/table";
import { COMMAND_TABLE } from "./config/commands";
import { helpText } from "./config/help";
import { type Loaded, type LoadInput, loadConfig } from "./config/load";
import { withSecretFiles } from "./config/secretFiles";
import type { Config } from "./config/types";
import { closeSync, fstatSync, lstatSync, readdirSync, renameSync, stat, writeFileSync } from "./local/nodeFiles";
import { BACKREST_VERSION } from "./format/repository/infoFile";
import { ConfigReader } from "./local/configReader";
import { hasRunSince } from "./local/lockState";
import { saveRun } from "./local/runRecords";
import { isMissing } from "./local/systemError";
import { exactArguments, exactDirectory, exactEnvironment, nodeAsCalled, setOwnPriority } from "./local/ownProcess";
import { openToAppend } from "./local/trust";
import { RealProcess } from "./process/realProcess";
import { CHANNEL_FD, STORAGE_PROCESS, storageProcesses } from "./process/storageProcesses";
import { openServed } from "./storage/open";
import { S3_QUIRKS } from "./storage/s3/quirks";
import { serveStorage } from "./storage/process/serve";
import { OTLP_NAMES } from "./metrics/otlpTarget";
import { VERSION } from "./version";
import { leaveStaying } from "./stay/leave";
import { type Caller, isServedVerb, socketOf } from "./stay/place";
import { type ServedCall, serveStaying, type StayOptions } from "./stay/serveStaying";
import { keepNewSpaceSmall } from "./workers/heap";

/** How long an aborted command may take to end. */
const ABORT_GRACE_MS = 10_000;
/** For what has more to do than to stop; the supervisor sets the actual limit. */
const LONG_ABORT_GRACE_MS = 10 * 60_000;
/**
 * glibc before 2.41 loses wakeups (bug 25847; Debian 12 has 2.36): a thread of Node's pool may sleep through a call
 * until another one wakes it. A backup must not wait for that.
 */
const STIR_MS = 1000;
/** The first descriptor that systemd passes (sd_listen_fds). */
const LISTEN_FD = 3;
/**
 * systemd's facts about a process's unit and the unit that triggered it (systemd.exec, "Environment Variables in
 * Spawned Processes"), a scheduled Job's facts about itself (components/render/kubernetes/cronJob.ts), and where
 * metrics are sent.
 */
const MANAGER_NAMES = [
  "CREDENTIALS_DIRECTORY",
  "EXIT_STATUS",
  "INVOCATION_ID",
  "JOB_NAME",
  "JOB_NAMESPACE",
  "JOB_UID",
  "KUBERNETES_SERVICE_HOST",
  "KUBERNETES_SERVICE_PORT",
  "MONITOR_EXIT_STATUS",
  "MONITOR_INVOCATION_ID",
  "MONITOR_SERVICE_RESULT",
  "MONITOR_UNIT",
  "SERVICE_RESULT",
  ...OTLP_NAMES,
];
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** PostgreSQL takes higher codes for a crash of the archiver or an abort of the recovery. */
const EXIT_CODE_MAX = 125;
const ARGUMENTS = exactArguments(process.argv.slice(2));
/** First argument of a process that stays for further calls; the time in milliseconds follows. */
const STAYING_PROCESS = "staying-process";
/** Configuration and credentials: not for programs that we start. */
const OWN_VARIABLES = /^(PGBACKREST_|PGBACKSTOP_|CREDENTIALS_DIRECTORY$|LISTEN_|NOTIFY_SOCKET$|OTEL_)/;
/** As at the start: root's environment is taken away before another account's configuration is obeyed. */
const ENVIRONMENT = { ...process.env };
/** Variables that such an account's programs get, as from sudo. */
const PLAIN_VARIABLES = /^(PATH|LANG|LANGUAGE|LC_[A-Z]+|TERM|TZ|MALLOC_[A-Z_]+)$/;
/** Commands that run beside a server for hours. */
const ARCHIVES_ALWAYS: readonly string[] = ["agent", "cnpg-instance"];
/** What this process has written to standard output. */
const output: { isResult: boolean; error: Error | undefined } = { isResult: false, error: undefined };

/** Who called: this process' own caller, or one that it serves. */
interface Call {
  readonly args: readonly string[];
  /** When it began, by the monotonic clock. */
  readonly beganMs: number;
  readonly stdout: Pick<NodeJS.WriteStream, "write">;
  readonly stderr: Pick<NodeJS.WriteStream, "write">;
  /** Aborts the command when the caller wants it to end. */
  listen(log: Log, graceMs: number): AbortController;
  /** After a command that succeeded. */
  done(config: Config): void;
  /** Also gets the command's lines, but not what the configuration warns of in each call. */
  readonly sink?: LogSink;
}

function ownCall(): Call {
  const { stderr, stdout } = process;
  // Node's monotonic clock begins with the process.
  return { args: ARGUMENTS, beganMs: 0, stdout, stderr, listen: listenForSignals, done: leaveProcess };
}

async function main(call: Call): Promise<number> {
  try {
    const loaded = obeyed(loadOwn(call.args), call.args);
    const { command, output: format, params } = loaded.config;
    if (command === "help") return print(helpText(params));
    if (command === "version")
      return print(format === "json" ? `${JSON.stringify({ version: VERSION })}\n` : `${programName()}\n`);
    const code = await runCommand(loaded, await loadCommand(command), call);
    if (code === 0) call.done(loaded.config);
    return command === "archive-get" && code === 1 ? NOT_IN_ARCHIVE : code;
  } catch (error) {
    const log = createLog(systemClock, [stream(call.stdout, "warn", "text", true)]);
    log.error(toBackupError(error, "config"));
    return exitCodeOf(error);
  }
}

/** Called as `pgbackrest`, it answers as the version of stock that it stands for: monitoring requires one. */
function programName(): string {
  const names = [process.argv0, process.argv[1] ?? ""].map((path) => basename(path));
  return names.includes("pgbackrest") ? `pgBackRest ${BACKREST_VERSION}` : `pgbackstop ${VERSION}`;
}

function loadOwn(argv: readonly string[]): Loaded {
  return loadConfig({ argv, env: withSecrets(exactEnvironment(ENVIRONMENT)), ...configAccess(), listDirectory });
}

/** Root obeys another account's configuration with that account's rights, or not at all. @throws fileOwner (88) */
function obeyed(loaded: Loaded, args: readonly string[]): Loaded {
  const { account, config } = loaded;
  if (account === undefined) return loaded;
  obeyWithRightsOf(account, config, shownCommand(args));
  for (const name of Object.keys(process.env)) if (!PLAIN_VARIABLES.test(name)) delete process.env[name];
  return loaded;
}

/** For messages: as a person starts it. */
function shownCommand(args: readonly string[]): readonly string[] {
  const [, program = ""] = ownCommand();
  return /^pgbackrest$|^pgbackstop$/.test(basename(program))
    ? [basename(program), ...args]
    : [...ownCommand(), ...args];
}

function withSecrets(env: LoadInput["env"]): LoadInput["env"] {
  return withSecretFiles(env, { readFile: (path) => new ConfigReader().read(path), listDirectory });
}

/** `moved` changes paths in the files' text. */
function configAccess(
  moved = (text: string): string => text,
): Pick<LoadInput, "readFile" | "fileAccount" | "providers"> {
  const reader = new ConfigReader();
  const readFile = (path: string): string | null => {
    const text = reader.read(path);
    return text === null ? null : moved(text);
  };
  const providers = ["auto", ...S3_QUIRKS.map(({ id }) => id)];
  return { readFile, fileAccount: (paths) => reader.account(paths), providers };
}

async function runCommand(loaded: Loaded, command: Command, call: Call): Promise<number> {
  const umask = loaded.config.neutralUmask ? process.umask(0) : null;
  try {
    return await runInside(loaded, command, call);
  } finally {
    if (umask !== null) process.umask(umask);
  }
}

async function runInside({ account, config, warnings }: Loaded, command: Command, call: Call): Promise<number> {
  const sinks = sinksOf(config, call);
  const configLog = createLog(systemClock, sinks);
  for (const warning of warnings) configLog.warn(warning);
  const log = call.sink === undefined ? configLog : createLog(systemClock, [...sinks, call.sink]);
  // As in stock: commands that print a result log begin and end only at debug, so that the output stays parseable.
  const frame = COMMAND_TABLE[config.command].prints === true ? log.debug : log.info;
  frame(`${config.command} command begin ${VERSION}: ${config.beginLine}`);
  if (account !== undefined)
    log.info(`working with the rights of account ${account.name}, which can change '${account.path}'`);
  const beganAtMs = systemClock.monotonicMs();
  const abort = call.listen(log, graceOf(config));
  const proc = new RealProcess(
    config,
    { clock: systemClock, random: systemRandom, log, signal: abort.signal },
    processFacts(call),
  );
  try {
    if (config.priority !== undefined) setOwnPriority(config.priority);
    await Promise.all([proc.findMountedOwners(), proc.findContainer()]);
    if (process.geteuid?.() === 0) requireAccount(config, proc.usedDirectories(), shownCommand(call.args));
    if (ARCHIVES_ALWAYS.includes(config.command)) keepNewSpaceSmall();
    const code = await command(proc);
    await proc.close();
    await rememberRun(config, code, log);
    frame(
      `${config.command} command end: completed successfully (${Math.round(systemClock.monotonicMs() - beganAtMs)}ms)`,
    );
    return code;
  } catch (thrown) {
    const error = abort.signal.aborted ? toBackupError(abort.signal.reason, "term") : asBackupError(thrown);
    log.error(error);
    await proc.close().catch((closing: unknown) => log.debug(`while closing: ${toBackupError(closing).message}`));
    await rememberRun(config, exitCodeOf(error), log);
    frame(`${config.command} command end: aborted with exception [${String(error.exitCode).padStart(3, "0")}]`);
    return exitCodeOf(error);
  }
}

function stirThreads(): void {
  setInterval(() => void stat("/").catch(() => {}), STIR_MS).unref();
}

/** For metrics: a failure to record the run does not change its result. */
async function rememberRun(
  { command, dryRun, repos, spoolPath, stanza }: Config,
  exitCode: number,
  log: Log,
): Promise<void> {
  if (COMMAND_TABLE[command].remembered !== true || stanza === undefined || dryRun) return;
  // It says nothing about the repository of today. A copy of the past, by sync, does: its target is written now.
  if (command === "verify" && repos.some((repo) => repo.targetTimeMs !== undefined)) return;
  const endedAtS = Math.floor(systemClock.nowMs() / 1000);
  await saveRun(spoolPath, stanza, { command, endedAtS, exitCode }).catch((error: unknown) =>
    log.debug(`unable to record the end of this run: ${toBackupError(error).message}`),
  );
}

function asBackupError(thrown: unknown): BackupError {
  if (thrown instanceof BackupError) return thrown;
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return fail("unhandled", stack, {
    hint: "This is a defect of pgbackstop: please report it with these lines.",
    cause: thrown,
  });
}

function exitCodeOf(error: unknown): number {
  return Math.min(toBackupError(error).exitCode, EXIT_CODE_MAX);
}

function graceOf({ command }: Config): number {
  const { removes, serves } = COMMAND_TABLE[command];
  return command !== "agent" && (serves === true || removes === true) ? LONG_ABORT_GRACE_MS : ABORT_GRACE_MS;
}

function listenForSignals(log: Log, graceMs: number): AbortController {
  const abort = new AbortController();
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (!abort.signal.aborted) log.warn(`terminated on signal [${signal}]: ending`);
      abort.abort(fail("term", `terminated on signal [${signal}]`));
      setTimeout(() => process.exit(exitCodeOf(fail("term", ""))), graceMs).unref();
    });
  }
  return abort;
}

function sinksOf(config: Config, { stderr, stdout }: Call): LogSink[] {
  const { format, timestamp } = config.log;
  // A log line among metrics, in JSON or in a dump would make all of it unreadable, above all during a fault.
  const isRead =
    config.command === "metrics"
      ? config.monitoring.outputFile === undefined && !config.monitoring.otlp
      : config.output === "json" || (config.command === "dump-get" && config.toFile === undefined);
  const sinks: LogSink[] = [
    stream(isRead ? stderr : stdout, consoleLevelOf(config), format, timestamp),
    stream(stderr, config.log.levelStderr, format, false),
  ];
  if (config.log.levelFile !== "off") sinks.push(fileSink(config, sinks));
  return sinks;
}

/** What serves an opened backup has a log of its own, where users look for its state. */
function consoleLevelOf({ command, log, role }: Config): LogSink["level"] {
  const { levelConsole } = log;
  return command === "open" && role === "async" && ["off", "error", "warn"].includes(levelConsole)
    ? "info"
    : levelConsole;
}

function stream(out: Call["stdout"], level: LogSink["level"], format: LogSink["format"], timestamp: boolean): LogSink {
  return { level, format, timestamp, write: (text) => out.write(text) };
}

/** A log file that has grown larger becomes `….log.1`, in the place of the one before. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;

/**
 * One file per stanza and command, each run under a heading; an unwritable log is reported once and never stops a
 * backup.
 */
function fileSink(config: Config, others: readonly LogSink[]): LogSink {
  const role = config.role === "async" ? "-async" : "";
  const path = `${config.log.path}/${config.stanza ?? "all"}-${config.command}${role}.log`;
  let broken = false;
  const append = (text: string): void => {
    if (broken) return;
    try {
      if (readSize(path) > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
      // Opened each time, because another process may have moved the file.
      const fd = openToAppend(path, 0o640);
      try {
        writeFileSync(fd, text);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      broken = true;
      createLog(systemClock, others).warn(
        `unable to open log file '${path}': ${toBackupError(error).message}\nNOTE: process will continue without log file.`,
      );
    }
  };
  let begun = false;
  return {
    level: config.log.levelFile,
    format: config.log.format,
    timestamp: config.log.timestamp,
    write: (text) => {
      if (!begun) append(`${readSize(path) > 0 ? "\n" : ""}-------------------PROCESS START-------------------\n`);
      begun = true;
      append(text);
    },
  };
}

function readSize(path: string): number {
  try {
    return lstatSync(path).size;
  } catch {
    return 0;
  }
}

function processFacts({ args, beganMs }: Call): ConstructorParameters<typeof RealProcess>[2] {
  return {
    pid: process.pid,
    execId: `${process.pid}-${randomBytes(4).toString("hex")}`,
    beganMs,
    uid: process.geteuid?.() ?? 1,
    gid: process.getegid?.() ?? 1,
    osUserName: osUserName(),
    get workingDirectory() {
      return workingDirectory();
    },
    listenFd: process.env["LISTEN_PID"] === String(process.pid) && process.env["LISTEN_FDS"] === "1" ? LISTEN_FD : null,
    hostName: hostname(),
    managerEnvironment: Object.fromEntries(MANAGER_NAMES.map((name) => [name, ENVIRONMENT[name]])),
    ownCommand: ownCommand(),
    args,
    programFile: __filename,
    processorCount: availableParallelism(),
    storageProcesses: STORAGE_PROCESSES,
    isAlive: (pid, atMs) => hasRunSince(pid, atMs, systemClock),
    terminate: (pid) => {
      try {
        return process.kill(pid, "SIGTERM");
      } catch {
        return false;
      }
    },
    environment: process.env,
    plainEnvironment: Object.fromEntries(Object.entries(process.env).filter(([name]) => !OWN_VARIABLES.test(name))),
    isInteractive: process.stdin.isTTY && process.stdout.isTTY,
    ask,
    readInput,
    print,
    printError: (text) => void process.stderr.write(text),
    loadOther,
    loadAgain: (log) => withWarnings(loadOwn(args), log),
    printBytes: (bytes) => {
      output.isResult = true;
      if (isFile(process.stdout)) {
        writeAll(bytes);
        return output.error === undefined ? Promise.resolve() : Promise.reject(unwritten(output.error));
      }
      return new Promise((resolve, reject) => {
        process.stdout.write(bytes, (error) =>
          error === null || error === undefined ? resolve() : reject(unwritten(error)),
        );
      });
    },
  };
}

/** It may have been removed, and only a relative path needs it. @throws format (29) as stock does */
function workingDirectory(): string {
  try {
    return exactDirectory(process.cwd());
  } catch (error) {
    throw fail("format", `unable to get cwd: ${toBackupError(error).message}`, {
      hint: "Run this in a directory that exists, or give an absolute path.",
      cause: error,
    });
  }
}

function loadOther({ moved, secretsPath, args }: OtherConfiguration, log: Log): Config {
  const inherited = Object.entries(ENVIRONMENT).filter(([name]) => !name.startsWith("PGBACKREST_"));
  const env = { ...Object.fromEntries(inherited), PGBACKSTOP_SECRETS: secretsPath };
  const move = (text: string): string =>
    Object.entries(moved).reduce((whole, [from, to]) => whole.replaceAll(`${from}/`, `${to}/`), text);
  const loaded = loadConfig({ argv: args, env: withSecrets(env), ...configAccess(move), listDirectory });
  return withWarnings(loaded, log);
}

/** For a process whose rights are settled. @throws fileOwner (88) */
function withWarnings({ account, config, warnings }: Loaded, log: Log): Config {
  if (account !== undefined) throw notRoots(account, config, shownCommand(ARGUMENTS));
  for (const warning of warnings) log.warn(warning);
  return config;
}

/** In a container the user often has no name. */
function osUserName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.() ?? 0);
  }
}

/** Null when the input ends instead. */
async function ask(question: string, signal: AbortSignal): Promise<string | null> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return await Promise.race([
      lines.question(question, { signal }),
      new Promise<null>((resolve) => lines.once("close", () => resolve(null))),
    ]);
  } finally {
    lines.close();
  }
}

function readInput(): Promise<string> {
  return textFrom(process.stdin);
}

function print(text: string): 0 {
  output.isResult = true;
  const bytes = utf8(text);
  if (isFile(process.stdout)) writeAll(bytes);
  else process.stdout.write(bytes);
  return 0;
}

/** A file of the shell. */
function isFile({ fd }: { readonly fd: number }): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    return false;
  }
}

/** Node's stream takes a write for whole that a full disk has cut short. The first error is kept for {@link end}. */
function writeAll(bytes: Uint8Array): void {
  try {
    writeFileSync(process.stdout.fd, bytes);
  } catch (error) {
    output.error ??= error instanceof Error ? error : new Error(String(error));
  }
}

/** As stock: a result that nobody got is no success. */
function unwritten({ message }: Error): BackupError {
  return fail("fileWrite", `unable to write to stdout: ${message}`);
}

/** Ends the process when what it wrote has arrived in a pipe. Abandoned work of a repository must not keep it. */
function end(code: number): void {
  process.exitCode = code;
  process.stdout.write("", (last) => {
    const error = output.error ?? last ?? null;
    const isLost = error !== null && output.isResult;
    const text = isLost
      ? `ERROR: [${ERRORS.fileWrite.toString().padStart(3, "0")}]: ${unwritten(error).message}\n`
      : "";
    process.stderr.write(text, () => process.exit(isLost && code === 0 ? ERRORS.fileWrite : code));
  });
}

function listDirectory(path: string): string[] | null {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    if (isMissing(error)) return null;
    throw fail("pathOpen", `unable to list '${path}': ${toBackupError(error).message}`, { path, cause: error });
  }
}

const STORAGE_PROCESSES = storageProcesses(process.execPath, __filename);

/** Ends with its channel only: a signal to the whole group must not end calls that the command still waits for. */
async function serveAsStorageProcess(name: string): Promise<void> {
  for (const signal of SIGNALS) process.on(signal, () => {});
  // For the next command, if this process cannot end (storage/process/stuck.ts).
  writeFileSync("/proc/self/comm", name);
  stirThreads();
  await serveStorage({
    channel: new Socket({ fd: CHANNEL_FD, readable: true, writable: true }),
    version: VERSION,
    clock: systemClock,
    open: (served, signal) => openServed(served, { random: systemRandom, signal }),
    owner: async (path) => (await stat(path)).uid,
  });
}

function ownCommand(): readonly string[] {
  return [nodeAsCalled(process.argv0, process.execPath), process.argv[1] ?? __filename];
}

function asCaller(): Caller {
  return {
    uid: process.geteuid?.() ?? -1,
    execArgv: process.execArgv,
    execPath: process.execPath,
    nodeVersion: process.version,
    programFile: __filename,
    environment: process.env,
  };
}

/** How long a process for further calls may stay; 0: not at all. */
function stayMsOf({ command, priority, role, settings }: Config): number {
  // Niceness and guarded directories of a container would last beyond the call.
  const isServed = isServedVerb(command) && role === "main" && priority === undefined;
  return isServed && settings.container === undefined ? (settings.archiveProcessSeconds ?? 0) * 1000 : 0;
}

function leaveProcess(config: Config): void {
  const stayMs = stayMsOf(config);
  if (stayMs === 0) return;
  leaveStaying(asCaller(), stayMs, systemClock.nowMs(), () => {
    const [program = "", ...first] = ownCommand();
    const options = { cwd: "/", detached: true, stdio: "ignore" } as const;
    const child = spawn(program, [...first, STAYING_PROCESS, String(stayMs)], options);
    child.unref();
    child.on("error", () => {});
  });
}

async function stay(stayMs: number): Promise<void> {
  stirThreads();
  const ending = new AbortController();
  for (const signal of SIGNALS)
    process.on(signal, () => ending.abort(fail("term", `terminated on signal [${signal}]`)));
  const path = socketOf(asCaller());
  if (path === null) return;
  const run = (call: ServedCall): ReturnType<StayOptions["run"]> => runServed(call, ending.signal);
  const options = { path, stayMs, pid: process.pid, isCurrent: () => socketOf(asCaller()) === path, run };
  await (
    await serveStaying(options, { clock: systemClock, random: systemRandom, log: silentLog, signal: ending.signal })
  ).ended;
}

async function runServed(served: ServedCall, ending: AbortSignal): ReturnType<StayOptions["run"]> {
  let isClean = true;
  const over = new AbortController();
  const listen: Call["listen"] = (log, graceMs) => {
    const abort = new AbortController();
    const stop = (signal: NodeJS.Signals | null): void => {
      if (abort.signal.aborted) return;
      const error = fail("term", signal === null ? "the caller has ended" : `terminated on signal [${signal}]`);
      log.warn(`${error.message}: ending`);
      abort.abort(error);
      const timer = setTimeout(() => process.exit(exitCodeOf(error)), graceMs).unref();
      over.signal.addEventListener("abort", () => clearTimeout(timer));
    };
    served.onEnd(stop);
    ending.addEventListener("abort", () => stop("SIGTERM"), { signal: over.signal });
    return abort;
  };
  const writer = (kind: "out" | "err"): Call["stdout"] => ({
    write: (text: string | Uint8Array) => {
      served.write(kind, String(text));
      return true;
    },
  });
  const call: Call = {
    args: served.args,
    beganMs: systemClock.monotonicMs(),
    stdout: writer("out"),
    stderr: writer("err"),
    listen,
    done: (config) => void (isClean &&= stayMsOf(config) > 0),
    sink: { level: "warn", format: "text", timestamp: false, write: () => void (isClean = false) },
  };
  process.chdir(served.workingDirectory);
  try {
    const code = await main(call);
    return { code, isClean: isClean && (code === 0 || code === NOT_IN_ARCHIVE) };
  } finally {
    over.abort();
    process.chdir("/");
  }
}

if (isMainThread && process.argv[2] === STAYING_PROCESS) {
  void stay(Number(process.argv[3])).finally(() => process.exit());
} else if (isMainThread && process.argv[2] === STORAGE_PROCESS) {
  void serveAsStorageProcess(process.argv[3] ?? "").finally(() => process.exit());
} else if (isMainThread) {
  // Until the command has ended: Node takes having nothing to wait for as success.
  process.exitCode = ERRORS.unhandled;
  // Without a listener, a log that cannot be written would end a backup.
  process.stdout.on("error", (error) => {
    output.error ??= error;
  });
  process.stderr.on("error", () => undefined);
  stirThreads();
  main(ownCall()).then(end, (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(ERRORS.unhandled);
  });
} else {
  // Only where this file is the whole program: start.ts runs that one at once.
  void import("./jobThread.js");
}
