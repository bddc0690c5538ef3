/**
 * `agent`: one process that holds the repositories open and answers PostgreSQL's archive_command and restore_command over a unix socket.
 *
 * The callers are the ten lines of `pgbackrest-client`. Relative paths are PostgreSQL's, which runs both commands in its data directory. An
 * answer of 0 means what the exit code of the plain command means; every request may be repeated.
 */
import { isAbsolute, normalize } from "node:path";
import { type BackupError, fail, toBackupError } from "../base/errors";
import type { Command, CommandHost } from "../commands/host";
import { archiveGet } from "../operations/archiveGet";
import { archivePush } from "../operations/archivePush";
import { repoErrorLine } from "../operations/results";
import { type Answer, serveControlSocket } from "./controlSocket";

const GRACE_MS = 5000;
/** How long requests under way may take once the agent is told to end. */
const DRAIN_MS = 8000;

export const agentCommand: Command = async (host) => {
  const { config, ctx } = host;
  const place = host.listenFd === null ? { path: config.agentSocket } : { fd: host.listenFd };
  const socket = await serveControlSocket(place, (workingDirectory, words) => answer(host, workingDirectory, words), ctx);
  ctx.log.info(`agent listens on ${"path" in place ? `'${place.path}'` : "the socket of its unit"}`);
  await untilAborted(ctx.signal);
  const drain = new AbortController();
  const limit = ctx.clock.sleep(DRAIN_MS, drain.signal).catch(() => {});
  const enough = new AbortController();
  void limit.then(() => enough.abort());
  await socket.close(enough.signal);
  drain.abort();
  return 0;
};

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function answer(host: CommandHost, workingDirectory: string, words: readonly string[]): Promise<Answer> {
  const [verb, ...params] = words;
  try {
    switch (verb) {
      case "archive-push":
        return await push(host, pathIn(host.dataDirectory, workingDirectory, params[0]));
      case "archive-get":
        return await get(host, params[0] ?? "", pathIn(host.dataDirectory, workingDirectory, params[1]));
      default:
        throw fail("commandInvalid", `the agent does not know '${verb ?? ""}'`, { hint: "it answers archive-push and archive-get." });
    }
  } catch (thrown) {
    const error = toBackupError(thrown);
    host.ctx.log.error(error);
    return { exitCode: error.exitCode, lines: errorLines(error) };
  }
}

async function push(host: CommandHost, path: string): Promise<Answer> {
  const { config, ctx } = host;
  host.requireStarted();
  const slash = path.lastIndexOf("/");
  const control = await host.loadControl();
  const options = {
    walDirectory: path.slice(0, slash),
    walName: path.slice(slash + 1),
    cluster: { version: control.pgVersion, systemId: control.systemId },
    headerCheck: config.archiveHeaderCheck,
    acknowledge: config.settings.acknowledge,
    graceMs: GRACE_MS,
    timeoutMs: config.archiveTimeoutMs,
  };
  const outcome = await archivePush(host.repositories(), host.debt(), options, ctx);
  if (outcome.error !== null) throw outcome.error;
  const lines = outcome.results.flatMap((result) => (result.ok ? [] : [`WARN: ${repoErrorLine(result.repoKey, result.error)}`]));
  return { exitCode: 0, lines };
}

async function get(host: CommandHost, walName: string, destination: string): Promise<Answer> {
  const control = await host.loadControl();
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const found = await archiveGet(host.repositories(), { walName, destination, cluster }, host.ctx);
  return { exitCode: found ? 0 : 1, lines: [] };
}

/** @throws optionInvalidValue (32) for a path outside of the data directory: the agent serves one cluster */
function pathIn(dataDirectory: string, workingDirectory: string, path = ""): string {
  if (path === "") throw fail("paramRequired", "a path is required", { hint: "archive-push takes %p, archive-get takes %f %p." });
  const full = normalize(isAbsolute(path) ? path : `${workingDirectory}/${path}`);
  if (full.startsWith(`${dataDirectory}/`)) return full;
  throw fail("optionInvalidValue", `'${full}' is not in the data directory '${dataDirectory}' of pg1-path`, {
    hint: "is this the agent of another cluster?",
  });
}

function errorLines(error: BackupError): string[] {
  return [`ERROR: [${String(error.exitCode).padStart(3, "0")}]: ${error.message}`, ...error.hints.map((hint) => `HINT: ${hint}`)];
}
