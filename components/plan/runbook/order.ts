/** The order in which to try repositories, and the name of each in a sentence. Pure. */
import { repositoriesWithDeclaredFulls } from "../storage/copies";
import { type Markdown, markdown } from "./markdown";
import type { RepositoryNode, Topology } from "../topology/topology";

/** Those with full backups, on-site ones first: they are faster, and the others survive the site. */
export function byReach(topology: Topology): RepositoryNode[] {
  const full = repositoriesWithDeclaredFulls(topology);
  // No schedule of full backups: they may exist anyway, taken by hand or by the first update.
  const all = full.length === 0 ? topology.repositories : full;
  return all.toSorted(
    (left, right) => Number(left.offSite === true) - Number(right.offSite === true) || left.key - right.key,
  );
}

/** `repo2 (s3://bucket/path, off-site)`. */
export function repositoryText({ location, name, offSite }: RepositoryNode): string {
  return `${name} (${location}${offSite === true ? ", off-site" : ""})`;
}

/** Lost repositories while the database is well. */
export function lostAnswers(repositories: readonly RepositoryNode[]): Markdown[] {
  return repositories.map(({ key, name }) => markdown`- yes, ${name} → #repository-${key}-lost`);
}

/** What can restore in the meantime. */
export function leftText(others: readonly RepositoryNode[]): string {
  return others.length === 0
    ? "No other repository has its backups."
    : `Until then ${others.map(({ name }) => name).join(" and ")} alone can restore.`;
}
