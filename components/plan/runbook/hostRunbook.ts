/**
 * What to do with a database on a host. Commands are those of the launcher that a component lays down (`sudo pgbackstop`), or what stands for it
 * on that host; each of them says what it is going to do and asks, where it does something that cannot be undone. Pure.
 */
import { OPERATOR_COMMAND, shellWord } from "../host/hostCommand";
import { OF_THE_HOST } from "../repositories/posixType";
import type { DatabaseRunbook, RunbookQuestion, RunbookScenario, RunbookStep } from "./runbookDocument";
import type { DatabaseNode, RepositoryNode } from "../topology/topology";
import { isUnknown } from "../model/unknown";
import { archivingFails, keysLost, repositoryLost } from "./hostCare";
import { lostAnswer, repositoryText } from "./order";

type HostRunbook = Pick<DatabaseRunbook, "what" | "where" | "decisions" | "measuredBy" | "scenarios" | "keys">;

/** @param repositories with full backups, in the order in which they are tried */
export function hostScenarios(database: DatabaseNode, repositories: readonly RepositoryNode[]): HostRunbook {
  const program = database.command === undefined || isUnknown(database.command) ? OPERATOR_COMMAND : database.command;
  const others = repositories.slice(1);
  const scenarios = [
    latest(program, repositories),
    moment(program),
    table(program),
    ...others.map((repository) => fromRepository(program, repository)),
    namedSet(program),
    ...(hasZfs(database) ? [snapshot(program)] : []),
    hostLost(program, database, repositories),
    archivingFails(program, database),
    ...repositories.map((repository) => repositoryLost(program, repository, repositories)),
    keysLost(program, database, repositories),
  ];
  return {
    what: `PostgreSQL on a host (${database.reachedBy ?? "?"}), data in ${String(database.dataDirectory)}, stanza ${database.stanza}, engine ${database.engine}`,
    where: [
      "pulumi …: in the folder of the stack's program, signed in to where its state is",
      "everything else: on the host itself, with an account that may use sudo",
    ],
    decisions: decisions(database, repositories),
    measuredBy: `${program} status`,
    scenarios,
    keys: repositories.flatMap((repository) => keysOf(database, repository)),
  };
}

function hasZfs({ snapshots }: DatabaseNode): boolean {
  return snapshots?.includes("zfs") === true;
}

function decisions(database: DatabaseNode, repositories: readonly RepositoryNode[]): RunbookQuestion[] {
  const second = repositories[1];
  return [
    {
      question: "Does the host answer?",
      answers: [{ answer: "no, and it will not come back", scenario: "host-lost" }],
    },
    {
      question: "Are data there, but wrong (a bad UPDATE, a dropped table, a failed migration)?",
      answers: [
        { answer: "yes, and the moment is known: go back to just before it", scenario: "time" },
        { answer: "yes, in a table or two, and everything else must stay", scenario: "table" },
        ...(hasZfs(database) ? [{ answer: "yes, minutes ago, and what came since may be lost", scenario: "snapshot" }] : []),
        { answer: "yes, and one backup of old is wanted as it was", scenario: "set" },
      ],
    },
    {
      question: "Are data damaged or gone (disk, file system, deleted directory)?",
      answers: [
        { answer: "yes: restore the newest state", scenario: "latest" },
        ...(second === undefined ? [] : [{ answer: "yes, and the first repository is lost or damaged too", scenario: `repository-${second.key}` }]),
      ],
    },
    { question: "Is the database well, but archiving fails or WAL fills the disk?", answers: [{ answer: "yes", scenario: "archiving" }] },
    { question: "Is it a repository that is lost, while the database is well?", answers: repositories.map(lostAnswer) },
    { question: "Is a key or a passphrase lost, or known to others?", answers: [{ answer: "yes", scenario: "keys-lost" }] },
  ];
}

function look(program: string): RunbookStep {
  return {
    text: "See what there is: how far back and how far forward each repository can recover, and what needs attention.",
    commands: [`${program} status`],
  };
}

