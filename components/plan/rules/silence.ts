/** Findings that the user accepts: by code, with a reason. Errors cannot be silenced. Pure. */
import { type Finding, finding } from "../findings/findings";
import { findRule } from "../findings/ruleTable";
import type { DatabasePlan } from "../model/plan";

/** Found in comparison with the rest of the program, so a silence for them may match nothing here. */
const DEFERRED_CODES: readonly string[] = ["PB140", "PB199"];
/** A silenced finding that does not appear. */
export const SILENCE_UNUSED = "PB025";

export function withoutSilenced({ silence }: Pick<DatabasePlan, "silence">, findings: readonly Finding[]): Finding[] {
  return findings.filter(({ code, severity }) => severity === "error" || !isReason(silence[code]));
}

/** Unknown codes, errors, findings that do not apply (any more), and missing reasons. */
export function checkSilence({ silence }: DatabasePlan, findings: readonly Finding[]): Finding[] {
  return Object.entries(silence).flatMap(([code, reason]) => {
    const path = `silence.${code}`;
    const rule = findRule(code);
    if (rule === null) {
      const hint = "use the code that the log names, such as PB009";
      return [finding("PB024", path, `"${code}" is not the code of a finding`, hint)];
    }
    if (rule.severity === "error")
      return [finding("PB024", path, `${code} is an error: it cannot be silenced`, "fix what it names")];
    if (!isReason(reason))
      return [finding("PB024", path, `${code} is silenced without a reason`, "write why it is acceptable here")];
    if (DEFERRED_CODES.includes(code) || findings.some((other) => other.code === code)) return [];
    const hint = "remove it, so that the finding shows when the problem returns";
    return [finding(SILENCE_UNUSED, path, `${code} is silenced but does not apply`, hint)];
  });
}

function isReason(text: string | undefined): boolean {
  return text !== undefined && text.trim() !== "";
}
