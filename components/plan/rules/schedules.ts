/** Backup schedules: each one alone, then conflicts between them, then each repository's share. And dumps. Pure. */
import { isTimeZone } from "../../../runtime/config/timeZone";
import { checkRange } from "../arguments/ranges";
import { repositoriesWithDeclaredFulls } from "../storage/copies";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import {
  type CalendarMinute,
  firstMeeting,
  parseCron,
  type RunTime,
  type Schedule,
  schedulePath,
} from "../schedule/schedule";
import { abstaining, eachOf } from "../findings/abstain";
import { findEngine } from "../engines/engines";
import { isLine } from "./drills";
import { checkRemovedTime } from "../schedule/removedTimes";

const DAY_NAMES = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

export function checkSchedules(plan: DatabasePlan): Finding[] {
  if (plan.schedules.length === 0) {
    const fact = "no backup is scheduled: WAL grows without limit, and restores take ever longer";
    return [finding("PB012", "schedules", fact, 'set schedules.full, for instance { cron: "0 3 * * 0" }')];
  }
  const named = eachOf(plan.schedules, (schedule) => checkNamed(schedule, plan, schedulePath(schedule)));
  const others = abstaining(
    () => checkChosen(plan),
    () => eachOf(plan.schedules, (schedule) => checkSchedule(schedule, plan)),
    () => checkMeetings(plan.schedules),
    // Which repositories get what follows from the names.
    () => (named.length > 0 ? [] : checkCoverage(plan)),
  );
  return [...named, ...others];
}

function checkChosen({ chosen }: DatabasePlan): Finding[] {
  if (chosen === undefined) return [];
  return [finding("PB143", "schedules", `chosen: ${chosen}`, "set schedules to choose yourself")];
}

/** For anything that runs on a schedule. @param path of the argument */
export function checkTime(schedule: RunTime, path: string): Finding[] {
  return abstaining(
    () => {
      const parsed = parseCron(schedule.cron);
      return parsed.ok ? [] : [finding("PB011", `${path}.cron`, parsed.reason, cronHint(schedule.cron))];
    },
    () => {
      if (isTimeZone(schedule.timeZone)) return [];
      const fact = `"${schedule.timeZone}" is not a time zone name`;
      return [finding("PB011", `${path}.timeZone`, fact, 'use UTC or a name such as "Europe/Berlin"')];
    },
    () => checkRemovedTime(schedule, path),
    () => checkRange("RepositoryScheduleArgs.jitterSeconds", `${path}.jitterSeconds`, schedule.jitterSeconds),
    () => checkRange("RepositoryScheduleArgs.deadlineSeconds", `${path}.deadlineSeconds`, schedule.deadlineSeconds),
  );
}

function checkSchedule(schedule: Schedule, plan: DatabasePlan): Finding[] {
  const path = schedulePath(schedule);
  return abstaining(
    () => checkTime(schedule, path),
    () => checkAgain(schedule, plan, path),
  );
}

function checkNamed({ repositories }: Pick<Schedule, "repositories">, plan: DatabasePlan, path: string): Finding[] {
  const names = plan.repositories.map((repository) => repository.name);
  const strangers = repositories.filter((name) => !names.includes(name));
  if (names.length === 0 || (strangers.length === 0 && repositories.length > 0)) return [];
  const fact =
    strangers.length > 0
      ? `${strangers.join(", ")} is not a repository of this database`
      : "the list of repositories is empty";
  const hint = `use names from ${names.join(", ")}, or leave it out for all`;
  return [finding("PB026", `${path}.repositories`, fact, hint)];
}

/** It omits the repositories with a schedule of their own, unless it names them. */
function checkAgain(schedule: Schedule, plan: DatabasePlan, path: string): Finding[] {
  const again = plan.schedules.find(
    (other) =>
      other.name !== other.type &&
      other.type === schedule.type &&
      schedule.name === schedule.type &&
      other.repositories.some((name) => schedule.repositories.includes(name)),
  );
  if (again === undefined) return [];
  const fact = `it names ${again.repositories.join()}, whose own ${schedule.type} backups have another time`;
  return [finding("PB026", `${path}.repositories`, fact, `remove it here, or ${schedulePath(again)}`)];
}

