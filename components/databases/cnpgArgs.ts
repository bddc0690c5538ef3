/**
 * Arguments of the components for CloudNativePG. Values may come from other resources, except where `@plain` says which
 * objects they decide. CloudNativePG decides fields that you omit, unless a default is named here.
 */
import type * as pulumi from "@pulumi/pulumi";
import type { DrillArgs, DrillChecksArgs } from "../drills/drillArgs";
import type { ClusterSpec, SpecAffinitySpec, TolerationSpec } from "./cnpgSpec";
import type { KeyRef, MetadataArgs, PoolerArgs } from "./cnpgFields";
import type { AcknowledgeArgs, BackupScheduleArgs, DumpsArgs, HostRepositoryArgs } from "./hostArgs";
import type { StreamingArgs } from "./walArgs";
import type { ObjectivesArgs, SizingArgs } from "./objectivesArgs";

export type * from "./cnpgFields";

/** The program that archives and backs up a cluster. */
export const ClusterEngine = {
  /** The plugin of this package: one pass into all repositories; a failing repository does not affect the others. */
  Runtime: "runtime",
  /** Dalibo's plugin with stock pgBackRest. */
  Pgbackrest: "pgbackrest",
  /** The Barman Cloud plugin: one bucket, full backups, no encryption of its own. */
  BarmanCloud: "barman-cloud",
  /** Snapshots by the storage alone: no archive, and no recovery to a time between them. */
  VolumeSnapshot: "volumeSnapshot",
} as const;
export type ClusterEngine = (typeof ClusterEngine)[keyof typeof ClusterEngine];

/** The instance that a backup reads. */
export const BackupTarget = { Primary: "primary", PreferStandby: "prefer-standby" } as const;
export type BackupTarget = (typeof BackupTarget)[keyof typeof BackupTarget];

/** Owner whose deletion removes a Backup object; the backup itself stays. */
export const OwnerReference = { None: "none", Self: "self", Cluster: "cluster" } as const;
export type OwnerReference = (typeof OwnerReference)[keyof typeof OwnerReference];

/** Owner whose deletion removes VolumeSnapshots, besides their retention. */
export const SnapshotOwner = { None: "none", Cluster: "cluster", Backup: "backup" } as const;
export type SnapshotOwner = (typeof SnapshotOwner)[keyof typeof SnapshotOwner];

/** The kind of the configuration object of Dalibo's plugin. */
export const StanzaKind = {
  Stanza: "Stanza",
  /** Before its version 0.0.1. */
  Repository: "Repository",
} as const;
export type StanzaKind = (typeof StanzaKind)[keyof typeof StanzaKind];

/** The plugin that `CnpgPlugin` has installed. */
export interface PluginRef {
  /** Name of the plugin. Resolves when it is ready. */
  name: pulumi.Input<string>;
  /** Runtime that it serves to pods of clusters; absent if it serves none. */
  runtime?: pulumi.Input<PluginRuntime | undefined>;
}

/** A runtime that the plugin serves. */
export interface PluginRuntime {
  /**
   * SHA-256 of the runtime, in hexadecimal digits.
   * @plain what pods fetch; `runtime` as a whole may come from another resource
   */
  sha256: string;
  /**
   * Address of the plugin inside Kubernetes.
   * @plain what pods fetch; `runtime` as a whole may come from another resource
   * @example "http://pgbackstop.cnpg-system.svc:9091"
   */
  url: string;
  /**
   * Image of Node.js that runs it.
   * @plain what pods fetch; `runtime` as a whole may come from another resource
   */
  image: string;
  /**
   * True if only clusters with `runtimeDelivery: "plugin"` take it: the plugin's own image contains it.
   * @plain what pods fetch; `runtime` as a whole may come from another resource
   */
  onRequest: boolean;
  /**
   * Version of the package that brought the runtime: clusters get a configuration that this version knows.
   * @plain what pods fetch; `runtime` as a whole may come from another resource
   */
  version?: string;
}

