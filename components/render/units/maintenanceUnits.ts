/** Maintenance between backups: separate services and timers. */
import type { HostPlan, TaskPlan } from "../../plan/model/plan";
import { notifyLines, notifyOptions, unitCommand } from "../host/systemdCredentials";
import { metricsFile } from "../host/renderedFile";
import { jobUnits } from "./jobUnits";
import { type Unit, unitName } from "./unit";

/** Exit code of `check --stale` if something is too old. */
const TOO_OLD = 75;

/** In the plan's order. @throws Error for a time that rules refuse */
export function maintenanceUnits(plan: HostPlan): Unit[] {
  return plan.maintenance.flatMap((task) => {
    const { args, ...job } = JOBS[task.name](plan, task);
    return jobUnits(plan, { ...job, command: unitCommand(plan, args), time: task });
  });
}

type JobOf = (
  plan: HostPlan,
  task: TaskPlan,
) => Omit<Parameters<typeof jobUnits>[1], "command" | "time"> & { readonly args: readonly string[] };

const JOBS: Readonly<Record<TaskPlan["name"], JobOf>> = {
  expire: () => ({ args: ["expire"], title: "expiry", mayYield: true }),
  verify: (_plan, { samplePercent }) => ({
    args: ["verify", ...(samplePercent === undefined || samplePercent >= 100 ? [] : [`--sample=${samplePercent}`])],
    title: "verification",
  }),
  heal: () => ({ args: ["heal"], title: "repair of WAL", mayYield: true }),
  metrics: (plan) => ({
    args: ["metrics", `--output-file=${metricsFile(plan)}`],
    title: "metrics",
    writes: [plan.directories.metrics],
    isQuiet: true,
  }),
  stale: (plan) => ({
    args: [
      "check",
      "--stale",
      ...(plan.restoreOnly ? ["--no-archive-check"] : []),
      `--unit=${unitName(plan.stanza, "stale")}.service`,
      ...(plan.notifies ? notifyOptions(plan) : []),
    ],
    title: "check for stale backups",
    isQuiet: true,
    // The run itself has sent what is too old: no second notice of its failure.
    lines: plan.notifies ? [...notifyLines(plan), `SuccessExitStatus=${TOO_OLD}`] : [],
  }),
};
