/**
 * `recover` after the plan is confirmed: stop, keep the old data, restore, start, wait, check; and undo. Each phase is
 * recorded in the journal before it begins and can be repeated, so the next run can resume or undo a run that was
 * killed at any point.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { ProgramEnd } from "../../local/program";
import type { RecoveryLimits } from "../../format/page/pgControl";
import { readFile, stat } from "../../local/nodeFiles";
import { loadControlFile, loadRecoveryLimits } from "../../postgres/controlFile";
import { higherLimits, withLimits } from "../restore/recoveryGuards";
import { changeAutoConf } from "../restore/recoverySettings";
import { findServer, type ServerFacts } from "./hostFacts";
import type { ServerControl } from "./control";
import { hasStarted, type Journal, type Phase, PHASES, serverLogPath } from "./recoveryJournal";
import type { JournalFile } from "./journalFile";
import { moveAside, moveBack, prepare, requireKept } from "./moves";
import { askForNewTimeline, forgetNewTimeline } from "./newTimeline";
import { saveOldWal } from "./oldWal";
import type { Opened, Readable, TooLow } from "./steps";

export interface RecoverTools {
  /** Runs another program, as this process or as PostgreSQL's account. */
  program(args: readonly string[], asAccount: boolean): Promise<ProgramEnd>;
  /** Runs this program as PostgreSQL's account; its log goes to ours. */
  self(args: readonly string[], signal: AbortSignal): Promise<SelfEnd>;
  /** Works on the account's files with its rights. Nothing else of this process may run in the meantime. */
  asAccount<T>(work: () => Promise<T>): Promise<T>;
  /** Shell command that ends in `archive-get %f "%p"`. @param repoIndex asks this repository alone */
  archiveGet(repoIndex?: number): string;
  /** The server cannot run that command: histories must be in pg_wal beforehand. */
  readonly bringsWal?: boolean;
  /** True on a machine with SELinux. */
  readonly hasLabels?: boolean;
  /** As in {@link Rights}. */
  readonly isRoots?: boolean;
}

export interface SelfEnd extends ProgramEnd {
  readonly error?: BackupError;
}

export interface Recovered {
  readonly opened: Opened;
  /** Exit code of `check`; 0 when WAL reaches every repository. */
  readonly checkCode: number;
}

const DOWN_POLL_MS = 250;
const DOWN_MS = 60_000;
const WATCH_MS = 1000;
/** A server that its manager is restarting is briefly absent. */
const ABSENT_MAX = 3;

export interface Begun {
  readonly journal: Journal;
  readonly file: JournalFile;
  readonly control: ServerControl;
}

/** Continues from the journal's phase. @throws the steps' errors; the journal then says which step */
export async function goOn(begun: Begun, tools: RecoverTools, ctx: Context): Promise<Recovered> {
  const { journal } = begun;
  const enter = phasesOf(begun, ctx);
  const served = await keepOldData(begun, enter, tools, ctx);
  if (await enter("restore")) {
    await prepare(journal, tools);
    await keepLabels(journal, tools, ctx);
    await addOldWal(journal, tools, ctx);
    const restored = await tools.self(["restore", ...journal.restoreArgs], ctx.signal);
    if (restored.exitCode !== 0) throw unfinished(errorOf("restore", restored));
    await requireRestored(journal, tools, ctx);
  }
  await enter("start");
  const opened = await startServer(served, tools, ctx);
  const checkCode = opened.paused ? 0 : (await tools.self(["check", "--no-full-check"], ctx.signal)).exitCode;
  await enter("done");
  return { opened, checkCode };
}

/**
 * A restore renames pg_control into place last. The exit code alone proves nothing: systemd reports success for a unit
 * that a shutdown ended before the program could answer the signal.
 */
