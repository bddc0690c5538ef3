/**
 * What to do with a cluster of CloudNativePG. A cluster is never restored in place: a new one is made out of the archive, by the program of the
 * stack, and the applications are led to it. Pure.
 */
import type { DatabaseRunbook, RunbookQuestion, RunbookScenario, RunbookStep } from "../runbook";
import type { DatabaseNode, RepositoryNode } from "../topology";
import { lostAnswer, repositoryText } from "./order";

type ClusterRunbook = Pick<DatabaseRunbook, "what" | "decisions" | "scenarios" | "keys">;

/** Of one cluster: what its commands are made of. */
interface Place {
  readonly namespace: string;
  readonly cluster: string;
  /** Only the runtime has a command line in the pods. */
  readonly ours: boolean;
}

/** @param repositories with full backups, in the order in which they are tried */
export function clusterScenarios(database: DatabaseNode, repositories: readonly RepositoryNode[]): ClusterRunbook {
  const place = { namespace: database.namespace ?? "", cluster: database.cluster ?? "", ours: database.engine === "runtime" };
  const others = repositories.slice(1);
  return {
    what: `Cluster ${place.cluster} of CloudNativePG in namespace ${place.namespace}, ${database.instances ?? "?"} instances, stanza ${database.stanza}, engine ${database.engine}`,
    decisions: repositories.length === 0 ? snapshotDecisions() : decisions(repositories),
    scenarios: [
      failover(place),
      ...(repositories.length === 0 ? [] : [latest(place, repositories), moment(place, repositories)]),
      ...(database.engine === "volumeSnapshot" || database.volumeSnapshots !== undefined ? [snapshot(place, repositories)] : []),
      ...others.map((repository) => fromRepository(place, repository)),
      ...repositories.map((repository) => repositoryLost(place, repository, repositories)),
    ],
    keys: repositories.flatMap(({ encrypted, name }) => [
      `${name}: the key of the service is in a Secret of namespace ${place.namespace} and in the configuration of the stack`,
      ...(encrypted
        ? [
            `${name}: the passphrase is in the same Secret and a secret output of the stack. Without it nothing there can be read: keep a copy outside of both`,
          ]
        : []),
    ]),
  };
}

function decisions(repositories: readonly RepositoryNode[]): RunbookQuestion[] {
  const second = repositories[1];
  return [
    FAILOVER,
    {
      question: "Are data there, but wrong (a bad UPDATE, a dropped table, a failed migration)?",
      answers: [{ answer: "yes, and the moment is known: a new cluster, just before it", scenario: "time" }],
    },
    {
      question: "Is the whole cluster lost (volumes, namespace, Kubernetes itself)?",
      answers: [
        { answer: "yes: a new cluster from the newest state", scenario: "latest" },
        ...(second === undefined ? [] : [{ answer: "yes, and the first repository is lost or damaged too", scenario: `repository-${second.key}` }]),
      ],
    },
    { question: "Is it a repository that is lost, while the cluster is well?", answers: repositories.map(lostAnswer) },
  ];
}

const FAILOVER: RunbookQuestion = {
  question: "Is the primary gone, while another instance is well?",
  answers: [{ answer: "yes: the operator promotes it by itself", scenario: "failover" }],
};

/** Without a repository there are snapshots alone. */
function snapshotDecisions(): RunbookQuestion[] {
  return [
    FAILOVER,
    { question: "Are data lost or wrong?", answers: [{ answer: "yes: a new cluster from a snapshot of the volumes", scenario: "snapshot" }] },
  ];
}

function inPod({ cluster, namespace }: Place, words: string): string {
  return `kubectl exec -n ${namespace} ${cluster}-1 -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop ${words}`;
}

function look(place: Place): RunbookStep {
  const { cluster, namespace, ours } = place;
  return {
    text: "See what there is: instances, conditions, backups, and how far each repository can recover.",
    commands: [`kubectl get -n ${namespace} cluster,backup,pod -l cnpg.io/cluster=${cluster}`, ...(ours ? [inPod(place, "status")] : [])],
  };
}

function failover(place: Place): RunbookScenario {
  const { cluster, namespace } = place;
  return {
    id: "failover",
    title: "Another instance takes over",
    when: "The primary's pod or node is gone; a standby is well. The operator promotes it without anybody's help.",
    steps: [
      { text: "Watch it.", commands: [`kubectl get -n ${namespace} cluster ${cluster} -o jsonpath={.status.phase}{.status.currentPrimary}`] },
      look(place),
    ],
  };
}