/** What every recovery ends with. */
function after(program: string): RunbookStep[] {
  return [
    { text: "Prove that it archives again, into every repository.", commands: [`${program} check`] },
    { text: "Take a full backup: the recovered database writes a timeline of its own.", commands: [`${program} backup --type=full`] },
    { text: "Read everything once that is stored of it.", commands: [`${program} verify`] },
  ];
}

function recovery(program: string, words: string): RunbookStep {
  return {
    text:
      "Recover. The plan is printed first, with the backup and the moment that it found; nothing is stopped before you agree. The old directory is kept " +
      "beside the new one. When it has ended the database is open, and applications may use it while you do the rest.",
    commands: [`${program} ${words}`.trim()],
  };
}

function latest(program: string, repositories: readonly RepositoryNode[]): RunbookScenario {
  const order = repositories.map(repositoryText).join(", then ");
  return {
    id: "latest",
    title: "Restore the newest state",
    when: `The data directory is damaged or gone. Taken from ${order}.`,
    steps: [look(program), recovery(program, "recover"), ...after(program)],
  };
}

function moment(program: string): RunbookScenario {
  return {
    id: "time",
    title: "Go back to a moment",
    when: "Data are there but wrong. The moment is just before the first wrong transaction, with its time zone: 2026-11-20 14:29:59+01.",
    steps: [
      look(program),
      {
        text:
          "If nobody knows the moment: this names the transactions of the last hour that destroyed something (--from and --to for another span, --table for one table), " +
          "and where to stop just before each. Its words may stand in the place of --type and --target.",
        isOptional: true,
        commands: [`${program} find`],
      },
      { text: "Stop what writes: every transaction after the moment will be gone from the recovered database.", commands: [] },
      recovery(program, 'recover --type=time --target="<TIME>"'),
      ...after(program),
    ],
  };
}

/** Production goes on; nothing of it changes before somebody agrees. */
function table(program: string): RunbookScenario {
  return {
    id: "table",
    title: "Bring back a table or its rows",
    when: "A table was dropped, or rows of it were deleted or changed, and everything else that was written since must stay. Production goes on meanwhile.",
    steps: [
      look(program),
      { text: "Archive what is not yet: a moment can be gone back to once its WAL is in a repository.", commands: [`${program} check`] },
      {
        text:
          "Find the transaction: this names those of the last hour that destroyed something of it (--from and --to for another span). What stands behind just before it " +
          "is <TARGET>.",
        commands: [`${program} find --database="<DATABASE>" --table="<SCHEMA>.<TABLE>"`],
      },
      {
        text:
          "Bring it back beside what is there, into schema <SCHEMA>_restored. Its rows are compared with the backup's, and how it differs from what is there now is " +
          "shown; then it asks whether to put it into its place. No leaves both: take out of <SCHEMA>_restored what you need, and drop it.",
        commands: [`${program} extract-table --swap --database="<DATABASE>" --table="<SCHEMA>.<TABLE>" <TARGET>`],
      },
    ],
  };
}

function fromRepository(program: string, repository: RepositoryNode): RunbookScenario {
  return {
    id: `repository-${repository.key}`,
    title: `Restore from ${repository.name}`,
    when: `The repositories before it cannot be read, or are not to be trusted. ${repositoryText(repository)} alone has what is needed.`,
    steps: [look(program), recovery(program, `recover --repo=${repository.key}`), ...after(program)],
  };
}

function namedSet(program: string): RunbookScenario {
  return {
    id: "set",
    title: "Restore one backup by its label",
    when: "A backup of old is wanted: the state at its end, and everything archived since, unless a moment is named too.",
    steps: [{ text: "Choose the label.", commands: [`${program} info`] }, recovery(program, "recover --set=<LABEL>"), ...after(program)],
  };
}

