/**
 * Turns the answer of `pgbackstop migrate --output=json` into text for an error or a log. Pure; ignores unknown fields.
 */

interface ReportDocument {
  readonly refusals?: readonly { readonly fact: string; readonly rule: string; readonly wayOut: string }[];
  readonly differences?: readonly {
    readonly database?: string | null;
    readonly kind?: string;
    readonly name?: string;
    readonly text?: string;
  }[];
  readonly differenceCount?: number;
  readonly missing?: readonly string[];
  readonly mayRetireSource?: boolean;
}

/** An update shows this many; the report has all. */
const LINES_MAX = 20;

/** Why the step failed; empty if the answer does not say. */
export function reportProblems(answer: string): string[] {
  const report = parseReport(answer);
  if (report === null) return [];
  const differences = report.differences ?? [];
  const lines = [
    ...(report.refusals ?? []).map(({ fact, rule, wayOut }) => `${fact} (${rule}): ${wayOut}`),
    ...differences.map(
      ({ database, kind, name, text }) => `${database ?? "cluster"}: ${kind ?? ""} ${name ?? ""}: ${text ?? ""}`,
    ),
    ...(report.missing ?? []),
  ];
  const count = Math.max(lines.length, report.differenceCount ?? 0);
  return count > LINES_MAX
    ? [...lines.slice(0, LINES_MAX), `and ${count - LINES_MAX} more: they are in the report`]
    : lines;
}

/** Of `finish`; false for any other answer. */
export function mayRetireSource(text: string): boolean {
  return parseReport(text)?.mayRetireSource === true;
}

function parseReport(text: string): ReportDocument | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
