/** Arguments of logical dumps, on hosts and of clusters. */
import type * as pulumi from "@pulumi/pulumi";

/** What is dumped, where it goes, and how long it stays. */
export interface DumpsArgs {
  /** Keys of the repositories that get the dumps. If omitted, all. @example ["repo1"] */
  repositories?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Databases to dump. If omitted, all that allow connections; in a cluster without `superuserAccess`, those of the
   * application's role.
   * @example ["shop", "crm"]
   */
  databases?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Days before the newest dump of which every dump stays. If you omit this and `keepCount`, 30.
   * @minimum 1 @maximum 9999
   */
  keepDays?: pulumi.Input<number>;
  /** Number of newest complete dumps that stay, whatever their age. @minimum 1 @maximum 9999 */
  keepCount?: pulumi.Input<number>;
}

/** Logical dumps of a cluster, by a CronJob with the Cluster's own `pg_dump`. Engine "runtime". */
export interface ClusterDumpsArgs extends DumpsArgs {
  /** Cron expression with five fields. @example "30 4 * * *" */
  cron: pulumi.Input<string>;
  /** IANA time zone of the hours. @default "UTC" @example "Europe/Berlin" */
  timeZone?: pulumi.Input<string>;
}
