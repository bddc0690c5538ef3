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
  PB026: "error",
  PB027: "warning",
  PB028: "error",
  PB029: "warning",
  PB030: "warning",
  PB031: "warning",
  PB032: "error",
  PB033: "warning",
  PB034: "warning",
  PB035: "warning",
  PB036: "warning",
  PB037: "error",
  PB038: "note",
  PB039: "warning",
  PB040: "error",
  PB041: "warning",
  PB042: "note",
  PB043: "error",
  PB044: "error",
  PB045: "error",
  PB046: "error",
  PB047: "error",
  PB048: "error",
  PB049: "warning",
  PB050: "error",
  PB051: "error",
  PB052: "error",
  PB053: "error",
  PB054: "error",
  PB055: "error",
  PB056: "warning",
  PB057: "error",
  PB058: "error",
  PB059: "error",
  PB060: "error",
  PB061: "warning",
  PB062: "warning",
  PB063: "error",
  PB064: "error",
  PB065: "error",
  PB066: "error",
  PB067: "error",
  PB068: "error",
  PB069: "error",
  PB070: "error",
  PB071: "warning",
  PB072: "warning",
  PB073: "error",
  PB074: "warning",
  PB075: "error",
  PB076: "error",
  PB077: "warning",
  PB078: "warning",
  PB079: "warning",
  PB080: "error",
  PB081: "warning",
  PB082: "error",
  PB085: "warning",
  PB086: "error",
  PB087: "error",
  PB088: "warning",
  PB089: "warning",
  PB090: "warning",
  PB091: "error",
  PB092: "warning",
  PB093: "warning",
  PB094: "error",
  PB095: "warning",
  PB096: "error",
  PB097: "note",
  PB098: "warning",
  PB099: "error",
  PB100: "error",
  PB101: "warning",
  PB102: "error",
  PB103: "error",
  PB104: "error",
  PB110: "error",
  PB111: "error",
  PB112: "error",
  PB113: "error",
  PB114: "error",
  PB115: "error",
  PB116: "error",
  PB117: "warning",
  PB120: "warning",
  PB121: "note",
  PB130: "error",
  PB131: "warning",
  PB140: "warning",
  PB141: "warning",
  PB150: "error",
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
