/** `ScheduledBackup` of CloudNativePG: when the operator really runs it, and how the plugin reads it. Pure. */
import { type Finding, finding } from "../../findings/findings";
import { parseCron, runsPerDay, type Schedule, firstMeeting } from "../../schedule/schedule";
import { isUnknown } from "../../model/unknown";
import { BARMAN, DALIBO } from "./plugins";
import { groupsOf, hasField, type KubeObject, objectsOf, pairsOf, pathOf, textAt } from "./objects";
import { valueAt } from "../../model/anyValue";

export function checkScheduledBackup(object: KubeObject): Finding[] {
  return [...checkCron(object), ...checkMethod(object), ...checkPlugin(object), ...checkRunning(object)];
}

/** Conflicts between the schedules of one cluster. */
export function checkScheduledBackupsTogether(objects: readonly KubeObject[]): Finding[] {
  const all = objectsOf(objects, "postgresql.cnpg.io", "ScheduledBackup");
  return groupsOf(
    all,
    (object) => `${object.namespace}/${textAt(object.json, "spec", "cluster", "name") ?? ""}`,
  ).flatMap((group) => [...checkImmediate(group), ...checkMeetings(group)]);
}

/** CloudNativePG's schedules have six fields: seconds come first, and the day of the week may be omitted. */
function checkCron(object: KubeObject): Finding[] {
  const schedule = textAt(object.json, "spec", "schedule");
  if (schedule === null || isUnknown(schedule) || schedule.startsWith("@")) return [];
  const fields = schedule.trim().split(/\s+/);
  const path = pathOf(object, "spec.schedule");
  if (fields.length !== 5) return checkSixFields(schedule, fields, path);
  const shifted = parseCron([...fields.slice(1), "*"].join(" "));
  const [, minute = ""] = fields;
  const runs = shifted.ok ? runsPerDay(shifted.cron) : 0;
  const fact = `"${schedule}" has five fields, and CloudNativePG reads the first as seconds: it runs ${roundText(runs)} times a day${fields[2] === "*" ? `, at minute ${minute} of every hour` : ""}`;
  return [finding("PB070", path, fact, `put the seconds first: "0 ${schedule.trim()}"`)];
}

function checkSixFields(schedule: string, fields: readonly string[], path: string): Finding[] {
  if (fields.length !== 6) {
    const fact = `"${schedule}" has ${fields.length} fields, not six`;
    return [finding("PB011", path, fact, 'write for instance "0 0 3 * * *"')];
  }
  const parsed = parseCron(fields.slice(1).join(" ").replaceAll("?", "*"));
  // parseCron takes 7 for Sunday, as cron does.
  if (parsed.ok && /(^|[-,])0*7($|[-,/])/.test(fields[5] ?? "")) {
    const fact = `"${schedule}" names weekday 7, and CloudNativePG knows 0 (Sunday) to 6: it refuses the schedule`;
    return [finding("PB011", path, fact, "write 0 for Sunday")];
  }
  return parsed.ok ? [] : [finding("PB011", path, parsed.reason, 'write for instance "0 0 3 * * *"')];
}

function checkMethod(object: KubeObject): Finding[] {
  const method = textAt(object.json, "spec", "method");
  if (method !== null && method !== "barmanObjectStore") return checkSnapshot(object, method);
  const fact =
    method === null
      ? "without a method the operator takes barmanObjectStore, which is deprecated since CloudNativePG 1.26 and does not work for a cluster with a plugin"
      : "barmanObjectStore is deprecated since CloudNativePG 1.26";
  return [finding("PB071", pathOf(object, "spec.method"), fact, 'set method: "plugin" with pluginConfiguration')];
}

function checkSnapshot(object: KubeObject, method: string): Finding[] {
  if (method !== "volumeSnapshot" || valueAt(object.json, "spec", "online") !== false) return [];
  if (textAt(object.json, "spec", "target") !== "primary") return [];
  const fact = "a cold backup of the primary shuts it down until the backup ends: nothing can be written";
  const hint = 'leave online out, or set target: "prefer-standby" on a cluster with standbys';
  return [finding("PB093", pathOf(object, "spec.online"), fact, hint)];
}

