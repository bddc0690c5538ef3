/**
 * Checks a plan and returns all findings at once. Pure. Rules abstain from deferred values
 * (findings/abstain.ts): the check runs again when they are known. The rules lie in rules/, one file for each subject.
 */
import type { Finding } from "./findings/findings";
import type { ClusterDatabasePlan, DatabasePlan, HostPlan } from "./model/plan";
import { abstaining, judged } from "./findings/abstain";
import { checkAcknowledge, checkAcknowledgeWeaker } from "./rules/acknowledge";
import { checkCopies, checkMounts } from "./rules/copies";
import { checkClusterEngine, checkEngine } from "./rules/engines";
import { checkCredentials } from "./rules/credentials";
import { checkDrills } from "./rules/drills";
import { checkHostArguments } from "./rules/host";
import { checkOptions } from "./rules/options";
import { checkAmounts, checkLimits, checkObjectives } from "./rules/objectives";
import { checkProviders } from "./rules/providers";
import { checkRepositories, type DataDirectory } from "./rules/repositories";
import { checkReadOnly, checkRestoreOnly, checkWithoutBackups } from "./rules/restoreOnly";
import { checkRetention } from "./rules/retention";
import { checkDumps, checkSchedules } from "./rules/schedules";
import { checkSilence, SILENCE_UNUSED, withoutSilenced } from "./rules/silence";
import { checkSnapshots } from "./rules/snapshots";
import { checkSynchronous } from "./rules/synchronous";

/** The host that writes decides retention and format. */
const ABOUT_WRITING: readonly string[] = ["PB006", "PB007", "PB078"];

/** @param others found earlier, which `silence` covers too */
export function checkHost(plan: HostPlan, others: readonly Finding[] = []): Finding[] {
  // The host has another directory at a container's path.
  const dataDirectory = (): string | undefined =>
    plan.container === undefined ? plan.dataDirectory || undefined : undefined;
  const own = plan.restoreOnly
    ? abstaining(
        () => checkHostArguments(plan),
        () => checkReach(plan, dataDirectory).filter(({ code }) => !ABOUT_WRITING.includes(code)),
        () => checkAmounts(plan),
        () => checkDrills(plan),
        () => checkRestoreOnly(plan),
        () => checkOptions(plan),
      )
    : abstaining(
        () => checkHostArguments(plan),
        () => checkDatabase(plan, dataDirectory),
        () => checkDumps(plan),
        () => checkMounts(plan),
        () => checkSnapshots(plan),
        () => checkSynchronous(plan),
        () => checkOptions(plan),
        () => checkAcknowledgeWeaker(plan),
      );
  return finish(plan, [...own, ...others]);
}

/** @param others found earlier, which `silence` covers too */
export function checkCluster(plan: ClusterDatabasePlan, others: readonly Finding[] = []): Finding[] {
  const own = abstaining(
    () => (plan.withoutBackups === true ? checkWithoutBackups(plan) : checkDatabase(plan, () => undefined)),
    () => checkDumps(plan),
    () => checkClusterEngine(plan),
    () => checkOptions(plan),
    () => checkAcknowledgeWeaker(plan),
  );
  return finish(plan, [...own, ...others]);
}

function checkDatabase(plan: DatabasePlan, dataDirectory: DataDirectory): Finding[] {
  return abstaining(
    () => checkReach(plan, dataDirectory),
    () => checkReadOnly(plan),
    () => checkCopies(plan),
    () => checkRetention(plan),
    () => checkAcknowledge(plan),
    () => checkSchedules(plan),
    () => checkLimits(plan),
    () => checkObjectives(plan),
  );
}

/** For writing and for reading. */
function checkReach(plan: DatabasePlan, dataDirectory: DataDirectory): Finding[] {
  return abstaining(
    () => checkEngine(plan),
    () => checkRepositories(plan, dataDirectory),
    () => checkProviders(plan),
    () => checkCredentials(plan),
  );
}

/** Whether a silence applies shows once every rule has judged. */
function finish(plan: DatabasePlan, all: readonly Finding[]): Finding[] {
  const { findings, isWhole } = judged(all);
  const silence = checkSilence(plan, findings).filter(({ code }) => isWhole || code !== SILENCE_UNUSED);
  return [...withoutSilenced(plan, findings), ...silence];
}
