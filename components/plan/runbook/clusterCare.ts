/** What is done to a cluster that lives: an instance is lost, archiving fails, a repository or a key is lost, it is put to sleep. Pure. */
import type { RunbookScenario, RunbookStep } from "./runbookDocument";
import type { RepositoryNode } from "../topology/topology";
import { backupNow, type ClusterPlace, condition, inPostgres, isOurs, look, proof, verb, waitReady } from "./clusterPlace";
import { lostAnswer, repositoryText } from "./order";

export function failover(place: ClusterPlace): RunbookScenario {
  const { cluster, instances, namespace } = place;
  return {
    id: "failover",
    title: "The primary is lost",
    when:
      instances > 1
        ? "The primary's pod or node is gone; a standby is well. The operator promotes it without anybody's help."
        : "The only instance is gone, its volume is well. The operator starts it again without anybody's help.",
    steps: [
      { text: "See who is primary, and what the operator does.", commands: [phase(place)] },
      {
        text: "Only if the pod stays in Terminating because its node is dead, and you know that the node is off and stays off: take the pod away by force.",
        isOptional: true,
        commands: [`kubectl delete pod -n ${namespace} <POD> --grace-period=0 --force`],
      },
      {
        text: "Wait until all instances are well.",
        commands: [waitReady(place), `kubectl get -n ${namespace} pod -l cnpg.io/cluster=${cluster} -L role`],
      },
      proof(place),
    ],
  };
}

export function instanceLost(place: ClusterPlace): RunbookScenario {
  const { cluster, namespace } = place;
  return {
    id: "instance-lost",
    title: "A standby or its volume is lost",
    when: "The primary is well; a standby does not come back, or its volume is damaged. A new one is made out of the primary.",
    steps: [
      { text: "See which one it is. It must not be the one that is named here.", commands: [phase(place)] },
      {
        text: "Give the instance up, with its volumes. The operator makes another one, which may get its name.",
        commands: [
          `kubectl delete pvc -n ${namespace} -l cnpg.io/cluster=${cluster},cnpg.io/instanceName=<POD> --wait=false`,
          `kubectl delete pod -n ${namespace} <POD>`,
        ],
      },
      {
        text: "Wait until all instances are well.",
        commands: [waitReady(place), `kubectl get -n ${namespace} pod -l cnpg.io/cluster=${cluster} -L role`],
      },
    ],
  };
}

export function archivingFails(place: ClusterPlace): RunbookScenario {
  const { cluster, namespace } = place;
  return {
    id: "archiving",
    title: "Archiving fails",
    when: "The alert says so, or the volume of the WAL fills up. No data are lost yet: PostgreSQL keeps every segment until it is archived. Never delete files in pg_wal.",
    steps: [
      { text: "See why: the operator keeps the last error.", commands: [condition(place, "ContinuousArchiving")] },
      ...(isOurs(place) ? [{ text: "See which repository it is, and what is owed to it.", commands: [verb(place, "status")] }] : []),
      {
        text: "See how many segments wait, and how much room there is for them.",
        commands: [inPostgres(place, "sh -c 'ls $PGDATA/pg_wal/archive_status | grep -c ready$; df -h $PGDATA $PGDATA/pg_wal/'")],
      },
      {
        text: "If room gets short, enlarge the volume first (storageGiB or walStorage in the program; the storage class must allow it).",
        isOptional: true,
        commands: ["pulumi up"],
      },
      {
        text: `Mend what the error names: keys, bucket, certificate, network. What waits is archived by itself then; PostgreSQL tries again within a minute${isOurs(place) ? ": repeat this until it succeeds" : ""}.`,
        commands: [proof(place).commands[0] ?? ""],
        isRepeated: isOurs(place),
      },
      ...(isOurs(place)
        ? [
            {
              text: "Copy what one repository has and another lacks, and read once what was archived meanwhile.",
              commands: [verb(place, "heal"), verb(place, "verify")],
            },
          ]
        : [
            {
              text: "See the log of the plugin if it still fails.",
              isOptional: true,
              commands: [`kubectl logs -n ${namespace} -l cnpg.io/cluster=${cluster} --all-containers --tail=50`],
            },
          ]),
    ],
  };
}

