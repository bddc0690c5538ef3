/**
 * What happens when a unit of a stanza fails: `pgbackstop-main-failed@UNIT.service` tells whom the plan names, by the verb `notify`, and says it in the
 * journal in any case. What else is told of a unit is eventUnits.ts.
 */
import { SYSTEMD_DIRECTORIES } from "../../plan/model/defaults";
import { ownDrills } from "../../plan/schedule/declaredDrills";
import type { HostPlan } from "../../plan/model/plan";
import { systemdWord } from "../host/commandLine";
import { noticeLines, noticeUnit } from "./noticeUnit";
import { afterStart } from "./eventUnits";
import { type Unit, unitName } from "./unit";

/** Lines of `[Unit]` for whatever may fail. */
export function onFailureLines(plan: HostPlan): string[] {
  return isLoaded(plan) ? [`OnFailure=${unitName(plan.stanza, "failed")}@%n.service`] : [];
}

/** None where systemd does not load the units, and where nothing runs that could fail. */
export function failedUnits(plan: HostPlan): Unit[] {
  if (!isLoaded(plan) || (plan.schedules.length === 0 && plan.maintenance.length === 0 && ownDrills(plan).length === 0)) return [];
  // "<3>" is the priority of an error (sd-daemon(3)).
  const said = systemdWord("<3>%i failed: journalctl -u %i says why").replaceAll("%%", "%");
  return [
    noticeUnit(plan, unitName(plan.stanza, "failed"), {
      title: "%i failed",
      after: afterStart(plan),
      lines: [`ExecStart=/bin/echo ${said}`, ...(plan.notifies ? noticeLines(plan, "failure", "ExecStart=") : [])],
      timeoutSeconds: 300,
    }),
  ];
}

function isLoaded({ directories }: HostPlan): boolean {
  return SYSTEMD_DIRECTORIES.includes(directories.units);
}
