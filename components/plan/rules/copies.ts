/** How many copies there are, what they are lost together with, and what protects them from their own writers. Pure. */
import { copiesOf, copiesText, repositoriesWithFulls } from "../storage/copies";
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import { isUnknown } from "../model/unknown";

/** Three copies, two places that do not fail together, one off the site. */
export function checkCopies(plan: DatabasePlan): Finding[] {
  const { repositories } = plan;
  const [first] = repositories;
  if (first === undefined) return [];
  const text = copiesText(copiesOf(plan));
  if (repositories.length === 1) {
    const fact = `there is one repository only: its loss is the loss of every backup (a ${text}, where 3-2-1 is wanted)`;
    return [finding("PB003", "repositories", fact, "add a second one at another place")];
  }
  const domains = new Set(repositories.map((repository) => repository.place.failureDomain));
  if (domains.size === 1 && !isUnknown(first.place.failureDomain)) {
    const fact = `all ${repositories.length} repositories depend on ${first.place.failureDomain}: they can be lost together (a ${text}, where 3-2-1 is wanted)`;
    return [finding("PB009", "repositories", fact, "put one of them elsewhere")];
  }
  const places = repositoriesWithFulls(plan).map((repository) => repository.place);
  if (places.length === 0 || places.some((place) => place.offSite === true || isUnknown(place.failureDomain))) return [];
  const sure = places.every((place) => place.offSite === false);
  const fact = `${sure ? "no full backup leaves the site" : "no repository with full backups is known to be off the site"}: a fire takes the database and its backups (a ${text}, where 3-2-1 is wanted)`;
  const hint = sure ? "add a bucket of a vendor or a host elsewhere" : "set offSite on the repository that stands elsewhere, or add one that does";
  return [finding("PB030", "repositories", fact, hint)];
}

/** A NAS that is away must not fill the disk of the database, and a directory of the database's machine is lost with it. */
export function checkMounts({ repositories }: DatabasePlan): Finding[] {
  return repositories.flatMap((repository) => {
    if (repository.kind !== "posix" || repository.requireMount || isUnknown(repository.path)) return [];
    if (!/^\/(mnt|media|net|nas)\//.test(repository.path)) {
      const fact = `"${repository.path}" is on the machine of the database, as far as is known: it helps against mistakes and is lost with the machine`;
      const hint = "use another machine over SFTP, or a mounted disk of another one with requireMount: true";
      return [finding("PB097", `repositories.${repository.name}.at`, fact, hint)];
    }
    return [
      finding(
        "PB031",
        `repositories.${repository.name}.at.requireMount`,
        `"${repository.path}" looks like a mount point, and nothing demands that something is mounted there: while the NAS is away, backups fill the root file system and are hidden when it comes back`,
        "set requireMount: true on the repository",
      ),
    ];
  });
}
