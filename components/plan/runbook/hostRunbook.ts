/**
 * Recovery of a database on a host. Commands use the launcher that a component installs (`sudo pgbackstop`), or its
 * replacement on that host. Each command announces what it will do and asks before anything irreversible. Pure.
 */
import { OPERATOR_COMMAND, shellArgument } from "../host/hostCommand";
import { OF_THE_HOST } from "../repositories/posixType";
import type { DatabaseRunbook, RunbookQuestion, RunbookScenario, RunbookStep } from "./runbookDocument";
import type { DatabaseNode, RepositoryNode } from "../topology/topology";
import { isUnknown } from "../model/unknown";
import { archivingFails, commitsHang, keysLost, repositoryLost } from "./hostCare";
import { attacked, attackedAnswers, hasPast } from "./attacked";
import { lostAnswer, repositoryText } from "./order";

type HostRunbook = Pick<DatabaseRunbook, "what" | "where" | "decisions" | "measuredBy" | "scenarios" | "keys">;

/** @param repositories with full backups, in the order to try */
export function hostScenarios(database: DatabaseNode, repositories: readonly RepositoryNode[]): HostRunbook {
  const program = database.command === undefined || isUnknown(database.command) ? OPERATOR_COMMAND : database.command;
  const others = repositories.slice(1);
  const scenarios = [
    latest(program, repositories),
    pointInTime(program),
    table(program),
    ...others.map((repository) => fromRepository(program, repository)),
    namedSet(program),
    ...(hasZfs(database) ? [snapshot(program)] : []),
    hostLost(program, database, repositories),
    archivingFails(program, database),
    ...commitsHang(program, database),
    ...repositories.map((repository) => repositoryLost(program, repository, repositories)),
    ...repositories.filter(hasPast).map((repository) => keyStolen(program, repository)),
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
      question: "Are data wrong (a bad UPDATE, a dropped table, a failed migration)?",
      answers: [
        { answer: "yes, and the time is known: go back to just before it", scenario: "time" },
        { answer: "yes, in a table or two, and everything else must stay", scenario: "table" },
        ...(hasZfs(database)
          ? [{ answer: "yes, minutes ago, and everything since may be lost", scenario: "snapshot" }]
          : []),
        { answer: "yes, and the state of an old backup is wanted", scenario: "set" },
      ],
    },
    {
      question: "Are data damaged or gone (disk, file system, deleted directory)?",
      answers: [
        { answer: "yes: restore the newest state", scenario: "latest" },
        ...(second === undefined
          ? []
          : [{ answer: "yes, and the first repository is lost or damaged too", scenario: `repository-${second.key}` }]),
      ],
    },
    {
      question: "Is the database well, but archiving fails or WAL fills the disk?",
      answers: [{ answer: "yes", scenario: "archiving" }],
    },
    ...(database.synchronous === undefined
      ? []
      : [
          {
            question: "Do writes hang, while reads work?",
            answers: [{ answer: "yes", scenario: "commits" }],
          },
        ]),
    { question: "Is a repository lost, while the database is well?", answers: repositories.map(lostAnswer) },
    {
      question: "Is a key or a passphrase lost, or known to others?",
      answers: [{ answer: "yes", scenario: "keys-lost" }, ...attackedAnswers(repositories)],
    },
  ];
}

function look(program: string): RunbookStep {
  return {
    text: "See the state: the recovery window of each repository, and what needs attention.",
    commands: [`${program} status`],
  };
}

/** The last steps of every recovery. */
function after(program: string): RunbookStep[] {
  return [
    { text: "Prove that it archives into every repository again.", commands: [`${program} check`] },
    {
      text: "Take a full backup: the recovered database writes a new timeline.",
      commands: [`${program} backup --type=full`],
    },
    { text: "Verify everything that is stored.", commands: [`${program} verify`] },
  ];
}

