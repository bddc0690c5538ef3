/**
 * What is wrong or weak in a plan: all findings at once. Pure. Values that are not known yet are left alone; the check runs again when they
 * are. The rules themselves lie in rules/, one file for each kind of question.
 */
import type { Finding } from "./findings";
import type { ClusterPlan, DatabasePlan, HostPlan } from "./plan";
import { checkAcknowledge } from "./rules/acknowledge";
import { checkCopies } from "./rules/copies";
import { checkHostArguments } from "./rules/host";
import { checkRepositories } from "./rules/repositories";
import { checkSchedules } from "./rules/schedules";
import { checkSilence, withoutSilenced } from "./rules/silence";

/** Findings of all severities, in the order of the arguments. */
export function checkHost(plan: HostPlan): Finding[] {
  return finish(plan, [...checkHostArguments(plan), ...checkDatabase(plan, plan.dataDirectory)]);
}

/** The same for a cluster of CloudNativePG. */
export function checkCluster(plan: ClusterPlan): Finding[] {
  return finish(plan, checkDatabase(plan, undefined));
}

/** What every database is asked. */
function checkDatabase(plan: DatabasePlan, dataDirectory: string | undefined): Finding[] {
  return [...checkRepositories(plan, dataDirectory), ...checkCopies(plan), ...checkAcknowledge(plan), ...checkSchedules(plan)];
}

function finish(plan: DatabasePlan, findings: readonly Finding[]): Finding[] {
  return [...withoutSilenced(plan, findings), ...checkSilence(plan, findings)];
}