/** How the runtime gets into the pods of a cluster. */
export const RuntimeDelivery = {
  /** Pods fetch it from the plugin: the state contains none of it. */
  Plugin: "plugin",
  /** A ConfigMap carries it: for namespaces whose pods may not connect to the plugin. It adds 3 MB to the state. */
  ConfigMap: "configMap",
} as const;
export type RuntimeDelivery = (typeof RuntimeDelivery)[keyof typeof RuntimeDelivery];

/** The inputs of one-shot actions on a cluster: `access` of a CnpgCluster or CnpgBackup. No secret. */
export interface ClusterAccess {
  namespace: pulumi.Input<string>;
  /** Name of the Cluster. Resolves when it is ready. */
  clusterName: pulumi.Input<string>;
  /**
   * Specs of `Backup` objects by kind: as many as one backup of that kind takes to reach every repository. `snapshot`
   * exists with snapshots alongside an engine.
   */
  backups: { [type: string]: pulumi.Inputs[] };
  /** The same into one repository, by its key. */
  repositoryBackups?: { [key: string]: RepositoryBackups };
  /** Whether a Secret exists to sign in as `postgres`; absent if another program decides that. */
  superuserAccess?: pulumi.Input<boolean>;
  /** How Jobs run verbs; only with engine runtime. */
  verbs?: ClusterVerbs;
}

/** Specs of `Backup` objects into one repository, by kind. Go's SDK of Pulumi has no type for deeper maps. */
export interface RepositoryBackups {
  full?: pulumi.Inputs[];
  diff?: pulumi.Inputs[];
  incr?: pulumi.Inputs[];
  snapshot?: pulumi.Inputs[];
}

/**
 * The parts with which a Job uses a cluster's repositories, and Jobs that run its drills immediately or hold a backup.
 * No secret: volumes name Secrets.
 */
export interface ClusterVerbs {
  args: string[];
  volumeMounts: pulumi.Input<pulumi.Inputs[]>;
  volumes: pulumi.Input<pulumi.Inputs[]>;
  /** Specs of Jobs, by drill name. */
  drills: { [name: string]: pulumi.Input<pulumi.Inputs> };
  /** Spec of a Job that runs `hold`; the options of the hold follow the arguments of its container. */
  hold: pulumi.Input<pulumi.Inputs>;
}

/** One repository, and its retention. */
export interface ClusterRepositoryArgs extends HostRepositoryArgs {
  /** Certificate of the server's authority, in a Secret. */
  ca?: KeyRef;
}

/** Times of a backup, in UTC: CloudNativePG supports no other time zone. */
export interface ClusterScheduleArgs extends BackupScheduleArgs {
  /** Creates the schedule without running it. @default false */
  suspend?: pulumi.Input<boolean>;
  /**
   * Takes a backup as soon as the schedule exists.
   * @default true for `full`, else false
   * @plain whether an update waits with a Job
   */
  immediate?: boolean;
  /** Instance that the backup reads. @default `backupTarget` of the cluster */
  target?: pulumi.Input<BackupTarget>;
  /** Owner whose deletion removes the schedule's Backup objects. @default "self" */
  ownerReference?: pulumi.Input<OwnerReference>;
}

/** Backups by kind; all repositories get each one. */
export interface ClusterSchedules {
  /** Full backups: everything. */
  full?: ClusterScheduleArgs;
  /** Differential backups: what changed since the last full backup. */
  diff?: ClusterScheduleArgs;
  /** Incremental backups: what changed since the last backup of any kind. */
  incr?: ClusterScheduleArgs;
}

/** Quantities in Kubernetes' form: `500m`, `256Mi`. */
export interface ResourcesArgs {
  /** Requested CPU. */
  cpu?: pulumi.Input<string>;
  /** Requested memory. */
  memory?: pulumi.Input<string>;
  /** Limit of CPU. */
  cpuLimit?: pulumi.Input<string>;
  /** Limit of memory. */
  memoryLimit?: pulumi.Input<string>;
}

