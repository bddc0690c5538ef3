/** Logical dumps: one service and one timer. */
import type { DumpPlan, HostPlan } from "../../plan/model/plan";
import { unitCommand } from "../host/systemdCredentials";
import { jobUnits } from "./jobUnits";
import type { Unit } from "./unit";

/** @throws Error for a time that rules refuse */
export function dumpUnits(plan: HostPlan): Unit[] {
  const { dumps } = plan;
  if (dumps === undefined) return [];
  return jobUnits(plan, {
    title: "logical dump",
    time: dumps,
    settings: () => ({
      command: unitCommand(plan, dumpArgs(plan, dumps)),
      priority: plan.backupPriority,
      entersContainer: true,
    }),
  });
}

/** All repositories and all databases are the default. */
function dumpArgs({ repositories }: HostPlan, { databases = [], repositories: some }: DumpPlan): string[] {
  const keys = repositories.filter(({ name }) => some.includes(name)).map(({ key }) => key);
  return [
    "dump",
    ...(keys.length === repositories.length ? [] : [`--repos=${keys.join()}`]),
    ...databases.map((name) => `--database=${name}`),
  ];
}
