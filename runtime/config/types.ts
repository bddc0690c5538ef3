/**
 * The configuration as operations see it: parsed, checked, fully defaulted, frozen. Made by `load.ts` from the command line, the
 * environment, `pgbackrest.conf` and the settings file; plain data apart from {@link Secret}, so it can be handed to a worker thread
 * after its secrets were opened.
 */
import type { BackupError } from "../base/errors";
import type { LogLevel } from "../base/log";
import type { Secret } from "../base/secret";
import type { CommandName } from "./commands";

export const COMPRESS_TYPES = ["none", "gz", "lz4", "zst", "bz2"] as const;
export type CompressType = (typeof COMPRESS_TYPES)[number];

export interface PgConfig {
  readonly key: number;
  readonly path: string;
  readonly port: number;
  readonly socketPath?: string;
  readonly user?: string;
  readonly database: string;
}

/** Keys that are in no file of the configuration. What is missing in the environment is absent: it shows at the first use. */
export type S3KeySource =
  | { readonly type: "auto"; readonly role?: string; readonly endpoint?: string }
  | { readonly type: "web-id"; readonly roleArn?: string; readonly tokenFile?: string; readonly sessionName?: string; readonly stsHost: string }
  | { readonly type: "pod-id"; readonly uri?: string; readonly tokenFile?: string }
  | { readonly type: "process"; readonly command: readonly string[] };

export interface S3Config {
  readonly bucket: string;
  readonly endpoint: string;
  readonly region: string;
  readonly key: Secret;
  readonly keySecret: Secret;
  readonly token?: Secret;
  /** Then key and secret are empty. */
  readonly keySource?: S3KeySource;
  readonly uriStyle: "host" | "path";
  /** Overrides the connection address only; Host header and signature keep the endpoint. */
  readonly storageHost?: string;
  readonly storagePort: number;
  readonly verifyTls: boolean;
  readonly caFile?: string;
  readonly uploadChunkSizeBytes: number;
  /** Row of the quirk table; from the settings file, else guessed from the endpoint. */
  readonly quirks: string;
}

/** How the key that an SSH host shows is judged. Files of known hosts are those of ssh when none is named. */
export type SftpHostKeyCheck =
  | { readonly type: "fingerprint"; readonly hashType: "md5" | "sha1" | "sha256"; readonly fingerprint: string }
  | { readonly type: "known-hosts"; readonly files: readonly string[] }
  | { readonly type: "none" };

export interface SftpConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly hostKeyCheck: SftpHostKeyCheck;
  /** May begin with `~/`. */
  readonly privateKeyFile: string;
  readonly privateKeyPassphrase?: Secret;
}

export interface RepoConfig {
  readonly key: number;
  readonly type: "posix" | "cifs" | "s3" | "sftp";
  /** Directory (posix) or key prefix (object store). */
  readonly path: string;
  readonly cipherType: "none" | "aes-256-cbc";
  readonly cipherPass?: Secret;
  /** Why it cannot be used: a secret is missing. Every use of it fails with this, and the other repositories go on. */
  readonly unusable?: BackupError;
  readonly s3?: S3Config;
  readonly sftp?: SftpConfig;
  readonly hardlink: boolean;
  readonly symlink: boolean;
  readonly bundle: boolean;
  readonly bundleSizeBytes: number;
  readonly bundleLimitBytes: number;
  readonly retentionFull?: number;
  /** Absent when files are stored whole. */
  readonly block?: BlockConfig;
  readonly retentionFullType: "count" | "time";
  readonly retentionDiff?: number;
  readonly retentionArchive?: number;
  readonly retentionArchiveType: "full" | "diff" | "incr";
  readonly retentionHistoryDays?: number;
  /** Compression of what this repository gets: `compress-type`/`compress-level`, unless the settings file says otherwise for it. */
  readonly compressType: CompressType;
  readonly compressLevel: number;
}

/** `repo-block-*`: a map that is absent is stock's; the others in descending order of their first field. */
export interface BlockConfig {
  readonly sizeMap?: readonly { readonly fileSizeBytes: number; readonly blockSizeBytes: number }[];
  readonly ageMap?: readonly { readonly ageDays: number; readonly multiplier: number }[];
  readonly checksumSizeMap?: readonly { readonly blockSizeBytes: number; readonly checksumSizeBytes: number }[];
  readonly superBlockSizeBytes: number;
  readonly superBlockSizeFullBytes: number;
}