/** Placement and limits of this package's own pods. PostgreSQL's pods follow the Cluster. */
export interface PodPlacementArgs {
  /** Labels that nodes must have. */
  nodeSelector?: pulumi.Input<{ [label: string]: pulumi.Input<string> }>;
  /** Node taints that the pods tolerate, in Kubernetes' form. */
  tolerations?: TolerationSpec[];
  /** Affinity in Kubernetes' form, merged into the package's own. */
  affinity?: SpecAffinitySpec;
  /** Names of Secrets with registry credentials, in the pods' namespace. */
  imagePullSecrets?: pulumi.Input<string>[];
  /** Name of a PriorityClass. */
  priorityClassName?: pulumi.Input<string>;
  /** Annotations of the pods. @example { "sidecar.istio.io/inject": "false" } */
  annotations?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** Limit of CPU, which a namespace may require by a ResourceQuota. Memory has one always. @example "500m" */
  cpuLimit?: pulumi.Input<string>;
}

/**
 * Snapshots of the cluster's volumes, alongside an engine or as the engine. They stay in the cluster's storage.
 * CloudNativePG removes none: a daily CronJob with its own account does, by `keepDays` and `keepCount`.
 */
export interface SnapshotArgs {
  /** VolumeSnapshotClass of the data volumes. */
  className?: pulumi.Input<string>;
  /** VolumeSnapshotClass of the WAL volumes. If omitted, `className`. */
  walClassName?: pulumi.Input<string>;
  /** VolumeSnapshotClass by tablespace. */
  tablespaceClassNames?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** False stops the instance during the snapshot. @default true */
  online?: pulumi.Input<boolean>;
  /** Owner whose deletion removes the VolumeSnapshots. @default "none" */
  ownerReference?: pulumi.Input<SnapshotOwner>;
  /** Cron expression with five fields, in UTC; only with another engine. */
  cron?: pulumi.Input<string>;
  /**
   * Days to keep every snapshot, whole numbers from 1. If you set neither limit, all are kept (PB120). @example 7
   * @plain whether a CronJob removes snapshots @minimum 1 @maximum 9999999
   */
  keepDays?: number;
  /**
   * Number of newest complete snapshots to keep, whatever their age. @default 1 with `keepDays` @example 3
   * @plain whether a CronJob removes snapshots @minimum 1 @maximum 9999999
   */
  keepCount?: number;
  /** Allows cold snapshots (`online: false`) that stop the primary, or the only instance. @default false */
  acceptDowntime?: pulumi.Input<boolean>;
}

/**
 * A drill in the cluster's namespace: a CronJob restores into a throw-away Cluster with production's image and size,
 * and removes it again. Engine "runtime".
 */
export interface ClusterDrillArgs extends DrillArgs {
  /** CPU and memory of the throw-away instance. If omitted, production's. */
  resources?: ResourcesArgs;
}

/** Times of a stale check. */
export interface StaleCheckArgs {
  /** Cron expression with five fields. @default "20 * * * *" */
  cron?: pulumi.Input<string>;
  /** IANA time zone of the hours. @default "UTC" */
  timeZone?: pulumi.Input<string>;
}

/**
 * Ships WAL before its segment is full. With `synchronous` CloudNativePG gets `postgresql.synchronous` with the name
 * `pgbackstop` in front; a limit of the wait (`degradeAfterSeconds`) is refused, because only the operator sets it.
 */
export interface ClusterStreamingArgs extends StreamingArgs {
  /**
   * With `synchronous`: how many standbys must also hold each commit, so that a failover loses none. If omitted, those
   * of `spec.postgresql.synchronous`, else none (PB152).
   * @example 1
   * @minimum 0
   */
  standbys?: pulumi.Input<number>;
}

/** Logical dumps of a cluster, by a CronJob with the Cluster's own `pg_dump`. Engine "runtime". */
export interface ClusterDumpsArgs extends DumpsArgs {
  /** Cron expression with five fields. @example "30 4 * * *" */
  cron: pulumi.Input<string>;
  /** IANA time zone of the hours. @default "UTC" @example "Europe/Berlin" */
  timeZone?: pulumi.Input<string>;
}

