/**
 * `recover`: restores this host's cluster from a backup: prints a plan first, keeps the old data, and `--undo` puts
 * them back. Runs as root, or as PostgreSQL's account where that may stop and start the server; steps that need that
 * account run as it.
 */
import { dirname } from "node:path";
import { formatLocalSeconds } from "../../base/clock";
import { fail } from "../../base/errors";
import { given } from "../../base/given";
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import { resolveTrusted } from "../../local/trust";
import { type ServerControl, serverControl } from "../../operations/recover/control";
import {
  accountOf,
  findInContainer,
  freeBytesAt,
  type HostFacts,
  loadHostFacts,
  hasSameDirectories,
  type Owner,
} from "../../operations/recover/hostFacts";
import {
  type Journal,
  readJournal,
  recoverJournal,
  remember,
  serverLogPath,
  serverMemory,
} from "../../operations/recover/recoveryJournal";
import type { JournalFile } from "../../operations/recover/journalFile";
import { requireOwned, requireRights } from "../../operations/recover/moves";
import {
  type LiveServer,
  planRecover,
  planText,
  type PlanInput,
  type RecoverPlan,
  type RecoverRequest,
  targetArgs,
} from "../../operations/recover/recoverPlan";
import { clearInstant, goOnInstant } from "../../operations/recover/instant";
import { type Begun, goOn, type Recovered, requireOk, type RecoverTools, undo } from "../../operations/recover/recover";
import { findStartFault } from "../../operations/recover/startProof";
import type { RecoverSource } from "../../operations/recover/recoverSource";
import { agreed, refused } from "./agree";
import type {
  ClusterAccess,
  Command,
  CommandProcess,
  Invocation,
  MachineAccess,
  ProgramAccess,
} from "../../process/commandProcess";
import { instantFactsOf, instantMemoryOf, instantOf, moveAtOf, requireServable, seenOf } from "./instant";
import { asAccountArgs, toolsOf } from "./recoverTools";

export const recoverCommand: Command = async (proc) => {
  const facts = await loadHostFacts(proc.dataDirectory, proc.ctx, proc.container, seenOf);
  requireOwnLinks(proc, facts);
  const file = recoverJournal(facts.dataDirectory);
  const isUndo = proc.config.recover.undo;
  const journal = readJournal(file, isUndo);
  await proc.container?.requireNoWriters();
  if (journal === null) return isUndo ? nothingToUndo(file) : begin(proc, facts, file, null);
  await requireAlone(proc, journal);
  if (journal.phase === "done" && !isUndo) return begin(proc, facts, file, journal);
  const begun = { journal, file, control: controlOf(proc, remember(facts, journal.server)) };
  return isUndo || journal.phase === "undo" ? undoRecovery(proc, begun) : goOnWith(proc, begun);
};

/** Another account's link in the path to the data directory could lead root elsewhere. @throws fileOwner (88) */
function requireOwnLinks(proc: MachineAccess, { configuredDirectory, dataDirectory, owner }: HostFacts): void {
  if (proc.self.uid !== 0 || owner === null) return;
  const actual = resolveTrusted(configuredDirectory, [owner.uid]);
  if (actual !== dataDirectory)
    throw fail(
      "pathOpen",
      `'${configuredDirectory}' pointed to '${dataDirectory}' and now points to '${actual}': another process changes links there`,
    );
}

function controlOf(proc: Invocation & ClusterAccess, facts: HostFacts): ServerControl {
  const { container } = proc;
  const commands = { ...container?.control, ...proc.config.settings.postgres };
  const control = serverControl(facts, commands, serverLogPath(facts.dataDirectory));
  return container === undefined ? control : { ...control, find: () => findInContainer(container) };
}

/** What the stop would leave to pg_wal alone. @throws what the first failed step throws */
async function archiveBeforeStop(
  { ctx }: Pick<CommandProcess, "ctx">,
  tools: RecoverTools,
  { dataDirectory, walDirectory }: HostFacts,
  { finishWal, leaving }: RecoverPlan,
): Promise<void> {
  for (const name of leaving) {
    ctx.log.info(`recover: archiving ${name}, which only pg_wal has`);
    const path = `${walDirectory ?? `${dataDirectory}/pg_wal`}/${name}`;
    requireOk(`archive-push ${name}`, await tools.self(["archive-push", path], ctx.signal));
  }
  if (!finishWal) return;
  ctx.log.info("recover: archiving the server's last WAL");
  requireOk("recover-step finish-wal", await tools.self(["recover-step", "finish-wal"], ctx.signal));
}

