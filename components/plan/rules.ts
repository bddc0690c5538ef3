/**
 * What is wrong or weak in a plan: all findings at once. Pure. Values that are not known yet are left alone; the check runs again when they
 * are. The rules themselves lie in rules/, one file for each kind of question.
 */
import type { Finding } from "./findings/findings";
import type { ClusterPlan, DatabasePlan, HostPlan } from "./model/plan";
import { checkAcknowledge, checkAcknowledgeWeaker } from "./rules/acknowledge";
import { checkCopies, checkMounts } from "./rules/copies";
import { checkClusterEngine, checkEngine } from "./rules/engines";
import { checkCredentials } from "./rules/credentials";
import { checkDrills } from "./rules/drills";
import { checkHostArguments } from "./rules/host";
import { checkObjectives } from "./rules/objectives";
import { checkProviders } from "./rules/providers";
import { checkRepositories } from "./rules/repositories";
import { checkReadOnly, checkRestoreOnly } from "./rules/restoreOnly";
import { checkRetention } from "./rules/retention";
import { checkSchedules } from "./rules/schedules";
import { checkSilence, withoutSilenced } from "./rules/silence";
import { checkSnapshots } from "./rules/snapshots";

/** What is kept, and how it is written, says the host that writes it. */
const ABOUT_WRITING: readonly string[] = ["PB006", "PB007", "PB078"];

/** Findings of all severities, in the order of the arguments. */
export function checkHost(plan: HostPlan): Finding[] {
  if (plan.restoreOnly) {
    const reach = checkReach(plan, plan.dataDirectory).filter(({ code }) => !ABOUT_WRITING.includes(code));
    return finish(plan, [...checkHostArguments(plan), ...reach, ...checkDrills(plan), ...checkRestoreOnly(plan)]);
  }
  const own = [...checkHostArguments(plan), ...checkDatabase(plan, plan.dataDirectory), ...checkMounts(plan), ...checkSnapshots(plan)];
  return finish(plan, [...own, ...checkAcknowledgeWeaker(plan)]);
}

/** The same for a cluster of CloudNativePG. @param others that were found already and may be silenced like these */
export function checkCluster(plan: ClusterPlan, others: readonly Finding[] = []): Finding[] {
  return finish(plan, [...checkDatabase(plan, undefined), ...checkClusterEngine(plan), ...checkAcknowledgeWeaker(plan), ...others]);
}

/** What every database is asked. */
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

/** What to write and to read alike needs. */
function checkReach(plan: DatabasePlan, dataDirectory: string | undefined): Finding[] {
  return [...checkEngine(plan), ...checkRepositories(plan, dataDirectory), ...checkProviders(plan), ...checkCredentials(plan)];
}

function finish(plan: DatabasePlan, findings: readonly Finding[]): Finding[] {
  return [...withoutSilenced(plan, findings), ...checkSilence(plan, findings)];
}
