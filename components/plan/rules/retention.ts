/** Whether retention meets the objectives and agrees with object locks and versions. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import { factsOf, type RepositoryPlan } from "../repositories/repositoryTypes";
import { backupsPerDay, longestGapMinutes, runningSchedules, type Schedule } from "../schedule/schedule";
import { archiveWindowDays } from "../schedule/archiveWindow";
import { abstaining, eachOf } from "../findings/abstain";
import { KEEP_CLASSES, type KeepClass } from "../repositories/repositoryType";

const UNDELETE_DAYS_MIN = 7;
/** No hint asks for fewer. */
const KEEP_DAYS_MIN = 7;
const MINUTES_PER_DAY = 1440;
/** The longest period of each class. */
const PERIOD_DAYS = { daily: 1, weekly: 7, monthly: 31, yearly: 366 } as const satisfies Record<KeepClass, number>;
/** Schedules may skip a day of a leap year. */
const RATE_TOLERANCE = 0.99;

export function checkRetention(plan: DatabasePlan): Finding[] {
  return eachOf(plan.repositories, (repository) =>
    abstaining(
      () => checkWindow(repository, plan),
      () => checkArchiveWindow(repository, plan),
      () => checkSingleFull(repository),
      () => checkLocks(repository, plan),
      () => checkFeed(repository, plan.schedules),
      () => checkReach(repository, plan.schedules),
      () => checkVersions(repository),
    ),
  );
}

/**
 * Days back to which any point in time can be restored in the worst case, just after the oldest set expired. Null
 * without a limit. By days, pgBackRest also keeps the newest full backup older than them, so the
 * window is whole. By count, the window is the age of the oldest kept full when a new one has just ended.
 */
export function recoveryWindowDays(repository: RepositoryPlan, schedules: readonly Schedule[]): number | null {
  const { keepDays, keepFullCount } = repository;
  if (keepDays !== undefined) return keepDays;
  if (keepFullCount === undefined) return null;
  const perDay = backupsPerDay(schedules, repository.key, ["full"]);
  return perDay === 0 ? null : Math.floor((keepFullCount - 1) / perDay);
}

function checkWindow(repository: RepositoryPlan, { objectives, schedules }: DatabasePlan): Finding[] {
  const { pitrDays } = objectives;
  const days = recoveryWindowDays(repository, schedules);
  if (pitrDays === undefined || days === null || days >= pitrDays) return [];
  const name = repository.keepDays === undefined ? "keepFullCount" : "keepDays";
  const value = repository.keepDays ?? repository.keepFullCount;
  const fact = `${value} ${name === "keepDays" ? "days" : "full backups at the scheduled interval"} give a window of ${days} days in the worst case, but objectives.pitrDays is ${pitrDays}`;
  const hint =
    name === "keepDays"
      ? `set keepDays: ${pitrDays}`
      : `set keepDays: ${pitrDays} instead, which meets the objective with any schedule`;
  return [finding("PB032", `repositories.${repository.name}.${name}`, fact, hint)];
}

/** It overrides how long WAL is kept, not how long backups are. */
function checkArchiveWindow(repository: RepositoryPlan, { objectives, schedules }: DatabasePlan): Finding[] {
  const { name, options } = repository;
  const { pitrDays } = objectives;
  const { "retention-archive": amount, "retention-archive-type": type } = options;
  if (pitrDays === undefined || amount === undefined) return [];
  const days = archiveWindowDays(repository, amount, type, schedules);
  if (days === null || days >= pitrDays) return [];
  const fact = `WAL of the newest ${amount} ${type ?? "full"} backups gives a window of ${Math.floor(days)} days in the worst case, but objectives.pitrDays is ${pitrDays}`;
  return [
    finding(
      "PB032",
      `repositories.${name}.options.retention-archive`,
      fact,
      "leave it out: keepDays keeps the WAL too",
    ),
  ];
}

function checkSingleFull({ keepFullCount, name }: RepositoryPlan): Finding[] {
  if (keepFullCount !== 1) return [];
  const fact =
    "only one full backup is kept: each new one removes every older restore point at once, so a mistake noticed a day later cannot be undone";
  return [finding("PB033", `repositories.${name}.keepFullCount`, fact, "keep at least 2, or set keepDays")];
}

/** Backups of any type count. A class with fewer backups than periods reaches back further, with gaps. */
function checkFeed(repository: RepositoryPlan, schedules: readonly Schedule[]): Finding[] {
  const { keep, key, name } = repository;
  const isFed = runningSchedules(schedules).some(({ repoKeys }) => repoKeys.includes(key));
  if (keep === undefined || !isFed) return [];
  const perDay = backupsPerDay(schedules, key);
  return eachOf(KEEP_CLASSES, (each) => {
    const periods = keep[each];
    if (periods === undefined || perDay * PERIOD_DAYS[each] >= RATE_TOLERANCE) return [];
    const fact = `${each}: ${periods} keeps a backup of each of ${periods} periods, but schedules make one only every ${Math.round(1 / perDay)} days`;
    const hint = "add a schedule, for instance of incremental backups, or leave the class out";
    return [finding("PB213", `repositories.${name}.keep.${each}`, fact, hint)];
  });
}

/** Days back to the oldest backup that the calendar keeps; 0 if it keeps no backup. */
function calendarDays({ keep }: RepositoryPlan): number {
  return Math.max(0, ...KEEP_CLASSES.map((each) => (keep?.[each] ?? 0) * PERIOD_DAYS[each]));
}

