/**
 * Incidents of a living cluster: an instance is lost, archiving fails, a repository or a key is lost, hibernation.
 * Pure.
 */
import type { RunbookScenario, RunbookStep } from "./runbookDocument";
import type { DatabaseNode, RepositoryNode } from "../topology/topology";
import {
  backupNow,
  type ClusterTarget,
  condition,
  inPostgres,
  isOurs,
  look,
  proof,
  verb,
  waitReady,
} from "./clusterTarget";
import { lostAnswer, repositoryText } from "./order";

export function failover(target: ClusterTarget): RunbookScenario {
  const { cluster, instances, namespace } = target;
  return {
    id: "failover",
    title: "The primary is lost",
    when:
      instances > 1
        ? "The primary's pod or node is gone; a standby is well. The operator promotes the standby automatically."
        : "The only instance is gone, its volume is well. The operator starts it again automatically.",
    steps: [
      { text: "See who is primary, and what the operator does.", commands: [phase(target)] },
      {
        text: "Only if the pod stays in Terminating because its node is dead, and you know that the node is off and stays off: force the pod's deletion.",
        isOptional: true,
        commands: [`kubectl delete pod -n ${namespace} <POD> --grace-period=0 --force`],
      },
      {
        text: "Wait until all instances are well.",
        commands: [waitReady(target), `kubectl get -n ${namespace} pod -l cnpg.io/cluster=${cluster} -L role`],
      },
      proof(target),
    ],
  };
}

export function instanceLost(target: ClusterTarget): RunbookScenario {
  const { cluster, namespace } = target;
  return {
    id: "instance-lost",
    title: "A standby or its volume is lost",
    when: "The primary is well; a standby does not come back, or its volume is damaged. The operator copies a new one from the primary.",
    steps: [
      { text: "Find its name. It must not be the primary, which this prints.", commands: [phase(target)] },
      {
        text: "Delete the instance with its volumes. The operator creates another one, possibly with the same name.",
        commands: [
          `kubectl delete pvc -n ${namespace} -l cnpg.io/cluster=${cluster},cnpg.io/instanceName=<POD> --wait=false`,
          `kubectl delete pod -n ${namespace} <POD>`,
        ],
      },
      {
        text: "Wait until all instances are well.",
        commands: [waitReady(target), `kubectl get -n ${namespace} pod -l cnpg.io/cluster=${cluster} -L role`],
      },
    ],
  };
}

/** Only where commits wait for repositories. */
export function commitsHang(target: ClusterTarget, { synchronous }: DatabaseNode): RunbookScenario[] {
  if (synchronous === undefined) return [];
  const { cluster, namespace } = target;
  const removal = JSON.stringify([{ op: "remove", path: "/spec/postgresql/synchronous" }]);
  return [
    {
      id: "commits",
      title: "Commits hang",
      when: "Reads work, and every write waits: the repositories, the primary's sidecar, or a standby that must answer do not. Nothing ends the wait by itself.",
      steps: [
        { text: "See which repository does not answer, and why.", commands: [verb(target, "status")] },
        {
          text: "See whom PostgreSQL waits for, and who is there.",
          commands: [
            inPostgres(target, `psql -c "SHOW synchronous_standby_names" -c "TABLE pg_stat_replication"`),
            `kubectl logs -n ${namespace} svc/${cluster}-rw -c plugin-pgbackstop --tail=50`,
          ],
        },
        { text: "Fix what they name. The waiting commits then end well. Prove it.", commands: [verb(target, "check")] },
        {
          text: "If that takes too long, end the wait: commits that are acknowledged from now on are lost if the cluster is, and those of standbys too with a failover. pulumi up --refresh makes commits wait again.",
          commands: [`kubectl patch -n ${namespace} cluster ${cluster} --type=json -p '${removal}'`],
        },
      ],
    },
  ];
}

