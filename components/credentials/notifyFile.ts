/**
 * Notification targets, as the file that the verb `notify` reads. All of it is secret: a webhook's address is enough to
 * use it.
 */
import * as pulumi from "@pulumi/pulumi";
import { VERSION } from "../../runtime/version";
import type { NotifyTargetArgs } from "../databases/hostArgs";

/** The file of notification targets. */
export interface NotifyFile {
  /** Version of the format. */
  version?: 1;
  /** Version of the package that the file is written for. */
  package?: string;
  /** Targets; each gets its own events. @maxItems 32 */
  targets: NotifyTargetArgs[];
}

export function notifyText(targets: NotifyFile["targets"]): pulumi.Output<string> {
  return pulumi.secret(
    pulumi
      .output(targets)
      .apply((known) => `${JSON.stringify({ version: 1, package: VERSION, targets: known }, null, 2)}\n`),
  );
}
