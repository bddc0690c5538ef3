/** Changes between backups: tasks that verify, heal and report, and whether anybody is notified. Pure. */
import type { DatabaseNode, TaskNode, TasksNode } from "../topology/topology";
import { type Collector, listText, section, type Value, valueText } from "./change";
import { diffRate } from "./rate";

interface TaskTexts {
  readonly without: string;
  /** True if backups are worse without it. */
  readonly protects: boolean;
}

const TASKS: Readonly<Record<string, TaskTexts>> = {
  verify: { without: "nothing reads back what the repositories hold", protects: true },
  heal: { without: "nothing copies missing WAL between repositories at fixed times", protects: true },
  stale: { without: "nothing reports backups and WAL that are too old", protects: true },
  expire: { without: "backups expire only after new ones", protects: false },
  metrics: { without: "no metrics are written to a file", protects: false },
};
/** An engine comes with these, or without them: the change of the engine judges that. */
const OF_ENGINE = ["expire", "heal"];

export function diffCare(to: Collector, old: DatabaseNode, now: DatabaseNode): void {
  diffTasks(to, old, now);
  const path = now.kind === "cnpg" ? "notifySecret" : "notify";
  const is = (value: Value): number => (value === true ? 1 : 0);
  to.rank(path, old.notifies ?? false, now.notifies ?? false, is, (value) =>
    value ? "failures are reported to somebody" : "failures are reported to nobody",
  );
}

function diffTasks(to: Collector, old: DatabaseNode, now: DatabaseNode): void {
  const [before, after] = [old.tasks ?? {}, now.tasks ?? {}];
  const [olds, news] = [tasksOf(before), tasksOf(after)];
  if (olds === null || news === null) {
    to.plain("maintenance", listText(before), listText(after), () => "");
    return;
  }
  for (const name of [...new Set([...olds.keys(), ...news.keys()])].sort()) {
    if (old.engine !== now.engine && OF_ENGINE.includes(name)) continue;
    const [was, is] = [olds.get(name), news.get(name)];
    const path = now.kind === "cnpg" && name === "stale" ? "staleCheck" : `maintenance.${name}`;
    const { protects, without } = TASKS[name] ?? { without: `the task ${name} no longer runs`, protects: false };
    if (typeof was === "string" || typeof is === "string") to.plain(path, taskText(was), taskText(is), () => "");
    else if (was === undefined) to.add(path, null, taskText(is), protects ? "strengthened" : "neutral", `${name} runs`);
    else if (is === undefined) to.add(path, taskText(was), "removed", protects ? "weakened" : "neutral", without);
    else diffTask(to, path, name, [was, is]);
  }
}

function diffTask(to: Collector, path: string, name: string, [old, now]: readonly [TaskNode, TaskNode]): void {
  if (TASKS[name]?.protects === true) diffRate(to, `${path}.cron`, name, old.cron, now.cron);
  else to.plain(`${path}.cron`, old.cron, now.cron, (value) => `${name}: ${valueText(value)}`);
  const task = section(to, path, old, now);
  task.plain("timeZone", (value) => `${name} runs in time zone ${valueText(value)}`);
  const share = (value: Value): number => Number(value ?? 100);
  task.rank("samplePercent", share, (value) => `${name} reads ${share(value)} % of the data each time`);
}

/** Ascending by name; each, or all, may be hidden in a topology from a file. */
function tasksOf(tasks: TasksNode): Map<string, TaskNode | string> | null {
  const given: unknown = tasks;
  return typeof given === "string" ? null : new Map(Object.entries(tasks));
}

function taskText(task: TaskNode | string | undefined): Value {
  if (task === undefined || typeof task === "string") return task ?? null;
  return `${valueText(task?.cron)} ${valueText(task?.timeZone)}`;
}
