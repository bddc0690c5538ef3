/**
 * The one option table: parser, help text and renderer read it.
 *
 * Names, types, ranges, defaults and dependencies are those of pgBackRest 2.60 ("build/config.yaml"; texts are ours);
 * ranges of older versions are not kept. A row of a group (`repo-path`) stands for `repo1-path` … `repo256-path`. Rows
 * made by `acted` change what this runtime does. Rows made by `accepted` parse, so that stock pgBackRest can use the
 * same configuration, and have no effect. A command fails if an option is set that is `refused`, because ignoring it
 * would be dangerous. Values in this table are texts as a user would write them.
 */
import { COMMANDS, type CommandName, commandsWith, type Use } from "./commands";

export type OptionType = "string" | "path" | "enum" | "boolean" | "integer" | "size" | "time" | "list" | "hash";

/**
 * Where an option may stand: only on the command line and in the environment, in any section, or only in a stanza's.
 */
export type OptionSection = "command-line" | "global" | "stanza";

export interface OptionRule {
  readonly default?: string;
  /** Commands that fail without it; `true` for all that it is valid for. */
  readonly required?: boolean;
  /** Smallest and largest value, both allowed. */
  readonly range?: readonly [string, string];
  readonly allowed?: readonly string[];
}

export interface OptionDepend {
  /** Name of an option of the same group, or of none. */
  readonly option: string;
  /** Values that make the dependent option valid; any value when absent. */
  readonly values?: readonly string[];
  /** The dependent option's value while it is not valid. */
  readonly otherwise?: string;
}

export interface OptionDetails extends OptionRule {
  readonly group?: "pg" | "repo";
  /** Deviations of one command. */
  readonly forCommand?: Readonly<Partial<Record<CommandName, OptionRule & { readonly depend?: OptionDepend }>>>;
  readonly depend?: OptionDepend;
  /** Default and range by the value of the option that this one depends on. */
  readonly forDepend?: Readonly<Record<string, OptionRule>>;
  /** Never on the command line, never printed. */
  readonly secret?: boolean;
  /** `--no-…` is allowed for an option that is no boolean. */
  readonly negate?: boolean;
  /** An enum that also takes `--opt` and `--no-opt`. */
  readonly booleanLike?: boolean;
  /** Old names; `?` stands for the key. */
  readonly aliases?: readonly string[];
  /** Not an option of stock. */
  readonly own?: boolean;
  /** Its field in `Config`: `group.field`, or `field` if several groups need it. If absent, `load.ts` decides. */
  readonly config?: string | undefined;
  /** Why a command that it is valid for fails when it is set. */
  readonly refused?: string;
  /** The same for single values. */
  readonly refusedValues?: Readonly<Record<string, string>>;
}

export interface OptionRow extends OptionDetails {
  readonly name: string;
  readonly type: OptionType;
  readonly section: OptionSection;
  /** Our commands; empty for an option that only other commands of stock take. */
  readonly commands: readonly CommandName[];
  /** One sentence without the full stop, for the help text. */
  readonly doc: string;
  readonly acted: boolean;
}

export const COMPRESS_TYPES = ["none", "gz", "lz4", "zst", "bz2"] as const;
export type CompressType = (typeof COMPRESS_TYPES)[number];

/** Largest key of `repoN` and `pgN`. */
export const OPTION_KEY_MAX = 256;

const ALL: readonly CommandName[] = COMMANDS;
const WORK = COMMANDS.filter((command) => command !== "help" && command !== "version");
const SERVING = commandsWith((row) => row.serves === true);
const REPO = using("repositories");
const COPY = using("copy");
const PUSH = using("push");
const WRITE = using("write");
const ARCHIVE = using("archive");
const PG = using("cluster");
const SESSION = using("session");
const KUBERNETES = using("kubernetes");
/** Commands that send notifications. */
const TELLING: readonly CommandName[] = ["check", "cnpg-drill", "cnpg-expire", "notify"];
const PG_REMOTE: readonly CommandName[] = [
  "backup",
  "check",
  "pg-settings",
  "stanza-create",
  "stanza-delete",
  "stanza-upgrade",
];
const DRILL: readonly CommandName[] = ["cnpg-drill", "drill"];
const RETENTION: readonly CommandName[] = ["backup", "expire"];
const NONE: readonly CommandName[] = [];
/** As stock has it for `retention-full`. */
const RETENTION_RANGE = ["1", "9999999"] as const;

const LOG_LEVELS = ["off", "error", "warn", "info", "detail", "debug", "trace"] as const;
const OBJECT_STORES = ["azure", "gcs", "s3"];
const TARGET_TYPES = ["lsn", "name", "time", "xid"];
const RECOVER: readonly CommandName[] = ["recover", "recover-step", "restore"];
const TARGETED: readonly CommandName[] = ["extract-table", ...RECOVER];
const RECOVER_TYPES = ["default", "immediate", "name", "time", "lsn", "xid"];
const CONFIG_PATH = "/etc/pgbackrest";
const LOCAL_ONLY = "run the command on that host";

const S3 = { group: "repo", depend: { option: "repo-type", values: ["s3"] } } as const;
const S3_SHARED = { group: "repo", depend: { option: "repo-s3-key-type", values: ["shared"] } } as const;
const STORE = { group: "repo", depend: { option: "repo-type", values: OBJECT_STORES } } as const;
const AZURE = { group: "repo", depend: { option: "repo-type", values: ["azure"] } } as const;
const SFTP = { group: "repo", depend: { option: "repo-type", values: ["sftp"] } } as const;
const BLOCK = { group: "repo", depend: { option: "repo-block", values: ["y"] } } as const;
const BUNDLE = { group: "repo", depend: { option: "repo-bundle", values: ["y"] } } as const;
const CONNECTION = { group: "pg", depend: { option: "pg-path" } } as const;

function on(option: string, ...values: readonly string[]): { readonly depend: OptionDepend } {
  return { depend: values.length === 0 ? { option } : { option, values } };
}

type ActedRow<T extends OptionType, D extends OptionDetails> = D &
  Omit<OptionRow, keyof OptionDetails | "type"> & {
    readonly type: T;
    // Named in each row, because an array's type drops a row that another one's type covers.
    readonly config: D extends { readonly config: infer C } ? C : undefined;
  };

/** Keeps the literal types: {@link OptionValues} derives from name, type, default and allowed values. */
function acted<const T extends OptionType, const D extends OptionDetails = OptionDetails>(
  name: string,
  type: T,
  section: OptionSection,
  commands: readonly CommandName[],
  doc: string,
  details?: D,
): ActedRow<T, D> {
  return { ...details, config: details?.config, name, type, section, commands, doc, acted: true } as ActedRow<T, D>;
}

/** A row of a command-line option that stock does not have. */
function own<const T extends OptionType, const D extends OptionDetails = OptionDetails>(
  name: string,
  type: T,
  commands: readonly CommandName[],
  doc: string,
  details?: D,
): ActedRow<T, D> {
  return { ...acted(name, type, "command-line", commands, doc, details), own: true };
}

function accepted(
  name: string,
  type: OptionType,
  section: OptionSection,
  commands: readonly CommandName[],
  doc: string,
  details: OptionDetails = {},
): OptionRow {
  return { ...details, name, type, section, commands, doc, acted: false };
}

function using(use: Use): readonly CommandName[] {
  return commandsWith((row) => row.uses.includes(use));
}

