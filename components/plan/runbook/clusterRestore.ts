/** How to make a new cluster from backups. A cluster is never restored in place. Pure. */
import { DEFAULTS } from "../model/defaults";
import type { RepositoryNode } from "../topology/topology";
import { type ClusterTarget, inPostgres, look, restoredTarget, verb, waitReady } from "./clusterTarget";
import { attacked } from "./attacked";
import { type Markdown, markdown, marked, only } from "./markdown";
import { repositoryText } from "./order";

export function latest(target: ClusterTarget, repositories: readonly RepositoryNode[]): Markdown {
  return markdown`
    ### A new cluster from the newest state {#latest}

    The cluster is lost, its namespace is not. Restores from ${repositories.map(repositoryText).join(", then ")}.

    ${moved(target, "")}
  `;
}

export function pointInTime(target: ClusterTarget, repositories: readonly RepositoryNode[]): Markdown {
  return markdown`
    ### A new cluster from a point in time {#time}

    Data are wrong, and everything after the chosen time may be lost. Choose the time just before the first wrong
    transaction, in UTC. Restores from ${repositories.map(({ name }) => name).join(", then ")}.

    ${look(target)}
    ${target.isOurs && seek(target, "")}
    1. Stop all writers: the new cluster will lack every transaction after the chosen time.
    ${moved(target, ', target: { time: "<TIME>" }')}
  `;
}

export function fromRepository(target: ClusterTarget, repository: RepositoryNode): Markdown {
  const { key, name } = repository;
  return markdown`
    ### A new cluster from ${name} {#repository-${key}}

    The repositories before it are unreadable or not trusted. ${repositoryText(repository)} alone is enough.

    ${moved(target, `, from: ["${name}"]`)}
  `;
}

/** A bucket as it was before somebody overwrote or deleted backups in it. */
export function fromPast(target: ClusterTarget, repository: RepositoryNode): Markdown {
  const source = `, from: ["${repository.name}"], repositoryTargetTime: "<BEFORE>"`;
  const lost = made(target, source, { situation: "If the database is lost or not trusted either. " });
  return attacked(repository, (args) => verb(target, args), marked("not always", lost));
}

export function snapshot(target: ClusterTarget, repositories: readonly RepositoryNode[]): Markdown {
  const hasArchive = repositories.length > 0;
  const when = hasArchive
    ? "Copying from a repository would take too long, and the storage of the cluster is well. WAL after the snapshot comes from the repositories."
    : "There is no archive: only the state of a snapshot can be restored, and nothing after it.";
  return markdown`
    ### A new cluster from a snapshot of the volumes {#snapshot}

    ${when}

    1. Choose the snapshot.
           kubectl get -n ${target.namespace} volumesnapshot -l cnpg.io/cluster=${target.cluster}
    ${moved(target, ', snapshot: { storage: "<SNAPSHOT>" }', { hasArchive })}
  `;
}

/** Production continues. */
export function table(target: ClusterTarget): Markdown {
  return markdown`
    ### Restore a table or its rows {#table}

    A table was dropped, or rows of it were deleted or changed, and everything else written since must stay. Production
    continues in the meantime.

    ${look(target)}
    ${target.hasDumps && tableOfDump(target)}
    ${target.isOurs ? tableInJob(target) : tableOfCluster(target)}
  `;
}

/** A dump has one moment only, but needs neither a restore nor space. */
function tableOfDump(target: ClusterTarget): Markdown {
  const restore = inPostgres(target, 'pg_restore --schema="<SCHEMA>" --table="<TABLE>" --file=-', "-i ");
  return markdown`
    1. *not always:* If the table as of a logical dump suffices: dump-ls shows their times, and this writes the table of
       the newest one as SQL into a file. It changes nothing.
           ${verb(target, "dump-ls")}
           ${verb(target, 'dump-get --database="<DATABASE>"')} | ${restore} > table.sql
  `;
}

