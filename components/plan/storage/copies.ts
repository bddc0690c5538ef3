/**
 * Counts 3-2-1: three copies of the data, two failure domains, one copy off-site. The running database is a copy. A
 * repository is one only if it gets full backups, because WAL alone restores nothing. Pure.
 */
import type { DatabasePlan } from "../model/plan";
import { readOr } from "../model/deferred";
import { isUnknown } from "../model/unknown";
import { runningSchedules, type Schedule } from "../schedule/schedule";

export interface Copies {
  /** The database and every repository with full backups. */
  readonly copies: number;
  /** The repositories' distinct failure domains. */
  readonly providers: number;
  /** Repositories known to be off-site. */
  readonly offSite: number;
  /** False while a failure domain is unknown: the numbers are then minimums. */
  readonly known: boolean;
}

export function copiesOf(plan: Pick<DatabasePlan, "repositories" | "schedules">): Copies {
  const full = repositoriesWithFulls(plan);
  const domains = full.map(({ site }) => readOr(() => site.failureDomain, null));
  const knownDomains = domains.filter((domain) => domain !== null && !isUnknown(domain));
  const offSite = full.map(({ site }) => readOr(() => site.offSite, undefined));
  return {
    copies: 1 + full.length,
    providers: new Set(knownDomains).size + (knownDomains.length === 0 && domains.length > 0 ? 1 : 0),
    offSite: offSite.filter((isOff) => isOff === true).length,
    known: knownDomains.length === domains.length && offSite.every((isOff) => isOff !== undefined),
  };
}

interface Scheduled<T> {
  readonly repositories: readonly T[];
  readonly schedules: DatabasePlan["schedules"];
}

/** Repositories with scheduled full backups; all of them if nothing is scheduled (manual backups go to all). */
export function repositoriesWithFulls<T extends { readonly key: number }>(of: Scheduled<T>): readonly T[] {
  return of.schedules.length === 0 ? of.repositories : reachedByFulls(of, runningSchedules(of.schedules));
}

/** The same, but a suspended schedule counts too: its backups may exist. */
export function repositoriesWithDeclaredFulls<T extends { readonly key: number }>(of: Scheduled<T>): readonly T[] {
  return of.schedules.length === 0 ? of.repositories : reachedByFulls(of, of.schedules);
}

function reachedByFulls<T extends { readonly key: number }>(
  { repositories }: Scheduled<T>,
  schedules: readonly Schedule[],
): readonly T[] {
  const keys = new Set(
    schedules.filter((schedule) => schedule.type === "full").flatMap((schedule) => schedule.repoKeys),
  );
  return repositories.filter((repository) => keys.has(repository.key));
}

/** The actual numbers: `3-2-1`, `2-1-1`. */
export function copiesText({ copies, offSite, providers }: Copies): string {
  return `${copies}-${providers}-${offSite}`;
}