/** Common arguments of `CnpgCluster` and `CnpgBackup`. */
export interface ClusterBackupArgs {
  /** Namespace of the cluster. */
  namespace: pulumi.Input<string>;
  /** Program that archives and backs up. @default "runtime" @plain the objects of the engine */
  engine?: ClusterEngine;
  /** Version of pgBackRest, with engine "pgbackrest": the preview reports its known faults. @example "2.58.0" */
  engineVersion?: pulumi.Input<string>;
  /** `ref` of the CnpgPlugin, for which the cluster then waits. If omitted, the plugin must exist. */
  plugin?: PluginRef;
  /** Version of CloudNativePG's operator. @example "1.30.0" */
  operatorVersion?: pulumi.Input<string>;
  /** Name of the cluster in the repositories. If omitted, the name of the Cluster. */
  stanza?: pulumi.Input<string>;
  /**
   * Repositories by key: `repo1`, `repo2`, and so on. A key is part of every option name: keep it when other
   * repositories are added or removed.
   * @example { repo1: { at: b2.target, keepDays: 14 }, repo2: { at: r2.target, keepDays: 90 } }
   */
  repositories: { [key: string]: ClusterRepositoryArgs };
  /**
   * Backup schedules. If omitted, a full backup on Sundays and incremental ones on other days (where the engine has no
   * incremental ones, a full one each day), at a time that depends on the component's name, and 30 days of retention
   * (as long as the bucket's object lock) for repositories without any. The preview states them (PB143). `{}`: none.
   */
  schedules?: ClusterSchedules;
  /**
   * How long an update waits for a full backup in every repository, before it fails and lists those without one. The
   * primary's sidecar reports what they hold to a ConfigMap (`destinations`). An update waits again when repositories
   * change. 0: it does not wait, and `destinations` is empty. Only with engine "runtime". If omitted, 60 if a schedule
   * takes its first backup immediately, else 0; 0 for a replica cluster.
   * @example 240
   * @plain whether there is a ConfigMap for the report @minimum 0 @maximum 10080
   */
  firstBackupTimeoutMinutes?: number;
  /** Instance that backups read. @default "prefer-standby", with engine "pgbackrest" "primary" */
  backupTarget?: pulumi.Input<BackupTarget>;
  /** When PostgreSQL may remove a WAL segment. If omitted, once all repositories have it. */
  acknowledge?: AcknowledgeArgs;
  /** Recovery objectives. */
  objectives?: ObjectivesArgs;
  /**
   * PostgreSQL's `archive_timeout`. If omitted, it follows from `objectives.rpoSeconds`, else CloudNativePG's 300
   * seconds.
   * @minimum 0 @maximum 1073741823
   */
  archiveTimeoutSeconds?: pulumi.Input<number>;
  /**
   * The primary's sidecar receives WAL over the replication protocol and ships the segment that PostgreSQL is writing,
   * so that a cluster lost with its volumes costs seconds of commits. A restore by the runtime replays it; stock's ends
   * at the last complete segment. Switching it on or off restarts nothing. Engine "runtime". A replica cluster streams
   * once it is promoted. With `synchronous` no acknowledged commit is lost; the operator then manages
   * `synchronous_standby_names`. If omitted, only complete segments are shipped.
   * @example { intervalSeconds: 5 }
   */
  streaming?: ClusterStreamingArgs;
  /**
   * Fire drills, by names of your own: lower-case letters, digits and hyphens.
   * @example { monthly: { cron: "0 5 1 * *" } }
   */
  drills?: { [name: string]: ClusterDrillArgs };
  /** Checks of every drill. */
  drillChecks?: DrillChecksArgs;
  /** Logical dumps besides the backups. If omitted, none. @example { cron: "30 4 * * *", keepDays: 14 } */
  dumps?: ClusterDumpsArgs;
  /**
   * Creates ValidatingAdmissionPolicies, two each, which limit what the accounts of drills and dumps can create. They
   * are cluster-wide: set false if the program may not create them (PB141).
   * @default true
   * @plain whether these policies exist
   */
  drillPolicy?: boolean;
  /**
   * A Secret in the namespace whose key `notify.json` has the notification targets of scheduled Jobs, in the form of
   * the verb `notify`. They receive the result of each drill, and the start, success or failure of drills, dumps
   * and snapshot removal. Mounted as a file. If omitted, there are no notifications.
   * @example "backup-notify"
   */
  notifySecret?: pulumi.Input<string>;
  /**
   * Placement, pull secrets and annotations of this package's pods: drills, snapshot removal, the start of dumps, and
   * the wait for full backups.
   * @example { nodeSelector: { pool: "backups" }, imagePullSecrets: ["registry"], priorityClassName: "low" }
   */
  podPlacement?: PodPlacementArgs;
  /**
   * A CronJob compares the newest backup and WAL of each repository with `schedules` and `objectives.rpoSeconds` (at
   * least 15 minutes), and each run reports stale ones to `notifySecret` as event `stale`. It needs neither
   * Prometheus nor PostgreSQL; so with `rpoSeconds` a database without writes counts as stale. Engine
   * "runtime". If omitted, nothing checks for stale backups.
   * @example {}
   */
  staleCheck?: StaleCheckArgs;
  /** Expected amounts, for cost estimates. */
  sizing?: SizingArgs;
  /** Volume snapshots, alongside the engine or as the engine. */
  snapshots?: SnapshotArgs;
  /** Objects of the Prometheus operator. */
  monitoring?: BackupMonitoringArgs;
  /** Kind of the configuration object of Dalibo's plugin. @default "Stanza" @plain the kind of an object */
  stanzaKind?: StanzaKind;
  /**
   * CPU and memory of the sidecar. With engine "runtime" `cpu` is 100m by default, `memory` and `memoryLimit` are
   * 448Mi, and one of the two also stands for the other. The other engines have no default: "pgbackrest" sets a
   * `PluginConfig` of Dalibo's plugin, "barman-cloud" its ObjectStore.
   */
  sidecar?: ResourcesArgs;
  /**
   * Number of files that a sidecar of engine "runtime" processes at once: each additional one adds 160Mi to its memory,
   * unless `sidecar` sets it.
   * @default 1 @minimum 1 @maximum 999
   */
  processMax?: pulumi.Input<number>;
  /**
   * True updates to the plugin's runtime, or with `runtimeDelivery: "configMap"` to the installed package's, with the
   * next update, which restarts the instances one after the other; false keeps the cluster's runtime.
   * @default false
   * @plain whether changes of the runtime are ignored
   */
  followRuntime?: boolean;
  /**
   * How pods get the runtime. Use `configMap` in a namespace whose pods may not connect to the plugin. An existing
   * cluster keeps its delivery until it follows another runtime.
   * @default "plugin" if the plugin serves its runtime, else "configMap"
   * @plain the content of a ConfigMap
   */
  runtimeDelivery?: RuntimeDelivery;
  /**
   * Your own image that contains the runtime (built with this package's `Dockerfile`), by digest, for the pods of
   * this cluster. Another image restarts the instances one after the other; `followRuntime` and `runtimeDelivery` have
   * no effect.
   * @example "registry.example.net/pgbackstop@sha256:…"
   */
  runtimeImage?: pulumi.Input<string>;
  /**
   * Further options of pgBackRest by name (docs/reference/options.md), with values as pgbackrest.conf has them; a list
   * has one value on each line. `backup:process-max` is for one command. Arguments decide some options, and refuse them
   * here (PB170).
   * @example { "log-level-file": "detail", "archive-push-queue-max": "64GiB" }
   */
  options?: { [name: string]: pulumi.Input<string> };
  /**
   * Maps the code of each acceptable warning or note of the preview to its reason. Errors cannot be silenced.
   * @plain which findings the preview reports
   */
  silence?: { [code: string]: string };
  /**
   * Maps each intended weakening to its reason. The key is what `pgbackstop topology diff` prints (`path=new value`).
   * An entry covers one update; the next change needs its own.
   * @plain which weakenings the comparison of a preview accepts
   */
  acknowledgeWeaker?: { [change: string]: string };
}

