/**
 * The topology: which database goes to which repositories, when, how long backups are kept, and what that amounts to.
 * Plain data without secrets. A component has it as an input (previews show it) and as the output `topology` (its JSON
 * text, for comparisons). Consumers ignore unknown fields; fields are added, never changed.
 */
import { copiesOf, type Copies } from "../storage/copies";
import { estimateRepository, type CostEstimate } from "../storage/cost";
import { containerName, OPERATOR_COMMAND, operatorCommand, secretsDirectory } from "../host/hostCommand";
import { worstCaseRpo } from "../schedule/objectives";
import type { ClusterDatabasePlan, DatabasePlan, DrillPlan, DumpPlan, HostPlan, TaskPlan } from "../model/plan";
import type { BucketFacts } from "../repositories/s3Type";
import { factsOf, type RepositoryPlan, typeOf } from "../repositories/repositoryTypes";
import type { Schedule } from "../schedule/schedule";
import type { SnapshotPlan } from "../cluster/snapshotPlan";
import { fields, givenFields, items, merged, readers, readOr } from "../model/deferred";
import { slotOf } from "../model/hostDefaults";
import { isUnknown } from "../model/unknown";
import { given } from "../../../runtime/base/given";
import { sortedJson } from "../model/anyValue";
import { type ConfOptions, isSecretOption, nameOf } from "../model/confOptions";
import { engineOf } from "../engines/engines";

export interface SynchronousNode {
  readonly mode: string;
  readonly repositories?: readonly string[];
  /** Absent if they wait for as long as it takes. */
  readonly degradeAfterSeconds?: number;
  /** Clusters: how many standbys must hold a commit too. */
  readonly standbys?: number;
}

/** An option of pgBackRest that the program passes on; never one that is secret. */
export interface OptionNode {
  readonly name: string;
  readonly value: string;
}

/** What runs between backups; absent if it does not. */
export interface TasksNode {
  readonly expire?: TaskNode;
  readonly verify?: TaskNode;
  readonly heal?: TaskNode;
  readonly metrics?: TaskNode;
  readonly stale?: TaskNode;
}

export interface TaskNode {
  readonly cron: string;
  readonly timeZone: string;
  /** Share of the data that a verification reads; absent for all. */
  readonly samplePercent?: number;
}

export interface DatabaseNode {
  readonly name: string;
  readonly kind: "host" | "cnpg";
  readonly engine: string;
  readonly engineVersion?: string;
  readonly stanza: string;
  /** Hosts: connection and data directory. */
  readonly reachedBy?: string;
  readonly dataDirectory?: string;
  /** Hosts: container of PostgreSQL, as `shop-db` or `database of /srv/shop/compose.yaml`; absent without one. */
  readonly container?: string;
  /** Hosts: start of an operator's command; absent for `sudo pgbackstop`. */
  readonly command?: string;
  /** Hosts: directory where an update writes keys and passphrases. */
  readonly keysIn?: string;
  /** Clusters of CloudNativePG. */
  readonly namespace?: string;
  readonly cluster?: string;
  readonly instances?: number;
  /** Clusters: made by others; the stack adds backups only. */
  readonly attached?: boolean;
  /** Snapshots next to the backups (`zfs`): quick to roll back, but on the same disks and only at fixed times. */
  readonly snapshots?: readonly string[];
  /** Interval of streaming an incomplete segment; absent if only complete segments are shipped (replica clusters). */
  readonly streamIntervalSeconds?: number;
  /** Hosts: WAL leaves through a replication slot, of a primary or also of a standby; absent for `archive_command`. */
  readonly archive?: "stream" | "standby";
  /** Commits wait for these repositories; absent if for none. */
  readonly synchronous?: SynchronousNode;
  /** Clusters: volume snapshots in the cluster's storage. Without `keepDays` and `keepCount` all are kept. */
  readonly volumeSnapshots?: Partial<SnapshotPlan>;
  /** Ascending by name; absent without any. */
  readonly options?: readonly OptionNode[];
  /** Hosts: maintenance. Clusters: the stale check. Absent without any. */
  readonly tasks?: TasksNode;
  /** True if failures are reported to somebody; absent otherwise. */
  readonly notifies?: boolean;
}