/** Says since when any point in time is possible. */
function checkReach(repository: RepositoryPlan, schedules: readonly Schedule[]): Finding[] {
  const { keep, keepDays, name } = repository;
  const reachDays = calendarDays(repository);
  if (keep === undefined || reachDays === 0) return [];
  const days = recoveryWindowDays(repository, schedules);
  if (days === null || reachDays <= days) return [];
  const since = keepDays === undefined ? `${days} days (in the worst case)` : `${days} days`;
  const fact = `any point in time of the last ${since} can be restored; before that, up to ${reachDays} days back, only the calendar's backups, each as it was when it ended`;
  return [finding("PB217", `repositories.${name}.keep`, fact, "")];
}

/** How long a full backup is kept at most. */
interface FullLife {
  readonly field: "keepDays" | "keepFullCount";
  readonly days: number;
  /** The longest time between full backups, which `days` contains; 0 without a schedule. */
  readonly gapDays: number;
}

/**
 * By days, a full backup stays until the next one is older than them too, because the window begins in between. By
 * count, it stays until that many newer ones have ended. Null without a limit.
 */
function lifeOfFull({ key, keepDays, keepFullCount }: RepositoryPlan, schedules: readonly Schedule[]): FullLife | null {
  const fulls = runningSchedules(schedules).filter(({ repoKeys, type }) => type === "full" && repoKeys.includes(key));
  const gapMinutes = longestGapMinutes(fulls);
  const gapDays = gapMinutes === null ? 0 : Math.ceil(gapMinutes / MINUTES_PER_DAY);
  if (keepDays !== undefined) return { field: "keepDays", days: keepDays + gapDays, gapDays };
  if (keepFullCount === undefined || gapDays === 0) return null;
  return { field: "keepFullCount", days: keepFullCount * gapDays, gapDays };
}

/**
 * A lock that is shorter than the life of a full backup leaves some unprotected: the oldest one is the base of the
 * whole window. A longer one costs money for expired backups, or on a server of one's own keeps `expire` from removing
 * them.
 */
function checkLocks(repository: RepositoryPlan, { objectives, schedules }: DatabasePlan): Finding[] {
  const lockedDays = factsOf(repository)?.immutableDays;
  if (lockedDays === undefined || lockedDays <= 0) return [];
  const life = lifeOfFull(repository, schedules);
  if (life === null) return [];
  const { kind, name } = repository;
  const path = `repositories.${name}`;
  const isServer = kind === "sftp";
  const thief = isServer ? "anyone with the account's key" : "anyone who may remove versions";
  const keptDays = calendarDays(repository);
  if (life.days <= lockedDays && keptDays > lockedDays) {
    const fact = `the calendar keeps backups for up to ${keptDays} days, but they are locked for ${lockedDays}: ${thief} can remove the older ones`;
    const hint =
      "accept that only the newest are safe from stolen keys, or keep the old ones in a bucket with a longer lock";
    return [finding("PB034", `${path}.keep`, fact, hint)];
  }
  if (life.days > lockedDays) {
    const fact = `a full backup is kept for up to ${life.days} days but locked for ${lockedDays}: ${thief} can remove the older ones`;
    const shorter = lockedDays - life.gapDays;
    const isEnough = life.field === "keepDays" && shorter >= Math.max(KEEP_DAYS_MIN, objectives.pitrDays ?? 0);
    const other = isEnough ? `set keepDays: ${shorter}` : `accept that only the newest ${lockedDays} days are safe`;
    return [finding("PB034", `${path}.${life.field}`, fact, `lock for ${life.days} days, or ${other}`)];
  }
  // By count, the life grows in steps of the gap.
  const longer = life.field === "keepDays" ? lockedDays - life.gapDays : Math.floor(lockedDays / life.gapDays);
  if (longer === (life.field === "keepDays" ? repository.keepDays : repository.keepFullCount)) return [];
  const cost = isServer
    ? "expire fails until they are over"
    : `you pay for ${lockedDays - life.days} more days of expired backups`;
  const fact = `expired after at most ${life.days} days but locked for ${lockedDays}: ${cost}`;
  return [finding("PB035", `${path}.${life.field}`, fact, `set ${life.field}: ${longer}`)];
}

/** Stores that may keep nothing of what is removed, and where that is set. */
const UNKEPT: Readonly<Partial<Record<RepositoryPlan["kind"], readonly [what: string, where: string]>>> = {
  azure: ["container keeps neither versions nor deleted blobs", "account"],
  gcs: ["bucket keeps neither versions nor deleted objects", "bucket"],
};

/** On a versioned bucket, only the undelete window protects against a stolen writer key. */
function checkVersions(repository: RepositoryPlan): Finding[] {
  const { kind, name } = repository;
  const { immutableDays, undeleteDays, versioning } = factsOf(repository) ?? {};
  const unkept = UNKEPT[kind];
  if (unkept !== undefined && versioning === false && (undeleteDays ?? 0) < UNDELETE_DAYS_MIN) {
    const [what, where] = unkept;
    const lacking = `the ${what}: what a stolen key removes is gone for good`;
    const hint = `switch on versioning and soft delete for ${UNDELETE_DAYS_MIN} days or more in the ${where}`;
    return [finding("PB036", `repositories.${name}.at`, lacking, hint)];
  }
  if (versioning !== true || undeleteDays === undefined || undeleteDays >= UNDELETE_DAYS_MIN) return [];
  if (immutableDays !== undefined && immutableDays >= UNDELETE_DAYS_MIN) return [];
  const fact = `deleted or overwritten objects are gone after ${undeleteDays} days: an attack must be noticed sooner`;
  return [finding("PB036", `repositories.${name}.at`, fact, `set undeleteDays: 14 (at least ${UNDELETE_DAYS_MIN})`)];
}
