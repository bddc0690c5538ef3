/** Maintenance between backups: separate services and timers. */
import type { HostPlan, TaskPlan } from "../../plan/model/plan";
import { unitCommand } from "../host/systemdCredentials";
import { metricsFile } from "../host/renderedFile";
import { jobUnits } from "./jobUnits";
import type { Unit } from "./unit";

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
};
