/** `drill`: one fire drill alongside production; exits with 0, or with the code of the first failure. */
import type { Context } from "../../base/context";
import { silentLog } from "../../base/log";
import { fail } from "../../base/errors";
import { given } from "../../base/given";
import { DRILL_PATH } from "../../config/settings";
import { acquireLock } from "../../local/lockFile";
import { askedDrill, type AskedDrill, drillOptions } from "../../operations/drill/askedDrill";
import { attackDrill } from "../../operations/drill/attackDrill";
import { drill } from "../../operations/drill/drill";
import type { JournalStart } from "../../operations/drill/drillJournal";
import { type DrillPrograms, programsOfHost, programsOfImage } from "../../operations/drill/drillPrograms";
import { type HostParts, HostVenue } from "../../operations/drill/hostVenue";
import { saveDrill } from "../../operations/drill/history";
import { ATTACK, type DrillPick, type DrillRecord, renderDrill } from "../../operations/drill/record";
import { drillText } from "../../operations/drill/drillReport";
import { serverAccount } from "../../operations/recover/hostFacts";
import { cleanScratch, prepareRoot } from "../../operations/drill/scratch";
import type { ClusterAccess, Command, CommandProcess, Invocation, ProgramAccess } from "../../process/commandProcess";
import { openedDrill } from "./openedDrill";
import { ownArchiveGet } from "./restore";

const EXIT_CODE_MAX = 125;

export const drillCommand: Command = async (proc) => {
  const { config } = proc;
  const { stanza = "" } = config;
  // A log would break the JSON on standard output.
  const ctx = config.output === "json" ? { ...proc.ctx, log: silentLog } : proc.ctx;
  const asked = askedDrill(config.settings, config.drill);
  const { pick: kind, ...rest } = asked;
  if (asked.how === "open" && kind !== ATTACK)
    return finished(proc, await openedDrill(proc, { ...rest, pick: kind }, startOf(proc), ctx));
  const programs = programsOf(proc);
  const path = drillPathOf(proc, asked);
  await prepareRoot(path);
  const { execId, pid } = proc.process;
  // In the drills' own directory: two drills of one stanza must not clean up each other's files, whatever their lock
  // path.
  const lock = acquireLock({ lockPath: path, stanza, kind: "drill", execId, pid });
  try {
    await cleanScratch(path, stanza, programs, ctx);
    const record =
      kind === ATTACK
        ? await makeAttack(proc, rest, path, ctx)
        : await makeDrill(proc, { ...rest, pick: kind }, { path, programs }, ctx);
    await saveDrill(proc.repositories(), config.spoolPath, record, ctx);
    return finished(proc, record);
  } finally {
    lock.release();
  }
};

function finished(proc: CommandProcess, record: DrillRecord): number {
  proc.print(proc.config.output === "json" ? renderDrill(record) : drillText(record));
  return Math.min(record.failures[0]?.code ?? 0, EXIT_CODE_MAX);
}

/**
 * Programs for a server next to production: this machine's, or those of its container's image.
 * @throws runtime as root without a container; userMissing (89)
 */
export function programsOf(proc: CommandProcess): DrillPrograms {
  const { config, container, users } = proc;
  if (container === undefined) {
    if (proc.self.uid === 0)
      throw fail("runtime", `${config.command} cannot run as root, because PostgreSQL refuses root`, {
        hint: "Run it as PostgreSQL's account.",
      });
    return programsOfHost(config.binPath, (key, dataDirectory) => restoreCommandLine(proc, key, dataDirectory));
  }
  const account = serverAccount(null, users.findUid, users.findGid);
  if (account === null)
    throw fail("userMissing", "the owner of the container's data directory is unknown, because the directory is gone", {
      hint: "Restore production first: pgbackstop recover.",
    });
  const source = { repos: proc.repositories(), timeoutMs: config.archive.timeoutMs };
  return programsOfImage(container, account, source);
}

/** Role of a server next to production: the superuser. */
export function sideUser({ config, container, self, users }: CommandProcess): string {
  const [pg] = config.pgs;
  return pg?.user ?? container?.superuser ?? users.userName(self.uid) ?? "postgres";
}