async function begin(
  proc: CommandProcess,
  facts: HostFacts,
  file: JournalFile,
  former: Journal | null,
): Promise<number> {
  const { config, ctx } = proc;
  const account = accountOf(facts, proc.users.findUid, proc.users.findGid);
  const tools = toolsOf(proc, account);
  const request = requestOf(proc);
  const ended = await tools.self(["recover-step", "plan", ...requestArgs(request)], ctx.signal);
  const answer = requireOk("recover-step plan", ended);
  const { live, source } = JSON.parse(answer.stdout) as {
    readonly live: LiveServer | null;
    readonly source: RecoverSource;
  };
  const control = controlOf(proc, facts);
  const nowMs = ctx.clock.nowMs();
  const input: PlanInput = {
    request,
    facts,
    source,
    live,
    control,
    freeSpace: await freeSpaceOf(proc, facts, source),
    broughtWalBytes: proc.container === undefined ? 0 : walBytesOf(facts, source),
    finishWal: config.recover.finishWal,
    startFault: await startFaultOf(proc, facts, source, account),
    instant: instantFactsOf(proc, facts.dataDirectory, account),
    running: (["backup", "restore"] as const).find((kind) => proc.isLocked(kind)) ?? null,
    nowS: Math.floor(nowMs / 1000),
    stamp: formatLocalSeconds(nowMs).replaceAll(/[-:]/g, "").replace(" ", "-"),
  };
  const plan = planRecover(input);
  const moved = { account, dataDirectory: facts.dataDirectory, moves: plan.moves };
  await requireOwned(moved);
  await requireRights(moved, tools);
  proc.print(planText(plan, input));
  if (config.dryRun) return 0;
  if (!(await agreed(proc, "Recover as planned?"))) return refused(proc, "recover");
  await archiveBeforeStop(proc, tools, facts, plan);
  const oldWal = oldWalOf(facts, source, plan.moves.at(-1)?.to);
  const journal: Journal = {
    version: input.instant === null ? 2 : 3,
    phase: "stop",
    pid: proc.process.pid,
    request,
    label: source.label,
    startedAtS: input.nowS,
    configuredDirectory: facts.configuredDirectory,
    dataDirectory: facts.dataDirectory,
    account,
    server: serverMemory(facts),
    moves: plan.moves,
    restoreArgs: [...plan.restoreArgs, ...(request.repoIndex === undefined ? [] : [`--repo=${request.repoIndex}`])],
    oldWal,
    lastWal: source.wal?.last ?? null,
    stamp: input.stamp,
    ...(input.instant === null ? {} : { instant: instantMemoryOf(proc, source, oldWal) }),
  };
  await requireAsPlanned(proc, facts, file, former);
  await file.write(journal);
  return run(proc, { journal, file, control }, tools);
}

function startFaultOf(
  { config, container, ctx, self }: CommandProcess,
  facts: HostFacts,
  { pgVersion }: RecoverSource,
  account: Owner,
): Promise<PlanInput["startFault"]> {
  const asAccount = self.uid === 0 ? asAccountArgs(account) : [];
  const isConfigured = config.settings.postgres?.start !== undefined;
  return findStartFault({ facts, container, pgVersion, account, asAccount, isConfigured }, ctx.signal);
}

function walBytesOf({ control }: HostFacts, { wal }: RecoverSource): number {
  return (wal?.segmentCount ?? 0) * (control?.walSegmentSizeBytes ?? WAL_SEGMENT_SIZE_BYTES);
}

function freeSpaceOf({ container }: CommandProcess, { dataDirectory }: HostFacts, { targets }: RecoverSource) {
  const pathOf = (path: string): string => container?.view.here(path) ?? path;
  return Promise.all(
    targets.map(({ name, path }) => freeBytesAt(name === "pg_data" ? dirname(dataDirectory) : pathOf(path))),
  );
}

