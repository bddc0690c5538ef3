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
  /** If omitted, `global`. */
  readonly section?: OptionSection;
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
  /** Commands that read it, and for which it alone configures no repository. */
  readonly addsNoKeyFor?: readonly CommandName[];
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

export const GCS_ENDPOINT = "storage.googleapis.com";
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
const TELLING: readonly CommandName[] = ["check", "cnpg-drill", "cnpg-dump", "cnpg-expire", "notify"];
const PG_REMOTE: readonly CommandName[] = [
  "backup",
  "check",
  "pg-settings",
  "stanza-create",
  "stanza-delete",
  "stanza-upgrade",
];
const DRILL: readonly CommandName[] = ["cnpg-drill", "drill"];
/**
 * Commands of stock, and those that copy as `backup` and `restore` do. The agent archives WAL for all of them, and
 * `recover` starts the server: a value for every command must not reach these.
 */
const PRIORITY = commandsWith((row) => row.own !== true || row.limited === true).filter(
  (command) => command !== "help" && command !== "version",
);
/** Commands that judge or copy by what `backup` and `expire` keep. */
const KEEPING: readonly CommandName[] = [
  ...(["agent", "cnpg-drill", "cnpg-instance", "drill", "heal", "metrics", "status", "sync", "verify"] as const),
];
const RETENTION: readonly CommandName[] = ["backup", "expire", ...KEEPING];
const NONE: readonly CommandName[] = [];
/** Commands that can read a versioned bucket as it was. */
const PAST: readonly CommandName[] = [
  ...([
    "archive-get",
    "clone",
    "cnpg-restore",
    "diff",
    "extract-table",
    "find",
    "info",
    "manifest",
    "open",
    "recover",
  ] as const),
  ...(["recover-step", "repo-get", "repo-ls", "restore", "verify"] as const),
];
/** Commands that can work with one of the repositories. */
const ONE_REPOSITORY: readonly CommandName[] = [
  ...PAST,
  ...(["annotate", "backup", "cnpg-drill", "doctor", "drill", "dump"] as const),
  ...(["dump-get", "dump-ls", "expire", "heal", "hold", "release"] as const),
  "stanza-delete",
];
const SIDECARS: readonly CommandName[] = ["cnpg-instance", "cnpg-restore"];
const PORTS = ["1", "65535"] as const;
/** Keys of repositories and clusters. */
const KEYS = ["1", "256"] as const;
/** As stock has it for `retention-full`. */
const RETENTION_RANGE = ["1", "9999999"] as const;

const LOG_LEVELS = ["off", "error", "warn", "info", "detail", "debug", "trace"] as const;
const OBJECT_STORES = ["azure", "gcs", "s3"];
const TARGET_TYPES = ["lsn", "name", "time", "xid"];
const RECOVER: readonly CommandName[] = ["recover", "recover-step", "restore"];
const TARGETED: readonly CommandName[] = ["clone", "diff", "extract-table", "open", ...RECOVER];
const RECOVER_TYPES = ["default", "immediate", "name", "time", "lsn", "xid"];
const CONFIG_PATH = "/etc/pgbackrest";
const LOCAL_ONLY = "run the command on that host";

const S3 = on("repo-type", "s3");
const S3_SHARED = on("repo-s3-key-type", "shared");
const STORE = on("repo-type", ...OBJECT_STORES);
const AZURE = on("repo-type", "azure");
const GCS = on("repo-type", "gcs");
const SFTP = on("repo-type", "sftp");
const BLOCK = on("repo-block", "y");
const KEEP = { addsNoKeyFor: KEEPING } as const;
const BUNDLE = on("repo-bundle", "y");
const CONNECTION = on("pg-path");

function on(option: string, ...values: readonly string[]): { readonly depend: OptionDepend } {
  return { depend: values.length === 0 ? { option } : { option, values } };
}

function optionalFor(commands: readonly CommandName[]): Pick<OptionDetails, "forCommand"> {
  return { forCommand: ruleFor(commands, { required: false }) };
}

/** One rule of several commands. */
function ruleFor(commands: readonly CommandName[], rule: OptionRule): NonNullable<OptionDetails["forCommand"]> {
  return Object.fromEntries(commands.map((command) => [command, rule]));
}

type ActedRow<T extends OptionType, D extends OptionDetails> = D &
  Omit<OptionRow, keyof OptionDetails | "type"> & {
    readonly type: T;
    readonly section: OptionSection;
    // Named in each row, because an array's type drops a row that another one's type covers.
    readonly config: D extends { readonly config: infer C } ? C : undefined;
  };

/** Keeps the literal types: {@link OptionValues} derives from name, type, default and allowed values. */
function acted<const T extends OptionType, const D extends OptionDetails = OptionDetails>(
  name: string,
  type: T,
  commands: readonly CommandName[],
  doc: string,
  details?: D,
): ActedRow<T, D> {
  const row = { section: "global", ...details, config: details?.config, name, type, commands, doc, acted: true };
  return row as ActedRow<T, D>;
}

/** A row of the command line. */
function typed<const T extends OptionType, const D extends OptionDetails = OptionDetails>(
  ...[name, type, commands, doc, details]: Parameters<typeof acted<T, D>>
): ActedRow<T, D> {
  return { ...acted(name, type, commands, doc, details), section: "command-line" };
}

/** The same of one that stock does not have. */
function own<const T extends OptionType, const D extends OptionDetails = OptionDetails>(
  ...row: Parameters<typeof acted<T, D>>
): ActedRow<T, D> {
  return { ...typed(...row), own: true };
}

function accepted(...row: Parameters<typeof acted>): OptionRow {
  return { ...acted(...row), acted: false };
}

/** The rows of a group, all in one section. */
function grouped(group: "pg" | "repo", section: OptionSection, rows: readonly OptionRow[]): readonly OptionRow[] {
  return rows.map((row) => ({ ...row, group, section }));
}

/** Old names of an option of the cluster. */
function db(name: string): { readonly aliases: readonly string[] } {
  return { aliases: [`db-${name}`, `db?-${name}`] };
}

interface RemoteHost {
  /** How texts call what is on the host. */
  readonly title: string;
  readonly section: OptionSection;
  readonly commands: readonly CommandName[];
  readonly configType: OptionType;
  readonly user: string;
  readonly old: (name: string) => { readonly aliases: readonly string[] };
}

