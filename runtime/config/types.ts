/**
 * The configuration as operations see it: parsed, checked, fully defaulted, frozen. Made by `load.ts` from the command line, the
 * environment, `pgbackrest.conf` and the settings file; plain data apart from {@link Secret}, so it can be handed to a worker thread
 * after its secrets were opened.
 */
import type { BackupError } from "../base/errors";
import type { Secret } from "../base/secret";
import type { CommandName } from "./commands";
import type { CompressType, OptionValues } from "./options";

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

/**
 * One group for each part of the program that reads it. Most fields come from the rows of the option table, each where its `config` says;
 * those below are made of several options, or of none.
 */
export interface Config extends OptionValues {
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
  readonly set: string | undefined;
  /** Undefined is the command's own default. */
  readonly output: "text" | "json" | "none" | undefined;
  readonly compress: { readonly type: CompressType; readonly level: number };
  readonly dbTimeoutMs: number;
  readonly backup: OptionValues["backup"] & { readonly type: "full" | "diff" | "incr" };
  readonly restore: OptionValues["restore"] & {
    readonly type: "default" | "immediate" | "lsn" | "name" | "time" | "xid" | "preserve" | "standby" | "none";
    /** True when `--type` was not given. */
    readonly typeIsDefault: boolean;
  };
  readonly info: OptionValues["info"] & { readonly type: "full" | "diff" | "incr" | undefined };
  readonly drill: OptionValues["drill"] & {
    /** Whether the command line says them. What was declared counts where it does not. */
    readonly given: { readonly level: boolean; readonly maxMinutes: boolean };
  };
  /** `--opt=value` words that another command needs to find the same repositories: restore_command, the agent's backups. No secret. */
  readonly carriedOptions: readonly string[];
  /**
   * What stock logs after `<command> command begin <version>: `: the parameters in brackets when there are some, then every option that is
   * not default as `--name=value`, in stock's order, secrets as `<redacted>`.
   */
  readonly beginLine: string;
}
