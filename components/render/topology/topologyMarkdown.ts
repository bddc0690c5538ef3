/**
 * A comparison of topologies as Markdown for a pull request. Pure. The change's author controls the values, so each one
 * is escaped to plain text: none can draw a table, a link or a mention.
 */
import { oneLine } from "../../../runtime/base/html";
import type { Change } from "../../plan/diff/change";
import { countChanges, type DatabaseSummary, type TopologyDiff, type UnknownPart, weakenedOf } from "../../plan/diff";
import type { LoggedFinding } from "../../plan/findings/loggedFindings";

/** Forges refuse longer comments (GitHub 65,536 characters). */
export const MARKDOWN_CHARACTERS_MAX = 60_000;
const CELL_CHARACTERS_MAX = 400;

export interface About {
  /** `shop/prod`: each stack has its own comment. */
  readonly stack?: string;
  /** The commit of the change, in hexadecimal. */
  readonly commit?: string;
  /** What the change was compared with, in words. */
  readonly base?: string;
}

/** The first line of a comment, which identifies it for later updates: no name can end it, or be another's. */
export function commentMark(stack: string | undefined): string {
  const name = stack === undefined ? "" : ` ${wellFormed(stack).split("/").map(encodeURIComponent).join("/")}`;
  return `<!-- pgbackstop topology diff${name} -->`;
}

/** @param title Markdown */
export function headOf({ stack }: About, title: string): string {
  return `${commentMark(stack)}\n### ${title}\n`;
}

/** Tells a current comment from an old one; empty if nothing is known. */
export function footer({ base, commit }: About): string {
  const parts = [
    ...(base === undefined ? [] : [`compared with ${cell(base)}`]),
    ...(commit === undefined ? [] : [`commit ${/^[0-9a-f]{7,64}$/.test(commit) ? commit.slice(0, 12) : cell(commit)}`]),
  ];
  return parts.length === 0 ? "" : `<sub>${parts.join(", ")}</sub>\n`;
}

/** A symbol plus a word, so it reads without color or images. */
export function markOf({ acknowledged, effect, uncertain }: Change): string {
  if (uncertain) return "? unknown";
  if (effect === "strengthened") return "▲ strengthened";
  if (effect === "weakened") return acknowledged === undefined ? "▼ weakened" : "▽ weakened, acknowledged";
  return "• neutral";
}

/** `2 weakened, 1 strengthened`. */
export function headline(diff: TopologyDiff): string {
  if (diff.changes.length === 0) return "nothing changes";
  const { acknowledged, neutral, strengthened, uncertain, weakened } = countChanges(diff);
  const amounts: [amount: number, noun: string][] = [
    [weakened, "weakened"],
    [acknowledged, "weakened and acknowledged"],
    [strengthened, "strengthened"],
    [neutral, "neutral"],
    [uncertain, "not known yet"],
  ];
  return amounts.flatMap(([amount, noun]) => (amount === 0 ? [] : [`${amount} ${noun}`])).join(", ");
}

/** Ends with a newline. */
export function renderMarkdown(
  diff: TopologyDiff,
  findings: readonly LoggedFinding[],
  unknown: readonly UnknownPart[] = [],
  about: About = {},
): string {
  const sign = weakenedOf(diff).length > 0 ? "▼ " : "";
  const stack = about.stack === undefined ? "" : ` of ${cell(about.stack)}`;
  const head = headOf(about, `${sign}Backup topology${stack}: ${headline(diff)}`);
  const blocks = [
    head,
    summaryTable(diff),
    changesTable(diff.changes),
    acknowledgeHelp(diff),
    unusedText(diff),
    unknownText(unknown),
    findingsText(findings),
    footer(about),
  ];
  const text = `${blocks.filter((block) => block !== "").join("\n")}`;
  if (text.length <= MARKDOWN_CHARACTERS_MAX) return text;
  return [head, changesTable(diff.changes), footer(about)].filter((block) => block !== "").join("\n");
}

/** Changes that need a decision come first. */
export function inOrder(changes: readonly Change[]): Change[] {
  const rank = (change: Change): number =>
    change.effect === "weakened"
      ? change.acknowledged === undefined
        ? 0
        : 1
      : change.uncertain
        ? 2
        : change.effect === "strengthened"
          ? 3
          : 4;
  return [...changes].sort((left, right) => rank(left) - rank(right));
}

/** `$12.30`, or a dash. */
export function costText(cost: number | null): string {
  return cost === null ? "–" : `$${cost.toFixed(2)}`;
}

function summaryTable({ changes, databases }: TopologyDiff): string {
  if (databases.length === 0) return "It has no database of this package.\n";
  const changed = new Set(changes.map((change) => change.database));
  const shown = databases.filter(({ name }) => changed.has(name));
  const rest = databases.length - shown.length;
  const lines = shown.map(
    (database) => `| ${[cell(database.name), copiesCell(database), costCell(database)].join(" | ")} |`,
  );
  const same =
    rest === 0
      ? ""
      : `\n${rest} ${shown.length === 0 ? "" : "more "}${rest === 1 ? "database is unchanged" : "databases are unchanged"}.\n`;
  if (shown.length === 0) return same.trimStart();
  return `| database | copies-places-off-site | estimated cost a month |\n| --- | --- | --- |\n${lines.join("\n")}\n${same}`;
}

