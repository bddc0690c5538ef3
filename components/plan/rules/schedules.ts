/** When backups are taken. Pure. */
import { type Finding, finding } from "../findings";
import type { DatabasePlan } from "../plan";
import { isTimeZone, parseCron, type Schedule } from "../schedule";
import { isWithin } from "./values";

/** Each schedule by itself, then all of them together. */
export function checkSchedules({ schedules }: DatabasePlan): Finding[] {
  if (schedules.length > 0) return schedules.flatMap(checkSchedule);
  return [
    finding(
      "PB012",
      "schedules",
      "no backup is scheduled: WAL grows without end and a restore takes ever longer",
      'set schedules.full, for instance { cron: "0 3 * * 0" }',
    ),
  ];
}

function checkSchedule(schedule: Schedule): Finding[] {
  const path = `schedules.${schedule.name}`;
  const found: Finding[] = [];
  const parsed = parseCron(schedule.cron);
  if (!parsed.ok) found.push(finding("PB011", `${path}.cron`, parsed.reason, 'write for instance "30 2 * * 0" for Sundays at 02:30'));
  if (!isTimeZone(schedule.timeZone)) {
    found.push(finding("PB011", `${path}.timeZone`, `"${schedule.timeZone}" is no time zone name`, 'use UTC or a name such as "Europe/Berlin"'));
  }
  if (!isWithin(schedule.jitterSeconds, 0, 86400))
    found.push(finding("PB023", `${path}.jitterSeconds`, `${schedule.jitterSeconds} is outside 0 to 86400`, ""));
  if (!isWithin(schedule.deadlineSeconds, 60, 604800)) {
    found.push(finding("PB023", `${path}.deadlineSeconds`, `${schedule.deadlineSeconds} is outside 60 to 604800`, ""));
  }
  return found;
}