export interface RepositoryNode {
  readonly key: number;
  readonly name: string;
  readonly kind: RepositoryPlan["kind"];
  /** Directory, `s3://bucket/prefix`, or `azure://account/container/prefix`. */
  readonly location: string;
  /**
   * Server, as `host[:port]`: the same location on another one is another repository. Absent for directories, and at
   * vendors whose bucket names are unique.
   */
  readonly endpoint?: string;
  /** Row of the S3 providers' table, `azure`, `sftp` or `filesystem`. */
  readonly provider: string;
  /** Failure domain. */
  readonly failureDomain: string;
  /** Absent if unknown. */
  readonly offSite?: boolean;
  /** Directories: written only while mounted. */
  readonly requireMount?: boolean;
  readonly encrypted: boolean;
  /** Files with its secrets that something else puts on the host. */
  readonly keyFiles?: readonly string[];
  readonly compressType: string;
  readonly compressLevel: number;
  readonly keepFullCount?: number;
  readonly keepDays?: number;
  /** Differential backups that are kept; absent for all those of kept full backups. */
  readonly keepDiffCount?: number;
  /** Backups that stay by calendar, each only as it was when it ended. */
  readonly keep?: KeepNode;
  /** Ascending by name; absent without any. */
  readonly options?: readonly OptionNode[];
  /** The own protection of the bucket, or of an SFTP server, if known. */
  readonly bucket?: Partial<Record<keyof BucketFacts, boolean | number | string>>;
  /** Absent without `sizing`, or without a price. */
  readonly cost?: CostEstimate;
}

/** How many of the newest days, weeks, months and years with a backup keep one. */
export interface KeepNode {
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
  /** Where days begin. */
  readonly zone: string;
}

/** Each complete WAL segment, or each scheduled backup, from one database to all of `toRepoKeys` in one pass. */
export interface Flow {
  readonly kind: "wal" | "backup";
  readonly from: string;
  readonly toRepoKeys: readonly number[];
  /** WAL only: when PostgreSQL may remove a segment. */
  readonly acknowledge?: string;
  /** Backups only: name of the schedule. */
  readonly schedule?: string;
}

export interface ObjectivesNode {
  readonly rpoSeconds?: number;
  readonly rtoMinutes?: number;
  /** For a point in time, if it differs. */
  readonly pitrRtoMinutes?: number;
  readonly pitrDays?: number;
  /** Size of one repository, in 10⁹ bytes, above which an alert fires. */
  readonly maxRepositoryGB?: number;
  /**
   * Worst-case loss with a lost host: archive_timeout (or the interval of streaming), one push and one retry. Absent if
   * unlimited.
   */
  readonly worstCaseRpoSeconds?: number;
}

/** Names of every drill's checks; the statements are in the program. */
export interface DrillChecksNode {
  readonly heartbeat: boolean;
  readonly assertions: readonly string[];
  /** Absent: it follows from the schedules. */
  readonly backupAgeHours?: number;
}

/** Logical dumps, and how long they stay. */
export interface DumpsNode extends Pick<DumpPlan, "cron" | "timeZone" | "repositories" | "jitterSeconds"> {
  /** Absent: all that the role may dump. */
  readonly databases?: readonly string[];
  readonly keepDays?: number;
  readonly keepCount?: number;
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
  /** Absent without checks of the user's. */
  readonly drillChecks?: DrillChecksNode;
  /** Absent without dumps. */
  readonly dumps?: DumpsNode;
  /** The actual 3-2-1. */
  readonly copies: Copies;
  /** Silenced findings: code and reason. */
  readonly silenced: readonly { readonly code: string; readonly reason: string }[];
  /** Acknowledged changes to something weaker; each entry counts for one comparison only. */
  readonly acknowledged?: readonly { readonly change: string; readonly reason: string }[];
}

/**
 * A field may be deferred (deferred.ts); what decides the topology's form must be known.
 * @param isAttached to a Cluster that others made
 */
