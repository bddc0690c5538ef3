/** Incidents on a host whose database lives: archiving fails, a repository or a key is lost. Pure. */
import type { RunbookScenario } from "./runbookDocument";
import { engineOf } from "../engines/engines";
import { shellArgument } from "../host/hostCommand";
import type { DatabaseNode, RepositoryNode } from "../topology/topology";
import { lostAnswer, repositoryText } from "./order";

export function archivingFails(
  program: string,
  { command, dataDirectory, engine, stanza }: DatabaseNode,
): RunbookScenario {
  const hasAgent = engineOf(engine).own && command?.includes("runtime.cjs") !== true;
  return {
    id: "archiving",
    title: "Archiving fails",
    when: "The alert says so, or the disk of the WAL fills up. No data are lost yet: PostgreSQL keeps every segment until it is archived. Never delete files in pg_wal.",
    steps: [
      {
        text: "See which repository it is, which WAL it lacks, and how many segments wait.",
        commands: [`${program} status`],
      },
      ...(hasAgent
        ? [
            {
              text: "See the agent's log.",
              commands: [`sudo journalctl --no-pager -n 50 -u pgbackstop-${stanza}-agent.service`],
            },
          ]
        : []),
      {
        text: "See how much space is left. If it gets short, free space on that disk, but not in the data directory.",
        commands: [`sudo df -h ${shellArgument(String(dataDirectory))}`],
      },
      {
        text: "Fix what the error names: keys, mount, bucket, certificate, network. PostgreSQL then archives what waits. Prove it.",
        commands: [`${program} check`],
      },
      {
        text: "Copy what one repository has and another lacks, and verify what was archived meanwhile.",
        commands: [`${program} heal`, `${program} verify`],
      },
    ],
  };
}

/** Only where commits wait for repositories. */
export function commitsHang(program: string, { synchronous }: DatabaseNode): RunbookScenario[] {
  if (synchronous === undefined) return [];
  const limit = synchronous.degradeAfterSeconds;
  const ends =
    limit === undefined
      ? ""
      : ` By itself the wait ends after ${limit} seconds, and when no agent runs ten seconds later.`;
  return [
    {
      id: "commits",
      title: "Commits hang",
      when: `Reads work, and every write waits: the repositories, or the agent, do not answer.${ends}`,
      steps: [
        { text: "See which repository does not answer, and why.", commands: [`${program} status`] },
        { text: "Fix what it names. The waiting commits then end well. Prove it.", commands: [`${program} check`] },
        {
          text: "If that takes too long, end the wait: commits that are acknowledged from now on are lost if the host is. If you have synchronous standbys of your own, set the value that names them instead. Restart the agent when the repositories answer again: commits then wait again.",
          commands: [
            'sudo -u postgres psql -c "ALTER SYSTEM RESET synchronous_standby_names" -c "SELECT pg_reload_conf()"',
          ],
        },
      ],
    },
  ];
}

export function repositoryLost(
  program: string,
  repository: RepositoryNode,
  all: readonly RepositoryNode[],
): RunbookScenario {
  const others = all.filter(({ key }) => key !== repository.key);
  const has =
    others.length === 0
      ? "No other repository has its backups."
      : `Until then ${others.map(({ name }) => name).join(" and ")} alone can restore.`;
  return {
    id: lostAnswer(repository).scenario,
    title: `${repositoryText(repository)} is lost`,
    when: `The database is well; its backups there are not. ${has}`,
    steps: [
      {
        text: "Repair the storage, or declare another location under the same key in the program.",
        commands: ["pulumi up"],
      },
      ...(others[0] === undefined
        ? [
            {
              text: "Take a full backup into it.",
              commands: [`${program} backup --type=full --repo=${repository.key}`],
            },
          ]
        : [
            {
              text: `Copy backups and WAL from ${others[0].name}, so that it reaches back as far.`,
              commands: [`${program} sync --from-repo=${others[0].key} --to-repo=${repository.key}`],
            },
          ]),
      { text: "Verify everything in it.", commands: [`${program} verify --repo=${repository.key}`] },
    ],
  };
}

export function keysLost(
  program: string,
  { keysIn }: DatabaseNode,
  repositories: readonly RepositoryNode[],
): RunbookScenario {
  const encrypted = repositories.filter((repository) => repository.encrypted).map(({ name }) => name);
  return {
    id: "keys-lost",
    title: "A key is lost, or known to others",
    when: "A key of a storage service is gone, has expired or has leaked; or a passphrase is missing.",
    steps: [
      {
        text: "A key of a service: make a new one there, and bring it into the configuration of the stack (pulumi config set --secret) or to the host's source of it. Withdraw the old one only when the next step has passed.",
        commands: ["pulumi up"],
      },
      { text: "Prove that every repository can be read and written.", commands: [`${program} check`] },
      ...(encrypted.length === 0
        ? []
        : [
            {
              text: `A passphrase (${encrypted.join(", ")}): the state of the stack has it, and the host does, below ${keysIn ?? "/etc/pgbackstop"}. Write it into the safe, not into a chat.`,
              commands: ["pulumi stack output --show-secrets"],
            },
            {
              text: "If neither has it, that repository is unreadable for good. In the program, replace it by one under another key, at another location, with a new passphrase; take a full backup at once.",
              isOptional: true,
              commands: ["pulumi up", `${program} backup --type=full`],
            },
          ]),
    ],
  };
}
