/**
 * The configuration as operations see it: parsed, checked, with defaults, frozen. `load.ts` makes it. Plain data apart
 * from {@link Secret}, so that a worker thread can get it once its secrets are opened.
 */
import type { BackupError } from "../base/errors";
import type { Secret } from "../base/secret";
import type { CommandName } from "./commands";
import type { LimitRate } from "./hours/limitRate";
import type { CompressType, OptionValues } from "./options";
import type {
  ContainerFile,
  DrillAssertion,
  DrillFileEntry,
  DrillObjectives,
  DrillStatement,
  FullBackupReport,
  KeepCalendar,
  KeepDumps,
  RepoSettings,
  ServerCommands,
} from "./settingsFields";

export type { FullBackupReport, RepoSettings };

export interface PgConfig {
  readonly key: number;
  /** Data directory, without a slash at its end. */
  readonly path: string;
  readonly port: number;
  readonly socketPath?: string;
  readonly user?: string;
  readonly database: string;
}

/** Keys from outside the configuration. A missing environment variable is absent here and fails the first use. */
export type S3KeySource =
  | { readonly type: "auto"; readonly role?: string; readonly endpoint?: string }
  | {
      readonly type: "web-id";
      readonly roleArn?: string;
      readonly tokenFile?: string;
      readonly sessionName?: string;
      readonly stsHost: string;
    }
  | { readonly type: "pod-id"; readonly uri?: string; readonly tokenFile?: string }
  | { readonly type: "process"; readonly command: readonly string[] };

export interface S3Config {
  readonly bucket: string;
  readonly endpoint: string;
  readonly region: string;
  readonly key: Secret;
  readonly keySecret: Secret;
  readonly token?: Secret;
  /** Key and secret are empty then. */
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

export interface AzureConfig {
  readonly account: string;
  readonly container: string;
  readonly endpoint: string;
  /** A key of the account signs, a shared access signature is sent, or the machine's managed identity has a token. */
  readonly keyType: "shared" | "sas" | "auto";
  /** Absent with `auto`. */
  readonly key?: Secret;
  /** Instead of the metadata service that gives tokens. */
  readonly identityOrigin?: string;
  readonly uriStyle: "host" | "path";
  /** Takes the endpoint's place. */
  readonly storageHost?: string;
  readonly storagePort: number;
  readonly verifyTls: boolean;
  readonly caFile?: string;
  readonly uploadChunkSizeBytes: number;
}

export interface GcsConfig {
  readonly bucket: string;
  readonly endpoint: string;
  /** A service account's key signs for tokens, one token is given, or the machine's account has tokens. */
  readonly keyType: "service" | "token" | "auto";
  /** File of the service account's key or its text, or the token. Absent with `auto`. */
  readonly key?: Secret;
  /** Instead of the metadata service that gives tokens. */
  readonly metadataOrigin?: string;
  /** Pays for requests. */
  readonly userProject?: string;
  readonly verifyTls: boolean;
  readonly caFile?: string;
  readonly uploadChunkSizeBytes: number;
}

/** How an SSH host key is checked. Without named files ssh's known_hosts files apply. */
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
  readonly type: "azure" | "cifs" | "gcs" | "posix" | "s3" | "sftp";
  /** Directory (posix) or key prefix (object store). */
  readonly path: string;
  /** True if the directory is usable only while a file system is mounted at or above it. */
  readonly requireMount?: boolean;
  readonly cipherType: "none" | "aes-256-cbc";
  readonly cipherPass?: Secret;
  /** Why it cannot be used: a secret is missing. Every use fails with this error; other repositories continue. */
  readonly unusable?: BackupError;
  readonly azure?: AzureConfig;
  readonly gcs?: GcsConfig;
  readonly s3?: S3Config;
  readonly sftp?: SftpConfig;
  /** `repo-target-time`: the repository is read as it was then, and never written. Milliseconds since 1970. */
  readonly targetTimeMs?: number;
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
  /** Backups that stay by calendar. */
  readonly keep?: KeepCalendar & { readonly zone: string };
  /** Logical dumps that stay; absent keeps all. */
  readonly keepDumps?: KeepDumps;
  /** Limit of content in both directions together, for commands that are marked as `limited`. */
  readonly limitRate?: LimitRate;
  /** Compression of new files here: `compress-type`/`compress-level`, unless the settings file says otherwise. */
  readonly compressType: CompressType;
  readonly compressLevel: number;
}

/** `repo-block-*`: an absent map is stock's; the others descend by their first field. */
export interface BlockConfig {
  readonly sizeMap?: readonly { readonly fileSizeBytes: number; readonly blockSizeBytes: number }[];
  readonly ageMap?: readonly { readonly ageDays: number; readonly multiplier: number }[];
  readonly checksumSizeMap?: readonly { readonly blockSizeBytes: number; readonly checksumSizeBytes: number }[];
  readonly superBlockSizeBytes: number;
  readonly superBlockSizeFullBytes: number;
}

