/**
 * What users give, as plain values: the arguments of components without secrets. Values that other resources have yet to produce come as
 * the markers of unknown.ts. Nothing here has a default; resolveDatabase.ts fills them in.
 */

import type { TargetSettings } from "../repositories/repositoryTypes";

/** Paths on a host. */
export interface SecretFilesSettings {
  readonly options?: string | undefined;
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sessionToken?: string | undefined;
  readonly privateKey?: string | undefined;
  readonly privateKeyPassphrase?: string | undefined;
  readonly passphrase?: string | undefined;
  readonly encrypted?: boolean | undefined;
}

export interface RepositorySettings {
  readonly at: TargetSettings;
  readonly secretFiles?: SecretFilesSettings | undefined;
  readonly keepFullCount?: number | undefined;
  readonly keepDiffCount?: number | undefined;
  readonly keepDays?: number | undefined;
  readonly compress?: { readonly type?: string | undefined; readonly level?: number | undefined } | undefined;
  readonly bundle?: boolean | undefined;
  readonly blockIncremental?: boolean | undefined;
}

export interface ScheduleSettings {
  readonly cron: string;
  readonly timeZone?: string | undefined;
  readonly jitterSeconds?: number | undefined;
  readonly deadlineSeconds?: number | undefined;
  /** Names such as `repo1`; left out, all. */
  readonly repositories?: readonly string[] | undefined;
}

/** By the kind of backup. */
export interface SchedulesSettings {
  readonly full?: ScheduleSettings | undefined;
  readonly diff?: ScheduleSettings | undefined;
  readonly incr?: ScheduleSettings | undefined;
}

export interface ObjectivesSettings {
  readonly rpoSeconds?: number | undefined;
  readonly rtoMinutes?: number | undefined;
  readonly pitrDays?: number | undefined;
  readonly maxRepositoryGB?: number | undefined;
}

export interface DrillSettings {
  readonly cron: string;
  readonly timeZone?: string | undefined;
  /** The one repository, `repo2`. */
  readonly from?: string | undefined;
  /** Those that come in their turn; left out, and without `from`, all of them. */
  readonly repositories?: readonly string[] | undefined;
  readonly pick?: string | undefined;
  readonly level?: string | undefined;
  readonly maxMinutes?: number | undefined;
  readonly maxGiB?: number | undefined;
  /** Directory on a host. */
  readonly path?: string | undefined;
  /** True where a FireDrill makes it on another machine. */
  readonly elsewhere?: boolean | undefined;
}

export interface DrillStatementSettings {
  readonly database?: string | undefined;
  readonly sql: string;
}

/** What every drill of a database asks, and how it knows what was lost. */
export interface DrillChecksSettings {
  readonly heartbeat?: DrillStatementSettings | undefined;
  readonly assertions?: readonly (DrillStatementSettings & { readonly name: string })[] | undefined;
  /** Age of the newest backup of the drilled repository; left out, it follows from the schedules. */
  readonly backupAgeHours?: number | undefined;
}

export interface SizingSettings {
  readonly databaseGiB: number;
  readonly walGiBPerDay: number;
  readonly changedGiBPerDay?: number | undefined;
  readonly compressedTo?: number | undefined;
}

/** What every database has, wherever it runs. */
export interface DatabaseSettings {
  readonly stanza?: string | undefined;
  readonly engine?: string | undefined;
  /** Version of stock pgBackRest where that is the engine: `2.58.0`. */
  readonly engineVersion?: string | undefined;
  readonly repositories: Readonly<Record<string, RepositorySettings>>;
  readonly schedules?: SchedulesSettings | undefined;
  readonly acknowledge?: { readonly mode: string; readonly repositories?: readonly string[] | undefined } | undefined;
  readonly archiveTimeoutSeconds?: number | undefined;
  readonly objectives?: ObjectivesSettings | undefined;
  readonly drills?: Readonly<Record<string, DrillSettings>> | undefined;
  readonly drillChecks?: DrillChecksSettings | undefined;
  readonly sizing?: SizingSettings | undefined;
  /** Findings that the user has decided to live with: code to reason. */
  readonly silence?: Readonly<Record<string, string>> | undefined;
  /** Changes to something weaker that are meant: `path=new value` to reason. */
  readonly acknowledgeWeaker?: Readonly<Record<string, string>> | undefined;
}

export interface DirectorySettings {
  readonly config?: string | undefined;
  readonly lib?: string | undefined;
  readonly units?: string | undefined;
  readonly bin?: string | undefined;
  readonly metrics?: string | undefined;
  readonly lock?: string | undefined;
  readonly spool?: string | undefined;
  readonly log?: string | undefined;
}

export interface TaskSettings {
  readonly enabled?: boolean | undefined;
  readonly cron?: string | undefined;
  readonly timeZone?: string | undefined;
  readonly jitterSeconds?: number | undefined;
  readonly deadlineSeconds?: number | undefined;
  readonly samplePercent?: number | undefined;
}

export interface MaintenanceSettings {
  readonly expire?: TaskSettings | undefined;
  readonly verify?: TaskSettings | undefined;
  readonly heal?: TaskSettings | undefined;
  readonly metrics?: TaskSettings | undefined;
}

export interface NotifySettings {
  readonly existingFile?: string | undefined;
  /** What of the targets is no secret. */
  readonly targets?: readonly {
    readonly type: string;
    readonly events?: readonly string[] | undefined;
    readonly units?: readonly string[] | undefined;
  }[];
}

export interface HostSettings extends DatabaseSettings {
  readonly dataDirectory: string;
  readonly port?: number | undefined;
  readonly socketDirectory?: string | undefined;
  readonly databaseUser?: string | undefined;
  readonly user?: string | undefined;
  readonly connection: { readonly local?: object | undefined; readonly ssh?: object | undefined };
  readonly directories?: DirectorySettings | undefined;
  readonly agent?: boolean | undefined;
  readonly maintenance?: MaintenanceSettings | undefined;
  /** Whom to tell is secret and never comes here. */
  readonly notify?: NotifySettings | undefined;
  readonly monitoring?: { readonly listen?: string | undefined } | undefined;
  readonly nodePath?: string | undefined;
  readonly pgbackrestPath?: string | undefined;
  readonly postgres?: { readonly version: number; readonly install?: boolean | undefined } | undefined;
  readonly processMax?: number | undefined;
  readonly restoreOnly?: boolean | undefined;
  /** Set by FireDrill, with `restoreOnly`: what is restored there is gone when the drill ends. */
  readonly drillsOnly?: boolean | undefined;
  readonly firstBackup?: boolean | undefined;
  readonly allowRestart?: boolean | undefined;
  readonly restartCommand?: readonly string[] | undefined;
  readonly streaming?: { readonly intervalSeconds?: number | undefined } | undefined;
  /** Snapshots of the file system below the data directory, which are no backups: `zfs`. */
  readonly snapshots?: { readonly zfs?: object | undefined } | undefined;
}

/** A cluster of CloudNativePG. */
export interface ClusterSettings extends DatabaseSettings {
  readonly namespace: string;
  /** Name of the Cluster object; left out, the name of the component. */
  readonly cluster?: string | undefined;
  readonly instances?: number | undefined;
  readonly postgresVersion?: number | undefined;
  readonly storageGiB?: number | undefined;
  /** Version of the CloudNativePG operator: `1.30.0`. */
  readonly operatorVersion?: string | undefined;
  /** Where base backups are read: `primary` or `prefer-standby`. */
  readonly backupTarget?: string | undefined;
  /** Names of Services in the namespace: each becomes environment variables of every pod. */
  readonly serviceNames?: readonly string[] | undefined;
}
