/** `clone`: a masked copy of a backup in seconds, that clients may use and that ends by itself. */
import { fail, isError, toBackupError } from "../../base/errors";
import { createServer } from "node:net";
import { systemError, textIfThere } from "../../local/systemError";
import { type CloneRequest, cloneJson, type CloneTools, cloneText, makeClone } from "../../operations/clone/makeClone";
import { joinShare, leaveShare } from "../../operations/clone/cloneShare";
import { removeTimer, type TimerTools } from "../../operations/clone/cloneTimer";
import { requireFuse } from "../../operations/open/openBackup";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { accountOf, directoryOf, discardOpened, openArgs, requireOwnKeys } from "./open";

const LOOPBACK = ["127.0.0.1/32", "::1/128"];
const LOCAL = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;
const HOUR_MS = 3_600_000;
/** Root's: it must make no directory that other accounts need. */
const LOCK_PATH = "/run/pgbackstop-clones";
/** Keys that the launcher lends for the start: they are gone when the timer fires. */
const LENT = /^--config-include-path=\/run\//;

export const cloneCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const at = directoryOf(proc);
  requireFuse(proc.self.uid === 0);
  requireOwnKeys(proc);
  const request = await requestOf(proc, at);
  const report = await makeClone(request, toolsOf(proc, request), ctx);
  const nowMs = ctx.clock.nowMs();
  proc.print(config.output === "json" ? `${cloneJson(report, nowMs)}\n` : cloneText(report, nowMs));
  return 0;
};

async function requestOf(proc: CommandProcess, at: string): Promise<CloneRequest> {
  const { config, ownCommand, users } = proc;
  const { allow, databases, lifetimeHours, listen, maskFile, passwordFile, role } = config.clone;
  if (passwordFile === undefined) throw fail("optionRequired", "clone command requires option: password-file");
  const isLocal = listen.split(",").every((address) => LOCAL.test(address));
  if (!isLocal && allow.length === 0)
    throw fail("optionRequired", "clone command requires option: allow", {
      hint: `It listens on ${listen}: name the networks of its clients, as --allow=10.0.0.0/8.`,
    });
  if (passwordFile === INPUT && maskFile === INPUT)
    throw fail("optionInvalid", "standard input holds either the password or the mask of a clone");
  const account = await accountOf(proc);
  const [pg] = config.pgs;
  const carried = config.carriedOptions.filter((arg) => !LENT.test(arg));
  return {
    at,
    account,
    superuser: pg?.user ?? users.userName(account.uid) ?? "postgres",
    maintenance: pg?.database ?? "postgres",
    allow: allow.length === 0 ? LOOPBACK : allow,
    databases,
    listen,
    port: config.clone.port ?? (await freePort(listen)),
    role,
    lifetimeMs: lifetimeHours === undefined ? null : lifetimeHours * HOUR_MS,
    lockPath: LOCK_PATH,
    self: proc.process,
    // Read before anything is opened: a pipe has it only once.
    password: (await textOf(proc, passwordFile)).replace(/\r?\n$/, ""),
    mask: maskFile === undefined ? null : await textOf(proc, maskFile),
    closeArgv: [...ownCommand, ...carried, `--stanza=${config.stanza ?? ""}`, "close", `--at=${at}`],
  };
}

/** Another program may take it before PostgreSQL does: then the clone fails, and nothing of it is left. */
async function freePort(listen: string): Promise<number> {
  const [first = ""] = listen.split(",");
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(systemError("hostConnect", `listen on '${first}'`, first, error)));
    server.listen(0, first === "*" ? undefined : first, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Standard input may be a socket, which cannot be opened by its name. */
const INPUT = "/dev/stdin";

async function textOf(proc: CommandProcess, path: string): Promise<string> {
  if (path === INPUT) return proc.readInput();
  const text = await textIfThere(path);
  if (text !== null) return text;
  throw fail("fileMissing", `missing file '${path}'`, { path, hint: "Create it, or name another file." });
}

function toolsOf(proc: CommandProcess, request: CloneRequest): CloneTools {
  const { config, ctx } = proc;
  return {
    timer: timerOf(proc),
    open: async (isFirst) => {
      const { cacheBytesMax } = config.open;
      // Of the process that serves the files, which the first one starts. Pages that it may drop are its own.
      const limit = cacheBytesMax === undefined ? [] : [`--cache-max=${cacheBytesMax}B`];
      const serving = !isFirst ? [] : limit.length > 0 ? limit : [`--share=${await joinShare(request, ctx)}`];
      // A second one continues with what the first one has opened.
      const args = [...openArgs(proc, request, isFirst ? config : null), ...serving];
      return proc.program(args, { signal: ctx.signal, isOwn: true });
    },
    close: async () => {
      try {
        await discardOpened(proc, request);
      } catch (error) {
        // As long as something of it is there, its timer tries to close it.
        if (isError(error, "fileMissing")) await forgetClone(proc, request);
        throw error;
      }
      await forgetClone(proc, request);
    },
  };
}

/** What a closed clone leaves beside its files: its timer, and pages that no other clone shares. */
export async function forgetClone(
  proc: CommandProcess,
  { account, at }: Pick<CloneRequest, "account" | "at">,
): Promise<void> {
  const { signal } = new AbortController();
  await removeTimer(at, timerOf(proc));
  try {
    await leaveShare({ at, account, lockPath: LOCK_PATH, self: proc.process }, { ...proc.ctx, signal });
  } catch (error) {
    // They count only until the next start of the machine.
    proc.ctx.log.warn(`shared pages stay: ${toBackupError(error).message}`);
  }
}

function timerOf(proc: Pick<CommandProcess, "ctx" | "program">): TimerTools {
  const { signal } = new AbortController();
  return { log: proc.ctx.log, program: (args) => proc.program(args, { signal }) };
}
