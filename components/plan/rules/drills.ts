/** Fire drills: each must be able to run as declared and to tell whether the objective is met. Pure. */
import { isTimeZone } from "../../../runtime/config/timeZone";
import { checkRange } from "../arguments/ranges";
import {
  ATTACK,
  DRILL_HOWS,
  DRILL_LEVELS,
  DRILL_PICKS,
  drilledRepositories,
  isAttack,
  isDrillName,
  isOpening,
} from "../schedule/declaredDrills";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan, DrillPlan, DrillStatement } from "../model/plan";
import { withoutVersions } from "../repositories/repositoryTypes";
import { parseCron } from "../schedule/schedule";
import { abstaining, eachOf } from "../findings/abstain";
import { checkRemovedTime } from "../schedule/removedTimes";

export function checkDrills(plan: DatabasePlan): Finding[] {
  return abstaining(
    () => eachOf(plan.drills, (drill) => checkDrill(drill, plan)),
    () => checkMeasured(plan),
    () => checkAsked(plan),
  );
}

function checkDrill(drill: DrillPlan, plan: DatabasePlan): Finding[] {
  const path = `drills.${drill.name}`;
  return abstaining(
    () => checkTime(drill, path),
    () => checkSource(drill, plan, path),
    () => checkChoice(drill, path),
    () => checkBounds(drill, plan, path),
    () => checkAttack(drill, plan, path),
    () => checkOpening(drill, plan, path),
    () => checkLoading(drill, plan, path),
  );
}

/** Only a server of this machine can be opened, and an attack restores no backup. */
function checkOpening(drill: DrillPlan, plan: DatabasePlan, path: string): Finding[] {
  if (!isOpening(drill)) return [];
  const isContainer = "container" in plan && plan.container !== undefined;
  const refused = isAttack(drill)
    ? "an attack restores no backup of the database"
    : plan.kind === "cnpg"
      ? "a drill of a cluster restores into a Cluster of its own"
      : isContainer
        ? "a container's backups are restored into another one of its image"
        : null;
  return refused === null ? [] : [finding("PB040", `${path}.how`, refused, "leave how out")];
}

/** A dump is loaded into a server that was restored on this machine. */
function checkLoading(drill: DrillPlan, plan: DatabasePlan, path: string): Finding[] {
  if (drill.dump !== true) return [];
  const isWriter = "restoreOnly" in plan && plan.restoreOnly !== true;
  const refused =
    isAttack(drill) || isOpening(drill)
      ? "it restores no server that loads a dump"
      : isWriter && !("dumps" in plan && plan.dumps !== undefined)
        ? "no dumps are declared, so the drill has nothing to load"
        : null;
  return refused === null ? [] : [finding("PB040", `${path}.dump`, refused, "leave dump out, or declare dumps")];
}

/** The time of a restore is promised, and no drill measures one. */
function checkMeasured({ drills, objectives }: DatabasePlan): Finding[] {
  const minutes = objectives.rtoMinutes ?? objectives.pitrRtoMinutes;
  const restoring = drills.filter((drill) => !isAttack(drill));
  if (minutes === undefined || restoring.length === 0 || !restoring.every(isOpening)) return [];
  const name = objectives.rtoMinutes === undefined ? "pitrRtoMinutes" : "rtoMinutes";
  const fact = `objectives.${name} is ${minutes}, and every drill opens its backup, which measures no RTO`;
  return [finding("PB216", "drills", fact, "add a drill that restores, for instance once a month")];
}

/** An attack needs the key that a thief of this host or cluster would have, and versions that undo it. */
function checkAttack(drill: DrillPlan, { repositories }: DatabasePlan, path: string): Finding[] {
  if (drill.pick !== ATTACK) return [];
  const wrong = (argument: string, fact: string, hint: string): Finding[] => [
    finding("PB040", `${path}.${argument}`, fact, hint),
  ];
  if (drill.elsewhere === true)
    return wrong("elsewhere", "another host has no writer's key, which is the one to attack with", "leave it out");
  const names = drilledRepositories(drill, repositories);
  const chosen = repositories.filter(({ name }) => names.includes(name));
  const refused = chosen.flatMap((repository) => {
    const { gcs, kind, name, readOnly } = repository;
    // At Google every key that overwrites deletes versions too, and soft delete needs none.
    const unkept = gcs?.facts.undeleteDays === 0 ? `the bucket of ${name} has no soft delete` : null;
    const refusal = readOnly ? `${name} has a reader's key` : kind === "gcs" ? unkept : withoutVersions(repository);
    return refusal === null ? [] : [refusal];
  });
  if (refused.length === 0) return [];
  const hint = 'name buckets that keep versions, at Google deleted objects, for instance from: "repo2"';
  return wrong(drill.from === undefined ? "repositories" : "from", refused.join("; "), hint);
}

function checkTime(drill: DrillPlan, path: string): Finding[] {
  return abstaining(
    () => {
      if (isDrillName(drill.name)) return [];
      const fact = `"${drill.name}" cannot be part of a unit's name`;
      return [finding("PB040", path, fact, "use up to 40 lower-case letters, digits and hyphens")];
    },
    () => {
      const parsed = parseCron(drill.cron);
      if (parsed.ok) return [];
      const hint = 'write for instance "0 5 * * 6" for Saturdays at 05:00';
      return [finding("PB011", `${path}.cron`, parsed.reason, hint)];
    },
    () => {
      const { timeZone } = drill;
      if (isTimeZone(timeZone)) return [];
      return [finding("PB011", `${path}.timeZone`, `"${timeZone}" is not a time zone name`, "use UTC")];
    },
    () => checkRemovedTime(drill, path),
  );
}

