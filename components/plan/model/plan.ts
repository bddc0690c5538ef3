/**
 * Complete plans of databases: every default filled in, nothing secret. Rules check them, topologies show them, render/
 * writes them.
 */
import type { ConfOptions } from "./confOptions";
import type { HostDefaults } from "./hostDefaults";
import type { RunTime, Schedule } from "../schedule/schedule";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import type { SnapshotPlan } from "../cluster/snapshotPlan";

export interface Objectives {
  /** Largest acceptable loss of commits. */
  readonly rpoSeconds: number | undefined;
  /** For the newest state. */
  readonly rtoMinutes: number | undefined;
  /** For a point in time; undefined if the other one counts for both. */
  readonly pitrRtoMinutes?: number | undefined;
  /** Any point in time of this many past days must be restorable, from every repository with a retention. */
  readonly pitrDays: number | undefined;
  /** Size of one repository, in 10⁹ bytes, above which an alert fires; undefined uses an estimate. */
  readonly maxRepositoryGB: number | undefined;
}

export interface DrillPlan {
  readonly name: string;
  readonly cron: string;
  readonly timeZone: string;
  /** `repo2`; undefined for several in turn. */
  readonly from: string | undefined;
  /** Repositories in turn; default: all. */
  readonly repositories?: readonly string[];
  /** How a backup is chosen; default: each kind in turn. */
  readonly pick?: string;
  /** `open` or `restore`; default: restore. */
  readonly how?: string;
  /** How much is checked; default: everything. */
  readonly level?: string;
  readonly maxMinutes: number | undefined;
  readonly maxGiB?: number;
  /** On a host: the directory to restore below; default: next to the data directory. */
  readonly path?: string;
  /** On a host: true if it loads the newest logical dump too. */
  readonly dump?: boolean;
  /** True if a FireDrill makes it on another machine. */
  readonly elsewhere?: boolean;
}

export interface DrillStatement {
  readonly database?: string;
  readonly sql: string;
}

/** Checks of every drill of a database. */
export interface DrillChecksPlan {
  readonly heartbeat: DrillStatement | undefined;
  readonly assertions: readonly (DrillStatement & { readonly name: string })[];
  /** Undefined: derived from the schedules. */
  readonly backupAgeHours: number | undefined;
}

/** Expected amounts, from which costs are estimated. */
export interface Sizing {
  readonly databaseGiB: number;
  readonly walGiBPerDay: number;
  /** Data that change in a day. */
  readonly changedGiBPerDay: number;
  /** Stored size divided by original size. */
  readonly compressedTo: number;
}

/** How a unit gives way to PostgreSQL. */
export interface PriorityPlan {
  readonly cpuNice: number;
  readonly ioClass: string;
  /** Absent: systemd's. */
  readonly ioLevel?: number;
}

export interface AcknowledgePlan {
  readonly mode: string;
  readonly repositories: readonly string[];
  readonly repoIndexes: readonly number[];
}

export interface SynchronousPlan extends AcknowledgePlan {
  readonly degradeAfterSeconds?: number;
  readonly groupMilliseconds?: number;
  /** Clusters: how many standbys must hold a commit too. */
  readonly standbys?: number;
}

/** Common to hosts and clusters. */
export interface DatabasePlan {
  readonly kind: "host" | "cnpg";
  readonly name: string;
  readonly stanza: string;
  readonly engine: string;
  readonly engineVersion: string | undefined;
  /** Ascending by key. */
  readonly repositories: readonly RepositoryPlan[];
  readonly schedules: readonly Schedule[];
  readonly acknowledge: AcknowledgePlan;
  /** PostgreSQL's `archive_timeout`; undefined if not managed. */
  readonly archiveTimeoutSeconds: number | undefined;
  /** Interval of streaming an incomplete segment; undefined ships complete segments only. */
  readonly streamIntervalSeconds?: number;
  /** Repositories that commits wait for; undefined none. */
  readonly synchronous?: SynchronousPlan;
  readonly objectives: Objectives;
  readonly drills: readonly DrillPlan[];
  readonly drillChecks: DrillChecksPlan;
  readonly dumps: DumpPlan | undefined;
  readonly sizing: Sizing | undefined;
  /** Schedules and retention that the program omitted; absent if it has its own. */
  readonly chosen?: string;
  readonly silence: Readonly<Record<string, string>>;
  readonly acknowledgeWeaker: Readonly<Record<string, string>>;
  /** Options of pgBackRest that the user passes on. */
  readonly options: ConfOptions;
}

