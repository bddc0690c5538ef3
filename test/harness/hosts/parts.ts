/** Finds the parts that a group of tests with hosts needs, or prints one loud line that says what is missing. */
import { findHostParts, type HostParts, type HostSystem } from "../../../tools/parts/debian/debianHost";
import { loud } from "../real/interopParts";

/** The parts for `startDebianHost`. If this machine cannot have them: null, and a loud line that names `title`. */
export async function hostParts(title: string, systems: readonly HostSystem[]): Promise<HostParts | null> {
  const result = await findHostParts(systems);
  return "missing" in result ? loud(title, result.missing) : result;
}
