/**
 * 3-2-1 counted: three copies of the data, in two places that do not fail together, one of them off the site. The running database is a
 * copy; a repository is one only when full backups go to it, because WAL alone restores nothing. Pure.
 */
import type { DatabasePlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { isUnknown } from "../model/unknown";

export interface Copies {
  /** The database and every repository with full backups. */
  readonly copies: number;
  /** Repositories' places that do not fail together. */
  readonly providers: number;
  /** Repositories that are known to be off the site. */
  readonly offSite: number;
  /** False while a place is not known yet: the numbers then are the least that is sure. */
  readonly known: boolean;
}

/** The numbers of a plan. */
export function copiesOf(plan: Pick<DatabasePlan, "repositories" | "schedules">): Copies {
  const full = repositoriesWithFulls(plan);
  const domains = full.map((repository) => repository.place.failureDomain);
  const knownDomains = domains.filter((domain) => !isUnknown(domain));
  return {
    copies: 1 + full.length,
    providers: new Set(knownDomains).size + (knownDomains.length === 0 && domains.length > 0 ? 1 : 0),
    offSite: full.filter((repository) => repository.place.offSite === true).length,
    known: knownDomains.length === domains.length && full.every((repository) => repository.place.offSite !== undefined),
  };
}

/** Repositories that a schedule of full backups names; all of them while nothing is scheduled (backups by hand go to all). */
export function repositoriesWithFulls({ repositories, schedules }: Pick<DatabasePlan, "repositories" | "schedules">): RepositoryPlan[] {
  if (schedules.length === 0) return [...repositories];
  const keys = new Set(schedules.filter((schedule) => schedule.type === "full").flatMap((schedule) => schedule.repoKeys));
  return repositories.filter((repository) => keys.has(repository.key));
}

/** `3-2-1`, or what it really is: `2-1-1`. */
export function copiesText({ copies, offSite, providers }: Copies): string {
  return `${copies}-${providers}-${offSite}`;
}
