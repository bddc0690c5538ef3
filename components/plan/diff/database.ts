/**
 * Changes of one database apart from its repositories: copies, engine, objectives, schedules, drills, silenced
 * findings. Pure.
 */
import { findRepoIndex } from "../model/defaults";
import { ATTACK, DRILL_LEVELS, isAttack, drilledRepositories, drillSourceText } from "../schedule/declaredDrills";
import { type EngineRow, findEngine } from "../engines/engines";
import type { DrillPlan } from "../model/plan";
import { expectBackupWithin } from "../schedule/expectFull";
import type { Schedule } from "../schedule/schedule";
import type { DrillChecksNode, DumpsNode, Flow, Topology } from "../topology/topology";
import { diffPolicy, diffSynchronous } from "./walPolicy";
import { type Collector, isHidden, section, type Value, valueText } from "./change";
import { copyCountsText, countCopies, type Range } from "./copyCounts";
import { diffCare } from "./care";
import { diffOptions } from "./passedOptions";
import { diffRate } from "./rate";
import { diffRepositories } from "./repositories";
import { underNewKeys } from "./sameRepositories";
import { diffSnapshots } from "./snapshots";

const COPY_TEXTS = {
  copies: "copies of the data, the database itself included",
  providers: "places that do not fail together",
  offSite: "copies off-site",
} as const;

/** In reading order: the headline first. */
export function diffDatabase(to: Collector, old: Topology, after: Topology): void {
  const { oldNames, topology: before } = underNewKeys(old, after);
  diffCopies(to, before, after);
  diffNode(to, before, after);
  diffRepositories(to, before, after, oldNames);
  diffSnapshots(to, before.databases[0]?.volumeSnapshots, after.databases[0]?.volumeSnapshots);
  diffWal(to, before, after);
  diffSynchronous(to, before.databases[0]?.synchronous, after.databases[0]?.synchronous);
  diffPromises(to, before, after);
  diffSchedules(to, before, after);
  diffDrills(to, before, after);
  diffDrillChecks(to, before.drillChecks, after.drillChecks);
  diffBackupAge(to, before, after);
  diffDumps(to, [before.dumps, before], [after.dumps, after]);
  diffSilenced(to, before, after);
}

function diffCopies(to: Collector, before: Topology, after: Topology): void {
  const [old, now] = [countCopies(before), countCopies(after)];
  for (const name of ["copies", "providers", "offSite"] as const) {
    const [from, until] = [old[name], now[name]];
    if (from.min === until.min && from.max === until.max) continue;
    const texts = [rangeText(from), rangeText(until)] as const;
    const text = `${COPY_TEXTS[name]}: ${texts[1]} (${copyCountsText(now)}), not ${texts[0]} (${copyCountsText(old)})`;
    if (until.max < from.min) to.add(`copies.${name}`, texts[0], texts[1], "weakened", text);
    else if (until.min > from.max) to.add(`copies.${name}`, texts[0], texts[1], "strengthened", text);
    else to.uncertain(`copies.${name}`, texts[0], texts[1], `${text}: a place is not known yet`);
  }
}

function diffNode(to: Collector, before: Topology, after: Topology): void {
  const [old] = before.databases;
  const [now] = after.databases;
  if (old === undefined || now === undefined) return;
  if (old.stanza !== now.stanza && !isHidden(old.stanza) && !isHidden(now.stanza)) {
    const text = `backups start from scratch under the name ${now.stanza}: nothing maintains those of ${old.stanza} any more`;
    to.add("stanza", old.stanza, now.stanza, "weakened", text);
  }
  diffEngine(to, old.engine, now.engine);
  diffOptions(to, "options", old.options, now.options);
  diffCare(to, old, now);
  const fields = [
    "kind",
    "engineVersion",
    "reachedBy",
    "dataDirectory",
    "container",
    "namespace",
    "cluster",
    "instances",
  ] as const;
  for (const field of fields)
    to.plain(field, old[field] ?? null, now[field] ?? null, (value) => `${field} is ${valueText(value)}`);
  // A topology from a file may hide the list.
  const snapshots = [old.snapshots, now.snapshots].map((kinds: unknown) =>
    Array.isArray(kinds) ? kinds.join(", ") : typeof kinds === "string" ? kinds : null,
  );
  to.plain(
    "snapshots",
    snapshots[0] ?? null,
    snapshots[1] ?? null,
    (value) => `snapshots next to the backups: ${valueText(value)}`,
  );
}