/** Only on the followed timeline: other WAL would not fit. */
function oldWalOf(facts: HostFacts, { wal }: RecoverSource, moved: string | undefined): Journal["oldWal"] {
  const { control, walDirectory } = facts;
  if (control === null || moved === undefined || wal === null || wal.last === null) return null;
  // After a promotion pg_control says the former timeline until its first checkpoint.
  if (wal.timeline < control.timeline) return null;
  const suffix = moved.slice(facts.dataDirectory.length);
  const directory = walDirectory === null ? `${moved}/pg_wal` : `${walDirectory}${suffix}`;
  return { directory, last: wal.last, timeline: wal.timeline, segmentSizeBytes: control.walSegmentSizeBytes };
}

async function goOnWith(proc: CommandProcess, begun: Begun): Promise<number> {
  const { config } = proc;
  const { file, journal } = begun;
  const began = `a recovery from backup ${journal.label} was started ${formatLocalSeconds(journal.startedAtS * 1000)} and is not finished (${file.path})`;
  const isAnother =
    config.set !== undefined && config.set !== "latest"
      ? config.set !== journal.label
      : config.restore.target !== journal.request.target;
  if (isAnother && (config.restore.target !== undefined || config.set !== undefined)) {
    throw fail("optionInvalid", `${began}; its target cannot be changed`, {
      hint: "Run recover without a target to continue. To use another target, run recover --undo first.",
    });
  }
  if (config.recover.instant && journal.instant === undefined)
    throw fail("optionInvalid", `${began}; it copies everything before the server starts`, {
      hint: "Run recover without --instant to continue. To begin again, run recover --undo first.",
    });
  const moveAt = moveAtOf(proc);
  if (journal.instant !== undefined) requireServable(proc);
  proc.print(
    `${began}.\nIts next step: ${journal.phase}. To restore the old data instead: pgbackstop recover --undo\n`,
  );
  if (config.dryRun) return 0;
  if (!(await agreed(proc, "Continue?"))) return refused(proc, "recover");
  const mine: Journal = {
    ...journal,
    pid: proc.process.pid,
    ...(journal.instant === undefined ? {} : { instant: { ...journal.instant, ...given({ moveAt }) } }),
  };
  await file.write(mine);
  return run(proc, { ...begun, journal: mine }, toolsOf(proc, journal.account));
}

function goOnAs(proc: CommandProcess, begun: Begun, tools: RecoverTools): Promise<Recovered> {
  const instant = instantOf(proc, begun.journal);
  return instant === null ? goOn(begun, tools, proc.ctx) : goOnInstant(begun, instant, tools, proc.ctx);
}

async function run(proc: CommandProcess, begun: Begun, tools: RecoverTools): Promise<number> {
  const { journal } = begun;
  const { checkCode, opened } = await goOnAs(proc, begun, tools);
  const data = journal.moves.at(-1)?.to;
  const lines = [
    opened.paused
      ? `The server of ${journal.dataDirectory} has reached its target and is paused: check the data, then end the recovery with
     psql -c 'select pg_wal_replay_resume()'`
      : `The server of ${journal.dataDirectory} is open, on timeline ${opened.timeline}.`,
    ...(data === undefined ? [] : ["The old data:", ...journal.moves.map(({ to }) => `     ${to}`)]),
    "To undo:               pgbackstop recover --undo",
    "Next, take a backup:   pgbackstop backup --type=full   (the new timeline has no backup yet)",
    ...(data === undefined
      ? []
      : [
          "When the data are right and that backup is done, remove the old data by hand:",
          ...journal.moves.map(({ to }) => `     rm -rf ${to}`),
        ]),
    ...(checkCode === 0 ? [] : ["! Not every repository gets WAL: see above, and run pgbackstop check"]),
  ];
  proc.print(`${lines.join("\n")}\n`);
  return checkCode;
}

function nothingToUndo(file: JournalFile): never {
  throw fail("fileMissing", `there is no recovery to undo: '${file.path}' does not exist`, {
    hint: "Old data are in directories called *.before-recover-*. Stop the server before you rename one back.",
  });
}

