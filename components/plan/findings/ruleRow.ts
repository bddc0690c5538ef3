/** One row of the table of rules. */
export type Severity = "error" | "warning" | "note";

export interface Rule {
  readonly severity: Severity;
  /** The situation, in a few words. */
  readonly what: string;
  readonly why: string;
  readonly remedy: string;
  /** Also checked on objects that this package did not make: the policy pack then has a policy of that name. */
  readonly isPolicy: boolean;
}

export function rule(severity: Severity, what: string, why: string, remedy: string): Rule {
  return { severity, what, why, remedy, isPolicy: false };
}

export function policy(severity: Severity, what: string, why: string, remedy: string): Rule {
  return { ...rule(severity, what, why, remedy), isPolicy: true };
}
