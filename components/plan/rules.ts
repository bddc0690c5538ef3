/**
 * Checks a plan and returns all findings at once. Pure. Unknown values are skipped: the check runs again when they are
 * known. The rules lie in rules/, one file for each subject.
 */
import type { Finding } from "./findings/findings";
import type { ClusterDatabasePlan, DatabasePlan, HostPlan } from "./model/plan";
import { checkAcknowledge, checkAcknowledgeWeaker } from "./rules/acknowledge";
import { checkCopies, checkMounts } from "./rules/copies";
import { checkClusterEngine, checkEngine } from "./rules/engines";
import { checkCredentials } from "./rules/credentials";
import { checkDrills } from "./rules/drills";
import { checkHostArguments } from "./rules/host";
import { checkOptions } from "./rules/options";
import { checkObjectives } from "./rules/objectives";
import { checkProviders } from "./rules/providers";
import { checkRepositories } from "./rules/repositories";
import { checkReadOnly, checkRestoreOnly, checkWithoutBackups } from "./rules/restoreOnly";
import { checkRetention } from "./rules/retention";
import { checkSchedules } from "./rules/schedules";
import { checkSilence, withoutSilenced } from "./rules/silence";
import { checkSnapshots } from "./rules/snapshots";
import { checkSynchronous } from "./rules/synchronous";

/** The host that writes decides retention and format. */
const ABOUT_WRITING: readonly string[] = ["PB006", "PB007", "PB078"];

/** @param others found earlier, which `silence` covers too */
export function checkHost(plan: HostPlan, others: readonly Finding[] = []): Finding[] {
  if (plan.restoreOnly) {
    const reach = checkReach(plan, plan.dataDirectory).filter(({ code }) => !ABOUT_WRITING.includes(code));
    return finish(plan, [
      ...checkHostArguments(plan),
      ...reach,
      ...checkDrills(plan),
      ...checkRestoreOnly(plan),
      ...checkOptions(plan),
      ...others,
    ]);
  }
  const own = [
    ...checkHostArguments(plan),
    ...checkDatabase(plan, plan.dataDirectory),
    ...checkMounts(plan),
    ...checkSnapshots(plan),
    ...checkSynchronous(plan),
    ...checkOptions(plan),
  ];
  return finish(plan, [...own, ...checkAcknowledgeWeaker(plan), ...others]);
}

/** @param others found earlier, which `silence` covers too */
export function checkCluster(plan: ClusterDatabasePlan, others: readonly Finding[] = []): Finding[] {
  return finish(plan, [
    ...(plan.withoutBackups === true ? checkWithoutBackups() : checkDatabase(plan, undefined)),
    ...checkClusterEngine(plan),
    ...checkOptions(plan),
    ...checkAcknowledgeWeaker(plan),
    ...others,
  ]);
}

/** For every database. */
function checkDatabase(plan: DatabasePlan, dataDirectory: string | undefined): Finding[] {
  return [
    ...checkReach(plan, dataDirectory),
    ...checkReadOnly(plan),
    ...checkCopies(plan),
    ...checkRetention(plan),
    ...checkAcknowledge(plan),
    ...checkSchedules(plan),
    ...checkObjectives(plan),
  ];
}

/** For writing and for reading. */
function checkReach(plan: DatabasePlan, dataDirectory: string | undefined): Finding[] {
  return [
    ...checkEngine(plan),
    ...checkRepositories(plan, dataDirectory),
    ...checkProviders(plan),
    ...checkCredentials(plan),
  ];
}

function finish(plan: DatabasePlan, findings: readonly Finding[]): Finding[] {
  return [...withoutSilenced(plan, findings), ...checkSilence(plan, findings)];
}
