/**
 * `open`: a backup as a directory and a server, in seconds; its pages are fetched when they are read. `open:async` is
 * the process that serves them.
 */
import { basename, dirname, join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { fail } from "../../base/errors";
import { given } from "../../base/given";
import { SMALL_ALLOCATOR } from "../../base/limits";
import type { Config } from "../../config/types";
import { type AccountIds, becomeAccount } from "../../local/actAs";
import { realpathSync } from "../../local/nodeFiles";
import { closeBackup } from "../../operations/open/closeBackup";
import { openBackup, requireFuse } from "../../operations/open/openBackup";
import { findProcess, loadState, openLocation, type OpenState } from "../../operations/open/openLocation";
import { inheritServing } from "../../operations/open/openLocks";
import { folderAccount } from "../../operations/recover/productionDirectory";
import { serveBackup } from "../../operations/open/serveBackup";
import { accountAt } from "../../operations/recover/hostFacts";
import type { Command, CommandProcess, Invocation, ProgramAccess } from "../../process/commandProcess";
import { findPrograms } from "../../postgres/programs";
import { untilDecided } from "../opened";
import { requireOutsideData, restoreCommandLine } from "./besideProduction";
import { offerWal } from "./openedWal";
import { ownHistory } from "../ownHistory";
import { hasLentKeys } from "./recoverTools";

/** Descriptors of the serving process: /dev/fuse, and the right to serve. */
const DEVICE_FD = 3;
const LOCK_FD = 4;
export const SERVING_ENVIRONMENT = {
  /** Node's default is four; each reader of the device holds one. */
  UV_THREADPOOL_SIZE: "12",
  ...SMALL_ALLOCATOR,
};

export const openCommand: Command = async (proc) => {
  const { config, ctx, users } = proc;
  if (config.role === "async") return serve(proc);
  const at = directoryOf(proc);
  requireFuse(proc.self.uid === 0);
  requireOwnKeys(proc);
  const account = await accountOf(proc);
  const [pg] = config.pgs;
  const { cacheBytesMax, fetchAll, port, share, start } = config.open;
  if (cacheBytesMax !== undefined && fetchAll)
    throw fail("optionInvalid", "open has either --fetch-all or --cache-max");
  if (share !== undefined && (fetchAll || cacheBytesMax !== undefined))
    throw fail("optionInvalid", "open has --share without --fetch-all and --cache-max");
  const user = pg?.user ?? users.userName(account.uid) ?? "postgres";
  const programs = { find: (major: string) => findPrograms(major, config.binPath, ctx.signal) };
  const text = await openBackup(
    {
      at,
      stanza: config.stanza ?? "",
      account,
      recovery: recoveryOf(proc),
      named: {
        set: config.set,
        isTarget: !config.restore.typeIsDefault || config.restore.targetTimeline !== undefined,
      },
      fetchesAll: fetchAll,
      limitsCache: cacheBytesMax !== undefined,
      spoolPath: config.spoolPath,
      self: proc.process,
      server: start ? { port, programs, user, database: pg?.database ?? "postgres", node: nodeOf(proc) } : null,
    },
    {
      untilDecided: () => untilDecided(proc),
      startServing: (fds, logFd) => proc.startBackground({ fds, logFd, env: SERVING_ENVIRONMENT }),
      program: (args, lock) => proc.program(args, { signal: ctx.signal, lock }),
    },
    ctx,
  );
  proc.print(text);
  return 0;
};

/**
 * Keys that systemd lends end with the unit of this verb, and with them every process of it: nothing would serve the
 * files any more, unless the caller closes them before. @throws featureNotSupported
 */
export function requireOwnKeys({ config }: Invocation): void {
  if (config.open.closedByCaller || !hasLentKeys({ config })) return;
  throw fail(
    "featureNotSupported",
    `${config.command} cannot use keys that systemd lends to one command: it serves files after its end`,
    {
      hint: [
        "Use the host's own command, sudo pgbackstop, or run the program itself as root.",
        "Or restore the backup into an empty directory: pgbackstop restore --pg1-path=DIRECTORY.",
      ],
    },
  );
}

/** As PostgreSQL's account, once the configuration with its keys was read. */
async function serve(proc: CommandProcess): Promise<number> {
  const { config, ctx } = proc;
  const location = openLocation(atOf(proc));
  // The configuration says whose the server is. A file that the account could change must not.
  const isProduction = (await loadState(location))?.production !== undefined;
  becomeAccount(isProduction ? folderAccount(location) : await accountOf(proc));
  const lock = inheritServing(location, proc.process, LOCK_FD);
  // Few objects live long here, and V8 would let the space of new ones grow to 64 MiB.
  setFlagsFromString("--semi-space-growth-factor=1");
  const { pid } = proc.process;
  const self = findProcess(pid) ?? { pid, startTicks: -1 };
  await serveBackup(
    proc.repositories(),
    {
      location,
      deviceFd: DEVICE_FD,
      set: config.set,
      restoreCommand: restoreCommandLine(proc, config.repoIndex, location.at),
      node: nodeOf(proc),
      walSpoolPath: `${config.spoolPath}/archive/${config.stanza ?? ""}`,
      fetchesAll: config.open.fetchAll,
      cacheBytesMax: config.open.cacheBytesMax,
      share: config.open.share,
      start: config.open.start,
      server: await ownHistory(proc),
      self,
      lock,
      offerWal: (control, firstWal) => offerWal(proc, location, control, firstWal),
      program: (args) => proc.program(args, { signal: ctx.signal }),
      availableBytes: () => process.availableMemory(),
    },
    ctx,
  );
  return 0;
}

/** @throws optionRequired, optionInvalidValue */
export function directoryOf(proc: CommandProcess): string {
  const at = atOf(proc);
  for (const path of [proc.config.open.at?.replace(/\/+$/, "") ?? at, at]) requireOutsideData(proc, "at", path);
  return at;
}

function atOf({ config }: Invocation): string {
  if (config.open.at === undefined) throw fail("optionRequired", `${config.command} command requires option: at`);
  const named = config.open.at.replace(/\/+$/, "");
  if (named === "")
    throw fail("optionInvalidValue", `'${config.open.at}' is not valid for 'at' option: it is the root directory`);
  return join(withoutLinks(dirname(named)), basename(named));
}

/** The kernel names a mount like that, whatever links led to it. What does not exist yet stays as it is. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return join(withoutLinks(dirname(path)), basename(path));
  }
}

/** The owner of the configured data directory, else the account `postgres`. @throws userMissing */
export async function accountOf({
  config,
  users,
}: CommandProcess): Promise<{ readonly uid: number; readonly gid: number }> {
  const [pg] = config.pgs;
  const account = await accountAt(pg?.path ?? null, users);
  if (account !== null) return { uid: account.uid, gid: account.gid };
  throw fail("userMissing", "this machine has no account 'postgres' to run the opened server", {
    hint: "Create it, or set pg1-path to a directory of the account to use.",
  });
}

export interface OpenedMoment {
  /** Undefined for all repositories, or that of this command. */
  readonly repoIndex?: number | undefined;
  readonly set?: string | undefined;
  readonly restore: Pick<Config["restore"], "target" | "targetExclusive" | "targetTimeline" | "type" | "typeIsDefault">;
}

/** Arguments of an `open` that is another process. @param moment null continues with what is open there */
export function openArgs(
  { config, ownCommand }: Invocation & Pick<ProgramAccess, "ownCommand">,
  { at, port }: { readonly at: string; readonly port: number },
  moment: OpenedMoment | null,
): string[] {
  const { target, targetExclusive, targetTimeline, type, typeIsDefault } = moment?.restore ?? { typeIsDefault: true };
  const chosen = given({ repo: moment?.repoIndex, set: moment?.set, target, "target-timeline": targetTimeline });
  const carried = config.carriedOptions.filter((arg) => moment?.repoIndex === undefined || !arg.startsWith("--repo="));
  const named = { ...given({ "bin-path": config.binPath }), ...chosen };
  return [
    ...ownCommand,
    ...carried,
    `--stanza=${config.stanza ?? ""}`,
    "--log-level-console=off",
    "--log-level-stderr=error",
    "open",
    `--at=${at}`,
    `--port=${port}`,
    ...(typeIsDefault ? [] : [`--type=${type}`]),
    ...(targetExclusive === true ? ["--target-exclusive"] : []),
    ...Object.entries(named).map(([name, value]) => `--${name}=${value}`),
  ];
}

/** Closes what is open there, also after an abort, and discards its pages. @throws lockAcquire while it is opened */
export async function discardOpened(
  proc: Invocation & Pick<CommandProcess, "process" | "program">,
  { account, at }: { readonly account: AccountIds; readonly at: string },
): Promise<void> {
  const { config, ctx, process: self } = proc;
  const { signal } = new AbortController();
  const { spoolPath, stanza = "" } = config;
  await closeBackup(
    { at, isRoot: true, account, keeps: false, move: null, self, spoolPath, stanza },
    { program: (args, lock) => proc.program(args, { signal, lock }) },
    { ...ctx, signal },
  );
}

function recoveryOf({ config }: Invocation): OpenState["recovery"] {
  return { ...config.restore, targetAction: "promote", archiveMode: "off", options: {} };
}

function nodeOf({ ownCommand }: ProgramAccess): string {
  return ownCommand[0] ?? process.execPath;
}
