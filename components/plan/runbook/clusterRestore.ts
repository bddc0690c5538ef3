/** How to make a new cluster from backups. A cluster is never restored in place. Pure. */
import { DEFAULTS } from "../model/defaults";
import type { RunbookScenario, RunbookStep } from "./runbookDocument";
import type { RepositoryNode } from "../topology/topology";
import { type ClusterTarget, inPostgres, isOurs, look, restoredTarget, verb, waitReady } from "./clusterTarget";
import { attacked } from "./attacked";
import { repositoryText } from "./order";

export function latest(target: ClusterTarget, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "latest",
    title: "A new cluster from the newest state",
    when: `The cluster is lost, its namespace is not. Restores from ${repositories.map(repositoryText).join(", then ")}.`,
    steps: [...made(target, ""), lead(target), farewell(target)],
  };
}

export function pointInTime(target: ClusterTarget, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "time",
    title: "A new cluster from a point in time",
    when: `Data are wrong, and everything after the chosen time may be lost. Choose the time just before the first wrong transaction, in UTC. Restores from ${repositories.map(({ name }) => name).join(", then ")}.`,
    steps: [
      look(target),
      ...seek(target, ""),
      STOP_WRITING,
      ...made(target, ', target: { time: "<TIME>" }'),
      lead(target),
      farewell(target),
    ],
  };
}

export function fromRepository(target: ClusterTarget, repository: RepositoryNode): RunbookScenario {
  return {
    id: `repository-${repository.key}`,
    title: `A new cluster from ${repository.name}`,
    when: `The repositories before it are unreadable or not trusted. ${repositoryText(repository)} alone is enough.`,
    steps: [...made(target, `, from: ["${repository.name}"]`), lead(target), farewell(target)],
  };
}

/** A bucket as it was before somebody overwrote or deleted backups in it. */
export function fromPast(target: ClusterTarget, repository: RepositoryNode): RunbookScenario {
  const [create, ...others] = made(target, `, from: ["${repository.name}"], repositoryTargetTime: "<BEFORE>"`);
  return attacked(repository, (args) => verb(target, args), [
    ...(create === undefined
      ? []
      : [{ ...create, text: `If the database is lost or not trusted either. ${create.text}`, isOptional: true }]),
    ...others.map((step) => ({ ...step, isOptional: true })),
  ]);
}

export function snapshot(target: ClusterTarget, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "snapshot",
    title: "A new cluster from a snapshot of the volumes",
    when:
      repositories.length === 0
        ? "There is no archive: only the state of a snapshot can be restored, and nothing after it."
        : "Copying from a repository would take too long, and the storage of the cluster is well. WAL after the snapshot comes from the repositories.",
    steps: [
      {
        text: "Choose the snapshot.",
        commands: [`kubectl get -n ${target.namespace} volumesnapshot -l cnpg.io/cluster=${target.cluster}`],
      },
      ...made(target, ', snapshot: { storage: "<SNAPSHOT>" }', repositories.length > 0),
      lead(target),
      farewell(target),
    ],
  };
}

