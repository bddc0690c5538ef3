/**
 * Notification targets, as the file that the verb `notify` reads. All of it is secret: a webhook's address is enough to
 * use it.
 */
import * as pulumi from "@pulumi/pulumi";

/** @param targets fields of runtime/notify/targets.ts, known or late */
export function notifyText(targets: readonly object[]): pulumi.Output<string> {
  return pulumi.secret(
    pulumi.output(targets).apply((known) => `${JSON.stringify({ version: 1, targets: known }, null, 2)}\n`),
  );
}
