/** Parses docs/troubleshooting.md: each entry's quotes, its commands, and the tests that show it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";

export interface GuideEntry {
  readonly anchor: string;
  /** The heading above the entry. */
  readonly section: string;
  /** The entry's labels in document order: Symptom, Look, Cause, Fix, Shown by. */
  readonly labels: readonly string[];
  /** Quotes of this program (`text`) and of others (`log`); `<name>` stands for any text. */
  readonly quotes: readonly { readonly by: "text" | "log"; readonly text: string }[];
  /** Commands that a test runs (`sh`), one per line. */
  readonly look: readonly string[];
  readonly fix: readonly string[];
  /** Test files with the titles of their tests. */
  readonly shownBy: readonly { readonly file: string; readonly titles: readonly string[] }[];
}

export function readGuide(): GuideEntry[] {
  return parseGuide(readFileSync(join(projectFolder(), "docs", "troubleshooting.md"), "utf8"));
}

export function parseGuide(text: string): GuideEntry[] {
  return text
    .split(/^## /m)
    .slice(1)
    .flatMap((chapter) => {
      const section = chapter.split("\n", 1)[0] ?? "";
      return chapter
        .split(/^### /m)
        .slice(1)
        .map((part) => parseEntry(section, part));
    });
}

function parseEntry(section: string, part: string): GuideEntry {
  const parts = part.split(/^\*\*([A-Z][a-z ]+?)\.?\*\* ?/m);
  const body = (label: string): string => parts[parts.indexOf(label) + 1] ?? "";
  const shown = body("Shown by");
  return {
    anchor: part.split("\n", 1)[0] ?? "",
    section,
    labels: parts.filter((_, index) => index % 2 === 1),
    quotes: (["text", "log"] as const).flatMap((by) =>
      blocksOf(body("Symptom"), by).map((quoted) => ({ by, text: quoted })),
    ),
    look: linesOf(body("Look")),
    fix: linesOf(body("Fix")),
    shownBy: [...shown.matchAll(/`([^`]+)`((?:(?:: |, )"[^"]*")*)/g)].map(([, file = "", titles = ""]) => ({
      file,
      titles: [...titles.matchAll(/"([^"]*)"/g)].map(([, title = ""]) => title),
    })),
  };
}

function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w+)\n([^]*?)\n```$/gm)]
    .filter((match) => match[1] === language)
    .map((match) => match[2] ?? "");
}

function linesOf(text: string): string[] {
  return blocksOf(text, "sh").flatMap((block) => block.split("\n"));
}

/** The fixed text of a quote between its placeholders. */
export function fragmentsOf(quote: string): string[] {
  return quote.split(/<[a-z ]+>|\n|HINT: |^\[\d{3}\]: /).filter((fragment) => fragment.trim() !== "");
}

/**
 * Finds a quote in the output and ignores prefixes of its lines. Returns the text of each placeholder, or null if the
 * quote is missing.
 */
export function findQuote(printed: string, quote: string): Map<string, string> | null {
  const names: string[] = [];
  const pattern = quote
    .split("\n")
    .map((line) =>
      line
        .split(/<([a-z ]+)>/)
        .map((piece, index) => {
          if (index % 2 === 0) return piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
          names.push(piece);
          return "(.*?)";
        })
        .join(""),
    )
    .join("\n");
  const text = printed
    .split("\n")
    .map((line) => line.trim())
    .join("\n");
  const match = new RegExp(`${pattern}${quote.endsWith(">") ? "$" : ""}`, "m").exec(text);
  return match === null ? null : new Map(names.map((name, index) => [name, match[index + 1] ?? ""]));
}
