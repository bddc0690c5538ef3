/** Names that the Jobs' objects and their programs share. Data only. */

/** Kinds of objects that a migration stops and starts again. */
export const WORKLOAD_KINDS = ["Deployment", "StatefulSet", "CronJob"] as const;

/** Directories of a Job. */
export const JOB_PATHS = {
  /** What to stop, start and change. */
  migration: "/pgbackstop/migration",
  /** New values of Secrets. */
  values: "/pgbackstop/values",
  /** Arguments of each step. */
  args: "/pgbackstop/words",
  /** Passwords and certificates of servers. */
  servers: "/pgbackstop/servers",
  /** This package's programs, packed. */
  program: "/pgbackstop/program",
} as const;