/** When PostgreSQL may drop a segment: all repositories hold it, any one does, or each named one. */
export interface AcknowledgePolicy {
  readonly mode: "all" | "any" | "named";
  /** Keys of the repositories that must hold the segment; only with `named`. */
  readonly repoIndexes: readonly number[];
  /** The settings file does not say it. */
  readonly isDefault?: true;
}

/** What pgBackRest has no option for; in a file of its own, because stock warns about unknown options. */
export interface Settings {
  readonly acknowledge: AcknowledgePolicy;
  /**
   * The agent takes finished WAL through a replication slot: of a primary, or also of a standby. Absent:
   * `archive_command` archives.
   */
  readonly archive?: "stream" | "standby";
  /** What `archive_command` must contain for `backup` and `check`; empty allows any command. */
  readonly archiveCommandContains: string;
  /** How long a process for further calls of `archive-push` and `archive-get` stays; 0 or absent: none does. */
  readonly archiveProcessSeconds?: number;
  /** True when the cluster's sidecar takes a repository's first full backup. */
  readonly firstBackup?: true;
  /** Where the cluster's sidecar reports full backups; absent nowhere. */
  readonly fullBackups?: FullBackupReport;
  /** How to stop and start the server; absent detects it. */
  readonly postgres?: ServerCommands;
  /** Per repository key. */
  readonly repos: Readonly<Record<number, RepoSettings>>;
  /** Objectives and checks of fire drills. */
  readonly drill?: DrillSettings;
  /** How the agent ships WAL of unfinished segments; absent never. */
  readonly stream?: StreamSettings;
  /** The container of PostgreSQL; absent: it runs on this machine. */
  readonly container?: ContainerFile;
}

export interface StreamSettings {
  readonly intervalSeconds: number;
  /** Repositories that must hold a commit before the server acknowledges it; absent none. */
  readonly synchronous?: SynchronousSettings;
}

export interface SynchronousSettings extends AcknowledgePolicy {
  /** Commits wait no longer than this for repositories that do not answer; absent forever. */
  readonly degradeAfterSeconds?: number;
  /** Minimum time between the starts of two uploads to a repository. */
  readonly groupMilliseconds?: number;
}

export interface DrillSettings {
  readonly objectives: DrillObjectives;
  readonly heartbeat?: DrillStatement;
  readonly assertions: readonly DrillAssertion[];
  /** Drills by name: `drill --name=weekly`. */
  readonly declared: Readonly<Record<string, DeclaredDrill>>;
}

/** Defaults of a drill's command line. */
export interface DeclaredDrill extends Omit<DrillFileEntry, "repos"> {
  /** Drilled in turn; absent means all. */
  readonly repoIndexes?: readonly number[];
}

export type DrillLevelName = NonNullable<DrillFileEntry["level"]>;

/**
 * One group for each part of the program that reads it. Rows of the option table give most fields (`config`); the
 * fields below combine several options, or none.
 */
export interface Config extends OptionValues {
  readonly command: CommandName;
  /** `async` for the background process of `archive-async`: `archive-push:async`. */
  readonly role: "main" | "async";
  /** Arguments after the command that are no options. */
  readonly params: readonly string[];
  readonly stanza: string | undefined;
  /** `--repo`; undefined lets the command choose. */
  readonly repoIndex: number | undefined;
  /** Every configured repository whatever `--repo` says, ascending by key. */
  readonly repos: readonly RepoConfig[];
  /** Ascending by key. */
  readonly pgs: readonly PgConfig[];
  /** Data directories of every configured cluster, for commands that take no `pg-path` too. */
  readonly clusterPaths: readonly string[];
  readonly settings: Settings;
  readonly set: string | undefined;
  /** Undefined is the command's own default. */
  readonly output: "text" | "json" | "none" | undefined;
  readonly compress: { readonly type: CompressType; readonly level: number };
  readonly dbTimeoutMs: number;
  readonly backup: OptionValues["backup"] & {
    readonly type: "full" | "diff" | "incr";
    /** `--repos`: the repositories of this run; undefined means all, or the one of `--repo`. */
    readonly repoIndexes: readonly number[] | undefined;
  };
  readonly restore: OptionValues["restore"] & {
    readonly type: "default" | "immediate" | "lsn" | "name" | "time" | "xid" | "preserve" | "standby" | "none";
    /** True when `--type` was not given. */
    readonly typeIsDefault: boolean;
  };
  readonly sync: OptionValues["sync"] & {
    /** The number in `--from-repo=1@TIME`; the time is that repository's `targetTimeMs`. */
    readonly fromIndex: number | undefined;
  };
  readonly info: OptionValues["info"] & { readonly type: "full" | "diff" | "incr" | undefined };
  readonly drill: OptionValues["drill"] & {
    /** Whether the command line sets them; otherwise the declared drill counts. */
    readonly given: { readonly level: boolean; readonly maxMinutes: boolean };
  };
  /**
   * `--opt=value` arguments that another command needs to use the same repositories: restore_command, the agent's
   * backups. No secret.
   */
  readonly carriedOptions: readonly string[];
  /**
   * What stock logs after `<command> command begin <version>: `: the parameters in brackets when there are some, then
   * every option that is not default as `--name=value`, in stock's order, secrets as `<redacted>`.
   */
  readonly beginLine: string;
}
