/**
 * A fire drill. It restores one backup of one repository alongside production, recovers it with an isolated server,
 * checks and times the result, and removes everything. Production is only queried, never changed. It happens at a
 * {@link DrillVenue}: in a directory of a host, or in a throw-away Cluster.
 *
 * Only the drilled repository provides files and WAL, so that no other one hides what it lacks. Errors of the drill are
 * recorded as its result. Only obstacles to starting one (another drill runs, no rights) are thrown.
 */
import { withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { Session } from "../../postgres/session";
import type { Repository } from "../../repository/repository";
import type { CheckInput, DrillAssertion } from "./checks";
import { choose, type ChooseOptions, type Chosen } from "./chooseBackup";
import { DrillJournal, type JournalStart } from "./drillJournal";
import { type Heartbeat, measureRpo, type Replayed } from "./measure";
import { askProduction, type ProductionFacts } from "./production";
import type { DrillRecord } from "./record";

export interface DrillOptions extends ChooseOptions, JournalStart {
  readonly heartbeat: Heartbeat | undefined;
  readonly assertions: readonly DrillAssertion[];
  /** A logical dump to load into the restored server: its label, or `latest`. */
  readonly dump?: string;
  /** The drill fails when it takes longer. */
  readonly maxMinutes: number;
}

/** A drill under way. */
export interface DrillRun {
  readonly options: DrillOptions;
  readonly chosen: Chosen;
  readonly journal: DrillJournal;
  /** Its signal also ends the drill when it takes too long. */
  readonly ctx: Context;
}

/** Where a drill restores. It keeps what it has made. */
export interface DrillVenue {
  /** Production's history, which the drill follows; null if it cannot be asked. */
  history(): Promise<ServerHistory | null>;
  /** A session with production's database, the configured one by default; the caller closes it. */
  openProduction(database?: string): Promise<Session>;
  /** Absent: space is not limited. */
  requireSpace?(chosen: Chosen): Promise<void>;
  /** Ends when the server has accepted a connection; names its phases in the journal. */
  restore(run: DrillRun, production: Promise<ProductionFacts | null>): Promise<void>;
  check(run: DrillRun, production: ProductionFacts | null): Promise<void>;
  /** Runs after any outcome, even after the signal to end. */
  remove(): Promise<void>;
  /** For the error of a drill that takes too long; empty when there is nothing to say. */
  state(): Promise<string>;
}

const MINUTE_MS = 60_000;

export async function drill(
  venue: DrillVenue,
  repos: readonly Repository[],
  options: DrillOptions,
  ctx: Context,
): Promise<DrillRecord> {
  const journal = new DrillJournal(options, ctx);
  await withTimeTo(options.maxMinutes * MINUTE_MS, ctx.clock, async (enough) => {
    try {
      await make(venue, repos, options, journal, { ...ctx, signal: AbortSignal.any([ctx.signal, enough]) });
    } catch (error) {
      const isTooLong = enough.aborted && !ctx.signal.aborted;
      journal.fail(journal.phase, isTooLong ? tooLong(options, await venue.state()) : toBackupError(error));
    }
    journal.next("delete");
    try {
      await venue.remove();
    } catch (error) {
      journal.fail("delete", toBackupError(error, "pathRemove"));
    }
  });
  journal.next("end");
  journal.judge();
  return journal.record();
}

async function make(
  venue: DrillVenue,
  repos: readonly Repository[],
  options: DrillOptions,
  journal: DrillJournal,
  ctx: Context,
): Promise<void> {
  const chosen = await choose(repos, options, await venue.history(), journal, ctx);
  await venue.requireSpace?.(chosen);
  const run = { options, chosen, journal, ctx };
  // Runs alongside the restore: a real one would not wait for it.
  const asked = askSource(venue, run).catch(() => null);
  await venue.restore(run, asked);
  journal.connected();
  journal.next("checks");
  await venue.check(run, await asked);
}

/** Only a cluster of the same identity is the one that was backed up. */
async function askSource(venue: DrillVenue, { chosen, ctx }: DrillRun): Promise<ProductionFacts | null> {
  const facts = await askProduction((database) => venue.openProduction(database), ctx);
  const own = chosen.info.history.find(({ id }) => id === chosen.picked.backup.dbId);
  return facts !== null && facts.systemId === own?.systemId ? facts : null;
}

function tooLong({ maxMinutes }: DrillOptions, state: string): BackupError {
  return fail("runtime", `the drill took longer than ${maxMinutes} minutes${state === "" ? "" : `; ${state}`}`, {
    hint: "Allow more with --max-minutes.",
  });
}

/** Measures the loss of a restore to the newest point; another target has none. */
export async function recordRpo(
  { options, chosen, journal, ctx }: DrillRun,
  production: ProductionFacts | null,
  replayed: () => Promise<Replayed>,
  connect: (database?: string) => Promise<Session>,
): Promise<void> {
  const { backup, type } = chosen.picked;
  if (type !== "default") return;
  const { heartbeat } = options;
  const faultAtS = journal.beganAtMs / 1000;
  try {
    const facts = { faultAtS, backupStoppedAtS: backup.stoppedAtS, production, heartbeat, connect };
    journal.rpo = await measureRpo({ ...facts, replayed: await replayed() });
  } catch (error) {
    // An error of the heartbeat's statement does not prevent the other checks.
    ctx.signal.throwIfAborted();
    journal.fail("rpo", toBackupError(error));
  }
}

/** Counts to compare, only for a restore to the newest point: what production has counted since, no other one has. */
function comparable({ chosen }: DrillRun, production: ProductionFacts | null): ProductionFacts["counts"] | null {
  return chosen.picked.type === "default" ? (production?.counts ?? null) : null;
}

type Expected = Pick<CheckInput, "assertions" | "level" | "lostWalBytes" | "newestWal" | "picked" | "production">;

/** What the checks compare the server with, once the loss was measured. */
export function expectedOf(run: DrillRun, production: ProductionFacts | null): Expected {
  const { assertions, level } = run.options;
  const { newestWal, picked } = run.chosen;
  const lostWalBytes = run.journal.rpo?.lostWalBytes ?? null;
  return { assertions, level, lostWalBytes, newestWal, picked, production: comparable(run, production) };
}