/** Judged by the capabilities lost and gained; unknown engines cannot be judged. */
function diffEngine(to: Collector, before: string, after: string): void {
  const [old, now] = [findEngine(before), findEngine(after)];
  if (before === after || old === null || now === null) {
    to.plain("engine", before, after, (value) => `the engine is ${valueText(value)}`);
    return;
  }
  const [couldDo, canDo] = [abilitiesOf(old), abilitiesOf(now)];
  const lost = couldDo.filter((ability) => !canDo.includes(ability));
  const gained = canDo.filter((ability) => !couldDo.includes(ability));
  const parts = [
    lost.length > 0 ? `can no longer: ${lost.join(", ")}` : "",
    gained.length > 0 ? `now can: ${gained.join(", ")}` : "",
  ];
  const text = `${now.title} instead of ${old.title}; ${parts.filter((part) => part !== "").join("; ")}`;
  to.rank(
    "engine",
    before,
    after,
    (engine) => (engine === after ? gained.length : lost.length),
    () => text,
  );
}

function abilitiesOf(row: EngineRow): string[] {
  const flags: [able: boolean, text: string][] = [
    [row.repositoriesMax > 0, "write to a repository"],
    [row.repositoriesMax > 1, "write to several repositories"],
    [row.onePass, "reach all repositories in one pass"],
    [row.encrypts, "encrypt"],
    [row.fromStandby, "back up from a standby"],
    [row.retention, "remove old backups"],
    [row.isolated, "keep healthy repositories up to date while one is down"],
    [row.acknowledges, "acknowledge WAL by policy"],
    [row.blockIncremental, "store changed blocks only"],
  ];
  return [
    ...flags.flatMap(([able, text]) => (able ? [text] : [])),
    ...row.backupTypes.map((type) => `take ${type} backups`),
  ];
}

function diffWal(to: Collector, before: Topology, after: Topology): void {
  const [old, now] = [findWal(before), findWal(after)];
  if (old === undefined || now === undefined) return;
  const [was, is] = [old.acknowledge ?? null, now.acknowledge ?? null];
  const sentence = (value: Value): string =>
    `PostgreSQL may remove a segment ${value === "all" ? "when all repositories hold it" : value === "any" ? "as soon as one repository holds it" : `when ${valueText(value)} holds it`}`;
  diffPolicy(to, "acknowledge", was, is, sentence);
  diffKeys(to, "wal", "WAL", [old.toRepoKeys, before], [now.toRepoKeys, after]);
}

function diffPromises(to: Collector, { objectives: old }: Topology, { objectives: now }: Topology): void {
  const shorter = (value: Value): number => (value === null ? Number.NEGATIVE_INFINITY : -Number(value));
  const longer = (value: Value): number => Number(value ?? 0);
  to.rank("worstCaseRpoSeconds", old.worstCaseRpoSeconds ?? null, now.worstCaseRpoSeconds ?? null, shorter, (value) =>
    value === null
      ? "nothing limits how far the repositories lag behind the database"
      : `losing the host loses at most ${value} s of commits`,
  );
  const objectives = section(to, "objectives", old, now);
  objectives.rank("rpoSeconds", shorter, (value) =>
    value === null ? "no recovery point objective" : `the recovery point objective is ${value} s`,
  );
  objectives.rank("rtoMinutes", shorter, (value) =>
    value === null ? "no recovery time objective" : `the recovery time objective is ${value} minutes`,
  );
  const forTime = ({ pitrRtoMinutes, rtoMinutes }: typeof now): Value => pitrRtoMinutes ?? rtoMinutes ?? null;
  if (old.pitrRtoMinutes !== undefined || now.pitrRtoMinutes !== undefined)
    to.rank("objectives.pitrRtoMinutes", forTime(old), forTime(now), shorter, (value) =>
      value === null
        ? "no recovery time objective for a point in time"
        : `the recovery time objective for a point in time is ${value} minutes`,
    );
  objectives.rank("pitrDays", longer, (value) =>
    value === null ? "no recovery window objective" : `the recovery window objective is ${value} days`,
  );
  objectives.plain("maxRepositoryGB", (value) =>
    value === null
      ? "no limit for the size of a repository"
      : `the limit for the size of a repository is ${valueText(value)} GB`,
  );
}