function snapshot(program: string): RunbookScenario {
  return {
    id: "snapshot",
    title: "Go back to a ZFS snapshot",
    when: "It happened minutes ago and a snapshot from before is there. No moment in between can be had this way, and what came since is lost.",
    steps: [
      { text: "Choose the snapshot.", commands: ["zfs list -t snapshot -o name,creation"] },
      {
        text: "Roll back. The plan says which newer snapshots would go; afterwards the database writes a timeline of its own, so that archiving goes on.",
        commands: [`${program} rollback --snapshot=<SNAPSHOT>`],
      },
      ...after(program),
    ],
  };
}

function hostLost(program: string, { dataDirectory, name }: DatabaseNode, repositories: readonly RepositoryNode[]): RunbookScenario {
  const lost = repositories.filter(({ failureDomain }) => failureDomain === OF_THE_HOST);
  const [left] = repositories.filter((repository) => !lost.includes(repository));
  // An empty one is no end of the archive: beside it the recovery would wait for ever.
  const alone = lost.length === 0 || left === undefined ? "" : ` --repo=${left.key}`;
  const directory = shellWord(String(dataDirectory));
  return {
    id: "host-lost",
    title: "The host is lost",
    when: "The machine will not come back. Be sure that it is off and stays off: running again as it was, it would archive into the same place.",
    steps: [
      {
        text: "Get a new machine with the same major version of PostgreSQL, the same extensions, and the directories of other machines mounted where they were.",
        commands: [],
      },
      {
        text: "If the installation made an empty cluster there: stop it, and give its directory another name.",
        isOptional: true,
        commands: ["sudo systemctl stop 'postgresql*'", `sudo mv ${directory} ${shellWord(`${String(dataDirectory)}.empty`)}`],
      },
      {
        text: `Let the stack forget the lost machine: otherwise the update looks for it, to tidy up there, and fails. The first command prints the address (URN) that the second one wants: it ends in ::${name}-host.`,
        commands: ["pulumi stack --show-urns | grep HostState", "pulumi state delete '<URN>'"],
      },
      {
        text:
          `In the program, at PostgresHost ${name}: the new connection, and restoreOnly: true. Take out for the time being what is about taking backups: schedules, ` +
          "archiveTimeoutSeconds, acknowledge, allowRestart, firstBackup, streaming, monitoring; what is left of it the preview names. The machine gets configuration, keys and program.",
        commands: ["pulumi up"],
      },
      {
        text:
          `On the new machine: recover${alone === "" ? "" : `, from ${left?.name} alone: ${lost.map(({ name: each }) => each).join(" and ")} went with the old machine`}. ` +
          "It ends with a warning that WAL does not arrive, and exit code 103 or 104, which is right: nothing is archived here before the next step.",
        commands: [`${program} recover${alone}`],
      },
      {
        text: "In the program: take restoreOnly away, and put back what you took out. It archives again, and where a repository has no full backup one is taken.",
        commands: ["pulumi up"],
      },
      { text: "Point the applications to the new machine.", commands: [] },
      ...after(program),
    ],
  };
}

function keysOf({ keysIn }: DatabaseNode, { encrypted, keyFiles, kind, name }: RepositoryNode): string[] {
  const onHost = keyFiles === undefined ? `on the host below ${keysIn ?? "/etc/pgbackstop"}` : `on the host in ${keyFiles.join(", ")}`;
  const source = keyFiles === undefined ? "the configuration of the stack" : "whatever brings these files there";
  return [
    ...(kind === "posix" ? [] : [`${name}: the key of the service is in ${source}, and ${onHost}`]),
    ...(encrypted
      ? [
          `${name}: the passphrase is in ${keyFiles === undefined ? "the state of the stack (pulumi stack output --show-secrets, if the program has it as an output)" : source}, and ${onHost}. ` +
            "Without it nothing there can be read: keep a copy outside of both, where it is found when the host and the stack are gone",
        ]
      : [`${name}: not encrypted: who reads the place reads the database, and no passphrase is needed`]),
  ];
}
