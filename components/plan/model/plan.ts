/** Complete plans of databases: every default filled in, nothing secret. What rules judge, topologies show and render/ writes. */
import type { RunTime, Schedule } from "../schedule/schedule";
import type { SnapshotPlan } from "../cluster/snapshotPlan";

/** Where copies lie, and what they are lost together with. */
export interface PlacePlan {
  /** Row of the table of S3 providers (`b2`), `filesystem` or `sftp`; a marker of unknown.ts while the endpoint is not known. */
  readonly provider: string;
  /** `Backblaze B2`, `file system`. */
  readonly title: string;
  /** What fails together: an account at a vendor, a server, a file system. */
  readonly failureDomain: string;
  /** True where the loss of the database's site leaves the copies; undefined where nobody said and nobody can guess. */
  readonly offSite: boolean | undefined;
  /** True where somebody else owns the disks: what lies there unencrypted can be read by others. */
  readonly thirdParty: boolean;
}

export interface S3Plan {
  readonly bucket: string;
  readonly endpoint: string;
  readonly region: string;
  readonly port: number;
  readonly uriStyle: string;
  readonly caFile: string | undefined;
  readonly quirks: string | undefined;
  readonly keyType: string;
  /** Undefined is "not said". */
  readonly hasKeys: boolean | undefined;
  /** True for a Secret of Kubernetes. */
  readonly hasExistingSecret: boolean;
  readonly facts: BucketFacts;
}

export interface SftpPlan {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Which of `hostKey` and `hostFingerprint` were given; exactly one is right. */
  readonly hostKeyFields: readonly string[];
  /** False when no private key was given to bring to the host; undefined where nobody can tell. */
  readonly hasKey: boolean | undefined;
  /** True when the private key is encrypted with a passphrase of its own. */
  readonly hasKeyPassphrase: boolean;
  /** SHA-256 of the host's key in hexadecimal digits, as stock wants it; what was given, when it cannot be read. */
  readonly fingerprint: string;
}

/** Undefined is "not known", never "no". */
export interface BucketFacts {
  readonly versioning: boolean | undefined;
  readonly immutableDays: number | undefined;
  readonly lockMode: string | undefined;
  readonly undeleteDays: number | undefined;
  readonly storageClass: string | undefined;
  readonly expireLiveDays: number | undefined;
}

export interface RepositoryPlan {
  /** 1 for repo1; 0 when the name is not one (a finding says so). */
  readonly key: number;
  /** `repo1`. */
  readonly name: string;
  readonly kind: "posix" | "s3" | "sftp";
  readonly path: string;
  readonly requireMount: boolean;
  readonly s3: S3Plan | undefined;
  readonly sftp: SftpPlan | undefined;
  readonly place: PlacePlan;
  readonly encrypted: boolean;
  /** True where an update brings secrets of it to the host. */
  readonly writesSecrets: boolean;
  /** Secrets that are on the host already: names of credentials to paths; left out where there are none. */
  readonly secretFiles?: Readonly<Record<string, string>>;
  /** True where the keys only read. */
  readonly readOnly: boolean;
  readonly keepFullCount: number | undefined;
  readonly keepDays: number | undefined;
  /** Differential backups kept; undefined keeps those of every kept full backup. */
  readonly keepDiffCount: number | undefined;
  readonly compressType: string;
  readonly compressLevel: number;
  /** Small files share objects. */
  readonly bundle: boolean;
  readonly blockIncremental: boolean;
}

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

export interface HostPlan extends DatabasePlan {
  readonly kind: "host";
  readonly dataDirectory: string;
  readonly port: number;
  readonly socketDirectory: string | undefined;
  readonly databaseUser: string | undefined;
  /** Operating system account of PostgreSQL. */
  readonly user: string;
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
  /** Stock pgBackRest, where that is the engine. */
  readonly pgbackrestPath: string;
  /** Undefined where nobody said which PostgreSQL shall be there. */
  readonly postgres: { readonly version: number; readonly install: boolean } | undefined;
  readonly processMax: number;
  /** Restores and writes nothing. */
  readonly restoreOnly: boolean;
  /** Of those, one that makes drills and keeps nothing of what it restores. */
  readonly drillsOnly: boolean;
  readonly firstBackup: boolean;
  readonly allowRestart: boolean;
  readonly restartCommand: readonly string[];
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
