/**
 * 3-2-1 of a topology whose failure domains may be unknown: minimum and maximum of each number. If everything is known,
 * both equal `copiesOf`. Pure.
 */
import { repositoriesWithFulls } from "../storage/copies";
import type { Topology } from "../topology/topology";
import { isHidden } from "./change";

export interface Range {
  readonly min: number;
  readonly max: number;
}

export interface CopyCounts {
  readonly copies: Range;
  readonly providers: Range;
  readonly offSite: Range;
}

/** The database is a copy, and so is every repository that gets full backups. */
export function countCopies(topology: Topology): CopyCounts {
  const full = repositoriesWithFulls(topology);
  const hidden = full.filter(({ failureDomain }) => isHidden(failureDomain)).length;
  const known = new Set(full.map(({ failureDomain }) => failureDomain).filter((domain) => !isHidden(domain))).size;
  const offSite = full.filter((repository) => repository.offSite === true).length;
  const perhaps = full.filter(
    (repository) =>
      isHidden(repository.offSite) || (repository.offSite === undefined && isHidden(repository.failureDomain)),
  );
  return {
    copies: { min: 1 + full.length, max: 1 + full.length },
    providers: { min: Math.max(known, full.length > 0 ? 1 : 0), max: known + hidden },
    offSite: { min: offSite, max: offSite + perhaps.length },
  };
}

/** `3-2-1`; an uncertain number is its minimum with a plus: `3-1+-1`. */
export function copyCountsText({ copies, providers, offSite }: CopyCounts): string {
  return [copies, providers, offSite].map(({ min, max }) => (min === max ? String(min) : `${min}+`)).join("-");
}