export interface Directories {
  readonly config: string;
  readonly lib: string;
  readonly units: string;
  readonly bin: string;
  /** For the textfile collector of Prometheus' node exporter. */
  readonly metrics: string;
  readonly lock: string;
  readonly spool: string;
  readonly log: string;
}

/** Tasks on a host between backups. */
export interface TaskPlan extends RunTime {
  readonly name: "expire" | "verify" | "heal" | "metrics" | "stale";
  /** Share of the repositories' data that a verification reads; undefined reads all. */
  readonly samplePercent?: number | undefined;
}

/** Logical dumps. */
export interface DumpPlan extends RunTime {
  /** Undefined dumps all that allow connections. */
  readonly databases: readonly string[] | undefined;
  readonly repositories: readonly string[];
  readonly keepDays: number | undefined;
  readonly keepCount: number | undefined;
}

/** The container of PostgreSQL: its `name`, or `compose` and `service`. */
export interface ContainerPlan {
  readonly name?: string;
  readonly compose?: string;
  readonly service?: string;
  readonly engine: string;
}

export interface HostPlan extends DatabasePlan, HostDefaults {
  readonly kind: "host";
  /** In the container if there is one. */
  readonly dataDirectory: string;
  /** Undefined if PostgreSQL runs on the host itself. */
  readonly container: ContainerPlan | undefined;
  readonly socketDirectory: string | undefined;
  readonly databaseUser: string | undefined;
  /** Kinds of `connection` that were given; exactly one is valid. */
  readonly connections: readonly string[];
  readonly directories: Directories;
  /**
   * True if systemd passes the secrets to units and PostgreSQL's account can read none of them; an agent then serves
   * PostgreSQL through a socket, except on a `drillsOnly` host. False if everything runs as that account, with the
   * secrets in its own files.
   */
  readonly agent: boolean;
  readonly backupPriority: PriorityPlan;
  readonly maintenance: readonly TaskPlan[];
  /** True if failures are reported to anyone. */
  readonly notifies: boolean;
  /** Further events to report, and their units; no units means all. */
  readonly notices: readonly { readonly events: readonly string[]; readonly units: readonly string[] }[];
  /** Address of the agent's metrics: `127.0.0.1:9854`. */
  readonly metricsListen: string | undefined;
  /** There too: the page about the backups, behind a password. */
  readonly servesReport: boolean;
  /** Metrics are sent by OTLP. */
  readonly sendsMetrics: boolean;
  /** File that says where they are sent and is already on the host. */
  readonly otlpFile: string | undefined;
  /** File with the targets of notifications that is already on the host. */
  readonly notifyFile: string | undefined;
  /** Directory of all secrets, by credential name, if something else puts them there (NixOS). */
  readonly credentialsDirectory?: string;
  readonly nodePath: string;
  /** Undefined if no PostgreSQL version was declared. */
  readonly postgres: { readonly version: number; readonly install: boolean } | undefined;
  readonly firstBackup: boolean;
  /** File system snapshots next to the backups: `zfs`. */
  readonly snapshots: readonly string[];
}

export type StaleCheckPlan = Pick<RunTime, "cron" | "timeZone">;

export interface ClusterDatabasePlan extends DatabasePlan {
  readonly kind: "cnpg";
  readonly namespace: string;
  readonly cluster: string;
  readonly instances: number;
  readonly postgresVersion: number | undefined;
  readonly storageGiB: number | undefined;
  readonly operatorVersion: string | undefined;
  readonly backupTarget: string;
  readonly serviceNames: readonly string[];
  /** True for a restored cluster that archives nowhere: no rule about backups applies. */
  readonly withoutBackups?: boolean;
  /** True for a replica cluster: its primary is a standby, whose WAL is not streamed. */
  readonly isReplica?: boolean;
  /** Snapshots of its volumes; undefined if none are taken. */
  readonly volumeSnapshots?: SnapshotPlan;
  /** When its repositories are checked for old backups; undefined never. */
  readonly staleCheck?: StaleCheckPlan;
  /** True if Jobs report to anyone. */
  readonly notifies?: boolean;
}
