/**
 * The one table of rules: each code of a finding with how bad it is and what it means in general. docs/rules.md, the descriptions of policies and
 * `finding()` read it. A finding itself tells the fact of its case; the check that finds it stands in rules/, by what it is about. Pure data.
 */
export type Severity = "error" | "warning" | "note";

export interface Rule {
  readonly severity: Severity;
  /** The situation, in a few words. */
  readonly what: string;
  readonly why: string;
  readonly wayOut: string;
  /** True where the objects of others can break it: the policy pack then has a policy of that name. */
  readonly isPolicy: boolean;
}

function rule(severity: Severity, what: string, why: string, wayOut: string): Rule {
  return { severity, what, why, wayOut, isPolicy: false };
}

function policy(severity: Severity, what: string, why: string, wayOut: string): Rule {
  return { ...rule(severity, what, why, wayOut), isPolicy: true };
}

/** Codes are stable: `PB` and three digits. */
export const RULES = {
  PB001: rule("error", "a key of `repositories` that is none", "the number is part of every option name", "`repo1` to `repo256`"),
  PB002: rule("error", "no repository", "there is nowhere to put a backup", "give at least one, better two"),
  PB003: policy("warning", "one repository only", "its loss is the loss of every backup", "add a second one at another place"),
  PB004: rule("error", "two kinds of retention in one repository", "pgBackRest keeps by one of them", "`keepDays` or `keepFullCount`"),
  PB005: policy(
    "error",
    "a retention that keeps nothing, or no whole number",
    "every backup would be removed",
    "at least 1; left out, everything is kept",
  ),
  PB006: policy("warning", "no retention", "backups are kept until the repository is full, and then they fail", "set `keepDays` or `keepFullCount`"),
  PB007: policy(
    "warning",
    "no encryption outside the machine",
    "whoever can read the bucket can read the database",
    "`cipher` with a `CipherPassphrase`",
  ),
  PB008: policy(
    "error",
    "two repositories in one place, or one in the other",
    "they overwrite and expire each other's files",
    "a path or bucket for each",
  ),
  PB009: policy("warning", "all repositories depend on one provider, server or file system", "they are lost together", "put one of them elsewhere"),
  PB010: rule("error", "an engine that cannot be installed there", "this version has no way to run it", "one of the engines that the message names"),
  PB011: policy(
    "error",
    "a schedule or time zone that cannot be read",
    "guessing would take backups at another time",
    "five fields; UTC or an IANA name",
  ),
  PB012: policy(
    "warning",
    "no schedule of backups",
    "WAL grows without end, and without a base backup it restores nothing",
    "set `schedules.full`; raw: a ScheduledBackup",
  ),
  PB013: rule("error", "a stanza name with other characters", "it is a directory and a section of a file", "letters, digits, `_`, `.` and `-`"),
  PB014: rule("error", "a path, port or number that cannot be used", "it goes into configuration, unit files and commands", "what the message names"),
  PB015: rule("error", "compression that cannot be written", "the runtime writes none, gz, lz4 and zst", "one of those, with a level in its range"),
  PB016: rule("error", "no way to reach the host, or two", "exactly one is used", "one field of `connection`"),
  PB017: rule(
    "error",
    "an acknowledgement that is none",
    "PostgreSQL must know when a segment may go",
    "`all`, `any`, or `named` with names of repositories",
  ),
  PB018: rule("error", "a restart allowed without a command for it", "nobody knows how this server is restarted", "set `restartCommand`"),
  PB019: rule("error", "a repository in the data directory", "it is lost with the data, and backed up into itself", "another disk or host"),
  PB020: rule(
    "error",
    "an address that is none",
    "requests would go nowhere, or elsewhere",
    "host name, bucket, port and path apart from each other",
  ),
  PB021: rule(
    "warning",
    "any repository acknowledges",
    "PostgreSQL may remove a segment that only one repository holds",
    "watch the debt in `info`, or use `all`",
  ),
  PB022: rule("error", "root as the account of PostgreSQL", "the server refuses to run as root", "the owner of the data directory"),
  PB023: rule("error", "a deadline or jitter out of range", "runs would be stopped at once or never", "the range in the message"),
  PB024: rule(
    "error",
    "`silence` that silences nothing",
    "an error, an unknown code, or no reason was given",
    "a code of a warning, with the reason",
  ),
  PB025: rule("note", "a silenced finding that is not found", "it would stay silent when it is true again", "remove it"),
  PB026: rule("error", "a schedule for repositories that are not there", "the backup would go nowhere", "names from `repositories`, or leave it out"),
  PB027: policy(
    "warning",
    "two schedules in one minute",
    "one stanza takes one backup at a time: one of them fails, and nobody knows which",
    "leave that hour out, or begin later",
  ),
  PB028: policy(
    "error",
    "a repository that gets WAL and no backup",
    "WAL alone restores nothing; stock pgBackRest sends a backup to one repository only",
    "name it in a schedule of full backups; Dalibo's plugin: `selectedRepository`",
  ),
  PB029: rule("warning", "increments without a renewed full backup", "nothing expires, and each restore takes longer", "a full backup by schedule"),
  PB030: rule(
    "warning",
    "no full backup off the site",
    "a fire takes the database and its backups",
    "a bucket of a vendor, or `offSite` where it is true",
  ),
  PB031: rule(
    "warning",
    "a path below /mnt without `requireMount`",
    "while the NAS is away, backups fill the root file system and are hidden when it comes back",
    "`requireMount: true`",
  ),
  PB032: rule(
    "error",
    "a retention shorter than the promised window",
    "older moments cannot be restored",
    "`keepDays` as long as `objectives.pitrDays`",
  ),
  PB033: policy("warning", "one full backup kept", "each new one removes every older moment at once", "keep at least 2, or by days"),
  PB034: rule(
    "warning",
    "a lock that ends before the retention",
    "a thief of keys can remove the older backups",
    "lock for as long as backups are kept",
  ),
  PB035: rule("warning", "a lock that outlasts the retention", "what cannot be used is paid for", "keep for as long as it is locked"),
  PB036: rule("warning", "deleted versions that go within a week", "an attack is noticed later than that", "`undeleteDays: 14`"),
  PB037: rule("error", "an objective or amount out of range", "nothing can be computed from it", "the range in the message"),
  PB038: rule("note", "nothing limits the age of WAL", "on a quiet database hours of commits exist on one machine only", "`objectives.rpoSeconds`"),
  PB039: rule(
    "warning",
    "a worst case above the promised RPO",
    "archive_timeout, one push and one retry take longer",
    "promise what can be kept, or a synchronous standby",
  ),
  PB040: rule("error", "a drill that cannot be made as declared", "it would restore nothing", "the names and words in the message"),
  PB041: rule(
    "warning",
    "a drill that ends before the promise",
    "it fails where the promise is kept",
    "`maxMinutes` well above `objectives.rtoMinutes`",
  ),
  PB042: rule(
    "note",
    "no drill",
    "whether backups can be restored, and how fast, is not known",
    "`drills`, or a restore every month whose time is written down",
  ),
  PB043: policy(
    "error",
    "more destinations than the engine has",
    "Barman writes to one ObjectStore; `barmanObjectName` in a ScheduledBackup is ignored, and the second bucket stays empty",
    "an engine that writes to several; look into each bucket",
  ),
  PB044: rule("error", "a feature that the engine has not", "it would be passed over in silence", "another engine, or without the feature"),
  PB045: rule("error", "a passphrase for an engine that encrypts nothing", "backups would lie readable in the bucket", "an engine that encrypts"),
  PB046: rule("error", "block increments without bundles", "pgBackRest stores them in bundles only", "`bundle: true`"),
  PB047: rule("error", "runs per repository that meet", "this engine needs a run for each repository, an hour apart", "move one of the schedules"),
  PB048: rule("error", "a version of pgBackRest without the feature", "it fails at the first backup", "the version in the message"),
  PB049: rule(
    "warning",
    "a version of pgBackRest with a known fault there",
    "uploads hang, or big files end the backup",
    "the version in the message",
  ),
  PB050: policy(
    "error",
    "a standby as target of an engine that needs the primary",
    'it ends with [056] "unable to find primary cluster"',
    '`target: primary`, or `backupTarget: "primary"`',
  ),
  PB051: rule("error", "a time zone for CloudNativePG", "its operator runs schedules in UTC and knows no other", "write the hours in UTC"),
  PB052: policy(
    "error",
    "a Service named `pgbackrest`",
    "Kubernetes makes `PGBACKREST_*` variables of it, which pgBackRest reads as options",
    "`cnpg-pgbackrest`",
  ),
  PB053: rule(
    "error",
    "Azure or Google as repository",
    "they speak another protocol, or S3 without what a repository needs",
    "B2, R2, S3, SFTP, or stock pgBackRest",
  ),
  PB054: policy(
    "error",
    "a region that does not fit the endpoint",
    "requests are signed for another region and refused",
    "the region in the message",
  ),
  PB055: rule("error", "quirks of another provider", "the endpoint belongs to somebody else", "leave `quirks` out"),
  PB056: rule(
    "warning",
    "the bucket in the host name where it belongs in the path",
    "that name must resolve and be in the certificate",
    "leave `uriStyle` out",
  ),
  PB057: rule("error", "a bucket with dots in the host name", "no wildcard certificate covers it", '`uriStyle: "path"`'),
  PB058: policy(
    "error",
    "a bucket rule that removes live objects",
    "increments and WAL refer to older objects: restores fail although backups report success",
    "rules for replaced versions and unfinished uploads only",
  ),
  PB059: policy(
    "error",
    "a lock where there is none to use",
    "R2's bucket lock forbids overwriting: backup.info cannot be renewed, and archiving stalls",
    "B2 or S3 for the immutable copy",
  ),
  PB060: policy("error", "a class or rule that freezes objects", "nothing can be read before hours of thawing", "the standard class"),
  PB061: policy("warning", "a class with a minimum of days", "WAL costs more there than in the standard class", "the standard class"),
  PB062: rule(
    "warning",
    "snapshots of ZFS beside the archive",
    "after a rollback the same WAL names come again on the same timeline: error 45, and archiving stalls until the disk is full",
    "recover to a new timeline before the server starts, then a full backup",
  ),
  PB063: rule("error", "no keys for a bucket", "key type `shared` signs with an access key", "`credentials`, or a role by `keyType`"),
  PB064: rule("error", "keys beside a role", "which of them signs is nobody's guess", "one of them"),
  PB065: rule("error", "the role of a pod on a host", "`web-id` and `pod-id` exist in EKS only", "`auto` on EC2, or keys"),
  PB066: rule("error", "a role of Amazon at another provider", "it does not know Amazon's keys", "`credentials`"),
  PB067: rule("error", "a Secret of Kubernetes for a host", "it cannot be read there", "`credentials`"),
  PB068: rule("error", "keys and an existing Secret", "each says how to sign", "one of them"),
  PB069: rule(
    "error",
    "a schedule for some of three or more repositories",
    "one run goes to all of them or to one",
    "leave `repositories` out, or name one",
  ),
  PB070: policy(
    "error",
    "a schedule of five fields in a ScheduledBackup",
    "CloudNativePG reads the first field as seconds: `0 3 * * *` runs 24 times a day",
    "six fields: `0 0 3 * * *`",
  ),
  PB071: policy(
    "warning",
    "the deprecated archiver of the operator",
    "it goes with a coming version, and finds nothing beside a plugin",
    "`method: plugin`",
  ),
  PB072: policy("warning", "two immediate first backups of one cluster", "they begin together, and one fails or waits", "`immediate` on one"),
  PB073: policy("error", "two WAL archivers", "CloudNativePG refuses the cluster", "`isWALArchiver` on one plugin"),
  PB074: policy(
    "warning",
    "no plugin is the WAL archiver",
    "where its sidecar is missing, WAL counts as archived although nobody has it",
    "`isWALArchiver: true`",
  ),
  PB075: policy("error", "a plugin without a destination", "archiving fails, and WAL fills the disk", "`barmanObjectName` or `stanzaRef`"),
  PB076: policy("error", "an endpoint over http", "backups and signatures cross the network readable", "https, with a CA of your own where needed"),
  PB077: policy(
    "warning",
    "B2 or R2 behind Barman with checksums on",
    "they have refused the checksums that its library sends",
    "`AWS_REQUEST_CHECKSUM_CALCULATION` and `AWS_RESPONSE_CHECKSUM_VALIDATION`: `when_required`",
  ),
  PB078: policy(
    "warning",
    "an engine that encrypts nothing, at a vendor",
    "whoever can read the bucket can read the database",
    "an engine that encrypts, or a reason",
  ),
  PB079: policy(
    "warning",
    "`pushQueueMax` in Dalibo's plugin",
    "beyond it WAL is thrown away for all repositories, also when one of them is down",
    "leave it out and watch the disk",
  ),
  PB080: rule("error", "a compliance lock by accident", "nobody, the vendor included, can shorten it", "`acceptIrreversible`, or mode governance"),
  PB081: rule("warning", "protection that ends before an attack is noticed", "after that it is final", "14 days or more"),
  PB082: rule(
    "error",
    "settings for a bucket that stays as it is, or a bucket to take over whose name comes from another resource",
    "nothing of an existing bucket is changed unless it is taken over, and that is done by its name",
    "`takeOver: true` with the name as plain text, or `facts`",
  ),
  PB085: policy(
    "warning",
    "a plugin's image without a version",
    "each restart may bring a program that reads other objects",
    "a version, better a digest",
  ),
  PB086: policy(
    "error",
    "two controllers that wait for one leader lease",
    "only one of them ever works",
    "image 0.0.3 or newer, or remove one first",
  ),
  PB087: policy(
    "error",
    "an ExternalSecret of a version that is gone",
    "the object is refused, and the keys never arrive",
    "`external-secrets.io/v1`",
  ),
  PB088: policy("warning", "certificates that nobody checks", "whoever stands in between reads and changes the backups", "`verifyTLS: true`"),
  PB089: policy("warning", "the kind Repository of Dalibo's plugin", "it is called Stanza since version 0.0.1", "a `Stanza`, and `stanzaRef`"),
  PB090: policy("warning", "a cluster without any backup", "what is lost or deleted is gone", "a plugin with `isWALArchiver`, and a ScheduledBackup"),
  PB091: policy(
    "error",
    "a parameter that the plugin does not read",
    "it is passed over, and repository 1 gets the backup",
    "`selectedRepository`, `backupType`",
  ),
  PB092: policy("warning", "a suspended schedule", "no backup is taken", "remove `suspend`"),
  PB093: policy("warning", "a cold backup of the primary", "it is shut down for as long as the snapshot takes", "hot, or from a standby"),
  PB094: policy("error", "a public bucket", "everybody can read the backups", "block public access"),
  PB095: policy("warning", "snapshots without a WAL archive", "only the moments of the snapshots can be restored", "a plugin that archives WAL"),
  PB096: policy("error", "a cluster with no instance", "CloudNativePG demands at least 1", 'the annotation `cnpg.io/hibernation: "on"`'),
  PB097: rule(
    "note",
    "a repository on the database's own machine",
    "it is lost with the machine",
    "another machine over SFTP, or `requireMount` on a NAS",
  ),
  PB098: rule(
    "warning",
    "an entry of `acknowledgeWeaker` without a reason",
    "the weakened change that is meant stays unacknowledged, and CI fails",
    "a reason",
  ),
  PB099: rule(
    "error",
    "a reader's keys for a database that is backed up",
    "nothing could be written with them",
    "`target`, or `restoreOnly` on the host",
  ),
  PB100: rule(
    "error",
    "backups of a host that only restores",
    "it writes nothing, and archives nothing",
    "without `restoreOnly`, or without what is about backups",
  ),
  PB101: rule(
    "warning",
    "keys that write, where a host only restores",
    "who takes that host could destroy the backups",
    "`readerTarget` of the repository",
  ),
  PB102: rule(
    "error",
    "an agent where there can be none",
    "nothing would start it, or it would have nothing to do",
    "without `agent`, or what the message names",
  ),
  PB103: rule(
    "error",
    "secrets on the host that nobody can hand over",
    "systemd hands files to units, and to nothing else",
    "an agent, or credentials and cipher of the repository",
  ),
  PB104: rule(
    "error",
    "a repository over SFTP without a private key",
    "the server lets nobody in",
    "`privateKey` of the repository, or `secretFiles.privateKey` where the host has it already",
  ),
  PB110: rule("error", "a name that Kubernetes refuses", "names of pods and Services are made of it", "lower-case letters, digits and hyphens"),
  PB111: rule(
    "error",
    "a version of PostgreSQL that is not backed up, or an image of another one",
    "the operator reads the version from the tag",
    "14 to 18, or an image whose tag begins with it",
  ),
  PB112: rule(
    "error",
    "an archiver for a running cluster of an older operator",
    "its switchover waits for WAL that nobody archives",
    "CloudNativePG 1.29.2 or newer",
  ),
  PB113: rule("error", "a parameter of PostgreSQL that others decide", "two sources of one setting", "the argument that the message names"),
  PB114: rule("error", "a beginning of a cluster that cannot be", "it is read once, and cannot be changed later", "what the message names"),
  PB115: rule(
    "error",
    "a cold snapshot that stops the database",
    "nothing can be read or written meanwhile",
    "hot, from a standby, or `acceptDowntime`",
  ),
  PB116: rule(
    "error",
    "a secret in a file for GitOps",
    "whoever reads the repository of the files reads the backups",
    "`existingSecret`, by the names of its keys",
  ),
  PB117: rule(
    "warning",
    "the bucket in the host name, for an engine that puts it into the path",
    "the setting has no effect",
    "leave `uriStyle` out",
  ),
  PB120: rule(
    "warning",
    "volume snapshots without a retention, or a retention without snapshots",
    "CloudNativePG removes none: they fill the storage, or its bill",
    "`snapshots.keepDays` or `snapshots.keepCount`",
  ),
  PB121: rule(
    "note",
    "stock pgBackRest with several repositories",
    "a segment is archived when all of them have it: one that is away stops the backups of the others, and WAL fills the disk",
    "engine `runtime`, or an alert on pg_wal",
  ),
  PB130: rule(
    "error",
    "metrics over HTTP where there is no agent, or at an address that is none",
    "the agent serves them, and nothing else stays up",
    "an agent and an address such as `127.0.0.1:9854`, or the file for the textfile collector",
  ),
  PB131: rule(
    "warning",
    "alerts for an engine without metrics of this package",
    "no rule could ever fire",
    "engine `runtime`, or rules about the metrics of CloudNativePG and the engine",
  ),
  PB140: rule(
    "warning",
    "a drill that is declared as made elsewhere, and no `FireDrill` in the program",
    "the topology shows a drill that nobody makes",
    "a `FireDrill` with `of`; silenced where another stack has it",
  ),
  PB141: rule(
    "warning",
    "drills in a cluster without the policy that bounds their account",
    "Kubernetes cannot bound by name what is created: who may create any Cluster may run any image with any Secret of the namespace",
    "leave `drillPolicy` out; where that cannot be, a namespace with nothing else in it",
  ),
  PB150: rule("error", "streaming where there is no agent", "nobody would receive the WAL", "an agent, or no `streaming`"),
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleCode = keyof typeof RULES;

export const RULE_CODES = Object.keys(RULES) as readonly RuleCode[];

/** Null for a text that is no code. */
export function findRule(code: string): Rule | null {
  const known = RULE_CODES.find((each) => each === code);
  return known === undefined ? null : RULES[known];
}