const COMMAND_LINE = [
  acted("config", "string", "command-line", ALL, "configuration file", {
    default: `${CONFIG_PATH}/pgbackrest.conf`,
    negate: true,
  }),
  acted("config-path", "path", "command-line", ALL, "directory of pgbackrest.conf and conf.d", {
    default: CONFIG_PATH,
  }),
  acted("config-include-path", "path", "command-line", ALL, "directory with further *.conf files to read", {
    default: `${CONFIG_PATH}/conf.d`,
  }),
  own(
    "settings",
    "string",
    ALL,
    "settings file of pgbackstop, instead of pgbackstop.json next to the configuration file",
  ),
  own("log-format", "enum", ALL, "form of the log lines", {
    config: "log.format",
    default: "text",
    allowed: ["text", "json"],
  }),
  own("agent-socket", "path", ["agent"], "unix socket to listen on, unless systemd passes one", {
    config: "agent.socket",
    default: "/run/pgbackstop/agent.sock",
  }),
  own(
    "plugin-socket",
    "path",
    ["cnpg-instance", "cnpg-restore"],
    "unix socket that CloudNativePG's instance manager calls",
    {
      config: "plugin.socket",
      default: "/plugins/pgbackstop",
    },
  ),
  own("plugin-heartbeat", "path", ["cnpg-instance", "cnpg-restore"], "file with the time of the last answered call", {
    config: "plugin.heartbeatFile",
  }),
  own("plugin-instance", "string", ["cnpg-instance", "cnpg-restore"], "name of the pod, kept with its backups", {
    config: "plugin.instance",
  }),
  own(
    "plugin-watch",
    "list",
    ["cnpg-instance", "cnpg-restore"],
    "directories whose change ends the process, so that it is restarted",
    {
      config: "plugin.watchPaths",
    },
  ),
  own("plugin-source-stanza", "string", ["cnpg-instance"], "name of the cluster that a replica cluster follows", {
    config: "plugin.sourceStanza",
  }),
  own(
    "plugin-newest-wal",
    "string",
    ["cnpg-restore"],
    "newest WAL segment that the recovery may get, for drills; SEGMENT@LSN ends inside it",
    {
      config: "plugin.newestWal",
    },
  ),
  own("plugin-listen", "string", ["cnpg-operator"], "address and port for CloudNativePG's operator", {
    config: "plugin.listen",
    default: "0.0.0.0:9090",
  }),
  own("plugin-runtime-listen", "string", ["cnpg-operator"], "address and port to serve runtimes to pods of clusters", {
    config: "plugin.runtimeListen",
  }),
  own("plugin-server-path", "path", ["cnpg-operator"], "directory of the plugin's own tls.crt and tls.key", {
    config: "plugin.serverPath",
    default: "/pgbackstop/server",
  }),
  own("plugin-client-path", "path", ["cnpg-operator"], "directory of the operator's tls.crt", {
    config: "plugin.clientPath",
    default: "/pgbackstop/client",
  }),
  own("plugin-image", "string", ["cnpg-operator"], "default image of Node.js for sidecars", { config: "plugin.image" }),
  own("kubernetes-host", "string", KUBERNETES, "host of the API server of Kubernetes", {
    config: "kubernetes.host",
    default: "kubernetes.default.svc",
  }),
  own("kubernetes-port", "integer", KUBERNETES, "port of the API server of Kubernetes", {
    config: "kubernetes.port",
    default: "443",
    range: ["1", "65535"],
  }),
  own("kubernetes-account-path", "path", KUBERNETES, "directory of the account's token, ca.crt and namespace", {
    config: "kubernetes.accountPath",
    default: "/var/run/secrets/kubernetes.io/serviceaccount",
  }),
  own("archiver-cluster", "string", ["cnpg-replace-archiver"], "name of the Cluster that gets an archiver", {
    config: "replaceArchiver.cluster",
  }),
  own("archiver-spec", "string", ["cnpg-replace-archiver"], "plugins and backup of the Cluster's spec, as JSON", {
    config: "replaceArchiver.spec",
  }),
  own("drill-cluster", "string", ["cnpg-drill"], "name of the Cluster to drill", { config: "clusterDrill.cluster" }),
  own("throw-away", "string", ["cnpg-drill"], "name of the throw-away Cluster", { config: "clusterDrill.name" }),
  own("drill-job", "string", ["cnpg-drill"], "Job that owns the throw-away Cluster", { config: "clusterDrill.job" }),
  own("drill-job-uid", "string", ["cnpg-drill"], "uid of that Job", { config: "clusterDrill.jobUid" }),
  own("drill-secret-path", "path", ["cnpg-drill"], "directory of production's username and password", {
    config: "clusterDrill.secretPath",
  }),
  own(
    "drill-resource",
    "hash",
    ["cnpg-drill"],
    "resource of the throw-away instance, by default production's: requests.cpu=500m",
    {
      config: "clusterDrill.resources",
    },
  ),
  own("snapshot-cluster", "string", ["cnpg-expire"], "name of the Cluster", { config: "snapshots.cluster" }),
  own("snapshot-schedule", "list", ["cnpg-expire"], "ScheduledBackups whose snapshots these are", {
    config: "snapshots.schedules",
  }),
  own("snapshot-keep-days", "integer", ["cnpg-expire"], "days for which every snapshot is kept", {
    config: "snapshots.keepDays",
    range: RETENTION_RANGE,
  }),
  own("snapshot-keep-count", "integer", ["cnpg-expire"], "number of newest snapshots that are kept regardless of age", {
    config: "snapshots.keepCount",
    range: RETENTION_RANGE,
  }),
  acted("stanza", "string", "command-line", WORK, "name of the PostgreSQL cluster's configuration", {
    required: true,
    forCommand: Object.fromEntries(
      commandsWith((row) => row.stanza === "optional").map((command) => [command, { required: false }]),
    ),
  }),
  acted(
    "repo",
    "integer",
    "command-line",
    [
      "annotate",
      "archive-get",
      "backup",
      "cnpg-drill",
      "cnpg-restore",
      "doctor",
      "drill",
      "expire",
      "extract-table",
      "find",
      "heal",
      "info",
      "manifest",
      "recover",
      "recover-step",
      "repo-get",
      "repo-ls",
      "restore",
      "stanza-delete",
      "verify",
    ],
    "index of the repository to use",
    {
      range: ["1", "256"],
    },
  ),
  own("repos", "string", ["backup"], "indexes of the repositories to use, in one pass, as 1,3; instead of repo", {
    config: "backup.repos",
  }),
  acted(
    "set",
    "string",
    "command-line",
    [
      "annotate",
      "cnpg-drill",
      "drill",
      "expire",
      "extract-table",
      "info",
      "manifest",
      "recover",
      "recover-step",
      "restore",
      "sync",
      "verify",
    ],
    "label of the backup",
    {
      forCommand: {
        annotate: { required: true },
        manifest: { default: "latest" },
        "extract-table": { default: "latest" },
        info: { depend: { option: "stanza" } },
        recover: { default: "latest" },
        "recover-step": { default: "latest" },
        restore: { default: "latest" },
      },
    },
  ),
  acted(
    "type",
    "enum",
    "command-line",
    ["backup", "extract-table", "info", "recover", "recover-step", "restore"],
    "type of backup, or of recovery target",
    {
      forCommand: {
        info: { allowed: ["full", "diff", "incr"] },
        backup: { default: "incr", allowed: ["full", "diff", "incr"] },
        "extract-table": { default: "default", allowed: RECOVER_TYPES },
        recover: { default: "default", allowed: RECOVER_TYPES },
        "recover-step": { default: "default", allowed: RECOVER_TYPES },
        restore: {
          default: "default",
          allowed: ["default", "preserve", "immediate", "standby", "none", "name", "time", "lsn", "xid"],
        },
      },
    },
  ),
  own(
    "server-files",
    "path",
    ["restore"],
    "directory for configuration files from outside of pg1-path; / restores their old paths",
    {
      config: "restore.serverFiles",
    },
  ),
  acted("target", "string", "command-line", TARGETED, "recovery target: a time, name, LSN or transaction", {
    config: "restore.target",
    required: true,
    ...on("type", ...TARGET_TYPES),
  }),
  acted("target-action", "enum", "command-line", RECOVER, "what PostgreSQL does at the target", {
    config: "restore.targetAction",
    default: "pause",
    allowed: ["pause", "promote", "shutdown"],
    forCommand: {
      recover: { default: "promote", allowed: ["pause", "promote"], ...on("type", "immediate", ...TARGET_TYPES) },
    },
    ...on("type", "immediate", ...TARGET_TYPES),
  }),
  acted(
    "target-exclusive",
    "boolean",
    "command-line",
    TARGETED,
    "stop just before the target instead of just after it",
    {
      config: "restore.targetExclusive",
      default: "n",
      ...on("type", "lsn", "time", "xid"),
    },
  ),
  acted(
    "target-timeline",
    "string",
    "command-line",
    TARGETED,
    "timeline to recover along: a number, current or latest",
    {
      config: "restore.targetTimeline",
      ...on("type", "default", "standby", ...TARGET_TYPES),
    },
  ),
  acted(
    "force",
    "boolean",
    "command-line",
    ["backup", "restore", "stanza-delete", "stop"],
    "restore: overwrite existing files, copying only those that differ in size or time; stanza-delete, offline backup: ignore running processes; stop: end running processes",
    { config: "force", default: "n", forCommand: { backup: { ...on("online", "n") } } },
  ),
  acted("verbose", "boolean", "command-line", ["verify"], "also print backups and WAL without errors", {
    config: "verify.verbose",
    default: "n",
  }),
  acted(
    "output",
    "enum",
    "command-line",
    ["cnpg-drill", "doctor", "drill", "find", "info", "manifest", "repo-ls", "status", "verify", "version"],
    "form of the answer",
    {
      default: "text",
      allowed: ["text", "json"],
      forCommand: { verify: { allowed: ["none", "text", "json"] } },
    },
  ),
  own("output-file", "path", ["metrics"], "file to replace atomically, instead of standard output", {
    config: "monitoring.outputFile",
  }),
  own("metrics-listen", "string", ["agent"], "address and port of /metrics and /healthz, such as 127.0.0.1:9854", {
    config: "monitoring.listen",
  }),
  own(
    "wal-gaps",
    "boolean",
    ["agent", "metrics"],
    "list the whole WAL archive of each repository and count what is missing",
    {
      config: "monitoring.walGaps",
      default: "y",
      negate: true,
    },
  ),
  own("event", "enum", ["notify"], "type of the event", {
    config: "monitoring.event",
    required: true,
    allowed: ["start", "success", "failure", "drill", "test"],
  }),
  own("unit", "string", TELLING, "name of the systemd unit or CronJob concerned", { config: "monitoring.unit" }),
  own(
    "notify-file",
    "path",
    TELLING,
    "file of notification targets; by default notify.json in $CREDENTIALS_DIRECTORY",
    {
      config: "monitoring.notifyFile",
    },
  ),
  acted(
    "online",
    "boolean",
    "command-line",
    ["backup", "stanza-create", "stanza-upgrade"],
    "the server is running; n backs up a stopped server",
    {
      config: "backup.online",
      default: "y",
      negate: true,
    },
  ),
  own(
    "upgraded-from",
    "path",
    ["stanza-upgrade"],
    "data directory of the cluster before pg_upgrade: refuse unless pg1 was made from it and the stanza is its",
    { config: "upgrade.upgradedFrom" },
  ),
  acted(
    "dry-run",
    "boolean",
    "command-line",
    ["cnpg-expire", "expire", "extract-table", "recover", "rollback", "sync"],
    "show what would be done and change nothing",
    { config: "dryRun", default: "n" },
  ),
  own("snapshot", "string", ["rollback"], "ZFS snapshot to return to: tank/postgresql@name", {
    config: "recover.snapshot",
    required: true,
  }),
  own("yes", "boolean", ["extract-table", "recover", "rollback"], "do not ask for confirmation", {
    config: "recover.yes",
    default: "n",
  }),
  own("undo", "boolean", ["recover"], "restore the old data", { config: "recover.undo", default: "n" }),
  own("finish-wal", "boolean", ["recover"], "archive the server's last WAL before stopping it", {
    config: "recover.finishWal",
    default: "y",
    negate: true,
  }),
  own(
    "launcher",
    "path",
    ["recover", "rollback"],
    "program that runs this one as PostgreSQL's account, with its keys",
    {
      config: "recover.launcher",
    },
  ),
  acted(
    "oldest",
    "boolean",
    "command-line",
    ["expire"],
    "expire the oldest full backup, unless it is the only one, with its dependents",
    {
      config: "expire.oldest",
      default: "n",
    },
  ),
  acted("archive-expire-before", "string", "command-line", ["expire"], "expire only WAL before this segment", {
    config: "expire.archiveBefore",
  }),
  acted(
    "detail-level",
    "enum",
    "command-line",
    ["info"],
    "amount of detail; destinations shows the newest full backup and WAL of each repository",
    {
      config: "info.detailLevel",
      default: "full",
      allowed: ["full", "progress", "destinations"],
    },
  ),
  own("full-check", "boolean", ["check"], "fail if full backups that the settings file expects are missing", {
    config: "check.full",
    default: "y",
    negate: true,
  }),
  own(
    "stale",
    "boolean",
    ["check"],
    "also compare the ages of newest backup and WAL with the settings file; send event stale to notification targets",
    {
      config: "check.stale",
      default: "n",
    },
  ),
  acted(
    "reference",
    "string",
    "command-line",
    ["manifest"],
    "show only files stored in this backup; latest is the backup itself",
    {
      config: "files.reference",
    },
  ),
  accepted("report", "boolean", "command-line", NONE, "print a report of the configuration", { default: "n" }),
  own("sample", "integer", ["verify"], "percentage of data files to read; WAL is always read", {
    config: "verify.samplePercent",
    range: ["1", "100"],
  }),
  own("from-repo", "string", ["sync"], "index of the repository to copy from; 1@TIME for repo1 as it was then", {
    required: true,
  }),
  own("to-repo", "integer", ["sync"], "index of the repository to copy into", {
    config: "sync.toRepoKey",
    required: true,
    range: ["1", "256"],
  }),
  own("segment", "string", ["heal"], "one WAL file: give every repository the content that pg_wal has", {
    config: "heal.segment",
  }),
  own("trust-repo", "integer", ["heal"], "with --segment: the index of the repository whose content is right", {
    config: "heal.trustIndex",
    range: ["1", "256"],
  }),
  own("latest", "boolean", ["sync"], "copy only the newest backup with its prior backups", {
    config: "sync.latest",
    default: "n",
  }),
  own(
    "bin-path",
    "path",
    ["drill", "extract-table"],
    "directory of PostgreSQL's programs, instead of the usual directories",
    {
      config: "binPath",
    },
  ),
  own(
    "drill-path",
    "path",
    ["drill", "extract-table"],
    "parent directory of the restore; by default pg1-path with suffix -drill",
    {
      config: "drill.path",
    },
  ),
  own("pick", "enum", DRILL, "which backup and target to restore, by default each in turn; or an attack on a bucket", {
    config: "drill.pick",
    allowed: ["newest", "oldest", "random", "moment", "attack"],
  }),
  own(
    "level",
    "enum",
    DRILL,
    "extent of the checks; quick compares with production, standard adds amcheck and page checksums, thorough a dump",
    {
      config: "drill.level",
      default: "thorough",
      allowed: ["quick", "standard", "thorough"],
    },
  ),
  own("max-minutes", "integer", DRILL, "maximum duration; a longer drill fails", {
    config: "drill.maxMinutes",
    default: "1440",
    range: ["1", "10080"],
  }),
  own(
    "max-bytes",
    "size",
    ["cnpg-drill", "drill", "extract-table"],
    "limit of bytes to restore, for a drill also to fetch; a larger restore fails",
    {
      config: "drill.maxBytes",
      range: ["1MiB", "1PiB"],
    },
  ),
  own("name", "string", DRILL, "name of a drill that the settings file declares", { config: "drill.name" }),
  own("now", "boolean", DRILL, "run the declared drill, if only one is declared", {
    config: "drill.now",
    default: "n",
  }),
  own("from", "string", ["find"], "search commits from this time on; by default an hour before --to", {
    config: "find.from",
  }),
  own("to", "string", ["find"], "search commits until this time; by default now", { config: "find.to" }),
  own("table", "string", ["extract-table", "find"], "the table, as schema.table; find also accepts only its name", {
    config: "find.table",
  }),
  own("database", "string", ["extract-table", "find"], "the database of the table or schema", {
    config: "find.database",
  }),
  own("schema", "string", ["extract-table"], "a whole schema instead of a table", { config: "extract.schema" }),
  own("as", "string", ["extract-table"], "target schema; by default the table's with suffix _restored", {
    config: "extract.as",
  }),
  own("swap", "boolean", ["extract-table"], "replace the current version, and keep it in another schema", {
    config: "extract.swap",
    default: "n",
  }),
  own("to-file", "path", ["extract-table"], "write a dump for pg_restore instead", { config: "extract.toFile" }),
  own("kind", "enum", ["find"], "only this kind of destructive change", {
    config: "find.kind",
    allowed: ["drop", "truncate", "delete", "update"],
  }),
  own("limit", "integer", ["find"], "number of transactions to show, the most destructive ones", {
    config: "find.limit",
    default: "20",
    range: ["1", "10000"],
  }),
  own("target-form", "enum", ["find"], "show targets as options of recover, or as the target of a CnpgRestore", {
    config: "find.targetForm",
    default: "options",
    allowed: ["options", "cluster"],
  }),
  own("timeline", "integer", ["find"], "timeline to follow; by default the latest", {
    config: "find.timeline",
    range: ["1", "4294967295"],
  }),
  acted(
    "filter",
    "string",
    "command-line",
    ["manifest", "repo-ls"],
    "expression that listed names match; of manifest the name of one file",
    {
      config: "files.filter",
    },
  ),
  acted(
    "ignore-missing",
    "boolean",
    "command-line",
    ["repo-get"],
    "exit with 1 and without an error when the file is missing",
    {
      config: "files.ignoreMissing",
      default: "n",
    },
  ),
  acted("raw", "boolean", "command-line", ["repo-get"], "do not decrypt", { config: "files.raw", default: "n" }),
  acted("recurse", "boolean", "command-line", ["repo-ls"], "go into directories", {
    config: "files.recurse",
    default: "n",
  }),
  acted("sort", "enum", "command-line", ["repo-ls"], "order of listed names", {
    config: "files.sort",
    default: "asc",
    allowed: ["none", "asc", "desc"],
  }),
];

