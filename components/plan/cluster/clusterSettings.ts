/**
 * What users say of a cluster of CloudNativePG beside its backups, as plain values: the arguments of components without secrets, and what
 * `pgbackstop render` reads from a file. Their types follow from the arguments' own. Nothing here has a default; clusterShape.ts fills them in.
 */
import type {
  BootstrapArgs,
  ClusterDrillArgs,
  ClusterScheduleArgs,
  CnpgClusterArgs,
  ExtensionArgs,
  ImportArgs,
  KeyRef,
  PoolerArgs,
  RecoveryArgs,
  RecoveryTargetArgs,
  ReplicaArgs,
  ResourcesArgs,
  RoleArgs,
  SnapshotArgs,
  SnapshotSourceArgs,
  TablespaceArgs,
  VolumeArgs,
} from "../../databases/cnpgArgs";
import type { BackupScheduleArgs } from "../../databases/hostArgs";
import type { DrillArgs } from "../../drills/drillArgs";
import type { ClusterSettings } from "../model/databaseSettings";
import type { Plain } from "../model/plainArguments";

export type StorageSettings = Plain<VolumeArgs>;
export type TablespaceSettings = Plain<TablespaceArgs>;
/** One key of a Secret or ConfigMap. */
export type KeyRefSettings = Plain<KeyRef>;
export type RoleSettings = Plain<RoleArgs>;
export type ImportSettings = Plain<ImportArgs>;
/** Where recovery stops; at most one of time, lsn, xid, restorePoint and immediate. */
export type RecoveryTargetSettings = Plain<RecoveryTargetArgs>;
/** Names of VolumeSnapshots. */
export type SnapshotSourceSettings = Plain<SnapshotSourceArgs>;
/** Beside `bootstrap.recovery`, whose source it follows. */
export type ReplicaSettings = Plain<ReplicaArgs>;
export type PoolerSettings = Plain<PoolerArgs>;
/** Quantities as Kubernetes writes them. */
export type ResourcesSettings = Plain<ResourcesArgs>;
export type ExtensionSettings = Plain<ExtensionArgs>;
/** What CloudNativePG knows of a schedule beyond its time. */
export type ClusterScheduleSettings = Omit<Plain<ClusterScheduleArgs>, keyof BackupScheduleArgs>;
export type SnapshotSettings = Plain<SnapshotArgs>;
/** Of a drill in the cluster's namespace, beside when it is made. */
export type ClusterDrillSettings = Omit<Plain<ClusterDrillArgs>, keyof DrillArgs>;

export interface RecoverySettings extends Omit<Plain<RecoveryArgs>, "repositories"> {
  readonly repositories: ClusterSettings["repositories"];
}

/** At most one. */
export interface BootstrapSettings extends Omit<Plain<BootstrapArgs>, "recovery"> {
  readonly recovery?: RecoverySettings | undefined;
}

/** Where keys of one repository lie in the namespace of the cluster. */
export interface SecretKeysSettings {
  readonly accessKeyId?: KeyRefSettings | undefined;
  readonly secretAccessKey?: KeyRefSettings | undefined;
  readonly sessionToken?: KeyRefSettings | undefined;
  readonly passphrase?: KeyRefSettings | undefined;
  readonly region?: KeyRefSettings | undefined;
  readonly ca?: KeyRefSettings | undefined;
}

/** Beside {@link ClusterSettings}. */
export interface ClusterShapeSettings extends Omit<Plain<CnpgClusterArgs>, Exclude<keyof ClusterSettings, "drills"> | Elsewhere> {
  readonly bootstrap?: BootstrapSettings | undefined;
  readonly drills?: Readonly<Record<string, ClusterDrillSettings>> | undefined;
  readonly overrides?: { readonly cluster?: object | undefined } | undefined;
}

/** Said otherwise here, or of no interest to a plan. */
type Elsewhere = "bootstrap" | "clusterName" | "drills" | "followRuntime" | "overrides" | "plugin";