async function requireRestored({ dataDirectory }: Journal, tools: RecoverTools, ctx: Context): Promise<void> {
  await tools
    .asAccount(() => loadControlFile(dataDirectory, ctx))
    .catch((error: unknown) => {
      throw unfinished(toBackupError(error));
    });
}

/** Writes a phase into the journal; false for one that is over. */
type Enter = (phase: Phase) => Promise<boolean>;

export function phasesOf({ file, journal }: Begun, ctx: Context): Enter {
  return async (phase) => {
    if (PHASES.indexOf(phase) < PHASES.indexOf(journal.phase)) return false;
    await file.write({ ...journal, phase });
    if (ctx.signal.aborted) throw ctx.signal.reason;
    ctx.log.info(`recover: ${PHASE_TEXTS[phase]}`);
    return true;
  };
}

/** The first phases of every recovery. */
export async function keepOldData(
  { control, journal }: Begun,
  enter: Enter,
  tools: RecoverTools,
  ctx: Context,
): Promise<Served> {
  const served: Served = { control, dataDirectory: journal.dataDirectory, lastWal: journal.lastWal ?? null };
  if (await enter("stop")) await stopServer(served, tools, ctx);
  if (await enter("move")) {
    await requireDown(served);
    await moveAside(journal, tools);
  }
  return served;
}

const PHASE_TEXTS: Readonly<Record<Phase, string>> = {
  stop: "stopping the server",
  move: "renaming the old data",
  restore: "restoring",
  start: "starting the server",
  fetch: "fetching the rest behind the server",
  swap: "moving the files into place",
  restart: "starting the server on its own files",
  done: "done",
  undo: "restoring the old data",
};

/**
 * Puts the old data back in any phase and starts the server on them, on a new timeline if the recovered one may have
 * been archived. Returns where the newer data are kept.
 * @param clear takes away what stands in the place of the data directory without being one; returns where it is kept
 */
export async function undo(
  { control, file, journal: begun }: Begun,
  tools: RecoverTools,
  ctx: Context,
  clear?: (journal: Journal) => Promise<readonly string[]>,
): Promise<{ readonly kept: readonly string[]; readonly opened: Opened }> {
  await requireKept(begun);
  const mayHaveRun = hasStarted(begun);
  const journal: Journal = { ...begun, phase: "undo", hasStarted: mayHaveRun };
  const served: Served = { control, dataDirectory: journal.dataDirectory };
  await file.write(journal);
  ctx.log.info(`recover: ${PHASE_TEXTS.undo}`);
  const cleared = (await clear?.(journal)) ?? [];
  if ((await find(served)) !== null) await stopServer(served, tools, ctx);
  await requireDown(served);
  const kept = [...cleared, ...(await moveBack(journal, tools))];
  if (mayHaveRun && tools.bringsWal === true)
    requireOk("recover-step histories", await tools.self(["recover-step", "histories"], ctx.signal));
  if (mayHaveRun) {
    const commands = await historyCommands(tools, ctx);
    await tools.asAccount(() => askForNewTimeline(journal.dataDirectory, commands, journal.account));
  }
  const opened = await startServer(served, tools, ctx);
  if (mayHaveRun) await tools.asAccount(() => forgetNewTimeline(journal.dataDirectory, journal.account));
  await file.remove();
  return { kept, opened };
}

/**
 * Commands that bring the histories which decide a new timeline. A repository that cannot be read is not asked: it must
 * not keep the old data from their server. The worst is a timeline that it has too, whose WAL it refuses (45).
 */
export async function historyCommands(
  { archiveGet, bringsWal, self }: Pick<RecoverTools, "archiveGet" | "bringsWal" | "self">,
  ctx: Context,
): Promise<string[]> {
  if (bringsWal === true) return [archiveGet()];
  const { exitCode, stdout } = await self(["recover-step", "readable"], ctx.signal);
  if (exitCode !== 0) return [archiveGet()];
  const { readable, unreadable } = JSON.parse(stdout) as Readable;
  return unreadable.length === 0 || readable.length === 0 ? [archiveGet()] : readable.map((key) => archiveGet(key));
}