function checkSource({ from, repositories: some }: DrillPlan, { repositories }: DatabasePlan, path: string): Finding[] {
  if (from !== undefined && some !== undefined) {
    const fact = "from names one repository, repositories several in turn: they exclude each other";
    return [finding("PB040", `${path}.repositories`, fact, "leave one of them out")];
  }
  if (some?.length === 0) {
    const fact = "the list is empty, so nothing is restored";
    return [finding("PB040", `${path}.repositories`, fact, "leave it out to drill all of them")];
  }
  if (repositories.length === 0) return [];
  const names = repositories.map(({ name }) => name);
  const missing = (argument: string, wanted: readonly string[]): Finding[] =>
    wanted
      .filter((name) => !names.includes(name))
      .map((name) => {
        const fact = `"${name}" is not a repository of this database`;
        return finding("PB040", `${path}.${argument}`, fact, `use one of ${names.join(", ")}`);
      });
  return from === undefined ? missing("repositories", some ?? []) : missing("from", [from]);
}

function checkChoice(drill: DrillPlan, path: string): Finding[] {
  return eachOf(["pick", "how", "level"] as const, (name) => {
    const value = drill[name];
    const allowed = { pick: DRILL_PICKS, how: DRILL_HOWS, level: DRILL_LEVELS }[name];
    if (value === undefined || allowed.includes(value)) return [];
    const fact = `"${value}" is not a ${name} of a drill`;
    return [finding("PB040", `${path}.${name}`, fact, `use one of ${allowed.join(", ")}`)];
  });
}

function checkBounds(drill: DrillPlan, { objectives }: DatabasePlan, path: string): Finding[] {
  return abstaining(
    () => checkRange("DrillArgs.maxMinutes", `${path}.maxMinutes`, drill.maxMinutes),
    () => checkRange("DrillArgs.maxGiB", `${path}.maxGiB`, drill.maxGiB),
    () => eachOf(["rtoMinutes", "pitrRtoMinutes"] as const, (name) => checkPromise(drill, objectives, name, path)),
  );
}

/** A drill fails if its time to the first connection is too long. Its checks run after that. */
function checkPromise(
  { maxMinutes, pick }: DrillPlan,
  objectives: DatabasePlan["objectives"],
  name: "rtoMinutes" | "pitrRtoMinutes",
  path: string,
): Finding[] {
  const isMeasured =
    name === "rtoMinutes"
      ? pick !== "moment" || objectives.pitrRtoMinutes === undefined
      : pick === undefined || pick === "moment";
  const minutes = isMeasured ? objectives[name] : undefined;
  if (minutes === undefined || maxMinutes === undefined || maxMinutes >= minutes) return [];
  const fact = `a drill is stopped after ${maxMinutes} minutes, but objectives.${name} is ${minutes}: it fails although the objective is met`;
  const hint = `set maxMinutes well above ${minutes}: checks run after the restore`;
  return [finding("PB041", `${path}.maxMinutes`, fact, hint)];
}

function checkAsked({ drillChecks }: DatabasePlan): Finding[] {
  const { assertions } = drillChecks;
  return abstaining(
    () => checkRange("DrillChecksArgs.backupAgeHours", "drillChecks.backupAgeHours", drillChecks.backupAgeHours),
    () => (drillChecks.heartbeat === undefined ? [] : checkStatement(drillChecks.heartbeat, "drillChecks.heartbeat")),
    () =>
      eachOf(assertions, (asked, index) => {
        const path = `drillChecks.assertions[${index}]`;
        const hint = "describe in one line what must be true";
        return abstaining(
          () => (isLine(asked.name) ? [] : [finding("PB040", `${path}.name`, "it is not a text of one line", hint)]),
          () => checkStatement(asked, path),
        );
      }),
    () =>
      eachOf(assertions, ({ name }, index) =>
        assertions.findIndex((other) => other.name === name) === index
          ? []
          : [finding("PB040", "drillChecks.assertions", `"${name}" is declared twice`, "give each its own name")],
      ),
  );
}

function checkStatement(asked: DrillStatement, path: string): Finding[] {
  return abstaining(
    () =>
      asked.database === undefined || isLine(asked.database)
        ? []
        : [finding("PB040", `${path}.database`, "it is not a database name", "")],
    () => {
      if (asked.sql.trim() !== "") return [];
      const hint = 'write for instance "SELECT count(*) > 0 FROM orders"';
      return [finding("PB040", `${path}.sql`, "there is no statement", hint)];
    },
  );
}

/** @param names of drills that are declared as made elsewhere but that nothing in the program makes */
export function checkUndrilled(names: readonly string[]): Finding[] {
  return names.map((name) => {
    const fact =
      "no FireDrill of this program makes it: the topology and its alert expect the drill, but nothing is restored";
    const hint = 'declare one: new FireDrill("…", { of: <this>.drilled, … }); or silence this if another stack has it';
    return finding("PB140", `drills.${name}.elsewhere`, fact, hint);
  });
}

export function isLine(text: string): boolean {
  return text.trim() !== "" && !/[\0-\x1f]/.test(text);
}
