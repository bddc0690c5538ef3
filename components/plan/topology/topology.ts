/**
 * The topology of copies: which database goes to which repositories, when, how long it stays there, and what that amounts to. Plain data
 * without a secret: a component carries it as an input of itself (previews show it) and as the output `topology` (its JSON text, for
 * comparisons). Consumers ignore fields that they do not know; fields are added, never changed.
 */
import { copiesOf, type Copies } from "../storage/copies";
import { estimateRepository, type CostEstimate } from "../storage/cost";
import { OPERATOR_COMMAND, operatorCommand, secretsDirectory } from "../host/hostCommand";
import { worstCaseRpo } from "../schedule/objectives";
import type { ClusterPlan, DatabasePlan, DrillPlan, HostPlan } from "../model/plan";
import type { BucketFacts } from "../repositories/s3Type";
import { type RepositoryPlan, typeOf } from "../repositories/repositoryTypes";
import type { Schedule } from "../schedule/schedule";
import type { SnapshotPlan } from "../cluster/snapshotPlan";
import { isUnknown } from "../model/unknown";
import { given } from "../model/given";

export interface DatabaseNode {
  readonly name: string;
  readonly kind: "host" | "cnpg";
  readonly engine: string;
  readonly engineVersion?: string;
  readonly stanza: string;
  /** Hosts: how they are reached, and where the data lie. */
  readonly reachedBy?: string;
  readonly dataDirectory?: string;
  /** Hosts: what an operator's command begins with; absent where it is `sudo pgbackstop`. */
  readonly command?: string;
  /** Hosts: the directory of the keys and passphrases that an update brings there. */
  readonly keysIn?: string;
  /** Clusters of CloudNativePG. */
  readonly namespace?: string;
  readonly cluster?: string;
  readonly instances?: number;
  /** Clusters: made by others; the stack has laid its backups over it. */
  readonly attached?: boolean;
  /** Snapshots beside the backups (`zfs`): fast to go back to, but on the same disks and for no moment in between. */
  readonly snapshots?: readonly string[];
  /** Seconds between two ships of WAL whose segment is not full; absent where whole segments are all that is shipped. */
  readonly streamIntervalSeconds?: number;
  /** Clusters: snapshots of their volumes, in the storage of the cluster. Neither `keepDays` nor `keepCount`: all stay. */
  readonly volumeSnapshots?: Partial<SnapshotPlan>;
}

export interface RepositoryNode {
  readonly key: number;
  readonly name: string;
  readonly kind: RepositoryPlan["kind"];
  /** Directory, or `s3://bucket/prefix`. */
  readonly location: string;
  /** Row of the table of S3 providers, or `filesystem`. */
  readonly provider: string;
  /** What fails together. */
  readonly failureDomain: string;
  /** Absent where nobody said and nobody can guess. */
  readonly offSite?: boolean;
  /** Directories: nothing is written while nothing is mounted there. */
  readonly requireMount?: boolean;
  readonly encrypted: boolean;
  /** Files on the host that somebody else brings there, with its secrets. */
  readonly keyFiles?: readonly string[];
  readonly compressType: string;
  readonly compressLevel: number;
  readonly keepFullCount?: number;
  readonly keepDays?: number;
  /** What the bucket does by itself; only what is known. */
  readonly bucket?: Partial<Record<keyof BucketFacts, boolean | number | string>>;
  /** Absent without `sizing`, or without a price. */
  readonly cost?: CostEstimate;
}

/** What travels: each WAL segment as it is complete, each backup by its schedule; from one database to all of `toRepoKeys` in one pass. */
export interface Flow {
  readonly kind: "wal" | "backup";
  readonly from: string;
  readonly toRepoKeys: readonly number[];
  /** Only for WAL: when PostgreSQL is told that a segment is safe. */
  readonly acknowledge?: string;
  /** Only for backups: name of the schedule. */
  readonly schedule?: string;
}

export interface ObjectivesNode {
  readonly rpoSeconds?: number;
  readonly rtoMinutes?: number;
  readonly pitrDays?: number;
  /** Gigabytes, 10⁹ bytes each, that one repository may take before somebody looks. */
  readonly maxRepositoryGB?: number;
  /** Age of the oldest commit that a lost host can cost: archive_timeout (or the interval of streaming), one push and one retry. Absent where nothing limits it. */
  readonly worstCaseRpoSeconds?: number;
}

/** What every drill asks, by name; the statements are in the program. */
export interface DrillChecksNode {
  readonly heartbeat: boolean;
  readonly assertions: readonly string[];
}