export interface Served {
  readonly control: ServerControl;
  readonly dataDirectory: string;
  /** The newest segment that replay can reach, for the progress. */
  readonly lastWal?: string | null;
}

function find({ control, dataDirectory }: Served): Promise<ServerFacts | null> {
  return control.find?.() ?? findServer(dataDirectory);
}

export async function stopServer(served: Served, tools: Pick<RecoverTools, "program">, ctx: Context): Promise<void> {
  const { control } = served;
  if ((await find(served)) === null) return;
  const { exitCode, stderr } = await tools.program(control.stop, control.asAccount);
  const endMs = ctx.clock.monotonicMs() + DOWN_MS;
  for (;;) {
    if ((await find(served)) === null) return;
    if (exitCode !== 0 || ctx.clock.monotonicMs() > endMs) {
      throw fail(
        "pgRunning",
        `the server did not stop: '${control.stop.join(" ")}' ended with exit code ${exitCode}\n${stderr.trim()}`,
        {
          hint: "Nothing was moved. Stop it by other means and run this again, or set the command in the settings file (postgres.stop).",
        },
      );
    }
    await ctx.clock.sleep(DOWN_POLL_MS, ctx.signal);
  }
}

/** The server may have been started since the last check. @throws pgRunning (38) */
async function requireDown(served: Served): Promise<void> {
  const { dataDirectory } = served;
  const server = await find(served);
  if (server === null) return;
  const pidText = server.pid === 0 ? "" : ` (pid ${server.pid})`;
  throw fail("pgRunning", `the server of '${dataDirectory}' was started again${pidText} by another program`, {
    hint: "Stop that program, and run this again.",
  });
}

/**
 * Starts the server, unless it runs, and waits until it is open; if it fails, reports its log. WAL after the backup may
 * have been written with higher limits than the server's settings: it then starts again with limits from pg_control.
 */
export async function startServer(served: Served, tools: StartTools, ctx: Context): Promise<Opened> {
  const { dataDirectory } = served;
  for (;;) {
    const given = await loadLimits(dataDirectory, tools, ctx);
    const ended = await startOnce(served, tools, ctx).catch(async (error: unknown): Promise<TooLow> => {
      const needed = await loadLimits(dataDirectory, tools, ctx);
      const raise = given === null || needed === null ? {} : higherLimits(needed, given);
      if (Object.keys(raise).length === 0 || ctx.signal.aborted) throw error;
      return { raise };
    });
    if (!("raise" in ended)) return ended;
    const raised = Object.entries(ended.raise).map(([name, value]) => `${name} = ${value}`);
    ctx.log.info(`WAL was written with ${raised.join(", ")}: the server starts again with it until recovery ends`);
    await stopServer(served, tools, ctx);
    await tools.asAccount(async () => {
      const { gid, uid } = await stat(dataDirectory);
      await changeAutoConf(dataDirectory, (text) => withLimits(text, ended.raise), { gid, uid });
    });
  }
}

type StartTools = Omit<RecoverTools, "archiveGet">;

function loadLimits(directory: string, tools: StartTools, ctx: Context): Promise<RecoveryLimits | null> {
  return tools.asAccount(() => loadRecoveryLimits(directory, ctx).catch(() => null));
}