function copiesCell({ copiesAfter, copiesBefore }: DatabaseSummary): string {
  if (copiesBefore === null) return `new, **${copiesAfter ?? "?"}**`;
  if (copiesAfter === null) return `${copiesBefore} → **removed**`;
  return copiesBefore === copiesAfter ? copiesAfter : `${copiesBefore} → **${copiesAfter}**`;
}

/** `$3.20`, or the change of it. */
export function costCell({ costAfter, costBefore }: DatabaseSummary): string {
  return costBefore === costAfter ? costText(costAfter) : `${costText(costBefore)} → ${costText(costAfter)}`;
}

function changesTable(changes: readonly Change[]): string {
  if (changes.length === 0) return "";
  const rows = fitRows(inOrder(changes).map(changeRow), "changes");
  return `| | database | what | before | after | in words |\n| --- | --- | --- | --- | --- | --- |\n${rows}`;
}

function changeRow(change: Change): string {
  const reason = change.acknowledged === undefined ? "" : ` (meant: ${change.acknowledged})`;
  const cells = [change.database, change.path, change.before, change.after, `${change.text}${reason}`].map(cell);
  return `| ${[markOf(change), ...cells].join(" | ")} |`;
}

function acknowledgeHelp(diff: TopologyDiff): string {
  const weakened = weakenedOf(diff);
  if (weakened.length === 0) return "";
  const databases = [...new Set(weakened.map((change) => change.database))];
  const lines = databases.flatMap((database) => [
    `// ${oneLine(database)}`,
    "acknowledgeWeaker: {",
    ...weakened
      .filter((change) => change.database === database)
      .map((change) => `  ${JSON.stringify(oneLine(change.acknowledgeAs))}: "why",`),
    "},",
  ]);
  const removed = weakened.some((change) => change.path === "database")
    ? "\nTo remove a database, announce it one update earlier with the entry above in its own arguments.\n"
    : "";
  return `<details><summary>If this is intended, acknowledge it in the arguments of the database</summary>\n\n${fenced(lines.join("\n"))}\n${removed}\n</details>\n`;
}

function unusedText({ unused }: TopologyDiff): string {
  if (unused.length === 0) return "";
  const lines = unused.map(({ change, database }) => `- ${cell(database)}: ${cell(change)}`);
  return `These entries of \`acknowledgeWeaker\` match no change:\n\n${lines.join("\n")}\n`;
}

function findingsText(findings: readonly LoggedFinding[]): string {
  if (findings.length === 0) return "";
  const lines = findings.map(
    ({ code, database, message, path }) =>
      `- ${cell(database)}: ${code} ${cell(path)}${message === undefined ? "" : `: ${cell(message)}`}`,
  );
  return `<details><summary>${findings.length} ${findings.length === 1 ? "finding" : "findings"} of the preview</summary>\n\n${lines.join("\n")}\n\n</details>\n`;
}

function unknownText(unknown: readonly UnknownPart[]): string {
  if (unknown.length === 0) return "";
  const lines = unknown.map(({ database, path }) => `- ${cell(database)}${path === "" ? "" : `: ${cell(path)}`}`);
  return `<details><summary>${unknown.length} ${unknown.length === 1 ? "part" : "parts"} known only after the update</summary>\n\n${lines.join("\n")}\n\n</details>\n`;
}

/** As many rows as fit into a comment, and how many do not; ends with a newline. */
export function fitRows(rows: readonly string[], noun: string): string {
  let size = 2000;
  const fitting = rows.filter((row) => (size += row.length + 1) <= MARKDOWN_CHARACTERS_MAX);
  const rest = rows.length - fitting.length;
  const note = `\n${rest} more ${noun} do not fit here: \`--format=html\` and \`--format=json\` show all.\n`;
  return `${fitting.join("\n")}\n${rest === 0 ? "" : note}`;
}

/** Plain text in a table cell, whatever it contains. */
export function cell(text: string): string {
  const cut = text.length > CELL_CHARACTERS_MAX ? `${text.slice(0, CELL_CHARACTERS_MAX)}…` : text;
  return (
    oneLine(cut)
      .replace(/&/g, "&amp;")
      .replace(/</g, "&lt;")
      .replace(/>/g, "&gt;")
      .replace(/[\\`*_[\]|~#!]/g, (character) => `\\${character}`)
      .replace(/@/g, "@\u200b")
      // Nothing opens s3://, and people copy it.
      .replace(/\b(?!s3:)\w+:\/\/|www\./gi, (prefix) => prefix.replace(/[:.]/, "$&\u200b"))
  );
}

/** Half a surrogate pair makes encoders throw. */
export function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

/** A code fence that the text cannot close. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}ts\n${text}\n${fence}`;
}
