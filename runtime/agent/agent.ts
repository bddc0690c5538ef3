/**
 * `agent`: one process that keeps the repositories open and answers PostgreSQL's archive_command and restore_command
 * over a unix socket.
 *
 * The clients are the few lines of `pgbackrest-client`. Relative paths are PostgreSQL's, which runs both commands in
 * its data directory. An answer has the same meaning as the plain command's exit code; every request may be repeated.
 */
import { isAbsolute, normalize } from "node:path";
import { GetService, type GetSource } from "../archiver/getService";
import { OwnFiles } from "../archiver/ownFile";
import { getForRecovery, type RecoveryGets } from "../archiver/recoveryGet";
import { SlotArchiver } from "../archiver/slotArchiver";
import { StreamService, stopRequiring } from "../archiver/streamService";
import { WalService } from "../archiver/walService";
import { untilAborted, withTimeTo } from "../base/clock";
import { textOf } from "../base/bytes";
import { fail, isError, toBackupError } from "../base/errors";
import type { Command, CommandProcess } from "../process/commandProcess";
import { isSameDirectory } from "../local/sameDirectory";
import { formatLsn } from "../format/wal/walSegment";
import { slotArchivingOf } from "../operations/slot/readyDirectory";
import { repoErrorLine } from "../operations/shared/results";
import { type Answer, codeOf, errorLines, serveControlSocket } from "./controlSocket";
import type { ReportFile } from "../operations/report/reportFields";
import type { ServedViews } from "../metrics/gather";
import { serveMetrics } from "./metricsServer";
import { ReportAnswer } from "../operations/report/reportAnswer";

/** How long running requests and transfers may take after the signal to end. */
const DRAIN_MS = 8000;
/** PostgreSQL takes higher codes for a crash of the archiver or an abort of the recovery. */
const EXIT_CODE_MAX = 125;
/** Credential of the unit. */
const REPORT_PASSWORD = "report-password";

interface Services {
  readonly proc: CommandProcess;
  readonly wal: WalService;
  /** Null when only complete segments are shipped. */
  readonly stream: StreamService | null;
  /** Null where PostgreSQL archives by itself. */
  readonly slot: SlotArchiver | null;
  readonly gets: GetService;
  /** Services of single repositories by their keys. A recovery that asks one alone opens it. */
  readonly getsOfOne: Map<number, GetService>;
  readonly ownFiles: OwnFiles;
}

export const agentCommand =
  (views: ServedViews): Command =>
  async (proc) => {
    const { config, ctx } = proc;
    // Running work does not see the signal that ends the agent, so it can finish.
    const own = { ...ctx, signal: new AbortController().signal };
    const { stream: streaming } = config.settings;
    const wal = new WalService(proc, own, undefined, (repoIndex, walName) => stream?.stored(repoIndex, walName));
    const archiving = slotArchivingOf(config);
    const slot = archiving === null ? null : new SlotArchiver(proc, own, wal, archiving);
    const conditions = slot === null ? {} : { markFinished: () => slot.markFinished() };
    const stream =
      streaming === undefined ? null : new StreamService(proc, own, streaming.intervalSeconds * 1000, conditions);
    const gets = new GetService(proc, own);
    const address = proc.listenFd === null ? { path: config.agent.socket } : { fd: proc.listenFd };
    const getsOfOne = new Map<number, GetService>();
    const services = { proc, wal, stream, slot, gets, getsOfOne, ownFiles: new OwnFiles() };
    const socket = await serveControlSocket(
      address,
      (workingDirectory, args, gone) => answer(services, workingDirectory, args, gone),
      ctx,
    );
    const page = await pageOf(proc, wal, views);
    // Only after it is known that no other agent serves here.
    for (const name of services.ownFiles.removeLeft(wal.walDirectory))
      ctx.log.info(`removed ${name}, which a killed agent had left in pg_wal`);
    slot?.start();
    stream?.start();
    if (stream === null) void stopRequiring(proc, own, ctx.signal);
    ctx.log.info(`agent listens on ${"path" in address ? `'${address.path}'` : "the socket of its unit"}`);
    await untilAborted(ctx.signal);
    await withTimeTo(DRAIN_MS, ctx.clock, (enough) =>
      Promise.all([
        page?.close(),
        // A closed queue refuses what it has not begun, and PostgreSQL would count a failed call.
        socket.close(enough).then(() => wal.close(enough)),
        slot?.close(enough),
        stream?.close(enough),
        Promise.race([
          Promise.all([gets, ...getsOfOne.values()].map((service) => service.close())),
          untilAborted(enough),
        ]),
      ]),
    );
    return 0;
  };