const GENERAL = [
  acted(
    "archive-timeout",
    "time",
    "global",
    ["archive-get", "backup", "check", "extract-table", "recover-step", ...PUSH],
    "maximum wait for a WAL segment",
    { config: "archive.timeoutMs", default: "1m", range: ["100ms", "1d"] },
  ),
  acted("buffer-size", "size", "global", WORK, "size of read buffers", {
    config: "bufferSizeBytes",
    default: "1MiB",
    allowed: ["16KiB", "32KiB", "64KiB", "128KiB", "256KiB", "512KiB", "1MiB", "2MiB", "4MiB", "8MiB", "16MiB"],
  }),
  acted(
    "cmd",
    "string",
    "global",
    [...COPY, "recover", "rollback"],
    "program for restore_command; by default this one",
    {
      config: "cmd",
    },
  ),
  acted("compress", "boolean", "global", WRITE, "old form of compress-type: n means none", { default: "y" }),
  acted("compress-type", "enum", "global", WRITE, "compression of files in the repositories", {
    default: "gz",
    allowed: COMPRESS_TYPES,
    refusedValues: { bz2: "bz2 is read but not written, use zst, lz4 or gz" },
  }),
  acted("compress-level", "integer", "global", WRITE, "compression level", {
    depend: { option: "compress-type", values: ["bz2", "gz", "lz4", "zst"], otherwise: "0" },
    forDepend: {
      bz2: { default: "9", range: ["1", "9"] },
      gz: { default: "6", range: ["-1", "9"] },
      lz4: { default: "1", range: ["-5", "12"] },
      zst: { default: "3", range: ["-7", "22"] },
    },
  }),
  acted("db-timeout", "time", "global", SESSION, "maximum duration of a statement", {
    default: "30m",
    range: ["100ms", "7d"],
  }),
  acted("delta", "boolean", "global", ["backup", "restore"], "compare by checksum and copy only what differs", {
    config: "delta",
    default: "n",
  }),
  acted("io-timeout", "time", "global", WORK, "maximum wait for storage or network, including retries", {
    config: "ioTimeoutMs",
    default: "1m",
    range: ["100ms", "1h"],
  }),
  acted("lock-path", "path", "global", WORK, "directory of lock and stop files", {
    config: "lockPath",
    default: "/tmp/pgbackrest",
  }),
  acted("log-level-console", "enum", "global", ALL, "level of the log on stdout", {
    config: "log.levelConsole",
    default: "warn",
    allowed: LOG_LEVELS,
  }),
  acted("log-level-file", "enum", "global", ALL, "level of the log files", {
    config: "log.levelFile",
    default: "info",
    allowed: LOG_LEVELS,
  }),
  acted("log-level-stderr", "enum", "global", ALL, "level of the log on stderr", {
    config: "log.levelStderr",
    default: "off",
    allowed: LOG_LEVELS,
  }),
  acted("log-path", "path", "global", ALL, "directory of the log files", {
    config: "log.path",
    default: "/var/log/pgbackrest",
  }),
  acted("log-timestamp", "boolean", "global", ALL, "begin log lines with the time", {
    config: "log.timestamp",
    default: "y",
  }),
  acted("neutral-umask", "boolean", "global", WORK, "ignore the umask: directories 0750, files 0640", {
    config: "neutralUmask",
    default: "y",
  }),
  acted("process-max", "integer", "global", COPY, "workers that compress and transfer", {
    config: "processMax",
    default: "1",
    range: ["1", "999"],
  }),
  acted("protocol-timeout", "time", "global", WORK, "upper bound of db-timeout", {
    default: "31m",
    range: ["100ms", "7d"],
  }),
  acted("spool-path", "path", "global", REPO, "directory of WAL queues and of records of missing WAL", {
    config: "spoolPath",
    default: "/var/spool/pgbackrest",
  }),
  acted("allow-root", "boolean", "global", WORK, "do not warn when root works in another account's directories", {
    config: "allowRoot",
    default: "n",
    forCommand: { restore: { default: "y" } },
  }),
  accepted("beta", "boolean", "global", ALL, "allow features that are not released", { default: "n" }),
  accepted("cmd-ssh", "string", "global", WORK, "program that opens SSH connections", { default: "ssh" }),
  accepted("compress-level-network", "integer", "global", WORK, "compression level between hosts", {
    default: "1",
    range: ["-5", "12"],
  }),
  accepted("job-retry", "integer", "global", COPY, "retries of one job", {
    default: "2",
    range: ["0", "360"],
    forCommand: { "archive-get": { default: "1" }, "archive-push": { default: "1" } },
  }),
  accepted("job-retry-interval", "time", "global", COPY, "pause between retries of a job", {
    default: "15s",
    range: ["0s", "15m"],
  }),
  accepted("log-subprocess", "boolean", "global", WORK, "write log files of worker processes", { default: "n" }),
  accepted("priority", "integer", "global", ALL, "scheduling priority of the process", { range: ["-20", "19"] }),
  accepted("sck-block", "boolean", "global", WORK, "use blocking sockets", { default: "n" }),
  accepted("sck-keep-alive", "boolean", "global", WORK, "keep connections alive", { default: "y" }),
  accepted("tcp-keep-alive-count", "integer", "global", WORK, "lost keep-alive messages that end a connection", {
    range: ["1", "32"],
    ...on("sck-keep-alive", "y"),
  }),
  accepted("tcp-keep-alive-idle", "integer", "global", WORK, "idle seconds before keep-alive messages", {
    range: ["1", "3600"],
    ...on("sck-keep-alive", "y"),
  }),
  accepted("tcp-keep-alive-interval", "integer", "global", WORK, "seconds between keep-alive messages", {
    range: ["1", "900"],
    ...on("sck-keep-alive", "y"),
  }),
  accepted("tls-cipher-12", "string", "global", WORK, "ciphers of TLS 1.2"),
  accepted("tls-cipher-13", "string", "global", WORK, "ciphers of TLS 1.3"),
];

