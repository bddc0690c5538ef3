/** Whether the declared set-up can meet its objectives, and its backups the limits of bandwidth. Pure. */
import { limitRateFault, limitRateOf, ratesOf } from "../../../runtime/config/hours/limitRate";
import { checkRange } from "../arguments/ranges";
import { type Finding, finding } from "../findings/findings";
import { ATTACK } from "../schedule/declaredDrills";
import { worstCaseRpo } from "../schedule/objectives";
import { valueAt } from "../model/anyValue";
import type { DatabasePlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { runningSchedules, type Schedule, schedulePath } from "../schedule/schedule";
import { type BackupSizes, backupSizes } from "../storage/cost";
import { checkDrills } from "./drills";
import { abstaining, eachOf } from "../findings/abstain";

export function checkObjectives(plan: DatabasePlan): Finding[] {
  return abstaining(
    () => checkAmounts(plan),
    () => checkRpo(plan),
    () => checkDrills(plan),
    () => checkNoDrill(plan),
  );
}

const GIB = 2 ** 30;
const OBJECTIVES = ["rpoSeconds", "rtoMinutes", "pitrRtoMinutes", "pitrDays", "maxRepositoryGB"] as const;

/** Amounts that are out of range. Files of hosts have them also where nothing is archived. */
export function checkAmounts(plan: DatabasePlan): Finding[] {
  const { objectives, sizing = {} } = plan;
  return abstaining(
    () => eachOf(OBJECTIVES, (name) => checkRange(`ObjectivesArgs.${name}`, `objectives.${name}`, objectives[name])),
    () => checkRange("PostgresHostArgs.archiveTimeoutSeconds", "archiveTimeoutSeconds", plan.archiveTimeoutSeconds),
    () =>
      eachOf(Object.keys(sizing), (name) => {
        const value: unknown = valueAt(sizing, name);
        if (typeof value === "number" && value >= 0 && value < 1e9) return [];
        return [finding("PB037", `sizing.${name}`, `${String(value)} is not an amount`, "")];
      }),
  );
}

function checkRpo(plan: DatabasePlan): Finding[] {
  const { rpoSeconds } = plan.objectives;
  const worst = worstCaseRpo(plan);
  if (worst === null) {
    const fact =
      "nothing limits the age of a WAL segment that does not fill: on a quiet database, hours of commits exist on this machine only";
    const hint = "set objectives.rpoSeconds, or archiveTimeoutSeconds: 60";
    return [finding(rpoSeconds === undefined ? "PB038" : "PB039", "archiveTimeoutSeconds", fact, hint)];
  }
  if (rpoSeconds === undefined || worst.totalSeconds <= rpoSeconds) return [];
  const fact = `the worst case is ${worst.totalSeconds} s (${worst.waitsFor} ${worst.waitSeconds}, a push ${worst.pushSeconds}, one retry ${worst.retrySeconds}), but the objective is ${rpoSeconds} s`;
  // A replica cluster may declare streaming, and streams once it is promoted.
  const hint =
    plan.streamIntervalSeconds !== undefined
      ? `accept ${worst.totalSeconds} s, or add a synchronous standby: archiving alone cannot promise less`
      : `accept ${worst.totalSeconds} s, set streaming: {}${plan.kind === "host" ? " with an agent" : ""} (seconds), or add a synchronous standby: archiving alone cannot promise less`;
  return [finding("PB039", "objectives.rpoSeconds", fact, hint)];
}

function checkNoDrill({ drills: all, objectives, repositories }: DatabasePlan): Finding[] {
  const drills = all.filter(({ pick }) => pick !== ATTACK);
  if (
    drills.length > 0 &&
    objectives.pitrRtoMinutes !== undefined &&
    drills.every(({ pick = "moment" }) => pick !== "moment")
  ) {
    const fact = "no drill restores to a point in time, so nothing measures this objective";
    return [finding("PB042", "objectives.pitrRtoMinutes", fact, 'leave pick out of a drill, or set pick: "moment"')];
  }
  if (drills.length > 0 || repositories.length === 0) return [];
  const fact = "no drill restores these backups: nobody knows whether they can be restored, and how long it takes";
  return [finding("PB042", "drills", fact, 'declare one, for instance drills: { monthly: { cron: "0 5 1 * *" } }')];
}

interface Limited {
  readonly path: string;
  /** Bytes a second of each minute of a day. */
  readonly rates: readonly number[];
  readonly schedules: readonly Schedule[];
  readonly sizes: BackupSizes;
}

/** Whether backups fit through the limits of bandwidth, by the declared sizes. */
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