/** Null without an address, and with a warning for what is wrong with it: WAL is archived without a page too. */
async function pageOf(
  proc: CommandProcess,
  wal: WalService,
  { loadTroubles, report: make }: ServedViews,
): Promise<ReturnType<typeof serveMetrics> | null> {
  const { config, ctx } = proc;
  const { listen } = config.monitoring;
  if (listen === undefined) return null;
  const report = await reportOf(proc, () => make(proc)).catch((error: unknown) => {
    ctx.log.warn(`/report is not served: ${toBackupError(error).message}`);
    return null;
  });
  try {
    return serveMetrics(listen, proc, { loadTroubles, report, workers: () => wal.status() }, ctx);
  } catch (error) {
    ctx.log.warn(`/metrics is not served: ${toBackupError(error).message}`);
    return null;
  }
}

/** Null without a password. @throws fileMissing (55), optionInvalidValue (32) */
async function reportOf(
  { config, ctx, machine, readFile }: CommandProcess,
  make: () => Promise<ReportFile>,
): Promise<ReportAnswer | null> {
  const { reportPasswordFile } = config.monitoring;
  const credentials = machine.environment["CREDENTIALS_DIRECTORY"];
  const path = reportPasswordFile ?? (credentials === undefined ? undefined : `${credentials}/${REPORT_PASSWORD}`);
  const bytes = path === undefined ? null : await readFile(path);
  if (bytes !== null) return new ReportAnswer(make, textOf(bytes).trim(), ctx.clock);
  if (reportPasswordFile === undefined) return null;
  throw fail("fileMissing", `missing file '${reportPasswordFile}' of report-password-file`, {
    path: reportPasswordFile,
  });
}

/** @throws the error of a fetch whose client has left, or that the agent's own end interrupted */
async function answer(
  services: Services,
  workingDirectory: string,
  args: readonly string[],
  gone: AbortSignal,
): Promise<Answer> {
  const { proc, stream, wal } = services;
  const [verb, ...params] = args;
  try {
    switch (verb) {
      case "archive-push":
        return await push(wal, pathIn(proc.dataDirectory, workingDirectory, params[0]));
      case "archive-get":
        return await get(services, workingDirectory, params, gone);
      case "status":
        return {
          exitCode: 0,
          lines: wal
            .status()
            .map((worker) => `${statusLine(worker)}${slotText(services.slot)}${streamText(worker.repoIndex, stream)}`),
        };
      default:
        throw fail("commandInvalid", `the agent does not know '${verb ?? ""}'`, {
          hint: "It accepts archive-push, archive-get and status.",
        });
    }
  } catch (thrown) {
    const error = toBackupError(thrown);
    // Without an answer the client decides: a recovery would take any of our codes for the end of the archive.
    if (verb === "archive-get" && (gone.aborted || error.kind === "term")) throw error;
    proc.ctx.log.error(error);
    // A server of another data directory asks, after a restore next to this one: no code of ours may end its recovery.
    const isForeign = verb === "archive-get" && isError(error, "optionInvalidValue", "paramRequired");
    return { exitCode: isForeign ? null : Math.min(error.exitCode, EXIT_CODE_MAX), lines: errorLines(error) };
  }
}

async function push(wal: WalService, path: string): Promise<Answer> {
  const slash = path.lastIndexOf("/");
  if (path.slice(0, slash) !== wal.walDirectory)
    throw fail("optionInvalidValue", `'${path}' is not in '${wal.walDirectory}'`);
  const { answer: pushed, warnings } = await wal.push(path.slice(slash + 1));
  if (pushed.error !== null) throw pushed.error;
  const lacking = pushed.results.flatMap((result) =>
    result.ok || warnings.length > 0 ? [] : [repoErrorLine(result.repoIndex, result.error)],
  );
  return { exitCode: 0, lines: [...warnings, ...lacking].map((line) => `WARN: ${line}`) };
}