const ARCHIVE_AND_BACKUP = [
  acted(
    "archive-header-check",
    "boolean",
    "global",
    [...PUSH, "sync"],
    "compare WAL headers with the stanza before pushing",
    {
      config: "archive.headerCheck",
      default: "y",
    },
  ),
  acted(
    "archive-check",
    "boolean",
    "global",
    ["backup", "check", ...PUSH],
    "wait until the repositories have the WAL of a backup",
    {
      config: "archive.check",
      default: "y",
      forCommand: { backup: { depend: { option: "online", values: ["y"], otherwise: "n" } } },
    },
  ),
  acted("archive-copy", "boolean", "global", ["backup"], "store the WAL of a backup in the backup too", {
    config: "archive.copy",
    default: "n",
    depend: { option: "archive-check", values: ["y"], otherwise: "n" },
  }),
  acted("archive-mode-check", "boolean", "global", ["backup", "check", ...PUSH], "refuse archive_mode=always", {
    config: "archive.modeCheck",
    default: "y",
    depend: { option: "archive-check", values: ["y"], otherwise: "n" },
  }),
  acted("annotation", "hash", "global", ["annotate", "backup"], "notes kept with the backup, as key=value", {
    config: "backup.annotations",
    forCommand: { annotate: { required: true } },
  }),
  acted(
    "checksum-page",
    "boolean",
    "global",
    ["backup"],
    "check page checksums; by default when the cluster has them",
    {
      config: "backup.checksumPage",
    },
  ),
  acted("page-header-check", "boolean", "global", ["backup"], "check page headers together with page checksums", {
    config: "backup.pageHeaderCheck",
    default: "y",
  }),
  acted("exclude", "list", "global", ["backup"], "paths below the data directory to exclude", {
    config: "backup.exclude",
  }),
  acted("expire-auto", "boolean", "global", ["backup"], "expire after a successful backup", {
    config: "backup.expireAuto",
    default: "y",
  }),
  acted("resume", "boolean", "global", ["backup"], "continue an interrupted full backup", {
    config: "backup.resume",
    default: "y",
  }),
  acted("start-fast", "boolean", "global", ["backup"], "ask for an immediate checkpoint", {
    config: "backup.startFast",
    default: "n",
  }),
  acted("archive-async", "boolean", "global", ARCHIVE, "push and get in the background", {
    config: "archive.async",
    default: "n",
  }),
  acted("archive-get-queue-max", "size", "global", [...SERVING, "archive-get"], "bytes of WAL to fetch ahead", {
    config: "archive.getQueueSizeBytesMax",
    default: "128MiB",
    range: ["0B", "4PiB"],
  }),
  accepted("archive-missing-retry", "boolean", "global", ["archive-get"], "retry a segment that was missing", {
    default: "y",
  }),
  acted("archive-push-batch-size", "size", "global", PUSH, "bytes of WAL in one batch", {
    config: "archive.pushBatchSizeBytes",
    default: "16GiB",
    range: ["1MiB", "4PiB"],
  }),
  acted(
    "archive-push-queue-max",
    "size",
    "global",
    PUSH,
    "limit of waiting WAL in bytes, above which WAL that no repository accepts is dropped; by default none",
    { config: "archive.pushQueueSizeBytesMax", range: ["0B", "4PiB"], aliases: ["archive-queue-max"] },
  ),
  acted("backup-standby", "enum", "global", ["backup", "check"], "copy from a standby", {
    config: "backup.standby",
    default: "n",
    allowed: ["n", "prefer", "y"],
    booleanLike: true,
  }),
  acted("checksum-page-error", "boolean", "global", ["backup", "expire", "restore"], "fail on invalid pages", {
    config: "checksumPageError",
    default: "n",
    forCommand: { expire: { default: "y" }, restore: { default: "y" } },
  }),
  acted("manifest-save-threshold", "size", "global", ["backup"], "bytes copied between two saves of the manifest", {
    config: "backup.manifestSaveThresholdBytes",
    default: "1GiB",
    range: ["1B", "1TiB"],
  }),
  accepted("stop-auto", "boolean", "global", ["backup"], "without effect since PostgreSQL 9.6", { default: "n" }),
];