function diffSchedules(to: Collector, before: Topology, after: Topology): void {
  const olds = new Map(before.schedules.map((schedule) => [schedule.name, schedule]));
  const news = new Map(after.schedules.map((schedule) => [schedule.name, schedule]));
  for (const [name, old] of olds) {
    const now = news.get(name);
    const path = `schedules.${name}`;
    const isIdle = old.suspended === true || now?.suspended === true;
    if (now === undefined) {
      to.add(path, scheduleText(old), "removed", isIdle ? "neutral" : "weakened", `no more ${old.type} backups`);
      continue;
    }
    to.rank(
      `${path}.suspend`,
      old.suspended ?? false,
      now.suspended ?? false,
      (value) => (value ? 0 : 1),
      (value) => (value ? `${now.type} backups are suspended: none is taken` : `${now.type} backups are taken again`),
    );
    if (isIdle) to.plain(`${path}.cron`, old.cron, now.cron, (value) => `${now.type} backups: ${valueText(value)}`);
    else diffRate(to, `${path}.cron`, `${now.type} backups`, old.cron, now.cron);
    const schedule = section(to, path, old, now);
    schedule.plain("timeZone", (value) => `${name} runs in time zone ${valueText(value)}`);
    schedule.plain("jitterSeconds", (value) => `${name} starts up to ${valueText(value)} s late`);
    schedule.plain("deadlineSeconds", (value) => `${name} is stopped after ${valueText(value)} s`);
    if (!isIdle)
      diffKeys(to, `${path}.repositories`, `${now.type} backups`, [old.repoKeys, before], [now.repoKeys, after]);
  }
  for (const [name, now] of news) {
    if (!olds.has(name))
      to.add(
        `schedules.${name}`,
        null,
        scheduleText(now),
        now.suspended === true ? "neutral" : "strengthened",
        `new ${now.type} backups: ${scheduleText(now)}`,
      );
  }
}

function diffDrills(to: Collector, before: Topology, after: Topology): void {
  const olds = new Map(before.drills.map((drill) => [drill.name, drill]));
  const news = new Map(after.drills.map((drill) => [drill.name, drill]));
  for (const [name, old] of olds) {
    const now = news.get(name);
    const path = `drills.${name}`;
    // One that attacks restores nothing, and the other way round: they prove different things.
    const isOther = now !== undefined && isAttack(old) !== isAttack(now) && !isHidden(old.pick) && !isHidden(now.pick);
    if (now === undefined || isOther) {
      to.add(path, drillText(old), "removed", "weakened", `the drill ${name} no longer ${purposeText(old)}`);
      if (isOther) to.add(path, null, drillText(now), "strengthened", `the drill ${name} ${purposeText(now)}`);
      continue;
    }
    diffRate(to, `${path}.cron`, `the drill ${name}`, old.cron, now.cron);
    const drill = section(to, path, old, now);
    drill.plain("timeZone", (value) => `${name} runs in time zone ${valueText(value)}`);
    diffSource(to, path, [old, before], [now, after]);
    drill.plain("pick", (value) => `the drill ${name} restores ${pickText(value)}`);
    const depth = (value: Value): number => DRILL_LEVELS.indexOf(value === null ? "thorough" : String(value));
    drill.rank("level", depth, (value) =>
      value === null ? `the drill ${name} checks everything` : `the drill ${name} checks at level ${valueText(value)}`,
    );
    to.plain(`${path}.elsewhere`, old.elsewhere ?? false, now.elsewhere ?? false, (value) =>
      value === true
        ? `the drill ${name} is made on another machine`
        : `the drill ${name} is made alongside the database`,
    );
    drill.rank(
      "how",
      (value) => (value === "open" ? 0 : 1),
      (value) =>
        value === "open"
          ? `the drill ${name} opens its backup, which measures no RTO`
          : `the drill ${name} restores its backup`,
    );
    to.rank(`${path}.dump`, old.dump ?? false, now.dump ?? false, Number, (value) =>
      value ? `the drill ${name} loads the newest dump too` : `the drill ${name} loads no dump`,
    );
    drill.plain("maxGiB", (value) =>
      value === null
        ? `the drill ${name} may restore any amount`
        : `the drill ${name} may restore ${valueText(value)} GiB`,
    );
    const limit = (value: Value): number => (value === null ? Number.NEGATIVE_INFINITY : -Number(value));
    drill.rank("maxMinutes", limit, (value) =>
      value === null ? `the drill ${name} may take any time` : `the drill ${name} may take ${value} minutes`,
    );
  }
  for (const [name, now] of news) {
    if (!olds.has(name))
      to.add(
        `drills.${name}`,
        null,
        drillText(now),
        "strengthened",
        `the drill ${name} restores from ${sourceText(now)}: ${drillText(now)}`,
      );
  }
}

