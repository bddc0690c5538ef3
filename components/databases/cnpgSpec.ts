/**
 * What CloudNativePG 1.28 to 1.30 knows below `spec`, by the names of its API reference. `npm run docs` makes this
 * file from its custom resource definitions. A field that only some versions have says so: in others, the API
 * server drops it.
 */
import type * as pulumi from "@pulumi/pulumi";

/** A number, or text: a quantity of Kubernetes, a port. Unions exist in no schema of Pulumi. */
export type IntOrString = pulumi.Inputs[string];

export interface AdditionalPodAffinitySpec {
  preferredDuringSchedulingIgnoredDuringExecution?: PreferredSpec[];
  requiredDuringSchedulingIgnoredDuringExecution?: PodAffinityTermSpec[];
}

export interface AdditionalSpec {
  selectorType?: pulumi.Input<string>;
  serviceTemplate?: ServiceTemplateSpec;
  updateStrategy?: pulumi.Input<string>;
}

export interface AffinitySpec {
  additionalPodAffinity?: AdditionalPodAffinitySpec;
  additionalPodAntiAffinity?: AdditionalPodAffinitySpec;
  enablePodAntiAffinity?: pulumi.Input<boolean>;
  nodeAffinity?: NodeAffinitySpec;
  nodeSelector?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  podAntiAffinityType?: pulumi.Input<string>;
  tolerations?: TolerationSpec[];
  topologyKey?: pulumi.Input<string>;
}

export interface AppArmorProfileSpec {
  localhostProfile?: pulumi.Input<string>;
  type?: pulumi.Input<string>;
}

export interface AwsElasticBlockStoreSpec {
  fsType?: pulumi.Input<string>;
  partition?: pulumi.Input<number>;
  readOnly?: pulumi.Input<boolean>;
  volumeID?: pulumi.Input<string>;
}

export interface AzureCredentialsSpec {
  connectionString?: SecretKeySpec;
  inheritFromAzureAD?: pulumi.Input<boolean>;
  storageAccount?: SecretKeySpec;
  storageKey?: SecretKeySpec;
  storageSasToken?: SecretKeySpec;
  /** From CloudNativePG 1.29 on. */
  useDefaultAzureCredentials?: pulumi.Input<boolean>;
}

export interface AzureDiskSpec {
  cachingMode?: pulumi.Input<string>;
  diskName?: pulumi.Input<string>;
  diskURI?: pulumi.Input<string>;
  fsType?: pulumi.Input<string>;
  kind?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
}

export interface AzureFileSpec {
  readOnly?: pulumi.Input<boolean>;
  secretName?: pulumi.Input<string>;
  shareName?: pulumi.Input<string>;
}

export interface BackupSpec {
  barmanObjectStore?: BarmanObjectStoreSpec;
  retentionPolicy?: pulumi.Input<string>;
  target?: pulumi.Input<string>;
  volumeSnapshot?: VolumeSnapshotSpec;
}

export interface BarmanObjectStoreSpec {
  azureCredentials?: AzureCredentialsSpec;
  data?: DataSpec;
  destinationPath?: pulumi.Input<string>;
  endpointCA?: SecretKeySpec;
  endpointURL?: pulumi.Input<string>;
  googleCredentials?: GoogleCredentialsSpec;
  historyTags?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  s3Credentials?: S3CredentialsSpec;
  serverName?: pulumi.Input<string>;
  tags?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  wal?: WalSpec;
}

export interface BindAsAuthSpec {
  prefix?: pulumi.Input<string>;
  suffix?: pulumi.Input<string>;
}

export interface BindSearchAuthSpec {
  baseDN?: pulumi.Input<string>;
  bindDN?: pulumi.Input<string>;
  bindPassword?: ConfigMapKeyRefSpec;
  searchAttribute?: pulumi.Input<string>;
  searchFilter?: pulumi.Input<string>;
}

export interface BootstrapSpec {
  initdb?: InitdbSpec;
  pg_basebackup?: PgBasebackupSpec;
  recovery?: RecoverySpec;
}

