import type * as pulumi from "@pulumi/pulumi";

/** Objectives of the backups: previews compare them with the declaration. */
export interface ObjectivesArgs {
  /**
   * Recovery point objective: how many seconds of commits may be lost with the machine. Sets PostgreSQL's
   * `archive_timeout` to the time left after one push and one retry.
   * @example 300 @minimum 1 @maximum 604800
   */
  rpoSeconds?: pulumi.Input<number>;
  /** Recovery time objective, for the newest state. @example 30 @minimum 1 @maximum 43200 */
  rtoMinutes?: pulumi.Input<number>;
  /**
   * Recovery time objective for a point in time, which replays WAL on top of an older backup. Drills of pick `moment`
   * are measured against it. If omitted, rtoMinutes counts for both.
   * @example 60 @minimum 1 @maximum 43200
   */
  pitrRtoMinutes?: pulumi.Input<number>;
  /**
   * Number of days in which every repository must be able to restore any point in time.
   * @example 14 @minimum 1 @maximum 36500
   */
  pitrDays?: pulumi.Input<number>;
  /**
   * Maximum size of each repository in GB (10⁹ bytes, as providers bill them), backups plus WAL. `Monitoring` alerts
   * above it. If omitted: 1.5 times the estimate from `sizing`, if set.
   * @example 100 @minimum 1 @maximum 1000000000
   */
  maxRepositoryGB?: pulumi.Input<number>;
}

/** Expected amounts, for the estimate of monthly costs. */
export interface SizingArgs {
  /** Size of all databases. @from 0 */
  databaseGiB: pulumi.Input<number>;
  /** WAL written per day. @from 0 */
  walGiBPerDay: pulumi.Input<number>;
  /** Data changed per day. If omitted, 2 percent of databaseGiB. @from 0 */
  changedGiBPerDay?: pulumi.Input<number>;
  /** Stored size divided by original size. @default 0.35 @exclusiveMinimum 0 */
  compressedTo?: pulumi.Input<number>;
}
