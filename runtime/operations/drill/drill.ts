/**
 * `drill`: a fire drill. It restores one backup of one repository into its own directory beside production, recovers it
 * with an isolated server, checks and times the result, and removes everything. Production is only queried, never
 * changed.
 *
 * Only the drilled repository provides files and WAL, so that no other one hides what it lacks. Errors of the drill are
 * recorded as its result. Only obstacles to starting one (another drill runs, no rights) are thrown.
 */
import { withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { UserNames } from "../../local/users";
import type { Session } from "../../postgres/session";
import type { Repository } from "../../repository/repository";
import type { JobPool } from "../shared/jobs";
import type { Owner } from "../restore/owners";
import type { RecoveryRequest } from "../restore/recovery";
import { type CheckInput, checkRunning, checkStopped, type DrillAssertion, type DrillLevel } from "./checks";
import { choose, type ChooseOptions, type Chosen } from "./chooseBackup";
import { DrillJournal } from "./drillJournal";
import { askReplayed, type Heartbeat, measureRpo } from "./measure";
import { boundedRestoreCommand } from "./neutral";
import type { Picked } from "./drillPlan";
import { askProduction, type ProductionFacts } from "./production";
import type { DrillObjectives, DrillRecord } from "./record";
import { makeScratch, removeScratch, type Scratch } from "./scratch";
import { type PreparedServer, prepareServer, restoreScratch } from "./drillServer";
import { requireSpace } from "../extract/extractSpace";

export interface DrillOptions extends ChooseOptions {
  readonly stanza: string;
  /** This machine's directory for drills. */
  readonly path: string;
  readonly binPath: string | undefined;
  readonly level: DrillLevel;
  /** For the drilled repository. */
  objectivesOf(turn: Pick<DrillRecord, "pick" | "repo">): DrillObjectives;
  readonly heartbeat: Heartbeat | undefined;
  readonly assertions: readonly DrillAssertion[];
  /** The drill fails when it takes longer. */
  readonly maxMinutes: number;
  /** Role and database to connect as. */
  readonly user: string;
  readonly database: string;
  /** {@link Context.clock}'s monotonic time at the program's start. */
  readonly beganMs: number;
}

export interface DrillDeps {
  readonly repos: readonly Repository[];
  readonly pool: JobPool;
  readonly users: UserNames;
  readonly self: Owner;
  /** Takes a repository key and a data directory. */
  restoreCommand(repoIndex: number, dataDirectory: string): string;
  /** A session with production's database, the configured one by default; the caller closes it. */
  openProduction(database?: string): Promise<Session>;
}

/** Space for WAL beside the files: what a small drill needs, whatever its backup's size. */
const WAL_SPACE_BYTES = 512 * 1024 * 1024;
const SPACE_FACTOR = 1.1;
const MINUTE_MS = 60_000;

export async function drill(deps: DrillDeps, options: DrillOptions, ctx: Context): Promise<DrillRecord> {
  const run = new Drill(deps, options, ctx);
  await withTimeTo(options.maxMinutes * MINUTE_MS, ctx.clock, (enough) => run.make(enough));
  return run.record();
}

class Drill {
  readonly #deps: DrillDeps;
  readonly #options: DrillOptions;
  readonly #ctx: Context;
  readonly #journal: DrillJournal;

  constructor(deps: DrillDeps, options: DrillOptions, ctx: Context) {
    this.#deps = deps;
    this.#options = options;
    this.#ctx = ctx;
    this.#journal = new DrillJournal(options, ctx);
  }

  /** Never throws: errors are in the record. */
  async make(enough: AbortSignal): Promise<void> {
    const ctx = { ...this.#ctx, signal: AbortSignal.any([this.#ctx.signal, enough]) };
    let scratch: Scratch | null = null;
    let server: PreparedServer | null = null;
    try {
      const chosen = await this.#choose(ctx);
      // Runs beside the restore: a real one would not wait for it.
      const asked = this.#askProduction(chosen, ctx).catch(() => null);
      scratch = await makeScratch(this.#options.path, this.#options.stanza, this.#journal.id, PORT);
      this.#journal.next("restore");
      await this.#restore(chosen, scratch, ctx);
      const production = await asked;
      this.#journal.next("recovery");
      const prepared = await this.#prepare(chosen, scratch, production, ctx);
      server = prepared;
      const session = await prepared.server.connectFirst(ctx);
      this.#journal.connected();
      this.#journal.next("checks");
      try {
        await this.#endingWith(prepared, ctx.signal, () => this.#check(chosen, prepared, session, production, ctx));
      } finally {
        await session.close();
      }
    } catch (error) {
      this.#journal.fail(
        this.#journal.phase,
        enough.aborted && !this.#ctx.signal.aborted ? this.#tooLong() : toBackupError(error),
      );
    }
    this.#journal.next("delete");
    await this.#remove(scratch, server);
    this.#journal.next("end");
    this.#journal.judge();
  }

  record(): DrillRecord {
    return this.#journal.record();
  }

  async #choose(ctx: Context): Promise<Chosen> {
    const chosen = await choose(this.#deps.repos, this.#options, this.#journal, ctx);
    const needed = Math.ceil(chosen.picked.backup.sizeBytes * SPACE_FACTOR) + WAL_SPACE_BYTES;
    await requireSpace(this.#options.path, needed, "the drill", "Choose another directory with --drill-path.");
    return chosen;
  }

  /** Only a cluster of the same identity is the one that was backed up. */
  async #askProduction({ info, picked }: Chosen, ctx: Context): Promise<ProductionFacts | null> {
    const facts = await askProduction((database) => this.#deps.openProduction(database), ctx);
    const own = info.history.find(({ id }) => id === picked.backup.dbId);
    return facts !== null && facts.systemId === own?.systemId ? facts : null;
  }

  async #restore({ picked, repo }: Chosen, scratch: Scratch, ctx: Context): Promise<void> {
    const options = {
      set: picked.backup.label,
      typeIsDefault: picked.type === "default",
      recovery: recoveryOf(picked, ""),
    };
    const outcome = await restoreScratch([repo], scratch, this.#deps, options, ctx);
    this.#journal.restoredBytes = outcome.sizeBytes;
  }

  #prepare(
    chosen: Chosen,
    scratch: Scratch,
    production: ProductionFacts | null,
    ctx: Context,
  ): Promise<PreparedServer> {
    const { binPath, database, user } = this.#options;
    const { info, newestWal, picked, repo } = chosen;
    const command = boundedRestoreCommand(this.#deps.restoreCommand(repo.key, scratch.dataDirectory), newestWal);
    const version = info.history.find(({ id }) => id === picked.backup.dbId)?.pgVersion ?? "";
    const recovery = recoveryOf(picked, command);
    return prepareServer(
      { scratch, version, binPath, user, database, recovery, preload: production?.preload, port: PORT },
      ctx,
    );
  }

  /** A query that runs when the drill must end, even the user's own, ends with the server. */
  async #endingWith({ server }: PreparedServer, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const end = (): void => void server.end(this.#ctx).catch(() => {});
    signal.addEventListener("abort", end, { once: true });
    try {
      await work();
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  async #check(
    chosen: Chosen,
    prepared: PreparedServer,
    session: Session,
    production: ProductionFacts | null,
    ctx: Context,
  ): Promise<void> {
    const { newestWal, picked } = chosen;
    const { assertions, heartbeat, level, user } = this.#options;
    const { server } = prepared;
    if (picked.type === "default") {
      const connect = (database?: string): Promise<Session> => server.connect(database);
      const rpo = {
        faultAtS: this.#journal.beganAtMs / 1000,
        backupStoppedAtS: picked.backup.stoppedAtS,
        production,
        heartbeat,
        connect,
      };
      try {
        this.#journal.rpo = await measureRpo({ ...rpo, replayed: await askReplayed(session) });
      } catch (error) {
        // An error of the heartbeat's statement does not prevent the other checks.
        if (ctx.signal.aborted) throw error;
        this.#journal.fail("rpo", toBackupError(error));
      }
    }
    const input: CheckInput = {
      server,
      session,
      programs: prepared.programs,
      dataDirectory: prepared.dataDirectory,
      host: prepared.socketDirectory,
      port: PORT,
      user,
      level,
      assertions,
      picked,
      control: prepared.control,
      newestWal,
      production: picked.type === "default" ? (production?.counts ?? null) : null,
      lostWalBytes: this.#journal.rpo?.lostWalBytes ?? null,
    };
    this.#journal.keep(await checkRunning(input, ctx));
    await session.close();
    await server.stop(ctx);
    this.#journal.keep(await checkStopped(input, ctx));
  }

  /** Runs after any outcome, even after the signal to end. */
  async #remove(scratch: Scratch | null, prepared: PreparedServer | null): Promise<void> {
    try {
      await prepared?.server.end(this.#ctx);
      if (scratch !== null) await removeScratch(scratch.path);
    } catch (error) {
      this.#journal.fail("delete", toBackupError(error, "pathRemove"));
    }
  }

  #tooLong(): BackupError {
    return fail("runtime", `the drill took longer than ${this.#options.maxMinutes} minutes`, {
      hint: "Allow more with --max-minutes.",
    });
  }
}

/** No other account can enter the directory, so any port works; this one does not look like production's. */
const PORT = 54329;

function recoveryOf(picked: Picked, restoreCommand: string): RecoveryRequest {
  return {
    type: picked.type,
    target: picked.target,
    targetAction: "promote",
    targetExclusive: false,
    targetTimeline: undefined,
    archiveMode: "off",
    restoreCommand,
    options: {},
  };
}
