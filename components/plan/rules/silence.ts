/** Findings that the user has decided to live with: by code, with a reason. Errors cannot be silenced. Pure. */
import { type Finding, finding } from "../findings/findings";
import { findRule } from "../findings/ruleTable";
import type { DatabasePlan } from "../model/plan";

/** Found when the whole program has been read: nobody knows before whether there is something to silence. */
const FOUND_LATER: readonly string[] = ["PB140"];

/** What is left to say. */
export function withoutSilenced({ silence }: Pick<DatabasePlan, "silence">, findings: readonly Finding[]): Finding[] {
  return findings.filter((found) => found.severity === "error" || !isReason(silence[found.code]));
}

/** Silencing what does not exist, what is an error, what is not found (any more), or without saying why. */
export function checkSilence({ silence }: DatabasePlan, findings: readonly Finding[]): Finding[] {
  return Object.entries(silence).flatMap(([code, reason]) => {
    const path = `silence.${code}`;
    const rule = findRule(code);
    if (rule === null) {
      const hint = "use the code that the log names, such as PB009";
      return [finding("PB024", path, `"${code}" is no code of a finding`, hint)];
    }
    if (rule.severity === "error") return [finding("PB024", path, `${code} is an error: it cannot be silenced`, "mend what it names")];
    if (!isReason(reason)) return [finding("PB024", path, `${code} is silenced without a reason`, "write why it is acceptable here")];
    if (FOUND_LATER.includes(code) || findings.some((found) => found.code === code)) return [];
    const hint = "remove it, so that it speaks up when it is true again";
    return [finding("PB025", path, `${code} is silenced but not found`, hint)];
  });
}

function isReason(text: string | undefined): boolean {
  return text !== undefined && text.trim() !== "";
}