const RESTORE = [
  acted(
    "repo-target-time",
    "string",
    "global",
    [
      "archive-get",
      "cnpg-restore",
      "extract-table",
      "find",
      "info",
      "manifest",
      "recover",
      "recover-step",
      "repo-get",
      "repo-ls",
      "restore",
      "verify",
    ],
    "read a versioned bucket as it was at this time; needs --repo",
    { config: "repoTargetTime" },
  ),
  acted("archive-mode", "enum", "global", ["restore"], "archive_mode of the restored cluster", {
    config: "restore.archiveMode",
    default: "preserve",
    allowed: ["preserve", "off"],
  }),
  acted("link-all", "boolean", "global", ["restore"], "restore all links as links", {
    config: "restore.linkAll",
    default: "n",
  }),
  acted("link-map", "hash", "global", ["restore"], "new destination of a link, as link=path", {
    config: "restore.linkMap",
  }),
  acted("recovery-option", "hash", "global", ["restore"], "further recovery settings, as name=value", {
    config: "restore.recoveryOptions",
    ...on("type", "default", "immediate", "standby", ...TARGET_TYPES),
  }),
  acted("tablespace-map", "hash", "global", ["restore"], "new directory of a tablespace, as name=path or oid=path", {
    config: "restore.tablespaceMap",
  }),
  acted(
    "tablespace-map-all",
    "string",
    "global",
    ["restore"],
    "directory for all tablespaces that have no directory of their own",
    {
      config: "restore.tablespaceMapAll",
    },
  ),
  acted("db-exclude", "list", "global", ["restore"], "databases to exclude; restore fills their files with zeroes", {
    config: "databaseExclude",
  }),
  acted(
    "db-include",
    "list",
    "global",
    ["restore"],
    "the only databases to restore; restore adds the system databases",
    {
      config: "databaseInclude",
    },
  ),
];