export interface Topology {
  readonly version: 1;
  readonly databases: readonly DatabaseNode[];
  /** Ascending by key. */
  readonly repositories: readonly RepositoryNode[];
  readonly flows: readonly Flow[];
  readonly schedules: readonly Schedule[];
  readonly objectives: ObjectivesNode;
  readonly drills: readonly DrillPlan[];
  /** Absent where drills ask nothing of the user's. */
  readonly drillChecks?: DrillChecksNode;
  /** 3-2-1 as it is. */
  readonly copies: Copies;
  /** Findings that the user lives with: code and reason. */
  readonly silenced: readonly { readonly code: string; readonly reason: string }[];
  /** Changes to something weaker that this topology is meant to bring; each counts for one comparison, the one that brings it. */
  readonly acknowledged?: readonly { readonly change: string; readonly reason: string }[];
}

/** The topology of one database. Pure. @param isAttached to a Cluster that others made */
export function topologyOf(plan: HostPlan | ClusterPlan, isAttached = false): Topology {
  const toRepoKeys = plan.repositories.map((repository) => repository.key);
  const { mode, repoKeys } = plan.acknowledge;
  const acknowledge = mode === "named" ? repoKeys.map((key) => `repo${key}`).join(",") : mode;
  const worst = worstCaseRpo(plan);
  const acknowledged = Object.entries(plan.acknowledgeWeaker).map(([change, reason]) => ({ change, reason }));
  return {
    version: 1,
    databases: [{ ...databaseNode(plan), ...(isAttached ? { attached: true } : {}) }],
    repositories: plan.repositories.map((repository) => repositoryNode(repository, plan)),
    flows: [
      { kind: "wal", from: plan.name, toRepoKeys, acknowledge },
      ...plan.schedules.map((schedule): Flow => ({ kind: "backup", from: plan.name, toRepoKeys: schedule.repoKeys, schedule: schedule.name })),
    ],
    schedules: plan.schedules,
    objectives: given({ ...plan.objectives, worstCaseRpoSeconds: worst?.totalSeconds }),
    drills: plan.drills,
    ...drillChecksNode(plan),
    copies: copiesOf(plan),
    silenced: Object.entries(plan.silence).map(([code, reason]) => ({ code, reason })),
    ...(acknowledged.length === 0 ? {} : { acknowledged }),
  };
}

function drillChecksNode({ drillChecks: { assertions, heartbeat } }: DatabasePlan): Pick<Topology, "drillChecks"> {
  if (heartbeat === undefined && assertions.length === 0) return {};
  return { drillChecks: { heartbeat: heartbeat !== undefined, assertions: assertions.map(({ name }) => name) } };
}

/** The JSON text of a topology: keys in a fixed order, so that equal topologies are equal texts. */
export function renderTopology(topology: Topology): string {
  return JSON.stringify(topology, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value,
  );
}

function databaseNode(plan: HostPlan | ClusterPlan): DatabaseNode {
  const common = { name: plan.name, kind: plan.kind, engine: plan.engine, ...given({ engineVersion: plan.engineVersion }), stanza: plan.stanza };
  if (plan.kind === "cnpg") {
    const { cluster, instances, namespace, volumeSnapshots } = plan;
    return { ...common, namespace, cluster, instances, ...(volumeSnapshots === undefined ? {} : { volumeSnapshots: given(volumeSnapshots) }) };
  }
  const command = operatorCommand(plan);
  return {
    ...common,
    reachedBy: plan.connections[0] ?? "nothing",
    dataDirectory: plan.dataDirectory,
    ...given({ streamIntervalSeconds: plan.streamIntervalSeconds }),
    ...(command === OPERATOR_COMMAND ? {} : { command }),
    ...(plan.repositories.some(({ writesSecrets }) => writesSecrets) ? { keysIn: secretsDirectory(plan) } : {}),
    ...(plan.snapshots.length === 0 ? {} : { snapshots: plan.snapshots }),
  };
}

function repositoryNode(repository: RepositoryPlan, plan: DatabasePlan): RepositoryNode {
  const { place } = repository;
  const facts = given(repository.s3?.facts ?? {});
  const cost = estimateRepository(repository, plan);
  return {
    key: repository.key,
    name: repository.name,
    kind: repository.kind,
    location: typeOf(repository).location(repository),
    provider: place.provider,
    failureDomain: place.failureDomain,
    ...given({ offSite: place.offSite }),
    ...(repository.kind === "posix" ? { requireMount: repository.requireMount } : {}),
    encrypted: repository.encrypted,
    ...(repository.secretFiles === undefined ? {} : { keyFiles: Object.values(repository.secretFiles) }),
    compressType: repository.compressType,
    compressLevel: repository.compressLevel,
    ...given({ keepFullCount: repository.keepFullCount, keepDays: repository.keepDays }),
    ...(Object.keys(facts).length === 0 ? {} : { bucket: facts }),
    ...(cost === null ? {} : { cost }),
  };
}

/** True when any leaf of the topology is not known yet. */
export function hasUnknown(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasUnknown);
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return isUnknown(value);
}
