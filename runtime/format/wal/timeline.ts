/** Timeline history files (`00000002.history`): one line for each ancestor with the position of the switch. */
import { fail } from "../../base/errors";
import { parseLsn } from "./walSegment";

export interface TimelineAncestor {
  readonly timeline: number;
  /** Where the next timeline branched off. */
  readonly lsn: bigint;
  readonly reason: string;
}

/** Ancestors in file order, oldest first. @throws format */
export function parseHistory(text: string): TimelineAncestor[] {
  const ancestors: TimelineAncestor[] = [];
  for (const [lineIndex, line] of text.split("\n").entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const match = /^\s*(\d{1,10})\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)(?:\s+(.*))?$/.exec(line);
    if (match === null)
      throw fail("format", `timeline history line ${lineIndex + 1}: expected timeline, position and reason`);
    const timeline = Number(match[1]);
    const previous = ancestors.at(-1);
    if (previous !== undefined && timeline <= previous.timeline) {
      throw fail("format", `timeline history line ${lineIndex + 1}: timeline ${timeline} after ${previous.timeline}`);
    }
    ancestors.push({ timeline, lsn: parseLsn(match[2] as string), reason: (match[3] ?? "").trimEnd() });
  }
  return ancestors;
}