const POSTGRES: readonly OptionRow[] = [
  acted("pg-path", "path", "stanza", [...PG, "manifest", "metrics", "status", "verify"], "data directory", {
    group: "pg",
    required: true,
    forCommand: {
      "archive-push": { required: false },
      drill: { required: false },
      find: { required: false },
      manifest: { required: false },
      metrics: { required: false },
      status: { required: false },
      verify: { required: false },
    },
    aliases: ["db-path", "db?-path"],
  }),
  acted("pg-database", "string", "stanza", SESSION, "database to connect to", { ...CONNECTION, default: "postgres" }),
  acted("pg-port", "integer", "stanza", SESSION, "port of the server", {
    ...CONNECTION,
    default: "5432",
    range: ["0", "65535"],
    aliases: ["db-port", "db?-port"],
  }),
  acted("pg-socket-path", "string", "stanza", SESSION, "directory of the server's socket", {
    ...CONNECTION,
    aliases: ["db-socket-path", "db?-socket-path"],
  }),
  acted("pg-user", "string", "stanza", SESSION, "role to connect as", { ...CONNECTION }),
  accepted("pg", "integer", "command-line", NONE, "index of the cluster to use", { range: ["1", "256"] }),
  acted("pg-local", "boolean", "stanza", PG, "the cluster is on this host whatever pg-host says", {
    group: "pg",
    default: "n",
  }),
  accepted("pg-host", "string", "stanza", PG, "host of the cluster", {
    group: "pg",
    ...on("pg-local", "n"),
    aliases: ["db-host", "db?-host"],
    refused: LOCAL_ONLY,
  }),
  accepted("pg-host-type", "enum", "global", PG_REMOTE, "protocol to the cluster's host", {
    group: "pg",
    default: "ssh",
    allowed: ["ssh", "tls"],
    ...on("pg-host"),
  }),
  accepted("pg-host-ca-file", "string", "global", PG_REMOTE, "certificate authority of the cluster's host", {
    group: "pg",
    ...on("pg-host-type", "tls"),
  }),
  accepted("pg-host-ca-path", "string", "global", PG_REMOTE, "directory of certificate authorities", {
    group: "pg",
    ...on("pg-host-type", "tls"),
  }),
  accepted("pg-host-cert-file", "string", "global", PG_REMOTE, "certificate shown to the cluster's host", {
    group: "pg",
    ...on("pg-host-type", "tls"),
  }),
  accepted("pg-host-key-file", "string", "global", PG_REMOTE, "key of that certificate", {
    group: "pg",
    ...on("pg-host-type", "tls"),
  }),
  accepted("pg-host-cmd", "string", "stanza", PG_REMOTE, "program on the cluster's host", {
    group: "pg",
    ...on("pg-host-type", "ssh"),
    aliases: ["db-cmd", "db?-cmd"],
  }),
  accepted("pg-host-config", "path", "stanza", PG_REMOTE, "configuration file on the cluster's host", {
    group: "pg",
    ...on("pg-host"),
    default: `${CONFIG_PATH}/pgbackrest.conf`,
    aliases: ["db-config", "db?-config"],
  }),
  accepted(
    "pg-host-config-include-path",
    "path",
    "stanza",
    PG_REMOTE,
    "directory of further configuration on the cluster's host",
    {
      group: "pg",
      ...on("pg-host"),
      default: `${CONFIG_PATH}/conf.d`,
    },
  ),
  accepted("pg-host-config-path", "path", "stanza", PG_REMOTE, "directory of the configuration on the cluster's host", {
    group: "pg",
    ...on("pg-host"),
    default: CONFIG_PATH,
  }),
  accepted("pg-host-port", "integer", "stanza", PG_REMOTE, "port of the cluster's host", {
    group: "pg",
    range: ["0", "65535"],
    ...on("pg-host-type", "ssh", "tls"),
    forDepend: { tls: { default: "8432" } },
    aliases: ["db-ssh-port", "db?-ssh-port"],
  }),
  accepted("pg-host-user", "string", "stanza", PG_REMOTE, "user on the cluster's host", {
    group: "pg",
    default: "postgres",
    ...on("pg-host-type", "ssh"),
    aliases: ["db-user", "db?-user"],
  }),
  accepted("pg-version-force", "string", "stanza", REPO, "version of PostgreSQL, for forks that report another one"),
];

