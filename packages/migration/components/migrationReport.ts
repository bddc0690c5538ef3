/** Reads the answer of `pgbackstop-migration --output=json`. Pure; ignores unknown fields. */
import { isFields } from "pgbackstop/kit";

interface ReportDocument {
  readonly mayRetireSource?: boolean;
}

/** Reads the answer of `finish`; false for any other answer. */
export function mayRetireSource(text: string): boolean {
  return parseReport(text)?.mayRetireSource === true;
}

function parseReport(text: string): ReportDocument | null {
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : null;
  } catch {
    return null;
  }
}
