/**
 * The document of `report`: what databases have in their repositories. This is its only declaration: the check of
 * files, the JSON schema and the reference are made from it (`npm run docs`). Fields are only added.
 */

/** What `pgbackstop report --format=json` writes, and `pgbackstop report FILE` reads. It contains no secret. */
export interface ReportFile {
  /** Version of the format. */
  readonly version: 1;
  /** One for each stanza that was looked at. */
  readonly databases: readonly ReportedDatabase[];
  /** What is wrong with documents that were joined. If omitted, nothing is. */
  readonly troubles?: readonly ReportedTrouble[];
}

/** A database, as its host saw it. */
export interface ReportedDatabase {
  /** Name of the machine or pod that looked. */
  readonly host: string;
  /** Name of the database in its repositories. */
  readonly stanza: string;
  /** When it was looked at, in seconds since 1970 UTC; so are all times here. @from 0 @maximum 253402300799 */
  readonly atS: number;
  /** What needs attention in no single repository, the worst first. */
  readonly troubles: readonly ReportedTrouble[];
  /** Its repositories, by their keys. */
  readonly repos: readonly ReportedRepo[];
  /** Fire drills of the last two years, oldest first. */
  readonly drills: readonly ReportedDrill[];
  /** The promised time until a restored server answers. If omitted, nothing is promised. */
  readonly rtoSeconds?: number;
  /** The promised maximum loss. If omitted, nothing is promised. */
  readonly rpoSeconds?: number;
}

/** What needs attention. */
export interface ReportedTrouble {
  /** The error's name in pgBackRest: `FileMissingError`. */
  readonly error: string;
  /** The fact. */
  readonly message: string;
  /** What to do. */
  readonly hints: readonly string[];
}

/** A repository. */
export interface ReportedRepo {
  /** 1 for `repo1-…`. */
  readonly key: number;
  /** `s3://bucket/prefix`, `/mnt/nas/backups` */
  readonly location: string;
  /** True if its files are encrypted. */
  readonly encrypted: boolean;
  /** What needs attention in it, the worst first. */
  readonly troubles: readonly ReportedTrouble[];
  /** Its backups, oldest first. */
  readonly backups: readonly ReportedBackup[];
  /** In each of them, any moment can be restored: a backup, and all WAL after it. */
  readonly windows: readonly ReportedWindow[];
  /** WAL that is missing between a backup and newer WAL. */
  readonly gaps: readonly ReportedGap[];
  /** When its newest WAL segment was stored. If omitted, it has none. @from 0 @maximum 253402300799 */
  readonly newestWalS?: number;
  /** Size of its WAL as stored. */
  readonly walBytes: number;
  /** Its logical dumps. If omitted, it has none. */
  readonly dumps?: ReportedDumps;
  /** What its backups and WAL cost. If omitted, no price is known. */
  readonly cost?: ReportedCost;
}

/** Logical dumps in a repository. One that lacks a file is among the troubles. */
export interface ReportedDumps {
  /** Number of complete ones. */
  readonly complete: number;
  /** The newest complete one. If omitted, none is complete. */
  readonly newest?: ReportedDump;
}

/** A logical dump. */
export interface ReportedDump {
  /** `20261121-020000Z-1a2b3c4d` */
  readonly label: string;
  /** When it ended. @from 0 @maximum 253402300799 */
  readonly stoppedAtS: number;
  /** Names of its databases. */
  readonly databases: readonly string[];
}

/** Storage alone, without calls, downloads and earlier versions of objects. */
export interface ReportedCost {
  /** US dollars a month, without tax. */
  readonly usdPerMonth: number;
  /** Day of the vendor's list price. */
  readonly asOf: string;
}

/** A backup in a repository. */
export interface ReportedBackup {
  /** `20261120-020000F` */
  readonly label: string;
  /** How much of the database it copied. */
  readonly type: "full" | "diff" | "incr";
  /** When it began. @from 0 @maximum 253402300799 */
  readonly startedAtS: number;
  /** When it ended: a restore to an earlier time needs an older one. @from 0 @maximum 253402300799 */
  readonly stoppedAtS: number;
  /** Size of the database. */
  readonly databaseBytes: number;
  /** What it added to the repository. */
  readonly storedBytes: number;
  /** True if pages with a wrong checksum are in it. */
  readonly damaged?: boolean;
}

/** A span of time. */
export interface ReportedWindow {
  /** The end of a backup. @from 0 @maximum 253402300799 */
  readonly fromS: number;
  /** When the last segment of the unbroken WAL after it was stored. @from 0 @maximum 253402300799 */
  readonly toS: number;
}

/** Missing WAL. */
export interface ReportedGap {
  /** The first missing segment. */
  readonly from: string;
  /** The last missing segment. */
  readonly to: string;
  /** When the segment before it was stored. @from 0 @maximum 253402300799 */
  readonly fromS: number;
  /** When the segment after it was stored. @from 0 @maximum 253402300799 */
  readonly toS: number;
}

/** A restore that was tried. */
export interface ReportedDrill {
  /** Sorts by start time: `20261121-051347Z-1a2b3c4d`. */
  readonly id: string;
  /** Key of the repository. */
  readonly repo: number;
  /** When it ended. @from 0 @maximum 253402300799 */
  readonly endedAtS: number;
  /** True if the restored server passed all checks. */
  readonly ok: boolean;
  /** Time until the restored server answered. If omitted, it never did, or the backup was opened. */
  readonly rtoSeconds?: number;
  /** True if the backup was opened instead of restored. */
  readonly opened?: boolean;
  /** What the restore lost. If omitted, it was not measured. */
  readonly rpoSeconds?: number;
  /** The first failure. If omitted, there was none. */
  readonly failure?: string;
}