/** How stock reaches another host. */
function remoteHost(group: "pg" | "repo", remote: RemoteHost): OptionRow[] {
  const { commands, configType, old, title, user } = remote;
  const host = `${group}-host`;
  const there = on(host);
  const tls = on(`${host}-type`, "tls");
  const ssh = on(`${host}-type`, "ssh");
  const anywhere = [
    accepted(`${host}-type`, "enum", commands, `protocol to the ${title}'s host`, {
      default: "ssh",
      allowed: ["ssh", "tls"],
      ...there,
    }),
    accepted(`${host}-ca-file`, "string", commands, `certificate authority of the ${title}'s host`, tls),
    accepted(`${host}-ca-path`, "string", commands, "directory of certificate authorities", tls),
    accepted(`${host}-cert-file`, "string", commands, `certificate shown to the ${title}'s host`, tls),
    accepted(`${host}-key-file`, "string", commands, "key of that certificate", tls),
  ];
  const further = `directory of further configuration on the ${title}'s host`;
  const inSection = [
    accepted(`${host}-cmd`, "string", commands, `program on the ${title}'s host`, { ...ssh, ...old("cmd") }),
    accepted(`${host}-config`, configType, commands, `configuration file on the ${title}'s host`, {
      ...there,
      default: `${CONFIG_PATH}/pgbackrest.conf`,
      ...old("config"),
    }),
    accepted(`${host}-config-include-path`, "path", commands, further, { ...there, default: `${CONFIG_PATH}/conf.d` }),
    accepted(`${host}-config-path`, "path", commands, `directory of the configuration on the ${title}'s host`, {
      ...there,
      default: CONFIG_PATH,
    }),
    accepted(`${host}-port`, "integer", commands, `port of the ${title}'s host`, {
      range: ["0", "65535"],
      ...on(`${host}-type`, "ssh", "tls"),
      forDepend: { tls: { default: "8432" } },
      ...old("ssh-port"),
    }),
    accepted(`${host}-user`, "string", commands, `user on the ${title}'s host`, {
      default: user,
      ...ssh,
      ...old("user"),
    }),
  ];
  return [...grouped(group, "global", anywhere), ...grouped(group, remote.section, inSection)];
}

function using(use: Use): readonly CommandName[] {
  return commandsWith((row) => row.uses.includes(use));
}

