/**
 * Topologies and their comparison as JSON documents with a version: fields are added, never changed. Pure. The schemas
 * that the package publishes are made from these types.
 */
import { countChanges, type TopologyDiff, type TopologySet, type UnknownPart } from "../../plan/diff";
import type { LoggedFinding } from "../../plan/findings/loggedFindings";
import type { Topology } from "../../plan/topology/topology";
import { isSecret, isUnknown } from "../../plan/model/unknown";
import type { Failure } from "./failedComparison";

/** What `topology show` prints and `topology diff` reads. */
export interface TopologyDocument {
  readonly version: 1;
  /** Topologies by the name of the component; null if nothing of it is known yet. */
  readonly topologies: Readonly<Record<string, Topology | null>>;
}

/** What `topology diff` prints. */
export interface DiffDocument extends TopologyDiff {
  readonly version: 1;
  /** Amounts of changes. */
  readonly summary: {
    /** Not acknowledged. */
    readonly weakened: number;
    readonly acknowledged: number;
    readonly strengthened: number;
    readonly neutral: number;
    readonly uncertain: number;
  };
  /** Findings of the preview. */
  readonly findings: readonly LoggedFinding[];
  /** Parts of the new topologies that are known only after the update. */
  readonly unknown: readonly UnknownPart[];
}

/** What `topology diff` prints if there is nothing to compare. */
export interface FailedDiffDocument {
  readonly version: 1;
  readonly failure: Failure;
}

/** The result of `topology diff`; ends with a newline. */
export function renderDiffDocument(
  diff: TopologyDiff,
  findings: readonly LoggedFinding[],
  unknown: readonly UnknownPart[],
): string {
  return jsonText({ version: 1, summary: countChanges(diff), ...diff, findings, unknown } satisfies DiffDocument);
}

/** Ends with a newline. */
export function renderFailedDocument(failure: Failure): string {
  return jsonText({ version: 1, failure } satisfies FailedDiffDocument);
}

/**
 * The output of `topology show` and input of `topology diff`: each topology by its component's name. Ends with a
 * newline.
 */
export function renderTopologyDocument(set: TopologySet): string {
  const topologies = Object.fromEntries([...set].sort(([left], [right]) => (left < right ? -1 : 1)));
  const document: TopologyDocument = { version: 1, topologies };
  const shown = (_key: string, value: unknown): unknown =>
    isSecret(value) ? "[secret]" : isUnknown(value) ? "[unknown]" : value;
  return `${JSON.stringify(document, shown, 2)}\n`;
}

function jsonText(document: DiffDocument | FailedDiffDocument): string {
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
