/** Maintenance between backups: separate services and timers. */
import type { HostPlan, TaskPlan } from "../../plan/model/plan";
import { notifyLines, notifyOptions, otlpLines, otlpOption, unitCommand } from "../host/systemdCredentials";
import { metricsFile } from "../host/renderedFile";
import { type JobSettings, jobUnits } from "./jobUnits";
import { type Unit, unitName } from "./unit";

/** Exit code of `check --stale` if something is too old. */
const TOO_OLD = 75;

/** In the plan's order. @throws Error for a time that rules refuse */
export function maintenanceUnits(plan: HostPlan): Unit[] {
  return plan.maintenance.flatMap((task) => {
    const { settings, title } = JOBS[task.name];
    return jobUnits(plan, {
      title,
      time: task,
      settings: () => {
        const { args, ...job } = settings(plan, task);
        return { ...job, command: unitCommand(plan, args) };
      },
    });
  });
}

type SettingsOf = (
  plan: HostPlan,
  task: TaskPlan,
) => Omit<JobSettings, "command"> & { readonly args: readonly string[] };

const JOBS: Readonly<Record<TaskPlan["name"], { readonly title: string; readonly settings: SettingsOf }>> = {
  expire: { title: "expiry", settings: () => ({ args: ["expire"], mayYield: true }) },
  verify: {
    title: "verification",
    settings: (_plan, { samplePercent }) => ({
      args: ["verify", ...(samplePercent === undefined || samplePercent >= 100 ? [] : [`--sample=${samplePercent}`])],
    }),
  },
  heal: { title: "repair of WAL", settings: () => ({ args: ["heal"], mayYield: true }) },
  metrics: {
    title: "metrics",
    settings: (plan) =>
      plan.sendsMetrics
        ? { args: ["metrics", otlpOption(plan)], lines: otlpLines(plan), isQuiet: true }
        : {
            args: ["metrics", `--output-file=${metricsFile(plan)}`],
            writes: [plan.directories.metrics],
            isQuiet: true,
          },
  },
  stale: {
    title: "check for stale backups",
    settings: (plan) => ({
      args: [
        "check",
        "--stale",
        ...(plan.restoreOnly ? ["--no-archive-check"] : []),
        `--unit=${unitName(plan.stanza, "stale")}.service`,
        ...(plan.notifies ? notifyOptions(plan) : []),
      ],
      isQuiet: true,
      // The run itself has sent what is too old: no second notice of its failure.
      lines: plan.notifies ? [...notifyLines(plan), `SuccessExitStatus=${TOO_OLD}`] : [],
    }),
  },
};