/** The old cluster stays in use; only a table comes from the new one. */
export function table(target: ClusterTarget): RunbookScenario {
  const restored = restoredTarget(target);
  const psql = (args: string): string => `psql -X -v ON_ERROR_STOP=1 -d "<DATABASE>" ${args}`;
  const compare = psql('-Atc "select count(*), sum(hashtextextended(t::text, 0)) from recovered.<TABLE> t"');
  return {
    id: "table",
    title: "Restore a table or its rows",
    when: "A table was dropped, or rows of it were deleted or changed, and everything else written since must stay. Production continues meanwhile.",
    steps: [
      look(target),
      ...seek(target, ' --database="<DATABASE>" --table="<SCHEMA>.<TABLE>"'),
      ...made(target, ', target: { time: "<TIME>" }'),
      {
        text: "In the new cluster, move the table into a separate schema: indexes, constraints and sequences move with it.",
        commands: [
          inPostgres(
            restored,
            psql(`-c "create schema recovered" -c "alter table <SCHEMA>.<TABLE> set schema recovered"`),
          ),
        ],
      },
      {
        text: "Copy the schema through a file, so that an incomplete copy is never used. It does not touch production's own tables.",
        commands: [
          `${inPostgres(restored, 'pg_dump -d "<DATABASE>" -n recovered')} > recovered.sql`,
          `${inPostgres(target, psql("-q --single-transaction"), "-i ")} < recovered.sql`,
        ],
      },
      {
        text: "Compare: the same two numbers on both sides.",
        commands: [inPostgres(restored, compare), inPostgres(target, compare)],
      },
      {
        text: "If production has lost the table, move it into its schema.",
        isOptional: true,
        commands: [inPostgres(target, psql('-c "alter table recovered.<TABLE> set schema <SCHEMA>"'))],
      },
      {
        text: "If the table exists and lacks rows, add them. Compare changed rows yourself, by their key.",
        isOptional: true,
        commands: [
          inPostgres(
            target,
            psql(
              '-c "insert into <SCHEMA>.<TABLE> overriding system value select * from recovered.<TABLE> on conflict do nothing"',
            ),
          ),
        ],
      },
      {
        text: `Clean up: the schema in production, then CnpgRestore ${restored.cluster} in the program (it is protected: the first command allows it).`,
        isOptional: true,
        commands: [
          inPostgres(target, psql('-c "drop schema recovered cascade"')),
          "pulumi state unprotect <URN>",
          "pulumi up",
        ],
      },
    ],
  };
}

/** Everything of the old cluster is lost: Secrets, configuration, perhaps Kubernetes. */
export function namespaceLost(target: ClusterTarget, repositories: readonly RepositoryNode[]): RunbookScenario {
  const { cluster, isAttached, namespace, stanza } = target;
  const old = isAttached ? `new CnpgBackup("${cluster}", …)` : `new CnpgCluster("${cluster}", …)`;
  const args = `${variable(cluster)}Args`;
  return {
    id: "namespace-lost",
    title: "The namespace, or all of Kubernetes, is lost",
    when: `Cluster, volumes, Secrets and configuration are gone. You need what is stored elsewhere: the program, the state of the stack with its keys, and ${repositories.map(repositoryText).join(" or ")}.`,
    steps: [
      {
        text: "Only if Kubernetes itself is new: point the stack to it (kubectl config use-context, pulumi config set kubernetes:context), and install CloudNativePG's operator.",
        isOptional: true,
        commands: ["kubectl get deployment -A -l app.kubernetes.io/name=cloudnative-pg"],
      },
      {
        text: "Create the namespace again, if the stack does not.",
        commands: [`kubectl create namespace ${namespace}`],
      },
      { text: "The state of the stack still lists the lost resources: refresh it.", commands: ["pulumi refresh"] },
      {
        text:
          `In the program, replace ${old} by this: otherwise ${isAttached ? "the update would look for a cluster that is gone" : "the update would create an empty cluster"}. ${args} are its ` +
          `arguments${isAttached ? ", without clusterName and with storageGiB, image, libraries and parameters of the old manifest" : ""}, ` +
          `kept in a constant. ${OTHER(cluster)}` +
          (repositories.length > 1
            ? ` If one of the repositories is lost too, name the others in source: from: ["${repositories[1]?.name}"].`
            : ""),
        language: "ts",
        commands: [
          `new CnpgRestore("${cluster}-restored", {`,
          `  ...${args},`,
          "  repositories: { repo1: { at: other.target, keepDays: 14 } },",
          `  source: { ${engineText(target)}stanza: "${stanza}", repositories: ${args}.repositories },`,
          "});",
        ],
      },
      ...awaited(target, true),
      lead(
        target,
        " The passwords are new, because backups do not contain CloudNativePG's Secrets. Restart the applications that used the old ones.",
      ),
    ],
  };
}

/** Only our own sidecar can read the archive. */
function seek(target: ClusterTarget, args: string): RunbookStep[] {
  if (!isOurs(target)) return [];
  return [
    {
      text:
        "If nobody knows the time: the first command archives pending WAL, the second lists the destructive transactions of the last hour (--from and --to for " +
        'another span), with the target just before each. Its target: { … } can replace target: { time: "<TIME>" }.',
      isOptional: true,
      commands: [verb(target, "check"), verb(target, `find${args}`)],
    },
  ];
}

