/** Arguments of fire drills, wherever they are made. */
import type { ObjectivesArgs } from "../databases/objectivesArgs";

/** Which backup a drill restores, and how far. */
export const DrillPick = {
  /** The newest, to the end of the archive: the only one that tells what would be lost. */
  Newest: "newest",
  /** The oldest that is kept, until it is consistent. */
  Oldest: "oldest",
  /** Any, until it is consistent. */
  Random: "random",
  /** The last one before a random position in the WAL, to that position. */
  Moment: "moment",
} as const;
export type DrillPick = (typeof DrillPick)[keyof typeof DrillPick];

/** How much a drill checks. */
export const DrillLevel = {
  /** That it came back: recovery, collations, production's tables, your assertions, the control file. */
  Quick: "quick",
  /** Also every index and table by amcheck, and page checksums. */
  Standard: "standard",
  /** Also a dump of every database to nowhere. */
  Thorough: "thorough",
} as const;
export type DrillLevel = (typeof DrillLevel)[keyof typeof DrillLevel];

/** A fire drill: a backup is restored beside the database, recovered, checked, timed, and removed again. Production is never touched. */
export interface DrillArgs {
  /** Five fields. @example "0 5 1 * *" */
  cron: string;
  /** IANA name of the zone that the hours are meant in. @default "UTC" */
  timeZone?: string;
  /** The one repository that is restored from. Left out, each in its turn. @example "repo2" */
  from?: string;
  /** Repositories that take turns; not together with `from`. Left out, all. */
  repositories?: string[];
  /** Which backup is restored. Left out, each pick in turn. */
  pick?: DrillPick;
  /** @default "thorough" */
  level?: DrillLevel;
  /** A drill that takes longer is ended and has failed; its checks come after the restore. @default 1440 */
  maxMinutes?: number;
  /** A drill that would restore or fetch more is not begun, and has failed. */
  maxGiB?: number;
  /** True where a FireDrill makes it on another machine: declared here, for the topology and its alerts, and nothing is started. @default false */
  elsewhere?: boolean;
}

/** A drill on a host. */
export interface HostDrillArgs extends DrillArgs {
  /**
   * Directory that is restored below; it needs the size of the data directory, a tenth more, and 512 MiB. Left out, `dataDirectory` with `-drill`
   * behind it: there the disk is fast and large enough for a database of this size.
   */
  path?: string;
}

/** A statement to a restored database. */
export interface DrillStatementArgs {
  /** Database to ask. Left out, `postgres`. */
  database?: string;
  /** The statement. */
  sql: string;
}

/** Something that has to be true in a restored database: every value of every row that the statement gives. */
export interface DrillAssertionArgs {
  /** What is asserted, on one line. @example "there are orders" */
  name: string;
  /** Database to ask. Left out, `postgres`. */
  database?: string;
  /** Statement whose every value must be true. @example "SELECT count(*) > 1000 FROM orders" */
  sql: string;
}

/** What every drill of a database asks, beside the objectives. No secret belongs here. */
export interface DrillChecksArgs {
  /** Gives the time of the newest beat that production writes somewhere: what would be lost is then exact. Left out, the last commit tells it. */
  heartbeat?: DrillStatementArgs;
  assertions?: DrillAssertionArgs[];
  /** A drill fails when the newest backup in its repository is older. Left out, it follows from the schedules. */
  backupAgeHours?: number;
}

/** A database as the host sees it that drills it from elsewhere: the output `drilled` of a PostgresHost, CnpgCluster or CnpgBackup. */
export interface DrilledDatabase {
  /** Name of its component. */
  database: string;
  /** Name of the cluster in the repositories. */
  stanza: string;
  /** Drills that it declares as made `elsewhere`. */
  drills: { [name: string]: DrillArgs };
  /** Its checks, with the age of backups that its schedules allow. */
  drillChecks: DrillChecksArgs;
  objectives: ObjectivesArgs;
}
