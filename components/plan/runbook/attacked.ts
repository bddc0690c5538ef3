/** Somebody overwrote or deleted backups in a bucket that keeps versions. Pure. */
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import type { RunbookQuestion, RunbookScenario, RunbookStep } from "./runbookDocument";
import type { RepositoryNode } from "../topology/topology";
import { repositoryText } from "./order";

/** Empty without such a repository. */
export function attackedAnswers(repositories: readonly RepositoryNode[]): RunbookQuestion["answers"] {
  return repositories.filter(hasPast).map((repository) => ({
    answer: `yes, and backups in ${repository.name} are gone or changed`,
    scenario: attackedId(repository),
  }));
}

function attackedId({ key }: RepositoryNode): string {
  return `repository-${key}-attacked`;
}

/** True if the repository can be read as it was, as far as the program knows. */
export function hasPast({ bucket, provider }: RepositoryNode): boolean {
  return bucket?.versioning === true || findQuirks(provider, "")?.versioning === "always";
}

/**
 * @param run makes a command of a verb and its arguments
 * @param lost steps for a database that is lost too
 */
export function attacked(
  repository: RepositoryNode,
  run: (args: string) => string,
  lost: readonly RunbookStep[],
): RunbookScenario {
  const { key, name } = repository;
  const then = `--repo=${key} --repo-target-time="<BEFORE>"`;
  return {
    id: attackedId(repository),
    title: `Somebody had the key of ${name}`,
    when: `Backups in ${repositoryText(repository)} are gone or changed, by a mistake or with a stolen key. The bucket keeps old versions: it can be read as it was.`,
    steps: [
      {
        text: "Take the key away: make a new one (rotationTrigger), and withdraw the old one at the provider.",
        commands: ["pulumi up"],
      },
      {
        text: "Find the time just before the first wrong request: the provider's log shows it, or try. The newest backup shown must be one that you know. If the key may not list versions (at Amazon), run this and the next commands where the reader's key is: on a host with restoreOnly, or a FireDrill.",
        commands: [run(`info ${then}`)],
      },
      { text: "Verify that everything is readable as it was.", commands: [run(`verify ${then}`)] },
      ...lost,
      {
        text: "Declare another repository, with a key of its own, in the program, and copy the clean state into it.",
        commands: ["pulumi up", run(`sync --from-repo="${key}@<BEFORE>" --to-repo=<KEY>`)],
      },
      { text: "Verify everything in it.", commands: [run("verify --repo=<KEY>")] },
    ],
  };
}