/** The sidecar makes a Job with the Cluster's image and keys. */
function tableInJob(target: ClusterTarget): Markdown {
  const { cluster, namespace } = target;
  const job = `job/${cluster}-table`;
  const inJob = (args: string): string =>
    `kubectl exec -it -n ${namespace} ${job} -- /pgbackstop/run/pgbackstop ${args}`;
  const superuser = (isOn: boolean): string =>
    `kubectl patch -n ${namespace} cluster ${cluster} --type=merge -p '{"spec":{"enableSuperuserAccess":${isOn}}}'`;
  const which = '--database="<DATABASE>" --table="<SCHEMA>.<TABLE>"';
  return markdown`
    1. Archive pending WAL: a time is restorable once its WAL is in a repository.
           ${verb(target, "check")}
    1. Start a Job with the programs of PostgreSQL and the keys. Its pod waits for commands.
           kubectl get -n ${namespace} cluster ${cluster} -o json | ${verb(target, "cnpg-job", "-i ")} | kubectl apply -f -
           kubectl wait -n ${namespace} --for=jsonpath='{.status.ready}'=1 --timeout=15m ${job}
    1. Find the transaction: this lists those of the last hour that destroyed part of the table (--from and --to for
       another span). What stands behind just before it is <TARGET>.
           ${inJob(`find ${which}`)}
    1. *not always:* If the table does not belong to the application's role: give the pod the superuser, which takes up
       to two minutes. No instance restarts.
           ${superuser(true)}
           until kubectl exec -n ${namespace} ${job} -- test -s /pgbackstop/production/superuser/password; do sleep 5; done
    1. Restore it beside the current table, into schema <SCHEMA>_restored. The command compares its rows with the
       backup's, shows how it differs from the current table, and asks whether to replace that. If you answer no, both
       stay: copy what you need from <SCHEMA>_restored, and drop it.
           ${inJob(`extract-table --swap ${which} <TARGET>`)}
    1. Remove the Job with its volume.
           kubectl delete -n ${namespace} ${job}
    1. *not always:* If you gave it the superuser: take it away again.
           ${superuser(false)}
  `;
}

/** The old cluster stays in use; only a table comes from the new one. */
function tableOfCluster(target: ClusterTarget): Markdown {
  const restored = restoredTarget(target);
  const psql = `psql -X -v ON_ERROR_STOP=1 -d "<DATABASE>"`;
  const old = (args: string, flags?: string): string => inPostgres(target, `${psql} ${args}`, flags);
  const young = (args: string): string => inPostgres(restored, `${psql} ${args}`);
  const sums = '-Atc "select count(*), sum(hashtextextended(t::text, 0)) from recovered.<TABLE> t"';
  const all = "overriding system value select * from recovered.<TABLE> on conflict do nothing";
  return markdown`
    ${made(target, ', target: { time: "<TIME>" }')}
    1. In the new cluster, move the table into a separate schema: indexes, constraints and sequences move with it.
           ${young('-c "create schema recovered" -c "alter table <SCHEMA>.<TABLE> set schema recovered"')}
    1. Copy the schema through a file, so that an incomplete copy is never used. It does not touch production's own
       tables.
           ${inPostgres(restored, 'pg_dump -d "<DATABASE>" -n recovered')} > recovered.sql
           ${old("-q --single-transaction", "-i ")} < recovered.sql
    1. Compare: the same two numbers on both sides.
           ${young(sums)}
           ${old(sums)}
    1. *not always:* If production has lost the table, move it into its schema.
           ${old('-c "alter table recovered.<TABLE> set schema <SCHEMA>"')}
    1. *not always:* If the table exists and lacks rows, add them. Compare changed rows yourself, by their key.
           ${old(`-c "insert into <SCHEMA>.<TABLE> ${all}"`)}
    1. *not always:* Clean up: the schema in production, then CnpgRestore ${restored.cluster} in the program (it is
       protected: the first command allows it).
           ${old('-c "drop schema recovered cascade"')}
           pulumi state unprotect <URN>
           pulumi up
  `;
}

/** Everything of the old cluster is lost: Secrets, configuration, perhaps Kubernetes. */
export function namespaceLost(target: ClusterTarget, repositories: readonly RepositoryNode[]): Markdown {
  const { cluster, isAttached, namespace, stanza } = target;
  const args = `${variable(cluster)}Args`;
  const [kind, otherwise, but] = isAttached
    ? [
        "CnpgBackup",
        "look for a cluster that is gone",
        ", without clusterName and with storageGiB, image, libraries and parameters of the old manifest",
      ]
    : ["CnpgCluster", "create an empty cluster", ""];
  const [, second] = repositories;
  const others =
    second !== undefined &&
    ` If one of the repositories is lost too, name the others in source: from: ["${second.name}"].`;
  return markdown`
    ### The namespace, or all of Kubernetes, is lost {#namespace-lost}

    Cluster, volumes, Secrets and configuration are gone. You need what is stored elsewhere: the program, the state of
    the stack with its keys, and ${repositories.map(repositoryText).join(" or ")}.

    1. *not always:* Only if Kubernetes itself is new: point the stack to it (kubectl config use-context, pulumi config
       set kubernetes:context), and install CloudNativePG's operator.
           kubectl get deployment -A -l app.kubernetes.io/name=cloudnative-pg
    1. Create the namespace again, if the stack does not.
           kubectl create namespace ${namespace}
    1. The state of the stack still lists the lost resources: refresh it.
           pulumi refresh
    1. In the program, replace new ${kind}("${cluster}", …) by this: otherwise the update would ${otherwise}. ${args}
       are its arguments${but}, kept in a constant. ${elsewhere(cluster)}${others}
       ~~~ts
       new CnpgRestore("${cluster}-restored", {
         ...${args},
         repositories: { repo1: { at: other.target, keepDays: 14 } },
         source: { ${engineText(target)}stanza: "${stanza}", repositories: ${args}.repositories },
       });
       ~~~
    ${awaited(target, true)}
    ${lead(target, " The passwords are new, because backups do not contain CloudNativePG's Secrets. Restart the applications that used the old ones.")}
  `;
}