/**
 * End of the recovery. If omitted, the end of the archive; at most one of time, lsn, xid, restorePoint and immediate.
 */
export interface RecoveryTargetArgs {
  /** Label of the backup to restore. */
  backup?: pulumi.Input<string>;
  /** Time in RFC 3339. @example "2026-11-20T06:40:59Z" */
  time?: pulumi.Input<string>;
  /** Log sequence number. */
  lsn?: pulumi.Input<string>;
  /** Transaction id. */
  xid?: pulumi.Input<string>;
  /** Name of a restore point (`pg_create_restore_point`). */
  restorePoint?: pulumi.Input<string>;
  /** True stops as soon as the backup is consistent. */
  immediate?: pulumi.Input<boolean>;
  /** Timeline to recover along. @default "latest" */
  timeline?: pulumi.Input<string>;
  /** True stops just before the target instead of just after it. */
  exclusive?: pulumi.Input<boolean>;
}

/** Names of VolumeSnapshots to restore. */
export interface SnapshotSourceArgs {
  /** Snapshot of the data volume. */
  storage: pulumi.Input<string>;
  /** Snapshot of the WAL volume. */
  walStorage?: pulumi.Input<string>;
  /** Snapshots of tablespaces, by their names. */
  tablespaces?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

/** A cluster's backups as the source of a new cluster. */
export interface RecoveryArgs {
  /** Name of the backed-up cluster in the repositories. */
  stanza: pulumi.Input<string>;
  /** Engine that wrote the backups. @default the engine of the cluster @plain the objects of the source */
  engine?: ClusterEngine;
  /**
   * Major version of the backed-up cluster, if known: a cluster of another version cannot start with its files, and is
   * refused.
   * @minimum 14
   */
  postgresVersion?: pulumi.Input<number>;
  /** Repositories with its backups, by key. */
  repositories: { [key: string]: ClusterRepositoryArgs };
  /** Keys of the repositories to restore from; no others are read. If omitted, all. @example ["repo2"] */
  from?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Reads the repository as of this time, before somebody overwrote or deleted backups. The bucket must keep versions,
   * and the key must be able to list and read them (`readerTarget`). Needs one repository in `from`, and engine
   * "runtime". RFC 3339. @default as it is now @example "2026-11-20T06:40:59Z"
   */
  repositoryTargetTime?: pulumi.Input<string>;
  /**
   * True continues the archive of the restored cluster under another name: only if the previous cluster is permanently
   * gone (docs/kubernetes/rename.md).
   * @default false
   */
  continueArchive?: pulumi.Input<boolean>;
  /** End of the recovery. */
  target?: RecoveryTargetArgs;
  /**
   * The application's database, for which CloudNativePG writes a Secret. CloudNativePG creates it if the backup lacks
   * it; a cluster's `source` names its own.
   * @default app
   */
  database?: pulumi.Input<string>;
  /** Role that owns that database. CloudNativePG sets its password. @default the name of the database */
  owner?: pulumi.Input<string>;
  /** Secret of type `kubernetes.io/basic-auth` for that role. If omitted, CloudNativePG makes one. */
  ownerSecret?: pulumi.Input<string>;
  /** VolumeSnapshots to start from. */
  snapshot?: SnapshotSourceArgs;
}

/** Source of the cluster. Only read while the cluster is created. */
export interface BootstrapArgs {
  /** A cluster's backups. `spec.bootstrap` has the other ways. */
  recovery?: RecoveryArgs;
}

/**
 * A replica cluster: it follows the archive in `bootstrap.recovery`, from any of its repositories, without a connection
 * to the other cluster. It archives the received WAL into its own repositories.
 */
export interface ReplicaArgs {
  /**
   * False promotes it permanently: it starts a new timeline. Its pods are not recreated for that.
   * @default true
   * @plain whether an update waits with a Job
   */
  enabled?: boolean;
  /** Delay behind the source. @example "4h" */
  minApplyDelay?: pulumi.Input<string>;
  /** Token of a demoted primary (`status.demotionToken`): the promotion waits until all of its WAL has arrived. */
  promotionToken?: pulumi.Input<string>;
}

/**
 * Objects of the Prometheus operator for this cluster, whose custom resource definitions must exist, and the page of
 * `pgbackstop report`.
 */
export interface BackupMonitoringArgs {
  /**
   * Creates a PodMonitor: CloudNativePG's port 9187 on every pod, which includes the sidecars' metrics.
   * @default false
   * @plain whether the PodMonitor exists
   */
  podMonitor?: boolean;
  /**
   * Metrics over TLS: a new Cluster gets it, and the PodMonitor checks the certificate of the Cluster's authority.
   * Prometheus reads the Secret `<cluster>-ca`. Without it `spec.monitoring.tls` decides.
   * @example true
   */
  tls?: pulumi.Input<boolean>;
  /**
   * Creates a PrometheusRule with the alerts of this cluster (docs/monitoring.md); only with engine "runtime".
   * `Monitoring` creates one for several databases: use one of the two.
   * @default false
   * @plain whether the PrometheusRule exists
   */
  prometheusRule?: boolean;
  /**
   * Labels of both objects, which the `podMonitorSelector` and `ruleSelector` of a Prometheus ask for.
   * @example { release: "kube-prometheus-stack" }
   */
  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** Labels of every alert, for the routes of Alertmanager. @example { team: "databases" } */
  alertLabels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** URL of your own page about the alerts; each alert's name is appended after `#` in lower case. */
  runbookUrl?: pulumi.Input<string>;
  /**
   * Serves the page of `pgbackstop report` in each pod, as `/report` on port 9854 of its loopback, which
   * `kubectl port-forward` reaches (docs/report.md). A key of a Secret in the namespace has the password, of at least
   * 16 characters. Only with engine "runtime". Instances restart when you add, rename or remove it, not when the
   * password changes.
   * @example { name: "orders-report", key: "password" }
   */
  reportPassword?: KeyRef;
}

/** What a copy of a cluster needs to start: the same programs and libraries, and volumes of the same kinds. */
export interface ClusterLikeArgs {
  /**
   * Major version, 14 to 18; its image by digest is this package's (docs/kubernetes/restarts.md). 19 needs `image`.
   * @default 18
   * @minimum 14 @maximum 19
   */
  postgresVersion?: pulumi.Input<number>;
  /** Image to use instead, preferably pinned by digest. The tag must start with the major version. */
  image?: pulumi.Input<string>;
  /** Size of each instance's data volume. @exclusiveMinimum 0 */
  storageGiB?: pulumi.Input<number>;
  /** StorageClass of the data volumes. Without it Kubernetes uses its default class. */
  storageClass?: pulumi.Input<string>;
  /** Settings of PostgreSQL. @example { shared_buffers: "256MB" } */
  parameters?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /**
   * Any field of the Cluster's `spec` in CloudNativePG 1.28 to 1.30, by its own name there; the type names fields that
   * only some of these versions have. It is merged with the fields that other arguments set: objects by their fields,
   * lists by the names of their items. A field that another argument says, too, is an error (PB200), and one that no
   * version has is passed on with a warning (PB192).
   * @example { walStorage: { size: "10Gi" }, postgresql: { pg_hba: ["hostssl shop shop 10.0.0.0/8 cert"] } }
   */
  spec?: ClusterSpec;
}

export interface CnpgClusterArgs extends ClusterBackupArgs, ClusterLikeArgs {
  /** Name of the Cluster. If omitted, the name of this component. */
  clusterName?: pulumi.Input<string>;
  /** Number of instances: one primary, the others standbys. @default 1 @minimum 1 */
  instances?: pulumi.Input<number>;
  /** `like` of a cluster to copy. What this one says itself counts first. @example orders.like */
  like?: ClusterLikeArgs;
  /** Backups to start from. If omitted, `spec.bootstrap` decides, else an empty cluster with a database `app`. */
  bootstrap?: BootstrapArgs;
  /** Makes it a replica cluster of its source. */
  replica?: ReplicaArgs;
  /** PgBouncer poolers, by names of your own. `rw`, `ro` and `r` are those of the Cluster's Services. */
  poolers?: { [name: string]: PoolerArgs };
  /** Objects of the Prometheus operator. */
  monitoring?: BackupMonitoringArgs;
  /** Labels and annotations of the Cluster object. */
  metadata?: MetadataArgs;
}