function checkPlugin(object: KubeObject): Finding[] {
  const plugin = textAt(object.json, "spec", "pluginConfiguration", "name");
  const findings: Finding[] = [];
  if (plugin === BARMAN && hasField(object.json, "spec", "pluginConfiguration", "parameters", "barmanObjectName")) {
    const fact =
      "barmanObjectName in a ScheduledBackup is ignored: the backup goes to the cluster's ObjectStore, and the one named here stays empty";
    const hint =
      "remove it; for a second copy use an engine that writes to several repositories, and check each bucket";
    findings.push(finding("PB043", pathOf(object, "spec.pluginConfiguration.parameters.barmanObjectName"), fact, hint));
  }
  if (plugin !== DALIBO) return findings;
  if (textAt(object.json, "spec", "target") !== "primary") {
    const fact =
      'CloudNativePG takes backups from a standby by default, and this plugin needs the primary: the backup fails with [056] "unable to find primary cluster"';
    findings.push(finding("PB050", pathOf(object, "spec.target"), fact, 'set target: "primary"'));
  }
  const names = Object.keys(valueAt(object.json, "spec", "pluginConfiguration", "parameters") ?? {});
  for (const name of names.filter((each) => !["backupType", "selectedRepository"].includes(each))) {
    const hint = /repo/i.test(name)
      ? 'write selectedRepository: "2"'
      : "remove it: the plugin reads backupType and selectedRepository";
    const fact = `the plugin reads no parameter "${name}" of a backup: it ignores it, and repository 1 gets the backup`;
    findings.push(finding("PB091", pathOf(object, `spec.pluginConfiguration.parameters.${name}`), fact, hint));
  }
  return findings;
}

function checkRunning(object: KubeObject): Finding[] {
  if (valueAt(object.json, "spec", "suspend") !== true) return [];
  const fact = "the schedule is suspended: no backup is taken";
  return [finding("PB092", pathOf(object, "spec.suspend"), fact, "remove suspend, or the schedule")];
}

function checkImmediate(group: readonly KubeObject[]): Finding[] {
  const immediate = group.filter((object) => valueAt(object.json, "spec", "immediate") === true);
  return immediate.slice(1).map((object) => {
    const fact = `${immediate[0]?.name ?? ""} also takes an immediate backup of this cluster: both start together, and one of them fails or waits`;
    return finding("PB072", pathOf(object, "spec.immediate"), fact, "set immediate on one of them only");
  });
}

function checkMeetings(group: readonly KubeObject[]): Finding[] {
  return pairsOf(group).flatMap(([second, first]) => {
    const [left, right] = [scheduleOf(first), scheduleOf(second)];
    if (left === null || right === null || firstMeeting(left, right) === null) return [];
    const fact = `starts in the same minute as ${first.name}: a cluster takes one backup at a time, so one of them fails`;
    const hint = "start it an hour later, or after the other one has ended";
    return [finding("PB027", pathOf(second, "spec.schedule"), fact, hint)];
  });
}

/** As the operator reads it: minutes and hours of six fields, or of five that the author meant as six. */
function scheduleOf(object: KubeObject): Schedule | null {
  const text = textAt(object.json, "spec", "schedule");
  if (text === null || isUnknown(text) || valueAt(object.json, "spec", "suspend") === true) return null;
  const fields = text.trim().split(/\s+/).slice(1);
  const cron = (fields.length === 4 ? [...fields, "*"] : fields).join(" ").replaceAll("?", "*");
  if (!parseCron(cron).ok) return null;
  return {
    name: object.name,
    cron,
    timeZone: "UTC",
    type: "full",
    repoKeys: [],
    repositories: [],
    jitterSeconds: 0,
    deadlineSeconds: 0,
  };
}

function roundText(runs: number): string {
  return String(Number(runs.toFixed(1)));
}