const RECOVERS =
  "Recover. The command first prints its plan, with the backup and the time that it found, and stops nothing before you agree. It keeps the old directory " +
  "beside the new one. When it has ended the database is open, and applications may use it while you do the rest.";

function recovery(program: string, args: string): RunbookStep {
  return {
    text: RECOVERS,
    commands: [`${program} ${args}`.trim()],
  };
}

function latest(program: string, repositories: readonly RepositoryNode[]): RunbookScenario {
  const order = repositories.map(repositoryText).join(", then ");
  return {
    id: "latest",
    title: "Restore the newest state",
    when: `The data directory is damaged or gone. Restores from ${order}.`,
    steps: [look(program), recovery(program, "recover"), ...after(program)],
  };
}

function pointInTime(program: string): RunbookScenario {
  return {
    id: "time",
    title: "Go back to a point in time",
    when: "Data are wrong. Choose the time just before the first wrong transaction, with its time zone: 2026-11-20 14:29:59+01.",
    steps: [
      look(program),
      {
        text:
          "If nobody knows the time: this lists the destructive transactions of the last hour (--from and --to for another span, --table for one table), " +
          "with the options to stop just before each. They can replace --type and --target.",
        isOptional: true,
        commands: [`${program} find`],
      },
      {
        text: "Stop all writers: the recovered database will lack every transaction after the chosen time.",
        commands: [],
      },
      recovery(program, 'recover --type=time --target="<TIME>"'),
      ...after(program),
    ],
  };
}

/** Production continues; nothing in it changes without consent. */
function table(program: string): RunbookScenario {
  return {
    id: "table",
    title: "Restore a table or its rows",
    when: "A table was dropped, or rows of it were deleted or changed, and everything else written since must stay. Production continues meanwhile.",
    steps: [
      look(program),
      {
        text: "Archive pending WAL: a time is restorable once its WAL is in a repository.",
        commands: [`${program} check`],
      },
      {
        text:
          "Find the transaction: this lists those of the last hour that destroyed part of the table (--from and --to for another span). What stands behind just before it " +
          "is <TARGET>.",
        commands: [`${program} find --database="<DATABASE>" --table="<SCHEMA>.<TABLE>"`],
      },
      {
        text:
          "Restore it beside the current table, into schema <SCHEMA>_restored. The command compares its rows with the backup's, shows how it differs from the current table, " +
          "and asks whether to replace that. If you answer no, both stay: copy what you need from <SCHEMA>_restored, and drop it.",
        commands: [`${program} extract-table --swap --database="<DATABASE>" --table="<SCHEMA>.<TABLE>" <TARGET>`],
      },
    ],
  };
}

function keyStolen(program: string, repository: RepositoryNode): RunbookScenario {
  const args = `recover --repo=${repository.key} --repo-target-time="<BEFORE>"`;
  return attacked(repository, (verb) => `${program} ${verb}`, [
    {
      ...recovery(program, args),
      text: `If the database is lost or not trusted either. ${RECOVERS}`,
      isOptional: true,
    },
  ]);
}

function fromRepository(program: string, repository: RepositoryNode): RunbookScenario {
  return {
    id: `repository-${repository.key}`,
    title: `Restore from ${repository.name}`,
    when: `The repositories before it are unreadable or not trusted. ${repositoryText(repository)} alone is enough.`,
    steps: [look(program), recovery(program, `recover --repo=${repository.key}`), ...after(program)],
  };
}

function namedSet(program: string): RunbookScenario {
  return {
    id: "set",
    title: "Restore one backup by its label",
    when: "Restores an old backup: the state at its end, and everything archived since, unless you add a target time.",
    steps: [
      { text: "Choose the label.", commands: [`${program} info`] },
      recovery(program, "recover --set=<LABEL>"),
      ...after(program),
    ],
  };
}