async function startOnce(served: Served, tools: StartTools, ctx: Context): Promise<Opened | TooLow> {
  const { control } = served;
  const failed = (how: string): Promise<Error> => startError(served, how, tools);
  const enough = new AbortController();
  const signal = AbortSignal.any([ctx.signal, enough.signal]);
  const { lastWal } = served;
  const waiting = tools.self(["recover-step", "wait", ...(typeof lastWal === "string" ? [lastWal] : [])], signal);
  try {
    if ((await find(served)) === null) {
      const started = tools.program(control.start, control.asAccount);
      const first = await Promise.race([started, waiting.then(() => null)]);
      const { exitCode, stderr, stdout } = first ?? (await started);
      if (exitCode !== 0) throw await failed(`exit code ${exitCode}\n${`${stdout}\n${stderr}`.trim()}`);
    }
    const gone = watch(served, signal, ctx);
    const ended = await Promise.race([waiting, gone.then(() => null)]);
    if (ended === null) throw await failed("it was started and has ended");
    requireOk("recover-step wait", ended);
    return JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "") as Opened | TooLow;
  } finally {
    enough.abort(fail("term", "the server is open, or has failed"));
    await waiting.catch(() => undefined);
  }
}

/** Resolves when the server is gone; never if `signal` aborts first. */
async function watch(served: Served, signal: AbortSignal, ctx: Context): Promise<void> {
  for (let absent = 0; absent < ABSENT_MAX; ) {
    if (
      await ctx.clock.sleep(WATCH_MS, signal).then(
        () => false,
        () => true,
      )
    )
      return new Promise(() => undefined);
    const server = await find(served);
    absent = server === null || server.isRestarting === true ? absent + 1 : 0;
  }
}

async function startError(
  { control: { start: command }, dataDirectory }: Served,
  how: string,
  tools: Pick<RecoverTools, "asAccount">,
): Promise<Error> {
  // Read as the account: the log may be a link, and must not expose a file that only root may read.
  const log = await tools.asAccount(() => readFile(serverLogPath(dataDirectory), "utf8").catch(() => ""));
  const lines = log.trim().split("\n").slice(-LOG_LINES);
  return fail(
    "pgRunning",
    [`the server did not open: '${command.slice(0, 3).join(" ")}': ${how}`, ...(log === "" ? [] : lines)].join("\n"),
    {
      hint: [
        "Check its log. After fixing the cause run the same command again to continue.",
        "The old data are intact under the names in the plan. recover --undo restores them; after a rollback use zfs rename.",
      ],
    },
  );
}

const LOG_LINES = 12;

/** @throws the error of the program */
export function requireOk(what: string, ended: SelfEnd): SelfEnd {
  if (ended.exitCode !== 0) throw errorOf(what, ended);
  return ended;
}

function errorOf(what: string, { error, exitCode, stderr, stdout }: SelfEnd): BackupError {
  return error ?? fail("execute", `${what} ended with exit code ${exitCode}\n${`${stdout}\n${stderr}`.trim()}`);
}

/** The old data are renamed by now. */
function unfinished(error: BackupError): BackupError {
  const hint = "Run recover again to continue, or recover --undo to restore the old data.";
  return fail(error.kind, error.message, { hint: [...error.hints, hint], cause: error });
}

/**
 * A new directory has the SELinux type of its parent, and a container may write only what has the container's. What is
 * created below a directory gets its type.
 */
export async function keepLabels(
  { moves }: Pick<Journal, "moves">,
  { hasLabels, program }: Pick<RecoverTools, "hasLabels" | "program">,
  ctx: Context,
): Promise<void> {
  if (hasLabels !== true) return;
  for (const { from, to } of moves) {
    const { exitCode, stderr } = await program(["chcon", `--reference=${to}`, "--", from], false);
    if (exitCode !== 0) ctx.log.warn(`'${from}' may lack the SELinux label of '${to}': ${stderr.trim()}`);
  }
}

async function addOldWal(
  { account, dataDirectory, oldWal }: Journal,
  tools: RecoverTools,
  ctx: Context,
): Promise<void> {
  if (oldWal === null) return;
  const names = await tools.asAccount(() => saveOldWal(oldWal, dataDirectory, account));
  if (names.length > 0)
    ctx.log.info(
      `${names.length} WAL segment(s) of the old data follow the archived ones: ${names[0]} to ${names.at(-1)}`,
    );
}
