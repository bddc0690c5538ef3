/** Finds the parts that a group of tests with hosts needs, or prints one loud line that says what is missing. */
import { test } from "vitest";
import { findHostParts, type HostParts, type HostSystem } from "../../../tools/parts/debian/debianHost";
import { findPulumiCli } from "../../../tools/parts/pulumi/pulumiCli";
import { loud } from "../real/interopParts";

/** The parts for `startDebianHost`. If this machine cannot have them: null, and a loud line that names `title`. */
export async function hostParts(title: string, systems: readonly HostSystem[]): Promise<HostParts | null> {
  const result = await findHostParts(systems);
  return "missing" in result ? loud(title, result.missing) : result;
}

/** The same, if there is a Pulumi CLI too. Without one of them: null, and a skipped test, so that the run counts it. */
export async function engineHostParts(title: string, systems: readonly HostSystem[]): Promise<HostParts | null> {
  const parts = await hostParts(title, systems);
  const cli = await findPulumiCli();
  if (parts !== null && cli !== null) return parts;
  test.skip(
    cli === null ? "there is no Pulumi CLI: npm test -- --all builds it" : "a part is missing",
    () => undefined,
  );
  return null;
}
