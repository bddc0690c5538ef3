/**
 * Reads the page of a database: sections (`##`) with lists, and scenarios with steps.
 *
 *     ### Restore the newest state {#latest}
 *
 *     The data directory is gone.
 *
 *     1. *not always:* A step, or a question,
 *        over one or more lines.
 *            sudo pgbackstop status
 *        ~~~ts
 *        new CnpgRestore(…)
 *        ~~~
 *        - an answer to a question → #latest
 *
 * Pure.
 */
import { appliedLines, type Markdown, withBreaks } from "./markdown";
import type { DatabaseRunbook, RunbookQuestion, RunbookStep } from "./runbookDocument";

export type Page = Pick<DatabaseRunbook, "what" | "where" | "decisions" | "scenarios" | "keys">;

interface Part {
  readonly kind: "section" | "scenario" | "item" | "answer" | "bullet" | "paragraph";
  text: string;
  /** Id of a scenario, of an answer's scenario, or marks of a step. */
  readonly note: string;
  readonly commands: string[];
  language?: "ts";
}

export function readPage(page: Markdown): Page {
  const parts = partsOf(page);
  const sections = groupsOf(parts, ["section", "scenario"]);
  const under = (title: string): readonly Part[] =>
    sections.find(([head]) => head?.kind === "section" && head.text === title)?.slice(1) ?? [];
  return {
    what: parts[0]?.text ?? "",
    where: under("Where commands are run").map(({ text }) => text),
    decisions: groupsOf(under("Which scenario?"), ["item"]).map(questionOf),
    scenarios: sections.flatMap(([head, when, ...steps]) =>
      head?.kind === "scenario"
        ? [{ id: head.note, title: head.text, when: when?.text ?? "", steps: steps.map(stepOf) }]
        : [],
    ),
    keys: under("Keys and passphrases").map(({ text }) => text),
  };
}

function groupsOf(parts: readonly Part[], heads: readonly Part["kind"][]): Part[][] {
  const groups: Part[][] = [];
  for (const part of parts) {
    if (heads.includes(part.kind)) groups.push([part]);
    else groups.at(-1)?.push(part);
  }
  return groups;
}

function questionOf([question, ...answers]: readonly Part[]): RunbookQuestion {
  return {
    question: question?.text ?? "",
    answers: answers.map(({ note, text }) => ({ answer: text, scenario: note })),
  };
}

function stepOf({ commands, language, note, text }: Part): RunbookStep {
  return {
    text,
    commands,
    ...(language === undefined ? {} : { language }),
    ...(note.includes("not always") ? { isOptional: true } : {}),
    ...(note.includes("repeat") ? { isRepeated: true } : {}),
  };
}

const HEADS: readonly (readonly [Part["kind"], RegExp])[] = [
  ["section", /^## (?<text>.*)$/s],
  ["scenario", /^### (?<text>.*) \{#(?<note>.*)\}$/s],
  ["item", /^1\. (?:\*(?<note>[a-z, ]+):\* )?(?<text>.*)$/s],
  ["answer", /^ {3}- (?<text>.*) → #(?<note>.*)$/s],
  ["bullet", /^- (?<text>.*)$/s],
];

function partsOf(page: Markdown): Part[] {
  const parts: Part[] = [];
  let isInFence = false;
  for (const line of appliedLines(page)) {
    const last = parts.at(-1);
    const isFence = line.startsWith("   ~~~");
    if (isFence) isInFence = !isInFence;
    if (isFence && last !== undefined) last.language = "ts";
    else if (isInFence || line.startsWith("       ")) last?.commands.push(withBreaks(line.slice(isInFence ? 3 : 7)));
    else addText(parts, line);
  }
  return parts;
}

/** A head, or a line that continues the text before it. */
function addText(parts: Part[], line: string): void {
  const [head] = HEADS.flatMap(([kind, pattern]) => {
    const { note = "", text } = pattern.exec(line)?.groups ?? {};
    return text === undefined ? [] : [{ kind, note, text }];
  });
  const last = parts.at(-1);
  const isNew = last === undefined || last.kind === "section" || last.kind === "scenario";
  const { kind, note, text } = head ?? { kind: "paragraph", note: "", text: line.trim() };
  if (head !== undefined || isNew) parts.push({ kind, note, text: withBreaks(text), commands: [] });
  else last.text += ` ${withBreaks(text)}`;
}
