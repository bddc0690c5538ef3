/**
 * What a Cluster of CloudNativePG consists of, apart from its backups: volumes, roles, extensions, poolers.
 * CloudNativePG decides fields that you omit, unless a default is named here.
 */
import type * as pulumi from "@pulumi/pulumi";
import type {
  AdditionalPodAffinitySpec,
  NodeAffinitySpec,
  PoolerSpec,
  PostInitApplicationSQLRefsSpec,
  TolerationSpec,
} from "./cnpgSpec";
import type { SslMode } from "./sslMode";

/** How the primary is updated, once its standbys are. */
export const PrimaryUpdateStrategy = {
  /** CloudNativePG does it by itself. */
  Unsupervised: "unsupervised",
  /** It waits until somebody promotes a standby. Only with standbys. */
  Supervised: "supervised",
} as const;
export type PrimaryUpdateStrategy = (typeof PrimaryUpdateStrategy)[keyof typeof PrimaryUpdateStrategy];

/** What CloudNativePG does to update the primary. */
export const PrimaryUpdateMethod = {
  /** It restarts the primary in its place. */
  Restart: "restart",
  /** It promotes a standby that is updated. */
  Switchover: "switchover",
} as const;
export type PrimaryUpdateMethod = (typeof PrimaryUpdateMethod)[keyof typeof PrimaryUpdateMethod];

/** Whether two instances may share a node. */
export const PodAntiAffinity = {
  /** Only if no other node has room. */
  Preferred: "preferred",
  /** Never: an instance without a node of its own waits. */
  Required: "required",
} as const;
export type PodAntiAffinity = (typeof PodAntiAffinity)[keyof typeof PodAntiAffinity];

/** Nodes of the instances. */
export interface AffinityArgs {
  /** Keeps instances apart. @default true */
  enablePodAntiAffinity?: pulumi.Input<boolean>;
  /** @default "preferred" */
  podAntiAffinityType?: pulumi.Input<PodAntiAffinity>;
  /**
   * Node label that separates instances: nodes with different values count as apart.
   * @default "kubernetes.io/hostname" @example "topology.kubernetes.io/zone"
   */
  topologyKey?: pulumi.Input<string>;
  /** Labels that a node must have. @example { pool: "databases" } */
  nodeSelector?: pulumi.Input<{ [label: string]: pulumi.Input<string> }>;
  /** Taints of nodes that instances tolerate. @example [{ key: "databases", operator: "Exists" }] */
  tolerations?: TolerationSpec[];
  /** Nodes that instances need or prefer, in Kubernetes' form. */
  nodeAffinity?: NodeAffinitySpec;
  /** Pods that instances are placed alongside, in Kubernetes' form. */
  additionalPodAffinity?: AdditionalPodAffinitySpec;
  /** Further pods that instances are kept apart from, in Kubernetes' form. */
  additionalPodAntiAffinity?: AdditionalPodAffinitySpec;
}

/** One key of a Secret or of a ConfigMap in the cluster's namespace. */
export interface KeyRef {
  /** Name of the Secret or ConfigMap. */
  name: pulumi.Input<string>;
  /** Key in it. */
  key: pulumi.Input<string>;
}

/** Size and class of one volume. */
export interface VolumeArgs {
  /** Size of the volume. @exclusiveMinimum 0 */
  sizeGiB: pulumi.Input<number>;
  /** StorageClass of the volume. Without it Kubernetes uses its default class. */
  storageClass?: pulumi.Input<string>;
}

/** A tablespace on a volume of its own. */
export interface TablespaceArgs extends VolumeArgs {
  /** Role that owns the tablespace. */
  owner?: pulumi.Input<string>;
  /** True for temporary files and tables. @default false */
  temporary?: pulumi.Input<boolean>;
}

/** A catalog of images by major version, instead of `image`. */
export interface ImageCatalogArgs {
  /** Name of the catalog. */
  name: pulumi.Input<string>;
  /** `ImageCatalog` or `ClusterImageCatalog`. @default "ClusterImageCatalog" */
  kind?: pulumi.Input<string>;
}

/** An extension from an image (PostgreSQL 18 and Kubernetes 1.33 or newer). */
export interface ExtensionArgs {
  /**
   * Image with the files of the extension. If omitted, `imageCatalog` has it (CloudNativePG 1.29 and newer).
   * @example "ghcr.io/cloudnative-pg/pgvector:0.8.1-18-trixie"
   */
  image?: pulumi.Input<string>;
  /** Directories of the image for `dynamic_library_path`. */
  libraryPath?: pulumi.Input<pulumi.Input<string>[]>;
  /** Directories of the image for `extension_control_path`. */
  controlPath?: pulumi.Input<pulumi.Input<string>[]>;
  /** Directories of the image for `LD_LIBRARY_PATH`: libraries of the system that the extension needs. */
  ldLibraryPath?: pulumi.Input<pulumi.Input<string>[]>;
  /** Directories of the image for `PATH`: programs that the extension runs. */
  binPath?: pulumi.Input<pulumi.Input<string>[]>;
}

