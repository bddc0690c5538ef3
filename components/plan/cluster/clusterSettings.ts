/**
 * What users say of a cluster of CloudNativePG beside its backups, as plain values: the arguments of components without secrets, and what
 * `pgbackstop render` reads from a file. Values that other resources have yet to produce come as the markers of unknown.ts. Nothing here
 * has a default; clusterShape.ts fills them in.
 */
import type { ClusterSettings } from "../model/databaseSettings";

export interface StorageSettings {
  readonly sizeGiB: number;
  readonly storageClass?: string | undefined;
}

export interface TablespaceSettings extends StorageSettings {
  readonly owner?: string | undefined;
  readonly temporary?: boolean | undefined;
}

/** One key of a Secret or ConfigMap. */
export interface KeyRefSettings {
  readonly name: string;
  readonly key: string;
}

export interface RoleSettings {
  readonly ensure?: string | undefined;
  readonly comment?: string | undefined;
  readonly login?: boolean | undefined;
  readonly superuser?: boolean | undefined;
  readonly createdb?: boolean | undefined;
  readonly createrole?: boolean | undefined;
  readonly replication?: boolean | undefined;
  readonly bypassrls?: boolean | undefined;
  readonly connectionLimit?: number | undefined;
  readonly validUntil?: string | undefined;
  readonly inRoles?: readonly string[] | undefined;
  /** A Secret of type kubernetes.io/basic-auth. */
  readonly passwordSecret?: string | undefined;
}

export interface InitdbSettings {
  readonly database?: string | undefined;
  readonly owner?: string | undefined;
  /** A Secret of type kubernetes.io/basic-auth with the owner's password. */
  readonly ownerSecret?: string | undefined;
  readonly encoding?: string | undefined;
  readonly localeProvider?: string | undefined;
  readonly locale?: string | undefined;
  readonly icuLocale?: string | undefined;
  readonly builtinLocale?: string | undefined;
  readonly dataChecksums?: boolean | undefined;
  readonly walSegmentSizeMiB?: number | undefined;
  readonly postInitSql?: readonly string[] | undefined;
  readonly postInitApplicationSql?: readonly string[] | undefined;
  readonly postInitTemplateSql?: readonly string[] | undefined;
}

export interface ImportSettings {
  /** `microservice` (one database) or `monolith`. */
  readonly type: string;
  readonly host: string;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  /** Database to connect to. */
  readonly database?: string | undefined;
  readonly sslMode?: string | undefined;
  readonly passwordSecret?: KeyRefSettings | undefined;
  readonly databases: readonly string[];
  readonly roles?: readonly string[] | undefined;
  readonly schemaOnly?: boolean | undefined;
  readonly postImportSql?: readonly string[] | undefined;
}

/** Where recovery stops; at most one of time, lsn, xid, restorePoint and immediate. */
export interface RecoveryTargetSettings {
  readonly backup?: string | undefined;
  readonly time?: string | undefined;
  readonly lsn?: string | undefined;
  readonly xid?: string | undefined;
  readonly restorePoint?: string | undefined;
  readonly immediate?: boolean | undefined;
  readonly timeline?: string | undefined;
  readonly exclusive?: boolean | undefined;
}

export interface RecoverySettings {
  /** Stanza (with Barman: server name) of the cluster whose backups are restored. */
  readonly stanza: string;
  readonly engine?: string | undefined;
  readonly repositories: ClusterSettings["repositories"];
  /** Those to restore from, and no other; left out, all. */
  readonly from?: readonly string[] | undefined;
  /** The cluster goes on in the archive that it is restored from. */
  readonly continueArchive?: boolean | undefined;
  readonly target?: RecoveryTargetSettings | undefined;
  readonly database?: string | undefined;
  readonly owner?: string | undefined;
  readonly ownerSecret?: string | undefined;
  /** A snapshot to begin with, and WAL from the repositories. */
  readonly snapshot?: SnapshotSourceSettings | undefined;
}

/** Names of VolumeSnapshots. */
export interface SnapshotSourceSettings {
  readonly storage: string;
  readonly walStorage?: string | undefined;
  readonly tablespaces?: Readonly<Record<string, string>> | undefined;
}

