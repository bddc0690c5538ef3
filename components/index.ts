/** The public names of the package. */
export { BackupHold, type BackupHoldArgs } from "./actions/backupHold";
export { BackupKind, BackupNow, type BackupNowArgs } from "./actions/backupNow";
export { CheckNow, type CheckNowArgs } from "./actions/checkNow";
export { DrillNow, type DrillNowArgs } from "./actions/drillNow";
export { CipherPassphrase, type CipherPassphraseArgs } from "./credentials/cipherPassphrase";
export {
  type ExternalKeys,
  type ExternalStore,
  type RemoteKey,
  SecretCreationPolicy,
  SecretDeletionPolicy,
  SecretStoreKind,
} from "./credentials/externalKeys";
export {
  type ExternalSecretArgs,
  type NewSecret,
  RepositorySecret,
  type RepositorySecretArgs,
} from "./credentials/repositorySecret";
export { SharedExternalSecret, type SharedExternalSecretArgs } from "./credentials/sharedExternalSecret";
export {
  type ClusterDumpsArgs,
  type BackupMonitoringArgs,
  BackupTarget,
  type BootstrapArgs,
  type ClusterBackupArgs,
  type ClusterDrillArgs,
  type ClusterLikeArgs,
  ClusterEngine,
  type ClusterRepositoryArgs,
  type ClusterScheduleArgs,
  type ClusterSchedules,
  type ClusterStreamingArgs,
  type CnpgClusterArgs,
  type KeyRef,
  type MetadataArgs,
  OwnerReference,
  type PluginRef,
  type PluginRuntime,
  type PodPlacementArgs,
  type PoolerArgs,
  type RecoveryArgs,
  type ReplicaArgs,
  type RecoveryTargetArgs,
  type ResourcesArgs,
  RuntimeDelivery,
  type SnapshotArgs,
  SnapshotOwner,
  type SnapshotSourceArgs,
  type StaleCheckArgs,
  StanzaKind,
} from "./databases/cnpgArgs";
export type * from "./databases/cnpgSpec";
export { CnpgBackup, type CnpgBackupArgs } from "./databases/cnpgBackup";
export { CnpgCluster } from "./databases/cnpgCluster";
export { CnpgPlugin, type CnpgPluginArgs, PluginEngine } from "./databases/cnpgPlugin";
export { CnpgRestore, type CnpgRestoreArgs } from "./databases/cnpgRestore";
export { DatabaseClone, type DatabaseCloneArgs } from "./databases/databaseClone";
export type { HostAccess, HostServer } from "./databases/hostAccess";
export {
  type DumpsArgs,
  ContainerEngine,
  type HostContainerArgs,
  type AcknowledgeArgs,
  type BackupScheduleArgs,
  type BackupSchedules,
  type CommandLogin,
  type CompressArgs,
  CompressType,
  Engine,
  type HostBaseArgs,
  type HostConnection,
  type HostDirectories,
  type HostDumpsArgs,
  type HostMonitoringArgs,
  type HostNodeArgs,
  type HostOtlpArgs,
  type HostPostgresArgs,
  type HostRepositoryArgs,
  type HostSecretFiles,
  type HostSnapshotsArgs,
  type KeepArgs,
  type LocalConnection,
  type MaintenanceArgs,
  type MaintenanceTaskArgs,
  type PostgresHostArgs,
  type RepositoryScheduleArgs,
  type RepositorySchedules,
  type SshConnection,
  type VerifyTaskArgs,
  type ZfsSnapshotsArgs,
} from "./databases/hostArgs";
export {
  type HostNotifyArgs,
  MailSecurity,
  NotifyEvent,
  type NotifyTargetArgs,
  NotifyType,
} from "./databases/notifyArgs";
export { Acknowledge, HostArchive, type StreamingArgs } from "./databases/walArgs";
export { type BackupPriorityArgs, IoClass, type LimitRate } from "./databases/loadArgs";
export type { ObjectivesArgs, SizingArgs } from "./databases/objectivesArgs";
export { FireDrill, type FireDrillArgs } from "./drills/fireDrill";
export {
  type DrillArgs,
  type DrillAssertionArgs,
  type DrillChecksArgs,
  type DrilledDatabase,
  DrillHow,
  DrillLevel,
  DrillPick,
  type DrillStatementArgs,
  type HostDrillArgs,
} from "./drills/drillArgs";
export { PostgresHost } from "./databases/postgresHost";
export { type RepositoryClientArgs, RepositoryHost, type RepositoryHostArgs } from "./databases/repositoryHost";
export { SslMode } from "./databases/sslMode";
export { type PrimaryArgs, StandbyHost, type StandbyHostArgs } from "./databases/standbyHost";
export { B2ApplicationKey, type B2ApplicationKeyArgs } from "./dynamic/b2ApplicationKey";
export { B2Bucket, type B2BucketArgs, type B2LifecycleRule, type B2Retention } from "./dynamic/b2Bucket";
export { AzureRepository } from "./repositories/azureRepository";
export {
  AzureAccountKey,
  type AzureContainerChoice,
  type AzureCredentialsChoice,
  type AzureExistingContainer,
  type AzureExistingKeys,
  type AzureManagedIdentity,
  type AzureNewContainer,
  type AzureNewKeys,
  AzureRedundancy,
  type AzureRepositoryArgs,
  type AzureSharedKey,
} from "./repositories/azureRepositoryArgs";
export { GcsRepository } from "./repositories/gcsRepository";
export type {
  GcsBucketChoice,
  GcsCredentialsChoice,
  GcsExistingBucket,
  GcsExistingKeys,
  GcsIdentity,
  GcsNewBucket,
  GcsNewKeys,
  GcsRepositoryArgs,
} from "./repositories/gcsRepositoryArgs";
export {
  type B2BucketChoice,
  type B2CredentialsChoice,
  type B2ExistingBucket,
  type B2ExistingKeys,
  type B2NewBucket,
  type B2NewKeys,
  B2Repository,
  type B2RepositoryArgs,
} from "./repositories/b2Repository";
export { Monitoring, type MonitoringArgs, type MonitoringObjectsArgs } from "./monitoring/monitoring";
export { Runbook, type RunbookArgs } from "./monitoring/runbook";
export { PosixRepository, type PosixRepositoryArgs } from "./repositories/posixRepository";
export {
  type R2BucketChoice,
  type R2CredentialsChoice,
  type R2ExistingBucket,
  type R2ExistingKeys,
  R2Jurisdiction,
  R2Location,
  type R2NewBucket,
  type R2NewTokens,
  R2Repository,
  type R2RepositoryArgs,
} from "./repositories/r2Repository";
export {
  type ExistingBucket,
  type S3BucketArgs,
  S3CompatibleRepository,
  type S3CompatibleRepositoryArgs,
} from "./repositories/s3CompatibleRepository";
export type { BucketContentArgs, BucketProtectionArgs, EncryptionArgs } from "./repositories/repositoryArgs";
export { S3Repository } from "./repositories/s3Repository";
export type {
  S3BucketChoice,
  S3CredentialsChoice,
  S3ExistingBucket,
  S3ExistingKeys,
  S3InstanceRole,
  S3Irsa,
  S3NewBucket,
  S3NewKeys,
  S3PodIdentity,
  S3RepositoryArgs,
  S3Role,
} from "./repositories/s3RepositoryArgs";
export { SftpRepository, type SftpRepositoryArgs } from "./repositories/sftpRepository";
export {
  type AzureCredentials,
  AzureKeyType,
  type AzureLocation,
  type BucketFacts,
  type CipherRef,
  type GcsCredentials,
  GcsKeyType,
  type GcsLocation,
  LockMode,
  type RepositoryTarget,
  type S3Credentials,
  S3KeyType,
  type S3Location,
  S3Quirks,
  type SecretRef,
  type SftpFacts,
  type SftpLocation,
  UriStyle,
} from "./repositories/target";
