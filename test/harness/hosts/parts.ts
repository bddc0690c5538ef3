/** Finds the parts that a group of tests with hosts needs, or skips the group and says what is missing. */
import { findHostParts, type HostParts, type HostSystem } from "../../../tools/parts/debian/debianHost";
import { findPulumiCli } from "../../../tools/parts/pulumi/pulumiCli";
import { skipped } from "../real/interopParts";

/** The parts for `startDebianHost`. If this machine cannot have them: null, and a skipped test that names `title`. */
export async function hostParts(title: string, systems: readonly HostSystem[]): Promise<HostParts | null> {
  const result = await findHostParts(systems);
  return "missing" in result ? skipped(title, result.missing) : result;
}

/** The same, if there is a Pulumi CLI too. */
export async function engineHostParts(title: string, systems: readonly HostSystem[]): Promise<HostParts | null> {
  const parts = await hostParts(title, systems);
  if ((await findPulumiCli()) !== null) return parts;
  return skipped(title, "there is no Pulumi CLI: npm test -- --all builds it");
}