const REPOSITORY: readonly OptionRow[] = [
  acted("repo-type", "enum", "global", REPO, "kind of storage", {
    group: "repo",
    default: "posix",
    allowed: ["azure", "cifs", "gcs", "posix", "s3", "sftp"],
    aliases: ["repo-type"],
    refusedValues: {
      azure: "use posix, cifs, s3 or sftp",
      gcs: "use the S3 interface of the service, posix, cifs or sftp",
    },
  }),
  acted("repo-path", "path", "global", REPO, "directory of the repository, in an object store the prefix of its keys", {
    group: "repo",
    default: "/var/lib/pgbackrest",
    aliases: ["repo-path"],
  }),
  acted("repo-cipher-type", "enum", "global", REPO, "encryption of the repository", {
    group: "repo",
    default: "none",
    allowed: ["none", "aes-256-cbc"],
    aliases: ["repo-cipher-type"],
  }),
  acted("repo-cipher-pass", "string", "global", REPO, "passphrase of the repository", {
    group: "repo",
    secret: true,
    required: true,
    ...on("repo-cipher-type", "aes-256-cbc"),
    aliases: ["repo-cipher-pass"],
  }),
  acted("repo-hardlink", "boolean", "global", ["backup"], "link unchanged files into each backup's directory", {
    group: "repo",
    default: "n",
    depend: { option: "repo-bundle", values: ["n"], otherwise: "n" },
    aliases: ["hardlink"],
  }),
  acted(
    "repo-symlink",
    "boolean",
    "global",
    ["backup", "expire", "sync"],
    "make the link latest and links of tablespaces",
    {
      group: "repo",
      default: "y",
      depend: { option: "repo-type", values: ["posix"], otherwise: "n" },
    },
  ),
  acted("repo-bundle", "boolean", "global", ["backup", "sync"], "store small files together", {
    group: "repo",
    default: "n",
  }),
  acted("repo-bundle-size", "size", "global", ["backup"], "size at which a bundle is full", {
    ...BUNDLE,
    default: "20MiB",
    range: ["1MiB", "1PiB"],
  }),
  acted("repo-bundle-limit", "size", "global", ["backup"], "size up to which files are bundled", {
    ...BUNDLE,
    default: "2MiB",
    range: ["8KiB", "1PiB"],
  }),
  acted("repo-retention-full", "integer", "global", RETENTION, "full backups, or days, to keep", {
    group: "repo",
    range: ["1", "9999999"],
    aliases: ["retention-full"],
  }),
  acted("repo-retention-full-type", "enum", "global", RETENTION, "unit of repo-retention-full: backups or days", {
    group: "repo",
    default: "count",
    allowed: ["count", "time"],
  }),
  acted("repo-retention-diff", "integer", "global", RETENTION, "differential backups to keep", {
    group: "repo",
    range: ["1", "9999999"],
    aliases: ["retention-diff"],
  }),
  acted("repo-retention-archive", "integer", "global", RETENTION, "backups to keep WAL for", {
    group: "repo",
    range: ["1", "9999999"],
    aliases: ["retention-archive"],
  }),
  acted(
    "repo-retention-archive-type",
    "enum",
    "global",
    RETENTION,
    "kind of backup that repo-retention-archive counts",
    {
      group: "repo",
      default: "full",
      allowed: ["full", "diff", "incr"],
      aliases: ["retention-archive-type"],
    },
  ),
  acted("repo-retention-history", "integer", "global", RETENTION, "days to keep manifests of expired backups", {
    group: "repo",
    range: ["0", "9999999"],
  }),
  acted("repo-block", "boolean", "global", ["backup", "sync"], "store changed blocks instead of changed files", {
    group: "repo",
    default: "n",
    depend: { option: "repo-bundle", values: ["y"], otherwise: "n" },
  }),
  acted("repo-block-size-map", "hash", "global", ["backup"], "block size by file size", { ...BLOCK }),
  acted("repo-block-age-map", "hash", "global", ["backup"], "block size by age of the file", { ...BLOCK }),
  acted("repo-block-checksum-size-map", "hash", "global", ["backup"], "checksum size by block size", { ...BLOCK }),
  acted("repo-block-size-super", "size", "global", ["backup", "sync"], "size of super blocks", {
    ...BLOCK,
    default: "256KiB",
    range: ["32KiB", "16MiB"],
  }),
  acted("repo-block-size-super-full", "size", "global", ["backup", "sync"], "size of super blocks in full backups", {
    ...BLOCK,
    default: "1MiB",
    range: ["32KiB", "16MiB"],
  }),
  acted("repo-local", "boolean", "global", REPO, "the repository is on this host whatever repo-host says", {
    group: "repo",
    default: "n",
  }),
  accepted("repo-host", "string", "global", REPO, "host of the repository", {
    group: "repo",
    ...on("repo-local", "n"),
    aliases: ["backup-host"],
    refused: LOCAL_ONLY,
  }),
  accepted("repo-host-type", "enum", "global", REPO, "protocol to the repository's host", {
    group: "repo",
    default: "ssh",
    allowed: ["ssh", "tls"],
    ...on("repo-host"),
  }),
  accepted("repo-host-ca-file", "string", "global", REPO, "certificate authority of the repository's host", {
    group: "repo",
    ...on("repo-host-type", "tls"),
  }),
  accepted("repo-host-ca-path", "string", "global", REPO, "directory of certificate authorities", {
    group: "repo",
    ...on("repo-host-type", "tls"),
  }),
  accepted("repo-host-cert-file", "string", "global", REPO, "certificate shown to the repository's host", {
    group: "repo",
    ...on("repo-host-type", "tls"),
  }),
  accepted("repo-host-key-file", "string", "global", REPO, "key of that certificate", {
    group: "repo",
    ...on("repo-host-type", "tls"),
  }),
  accepted("repo-host-cmd", "string", "global", REPO, "program on the repository's host", {
    group: "repo",
    ...on("repo-host-type", "ssh"),
    aliases: ["backup-cmd"],
  }),
  accepted("repo-host-config", "string", "global", REPO, "configuration file on the repository's host", {
    group: "repo",
    ...on("repo-host"),
    default: `${CONFIG_PATH}/pgbackrest.conf`,
    aliases: ["backup-config"],
  }),
  accepted(
    "repo-host-config-include-path",
    "path",
    "global",
    REPO,
    "directory of further configuration on the repository's host",
    {
      group: "repo",
      ...on("repo-host"),
      default: `${CONFIG_PATH}/conf.d`,
    },
  ),
  accepted("repo-host-config-path", "path", "global", REPO, "directory of the configuration on the repository's host", {
    group: "repo",
    ...on("repo-host"),
    default: CONFIG_PATH,
  }),
  accepted("repo-host-port", "integer", "global", REPO, "port of the repository's host", {
    group: "repo",
    range: ["0", "65535"],
    ...on("repo-host-type", "ssh", "tls"),
    forDepend: { tls: { default: "8432" } },
    aliases: ["backup-ssh-port"],
  }),
  accepted("repo-host-user", "string", "global", REPO, "user on the repository's host", {
    group: "repo",
    default: "pgbackrest",
    ...on("repo-host-type", "ssh"),
    aliases: ["backup-user"],
  }),
];