async function undoRecovery(proc: CommandProcess, begun: Begun): Promise<number> {
  const { control, journal } = begun;
  if (journal.moves.length === 0) {
    throw fail("fileMissing", "there is nothing to undo: there were no old data", {
      hint: "Run recover to continue the recovery.",
    });
  }
  proc.print(
    [
      `Undo of the recovery from backup ${journal.label}, started ${formatLocalSeconds(journal.startedAtS * 1000)}`,
      "",
      `  1. stop the server: ${control.stop.join(" ")}`,
      "  2. restore the old data:",
      ...journal.moves.map(({ from, to }) => `     ${to}\n       -> ${from}`),
      `     the recovered data are kept as ${journal.dataDirectory}.recovered-${journal.stamp}`,
      "  3. start the server; if the recovered one has run, on a later timeline, so that the archive keeps both",
      "",
      "",
    ].join("\n"),
  );
  if (proc.config.dryRun) return 0;
  if (!(await agreed(proc, "Restore the old data?"))) return refused(proc, "recover --undo");
  const tools = toolsOf(proc, journal.account);
  const mine = { ...begun, journal: { ...journal, pid: proc.process.pid } };
  const instant = instantOf(proc, journal);
  const clear =
    instant === null ? undefined : (now: Journal) => clearInstant(instant, { control, journal: now }, tools, proc.ctx);
  const { kept, opened } = await undo(mine, tools, proc.ctx, clear);
  const lines = [
    `The server of ${journal.dataDirectory} is open with the old data, on timeline ${opened.timeline}.`,
    ...(kept.length === 0 ? [] : ["The recovered data:", ...kept.map((path) => `     ${path}`)]),
    "Next, take a backup:   pgbackstop backup --type=full",
  ];
  proc.print(`${lines.join("\n")}\n`);
  return 0;
}

/** Two at once would move each other's directories. @throws lockAcquire (50) */
async function requireAlone(proc: ProgramAccess & MachineAccess, journal: Journal): Promise<void> {
  if (journal.phase === "done" || journal.pid === proc.process.pid) return;
  const commandLine = await proc.readFile(`/proc/${journal.pid}/cmdline`).catch(() => null);
  if (commandLine === null || !Buffer.from(commandLine).toString("latin1").split("\0").includes("recover")) return;
  throw fail("lockAcquire", `another recover works on '${journal.dataDirectory}' (pid ${journal.pid})`, {
    hint: "Wait for it to finish.",
  });
}

/**
 * The user may have looked at the plan for an hour: another recover may have begun, whose journal alone says where the
 * old data are, and a new tablespace would not be moved away. @throws lockAcquire (50)
 */
async function requireAsPlanned(
  proc: CommandProcess,
  planned: HostFacts,
  file: JournalFile,
  former: Journal | null,
): Promise<void> {
  const now = await loadHostFacts(proc.dataDirectory, proc.ctx, proc.container);
  const isSameJournal = JSON.stringify(readJournal(file, false)) === JSON.stringify(former);
  if (isSameJournal && hasSameDirectories(planned, now)) return;
  throw fail("lockAcquire", `'${planned.dataDirectory}' is not as it was when this plan was made`, {
    hint: "Another recover has begun, or a tablespace or pg_wal has changed. Nothing was moved. Run recover again for a new plan.",
  });
}

function requestOf({ config }: Invocation): RecoverRequest {
  const {
    force,
    repoIndex,
    repoTargetTime,
    set,
    restore: { type, target, targetAction, targetExclusive, targetTimeline },
  } = config;
  const backup = { repoIndex, set, ...(repoTargetTime === undefined ? {} : { repoTargetTime }) };
  const goal = { type, target, targetAction, targetExclusive, targetTimeline };
  return { stanza: config.stanza ?? "", force, ...goal, ...backup };
}

function requestArgs(request: RecoverRequest): string[] {
  const { repoIndex, set } = request;
  return [
    ...targetArgs(request),
    ...(repoIndex === undefined ? [] : [`--repo=${repoIndex}`]),
    ...(set === undefined ? [] : [`--set=${set}`]),
  ];
}
