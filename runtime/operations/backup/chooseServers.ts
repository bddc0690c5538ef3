/**
 * Chooses the configured clusters that a backup talks to and copies from ("pgbackrest-format" 15, steps 2 and 7).
 *
 * The primary starts and stops the backup. With `backup-standby` its relations are copied from a standby that has
 * replayed past the start. If only a standby can be reached, as alongside an instance of CloudNativePG, it alone
 * starts, stops and provides the backup; the primary's archiver provides the WAL.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { formatLsn, parseLsn } from "../../format/wal/walSegment";
import { isSameDirectory } from "../../local/sameDirectory";
import type { ServerView } from "../../postgres/container/serverPaths";
import type { ServerFacts, Session } from "../../postgres/session";
import { atLeast } from "../../postgres/versions";

export type StandbyMode = "n" | "prefer" | "y";

export interface ServerChoice {
  readonly mode: StandbyMode;
  /** A standby alone is enough in mode "n" too. */
  readonly standbyAlone: boolean;
}

export interface ServerCandidate {
  /** 1 for `pg1-…`. */
  readonly key: number;
  readonly dataDirectory: string;
  /** How a server in a container calls its paths. */
  readonly view?: ServerView | undefined;
  connect(): Promise<Session>;
}

export interface Server {
  readonly key: number;
  readonly dataDirectory: string;
  readonly view: ServerView | undefined;
  readonly session: Session;
  readonly facts: ServerFacts;
}

export interface Servers {
  /** The primary; a standby when it is the only one. */
  readonly main: Server;
  /** Source of the relations; null reads everything from `main`. */
  readonly standby: Server | null;
}

/** @throws dbConnect (56) when a server that the mode needs is unreachable; dbMismatch, versionNotSupported */
export async function chooseServers(
  candidates: readonly ServerCandidate[],
  choice: ServerChoice,
  ctx: Context,
): Promise<Servers> {
  const { mode } = choice;
  const primaries: Server[] = [];
  const standbys: Server[] = [];
  const errors: { readonly key: number; readonly error: BackupError }[] = [];
  for (const candidate of candidates) {
    // As in stock, a cluster that is not needed may be down.
    if (mode === "n" ? primaries.length > 0 : primaries.length > 0 && standbys.length > 0) break;
    try {
      const session = await candidate.connect();
      const server = {
        key: candidate.key,
        dataDirectory: candidate.dataDirectory,
        view: candidate.view,
        session,
        facts: await session.facts(),
      };
      (server.facts.inRecovery ? standbys : primaries).push(server);
    } catch (error) {
      errors.push({ key: candidate.key, error: toBackupError(error) });
    }
  }
  const [primary, ...others] = primaries;
  const [standby] = standbys;
  if (primary === undefined && standby === undefined && errors[0] !== undefined) throw errors[0].error;
  for (const { key, error } of errors) ctx.log.warn(`unable to check pg${key}: [${error.name}] ${error.message}`);
  if (others.length > 0) throw fail("dbConnect", "more than one primary cluster found");
  const chosen = chosenOf(primary, standby, choice, ctx);
  for (const server of [chosen.main, chosen.standby]) if (server !== null) checkServer(server);
  return chosen;
}

function chosenOf(
  primary: Server | undefined,
  standby: Server | undefined,
  { mode, standbyAlone }: ServerChoice,
  ctx: Context,
): Servers {
  if (primary === undefined) {
    if (standby === undefined || (mode === "n" && !standbyAlone)) {
      throw fail("dbConnect", "unable to find primary cluster - cannot proceed", {
        hint: ["are all available clusters in recovery?", "With backup-standby=y or prefer a standby alone is enough."],
      });
    }
    ctx.log.info(`unable to reach a primary: taking the backup from the standby of pg${standby.key} alone`);
    return { main: standby, standby: null };
  }
  if (standby === undefined && mode === "y") throw fail("dbConnect", "unable to find standby cluster - cannot proceed");
  if (standby === undefined && mode === "prefer")
    ctx.log.warn("unable to find a standby to perform the backup, using primary instead");
  return { main: primary, standby: mode === "n" ? null : (standby ?? null) };
}

function checkServer({ key, dataDirectory, facts }: Server): void {
  checkVersion(facts.version);
  if (isSameDirectory(facts.dataDirectory, dataDirectory)) return;
  throw fail(
    "dbMismatch",
    `version '${facts.version}' and path '${facts.dataDirectory}' queried from cluster do not match path '${dataDirectory}' of pg${key}-path`,
    { hint: `the pg${key}-path and pg${key}-port settings likely reference different clusters.` },
  );
}

/** @throws versionNotSupported (46) */
export function checkVersion(version: string): void {
  if (!atLeast(version, 14))
    throw fail("versionNotSupported", `PostgreSQL ${version} is not supported, only 14 to 19 are`);
}

const POLL_MS = 100;

/**
 * Waits until the standby's pages on disk are not older than the backup's start: it has replayed past it and then made
 * a restart point. The timeout restarts while the standby makes progress.
 * @throws archiveTimeout (82), dbMismatch (58) for another timeline
 */
export async function waitForStandby(
  { session }: Server,
  startLsn: string,
  timeline: number,
  timeoutMs: number,
  ctx: Context,
): Promise<void> {
  const target = parseLsn(startLsn);
  ctx.log.info(`wait for replay on the standby to reach ${startLsn}`);
  const replayed = await untilReached(() => session.replayLsn(), target, timeoutMs, ctx);
  if (replayed <= target)
    throw standbyTimeout(`timeout before standby replayed to ${startLsn} - only reached ${formatLsn(replayed)}`);
  ctx.log.info(`replay on the standby reached ${formatLsn(replayed)}`);
  const restart = async (): Promise<bigint> => {
    await session.checkpoint();
    // Plus one: a restart point exactly at the start counts as reached.
    return (await session.controlCheckpoint()).lsn + 1n;
  };
  const reached = await untilReached(restart, target, timeoutMs, ctx);
  if (reached <= target)
    throw standbyTimeout(
      `timeout before standby checkpoint lsn reached ${startLsn} - only reached ${formatLsn(reached - 1n)}`,
    );
  const actual = (await session.controlCheckpoint()).timeline;
  if (actual !== timeline) throw fail("dbMismatch", `standby is on timeline ${actual} but expected ${timeline}`);
}

async function untilReached(
  position: () => Promise<bigint>,
  target: bigint,
  timeoutMs: number,
  ctx: Context,
): Promise<bigint> {
  let last = await position();
  let deadline = ctx.clock.monotonicMs() + timeoutMs;
  while (last <= target && ctx.clock.monotonicMs() < deadline) {
    await ctx.clock.sleep(POLL_MS, ctx.signal);
    const now = await position();
    if (now > last) deadline = ctx.clock.monotonicMs() + timeoutMs;
    last = now;
  }
  return last;
}

function standbyTimeout(message: string): BackupError {
  return fail("archiveTimeout", message, {
    hint: [
      "is replication running and current on the standby?",
      "disable the 'backup-standby' option to backup directly from the primary.",
    ],
  });
}

/** @throws dbMismatch (58) when a server has changed its role since the backup began */
export async function requireSameRoles({ main, standby }: Servers): Promise<void> {
  if (!main.facts.inRecovery && (await main.session.inRecovery()))
    throw fail("dbMismatch", "primary has switched to recovery");
  const copiedFrom = main.facts.inRecovery ? main : standby;
  if (copiedFrom !== null && !(await copiedFrom.session.inRecovery())) {
    throw fail("dbMismatch", "standby is no longer in recovery", {
      hint: "was the standby promoted during the backup?",
    });
  }
}