const STORAGE: readonly OptionRow[] = [
  acted("repo-storage-ca-file", "string", "global", REPO, "certificate authority of the object store", {
    ...STORE,
    aliases: ["repo-s3-ca-file", "repo?-azure-ca-file", "repo?-s3-ca-file"],
  }),
  acted("repo-storage-host", "string", "global", REPO, "address to connect to instead of the endpoint", {
    group: "repo",
    ...on("repo-type", "azure", "s3"),
    aliases: ["repo-s3-host", "repo?-azure-host", "repo?-s3-host"],
  }),
  acted("repo-storage-port", "integer", "global", REPO, "port to connect to", {
    group: "repo",
    ...on("repo-type", "azure", "s3"),
    default: "443",
    range: ["1", "65535"],
    aliases: ["repo?-azure-port", "repo?-s3-port"],
  }),
  acted("repo-storage-upload-chunk-size", "size", "global", REPO, "size of the parts of an upload", {
    ...STORE,
    forDepend: {
      azure: { default: "4MiB", range: ["4MiB", "1GiB"] },
      gcs: { default: "4MiB", range: ["4MiB", "1GiB"] },
      s3: { default: "5MiB", range: ["5MiB", "1GiB"] },
    },
  }),
  acted("repo-storage-verify-tls", "boolean", "global", REPO, "verify the certificate of the object store", {
    ...STORE,
    default: "y",
    aliases: ["repo-s3-verify-ssl", "repo?-azure-verify-tls", "repo?-s3-verify-ssl", "repo?-s3-verify-tls"],
  }),
  accepted("repo-storage-ca-path", "path", "global", REPO, "directory of certificate authorities", {
    ...STORE,
    aliases: ["repo-s3-ca-path", "repo?-azure-ca-path", "repo?-s3-ca-path"],
    refused: "name one file with repo-storage-ca-file",
  }),
  accepted("repo-storage-prefetch", "integer", "global", REPO, "parts to read ahead", {
    ...STORE,
    default: "3",
    range: ["0", "1024"],
  }),
  accepted("repo-storage-read-over", "size", "global", REPO, "gap that is read rather than skipped", {
    ...STORE,
    default: "64KiB",
    range: ["0B", "1MiB"],
  }),
  accepted("repo-storage-tag", "hash", "global", REPO, "tags of new objects, as key=value", { ...STORE }),
  acted("repo-s3-bucket", "string", "global", REPO, "bucket of the repository", {
    ...S3,
    required: true,
    aliases: ["repo-s3-bucket"],
  }),
  acted("repo-s3-endpoint", "string", "global", REPO, "endpoint of the object store", {
    ...S3,
    required: true,
    aliases: ["repo-s3-endpoint"],
  }),
  acted("repo-s3-region", "string", "global", REPO, "region of the bucket", {
    ...S3,
    required: true,
    aliases: ["repo-s3-region"],
  }),
  acted("repo-s3-key-type", "enum", "global", REPO, "where credentials come from", {
    ...S3,
    default: "shared",
    allowed: ["shared", "auto", "web-id", "pod-id", "process"],
  }),
  acted("repo-s3-key", "string", "global", REPO, "access key", {
    ...S3_SHARED,
    secret: true,
    required: true,
    aliases: ["repo-s3-key"],
  }),
  acted("repo-s3-key-secret", "string", "global", REPO, "secret access key", {
    ...S3_SHARED,
    secret: true,
    required: true,
    aliases: ["repo-s3-key-secret"],
  }),
  acted("repo-s3-token", "string", "global", REPO, "session token", { ...S3_SHARED, secret: true }),
  acted("repo-s3-uri-style", "enum", "global", REPO, "bucket in the host name or in the path", {
    ...S3,
    default: "host",
    allowed: ["host", "path"],
  }),
  accepted("repo-s3-kms-key-id", "string", "global", REPO, "key of the provider's key service", {
    ...S3,
    refused: "set repo-cipher-type, or a default encryption on the bucket",
  }),
  accepted("repo-s3-sse-customer-key", "string", "global", REPO, "key with which the provider encrypts", {
    ...S3,
    secret: true,
    refused: "set repo-cipher-type",
  }),
  acted("repo-s3-process-cmd", "list", "global", REPO, "command that prints credentials", {
    group: "repo",
    required: true,
    ...on("repo-s3-key-type", "process"),
  }),
  accepted("repo-s3-requester-pays", "boolean", "global", REPO, "agree to pay for requests", { ...S3, default: "n" }),
  acted("repo-s3-role", "string", "global", REPO, "role of this machine", {
    group: "repo",
    ...on("repo-s3-key-type", "auto"),
  }),
  accepted("repo-s3-service", "string", "global", REPO, "service name in signatures", { ...S3, default: "s3" }),
  acted("repo-s3-sts-host", "string", "global", REPO, "host that issues session tokens", {
    group: "repo",
    default: "sts.amazonaws.com",
    ...on("repo-s3-key-type", "web-id"),
  }),
  accepted("repo-azure-account", "string", "global", REPO, "storage account", {
    ...AZURE,
    secret: true,
    required: true,
  }),
  accepted("repo-azure-container", "string", "global", REPO, "container of the repository", {
    ...AZURE,
    required: true,
  }),
  accepted("repo-azure-endpoint", "string", "global", REPO, "endpoint of the service", {
    ...AZURE,
    secret: true,
    default: "blob.core.windows.net",
  }),
  accepted("repo-azure-key", "string", "global", REPO, "key of the account", {
    group: "repo",
    secret: true,
    ...on("repo-azure-key-type", "shared", "sas"),
  }),
  accepted("repo-azure-key-type", "enum", "global", REPO, "kind of repo-azure-key", {
    ...AZURE,
    default: "shared",
    allowed: ["shared", "sas", "auto"],
  }),
  accepted("repo-azure-uri-style", "enum", "global", REPO, "account in the host name or in the path", {
    ...AZURE,
    default: "host",
    allowed: ["host", "path"],
  }),
  accepted("repo-gcs-bucket", "string", "global", REPO, "bucket of the repository", {
    group: "repo",
    required: true,
    ...on("repo-gcs-key-type"),
  }),
  accepted("repo-gcs-endpoint", "string", "global", REPO, "endpoint of the service", {
    group: "repo",
    default: "storage.googleapis.com",
    ...on("repo-gcs-key-type"),
  }),
  accepted("repo-gcs-key", "string", "global", REPO, "file of the service's key, or a token", {
    group: "repo",
    secret: true,
    required: true,
    ...on("repo-gcs-key-type", "service", "token"),
  }),
  accepted("repo-gcs-key-type", "enum", "global", REPO, "kind of repo-gcs-key", {
    group: "repo",
    default: "service",
    allowed: ["service", "token", "auto"],
    ...on("repo-type", "gcs"),
  }),
  accepted("repo-gcs-user-project", "string", "global", REPO, "project that pays for requests", { group: "repo" }),
  acted("repo-sftp-host", "string", "global", REPO, "host of the repository", { ...SFTP, required: true }),
  acted(
    "repo-sftp-host-fingerprint",
    "string",
    "global",
    REPO,
    "fingerprint of the host's key, for stock in hexadecimal digits",
    {
      group: "repo",
      ...on("repo-sftp-host-key-check-type", "fingerprint", "strict"),
      forDepend: { fingerprint: { required: true } },
    },
  ),
  acted(
    "repo-sftp-host-key-check-type",
    "enum",
    "global",
    REPO,
    "how to check the host's key: against known_hosts files (strict, and accept-new, which adds no host here), a fingerprint, or not at all",
    { ...SFTP, default: "strict", allowed: ["accept-new", "fingerprint", "none", "strict"] },
  ),
  acted("repo-sftp-host-key-hash-type", "enum", "global", REPO, "digest of the fingerprint", {
    ...SFTP,
    required: true,
    allowed: ["md5", "sha1", "sha256"],
  }),
  acted("repo-sftp-host-port", "integer", "global", REPO, "port of the host", {
    ...SFTP,
    default: "22",
    range: ["1", "65535"],
  }),
  acted("repo-sftp-host-user", "string", "global", REPO, "user on the host", { ...SFTP, required: true }),
  acted("repo-sftp-known-host", "list", "global", REPO, "known_hosts files instead of those of ssh", {
    group: "repo",
    ...on("repo-sftp-host-key-check-type", "accept-new", "strict"),
  }),
  acted("repo-sftp-private-key-file", "string", "global", REPO, "file of the private key", { ...SFTP, required: true }),
  acted("repo-sftp-private-key-passphrase", "string", "global", REPO, "passphrase of the private key", {
    ...SFTP,
    secret: true,
  }),
  accepted("repo-sftp-public-key-file", "string", "global", REPO, "public key", { ...SFTP }),
];

const SERVER: readonly OptionRow[] = [
  accepted("tls-server-address", "string", "global", NONE, "address that stock's server listens on", {
    default: "localhost",
  }),
  accepted("tls-server-auth", "hash", "global", NONE, "clients of stock's server, as name=stanza"),
  accepted("tls-server-ca-file", "path", "global", NONE, "certificate authority of stock's server"),
  accepted("tls-server-cert-file", "path", "global", NONE, "certificate of stock's server"),
  accepted("tls-server-key-file", "path", "global", NONE, "key of stock's server"),
  accepted("tls-server-port", "integer", "global", NONE, "port of stock's server", {
    default: "8432",
    range: ["1", "65535"],
  }),
];

/** Ascending by name: the order in which stock prints them. */
export const OPTIONS: readonly OptionRow[] = [
  ...COMMAND_LINE,
  ...GENERAL,
  ...ARCHIVE_AND_BACKUP,
  ...RESTORE,
  ...POSTGRES,
  ...REPOSITORY,
  ...STORAGE,
  ...SERVER,
].sort((left, right) => (left.name < right.name ? -1 : 1));

type ConfigRow = Extract<
  (typeof COMMAND_LINE | typeof GENERAL | typeof ARCHIVE_AND_BACKUP | typeof RESTORE)[number],
  { readonly config: string }
>;
type GroupName = ConfigRow["config"] extends infer P ? (P extends `${infer G}.${string}` ? G : never) : never;
type FieldOf<P, G extends string> = P extends `${G}.${infer F}` ? F : never;
type TextOf<R> = R extends { readonly allowed: readonly (infer A)[] } ? A : string;
type Given<R> = R extends { readonly type: "boolean" }
  ? boolean
  : R extends { readonly type: "list" }
    ? readonly string[]
    : R extends { readonly type: "hash" }
      ? Readonly<Record<string, string>>
      : R extends { readonly type: "integer" | "size" | "time" }
        ? number
        : TextOf<R>;
/** Lists and hashes are empty without a value. */
type ValueOf<R> = R extends { readonly default: string } | { readonly type: "list" | "hash" }
  ? Given<R>
  : Given<R> | undefined;

/** The values of rows with a `config`: numbers in bytes and milliseconds. */
export type OptionValues = {
  readonly [R in ConfigRow as R["config"] extends `${string}.${string}` ? never : R["config"]]: ValueOf<R>;
} & { readonly [G in GroupName]: { readonly [R in ConfigRow as FieldOf<R["config"], G>]: ValueOf<R> } };
