/**
 * A drill that opens its backup instead of restoring it: seconds instead of hours, and only what is read is fetched.
 *
 * Root mounts and closes it. Everything else, the repositories and the record among them, has the rights of
 * PostgreSQL's account: the whole drill acts as it, and nothing else runs while root's rights are needed.
 */
import type { Context } from "../../base/context";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import { fail } from "../../base/errors";
import { actAs, actAsRoot } from "../../local/actAs";
import { type AskedDrill, drillOptions } from "../../operations/drill/askedDrill";
import { checkRunning } from "../../operations/drill/checks";
import { drill, type DrillRun, type DrillVenue, expectedOf, recordRpo } from "../../operations/drill/drill";
import type { JournalStart } from "../../operations/drill/drillJournal";
import { saveDrill } from "../../operations/drill/history";
import { askReplayed } from "../../operations/drill/measure";
import type { ProductionFacts } from "../../operations/drill/production";
import type { DrillPick, DrillRecord } from "../../operations/drill/record";
import { loadState, type OpenLocation } from "../../operations/open/openLocation";
import { loadControlFile } from "../../postgres/controlFile";
import { findPrograms, type Programs } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import type { CommandProcess } from "../../process/commandProcess";
import { ownHistory } from "../ownHistory";
import { OWN_PORT, OwnOpened } from "./ownOpened";
import { asAccountArgs } from "./recoverTools";

/** The record is saved. @throws optionInvalid for a container; what `open` refuses */
export async function openedDrill(
  proc: CommandProcess,
  asked: AskedDrill & { readonly pick: DrillPick | undefined },
  start: Pick<JournalStart, "beganMs" | "invocationId">,
  ctx: Context,
): Promise<DrillRecord> {
  const { config, container } = proc;
  if (container !== undefined)
    throw fail("optionInvalid", "drill has --how=open only for a server that runs on this machine", {
      hint: "Omit --how: the backup is restored into a container of the server's image.",
    });
  const opened = await OwnOpened.begin(proc, ["backup"], asked);
  try {
    return await actAs(opened.account, async () => {
      const repos = proc.repositories();
      const record = await drill(new OpenedVenue(proc, opened), repos, drillOptions(config, asked, start), ctx);
      await saveDrill(repos, config.spoolPath, record, ctx);
      return record;
    });
  } finally {
    await opened.end();
  }
}

class OpenedVenue implements DrillVenue {
  readonly #proc: CommandProcess;
  readonly #opened: OwnOpened;
  #at: { readonly location: OpenLocation; readonly session: Session } | null = null;

  constructor(proc: CommandProcess, opened: OwnOpened) {
    this.#proc = proc;
    this.#opened = opened;
  }

  history(): Promise<ServerHistory | null> {
    return ownHistory(this.#proc);
  }

  openProduction(database?: string): Promise<Session> {
    return this.#proc.newSession(database);
  }

  async restore({ chosen, ctx, journal }: DrillRun, production: Promise<ProductionFacts | null>): Promise<void> {
    const { picked, repo, targetTimeline } = chosen;
    // Production knows its account, and not root, which opens.
    await production;
    journal.next("open");
    const { target, type } = picked;
    const restore = {
      target,
      targetExclusive: false,
      targetTimeline,
      type,
      typeIsDefault: type === "default",
    };
    const moment = { repoIndex: repo.key, set: picked.backup.label, restore };
    const location = await actAsRoot(() => this.#opened.open("backup", moment, ctx.signal));
    const [pg] = this.#proc.config.pgs;
    this.#at = { location, session: await this.#opened.connect(location, pg?.database ?? "postgres", ctx.signal) };
  }

  /** The server's own checks. What is read is verified; a shutdown of an opened server shows nothing more. */
  async check(run: DrillRun, production: ProductionFacts | null): Promise<void> {
    if (this.#at === null) return;
    const { location, session } = this.#at;
    const { ctx, journal } = run;
    const connect = (database = "postgres"): Promise<Session> => this.#opened.connect(location, database, ctx.signal);
    await recordRpo(run, production, () => askReplayed(session), connect);
    const { control } = await loadControlFile(location.at, ctx);
    const input = {
      server: { connect },
      programs: await this.#programs(location, ctx),
      control,
      session,
      dataDirectory: location.at,
      host: location.folder,
      port: OWN_PORT,
      user: this.#opened.user,
      ...expectedOf(run, production),
    };
    journal.keep(await checkRunning(input, ctx));
    journal.fetched = await this.#opened.fetched(location);
  }

  /** Their own processes give up root's rights for good. */
  async #programs(location: OpenLocation, { signal }: Context): Promise<Programs> {
    const major = (await loadState(location))?.backup?.pgVersion ?? "";
    const programs = await findPrograms(major, this.#proc.config.binPath, signal, asAccountArgs(this.#opened.account));
    return {
      directory: programs.directory,
      has: (name) => programs.has(name),
      hasLibrary: (name) => programs.hasLibrary(name),
      command: (name, args) => programs.command(name, args),
      run: (name, args, options) => actAsRoot(() => programs.run(name, args, options)),
      endLeft: () => programs.endLeft(),
    };
  }

  remove(): Promise<void> {
    return actAsRoot(() => this.#opened.close());
  }

  async state(): Promise<string> {
    return "";
  }
}
