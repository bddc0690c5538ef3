/**
 * A drill's directory on a host, next to the data directory, with a server that no other account can reach. If
 * production runs in a container, the server runs in another one of its image.
 */
import type { AccountIds } from "../../local/actAs";
import type { Context } from "../../base/context";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import type { UserNames } from "../../local/users";
import type { Session } from "../../postgres/session";
import { requireSpace } from "../extract/extractSpace";
import type { RecoveryRequest } from "../restore/recovery";
import type { JobPool } from "../shared/jobs";
import { type CheckInput, checkRunning, checkStopped, timedCheck } from "./checks";
import { checkDumpLoads } from "./dumpCheck";
import type { Chosen } from "./chooseBackup";
import { type DrillRun, type DrillVenue, expectedOf, recordRpo } from "./drill";
import type { Picked } from "./drillPlan";
import { type PreparedServer, prepareServer, restoreScratch } from "./drillServer";
import { askReplayed } from "./measure";
import type { DrillPrograms } from "./drillPrograms";
import { boundedRestoreCommand } from "./neutral";
import type { ProductionFacts } from "./production";
import { makeScratch, removeScratch, type Scratch } from "./scratch";
import type { WalOffer } from "./walOffer";

export interface HostParts {
  readonly pool: JobPool;
  readonly users: UserNames;
  readonly self: AccountIds;
  /** This machine's directory for drills. */
  readonly path: string;
  readonly programs: DrillPrograms;
  /** Role and database to connect as. */
  readonly user: string;
  readonly database: string;
  openProduction: DrillVenue["openProduction"];
  history: DrillVenue["history"];
}

/** Space for WAL next to the files: what a small drill needs, whatever its backup's size. */
const WAL_SPACE_BYTES = 512 * 1024 * 1024;
const SPACE_FACTOR = 1.1;
/** No other account can enter the directory, so any port works; this one does not look like production's. */
const PORT = 54329;

export class HostVenue implements DrillVenue {
  readonly #parts: HostParts;
  /** Without the signal to end. */
  readonly #ctx: Context;
  #scratch: Scratch | null = null;
  #offer: WalOffer | null = null;
  #server: PreparedServer | null = null;
  #session: Session | null = null;

  constructor(parts: HostParts, ctx: Context) {
    this.#parts = parts;
    this.#ctx = ctx;
  }

  history(): Promise<ServerHistory | null> {
    return this.#parts.history();
  }

  openProduction(database?: string): Promise<Session> {
    return this.#parts.openProduction(database);
  }

  async requireSpace({ picked }: Chosen): Promise<void> {
    const needed = Math.ceil(picked.backup.sizeBytes * SPACE_FACTOR) + WAL_SPACE_BYTES;
    await requireSpace(this.#parts.path, needed, "the drill", "Choose another directory with --drill-path.");
  }

  async restore(run: DrillRun, production: Promise<ProductionFacts | null>): Promise<void> {
    const { chosen, ctx, journal, options } = run;
    const { picked, repo, targetTimeline } = chosen;
    const { account } = this.#parts.programs;
    this.#scratch = await makeScratch(this.#parts.path, options.stanza, { account, id: journal.id, port: PORT });
    journal.next("restore");
    const wanted = {
      set: picked.backup.label,
      typeIsDefault: picked.type === "default",
      recovery: recoveryOf(picked, "", targetTimeline),
    };
    const outcome = await restoreScratch([repo], this.#scratch, this.#parts, wanted, ctx);
    journal.restoredBytes = outcome.sizeBytes;
    const facts = await production;
    journal.next("recovery");
    this.#server = await this.#prepare(chosen, this.#scratch, facts?.preload, ctx);
    this.#session = await this.#server.server.connectFirst(ctx);
  }

  async #prepare(
    { info, newestWal, picked, repo, targetTimeline }: Chosen,
    scratch: Scratch,
    preload: string | undefined,
    ctx: Context,
  ): Promise<PreparedServer> {
    const { database, user } = this.#parts;
    const version = info.history.find(({ id }) => id === picked.backup.dbId)?.pgVersion ?? "";
    const programs = await this.#parts.programs.find(version, scratch.path, ctx.signal);
    this.#offer = await this.#parts.programs.offerWal(scratch, repo.key, ctx);
    const command = boundedRestoreCommand(this.#offer.restoreCommand, newestWal);
    const recovery = recoveryOf(picked, command, targetTimeline);
    return prepareServer({ scratch, programs, user, database, recovery, preload, port: PORT }, ctx);
  }

  async check(run: DrillRun, production: ProductionFacts | null): Promise<void> {
    const [prepared, session] = [this.#server, this.#session];
    if (prepared === null || session === null) return;
    const { signal } = run.ctx;
    // A query that runs when the drill must end, even the user's own, ends with the server.
    const end = (): void => void prepared.server.end(this.#ctx).catch(() => {});
    if (signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
    try {
      await this.#checkServer(run, prepared, session, production);
    } finally {
      signal.removeEventListener("abort", end);
      await session.close();
    }
  }

  async #checkServer(
    run: DrillRun,
    prepared: PreparedServer,
    session: Session,
    production: ProductionFacts | null,
  ): Promise<void> {
    const { ctx, journal } = run;
    const { server } = prepared;
    await recordRpo(
      run,
      production,
      () => askReplayed(session),
      (database) => server.connect(database),
    );
    const input: CheckInput = {
      ...prepared,
      session,
      host: prepared.socketDirectory,
      port: PORT,
      user: this.#parts.user,
      ...expectedOf(run, production),
    };
    journal.keep(await checkRunning(input, ctx));
    const { dump } = run.options;
    const asked = { ...input, repo: run.chosen.repo, path: this.#parts.path };
    if (dump !== undefined)
      journal.keep([await timedCheck("pg_restore", () => checkDumpLoads({ ...asked, dump }, ctx), ctx)]);
    await session.close();
    await server.stop(ctx);
    journal.keep(await checkStopped(input, ctx));
  }

  async remove(): Promise<void> {
    await this.#server?.server.end(this.#ctx);
    await this.#offer?.stop();
    if (this.#scratch !== null) await removeScratch(this.#scratch.path);
  }

  async state(): Promise<string> {
    return "";
  }
}

function recoveryOf(picked: Picked, restoreCommand: string, targetTimeline: string | undefined): RecoveryRequest {
  return {
    type: picked.type,
    target: picked.target,
    targetAction: "promote",
    targetExclusive: false,
    targetTimeline,
    archiveMode: "off",
    restoreCommand,
    options: {},
  };
}
