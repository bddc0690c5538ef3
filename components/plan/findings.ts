/**
 * What a plan check has to say: a stable code, how bad it is, where, the fact, and the way out. Errors stop the preview, all at once;
 * warnings and notes go to the log.
 */
export type Severity = "error" | "warning" | "note";

export interface Finding {
  /** Stable: `PB` and three digits. */
  readonly code: string;
  readonly severity: Severity;
  /** Exact property path of the argument: `repositories.repo2.keepDays`. */
  readonly path: string;
  /** The fact and the rule; lowercase, no full stop, no secret. */
  readonly message: string;
  /** What to write instead. */
  readonly hint: string;
}

/** Every code with the severity that it always has; documentation and tests read the same table. */
export const FINDINGS = {
  PB001: "error",
  PB002: "error",
  PB003: "warning",
  PB004: "error",
  PB005: "error",
  PB006: "warning",
  PB007: "warning",
  PB008: "error",
  PB009: "warning",
  PB010: "error",
  PB011: "error",
  PB012: "warning",
  PB013: "error",
  PB014: "error",
  PB015: "error",
  PB016: "error",
  PB017: "error",
  PB018: "error",
  PB019: "error",
  PB020: "error",
  PB021: "warning",
  PB022: "error",
  PB023: "error",
  PB024: "error",
  PB025: "note",
} as const satisfies Record<string, Severity>;
export type FindingCode = keyof typeof FINDINGS;

/** A finding with the severity of its code. */
export function finding(code: FindingCode, path: string, message: string, hint: string): Finding {
  return { code, severity: FINDINGS[code], path, message, hint };
}

/** `PB006 repositories.repo1: the fact; the way out`. */
export function findingText(found: Finding): string {
  return `${found.code} ${found.path}: ${reasonText(found)}`;
}

/** The fact and the way out, without code and path. */
export function reasonText(found: Finding): string {
  return found.hint === "" ? found.message : `${found.message}; ${found.hint}`;
}
