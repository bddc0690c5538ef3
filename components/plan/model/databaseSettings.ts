/**
 * Arguments as plain values: those of the components without secrets. The types derive from the arguments', so a new
 * argument is here immediately. Nothing here has a default; resolveDatabase.ts fills them in.
 */
import type { ClusterBackupArgs } from "../../databases/cnpgArgs";
import type {
  BackupScheduleArgs,
  BackupSchedules,
  HostDirectories,
  HostRepositoryArgs,
  HostSecretFiles,
  MaintenanceArgs,
  PostgresHostArgs,
  VerifyTaskArgs,
} from "../../databases/hostArgs";
import type { NotifyTargetArgs } from "../../databases/notifyArgs";
import type { SizingArgs } from "../../databases/objectivesArgs";
import type { DrillChecksArgs, DrillStatementArgs, HostDrillArgs } from "../../drills/drillArgs";
import type { TargetSettings } from "../repositories/repositoryTypes";
import type { Plain } from "./plainArguments";

export type SecretFilesSettings = Plain<HostSecretFiles>;

export interface RepositorySettings extends Omit<Plain<HostRepositoryArgs>, "at"> {
  readonly at: TargetSettings;
}

export type ScheduleSettings = Plain<BackupScheduleArgs>;
export type SchedulesSettings = Plain<BackupSchedules>;
export type DrillSettings = Plain<HostDrillArgs>;
export type DrillStatementSettings = Plain<DrillStatementArgs>;
/** Checks of every drill of a database, and how it measures loss. */
export type DrillChecksSettings = Plain<DrillChecksArgs>;
export type SizingSettings = Plain<SizingArgs>;
export type DirectorySettings = Plain<HostDirectories>;
export type TaskSettings = Plain<VerifyTaskArgs>;
export type MaintenanceSettings = Readonly<Partial<Record<keyof MaintenanceArgs, TaskSettings | undefined>>>;

/** The parts of notifications that are not secret. */
export interface NotifySettings {
  readonly existingFile?: string | undefined;
  readonly targets?: readonly Pick<Plain<NotifyTargetArgs>, "type" | "events" | "units">[] | undefined;
}

/** The parts of a host's monitoring that are not secret. */
export interface MonitoringSettings {
  readonly listen?: string | undefined;
  readonly servesReport?: boolean | undefined;
  readonly otlp?: { readonly existingFile?: string | undefined } | undefined;
}

/** Common to hosts and clusters. */
type Common = Exclude<keyof PostgresHostArgs & keyof ClusterBackupArgs, "monitoring" | "processMax" | "snapshots">;

export interface DatabaseSettings extends Omit<Plain<Pick<PostgresHostArgs, Common>>, "repositories"> {
  readonly repositories: Readonly<Record<string, RepositorySettings>>;
}

export interface HostSettings extends DatabaseSettings, Omit<Plain<PostgresHostArgs>, HostOnly | Common> {
  readonly connection: { readonly local?: object | undefined; readonly ssh?: object | undefined };
  readonly maintenance?: MaintenanceSettings | undefined;
  /** The targets of notifications are secret and never come here. */
  readonly notify?: NotifySettings | undefined;
  readonly monitoring?: MonitoringSettings | undefined;
  /** Set by FireDrill, with `restoreOnly`: the restored data are removed after the drill. */
  readonly drillsOnly?: boolean | undefined;
}

/** Secret, or irrelevant to a plan. */
type HostOnly = "connection" | "maintenance" | "monitoring" | "node" | "notify";
