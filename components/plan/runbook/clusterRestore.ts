/** How a new cluster is made out of backups. A cluster is never restored in place. Pure. */
import { DEFAULTS } from "../model/defaults";
import type { RunbookScenario, RunbookStep } from "./runbookDocument";
import type { RepositoryNode } from "../topology/topology";
import { type ClusterPlace, inPostgres, isOurs, look, restoredPlace, verb, waitReady } from "./clusterPlace";
import { repositoryText } from "./order";

export function latest(place: ClusterPlace, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "latest",
    title: "A new cluster from the newest state",
    when: `The cluster is lost, its namespace is not. Taken from ${repositories.map(repositoryText).join(", then ")}.`,
    steps: [...made(place, ""), lead(place), farewell(place)],
  };
}

export function moment(place: ClusterPlace, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "time",
    title: "A new cluster from a moment",
    when: `Data are there but wrong, and what came after the moment may be lost. The moment is just before the first wrong transaction, in UTC. Taken from ${repositories.map(({ name }) => name).join(", then ")}.`,
    steps: [look(place), ...seek(place, ""), STOP_WRITING, ...made(place, ', target: { time: "<TIME>" }'), lead(place), farewell(place)],
  };
}

export function fromRepository(place: ClusterPlace, repository: RepositoryNode): RunbookScenario {
  return {
    id: `repository-${repository.key}`,
    title: `A new cluster from ${repository.name}`,
    when: `The repositories before it cannot be read, or are not to be trusted. ${repositoryText(repository)} alone has what is needed.`,
    steps: [...made(place, `, from: ["${repository.name}"]`), lead(place), farewell(place)],
  };
}

export function snapshot(place: ClusterPlace, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "snapshot",
    title: "A new cluster from a snapshot of the volumes",
    when:
      repositories.length === 0
        ? "There is no archive: the state of a snapshot is all that can be had, and nothing after it."
        : "Copying from a repository would take too long, and the storage of the cluster is well. WAL behind the snapshot comes from the repositories.",
    steps: [
      { text: "Choose the snapshot.", commands: [`kubectl get -n ${place.namespace} volumesnapshot -l cnpg.io/cluster=${place.cluster}`] },
      ...made(place, ', snapshot: { storage: "<SNAPSHOT>" }', repositories.length > 0),
      lead(place),
      farewell(place),
    ],
  };
}

/** The old cluster stays in use; of the new one only a table is wanted. */
export function table(place: ClusterPlace): RunbookScenario {
  const restored = restoredPlace(place);
  const psql = (words: string): string => `psql -X -v ON_ERROR_STOP=1 -d "<DATABASE>" ${words}`;
  const compare = psql('-Atc "select count(*), sum(hashtextextended(t::text, 0)) from recovered.<TABLE> t"');
  return {
    id: "table",
    title: "Bring back a table or its rows",
    when: "A table was dropped, or rows of it were deleted or changed, and everything else that was written since must stay. Production goes on meanwhile.",
    steps: [
      look(place),
      ...seek(place, ' --database="<DATABASE>" --table="<SCHEMA>.<TABLE>"'),
      ...made(place, ', target: { time: "<TIME>" }'),
      {
        text: "In the new cluster, put the table into a schema of its own: indexes, constraints and sequences go with it.",
        commands: [inPostgres(restored, psql(`-c "create schema recovered" -c "alter table <SCHEMA>.<TABLE> set schema recovered"`))],
      },
      {
        text: "Copy the schema, through a file: half of it is never taken for the whole. In production it stands beside everything else.",
        commands: [
          `${inPostgres(restored, 'pg_dump -d "<DATABASE>" -n recovered')} > recovered.sql`,
          `${inPostgres(place, psql("-q --single-transaction"), "-i ")} < recovered.sql`,
        ],
      },
      { text: "Compare: the same two numbers on both sides.", commands: [inPostgres(restored, compare), inPostgres(place, compare)] },
      {
        text: "If the table is gone in production, put it into its place.",
        isOptional: true,
        commands: [inPostgres(place, psql('-c "alter table recovered.<TABLE> set schema <SCHEMA>"'))],
      },
      {
        text: "If it is there and lacks rows, add them. Rows that were changed are yours to compare, by their key.",
        isOptional: true,
        commands: [
          inPostgres(place, psql('-c "insert into <SCHEMA>.<TABLE> overriding system value select * from recovered.<TABLE> on conflict do nothing"')),
        ],
      },
      {
        text: `Clean up: the schema in production, then CnpgRestore ${restored.cluster} in the program (it is protected: the first command allows it).`,
        isOptional: true,
        commands: [inPostgres(place, psql('-c "drop schema recovered cascade"')), "pulumi state unprotect <URN>", "pulumi up"],
      },
    ],
  };
}