/** When PostgreSQL is told that a segment is safe: in all repositories, in any one, or in each of the named ones. */
export interface AcknowledgePolicy {
  readonly mode: "all" | "any" | "named";
  /** Keys of the repositories that must hold the segment; only with `named`. */
  readonly repoKeys: readonly number[];
}

/** What pgBackRest has no option for; kept in a file of its own, because stock warns about unknown options. */
export interface Settings {
  readonly acknowledge: AcknowledgePolicy;
  /** What `archive_command` must contain for `backup` and `check`; empty allows any command. */
  readonly archiveCommandWord: string;
  /** True where the sidecar of a cluster takes the first full backup of a repository by itself. */
  readonly firstBackup?: true;
  /** How the server is stopped and started; absent finds it out. */
  readonly postgres?: { readonly stop: readonly string[]; readonly start: readonly string[] };
  /** Per repository key. */
  readonly repos: Readonly<Record<number, RepoSettings>>;
  /** What fire drills measure against. */
  readonly drill?: DrillSettings;
  /** How often the agent ships WAL of segments that are not full yet; absent never. */
  readonly stream?: { readonly intervalSeconds: number };
}

export interface DrillSettings {
  readonly objectives: {
    /** From the start of a restore to the first connection. */
    readonly rtoSeconds?: number;
    /** What may be lost. */
    readonly rpoSeconds?: number;
    /** Of the newest backup of the drilled repository. */
    readonly backupAgeSeconds?: number;
  };
  /** A statement that gives the time of production's newest heartbeat, one row of one value. */
  readonly heartbeat?: { readonly database?: string; readonly sql: string };
  /** Statements whose every value must be true in a restored cluster. */
  readonly assertions: readonly { readonly name: string; readonly database?: string; readonly sql: string }[];
  /** Drills that were declared, by their names: `drill --name=weekly`. */
  readonly declared: Readonly<Record<string, DeclaredDrill>>;
}

/** What a drill is made with, where the command line does not say it. */
export interface DeclaredDrill {
  /** Those that come in their turn; absent, all. */
  readonly repoKeys?: readonly number[];
  readonly pick?: DrillPickName;
  readonly level?: DrillLevelName;
  readonly maxMinutes?: number;
  readonly maxBytes?: number;
  readonly path?: string;
}

export type DrillPickName = "newest" | "oldest" | "random" | "moment";
export type DrillLevelName = "quick" | "standard" | "thorough";

export interface RepoSettings {
  readonly compressType?: CompressType;
  readonly compressLevel?: number;
  readonly s3Quirks?: string;
  readonly expectFullWithinS?: number | "ever";
  /** Objective of drills for the newest backup of any kind here. */
  readonly expectBackupWithinS?: number;
}

/** How a fire drill is made. */
export interface DrillConfig {
  /** Directory to restore below; undefined is beside the data directory of pg1. */
  readonly path: string | undefined;
  /** Directory of PostgreSQL's programs; undefined looks in the usual places. */
  readonly binPath: string | undefined;
  /** Undefined takes its turn. */
  readonly pick: DrillPickName | undefined;
  readonly level: DrillLevelName;
  readonly maxMinutes: number;
  readonly maxBytes: number | undefined;
  /** Of `level` and `maxMinutes`: whether the command line says them. What was declared counts where it does not. */
  readonly given: { readonly level: boolean; readonly maxMinutes: boolean };
  /** Name of a drill of the settings file. */
  readonly name: string | undefined;
  /** The drill of the settings file, where there is but one. */
  readonly now: boolean;
}

/** What comes back out of a backup, and where it goes. */
export interface ExtractConfig {
  /** A whole schema instead of a table. */
  readonly schema: string | undefined;
  /** Schema in production to bring it back into. */
  readonly as: string | undefined;
  readonly swap: boolean;
  readonly toFile: string | undefined;
}

/** What is looked for in WAL. */
export interface FindConfig {
  /** Times as they were written; undefined is the last hour, and now. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly table: string | undefined;
  readonly database: string | undefined;
  readonly kind: "drop" | "truncate" | "delete" | "update" | undefined;
  readonly limit: number;
  /** Whose words targets are shown in: those of `recover`, or of a CnpgRestore. */
  readonly targetForm: "options" | "cluster";
  /** Undefined is the latest one. */
  readonly timeline: number | undefined;
}

