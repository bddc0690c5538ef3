/**
 * Incidents of a living cluster: an instance is lost, archiving fails, a repository or a key is lost, hibernation.
 * Pure.
 */
import type { RepositoryNode } from "../topology/topology";
import { backupNow, type ClusterTarget, condition, inPostgres, look, proof, verb, waitReady } from "./clusterTarget";
import { type Markdown, markdown, marked, only } from "./markdown";
import { leftText, repositoryText } from "./order";

export function failover(target: ClusterTarget): Markdown {
  const { instances, namespace } = target;
  const { command, text } = proof(target);
  const when =
    instances > 1
      ? "The primary's pod or node is gone; a standby is well. The operator promotes the standby automatically."
      : "The only instance is gone, its volume is well. The operator starts it again automatically.";
  return markdown`
    ### The primary is lost {#failover}

    ${when}

    1. See who is primary, and what the operator does.
           ${phase(target)}
    1. *not always:* Only if the pod stays in Terminating because its node is dead, and you know that the node is off
       and stays off: force the pod's deletion.
           kubectl delete pod -n ${namespace} <POD> --grace-period=0 --force
    ${allWell(target)}
    1. ${text}
           ${command}
  `;
}

export function instanceLost(target: ClusterTarget): Markdown {
  const { cluster, namespace } = target;
  return markdown`
    ### A standby or its volume is lost {#instance-lost}

    The primary is well; a standby does not come back, or its volume is damaged. The operator copies a new one from the
    primary.

    1. Find its name. It must not be the primary, which this prints.
           ${phase(target)}
    1. Delete the instance with its volumes. The operator creates another one, possibly with the same name.
           kubectl delete pvc -n ${namespace} -l cnpg.io/cluster=${cluster},cnpg.io/instanceName=<POD> --wait=false
           kubectl delete pod -n ${namespace} <POD>
    ${allWell(target)}
  `;
}

function allWell(target: ClusterTarget): Markdown {
  return markdown`
    1. Wait until all instances are well.
           ${waitReady(target)}
           kubectl get -n ${target.namespace} pod -l cnpg.io/cluster=${target.cluster} -L role
  `;
}

/** Only where commits wait for repositories. */
export function commitsHang(target: ClusterTarget): Markdown {
  const { cluster, namespace } = target;
  const asked = `psql -c "SHOW synchronous_standby_names" -c "TABLE pg_stat_replication"`;
  const removal = JSON.stringify([{ op: "remove", path: "/spec/postgresql/synchronous" }]);
  return markdown`
    ### Commits hang {#commits}

    Reads work, and every write waits: the repositories, the primary's sidecar, or a standby that must answer do not.
    Nothing ends the wait by itself.

    1. See which repository does not answer, and why.
           ${verb(target, "status")}
    1. See whom PostgreSQL waits for, and who is there.
           ${inPostgres(target, asked)}
           kubectl logs -n ${namespace} svc/${cluster}-rw -c plugin-pgbackstop --tail=50
    1. Fix what they name. The waiting commits then end well. Prove it.
           ${verb(target, "check")}
    1. If that takes too long, end the wait: commits that are acknowledged from now on are lost if the cluster is, and
       those of standbys too with a failover. pulumi up --refresh makes commits wait again.
           kubectl patch -n ${namespace} cluster ${cluster} --type=json -p '${removal}'
  `;
}

export function archivingFails(target: ClusterTarget): Markdown {
  const { cluster, isOurs, namespace } = target;
  const waiting = "sh -c 'ls $PGDATA/pg_wal/archive_status | grep -c ready$; df -h $PGDATA $PGDATA/pg_wal/'";
  const fixed = markdown`
    1. Fix what the error names: keys, bucket, certificate, network. PostgreSQL then archives what waits within a
       minute${isOurs && ": repeat this until it succeeds"}.
           ${proof(target).command}
  `;
  return markdown`
    ### Archiving fails {#archiving}

    The alert says so, or the volume of the WAL fills up. No data are lost yet: PostgreSQL keeps every segment until it
    is archived. Never delete files in pg_wal.

    1. See why: the operator keeps the last error.
           ${condition(target, "ContinuousArchiving")}
    ${only(isOurs)}1. See which repository it is, and which WAL it lacks.
           ${verb(target, "status")}
    1. See how many segments wait, and how much space is left for them.
           ${inPostgres(target, waiting)}
    1. *not always:* If space gets short, enlarge the volume first (storageGiB or spec.walStorage in the program; the storage
       class must allow it).
           pulumi up
    ${isOurs ? marked("repeat", fixed) : fixed}
    ${only(isOurs)}1. Copy what one repository has and another lacks, and verify what was archived in the meantime.
           ${verb(target, "heal")}
           ${verb(target, "verify")}
    ${only(!isOurs)}1. *not always:* See the log of the plugin if it still fails.
           kubectl logs -n ${namespace} -l cnpg.io/cluster=${cluster} --all-containers --tail=50
  `;
}