export function asleep(place: ClusterPlace): RunbookScenario {
  const { cluster, namespace } = place;
  const annotate = (word: string): string => `kubectl annotate -n ${namespace} cluster ${cluster} --overwrite cnpg.io/hibernation=${word}`;
  return {
    id: "asleep",
    title: "Put it to sleep, and wake it",
    when: "Nobody may write to it while something is looked at, or it is to cost nothing for a while. Its volumes stay; its pods go.",
    steps: [
      ...(isOurs(place) ? [{ text: "Bring the newest WAL into every repository first.", commands: [verb(place, "check")] }] : []),
      {
        text: "Put it to sleep.",
        commands: [annotate("on"), `kubectl wait -n ${namespace} --for=condition=cnpg.io/hibernation --timeout=10m cluster/${cluster}`],
      },
      { text: "Wake it.", commands: [annotate("off")] },
      {
        text: "Repeat this until it answers; f means that it is open.",
        isRepeated: true,
        commands: [inPostgres(place, 'psql -XAtc "select pg_is_in_recovery()"')],
      },
    ],
  };
}

export function repositoryLost(place: ClusterPlace, repository: RepositoryNode, all: readonly RepositoryNode[]): RunbookScenario {
  const others = all.filter(({ key }) => key !== repository.key);
  const [other] = others;
  const has =
    other === undefined ? "No other repository has its backups." : `Until then ${others.map(({ name }) => name).join(" and ")} alone can restore.`;
  return {
    id: lostAnswer(repository).scenario,
    title: `${repositoryText(repository)} is lost`,
    when: `The cluster is well; its backups there are not. ${has}`,
    steps: [
      { text: "Mend the place, or declare another one under the same key in the program.", commands: ["pulumi up"] },
      ...(isOurs(place) ? fillAgain(place, repository, other) : [{ text: "Take a full backup into it.", commands: [backupNow(place)] }]),
    ],
  };
}

function fillAgain(place: ClusterPlace, repository: RepositoryNode, other: RepositoryNode | undefined): RunbookStep[] {
  const fill =
    other === undefined
      ? { text: "Take a full backup into it.", commands: [verb(place, `backup --type=full --repo=${repository.key}`)] }
      : {
          text: `Copy backups and WAL from ${other.name}, so that it reaches back as far.`,
          commands: [verb(place, `sync --from-repo=${other.key} --to-repo=${repository.key}`)],
        };
  return [fill, { text: "Read everything in it once.", commands: [verb(place, `verify --repo=${repository.key}`)] }];
}

export function keysLost(place: ClusterPlace, repositories: readonly RepositoryNode[]): RunbookScenario {
  const encrypted = repositories.filter((repository) => repository.encrypted).map(({ name }) => name);
  return {
    id: "keys-lost",
    title: "A key is lost, or known to others",
    when: "A key of a storage service is gone, has expired or has leaked; or a passphrase is not where it should be.",
    steps: [
      {
        text: "A key of a service: make a new one there and bring it into the configuration of the stack (pulumi config set --secret) or into your secret store. Withdraw the old one only when the next step has succeeded.",
        commands: ["pulumi up"],
      },
      {
        text: `${proof(place).text} Pods see the new key a minute or two after the update: repeat this until it succeeds.`,
        commands: proof(place).commands,
        isRepeated: isOurs(place),
      },
      ...(encrypted.length === 0
        ? []
        : [
            {
              text: `A passphrase (${encrypted.join(", ")}): it is in two more places. The state of the stack has it, and the Secret that the pods read. Write it into the safe, not into a chat.`,
              commands: ["pulumi stack output --show-secrets", `kubectl get secret -n ${place.namespace}`],
            },
            {
              text: "If no place has it, nothing in that repository can ever be read again. In the program, declare one under another key, at another place, with a new passphrase, in the place of that one.",
              isOptional: true,
              commands: ["pulumi up"],
            },
            ...firstOfNew(place),
          ]),
      look(place),
    ],
  };
}

/** Every pod is replaced before a new repository can be written: a Backup that is asked for at once would be in its way. */
function firstOfNew(place: ClusterPlace): RunbookStep[] {
  if (!isOurs(place))
    return [
      { text: "Then, when all instances are well again, take a full backup.", isOptional: true, commands: [waitReady(place), backupNow(place)] },
    ];
  return [
    {
      text: "Then take a full backup into it. The pods are replaced first, one after the other, which takes some minutes: repeat both until both succeed.",
      isOptional: true,
      isRepeated: true,
      // Where nobody writes, no WAL would have made the stanza there.
      commands: [verb(place, "stanza-create"), verb(place, "backup --type=full --repo=<KEY>")],
    },
  ];
}

function phase({ cluster, namespace }: ClusterPlace): string {
  return `kubectl get -n ${namespace} cluster ${cluster} -o 'jsonpath={.status.currentPrimary}: {.status.phase}{"\\n"}'`;
}