/** Beside `bootstrap.recovery`, whose source it follows. */
export interface ReplicaSettings {
  readonly enabled?: boolean | undefined;
  readonly minApplyDelay?: string | undefined;
  readonly promotionToken?: string | undefined;
}

/** At most one. */
export interface BootstrapSettings {
  readonly initdb?: InitdbSettings | undefined;
  readonly import?: ImportSettings | undefined;
  readonly recovery?: RecoverySettings | undefined;
}

export interface PoolerSettings {
  readonly type?: string | undefined;
  readonly instances?: number | undefined;
  readonly poolMode?: string | undefined;
  readonly parameters?: Readonly<Record<string, string>> | undefined;
}

export interface MonitoringSettings {
  readonly podMonitor?: boolean | undefined;
  readonly prometheusRule?: boolean | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly alertLabels?: Readonly<Record<string, string>> | undefined;
  readonly runbookUrl?: string | undefined;
  readonly customQueries?: readonly KeyRefSettings[] | undefined;
  readonly disableDefaultQueries?: boolean | undefined;
}

/** Quantities as Kubernetes writes them. */
export interface ResourcesSettings {
  readonly cpu?: string | undefined;
  readonly memory?: string | undefined;
  readonly cpuLimit?: string | undefined;
  readonly memoryLimit?: string | undefined;
}

export interface ExtensionSettings {
  readonly image: string;
  readonly libraryPath?: readonly string[] | undefined;
  readonly controlPath?: readonly string[] | undefined;
}

/** What CloudNativePG knows of a schedule beyond its time. */
export interface ClusterScheduleSettings {
  readonly suspend?: boolean | undefined;
  readonly immediate?: boolean | undefined;
  readonly target?: string | undefined;
  readonly ownerReference?: string | undefined;
}

export interface SnapshotSettings {
  readonly className?: string | undefined;
  readonly walClassName?: string | undefined;
  readonly tablespaceClassNames?: Readonly<Record<string, string>> | undefined;
  readonly online?: boolean | undefined;
  readonly ownerReference?: string | undefined;
  /** Snapshots on a schedule of their own, beside an engine that archives. */
  readonly cron?: string | undefined;
  readonly keepDays?: number | undefined;
  readonly keepCount?: number | undefined;
  /** A cold snapshot of the primary, or of a cluster with one instance, stops the database. */
  readonly acceptDowntime?: boolean | undefined;
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

/** Of a drill in the cluster's namespace, beside when it is made. */
export interface ClusterDrillSettings {
  readonly resources?: ResourcesSettings | undefined;
}

/** Beside {@link ClusterSettings}. */
export interface ClusterShapeSettings {
  readonly image?: string | undefined;
  readonly imageCatalog?: { readonly name: string; readonly kind?: string | undefined } | undefined;
  readonly storageClass?: string | undefined;
  readonly walStorage?: StorageSettings | undefined;
  readonly tablespaces?: Readonly<Record<string, TablespaceSettings>> | undefined;
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  readonly sharedPreloadLibraries?: readonly string[] | undefined;
  readonly extensions?: Readonly<Record<string, ExtensionSettings>> | undefined;
  readonly roles?: Readonly<Record<string, RoleSettings>> | undefined;
  readonly bootstrap?: BootstrapSettings | undefined;
  readonly replica?: ReplicaSettings | undefined;
  readonly poolers?: Readonly<Record<string, PoolerSettings>> | undefined;
  readonly monitoring?: MonitoringSettings | undefined;
  readonly resources?: ResourcesSettings | undefined;
  readonly sidecar?: ResourcesSettings | undefined;
  readonly processMax?: number | undefined;
  readonly superuserAccess?: boolean | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly snapshots?: SnapshotSettings | undefined;
  readonly drills?: Readonly<Record<string, ClusterDrillSettings>> | undefined;
  readonly drillPolicy?: boolean | undefined;
  /** Secret in the namespace with `notify.json`. */
  readonly notifySecret?: string | undefined;
  /** Only with Dalibo's plugin: `Stanza`, or `Repository` for versions before 0.0.1. */
  readonly stanzaKind?: string | undefined;
  readonly overrides?: { readonly cluster?: object | undefined } | undefined;
}
