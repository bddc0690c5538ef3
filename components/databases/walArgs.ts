/** Arguments of how WAL leaves a server, for hosts and clusters. */
import type * as pulumi from "@pulumi/pulumi";

/** When PostgreSQL may consider a WAL segment safe. */
export const Acknowledge = {
  /** When all repositories have it. */
  All: "all",
  /** When one repository has it; `heal` copies it to those that lack it. */
  Any: "any",
  /** When the named ones have it. */
  Named: "named",
} as const;
export type Acknowledge = (typeof Acknowledge)[keyof typeof Acknowledge];

/** How finished WAL leaves PostgreSQL. */
export const HostArchive = {
  /** PostgreSQL's `archive_command`, which needs `archive_mode` and therefore a restart. */
  Command: "command",
  /** A replication slot that the agent reads: no restart, and nothing at the server. */
  Stream: "stream",
  /**
   * As "stream", and of a standby too: for a server on whose machine nothing may be installed. The agent runs beside a
   * standby of it.
   */
  Standby: "standby",
} as const;
export type HostArchive = (typeof HostArchive)[keyof typeof HostArchive];

/** Ships WAL before its segment is full. */
export interface StreamingArgs {
  /**
   * Minimum interval of uploads to each repository, one request each, and only with new WAL.
   * @default 5 @minimum 1 @maximum 3600
   */
  intervalSeconds?: pulumi.Input<number>;
  /**
   * Makes commits wait until repositories hold them durably, so that losing the host or cluster loses no acknowledged
   * commit: one repository ("any"), "all", or those in `repositories` ("named"). These get WAL immediately, the others
   * at the interval. On a host the agent adds itself to PostgreSQL's `synchronous_standby_names`, next to standbys; its
   * role must be a superuser or have `ALTER SYSTEM` on that setting. If omitted, commits wait for no repository.
   * @example "any"
   */
  synchronous?: pulumi.Input<Acknowledge>;
  /** With "named": keys such as `repo1`. */
  repositories?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Seconds without an answer after which commits stop waiting. An alert fires, and commits wait again ten seconds
   * after the repositories answer. Until then losing the host loses commits. If omitted, they wait as long as it takes.
   * Hosts only (PB150).
   * @example 30 @minimum 1 @maximum 86400
   */
  degradeAfterSeconds?: pulumi.Input<number>;
  /**
   * Minimum time between two uploads to a repository. It limits requests and their cost; under load a commit waits that
   * much longer. If omitted, half the time of an upload.
   * @example 20 @minimum 1 @maximum 10000
   */
  groupMilliseconds?: pulumi.Input<number>;
}