export function asleep(target: ClusterTarget): Markdown {
  const { cluster, isOurs, namespace } = target;
  return markdown`
    ### Hibernate it, and wake it {#asleep}

    To prevent writes during an investigation, or to save cost for a while. Its volumes stay; its pods go.

    ${only(isOurs)}1. First bring the newest WAL into every repository.
           ${verb(target, "check")}
    1. Hibernate it.
           kubectl annotate -n ${namespace} cluster ${cluster} --overwrite cnpg.io/hibernation=on
           kubectl wait -n ${namespace} --for=condition=cnpg.io/hibernation --timeout=10m cluster/${cluster}
    1. Wake it.
           kubectl annotate -n ${namespace} cluster ${cluster} --overwrite cnpg.io/hibernation=off
    1. *repeat:* Repeat this until it answers; f means that it is open.
           ${inPostgres(target, 'psql -XAtc "select pg_is_in_recovery()"')}
  `;
}

export function repositoryLost(
  target: ClusterTarget,
  repository: RepositoryNode,
  all: readonly RepositoryNode[],
): Markdown {
  const { isOurs } = target;
  const { key } = repository;
  const others = all.filter((each) => each.key !== key);
  const [other] = others;
  const isCopied = isOurs && other !== undefined;
  return markdown`
    ### ${repositoryText(repository)} is lost {#repository-${key}-lost}

    The cluster is well; its backups there are not. ${leftText(others)}

    1. Repair the storage, or declare another location under the same key in the program.
           pulumi up
    ${only(!isCopied)}1. Take a full backup into it.
           ${isOurs ? verb(target, `backup --type=full --repo=${key}`) : backupNow(target)}
    ${only(isCopied)}1. Copy backups and WAL from ${other?.name ?? ""}, so that it reaches back as far.
           ${verb(target, `sync --from-repo=${other?.key ?? ""} --to-repo=${key}`)}
    ${only(isOurs)}1. Verify everything in it.
           ${verb(target, `verify --repo=${key}`)}
  `;
}

export function keysLost(target: ClusterTarget, repositories: readonly RepositoryNode[]): Markdown {
  const encrypted = repositories.filter((repository) => repository.encrypted).map(({ name }) => name);
  const { command, text } = proof(target);
  const proven = markdown`
    1. ${text} Pods see the new key a minute or two after the update: repeat this until it succeeds.
           ${command}
  `;
  return markdown`
    ### A key is lost, or known to others {#keys-lost}

    A key of a storage service is gone, has expired or has leaked; or a passphrase is missing.

    1. A key of a service: make a new one there and bring it into the configuration of the stack (pulumi config set
       --secret) or into your secret store. Withdraw the old one only when the next step has succeeded.
           pulumi up
    ${target.isOurs ? marked("repeat", proven) : proven}
    ${only(encrypted.length > 0)}1. A passphrase (${encrypted.join(", ")}): the state of the stack holds it, and so
       does the Secret that the pods read. Write it into the safe, not into a chat.
           pulumi stack output --show-secrets
           kubectl get secret -n ${target.namespace}
    ${only(encrypted.length > 0)}1. *not always:* If neither has it, that repository is unreadable for good. In the
       program, replace it by one under another key, at another location, with a new passphrase.
           pulumi up
    ${encrypted.length > 0 && firstOfNew(target)}
    ${look(target)}
  `;
}

/** Every pod is replaced before a new repository can be written; an immediate Backup would block that. */
function firstOfNew(target: ClusterTarget): Markdown {
  if (!target.isOurs)
    return markdown`
      1. *not always:* Then, when all instances are well again, take a full backup.
             ${waitReady(target)}
             ${backupNow(target)}
    `;
  // Without writes, no WAL would have created the stanza there.
  return markdown`
    1. *not always, repeat:* Then take a full backup into it. The pods are replaced first, one after the other, which
       takes some minutes: repeat both until both succeed.
           ${verb(target, "stanza-create")}
           ${verb(target, "backup --type=full --repo=<KEY>")}
  `;
}

function phase({ cluster, namespace }: ClusterTarget): string {
  return `kubectl get -n ${namespace} cluster ${cluster} -o 'jsonpath={.status.currentPrimary}: {.status.phase}{"\\n"}'`;
}
