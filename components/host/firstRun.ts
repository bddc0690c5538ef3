/** The check of archiving and the first backups of an update, also those after a gap in the WAL. */
import type { LogLine } from "./connection";
import {
  type Destination,
  destinationText,
  indexOf,
  isMoved,
  lackingFull,
  renderDestinations,
  repositoriesIn,
} from "./hostDestinations";
import type { HostOutcome } from "./hostIdentity";
import { type EngineVerbs, readDestinations, type RuntimeOnHost } from "./runtimeVerbs";

interface FirstRun {
  readonly desired: { readonly firstBackup: boolean; readonly locations?: Readonly<Record<string, string>> };
  /** Its `destinations` and `locations` are those of the last update that ended. */
  readonly outcome: Pick<HostOutcome, "firstBackup" | "walGap"> &
    Partial<Pick<HostOutcome, "destinations" | "locations">>;
  readonly log: LogLine;
}

const GAP = "the server has not archived until now, so the WAL since the last backup is in no repository";

/**
 * Proves that WAL arrives, then takes the backups that are missing.
 * @throws Error also if a repository cannot be read: whether it lacks a backup is unknown then
 */
export async function applyFirstRun(first: FirstRun, runtime: RuntimeOnHost, verbs: EngineVerbs): Promise<void> {
  const { desired, outcome } = first;
  await takeMissing(first, runtime, verbs);
  if (desired.locations === undefined) delete outcome.locations;
  else outcome.locations = desired.locations;
}

async function takeMissing(
  { desired, outcome, log }: FirstRun,
  runtime: RuntimeOnHost,
  verbs: EngineVerbs,
): Promise<void> {
  log("checking that WAL reaches the repositories");
  await verbs.checkArchiving();
  const hasGap = outcome.walGap === true;
  const { locations: known = {} } = outcome;
  const { locations: declared = {} } = desired;
  if (!desired.firstBackup) {
    outcome.firstBackup = "off";
    delete outcome.walGap;
    if (hasGap) log(`WARN: ${GAP}; take a backup with: pgbackstop backup`);
    return;
  }
  const destinations = await readDestinations(runtime);
  const lacking = lackingFull(renderDestinations(destinations));
  const unread = destinations.filter(({ error }) => error !== undefined);
  const names = repositoriesIn(outcome.destinations);
  const isAdded = (repository: string): boolean =>
    (names.length > 0 && !names.includes(repository)) || isMoved(repository, known, declared);
  const outdated = destinations.filter(
    ({ newestFull, repository }) => newestFull !== null && (hasGap || isAdded(repository)),
  );
  if (lacking.length === 0 && outdated.length === 0 && unread.length === 0) {
    if (outcome.firstBackup !== "taken") outcome.firstBackup = "found";
    return;
  }
  outcome.firstBackup = "waiting";
  await takeFull(lacking, destinations, verbs, log);
  if (outdated.length > 0) {
    const outdatedNames = outdated.map(({ repository }) => repository);
    const fact = hasGap ? GAP : "the last update sent no WAL there, so some since its last backup may be missing";
    log(`${fact}: taking an incremental backup for ${outdatedNames.join(" and ")}`);
    await verbs.takeIncremental(outdatedNames.map(indexOf), outdated.length === destinations.length);
  }
  // The gap stays on record: this repository may have a backup from before it.
  if (unread.length > 0)
    throw new Error(
      `${unread.map(destinationText).join("; ")}: whether backups are missing there is unknown; run the update again`,
    );
  delete outcome.walGap;
  outcome.firstBackup = "taken";
}

/** A repository that is new, or lost its backups, gets a full one: WAL alone restores nothing. */
async function takeFull(
  lacking: readonly number[],
  destinations: readonly Destination[],
  verbs: EngineVerbs,
  log: LogLine,
): Promise<void> {
  if (lacking.length === 0) return;
  const isAll = destinations.every(({ error, newestFull }) => error === undefined && newestFull === null);
  if (isAll) log("taking the first backup");
  else
    log(
      `taking a full backup for ${lacking.map((repoIndex) => `repo${repoIndex}`).join(" and ")}, which ${lacking.length === 1 ? "has" : "have"} none`,
    );
  await verbs.takeFull(lacking, isAll);
}