/** A role that CloudNativePG keeps as declared. */
export interface RoleArgs {
  /** `present` or `absent`. @default "present" */
  ensure?: pulumi.Input<string>;
  /** Comment on the role. */
  comment?: pulumi.Input<string>;
  /** Whether the role may sign in. @default false */
  login?: pulumi.Input<boolean>;
  /** Attribute SUPERUSER. */
  superuser?: pulumi.Input<boolean>;
  /** Attribute CREATEDB. */
  createdb?: pulumi.Input<boolean>;
  /** Attribute CREATEROLE. */
  createrole?: pulumi.Input<boolean>;
  /** Attribute REPLICATION. */
  replication?: pulumi.Input<boolean>;
  /** Attribute INHERIT. @default true */
  inherit?: pulumi.Input<boolean>;
  /** Attribute BYPASSRLS. */
  bypassrls?: pulumi.Input<boolean>;
  /** Maximum number of concurrent connections. @minimum -1 @maximum 2147483647 */
  connectionLimit?: pulumi.Input<number>;
  /** RFC 3339. */
  validUntil?: pulumi.Input<string>;
  /** Roles that it is a member of. */
  inRoles?: pulumi.Input<pulumi.Input<string>[]>;
  /** Secret of type `kubernetes.io/basic-auth`. */
  passwordSecret?: pulumi.Input<string>;
  /** True removes the password: the role signs in by a certificate, or not at all. */
  disablePassword?: pulumi.Input<boolean>;
}

/** A new, empty cluster. */
export interface InitdbArgs {
  /** Name of the application's database. @default "app" */
  database?: pulumi.Input<string>;
  /** Role that owns the database. @default the name of the database */
  owner?: pulumi.Input<string>;
  /** Secret of type `kubernetes.io/basic-auth`. */
  ownerSecret?: pulumi.Input<string>;
  /** Encoding of the databases. */
  encoding?: pulumi.Input<string>;
  /** `libc`, `icu` or `builtin`. */
  localeProvider?: pulumi.Input<string>;
  /** Locale of the databases. */
  locale?: pulumi.Input<string>;
  /** ICU locale, with provider `icu`. */
  icuLocale?: pulumi.Input<string>;
  /** Further rules of the ICU locale, with provider `icu`. */
  icuRules?: pulumi.Input<string>;
  /** Built-in locale, with provider `builtin`. */
  builtinLocale?: pulumi.Input<string>;
  /** Collation, if it differs from `locale`. */
  localeCollate?: pulumi.Input<string>;
  /** Character classes, if they differ from `locale`. */
  localeCType?: pulumi.Input<string>;
  /** Whether data pages have checksums. */
  dataChecksums?: pulumi.Input<boolean>;
  /** Size of a WAL segment. @minimum 1 @maximum 1024 */
  walSegmentSizeMiB?: pulumi.Input<number>;
  /** SQL to run in the database `postgres` after initdb. */
  postInitSql?: pulumi.Input<pulumi.Input<string>[]>;
  /** SQL to run in the application's database after initdb. */
  postInitApplicationSql?: pulumi.Input<pulumi.Input<string>[]>;
  /** SQL to run in `template1` after initdb. */
  postInitTemplateSql?: pulumi.Input<pulumi.Input<string>[]>;
  /** Secrets and ConfigMaps with SQL to run in the database `postgres`. */
  postInitSqlRefs?: PostInitApplicationSQLRefsSpec;
  /** Secrets and ConfigMaps with SQL to run in the application's database. */
  postInitApplicationSqlRefs?: PostInitApplicationSQLRefsSpec;
  /** Secrets and ConfigMaps with SQL to run in `template1`. */
  postInitTemplateSqlRefs?: PostInitApplicationSQLRefsSpec;
}

/** Databases of a running server, copied by pg_dump when the cluster is created. */
export interface ImportArgs {
  /** `microservice` for one database, `monolith` for several with their roles. */
  type: pulumi.Input<string>;
  /** Name or address of the running server. */
  host: pulumi.Input<string>;
  /** Port of the running server. @default 5432 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Role to sign in as. @default "postgres" */
  user?: pulumi.Input<string>;
  /** Database to connect to. @default "postgres" */
  database?: pulumi.Input<string>;
  /** libpq's `sslmode`. */
  sslMode?: pulumi.Input<SslMode>;
  /** The password of that role. */
  passwordSecret?: KeyRef;
  /** Certificate of the authority that the server's is checked against, with `sslMode` `verify-ca` or `verify-full`. */
  sslRootCert?: KeyRef;
  /** Certificate of that role. */
  sslCert?: KeyRef;
  /** Private key of that certificate. */
  sslKey?: KeyRef;
  /** Databases to copy; `["*"]` for all, with type monolith. */
  databases: pulumi.Input<pulumi.Input<string>[]>;
  /** Roles to copy, only with type monolith. `["*"]` for all. */
  roles?: pulumi.Input<pulumi.Input<string>[]>;
  /** True copies definitions without rows. */
  schemaOnly?: pulumi.Input<boolean>;
  /** SQL to run after the import; only with type microservice. */
  postImportSql?: pulumi.Input<pulumi.Input<string>[]>;
  /** Further options of pg_dump. @example ["--jobs=4"] */
  pgDumpExtraOptions?: pulumi.Input<pulumi.Input<string>[]>;
  /** Further options of pg_restore. @example ["--jobs=4"] */
  pgRestoreExtraOptions?: pulumi.Input<pulumi.Input<string>[]>;
}

/** PgBouncer in front of the cluster. */
export interface PoolerArgs {
  /** `rw`, `ro` or `r`. @default "rw" */
  type?: pulumi.Input<string>;
  /** Number of PgBouncer pods. @default 1 @minimum 0 */
  instances?: pulumi.Input<number>;
  /** `session` or `transaction`. @default "session" */
  poolMode?: pulumi.Input<string>;
  /**
   * Any field of the Pooler's `spec` in CloudNativePG 1.28 to 1.30, by its own name there: the pods' `template`, the
   * `serviceTemplate`, `pgbouncer.pg_hba`. It is merged over the fields that other arguments set, like the cluster's
   * `spec`.
   */
  spec?: PoolerSpec;
  /** Settings of PgBouncer. @example { max_client_conn: "500" } */
  parameters?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}
