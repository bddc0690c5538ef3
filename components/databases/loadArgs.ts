/** How much of network, processor and disk backups take. */
import type * as pulumi from "@pulumi/pulumi";

/**
 * A rate such as `"20MiB"`, or rates by ranges of hours, and `zone`. A union in every language's package: the SDK's
 * schema has none, so it is any value there, and compared with its declaration when the program runs.
 */
export type LimitRate = pulumi.Inputs[string];