/** Another repository is neutral; losing one is weaker. */
function diffSource(to: Collector, path: string, [old, before]: Drilled, [now, after]: Drilled): void {
  if (old.from !== undefined && now.from !== undefined)
    return section(to, path, old, now).plain(
      "from",
      (value) => `the drill ${now.name} restores from ${valueText(value)}`,
    );
  const keys = (drill: DrillPlan, { repositories }: Topology): number[] =>
    drilledRepositories(drill, repositories).map((name) => findRepoIndex(name) ?? 0);
  diffKeys(
    to,
    `${path}.repositories`,
    `restores by the drill ${now.name}`,
    [keys(old, before), before],
    [keys(now, after), after],
  );
}

type Drilled = readonly [drill: DrillPlan, topology: Topology];

function diffDrillChecks(to: Collector, before: DrillChecksNode = NO_CHECKS, after: DrillChecksNode = NO_CHECKS): void {
  to.rank("drillChecks.heartbeat", before.heartbeat, after.heartbeat, Number, (value) =>
    value ? "drills measure the loss by a heartbeat" : "drills measure the loss by the last commit only",
  );
  for (const name of before.assertions)
    if (!after.assertions.includes(name))
      to.add(`drillChecks.${name}`, "asked", "removed", "weakened", `drills no longer check whether ${name}`);
  for (const name of after.assertions)
    if (!before.assertions.includes(name))
      to.add(`drillChecks.${name}`, null, "asked", "strengthened", `drills check whether ${name}`);
}

/** Without an age of its own, a drill fails for a backup that is later than the schedules promise. */
function diffBackupAge(to: Collector, before: Topology, after: Topology): void {
  const path = "drillChecks.backupAgeHours";
  const [old, now] = [before, after].map(({ drillChecks }) => drillChecks?.backupAgeHours ?? null) as [Value, Value];
  const textOf = (value: Value): string =>
    value === null ? "drills measure the backup's age by the schedules" : `drills accept backups of ${value} hours`;
  const scheduled = old === null ? before : after;
  if (old !== now && (old === null || now === null) && scheduled.schedules.some(({ cron }) => isHidden(cron))) {
    to.uncertain(path, old, now, textOf(now));
    return;
  }
  to.rank(path, old, now, (value) => -Number(value ?? scheduledAgeHours(scheduled)), textOf);
}

/** The oldest backup that a drill accepts by the schedules; infinite if one of the repositories gets none. */
function scheduledAgeHours(topology: Topology): number {
  const agesS = topology.repositories.map((repository) => expectBackupWithin(topology, repository) ?? Infinity);
  return Math.max(...agesS) / 3600;
}

const NO_CHECKS: DrillChecksNode = { heartbeat: false, assertions: [] };

function diffDumps(to: Collector, [old, before]: Dumped, [now, after]: Dumped): void {
  if (old === undefined && now === undefined) return;
  if (now === undefined || old === undefined) {
    if (old !== undefined) to.add("dumps", dumpsText(old), "removed", "weakened", "no logical dumps are taken");
    if (now !== undefined) to.add("dumps", null, dumpsText(now), "strengthened", `logical dumps: ${dumpsText(now)}`);
    return;
  }
  diffRate(to, "dumps.cron", "logical dumps", old.cron, now.cron);
  const dumps = section(to, "dumps", old, now);
  dumps.plain("timeZone", (value) => `logical dumps run in time zone ${valueText(value)}`);
  dumps.plain("jitterSeconds", (value) => `logical dumps start up to ${valueText(value)} s late`);
  const named = ({ repositories }: DumpsNode): number[] => repositories.map((name) => findRepoIndex(name) ?? 0);
  if ([old, now].some(({ repositories }) => isHidden(repositories)))
    to.plain("dumps.repositories", namesText(old.repositories), namesText(now.repositories), () => "");
  else diffKeys(to, "dumps.repositories", "logical dumps", [named(old), before], [named(now), after]);
  const [was, is] = [namesText(old.databases), namesText(now.databases)];
  const rankOf = (value: Value): number =>
    value === was || (covers(now, old) && covers(old, now)) ? 1 : covers(now, old) ? 2 : 0;
  to.rank("dumps.databases", was, is, rankOf, (value) => `databases that are dumped: ${valueText(value)}`);
  // Days and count together keep what either keeps.
  for (const name of ["keepDays", "keepCount"] as const)
    dumps.rank(
      name,
      (value) => Number(value ?? 0),
      (value) =>
        value === null ? `logical dumps stay without ${name}` : `logical dumps stay by ${name} ${valueText(value)}`,
    );
}

