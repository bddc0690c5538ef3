/** Whom to tell, as the file that the verb `notify` reads. All of it is secret: who has a webhook's address can use it. */
import * as pulumi from "@pulumi/pulumi";

/** @param targets fields of runtime/notify/targets.ts, now or later */
export function notifyText(targets: readonly object[]): pulumi.Output<string> {
  return pulumi.secret(pulumi.output(targets).apply((known) => `${JSON.stringify({ version: 1, targets: known }, null, 2)}\n`));
}