/** How databases are brought from one cluster into another. */
export interface MigrateConfig {
  /** Words of a connection, as libpq takes them; undefined for commands that have no source. */
  readonly fromServer: string | undefined;
  /** Undefined is the server of pg1. */
  readonly toServer: string | undefined;
  readonly fromPasswordFile: string | undefined;
  readonly toPasswordFile: string | undefined;
  /** Of PostgreSQL's own form, for both. */
  readonly passFile: string | undefined;
  readonly binPath: string | undefined;
  /** Whether who is connected to the source is ended. */
  readonly disconnect: boolean;
  readonly keepRoles: readonly string[];
  readonly rolePasswords: boolean;
  /** Whether copies that were once found equal, and differ now, are made anew. */
  readonly replace: boolean;
  readonly tablespaces: boolean;
}

/** `plugin-…`: where the plugin of CloudNativePG listens and what it gives to the pods. */
export interface PluginConfig {
  readonly socket: string;
  /** Written while the plugin answers on its socket; undefined writes none. */
  readonly heartbeatFile: string | undefined;
  /** Name of the pod; empty beside a recovery job. */
  readonly instance: string;
  /** What a replica cluster follows, in the repositories of its source; undefined for others. */
  readonly sourceStanza: string | undefined;
  /** Of a drill: the newest segment that its recovery may know; undefined for others. */
  readonly newestWal: string | undefined;
  /** Directories of the configuration: when their content changes the process ends, to be started again. */
  readonly watchPaths: readonly string[];
  /** `address:port` of the operator's side. */
  readonly listen: string;
  /** Directories of `tls.crt` and `tls.key`. */
  readonly serverPath: string;
  readonly clientPath: string;
  /** Image of the sidecars, unless the cluster names another one. */
  readonly image: string | undefined;
}

/** Where the API server of Kubernetes is, and who asks it. */
export interface KubernetesConfig {
  readonly host: string;
  readonly port: number;
  /** Directory of the account: `token`, `ca.crt`, `namespace`. */
  readonly accountPath: string;
}

/** `cnpg-drill`: which Cluster is drilled, and what its throw-away one is like. */
export interface ClusterDrillConfig {
  readonly cluster: string;
  /** Of the throw-away Cluster. */
  readonly name: string;
  /** The Job that this is: its end is the end of the throw-away Cluster. Undefined for one that somebody runs by hand. */
  readonly job: string | undefined;
  readonly jobUid: string | undefined;
  /** Directory of `username` and `password` with which production is asked for its counts. */
  readonly secretPath: string | undefined;
  /** Of the throw-away instance instead of production's: `requests.cpu` to `500m`. */
  readonly resources: Readonly<Record<string, string>>;
}

/** `cnpg-expire`: whose volume snapshots are removed, and what stays. */
export interface SnapshotsConfig {
  readonly cluster: string;
  /** ScheduledBackups whose snapshots these are. */
  readonly schedules: readonly string[];
  readonly keepDays: number | undefined;
  readonly keepCount: number | undefined;
}

/** What metrics and notifications add to a configuration. */
export interface MonitoringConfig {
  /** Undefined prints. */
  readonly outputFile: string | undefined;
  /** `address:port` of the agent's metrics; undefined serves none. */
  readonly listen: string | undefined;
  /** Whether metrics list the whole archive. */
  readonly walGaps: boolean;
  /** What is told; `failure` for other commands, which tell nothing. */
  readonly event: "start" | "success" | "failure" | "drill" | "test";
  readonly unit: string | undefined;
  /** Undefined is `notify.json` in systemd's directory of credentials. */
  readonly notifyFile: string | undefined;
}

/** Of recover and rollback. */
export interface RecoverConfig {
  /** Nobody is asked. */
  readonly yes: boolean;
  readonly undo: boolean;
  readonly finishWal: boolean;
  /** Program that runs this one as PostgreSQL's account, with its keys. */
  readonly launcher: string | undefined;
  /** Of ZFS, to go back to. */
  readonly snapshot: string | undefined;
}

export interface Config {
  readonly command: CommandName;
  /** `async` for the background process of `archive-async`: `archive-push:async`. */
  readonly role: "main" | "async";
  /** Words after the command that are no options. */
  readonly params: readonly string[];
  readonly stanza: string | undefined;
  /** `--repo`; undefined lets the command choose. */
  readonly repoKey: number | undefined;
  /** Ascending by key; every configured repository, whatever `--repo` says. */
  readonly repos: readonly RepoConfig[];
  /** Ascending by key. */
  readonly pgs: readonly PgConfig[];
  readonly settings: Settings;

