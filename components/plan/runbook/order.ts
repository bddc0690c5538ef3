/** In which order repositories are tried, and how each is named in a sentence. Pure. */
import { repositoriesWithFulls } from "../diff/copyCounts";
import type { RunbookQuestion } from "./runbookDocument";
import type { RepositoryNode, Topology } from "../topology/topology";

/** Those with full backups, the near ones first: what is on the site is fast, what is not survives the site. */
export function byReach(topology: Topology): RepositoryNode[] {
  const full = repositoriesWithFulls(topology);
  // Nothing says when full backups come: they may be there all the same, taken by hand or with the first update.
  const all = full.length === 0 ? topology.repositories : full;
  return all.toSorted((left, right) => Number(left.offSite === true) - Number(right.offSite === true) || left.key - right.key);
}

/** `repo2 (s3://bucket/path, off-site)`. */
export function repositoryText({ location, name, offSite }: RepositoryNode): string {
  return `${name} (${location}${offSite === true ? ", off-site" : ""})`;
}

/** Where it leads when a repository is lost and the database is well. */
export function lostAnswer({ key, name }: RepositoryNode): RunbookQuestion["answers"][number] {
  return { answer: `yes, ${name}`, scenario: `repository-${key}-lost` };
}
