/** Topologies and their comparison as JSON documents with a version: fields are added, never changed. Pure. */
import { type TopologyDiff, type TopologySet, weakenedOf } from "../../plan/diff";
import type { LoggedFinding } from "../../plan/topology/stackFiles";
import { isSecret, isUnknown } from "../../plan/model/unknown";

/** The result of `topology diff`; ends with a newline. */
export function renderDiffDocument(diff: TopologyDiff, findings: readonly LoggedFinding[]): string {
  const certain = diff.changes.filter((change) => !change.uncertain);
  const summary = {
    weakened: weakenedOf(diff).length,
    acknowledged: certain.filter((change) => change.acknowledged !== undefined).length,
    strengthened: certain.filter((change) => change.effect === "strengthened").length,
    neutral: certain.filter((change) => change.effect === "neutral").length,
    uncertain: diff.changes.length - certain.length,
  };
  return `${JSON.stringify({ version: 1, summary, ...diff, findings }, undefined, 2)}\n`;
}

/**
 * The output of `topology show` and input of `topology diff`: each topology by its component's name. Ends with a
 * newline.
 */
export function renderTopologyDocument(set: TopologySet): string {
  const topologies = Object.fromEntries([...set].sort(([left], [right]) => (left < right ? -1 : 1)));
  const shown = (_key: string, value: unknown): unknown =>
    isSecret(value) ? "[secret]" : isUnknown(value) ? "[unknown]" : value;
  return `${JSON.stringify({ version: 1, topologies }, shown, 2)}\n`;
}