/** Nothing of the old cluster is left: no Secret, no configuration, perhaps no Kubernetes. */
export function namespaceLost(place: ClusterPlace, repositories: readonly RepositoryNode[]): RunbookScenario {
  const { cluster, isAttached, namespace, stanza } = place;
  const old = isAttached ? `new CnpgBackup("${cluster}", …)` : `new CnpgCluster("${cluster}", …)`;
  const args = `${variable(cluster)}Args`;
  return {
    id: "namespace-lost",
    title: "The namespace, or all of Kubernetes, is lost",
    when: `Cluster, volumes, Secrets and configuration are gone. What is needed is outside: the program, the state of the stack with its keys, and ${repositories.map(repositoryText).join(" or ")}.`,
    steps: [
      {
        text: "Only if Kubernetes itself is new: lead the stack to it (kubectl config use-context, pulumi config set kubernetes:context), and install CloudNativePG's operator.",
        isOptional: true,
        commands: ["kubectl get deployment -A -l app.kubernetes.io/name=cloudnative-pg"],
      },
      { text: "Make the namespace again, if the stack does not.", commands: [`kubectl create namespace ${namespace}`] },
      { text: "The state of the stack still has what is gone: let it see.", commands: ["pulumi refresh"] },
      {
        text:
          `In the program, put this in the place of ${old}: left there, ${isAttached ? "the update would look for a cluster that is gone" : "the update would make an empty cluster"}. ${args} are its ` +
          `arguments${isAttached ? ", without clusterName and with storageGiB, image, libraries and parameters of the old manifest" : ""}, ` +
          `kept in a constant. ${OTHER(cluster)}` +
          (repositories.length > 1 ? ` If one of the repositories is lost too, name the others in source: from: ["${repositories[1]?.name}"].` : ""),
        language: "ts",
        commands: [
          `new CnpgRestore("${cluster}-restored", {`,
          `  ...${args},`,
          "  repositories: { repo1: { at: other.target, keepDays: 14 } },",
          `  source: { ${engineText(place)}stanza: "${stanza}", repositories: ${args}.repositories },`,
          "});",
        ],
      },
      ...awaited(place, true),
      lead(place, " The passwords are new ones: CloudNativePG's Secrets are in no backup. Restart what read the old ones."),
    ],
  };
}

/** Only our own sidecar can read the archive. */
function seek(place: ClusterPlace, words: string): RunbookStep[] {
  if (!isOurs(place)) return [];
  return [
    {
      text:
        "If nobody knows the moment: the first command archives what is not yet, the second names the transactions of the last hour that destroyed something (--from and --to for " +
        'another span), and where to stop just before each. Its words, target: { … }, may stand in the place of target: { time: "<TIME>" }.',
      isOptional: true,
      commands: [verb(place, "check"), verb(place, `find${words}`)],
    },
  ];
}

const STOP_WRITING: RunbookStep = { text: "Stop what writes: every transaction after the moment will be missing in the new cluster.", commands: [] };

