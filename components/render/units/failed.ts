/**
 * What happens when a unit of a stanza fails: `pgbackstop-main-failed@UNIT.service` tells whom the plan names, by the verb `notify`, and says it in the
 * journal in any case.
 */
import { SYSTEMD_DIRECTORIES } from "../../plan/defaults";
import type { HostPlan } from "../../plan/plan";
import { systemdWord } from "../commandLine";
import { notifyLines, notifyWords, unitCommand } from "../credentials";
import { hardening } from "./hardening";
import { type Unit, UNIT_HEAD, unitName, unitText } from "./unit";

/** Lines of `[Unit]` for whatever may fail. */
export function onFailureLines(plan: HostPlan): string[] {
  return isLoaded(plan) ? [`OnFailure=${unitName(plan.stanza, "failed")}@%n.service`] : [];
}

/** None where systemd does not load the units, and where nothing runs that could fail. */
export function failedUnits(plan: HostPlan): Unit[] {
  if (!isLoaded(plan) || (plan.schedules.length === 0 && plan.maintenance.length === 0)) return [];
  return [{ name: `${unitName(plan.stanza, "failed")}@.service`, text: renderService(plan), late: true, enabled: false, restarted: false }];
}

function renderService(plan: HostPlan): string {
  // "<3>" is the priority of an error (sd-daemon(3)).
  const said = systemdWord("<3>%i failed: journalctl -u %i says why").replaceAll("%%", "%");
  return unitText([
    UNIT_HEAD,
    "[Unit]",
    `Description=pgbackstop notice of stanza ${plan.stanza}: %i failed`,
    "After=network-online.target",
    "Wants=network-online.target",
    "",
    "[Service]",
    "Type=oneshot",
    `User=${plan.user}`,
    `ExecStart=/bin/echo ${said}`,
    ...(plan.notifies ? [`ExecStart=${unitCommand({ ...plan, repositories: [] }, notifyWords(plan))} --unit=%i`, ...notifyLines(plan)] : []),
    "TimeoutStartSec=300",
    ...hardening(plan),
  ]);
}

function isLoaded({ directories }: HostPlan): boolean {
  return SYSTEMD_DIRECTORIES.includes(directories.units);
}
