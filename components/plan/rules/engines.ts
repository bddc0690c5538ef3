/** What an engine cannot do, checked before anything changes. Pure; the facts are rows of engines.ts. */
import { ENGINES, engineOf, findEngine, type EngineRow } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import type { ClusterDatabasePlan, DatabasePlan, DrillPlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { firstMeeting, parseCron, schedulePath, shiftCron } from "../schedule/schedule";
import { isInRange, stockLimits } from "../engines/stockVersions";
import { compareVersions } from "../../../runtime/config/compareVersions";
import { isGiven } from "../model/deferred";
import { abstaining, eachOf } from "../findings/abstain";
import { checkStreamInterval } from "./values";

/** Between a schedule's runs, for engines that need one run for each repository. */
export const OFFSET_MINUTES = 60;

export function checkEngine(plan: DatabasePlan): Finding[] {
  const row = findEngine(plan.engine);
  if (row === null || !row.on.includes(plan.kind)) {
    const where = plan.kind === "host" ? "on a host" : "for a cluster";
    const possible = ENGINES.filter(({ on }) => on.includes(plan.kind)).map(({ id }) => `"${id}"`);
    const hint = `set engine ${possible.join(" or ")}, or leave it out`;
    return [finding("PB010", "engine", `engine "${plan.engine}" cannot be installed ${where} by this version`, hint)];
  }
  return abstaining(
    () => checkDestinations(plan, row),
    () => eachOf(plan.repositories, (repository) => checkFeatures(repository, row)),
    () => checkTypes(plan, row),
    // On a host one unit runs them in sequence.
    () => (plan.kind === "cnpg" ? checkRunsPerRepository(plan, row) : []),
    () => checkAcknowledgement(plan, row),
    () => (row.stock ? checkStockVersion(plan) : []),
    () => (row.stock && plan.kind === "host" ? checkStockOnHost(plan) : []),
  );
}

/** For clusters of CloudNativePG only. */
export function checkClusterEngine(plan: ClusterDatabasePlan): Finding[] {
  const row = findEngine(plan.engine);
  return abstaining(
    () => {
      if (row === null || row.fromStandby || plan.backupTarget === "primary") return [];
      const fact = `${row.title} cannot take a backup from a standby there: it cannot reach the primary and fails with [056] "unable to find primary cluster"`;
      return [finding("PB050", "backupTarget", fact, 'set backupTarget: "primary", or use engine "runtime"')];
    },
    () => {
      if (Number.isInteger(plan.instances) && plan.instances >= 1) return [];
      const fact = `${plan.instances} instances: CloudNativePG requires at least 1`;
      const hint = 'to stop a cluster, set the annotation cnpg.io/hibernation: "on"';
      return [finding("PB096", "instances", fact, hint)];
    },
    () => (row === null || row.own ? [] : eachOf(plan.drills, (drill) => checkForeignDrill(drill, row))),
    () => checkStreaming(plan),
    () =>
      eachOf(plan.schedules, (schedule) => {
        if (schedule.timeZone === "UTC" || schedule.timeZone === "Etc/UTC") return [];
        const fact = `CloudNativePG runs schedules in its operator's zone (UTC) only: hours of ${schedule.timeZone} would be shifted`;
        const hint = "write the hours in UTC and leave timeZone out";
        return [finding("PB051", `${schedulePath(schedule)}.timeZone`, fact, hint)];
      }),
    () =>
      eachOf(plan.serviceNames, (name) => {
        if (!/^pgbackrest(-|$)/i.test(name)) return [];
        const fact = `a Service named "${name}" becomes environment variables ${name.toUpperCase().replaceAll("-", "_")}_… in every pod in ${plan.namespace}, and pgBackRest reads every PGBACKREST_* variable as an option`;
        return [finding("PB052", "serviceNames", fact, `rename it, for instance to "cnpg-${name}"`)];
      }),
  );
}

function checkForeignDrill({ elsewhere, name }: DrillPlan, row: EngineRow): Finding[] {
  if (elsewhere === true) return [];
  const fact = `a drill restores one chosen backup of one repository and bounds its WAL: ${row.title} cannot do that`;
  const hint = 'use engine "runtime", or leave it out and restore regularly into a separate Cluster (CnpgRestore)';
  return [finding("PB044", `drills.${name}`, fact, hint)];
}

function checkStreaming(plan: ClusterDatabasePlan): Finding[] {
  if (!("streamIntervalSeconds" in plan)) return [];
  return abstaining(
    () => checkStreamInterval(plan),
    () => {
      if (plan.withoutBackups === true) {
        const hint = "set repositories, or leave streaming out";
        return [finding("PB150", "streaming", "the cluster archives nowhere, so it streams nowhere", hint)];
      }
      if (engineOf(plan.engine).own) return [];
      const fact = `engine "${plan.engine}" ships complete segments only`;
      return [finding("PB150", "streaming", fact, 'leave streaming out, or use engine "runtime"')];
    },
  );
}

function checkDestinations({ engine, repositories }: DatabasePlan, row: EngineRow): Finding[] {
  if (repositories.length <= row.repositoriesMax) return [];
  const names = repositories.slice(row.repositoriesMax).map(({ name }) => name);
  if (row.repositoriesMax === 0) {
    const fact = `${row.title} stay in the cluster's storage: ${names.join(", ")} would get no backup`;
    return [finding("PB043", "engine", fact, 'use engine "runtime" for the repositories, with snapshots beside it')];
  }
  const fact = `engine ${engine} writes to ${row.repositoriesMax === 1 ? "one repository" : `${row.repositoriesMax} repositories`} only: ${names.join(", ")} would stay empty (a barmanObjectName in a ScheduledBackup is ignored)`;
  const hint = `set engine "runtime", or remove ${names.join(", ")}`;
  return [finding("PB043", `repositories.${names[0] ?? ""}`, fact, hint)];
}

function checkFeatures(repository: RepositoryPlan, row: EngineRow): Finding[] {
  const path = `repositories.${repository.name}`;
  return abstaining(
    () => {
      if (repository.kind === "unknown" || row.kinds.includes(repository.kind)) return [];
      const fact = `${row.title} cannot write to a repository of kind ${repository.kind}`;
      return [finding("PB044", `${path}.at`, fact, 'use engine "runtime"')];
    },
    () => {
      if (row.encrypts || !repository.encrypted) return [];
      const fact = `${row.title} does not encrypt: it would ignore the passphrase, and the bucket would hold readable backups`;
      const hint = 'use engine "runtime" or "pgbackrest", or leave cipher out on purpose';
      return [finding("PB045", `${path}.at.cipher`, fact, hint)];
    },
    () => {
      if (row.own || !isGiven(() => repository.keep)) return [];
      const fact = `${row.title} keeps no backup by calendar: it would remove what only the calendar keeps`;
      return [finding("PB044", `${path}.keep`, fact, 'use engine "runtime", or leave keep out')];
    },
    () => {
      if (row.own || !isGiven(() => repository.limitRate)) return [];
      const fact = `${row.title} knows no limit of bandwidth, and would ignore it`;
      return [finding("PB044", `${path}.limitRate`, fact, 'use engine "runtime", or leave limitRate out')];
    },
    () => {
      if (row.blockIncremental || !repository.blockIncremental) return [];
      const fact = `${row.title} does not support block increments`;
      return [finding("PB044", `${path}.blockIncremental`, fact, 'use engine "runtime"')];
    },
    () => {
      if (!repository.blockIncremental || repository.bundle) return [];
      const fact = "pgBackRest stores block increments in bundles only";
      return [finding("PB046", `${path}.blockIncremental`, fact, "set bundle: true")];
    },
  );
}

function checkTypes({ schedules }: DatabasePlan, row: EngineRow): Finding[] {
  return schedules.flatMap((schedule) => {
    if (row.backupTypes.includes(schedule.type)) return [];
    const fact = `${row.title} takes full backups only`;
    return [finding("PB044", schedulePath(schedule), fact, `remove it, or use engine "runtime"`)];
  });
}

/**
 * One run of stock writes to one repository. The runs for the others follow at an offset and must not meet another
 * schedule.
 */
function checkRunsPerRepository({ schedules }: DatabasePlan, row: EngineRow): Finding[] {
  if (row.onePass) return [];
  return eachOf(schedules, (schedule) => {
    if (!parseCron(schedule.cron).ok) return [];
    return schedule.repoKeys.slice(1).flatMap((key, index) => {
      const minutes = (index + 1) * OFFSET_MINUTES;
      const cron = shiftCron(schedule.cron, minutes);
      const path = schedulePath(schedule);
      if (cron === null) {
        const fact = `${row.title} needs a separate run for repo${key}, and "${schedule.cron}" cannot be moved by ${minutes} minutes`;
        const hint =
          'use a cron with single hours and minutes, or engine "runtime", which reaches all repositories in one pass';
        return [finding("PB047", path, fact, hint)];
      }
      const other = schedules.find(
        (candidate) =>
          candidate.name !== schedule.name && firstMeeting({ cron, timeZone: schedule.timeZone }, candidate) !== null,
      );
      if (other === undefined) return [];
      const fact = `the run for repo${key}, ${minutes} minutes later ("${cron}"), coincides with ${schedulePath(other)}: one of them fails`;
      return [finding("PB047", path, fact, 'move one of the two, or use engine "runtime"')];
    });
  });
}

function checkAcknowledgement({ acknowledge }: DatabasePlan, row: EngineRow): Finding[] {
  if (row.acknowledges || acknowledge.mode === "all") return [];
  const fact = `${row.title} supports acknowledgement "all" only: a segment counts as archived when every repository holds it`;
  return [finding("PB044", "acknowledge.mode", fact, 'leave acknowledge out, or use engine "runtime"')];
}

function checkStockVersion({ engineVersion, repositories }: DatabasePlan): Finding[] {
  if (engineVersion === undefined) return [];
  if (compareVersions(engineVersion, "2.45") === null) {
    const fact = `"${engineVersion}" is not a version of pgBackRest`;
    return [finding("PB048", "engineVersion", fact, 'write for instance "2.60.0"')];
  }
  return eachOf(repositories, (repository) =>
    stockLimits([repository])
      .filter((limit) => isInRange(limit, engineVersion))
      .map(({ code, path, fact, hint }) => finding(code, path, `with pgBackRest ${engineVersion} ${fact}`, hint)),
  );
}

/** Settings that stock has once for all repositories. */
function checkStockOnHost({ repositories }: DatabasePlan): Finding[] {
  const [first, ...others] = repositories;
  if (first === undefined || others.length === 0) return [];
  return abstaining(
    () => {
      const { compressLevel, compressType } = first;
      const different = others.find(
        (other) => other.compressType !== compressType || other.compressLevel !== compressLevel,
      );
      if (different === undefined) return [];
      const fact = `stock pgBackRest uses one compression for all repositories: ${different.name} would get ${compressType} at level ${compressLevel}`;
      const hint = `write the same as in ${first.name}, or use engine "runtime"`;
      return [finding("PB044", `repositories.${different.name}.compress`, fact, hint)];
    },
    () => {
      const fact = `stock pgBackRest archives a segment to all of ${repositories.length} repositories or to none: while one of them is down, WAL piles up in pg_wal, and backups to the others fail with [082]`;
      const hint = 'watch pg_wal, or use engine "runtime", which keeps archiving to the others';
      return [finding("PB121", "engine", fact, hint)];
    },
  );
}
