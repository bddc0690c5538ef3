/** How many copies exist, which failures lose several at once, and what protects them from their own writers. Pure. */
import { copiesOf, copiesText, repositoriesWithFulls } from "../storage/copies";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import { eachOf } from "../findings/abstain";

/** 3-2-1: three copies, two failure domains, one off-site. */
export function checkCopies(plan: DatabasePlan): Finding[] {
  const { repositories } = plan;
  const [first] = repositories;
  if (first === undefined) return [];
  if (repositories.length === 1) {
    const fact = "there is one repository only: losing it loses every backup (aim for 3-2-1)";
    return [finding("PB003", "repositories", fact, "add a second one at another location")];
  }
  // The numbers follow from every site.
  const sites = repositoriesWithFulls(plan).map(({ site }) => ({ ...site }));
  const text = copiesText(copiesOf(plan));
  const domains = new Set(repositories.map((repository) => repository.site.failureDomain));
  if (domains.size === 1) {
    const fact = `all ${repositories.length} repositories depend on ${first.site.failureDomain}: they can be lost together (this is ${text}; aim for 3-2-1)`;
    return [finding("PB009", "repositories", fact, "move one of them elsewhere")];
  }
  if (sites.length === 0 || sites.some((site) => site.offSite === true)) return [];
  const sure = sites.every((site) => site.offSite === false);
  const fact = `${sure ? "no full backup leaves the site" : "no repository with full backups is known to be off-site"}: a fire destroys the database and its backups (this is ${text}; aim for 3-2-1)`;
  const hint = sure
    ? "add a vendor's bucket, or a host at another site"
    : "set offSite on the repository that is off-site, or add one that is";
  return [finding("PB030", "repositories", fact, hint)];
}

/** An unmounted NAS must not fill the database's disk, and a local directory is lost with the machine. */
export function checkMounts({ repositories }: DatabasePlan): Finding[] {
  return eachOf(repositories, (repository) => {
    if (repository.kind !== "posix" || repository.requireMount) return [];
    if (!/^\/(mnt|media|net|nas)\//.test(repository.path)) {
      const fact = `"${repository.path}" is on the database's machine, as far as is known: it protects against mistakes, but is lost with the machine`;
      const hint = "use another machine over SFTP, or its mounted disk with requireMount: true";
      return [finding("PB097", `repositories.${repository.name}.at`, fact, hint)];
    }
    return [
      finding(
        "PB031",
        `repositories.${repository.name}.at.requireMount`,
        `"${repository.path}" looks like a mount point, but nothing checks that it is mounted: while the NAS is unmounted, backups fill the root file system; the next mount hides them`,
        "set requireMount: true on the repository",
      ),
    ];
  });
}