function snapshot(program: string): RunbookScenario {
  return {
    id: "snapshot",
    title: "Go back to a ZFS snapshot",
    when: "It happened minutes ago, and there is a snapshot from before. Only the snapshot's state can be restored, and everything since is lost.",
    steps: [
      { text: "Choose the snapshot.", commands: ["zfs list -t snapshot -o name,creation"] },
      {
        text: "Roll back. The plan names the newer snapshots that would be removed; afterwards the database writes a new timeline, so archiving continues.",
        commands: [`${program} rollback --snapshot=<SNAPSHOT>`],
      },
      ...after(program),
    ],
  };
}

function hostLost(
  program: string,
  { dataDirectory, name }: DatabaseNode,
  repositories: readonly RepositoryNode[],
): RunbookScenario {
  const lost = repositories.filter(({ failureDomain }) => failureDomain === OF_THE_HOST);
  const [left] = repositories.filter((repository) => !lost.includes(repository));
  // Without this a recovery would wait forever beside an empty repository.
  const alone = lost.length === 0 || left === undefined ? "" : ` --repo=${left.key}`;
  const directory = shellArgument(String(dataDirectory));
  return {
    id: "host-lost",
    title: "The host is lost",
    when: "The machine will not come back. Make sure that it is off and stays off: if it ran again, it would archive to the same location.",
    steps: [
      {
        text: "Get a new machine with the same major version of PostgreSQL, the same extensions, and the same mounts of other machines' directories.",
        commands: [],
      },
      {
        text: "If the installation created an empty cluster there: stop it, and rename its directory.",
        isOptional: true,
        commands: [
          "sudo systemctl stop 'postgresql*'",
          `sudo mv ${directory} ${shellArgument(`${String(dataDirectory)}.empty`)}`,
        ],
      },
      {
        text: `Remove the lost machine from the stack's state: otherwise the update tries to tidy up there, and fails. The first command prints the address (URN) for the second one: it ends in ::${name}-host.`,
        commands: ["pulumi stack --show-urns | grep HostState", "pulumi state delete '<URN>'"],
      },
      {
        text:
          `In the program, at PostgresHost ${name}: the new connection, and restoreOnly: true. Remove for now what configures backups: schedules, ` +
          "archiveTimeoutSeconds, acknowledge, allowRestart, firstBackup, streaming, monitoring; the preview names what is left. The machine gets configuration, keys and program.",
        commands: ["pulumi up"],
      },
      {
        text:
          `On the new machine: recover${alone === "" ? "" : `, from ${left?.name} alone: ${lost.map(({ name: each }) => each).join(" and ")} went with the old machine`}. ` +
          "It ends with a warning that WAL does not arrive, and exit code 103 or 104. That is expected: nothing is archived here before the next step.",
        commands: [`${program} recover${alone}`],
      },
      {
        text: "In the program: remove restoreOnly, and put back what you removed. It archives again, and each repository without a full backup gets one.",
        commands: ["pulumi up"],
      },
      { text: "Point the applications to the new machine.", commands: [] },
      ...after(program),
    ],
  };
}

function keysOf({ keysIn }: DatabaseNode, { encrypted, keyFiles, kind, name }: RepositoryNode): string[] {
  const onHost =
    keyFiles === undefined
      ? `on the host below ${keysIn ?? "/etc/pgbackstop"}`
      : `on the host in ${keyFiles.join(", ")}`;
  const source = keyFiles === undefined ? "the configuration of the stack" : "the source of these files";
  return [
    ...(kind === "posix" ? [] : [`${name}: the key of the service is in ${source}, and ${onHost}`]),
    ...(encrypted
      ? [
          `${name}: the passphrase is in ${keyFiles === undefined ? "the state of the stack (pulumi stack output --show-secrets, if the program has it as an output)" : source}, and ${onHost}. ` +
            "Without it that repository is unreadable: keep a copy outside both, for the case that the host and the stack are lost",
        ]
      : [`${name}: not encrypted: anyone who can read the location can read the database; no passphrase is needed`]),
  ];
}