  readonly archiveTimeoutMs: number;
  readonly archiveCheck: boolean;
  readonly archiveCopy: boolean;
  readonly archiveHeaderCheck: boolean;
  readonly archiveModeCheck: boolean;
  readonly archiveMode: "preserve" | "off";
  readonly archiveAsync: boolean;
  readonly archiveGetQueueSizeBytesMax: number;
  readonly archivePushBatchSizeBytes: number;
  /** Undefined never drops WAL. */
  readonly archivePushQueueSizeBytesMax: number | undefined;
  /** Unix socket of the agent. */
  readonly agentSocket: string;
  readonly plugin: PluginConfig;
  readonly kubernetes: KubernetesConfig;
  readonly snapshots: SnapshotsConfig;
  readonly clusterDrill: ClusterDrillConfig;
  /** Of `cnpg-migrate`. */
  readonly migrationFile: string | undefined;
  readonly monitoring: MonitoringConfig;
  readonly dbTimeoutMs: number;
  readonly ioTimeoutMs: number;
  readonly bufferSizeBytes: number;
  readonly processMax: number;
  /** Root is meant to run this command. */
  readonly allowRoot: boolean;
  readonly lockPath: string;
  readonly spoolPath: string;
  readonly logPath: string;
  readonly logLevelConsole: LogLevel;
  readonly logLevelFile: LogLevel;
  readonly logLevelStderr: LogLevel;
  readonly logTimestamp: boolean;
  /** `--log-format`, ours: not an option of stock. */
  readonly logFormat: "text" | "json";
  readonly neutralUmask: boolean;
  readonly compressType: CompressType;
  readonly compressLevel: number;

  readonly backupType: "full" | "diff" | "incr";
  readonly checksumPage: boolean | undefined;
  readonly pageHeaderCheck: boolean;
  readonly startFast: boolean;
  readonly backupStandby: "n" | "prefer" | "y";
  readonly manifestSaveThresholdBytes: number;
  readonly resume: boolean;
  readonly expireAuto: boolean;
  readonly exclude: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;

  readonly restoreType: "default" | "immediate" | "lsn" | "name" | "time" | "xid" | "preserve" | "standby" | "none";
  /** True when `--type` was not given. */
  readonly restoreTypeIsDefault: boolean;
  readonly target: string | undefined;
  readonly targetAction: "pause" | "promote" | "shutdown";
  readonly targetExclusive: boolean;
  readonly targetTimeline: string | undefined;
  readonly set: string | undefined;
  readonly delta: boolean;
  readonly force: boolean;
  /** False: the server is down. */
  readonly online: boolean;
  readonly tablespaceMap: Readonly<Record<string, string>>;
  readonly tablespaceMapAll: string | undefined;
  readonly linkMap: Readonly<Record<string, string>>;
  readonly linkAll: boolean;
  readonly databaseInclude: readonly string[];
  readonly databaseExclude: readonly string[];
  /** `--server-files`, ours. */
  readonly serverFiles: string | undefined;
  readonly recoveryOptions: Readonly<Record<string, string>>;

  readonly dryRun: boolean;
  readonly recover: RecoverConfig;
  readonly oldest: boolean;
  /** Of sync. */
  readonly fromRepoKey: number | undefined;
  readonly toRepoKey: number | undefined;
  readonly latest: boolean;
  /** `--type` of info. */
  readonly infoType: "full" | "diff" | "incr" | undefined;
  readonly detailLevel: "full" | "progress" | "destinations";
  /** Of repo-ls an expression, of manifest the name of one file. */
  readonly filter: string | undefined;
  readonly reference: string | undefined;
  readonly recurse: boolean;
  readonly sort: "none" | "asc" | "desc";
  readonly raw: boolean;
  readonly ignoreMissing: boolean;
  readonly archiveExpireBefore: string | undefined;
  readonly checksumPageError: boolean;
  /** `--output` of info, verify and version; undefined is the command's own default. */
  readonly output: "text" | "json" | "none" | undefined;
  readonly verbose: boolean;
  /** `--full-check` of check. */
  readonly fullCheck: boolean;
  readonly drill: DrillConfig;
  readonly find: FindConfig;
  readonly migrate: MigrateConfig;
  readonly extract: ExtractConfig;
  /** `--sample` of verify. */
  readonly samplePercent: number | undefined;
  /** The command that restore_command shall call; from `--cmd`, else the running program. */
  readonly cmd: string | undefined;
  /** `--opt=value` words that another command needs to find the same repositories: restore_command, the agent's backups. No secret. */
  readonly carriedOptions: readonly string[];
  /**
   * What stock logs after `<command> command begin <version>: `: the parameters in brackets when there are some, then every option that is
   * not default as `--name=value`, in stock's order, secrets as `<redacted>`.
   */
  readonly beginLine: string;
}
