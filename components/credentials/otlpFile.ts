/** Where a host sends its metrics, as an environment file. All of it is secret: an address may grant access. */
import * as pulumi from "@pulumi/pulumi";
import { fail, toBackupError } from "../../runtime/base/errors";
import { otlpTarget, otlpVariables } from "../../runtime/metrics/otlpTarget";
import type { HostOtlpArgs } from "../databases/hostArgs";
import { throwErrors } from "../internal/validate";
import { finding } from "../plan/findings/findings";

const CONTROL = /[\0-\x1f\x7f]/;

/** Null if the host has a file already. */
export function otlpText(component: string, args: HostOtlpArgs): pulumi.Output<string> | null {
  const { existingFile, ...declared } = args;
  if (existingFile === undefined)
    return pulumi.secret(pulumi.output(declared).apply((known) => environmentText(component, known)));
  if (Object.values(declared).some((value) => value !== undefined))
    throwErrors(component, [
      finding("PB191", "monitoring.otlp.existingFile", "it excludes the other fields", "leave them out"),
    ]);
  return null;
}

/** What the runtime would refuse is an error of `component`, which shows no value. */
export function environmentText(
  component: string,
  { attributes, caFile, endpoint, headers }: pulumi.Unwrap<HostOtlpArgs>,
): string {
  const variables = otlpVariables({ endpoint, headers, certificate: caFile, attributes });
  try {
    otlpTarget(variables, {});
    if (Object.values(variables).some((text) => CONTROL.test(text)))
      throw fail("optionInvalidValue", "an address or a path has a control character");
  } catch (error) {
    const { message } = toBackupError(error);
    throwErrors(component, [finding("PB191", "monitoring.otlp", message, "set endpoint, or existingFile")]);
  }
  const lines = Object.entries(variables).map(([name, text]) => `${name}="${text.replaceAll(/["\\`$]/g, "\\$&")}"`);
  return `${lines.join("\n")}\n`;
}
