/** `drill`: one fire drill alongside production; exits with 0, or with the code of the first failure. */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { acquireLock } from "../../local/lockFile";
import { askedDrill, type AskedDrill, drillOptions } from "../../operations/drill/askedDrill";
import { attackDrill } from "../../operations/drill/attackDrill";
import { drill } from "../../operations/drill/drill";
import type { JournalStart } from "../../operations/drill/drillJournal";
import { type HostParts, HostVenue } from "../../operations/drill/hostVenue";
import { saveDrill } from "../../operations/drill/history";
import { ATTACK, type DrillPick, type DrillRecord, renderDrill } from "../../operations/drill/record";
import { drillText } from "../../operations/drill/drillReport";
import { cleanScratch, prepareRoot } from "../../operations/drill/scratch";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { drillPathOf, programsOf, sideUser } from "./besideProduction";
import { openedDrill } from "./openedDrill";
import { ownHistory } from "../ownHistory";

const EXIT_CODE_MAX = 125;

export const drillCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { stanza = "" } = config;
  const asked = askedDrill(config);
  const { pick, ...others } = asked;
  if (asked.dump !== undefined && (asked.how === "open" || pick === ATTACK))
    throw fail("optionInvalid", "option 'dump' is valid only for a drill that restores a backup");
  if (asked.how === "open" && pick !== ATTACK)
    return finished(proc, await openedDrill(proc, { ...others, pick }, startOf(proc), ctx));
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
      pick === ATTACK
        ? await makeAttack(proc, others, path, ctx)
        : await makeDrill(proc, { ...others, pick }, { path, programs }, ctx);
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
    history: () => ownHistory(proc),
  };
  const options = drillOptions(config, asked, startOf(proc));
  return drill(new HostVenue(parts, ctx), proc.repositories(), options, ctx);
}