export function topologyOf(plan: HostPlan | ClusterDatabasePlan, isAttached = false): Topology {
  const toRepoKeys = plan.repositories.map((repository) => repository.key);
  return merged(
    { version: 1 as const },
    fields<Omit<Topology, "version" | "drillChecks" | "dumps" | "acknowledged">>({
      databases: () => [merged(databaseNode(plan), careOf(plan), isAttached ? { attached: true } : {})],
      repositories: () => items(plan.repositories, (repository) => [repositoryNode(repository, plan)]),
      flows: () => [
        merged(
          { kind: "wal" as const, from: plan.name, toRepoKeys },
          fields({ acknowledge: () => acknowledgeText(plan) }),
        ),
        ...plan.schedules.map(
          (schedule): Flow => ({
            kind: "backup",
            from: plan.name,
            toRepoKeys: schedule.repoKeys,
            schedule: schedule.name,
          }),
        ),
      ],
      schedules: () => plan.schedules.map((schedule) => ({ ...schedule })),
      objectives: () => given({ ...plan.objectives, worstCaseRpoSeconds: worstCaseRpo(plan)?.totalSeconds }),
      drills: () => plan.drills.map((drill) => ({ ...drill })),
      copies: () => copiesOf(plan),
      silenced: () => Object.entries(plan.silence).map(([code, reason]) => ({ code, reason })),
    }),
    givenFields<Partial<Pick<Topology, "drillChecks" | "dumps" | "acknowledged">>>({
      drillChecks: () => drillChecksNode(plan),
      dumps: () => dumpsNode(plan),
      acknowledged: () => acknowledgedOf(plan),
    }),
  );
}

function acknowledgeText({ acknowledge: { mode, repoIndexes } }: DatabasePlan): string {
  return mode === "named" ? repoIndexes.map((key) => `repo${key}`).join(",") : mode;
}

function acknowledgedOf({ acknowledgeWeaker }: DatabasePlan): Topology["acknowledged"] {
  const acknowledged = Object.entries(acknowledgeWeaker).map(([change, reason]) => ({ change, reason }));
  return acknowledged.length === 0 ? undefined : acknowledged;
}

function drillChecksNode({ drillChecks }: DatabasePlan): DrillChecksNode | undefined {
  const { assertions, heartbeat } = drillChecks;
  const hasAge = readOr(() => drillChecks.backupAgeHours !== undefined, true);
  if (heartbeat === undefined && assertions.length === 0 && !hasAge) return undefined;
  return merged(
    { heartbeat: heartbeat !== undefined, assertions: assertions.map(({ name }) => name) },
    givenFields({ backupAgeHours: () => drillChecks.backupAgeHours }),
  );
}

function dumpsNode(plan: DatabasePlan): DumpsNode | undefined {
  if (plan.dumps === undefined) return undefined;
  const { cron, databases, jitterSeconds, keepCount, keepDays, repositories, timeZone } = plan.dumps;
  return { cron, timeZone, jitterSeconds, repositories, ...given({ databases, keepDays, keepCount }) };
}

/** Keys have a fixed order, so equal topologies have equal texts. */
export function renderTopology(topology: Topology): string {
  return sortedJson(topology);
}

function databaseNode(plan: HostPlan | ClusterDatabasePlan): DatabaseNode {
  const common = merged(
    { name: plan.name, kind: plan.kind, engine: plan.engine },
    given({ engineVersion: plan.engineVersion }),
    fields({ stanza: () => plan.stanza }),
  );
  if (plan.kind === "cnpg") {
    const { isReplica, volumeSnapshots } = plan;
    return merged(
      common,
      fields({ ...readers(plan, "namespace", "cluster", "instances") }),
      isReplica === true ? {} : streamsOf(plan),
      volumeSnapshots === undefined ? {} : { volumeSnapshots: given(volumeSnapshots) },
    );
  }
  const command = (): string => operatorCommand(plan);
  return merged(
    merged(common, { reachedBy: plan.connections[0] ?? "nothing" }),
    fields({ dataDirectory: () => plan.dataDirectory }),
    streamsOf(plan),
    givenFields({
      archive: () => slotOf(plan),
      container: () => (plan.container === undefined ? undefined : containerName(plan.container)),
      command: () => (command() === OPERATOR_COMMAND ? undefined : command()),
      keysIn: () => (plan.repositories.some(({ writesSecrets }) => writesSecrets) ? secretsDirectory(plan) : undefined),
      snapshots: () => (plan.snapshots.length === 0 ? undefined : plan.snapshots),
    }),
  );
}

