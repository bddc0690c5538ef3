/**
 * The settings file `pgbackstop.json`: settings without an option of pgBackRest, in a file that stock does not read. It
 * contains no secret.
 *
 * This is its only declaration: the runtime's checks, the JSON schema and the reference are made from it (`npm run
 * docs`), and components write the file by these types.
 */

/** letters, digits, underscores, dots and hyphens @pattern ^[A-Za-z0-9][A-Za-z0-9_.-]*$ */
export type ContainerName = string;
/** text on one line @pattern ^[^\0-\x1f]+$ */
export type Line = string;
/** text on one line, or empty text @pattern ^[^\0-\x1f]*$ */
export type OptionalLine = string;
/** a statement @pattern \S */
export type Statement = string;
/** an absolute path @pattern ^/[^\0]*$ */
export type AbsolutePath = string;
/** text that is not empty @pattern ^[^\0]+$ */
export type Argument = string;
/** repo1 to repo256 @pattern ^repo([1-9]\d?|1\d\d|2[0-4]\d|25[0-6])$ */
export type RepoName = string;
/** auto or the name of a provider in lower case @pattern ^[a-z0-9][a-z0-9-]*$ */
export type ProviderName = string;
/** bytes a second, with a unit as in 20MiB @pattern ^\d{1,15}([KMGTPkmgtp]([iI]?[bB])?|[bB])?$ */
export type ByteRate = string;
/** hours as in 08:00-20:00, or zone @pattern ^(zone|([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00))$ */
export type LimitedHours = string;

/** The settings file `pgbackstop.json`, next to `pgbackrest.conf` or named by the option `settings`. */
export interface SettingsFile {
  /** Version of the format. */
  readonly version?: 1;
  /** Version of the package that the file is written for. */
  readonly package?: Line;
  /**
   * When PostgreSQL may remove a WAL segment: `all` repositories hold it, `any` one does, or each of these.
   * @default "all"
   * @minItems 1
   */
  readonly acknowledge?: "all" | "any" | readonly RepoName[];
  /**
   * How finished WAL leaves the server: by its `archive_command`, or through a replication slot that the agent reads.
   * With "standby" the agent reads the slot of a standby too: for a primary where nobody archives.
   * @default "command"
   */
  readonly archive?: "command" | "stream" | "standby";
  /**
   * What `archive_command` must contain for `backup` and `check`. Stock requires the default; empty allows any command.
   * @default "pgbackrest"
   */
  readonly archiveCommandContains?: OptionalLine;
  /**
   * How long a process that serves further calls of `archive-push` and `archive-get` stays after the last one. 0: none.
   * @default 0
   * @minimum 0
   * @maximum 600
   */
  readonly archiveProcessSeconds?: number;
  /** True when the cluster's sidecar takes a repository's first full backup. @default false */
  readonly firstBackup?: boolean;
  /** The ConfigMap to which the cluster's sidecar reports full backups. If omitted, it reports none. */
  readonly fullBackups?: FullBackupReport;
  /** Commands that stop and start the server, for `recover` and `rollback`. If omitted, they are detected. */
  readonly postgres?: ServerCommands;
  /** Objectives and checks of fire drills, and declared drills. */
  readonly drill?: DrillFile;
  /** How WAL of unfinished segments is shipped. If omitted, only whole segments are. */
  readonly stream?: StreamFile;
  /** The container of PostgreSQL. If omitted, the server runs on this machine. */
  readonly container?: ContainerFile;
  /** Settings of each repository, by `repo1`, `repo2`, … */
  readonly repos?: { readonly [repo: RepoName]: RepoSettings };
}

/** Where the cluster's sidecar reports full backups. */
export interface FullBackupReport {
  /** Name in the cluster's namespace. */
  readonly configMap: Argument;
  /** Digest of what the repositories are, for the reader of the report. */
  readonly locations: Argument;
}

/** Programs with their arguments. */
export interface ServerCommands {
  /** Stops the server. @minItems 1 @example ["systemctl", "stop", "postgresql"] */
  readonly stop: readonly Argument[];
  /** Starts the server. @minItems 1 */
  readonly start: readonly Argument[];
}

/** How WAL of unfinished segments is shipped. */
export interface StreamFile {
  /** For longer intervals `archive_timeout` suffices and costs less. @minimum 1 @maximum 3600 */
  readonly intervalSeconds: number;
  /** Repositories that must hold a commit before the server acknowledges it. If omitted, none. @minItems 1 */
  readonly synchronous?: "all" | "any" | readonly RepoName[];
  /** Longest wait of a commit for repositories that do not answer. If omitted, forever. @minimum 1 @maximum 86400 */
  readonly degradeAfterSeconds?: number;
  /** Minimum time between the starts of two uploads to a repository. @default 0 @minimum 1 @maximum 10000 */
  readonly groupMilliseconds?: number;
}

/** The container of PostgreSQL: its `name`, or `compose` and `service`. */
export interface ContainerFile {
  /** The server's `data_directory`. A `pg1-path` with another value is a directory of this machine. */
  readonly dataDirectory: AbsolutePath;
  /** Name of the container. */
  readonly name?: ContainerName;
  /** The Compose file. */
  readonly compose?: AbsolutePath;
  /** Its service. */
  readonly service?: ContainerName;
  /** Program that manages it. If omitted, the one that knows the container. */
  readonly engine?: "docker" | "podman";
}