type Dumped = readonly [dumps: DumpsNode | undefined, topology: Topology];

/** True if these dumps have every database of the others. */
function covers({ databases: wide }: DumpsNode, { databases: narrow }: DumpsNode): boolean {
  return wide === undefined || (narrow?.every((name) => wide.includes(name)) ?? false);
}

/** A list in a topology from a file may be hidden. */
function namesText(names: readonly string[] | undefined): string {
  return names === undefined ? "all" : isHidden(names) ? String(names) : names.join(", ");
}

function diffSilenced(to: Collector, before: Topology, after: Topology): void {
  const olds = new Map(before.silenced.map(({ code, reason }) => [code, reason]));
  const news = new Map(after.silenced.map(({ code, reason }) => [code, reason]));
  for (const [code, reason] of news) {
    if (!olds.has(code)) to.add(`silence.${code}`, null, "silenced", "weakened", `${code} is now silenced: ${reason}`);
    else
      to.plain(
        `silence.${code}`,
        olds.get(code) ?? null,
        reason,
        (value) => `${code} is silenced for another reason: ${valueText(value)}`,
      );
  }
  for (const code of olds.keys())
    if (!news.has(code)) to.add(`silence.${code}`, "silenced", null, "strengthened", `${code} is no longer silenced`);
}

/** Repositories that something starts or stops going to; added and removed repositories are reported elsewhere. */
function diffKeys(to: Collector, path: string, what: string, [olds, before]: Reached, [news, after]: Reached): void {
  for (const { key, name } of after.repositories) {
    if (!before.repositories.some((repository) => repository.name === name)) continue;
    const [was, is] = [olds.includes(key), news.includes(key)];
    if (was === is) continue;
    to.rank(`${path}.${name}`, was, is, Number, (value) =>
      value ? `${what} go to ${name}` : `${what} no longer go to ${name}`,
    );
  }
}

type Reached = readonly [keys: readonly number[], topology: Topology];

function findWal({ flows }: Topology): Flow | undefined {
  return flows.find((flow) => flow.kind === "wal");
}

/** `0 3 * * 0 UTC`, `0 3 * * 0 UTC, suspended`. */
export function scheduleText({ cron, suspended, timeZone }: Pick<Schedule, "cron" | "timeZone" | "suspended">): string {
  return `${valueText(cron)} ${valueText(timeZone)}${suspended === true ? ", suspended" : ""}`;
}

/** `30 4 * * * UTC to repo1, repo2`. */
export function dumpsText(dumps: DumpsNode): string {
  return `${scheduleText(dumps)} to ${valueText(namesText(dumps.repositories))}`;
}

/** `0 5 1 * * UTC from repo1`. */
export function drillText(drill: DrillPlan): string {
  return `${scheduleText(drill)} from ${sourceText(drill)}`;
}

function purposeText(drill: DrillPlan): string {
  return isAttack(drill)
    ? `proves that a stolen key cannot destroy ${sourceText(drill)}`
    : `proves restores from ${sourceText(drill)}`;
}

function sourceText(drill: DrillPlan): string {
  return isHidden(drill.from) ? valueText(drill.from) : drillSourceText(drill);
}

function pickText(value: Value): string {
  if (value === ATTACK) return "no backup, and attacks a bucket";
  return value === null ? "each kind of backup in turn" : valueText(value);
}

function rangeText({ min, max }: Range): string {
  return min === max ? String(min) : `${min} to ${max}`;
}