/** The unit's run identifies the record for its notification. */
function startOf({ machine, process: { beganMs } }: CommandProcess): Pick<JournalStart, "beganMs" | "invocationId"> {
  return { beganMs, invocationId: machine.environment["INVOCATION_ID"] };
}

/** Needs no PostgreSQL, and a few megabytes. */
function makeAttack(
  proc: CommandProcess,
  asked: Omit<AskedDrill, "pick">,
  path: string,
  ctx: Context,
): Promise<DrillRecord> {
  const { repoIndex, stanza = "" } = proc.config;
  return attackDrill(proc.repositories(), proc, { ...asked, ...startOf(proc), stanza, repoIndex, path }, ctx);
}

function makeDrill(
  proc: CommandProcess,
  asked: AskedDrill & { readonly pick: DrillPick | undefined },
  own: Pick<HostParts, "path" | "programs">,
  ctx: Context,
): Promise<DrillRecord> {
  const { config } = proc;
  const [pg] = config.pgs;
  const pool = proc.pool();
  // Threads start while the backup is chosen.
  pool.warm?.();
  const parts: HostParts = {
    pool,
    ...own,
    users: proc.users,
    self: proc.self,
    user: sideUser(proc),
    database: pg?.database ?? "postgres",
    openProduction: (database) => proc.newSession(database),
  };
  const options = drillOptions(config, asked, startOf(proc));
  return drill(new HostVenue(parts, ctx), proc.repositories(), options, ctx);
}

/** @throws optionInvalidValue for a path in a data directory */
export function requireOutsideData(
  proc: Invocation & Pick<ClusterAccess, "container" | "dataDirectory">,
  option: string,
  path: string,
  hint?: string,
): void {
  const directories = proc.container === undefined ? proc.config.pgs.map((pg) => pg.path) : [proc.dataDirectory];
  const inside = directories.find((directory) => `${path}/`.startsWith(`${directory}/`));
  if (inside === undefined) return;
  const fact = `'${path}' is not valid for '${option}' option: it is in the data directory '${inside}'`;
  throw fail("optionInvalidValue", fact, given({ hint }));
}

/**
 * The file system of the data directory most likely has space for a copy. Beside a container's there may be a folder of
 * its engine.
 */
function usualPath(proc: Invocation & Pick<ClusterAccess, "container" | "dataDirectory">): string | undefined {
  if (proc.config.pgs.length === 0) return undefined;
  return proc.container === undefined ? `${proc.dataDirectory}-drill` : DRILL_PATH;
}

export function drillPathOf(
  proc: Invocation & Pick<ClusterAccess, "container" | "dataDirectory">,
  asked: Pick<AskedDrill, "path">,
): string {
  const { config } = proc;
  const path = config.drill.path ?? asked.path ?? usualPath(proc);
  if (path === undefined)
    throw fail("optionRequired", "drill command requires option: drill-path", { hint: "Its default needs pg1-path." });
  requireOutsideData(proc, "drill-path", path, "Choose a directory beside it.");
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}

/**
 * From one repository, or from all when none is named; at this process's clock, without production's spool. A
 * tablespace that the WAL creates would be production's.
 */
export function restoreCommandLine(
  proc: Invocation & ProgramAccess,
  repoIndex: number | undefined,
  dataDirectory: string,
): string {
  const { config } = proc;
  const carried = config.carriedOptions.filter(
    (arg) => !/^--(pg1-path|repo|archive-async|no-archive-async|log-level-file)(=|$)/.test(arg),
  );
  const own = [
    `--pg1-path=${dataDirectory}`,
    ...(repoIndex === undefined ? [] : [`--repo=${repoIndex}`]),
    `--stanza=${config.stanza ?? ""}`,
    "--no-archive-async",
    "--log-level-file=off",
    "--log-level-console=warn",
    "--refuse-tablespace",
  ];
  return ownArchiveGet(proc, [...carried, ...own]);
}
