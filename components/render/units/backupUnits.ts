/** One service and one timer for each backup schedule. */
import type { HostPlan } from "../../plan/model/plan";
import type { Schedule } from "../../plan/schedule/schedule";
import { systemdArgument } from "../host/commandLine";
import { unitCommand } from "../host/systemdCredentials";
import { jobUnits } from "./jobUnits";
import type { Unit } from "./unit";

/**
 * The units of every schedule, in the plan's order.
 * @param argsOf program and arguments that take the backup; default: the runtime's
 * @throws Error for a schedule that rules refuse
 */
export function backupUnits(plan: HostPlan, argsOf?: (schedule: Schedule) => readonly string[]): Unit[] {
  const commandOf = (time: Schedule): string =>
    argsOf === undefined ? unitCommand(plan, runtimeArgs(plan, time)) : argsOf(time).map(systemdArgument).join(" ");
  return plan.schedules.flatMap((time) =>
    jobUnits(plan, {
      title: `${time.type} backup`,
      time,
      settings: () => ({ command: commandOf(time), priority: plan.backupPriority }),
    }),
  );
}

/** All repositories are the default. */
function runtimeArgs(plan: HostPlan, { repoKeys, type }: Schedule): string[] {
  if (repoKeys.length === plan.repositories.length) return ["backup", `--type=${type}`];
  return ["backup", `--type=${type}`, repoKeys.length === 1 ? `--repo=${repoKeys[0]}` : `--repos=${repoKeys.join()}`];
}
