/**
 * A finding: stable code, severity, path, fact and remedy. All errors stop the preview together; warnings and notes go
 * to the log.
 */
import type { Severity } from "./ruleRow";
import { type RuleCode, RULES } from "./ruleTable";

export interface Finding {
  /** Stable: `PB` and three digits. */
  readonly code: string;
  readonly severity: Severity;
  /** Exact property path of the argument: `repositories.repo2.keepDays`. */
  readonly path: string;
  /** The fact and the rule: lowercase, no full stop, no secret. */
  readonly message: string;
  /** The remedy: what to write instead. */
  readonly hint: string;
}

export function finding(code: RuleCode, path: string, message: string, hint: string): Finding {
  return { code, severity: RULES[code].severity, path, message: shortened(message), hint };
}

/** A value of any size may be quoted. */
function shortened(message: string): string {
  return message.length <= MESSAGE_MAX ? message : `${message.slice(0, MESSAGE_MAX)}…`;
}

const MESSAGE_MAX = 800;

/** `PB006 repositories.repo1: the fact; the remedy`. */
export function findingText(shown: Finding): string {
  return `${shown.code} ${shown.path}: ${reasonText(shown)}`;
}

/** The fact and the remedy. */
export function reasonText({ hint, message }: Finding): string {
  return hint === "" ? message : `${message}; ${hint}`;
}

/** The same findings about a part of something larger. @param path of the part */
export function findingsBelow(path: string, findings: readonly Finding[]): Finding[] {
  return findings.map((own) => ({ ...own, path: `${path}.${own.path}` }));
}
