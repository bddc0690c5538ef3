/**
 * The table of rules: severity and general text of each code. docs/reference/rules.md, the policies' descriptions and
 * `finding()` read it. The check in rules/ adds the fact of its case. Pure data.
 */
import { error, errorPolicy, note, type Rule, warning, warningPolicy } from "./ruleRow";

/** Codes are stable: `PB` and three digits. */
export const RULES = {
  PB001: error("an invalid key of `repositories`", "options have its number", "use `repo1` to `repo256`"),
  PB002: error("no repository", "backups have no destination", "declare at least one, better two"),
  PB003: warningPolicy("one repository only", "losing it loses every backup", "add a second one elsewhere"),
  PB004: error(
    "two kinds of retention in one repository",
    "pgBackRest applies only one of them",
    "set `keepDays` or `keepFullCount`",
  ),
  PB005: errorPolicy(
    "a retention below 1, or not a whole number",
    "it would remove every backup",
    "at least 1; leave it out to keep everything",
  ),
  PB006: warningPolicy(
    "no retention",
    "backups fill the repository, then they fail",
    "set `keepDays` or `keepFullCount`",
  ),
  PB007: warningPolicy(
    "unencrypted backups outside the machine",
    "anyone who can read the bucket can read the database",
    "set `encrypt: true`, or `cipher` with a `CipherPassphrase`",
  ),
  PB008: errorPolicy(
    "two repositories at one location, or one inside the other",
    "they overwrite and expire each other's files",
    "give each its own path or bucket",
  ),
  PB009: warningPolicy(
    "all repositories depend on one provider, server or file system",
    "they are lost together",
    "move one of them elsewhere",
  ),
  PB010: error(
    "an engine that cannot be installed there",
    "this version cannot run it",
    "use an engine that the message names",
  ),
  PB011: errorPolicy(
    "an invalid schedule or time zone",
    "a guess would take backups at the wrong time",
    "five fields; UTC or an IANA name",
  ),
  PB012: warningPolicy(
    "no backup schedule",
    "WAL grows without limit, and restores nothing without a base backup",
    "set `schedules.full`; outside this package add a ScheduledBackup",
  ),
  PB013: error(
    "an invalid stanza name",
    "it names a directory and a section of a file",
    "letters, digits, `_`, `.` and `-`",
  ),
  PB014: error(
    "an unusable path, port or number",
    "it goes into configuration, unit files and commands",
    "use the form that the message gives",
  ),
  PB015: error(
    "an unsupported compression",
    "the runtime writes none, gz, lz4 and zst",
    "one of those, with a level in its range",
  ),
  PB016: error("no connection to the host, or two", "exactly one is used", "set one field of `connection`"),
  PB017: error(
    "an invalid acknowledgement",
    "PostgreSQL must know when it may remove a segment",
    "`all`, `any`, or `named` with names of repositories",
  ),
  PB018: warning("a run in an hour that clocks skip", "the run does not start", "another hour, or UTC"),
  PB019: error(
    "a repository in the data directory",
    "it is lost with the data, and backups would include it",
    "use another disk or host",
  ),
  PB020: error(
    "an invalid address",
    "requests would fail or reach the wrong server",
    "give host name, bucket, port and path separately",
  ),
  PB021: warning(
    "one repository is enough to acknowledge WAL",
    "PostgreSQL may remove a segment that only one repository holds",
    "watch missing WAL in `info`, or use `all`",
  ),
  PB022: error(
    "root as PostgreSQL's account",
    "the server refuses to run as root",
    "set the owner of the data directory",
  ),
  PB023: error(
    "a deadline or jitter out of range",
    "runs would be stopped at once or never",
    "stay in the range that the message gives",
  ),
  PB024: error(
    "an invalid entry of `silence`",
    "the code is unknown or an error, or the reason is missing",
    "give the code of a warning or note, and the reason",
  ),
  PB025: note(
    "a silenced finding that no longer applies",
    "it would stay silent when the problem returns",
    "remove it",
  ),
  PB026: error(
    "a schedule for undeclared repositories",
    "the backup would have no destination",
    "use names from `repositories`, or leave it out",
  ),
  PB027: warningPolicy(
    "two schedules in the same minute",
    "a stanza takes one backup at a time: either of them may fail",
    "leave that hour out, or start one later",
  ),
  PB028: errorPolicy(
    "a repository that gets WAL but no backup",
    "WAL alone restores nothing; stock pgBackRest sends a backup to one repository only",
    "add it to a schedule of full backups; for Dalibo's plugin set `selectedRepository`",
  ),
  PB029: warning(
    "increments without scheduled full backups",
    "nothing expires, and each restore takes longer",
    "schedule full backups",
  ),
  PB030: warning(
    "no full backup off-site",
    "a fire destroys the database and its backups",
    "add a vendor's bucket, or set `offSite` where it is true",
  ),
  PB031: warning(
    "a path below /mnt without `requireMount`",
    "while the NAS is unmounted, backups fill the root file system; the next mount hides them",
    "set `requireMount: true`",
  ),
  PB032: error(
    "a retention shorter than the promised recovery window",
    "older points in time cannot be restored",
    "set `keepDays` to at least `objectives.pitrDays`",
  ),
  PB033: warningPolicy(
    "only one full backup kept",
    "each new one removes every older restore point at once",
    "keep at least 2, or keep by days",
  ),
  PB034: warning(
    "a lock shorter than the retention",
    "stolen keys can remove the older backups",
    "lock for as long as a full backup stays: `keepDays` and the longest time between two, or `keepFullCount` times that",
  ),
  PB035: warning(
    "a lock longer than the retention",
    "you pay for expired backups, and on a backup host `expire` fails",
    "keep backups for as long as they are locked",
  ),
  PB036: warning(
    "deleted versions kept for less than a week, or a container of Azure or bucket of Google that keeps none",
    "an attack may be noticed too late",
    "set `undeleteDays: 14`",
  ),
  PB037: error(
    "an objective or amount out of range",
    "nothing can be computed from it",
    "stay in the range that the message gives",
  ),
  PB038: note(
    "no limit on the age of WAL",
    "on a quiet database, hours of commits exist on one machine only",
    "set `objectives.rpoSeconds`",
  ),
  PB039: warning(
    "a worst case beyond the promised RPO",
    "archive_timeout, one push and one retry take longer",
    "raise the objective, or add a synchronous standby",
  ),
  PB040: error(
    "a drill that cannot run as declared",
    "it would restore nothing",
    "use the values that the message gives",
  ),
  PB041: warning(
    "a drill with less time than the objective",
    "it fails although the objective is met",
    "set `maxMinutes` well above `objectives.rtoMinutes`",
  ),
  PB042: note(
    "no drill",
    "nobody knows whether backups can be restored, and how fast",
    "declare `drills`, or restore by hand every month and record the time",
  ),
  PB043: errorPolicy(
    "more repositories than the engine supports",
    "Barman writes to one ObjectStore and ignores `barmanObjectName` in a ScheduledBackup: the second bucket stays empty",
    "use an engine that writes to several; check each bucket",
  ),
  PB044: error(
    "a feature that the engine lacks",
    "the engine would ignore it silently",
    "use another engine, or drop the feature",
  ),
  PB045: error(
    "a passphrase for an engine without encryption",
    "the bucket would hold readable backups",
    "use an engine that encrypts",
  ),
  PB046: error("block increments without bundles", "pgBackRest stores them in bundles only", "set `bundle: true`"),
  PB047: error(
    "overlapping runs of one schedule",
    "this engine needs one run for each repository, an hour apart",
    "move one of the schedules",
  ),
  PB048: error(
    "a version of pgBackRest without the feature",
    "the first backup fails",
    "install the version that the message gives",
  ),
  PB049: warning(
    "a version of pgBackRest with a known bug",
    "uploads hang, or big files abort the backup",
    "install the version that the message gives",
  ),
  PB050: errorPolicy(
    "backups from a standby, with an engine that needs the primary",
    'the backup fails with [056] "unable to find primary cluster"',
    'set `target: primary`, or `backupTarget: "primary"`',
  ),
  PB051: error("a time zone for CloudNativePG", "its operator runs schedules in UTC only", "write the hours in UTC"),
  PB052: errorPolicy(
    "a Service named `pgbackrest`",
    "Kubernetes turns it into `PGBACKREST_*` variables, which pgBackRest reads as options",
    "rename it, for instance to `cnpg-pgbackrest`",
  ),
  PB053: error(
    "Azure or Google as an S3 bucket",
    "Azure has another protocol, and Google's S3 interface is not tested",
    "use `AzureRepository` or `GcsRepository`",
  ),
  PB054: errorPolicy(
    "a region that does not match the endpoint",
    "the server refuses requests that are signed for another region",
    "set the region that the message gives",
  ),
  PB055: error("quirks of another provider", "the endpoint is another provider's", "leave `quirks` out"),
  PB056: warning(
    "the bucket in the host name instead of the path",
    "that name must resolve and match the certificate",
    "leave `uriStyle` out",
  ),
  PB057: error("a bucket with dots in its name", "no wildcard certificate covers it", 'set `uriStyle: "path"`'),
  PB058: errorPolicy(
    "a bucket rule that removes live objects",
    "increments and WAL need older objects: restores fail although backups report success",
    "keep only rules for replaced versions and unfinished uploads",
  ),
  PB059: errorPolicy(
    "an object lock that breaks backups",
    "R2's bucket lock forbids overwriting: backup.info cannot be updated, and archiving stalls",
    "use B2 or S3 for the immutable copy",
  ),
  PB060: errorPolicy(
    "a storage class or rule that freezes objects",
    "reading takes hours of thawing first",
    "use the standard class",
  ),
  PB061: warningPolicy(
    "a storage class with a minimum duration",
    "WAL costs more there than in the standard class",
    "use the standard class",
  ),
  PB062: warning(
    "ZFS snapshots of an archived database",
    "after a rollback PostgreSQL reuses WAL names of the same timeline: error 45, and archiving stalls until the disk is full",
    "`pgbackstop rollback` instead of `zfs rollback`",
  ),
  PB063: error(
    "no keys for a bucket",
    "key type `shared` signs with an access key",
    "set `credentials`, or a role by `keyType`",
  ),
  PB064: error("both keys and a role", "it is unclear which of them signs", "set one of them"),
  PB065: error("a pod's role on a host", "`web-id` and `pod-id` exist in EKS only", "use `auto` on EC2, or keys"),
  PB066: error("an Amazon role at another provider", "it does not know Amazon's keys", "set `credentials`"),
  PB067: error("a Kubernetes Secret for a host", "the host cannot read it", "set `credentials`"),
  PB068: error("both keys and an existing Secret", "each says how to sign", "set one of them"),
  PB070: errorPolicy(
    "a five-field schedule in a ScheduledBackup",
    "CloudNativePG reads the first field as seconds: `0 3 * * *` runs 24 times a day",
    "write six fields: `0 0 3 * * *`",
  ),
  PB071: warningPolicy(
    "the operator's deprecated archiver",
    "CloudNativePG 1.31 removes it, and it ignores a plugin's backups",
    "move to a plugin in one change, and set `method: plugin`",
  ),
  PB072: warningPolicy(
    "two immediate first backups of one cluster",
    "they start together, and one fails or waits",
    "set `immediate` on one",
  ),
  PB073: errorPolicy("two WAL archivers", "CloudNativePG refuses the cluster", "set `isWALArchiver` on one plugin"),
  PB074: warningPolicy(
    "no plugin is the WAL archiver",
    "without the sidecar, WAL counts as archived although no repository holds it",
    "set `isWALArchiver: true`",
  ),
  PB075: errorPolicy(
    "a plugin without a destination",
    "archiving fails, and WAL fills the disk",
    "set `barmanObjectName` or `stanzaRef`",
  ),
  PB076: errorPolicy(
    "an endpoint over http",
    "backups and signatures cross the network in clear text",
    "use https, with your own CA where needed",
  ),
  PB077: warningPolicy(
    "B2 or R2 behind Barman with checksums on",
    "they have rejected the checksums that its library sends",
    "set `AWS_REQUEST_CHECKSUM_CALCULATION` and `AWS_RESPONSE_CHECKSUM_VALIDATION` to `when_required`",
  ),
  PB078: warningPolicy(
    "an engine without encryption, in a vendor's bucket",
    "anyone who can read the bucket can read the database",
    "use an engine that encrypts, or silence it with a reason",
  ),
  PB079: warningPolicy(
    "a limit for waiting WAL: `archive-push-queue-max`, or `pushQueueMax` of Dalibo's plugin",
    "beyond it WAL is dropped, and nothing up to the next backup can be restored",
    "leave it out and watch the disk",
  ),
  PB080: error(
    "an unconfirmed compliance lock",
    "nobody can shorten it, not even the vendor",
    "set `acceptIrreversible`, or use mode governance",
  ),
  PB081: warning(
    "protection that ends before an attack is noticed",
    "after that the loss is final",
    "protect for 14 days or more",
  ),
  PB082: error(
    "settings for a bucket or container that is not taken over, or a taken-over bucket whose name is another resource's output",
    "pgbackstop changes an existing bucket only after taking it over, by its name",
    "set `takeOver: true` with the name as plain text, or set `facts`",
  ),
  PB085: warningPolicy(
    "a plugin's image without a version",
    "each restart may run a version that reads other objects",
    "name a version, better a digest",
  ),
  PB086: errorPolicy(
    "two controllers that share one leader lease",
    "only one of them ever works",
    "use image 0.0.3 or newer, or remove one first",
  ),
  PB087: errorPolicy(
    "an ExternalSecret of a removed API version",
    "the API server refuses the object, and the keys never arrive",
    "write `external-secrets.io/v1`",
  ),
  PB088: warningPolicy(
    "unchecked certificates",
    "anyone between can change backups",
    "set `verifyTLS: true`, or leave `storage-verify-tls` out",
  ),
  PB089: warningPolicy(
    "the kind Repository of Dalibo's plugin",
    "version 0.0.1 renamed it to Stanza",
    "use a `Stanza`, and `stanzaRef`",
  ),
  PB090: warningPolicy(
    "a cluster without any backup",
    "lost or deleted data is gone for good",
    "add a plugin with `isWALArchiver`, and a ScheduledBackup",
  ),
  PB091: errorPolicy(
    "a parameter that the plugin does not read",
    "the plugin ignores it, and repository 1 gets the backup",
    "use `selectedRepository` and `backupType`",
  ),
  PB092: warningPolicy("a suspended schedule", "no backup is taken", "remove `suspend`"),
  PB093: warningPolicy(
    "a cold backup of the primary",
    "the snapshot shuts it down while it runs",
    "take a hot one, or use a standby",
  ),
  PB094: errorPolicy("a public bucket", "anyone can read the backups", "block public access"),
  PB095: warningPolicy(
    "snapshots without a WAL archive",
    "only the times of the snapshots can be restored, of several volumes only from cold ones",
    "add a plugin that archives WAL, or name the repositories of a recovery",
  ),
  PB096: errorPolicy(
    "a cluster with no instance",
    "CloudNativePG requires at least 1",
    'to stop it use the annotation `cnpg.io/hibernation: "on"`',
  ),
  PB097: note(
    "a repository on the database's machine",
    "it is lost with the machine",
    "use another machine over SFTP, or a NAS with `requireMount`",
  ),
  PB098: warning(
    "an entry of `acknowledgeWeaker` without a reason",
    "without a reason it acknowledges nothing, and CI fails",
    "give a reason",
  ),
  PB099: error(
    "read-only keys for a database that is backed up",
    "backups need to write",
    "use `target`, or set `restoreOnly` on the host",
  ),
  PB100: error(
    "backup settings on a host that only restores",
    "it takes no backups and archives nothing",
    "remove `restoreOnly`, or the settings for backups",
  ),
  PB101: warning(
    "keys with write access on a host that only restores",
    "an intruder on that host could destroy the backups",
    "use `readerTarget` of the repository",
  ),
  PB102: error(
    "an agent that cannot run",
    "nothing would start it, or it would have no work",
    "leave `agent` out, or do what the message says",
  ),
  PB103: error(
    "secret files on a host without systemd units",
    "systemd passes these files to units only",
    "use an agent, or credentials and cipher of the repository",
  ),
  PB104: error(
    "a repository over SFTP without a private key",
    "the server refuses the connection",
    "set `privateKey` of the repository, or `secretFiles.privateKey` if the host already has it",
  ),
  PB105: error(
    "an unusable passphrase",
    "files of options hold it in one line without blanks at its ends, and an empty one encrypts nothing",
    "leave `existing` out to have one generated; remove the line break that a file or an editor has added",
  ),
  PB110: error(
    "a name that Kubernetes refuses",
    "names of pods and Services derive from it",
    "use lower-case letters, digits and hyphens",
  ),
  PB111: error(
    "an unsupported version of PostgreSQL, or an image of another version",
    "the operator reads the version from the tag",
    "use 14 to 18; for 19 also set an image whose tag begins with 19",
  ),
  PB112: error(
    "an operator that is too old, or a version of it that cannot be read",
    "before 1.29.2 the switchover of a running cluster that gets an archiver waits forever; before 1.28 nothing is tested",
    "update to CloudNativePG 1.29.2 or newer",
  ),
  PB113: error(
    "a reserved parameter of PostgreSQL",
    "two sources would set it",
    "use the argument that the message names",
  ),
  PB114: error(
    "an impossible bootstrap of a cluster",
    "it is read once and cannot be changed afterwards",
    "do what the message says",
  ),
  PB115: error(
    "a cold snapshot that stops the database, or hot ones of several volumes without a WAL archive",
    "the database is unavailable in the meantime; or the snapshots restore damaged data",
    "take a cold one from a standby, or set `acceptDowntime`; take hot ones with engine `runtime`, or of one volume",
  ),
  PB116: error(
    "a secret in a GitOps file",
    "anyone who reads the Git repository can read the backups",
    "use `existingSecret` with the names of its keys",
  ),
  PB117: warning(
    "`uriStyle` for an engine that always uses the path",
    "the setting has no effect",
    "leave `uriStyle` out",
  ),
  PB118: error("a required argument is missing", "objects would be refused after others exist", "set it"),
  PB119: warning(
    "a copy without a version",
    "only PostgreSQL of that version reads it",
    "set `like`, or `postgresVersion`",
  ),
  PB120: warning(
    "volume snapshots without a retention, or a retention without snapshots",
    "CloudNativePG removes none: they fill the storage, or raise its bill",
    "set `snapshots.keepDays` or `snapshots.keepCount`",
  ),
  PB121: note(
    "stock pgBackRest with several repositories",
    "a segment is archived only when all of them hold it: one outage stops the others' backups, and WAL fills the disk",
    "use engine `runtime`, or an alert on pg_wal",
  ),
  PB130: error(
    "metrics over HTTP without an agent or at an invalid address, or by OTLP without the unit that sends them",
    "only the agent runs permanently and can serve them, and only `maintenance.metrics` sends them",
    "use an agent and an address such as `127.0.0.1:9854`, or the file for the textfile collector; keep `maintenance.metrics`",
  ),
  PB131: warning(
    "alerts for an engine without pgbackstop metrics",
    "no rule could ever fire",
    "use engine `runtime`, or write rules on metrics of CloudNativePG and the engine",
  ),
  PB140: warning(
    "a drill with `elsewhere`, but no `FireDrill` in the program",
    "the topology shows a drill that never runs",
    "add a `FireDrill` with `of`; silence it if another stack has one",
  ),
  PB141: warning(
    "drills or dumps without the policy that restricts their account",
    "RBAC cannot restrict creation by name: an account that may create Clusters or pods may run any image with any Secret of the namespace",
    "leave `drillPolicy` out; if you cannot, use a namespace with nothing else in it",
  ),
  PB142: warning(
    "a restored cluster without repositories",
    "it archives nowhere and has no backups: its changes are lost with its volumes",
    "set `repositories` and `schedules`; silence it for a copy that is thrown away",
  ),
  PB143: note("a default chosen for you", "a line of the preview states it", "set it to choose yourself"),
  PB150: error(
    "streaming without a receiver",
    'a host\'s agent or the sidecar of engine "runtime" receives streamed WAL, and nothing else does',
    'use an agent, or engine "runtime" with repositories; else leave `streaming` out',
  ),
  PB151: note(
    "commits that wait for repositories",
    "no acknowledged commit is lost with the host or cluster; each one takes an upload longer",
    "see docs/synchronous.md for what to expect; omit `synchronous` to lose seconds instead",
  ),
  PB152: warning("no synchronous standby", "a failover can lose commits", "set `streaming.standbys`"),
  PB155: error("a replication slot without a reader", "WAL fills the disk", "use an agent, or omit `archive`"),
  PB156: error("a container with arguments of a host", "they cannot hold for it", "do what the message says"),
  PB160: error(
    "a connection without a host key",
    "without it any server that answers gets the credentials and the secrets",
    "set `hostKey`, or use `ssh` with `hostKeys` or a known_hosts file",
  ),
  PB161: warningPolicy("a login by password", "a password can be guessed", "set `privateKey`, or an agent"),
  PB170: error(
    "an option that cannot be passed on",
    "it is unknown, has a bad value, is a secret, or contradicts what the components set",
    "use the argument that decides it, or a name and value of docs/reference/options.md",
  ),
  PB171: warning(
    "an option without effect",
    "only stock pgBackRest reads it, or a command that an agent or sidecar serves",
    "leave it out, or give it to that server: `agent:process-max`",
  ),
  PB180: warning(
    "a stale check without targets",
    "nobody is notified",
    "set `notify` or `notifySecret`, with a target that subscribes to `stale`",
  ),
  PB181: warning("text that Flux would replace", "an unset name becomes empty", "declare `flux` in the file"),
  PB190: error("an argument that does not exist", "it would have no effect", "use a known name"),
  PB191: error("a value of another type", "it would become something else in the objects", "do what the message says"),
  PB192: warning("a field that this package does not know", "the operator may drop it", "correct its name"),
  PB193: note("an argument that changes nothing here", "nothing reads it", "leave it out"),
  PB195: error("one stanza for two databases", "neither can use it", "give each its own"),
  PB196: error("two archivers for one Cluster", "each WAL file goes to one of them", "keep one of the two"),
  PB197: error("two plugins of one kind for one operator", "it calls one of them", "keep one of the two"),
  PB198: error("two databases in one directory", "each update undoes the other's", "declare each once"),
  PB199: warning("one stanza for two hosts", "only members of one cluster may", "silence it for those"),
  PB200: error("a field that `spec` and an argument say", "only one can hold", "leave one of the two out"),
  PB201: error("a Cluster whose archiver is removed", "no WAL is stored", "keep the archiver"),
  PB202: error("a transform that changes what was judged", "the topology shows something else", "use arguments"),
  PB203: error("two hosts with the same files", "each update replaces the other's", "give each its own `directories`"),
  PB205: error("a field of another manager", "the API server refuses it", "`takeOverPlugins`, or leave it out"),
  PB206: note("a field that is not as declared", "`ignoreChanges` keeps the earlier one", "remove `ignoreChanges`"),
  PB211: note("a primary that is updated by hand", "its sidecar is too", "promote a standby after updates"),
  PB212: error("a calendar that keeps nothing", "no old backup stays", "set a class, and `keepDays` beside it"),
  PB213: warning("a class of the calendar with too few backups", "its backups are further apart", "add a schedule"),
  PB214: error("an unusable limit of bandwidth", "the runtime refuses it", "`20MiB`, or by hours that do not overlap"),
  PB215: warning("a limit of bandwidth below what backups need", "by `sizing`, none ends in time", "raise it"),
  PB216: warning(
    "a promised time of a restore that no drill measures",
    "a drill that opens its backup measures no RTO",
    "add a drill that restores",
  ),
  PB217: note(
    "backups older than any point in time",
    "of the days before the window the calendar keeps backups without the WAL after them",
    "set `keepDays` to the days in which any point in time is needed",
  ),
  PB218: error("dumps that cannot be taken as declared", "the update, or each run, would fail", "follow the hint"),
  PB219: note(
    "dumps without the superuser",
    "they lack passwords of roles",
    "set `spec.enableSuperuserAccess`, or silence it",
  ),
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleCode = keyof typeof RULES;

export const RULE_CODES = Object.keys(RULES) as readonly RuleCode[];

export function findRule(code: string): Rule | null {
  const known = RULE_CODES.find((each) => each === code);
  return known === undefined ? null : RULES[known];
}
