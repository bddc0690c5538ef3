/** Somebody overwrote or deleted backups in a bucket that keeps versions. Pure. */
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import type { RepositoryNode } from "../topology/topology";
import { type Markdown, markdown, only } from "./markdown";
import { repositoryText } from "./order";

/** True if the repository can be read as it was, as far as the program knows. */
export function hasPast({ bucket, provider }: RepositoryNode): boolean {
  return bucket?.versioning === true || findQuirks(provider, "")?.versioning === "always";
}

export function attackedAnswers(repositories: readonly RepositoryNode[]): Markdown[] {
  return repositories
    .filter(hasPast)
    .map(({ key, name }) => markdown`- yes, and backups in ${name} are gone or changed → #repository-${key}-attacked`);
}

/**
 * @param run makes a command of a verb and its arguments
 * @param lost steps for a database that is lost too
 */
export function attacked(repository: RepositoryNode, run: (args: string) => string, lost: Markdown): Markdown {
  const { key, location, name, provider } = repository;
  const then = `--repo=${key} --repo-target-time="<BEFORE>"`;
  return markdown`
    ### Somebody had the key of ${name} {#repository-${key}-attacked}

    Backups in ${repositoryText(repository)} are gone or changed, by a mistake or with a stolen key. The bucket keeps
    old versions: it can be read as it was.

    1. Take the key away: make a new one (rotationTrigger), and withdraw the old one at the provider.
           pulumi up
    1. Find the time just before the first wrong request: the provider's log shows it, or try. The newest backup shown
       must be one that you know. If the key may not list versions (at Amazon), run this and the next commands where the
       reader's key is: on a host with restoreOnly, or a FireDrill.
           ${run(`info ${then}`)}
    ${only(provider === "azure")}1. *not always:* If versions were deleted too, bring back what soft delete keeps, each
       blob by its name, with a key that may write.
           az storage blob undelete --account-name <ACCOUNT> --container-name <CONTAINER> --name <BLOB>
    ${only(provider === "gcs")}1. *not always:* If versions were deleted too, restore what soft delete keeps, with the role
       Storage Admin. Those are new objects: go on without --repo-target-time then.
           gcloud storage restore "${location}/**" --async --allow-overwrite --created-before-time="<BEFORE>" --deleted-after-time="<BEFORE>"
    1. Verify that everything is readable as it was.
           ${run(`verify ${then}`)}
    ${lost}
    1. Declare another repository, with a key of its own, in the program, and copy the clean state into it.
           pulumi up
           ${run(`sync --from-repo="${key}@<BEFORE>" --to-repo=<KEY>`)}
    1. Verify everything in it.
           ${run("verify --repo=<KEY>")}
  `;
}
