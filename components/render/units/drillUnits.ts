/**
 * Fire drills: a service and a timer for each drill of this host.
 *
 * A drill starts its own PostgreSQL server below its own directory. The unit may write only there and into the
 * repositories (the record), so that production's data are out of reach even if everything else fails. It yields to
 * production in CPU and disk time, and is killed first when memory runs out. So its measured times are upper bounds.
 */
import { drillPath, isOpening, ownDrills } from "../../plan/schedule/declaredDrills";
import { fields, readers } from "../../plan/model/deferred";
import type { DrillPlan, HostPlan } from "../../plan/model/plan";
import type { RunTime } from "../../plan/schedule/schedule";
import { unitCommand } from "../host/systemdCredentials";
import { jobUnits } from "./jobUnits";
import { type Unit, unitName } from "./unit";

const DAY_MINUTES = 1440;
/** A terminated drill removes its files: a large directory takes time. */
const REMOVAL_S = 900;
/** Hosts that share a bucket must not all start at once. */
const JITTER_S = 900;

/** In the plan's order. @throws Error for a time that rules refuse */
export function drillUnits(plan: HostPlan): Unit[] {
  return ownDrills(plan).flatMap((drill) => unitsOf(plan, drill));
}

function unitsOf(plan: HostPlan, drill: DrillPlan): Unit[] {
  const time = fields<RunTime>({
    name: () => `drill-${drill.name}`,
    ...readers(drill, "cron", "timeZone"),
    jitterSeconds: () => JITTER_S,
    // The drill ends itself in time, with a record of it.
    deadlineSeconds: () => (drill.maxMinutes ?? DAY_MINUTES) * 60 + REMOVAL_S,
  });
  return jobUnits(plan, {
    title: `fire drill ${drill.name}`,
    time,
    settings: () => {
      const path = drillPath(drill, plan);
      return {
        command: unitCommand(plan, ["drill", `--name=${drill.name}`, `--drill-path=${path}`]),
        writes: [path],
        isDrill: true,
        mounts: isOpening(drill),
        afterwards: plan.maintenance.some(({ name }) => name === "metrics")
          ? [`${unitName(plan.stanza, "metrics")}.service`]
          : [],
        lines: [
          `TimeoutStopSec=${REMOVAL_S}`,
          // The drill itself stops its server, and removes it.
          "KillMode=mixed",
          "CPUWeight=20",
          "IOWeight=20",
          "OOMScoreAdjust=800",
        ],
      };
    },
  });
}
