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

export const error = rows("error", false);
export const warning = rows("warning", false);
export const note = rows("note", false);
export const errorPolicy = rows("error", true);
export const warningPolicy = rows("warning", true);

function rows(severity: Severity, isPolicy: boolean): (what: string, why: string, remedy: string) => Rule {
  return (what, why, remedy) => ({ severity, what, why, remedy, isPolicy });
}
