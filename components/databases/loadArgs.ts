/** How much of network, processor and disk backups take. */
import type * as pulumi from "@pulumi/pulumi";

/**
 * A rate such as `"20MiB"`, or rates by ranges of hours, and `zone`. A union in every language's package: the SDK's
 * schema has none, so it is any value there, and compared with its declaration when the program runs.
 */
export type LimitRate = pulumi.Inputs[string];

/** When a disk serves a process beside others. */
export const IoClass = {
  /** Only while nobody else needs the disk. */
  Idle: "idle",
  /** As others, by level. */
  BestEffort: "best-effort",
} as const;
export type IoClass = (typeof IoClass)[keyof typeof IoClass];

/** How backups give way to PostgreSQL on a host. */
export interface BackupPriorityArgs {
  /** Niceness: the process with the higher one waits for the processor. @default 10 @minimum 0 @maximum 19 */
  cpuNice?: pulumi.Input<number>;
  /** Only with the disk schedulers bfq and mq-deadline. @default "idle" */
  ioClass?: pulumi.Input<IoClass>;
  /** With class `best-effort`: 0 is served first, 7 last. @default 4 @minimum 0 @maximum 7 */
  ioLevel?: pulumi.Input<number>;
}