export interface CapabilitiesSpec {
  add?: pulumi.Input<pulumi.Input<string>[]>;
  drop?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface CephfsSpec {
  monitors?: pulumi.Input<pulumi.Input<string>[]>;
  path?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  secretFile?: pulumi.Input<string>;
  secretRef?: ReferenceSpec;
  user?: pulumi.Input<string>;
}

export interface CertificatesSpec {
  clientCASecret?: pulumi.Input<string>;
  replicationTLSSecret?: pulumi.Input<string>;
  serverAltDNSNames?: pulumi.Input<pulumi.Input<string>[]>;
  serverCASecret?: pulumi.Input<string>;
  serverTLSSecret?: pulumi.Input<string>;
}

export interface CinderSpec {
  fsType?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  secretRef?: ReferenceSpec;
  volumeID?: pulumi.Input<string>;
}

export interface ClaimSpec {
  name?: pulumi.Input<string>;
  request?: pulumi.Input<string>;
}

export interface ClientIPSpec {
  timeoutSeconds?: pulumi.Input<number>;
}

export interface ClusterResourcesSpec {
  claims?: ClaimSpec[];
  limits?: pulumi.Input<{ [name: string]: pulumi.Input<IntOrString> }>;
  requests?: pulumi.Input<{ [name: string]: pulumi.Input<IntOrString> }>;
}

export interface ClusterSpec {
  affinity?: AffinitySpec;
  backup?: BackupSpec;
  bootstrap?: BootstrapSpec;
  certificates?: CertificatesSpec;
  description?: pulumi.Input<string>;
  enablePDB?: pulumi.Input<boolean>;
  enableSuperuserAccess?: pulumi.Input<boolean>;
  env?: EnvSpec[];
  envFrom?: EnvFromSpec[];
  ephemeralVolumeSource?: EphemeralVolumeSourceSpec;
  ephemeralVolumesSizeLimit?: EphemeralVolumesSizeLimitSpec;
  externalClusters?: ExternalClusterSpec[];
  failoverDelay?: pulumi.Input<number>;
  imageCatalogRef?: ImageCatalogRefSpec;
  imageName?: pulumi.Input<string>;
  imagePullPolicy?: pulumi.Input<string>;
  imagePullSecrets?: ReferenceSpec[];
  inheritedMetadata?: InheritedMetadataSpec;
  instances?: pulumi.Input<number>;
  livenessProbeTimeout?: pulumi.Input<number>;
  logLevel?: pulumi.Input<string>;
  managed?: ManagedSpec;
  maxSyncReplicas?: pulumi.Input<number>;
  minSyncReplicas?: pulumi.Input<number>;
  monitoring?: MonitoringSpec;
  nodeMaintenanceWindow?: NodeMaintenanceWindowSpec;
  plugins?: PluginSpec[];
  podSecurityContext?: PodSecurityContextSpec;
  /** From CloudNativePG 1.29 on. */
  podSelectorRefs?: PodSelectorRefSpec[];
  postgresGID?: pulumi.Input<number>;
  postgresUID?: pulumi.Input<number>;
  postgresql?: PostgresqlSpec;
  /** From CloudNativePG 1.30 on. */
  primaryLease?: PrimaryLeaseSpec;
  primaryUpdateMethod?: pulumi.Input<string>;
  primaryUpdateStrategy?: pulumi.Input<string>;
  priorityClassName?: pulumi.Input<string>;
  probes?: ProbesSpec;
  projectedVolumeTemplate?: ProjectedVolumeTemplateSpec;
  replica?: ReplicaSpec;
  replicationSlots?: ReplicationSlotsSpec;
  resources?: ClusterResourcesSpec;
  schedulerName?: pulumi.Input<string>;
  seccompProfile?: AppArmorProfileSpec;
  securityContext?: SecurityContextSpec;
  /** From CloudNativePG 1.29 on. */
  serviceAccountName?: pulumi.Input<string>;
  serviceAccountTemplate?: ServiceAccountTemplateSpec;
  smartShutdownTimeout?: pulumi.Input<number>;
  startDelay?: pulumi.Input<number>;
  stopDelay?: pulumi.Input<number>;
  storage?: StorageSpec;
  superuserSecret?: ReferenceSpec;
  switchoverDelay?: pulumi.Input<number>;
  tablespaces?: TablespaceSpec[];
  topologySpreadConstraints?: TopologySpreadConstraintSpec[];
  walStorage?: StorageSpec;
}

export interface ClusterTrustBundleSpec {
  labelSelector?: LabelSelectorSpec;
  name?: pulumi.Input<string>;
  optional?: pulumi.Input<boolean>;
  path?: pulumi.Input<string>;
  signerName?: pulumi.Input<string>;
}

export interface ConfigMapKeyRefSpec {
  key?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
  optional?: pulumi.Input<boolean>;
}

export interface ConfigMapRefSpec {
  name?: pulumi.Input<string>;
  optional?: pulumi.Input<boolean>;
}

export interface ConfigMapSpec {
  items?: ItemSpec[];
  name?: pulumi.Input<string>;
  optional?: pulumi.Input<boolean>;
}

export interface ContainerPortSpec {
  containerPort?: pulumi.Input<number>;
  hostIP?: pulumi.Input<string>;
  hostPort?: pulumi.Input<number>;
  name?: pulumi.Input<string>;
  protocol?: pulumi.Input<string>;
}

export interface ContainerSpec {
  args?: pulumi.Input<pulumi.Input<string>[]>;
  command?: pulumi.Input<pulumi.Input<string>[]>;
  env?: EnvSpec[];
  envFrom?: EnvFromSpec[];
  image?: pulumi.Input<string>;
  imagePullPolicy?: pulumi.Input<string>;
  lifecycle?: LifecycleSpec;
  livenessProbe?: LivenessProbeSpec;
  name?: pulumi.Input<string>;
  ports?: ContainerPortSpec[];
  readinessProbe?: LivenessProbeSpec;
  resizePolicy?: ResizePolicySpec[];
  resources?: ClusterResourcesSpec;
  restartPolicy?: pulumi.Input<string>;
  restartPolicyRules?: RestartPolicyRuleSpec[];
  securityContext?: SecurityContextSpec;
  startupProbe?: LivenessProbeSpec;
  stdin?: pulumi.Input<boolean>;
  stdinOnce?: pulumi.Input<boolean>;
  terminationMessagePath?: pulumi.Input<string>;
  terminationMessagePolicy?: pulumi.Input<string>;
  tty?: pulumi.Input<boolean>;
  volumeDevices?: VolumeDeviceSpec[];
  volumeMounts?: VolumeMountSpec[];
  workingDir?: pulumi.Input<string>;
}

export interface CsiSpec {
  driver?: pulumi.Input<string>;
  fsType?: pulumi.Input<string>;
  nodePublishSecretRef?: ReferenceSpec;
  readOnly?: pulumi.Input<boolean>;
  volumeAttributes?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

export interface DataSourceRefSpec {
  apiGroup?: pulumi.Input<string>;
  kind?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
  namespace?: pulumi.Input<string>;
}

export interface DataSourceSpec {
  apiGroup?: pulumi.Input<string>;
  kind?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
}

export interface DataSpec {
  additionalCommandArgs?: pulumi.Input<pulumi.Input<string>[]>;
  compression?: pulumi.Input<string>;
  encryption?: pulumi.Input<string>;
  immediateCheckpoint?: pulumi.Input<boolean>;
  jobs?: pulumi.Input<number>;
}

export interface DeploymentStrategySpec {
  rollingUpdate?: RollingUpdateSpec;
  type?: pulumi.Input<string>;
}

export interface DnsConfigSpec {
  nameservers?: pulumi.Input<pulumi.Input<string>[]>;
  options?: SysctlSpec[];
  searches?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface DownwardAPIItemSpec {
  fieldRef?: FieldRefSpec;
  mode?: pulumi.Input<number>;
  path?: pulumi.Input<string>;
  resourceFieldRef?: ResourceFieldRefSpec;
}

export interface DownwardAPISpec {
  items?: DownwardAPIItemSpec[];
}

export interface EmptyDirSpec {
  medium?: pulumi.Input<string>;
  sizeLimit?: pulumi.Input<IntOrString>;
}

export interface EnvFromSpec {
  configMapRef?: ConfigMapRefSpec;
  prefix?: pulumi.Input<string>;
  secretRef?: ConfigMapRefSpec;
}

export interface EnvSpec {
  name?: pulumi.Input<string>;
  value?: pulumi.Input<string>;
  valueFrom?: ValueFromSpec;
}

export interface EphemeralContainerSpec {
  args?: pulumi.Input<pulumi.Input<string>[]>;
  command?: pulumi.Input<pulumi.Input<string>[]>;
  env?: EnvSpec[];
  envFrom?: EnvFromSpec[];
  image?: pulumi.Input<string>;
  imagePullPolicy?: pulumi.Input<string>;
  lifecycle?: LifecycleSpec;
  livenessProbe?: LivenessProbeSpec;
  name?: pulumi.Input<string>;
  ports?: ContainerPortSpec[];
  readinessProbe?: LivenessProbeSpec;
  resizePolicy?: ResizePolicySpec[];
  resources?: ClusterResourcesSpec;
  restartPolicy?: pulumi.Input<string>;
  restartPolicyRules?: RestartPolicyRuleSpec[];
  securityContext?: SecurityContextSpec;
  startupProbe?: LivenessProbeSpec;
  stdin?: pulumi.Input<boolean>;
  stdinOnce?: pulumi.Input<boolean>;
  targetContainerName?: pulumi.Input<string>;
  terminationMessagePath?: pulumi.Input<string>;
  terminationMessagePolicy?: pulumi.Input<string>;
  tty?: pulumi.Input<boolean>;
  volumeDevices?: VolumeDeviceSpec[];
  volumeMounts?: VolumeMountSpec[];
  workingDir?: pulumi.Input<string>;
}

export interface EphemeralVolumeSourceSpec {
  volumeClaimTemplate?: VolumeClaimTemplateSpec;
}

export interface EphemeralVolumesSizeLimitSpec {
  shm?: pulumi.Input<IntOrString>;
  temporaryData?: pulumi.Input<IntOrString>;
}

export interface ExecSpec {
  command?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface ExitCodesSpec {
  operator?: pulumi.Input<string>;
  values?: pulumi.Input<pulumi.Input<number>[]>;
}

export interface ExtensionSpec {
  /** From CloudNativePG 1.29 on. */
  bin_path?: pulumi.Input<pulumi.Input<string>[]>;
  dynamic_library_path?: pulumi.Input<pulumi.Input<string>[]>;
  /** From CloudNativePG 1.29 on. */
  env?: SysctlSpec[];
  extension_control_path?: pulumi.Input<pulumi.Input<string>[]>;
  image?: ImageSpec;
  ld_library_path?: pulumi.Input<pulumi.Input<string>[]>;
  name?: pulumi.Input<string>;
}

export interface ExternalClusterSpec {
  barmanObjectStore?: BarmanObjectStoreSpec;
  connectionParameters?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  name?: pulumi.Input<string>;
  password?: ConfigMapKeyRefSpec;
  plugin?: PluginSpec;
  sslCert?: ConfigMapKeyRefSpec;
  sslKey?: ConfigMapKeyRefSpec;
  sslRootCert?: ConfigMapKeyRefSpec;
}

export interface FcSpec {
  fsType?: pulumi.Input<string>;
  lun?: pulumi.Input<number>;
  readOnly?: pulumi.Input<boolean>;
  targetWWNs?: pulumi.Input<pulumi.Input<string>[]>;
  wwids?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface FieldRefSpec {
  apiVersion?: pulumi.Input<string>;
  fieldPath?: pulumi.Input<string>;
}

export interface FileKeyRefSpec {
  key?: pulumi.Input<string>;
  optional?: pulumi.Input<boolean>;
  path?: pulumi.Input<string>;
  volumeName?: pulumi.Input<string>;
}

export interface FlexVolumeSpec {
  driver?: pulumi.Input<string>;
  fsType?: pulumi.Input<string>;
  options?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  readOnly?: pulumi.Input<boolean>;
  secretRef?: ReferenceSpec;
}

export interface FlockerSpec {
  datasetName?: pulumi.Input<string>;
  datasetUUID?: pulumi.Input<string>;
}

export interface GcePersistentDiskSpec {
  fsType?: pulumi.Input<string>;
  partition?: pulumi.Input<number>;
  pdName?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
}

export interface GitRepoSpec {
  directory?: pulumi.Input<string>;
  repository?: pulumi.Input<string>;
  revision?: pulumi.Input<string>;
}

export interface GlusterfsSpec {
  endpoints?: pulumi.Input<string>;
  path?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
}

export interface GoogleCredentialsSpec {
  applicationCredentials?: SecretKeySpec;
  gkeEnvironment?: pulumi.Input<boolean>;
}

export interface GrpcSpec {
  port?: pulumi.Input<number>;
  service?: pulumi.Input<string>;
}

export interface HighAvailabilitySpec {
  enabled?: pulumi.Input<boolean>;
  slotPrefix?: pulumi.Input<string>;
  synchronizeLogicalDecoding?: pulumi.Input<boolean>;
}

export interface HostAliaseSpec {
  hostnames?: pulumi.Input<pulumi.Input<string>[]>;
  ip?: pulumi.Input<string>;
}

export interface HostPathSpec {
  path?: pulumi.Input<string>;
  type?: pulumi.Input<string>;
}

export interface HttpGetSpec {
  host?: pulumi.Input<string>;
  httpHeaders?: SysctlSpec[];
  path?: pulumi.Input<string>;
  port?: pulumi.Input<IntOrString>;
  scheme?: pulumi.Input<string>;
}

export interface ImageCatalogRefSpec {
  apiGroup?: pulumi.Input<string>;
  kind?: pulumi.Input<string>;
  major?: pulumi.Input<number>;
  name?: pulumi.Input<string>;
}

export interface ImageSpec {
  pullPolicy?: pulumi.Input<string>;
  reference?: pulumi.Input<string>;
}

export interface ImportSpec {
  databases?: pulumi.Input<pulumi.Input<string>[]>;
  pgDumpExtraOptions?: pulumi.Input<pulumi.Input<string>[]>;
  pgRestoreDataOptions?: pulumi.Input<pulumi.Input<string>[]>;
  pgRestoreExtraOptions?: pulumi.Input<pulumi.Input<string>[]>;
  pgRestorePostdataOptions?: pulumi.Input<pulumi.Input<string>[]>;
  pgRestorePredataOptions?: pulumi.Input<pulumi.Input<string>[]>;
  postImportApplicationSQL?: pulumi.Input<pulumi.Input<string>[]>;
  roles?: pulumi.Input<pulumi.Input<string>[]>;
  schemaOnly?: pulumi.Input<boolean>;
  source?: SourceSpec;
  type?: pulumi.Input<string>;
}

export interface InheritedMetadataSpec {
  annotations?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

export interface InitdbSpec {
  builtinLocale?: pulumi.Input<string>;
  dataChecksums?: pulumi.Input<boolean>;
  database?: pulumi.Input<string>;
  encoding?: pulumi.Input<string>;
  icuLocale?: pulumi.Input<string>;
  icuRules?: pulumi.Input<string>;
  import?: ImportSpec;
  locale?: pulumi.Input<string>;
  localeCType?: pulumi.Input<string>;
  localeCollate?: pulumi.Input<string>;
  localeProvider?: pulumi.Input<string>;
  options?: pulumi.Input<pulumi.Input<string>[]>;
  owner?: pulumi.Input<string>;
  postInitApplicationSQL?: pulumi.Input<pulumi.Input<string>[]>;
  postInitApplicationSQLRefs?: PostInitApplicationSQLRefsSpec;
  postInitSQL?: pulumi.Input<pulumi.Input<string>[]>;
  postInitSQLRefs?: PostInitApplicationSQLRefsSpec;
  postInitTemplateSQL?: pulumi.Input<pulumi.Input<string>[]>;
  postInitTemplateSQLRefs?: PostInitApplicationSQLRefsSpec;
  secret?: ReferenceSpec;
  walSegmentSize?: pulumi.Input<number>;
}

export interface IscsiSpec {
  chapAuthDiscovery?: pulumi.Input<boolean>;
  chapAuthSession?: pulumi.Input<boolean>;
  fsType?: pulumi.Input<string>;
  initiatorName?: pulumi.Input<string>;
  iqn?: pulumi.Input<string>;
  iscsiInterface?: pulumi.Input<string>;
  lun?: pulumi.Input<number>;
  portals?: pulumi.Input<pulumi.Input<string>[]>;
  readOnly?: pulumi.Input<boolean>;
  secretRef?: ReferenceSpec;
  targetPortal?: pulumi.Input<string>;
}

export interface IsolationCheckSpec {
  connectionTimeout?: pulumi.Input<number>;
  enabled?: pulumi.Input<boolean>;
  requestTimeout?: pulumi.Input<number>;
}

export interface ItemSpec {
  key?: pulumi.Input<string>;
  mode?: pulumi.Input<number>;
  path?: pulumi.Input<string>;
}

export interface LabelSelectorSpec {
  matchExpressions?: MatchExpressionSpec[];
  matchLabels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

export interface LdapSpec {
  bindAsAuth?: BindAsAuthSpec;
  bindSearchAuth?: BindSearchAuthSpec;
  port?: pulumi.Input<number>;
  scheme?: pulumi.Input<string>;
  server?: pulumi.Input<string>;
  tls?: pulumi.Input<boolean>;
}

export interface LifecycleSpec {
  postStart?: PostStartSpec;
  preStop?: PostStartSpec;
  stopSignal?: pulumi.Input<string>;
}

export interface LivenessProbeSpec {
  exec?: ExecSpec;
  failureThreshold?: pulumi.Input<number>;
  grpc?: GrpcSpec;
  httpGet?: HttpGetSpec;
  initialDelaySeconds?: pulumi.Input<number>;
  periodSeconds?: pulumi.Input<number>;
  successThreshold?: pulumi.Input<number>;
  tcpSocket?: TcpSocketSpec;
  terminationGracePeriodSeconds?: pulumi.Input<number>;
  timeoutSeconds?: pulumi.Input<number>;
}

export interface LivenessSpec {
  failureThreshold?: pulumi.Input<number>;
  initialDelaySeconds?: pulumi.Input<number>;
  isolationCheck?: IsolationCheckSpec;
  periodSeconds?: pulumi.Input<number>;
  successThreshold?: pulumi.Input<number>;
  terminationGracePeriodSeconds?: pulumi.Input<number>;
  timeoutSeconds?: pulumi.Input<number>;
}

export interface ManagedSpec {
  roles?: RoleSpec[];
  services?: ServicesSpec;
}

export interface MatchExpressionSpec {
  key?: pulumi.Input<string>;
  operator?: pulumi.Input<string>;
  values?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface MetadataSpec {
  annotations?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  name?: pulumi.Input<string>;
}

export interface MonitoringSpec {
  customQueriesConfigMap?: SecretKeySpec[];
  customQueriesSecret?: SecretKeySpec[];
  disableDefaultQueries?: pulumi.Input<boolean>;
  enablePodMonitor?: pulumi.Input<boolean>;
  metricsQueriesTTL?: pulumi.Input<string>;
  podMonitorMetricRelabelings?: PodMonitorMetricRelabelingSpec[];
  podMonitorRelabelings?: PodMonitorMetricRelabelingSpec[];
  tls?: TlsSpec;
}

export interface NfsSpec {
  path?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  server?: pulumi.Input<string>;
}

export interface NodeAffinityPreferredSpec {
  preference?: PreferenceSpec;
  weight?: pulumi.Input<number>;
}

export interface NodeAffinitySpec {
  preferredDuringSchedulingIgnoredDuringExecution?: NodeAffinityPreferredSpec[];
  requiredDuringSchedulingIgnoredDuringExecution?: RequiredSpec;
}

export interface NodeMaintenanceWindowSpec {
  inProgress?: pulumi.Input<boolean>;
  reusePVC?: pulumi.Input<boolean>;
}

export interface OnlineConfigurationSpec {
  immediateCheckpoint?: pulumi.Input<boolean>;
  waitForArchive?: pulumi.Input<boolean>;
}

export interface PersistentVolumeClaimSpec {
  claimName?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
}

export interface PgBasebackupSpec {
  database?: pulumi.Input<string>;
  owner?: pulumi.Input<string>;
  secret?: ReferenceSpec;
  source?: pulumi.Input<string>;
}

export interface PgbouncerImageCatalogRefSpec {
  apiGroup?: pulumi.Input<string>;
  key?: pulumi.Input<string>;
  kind?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
}

export interface PgbouncerSpec {
  authQuery?: pulumi.Input<string>;
  authQuerySecret?: ReferenceSpec;
  clientCASecret?: ReferenceSpec;
  clientTLSSecret?: ReferenceSpec;
  /** From CloudNativePG 1.30 on. */
  image?: pulumi.Input<string>;
  /** From CloudNativePG 1.30 on. */
  imageCatalogRef?: PgbouncerImageCatalogRefSpec;
  parameters?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  paused?: pulumi.Input<boolean>;
  pg_hba?: pulumi.Input<pulumi.Input<string>[]>;
  poolMode?: pulumi.Input<string>;
  serverCASecret?: ReferenceSpec;
  serverTLSSecret?: ReferenceSpec;
}

export interface PhotonPersistentDiskSpec {
  fsType?: pulumi.Input<string>;
  pdID?: pulumi.Input<string>;
}

export interface PluginSpec {
  enabled?: pulumi.Input<boolean>;
  isWALArchiver?: pulumi.Input<boolean>;
  name?: pulumi.Input<string>;
  parameters?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

export interface PodAffinityTermSpec {
  labelSelector?: LabelSelectorSpec;
  matchLabelKeys?: pulumi.Input<pulumi.Input<string>[]>;
  mismatchLabelKeys?: pulumi.Input<pulumi.Input<string>[]>;
  namespaceSelector?: LabelSelectorSpec;
  namespaces?: pulumi.Input<pulumi.Input<string>[]>;
  topologyKey?: pulumi.Input<string>;
}

export interface PodCertificateSpec {
  certificateChainPath?: pulumi.Input<string>;
  credentialBundlePath?: pulumi.Input<string>;
  keyPath?: pulumi.Input<string>;
  keyType?: pulumi.Input<string>;
  maxExpirationSeconds?: pulumi.Input<number>;
  signerName?: pulumi.Input<string>;
  /** From CloudNativePG 1.29 on. */
  userAnnotations?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

export interface PodMonitorMetricRelabelingSpec {
  action?: pulumi.Input<string>;
  modulus?: pulumi.Input<number>;
  regex?: pulumi.Input<string>;
  replacement?: pulumi.Input<string>;
  separator?: pulumi.Input<string>;
  sourceLabels?: pulumi.Input<pulumi.Input<string>[]>;
  targetLabel?: pulumi.Input<string>;
}

export interface PodSecurityContextSpec {
  appArmorProfile?: AppArmorProfileSpec;
  fsGroup?: pulumi.Input<number>;
  fsGroupChangePolicy?: pulumi.Input<string>;
  runAsGroup?: pulumi.Input<number>;
  runAsNonRoot?: pulumi.Input<boolean>;
  runAsUser?: pulumi.Input<number>;
  seLinuxChangePolicy?: pulumi.Input<string>;
  seLinuxOptions?: SeLinuxOptionsSpec;
  seccompProfile?: AppArmorProfileSpec;
  supplementalGroups?: pulumi.Input<pulumi.Input<number>[]>;
  supplementalGroupsPolicy?: pulumi.Input<string>;
  sysctls?: SysctlSpec[];
  windowsOptions?: WindowsOptionsSpec;
}

export interface PodSelectorRefSpec {
  name?: pulumi.Input<string>;
  selector?: LabelSelectorSpec;
}

export interface PoolerMonitoringSpec {
  enablePodMonitor?: pulumi.Input<boolean>;
  podMonitorMetricRelabelings?: PodMonitorMetricRelabelingSpec[];
  podMonitorRelabelings?: PodMonitorMetricRelabelingSpec[];
  /** From CloudNativePG 1.30 on. */
  tls?: TlsSpec;
}

export interface PoolerSpec {
  cluster?: ReferenceSpec;
  deploymentStrategy?: DeploymentStrategySpec;
  instances?: pulumi.Input<number>;
  monitoring?: PoolerMonitoringSpec;
  pgbouncer?: PgbouncerSpec;
  /** From CloudNativePG 1.29 on. */
  serviceAccountName?: pulumi.Input<string>;
  serviceTemplate?: ServiceTemplateSpec;
  template?: TemplateSpec;
  type?: pulumi.Input<string>;
}

export interface PortSpec {
  appProtocol?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
  nodePort?: pulumi.Input<number>;
  port?: pulumi.Input<number>;
  protocol?: pulumi.Input<string>;
  targetPort?: pulumi.Input<IntOrString>;
}

export interface PortworxVolumeSpec {
  fsType?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  volumeID?: pulumi.Input<string>;
}

export interface PostInitApplicationSQLRefsSpec {
  configMapRefs?: SecretKeySpec[];
  secretRefs?: SecretKeySpec[];
}

export interface PostStartSpec {
  exec?: ExecSpec;
  httpGet?: HttpGetSpec;
  sleep?: SleepSpec;
  tcpSocket?: TcpSocketSpec;
}

export interface PostgresqlSpec {
  enableAlterSystem?: pulumi.Input<boolean>;
  extensions?: ExtensionSpec[];
  ldap?: LdapSpec;
  parameters?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  pg_hba?: pulumi.Input<pulumi.Input<string>[]>;
  pg_ident?: pulumi.Input<pulumi.Input<string>[]>;
  promotionTimeout?: pulumi.Input<number>;
  shared_preload_libraries?: pulumi.Input<pulumi.Input<string>[]>;
  syncReplicaElectionConstraint?: SyncReplicaElectionConstraintSpec;
  synchronous?: SynchronousSpec;
}

export interface PreferenceSpec {
  matchExpressions?: MatchExpressionSpec[];
  matchFields?: MatchExpressionSpec[];
}

export interface PreferredSpec {
  podAffinityTerm?: PodAffinityTermSpec;
  weight?: pulumi.Input<number>;
}

export interface PrimaryLeaseSpec {
  leaseDurationSeconds?: pulumi.Input<number>;
  releasedLeaseDurationSeconds?: pulumi.Input<number>;
  renewDeadlineSeconds?: pulumi.Input<number>;
  retryPeriodSeconds?: pulumi.Input<number>;
}

export interface ProbesSpec {
  liveness?: LivenessSpec;
  readiness?: ReadinessSpec;
  startup?: ReadinessSpec;
}

export interface ProjectedVolumeTemplateSourceSpec {
  clusterTrustBundle?: ClusterTrustBundleSpec;
  configMap?: ConfigMapSpec;
  downwardAPI?: DownwardAPISpec;
  podCertificate?: PodCertificateSpec;
  secret?: ConfigMapSpec;
  serviceAccountToken?: ServiceAccountTokenSpec;
}

export interface ProjectedVolumeTemplateSpec {
  defaultMode?: pulumi.Input<number>;
  sources?: ProjectedVolumeTemplateSourceSpec[];
}

export interface QuobyteSpec {
  group?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  registry?: pulumi.Input<string>;
  tenant?: pulumi.Input<string>;
  user?: pulumi.Input<string>;
  volume?: pulumi.Input<string>;
}

export interface RbdSpec {
  fsType?: pulumi.Input<string>;
  image?: pulumi.Input<string>;
  keyring?: pulumi.Input<string>;
  monitors?: pulumi.Input<pulumi.Input<string>[]>;
  pool?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  secretRef?: ReferenceSpec;
  user?: pulumi.Input<string>;
}

export interface ReadinessGateSpec {
  conditionType?: pulumi.Input<string>;
}

export interface ReadinessSpec {
  failureThreshold?: pulumi.Input<number>;
  initialDelaySeconds?: pulumi.Input<number>;
  maximumLag?: pulumi.Input<IntOrString>;
  periodSeconds?: pulumi.Input<number>;
  successThreshold?: pulumi.Input<number>;
  terminationGracePeriodSeconds?: pulumi.Input<number>;
  timeoutSeconds?: pulumi.Input<number>;
  type?: pulumi.Input<string>;
}

export interface RecoveryBackupSpec {
  endpointCA?: SecretKeySpec;
  name?: pulumi.Input<string>;
}

export interface RecoverySpec {
  backup?: RecoveryBackupSpec;
  database?: pulumi.Input<string>;
  owner?: pulumi.Input<string>;
  recoveryTarget?: RecoveryTargetSpec;
  secret?: ReferenceSpec;
  source?: pulumi.Input<string>;
  volumeSnapshots?: VolumeSnapshotsSpec;
}

export interface RecoveryTargetSpec {
  backupID?: pulumi.Input<string>;
  exclusive?: pulumi.Input<boolean>;
  targetImmediate?: pulumi.Input<boolean>;
  targetLSN?: pulumi.Input<string>;
  targetName?: pulumi.Input<string>;
  targetTLI?: pulumi.Input<string>;
  targetTime?: pulumi.Input<string>;
  targetXID?: pulumi.Input<string>;
}

export interface ReferenceSpec {
  name?: pulumi.Input<string>;
}

export interface ReplicaSpec {
  enabled?: pulumi.Input<boolean>;
  minApplyDelay?: pulumi.Input<string>;
  primary?: pulumi.Input<string>;
  promotionToken?: pulumi.Input<string>;
  self?: pulumi.Input<string>;
  source?: pulumi.Input<string>;
}

export interface ReplicationSlotsSpec {
  highAvailability?: HighAvailabilitySpec;
  synchronizeReplicas?: SynchronizeReplicasSpec;
  updateInterval?: pulumi.Input<number>;
}

export interface RequiredSpec {
  nodeSelectorTerms?: PreferenceSpec[];
}

export interface ResizePolicySpec {
  resourceName?: pulumi.Input<string>;
  restartPolicy?: pulumi.Input<string>;
}

export interface ResourceClaimSpec {
  name?: pulumi.Input<string>;
  resourceClaimName?: pulumi.Input<string>;
  resourceClaimTemplateName?: pulumi.Input<string>;
}

export interface ResourceFieldRefSpec {
  containerName?: pulumi.Input<string>;
  divisor?: pulumi.Input<IntOrString>;
  resource?: pulumi.Input<string>;
}

export interface ResourcesSpec {
  limits?: pulumi.Input<{ [name: string]: pulumi.Input<IntOrString> }>;
  requests?: pulumi.Input<{ [name: string]: pulumi.Input<IntOrString> }>;
}

export interface RestartPolicyRuleSpec {
  action?: pulumi.Input<string>;
  exitCodes?: ExitCodesSpec;
}

export interface RoleSpec {
  bypassrls?: pulumi.Input<boolean>;
  comment?: pulumi.Input<string>;
  connectionLimit?: pulumi.Input<number>;
  createdb?: pulumi.Input<boolean>;
  createrole?: pulumi.Input<boolean>;
  disablePassword?: pulumi.Input<boolean>;
  ensure?: pulumi.Input<string>;
  inRoles?: pulumi.Input<pulumi.Input<string>[]>;
  inherit?: pulumi.Input<boolean>;
  login?: pulumi.Input<boolean>;
  name?: pulumi.Input<string>;
  passwordSecret?: ReferenceSpec;
  replication?: pulumi.Input<boolean>;
  superuser?: pulumi.Input<boolean>;
  validUntil?: pulumi.Input<string>;
}

export interface RollingUpdateSpec {
  maxSurge?: pulumi.Input<IntOrString>;
  maxUnavailable?: pulumi.Input<IntOrString>;
}

export interface S3CredentialsSpec {
  accessKeyId?: SecretKeySpec;
  inheritFromIAMRole?: pulumi.Input<boolean>;
  region?: SecretKeySpec;
  secretAccessKey?: SecretKeySpec;
  sessionToken?: SecretKeySpec;
}

export interface ScaleIOSpec {
  fsType?: pulumi.Input<string>;
  gateway?: pulumi.Input<string>;
  protectionDomain?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  secretRef?: ReferenceSpec;
  sslEnabled?: pulumi.Input<boolean>;
  storageMode?: pulumi.Input<string>;
  storagePool?: pulumi.Input<string>;
  system?: pulumi.Input<string>;
  volumeName?: pulumi.Input<string>;
}

export interface SchedulingGroupSpec {
  podGroupName?: pulumi.Input<string>;
}

export interface SeLinuxOptionsSpec {
  level?: pulumi.Input<string>;
  role?: pulumi.Input<string>;
  type?: pulumi.Input<string>;
  user?: pulumi.Input<string>;
}

export interface SecretKeySpec {
  key?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
}

export interface SecretSpec {
  defaultMode?: pulumi.Input<number>;
  items?: ItemSpec[];
  optional?: pulumi.Input<boolean>;
  secretName?: pulumi.Input<string>;
}

export interface SecurityContextSpec {
  allowPrivilegeEscalation?: pulumi.Input<boolean>;
  appArmorProfile?: AppArmorProfileSpec;
  capabilities?: CapabilitiesSpec;
  privileged?: pulumi.Input<boolean>;
  procMount?: pulumi.Input<string>;
  readOnlyRootFilesystem?: pulumi.Input<boolean>;
  runAsGroup?: pulumi.Input<number>;
  runAsNonRoot?: pulumi.Input<boolean>;
  runAsUser?: pulumi.Input<number>;
  seLinuxOptions?: SeLinuxOptionsSpec;
  seccompProfile?: AppArmorProfileSpec;
  windowsOptions?: WindowsOptionsSpec;
}

export interface ServiceAccountTemplateSpec {
  metadata?: MetadataSpec;
}

export interface ServiceAccountTokenSpec {
  audience?: pulumi.Input<string>;
  expirationSeconds?: pulumi.Input<number>;
  path?: pulumi.Input<string>;
}

export interface ServiceTemplateSpec {
  metadata?: MetadataSpec;
  spec?: ServiceTemplateSpecSpec;
}

export interface ServiceTemplateSpecSpec {
  allocateLoadBalancerNodePorts?: pulumi.Input<boolean>;
  clusterIP?: pulumi.Input<string>;
  clusterIPs?: pulumi.Input<pulumi.Input<string>[]>;
  externalIPs?: pulumi.Input<pulumi.Input<string>[]>;
  externalName?: pulumi.Input<string>;
  externalTrafficPolicy?: pulumi.Input<string>;
  healthCheckNodePort?: pulumi.Input<number>;
  internalTrafficPolicy?: pulumi.Input<string>;
  ipFamilies?: pulumi.Input<pulumi.Input<string>[]>;
  ipFamilyPolicy?: pulumi.Input<string>;
  loadBalancerClass?: pulumi.Input<string>;
  loadBalancerIP?: pulumi.Input<string>;
  loadBalancerSourceRanges?: pulumi.Input<pulumi.Input<string>[]>;
  ports?: PortSpec[];
  publishNotReadyAddresses?: pulumi.Input<boolean>;
  selector?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  sessionAffinity?: pulumi.Input<string>;
  sessionAffinityConfig?: SessionAffinityConfigSpec;
  trafficDistribution?: pulumi.Input<string>;
  type?: pulumi.Input<string>;
}

export interface ServicesSpec {
  additional?: AdditionalSpec[];
  disabledDefaultServices?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface SessionAffinityConfigSpec {
  clientIP?: ClientIPSpec;
}

export interface SleepSpec {
  seconds?: pulumi.Input<number>;
}

export interface SourceSpec {
  externalCluster?: pulumi.Input<string>;
}

export interface SpecAffinitySpec {
  nodeAffinity?: NodeAffinitySpec;
  podAffinity?: AdditionalPodAffinitySpec;
  podAntiAffinity?: AdditionalPodAffinitySpec;
}

export interface SpecSpec {
  accessModes?: pulumi.Input<pulumi.Input<string>[]>;
  dataSource?: DataSourceSpec;
  dataSourceRef?: DataSourceRefSpec;
  resources?: ResourcesSpec;
  selector?: LabelSelectorSpec;
  storageClassName?: pulumi.Input<string>;
  volumeAttributesClassName?: pulumi.Input<string>;
  volumeMode?: pulumi.Input<string>;
  volumeName?: pulumi.Input<string>;
}

export interface StorageSpec {
  pvcTemplate?: SpecSpec;
  resizeInUseVolumes?: pulumi.Input<boolean>;
  size?: pulumi.Input<string>;
  storageClass?: pulumi.Input<string>;
}

export interface StorageosSpec {
  fsType?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  secretRef?: ReferenceSpec;
  volumeName?: pulumi.Input<string>;
  volumeNamespace?: pulumi.Input<string>;
}

export interface SyncReplicaElectionConstraintSpec {
  enabled?: pulumi.Input<boolean>;
  nodeLabelsAntiAffinity?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface SynchronizeReplicasSpec {
  enabled?: pulumi.Input<boolean>;
  excludePatterns?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface SynchronousSpec {
  dataDurability?: pulumi.Input<string>;
  failoverQuorum?: pulumi.Input<boolean>;
  maxStandbyNamesFromCluster?: pulumi.Input<number>;
  method?: pulumi.Input<string>;
  number?: pulumi.Input<number>;
  standbyNamesPost?: pulumi.Input<pulumi.Input<string>[]>;
  standbyNamesPre?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface SysctlSpec {
  name?: pulumi.Input<string>;
  value?: pulumi.Input<string>;
}

export interface TablespaceSpec {
  name?: pulumi.Input<string>;
  owner?: ReferenceSpec;
  storage?: StorageSpec;
  temporary?: pulumi.Input<boolean>;
}

export interface TcpSocketSpec {
  host?: pulumi.Input<string>;
  port?: pulumi.Input<IntOrString>;
}

export interface TemplateSpec {
  metadata?: MetadataSpec;
  spec?: TemplateSpecSpec;
}

export interface TemplateSpecSpec {
  activeDeadlineSeconds?: pulumi.Input<number>;
  affinity?: SpecAffinitySpec;
  automountServiceAccountToken?: pulumi.Input<boolean>;
  containers?: ContainerSpec[];
  dnsConfig?: DnsConfigSpec;
  dnsPolicy?: pulumi.Input<string>;
  enableServiceLinks?: pulumi.Input<boolean>;
  ephemeralContainers?: EphemeralContainerSpec[];
  hostAliases?: HostAliaseSpec[];
  hostIPC?: pulumi.Input<boolean>;
  hostNetwork?: pulumi.Input<boolean>;
  hostPID?: pulumi.Input<boolean>;
  hostUsers?: pulumi.Input<boolean>;
  hostname?: pulumi.Input<string>;
  hostnameOverride?: pulumi.Input<string>;
  imagePullSecrets?: ReferenceSpec[];
  initContainers?: ContainerSpec[];
  nodeName?: pulumi.Input<string>;
  nodeSelector?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  os?: ReferenceSpec;
  overhead?: pulumi.Input<{ [name: string]: pulumi.Input<IntOrString> }>;
  preemptionPolicy?: pulumi.Input<string>;
  priority?: pulumi.Input<number>;
  priorityClassName?: pulumi.Input<string>;
  readinessGates?: ReadinessGateSpec[];
  resourceClaims?: ResourceClaimSpec[];
  resources?: ClusterResourcesSpec;
  restartPolicy?: pulumi.Input<string>;
  runtimeClassName?: pulumi.Input<string>;
  schedulerName?: pulumi.Input<string>;
  schedulingGates?: ReferenceSpec[];
  /** From CloudNativePG 1.30 on. */
  schedulingGroup?: SchedulingGroupSpec;
  securityContext?: PodSecurityContextSpec;
  serviceAccount?: pulumi.Input<string>;
  serviceAccountName?: pulumi.Input<string>;
  setHostnameAsFQDN?: pulumi.Input<boolean>;
  shareProcessNamespace?: pulumi.Input<boolean>;
  subdomain?: pulumi.Input<string>;
  terminationGracePeriodSeconds?: pulumi.Input<number>;
  tolerations?: TolerationSpec[];
  topologySpreadConstraints?: TopologySpreadConstraintSpec[];
  volumes?: VolumeSpec[];
  /** Only in CloudNativePG 1.29. */
  workloadRef?: WorkloadRefSpec;
}

export interface TlsSpec {
  enabled?: pulumi.Input<boolean>;
}

export interface TolerationSpec {
  effect?: pulumi.Input<string>;
  key?: pulumi.Input<string>;
  operator?: pulumi.Input<string>;
  tolerationSeconds?: pulumi.Input<number>;
  value?: pulumi.Input<string>;
}

export interface TopologySpreadConstraintSpec {
  labelSelector?: LabelSelectorSpec;
  matchLabelKeys?: pulumi.Input<pulumi.Input<string>[]>;
  maxSkew?: pulumi.Input<number>;
  minDomains?: pulumi.Input<number>;
  nodeAffinityPolicy?: pulumi.Input<string>;
  nodeTaintsPolicy?: pulumi.Input<string>;
  topologyKey?: pulumi.Input<string>;
  whenUnsatisfiable?: pulumi.Input<string>;
}

export interface ValueFromSpec {
  configMapKeyRef?: ConfigMapKeyRefSpec;
  fieldRef?: FieldRefSpec;
  fileKeyRef?: FileKeyRefSpec;
  resourceFieldRef?: ResourceFieldRefSpec;
  secretKeyRef?: ConfigMapKeyRefSpec;
}

export interface VolumeClaimTemplateSpec {
  metadata?: pulumi.Inputs;
  spec?: SpecSpec;
}

export interface VolumeConfigMapSpec {
  defaultMode?: pulumi.Input<number>;
  items?: ItemSpec[];
  name?: pulumi.Input<string>;
  optional?: pulumi.Input<boolean>;
}

export interface VolumeDeviceSpec {
  devicePath?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
}

export interface VolumeDownwardAPISpec {
  defaultMode?: pulumi.Input<number>;
  items?: DownwardAPIItemSpec[];
}

export interface VolumeMountSpec {
  mountPath?: pulumi.Input<string>;
  mountPropagation?: pulumi.Input<string>;
  name?: pulumi.Input<string>;
  readOnly?: pulumi.Input<boolean>;
  recursiveReadOnly?: pulumi.Input<string>;
  subPath?: pulumi.Input<string>;
  subPathExpr?: pulumi.Input<string>;
}

export interface VolumeSnapshotSpec {
  annotations?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  className?: pulumi.Input<string>;
  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  online?: pulumi.Input<boolean>;
  onlineConfiguration?: OnlineConfigurationSpec;
  snapshotOwnerReference?: pulumi.Input<string>;
  tablespaceClassName?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  walClassName?: pulumi.Input<string>;
}

export interface VolumeSnapshotsSpec {
  storage?: DataSourceSpec;
  tablespaceStorage?: { [name: string]: DataSourceSpec };
  walStorage?: DataSourceSpec;
}

export interface VolumeSpec {
  awsElasticBlockStore?: AwsElasticBlockStoreSpec;
  azureDisk?: AzureDiskSpec;
  azureFile?: AzureFileSpec;
  cephfs?: CephfsSpec;
  cinder?: CinderSpec;
  configMap?: VolumeConfigMapSpec;
  csi?: CsiSpec;
  downwardAPI?: VolumeDownwardAPISpec;
  emptyDir?: EmptyDirSpec;
  ephemeral?: EphemeralVolumeSourceSpec;
  fc?: FcSpec;
  flexVolume?: FlexVolumeSpec;
  flocker?: FlockerSpec;
  gcePersistentDisk?: GcePersistentDiskSpec;
  gitRepo?: GitRepoSpec;
  glusterfs?: GlusterfsSpec;
  hostPath?: HostPathSpec;
  image?: ImageSpec;
  iscsi?: IscsiSpec;
  name?: pulumi.Input<string>;
  nfs?: NfsSpec;
  persistentVolumeClaim?: PersistentVolumeClaimSpec;
  photonPersistentDisk?: PhotonPersistentDiskSpec;
  portworxVolume?: PortworxVolumeSpec;
  projected?: ProjectedVolumeTemplateSpec;
  quobyte?: QuobyteSpec;
  rbd?: RbdSpec;
  scaleIO?: ScaleIOSpec;
  secret?: SecretSpec;
  storageos?: StorageosSpec;
  vsphereVolume?: VsphereVolumeSpec;
}

export interface VsphereVolumeSpec {
  fsType?: pulumi.Input<string>;
  storagePolicyID?: pulumi.Input<string>;
  storagePolicyName?: pulumi.Input<string>;
  volumePath?: pulumi.Input<string>;
}

export interface WalSpec {
  archiveAdditionalCommandArgs?: pulumi.Input<pulumi.Input<string>[]>;
  compression?: pulumi.Input<string>;
  encryption?: pulumi.Input<string>;
  maxParallel?: pulumi.Input<number>;
  restoreAdditionalCommandArgs?: pulumi.Input<pulumi.Input<string>[]>;
}

export interface WindowsOptionsSpec {
  gmsaCredentialSpec?: pulumi.Input<string>;
  gmsaCredentialSpecName?: pulumi.Input<string>;
  hostProcess?: pulumi.Input<boolean>;
  runAsUserName?: pulumi.Input<string>;
}

export interface WorkloadRefSpec {
  name?: pulumi.Input<string>;
  podGroup?: pulumi.Input<string>;
  podGroupReplicaKey?: pulumi.Input<string>;
}