/** Objectives and checks of fire drills, and declared drills. */
export interface DrillFile {
  /** What a drill must reach. */
  readonly objectives?: DrillObjectives;
  /** Returns one value: the time of production's newest heartbeat. */
  readonly heartbeat?: DrillStatement;
  /** Statements whose every value must be true in a restored cluster. */
  readonly assertions?: readonly DrillAssertion[];
  /** Declared drills by name: `drill --name=weekly`. */
  readonly declared?: { readonly [name: string]: DrillFileEntry };
}

/** What a drill must reach. */
export interface DrillObjectives {
  /** From the start of a restore to the first connection. @minimum 1 */
  readonly rtoSeconds?: number;
  /** For a drill to a point in time (pick `moment`). If omitted, `rtoSeconds`. @minimum 1 */
  readonly pitrRtoSeconds?: number;
  /** The loss of data that is acceptable. @minimum 1 */
  readonly rpoSeconds?: number;
  /** Maximum age of the newest backup of the drilled repository. @minimum 1 */
  readonly backupAgeSeconds?: number;
}

/** A statement that a drill runs in the restored cluster. */
export interface DrillStatement {
  /** If omitted, the configured database. */
  readonly database?: Line;
  /** Returns its value, or values. */
  readonly sql: Statement;
}

/** A statement with the name that reports show. */
export interface DrillAssertion extends DrillStatement {
  /** Name in reports. */
  readonly name: Line;
}

/** Defaults of a declared drill's command line. */
export interface DrillFileEntry {
  /** Drilled in turn. If omitted, all. @minItems 1 */
  readonly repos?: readonly RepoName[];
  /** Backup to restore, as the option `pick`. */
  readonly pick?: "newest" | "oldest" | "random" | "moment" | "attack";
  /** Depth of the checks, as the option `level`. */
  readonly level?: "quick" | "standard" | "thorough";
  /** Whether the backup is restored, or opened as `open` does, as the option `how`. */
  readonly how?: "restore" | "open";
  /** Limit of its time. @minimum 1 */
  readonly maxMinutes?: number;
  /** Limit of its size. @minimum 1 */
  readonly maxBytes?: number;
  /** Directory of the restored cluster. */
  readonly path?: AbsolutePath;
  /** The logical dump that it loads, as the option `dump`. If omitted, none. */
  readonly dump?: "latest";
}

/** Settings of one repository. */
export interface RepoSettings {
  /** Compression of new files here. If omitted, option `compress-type`. */
  readonly compressType?: "none" | "gz" | "lz4" | "zst";
  /** Its level, in the range of the type. */
  readonly compressLevel?: number;
  /** A row of the table of S3 providers. @default "auto", which guesses it from the endpoint */
  readonly s3Quirks?: ProviderName;
  /** `check` fails when the newest full backup here is older; `ever` only requires one. If omitted, none. @minimum 1 */
  readonly expectFullWithinS?: number | "ever";
  /** A drill fails, and `check --stale` reports it, when the newest backup here is older. @minimum 1 */
  readonly expectBackupWithinS?: number;
  /** `check --stale` reports the newest WAL here when it is older. If omitted, no WAL is compared. @minimum 1 */
  readonly expectWalWithinS?: number;
  /** `check --stale` reports when the newest complete logical dump here is older, or none exists. @minimum 1 */
  readonly expectDumpWithinS?: number;
  /** True refuses the directory of the repository while nothing is mounted at or above it. @default false */
  readonly requireMount?: boolean;
  /**
   * Backups that stay when `retention-full` and `retention-diff` would remove them, by calendar. pgBackRest's own
   * `backup` and `expire` do not read it. If omitted, none stays.
   */
  readonly keep?: KeepCalendar;
  /** Logical dumps that stay when a later `dump` ends. If omitted, all stay. */
  readonly keepDumps?: KeepDumps;
  /** The storage class that the bucket gives to new objects, for the costs in `report`. @default "standard" */
  readonly storageClass?: Line;
  /**
   * Bytes a second that each process moves at most to and from this repository, in `backup`, `restore`, `verify`,
   * `sync`, `heal`, `drill` and `extract-table`. WAL is pushed and fetched without it. At least 64KiB. Or such rates
   * by hours of the day, which may cross midnight and must not overlap, in the time zone `zone` (default UTC); there is
   * no limit outside of them. If omitted, no limit.
   * @example 20MiB
   * @example { "08:00-20:00": "20MiB", "zone": "Europe/Berlin" }
   */
  readonly limitRate?: ByteRate | { readonly [hours: LimitedHours]: Line };
}

/** One backup of each of the newest days, weeks, months and years that have one. At least one of them. */
export interface KeepCalendar {
  /** Number of days. @minimum 1 @maximum 9999 */
  readonly daily?: number;
  /** Number of weeks, which begin on Monday. @minimum 1 @maximum 9999 */
  readonly weekly?: number;
  /** Number of months. @minimum 1 @maximum 9999 */
  readonly monthly?: number;
  /** Number of years. @minimum 1 @maximum 9999 */
  readonly yearly?: number;
  /** Time zone in which days begin. @default "UTC" @example Europe/Berlin */
  readonly zone?: Line;
}

/** Which logical dumps stay: with both fields a dump that either keeps. At least one of them. */
export interface KeepDumps {
  /** Days before the newest dump of which every dump stays. @minimum 1 @maximum 9999 */
  readonly days?: number;
  /** Number of newest complete dumps that stay, whatever their age. @minimum 1 @maximum 9999 */
  readonly count?: number;
}
