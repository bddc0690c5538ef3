/**
 * The table of rules: severity and general text of each code. docs/reference/rules.md, the policies' descriptions and
 * `finding()` read it. The check in rules/ adds the fact of its case. Pure data.
 */
export type Severity = "error" | "warning" | "note";

export interface Rule {
  readonly severity: Severity;
  /** The situation, in a few words. */
  readonly what: string;
  readonly why: string;
  readonly remedy: string;
  /** Also checked on objects that this package did not make: the policy pack then has a policy of that name. */
  readonly isPolicy: boolean;
}

function rule(severity: Severity, what: string, why: string, remedy: string): Rule {
  return { severity, what, why, remedy, isPolicy: false };
}

function policy(severity: Severity, what: string, why: string, remedy: string): Rule {
  return { ...rule(severity, what, why, remedy), isPolicy: true };
}

/** Codes are stable: `PB` and three digits. */
export const RULES = {
  PB001: rule(
    "error",
    "an invalid key of `repositories`",
    "the number is part of every option name",
    "`repo1` to `repo256`",
  ),
  PB002: rule("error", "no repository", "backups have no destination", "declare at least one, better two"),
  PB003: policy(
    "warning",
    "one repository only",
    "losing it loses every backup",
    "add a second one at another location",
  ),
  PB004: rule(
    "error",
    "two kinds of retention in one repository",
    "pgBackRest applies only one of them",
    "set `keepDays` or `keepFullCount`",
  ),
  PB005: policy(
    "error",
    "a retention below 1, or not a whole number",
    "it would remove every backup",
    "at least 1; leave it out to keep everything",
  ),
  PB006: policy(
    "warning",
    "no retention",
    "backups fill the repository, then they fail",
    "set `keepDays` or `keepFullCount`",
  ),
  PB007: policy(
    "warning",
    "unencrypted backups outside the machine",
    "anyone who can read the bucket can read the database",
    "set `cipher` with a `CipherPassphrase`",
  ),
  PB008: policy(
    "error",
    "two repositories at one location, or one inside the other",
    "they overwrite and expire each other's files",
    "give each its own path or bucket",
  ),
  PB009: policy(
    "warning",
    "all repositories depend on one provider, server or file system",
    "they are lost together",
    "move one of them elsewhere",
  ),
  PB010: rule(
    "error",
    "an engine that cannot be installed there",
    "this version cannot run it",
    "use an engine that the message names",
  ),
  PB011: policy(
    "error",
    "an invalid schedule or time zone",
    "a guess would take backups at the wrong time",
    "five fields; UTC or an IANA name",
  ),
  PB012: policy(
    "warning",
    "no backup schedule",
    "WAL grows without limit, and restores nothing without a base backup",
    "set `schedules.full`; outside this package add a ScheduledBackup",
  ),
  PB013: rule(
    "error",
    "an invalid stanza name",
    "it names a directory and a section of a file",
    "letters, digits, `_`, `.` and `-`",
  ),
  PB014: rule(
    "error",
    "an unusable path, port or number",
    "it goes into configuration, unit files and commands",
    "use the form that the message gives",
  ),
  PB015: rule(
    "error",
    "an unsupported compression",
    "the runtime writes none, gz, lz4 and zst",
    "one of those, with a level in its range",
  ),
  PB016: rule("error", "no connection to the host, or two", "exactly one is used", "set one field of `connection`"),
  PB017: rule(
    "error",
    "an invalid acknowledgement",
    "PostgreSQL must know when it may remove a segment",
    "`all`, `any`, or `named` with names of repositories",
  ),
  PB018: rule("error", "`allowRestart` without a command", "nothing can restart this server", "set `restartCommand`"),
  PB019: rule(
    "error",
    "a repository in the data directory",
    "it is lost with the data, and backups would include it",
    "use another disk or host",
  ),
  PB020: rule(
    "error",
    "an invalid address",
    "requests would fail or reach the wrong server",
    "give host name, bucket, port and path separately",
  ),
  PB021: rule(
    "warning",
    "one repository is enough to acknowledge WAL",
    "PostgreSQL may remove a segment that only one repository holds",
    "watch missing WAL in `info`, or use `all`",
  ),
  PB022: rule(
    "error",
    "root as PostgreSQL's account",
    "the server refuses to run as root",
    "set the owner of the data directory",
  ),
  PB023: rule(
    "error",
    "a deadline or jitter out of range",
    "runs would be stopped at once or never",
    "stay in the range that the message gives",
  ),
  PB024: rule(
    "error",
    "an invalid entry of `silence`",
    "the code is unknown or an error, or the reason is missing",
    "give the code of a warning or note, and the reason",
  ),
  PB025: rule(
    "note",
    "a silenced finding that no longer applies",
    "it would stay silent when the problem returns",
    "remove it",
  ),
  PB026: rule(
    "error",
    "a schedule for undeclared repositories",
    "the backup would have no destination",
    "use names from `repositories`, or leave it out",
  ),
  PB027: policy(
    "warning",
    "two schedules in the same minute",
    "a stanza takes one backup at a time: either of them may fail",
    "leave that hour out, or start one later",
  ),
  PB028: policy(
    "error",
    "a repository that gets WAL but no backup",
    "WAL alone restores nothing; stock pgBackRest sends a backup to one repository only",
    "add it to a schedule of full backups; for Dalibo's plugin set `selectedRepository`",
  ),
  PB029: rule(
    "warning",
    "increments without scheduled full backups",
    "nothing expires, and each restore takes longer",
    "schedule full backups",
  ),
  PB030: rule(
    "warning",
    "no full backup off-site",
    "a fire destroys the database and its backups",
    "add a vendor's bucket, or set `offSite` where it is true",
  ),
  PB031: rule(
    "warning",
    "a path below /mnt without `requireMount`",
    "while the NAS is unmounted, backups fill the root file system; the next mount hides them",
    "set `requireMount: true`",
  ),
  PB032: rule(
    "error",
    "a retention shorter than the promised recovery window",
    "older points in time cannot be restored",
    "set `keepDays` to at least `objectives.pitrDays`",
  ),
  PB033: policy(
    "warning",
    "only one full backup kept",
    "each new one removes every older restore point at once",
    "keep at least 2, or keep by days",
  ),
  PB034: rule(
    "warning",
    "an object lock shorter than the retention",
    "stolen keys can remove the older backups",
    "lock for as long as you keep backups",
  ),
  PB035: rule(
    "warning",
    "an object lock longer than the retention",
    "you pay for expired backups",
    "keep backups for as long as they are locked",
  ),
  PB036: rule(
    "warning",
    "deleted versions kept for less than a week",
    "an attack may be noticed too late",
    "set `undeleteDays: 14`",
  ),
  PB037: rule(
    "error",
    "an objective or amount out of range",
    "nothing can be computed from it",
    "stay in the range that the message gives",
  ),
  PB038: rule(
    "note",
    "no limit on the age of WAL",
    "on a quiet database, hours of commits exist on one machine only",
    "set `objectives.rpoSeconds`",
  ),
  PB039: rule(
    "warning",
    "a worst case beyond the promised RPO",
    "archive_timeout, one push and one retry take longer",
    "raise the objective, or add a synchronous standby",
  ),
  PB040: rule(
    "error",
    "a drill that cannot run as declared",
    "it would restore nothing",
    "use the values that the message gives",
  ),
  PB041: rule(
    "warning",
    "a drill with less time than the objective",
    "it fails although the objective is met",
    "set `maxMinutes` well above `objectives.rtoMinutes`",
  ),
  PB042: rule(
    "note",
    "no drill",
    "nobody knows whether backups can be restored, and how fast",
    "declare `drills`, or restore by hand every month and record the time",
  ),
  PB043: policy(
    "error",
    "more repositories than the engine supports",
    "Barman writes to one ObjectStore and ignores `barmanObjectName` in a ScheduledBackup: the second bucket stays empty",
    "use an engine that writes to several; check each bucket",
  ),
  PB044: rule(
    "error",
    "a feature that the engine lacks",
    "the engine would ignore it silently",
    "use another engine, or drop the feature",
  ),
  PB045: rule(
    "error",
    "a passphrase for an engine without encryption",
    "the bucket would hold readable backups",
    "use an engine that encrypts",
  ),
  PB046: rule(
    "error",
    "block increments without bundles",
    "pgBackRest stores them in bundles only",
    "set `bundle: true`",
  ),
  PB047: rule(
    "error",
    "overlapping runs of one schedule",
    "this engine needs one run for each repository, an hour apart",
    "move one of the schedules",
  ),
  PB048: rule(
    "error",
    "a version of pgBackRest without the feature",
    "the first backup fails",
    "install the version that the message gives",
  ),
  PB049: rule(
    "warning",
    "a version of pgBackRest with a known bug",
    "uploads hang, or big files abort the backup",
    "install the version that the message gives",
  ),
  PB050: policy(
    "error",
    "backups from a standby, with an engine that needs the primary",
    'the backup fails with [056] "unable to find primary cluster"',
    'set `target: primary`, or `backupTarget: "primary"`',
  ),
  PB051: rule(
    "error",
    "a time zone for CloudNativePG",
    "its operator runs schedules in UTC only",
    "write the hours in UTC",
  ),
  PB052: policy(
    "error",
    "a Service named `pgbackrest`",
    "Kubernetes turns it into `PGBACKREST_*` variables, which pgBackRest reads as options",
    "rename it, for instance to `cnpg-pgbackrest`",
  ),
  PB053: rule(
    "error",
    "Azure or Google as a repository",
    "they use another protocol, or lack S3 features that a repository needs",
    "use B2, R2, S3, SFTP, or stock pgBackRest",
  ),
  PB054: policy(
    "error",
    "a region that does not match the endpoint",
    "the server refuses requests that are signed for another region",
    "set the region that the message gives",
  ),
  PB055: rule("error", "quirks of another provider", "the endpoint is another provider's", "leave `quirks` out"),
  PB056: rule(
    "warning",
    "the bucket in the host name instead of the path",
    "that name must resolve and match the certificate",
    "leave `uriStyle` out",
  ),
  PB057: rule(
    "error",
    "a bucket with dots in the host name",
    "no wildcard certificate covers it",
    'set `uriStyle: "path"`',
  ),
  PB058: policy(
    "error",
    "a bucket rule that removes live objects",
    "increments and WAL need older objects: restores fail although backups report success",
    "keep only rules for replaced versions and unfinished uploads",
  ),
  PB059: policy(
    "error",
    "an object lock that breaks backups",
    "R2's bucket lock forbids overwriting: backup.info cannot be updated, and archiving stalls",
    "use B2 or S3 for the immutable copy",
  ),
  PB060: policy(
    "error",
    "a storage class or rule that freezes objects",
    "reading takes hours of thawing first",
    "use the standard class",
  ),
  PB061: policy(
    "warning",
    "a storage class with a minimum duration",
    "WAL costs more there than in the standard class",
    "use the standard class",
  ),
  PB062: rule(
    "warning",
    "ZFS snapshots of an archived database",
    "after a rollback PostgreSQL reuses WAL names of the same timeline: error 45, and archiving stalls until the disk is full",
    "recover to a new timeline first, then take a full backup",
  ),
  PB063: rule(
    "error",
    "no keys for a bucket",
    "key type `shared` signs with an access key",
    "set `credentials`, or a role by `keyType`",
  ),
  PB064: rule("error", "both keys and a role", "it is unclear which of them signs", "set one of them"),
  PB065: rule(
    "error",
    "a pod's role on a host",
    "`web-id` and `pod-id` exist in EKS only",
    "use `auto` on EC2, or keys",
  ),
  PB066: rule("error", "an Amazon role at another provider", "it does not know Amazon's keys", "set `credentials`"),
  PB067: rule("error", "a Kubernetes Secret for a host", "the host cannot read it", "set `credentials`"),
  PB068: rule("error", "both keys and an existing Secret", "each says how to sign", "set one of them"),
  PB069: rule(
    "error",
    "a schedule for some of three or more repositories",
    "one run reaches all of them or one",
    "leave `repositories` out, or name one",
  ),
  PB070: policy(
    "error",
    "a five-field schedule in a ScheduledBackup",
    "CloudNativePG reads the first field as seconds: `0 3 * * *` runs 24 times a day",
    "write six fields: `0 0 3 * * *`",
  ),
  PB071: policy(
    "warning",
    "the operator's deprecated archiver",
    "a future version removes it, and it ignores a plugin's backups",
    "set `method: plugin`",
  ),
  PB072: policy(
    "warning",
    "two immediate first backups of one cluster",
    "they start together, and one fails or waits",
    "set `immediate` on one",
  ),
  PB073: policy("error", "two WAL archivers", "CloudNativePG refuses the cluster", "set `isWALArchiver` on one plugin"),
  PB074: policy(
    "warning",
    "no plugin is the WAL archiver",
    "without the sidecar, WAL counts as archived although no repository holds it",
    "set `isWALArchiver: true`",
  ),
  PB075: policy(
    "error",
    "a plugin without a destination",
    "archiving fails, and WAL fills the disk",
    "set `barmanObjectName` or `stanzaRef`",
  ),
  PB076: policy(
    "error",
    "an endpoint over http",
    "backups and signatures cross the network in clear text",
    "use https, with your own CA where needed",
  ),
  PB077: policy(
    "warning",
    "B2 or R2 behind Barman with checksums on",
    "they have rejected the checksums that its library sends",
    "set `AWS_REQUEST_CHECKSUM_CALCULATION` and `AWS_RESPONSE_CHECKSUM_VALIDATION` to `when_required`",
  ),
  PB078: policy(
    "warning",
    "an engine without encryption, in a vendor's bucket",
    "anyone who can read the bucket can read the database",
    "use an engine that encrypts, or silence it with a reason",
  ),
  PB079: policy(
    "warning",
    "`pushQueueMax` in Dalibo's plugin",
    "beyond it the plugin drops WAL for all repositories, even if only one is down",
    "leave it out and watch the disk",
  ),
  PB080: rule(
    "error",
    "an unconfirmed compliance lock",
    "nobody can shorten it, not even the vendor",
    "set `acceptIrreversible`, or use mode governance",
  ),
  PB081: rule(
    "warning",
    "protection that ends before an attack is noticed",
    "after that the loss is final",
    "protect for 14 days or more",
  ),
  PB082: rule(
    "error",
    "settings for a bucket that is not taken over, or a taken-over bucket whose name is another resource's output",
    "pgbackstop changes an existing bucket only after taking it over, by its name",
    "set `takeOver: true` with the name as plain text, or set `facts`",
  ),
  PB085: policy(
    "warning",
    "a plugin's image without a version",
    "each restart may run a version that reads other objects",
    "name a version, better a digest",
  ),
  PB086: policy(
    "error",
    "two controllers that share one leader lease",
    "only one of them ever works",
    "use image 0.0.3 or newer, or remove one first",
  ),
  PB087: policy(
    "error",
    "an ExternalSecret of a removed API version",
    "the API server refuses the object, and the keys never arrive",
    "write `external-secrets.io/v1`",
  ),
  PB088: policy(
    "warning",
    "unchecked certificates",
    "anyone between can read and change the backups",
    "set `verifyTLS: true`",
  ),
  PB089: policy(
    "warning",
    "the kind Repository of Dalibo's plugin",
    "version 0.0.1 renamed it to Stanza",
    "use a `Stanza`, and `stanzaRef`",
  ),
  PB090: policy(
    "warning",
    "a cluster without any backup",
    "lost or deleted data is gone for good",
    "add a plugin with `isWALArchiver`, and a ScheduledBackup",
  ),
  PB091: policy(
    "error",
    "a parameter that the plugin does not read",
    "the plugin ignores it, and repository 1 gets the backup",
    "use `selectedRepository` and `backupType`",
  ),
  PB092: policy("warning", "a suspended schedule", "no backup is taken", "remove `suspend`"),
  PB093: policy(
    "warning",
    "a cold backup of the primary",
    "the snapshot shuts it down while it runs",
    "take a hot one, or use a standby",
  ),
  PB094: policy("error", "a public bucket", "anyone can read the backups", "block public access"),
  PB095: policy(
    "warning",
    "snapshots without a WAL archive",
    "only the times of the snapshots can be restored",
    "add a plugin that archives WAL",
  ),
  PB096: policy(
    "error",
    "a cluster with no instance",
    "CloudNativePG requires at least 1",
    'to stop it use the annotation `cnpg.io/hibernation: "on"`',
  ),
  PB097: rule(
    "note",
    "a repository on the database's machine",
    "it is lost with the machine",
    "use another machine over SFTP, or a NAS with `requireMount`",
  ),
  PB098: rule(
    "warning",
    "an entry of `acknowledgeWeaker` without a reason",
    "without a reason it acknowledges nothing, and CI fails",
    "give a reason",
  ),
  PB099: rule(
    "error",
    "read-only keys for a database that is backed up",
    "backups need to write",
    "use `target`, or set `restoreOnly` on the host",
  ),
  PB100: rule(
    "error",
    "backup settings on a host that only restores",
    "it takes no backups and archives nothing",
    "remove `restoreOnly`, or the settings for backups",
  ),
  PB101: rule(
    "warning",
    "keys with write access on a host that only restores",
    "an intruder on that host could destroy the backups",
    "use `readerTarget` of the repository",
  ),
  PB102: rule(
    "error",
    "an agent that cannot run",
    "nothing would start it, or it would have no work",
    "leave `agent` out, or do what the message says",
  ),
  PB103: rule(
    "error",
    "secret files on a host without systemd units",
    "systemd passes these files to units only",
    "use an agent, or credentials and cipher of the repository",
  ),
  PB104: rule(
    "error",
    "a repository over SFTP without a private key",
    "the server refuses the connection",
    "set `privateKey` of the repository, or `secretFiles.privateKey` if the host already has it",
  ),
  PB110: rule(
    "error",
    "a name that Kubernetes refuses",
    "names of pods and Services derive from it",
    "use lower-case letters, digits and hyphens",
  ),
  PB111: rule(
    "error",
    "an unsupported version of PostgreSQL, or an image of another version",
    "the operator reads the version from the tag",
    "use 14 to 18, or an image whose tag begins with the version",
  ),
  PB112: rule(
    "error",
    "an archiver added to a running cluster by an older operator",
    "its switchover waits forever for WAL to be archived",
    "update to CloudNativePG 1.29.2 or newer",
  ),
  PB113: rule(
    "error",
    "a reserved parameter of PostgreSQL",
    "two sources would set it",
    "use the argument that the message names",
  ),
  PB114: rule(
    "error",
    "an impossible bootstrap of a cluster",
    "it is read once and cannot be changed afterwards",
    "do what the message says",
  ),
  PB115: rule(
    "error",
    "a cold snapshot that stops the database",
    "the database is unavailable meanwhile",
    "take it hot or from a standby, or set `acceptDowntime`",
  ),
  PB116: rule(
    "error",
    "a secret in a GitOps file",
    "anyone who reads the Git repository can read the backups",
    "use `existingSecret` with the names of its keys",
  ),
  PB117: rule(
    "warning",
    "`uriStyle` for an engine that always uses the path",
    "the setting has no effect",
    "leave `uriStyle` out",
  ),
  PB118: rule("error", "a required argument is missing", "objects would be refused after others exist", "set it"),
  PB120: rule(
    "warning",
    "volume snapshots without a retention, or a retention without snapshots",
    "CloudNativePG removes none: they fill the storage, or raise its bill",
    "set `snapshots.keepDays` or `snapshots.keepCount`",
  ),
  PB121: rule(
    "note",
    "stock pgBackRest with several repositories",
    "a segment is archived only when all of them hold it: one outage stops the others' backups, and WAL fills the disk",
    "use engine `runtime`, or an alert on pg_wal",
  ),
  PB130: rule(
    "error",
    "metrics over HTTP without an agent, or at an invalid address",
    "only the agent runs permanently and can serve them",
    "use an agent and an address such as `127.0.0.1:9854`, or the file for the textfile collector",
  ),
  PB131: rule(
    "warning",
    "alerts for an engine without pgbackstop metrics",
    "no rule could ever fire",
    "use engine `runtime`, or write rules on metrics of CloudNativePG and the engine",
  ),
  PB140: rule(
    "warning",
    "a drill declared as made elsewhere, but no `FireDrill` in the program",
    "the topology shows a drill that never runs",
    "add a `FireDrill` with `of`; silence it if another stack has one",
  ),
  PB141: rule(
    "warning",
    "drills without the policy that restricts their account",
    "RBAC cannot restrict creation by name: an account that may create Clusters may run any image with any Secret of the namespace",
    "leave `drillPolicy` out; if you cannot, use a namespace with nothing else in it",
  ),
  PB150: rule(
    "error",
    "streaming without an agent",
    "only the agent receives streamed WAL",
    "use an agent, or leave `streaming` out",
  ),
  PB160: rule(
    "error",
    "a connection without a host key",
    "without it any server that answers gets the credentials and the secrets",
    "set `hostKey`, or use `ssh` with `hostKeys` or a known_hosts file",
  ),
  PB161: policy(
    "warning",
    "a login by password",
    "a password can be guessed, and the host sees it",
    "set `privateKey`, or an agent",
  ),
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleCode = keyof typeof RULES;

export const RULE_CODES = Object.keys(RULES) as readonly RuleCode[];

export function findRule(code: string): Rule | null {
  const known = RULE_CODES.find((each) => each === code);
  return known === undefined ? null : RULES[known];
}
