/** Whether backups fit through the limits of bandwidth, by the declared sizes. Pure. */
import { limitRateFault, limitRateOf, ratesOf } from "../../../runtime/config/hours/limitRate";
import { abstaining, eachOf } from "../findings/abstain";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { runningSchedules, type Schedule, schedulePath } from "../schedule/schedule";
import { type BackupSizes, backupSizes } from "../storage/cost";

const GIB = 2 ** 30;

interface Limited {
  readonly path: string;
  /** Bytes a second of each minute of a day. */
  readonly rates: readonly number[];
  readonly schedules: readonly Schedule[];
  readonly sizes: BackupSizes;
}

export function checkLimits(plan: DatabasePlan): Finding[] {
  return eachOf(plan.repositories, (repository) => {
    const limited = limitedOf(repository, plan);
    if (limited === null) return [];
    return abstaining(
      () => checkDay(limited),
      // CloudNativePG stops no backup.
      () => (plan.kind === "host" ? checkDeadline(limited) : []),
    );
  });
}

function limitedOf({ key, limitRate, name }: RepositoryPlan, { schedules, sizing }: DatabasePlan): Limited | null {
  if (limitRate === undefined || sizing === undefined || limitRateFault(limitRate) !== null) return null;
  const own = runningSchedules(schedules).filter(({ repoKeys }) => repoKeys.includes(key));
  return {
    path: `repositories.${name}.limitRate`,
    rates: ratesOf(limitRateOf(limitRate)),
    schedules: own,
    sizes: backupSizes(sizing, own),
  };
}

/** Hours without a limit let everything pass. */
function checkDay({ path, rates, sizes: { perDayGib } }: Limited): Finding[] {
  const passingGib = (rates.reduce((sum, rate) => sum + rate, 0) * 60) / GIB;
  if (!(perDayGib > passingGib)) return [];
  const fact = `backups there have about ${amount(perDayGib)} GiB a day (sizing), and ${amount(passingGib)} GiB a day pass it: they fall behind`;
  return [finding("PB215", path, fact, "raise it, or back up there less often")];
}

/** The shortest time that a full backup may take, whenever it starts. */
function checkDeadline({ path, rates, schedules, sizes: { fullGib } }: Limited): Finding[] {
  const seconds = (fullGib * GIB) / Math.max(...rates);
  const stopped = schedules.find(({ deadlineSeconds, type }) => type === "full" && seconds > deadlineSeconds);
  if (stopped === undefined) return [];
  const fact = `a full backup of about ${amount(fullGib)} GiB (sizing) takes ${amount(seconds / 3600)} h at it, and is stopped after ${amount(stopped.deadlineSeconds / 3600)} h: none ends`;
  return [finding("PB215", path, fact, `raise it, or ${schedulePath(stopped)}.deadlineSeconds`)];
}

function amount(value: number): string {
  return value < 10 ? String(Number(value.toFixed(1))) : String(Math.round(value));
}
