/** Runbooks are written as the pages that they become: Markdown in tagged templates, which page.ts reads. Pure. */

export type Markdown = readonly string[];

/** Other templates stand alone on their line; `false` writes nothing. */
type Value = string | number | false | typeof OMITTED | Markdown | readonly Markdown[];

const OMITTED = Symbol("omitted");
/** Noncharacters of Unicode in lines: a step to omit, and a line break within a value. */
const OMIT = "\uFDD0";
const BREAK = "\uFDD1";

/** Before a step or an answer: `${only(isOurs)}1. See the agent's log.` */
export function only(condition: boolean): Value {
  return condition ? "" : OMITTED;
}

/** Lines, without their common indentation. Backslashes need no escape. */
export function markdown({ raw }: TemplateStringsArray, ...values: readonly Value[]): Markdown {
  let text = raw[0] ?? "";
  for (const [index, value] of values.entries()) {
    const indent = text.slice(text.lastIndexOf("\n") + 1);
    text += `${typeof value === "object" ? value.flat().join(`\n${indent}`) : textOf(value)}${raw[index + 1] ?? ""}`;
  }
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const indent = Math.min(...lines.map((line) => line.search(/\S/)));
  return lines.map((line) => line.slice(indent));
}

/** A value stays within its line: whatever a topology holds, it makes no heading, step or command. */
function textOf(value: Exclude<Value, object>): string {
  if (value === OMITTED) return OMIT;
  return value === false ? "" : String(value).replaceAll(OMIT, "").replaceAll("\n", BREAK);
}

/** A page's lines without steps that do not apply. */
export function appliedLines(page: Markdown): string[] {
  let isOmitted = false;
  return page.filter((line) => {
    if (!line.startsWith(" ")) isOmitted = line.startsWith(OMIT);
    return !isOmitted && !line.includes(OMIT);
  });
}

/** A line's text, with the breaks of its values. */
export function withBreaks(text: string): string {
  return text.replaceAll(BREAK, "\n");
}

/** Marks every step of a part. */
export function marked(mark: "not always" | "repeat", part: Markdown): Markdown {
  return part.map((line) => line.replace(/^1\. \*/, `1. *${mark}, `).replace(/^1\. (?!\*)/, `1. *${mark}:* `));
}
