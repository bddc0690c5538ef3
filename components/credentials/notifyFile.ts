/**
 * Notification targets, as the file that the verb `notify` reads. All of it is secret: a webhook's address is enough to
 * use it.
 */
import * as pulumi from "@pulumi/pulumi";
import { pathText } from "../../runtime/base/declaredTypes";
import { findTargetsFault } from "../../runtime/notify/targets";
import { VERSION } from "../../runtime/version";
import type { NotifyTargetArgs } from "../databases/notifyArgs";
import { throwErrors } from "../internal/validate";
import { finding } from "../plan/findings/findings";

/** The file of notification targets. */
export interface NotifyFile {
  /** Version of the format. */
  version?: 1;
  /** Version of the package that the file is written for. */
  package?: string;
  /** Targets; each gets its own events. @maxItems 32 */
  targets: NotifyTargetArgs[];
}

export function notifyText(component: string, targets: NotifyFile["targets"]): pulumi.Output<string> {
  return pulumi.secret(pulumi.output(targets).apply((known) => fileText(component, known)));
}

/**
 * Targets that the runtime would refuse are an error of `component`: the host would be silent when a backup fails. The
 * error shows no value.
 */
export function fileText(component: string, targets: readonly object[]): string {
  const text = JSON.stringify({ version: 1, package: VERSION, targets }, null, 2);
  const refusal = findTargetsFault((JSON.parse(text) as NotifyFile).targets);
  if (refusal !== null)
    throwErrors(component, [finding("PB191", `notify.${pathText(refusal.field)}`, `it ${refusal.fault}`, "")]);
  return `${text}\n`;
}
