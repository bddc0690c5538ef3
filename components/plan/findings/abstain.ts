/**
 * How rules abstain. A rule that reads a deferred value says nothing, and the check runs again when the value
 * arrives. Only what depends on that value is missing: rules go through {@link abstaining}, and their loops through
 * {@link eachOf}. No rule asks whether a value is deferred. Pure.
 */
import type { Finding } from "./findings";
import { attempt, DeferredRead } from "../model/deferred";

/** Stands for what a rule could not judge yet, until {@link judged} takes it out. */
const ABSTAINED: Finding = { code: "", severity: "note", path: "", message: "", hint: "" };

type Rule = () => readonly Finding[];

/** What all rules say. One that reads a deferred value says nothing. */
export function abstaining(...rules: readonly Rule[]): Finding[] {
  return rules.flatMap((rule) => {
    const said = attempt(rule);
    return said instanceof DeferredRead ? [ABSTAINED] : said;
  });
}

/** The same of a rule about each item: a deferred value of one hides nothing about another. */
export function eachOf<T>(list: readonly T[], rule: (item: T, index: number) => readonly Finding[]): Finding[] {
  return abstaining(...[...list.keys()].map((index) => () => rule(list[index] as T, index)));
}

/** The findings, and whether every rule could judge. */
export function judged(findings: readonly Finding[]): { readonly findings: Finding[]; readonly isWhole: boolean } {
  const made = findings.filter((finding) => finding !== ABSTAINED);
  return { findings: made, isWhole: made.length === findings.length };
}
