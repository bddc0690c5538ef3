/**
 * What to do with a database on a host. Commands are those of the launcher that a component lays down (`pgbackstop`, run as root); each of
 * them says what it is going to do and asks, where it does something that cannot be undone. Pure.
 */
import type { DatabaseRunbook, RunbookQuestion, RunbookScenario, RunbookStep } from "../runbook";
import type { DatabaseNode, RepositoryNode } from "../topology";
import { lostAnswer, repositoryText } from "./order";

type HostRunbook = Pick<DatabaseRunbook, "what" | "decisions" | "scenarios" | "keys">;

const PROGRAM = "sudo pgbackstop";

/** @param repositories with full backups, in the order in which they are tried */
export function hostScenarios(database: DatabaseNode, repositories: readonly RepositoryNode[]): HostRunbook {
  const others = repositories.slice(1);
  const scenarios = [
    latest(repositories),
    moment(),
    ...others.map(fromRepository),
    namedSet(),
    ...(database.snapshots?.includes("zfs") === true ? [snapshot()] : []),
    hostLost(database),
    ...repositories.map((repository) => repositoryLost(repository, repositories)),
  ];
  return {
    what: `PostgreSQL on a host (${database.reachedBy ?? "?"}), data in ${String(database.dataDirectory)}, stanza ${database.stanza}, engine ${database.engine}`,
    decisions: decisions(database, repositories),
    scenarios,
    keys: keys(repositories),
  };
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
        ...(database.snapshots?.includes("zfs") === true
          ? [{ answer: "yes, minutes ago, and what came since may be lost", scenario: "snapshot" }]
          : []),
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
    { question: "Is it a repository that is lost, while the database is well?", answers: repositories.map(lostAnswer) },
  ];
}

const LOOK: RunbookStep = {
  text: "See what there is: how far back and how far forward each repository can recover, and what needs attention.",
  commands: [`${PROGRAM} status`],
};

/** What every recovery ends with. */
const AFTER: readonly RunbookStep[] = [
  { text: "Prove that it archives again, into every repository.", commands: [`${PROGRAM} check`] },
  { text: "Take a full backup: the recovered database writes a timeline of its own.", commands: [`${PROGRAM} backup --type=full`] },
];

function recovery(words: string): RunbookStep {
  return {
    text:
      "Recover. The plan is printed first, with the backup and the moment that it found; nothing is stopped before you agree. The old directory is kept " +
      "beside the new one.",
    commands: [`${PROGRAM} ${words}`.trim()],
  };
}

function latest(repositories: readonly RepositoryNode[]): RunbookScenario {
  const order = repositories.map(repositoryText).join(", then ");
  return {
    id: "latest",
    title: "Restore the newest state",
    when: `The data directory is damaged or gone. Taken from ${order}.`,
    steps: [LOOK, recovery("recover"), ...AFTER],
  };
}

function moment(): RunbookScenario {
  return {
    id: "time",
    title: "Go back to a moment",
    when: "Data are there but wrong. The moment is just before the first wrong transaction, with its time zone: 2026-11-20 14:29:59+01.",
    steps: [
      LOOK,
      { text: "Stop what writes: every transaction after the moment will be gone from the recovered database.", commands: [] },
      recovery('recover --type=time --target="<TIME>"'),
      ...AFTER,
    ],
  };
}

function fromRepository(repository: RepositoryNode): RunbookScenario {
  return {
    id: `repository-${repository.key}`,
    title: `Restore from ${repository.name}`,
    when: `The repositories before it cannot be read, or are not to be trusted. ${repositoryText(repository)} alone has what is needed.`,
    steps: [LOOK, recovery(`recover --repo=${repository.key}`), ...AFTER],
  };
}

function namedSet(): RunbookScenario {
  return {
    id: "set",
    title: "Restore one backup by its label",
    when: "A backup of old is wanted: the state at its end, and everything archived since, unless a moment is named too.",
    steps: [{ text: "Choose the label.", commands: [`${PROGRAM} info`] }, recovery("recover --set=<LABEL>"), ...AFTER],
  };
}

function snapshot(): RunbookScenario {
  return {
    id: "snapshot",
    title: "Go back to a ZFS snapshot",
    when: "It happened minutes ago and a snapshot from before is there. No moment in between can be had this way, and what came since is lost.",
    steps: [
      { text: "Choose the snapshot.", commands: ["zfs list -t snapshot -o name,creation"] },
      {
        text: "Roll back. The plan says which newer snapshots would go; afterwards the database writes a timeline of its own, so that archiving goes on.",
        commands: [`${PROGRAM} rollback --snapshot=<SNAPSHOT>`],
      },
      ...AFTER,
    ],
  };
}

function hostLost({ name }: DatabaseNode): RunbookScenario {
  return {
    id: "host-lost",
    title: "The host is lost",
    when: "The machine will not come back. The old one must never run again as it was: it would archive into the same place.",
    steps: [
      { text: "Get a new machine with the same major version of PostgreSQL and the same extensions.", commands: [] },
      {
        text: `In the program, declare PostgresHost ${name} with the new connection and restoreOnly: true; it gets configuration, keys and program.`,
        commands: ["pulumi up"],
      },
      { text: "On the new machine: recover.", commands: [`${PROGRAM} recover`] },
      { text: "Take restoreOnly away again: it archives, and the first backups are taken.", commands: ["pulumi up"] },
      { text: "Point the applications to the new machine. Prove the archive.", commands: [`${PROGRAM} check`] },
    ],
  };
}

function repositoryLost(repository: RepositoryNode, all: readonly RepositoryNode[]): RunbookScenario {
  const others = all.filter(({ key }) => key !== repository.key);
  const has =
    others.length === 0 ? "No other repository has its backups." : `Until then ${others.map(({ name }) => name).join(" and ")} alone can restore.`;
  return {
    id: lostAnswer(repository).scenario,
    title: `${repositoryText(repository)} is lost`,
    when: `The database is well; its backups there are not. ${has}`,
    steps: [
      { text: "Mend the place, or declare another one under the same key in the program.", commands: ["pulumi up"] },
      ...(others[0] === undefined
        ? [{ text: "Take a full backup into it.", commands: [`${PROGRAM} backup --type=full --repo=${repository.key}`] }]
        : [
            {
              text: `Copy backups and WAL from ${others[0].name}, so that it reaches back as far.`,
              commands: [`${PROGRAM} sync --from-repo=${others[0].key} --to-repo=${repository.key}`],
            },
          ]),
      { text: "Read everything in it once.", commands: [`${PROGRAM} verify --repo=${repository.key}`] },
    ],
  };
}

function keys(repositories: readonly RepositoryNode[]): string[] {
  return repositories.flatMap(({ encrypted, kind, name }) => [
    ...(kind === "posix"
      ? []
      : [`${name}: the key of the service is in the configuration of the stack, and on the host below /etc/pgbackstop, readable by root alone`]),
    ...(encrypted
      ? [
          `${name}: the passphrase is a secret output of the stack, and on the host below /etc/pgbackstop. Without it nothing there can be read: keep a copy outside of both`,
        ]
      : []),
  ]);
}
