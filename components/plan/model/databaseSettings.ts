/**
 * What users give, as plain values: the arguments of components without secrets. Their types follow from the arguments' own, so that a new
 * argument is here at once. Nothing here has a default; resolveDatabase.ts fills them in.
 */
import type { ClusterBackupArgs, ClusterLikeArgs, CnpgClusterArgs } from "../../databases/cnpgArgs";
import type {
  BackupScheduleArgs,
  BackupSchedules,
  HostDirectories,
  HostRepositoryArgs,
  HostSecretFiles,
  MaintenanceArgs,
  NotifyTargetArgs,
  PostgresHostArgs,
  SizingArgs,
  VerifyTaskArgs,
} from "../../databases/hostArgs";
import type { DrillChecksArgs, DrillStatementArgs, HostDrillArgs } from "../../drills/drillArgs";
import type { TargetSettings } from "../repositories/repositoryTypes";
import type { Plain } from "./plainArguments";

/** Paths on a host. */
export type SecretFilesSettings = Plain<HostSecretFiles>;

export interface RepositorySettings extends Omit<Plain<HostRepositoryArgs>, "at"> {
  readonly at: TargetSettings;
}

export type ScheduleSettings = Plain<BackupScheduleArgs>;
/** By the kind of backup. */
export type SchedulesSettings = Plain<BackupSchedules>;
export type DrillSettings = Plain<HostDrillArgs>;
export type DrillStatementSettings = Plain<DrillStatementArgs>;
/** What every drill of a database asks, and how it knows what was lost. */
export type DrillChecksSettings = Plain<DrillChecksArgs>;
export type SizingSettings = Plain<SizingArgs>;
export type DirectorySettings = Plain<HostDirectories>;
export type TaskSettings = Plain<VerifyTaskArgs>;
export type MaintenanceSettings = Readonly<Partial<Record<keyof MaintenanceArgs, TaskSettings | undefined>>>;

/** What of whom to tell is no secret. */
export interface NotifySettings {
  readonly existingFile?: string | undefined;
  readonly targets?: readonly Pick<Plain<NotifyTargetArgs>, "type" | "events" | "units">[] | undefined;
}

/** What every database has, wherever it runs. */
type Common = keyof PostgresHostArgs & keyof ClusterBackupArgs;

export interface DatabaseSettings extends Omit<Plain<Pick<PostgresHostArgs, Common>>, "repositories" | "monitoring" | "processMax"> {
  readonly repositories: Readonly<Record<string, RepositorySettings>>;
}

export interface HostSettings extends DatabaseSettings, Omit<Plain<PostgresHostArgs>, HostOnly | Exclude<Common, "monitoring" | "processMax">> {
  readonly connection: { readonly local?: object | undefined; readonly ssh?: object | undefined };
  readonly maintenance?: MaintenanceSettings | undefined;
  /** Whom to tell is secret and never comes here. */
  readonly notify?: NotifySettings | undefined;
  /** Set by FireDrill, with `restoreOnly`: what is restored there is gone when the drill ends. */
  readonly drillsOnly?: boolean | undefined;
  /** Snapshots of the file system below the data directory, which are no backups: `zfs`. */
  readonly snapshots?: { readonly zfs?: object | undefined } | undefined;
}

/** With secrets in them, or of no interest to a plan. */
type HostOnly = "connection" | "maintenance" | "node" | "notify";

type ClusterCommon = Plain<Pick<ClusterBackupArgs, "backupTarget" | "namespace" | "operatorVersion">>;
type ClusterShared = Plain<Partial<Pick<ClusterLikeArgs, "postgresVersion" | "storageGiB">>> & Plain<Pick<CnpgClusterArgs, "instances">>;

/** A cluster of CloudNativePG. */
export interface ClusterSettings extends DatabaseSettings, ClusterCommon, ClusterShared {
  /** Name of the Cluster object; left out, the name of the component. */
  readonly cluster?: string | undefined;
  /** Names of Services in the namespace: each becomes environment variables of every pod. */
  readonly serviceNames?: readonly string[] | undefined;
}