/** From the program to a new cluster that is backed up. */
function made(place: ClusterPlace, source: string, hasArchive = true): RunbookStep[] {
  const { cluster, fullCron, isAttached, namespace, stanza } = place;
  const old = variable(cluster);
  const plugin = isOurs(place) ? "plugin: plugin.ref, " : "";
  const schedules = fullCron === undefined ? [] : [`  schedules: { full: { cron: "${fullCron}" } },`];
  const [like, from] = isAttached
    ? ["storageGiB: <GIB>,", `stanza: "${stanza}", repositories: ${old}Repositories`]
    : [`${engineText(place)}...${old}.like,`, `...${old}.source`];
  return [
    {
      text:
        `In the program, make a new cluster out of the backups of ${cluster}, which stays declared. ${OTHER(cluster)} ` +
        `${isOurs(place) ? "plugin is the CnpgPlugin of the program. " : ""}${isAttached ? ATTACHED(old, cluster) : "Where the old cluster is gone do not refresh the stack: the update would make an empty one in its place."}`,
      language: "ts",
      commands: [
        `new CnpgRestore("${cluster}-restored", {`,
        `  namespace: "${namespace}", ${plugin}${isAttached ? engineText(place) : ""}${like}`,
        `  source: { ${from}${source} },`,
        hasArchive ? "  repositories: { repo1: { at: other.target, keepDays: 14 } }," : "  repositories: {},",
        ...schedules,
        "});",
      ],
    },
    ...awaited(place, hasArchive),
  ];
}

/** It must not write where it reads. */
const OTHER = (cluster: string): string =>
  `It writes its own backups elsewhere: other is a repository as the program declares one already, declared once more under another name, with path: "/${cluster}-restored".`;

const ATTACHED = (old: string, cluster: string): string =>
  `${old}Repositories are those of CnpgBackup ${cluster}, kept in a constant. The new cluster needs the image, the libraries and the parameters of the old one ` +
  "(image or postgresVersion, sharedPreloadLibraries, parameters), as its manifest has them.";

function awaited(place: ClusterPlace, hasArchive: boolean): RunbookStep[] {
  const restored = restoredPlace(place);
  return [
    { text: "The preview names the backup's places and refuses what cannot be.", commands: ["pulumi up"] },
    {
      text: "Wait until it is ready, and look at the data: t means that it has not opened yet.",
      commands: [waitReady(restored), inPostgres(restored, 'psql -XAtc "select pg_is_in_recovery(), now()"')],
    },
    ...(isOurs(place) && hasArchive
      ? [
          {
            text: "Its first full backup begins by itself, within minutes. Repeat this until nothing needs attention.",
            isRepeated: true,
            commands: [verb(restored, "status")],
          },
          { text: "Read everything once that was stored of it.", commands: [verb(restored, "verify")] },
        ]
      : []),
  ];
}

function lead(place: ClusterPlace, more = ""): RunbookStep {
  return { text: `Lead the applications to ${restoredPlace(place).cluster}-rw.${place.namespace}.svc.${more}`, commands: [] };
}

/** Nobody must write to it by mistake, and it can still be looked at. */
function farewell({ cluster, namespace }: ClusterPlace): RunbookStep {
  return {
    text: "If the old cluster still runs, put it to sleep. Take it out of the program once the new one is trusted.",
    isOptional: true,
    commands: [`kubectl annotate -n ${namespace} cluster ${cluster} --overwrite cnpg.io/hibernation=on`],
  };
}

/** `like` has no engine; the runtime is the default. */
function engineText({ engine }: ClusterPlace): string {
  return engine === DEFAULTS.engine ? "" : `engine: "${engine}", `;
}

/** `orders-db` is no name of a variable. */
function variable(name: string): string {
  return name.replace(/[^A-Za-z0-9_$]+(.)?/g, (_whole, next: string | undefined) => (next ?? "").toUpperCase());
}
