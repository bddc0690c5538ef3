/**
 * A declared CloudNativePG cluster apart from its backups, as plain values: the components' arguments without secrets,
 * and what `pgbackstop render` reads from a file. The types derive from the arguments'. Nothing here has a default;
 * clusterPlan.ts fills them in.
 */
import type {
  BootstrapArgs,
  ClusterDrillArgs,
  ClusterLikeArgs,
  ClusterScheduleArgs,
  ClusterStreamingArgs,
  CnpgClusterArgs,
  KeyRef,
  PoolerArgs,
  RecoveryArgs,
  RecoveryTargetArgs,
  ReplicaArgs,
  ResourcesArgs,
  SnapshotArgs,
  SnapshotSourceArgs,
} from "../../databases/cnpgArgs";
import type { BackupScheduleArgs } from "../../databases/hostArgs";
import type { DrillArgs } from "../../drills/drillArgs";
import type { DatabaseSettings, DrillSettings, ScheduleSettings } from "../model/databaseSettings";
import type { Plain } from "../model/plainArguments";

export type KeyRefSettings = Plain<KeyRef>;
/** Where recovery stops; at most one of time, lsn, xid, restorePoint and immediate. */
export type RecoveryTargetSettings = Plain<RecoveryTargetArgs>;
export type SnapshotSourceSettings = Plain<SnapshotSourceArgs>;
/** Requires `bootstrap.recovery`, whose source it follows. */
export type ReplicaSettings = Plain<ReplicaArgs>;
export interface PoolerSettings extends Plain<Omit<PoolerArgs, "spec">> {
  readonly spec?: object | undefined;
}
/** Quantities as Kubernetes writes them. */
export type ResourcesSettings = Plain<ResourcesArgs>;
/** A schedule's settings beyond its time. */
export type ClusterScheduleSettings = Omit<Plain<ClusterScheduleArgs>, keyof BackupScheduleArgs>;
export type SnapshotSettings = Plain<SnapshotArgs>;
/** A drill's settings in the cluster's namespace beyond its time. */
export type ClusterDrillSettings = Omit<Plain<ClusterDrillArgs>, keyof DrillArgs>;

export interface RecoverySettings extends Omit<Plain<RecoveryArgs>, "repositories"> {
  readonly repositories: DatabaseSettings["repositories"];
}

export interface BootstrapSettings extends Omit<Plain<BootstrapArgs>, "recovery"> {
  readonly recovery?: RecoverySettings | undefined;
}

/** Secrets with the keys of one repository, in the cluster's namespace. */
export interface SecretKeysSettings {
  readonly accessKeyId?: KeyRefSettings | undefined;
  readonly secretAccessKey?: KeyRefSettings | undefined;
  readonly sessionToken?: KeyRefSettings | undefined;
  readonly azureKey?: KeyRefSettings | undefined;
  readonly gcsKey?: KeyRefSettings | undefined;
  readonly passphrase?: KeyRefSettings | undefined;
  readonly region?: KeyRefSettings | undefined;
  readonly ca?: KeyRefSettings | undefined;
}

/** Placement of our pods. Kubernetes checks it. */
export interface PodPlacement {
  readonly nodeSelector?: Readonly<Record<string, string>> | undefined;
  readonly tolerations?: readonly object[] | undefined;
  readonly affinity?: object | undefined;
  /** Names of Secrets. */
  readonly imagePullSecrets?: readonly string[] | undefined;
  readonly priorityClassName?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly cpuLimit?: string | undefined;
}

/** A cluster as users write it. A restore's source and an attached Cluster have no storage here. */
export interface DeclaredCluster
  extends Omit<DatabaseSettings, "drills" | "schedules" | "streaming">,
    Omit<Plain<CnpgClusterArgs>, keyof DatabaseSettings | Elsewhere> {
  /** Services in the namespace: each becomes environment variables in every pod. */
  readonly serviceNames?: readonly string[] | undefined;
  readonly bootstrap?: BootstrapSettings | undefined;
  readonly drills?: Readonly<Record<string, DrillSettings & ClusterDrillSettings>> | undefined;
  readonly schedules?:
    | { readonly full?: FullSchedule; readonly diff?: FullSchedule; readonly incr?: FullSchedule }
    | undefined;
  readonly streaming?: Plain<ClusterStreamingArgs> | undefined;
  readonly poolers?: Readonly<Record<string, PoolerSettings>> | undefined;
  readonly spec?: object | undefined;
  readonly like?: (Omit<Plain<ClusterLikeArgs>, "spec"> & { readonly spec?: object | undefined }) | undefined;
  readonly podPlacement?: PodPlacement | undefined;
  /** Only for an attached Cluster. */
  readonly replaceBarmanObjectStore?: boolean | undefined;
}

type FullSchedule = ScheduleSettings & ClusterScheduleSettings;

/** Declared in another form here, or irrelevant to a plan. */
type Elsewhere =
  | "bootstrap"
  | "followRuntime"
  | "like"
  | "plugin"
  | "podPlacement"
  | "poolers"
  | "runtimeDelivery"
  | "runtimeImage"
  | "spec";
