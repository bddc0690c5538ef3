/** Complete plans of databases: every default filled in, nothing secret. What rules judge, topologies show and render/ writes. */
import type { HostDefaults } from "./hostDefaults";
import type { RunTime, Schedule } from "../schedule/schedule";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import type { SnapshotPlan } from "../cluster/snapshotPlan";

export interface Objectives {
  /** Commits of at most so many seconds may be lost. */
  readonly rpoSeconds: number | undefined;
  readonly rtoMinutes: number | undefined;
  /** Days back to which any moment must be restorable, in every repository that has a retention. */
  readonly pitrDays: number | undefined;
  /** So many times 10⁹ bytes one repository may take before somebody looks; undefined leaves it to an estimate. */
  readonly maxRepositoryGB: number | undefined;
}

export interface DrillPlan {
  readonly name: string;
  readonly cron: string;
  readonly timeZone: string;
  /** `repo2`; undefined where several come in their turn. */
  readonly from: string | undefined;
  /** Those that come in their turn; left out, all. */
  readonly repositories?: readonly string[];
  /** How a backup is chosen; left out, every way in its turn. */
  readonly pick?: string;
  /** How much is checked; left out, everything. */
  readonly level?: string;
  readonly maxMinutes: number | undefined;
  readonly maxGiB?: number;
  /** Of a host: the directory to restore below; left out, beside the data directory. */
  readonly path?: string;
  /** True where a FireDrill makes it on another machine. */
  readonly elsewhere?: boolean;
}

export interface DrillStatement {
  readonly database?: string;
  readonly sql: string;
}

/** What every drill of a database asks. */
export interface DrillChecksPlan {
  readonly heartbeat: DrillStatement | undefined;
  readonly assertions: readonly (DrillStatement & { readonly name: string })[];
  /** Undefined follows from the schedules. */
  readonly backupAgeHours: number | undefined;
}

/** Expected amounts, from which costs are estimated. */
export interface Sizing {
  readonly databaseGiB: number;
  readonly walGiBPerDay: number;
  /** Data that a day changes. */
  readonly changedGiBPerDay: number;
  /** Stored size divided by original size. */
  readonly compressedTo: number;
}

export interface AcknowledgePlan {
  readonly mode: string;
  readonly repositories: readonly string[];
  readonly repoKeys: readonly number[];
}

/** What every database has, wherever it runs. */
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
  /** PostgreSQL's `archive_timeout`; undefined where it is not managed. */
  readonly archiveTimeoutSeconds: number | undefined;
  /** Seconds between two ships of a segment that is not full; left out where only whole segments are shipped. */
  readonly streamIntervalSeconds?: number;
  readonly objectives: Objectives;
  readonly drills: readonly DrillPlan[];
  readonly drillChecks: DrillChecksPlan;
  readonly sizing: Sizing | undefined;
  readonly silence: Readonly<Record<string, string>>;
  readonly acknowledgeWeaker: Readonly<Record<string, string>>;
}

export interface Directories {
  readonly config: string;
  readonly lib: string;
  readonly units: string;
  /** Of the command `pgbackstop`. */
  readonly bin: string;
  /** Of the textfile collector of Prometheus' node exporter. */
  readonly metrics: string;
  readonly lock: string;
  readonly spool: string;
  readonly log: string;
}

/** What runs on a host between backups. */
export interface TaskPlan extends RunTime {
  readonly name: "expire" | "verify" | "heal" | "metrics";
  /** Of a verification: how much of the repositories' data is read; undefined is all of it. */
  readonly samplePercent?: number | undefined;
}

export interface HostPlan extends DatabasePlan, HostDefaults {
  readonly kind: "host";
  readonly dataDirectory: string;
  readonly socketDirectory: string | undefined;
  readonly databaseUser: string | undefined;
  /** Names of the connection alternatives that were given; exactly one is right. */
  readonly connections: readonly string[];
  readonly directories: Directories;
  /**
   * True where systemd hands the secrets to units and PostgreSQL's account can read none of them; unless the host is `drillsOnly`, an agent then
   * serves PostgreSQL through a socket. False where everything runs as that account, with the secrets in files of its own.
   */
  readonly agent: boolean;
  readonly maintenance: readonly TaskPlan[];
  /** True where somebody is told of what fails. */
  readonly notifies: boolean;
  /** What else is told, and of which units; no units are all. */
  readonly notices: readonly { readonly events: readonly string[]; readonly units: readonly string[] }[];
  /** Where the agent serves metrics: `127.0.0.1:9854`. */
  readonly metricsListen: string | undefined;
  /** File of whom to tell that is on the host already. */
  readonly notifyFile: string | undefined;
  /** Where all secrets lie, by the names of the credentials, where somebody else puts them there (NixOS). */
  readonly credentialsDirectory?: string;
  readonly nodePath: string;
  /** Undefined where nobody said which PostgreSQL shall be there. */
  readonly postgres: { readonly version: number; readonly install: boolean } | undefined;
  readonly firstBackup: boolean;
  /** Kinds of file system snapshots beside the backups: `zfs`. */
  readonly snapshots: readonly string[];
}

export interface ClusterPlan extends DatabasePlan {
  readonly kind: "cnpg";
  readonly namespace: string;
  readonly cluster: string;
  readonly instances: number;
  readonly postgresVersion: number | undefined;
  readonly storageGiB: number | undefined;
  readonly operatorVersion: string | undefined;
  readonly backupTarget: string;
  readonly serviceNames: readonly string[];
  /** Of its volumes; left out where none are taken. */
  readonly volumeSnapshots?: SnapshotPlan;
}
