/**
 * The topology of copies: which database goes to which repositories, when, and how long it stays there. Plain data without a secret: a
 * component carries it as an input of itself (previews show it) and as the output `topology` (its JSON text, for comparisons).
 */
import type { HostPlan, RepositoryPlan } from "./resolve";
import type { Schedule } from "./schedule";

export interface DatabaseNode {
  readonly name: string;
  readonly kind: "host";
  readonly engine: string;
  readonly stanza: string;
  readonly reachedBy: "local";
  readonly dataDirectory: string;
}

export interface RepositoryNode {
  readonly key: number;
  readonly name: string;
  readonly kind: "posix" | "s3";
  /** Directory, or `s3://bucket/prefix`. */
  readonly location: string;
  /** What fails together: `filesystem`, or the host name of the object store. */
  readonly provider: string;
  readonly encrypted: boolean;
  readonly compressType: string;
  readonly compressLevel: number;
  readonly keepFullCount?: number;
  readonly keepDays?: number;
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

export interface Topology {
  readonly version: 1;
  readonly databases: readonly DatabaseNode[];
  /** Ascending by key. */
  readonly repositories: readonly RepositoryNode[];
  readonly flows: readonly Flow[];
  readonly schedules: readonly Schedule[];
}

/** The topology of one host. Pure. */
export function topologyOf(plan: HostPlan): Topology {
  const toRepoKeys = plan.repositories.map((repository) => repository.key);
  const { mode, repoKeys } = plan.acknowledge;
  const acknowledge = mode === "named" ? repoKeys.map((key) => `repo${key}`).join(",") : mode;
  return {
    version: 1,
    databases: [{ name: plan.name, kind: "host", engine: plan.engine, stanza: plan.stanza, reachedBy: "local", dataDirectory: plan.dataDirectory }],
    repositories: plan.repositories.map(repositoryNode),
    flows: [
      { kind: "wal", from: plan.name, toRepoKeys, acknowledge },
      ...plan.schedules.map((schedule): Flow => ({ kind: "backup", from: plan.name, toRepoKeys: schedule.repoKeys, schedule: schedule.name })),
    ],
    schedules: plan.schedules,
  };
}

/** The JSON text of a topology: keys in a fixed order, so that equal topologies are equal texts. */
export function renderTopology(topology: Topology): string {
  return JSON.stringify(topology, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value,
  );
}

function repositoryNode(repository: RepositoryPlan): RepositoryNode {
  return {
    key: repository.key,
    name: repository.name,
    kind: repository.kind,
    location: locationOf(repository),
    provider: repository.s3 === undefined ? "filesystem" : repository.s3.endpoint,
    encrypted: repository.encrypted,
    compressType: repository.compressType,
    compressLevel: repository.compressLevel,
    ...(repository.keepFullCount === undefined ? {} : { keepFullCount: repository.keepFullCount }),
    ...(repository.keepDays === undefined ? {} : { keepDays: repository.keepDays }),
  };
}

/** `/mnt/nas/pgbackrest` or `s3://bucket/prefix`. */
export function locationOf(repository: RepositoryPlan): string {
  return repository.s3 === undefined ? repository.path : `s3://${repository.s3.bucket}${repository.path}`;
}