export function archivingFails(target: ClusterTarget): RunbookScenario {
  const { cluster, namespace } = target;
  return {
    id: "archiving",
    title: "Archiving fails",
    when: "The alert says so, or the volume of the WAL fills up. No data are lost yet: PostgreSQL keeps every segment until it is archived. Never delete files in pg_wal.",
    steps: [
      { text: "See why: the operator keeps the last error.", commands: [condition(target, "ContinuousArchiving")] },
      ...(isOurs(target)
        ? [{ text: "See which repository it is, and which WAL it lacks.", commands: [verb(target, "status")] }]
        : []),
      {
        text: "See how many segments wait, and how much space is left for them.",
        commands: [
          inPostgres(
            target,
            "sh -c 'ls $PGDATA/pg_wal/archive_status | grep -c ready$; df -h $PGDATA $PGDATA/pg_wal/'",
          ),
        ],
      },
      {
        text: "If space gets short, enlarge the volume first (storageGiB or walStorage in the program; the storage class must allow it).",
        isOptional: true,
        commands: ["pulumi up"],
      },
      {
        text: `Fix what the error names: keys, bucket, certificate, network. PostgreSQL then archives what waits within a minute${isOurs(target) ? ": repeat this until it succeeds" : ""}.`,
        commands: [proof(target).commands[0] ?? ""],
        isRepeated: isOurs(target),
      },
      ...(isOurs(target)
        ? [
            {
              text: "Copy what one repository has and another lacks, and verify what was archived meanwhile.",
              commands: [verb(target, "heal"), verb(target, "verify")],
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

export function asleep(target: ClusterTarget): RunbookScenario {
  const { cluster, namespace } = target;
  const annotate = (state: string): string =>
    `kubectl annotate -n ${namespace} cluster ${cluster} --overwrite cnpg.io/hibernation=${state}`;
  return {
    id: "asleep",
    title: "Hibernate it, and wake it",
    when: "To prevent writes during an investigation, or to save cost for a while. Its volumes stay; its pods go.",
    steps: [
      ...(isOurs(target)
        ? [{ text: "First bring the newest WAL into every repository.", commands: [verb(target, "check")] }]
        : []),
      {
        text: "Hibernate it.",
        commands: [
          annotate("on"),
          `kubectl wait -n ${namespace} --for=condition=cnpg.io/hibernation --timeout=10m cluster/${cluster}`,
        ],
      },
      { text: "Wake it.", commands: [annotate("off")] },
      {
        text: "Repeat this until it answers; f means that it is open.",
        isRepeated: true,
        commands: [inPostgres(target, 'psql -XAtc "select pg_is_in_recovery()"')],
      },
    ],
  };
}

export function repositoryLost(
  target: ClusterTarget,
  repository: RepositoryNode,
  all: readonly RepositoryNode[],
): RunbookScenario {
  const others = all.filter(({ key }) => key !== repository.key);
  const [other] = others;
  const has =
    other === undefined
      ? "No other repository has its backups."
      : `Until then ${others.map(({ name }) => name).join(" and ")} alone can restore.`;
  return {
    id: lostAnswer(repository).scenario,
    title: `${repositoryText(repository)} is lost`,
    when: `The cluster is well; its backups there are not. ${has}`,
    steps: [
      {
        text: "Repair the storage, or declare another location under the same key in the program.",
        commands: ["pulumi up"],
      },
      ...(isOurs(target)
        ? fillAgain(target, repository, other)
        : [{ text: "Take a full backup into it.", commands: [backupNow(target)] }]),
    ],
  };
}

function fillAgain(
  target: ClusterTarget,
  repository: RepositoryNode,
  other: RepositoryNode | undefined,
): RunbookStep[] {
  const fill =
    other === undefined
      ? { text: "Take a full backup into it.", commands: [verb(target, `backup --type=full --repo=${repository.key}`)] }
      : {
          text: `Copy backups and WAL from ${other.name}, so that it reaches back as far.`,
          commands: [verb(target, `sync --from-repo=${other.key} --to-repo=${repository.key}`)],
        };
  return [fill, { text: "Verify everything in it.", commands: [verb(target, `verify --repo=${repository.key}`)] }];
}

export function keysLost(target: ClusterTarget, repositories: readonly RepositoryNode[]): RunbookScenario {
  const encrypted = repositories.filter((repository) => repository.encrypted).map(({ name }) => name);
  return {
    id: "keys-lost",
    title: "A key is lost, or known to others",
    when: "A key of a storage service is gone, has expired or has leaked; or a passphrase is missing.",
    steps: [
      {
        text: "A key of a service: make a new one there and bring it into the configuration of the stack (pulumi config set --secret) or into your secret store. Withdraw the old one only when the next step has succeeded.",
        commands: ["pulumi up"],
      },
      {
        text: `${proof(target).text} Pods see the new key a minute or two after the update: repeat this until it succeeds.`,
        commands: proof(target).commands,
        isRepeated: isOurs(target),
      },
      ...(encrypted.length === 0
        ? []
        : [
            {
              text: `A passphrase (${encrypted.join(", ")}): the state of the stack holds it, and so does the Secret that the pods read. Write it into the safe, not into a chat.`,
              commands: ["pulumi stack output --show-secrets", `kubectl get secret -n ${target.namespace}`],
            },
            {
              text: "If neither has it, that repository is unreadable for good. In the program, replace it by one under another key, at another location, with a new passphrase.",
              isOptional: true,
              commands: ["pulumi up"],
            },
            ...firstOfNew(target),
          ]),
      look(target),
    ],
  };
}

/** Every pod is replaced before a new repository can be written; an immediate Backup would block that. */
function firstOfNew(target: ClusterTarget): RunbookStep[] {
  if (!isOurs(target))
    return [
      {
        text: "Then, when all instances are well again, take a full backup.",
        isOptional: true,
        commands: [waitReady(target), backupNow(target)],
      },
    ];
  return [
    {
      text: "Then take a full backup into it. The pods are replaced first, one after the other, which takes some minutes: repeat both until both succeed.",
      isOptional: true,
      isRepeated: true,
      // Without writes, no WAL would have created the stanza there.
      commands: [verb(target, "stanza-create"), verb(target, "backup --type=full --repo=<KEY>")],
    },
  ];
}

function phase({ cluster, namespace }: ClusterTarget): string {
  return `kubectl get -n ${namespace} cluster ${cluster} -o 'jsonpath={.status.currentPrimary}: {.status.phase}{"\\n"}'`;
}
