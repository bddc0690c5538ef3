/**
 * Recovery of a CloudNativePG cluster. It is never restored in place: the stack's program makes a new cluster from the
 * archive, and the applications move to it. Pure.
 */
import { engineOf } from "../engines/engines";
import type { DatabaseNode, RepositoryNode } from "../topology/topology";
import { attackedAnswers, hasPast } from "./attacked";
import { archivingFails, asleep, commitsHang, failover, instanceLost, keysLost, repositoryLost } from "./clusterCare";
import type { ClusterTarget } from "./clusterTarget";
import { fromPast, fromRepository, latest, pointInTime, namespaceLost, snapshot, table } from "./clusterRestore";
import { type Markdown, markdown, only } from "./markdown";
import { lostAnswers } from "./order";

/** @param repositories with full backups, in the order to try */
export function clusterPage(
  target: ClusterTarget,
  { engine, instances, stanza, synchronous, volumeSnapshots }: DatabaseNode,
  repositories: readonly RepositoryNode[],
): Markdown {
  const { cluster, isOurs, namespace } = target;
  const [, ...others] = repositories;
  const hasArchive = repositories.length > 0;
  const hasSnapshots = engineOf(engine).snapshots || volumeSnapshots !== undefined;
  // Only our own sidecar reads the past.
  const attackable = isOurs ? repositories.filter(hasPast) : [];
  const waits = synchronous !== undefined;
  const isMany = target.instances > 1;
  return markdown`
    Cluster ${cluster} of CloudNativePG in namespace ${namespace}, ${instances ?? "?"} instances, stanza ${stanza}, engine ${engine}

    ## Where commands are run

    - kubectl …: wherever kubectl config current-context names this Kubernetes, with rights in namespace ${namespace}
    - pulumi …: in the folder of the stack's program, signed in to where its state is; what begins with new CnpgRestore
      belongs into that program

    ## Which scenario?

    1. Is only an instance lost?
       ${only(isMany)}- the primary: the operator promotes a standby automatically → #failover
       ${only(isMany)}- a standby, or its volume → #instance-lost
       ${only(!isMany)}- yes, and its volume is well: the operator starts it automatically → #failover
    ${hasArchive ? archiveQuestions(repositories, waits, attackable) : SNAPSHOT_QUESTION}

    ${failover(target)}
    ${isMany && instanceLost(target)}
    ${hasArchive && [latest(target, repositories), namespaceLost(target, repositories)]}
    ${hasArchive && [pointInTime(target, repositories), table(target)]}
    ${hasSnapshots && snapshot(target, repositories)}
    ${others.map((repository) => fromRepository(target, repository))}
    ${waits && commitsHang(target)}
    ${hasArchive && archivingFails(target)}
    ${repositories.map((repository) => repositoryLost(target, repository, repositories))}
    ${attackable.map((repository) => fromPast(target, repository))}
    ${hasArchive && keysLost(target, repositories)}
    ${asleep(target)}

    ## Keys and passphrases

    ${repositories.map((repository) => keysOf(target, repository))}
  `;
}

function archiveQuestions(
  repositories: readonly RepositoryNode[],
  waits: boolean,
  attackable: readonly RepositoryNode[],
): Markdown {
  const [, second] = repositories;
  return markdown`
    1. Are data wrong (a bad UPDATE or DELETE, a dropped table, a failed migration)?
       - yes, and everything after that time may be lost: a new cluster, just before it → #time
       - yes, in a table or two, and everything else must stay → #table
    1. Is the whole cluster lost?
       - yes: its volumes, or the Cluster object; the namespace is there → #latest
       - yes, and the namespace or Kubernetes too → #namespace-lost
       ${only(second !== undefined)}- yes, and the first repository is lost or damaged too → #repository-${second?.key ?? ""}
    1. Is the cluster well, but archiving fails or WAL fills its volume?
       - yes → #archiving
    ${only(waits)}1. Do writes hang, while reads work?
       - yes → #commits
    1. Is a repository lost, while the cluster is well?
       ${lostAnswers(repositories)}
    1. Is a key or a passphrase lost, or known to others?
       - yes → #keys-lost
       ${attackedAnswers(attackable)}
    1. Must it stop during an investigation?
       - yes → #asleep
  `;
}

/** Without a repository only snapshots exist. */
const SNAPSHOT_QUESTION = markdown`
  1. Are data lost or wrong?
     - yes: a new cluster from a snapshot of the volumes → #snapshot
`;

function keysOf({ cluster, engine, namespace }: ClusterTarget, { encrypted, name }: RepositoryNode): Markdown {
  const { encrypts, repositoriesMax } = engineOf(engine);
  const secret = `Secret ${cluster}-${name} of namespace ${namespace} (or the existing one that the program names)`;
  const reason = repositoriesMax > 0 && !encrypts ? "this engine does not encrypt" : "not encrypted";
  return markdown`
    - ${name}: the key of the service is in ${secret}, and where that came from: the configuration of the stack, or your
      secret store
    ${only(encrypted)}- ${name}: the passphrase is in the same Secret and in the state of the stack (pulumi stack output
      --show-secrets, if the program has it as an output). Without it that repository is unreadable: keep a copy outside
      both, for the case that Kubernetes and the stack are lost
    ${only(!encrypted)}- ${name}: ${reason}: anyone who can read the location can read the database; no passphrase is
      needed
  `;
}