/** Logical dumps need no schedule of backups, and may run beside one. */
export function checkDumps(plan: DatabasePlan): Finding[] {
  const { dumps } = plan;
  if (dumps === undefined) return [];
  const refused = (path: string, fact: string, hint: string): Finding[] => [finding("PB218", path, fact, hint)];
  return abstaining(
    () => checkTime(dumps, "dumps"),
    () => checkNamed(dumps, plan, "dumps"),
    () => checkRange("DumpsArgs.keepDays", "dumps.keepDays", dumps.keepDays),
    () => checkRange("DumpsArgs.keepCount", "dumps.keepCount", dumps.keepCount),
    () => (findEngine(plan.engine)?.own === false ? refused("dumps", otherEngine(plan), "leave dumps out") : []),
    () =>
      dumps.databases?.length === 0 ? refused("dumps.databases", "the list is empty", "leave it out for all") : [],
    () =>
      eachOf(dumps.databases ?? [], (name, index) =>
        isLine(name) ? [] : refused(`dumps.databases[${index}]`, "it is not a database name", "write it on one line"),
      ),
  );
}

function otherEngine({ engine, kind }: DatabasePlan): string {
  return kind === "host"
    ? "beside stock pgBackRest the runtime only reads, and a dump writes into the repositories"
    : `with engine ${engine} a cluster has no repositories that the runtime could write into`;
}

/**
 * Six fields are CloudNativePG's form, with seconds first. One field more or fewer means another time, so none is
 * guessed.
 */
function cronHint(cron: string): string {
  const fields = cron.trim().split(/\s+/);
  if (fields.length === 6) {
    return `write five fields: without the seconds "${fields.slice(1).join(" ")}"; rendering adds the sixth for CloudNativePG`;
  }
  return 'write for instance "30 3 * * 0" for Sundays at 03:30';
}

/** A stanza takes one backup at a time: of two that start in the same minute, either may fail. */
function checkMeetings(schedules: readonly Schedule[]): Finding[] {
  return eachOf(schedules, (schedule, index) =>
    eachOf(schedules.slice(0, index), (earlier) => {
      const meeting = firstMeeting(earlier, schedule);
      if (meeting === null) return [];
      const fact = `starts in the same minute as ${schedulePath(earlier)}, for instance on ${minuteText(meeting)}: a stanza takes one backup at a time, so one of them fails`;
      const hint = `leave those hours out of "${schedule.cron}", or start it some minutes later`;
      return [finding("PB027", `${schedulePath(schedule)}.cron`, fact, hint)];
    }),
  );
}

/** WAL alone restores nothing, and increments need regular full backups. PB092 reports a suspended schedule. */
function checkCoverage(plan: DatabasePlan): Finding[] {
  const full = new Set(repositoriesWithDeclaredFulls(plan).map((repository) => repository.key));
  return plan.repositories.flatMap((repository) => {
    if (repository.key === 0 || full.has(repository.key)) return [];
    const scheduled = plan.schedules
      .filter((schedule) => schedule.repoKeys.includes(repository.key))
      .map((schedule) => schedule.name);
    if (scheduled.length === 0) {
      const fact = "no schedule sends a backup there, and WAL alone restores nothing";
      const hint = `add ${repository.name} to schedules.full.repositories, or leave that out to send full backups to all repositories`;
      return [finding("PB028", `repositories.${repository.name}`, fact, hint)];
    }
    const fact = `gets ${scheduled.join(" and ")} but no scheduled full backup: its first one is never replaced, so nothing expires and each restore takes longer`;
    const hint = `add ${repository.name} to schedules.full.repositories`;
    return [finding("PB029", `repositories.${repository.name}`, fact, hint)];
  });
}

function minuteText({ day, hour, minute, month, year }: CalendarMinute): string {
  const weekday = DAY_NAMES[new Date(Date.UTC(year, month - 1, day)).getUTCDay()] ?? "";
  const two = (value: number): string => String(value).padStart(2, "0");
  return `a ${weekday} at ${two(hour)}:${two(minute)}`;
}
