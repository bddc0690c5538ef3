/**
 * What a plan check has to say: a stable code, how bad it is, where, the fact, and the way out. Errors stop the preview, all at once;
 * warnings and notes go to the log.
 */
import { type RuleCode, RULES, type Severity } from "./ruleTable";

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

/** A finding with the severity of its code. */
export function finding(code: RuleCode, path: string, message: string, hint: string): Finding {
  return { code, severity: RULES[code].severity, path, message, hint };
}

/** `PB006 repositories.repo1: the fact; the way out`. */
export function findingText(found: Finding): string {
  return `${found.code} ${found.path}: ${reasonText(found)}`;
}

/** The fact and the way out, without code and path. */
export function reasonText(found: Finding): string {
  return found.hint === "" ? found.message : `${found.message}; ${found.hint}`;
}