function restored({ cluster, namespace }: Place, source: string): RunbookStep[] {
  const name = `${cluster}-restored`;
  return [
    {
      text: `In the program, make a new cluster out of the backups of ${cluster}. Its own repositories are places of their own (another prefix will do).`,
      language: "ts",
      commands: [
        `new CnpgRestore("${name}", {`,
        `  namespace: "${namespace}", plugin: plugin.ref, ...${variable(cluster)}.like,`,
        `  source: { ...${variable(cluster)}.source${source} },`,
        "  repositories: { repo1: { at: other.target, keepDays: 14 } },",
        "});",
      ],
    },
    { text: "The preview names the backup's places and refuses what cannot be; then wait for it.", commands: ["pulumi up"] },
    {
      text: "Wait until it is ready, and look at the data.",
      commands: [
        `kubectl wait -n ${namespace} --for=condition=Ready --timeout=60m cluster/${name}`,
        `kubectl exec -n ${namespace} ${name}-1 -c postgres -- psql -Atc "select pg_is_in_recovery(), now()"`,
      ],
    },
    { text: `Lead the applications to ${name}-rw. Put the old cluster to sleep; delete it once the new one is trusted.`, commands: [] },
  ];
}

function latest(place: Place, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "latest",
    title: "A new cluster from the newest state",
    when: `The cluster is lost. Taken from ${repositories.map(repositoryText).join(", then ")}.`,
    steps: restored(place, ""),
  };
}

function moment(place: Place, repositories: readonly RepositoryNode[]): RunbookScenario {
  return {
    id: "time",
    title: "A new cluster from a moment",
    when: `Data are there but wrong. The moment is just before the first wrong transaction, in UTC. Taken from ${repositories.map(({ name }) => name).join(", then ")}.`,
    steps: [look(place), ...restored(place, ', target: { time: "<TIME>" }')],
  };
}

function snapshot(place: Place, repositories: readonly RepositoryNode[]): RunbookScenario {
  const { cluster, namespace } = place;
  return {
    id: "snapshot",
    title: "A new cluster from a snapshot of the volumes",
    when:
      repositories.length === 0
        ? "There is no archive: the state of a snapshot is all that can be had, and nothing after it."
        : "Copying from a repository would take too long, and the storage of the cluster is well. WAL behind the snapshot comes from the repositories.",
    steps: [
      { text: "Choose the snapshot.", commands: [`kubectl get -n ${namespace} volumesnapshot -l cnpg.io/cluster=${cluster}`] },
      ...restored(place, ', snapshot: { storage: "<SNAPSHOT>" }'),
    ],
  };
}

function fromRepository(place: Place, repository: RepositoryNode): RunbookScenario {
  return {
    id: `repository-${repository.key}`,
    title: `A new cluster from ${repository.name}`,
    when: `The repositories before it cannot be read, or are not to be trusted. ${repositoryText(repository)} alone has what is needed.`,
    steps: restored(place, `, from: ["${repository.name}"]`),
  };
}

function repositoryLost(place: Place, repository: RepositoryNode, all: readonly RepositoryNode[]): RunbookScenario {
  const other = all.find(({ key }) => key !== repository.key);
  const { cluster, namespace, ours } = place;
  return {
    id: lostAnswer(repository).scenario,
    title: `${repositoryText(repository)} is lost`,
    when: "The cluster is well; its backups there are not.",
    steps: [
      { text: "Mend the place, or declare another one under the same key in the program.", commands: ["pulumi up"] },
      ...(ours && other !== undefined
        ? [
            {
              text: `Copy backups and WAL from ${other.name}, so that it reaches back as far; then read everything in it once.`,
              commands: [inPod(place, `sync --from-repo=${other.key} --to-repo=${repository.key}`), inPod(place, `verify --repo=${repository.key}`)],
            },
          ]
        : [{ text: "Take a full backup into it.", commands: [`kubectl cnpg backup -n ${namespace} ${cluster}`] }]),
    ],
  };
}

/** `orders-db` is no name of a variable. */
function variable(name: string): string {
  return name.replace(/[^A-Za-z0-9_$]+(.)?/g, (_whole, next: string | undefined) => (next ?? "").toUpperCase());
}
