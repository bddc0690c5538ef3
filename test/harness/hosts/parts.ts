/** The parts that a group of tests with hosts needs, or one loud line that says what is missing. */
import { findHostParts, type HostParts, type HostSystem } from "../../../tools/parts/debian/debianHost";
import { loud } from "../real/interopParts";

/** For `startDebianHost`; null, with a loud line that names `title`, when this machine cannot have them. */
export async function hostParts(title: string, systems: readonly HostSystem[]): Promise<HostParts | null> {
  const result = await findHostParts(systems);
  return "missing" in result ? loud(title, result.missing) : result;
}