/** Only our own sidecar can read the archive. */
function seek(target: ClusterTarget, args: string): Markdown {
  return markdown`
    1. *not always:* If nobody knows the time: the first command archives pending WAL, the second lists the destructive
       transactions of the last hour (--from and --to for another span), with the target just before each. Its
       target: { … } can replace target: { time: "<TIME>" }.
           ${verb(target, "check")}
           ${verb(target, `find${args}`)}
  `;
}

/** A new cluster, for good. Hibernation prevents accidental writes to the old one and keeps its data. */
function moved(target: ClusterTarget, source: string, options?: { readonly hasArchive: boolean }): Markdown {
  const { cluster, namespace } = target;
  return markdown`
    ${made(target, source, options)}
    ${lead(target)}
    1. *not always:* If the old cluster still runs, hibernate it. Remove it from the program once you trust the new one.
           kubectl annotate -n ${namespace} cluster ${cluster} --overwrite cnpg.io/hibernation=on
  `;
}

/** From the program to a new cluster with backups. */
function made(target: ClusterTarget, source: string, { hasArchive = true, situation = "" } = {}): Markdown {
  const { cluster, fullCron, isAttached, isOurs, namespace, stanza } = target;
  const old = variable(cluster);
  const plugin = isOurs ? "plugin: plugin.ref, " : "";
  const [like, from, care] = isAttached
    ? [
        "storageGiB: <GIB>,",
        `stanza: "${stanza}", repositories: ${old}Repositories`,
        `${old}Repositories are those of CnpgBackup ${cluster}, kept in a constant. The new cluster needs the image, the libraries and the parameters of the old one (image or postgresVersion, parameters, spec), as its manifest has them.`,
      ]
    : [
        `like: ${old}.like,`,
        `...${old}.source`,
        "If the old cluster is gone, do not refresh the stack: the update would create an empty one.",
      ];
  return markdown`
    1. ${situation}In the program, create a new cluster from the backups of ${cluster}, which stays declared.
       ${elsewhere(cluster)}${isOurs && " plugin is the CnpgPlugin of the program."} ${care}
       ~~~ts
       new CnpgRestore("${cluster}-restored", {
         namespace: "${namespace}", ${plugin}${engineText(target)}${like}
         source: { ${from}${source} },
         ${hasArchive ? "repositories: { repo1: { at: other.target, keepDays: 14 } }," : "repositories: {},"}
         ${fullCron !== undefined && `schedules: { full: { cron: "${fullCron}" } },`}
       });
       ~~~
    ${awaited(target, hasArchive)}
  `;
}

/** It must not write to the repository that it reads. */
function elsewhere(cluster: string): string {
  return `It writes its own backups elsewhere: other is a second declaration of an existing repository, under another name, with path: "/${cluster}-restored".`;
}

function awaited(target: ClusterTarget, hasArchive: boolean): Markdown {
  const restored = restoredTarget(target);
  const archives = target.isOurs && hasArchive;
  return markdown`
    1. The preview names the locations of backups and refuses impossible settings.
           pulumi up
    1. Wait until it is ready, and look at the data: t means that it has not opened yet.
           ${waitReady(restored)}
           ${inPostgres(restored, 'psql -XAtc "select pg_is_in_recovery(), now()"')}
    ${only(archives)}1. *repeat:* Its first full backup starts automatically within minutes. Repeat this until nothing
       needs attention.
           ${verb(restored, "status")}
    ${only(archives)}1. Verify everything that was stored.
           ${verb(restored, "verify")}
  `;
}

function lead({ cluster, namespace }: ClusterTarget, more = ""): Markdown {
  return markdown`1. Point the applications to ${cluster}-restored-rw.${namespace}.svc.${more}`;
}

/** `like` has no engine; the default is the runtime. */
function engineText({ engine }: ClusterTarget): string {
  return engine === DEFAULTS.engine ? "" : `engine: "${engine}", `;
}

/** `orders-db` is not a valid variable name. */
function variable(name: string): string {
  return name.replace(/[^A-Za-z0-9_$]+(.)?/g, (_whole, next: string | undefined) => (next ?? "").toUpperCase());
}