/** `repo2 waiting=3 missing=0 error=049 unable to connect …` */
function statusLine({
  repoIndex,
  waitingCount,
  missingWalCount,
  error,
}: ReturnType<WalService["status"]>[number]): string {
  const well = `repo${repoIndex} waiting=${waitingCount} missing=${missingWalCount}`;
  return error === null ? well : `${well} error=${codeOf(error)} ${error.message.split("\n")[0]}`;
}

/** ` slot-error=…` while WAL is not archived through the slot */
function slotText(slot: SlotArchiver | null): string {
  const error = slot?.error ?? null;
  return error === null ? "" : ` slot-error=${codeOf(error)} ${error.message.split("\n")[0]}`;
}

/** ` streamed=0/3012345`, ` synchronous=starting` where commits shall wait, ` stream-error=049 …` after a failure */
function streamText(repoIndex: number, stream: StreamService | null): string {
  const worker = stream?.status().find((each) => each.repoIndex === repoIndex);
  if (stream === null) return "";
  const at = worker === undefined || worker.lsn === null ? "none" : formatLsn(worker.lsn);
  const { synchronous } = stream;
  const waits = synchronous === null ? "" : ` synchronous=${synchronous.state}`;
  const error = stream.error ?? worker?.error ?? synchronous?.error ?? null;
  return ` streamed=${at}${waits}${error === null ? "" : ` stream-error=${codeOf(error)} ${error.message.split("\n")[0]}`}`;
}

/** The WAL file, its destination, and `--repo=2` to get it from that repository alone. */
async function get(
  services: Services,
  workingDirectory: string,
  [walName = "", path, repo]: readonly string[],
  gone: AbortSignal,
): Promise<Answer> {
  const { ownFiles, proc } = services;
  const destination = pathIn(proc.dataDirectory, workingDirectory, path);
  const parts = { ...sourceOf(services, repo), ownFiles, refusesTablespace: false };
  const { error, exitCode } = await getForRecovery(parts, walName, destination, gone);
  if (error === null) return { exitCode, lines: [] };
  proc.ctx.log.error(error);
  return { exitCode, lines: errorLines(error) };
}

/** @throws optionInvalidValue (32) */
function sourceOf(
  { gets, getsOfOne, proc }: Services,
  repo: string | undefined,
): Pick<RecoveryGets, "source" | "gets"> {
  if (repo === undefined) return { source: proc, gets };
  const only = proc.repositories().find(({ key }) => repo === `--repo=${key}`);
  if (only === undefined) throw fail("optionInvalidValue", `'${repo}' names no repository of this agent`);
  const source: GetSource = {
    config: proc.config,
    dataDirectory: proc.dataDirectory,
    loadControl: () => proc.loadControl(),
    pool: () => proc.pool(),
    readFile: (file) => proc.readFile(file),
    repositories: () => [only],
    onlyRepo: only.key,
  };
  const own = getsOfOne.get(only.key) ?? new GetService(source, proc.ctx);
  getsOfOne.set(only.key, own);
  return { source, gets: own };
}

/** @throws optionInvalidValue (32) for a path outside the data directory: the agent serves one cluster */
function pathIn(dataDirectory: string, workingDirectory: string, path = ""): string {
  if (path === "")
    throw fail("paramRequired", "a path is required", { hint: "archive-push takes %p, archive-get takes %f %p." });
  const directory = isSameDirectory(workingDirectory, dataDirectory) ? dataDirectory : workingDirectory;
  const full = normalize(isAbsolute(path) ? path : `${directory}/${path}`);
  if (full.startsWith(`${dataDirectory}/`)) return full;
  throw fail("optionInvalidValue", `'${full}' is not in the data directory '${dataDirectory}' of pg1-path`, {
    hint: "is this the agent of another cluster?",
  });
}