function careOf(plan: HostPlan | ClusterDatabasePlan): Pick<DatabaseNode, "options" | "tasks" | "notifies"> {
  return givenFields({
    options: () => optionNodes(plan.options, (name) => name),
    tasks: () => tasksNode(plan),
    notifies: () => (plan.notifies === true ? true : undefined),
  });
}

/** The rules refuse a secret option, and this never shows one. */
function optionNodes(options: ConfOptions, rowName: (name: string) => string): readonly OptionNode[] | undefined {
  const names = Object.keys(options).filter((name) => !isSecretOption(rowName(nameOf(name))));
  if (names.length === 0) return undefined;
  return names.sort().map((name) => fields({ name: () => name, value: () => options[name] ?? "" }));
}

/** Ascending by name: an index would depend on which tasks are deferred. */
function tasksNode(plan: HostPlan | ClusterDatabasePlan): TasksNode {
  const made = (name: TaskPlan["name"]) => () => taskNode(plan, name);
  return givenFields<Partial<TasksNode>>(
    plan.kind === "cnpg"
      ? { stale: made("stale") }
      : {
          expire: made("expire"),
          verify: made("verify"),
          heal: made("heal"),
          metrics: made("metrics"),
          stale: made("stale"),
        },
  );
}

function taskNode(plan: HostPlan | ClusterDatabasePlan, name: TaskPlan["name"]): TaskNode | undefined {
  const task: Task | undefined =
    plan.kind === "host"
      ? plan.maintenance.find((each) => each.name === name)
      : engineOf(plan.engine).own
        ? plan.staleCheck
        : undefined;
  if (task === undefined) return undefined;
  return merged(
    fields({ ...readers(task, "cron", "timeZone") }),
    givenFields({ samplePercent: () => task.samplePercent }),
  );
}

type Task = Pick<TaskPlan, "cron" | "timeZone" | "samplePercent">;

function streamsOf(plan: DatabasePlan): Pick<DatabaseNode, "streamIntervalSeconds" | "synchronous"> {
  return given({ streamIntervalSeconds: plan.streamIntervalSeconds, synchronous: synchronousOf(plan) });
}

function synchronousOf({ synchronous }: DatabasePlan): SynchronousNode | undefined {
  if (synchronous === undefined) return undefined;
  const { degradeAfterSeconds, mode, repositories, standbys } = synchronous;
  return { mode, ...(mode === "named" ? { repositories } : {}), ...given({ degradeAfterSeconds, standbys }) };
}

function repositoryNode(repository: RepositoryPlan, plan: HostPlan | ClusterDatabasePlan): RepositoryNode {
  const { compressLevel, compressType, encrypted, key, kind, name, requireMount, site } = repository;
  const facts = given({ ...factsOf(repository) });
  return merged(
    merged(
      { key, name, kind },
      fields({
        location: () => typeOf(repository).location(repository),
        ...readers(site, "provider", "failureDomain"),
      }),
      givenFields({ endpoint: () => typeOf(repository).server(repository) ?? undefined }),
    ),
    merged(
      givenFields({ offSite: () => site.offSite }),
      kind === "posix" ? { requireMount } : {},
      { encrypted },
      givenFields({
        keyFiles: () => (repository.secretFiles === undefined ? undefined : Object.values(repository.secretFiles)),
      }),
    ),
    { compressType, compressLevel },
    merged(
      givenFields({
        ...readers(repository, "keepFullCount", "keepDays", "keepDiffCount", "keep"),
        options: () => optionNodes(repository.options, (option) => `repo${key}-${option}`),
      }),
      Object.keys(facts).length === 0 ? {} : { bucket: facts },
      givenFields({ cost: () => estimateRepository(repository, plan) ?? undefined }),
    ),
  );
}

export function hasUnknown(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasUnknown);
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return isUnknown(value);
}
