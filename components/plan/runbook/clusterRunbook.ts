/**
 * Recovery of a CloudNativePG cluster. It is never restored in place: the stack's program makes a new cluster from the
 * archive, and the applications move to it. Pure.
 */
import { engineOf } from "../engines/engines";
import type { DatabaseRunbook, RunbookQuestion } from "./runbookDocument";
import type { DatabaseNode, RepositoryNode, Topology } from "../topology/topology";
import { attackedAnswers, hasPast } from "./attacked";
import { archivingFails, asleep, commitsHang, failover, instanceLost, keysLost, repositoryLost } from "./clusterCare";
import { type ClusterTarget, isOurs, targetOf, verb } from "./clusterTarget";
import { fromPast, fromRepository, latest, pointInTime, namespaceLost, snapshot, table } from "./clusterRestore";
import { lostAnswer } from "./order";

type ClusterRunbook = Pick<DatabaseRunbook, "what" | "where" | "decisions" | "measuredBy" | "scenarios" | "keys">;

/** @param repositories with full backups, in the order to try */
export function clusterScenarios(
  database: DatabaseNode,
  repositories: readonly RepositoryNode[],
  topology: Topology,
): ClusterRunbook {
  const target = targetOf(database, topology);
  const [first, ...others] = repositories;
  const hasSnapshots = engineOf(database.engine).snapshots || database.volumeSnapshots !== undefined;
  return {
    what: `Cluster ${target.cluster} of CloudNativePG in namespace ${target.namespace}, ${database.instances ?? "?"} instances, stanza ${database.stanza}, engine ${database.engine}`,
    where: [
      `kubectl …: wherever kubectl config current-context names this Kubernetes, with rights in namespace ${target.namespace}`,
      "pulumi …: in the folder of the stack's program, signed in to where its state is; what begins with new CnpgRestore belongs into that program",
    ],
    decisions:
      first === undefined ? [instanceQuestion(target), SNAPSHOT_QUESTION] : decisions(target, database, repositories),
    measuredBy: isOurs(target) ? verb(target, "status") : null,
    scenarios: [
      failover(target),
      ...(target.instances > 1 ? [instanceLost(target)] : []),
      ...(first === undefined
        ? []
        : [
            latest(target, repositories),
            namespaceLost(target, repositories),
            pointInTime(target, repositories),
            table(target),
          ]),
      ...(hasSnapshots ? [snapshot(target, repositories)] : []),
      ...others.map((repository) => fromRepository(target, repository)),
      ...commitsHang(target, database),
      ...(first === undefined ? [] : [archivingFails(target)]),
      ...repositories.map((repository) => repositoryLost(target, repository, repositories)),
      ...attackable(target, repositories).map((repository) => fromPast(target, repository)),
      ...(first === undefined ? [] : [keysLost(target, repositories)]),
      asleep(target),
    ],
    keys: repositories.flatMap((repository) => keysOf(target, repository)),
  };
}

/** Only our own sidecar reads the past. */
function attackable(target: ClusterTarget, repositories: readonly RepositoryNode[]): RepositoryNode[] {
  return isOurs(target) ? repositories.filter(hasPast) : [];
}

function decisions(
  target: ClusterTarget,
  { synchronous }: DatabaseNode,
  repositories: readonly RepositoryNode[],
): RunbookQuestion[] {
  const second = repositories[1];
  return [
    instanceQuestion(target),
    {
      question: "Are data wrong (a bad UPDATE or DELETE, a dropped table, a failed migration)?",
      answers: [
        { answer: "yes, and everything after that time may be lost: a new cluster, just before it", scenario: "time" },
        { answer: "yes, in a table or two, and everything else must stay", scenario: "table" },
      ],
    },
    {
      question: "Is the whole cluster lost?",
      answers: [
        { answer: "yes: its volumes, or the Cluster object; the namespace is there", scenario: "latest" },
        { answer: "yes, and the namespace or Kubernetes too", scenario: "namespace-lost" },
        ...(second === undefined
          ? []
          : [{ answer: "yes, and the first repository is lost or damaged too", scenario: `repository-${second.key}` }]),
      ],
    },
    {
      question: "Is the cluster well, but archiving fails or WAL fills its volume?",
      answers: [{ answer: "yes", scenario: "archiving" }],
    },
    ...(synchronous === undefined
      ? []
      : [{ question: "Do writes hang, while reads work?", answers: [{ answer: "yes", scenario: "commits" }] }]),
    { question: "Is a repository lost, while the cluster is well?", answers: repositories.map(lostAnswer) },
    {
      question: "Is a key or a passphrase lost, or known to others?",
      answers: [{ answer: "yes", scenario: "keys-lost" }, ...attackedAnswers(attackable(target, repositories))],
    },
    { question: "Must it stop during an investigation?", answers: [{ answer: "yes", scenario: "asleep" }] },
  ];
}

function instanceQuestion({ instances }: ClusterTarget): RunbookQuestion {
  return {
    question: "Is only an instance lost?",
    answers:
      instances > 1
        ? [
            { answer: "the primary: the operator promotes a standby automatically", scenario: "failover" },
            { answer: "a standby, or its volume", scenario: "instance-lost" },
          ]
        : [{ answer: "yes, and its volume is well: the operator starts it automatically", scenario: "failover" }],
  };
}

/** Without a repository only snapshots exist. */
const SNAPSHOT_QUESTION: RunbookQuestion = {
  question: "Are data lost or wrong?",
  answers: [{ answer: "yes: a new cluster from a snapshot of the volumes", scenario: "snapshot" }],
};

function keysOf({ cluster, engine, namespace }: ClusterTarget, { encrypted, name }: RepositoryNode): string[] {
  const { encrypts, repositoriesMax } = engineOf(engine);
  const secret = `Secret ${cluster}-${name} of namespace ${namespace} (or the existing one that the program names)`;
  return [
    `${name}: the key of the service is in ${secret}, and where that came from: the configuration of the stack, or your secret store`,
    ...(encrypted
      ? [
          `${name}: the passphrase is in the same Secret and in the state of the stack (pulumi stack output --show-secrets, if the program has it as an output). ` +
            "Without it that repository is unreadable: keep a copy outside both, for the case that Kubernetes and the stack are lost",
        ]
      : [
          `${name}: ${repositoriesMax > 0 && !encrypts ? "this engine does not encrypt" : "not encrypted"}: anyone who can read the location can read the database; no passphrase is needed`,
        ]),
  ];
}