const COMMAND_LINE = [
  typed("config", "string", ALL, "configuration file", { default: `${CONFIG_PATH}/pgbackrest.conf`, negate: true }),
  typed("config-path", "path", ALL, "directory of pgbackrest.conf and conf.d", { default: CONFIG_PATH }),
  typed("config-include-path", "path", ALL, "directory with further *.conf files to read", {
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
  own("plugin-socket", "path", SIDECARS, "unix socket that CloudNativePG's instance manager calls", {
    config: "plugin.socket",
    default: "/plugins/pgbackstop",
  }),
  own("plugin-heartbeat", "path", SIDECARS, "file with the time of the last answered call", {
    config: "plugin.heartbeatFile",
  }),
  own("plugin-instance", "string", SIDECARS, "name of the pod, kept with its backups", { config: "plugin.instance" }),
  own("plugin-watch", "list", SIDECARS, "directories whose change ends the process, so that it is restarted", {
    config: "plugin.watchPaths",
  }),
  own("plugin-source-stanza", "string", ["cnpg-instance"], "name of the cluster that a replica cluster follows", {
    config: "plugin.sourceStanza",
  }),
  own(
    "plugin-newest-wal",
    "string",
    ["cnpg-restore"],
    "newest WAL segment that the recovery may get, for drills; SEGMENT@LSN ends inside it",
    { config: "plugin.newestWal" },
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
  own("plugin-image", "string", ["cnpg-dump", "cnpg-job", "cnpg-operator"], "default image of Node.js for sidecars", {
    config: "plugin.image",
  }),
  own("job-image", "string", ["cnpg-job"], "image of PostgreSQL; by default the Cluster's", {
    config: "clusterJob.image",
  }),
  own("job-size", "string", ["cnpg-job"], "size of the volume, by default that of the Cluster's: 20Gi", {
    config: "clusterJob.size",
  }),
  own("kubernetes-host", "string", KUBERNETES, "host of the API server of Kubernetes", {
    config: "kubernetes.host",
    default: "kubernetes.default.svc",
  }),
  own("kubernetes-port", "integer", KUBERNETES, "port of the API server of Kubernetes", {
    config: "kubernetes.port",
    default: "443",
    range: PORTS,
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
  own(
    "drill-cluster",
    "string",
    ["cnpg-drill", "cnpg-dump", "dump", "extract-table"],
    "name of the Cluster that is production, reached by its Service",
    { config: "clusterDrill.cluster" },
  ),
  own("throw-away", "string", ["cnpg-drill"], "name of the throw-away Cluster", { config: "clusterDrill.name" }),
  own(
    "drill-job",
    "string",
    ["cnpg-drill", "cnpg-dump"],
    "Job that owns the throw-away Cluster, or the pod of a dump",
    { config: "clusterDrill.job" },
  ),
  own("drill-job-uid", "string", ["cnpg-drill", "cnpg-dump"], "uid of that Job", { config: "clusterDrill.jobUid" }),
  own(
    "drill-secret-path",
    "path",
    ["cnpg-drill", "dump", "extract-table"],
    "directory of production's username and password",
    {
      config: "clusterDrill.secretPath",
    },
  ),
  own(
    "drill-resource",
    "hash",
    ["cnpg-drill"],
    "resource of the throw-away instance, by default production's: requests.cpu=500m",
    { config: "clusterDrill.resources" },
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
  typed("stanza", "string", WORK, "name of the PostgreSQL cluster's configuration", {
    required: true,
    ...optionalFor(commandsWith((row) => row.optionalStanza === true)),
  }),
  typed("repo", "integer", ONE_REPOSITORY.toSorted(), "index of the repository to use", { range: KEYS }),
  own(
    "repos",
    "string",
    ["backup", "cnpg-dump", "dump"],
    "indexes of the repositories to use, in one pass, as 1,3; instead of repo",
    {
      config: "backup.repos",
    },
  ),
  typed(
    "set",
    "string",
    [
      "annotate",
      "clone",
      "cnpg-drill",
      "diff",
      "drill",
      "expire",
      "extract-table",
      "hold",
      "info",
      "manifest",
      "open",
      "recover",
      "recover-step",
      "release",
      "restore",
      "sync",
      "verify",
    ],
    "label of the backup",
    {
      forCommand: {
        ...ruleFor(["annotate", "hold", "release"], { required: true }),
        ...ruleFor(["manifest", ...TARGETED], { default: "latest" }),
        info: { depend: { option: "stanza" } },
      },
    },
  ),
  typed(
    "type",
    "enum",
    ["backup", "clone", "diff", "extract-table", "info", "open", "recover", "recover-step", "restore"],
    "type of backup, or of recovery target",
    {
      forCommand: {
        info: { allowed: ["full", "diff", "incr"] },
        backup: { default: "incr", allowed: ["full", "diff", "incr"] },
        ...ruleFor(TARGETED, { default: "default", allowed: RECOVER_TYPES }),
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
    { config: "restore.serverFiles" },
  ),
  typed("target", "string", TARGETED, "recovery target: a time, name, LSN or transaction", {
    config: "restore.target",
    required: true,
    ...on("type", ...TARGET_TYPES),
  }),
  typed("target-action", "enum", RECOVER, "what PostgreSQL does at the target", {
    config: "restore.targetAction",
    default: "pause",
    allowed: ["pause", "promote", "shutdown"],
    forCommand: {
      recover: { default: "promote", allowed: ["pause", "promote"], ...on("type", "immediate", ...TARGET_TYPES) },
    },
    ...on("type", "immediate", ...TARGET_TYPES),
  }),
  typed("target-exclusive", "boolean", TARGETED, "stop just before the target instead of just after it", {
    config: "restore.targetExclusive",
    default: "n",
    ...on("type", "lsn", "time", "xid"),
  }),
  typed("target-timeline", "string", TARGETED, "timeline to recover along: a number, current or latest", {
    config: "restore.targetTimeline",
    ...on("type", "default", "standby", ...TARGET_TYPES),
  }),
  typed(
    "force",
    "boolean",
    ["backup", "recover", "restore", "stanza-delete", "stop"],
    "restore: overwrite existing files, copying only those that differ in size or time; recover: to the last WAL before a gap; stanza-delete, offline backup: ignore running processes; stop: end running processes",
    { config: "force", default: "n", forCommand: { backup: { ...on("online", "n") } } },
  ),
  own("reason", "string", ["hold"], "why the backup must stay, on one line", {
    config: "hold.reason",
    required: true,
  }),
  own("until", "string", ["hold"], "day in UTC or time at which the hold ends; if omitted, release ends it", {
    config: "hold.until",
  }),
  typed("verbose", "boolean", ["verify"], "also print backups and WAL without errors", {
    config: "verify.verbose",
    default: "n",
  }),
  typed(
    "output",
    "enum",
    [
      "clone",
      "cnpg-drill",
      "diff",
      "doctor",
      "drill",
      "dump-ls",
      "find",
      "info",
      "manifest",
      "repo-ls",
      "status",
      "verify",
      "version",
    ],
    "form of the answer",
    { default: "text", allowed: ["text", "json"], forCommand: { verify: { allowed: ["none", "text", "json"] } } },
  ),
  own("format", "enum", ["report"], "form of the document: a page, or JSON for a page about several hosts", {
    config: "report.format",
    default: "html",
    allowed: ["html", "json"],
  }),
  own("expect", "list", ["report"], "databases that documents must describe, as orders or orders@db-1", {
    config: "report.expect",
  }),
  own("expect-within", "time", ["report"], "age from which a document is too old: how often they are written", {
    config: "report.expectWithinMs",
    default: "1d",
    range: ["1s", "365d"],
  }),
  own("output-file", "path", ["metrics"], "file to replace atomically, instead of standard output", {
    config: "monitoring.outputFile",
  }),
  own("otlp", "boolean", ["metrics"], "send them by OTLP to where the variables OTEL_EXPORTER_OTLP_… say", {
    config: "monitoring.otlp",
    default: "n",
  }),
  own("otlp-file", "path", ["metrics"], "file of these variables; by default otlp.env in $CREDENTIALS_DIRECTORY", {
    config: "monitoring.otlpFile",
  }),
  own("metrics-listen", "string", ["agent"], "address and port of /metrics and /healthz, such as 127.0.0.1:9854", {
    config: "monitoring.listen",
  }),
  own(
    "report-password-file",
    "path",
    ["agent", "cnpg-instance"],
    "file with the password of /report; by default report-password in $CREDENTIALS_DIRECTORY",
    { config: "monitoring.reportPasswordFile" },
  ),
  own(
    "wal-gaps",
    "boolean",
    ["agent", "metrics"],
    "list the whole WAL archive of each repository and count what is missing",
    { config: "monitoring.walGaps", default: "y", negate: true },
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
    { config: "monitoring.notifyFile" },
  ),
  typed(
    "online",
    "boolean",
    ["backup", "stanza-create", "stanza-upgrade"],
    "the server is running; n backs up a stopped server",
    { config: "backup.online", default: "y", negate: true },
  ),
  own(
    "upgraded-from",
    "path",
    ["stanza-upgrade"],
    "data directory of the cluster before pg_upgrade: refuse unless pg1 was made from it and the stanza is its",
    { config: "upgrade.upgradedFrom" },
  ),
  typed(
    "dry-run",
    "boolean",
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
  own("instant", "boolean", ["recover"], "start the server at once, and fetch everything else behind it", {
    config: "recover.instant",
    default: "n",
  }),
  own(
    "move-at",
    "string",
    ["recover"],
    "with --instant: local time of the restart that ends it, as 02:00; now as soon as everything is here",
    {
      config: "recover.moveAt",
    },
  ),
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
    { config: "recover.launcher" },
  ),
  typed(
    "oldest",
    "boolean",
    ["expire"],
    "expire the oldest full backup, unless it is the only one, with its dependents",
    { config: "expire.oldest", default: "n" },
  ),
  typed("archive-expire-before", "string", ["expire"], "expire only WAL before this segment", {
    config: "expire.archiveBefore",
  }),
  typed(
    "detail-level",
    "enum",
    ["info"],
    "amount of detail; destinations shows the newest full backup and WAL of each repository",
    { config: "info.detailLevel", default: "full", allowed: ["full", "progress", "destinations"] },
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
    { config: "check.stale", default: "n" },
  ),
  typed("reference", "string", ["manifest"], "show only files stored in this backup; latest is the backup itself", {
    config: "files.reference",
  }),
  accepted("report", "boolean", NONE, "print a report of the configuration", { section: "command-line", default: "n" }),
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
    range: KEYS,
  }),
  own("segment", "string", ["heal"], "one WAL file: give every repository the content that pg_wal has", {
    config: "heal.segment",
  }),
  own("trust-repo", "integer", ["heal"], "with --segment: the index of the repository whose content is right", {
    config: "heal.trustIndex",
    range: KEYS,
  }),
  own("latest", "boolean", ["sync"], "copy only the newest backup with its prior backups", {
    config: "sync.latest",
    default: "n",
  }),
  own(
    "bin-path",
    "path",
    ["backup", "clone", "diff", "drill", "dump", "extract-table", "open"],
    "directory of PostgreSQL's programs, instead of the usual directories",
    { config: "binPath" },
  ),
  own(
    "drill-path",
    "path",
    ["diff", "drill", "extract-table"],
    "parent directory of what is restored or opened; by default pg1-path with suffix -drill",
    { config: "drill.path" },
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
    { config: "drill.level", default: "thorough", allowed: ["quick", "standard", "thorough"] },
  ),
  own("how", "enum", ["drill"], "restore the backup, or open it: mount it, and fetch only what is read", {
    config: "drill.how",
    allowed: ["restore", "open"],
  }),
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
    { config: "drill.maxBytes", range: ["1MiB", "1PiB"] },
  ),
  own("name", "string", DRILL, "name of a drill that the settings file declares", { config: "drill.name" }),
  own("now", "boolean", DRILL, "run the declared drill, if only one is declared", {
    config: "drill.now",
    default: "n",
  }),
  own(
    "at",
    "path",
    ["clone", "close", "open"],
    "directory to mount the backup at; its pages are kept in AT.pgbackstop",
    {
      config: "open.at",
    },
  ),
  own("port", "integer", ["open"], "port of the opened server, which only names its socket", {
    config: "open.port",
    default: "5499",
    range: PORTS,
  }),
  own("start", "boolean", ["open"], "start a server; without it the backup is only mounted", {
    config: "open.start",
    default: "y",
    negate: true,
  }),
  own(
    "refuse-tablespace",
    "boolean",
    ["archive-get"],
    "refuse WAL that creates a tablespace, for a server next to it",
    {
      config: "archive.refusesTablespace",
      default: "n",
    },
  ),
  own("closed-by-caller", "boolean", ["open"], "the command that starts this one closes it before it ends itself", {
    config: "open.closedByCaller",
    default: "n",
  }),
  own("fetch-all", "boolean", ["open"], "fetch everything behind the server, also what nobody reads", {
    config: "open.fetchAll",
    default: "n",
  }),
  own("share", "path", ["open"], "directory of fetched pages that opened backups share; clone sets it", {
    config: "open.share",
  }),
  own("cache-max", "size", ["clone", "open"], "space for fetched pages; the least recently used are dropped", {
    config: "open.cacheBytesMax",
    range: ["16MiB", "1PiB"],
  }),
  own("move-to", "path", ["close"], "make a plain data directory of it, once everything is fetched", {
    config: "close.moveTo",
  }),
  own("keep", "boolean", ["close"], "keep fetched and written pages for another open", {
    config: "close.keep",
    default: "n",
  }),
  own(
    "password-file",
    "path",
    ["clone"],
    "file with the password of the clone's role; /dev/stdin reads it from a pipe",
    {
      config: "clone.passwordFile",
    },
  ),
  own("mask-file", "path", ["clone"], "SQL that runs in each database of the clone before anybody may connect", {
    config: "clone.maskFile",
  }),
  own("role", "string", ["clone"], "the only role that may sign in to the clone", {
    config: "clone.role",
    default: "clone",
  }),
  own("keep-database", "list", ["clone"], "databases of the clone; all others are dropped, by default none", {
    config: "clone.databases",
  }),
  own("listen", "string", ["clone"], "addresses on which the clone listens, separated by commas", {
    config: "clone.listen",
    default: "127.0.0.1",
  }),
  own("allow", "list", ["clone"], "networks of the clone's clients; by default this machine", {
    config: "clone.allow",
  }),
  own("clone-port", "integer", ["clone"], "TCP port of the clone; by default a free one", {
    config: "clone.port",
    range: PORTS,
  }),
  own("lifetime-hours", "integer", ["clone"], "hours after which a timer of systemd closes the clone", {
    config: "clone.lifetimeHours",
    range: ["1", "8760"],
  }),
  own("from", "string", ["find"], "search commits from this time on; by default an hour before --to", {
    config: "find.from",
  }),
  own("to", "string", ["diff", "find"], "the later time: the last commit to search, or the moment to compare with", {
    config: "find.to",
  }),
  own(
    "table",
    "string",
    ["diff", "extract-table", "find"],
    "the table, as schema.table; find also accepts only its name",
    {
      config: "find.table",
    },
  ),
  own(
    "database",
    "list",
    ["cnpg-dump", "diff", "dump", "dump-get", "extract-table", "find"],
    "the database, of a table or schema; for dump each database to dump, by default all that allow connections",
    { config: "databases" },
  ),
  own("schema", "string", ["extract-table"], "a whole schema instead of a table", { config: "extract.schema" }),
  own("as", "string", ["extract-table"], "target schema; by default the table's with suffix _restored", {
    config: "extract.as",
  }),
  own("swap", "boolean", ["extract-table"], "replace the current version, and keep it in another schema", {
    config: "extract.swap",
    default: "n",
  }),
  own("open", "boolean", ["extract-table"], "mount the backup, and fetch only what is read; needs root and FUSE", {
    config: "extract.open",
    default: "n",
  }),
  own(
    "library-path",
    "string",
    ["extract-table"],
    "directories of the server's libraries besides its own, with colons between them",
    { config: "extract.libraryPath" },
  ),
  own("to-file", "path", ["dump-get", "extract-table"], "write a dump for pg_restore into this new file", {
    config: "toFile",
  }),
  own(
    "dump",
    "string",
    ["drill", "dump-get"],
    "label of the dump, or latest, which dump-get takes by default; a drill loads it into the restored server",
    { config: "dump.label" },
  ),
  own("globals", "boolean", ["dump-get"], "roles and tablespaces as SQL, instead of a database", {
    config: "dump.globals",
    default: "n",
  }),
  own("kind", "enum", ["find"], "only this kind of destructive change", {
    config: "find.kind",
    allowed: ["drop", "truncate", "delete", "update"],
  }),
  own(
    "limit",
    "integer",
    ["diff", "find"],
    "number of differing rows, or of the most destructive transactions, to show",
    {
      config: "find.limit",
      default: "20",
      range: ["1", "10000"],
    },
  ),
  own("target-form", "enum", ["find"], "show targets as options of recover, or as the target of a CnpgRestore", {
    config: "find.targetForm",
    default: "options",
    allowed: ["options", "cluster"],
  }),
  own("timeline", "integer", ["find"], "timeline to follow; by default the latest", {
    config: "find.timeline",
    range: ["1", "4294967295"],
  }),
  typed(
    "filter",
    "string",
    ["manifest", "repo-ls"],
    "expression that listed names match; of manifest the name of one file",
    { config: "files.filter" },
  ),
  typed("ignore-missing", "boolean", ["repo-get"], "exit with 1 and without an error when the file is missing", {
    config: "files.ignoreMissing",
    default: "n",
  }),
  typed("raw", "boolean", ["repo-get"], "do not decrypt", { config: "files.raw", default: "n" }),
  typed("recurse", "boolean", ["repo-ls"], "go into directories", { config: "files.recurse", default: "n" }),
  typed("sort", "enum", ["repo-ls"], "order of listed names", {
    config: "files.sort",
    default: "asc",
    allowed: ["none", "asc", "desc"],
  }),
];

const GENERAL = [
  acted(
    "archive-timeout",
    "time",
    ["archive-get", "backup", "check", "extract-table", "recover-step", ...PUSH],
    "maximum wait for a WAL segment",
    { config: "archive.timeoutMs", default: "1m", range: ["100ms", "1d"] },
  ),
  acted("buffer-size", "size", WORK, "size of read buffers", {
    config: "bufferSizeBytes",
    default: "1MiB",
    allowed: ["16KiB", "32KiB", "64KiB", "128KiB", "256KiB", "512KiB", "1MiB", "2MiB", "4MiB", "8MiB", "16MiB"],
  }),
  acted("cmd", "string", [...COPY, "recover", "rollback"], "program for restore_command; by default this one", {
    config: "cmd",
  }),
  acted("compress", "boolean", WRITE, "old form of compress-type: n means none", { default: "y" }),
  acted("compress-type", "enum", WRITE, "compression of files in the repositories", {
    default: "gz",
    allowed: COMPRESS_TYPES,
    refusedValues: { bz2: "bz2 is read but not written, use zst, lz4 or gz" },
  }),
  acted("compress-level", "integer", WRITE, "compression level", {
    depend: { option: "compress-type", values: ["bz2", "gz", "lz4", "zst"], otherwise: "0" },
    forDepend: {
      bz2: { default: "9", range: ["1", "9"] },
      gz: { default: "6", range: ["-1", "9"] },
      lz4: { default: "1", range: ["-5", "12"] },
      zst: { default: "3", range: ["-7", "22"] },
    },
  }),
  acted("db-timeout", "time", SESSION, "maximum duration of a statement", { default: "30m", range: ["100ms", "7d"] }),
  acted("delta", "boolean", ["backup", "restore"], "compare by checksum and copy only what differs", {
    config: "delta",
    default: "n",
  }),
  acted("io-timeout", "time", WORK, "maximum wait for storage or network, including retries", {
    config: "ioTimeoutMs",
    default: "1m",
    range: ["100ms", "1h"],
  }),
  acted("lock-path", "path", WORK, "directory of lock and stop files", {
    config: "lockPath",
    default: "/tmp/pgbackrest",
  }),
  acted("log-level-console", "enum", ALL, "level of the log on stdout", {
    config: "log.levelConsole",
    default: "warn",
    allowed: LOG_LEVELS,
  }),
  acted("log-level-file", "enum", ALL, "level of the log files", {
    config: "log.levelFile",
    default: "info",
    allowed: LOG_LEVELS,
  }),
  acted("log-level-stderr", "enum", ALL, "level of the log on stderr", {
    config: "log.levelStderr",
    default: "off",
    allowed: LOG_LEVELS,
  }),
  acted("log-path", "path", ALL, "directory of the log files; one above 16 MiB becomes `….log.1`", {
    config: "log.path",
    default: "/var/log/pgbackrest",
  }),
  acted("log-timestamp", "boolean", ALL, "begin log lines with the time", { config: "log.timestamp", default: "y" }),
  acted("neutral-umask", "boolean", WORK, "ignore the umask: directories 0750, files 0640", {
    config: "neutralUmask",
    default: "y",
  }),
  acted("process-max", "integer", COPY, "workers that compress and transfer", {
    config: "processMax",
    default: "1",
    range: ["1", "999"],
  }),
  acted("protocol-timeout", "time", WORK, "upper bound of db-timeout", { default: "31m", range: ["100ms", "7d"] }),
  acted("spool-path", "path", [...REPO, "close", "recover"], "directory of WAL queues and of records of missing WAL", {
    config: "spoolPath",
    default: "/var/spool/pgbackrest",
  }),
  acted("allow-root", "boolean", WORK, "let root write where another account owns the data or a repository", {
    config: "allowRoot",
    default: "n",
    forCommand: { restore: { default: "y" } },
  }),
  accepted("beta", "boolean", ALL, "allow features that are not released", { default: "n" }),
  accepted("cmd-ssh", "string", WORK, "program that opens SSH connections", { default: "ssh" }),
  accepted("compress-level-network", "integer", WORK, "compression level between hosts", {
    default: "1",
    range: ["-5", "12"],
  }),
  accepted("job-retry", "integer", COPY, "retries of one job", {
    default: "2",
    range: ["0", "360"],
    forCommand: { "archive-get": { default: "1" }, "archive-push": { default: "1" } },
  }),
  accepted("job-retry-interval", "time", COPY, "pause between retries of a job", {
    default: "15s",
    range: ["0s", "15m"],
  }),
  accepted("log-subprocess", "boolean", WORK, "write log files of worker processes", { default: "n" }),
  acted("priority", "integer", PRIORITY, "niceness of the process, its threads and the programs that it starts", {
    config: "priority",
    range: ["-20", "19"],
  }),
  accepted("sck-block", "boolean", WORK, "use blocking sockets", { default: "n" }),
  accepted("sck-keep-alive", "boolean", WORK, "keep connections alive", { default: "y" }),
  accepted("tcp-keep-alive-count", "integer", WORK, "lost keep-alive messages that end a connection", {
    range: ["1", "32"],
    ...on("sck-keep-alive", "y"),
  }),
  accepted("tcp-keep-alive-idle", "integer", WORK, "idle seconds before keep-alive messages", {
    range: ["1", "3600"],
    ...on("sck-keep-alive", "y"),
  }),
  accepted("tcp-keep-alive-interval", "integer", WORK, "seconds between keep-alive messages", {
    range: ["1", "900"],
    ...on("sck-keep-alive", "y"),
  }),
  accepted("tls-cipher-12", "string", WORK, "ciphers of TLS 1.2"),
  accepted("tls-cipher-13", "string", WORK, "ciphers of TLS 1.3"),
];

const ARCHIVE_AND_BACKUP = [
  acted("archive-header-check", "boolean", [...PUSH, "sync"], "compare WAL headers with the stanza before pushing", {
    config: "archive.headerCheck",
    default: "y",
  }),
  acted(
    "archive-check",
    "boolean",
    ["backup", "check", ...PUSH],
    "wait until the repositories have the WAL of a backup",
    {
      config: "archive.check",
      default: "y",
      forCommand: { backup: { depend: { option: "online", values: ["y"], otherwise: "n" } } },
    },
  ),
  acted("archive-copy", "boolean", ["backup"], "store the WAL of a backup in the backup too", {
    config: "archive.copy",
    default: "n",
    depend: { option: "archive-check", values: ["y"], otherwise: "n" },
  }),
  acted("archive-mode-check", "boolean", ["backup", "check", ...PUSH], "refuse archive_mode=always", {
    config: "archive.modeCheck",
    default: "y",
    depend: { option: "archive-check", values: ["y"], otherwise: "n" },
  }),
  acted("annotation", "hash", ["annotate", "backup"], "notes kept with the backup, as key=value", {
    config: "backup.annotations",
    forCommand: { annotate: { required: true } },
  }),
  acted("checksum-page", "boolean", ["backup"], "check page checksums; by default when the cluster has them", {
    config: "backup.checksumPage",
  }),
  acted("page-header-check", "boolean", ["backup"], "check page headers together with page checksums", {
    config: "backup.pageHeaderCheck",
    default: "y",
  }),
  acted("exclude", "list", ["backup"], "paths below the data directory to exclude", { config: "backup.exclude" }),
  acted("expire-auto", "boolean", ["backup"], "expire after a successful backup", {
    config: "backup.expireAuto",
    default: "y",
  }),
  acted("resume", "boolean", ["backup"], "continue an interrupted full backup", {
    config: "backup.resume",
    default: "y",
  }),
  acted("start-fast", "boolean", ["backup"], "ask for an immediate checkpoint", {
    config: "backup.startFast",
    default: "n",
  }),
  acted("archive-async", "boolean", ARCHIVE, "push and get in the background", {
    config: "archive.async",
    default: "n",
  }),
  acted("archive-get-queue-max", "size", [...SERVING, "archive-get"], "bytes of WAL to fetch ahead", {
    config: "archive.getQueueSizeBytesMax",
    default: "128MiB",
    range: ["0B", "4PiB"],
  }),
  accepted("archive-missing-retry", "boolean", ["archive-get"], "retry a segment that was missing", { default: "y" }),
  acted("archive-push-batch-size", "size", PUSH, "bytes of WAL in one batch", {
    config: "archive.pushBatchSizeBytes",
    default: "16GiB",
    range: ["1MiB", "4PiB"],
  }),
  acted(
    "archive-push-queue-max",
    "size",
    [...PUSH, "archive-get", "open", "restore"],
    "limit of waiting WAL in bytes, above which WAL that no repository accepts is dropped; by default none",
    { config: "archive.pushQueueSizeBytesMax", range: ["0B", "4PiB"], aliases: ["archive-queue-max"] },
  ),
  acted("backup-standby", "enum", ["backup", "check", "dump"], "copy from a standby", {
    config: "backup.standby",
    default: "n",
    allowed: ["n", "prefer", "y"],
    booleanLike: true,
  }),
  acted("checksum-page-error", "boolean", ["backup", "expire", "restore"], "fail on invalid pages", {
    config: "checksumPageError",
    default: "n",
    forCommand: { expire: { default: "y" }, restore: { default: "y" } },
  }),
  acted("manifest-save-threshold", "size", ["backup"], "bytes copied between two saves of the manifest", {
    config: "backup.manifestSaveThresholdBytes",
    default: "1GiB",
    range: ["1B", "1TiB"],
  }),
  accepted("stop-auto", "boolean", ["backup"], "without effect since PostgreSQL 9.6", { default: "n" }),
];

const RESTORE = [
  acted("repo-target-time", "string", PAST, "read a versioned bucket as it was at this time; needs --repo", {
    config: "repoTargetTime",
  }),
  acted("archive-mode", "enum", ["restore"], "archive_mode of the restored cluster", {
    config: "restore.archiveMode",
    default: "preserve",
    allowed: ["preserve", "off"],
  }),
  acted("link-all", "boolean", ["restore"], "restore all links as links", { config: "restore.linkAll", default: "n" }),
  acted("link-map", "hash", ["restore"], "new destination of a link, as link=path", { config: "restore.linkMap" }),
  acted("recovery-option", "hash", ["restore"], "further recovery settings, as name=value", {
    config: "restore.recoveryOptions",
    ...on("type", "default", "immediate", "standby", ...TARGET_TYPES),
  }),
  acted("tablespace-map", "hash", ["close", "restore"], "new directory of a tablespace, as name=path or oid=path", {
    config: "restore.tablespaceMap",
  }),
  acted(
    "tablespace-map-all",
    "string",
    ["close", "restore"],
    "directory for all tablespaces that have no directory of their own",
    { config: "restore.tablespaceMapAll" },
  ),
  acted("db-exclude", "list", ["restore"], "databases to exclude; restore fills their files with zeroes", {
    config: "databaseExclude",
  }),
  acted("db-include", "list", ["restore"], "the only databases to restore; restore adds the system databases", {
    config: "databaseInclude",
  }),
];

const POSTGRES = grouped("pg", "stanza", [
  acted("pg-path", "path", [...PG, "manifest", "metrics", "report", "status", "verify"], "data directory", {
    required: true,
    ...optionalFor(["archive-push", "drill", "find", "manifest", "metrics", "report", "status", "verify"]),
    ...db("path"),
  }),
  acted("pg-database", "string", SESSION, "database to connect to", { ...CONNECTION, default: "postgres" }),
  acted("pg-port", "integer", SESSION, "port of the server", {
    ...CONNECTION,
    default: "5432",
    range: ["0", "65535"],
    ...db("port"),
  }),
  acted("pg-socket-path", "string", SESSION, "directory of the server's socket", {
    ...CONNECTION,
    ...db("socket-path"),
  }),
  acted("pg-user", "string", SESSION, "role to connect as", CONNECTION),
  acted("pg-local", "boolean", PG, "the cluster is on this host whatever pg-host says", { default: "n" }),
  accepted("pg-host", "string", PG, "host of the cluster", {
    ...on("pg-local", "n"),
    ...db("host"),
    refused: LOCAL_ONLY,
  }),
]);

const REPOSITORY = grouped("repo", "global", [
  acted("repo-type", "enum", REPO, "kind of storage", {
    default: "posix",
    allowed: ["azure", "cifs", "gcs", "posix", "s3", "sftp"],
    aliases: ["repo-type"],
  }),
  acted("repo-path", "path", REPO, "directory of the repository, in an object store the prefix of its keys", {
    default: "/var/lib/pgbackrest",
    aliases: ["repo-path"],
  }),
  acted("repo-cipher-type", "enum", REPO, "encryption of the repository", {
    default: "none",
    allowed: ["none", "aes-256-cbc"],
    aliases: ["repo-cipher-type"],
  }),
  acted("repo-cipher-pass", "string", REPO, "passphrase of the repository", {
    secret: true,
    required: true,
    ...on("repo-cipher-type", "aes-256-cbc"),
    aliases: ["repo-cipher-pass"],
  }),
  acted("repo-hardlink", "boolean", ["backup"], "link unchanged files into each backup's directory", {
    default: "n",
    depend: { option: "repo-bundle", values: ["n"], otherwise: "n" },
    aliases: ["hardlink"],
  }),
  acted("repo-symlink", "boolean", ["backup", "expire", "sync"], "make the link latest and links of tablespaces", {
    default: "y",
    depend: { option: "repo-type", values: ["posix"], otherwise: "n" },
  }),
  acted("repo-bundle", "boolean", ["backup", "sync"], "store small files together", { default: "n" }),
  acted("repo-bundle-size", "size", ["backup"], "size at which a bundle is full", {
    ...BUNDLE,
    default: "20MiB",
    range: ["1MiB", "1PiB"],
  }),
  acted("repo-bundle-limit", "size", ["backup"], "size up to which files are bundled", {
    ...BUNDLE,
    default: "2MiB",
    range: ["8KiB", "1PiB"],
  }),
  acted("repo-retention-full", "integer", RETENTION, "full backups, or days, to keep", {
    ...KEEP,
    range: RETENTION_RANGE,
    aliases: ["retention-full"],
  }),
  acted("repo-retention-full-type", "enum", RETENTION, "unit of repo-retention-full: backups or days", {
    ...KEEP,
    default: "count",
    allowed: ["count", "time"],
  }),
  acted("repo-retention-diff", "integer", RETENTION, "differential backups to keep", {
    ...KEEP,
    range: RETENTION_RANGE,
    aliases: ["retention-diff"],
  }),
  acted("repo-retention-archive", "integer", RETENTION, "backups to keep WAL for", {
    ...KEEP,
    range: RETENTION_RANGE,
    aliases: ["retention-archive"],
  }),
  acted("repo-retention-archive-type", "enum", RETENTION, "kind of backup that repo-retention-archive counts", {
    ...KEEP,
    default: "full",
    allowed: ["full", "diff", "incr"],
    aliases: ["retention-archive-type"],
  }),
  acted("repo-retention-history", "integer", RETENTION, "days to keep manifests of expired backups", {
    ...KEEP,
    range: ["0", "9999999"],
  }),
  acted("repo-block", "boolean", ["backup", "sync"], "store changed blocks instead of changed files", {
    default: "n",
    depend: { option: "repo-bundle", values: ["y"], otherwise: "n" },
  }),
  acted("repo-block-size-map", "hash", ["backup"], "block size by file size", BLOCK),
  acted("repo-block-age-map", "hash", ["backup"], "block size by age of the file", BLOCK),
  acted("repo-block-checksum-size-map", "hash", ["backup"], "checksum size by block size", BLOCK),
  acted("repo-block-size-super", "size", ["backup", "sync"], "size of super blocks", {
    ...BLOCK,
    default: "256KiB",
    range: ["32KiB", "16MiB"],
  }),
  acted("repo-block-size-super-full", "size", ["backup", "sync"], "size of super blocks in full backups", {
    ...BLOCK,
    default: "1MiB",
    range: ["32KiB", "16MiB"],
  }),
  acted("repo-local", "boolean", REPO, "the repository is on this host whatever repo-host says", { default: "n" }),
  accepted("repo-host", "string", REPO, "host of the repository", {
    ...on("repo-local", "n"),
    aliases: ["backup-host"],
    refused: LOCAL_ONLY,
  }),
]);

const STORAGE = grouped("repo", "global", [
  acted("repo-storage-ca-file", "string", REPO, "certificate authority of the object store", {
    ...STORE,
    aliases: ["repo-s3-ca-file", "repo?-azure-ca-file", "repo?-s3-ca-file"],
  }),
  acted("repo-storage-host", "string", REPO, "address to connect to instead of the endpoint", {
    ...on("repo-type", "azure", "s3"),
    aliases: ["repo-s3-host", "repo?-azure-host", "repo?-s3-host"],
  }),
  acted("repo-storage-port", "integer", REPO, "port to connect to", {
    ...on("repo-type", "azure", "s3"),
    default: "443",
    range: PORTS,
    aliases: ["repo?-azure-port", "repo?-s3-port"],
  }),
  acted("repo-storage-upload-chunk-size", "size", REPO, "size of the parts of an upload", {
    ...STORE,
    forDepend: {
      azure: { default: "4MiB", range: ["4MiB", "1GiB"] },
      gcs: { default: "4MiB", range: ["4MiB", "1GiB"] },
      s3: { default: "5MiB", range: ["5MiB", "1GiB"] },
    },
  }),
  acted("repo-storage-verify-tls", "boolean", REPO, "verify the certificate of the object store", {
    ...STORE,
    default: "y",
    aliases: ["repo-s3-verify-ssl", "repo?-azure-verify-tls", "repo?-s3-verify-ssl", "repo?-s3-verify-tls"],
  }),
  accepted("repo-storage-ca-path", "path", REPO, "directory of certificate authorities", {
    ...STORE,
    aliases: ["repo-s3-ca-path", "repo?-azure-ca-path", "repo?-s3-ca-path"],
    refused: "name one file with repo-storage-ca-file",
  }),
  accepted("repo-storage-prefetch", "integer", REPO, "parts to read ahead", {
    ...STORE,
    default: "3",
    range: ["0", "1024"],
  }),
  accepted("repo-storage-read-over", "size", REPO, "gap that is read rather than skipped", {
    ...STORE,
    default: "64KiB",
    range: ["0B", "1MiB"],
  }),
  accepted("repo-storage-tag", "hash", REPO, "tags of new objects, as key=value", STORE),
  acted("repo-s3-bucket", "string", REPO, "bucket of the repository", {
    ...S3,
    required: true,
    aliases: ["repo-s3-bucket"],
  }),
  acted("repo-s3-endpoint", "string", REPO, "endpoint of the object store", {
    ...S3,
    required: true,
    aliases: ["repo-s3-endpoint"],
  }),
  acted("repo-s3-region", "string", REPO, "region of the bucket", {
    ...S3,
    required: true,
    aliases: ["repo-s3-region"],
  }),
  acted("repo-s3-key-type", "enum", REPO, "where credentials come from", {
    ...S3,
    default: "shared",
    allowed: ["shared", "auto", "web-id", "pod-id", "process"],
  }),
  acted("repo-s3-key", "string", REPO, "access key", {
    ...S3_SHARED,
    secret: true,
    required: true,
    aliases: ["repo-s3-key"],
  }),
  acted("repo-s3-key-secret", "string", REPO, "secret access key", {
    ...S3_SHARED,
    secret: true,
    required: true,
    aliases: ["repo-s3-key-secret"],
  }),
  acted("repo-s3-token", "string", REPO, "session token", { ...S3_SHARED, secret: true }),
  acted("repo-s3-uri-style", "enum", REPO, "bucket in the host name or in the path", {
    ...S3,
    default: "host",
    allowed: ["host", "path"],
  }),
  accepted("repo-s3-kms-key-id", "string", REPO, "key of the provider's key service", {
    ...S3,
    refused: "set repo-cipher-type, or a default encryption on the bucket",
  }),
  accepted("repo-s3-sse-customer-key", "string", REPO, "key with which the provider encrypts", {
    ...S3,
    secret: true,
    refused: "set repo-cipher-type",
  }),
  acted("repo-s3-process-cmd", "list", REPO, "command that prints credentials", {
    required: true,
    ...on("repo-s3-key-type", "process"),
  }),
  accepted("repo-s3-requester-pays", "boolean", REPO, "agree to pay for requests", { ...S3, default: "n" }),
  acted("repo-s3-role", "string", REPO, "role of this machine", on("repo-s3-key-type", "auto")),
  accepted("repo-s3-service", "string", REPO, "service name in signatures", { ...S3, default: "s3" }),
  acted("repo-s3-sts-host", "string", REPO, "host that issues session tokens", {
    default: "sts.amazonaws.com",
    ...on("repo-s3-key-type", "web-id"),
  }),
  acted("repo-azure-account", "string", REPO, "storage account", { ...AZURE, secret: true, required: true }),
  acted("repo-azure-container", "string", REPO, "container of the repository", { ...AZURE, required: true }),
  acted("repo-azure-endpoint", "string", REPO, "endpoint of the service", {
    ...AZURE,
    secret: true,
    default: "blob.core.windows.net",
  }),
  acted("repo-azure-key", "string", REPO, "key of the account", {
    secret: true,
    ...on("repo-azure-key-type", "shared", "sas"),
  }),
  acted("repo-azure-key-type", "enum", REPO, "kind of repo-azure-key", {
    ...AZURE,
    default: "shared",
    allowed: ["shared", "sas", "auto"],
  }),
  acted("repo-azure-uri-style", "enum", REPO, "account in the host name or in the path", {
    ...AZURE,
    default: "host",
    allowed: ["host", "path"],
  }),
  acted("repo-gcs-bucket", "string", REPO, "bucket of the repository", {
    required: true,
    ...GCS,
  }),
  acted("repo-gcs-endpoint", "string", REPO, "endpoint of the service", {
    default: GCS_ENDPOINT,
    ...GCS,
  }),
  acted("repo-gcs-key", "string", REPO, "file of a service account's key, its text, or a token", {
    secret: true,
    required: true,
    ...on("repo-gcs-key-type", "service", "token"),
  }),
  acted("repo-gcs-key-type", "enum", REPO, "kind of repo-gcs-key", {
    default: "service",
    allowed: ["service", "token", "auto"],
    ...GCS,
  }),
  acted("repo-gcs-user-project", "string", REPO, "project that pays for requests", GCS),
  acted("repo-sftp-host", "string", REPO, "host of the repository", { ...SFTP, required: true }),
  acted(
    "repo-sftp-host-fingerprint",
    "string",
    REPO,
    "fingerprint of the host's key, for stock in hexadecimal digits",
    { ...on("repo-sftp-host-key-check-type", "fingerprint", "strict"), forDepend: { fingerprint: { required: true } } },
  ),
  acted(
    "repo-sftp-host-key-check-type",
    "enum",
    REPO,
    "how to check the host's key: against known_hosts files (strict, and accept-new, which adds no host here), a fingerprint, or not at all",
    { ...SFTP, default: "strict", allowed: ["accept-new", "fingerprint", "none", "strict"] },
  ),
  acted("repo-sftp-host-key-hash-type", "enum", REPO, "digest of the fingerprint", {
    ...SFTP,
    required: true,
    allowed: ["md5", "sha1", "sha256"],
  }),
  acted("repo-sftp-host-port", "integer", REPO, "port of the host", { ...SFTP, default: "22", range: PORTS }),
  acted("repo-sftp-host-user", "string", REPO, "user on the host", { ...SFTP, required: true }),
  acted(
    "repo-sftp-known-host",
    "list",
    REPO,
    "known_hosts files instead of those of ssh",
    on("repo-sftp-host-key-check-type", "accept-new", "strict"),
  ),
  acted("repo-sftp-private-key-file", "string", REPO, "file of the private key", { ...SFTP, required: true }),
  acted("repo-sftp-private-key-passphrase", "string", REPO, "passphrase of the private key", { ...SFTP, secret: true }),
  accepted("repo-sftp-public-key-file", "string", REPO, "public key", SFTP),
]);

const OTHERS: readonly OptionRow[] = [
  accepted("pg", "integer", NONE, "index of the cluster to use", { section: "command-line", range: KEYS }),
  accepted("pg-version-force", "string", REPO, "version of PostgreSQL, for forks that report another one", {
    section: "stanza",
  }),
  ...remoteHost("pg", {
    title: "cluster",
    section: "stanza",
    commands: PG_REMOTE,
    configType: "path",
    user: "postgres",
    old: db,
  }),
  ...remoteHost("repo", {
    title: "repository",
    section: "global",
    commands: REPO,
    configType: "string",
    user: "pgbackrest",
    old: (name) => ({ aliases: [`backup-${name}`] }),
  }),
  accepted("tls-server-address", "string", NONE, "address that stock's server listens on", { default: "localhost" }),
  accepted("tls-server-auth", "hash", NONE, "clients of stock's server, as name=stanza"),
  accepted("tls-server-ca-file", "path", NONE, "certificate authority of stock's server"),
  accepted("tls-server-cert-file", "path", NONE, "certificate of stock's server"),
  accepted("tls-server-key-file", "path", NONE, "key of stock's server"),
  accepted("tls-server-port", "integer", NONE, "port of stock's server", { default: "8432", range: PORTS }),
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
  ...OTHERS,
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