const STOP_WRITING: RunbookStep = {
  text: "Stop all writers: the new cluster will lack every transaction after the chosen time.",
  commands: [],
};

/** From the program to a new cluster with backups. */
function made(target: ClusterTarget, source: string, hasArchive = true): RunbookStep[] {
  const { cluster, fullCron, isAttached, namespace, stanza } = target;
  const old = variable(cluster);
  const plugin = isOurs(target) ? "plugin: plugin.ref, " : "";
  const schedules = fullCron === undefined ? [] : [`  schedules: { full: { cron: "${fullCron}" } },`];
  const [like, from] = isAttached
    ? ["storageGiB: <GIB>,", `stanza: "${stanza}", repositories: ${old}Repositories`]
    : [`${engineText(target)}...${old}.like,`, `...${old}.source`];
  return [
    {
      text:
        `In the program, create a new cluster from the backups of ${cluster}, which stays declared. ${OTHER(cluster)} ` +
        `${isOurs(target) ? "plugin is the CnpgPlugin of the program. " : ""}${isAttached ? ATTACHED(old, cluster) : "If the old cluster is gone, do not refresh the stack: the update would create an empty one."}`,
      language: "ts",
      commands: [
        `new CnpgRestore("${cluster}-restored", {`,
        `  namespace: "${namespace}", ${plugin}${isAttached ? engineText(target) : ""}${like}`,
        `  source: { ${from}${source} },`,
        hasArchive ? "  repositories: { repo1: { at: other.target, keepDays: 14 } }," : "  repositories: {},",
        ...schedules,
        "});",
      ],
    },
    ...awaited(target, hasArchive),
  ];
}

/** It must not write to the repository that it reads. */
const OTHER = (cluster: string): string =>
  `It writes its own backups elsewhere: other is a second declaration of an existing repository, under another name, with path: "/${cluster}-restored".`;

const ATTACHED = (old: string, cluster: string): string =>
  `${old}Repositories are those of CnpgBackup ${cluster}, kept in a constant. The new cluster needs the image, the libraries and the parameters of the old one ` +
  "(image or postgresVersion, sharedPreloadLibraries, parameters), as its manifest has them.";

function awaited(target: ClusterTarget, hasArchive: boolean): RunbookStep[] {
  const restored = restoredTarget(target);
  return [
    { text: "The preview names the locations of backups and refuses impossible settings.", commands: ["pulumi up"] },
    {
      text: "Wait until it is ready, and look at the data: t means that it has not opened yet.",
      commands: [waitReady(restored), inPostgres(restored, 'psql -XAtc "select pg_is_in_recovery(), now()"')],
    },
    ...(isOurs(target) && hasArchive
      ? [
          {
            text: "Its first full backup starts automatically within minutes. Repeat this until nothing needs attention.",
            isRepeated: true,
            commands: [verb(restored, "status")],
          },
          { text: "Verify everything that was stored.", commands: [verb(restored, "verify")] },
        ]
      : []),
  ];
}

function lead(target: ClusterTarget, more = ""): RunbookStep {
  return {
    text: `Point the applications to ${restoredTarget(target).cluster}-rw.${target.namespace}.svc.${more}`,
    commands: [],
  };
}

/** Hibernation prevents accidental writes and keeps the data. */
function farewell({ cluster, namespace }: ClusterTarget): RunbookStep {
  return {
    text: "If the old cluster still runs, hibernate it. Remove it from the program once you trust the new one.",
    isOptional: true,
    commands: [`kubectl annotate -n ${namespace} cluster ${cluster} --overwrite cnpg.io/hibernation=on`],
  };
}

/** `like` has no engine; the default is the runtime. */
function engineText({ engine }: ClusterTarget): string {
  return engine === DEFAULTS.engine ? "" : `engine: "${engine}", `;
}

/** `orders-db` is not a valid variable name. */
function variable(name: string): string {
  return name.replace(/[^A-Za-z0-9_$]+(.)?/g, (_whole, next: string | undefined) => (next ?? "").toUpperCase());
}
