/** Arguments of fire drills on hosts and in clusters. */
import type * as pulumi from "@pulumi/pulumi";
import type { ObjectivesArgs } from "../databases/objectivesArgs";

/** Which backup a drill restores, and how far. */
export const DrillPick = {
  /** The newest backup, to the end of the archive: the only pick that measures data loss. */
  Newest: "newest",
  /** The oldest backup in the repository, until it is consistent. */
  Oldest: "oldest",
  /** Any backup, until it is consistent. */
  Random: "random",
  /** The last backup before a random position in the WAL, to that position. */
  Moment: "moment",
  /**
   * Restores no backup of the database. It attacks a scratch stanza of its own in the bucket, as a thief with the same
   * key would, and restores the state before the attack. Only for buckets and containers that
   * keep versions, at Google for those with soft delete.
   */
  Attack: "attack",
} as const;
export type DrillPick = (typeof DrillPick)[keyof typeof DrillPick];

/** What a drill on a host does with its backup. */
export const DrillHow = {
  /** Restores it, as after a disaster: measures the RTO. */
  Restore: "restore",
  /**
   * Opens it, as `pgbackstop open` does: mounts it, and fetches what is read. It takes seconds and no space, and
   * measures no RTO. Levels above `quick` read every page. Needs FUSE.
   */
  Open: "open",
} as const;
export type DrillHow = (typeof DrillHow)[keyof typeof DrillHow];

/** How much a drill checks. */
export const DrillLevel = {
  /** Checks the recovery: collations, production's tables, your assertions, the control file. */
  Quick: "quick",
  /** Also every index and table by amcheck, and page checksums. */
  Standard: "standard",
  /** Also a dump of every database, which is discarded. */
  Thorough: "thorough",
} as const;
export type DrillLevel = (typeof DrillLevel)[keyof typeof DrillLevel];

/**
 * A fire drill: restores a backup alongside the database, recovers, checks and times it, and removes it. It never
 * changes production.
 */
export interface DrillArgs {
  /** Cron expression with five fields. @example "0 5 1 * *" */
  cron: pulumi.Input<string>;
  /** IANA time zone of the hours. @default "UTC" */
  timeZone?: pulumi.Input<string>;
  /** Repository to restore from, always this one. If omitted, all in turn. @example "repo2" */
  from?: pulumi.Input<string>;
  /** Repositories that take turns; not together with `from`. If omitted, all. */
  repositories?: pulumi.Input<pulumi.Input<string>[]>;
  /** Which backup is restored, or `attack`, which restores a scratch stanza of its own. If omitted, each in turn. */
  pick?: pulumi.Input<DrillPick>;
  /** @default "thorough" */
  level?: pulumi.Input<DrillLevel>;
  /**
   * Time limit of a drill: a longer one ends and fails. Its checks come after the restore.
   * @default 1440 @minimum 1 @maximum 10080
   */
  maxMinutes?: pulumi.Input<number>;
  /** Limit of restored and fetched data. A larger drill fails before it starts. @exclusiveMinimum 0 @maximum 1048576 */
  maxGiB?: pulumi.Input<number>;
  /**
   * True if a FireDrill runs it on another machine. It is declared here for the topology and its alerts, and not
   * started.
   * @default false
   * @plain whether the drill runs here or on another host
   */
  elsewhere?: boolean;
}

/** A drill on a host. */
export interface HostDrillArgs extends DrillArgs {
  /** @default "restore" */
  how?: pulumi.Input<DrillHow>;
  /**
   * Parent directory of the restore; it needs the size of the data directory, a tenth more, and 512 MiB. If omitted,
   * `dataDirectory` with the suffix `-drill`: that disk is fast and large enough for a database of this size. With
   * `container`, /var/lib/pgbackstop-drill.
   */
  path?: pulumi.Input<string>;
  /** True: also loads the newest logical dump of the drilled repository into the restored server. @default false */
  dump?: pulumi.Input<boolean>;
}

/** A query of a restored database. */
export interface DrillStatementArgs {
  /** Database to ask. If omitted, `postgres`. */
  database?: pulumi.Input<string>;
  /** The statement. */
  sql: pulumi.Input<string>;
}

/** A condition on a restored database: every value of every row of the statement must be true. */
export interface DrillAssertionArgs {
  /** The condition, on one line. @example "there are orders" */
  name: pulumi.Input<string>;
  /** Database to ask. If omitted, `postgres`. */
  database?: pulumi.Input<string>;
  /** Statement whose every value must be true. @example "SELECT count(*) > 1000 FROM orders" */
  sql: pulumi.Input<string>;
}

/** Checks of every drill of a database, besides the objectives. Do not put secrets here. */
export interface DrillChecksArgs {
  /**
   * Query for the time of production's newest heartbeat, which makes the data loss exact. If omitted, the last commit
   * counts.
   */
  heartbeat?: DrillStatementArgs;
  assertions?: DrillAssertionArgs[];
  /**
   * Maximum age of the newest backup in a drill's repository; an older one fails the drill. If omitted, it follows from
   * the schedules.
   * @exclusiveMinimum 0 @maximum 878400
   */
  backupAgeHours?: pulumi.Input<number>;
}

/**
 * A database, for the host that drills it elsewhere: the output `drilled` of a PostgresHost, CnpgCluster or CnpgBackup.
 */
export interface DrilledDatabase {
  /** Name of its component. @plain the name of the database in errors of the preview */
  database: string;
  /** Name of the cluster in the repositories. */
  stanza: pulumi.Input<string>;
  /** Drills that it declares with `elsewhere`. */
  drills: { [name: string]: DrillArgs };
  /** Its checks, with the backup age that its schedules allow. */
  drillChecks: DrillChecksArgs;
  objectives: ObjectivesArgs;
}
