/**
 * Failures of a stanza's units: `pgbackstop-main-failed@UNIT.service` notifies the plan's targets by the verb `notify`,
 * and always logs to the journal. eventUnits.ts has the other notices.
 */
import { isUnitDirectory } from "../../plan/model/defaults";
import { ownDrills } from "../../plan/schedule/declaredDrills";
import type { HostPlan } from "../../plan/model/plan";
import { systemdArgument } from "../host/commandLine";
import { noticeLines, noticeUnit } from "./noticeUnit";
import { afterStart } from "./eventUnits";
import { type Unit, unitName } from "./unit";

/** `[Unit]` lines for units that may fail. */
export function onFailureLines(plan: HostPlan): string[] {
  return isUnitDirectory(plan.directories.units) ? [`OnFailure=${unitName(plan.stanza, "failed")}@%n.service`] : [];
}

/** Empty if systemd does not load the units, or nothing runs that could fail. */
export function failedUnits(plan: HostPlan): Unit[] {
  const runs = [plan.schedules, plan.maintenance, ownDrills(plan)].some((each) => each.length > 0);
  if (!isUnitDirectory(plan.directories.units) || (!runs && plan.dumps === undefined)) return [];
  // "<3>" is the priority of an error (sd-daemon(3)).
  const message = systemdArgument("<3>%i failed: journalctl -u %i says why").replaceAll("%%", "%");
  return [
    noticeUnit(plan, unitName(plan.stanza, "failed"), {
      title: "%i failed",
      after: afterStart(plan),
      lines: () => [
        `ExecStart=/bin/echo ${message}`,
        ...(plan.notifies ? noticeLines(plan, "failure", "ExecStart=") : []),
      ],
      timeoutSeconds: 300,
    }),
  ];
}
