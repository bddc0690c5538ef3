/**
 * Notices about units besides failures, if a target wants them: start (`pgbackstop-main-started@UNIT.service`), success
 * (`…-succeeded@…`), and the result of a fire drill (`…-drilled@…`). They are separate units that nothing waits for: a
 * notice that hangs or fails does not affect a backup. systemd 249 or newer starts those of an end; older ones ignore
 * the line.
 */
import { isUnitDirectory } from "../../plan/model/defaults";
import type { HostPlan } from "../../plan/model/plan";
import { noticeLines, noticeUnit } from "./noticeUnit";
import { type Unit, unitName } from "./unit";

type UnitEvent = "start" | "success" | "drill";

const PURPOSES: Readonly<Record<UnitEvent, { readonly name: string; readonly title: string }>> = {
  start: { name: "started", title: "%i has begun" },
  success: { name: "succeeded", title: "%i has ended well" },
  drill: { name: "drilled", title: "result of %i" },
};
/** Three attempts of ten seconds for each target, in parallel. */
const TIMEOUT_SECONDS = 90;

/** `pgbackstop-main-started@%n.service`. @param instance the reported unit */
function eventUnitName(stanza: string, event: UnitEvent, instance: string): string {
  return `${unitName(stanza, PURPOSES[event].name)}@${instance}.service`;
}

/** `[Unit]` lines of a reported unit. @param unit its name with the ending */
export function eventLines(plan: HostPlan, unit: string, isDrill: boolean): string[] {
  const wants = (event: UnitEvent): boolean => isWanted(plan, event, unit);
  const named = (event: UnitEvent): string => eventUnitName(plan.stanza, event, "%n");
  const drilled = isDrill && wants("drill") ? [named("drill")] : [];
  const ended = [...(wants("success") ? [named("success")] : []), ...drilled];
  return [
    ...(wants("start") ? [`Wants=${named("start")}`] : []),
    ...(ended.length === 0 ? [] : [`OnSuccess=${ended.join(" ")}`]),
    // In addition to the failure notice: systemd's lists add up.
    ...(drilled.length === 0 ? [] : [`OnFailure=${drilled.join(" ")}`]),
  ];
}

/** The notice units that any target wants. */
export function eventUnits(plan: HostPlan): Unit[] {
  const wanted = (["start", "success", "drill"] as const).filter(
    (event) => isUnitDirectory(plan.directories.units) && plan.notices.some(({ events }) => events.includes(event)),
  );
  return wanted.map((event) => {
    const { name, title } = PURPOSES[event];
    return noticeUnit(plan, unitName(plan.stanza, name), {
      title,
      after: event === "start" ? [] : afterStart(plan),
      lines: () => noticeLines(plan, event, "ExecStart=-"),
      timeoutSeconds: TIMEOUT_SECONDS,
    });
  });
}

/** An end waits for its start: reported in reverse it would look like an endless run. */
export function afterStart(plan: HostPlan): string[] {
  return plan.notices.some(({ events }) => events.includes("start")) ? [eventUnitName(plan.stanza, "start", "%i")] : [];
}

function isWanted(plan: HostPlan, event: UnitEvent, unit: string): boolean {
  return (
    isUnitDirectory(plan.directories.units) &&
    plan.notices.some(({ events, units }) => events.includes(event) && (units.length === 0 || units.includes(unit)))
  );
}
